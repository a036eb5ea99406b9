"""Easy, hard, impossible: at which noise a factor can be found by message passing, by any means, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from linfa._check import real_number
from linfa.neighbours.tensor import closed_forms
from linfa.neighbours.tensor.evolution import Evolution, free_entropy
from linfa.neighbours.tensor.priors import Gaussian, Prior, named_prior

# Signal strengths t = A m n on which the curve of fixed points is sampled, at least, and points per factor of ten: from
# where nothing is known yet to where nothing is left to learn. A small mean stretches it to smaller ones.
_WEAKEST, _STRONGEST, _DENSITY = 1e-14, 1e6, 20
# Bends of log Δ(t) below this are rounding of the average over the prior.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Thresholds:
    """Levels of noise that separate the phases.

    Attributes
    ----------
    algorithmic : float
        Δ_alg: below it, state evolution without side information reaches the informed fixed point (easy).
    information : float
        Δ_IT: below it, the informed fixed point has the larger free entropy. Between Δ_alg and Δ_IT the factors could
        be found but are not (hard); above Δ_IT they cannot (impossible).
    dynamical : float
        Δ_dyn: above it, the informed fixed point is gone.

    All three agree where the transition is continuous, and are infinite where there is none: then the estimate
    worsens smoothly with the noise and every noise is easy.
    """

    algorithmic: float
    information: float
    dynamical: float

    def phase(self, delta: float) -> str:
        """The phase at this noise: easy, hard or impossible.

        Examples
        --------
        >>> thresholds("gaussian", mean=0.3).phase(0.33)
        'hard'
        """
        delta = real_number("delta", delta, above=0.0)
        return "easy" if delta < self.algorithmic else "hard" if delta < self.information else "impossible"


def thresholds(
    prior: Prior | str | Sequence[Prior | str], shape: Sequence[float] = (1, 1, 1), **parameters: float
) -> Thresholds:
    """Algorithmic, information-theoretic and dynamical threshold of a tensor of rank 1.

    Parameters
    ----------
    prior : Prior or its name, or one for each mode
    shape : sequence of p numbers
        Sizes of the modes, of which only the ratios matter.
    **parameters
        Those of a prior given by name, such as ``mean`` or ``density``.

    Returns
    -------
    Thresholds

    Raises
    ------
    ValueError, TypeError
        If the prior, its parameters or the shape are not what they must be.

    Notes
    -----
    A cube with Gaussian factors has the closed forms T1 and T2. For any other prior, shape or order the thresholds are
    read off the curve Δ(t) on which all fixed points lie (`fixed_points`): they are its lowest minimum and its highest
    maximum, and where between them both ends of the curve have the same free entropy. As t → 0 the curve goes to zero
    where three modes or more have no mean (Δ_alg = 0, up to what finite size gives), to a finite Δ_c where two have
    none, and to infinity otherwise.

    Examples
    --------
    >>> found = thresholds("gaussian", mean=0.3)
    >>> round(found.algorithmic, 5), round(found.information, 5), round(found.dynamical, 5)
    (0.32338, 0.35226, 0.36042)
    """
    if parameters:
        if not isinstance(prior, str):
            raise TypeError(f"{', '.join(parameters)} given; parameters go with a prior by name, not with {prior!r}")
        prior = named_prior(prior, **parameters)
    branch = _Branch(prior, shape)
    if branch.gaussian_cube is not None:
        return _gaussian_cube(branch, *branch.gaussian_cube)
    lows, highs = branch.extrema()
    if not highs:
        return Thresholds(branch.end, branch.end, branch.end)
    return branch.between(min([*(noise for _, noise in lows), branch.end]), max(noise for _, noise in highs))


def fixed_points(
    prior: Prior | str | Sequence[Prior | str], delta: float, shape: Sequence[float] = (1, 1, 1)
) -> np.ndarray:
    """All overlaps at which state evolution of a tensor of rank 1 rests, stable or not, (count, p), smallest first.

    They lie on one curve: with t = Π n_a m_a/Δ, each mode has the one A_a with A_a g_a(A_a) = t/n_a, and
    Δ(t) = Π n_a g_a(A_a)/t. The unstable ones between two stable ones are the overlaps that side information must
    give. The point of zero overlap, which exists where two modes or more have no mean, comes first.

    Parameters
    ----------
    prior, delta, shape
        See `state_evolution`.

    Examples
    --------
    >>> fixed_points("rademacher", 0.2)[:, 0].round(4)
    array([0.    , 0.2593, 0.9487])
    """
    branch = _Branch(prior, shape)
    delta = real_number("delta", delta, above=0.0)
    found = [branch.point(t)[0] for t in branch.strengths_at(delta)]
    if branch.meanless >= 2:
        mean = [p.mean()[0] ** 2 for p in branch.problem.priors]
        found.insert(0, np.where(np.array(mean) > 0, mean, 0.0))
    return np.array(found)


class _Branch:
    """The curve of fixed points of state evolution, by the strength t that all modes share."""

    def __init__(self, prior: object, shape: object) -> None:
        self.problem = Evolution(prior, 1.0, shape, 1)
        priors, ratios = self.problem.priors, self.problem.ratios
        flat = [a for a, p in enumerate(priors) if p.mean()[0] == 0.0]
        self.meanless = len(flat)
        self._points: dict[float, tuple[np.ndarray, float]] = {}
        # The mean stops to matter where the rest of a mode is as well known, at t about (μ²/v)².
        known = [p.mean()[0] ** 2 / p.covariance()[0, 0] for p in priors if p.mean()[0] != 0.0]
        weakest = min([_WEAKEST, *(1e-4 * share**2 for share in known)])
        points = 1 + round(_DENSITY * np.log10(_STRONGEST / weakest))
        self._strengths = np.geomspace(weakest, _STRONGEST, points)
        self._table: np.ndarray | None = None
        # Where the curve ends, t → 0.
        if self.meanless == 2:
            signal = np.prod([n * p.mean()[0] ** 2 for p, n in zip(priors, ratios, strict=True) if p.mean()[0] != 0.0])
            spread = [priors[a].covariance()[0, 0] for a in flat]
            self.end = float(closed_forms.continuous_transition(float(signal), spread, ratios[flat]))
        else:
            self.end = 0.0 if self.meanless > 2 else inf

    @property
    def gaussian_cube(self) -> tuple[float, float] | None:
        """Mean and variance, if the factors are Gaussian, alike, and make a cube of order 3."""
        first = self.problem.priors[0]
        alike = all(
            isinstance(p, Gaussian) and p.mean() == first.mean() and p.variance == first.variance
            for p in self.problem.priors
        )
        cube = len(self.problem.priors) == 3 and np.ptp(self.problem.ratios) == 0.0
        return (abs(float(first.mean()[0])), first.variance) if alike and cube else None

    def point(self, strength: float) -> tuple[np.ndarray, float]:
        """Overlaps (p,) and noise of the fixed point with this t."""
        if strength not in self._points:
            alike: dict = {}
            for prior, ratio in zip(self.problem.priors, self.problem.ratios, strict=True):
                if (id(prior), ratio) not in alike:
                    alike[id(prior), ratio] = _overlap_at(prior, strength / ratio)
            overlaps = np.array(
                [alike[id(p), n] for p, n in zip(self.problem.priors, self.problem.ratios, strict=True)]
            )
            noise = closed_forms.noise_on_branch(strength, overlaps, self.problem.ratios)
            self._points[strength] = overlaps, float(noise)
        return self._points[strength]

    def log_noise(self, log_strength: float) -> float:
        return float(np.log(self.point(float(np.exp(log_strength)))[1]))

    @property
    def table(self) -> np.ndarray:
        """log Δ on the grid of strengths."""
        if self._table is None:
            self._table = np.array([self.log_noise(t) for t in np.log(self._strengths)])
        return self._table

    def extrema(self) -> tuple[list, list]:
        """Minima and maxima of Δ(t) inside the curve, each as (t, Δ), by ascending t."""
        from scipy.optimize import minimize_scalar

        lows, highs = [], []
        change = np.diff(self.table)
        change[np.abs(change) < _ROUNDING] = 0.0
        # Where it is flat, the curve goes on as before; at t → 0 it comes from its end.
        signs = np.sign(change)
        for k in range(1, len(signs)):
            signs[k] = signs[k] or signs[k - 1]
        for k in np.flatnonzero(signs[1:] * signs[:-1] < 0):
            sign = signs[k]
            edges = np.log(self._strengths[[k, k + 2]])
            # A tolerance of 1e-8 in t leaves 1e-16 in Δ, which is flat there.
            best = minimize_scalar(
                lambda t, s=sign: -s * self.log_noise(t), bounds=edges, method="bounded", options={"xatol": 1e-8}
            )
            (highs if sign > 0 else lows).append((float(np.exp(best.x)), self.point(float(np.exp(best.x)))[1]))
        return lows, highs

    def strengths_at(self, delta: float) -> list[float]:
        """All t > 0 at which the curve has this noise, ascending."""
        from scipy.optimize import brentq

        target = np.log(delta)
        lows, highs = self.extrema()
        knots = sorted(
            {float(self._strengths[0]), float(self._strengths[-1]), *(t for t, _ in lows), *(t for t, _ in highs)}
        )
        # Noise so low that even the strongest signal of the grid is weak: follow the curve, Δ ~ 1/t.
        while self.log_noise(np.log(knots[-1])) > target:
            knots[-1] *= 100.0
        while self.meanless < 2 and self.log_noise(np.log(knots[0])) < target:
            knots[0] /= 100.0
        found = []
        for left, right in pairwise(knots):
            ends = np.log([left, right])
            values = [self.log_noise(t) - target for t in ends]
            if values[0] * values[1] < 0:
                root = brentq(lambda t: self.log_noise(t) - target, *ends, xtol=1e-13, rtol=1e-13)
                found.append(float(np.exp(root)))
        return found

    def between(self, algorithmic: float, dynamical: float) -> Thresholds:
        """The thresholds of a curve that bends: between its extremes, free entropy decides."""
        from scipy.optimize import brentq

        def advantage(log_delta: float) -> float:
            """F of the informed state less that of the uninformed one."""
            delta = float(np.exp(log_delta))
            found = self.strengths_at(delta)
            high, low = self._entropy(found[-1], delta), 0.0
            # Without a mean in two modes, the uninformed state is the one of zero overlap.
            return high - (self._entropy(found[0], delta) if self.meanless < 2 else low)

        # Next to a spinodal two fixed points merge and roots are lost; nothing is decided there.
        top = np.log(dynamical) - 1e-7
        bottom = np.log(max(algorithmic, dynamical * 1e-3)) + 1e-7
        if bottom >= top:
            return Thresholds(algorithmic, dynamical, dynamical)
        while algorithmic == 0.0 and advantage(bottom) < 0:
            bottom -= np.log(1e3)
        crossing = brentq(advantage, bottom, top, xtol=1e-12)
        return Thresholds(float(algorithmic), float(np.exp(crossing)), float(dynamical))

    def _entropy(self, strength: float, delta: float) -> float:
        return free_entropy(self.point(strength)[0], self.problem.priors, delta, tuple(self.problem.ratios))


def _overlap_at(prior: Prior, strength: float) -> float:
    """g(A) where A g(A) = `strength`."""
    from scipy.optimize import brentq

    mean, variance = float(prior.mean()[0]), float(prior.covariance()[0, 0])
    # With a Gaussian of the same moments instead of the prior, a quadratic.
    linear, constant = mean**2 - variance * strength, -strength
    square = mean**2 * variance + variance**2
    root = np.sqrt(linear**2 - 4 * square * constant)
    upper = (root - linear) / (2 * square) if linear <= 0 else -2 * constant / (linear + root)
    if isinstance(prior, Gaussian):
        return float(closed_forms.gaussian_overlap(upper, mean, variance))

    def excess(log_precision: float) -> float:
        precision = np.exp(log_precision)
        return float(np.log(precision * prior.overlap(np.array([[precision]]))[0, 0] / strength))

    # Among priors of the same moments the Gaussian tells least (its g is the smallest), and no g exceeds E[x²].
    lower = strength / (mean**2 + variance)
    ends = np.log([lower * (1 - 1e-6), upper * (1 + 1e-6)])
    precision = np.exp(brentq(excess, *ends, xtol=1e-14, rtol=1e-14))
    return strength / precision


def _gaussian_cube(branch: _Branch, mean: float, variance: float) -> Thresholds:
    """T1 and T2, in units of the variance."""
    scaled = mean / np.sqrt(variance)
    if 8 * scaled**2 >= 1.0:
        return Thresholds(inf, inf, inf)
    low, high = closed_forms.gaussian_spinodals(scaled)
    dynamical = closed_forms.gaussian_noise(high, scaled) * variance**3
    algorithmic = closed_forms.gaussian_noise(low, scaled) * variance**3 if mean else 0.0
    return branch.between(float(algorithmic), float(dynamical))
