"""Claims about feedback alignment from zero weights: B4, B8."""

import numpy as np

from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import FeedbackAlignment
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory import feedback_alignment as theory
from linfa.theory.exact import exact
from linfa.trajectory import Trajectory

STRENGTHS = np.array([4.0, 2.5, 1.0, 0.6])


def _run(t: np.ndarray, gain: float, seed: int, strengths: np.ndarray = STRENGTHS) -> Trajectory:
    task = LinearTask.from_modes(strengths, inputs=7, outputs=5, seed=seed)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    return simulate(task, initial_weights((7, 8, 5), "zero"), feedback, t, **TIGHT)


@claim(
    "fa-modes",
    title="W1, W2 and map of FA from zero weights against the exact mode solution",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4",
)
def modes(gain: float = 1.7, horizon: float = 8.0, seed: int = 7) -> tuple:
    """B4 in full: both weight matrices, at all times."""
    t = np.linspace(0.0, horizon, 41)
    run = _run(t, gain, seed)
    predicted = exact(run.task, [w[0] for w in run.weights], run.feedback, t)
    return [*predicted.weights, predicted.map], [*run.weights, run.map]


@claim(
    "fa-half-time",
    title="strength of each mode at its predicted half-time against s/2",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4",
)
def half_times(gain: float = 1.7, seed: int = 7) -> tuple:
    """B4: t_half = 0.9377 (2/(g s²))^{1/3}, one mode after the other."""
    times = theory.half_time(STRENGTHS, gain)
    run = _run(times, gain, seed)
    return STRENGTHS / 2, np.diag(run.mode_strengths)


@claim(
    "fa-alignment",
    title="cos(W2, Bᵀ) against √(PR(a²)/o), and the gradient cosine, for flat and steep tasks",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B4",
)
def alignment(gain: float = 1.7, seed: int = 7) -> tuple:
    """B4: alignment is the participation ratio of the task; a rank-one task stays at 1/√o for ever."""
    t = np.linspace(0.2, 3.0, 15)
    predicted, simulated = [], []
    for strengths in (STRENGTHS, np.full(5, 2.0), np.array([2.0])):
        run = _run(t, gain, seed, strengths)
        a = theory.mode_amplitude(t, run.task.strengths, gain)
        error = run.task.strengths - theory.map_strength(a, gain)
        predicted += [theory.weight_alignment(a, 5), theory.gradient_alignment(a, error)]
        simulated += [run.weight_alignment[:, 0], run.gradient_alignment[:, 0]]
    return predicted, simulated


@claim(
    "fa-decay-shrinkage",
    title="end of FA with weight decay against the root of e + g e³/(wd1² wd2) = s",
    tolerance=1e-10,
    accuracy="closed form",
    reason="approach to the fixed point at half the smaller decay or faster, e^{-30}; the integrator adds 1e-11",
    entry="B8",
)
def shrinkage(decay_lower: float = 0.4, decay_upper: float = 0.25, gain: float = 1.3, seed: int = 8) -> tuple:
    """B8 from generic weights; all modes shrink smoothly, none is cut."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    weights = initial_weights((6, 7, 5), "gaussian", 0.5, seed)
    # Directions without a mode decay at the slower rate alone.
    horizon = 60.0 / min(decay_lower, decay_upper)
    run = simulate(task, weights, feedback, [horizon], weight_decay=[decay_lower, decay_upper], **TIGHT)
    missing = theory.decayed_error(task.strengths, gain, decay_lower, decay_upper)
    return (task.left * (task.strengths - missing)) @ task.right.T, run.map[-1]


@claim(
    "fa-decay-fixed-point",
    title="the matrix cubic T = E + E Eᵀ BᵀB E/(wd1² wd2), and forced alignment, for generic and low-rank B",
    tolerance=1e-10,
    accuracy="closed form",
    reason="approach to the fixed point at half the smaller decay or faster, e^{-30}; the integrator adds 1e-11",
    entry="B8",
)
def cubic(decay_lower: float = 0.4, decay_upper: float = 0.25, seed: int = 8) -> tuple:
    """B8 for B without structure: E from the run must solve the cubic, and 2 wd1 W1W1ᵀ = wd2 (BW2 + (BW2)ᵀ)."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    weights = initial_weights((6, 7, 5), "gaussian", 0.5, seed)
    full = np.random.default_rng(seed).standard_normal((7, 5))
    low = np.random.default_rng(seed).standard_normal((7, 2)) @ np.random.default_rng(seed + 1).standard_normal((2, 5))
    predicted, simulated = [], []
    for b in (full, low):
        horizon = 60.0 / min(decay_lower, decay_upper)
        feedback = FeedbackAlignment([b])
        run = simulate(task, weights, feedback, [horizon], weight_decay=[decay_lower, decay_upper], **TIGHT)
        error, (lower, upper) = run.error_correlation[-1], (w[-1] for w in run.weights)
        predicted += [task.target, 2 * decay_lower * lower @ lower.T]
        carried = b @ upper
        cubed = error @ error.T @ b.T @ b @ error / (decay_lower**2 * decay_upper)
        simulated += [error + cubed, decay_upper * (carried + carried.T)]
    return predicted, simulated
