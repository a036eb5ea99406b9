"""Claims about the largest learning rates: A7, B7."""

import numpy as np

from linfa.claims.register import claim
from linfa.feedback import Backprop, FeedbackAlignment
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.feedback_alignment import mode_amplitude_end
from linfa.theory.low_rank import low_rank_weights
from linfa.theory.stability import (
    backprop_max_rate,
    backprop_two_cycle,
    error_spectrum,
    feedback_alignment_late_rate,
    feedback_alignment_max_rate,
    max_rate,
)
from linfa.trajectory import Trajectory

STRENGTHS = np.array([3.0, 2.0, 1.0])
# Relative distance from the fixed point at which its linear neighbourhood is measured, on either side.
NUDGE = 1e-6


def _growth(above: Trajectory, below: Trajectory) -> np.ndarray:
    """Growth of a small error in the strongest mode, from starts on either side: their curvature cancels."""
    error = below.mode_strengths[:, 0] - above.mode_strengths[:, 0]
    return error / error[0]


def _solution(seed: int) -> tuple[LinearTask, FeedbackAlignment, list[np.ndarray]]:
    """The point that FA with BᵀB = g I reaches from zero weights, for g = 1.3."""
    task = LinearTask.from_modes(STRENGTHS, inputs=5, outputs=4, seed=seed)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(1.3)), draw="orthonormal")
    b = feedback.resolve((5, 6, 4)).matrices["b"][0]
    # By t = 10⁴ every mode has risen to the last bit.
    lower, upper = low_rank_weights(task.target, b, np.eye(4), np.array([1e4]), 1.3)
    return task, feedback, [lower[0], upper[0]]


@claim(
    "backprop-max-rate",
    title="growth of a small error per update at 0.98 and 1.02 of η_max, depth 2 to 4",
    tolerance=1e-8,
    accuracy="closed form",
    reason="starts 1e-6 on either side of the solution: rounding over the nudge is 1e-10, third-order terms less",
    entry="A7",
)
def backprop_rate(fraction_below: float = 0.98, fraction_above: float = 1.02, seed: int = 14) -> tuple:
    """A7: the error in the strongest mode is multiplied by 1 − 2η/η_max in every update."""
    predicted, simulated = [], []
    for depth in (2, 3, 4):
        task = LinearTask.from_modes(STRENGTHS, inputs=5, outputs=4, seed=seed)
        sides = [
            initial_weights(
                (5, *(6,) * (depth - 1), 4), "aligned", (task.strengths * (1 + nudge)) ** (1 / depth), seed, task=task
            )
            for nudge in (NUDGE, -NUDGE)
        ]
        for fraction in (fraction_below, fraction_above):
            rate = fraction * backprop_max_rate(STRENGTHS[0], depth)
            runs = [simulate(task, w, Backprop(), np.arange(21), learning_rate=float(rate)) for w in sides]
            predicted.append((1 - 2 * fraction) ** np.arange(21))
            simulated.append(_growth(*runs))
    return predicted, simulated


@claim(
    "backprop-two-cycle",
    title="descent from 1 % off: to the solution at 0.98 η_max, to the predicted two-cycle above",
    tolerance=1e-10,
    accuracy="closed form",
    reason="20,000 updates contract every mode to rounding, except where |1 − ηz| = 0.96, far below it by then",
    entry="A7",
)
def two_cycle(fraction: float = 1.02, seed: int = 14) -> tuple:
    """A7: above η_max backprop does not diverge; the strongest mode swings between a² and b² with ab = 1/η."""
    task = LinearTask.from_modes(STRENGTHS, inputs=5, outputs=4, seed=seed)
    weights = initial_weights((5, 6, 4), "aligned", np.sqrt(task.strengths * 1.01), seed, task=task)
    top = backprop_max_rate(STRENGTHS[0])
    below = simulate(task, weights, Backprop(), [20_000], learning_rate=float(0.98 * top))
    above = simulate(task, weights, Backprop(), [20_000, 20_001], learning_rate=float(fraction * top))
    a, b = backprop_two_cycle(STRENGTHS[0], fraction * top)
    return [task.strengths, np.array([a**2, b**2])], [
        below.mode_strengths[-1],
        np.sort(above.mode_strengths[:, 0])[::-1],
    ]


