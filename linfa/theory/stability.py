"""How fast one may learn: spectra at a solution, maximal learning rates, the two-cycle beyond (A6, A7, B7)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import matching, real_array


def backprop_max_rate(strongest: Any, depth: Any = 2) -> Any:
    """η_max = 2/(L s₁^{2−2/L}): above it, descent leaves a balanced minimum (A7).

    Assumes whitened inputs and a balanced global minimum, whose sharpness is L s₁^{2−2/L}.
    Source: Mulayoff & Michaeli 2020.

    Examples
    --------
    >>> float(backprop_max_rate(4.0))
    0.25
    """
    return 2 / (depth * strongest ** (2 - 2 / depth))


def backprop_two_cycle(strongest: Any, rate: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """The two mode amplitudes a ≥ b between which balanced descent swings for η s > 1 (A7).

    a ← a + η a (s − a²) has the orbit  a b = 1/η,  a² + b² = s + 1/η,  so
    a, b = ½[√(s + 3/η) ± √(s − 1/η)].

    Parameters
    ----------
    strongest, rate : s and η with η s ≥ 1
    xp : namespace of `sqrt`

    Examples
    --------
    >>> a, b = backprop_two_cycle(1.0, 1.0)
    >>> float(a), float(b)
    (1.0, 1.0)
    """
    wide, narrow = xp.sqrt(strongest + 3 / rate), xp.sqrt(strongest - 1 / rate)
    return (wide + narrow) / 2, (wide - narrow) / 2


def feedback_alignment_late_rate(s: Any, gain: Any, xp: ModuleType = np) -> Any:
    """(3/2)(4 g s²)^{1/3}: rate at which FA from zero weights closes the last error in a mode (B4, B7).

    Examples
    --------
    >>> round(float(feedback_alignment_late_rate(1.0, 2.0)), 12)
    3.0
    """
    return 3 * xp.cbrt(4 * gain * s**2) / 2


def feedback_alignment_max_rate(strongest: Any, gain: Any, xp: ModuleType = np) -> Any:
    """η_max = 2/((3/2)(4 g s₁²)^{1/3}) at the solution that FA reaches from zero weights (B7).

    Assumes whitened inputs and BᵀB = g I. It holds near the fixed point; from far away descent can fail earlier.

    Examples
    --------
    >>> round(float(feedback_alignment_max_rate(1.0, 2.0)), 12)
    0.666666666667
    """
    return 2 / feedback_alignment_late_rate(strongest, gain, xp)


def error_spectrum(lower: np.ndarray, upper: np.ndarray, carrier: np.ndarray | None = None) -> np.ndarray:
    """Eigenvalues λ_j(W1ᵀ W1) + μ_k(W2 B) with which the error decays, E' = −(W2 B E + E W1ᵀ W1) (A6, B7).

    Parameters
    ----------
    lower, upper : arrays (h, i), (o, h)
    carrier : array (h, o), optional
        Feedback B; None means backprop, W2ᵀ.

    Returns
    -------
    complex array (o·i,)

    Notes
    -----
    Whitened inputs. Exact for the linear response of E at frozen weights, and at a zero-error point for the whole
    flow. Descent is stable there for η below `max_rate` of this spectrum.

    Examples
    --------
    >>> error_spectrum(np.eye(2), np.eye(2)).real.tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    lower, upper = real_array("lower", lower, 2), real_array("upper", upper, 2)
    matching("upper", upper, (None, lower.shape[0]))
    carrier = upper.T if carrier is None else real_array("carrier", carrier, 2)
    matching("carrier", carrier, upper.shape[::-1])
    output_side = np.linalg.eigvals(upper @ carrier).astype(complex)
    input_side = np.linalg.eigvalsh(lower.T @ lower)
    return (output_side[:, None] + input_side[None, :]).ravel()


def max_rate(spectrum: np.ndarray) -> float:
    """η_max = min 2 Re z/|z|² over the spectrum of the error: |1 − η z| < 1 for all z below it (B7).

    Returns 0 where an eigenvalue does not decay at all.

    Examples
    --------
    >>> max_rate(np.array([1.0, 4.0]))
    0.5
    """
    z = np.asarray(spectrum, dtype=complex).ravel()
    if not z.size:
        raise ValueError("spectrum is empty; it must hold at least one eigenvalue")
    size = np.abs(z) ** 2
    if (z.real <= 0).any():
        return 0.0
    return float((2 * z.real / size).min())
