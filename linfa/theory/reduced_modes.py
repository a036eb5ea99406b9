"""Four numbers for each mode: learning with low-rank feedback whose channel k carries mode k (B22).

    W1 = H diag(a) Vᵀ,   W2 = U diag(w) Hᵀ,   Q = H_r diag(q),   P = diag(p) U_rᵀ

with orthonormal H (h × d) and the modes U, V of the task. The flow of every rule keeps this form, exactly.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linfa._check import choice, integer, real_array, real_number
from linfa.feedback import P_RULES, Q_RULES
from linfa.theory._assumptions import not_negative, not_zero


def mode_velocity(
    a: Any,
    w: Any,
    q: Any,
    p: Any,
    s: Any,
    *,
    q_rule: str = "fixed",
    p_rule: str = "fixed",
    q_rate: Any = 1,
    p_rate: Any = 1,
    decay: Any = 0,
) -> tuple[Any, Any, Any, Any]:
    """a', w', q', p' of one mode, e = s − a w (B22).

    a' = q p e − wd a,    w' = a e − wd w

    ===============  ===============================      ===============  ============================
    ``q_rule``       q' =                                 ``p_rule``       p' =
    ===============  ===============================      ===============  ============================
    fixed            0                                    fixed            0
    kolen-pollack    q_rate a e p − wd q  (local too)     oja-error        p_rate p e² (1 − p²)
    normative        q_rate (w − q p) p                   oja-label        p_rate p s² (1 − p²)
    ..                                                    local            p_rate a e q − wd p
    ..                                                    normative        p_rate (w − q p) q
    ===============  ===============================      ===============  ============================

    Parameters
    ----------
    a, w, q, p, s : numbers, arrays or symbols: mode of W1, of W2, gains of the channel, strength of the task
    q_rule, p_rule : str
    q_rate, p_rate, decay : speeds of Q and P, and wd of all that decays

    Notes
    -----
    Modes without a channel have q = p = 0: a decays, w alone learns. Backprop is q p = w. Whitened inputs.

    Examples
    --------
    >>> mode_velocity(1, 1, 1, 1, 3, q_rule="kolen-pollack")
    (2, 2, 2, 0)
    """
    choice("q_rule", q_rule, Q_RULES)
    choice("p_rule", p_rule, P_RULES)
    not_negative("decay", decay)
    e = s - a * w
    q_velocity = {
        "fixed": 0 * q,
        "kolen-pollack": q_rate * a * e * p - decay * q,
        "normative": q_rate * (w - q * p) * p,
    }
    p_velocity = {
        "fixed": 0 * p,
        "oja-error": p_rate * p * e**2 * (1 - p**2),
        "oja-label": p_rate * p * s**2 * (1 - p**2),
        "local": p_rate * a * e * q - decay * p,
        "normative": p_rate * (w - q * p) * q,
    }
    q_rule = "kolen-pollack" if q_rule == "local" else q_rule
    return q * p * e - decay * a, a * e - decay * w, q_velocity[q_rule], p_velocity[p_rule]


def undriven_amplitude(t: Any, start: Any, lower: Any, s: Any, xp: Any = np) -> Any:
    """w(t) = s/a − (s/a − w(0)) e^{−a²t} of a mode without a channel, without decay: a stands still (B22).

    A mode that no channel carries is learned by the upper layer alone, at the rate a² of its frozen start.

    Parameters
    ----------
    t : time
    start, lower : w(0), and a ≠ 0
    s : strength
    xp : namespace of `exp`

    Examples
    --------
    >>> float(undriven_amplitude(0.0, 0.3, 0.1, 2.0).round(12))
    0.3
    """
    not_negative("t", t)
    not_zero("lower", lower)
    return s / lower - (s / lower - start) * xp.exp(-(lower**2) * t)


def mode_trajectory(
    t: np.ndarray,
    start: Sequence[np.ndarray],
    strengths: np.ndarray,
    rank: int,
    *,
    q_rule: str = "fixed",
    p_rule: str = "fixed",
    q_rate: float = 1.0,
    p_rate: float = 1.0,
    decay: float = 0.0,
) -> np.ndarray:
    """a, w, q, p of every mode over time, (T, 4, d), by integrating `mode_velocity` (B22).

    Parameters
    ----------
    t : array (T,), ascending, ≥ 0; the start is at 0
    start : a, w, q, p at the start, each (d,); q and p of modes beyond the rank are taken as 0
    strengths : array (d,)
    rank : int, number of channels, at most d
    q_rule, p_rule, q_rate, p_rate, decay
        As in `mode_velocity`.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a rule is unknown, or the integration fails.

    Examples
    --------
    >>> found = mode_trajectory([40.0], np.full((4, 1), 0.5), [2.0], 1)
    >>> bool(abs(found[0, 0] * found[0, 1] - 2.0).max() < 1e-6)
    True
    """
    from scipy.integrate import solve_ivp

    t, strengths = real_array("t", t, 1), real_array("strengths", strengths, 1)
    rank = integer("rank", rank, at_least=0, at_most=len(strengths))
    begin = real_array("start", start, 2)
    if begin.shape != (4, len(strengths)):
        raise ValueError(f"start is {begin.shape}; it must be (4, {len(strengths)}): a, w, q, p of every mode")
    rates = {
        "q_rate": real_number("q_rate", q_rate, above=0.0),
        "p_rate": real_number("p_rate", p_rate, above=0.0),
        "decay": real_number("decay", decay, at_least=0.0),
    }
    begin = begin.copy()
    begin[2:, rank:] = 0.0

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        return np.concatenate(mode_velocity(*y.reshape(4, -1), strengths, q_rule=q_rule, p_rule=p_rule, **rates))

    span = (0.0, max(float(t[-1]), np.finfo(float).tiny))
    found = solve_ivp(velocity, span, begin.ravel(), method="DOP853", t_eval=t, rtol=1e-12, atol=1e-14)
    if not found.success:
        raise ValueError(f"start leads to no trajectory up to t = {t[-1]:g}: {found.message}")
    return found.y.T.reshape(len(t), 4, -1)
