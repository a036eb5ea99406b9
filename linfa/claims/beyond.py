"""Claims that go beyond the literature: deep chains, correlated inputs, finite rates, slow subspaces."""

import numpy as np

from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import FeedbackAlignment, LowRankFeedback
from linfa.metrics import mode_projection
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.chain_alignment import chain_alignment, chain_amplitude, chain_half_time
from linfa.theory.exact import exact
from linfa.theory.feedback_alignment import map_strength, mode_amplitude, mode_amplitude_end
from linfa.theory.finite_rate import end_shift, upper_amplitude
from linfa.theory.low_rank import learned_map
from linfa.theory.slow_subspace import subspace_turn
from linfa.trajectory import Trajectory

STRENGTHS = np.array([4.0, 2.5, 1.0, 0.6])


def _chain(depth: int, t: np.ndarray, seed: int) -> Trajectory:
    """Feedback alignment from zero in a chain whose layers narrow towards the output, as BᵀB = g I asks."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    widths = (6, *(5 + 2 * k for k in range(depth - 1, 0, -1)), 5)
    feedback = FeedbackAlignment(seed=seed, scale=1.2, draw="orthonormal")
    return simulate(task, initial_weights(widths, "zero"), feedback, t, **TIGHT)


@claim(
    "fa-chain-modes",
    title="all weights of deep FA from zero, depth 3 to 5, against a' = s − β aⁿ with n = 2^L − 1",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4, any depth",
    quick={"deepest": 3},
)
def chain_modes(horizon: float = 6.0, deepest: int = 5, seed: int = 31) -> tuple:
    """The law of B4 at any depth: every matrix at every time."""
    t = np.linspace(0.0, horizon, 25)
    predicted, simulated = [], []
    for depth in range(3, deepest + 1):
        run = _chain(depth, t, seed)
        theory = exact(run.task, [w[0] for w in run.weights], run.feedback, t)
        predicted += [*theory.weights, theory.map]
        simulated += [*run.weights, run.map]
    return predicted, simulated


@claim(
    "fa-chain-half-time",
    title="strength of each mode at its predicted half-time ∝ s^{−(1−1/n)}, n = 2^L − 1, against s/2",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4, any depth",
    quick={"deepest": 3},
)
def chain_half_times(deepest: int = 5, seed: int = 31) -> tuple:
    """Exponents 2/3, 6/7, 14/15, 30/31: from two to five layers."""
    predicted, simulated = [], []
    for depth in range(2, deepest + 1):
        times = chain_half_time(STRENGTHS, [1.44] * (depth - 1))
        predicted.append(STRENGTHS / 2)
        simulated.append(np.diag(_chain(depth, times, seed).mode_strengths))
    return predicted, simulated


@claim(
    "fa-chain-alignment",
    title="cos(W_l, B_lᵀ) in every layer of a deep chain against √(PR(a^{2^{l−1}})/n_l)",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4, any depth",
)
def chain_alignments(depth: int = 4, seed: int = 31) -> tuple:
    """Alignment, and with it rank, falls from layer to layer: each squares the spectrum of the one below."""
    t = np.linspace(0.3, 6.0, 15)
    run = _chain(depth, t, seed)
    a = chain_amplitude(t, STRENGTHS, [1.44] * (depth - 1))
    predicted = [chain_alignment(a, layer, run.widths[layer]) for layer in range(2, depth + 1)]
    return np.stack(predicted, axis=1), run.weight_alignment


@claim(
    "fa-modes-correlated",
    title="modes of FA from zero weights with correlated inputs that share the task's modes",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4, Σx ≠ I",
)
def modes_correlated(gain: float = 1.7, horizon: float = 8.0, seed: int = 32) -> tuple:
    """Σx = V diag(d) Vᵀ: a' = s − d g a³/2, the law of whitened inputs with gain g d; the map ends at s/d."""
    generator = stream(seed, "claim")
    left, right = orthonormal_columns(generator, 5, 3), orthonormal_columns(generator, 6, 6)
    s, d = np.array([3.0, 2.0, 1.0]), np.array([1.5, 0.5, 0.8, 1.0, 0.3, 2.0])
    task = LinearTask((left * s) @ right[:, :3].T, (right * d) @ right.T)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    t = np.linspace(0.0, horizon, 25)
    run = simulate(task, initial_weights((6, 7, 5), "zero"), feedback, t, **TIGHT)
    a = np.concatenate([mode_amplitude(t, s[k : k + 1], gain * d[k]) for k in range(3)], axis=1)
    return map_strength(a, gain), mode_projection(run.map, left, right[:, :3])


