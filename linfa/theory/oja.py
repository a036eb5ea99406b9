"""Feedback that chooses its subspace by Oja's rule: where P goes, and when it leaves a mode for another (B19, B20)."""

from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, real_array, real_number, symmetric
from linfa.theory._assumptions import not_negative, not_zero

# Largest growth exponent η λ₁ t of one step; e^{8} leaves most digits of the weakest row of P e^{ηSt}.
_LONGEST = 8.0


def grown_projector(grown: Any, weight: Any) -> Any:
    """Pᵀ P = Fᵀ K F under Oja's rule with constant S (B19).

    F = P(0) e^{ηSt},   K = (I − P(0) P(0)ᵀ + F Fᵀ)⁻¹

    Parameters
    ----------
    grown : F, (r, o)
    weight : K, (r, r)

    Notes
    -----
    P' = η P S (I − PᵀP) makes X = PᵀP obey the Riccati equation X' = η (S X + X S − 2 X S X), which this solves for any
    start. Source of the solution: Yan, Helmke & Moore 1994; of the rule: Oja 1989.
    """
    return transposed(grown) @ weight @ grown


def oja_projector(p: np.ndarray, correlation: np.ndarray, rate: float, t: np.ndarray) -> np.ndarray:
    """PᵀP over time under Oja's rule with constant S, (T, o, o): a projector that turns to the top of S (B19).

    Parameters
    ----------
    p : array (r, o), P(0), not necessarily with orthonormal rows
    correlation : array (o, o), S: label correlations for ``oja-label``
    rate : float, η ≥ 0
    t : array (T,), ascending, ≥ 0

    Returns
    -------
    array (T, o, o)

    Raises
    ------
    ValueError
        If shapes do not fit, S is not symmetric and positive semidefinite, or a time is negative or out of order.

    Notes
    -----
    The subspace closes in on the r strongest eigenvectors of S as e^{−η(λ_r − λ_{r+1})t}. See `grown_projector`.

    Examples
    --------
    >>> oja_projector(np.array([[0.6, 0.8]]), np.diag([2.0, 1.0]), 1.0, [40.0]).round(9).tolist()
    [[[1.0, 0.0], [0.0, 0.0]]]
    """
    p, t = real_array("p", p, 2), real_array("t", t, 1)
    correlation = symmetric("correlation", correlation, size=p.shape[1])
    rate = real_number("rate", rate, at_least=0.0)
    if t[0] < 0 or (np.diff(t) < 0).any():
        raise ValueError(f"t is {t.tolist()}; times must ascend from 0 or later")
    values, vectors = np.linalg.eigh(correlation)
    rows, now, found = p @ vectors, 0.0, []
    for time in t:
        steps = max(1, int(np.ceil(rate * values[-1] * (time - now) / _LONGEST)))
        growth = np.exp(rate * values * (time - now) / steps)
        for _ in range(steps):
            grown = rows * growth
            weight = np.linalg.inv(np.eye(len(rows)) - rows @ rows.T + grown @ grown.T)
            # A root of K times F stands for P from here on: only PᵀP is asked for.
            rows = np.linalg.cholesky(weight).T @ grown
        now = float(time)
        found.append(vectors @ grown_projector(grown, weight) @ vectors.T)
    return np.array(found)


def signal_velocity(signal: Any, error: Any, lower: Any, returned: Any, rate: Any) -> Any:
    """Z' = η Z (EᵀE − ZᵀZ) − Z W1ᵀW1 − (P W2 Q) Z: how the projected error Z = P E moves, exactly (B20).

    Parameters
    ----------
    signal : Z = P E, (r, i)
    error : E, (o, i)
    lower : W1, (h, i)
    returned : P W2 Q, (r, r)
    rate : η of Oja's rule on the error

    Notes
    -----
    Whitened inputs, no decay, any rule for Q. Oja's rule multiplies the signal, learning removes it: once P E = 0 the
    channel hears nothing, and stays where it is unless the first term wins. Derived here.
    """
    heard = transposed(error) @ error - transposed(signal) @ signal
    return rate * signal @ heard - signal @ transposed(lower) @ lower - returned @ signal


def escape_rate(rate: Any, candidate: Any, occupied: Any) -> Any:
    """η s_j² − σ₂²: growth rate of the signal with which a channel leaves mode i for an unlearned mode j (B20).

    Parameters
    ----------
    rate : η of Oja's rule on the error
    candidate : s_j, strength of the unlearned mode
    occupied : σ₂, singular value of W2 on the mode i that the channel has learned; √s_i for balanced weights

    Notes
    -----
    Whitened inputs, Q tracking W2ᵀPᵀ. Negative: the channel is frozen, with the rest of the task unlearned.

    Raises
    ------
    ValueError
        If η is negative.

    Examples
    --------
    >>> escape_rate(1.0, 2.0, 1.0)
    3.0
    """
    not_negative("rate", rate)
    return rate * candidate**2 - occupied**2


def escape_threshold(candidate: Any, occupied: Any) -> Any:
    """η* = σ₂²/s_j², above which a channel leaves its mode; s_i/s_j² for balanced weights (B20).

    What matters is the speed of P relative to that of the weights.

    Raises
    ------
    ValueError
        If a candidate has no strength.

    Examples
    --------
    >>> escape_threshold(2.0, 1.0)
    0.25
    """
    not_zero("candidate", candidate)
    return occupied**2 / candidate**2


def deflated_modes(strengths: np.ndarray, rank: int, rate: float) -> int:
    """How many modes r channels learn one after another before they freeze, from small weights (B19, B20).

    The channels first learn the r strongest modes. The weakest one held, i, is left for the next, j = i + 1, as long as
    η s_j² > s_i: a walk down the spectrum that leaves learned modes behind.

    Parameters
    ----------
    strengths : array (d,), positive
    rank : int, 1 ≤ r ≤ d
    rate : η > 0 of Oja's rule on the error; also fast enough to find the strongest error before it is learned

    Returns
    -------
    int, between r and d

    Notes
    -----
    Whitened inputs, balanced small weights, Q that tracks W2ᵀPᵀ at once. A Q that follows by its decay alone lags
    behind a turning P (`linfa.theory.tracking.tracking_velocity`), and the walk stops early. Derived here.

    Examples
    --------
    >>> deflated_modes(np.array([4.0, 3.0, 2.0, 1.0]), 1, 1.0), deflated_modes(np.array([4.0, 3.0, 2.0, 1.0]), 1, 3.0)
    (3, 4)
    """
    strengths = np.sort(real_array("strengths", strengths, 1))[::-1]
    if strengths[-1] <= 0:
        raise ValueError(f"strengths holds {strengths[-1]:g}; every strength must be positive")
    rate = real_number("rate", rate, above=0.0)
    learned = integer("rank", rank, at_least=1, at_most=len(strengths))
    while learned < len(strengths) and rate > escape_threshold(strengths[learned], np.sqrt(strengths[learned - 1])):
        learned += 1
    return learned
