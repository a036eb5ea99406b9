"""Backprop from λ-balanced weights: the exact solution of the matrix Riccati equation, in a form that stays accurate.

Source of the solution: Fukumizu 1998; Braun, Dominé, Fitzgerald & Saxe 2022; Dominé et al. 2024 (A5). The propagator
by QR decomposition is linfa's own: the usual form loses all digits at late times.
"""

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dtrtri

from linfa._algebra import transposed
from linfa._check import ascending_times, weight_matrices
from linfa._threads import single_threaded_blas
from linfa.feedback import Backprop
from linfa.running import resolve_feedback
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory

# Largest |eigenvalue of F| × time in one propagation step; e^{15} leaves half the digits of a column to spare.
_LONGEST = 15.0
# Mean eigenvalue of I + Cᵀ φ C up to which its Cholesky factor keeps all digits but two.
_WELL_CONDITIONED = 10.0
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


def propagate(stack: np.ndarray, values: np.ndarray, span: float) -> np.ndarray:
    """C(t + span) from C(t), exact up to a rotation of the hidden layer, C Cᵀ being unique.

    In the frame of F = Z diag(d) Zᵀ, with C = Zᵀ Y, x = d·span and φ = span·expm1(2x)/(2x):

        C Cᵀ  →  e^x C (I + Cᵀ φ C)^{−1} Cᵀ e^x,      Rᵀ R = I + Cᵀ φ C

    Parameters
    ----------
    stack : array (i + o, h)
        C, the stack Y = [W1ᵀ; W2] in that frame.
    values : array (i + o,)
        d.
    span : float, ≥ 0

    Examples
    --------
    >>> bool(abs(propagate(np.array([[0.1]]), np.array([2.0]), 50.0)[0, 0] ** 2 - 4.0) < 1e-12)
    True
    """
    steps = max(1.0, np.ceil(np.abs(values).max() * span / _LONGEST))
    x = values * (span / steps)
    ratio = np.where(x == 0.0, 1.0, np.expm1(2.0 * x) / np.where(x == 0.0, 1.0, 2.0 * x))
    root, growth = np.sqrt(span / steps * ratio)[:, None], np.exp(x)[:, None]
    made, gram = 0, None
    while made < steps:
        stack = _divided(growth * stack, root * stack)
        made += 1
        if made == steps:
            break
        # A step of 15 e-foldings that changes nothing has arrived; so will all that follow. Directions in which F
        # vanishes fade as 1/t: they stop here once a step changes them by less than the digits that count.
        before, gram = gram, stack @ stack.T
        arrived = before is not None and np.linalg.norm(gram - before) <= 1e-15 * np.linalg.norm(gram)
        if arrived or made >= _MOST_STEPS:
            break
    return stack


def _divided(grown: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    """A R^{−1} with Rᵀ R = I + Vᵀ V."""
    squares = dsyrk(1.0, weighted.T)
    squares.flat[:: len(squares) + 1] += 1.0
    # The trace bounds the condition of a matrix whose eigenvalues are 1 at least, and with it the digits lost.
    if np.trace(squares) < _WELL_CONDITIONED * len(squares):
        # A product with the inverse takes half the time of solving, and is as good where the condition is.
        inverse, failed = dtrtri(dpotrf(squares)[0])
        if not failed:
            return grown @ inverse
    # Without squares nothing is lost: R from [I; V] itself.
    triangle = np.linalg.qr(np.vstack([np.eye(weighted.shape[1]), weighted]), mode="r")
    return np.linalg.solve(triangle.T, grown.T).T


class _Frame:
    """Eigenvalues d and eigenvectors Z of F = [[−λ/2 I, Tᵀ], [T, λ/2 I]] by the modes of the task, T r = s l.

    Each mode turns (r, 0) and (0, l) into each other, with eigenvalues ∓√(s² + λ²/4); all else stands alone. So Z is a
    rotation in the plane of each mode and a change to its vectors on either side, half the products of a full matrix.
    """

    def __init__(self, target: np.ndarray, balance: float) -> None:
        self.left, strengths, right = np.linalg.svd(target)
        self.right, half, count = right.T, 0.5 * balance, len(strengths)
        inputs, outputs = len(self.right), len(self.left)
        self.values = np.concatenate([np.full(inputs, -half), np.full(outputs, half)])
        self._low, self._high, self._inputs = slice(0, count), slice(inputs, inputs + count), inputs
        size = np.hypot(strengths, half)
        self.values[self._low], self.values[self._high] = -size, size
        # tan 2θ = 2s/λ.
        angle = 0.5 * np.arctan2(strengths, half)
        self._cosine, self._sine = np.cos(angle)[:, None], np.sin(angle)[:, None]

    def into(self, stack: np.ndarray) -> np.ndarray:
        """Zᵀ Y."""
        turned = np.vstack([self.right.T @ stack[: self._inputs], self.left.T @ stack[self._inputs :]])
        low, high = turned[self._low].copy(), turned[self._high].copy()
        turned[self._low] = self._cosine * low - self._sine * high
        turned[self._high] = self._sine * low + self._cosine * high
        return turned

    def by_modes(self, stack: np.ndarray, out: np.ndarray) -> None:
        """Z C but for the vectors of the modes: only the planes are turned back."""
        out[:] = stack
        low, high = stack[self._low], stack[self._high]
        out[self._low] = self._cosine * low + self._sine * high
        out[self._high] = self._cosine * high - self._sine * low


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
    frame = _Frame(task.target, balance)
    with single_threaded_blas():
        stack, now = frame.into(np.vstack([weights[0].T, weights[1]])), 0.0
        stacks = np.empty((len(times), *stack.shape))
        for k, time in enumerate(times):
            stack, now = propagate(stack, frame.values, float(time - now)), float(time)
            frame.by_modes(stack, stacks[k])
        lower, upper = frame.right @ stacks[:, : task.inputs], frame.left @ stacks[:, task.inputs :]
    lower = transposed(lower)
    return Trajectory(task, Backprop(), times, [lower, upper], source="theory", settings={"method": "riccati"})
