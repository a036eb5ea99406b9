"""The sign criterion of ReLU students: a second layer whose signs no symmetry can flip must get them from feedback."""

import math

import numpy as np

from linfa._check import integer, real_array, real_number


def can_learn(carrier: np.ndarray, modes: int) -> bool:
    """Whether at least M entries of F are positive: then a ReLU student of an all-positive teacher learns it.

    A unit with F_i < 0 ends with v_i ≤ 0, which is of no use to a teacher whose M units all have A > 0.

    Parameters
    ----------
    carrier : array (K,)
        F.
    modes : int
        M.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Notes
    -----
    A rule found in simulations, not a theorem. Source: Refinetti, d'Ascoli, Ohana & Goldt 2021.

    Examples
    --------
    >>> can_learn([1.0, -0.5, 0.7], 2), can_learn([1.0, -0.5, 0.7], 3)
    (True, False)
    """
    carrier, modes = real_array("carrier", carrier, 1), integer("modes", modes, at_least=1)
    return bool((carrier > 0).sum() >= modes)


def learning_probability(units: int, modes: int, positive: float = 0.5) -> float:
    """P = Σ_{k=M}^{K} C(K, k) p^k (1 − p)^{K−k}: that independent feedback has M positive entries among K.

    Parameters
    ----------
    units, modes : int
        K and M.
    positive : float
        p, the probability that an entry is positive; ½ for symmetric feedback. A symbol is let through.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Notes
    -----
    Source: Refinetti, d'Ascoli, Ohana & Goldt 2021.

    Examples
    --------
    >>> learning_probability(4, 2)
    0.6875
    """
    units, modes = integer("units", units, at_least=1), integer("modes", modes, at_least=1)
    if not hasattr(positive, "free_symbols"):
        positive = real_number("positive", positive, at_least=0.0, at_most=1.0)
    return sum(math.comb(units, k) * positive**k * (1 - positive) ** (units - k) for k in range(modes, units + 1))
