"""Feedback alignment from zero weights, early and late: how modes start, and how they finish (B4)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory._assumptions import not_negative, positive
from linfa.theory.stability import feedback_alignment_late_rate


def early_strength(t: Any, s: Any, gain: Any) -> Any:
    """(g/2) s³ t³: the map's strength in a mode soon after a start from zero (B4).

    Strong modes lead by the cube of their strength: the map's effective rank starts as that of s³.

    Examples
    --------
    >>> early_strength(0.1, 2.0, 1.0)
    0.004000000000000001
    """
    not_negative("t", t)
    positive("gain", gain)
    return gain * s**3 * t**3 / 2


def early_correction(s: Any, gain: Any) -> Any:
    """−(3/8) g s²: the strength starts as (g/2) s³ t³ (1 + this · t³ + O(t⁶)) (B4; derived here).

    Examples
    --------
    >>> early_correction(2.0, 2.0)
    -3.0
    """
    positive("gain", gain)
    return -3 * gain * s**2 / 8


def late_error(t: Any, s: Any, gain: Any, xp: ModuleType = np) -> Any:
    """3√3 e^{π/(2√3)} s e^{−λt}, λ = (3/2)(4 g s²)^{1/3}: what a mode still lacks late in learning (B4).

    Rate and prefactor are exact to leading order; the relative gap is of the order of the error itself.

    Parameters
    ----------
    t, s, gain : time, strength, g of BᵀB = g I
    xp : namespace of `exp`, `sqrt`, `cbrt`, `pi`

    Notes
    -----
    The rate is that of B4; the prefactor is derived here from the closed rise time.

    Examples
    --------
    >>> round(float(late_error(0.0, 1.0, 1.0)), 6)
    12.868959
    """
    positive("s", s)
    positive("gain", gain)
    root = xp.sqrt(3)
    return 3 * root * xp.exp(xp.pi / (2 * root)) * s * xp.exp(-feedback_alignment_late_rate(s, gain, xp) * t)
