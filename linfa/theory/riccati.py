"""Backprop from λ-balanced weights: the exact solution of the matrix Riccati equation, in a form that stays accurate.

Source of the solution: Fukumizu 1998; Braun, Dominé, Fitzgerald & Saxe 2022; Dominé et al. 2024 (A5). The propagator
by QR decomposition is linfa's own: the usual form loses all digits at late times.
"""

import numpy as np

from linfa._algebra import transposed
from linfa._check import ascending_times, weight_matrices
from linfa.feedback import Backprop
from linfa.running import resolve_feedback
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory

# Largest |eigenvalue of F| × time in one propagation step; e^{15} leaves half the digits of a column to spare.
_LONGEST = 15.0
# By then 1/t decays have fallen to 1e-6 of a step, and everything else has arrived long since.
_MOST_STEPS = 1_000_000


def balance_of(weights: list[np.ndarray]) -> float:
    """λ with W2ᵀ W2 − W1 W1ᵀ = λ I.

    Raises
    ------
    ValueError
        If the weights are not λ-balanced, or not two matrices.

    Examples
    --------
    >>> balance_of([np.eye(2), 2 * np.eye(2)])
    3.0
    """
    if len(weights) != 2:
        raise ValueError(f"weights has {len(weights)} matrices; the Riccati solution is for two")
    lower, upper = weights
    difference = upper.T @ upper - lower @ lower.T
    balance = float(np.trace(difference) / len(difference))
    size = np.linalg.norm(lower) ** 2 + np.linalg.norm(upper) ** 2
    gap = float(np.linalg.norm(difference - balance * np.eye(len(difference))))
    # Weights drawn to be balanced are so to rounding; 1e-10 keeps the solution's error below that of an integrator.
    if gap > 1e-10 * max(size, 1e-300):
        raise ValueError(
            f"weights are not λ-balanced: W2ᵀ W2 − W1 W1ᵀ differs from {balance:.3g} I by {gap:.3g}; "
            "draw them with kind 'balanced' or 'lambda-balanced'"
        )
    return balance


def propagate(stack: np.ndarray, values: np.ndarray, vectors: np.ndarray, span: float) -> np.ndarray:
    """Y(t + span) from Y(t), exact up to a rotation of the hidden layer, Y Yᵀ being unique.

    With F = Z diag(d) Zᵀ, C = Zᵀ Y, x = d·span and φ = span·expm1(2x)/(2x):

        Y Yᵀ  →  Z e^x C (I + Cᵀ φ C)^{−1} Cᵀ e^x Zᵀ,      Rᵀ R = I + Cᵀ φ C  by QR of [I; √φ C]

    Parameters
    ----------
    stack : array (i + o, h), Y = [W1ᵀ; W2]
    values, vectors : d (i + o,) and Z
    span : float, ≥ 0
    """
    hidden = stack.shape[1]
    steps = max(1.0, np.ceil(np.abs(values).max() * span / _LONGEST))
    x = values * (span / steps)
    ratio = np.where(x == 0.0, 1.0, np.expm1(2.0 * x) / np.where(x == 0.0, 1.0, 2.0 * x))
    root, growth = np.sqrt(span / steps * ratio)[:, None], np.exp(x)[:, None]
    turned = vectors.T @ stack
    made, gram = 0, turned @ turned.T
    while made < steps:
        triangle = np.linalg.qr(np.vstack([np.eye(hidden), root * turned]), mode="r")
        turned = np.linalg.solve(triangle.T, (growth * turned).T).T
        made, before, gram = made + 1, gram, turned @ turned.T
        # A step of 15 e-foldings that changes nothing has arrived; so will all that follow. Directions in which F
        # vanishes fade as 1/t: they stop here once a step changes them by less than the digits that count.
        if np.linalg.norm(gram - before) <= 1e-15 * np.linalg.norm(gram) or made >= _MOST_STEPS:
            break
    return vectors @ turned


def balanced_backprop(task: LinearTask, weights: list[np.ndarray], t: np.ndarray) -> Trajectory:
    """Exact trajectory of two-layer backprop from λ-balanced weights, any sizes, any rank (A5).

    Y = [W1ᵀ; W2] obeys Y' = F Y − ½ Y Yᵀ Y with F = [[−λ/2 I, Tᵀ], [T, λ/2 I]], so X = Y Yᵀ a Riccati equation.

    Parameters
    ----------
    task : LinearTask, whitened
    weights : list of two arrays (h, i), (o, h)
    t : array (T,), ascending, ≥ 0

    Returns
    -------
    Trajectory
        Map, W1ᵀ W1, W2 W2ᵀ and loss are exact. The weights themselves are so up to one rotation of the hidden units,
        W1 → R W1, W2 → W2 Rᵀ, at each time.

    Raises
    ------
    ValueError
        If the inputs are not whitened or the weights not λ-balanced.

    Examples
    --------
    >>> from linfa import LinearTask, initial_weights
    >>> weights = initial_weights((3, 4, 3), kind="balanced", scale=0.1)
    >>> run = balanced_backprop(LinearTask(np.diag([3.0, 2.0, 1.0])), weights, [0.0, 20.0])
    >>> bool(run.loss[-1] < 1e-12)
    True
    """
    resolve_feedback(task, weight_matrices(weights), Backprop())
    if not task.whitened:
        raise ValueError("task has correlated inputs; the Riccati solution is for whitened ones")
    weights = weight_matrices(weights)
    balance = balance_of(weights)
    times = ascending_times(t)
    inputs, outputs = task.inputs, task.outputs
    flow = np.zeros((inputs + outputs, inputs + outputs))
    flow[:inputs, :inputs] = -0.5 * balance * np.eye(inputs)
    flow[inputs:, inputs:] = 0.5 * balance * np.eye(outputs)
    flow[inputs:, :inputs], flow[:inputs, inputs:] = task.target, task.target.T
    values, vectors = np.linalg.eigh(flow)
    stack, now, stacks = np.vstack([weights[0].T, weights[1]]), 0.0, []
    for time in times:
        stack = propagate(stack, values, vectors, float(time - now))
        now = float(time)
        stacks.append(stack)
    saved = np.array(stacks)
    lower, upper = transposed(saved[:, :inputs]), saved[:, inputs:]
    return Trajectory(task, Backprop(), times, [lower, upper], source="theory", settings={"method": "riccati"})
