"""Feedback alignment from zero weights, exactly: modes, times, alignment, shrinkage (B2–B4, B8).

With BᵀB = g I and whitened inputs, for any target T = U diag(s) Vᵀ,

    W1 = B U diag(a) Vᵀ,   W2 = ½ U diag(a²) Uᵀ Bᵀ,   W2 W1 = U diag(g a³/2) Vᵀ,   a' = s − g a³/2.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory.alignment_laws import alignment_of_moments, gradient_alignment_of_moments

# Beyond y = −ln(1 − z) = 36 a mode has risen to z = 1, to the last bit.
_RISEN = 36.0


def mode_amplitude_end(s: Any, gain: Any, xp: ModuleType = np) -> Any:
    """a* = (2s/g)^{1/3}, at which the mode is learned (B4).

    Examples
    --------
    >>> round(float(mode_amplitude_end(4.0, 1.0)), 12)
    2.0
    """
    return xp.cbrt(2 * s / gain)


def map_strength(a: Any, gain: Any) -> Any:
    """u = g a³/2, the strength of the map in a mode whose amplitude in W1 = B A is a (B4)."""
    return gain * a**3 / 2


def rise_time(z: Any, xp: ModuleType = np) -> Any:
    """Scaled time τ(z) at which a mode has risen to the fraction z = a/a* of its end (B4): t = (a*/s) τ(a/a*).

    τ(z) = −ln(1 − z)/3 + ln(1 + z + z²)/6 + atan(√3 z/(2 + z))/√3,     dτ/dz = 1/(1 − z³)

    Parameters
    ----------
    z : fraction, 0 ≤ z < 1
    xp : namespace of `log`, `atan`, `sqrt`

    Notes
    -----
    Assumes zero initial weights, whitened inputs and BᵀB = g I. Derived in the theory of zero-initialised FA.

    Examples
    --------
    >>> float(rise_time(0.0))
    0.0
    """
    root = xp.sqrt(3)
    return -xp.log(1 - z) / 3 + xp.log(1 + z + z**2) / 6 + xp.atan(root * z / (2 + z)) / root


def risen_fraction(scaled_time: np.ndarray, power: int = 3, rise: Callable | None = None) -> np.ndarray:
    """z with τ(z) = scaled_time, for dτ/dz = 1/(1 − zⁿ) and times ≥ 0: the inverse of `rise_time`, where n = 3.

    Newton's method in y = −ln(1 − z), in which τ is concave with slopes between 1 and 1/n, so that it converges
    from below for every time.

    Parameters
    ----------
    scaled_time : array
    power : int
        n, by default that of two layers.
    rise : callable
        τ; by default `rise_time`.

    Raises
    ------
    ValueError
        If a time is negative.

    Examples
    --------
    >>> risen_fraction(rise_time(np.array([0.0, 0.5]))).round(14).tolist()
    [0.0, 0.5]
    """
    rise = rise_time if rise is None else rise
    goal = np.asarray(scaled_time, dtype=float)
    if (goal < 0).any():
        raise ValueError(f"scaled_time holds {goal.min():g}; it must not be negative")
    y = np.minimum(goal, _RISEN)
    for _ in range(100):
        # The last number below 1 stands for all that rounds to 1, where τ is infinite.
        z = np.minimum(-np.expm1(-y), 1 - 2e-16)
        slope = 1.0 / sum(z**k for k in range(power))
        change = (goal - rise(z)) / slope
        y = np.clip(y + change, 0.0, _RISEN)
        if np.all(np.abs(change) <= 1e-15 * np.maximum(y, 1e-300)):
            break
    return np.where(y >= _RISEN, 1.0, -np.expm1(-y))


def mode_amplitude(t: np.ndarray, s: np.ndarray, gain: float) -> np.ndarray:
    """a(t) of modes with strengths s under a' = s − g a³/2 from a(0) = 0 (B4).

    Parameters
    ----------
    t : array (T,), times ≥ 0
    s : array (d,), strengths > 0
    gain : float, g > 0

    Returns
    -------
    array (T, d)

    Examples
    --------
    >>> mode_amplitude(np.array([0.0, 1e3]), np.array([4.0]), 1.0).round(12).ravel().tolist()
    [0.0, 2.0]
    """
    t, s = np.asarray(t, dtype=float)[:, None], np.asarray(s, dtype=float)[None, :]
    end = mode_amplitude_end(s, gain)
    return end * risen_fraction(t * s / end)


def half_time(s: Any, gain: Any, xp: ModuleType = np) -> Any:
    """Time at which the map has reached s/2 in a mode: τ(2^{−1/3}) (2/(g s²))^{1/3} ≈ 0.937707 (2/(g s²))^{1/3} (B4).

    It scales as s^{−2/3} and does not depend on the size of small initial weights; backprop's is ln(1/ε)/s.

    Examples
    --------
    >>> round(float(half_time(1.0, 2.0)), 12)
    0.937706990575
    """
    return rise_time(1 / xp.cbrt(2), xp) * xp.cbrt(2 / (gain * s**2))


def weight_alignment(a: Any, outputs: int) -> Any:
    """cos(W2, Bᵀ) = √(PR(a²)/o), PR(p) = (Σp)²/Σp²: alignment is the task's participation ratio in disguise (B4).

    Parameters
    ----------
    a : array (..., d), amplitudes of the modes
    outputs : int, o

    Returns
    -------
    array (...); NaN where all amplitudes are zero.

    Examples
    --------
    >>> float(weight_alignment(np.array([1.0, 1.0]), 8))
    0.5
    """
    energy = np.square(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return alignment_of_moments(energy.sum(-1), np.square(energy).sum(-1), outputs)


def gradient_alignment(a: np.ndarray, error: np.ndarray) -> np.ndarray:
    """cos(B E, W2ᵀ E) = Σa²e²/√(Σa⁴e² Σe²), e = s − g a³/2 (B4).

    Parameters
    ----------
    a, error : arrays (..., d), amplitudes and what each mode of the map still lacks
    """
    missing = np.square(error)
    first, second = (np.square(a) * missing).sum(-1), (a**4 * missing).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return gradient_alignment_of_moments(first, second, missing.sum(-1))


def decayed_error(s: Any, gain: Any, decay_lower: Any, decay_upper: Any, xp: ModuleType = np) -> Any:
    """What a mode of the map lacks at the fixed point of FA with weight decay: the root of e + k e³ = s (B8).

    k = g/(wd1² wd2);  e = 2/√(3k) sinh(⅓ asinh(½ s √(27k)))

    Parameters
    ----------
    s : strength of the mode
    gain : g, BᵀB = g I
    decay_lower, decay_upper : weight decay wd1 of W1 and wd2 of W2, > 0
    xp : namespace of `sqrt`, `sinh`, `asinh`

    Notes
    -----
    Strong modes lack (wd1² wd2 s/g)^{1/3}, a smooth cube-root law; backprop cuts at a threshold (`soft_threshold`).

    Examples
    --------
    >>> round(float(decayed_error(2.0, 1.0, 1.0, 1.0)), 12)
    1.0
    """
    k = gain / (decay_lower**2 * decay_upper)
    return 2 / xp.sqrt(3 * k) * xp.sinh(xp.asinh(s * xp.sqrt(27 * k) / 2) / 3)
