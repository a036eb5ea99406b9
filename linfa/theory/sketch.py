"""A random P as a random sketch of the task: how much of each mode feedback of rank r recovers (B14).

From small weights W2 W1 → T Π with Π the projector on row(P T) (B5 ii). For a random P this is the randomised
low-rank approximation of numerical linear algebra, and its statistics are those of ridge regression.
"""

from typing import Any

import numpy as np

from linfa._check import integer, real_array
from linfa.theory._assumptions import not_negative


def recovery(s: Any, kappa: Any) -> Any:
    """Recovered part of a mode, s²/(s² + κ), that feedback with a noise floor κ reaches (B14).

    Exact for one draw of P with κ = 1/c, c = gᵀ(Σ_{j≠i} s_j² g_j g_jᵀ)⁻¹ g, g_j = P u_j: by Sherman and Morrison. For a
    Gaussian P all these c lie close to one value, which `sketch_kappa` finds.

    Raises
    ------
    ValueError
        If κ is negative.

    Examples
    --------
    >>> recovery(2.0, 4.0)
    0.5
    """
    not_negative("kappa", kappa)
    return s**2 / (s**2 + kappa)


def _modes(strengths: np.ndarray, rank: int) -> tuple[np.ndarray, int]:
    strengths = real_array("strengths", strengths, 1)
    if (strengths <= 0).any():
        raise ValueError(f"strengths holds {strengths.min():g}; every strength must be positive")
    return strengths, integer("rank", rank, at_least=1, at_most=len(strengths))


def sketch_kappa(strengths: np.ndarray, rank: int) -> float:
    """κ with Σ_i s_i²/(s_i² + κ) = r: what r random channels cannot tell apart (B14).

    Parameters
    ----------
    strengths : array (d,), positive
    rank : int, 1 ≤ r ≤ d; κ = 0 for r = d

    Raises
    ------
    ValueError
        If a strength is not positive or the rank is above the number of modes.

    Examples
    --------
    >>> round(sketch_kappa(np.ones(8), 2), 12)
    3.0
    """
    from scipy.optimize import brentq

    strengths, rank = _modes(strengths, rank)
    if rank == len(strengths):
        return 0.0
    square = strengths**2
    # The sum falls with κ; modes all equal to s would need κ = s²(d/r − 1), so the extreme ones bracket it.
    low, high = (np.log(edge * (len(square) / rank - 1)) for edge in (square.min(), square.max()))
    if high - low < 1e-14:
        return float(np.exp(high))
    return float(np.exp(brentq(lambda x: recovery(strengths, np.exp(x)).sum() - rank, low - 1, high + 1, xtol=1e-14)))


def sketch_recovery(strengths: np.ndarray, rank: int) -> np.ndarray:
    """Mean over random P of the recovered part of every mode, s²/(s² + κ), (d,); the parts add up to r (B14).

    An approximation that is good where no single mode holds most of the strength: within 1 to 7 % for power laws.

    Examples
    --------
    >>> sketch_recovery(np.ones(4), 1).round(12).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    strengths, rank = _modes(strengths, rank)
    return recovery(strengths, sketch_kappa(strengths, rank))


def sketch_loss(strengths: np.ndarray, rank: int) -> float:
    """Mean loss left by random feedback of rank r: ½ Σ s_i² (1 − recovery_i) = ½ κ r (B14).

    Examples
    --------
    >>> round(sketch_loss(np.ones(8), 2), 12)
    3.0
    """
    return 0.5 * sketch_kappa(strengths, rank) * rank


def eckart_young_loss(strengths: np.ndarray, rank: int) -> float:
    """½ Σ_{i>r} s_i²: the least loss of any map of rank r, reached where P spans the r strongest modes (B14).

    Examples
    --------
    >>> eckart_young_loss(np.array([3.0, 2.0, 1.0]), 1)
    2.5
    """
    strengths, rank = _modes(strengths, rank)
    return float(0.5 * np.square(np.sort(strengths)[::-1][rank:]).sum())


def sketch_loss_bound(strengths: np.ndarray, rank: int) -> float:
    """Bound on the mean loss: ½ min_{ρ ≤ r−2} (1 + ρ/(r − ρ − 1)) Σ_{i>ρ} s_i² (B14).

    Parameters
    ----------
    strengths : array (d,), positive
    rank : int, 2 ≤ r ≤ d

    Raises
    ------
    ValueError
        If the rank is below 2, where the bound says nothing.

    Notes
    -----
    For Gaussian P. Source: Halko, Martinsson & Tropp 2011, theorem 10.5.

    Examples
    --------
    >>> sketch_loss_bound(np.array([3.0, 2.0, 1.0]), 2)
    7.0
    """
    strengths, rank = _modes(strengths, rank)
    integer("rank", rank, at_least=2)
    square = np.square(np.sort(strengths)[::-1])
    return float(0.5 * min((1 + k / (rank - k - 1)) * square[k:].sum() for k in range(rank - 1)))
