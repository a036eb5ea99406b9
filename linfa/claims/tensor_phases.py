"""Claims about the theory of low-rank tensor decomposition: fixed points, free entropy, thresholds."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import brentq

from linfa.claims.register import claim
from linfa.neighbours.tensor import (
    Bernoulli,
    Gaussian,
    bayes_error,
    closed_forms,
    continuous_transition,
    fixed_points,
    free_entropy,
    gaussian_dynamical,
    gaussian_fixed_point,
    gaussian_noise,
    gaussian_spinodals,
    spectral_overlap,
    state_evolution,
    thresholds,
)
from linfa.neighbours.tensor.priors import mode_priors

Gain = Callable[[float], float]

_BISECTED = "bisection to 1e-5 of iterations that stop at steps of 1e-7, which shifts their switch by less"

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(150)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def _gaussian_gain(mean: float = 0.0) -> Gain:
    return lambda a: mean**2 + a / (1.0 + a)


def _sign_gain(a: float) -> float:
    return float(_WEIGHTS @ np.tanh(a + np.sqrt(a) * _NODES))


def _ones_gain(density: float) -> Gain:
    odds = (1.0 - density) / density
    return lambda a: float(density * (_WEIGHTS @ (1.0 / (1.0 + odds * np.exp(-a / 2 - np.sqrt(a) * _NODES)))))


def _rests_above(gain: Gain, delta: float, shape: Sequence[float], start: float, edge: float) -> bool:
    """Whether m_a ← g((1/Δ) Π_{b≠a} n_b m_b), iterated from `start` in every mode, stays or comes above `edge`."""
    size = np.prod(shape) ** (1 / len(shape))
    ratios = [float(n / size) for n in shape]
    overlaps, falls = [start] * len(ratios), start > edge
    while True:
        # Modes of the same size have the same overlap.
        gains = {n: gain(math.prod(overlaps[:a] + overlaps[a + 1 :]) / (n * delta)) for a, n in enumerate(ratios)}
        moved, overlaps = abs(gains[ratios[0]] - overlaps[0]), [gains[n] for n in ratios]
        if (overlaps[0] < edge) == falls or moved <= 1e-7 * overlaps[0]:
            return overlaps[0] > edge


def _switch(gain: Gain, shape: Sequence[float], start: float, edge: float, low: float, high: float) -> float:
    """The noise between low and high at which iterations from this start stop ending above `edge`."""
    while high - low > 1e-5 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _rests_above(gain, middle, shape, start, edge) else (low, middle)
    return 0.5 * (low + high)


def _balance(prior: object, shape: Sequence[float], low: float, high: float) -> float:
    """The noise at which the ends of state evolution from both starts have the same free entropy."""

    def advantage(delta: float) -> float:
        informed, blind = (
            free_entropy(state_evolution(prior, delta, shape, start), prior, delta, shape)
            for start in ("informed", "uninformed")
        )
        return informed - blind

    return brentq(advantage, low, high, xtol=1e-6 * low)


@claim(
    "tensor-gaussian-branch",
    title="overlap (1 + √(1−4Δ))/2, free entropy and error 1 − m³ of a cube against state evolution at rest",
    tolerance=1e-10,
    accuracy="closed form",
    reason="state evolution stops at steps of 1e-13; near the end of the branch what is left is 40 times that",
    entry="T1",
)
def gaussian_branch() -> tuple:
    """T1: the informed fixed point for factors N(0, 1)."""
    deltas = np.array([0.02, 0.1, 0.16, 0.2, 0.24])
    overlaps = gaussian_fixed_point(deltas)
    predicted = [overlaps, closed_forms.gaussian_free_entropy(overlaps), 1 - overlaps**3]
    found = [state_evolution("gaussian", d, start="informed") for d in deltas]
    entropy = [free_entropy(m, "gaussian", d) for m, d in zip(found, deltas, strict=True)]
    return predicted, [np.array(found)[:, 0], np.array(entropy), np.array([bayes_error(m) for m in found])]


@claim(
    "tensor-gaussian-thresholds",
    title="Δ_alg, Δ_IT, Δ_dyn in closed form for means 0, 0.1, 0.3 against where state evolution switches",
    tolerance=2e-5,
    accuracy="closed form",
    reason=_BISECTED,
    entry="T1, T2",
)
def gaussian_thresholds(mean: float = 0.3) -> tuple:
    """T1 and T2: where the uninformed and the informed branch end, and where they are equally likely."""
    predicted, found = [], []
    for mu in (0.0, 0.1, mean):
        prior, known = Gaussian(mu), thresholds("gaussian", mean=mu)
        low, high = gaussian_spinodals(mu)
        # Between the gains of the two spinodals lies the unstable branch alone.
        gain, edge = _gaussian_gain(mu), mu**2 + 0.5 * (low + high)
        switches = [_switch(gain, (1, 1, 1), 1.0 + mu**2, edge, 0.5 * known.dynamical, 1.5 * known.dynamical)]
        if mu:
            switches.append(_switch(gain, (1, 1, 1), mu**2, edge, 0.5 * known.algorithmic, known.dynamical))
            predicted.append(np.array([known.dynamical, known.algorithmic]))
        else:
            predicted.append(np.array([gaussian_dynamical(3)]))
        found.append(np.array(switches))
        predicted.append(known.information)
        found.append(_balance(prior, (1, 1, 1), 1.001 * max(known.algorithmic, 0.1), 0.999 * known.dynamical))
    return predicted, found


@claim(
    "tensor-tricritical",
    title="jump of the overlap at each spinodal for means up to 1/√8: both ends of Δ(y), the jump closing as √(1−8μ²)",
    tolerance=1e-6,
    accuracy="closed form",
    reason="roots of the curve of fixed points, 1e-7 beside the spinodals, against the closed form's quadratic",
    entry="T2",
)
def tricritical() -> tuple:
    """T2: at the noise of one spinodal the other branch is the third root of Δ(y); beyond 1/√8 there is one branch."""
    predicted, found = [], []
    for mu in (0.2, 0.3, 0.35):
        for gain in gaussian_spinodals(mu):
            # Δ(y) = Δ* is a cubic with a double root at the spinodal.
            single = 1 - 2 * mu**2 - 2 * gain
            predicted.append(mu**2 + single)
            overlaps = fixed_points(Gaussian(mu), float(gaussian_noise(gain, mu)) * (1 - 1e-9))[:, 0]
            found.append(overlaps[np.abs(overlaps - mu**2 - gain).argmax()])
    alone = [len(fixed_points(Gaussian(0.36), delta)) for delta in (0.3, 27 / 64, 0.6)]
    return [np.array(predicted), np.ones(3)], [np.array(found), np.array(alone, dtype=float)]


def _both_sides(prior: str, gain: Gain, shape: Sequence[float]) -> tuple[list, list]:
    """Δ_dyn and Δ_IT of a prior without a mean and of variance 1, by `thresholds` and by iteration."""
    known = thresholds(prior, shape)
    # Far below the overlap at the spinodal, which is ½ and more.
    switch = _switch(gain, shape, 1.0, 0.3, 0.7 * known.dynamical, 1.3 * known.dynamical)
    balance = _balance(prior, shape, 0.8 * known.dynamical, 0.999 * known.dynamical)
    return [known.dynamical, known.information], [switch, balance]


@claim(
    "tensor-rademacher-thresholds",
    title="Δ_dyn, Δ_IT and the overlap that side information must give, for signs: curve of fixed points, and iterated",
    tolerance=2e-5,
    accuracy="closed form",
    reason=_BISECTED,
    entry="T4",
)
def rademacher_thresholds() -> tuple:
    """T4: extremes and balance of the curve Δ(t), against state evolution itself; the edge of the basin too."""
    predicted, found = _both_sides("rademacher", _sign_gain, (1, 1, 1))
    for delta in (0.1, 0.2):
        predicted.append(fixed_points("rademacher", delta)[1, 0])
        low, high = 0.0, 0.5
        while high - low > 2e-6:
            middle = 0.5 * (low + high)
            climbs = _rests_above(_sign_gain, delta, (1, 1, 1), middle, 0.5)
            low, high = (low, middle) if climbs else (middle, high)
        found.append(0.5 * (low + high))
    return predicted, found


@claim(
    "tensor-shape-thresholds",
    title="Δ_dyn and Δ_IT for modes 1:1:2 and 1:1:8, Gaussian factors and signs: longer tensors are harder",
    tolerance=2e-5,
    accuracy="closed form",
    reason=_BISECTED,
    entry="T5",
)
def shape_thresholds() -> tuple:
    """T5: thresholds of one curve for any shape, against state evolution of all modes."""
    predicted, found = [], []
    gains = {"gaussian": _gaussian_gain(), "rademacher": _sign_gain}
    for prior, shape in (("gaussian", (1, 1, 2)), ("gaussian", (1, 1, 8)), ("rademacher", (1, 1, 2))):
        left, right = _both_sides(prior, gains[prior], shape)
        predicted += left
        found += right
    return predicted, found


@claim(
    "tensor-bernoulli-bistability",
    title="zeros and ones: Δ_alg and Δ_dyn for ρ = 0.1 against state evolution; no second state for ρ = 0.2 and 0.3",
    tolerance=2e-5,
    accuracy="closed form",
    reason=_BISECTED,
    entry="T7",
)
def bernoulli_bistability(density: float = 0.1) -> tuple:
    """T7: a hard phase for rare ones alone."""
    known = thresholds(Bernoulli(density))
    predicted, found = [known.algorithmic, known.dynamical], []
    # The unstable state between the two spinodals.
    edge = fixed_points(Bernoulli(density), np.sqrt(known.algorithmic * known.dynamical))[1, 0]
    for start, target in ((density**2, known.algorithmic), (density, known.dynamical)):
        found.append(_switch(_ones_gain(density), (1, 1, 1), start, edge, 0.8 * target, 1.2 * target))
    for dense in (0.2, 0.3):
        # Where the signal is as strong as the prior is wide: the noise at which a second state would be.
        deltas = dense**3 * np.geomspace(0.1, 3.0, 7)
        both = [
            [state_evolution(Bernoulli(dense), d, start=start)[0] for d in deltas]
            for start in ("uninformed", "informed")
        ]
        predicted.append(np.array(both[0]))
        found.append(np.array(both[1]))
    return predicted, found


@claim(
    "tensor-free-entropy",
    title="slopes of the free entropy ∂F/∂m_a = Σ_{b≠a} n_b A_b (g_b − m_b)/(2 m_a), which vanish at rest; dF/dΔ there",
    tolerance=1e-7,
    accuracy="closed form",
    reason="central differences at relative steps of 1e-4 with five points: errors of 1e-12 over 1e-4 of F",
    entry="2.3",
)
def free_entropy_slopes() -> tuple:
    """The free entropy whose maximum is the best estimate, for three priors at three shapes."""
    predicted, found = [], []
    five = ((1, 8), (-1, -8), (2, -1), (-2, 1))
    cases = (("gaussian", (1, 2, 4)), ("rademacher", (1, 1, 3)), (Bernoulli(0.3), (2, 1, 1)))
    for prior, shape in cases:
        scale = 1.0 if isinstance(prior, str) else 0.02
        delta = 0.15 * scale
        overlaps = 0.7 * state_evolution(prior, delta, shape, "informed")
        ratios = np.array(shape) / np.prod(shape) ** (1 / 3)
        product = np.prod(overlaps) / delta
        precisions = product / (ratios * overlaps)
        gains = np.array(
            [p.overlap(np.array([[a]]))[0, 0] for p, a in zip(mode_priors(prior, 3, 1), precisions, strict=True)]
        )
        terms = ratios * precisions * (gains - overlaps)
        predicted.append((terms.sum() - terms) / (2 * overlaps))
        slopes = []
        for a in range(3):
            step = 1e-4 * overlaps[a] * np.eye(3)[a]
            slopes.append(sum(c * free_entropy(overlaps + k * step, prior, delta, shape) for k, c in five))
        found.append(np.array(slopes) / (12e-4 * overlaps))
        # At rest only the explicit noise counts.
        rest = state_evolution(prior, delta, shape, "informed")
        predicted.append(-np.prod(rest) / (2 * delta**2))
        step = 1e-4 * delta
        found.append(sum(c * free_entropy(rest, prior, delta + k * step, shape) for k, c in five) / (12 * step))
    return predicted, found


@claim(
    "tensor-continuous-transition",
    title="one mode with a mean: overlaps of the others over their predicted linear vanishing at Δ_c, three shapes",
    tolerance=3e-3,
    accuracy="asymptotic",
    reason="at 1 − Δ/Δ_c = 2e-3 the next order is of that size",
    entry="T3",
)
def continuous_transition_slope(distance: float = 2e-3, mean: float = 1.0) -> tuple:
    """T3: where one mode is known in part, the transition is that of a matrix, without a hard phase."""
    found = []
    for shape in ((1, 1, 1), (1, 2, 4), (4, 1, 2)):
        ratios = np.array(shape) / np.prod(shape) ** (1 / 3)
        priors = [Gaussian(mean, 0.25), Gaussian(0.0, 1.0), Gaussian(0.0, 2.0)]
        critical = continuous_transition(ratios[0] * mean**2, [1.0, 2.0], ratios[1:])
        overlaps = state_evolution(priors, critical * (1 - distance), shape, "informed", tolerance=1e-7)
        expected = closed_forms.continuous_overlaps(distance, [1.0, 2.0], ratios[1:])
        found.append(overlaps[1:] / np.array(expected))
    return np.ones((3, 2)), np.array(found)


@claim(
    "tensor-matrix-transition",
    title="order 2: overlaps (1 − Δ²)/(1 + Δ n_a), those of singular vectors, and Δ_c = √(n_1 n_2) v²",
    tolerance=1e-9,
    accuracy="closed form",
    reason="state evolution stops at steps of 1e-13, of which 1/(1 − Δ²) are left",
    entry="T8",
)
def matrix_transition() -> tuple:
    """T8: for matrices the prior N(0, 1) adds nothing to a singular value decomposition but the right length."""
    predicted, found = [], []
    for shape in ((1, 1), (1, 4)):
        ratios = np.array(shape) / np.prod(shape) ** 0.5
        for delta in (0.1, 0.5, 0.9):
            predicted.append(spectral_overlap(delta, 1.0, ratios, order=2))
            found.append(state_evolution("gaussian", delta, shape))
        predicted.append(thresholds(Gaussian(variance=0.5), shape).algorithmic)
        found.append(0.25)
    return predicted, found
