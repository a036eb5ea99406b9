"""Feedback that follows the weights: what stays, what shrinks, what lags, how fast the loss falls (B9, B17, B18)."""

from typing import Any

from linfa._algebra import transposed
from linfa.metrics import feedback_balance
from linfa.theory.conservation import balancedness_drift


def kolen_pollack_balance(lower: Any, upper: Any, feedback: Any) -> Any:
    """W1 W1ᵀ − W2ᵀ W2 − D W2 − (D W2)ᵀ with D = B − W2ᵀ: conserved by Kolen–Pollack without decay (B9).

    D itself stands still. D = 0 is the balancedness of backprop (A4), large D the law of fixed feedback (B1).

    Parameters
    ----------
    lower, upper, feedback : W1 (h, i), W2 (o, h), B (h, o)

    Notes
    -----
    Any data. Written as W1 W1ᵀ − B W2 − (B W2)ᵀ + W2ᵀ W2, which is the same. Derived here.
    """
    return feedback_balance(lower, upper, feedback) + transposed(upper) @ upper


def kolen_pollack_drift(rate: Any, lower_direction: Any, upper_direction: Any) -> Any:
    """Exact change of `kolen_pollack_balance` in one update of descent: η² (G1 G1ᵀ − G2ᵀ G2) (B9).

    Parameters
    ----------
    rate : η
    lower_direction, upper_direction : G1 (h, i) and G2 (o, h), with W ← W + η G

    Notes
    -----
    The same as for backprop up to its sign, whatever the feedback. Derived here.
    """
    return -balancedness_drift(rate, lower_direction, upper_direction)


def tracking_velocity(difference: Any, upper: Any, p_velocity: Any, decay: Any) -> Any:
    """d/dt (Q − W2ᵀPᵀ) = −wd (Q − W2ᵀPᵀ) − W2ᵀ P'ᵀ: Q catches up with decay, and lags where P moves (B17, B18).

    Parameters
    ----------
    difference : Q − W2ᵀ Pᵀ, (h, r)
    upper : W2, (o, h)
    p_velocity : P', (r, o); zero for fixed P
    decay : wd of Q and of W2

    Notes
    -----
    Kolen–Pollack Q, two layers, any data, any rule for P.
    """
    return -decay * difference - transposed(upper) @ transposed(p_velocity)


def loss_fall(error: Any, lower: Any, upper: Any, p: Any) -> Any:
    """−(E W1ᵀ W1 Eᵀ + W2 W2ᵀ Pᵀ P E Eᵀ): its trace is dL/dt when Q = W2ᵀ Pᵀ tracks perfectly (B18).

    Parameters
    ----------
    error : E, (o, i)
    lower, upper : W1 (h, i), W2 (o, h)
    p : P, (r, o)

    Notes
    -----
    Any data, no decay. The first term is never positive; the second can be where PᵀP does not commute with E Eᵀ.
    """
    above = error @ transposed(lower) @ lower @ transposed(error)
    return -above - upper @ transposed(upper) @ transposed(p) @ p @ error @ transposed(error)
