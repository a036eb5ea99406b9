"""Backprop in deep linear networks: how fast each mode of the task is learned (A1, A2, A8).

All functions are closed forms of plain numbers or arrays. Those with an argument `xp` are evaluated by NumPy and
proved by SymPy, whose namespaces agree in the names they use.
"""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import integer, real_array


def logistic_strength(t: Any, s: Any, start: Any, variance: Any = 1, xp: ModuleType = np) -> Any:
    """Strength u(t) of one mode in a two-layer network, balanced and aligned (A1).

    u(t) = (s/d) / (1 + (s/(d u₀) − 1) e^{−2st}),  the solution of  u' = 2u (s − d u)

    Parameters
    ----------
    t : time, with unit time constant
    s : strength of the mode in Σyx, > 0
    start : u₀ > 0
    variance : variance d of the input along the mode; Σx must commute with ΣyxᵀΣyx
    xp : namespace of `exp`

    Notes
    -----
    Assumes aligned and balanced weights, W1 = R diag(√u₀) Vᵀ, W2 = U diag(√u₀) Rᵀ. The fixed point is s/d.
    Source: Saxe, McClelland & Ganguli 2013.

    Examples
    --------
    >>> round(float(logistic_strength(0.0, 2.0, 0.5)), 12)
    0.5
    """
    end = s / variance
    return end / (1 + (end / start - 1) * xp.exp(-2 * s * t))


def depth_velocity(u: Any, s: Any, depth: Any) -> Any:
    """u' = L u^{2−2/L} (s − u): one mode in a balanced, aligned network of L weight matrices (A2).

    Source: Saxe, McClelland & Ganguli 2013.

    Examples
    --------
    >>> float(depth_velocity(0.25, 1.0, 2))
    0.375
    """
    # An exact exponent for SymPy: 2 − 2/L as a ratio of integers wherever L is one.
    return depth * u ** ((2 * depth - 2) / _same_kind(depth, u)) * (s - u)


def _same_kind(depth: Any, like: Any) -> Any:
    """`depth`, as a SymPy number when `like` is symbolic, so that quotients stay exact."""
    return depth * like / like if hasattr(like, "free_symbols") else depth


def depth_time(u: Any, s: Any, depth: int, xp: ModuleType = np) -> Any:
    """Time at which a mode reaches strength u, up to a constant: t(u₀ → u) = F(u) − F(u₀) (A2).

    - L = 2: F = ln(u/(s − u))/(2s)
    - L = 3: F = [−1/c + (−ln(q − c)/3 + ln(c² + cq + q²)/6 − atan((2c + q)/(√3 q))/√3)/q]/s, c = u^{1/3}, q = s^{1/3}
    - L = 4: F = [2 s^{−3/2} artanh √(u/s) − 2/(s√u)]/4
    - L ≥ 5: F = [c^{2−L}/(2 − L) + c² ₂F₁(1, 2/L; 1 + 2/L; u/s)/(2s)]/s, c = u^{1/L}  (numbers only)

    Parameters
    ----------
    u, s : strengths, 0 < u < s
    depth : int
        Number of weight matrices L ≥ 2.
    xp : namespace of `log`, `sqrt`, `atan`, `atanh`, `cbrt`

    Raises
    ------
    ValueError, TypeError
        If the depth is below 2 or no integer.

    Notes
    -----
    Assumes whitened inputs, aligned and balanced layers a_l = u^{1/L}. Source: Saxe et al. 2013 for L = 2 and ∞; the
    others by partial fractions.

    Examples
    --------
    >>> round(float(depth_time(0.5, 1.0, 2)), 12)
    0.0
    """
    depth = integer("depth", depth, at_least=2)
    if depth == 2:
        return xp.log(u / (s - u)) / (2 * s)
    if depth == 3:
        c, q, root = xp.cbrt(u), xp.cbrt(s), xp.sqrt(3)
        inner = -xp.log(q - c) / 3 + xp.log(c**2 + c * q + q**2) / 6 - xp.atan((2 * c + q) / (root * q)) / root
        return (-1 / c + inner / q) / s
    if depth == 4:
        return (2 * xp.atanh(xp.sqrt(u / s)) / (s * xp.sqrt(s)) - 2 / (s * xp.sqrt(u))) / 4
    from scipy.special import hyp2f1

    c = u ** (1 / depth)
    tail = hyp2f1(1.0, 2 / depth, 1 + 2 / depth, u / s)
    return (c ** (2 - depth) / (2 - depth) + c**2 * tail / (2 * s)) / s


def depth_strength(t: np.ndarray, s: float, start: float, depth: int) -> np.ndarray:
    """Strength u(t) of one mode in a balanced, aligned network of L weight matrices: the inverse of `depth_time`.

    Parameters
    ----------
    t : array (T,), times ≥ 0
    s, start : float
        Strengths, 0 < start < s.
    depth : int
        L ≥ 2.

    Returns
    -------
    array (T,)

    Raises
    ------
    ValueError
        If `start` lies outside (0, s): no closed form is claimed there.

    Examples
    --------
    >>> depth_strength(np.array([0.0]), 2.0, 0.1, 3).round(12).tolist()
    [0.1]
    """
    if not 0.0 < start < s:
        raise ValueError(f"start is {start:g}; it must lie between 0 and the strength s = {s:g}")
    t = real_array("t", t, (0, 1))
    if (t < 0).any():
        raise ValueError(f"t holds {t.min():g}; times must not be negative")
    if integer("depth", depth, at_least=2) == 2:
        return logistic_strength(t, s, start)
    goal = t + depth_time(start, s, depth)
    # Bisection on the logit of u/s, in which F is monotone and resolved at both ends; 200 halvings reach rounding.
    low, high = np.full(t.shape, np.log(start / (s - start))), np.full(t.shape, 36.0)
    for _ in range(200):
        middle = 0.5 * (low + high)
        # Where u rounds to s the time is infinite, which is later than any goal.
        with np.errstate(divide="ignore"):
            late = depth_time(s / (1.0 + np.exp(-middle)), s, depth) > goal
        low, high = np.where(late, low, middle), np.where(late, middle, high)
        if np.all(high - low <= 1e-15 * np.maximum(1.0, np.abs(middle))):
            break
    return s / (1.0 + np.exp(-0.5 * (low + high)))


def soft_threshold(s: Any, decay: Any, xp: ModuleType = np) -> Any:
    """Mode strength at which backprop with weight decay ends, (s − wd)₊ (A8).

    The minimum of ½‖T − W2 W1‖² + (wd/2)(‖W1‖² + ‖W2‖²) shrinks singular values by wd: nuclear-norm shrinkage.

    Parameters
    ----------
    s, decay : strength and weight decay of both layers
    xp : namespace of `maximum` (NumPy) or `Max` (SymPy)

    Notes
    -----
    Assumes two layers, whitened inputs, a generic start, and hidden units enough for the modes kept.
    Source: Srebro, Rennie & Jaakkola 2004.

    Examples
    --------
    >>> soft_threshold(np.array([3.0, 0.2]), 0.5).tolist()
    [2.5, 0.0]
    """
    larger = xp.maximum if hasattr(xp, "maximum") and not hasattr(xp, "Max") else xp.Max
    return larger(s - decay, 0)
