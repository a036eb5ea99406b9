"""Oja's rule on the error, in the limit of a slow P: how far P turns before learning silences it (B19; new)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory.feedback_alignment import mode_amplitude_end
from linfa.theory.low_rank import projected_modes


def turn_coefficient(s: Any, gain: Any, xp: ModuleType = np) -> Any:
    """∫₀^∞ s (1 − z³)² dt = ¾ a*, a* = (2s/g)^{1/3}: the drive that P gets from one mode while it is learned.

    A mode that has risen to the fraction z of its end still passes the signal s (1 − z³), and moves by 1 − z³ in a unit
    of scaled time.

    Parameters
    ----------
    s, gain : strength of the mode in P T, and g
    xp : namespace of `cbrt`

    Examples
    --------
    >>> round(float(turn_coefficient(4.0, 1.0)), 12)
    1.5
    """
    return 3 * mode_amplitude_end(s, gain, xp) / 4


def subspace_turn(target: np.ndarray, p: np.ndarray, gain: float) -> np.ndarray:
    """lim ΔP/η_P = ¾ U_p diag(a*) V_pᵀ Tᵀ (I − PᵀP), a* = (2 s_p/g)^{1/3}: all that P ever turns, as η_P → 0.

    Learning drives the projected error P E to zero before a slow P has moved, and with it the drive of P. What is left
    is one small turn, of first order in the rate: P keeps its bad direction.

    Parameters
    ----------
    target : array (o, i), T
    p : array (r, o), P(0) with P Pᵀ = I
    gain : float, g in QᵀQ = g I

    Returns
    -------
    array (r, o)

    Notes
    -----
    Assumes whitened inputs, zero initial weights, fixed Q, P' = η_P P E Eᵀ (I − PᵀP). To lowest order E follows the
    closed form for fixed P, and ∫(P E Eᵀ) dt is a sum over the modes of P T = U_p diag(s_p) V_pᵀ.

    Examples
    --------
    >>> subspace_turn(np.eye(2), np.array([[1.0, 0.0]]), 1.0).round(12).tolist()
    [[0.0, 0.0]]
    """
    left, strengths, right = projected_modes(target, p)
    turned = (left * turn_coefficient(strengths, gain)) @ right.T @ target.T
    return turned - turned @ p.T @ p
