"""The matrix Riccati equation behind λ-balanced backprop, in the symbols that are proved (A5).

`linfa.theory.riccati` evaluates the solution in a form that stays accurate; a test ties the two.
"""

from typing import Any

import numpy as np

from linfa._algebra import transposed


def riccati_velocity(x: Any, flow: Any) -> Any:
    """X' = F X + X F − X² for X = Y Yᵀ, Y = [W1ᵀ; W2], F = [[−λ/2 I, Tᵀ], [T, λ/2 I]] (A5).

    Parameters
    ----------
    x, flow : matrices (i + o, i + o)

    Notes
    -----
    Assumes two layers, whitened inputs and W2ᵀ W2 − W1 W1ᵀ = λ I. The blocks of X are W1ᵀ W1, (W2 W1)ᵀ, W2 W1 and
    W2 W2ᵀ. Source: Fukumizu 1998; Braun et al. 2022; Dominé et al. 2024.

    Examples
    --------
    >>> riccati_velocity(np.eye(1), np.array([[3.0]]))
    array([[5.]])
    """
    return flow @ x + x @ flow - x @ x


def riccati_solution(start: Any, growth: Any, accumulated: Any, identity: Any) -> Any:
    """X(t) = e^{Ft} Y₀ (I + Y₀ᵀ Φ Y₀)^{−1} Y₀ᵀ e^{Ft},  Φ = ∫₀ᵗ e^{2Fs} ds (A5).

    Parameters
    ----------
    start : Y₀ (i + o, h)
    growth, accumulated : e^{Ft} and Φ(t), (i + o, i + o)
    identity : I (h, h)

    Notes
    -----
    Needs no inverse of F. In floating point it loses all digits at late times; `riccati.propagate` does not.
    Source: as `riccati_velocity`; the integral form is derived here.

    Examples
    --------
    >>> riccati_solution(np.eye(1), 2 * np.eye(1), np.eye(1), np.eye(1))
    array([[2.]])
    """
    inner = identity + transposed(start) @ accumulated @ start
    inverse = np.linalg.inv(inner) if isinstance(inner, np.ndarray) else inner.inverse()
    return growth @ start @ inverse @ transposed(start) @ transposed(growth)
