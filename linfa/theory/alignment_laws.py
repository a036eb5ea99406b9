"""Laws of fixed feedback that hold for matrices of any size: decay, error operator, credit, moments (B1, B2, B4–B7)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa.theory._assumptions import positive


def feedback_balance_decay(lower: Any, upper: Any, carrier: Any, decay_lower: Any, decay_upper: Any) -> Any:
    """Rate at which decay changes C = W1 W1ᵀ − B W2 − (B W2)ᵀ:  −2 wd1 W1 W1ᵀ + wd2 (B W2 + (B W2)ᵀ) (B1).

    Parameters
    ----------
    lower, upper, carrier : W1 (h × i), W2 (o × h), B (h × o)
    decay_lower, decay_upper : wd1, wd2

    Notes
    -----
    Any data, any B. Derived here.
    """
    carried = carrier @ upper
    return -2 * decay_lower * (lower @ transposed(lower)) + decay_upper * (carried + transposed(carried))


def error_velocity(error: Any, lower: Any, upper: Any, carrier: Any) -> Any:
    """E' = −(W2 B E + E W1ᵀ W1): the error's own flow for whitened inputs, at any distance from a solution (B7).

    Its spectrum is the Kronecker sum λ_j(W1ᵀ W1) + μ_k(W2 B), `linfa.theory.stability.error_spectrum`.

    Parameters
    ----------
    error, lower, upper, carrier : E (o × i), W1 (h × i), W2 (o × h), B (h × o)
    """
    return -(upper @ carrier @ error) - error @ transposed(lower) @ lower


def loss_rate(error: Any, small_lower: Any, gain: Any) -> tuple[Any, Any]:
    """Two matrices whose traces add up to −2 dL/dt for FA from zero weights with BᵀB = g I (B2).

    −2 dL/dt = tr(g Eᵀ A Aᵀ E) + tr(2 g E Aᵀ A Eᵀ),   W1 = B A

    Both are positive semidefinite, so the loss can only fall. The first is twice <B E, W2ᵀ E>, the second twice
    |E W1ᵀ|².

    Parameters
    ----------
    error, small_lower : E and A (..., o, i)
    gain : g > 0

    Notes
    -----
    Any inputs. Derived here.
    """
    positive("gain", gain)
    return (
        gain * (transposed(error) @ small_lower @ transposed(small_lower) @ error),
        2 * gain * (error @ transposed(small_lower) @ small_lower @ transposed(error)),
    )


def credit_matrices(error: Any, small_lower: Any, small_upper: Any, p: Any, gain: Any) -> tuple[Any, Any]:
    """Two matrices whose traces add up to 2 <B E, W2ᵀ E> for low-rank feedback Q P from zero weights (B5 iv).

    g (P E)ᵀ A Aᵀ P E  and  2 g (P E)ᵀ M⊥ᵀ E⊥,   E⊥ = (I − PᵀP) E,  M⊥ = (I − PᵀP) M

    The first is positive semidefinite: rightly assigned credit. The second has no sign: credit that goes to what P
    does not see.

    Parameters
    ----------
    error : E (..., o, i)
    small_lower, small_upper : A (..., r, i), M (..., o, r) with W1 = Q A, W2 = M Qᵀ
    p : P (r, o), P Pᵀ = I
    gain : g > 0, QᵀQ = g I

    Notes
    -----
    Any inputs. Derived here.
    """
    positive("gain", gain)
    seen = p @ error
    unseen_error, unseen_upper = error - p.T @ seen, small_upper - p.T @ (p @ small_upper)
    return (
        gain * (transposed(seen) @ small_lower @ transposed(small_lower) @ seen),
        2 * gain * (transposed(seen) @ transposed(unseen_upper) @ unseen_error),
    )


def credit(error: Any, small_lower: Any, small_upper: Any, p: Any, gain: Any) -> tuple[np.ndarray, np.ndarray]:
    """<B E, W2ᵀ E> = (g/2)|Aᵀ P E|² + g tr(M⊥ᵀ E⊥ (P E)ᵀ), its two parts; arguments as `credit_matrices` (B5 iv)."""
    right, wrong = credit_matrices(error, small_lower, small_upper, p, gain)
    return np.trace(right, axis1=-2, axis2=-1) / 2, np.trace(wrong, axis1=-2, axis2=-1) / 2


def alignment_of_moments(energy: Any, energy_squared: Any, outputs: Any, xp: ModuleType = np) -> Any:
    """cos(W2, Bᵀ) = tr(A Aᵀ)/√(o tr((A Aᵀ)²)) from zero weights with BᵀB = g I and symmetric M (B4).

    With the amplitudes a of the modes the moments are Σa² and Σa⁴: √(PR(a²)/o).

    Examples
    --------
    >>> alignment_of_moments(2.0, 2.0, 8.0)
    np.float64(0.5)
    """
    return energy / xp.sqrt(outputs * energy_squared)


def gradient_alignment_of_moments(first: Any, second: Any, error_energy: Any, xp: ModuleType = np) -> Any:
    """cos(B E, W2ᵀ E) = Σa²e²/√(Σa⁴e² Σe²), from the moments first = Σa²e², second = Σa⁴e² and Σe² (B4).

    Examples
    --------
    >>> gradient_alignment_of_moments(2.0, 4.0, 1.0)
    np.float64(1.0)
    """
    return first / xp.sqrt(second * error_energy)


def descent_limit(real: Any, imaginary: Any) -> Any:
    """2 Re z/|z|²: descent shrinks an error that decays as e^{−z t} for learning rates below this (B7).

    Examples
    --------
    >>> descent_limit(1.0, 1.0)
    1.0
    """
    positive("real", real)
    return 2 * real / (real**2 + imaginary**2)
