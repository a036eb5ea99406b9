"""The local rule, both factors of the feedback Hebbian with decay: exponential gain, a hard cut-off of modes (B21).

One mode, channel and mode aligned: σ₁ and σ₂ of W1 and W2, gains q and p, error e = s − σ₁σ₂,

    σ₁' = q p e − wd σ₁,   σ₂' = σ₁ e − wd σ₂,   q' = σ₁ e p − wd q,   p' = σ₁ e q − wd p.
"""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import real_array, real_number
from linfa.theory._assumptions import not_negative, positive


def local_gains(growth: Any, q: Any, p: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """q and p without decay: q cosh D + p sinh D, p cosh D + q sinh D, with D = σ₂(t) − σ₂(0) (B21).

    Parameters
    ----------
    growth : D, how much that mode of W2 has grown
    q, p : gains at the start
    xp : namespace of `cosh`, `sinh`

    Notes
    -----
    The feedback's gain grows exponentially in that of W2: the right direction, the wrong scale, and a strong preference
    for the largest modes. q² − p² is conserved.

    Examples
    --------
    >>> local_gains(0.0, 1.0, 2.0)
    (np.float64(1.0), np.float64(2.0))
    """
    return q * xp.cosh(growth) + p * xp.sinh(growth), p * xp.cosh(growth) + q * xp.sinh(growth)


def local_threshold(decay: Any, xp: ModuleType = np) -> Any:
    """2√wd: modes weaker than this are pruned to zero by the local rule (B21).

    Examples
    --------
    >>> float(local_threshold(0.25))
    1.0
    """
    not_negative("decay", decay)
    return 2 * xp.sqrt(decay)


def local_amplitude(s: Any, decay: Any, xp: ModuleType = np) -> Any:
    """σ₁ = (s + √(s² − 4 wd))/2 of a captured mode in the end; σ₂ = 1 and q p = σ₁² (B21).

    The other root of σ₁(s − σ₁) = wd is a saddle, which separates capture from pruning.

    Parameters
    ----------
    s : strength, at least `local_threshold`
    decay : wd > 0, of W1, W2, Q and P
    xp : namespace of `sqrt`

    Raises
    ------
    ValueError
        If a number s is below the threshold: such a mode has no fixed point but zero.

    Examples
    --------
    >>> float(local_amplitude(1.0, 0.25))
    0.5
    """
    if xp is np:
        decay = real_number("decay", decay, above=0.0)
        s = real_array("s", s, (0, 1))
        if (s < local_threshold(decay)).any():
            raise ValueError(f"s holds {s.min():g}; a mode below 2√wd = {local_threshold(decay):g} is not captured")
    return (s + xp.sqrt(s**2 - 4 * decay)) / 2


def local_characteristic(amplitude: Any, s: Any, decay: Any) -> tuple[Any, Any, Any]:
    """(c₂, c₁, c₀) of λ³ + c₂λ² + c₁λ + c₀ for small changes of σ₁, σ₂ and q = p at a fixed point (B21).

    c₂ = 2 (σ₁² + wd),   c₁ = wd (3σ₁² + wd + 2δ),   c₀ = 2 wd² δ,     δ = σ₁ (2σ₁ − s)

    Parameters
    ----------
    amplitude : σ₁, either root of σ₁(s − σ₁) = wd
    s, decay : strength and wd

    Notes
    -----
    q − p decays by itself, at the rate 2 wd. c₀ > 0 for the larger root, which is stable; c₀ < 0 for the smaller, a
    saddle; c₀ = 0 where they meet, at s = 2√wd. Derived here.
    """
    positive("decay", decay)
    excess = amplitude * (2 * amplitude - s)
    return 2 * (amplitude**2 + decay), decay * (3 * amplitude**2 + decay + 2 * excess), 2 * decay**2 * excess
