"""Feedback alignment with weight decay: the matrix cubic of its fixed point, and its two limits (B8)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa.theory._assumptions import positive


def decayed_target(error: Any, carrier: Any, decay_lower: Any, decay_upper: Any) -> Any:
    """T = E + E Eᵀ Bᵀ B E/(wd1² wd2): the target whose fixed point under decay lacks E (B8).

    Parameters
    ----------
    error, carrier : E (o × i), B (h × o) of any rank
    decay_lower, decay_upper : wd1, wd2 > 0

    Notes
    -----
    Whitened inputs. Derived here.
    """
    positive("decay_lower", decay_lower)
    positive("decay_upper", decay_upper)
    cube = error @ transposed(error) @ transposed(carrier) @ carrier @ error
    return error + cube / (decay_lower**2 * decay_upper)


def strong_error(s: Any, gain: Any, decay_lower: Any, decay_upper: Any, xp: ModuleType = np) -> Any:
    """(wd1² wd2 s/g)^{1/3}: what a strong mode lacks under decay, a cube-root law (B8).

    Examples
    --------
    >>> round(float(strong_error(8.0, 1.0, 1.0, 1.0)), 12)
    2.0
    """
    positive("gain", gain)
    return xp.cbrt(decay_lower**2 * decay_upper * s / gain)


def weak_strength(s: Any, gain: Any, decay_lower: Any, decay_upper: Any) -> Any:
    """g s³/(wd1² wd2): what the map has of a weak mode under decay; nothing is cut off (B8).

    Examples
    --------
    >>> weak_strength(0.5, 1.0, 1.0, 1.0)
    0.125
    """
    positive("decay_lower", decay_lower)
    positive("decay_upper", decay_upper)
    return gain * s**3 / (decay_lower**2 * decay_upper)