@claim(
    "fa-max-rate",
    title="growth of a small error per update at 0.98 and 1.02 of η_max under FA",
    tolerance=1e-8,
    accuracy="closed form",
    reason="starts 1e-6 on either side of the solution: rounding over the nudge is 1e-10, third-order terms less",
    entry="B7",
)
def alignment_rate(fraction_below: float = 0.98, fraction_above: float = 1.02, seed: int = 15) -> tuple:
    """B7 at the solution reached from zero weights: factor 1 − 2η/η_max in every update."""
    task, feedback, weights = _solution(seed)
    end = mode_amplitude_end(task.strengths[0], 1.3)
    top = np.outer(feedback.resolve((5, 6, 4)).matrices["b"][0] @ task.left[:, 0], task.right[:, 0])
    sides = [[weights[0] + nudge * end * top, weights[1]] for nudge in (NUDGE, -NUDGE)]
    predicted, simulated = [], []
    for fraction in (fraction_below, fraction_above):
        rate = fraction * feedback_alignment_max_rate(STRENGTHS[0], 1.3)
        runs = [simulate(task, w, feedback, np.arange(21), learning_rate=float(rate)) for w in sides]
        predicted.append((1 - 2 * fraction) ** np.arange(21))
        simulated.append(_growth(*runs))
    return predicted, simulated


@claim(
    "fa-max-rate-converges",
    title="descent of FA from 1 % off: loss at 0.98 η_max reaches zero; at 1.02 it has left by a factor above 100",
    tolerance=1e-12,
    accuracy="closed form",
    reason="a statement of yes and no; the loss below is 0.96^{2·2000} of its start, zero to rounding",
    entry="B7",
)
def alignment_converges(fraction_below: float = 0.98, fraction_above: float = 1.02, seed: int = 15) -> tuple:
    """B7: unlike backprop, FA leaves its solution altogether above η_max."""
    task, feedback, weights = _solution(seed)
    nudged = [weights[0] * 1.01, weights[1]]
    top = float(feedback_alignment_max_rate(STRENGTHS[0], 1.3))
    below = simulate(task, nudged, feedback, [0, 2000], learning_rate=fraction_below * top)
    above = simulate(task, nudged, feedback, [0, 60], learning_rate=fraction_above * top)
    left = float(above.loss[-1] > 100.0 * above.loss[0])
    return [0.0, 1.0], [below.loss[-1] / below.loss[0], left]


@claim(
    "fa-error-spectrum",
    title="decay rates of small errors under FA against eigenvalues λ_j(W1ᵀW1) + μ_k(W2B)",
    tolerance=1e-7,
    accuracy="closed form",
    reason="differences of one small update: rounding 1e-16 over nudge × rate = 1e-8, in every entry of the operator",
    entry="B7",
)
def spectrum(seed: int = 15) -> tuple:
    """B7: the error operator read off the core, one entry of E at a time, against the Kronecker sum."""
    task, feedback, weights = _solution(seed)
    carrier = feedback.resolve((5, 6, 4)).matrices["b"][0]
    lower, upper = weights
    outputs, inputs = task.outputs, task.inputs
    operator = np.empty((outputs * inputs, outputs * inputs))
    for k in range(outputs * inputs):
        # Shift the target, not the weights: E becomes one entry, everything else stands.
        nudge = np.zeros(outputs * inputs)
        nudge[k] = 1e-4
        columns = []
        for sign in (1.0, -1.0):
            shifted = LinearTask(task.target + sign * nudge.reshape(outputs, inputs))
            run = simulate(shifted, [lower, upper], feedback, [0, 1], learning_rate=1e-4)
            columns.append(-(run.error_correlation[1] - run.error_correlation[0]).ravel() / 1e-4)
        operator[:, k] = (columns[0] - columns[1]) / 2e-4
    measured = np.linalg.eigvals(operator)
    predicted = error_spectrum(lower, upper, carrier)
    order = np.argsort(predicted.real)
    late = feedback_alignment_late_rate(task.strengths, 1.3)
    top = max_rate(predicted[predicted.real > 1e-9])
    return [predicted[order].real, late.max(), feedback_alignment_max_rate(STRENGTHS[0], 1.3)], [
        np.sort(measured.real),
        predicted.real.max(),
        top,
    ]