@claim(
    "low-rank-limit-correlated",
    title="end of fixed low-rank feedback with any Σx against T̃ Π_row(PT̃) Σx^{−1/2}, T̃ = T Σx^{1/2}",
    tolerance=1e-10,
    accuracy="closed form",
    reason="the slowest of the modes learned is within e^{-20} of its end; the integrator adds 1e-11",
    entry="B5 ii, Σx ≠ I",
)
def limit_correlated(rank: int = 2, horizon: float = 1500.0, seed: int = 33) -> tuple:
    """The projector of B5 (ii), weighted by the inputs: from zero and, with the frozen part (B15), from any start."""
    task = correlated_task(6, 5, seed)
    feedback = LowRankFeedback(rank=rank, seed=seed)
    predicted, simulated = [], []
    for scale in (0.0, 0.6):
        weights = initial_weights((6, 5, 5), "gaussian", scale, seed)
        run = simulate(task, weights, feedback, [horizon], max_steps=4_000_000, **TIGHT)
        carrier = run.feedback_matrix(0)[0]
        predicted.append(learned_map(task, carrier, weights[0] if scale else None))
        simulated.append(run.map[-1])
    return predicted, simulated


def _descent_amplitudes(rates: np.ndarray, gain: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """End amplitudes of descent in W1 = B A and W2 = M Bᵀ for each rate, (rates, modes) each."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    b = feedback.resolve((6, 7, 5)).matrices["b"][0]
    lower, upper = [], []
    for rate in rates:
        updates = int(np.ceil(25.0 / rate))
        run = simulate(task, initial_weights((6, 7, 5), "zero"), feedback, [updates], learning_rate=float(rate))
        lower.append(mode_projection(b.T @ run.weights[0][-1], task.left, task.right) / gain)
        upper.append(mode_projection(run.weights[1][-1] @ b, task.left, task.left) / gain)
    return np.array(lower), np.array(upper)


@claim(
    "fa-finite-rate",
    title="end of descent: (a − a*)/η → s/4 and (m − a²/2)/η → −(s a − g a⁴/8)/2, extrapolated to η = 0",
    tolerance=1e-8,
    accuracy="asymptotic",
    reason="extrapolated through four rates that halve from 0.01: the gap left is of fourth order in the rate",
    entry="B4, η > 0",
)
def finite_rate(coarsest: float = 0.01, gain: float = 1.3, seed: int = 34) -> tuple:
    """First-order corrections of the modified equation, and the order at which the rest closes."""
    rates = coarsest / 2.0 ** np.arange(4)
    lower, upper = _descent_amplitudes(rates, gain, seed)
    end = mode_amplitude_end(STRENGTHS, gain)
    shift = (lower - end) / rates[:, None]
    lag = (upper - lower**2 / 2) / rates[:, None]
    predicted_lag = upper_amplitude(end, STRENGTHS, gain, 1.0) - upper_amplitude(end, STRENGTHS, gain, 0.0)
    return [end_shift(STRENGTHS, 1.0), predicted_lag], [_extrapolate(shift), _extrapolate(lag)]


def _extrapolate(values: np.ndarray) -> np.ndarray:
    """Richardson's limit of values at rates that halve, whose errors are a power series in the rate."""
    for order in range(1, len(values)):
        values = (2.0**order * values[1:] - values[:-1]) / (2.0**order - 1.0)
    return values[0]


@claim(
    "fa-finite-rate-order",
    title="order at which descent's end shift approaches η s/4: the remainder falls as η²",
    tolerance=5e-3,
    accuracy="asymptotic",
    reason="slope between rates 0.0025 and 0.00125; the next term of the series bends it by about that rate",
    entry="B4, η > 0",
)
def finite_rate_order(coarsest: float = 0.0025, gain: float = 1.3, seed: int = 34) -> tuple:
    """The gap between descent and its first-order prediction, at two rates."""
    rates = coarsest / 2.0 ** np.arange(2)
    lower, _ = _descent_amplitudes(rates, gain, seed)
    end = mode_amplitude_end(STRENGTHS, gain)
    gap = np.abs(lower - end - end_shift(STRENGTHS, rates[:, None]))
    return np.full(len(STRENGTHS), 2.0), np.log2(gap[0] / gap[1])


@claim(
    "oja-error-slow-turn",
    title="all that Oja's P turns on the error, as its rate goes to 0, against ¾ U diag(a*) Vᵀ Tᵀ (I − PᵀP)",
    tolerance=1e-7,
    accuracy="asymptotic",
    reason="extrapolated through four rates that halve: the gap left is of fourth order in the rate",
    entry="B19, slow P",
)
def slow_turn(rate: float = 0.004, rank: int = 2, gain: float = 1.5, seed: int = 35) -> tuple:
    """The two-time-scale limit: P turns once, by an angle of first order in its rate, and freezes."""
    task = LinearTask.from_modes(np.linspace(3.0, 0.8, 5), inputs=7, outputs=6, seed=seed)
    weights = initial_weights((7, 8, 6), "zero")
    rates, turns = rate / 2.0 ** np.arange(4), []
    for p_rate in rates:
        feedback = LowRankFeedback(
            rank=rank, p="oja-error", p_rate=float(p_rate), seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal"
        )
        run = simulate(task, weights, feedback, [0.0, 60.0], **TIGHT)
        p = run.feedback_weights["p"][0]
        turns.append((p[1] - p[0]) / p_rate)
    return subspace_turn(task.target, p[0], gain), _extrapolate(np.array(turns))
