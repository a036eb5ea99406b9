"""Where low-rank feedback comes to rest, and which of these points backprop would leave (B13, B16)."""

from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, real_array
from linfa._random import orthonormal_columns, stream
from linfa.tasks import LinearTask


def projected_target(target: Any, rows: Any, gram_inverse: Any) -> Any:
    """T Rᵀ (R Rᵀ)⁻¹ R: the target seen through the row space of R (B13, B5 ii).

    Parameters
    ----------
    target : T, (o, i)
    rows : R, (r, i), of full row rank; W1 itself, or P T for what feedback learns from zero weights
    gram_inverse : (R Rᵀ)⁻¹, (r, r)

    Returns
    -------
    matrix (o, i)

    Notes
    -----
    Whitened inputs. `linfa.theory.low_rank.learned_map` computes the same by singular values, for any rank.

    Examples
    --------
    >>> projected_target(np.diag([2.0, 1.0]), np.array([[1.0, 0.0]]), np.eye(1)).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    return target @ transposed(rows) @ gram_inverse @ rows


def learned_top_modes(task: LinearTask, rank: int, hidden: int, seed: int = 0) -> list[np.ndarray]:
    """Balanced weights that have learned exactly the `rank` strongest modes: a point where learning rests (B16).

    W1 = H diag(√s) V_rᵀ,  W2 = U_r diag(√s) Hᵀ,  H (h × r) random with orthonormal columns

    Parameters
    ----------
    task : LinearTask, whitened
    rank, hidden : int
        r ≤ h and r ≤ d.
    seed : int

    Returns
    -------
    list of arrays (h, i), (o, h)

    Raises
    ------
    ValueError
        If the inputs are not whitened, or rank exceeds the modes or the hidden units.

    Examples
    --------
    >>> lower, upper = learned_top_modes(LinearTask(np.diag([2.0, 1.0])), 1, 3)
    >>> (upper @ lower).round(12).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    if not task.whitened:
        raise ValueError("task has correlated inputs; the point is built for whitened ones")
    rank = integer("rank", rank, at_least=0, at_most=len(task.strengths))
    hidden = integer("hidden", hidden, at_least=max(rank, 1))
    frame = orthonormal_columns(stream(seed, "weights", 99), hidden, rank)
    root = np.sqrt(task.strengths[:rank])
    return [(frame * root) @ task.right[:, :rank].T, (task.left[:, :rank] * root) @ frame.T]


def backprop_escape_rate(strengths: np.ndarray, rank: int) -> float:
    """s_{r+1}: the rate at which backprop leaves a point that has learned the r strongest modes (B16).

    Fixed low-rank feedback whose channels are occupied by these modes has no growing direction there at all: the point
    is neutral, neither left exponentially nor attracting.

    Parameters
    ----------
    strengths : array (d,), descending
    rank : int, r < d

    Raises
    ------
    ValueError
        If no mode is left to learn.

    Notes
    -----
    Whitened inputs, a balanced point, and a hidden unit to spare (r < h).

    Examples
    --------
    >>> backprop_escape_rate(np.array([3.0, 2.0, 1.0]), 1)
    2.0
    """
    strengths = real_array("strengths", strengths, 1)
    rank = integer("rank", rank, at_least=0, at_most=len(strengths) - 1)
    return float(np.sort(strengths)[::-1][rank])
