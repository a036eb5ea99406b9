"""Fixed low-rank feedback from weights that do not start at zero: frozen random features (B5 i, B5 v, B15, B23)."""

from typing import Any

import numpy as np

from linfa._check import integer, real_array, real_number
from linfa.theory.low_rank import row_projector


def frozen_part(lower: Any, q: Any, q_inverse: Any) -> Any:
    """(I − Q Q⁺) W1: the part of the first layer that feedback Q P never moves (B5 i).

    Parameters
    ----------
    lower : W1, (h, i)
    q, q_inverse : Q (h, r) and its pseudo-inverse (r, h)

    Notes
    -----
    Any data, any start, flow and descent. Weight decay shrinks it as e^{−wd t}. Linear hidden units only.

    Examples
    --------
    >>> q = np.array([[1.0], [0.0]])
    >>> frozen_part(np.ones((2, 1)), q, q.T).tolist()
    [[0.0], [1.0]]
    """
    return lower - q @ (q_inverse @ lower)


def mean_recovery(rank: Any, modes: Any, hidden: Any, inputs: Any) -> Any:
    """[r + (d − r)(h − r)/(i − r)]/d: mean recovered part of the modes in the end, from random W1(0) (B15).

    The r driven directions lie among the d modes; the h − r frozen ones are random among the other i − r.

    Parameters
    ----------
    rank, modes, hidden, inputs : r ≤ d ≤ i and r ≤ h ≤ i; numbers, or symbols for a proof

    Raises
    ------
    ValueError
        If numbers are outside these bounds.

    Notes
    -----
    Exact in the mean over isotropic W1(0), for any task; says nothing about how long it takes.

    Examples
    --------
    >>> mean_recovery(2, 4, 5, 8)
    0.75
    """
    if not hasattr(rank, "free_symbols"):
        integer("rank", rank, at_least=0)
        integer("modes", modes, at_least=int(rank), at_most=int(inputs))
        integer("hidden", hidden, at_least=int(rank), at_most=int(inputs))
        if rank == inputs:
            return 1.0
    return (rank + (modes - rank) * (hidden - rank) / (inputs - rank)) / modes


def frozen_recovery(
    target: np.ndarray,
    lower: np.ndarray,
    q: np.ndarray,
    p: np.ndarray,
    updates: int,
    learning_rate: float,
    decay: float = 0.0,
) -> np.ndarray:
    """Π_n (i × i) with W2 W1 ≈ T Π_n after n updates of descent from small weights: what fixed feedback has learned.

    The r driven directions are learned, Π = Π_row(PT). On the others the upper layer reads out the frozen features
    F = (I − Q Q⁺) W1(0) (I − Π), whose singular values f decay with the weights: f_n = (1 − η wd)ⁿ f and

        w_{n+1} = (1 − η wd) w_n + η (1 − w_n f_n) f_n,    opened by w_n f_n ≈ 1 − e^{−f² η n}

    Parameters
    ----------
    target : array (o, i)
    lower : array (h, i), W1(0)
    q, p : arrays (h, r), (r, o)
    updates : int, n
    learning_rate, decay : η, and wd of both layers

    Returns
    -------
    array (i, i), symmetric

    Notes
    -----
    Whitened inputs, W2(0) small, driven modes fast against the frozen ones (B5 v). It says of the published linear
    experiment with fixed feedback what its simulation shows (B23).

    Examples
    --------
    >>> frozen_recovery(np.eye(2), np.zeros((2, 2)), np.eye(2)[:, :1], np.eye(2)[:1], 10, 0.1).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    target, lower = real_array("target", target, 2), real_array("lower", lower, 2)
    q, p = real_array("q", q, 2), real_array("p", p, 2)
    learning_rate = real_number("learning_rate", learning_rate, above=0.0)
    decay = real_number("decay", decay, at_least=0.0)
    driven = row_projector(p @ target)
    features = frozen_part(lower, q, np.linalg.pinv(q))
    _, f, rows = np.linalg.svd(features - features @ driven, full_matrices=False)
    kept, w = 1.0 - learning_rate * decay, np.zeros_like(f)
    for _ in range(integer("updates", updates, at_least=0)):
        w, f = kept * w + learning_rate * (1.0 - w * f) * f, kept * f
    return driven + (rows.T * (w * f)) @ rows
