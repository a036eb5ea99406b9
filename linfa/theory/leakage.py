"""Fixed low-rank feedback after its plateau, and networks too narrow for their task (B5 v, B6)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import real_array
from linfa.theory._assumptions import not_negative
from linfa.theory.low_rank import row_projector


def leaked(t: Any, error: Any, rate: Any, xp: ModuleType = np) -> Any:
    """e^{−κ t} E(t₀) q along an eigenvector q of W1ᵀ W1 with eigenvalue κ (B5 v).

    Examples
    --------
    >>> float(leaked(0.0, 2.0, 3.0))
    2.0
    """
    return error * xp.exp(-rate * t)


def leaking_error(t: np.ndarray, error: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """E(t) = E(t₀) exp(−W1ᵀ W1 (t − t₀)) once P E = 0: the feedback is silent, W1 stands, W2 fits what it sees (B5 v).

    Parameters
    ----------
    t : array (T,), times since t₀, ≥ 0
    error, lower : E(t₀) (o, i), W1(t₀) (h, i)

    Returns
    -------
    array (T, o, i)

    Raises
    ------
    ValueError
        If a time is negative or the shapes do not fit.

    Notes
    -----
    Whitened inputs. Exact wherever P E = 0, a condition that the flow preserves. Derived here.

    Examples
    --------
    >>> leaking_error(np.array([0.0]), np.eye(2), np.eye(2))[0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    error, lower = real_array("error", error, 2), real_array("lower", lower, 2)
    if error.shape[1] != lower.shape[1]:
        raise ValueError(f"lower is {lower.shape}; it must be (hidden, {error.shape[1]}), as error is {error.shape}")
    times = real_array("t", t, 1)
    not_negative("t", times)
    rates, directions = np.linalg.eigh(lower.T @ lower)
    kept = leaked(times[:, None, None], error @ directions, np.clip(rates, 0.0, None))
    return kept @ directions.T


def slow_rates(target: np.ndarray, q: np.ndarray, p: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Rates of the slow leak after the plateau, descending: eigenvalues of Π⊥ W_qᵀ W_q Π⊥ (B5 v).

    W_q = (I − Q Q⁺) W1(0) are the random features that learning cannot touch, Π⊥ = I − Π_row(P T). The rates are
    O(h σ₀²) for initial weights of size σ₀, and right up to a relative error O(σ₀²).

    Parameters
    ----------
    target, q, p, lower : T (o, i), Q (h, r), P (r, o), W1(0) (h, i)

    Returns
    -------
    array (min(h − r, i − r),), r the rank of Q P T

    Notes
    -----
    Whitened inputs, Q of full column rank.

    Examples
    --------
    >>> slow_rates(np.eye(2), np.eye(2)[:, :1], np.eye(2)[:1], 0.1 * np.eye(2)).round(12).tolist()
    [0.01]
    """
    lower = real_array("lower", lower, 2)
    frozen = lower - q @ (np.linalg.pinv(q) @ lower)
    learned = row_projector(p @ target)
    frozen = frozen - frozen @ learned
    number = min(len(lower) - q.shape[1], lower.shape[1] - round(np.trace(learned)))
    return np.square(np.linalg.svd(frozen, compute_uv=False)[:number])


def unlearned_energy(unseen: Any, inner: Any) -> Any:
    """T (I − Π) Tᵀ = Nᵀ K N, K = (N (T Tᵀ)⁻¹ Nᵀ)⁻¹: what feedback that misses the rows of N leaves of T (B6).

    Parameters
    ----------
    unseen, inner : N (n, o) with orthonormal rows that span the null space of B, K (n, n)
    """
    return unseen.T @ inner @ unseen


def bottleneck_loss(target: np.ndarray, feedback: np.ndarray) -> float:
    """Excess loss ½ tr[(N (T Tᵀ)⁻¹ Nᵀ)⁻¹] of FA from zero weights in a network with h < o hidden units (B6).

    N has orthonormal rows that span the null space of B, the o − h output directions which the feedback cannot
    report. With one missing direction n the loss is ½/Σ(u_kᵀn)²/s_k²: a harmonic mean of energies, against s_d²/2 at
    best. Feedback that misses the strongest mode alone loses s_1²/2.

    Parameters
    ----------
    target : array (o, i) of rank o
    feedback : array (h, o)

    Raises
    ------
    ValueError
        If T does not have full row rank, or the shapes do not fit.

    Notes
    -----
    Whitened inputs. The same limit as `learned_map`, in closed form; Garg & Vempala 2022 show that FA can be far from
    optimal below the rank of the target. Derived here.

    Examples
    --------
    >>> bottleneck_loss(np.diag([2.0, 1.0]), np.array([[0.0, 1.0]]))
    2.0
    """
    target, feedback = real_array("target", target, 2), real_array("feedback", feedback, 2)
    if feedback.shape[1] != len(target):
        raise ValueError(f"feedback is {feedback.shape}; it must be (hidden, {len(target)})")
    left, strengths, _ = np.linalg.svd(target, full_matrices=False)
    if len(strengths) < len(target) or strengths[-1] <= strengths[0] * max(target.shape) * np.finfo(float).eps:
        raise ValueError(f"target has fewer than {len(target)} modes; it must have full row rank")
    _, values, rows = np.linalg.svd(feedback)
    rank = int((values > values[0] * max(feedback.shape) * np.finfo(float).eps).sum())
    unseen = rows[rank:]
    if len(unseen) == 0:
        return 0.0
    weighted = (unseen @ left) / strengths
    return float(np.trace(unlearned_energy(unseen, np.linalg.inv(weighted @ weighted.T))) / 2)
