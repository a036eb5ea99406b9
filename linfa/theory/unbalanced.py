"""Backprop from aligned but unbalanced weights: one curve from the rich to the lazy regime (A3)."""

from types import ModuleType
from typing import Any

import numpy as np


def unbalanced_velocity(u: Any, s: Any, balance: Any, xp: ModuleType = np) -> Any:
    """u' = √(λ² + 4u²) (s − u): one mode whose two layers start with unequal amplitudes, λ = b² − a² (A3).

    Parameters
    ----------
    u, s : strength of the map in the mode, and of the target
    balance : λ of either sign; a of W1 and b of W2 multiply to u
    xp : namespace of `sqrt`

    Notes
    -----
    Assumes two layers, whitened inputs and aligned weights. Source: Saxe, McClelland & Ganguli 2013.

    Examples
    --------
    >>> float(unbalanced_velocity(0.0, 2.0, -3.0))
    6.0
    """
    return xp.sqrt(balance**2 + 4 * u**2) * (s - u)


def unbalanced_strength(t: Any, s: Any, start: Any, balance: Any, xp: ModuleType = np) -> Any:
    """Strength u(t) of one mode from any aligned start, the solution of u' = √(λ² + 4u²)(s − u) (A3).

    u(t) = [s M − λ²(s − u₀) k] / [M + 4s(s − u₀) k],   R = √(λ² + 4s²),   k = 1/cosh Rt,
    M = R √(λ² + 4u₀²) tanh Rt + λ² + 4 s u₀

    Parameters
    ----------
    t : time ≥ 0, with unit time constant
    s : strength of the mode, > 0
    start : u₀ = a₀ b₀ of either sign; 0 where one layer starts from nothing
    balance : λ = b₀² − a₀² of either sign
    xp : namespace of `sqrt` and `exp`

    Notes
    -----
    λ = 0 is the logistic curve (rich, A1); |λ| ≫ s is s + (u₀ − s) e^{−|λ|t} (lazy). From u₀ = 0 with λ = 0 the mode
    never moves, and where u₀ < 0 = λ it goes to 0. Two layers, whitened inputs, aligned weights.
    Source: the velocity is Saxe, McClelland & Ganguli 2013; the solution is derived here.

    Examples
    --------
    >>> from linfa.theory.backprop import logistic_strength
    >>> bool(abs(unbalanced_strength(1.0, 2.0, 0.1, 0.0) - logistic_strength(1.0, 2.0, 0.1)) < 1e-15)
    True
    """
    rate = xp.sqrt(balance**2 + 4 * s**2)
    # Through e^{−Rt}, as cosh Rt overflows at late times.
    decayed = xp.exp(-2 * rate * t)
    tanh, sech = (1 - decayed) / (1 + decayed), 2 * xp.exp(-rate * t) / (1 + decayed)
    lead = rate * xp.sqrt(balance**2 + 4 * start**2) * tanh + balance**2 + 4 * s * start
    return (s * lead - balance**2 * (s - start) * sech) / (lead + 4 * s * (s - start) * sech)


def unbalanced_amplitudes(u: Any, balance: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """|a| of W1 and |b| of W2 in a mode of strength u: a² = (√(λ² + 4u²) − λ)/2,  b² = (√(λ² + 4u²) + λ)/2 (A3).

    Parameters
    ----------
    u : strength of the map, a b
    balance : λ = b² − a²
    xp : namespace of `sqrt`

    Examples
    --------
    >>> a, b = unbalanced_amplitudes(2.0, 3.0)
    >>> float(a), float(b)
    (1.0, 2.0)
    """
    total = xp.sqrt(balance**2 + 4 * u**2)
    return xp.sqrt((total - balance) / 2), xp.sqrt((total + balance) / 2)


def lazy_strength(t: Any, s: Any, start: Any, balance: Any, xp: ModuleType = np) -> Any:
    """s + (u₀ − s) e^{−|λ|t}: a mode in the lazy limit |λ| ≫ s; the relative gap closes as (s/λ)² (A3).

    Parameters
    ----------
    t, s, start : as in `unbalanced_strength`
    balance : λ
    xp : namespace of `exp`

    Examples
    --------
    >>> float(lazy_strength(0.0, 2.0, 0.5, 50.0))
    0.5
    """
    return s + (start - s) * xp.exp(-abs(balance) * t)
