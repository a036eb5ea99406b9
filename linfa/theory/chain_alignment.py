"""Feedback alignment in deep chains from zero weights: one law for every depth, and why rank collapses with depth.

With B_lᵀ B_l = g_l I, K_l = B_{l+1} … B_L and γ_l = g_{l+1} … g_L, whitened inputs and any target T = U diag(s) Vᵀ,

    W_1 = K_1 U diag(a_1) Vᵀ,   W_l = K_l U diag(a_l) Uᵀ K_{l−1}ᵀ,   a_l = α_l a^{2^{l−1}},  a = a_1
    W_L … W_1 = U diag(β aⁿ) Vᵀ,   n = 2^L − 1,   a' = s − β aⁿ.

Two layers are n = 3 (B4). Derived here.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import integer
from linfa.theory.feedback_alignment import risen_fraction


def map_power(depth: int) -> int:
    """n = 2^L − 1: the strength of the map grows as the n-th power of the amplitude in the lowest layer.

    Examples
    --------
    >>> [map_power(depth) for depth in (2, 3, 4)]
    [3, 7, 15]
    """
    return 2 ** integer("depth", depth, at_least=2) - 1


def amplitude_coefficients(gains: Sequence[Any]) -> tuple[list[Any], Any]:
    """α_1 … α_L and β: layer l carries the amplitude α_l a^{2^{l−1}}, and the map β aⁿ.

    α_1 = β_1 = 1,   α_l = β_{l−1}/2^{l−1},   β_l = α_l γ_{l−1} β_{l−1},   γ_l = g_{l+1} … g_L,   β = β_L

    Parameters
    ----------
    gains : sequence of numbers or symbols
        [g_2, …, g_L] with B_lᵀ B_l = g_l I.

    Examples
    --------
    >>> amplitude_coefficients([2.0])
    ([1, 0.5], 1.0)
    """
    tails = [1]
    for gain in reversed(gains):
        tails.insert(0, gain * tails[0])
    alphas, beta = [1], 1
    for layer in range(2, len(gains) + 2):
        # γ_{l−1} is tails[l − 2], as tails starts at γ_1.
        alphas.append(beta / _power_of_two(layer - 1, gains[0]))
        beta = alphas[-1] * tails[layer - 2] * beta
    return alphas, beta


def _power_of_two(exponent: int, like: Any) -> Any:
    """2^exponent as a number that keeps quotients exact where `like` is symbolic."""
    return (2 * like / like) ** exponent if hasattr(like, "free_symbols") else 2**exponent


def chain_rise_time(z: Any, depth: int, xp: ModuleType = np) -> Any:
    """Scaled time τ_n(z) = ∫₀^z dy/(1 − yⁿ), n = 2^L − 1, at which a mode has risen to z = a/a*: t = (a*/s) τ_n(z).

    τ_n = (1/n)[−ln(1 − z) + Σ_k (−cos θ_k ln(1 − 2z cos θ_k + z²) + 2 sin θ_k atan(z sin θ_k/(1 − z cos θ_k)))],
    θ_k = 2πk/n,  k = 1 … (n − 1)/2;  `rise_time` of two layers is n = 3

    Parameters
    ----------
    z : fraction, 0 ≤ z < 1
    depth : int, L ≥ 2
    xp : namespace of `log`, `atan`, `cos`, `sin`, `pi`

    Examples
    --------
    >>> from linfa.theory.feedback_alignment import rise_time
    >>> bool(abs(chain_rise_time(0.7, 2) - rise_time(0.7)) < 1e-14)
    True
    """
    n = map_power(depth)
    return (-xp.log(1 - z) + sum(paired_root(z, 2 * xp.pi * k / n, xp) for k in range(1, (n + 1) // 2))) / n


def paired_root(z: Any, angle: Any, xp: ModuleType = np) -> Any:
    """Contribution of a pair of complex roots of yⁿ = 1 at ±angle to n τ_n; its derivative is
    2(1 − z cos θ)/(1 − 2z cos θ + z²)."""
    c, s = xp.cos(angle), xp.sin(angle)
    return -c * xp.log(1 - 2 * z * c + z**2) + 2 * s * xp.atan(z * s / (1 - z * c))


def rising_amplitude(t: np.ndarray, s: np.ndarray, beta: float, depth: int) -> np.ndarray:
    """a(t) under a' = s − β aⁿ from zero, n = 2^L − 1: the law of every mode under fixed feedback, (T, d).

    Parameters
    ----------
    t : array (T,), times ≥ 0
    s : array (d,), strengths > 0
    beta : float, β > 0
    depth : int, L ≥ 2

    Examples
    --------
    >>> rising_amplitude(np.array([0.0, 1e3]), np.array([4.0]), 0.5, 2).round(12).ravel().tolist()
    [0.0, 2.0]
    """
    power = map_power(depth)
    t, s = np.asarray(t, dtype=float)[:, None], np.asarray(s, dtype=float)[None, :]
    end = (s / beta) ** (1.0 / power)
    return end * risen_fraction(t * s / end, power, lambda z: chain_rise_time(z, depth))


def chain_amplitude(t: np.ndarray, s: np.ndarray, gains: Sequence[float]) -> np.ndarray:
    """a(t) of each mode in the lowest layer, a' = s − β aⁿ from zero, (T, d).

    Parameters
    ----------
    t : array (T,), times ≥ 0
    s : array (d,), strengths > 0
    gains : [g_2, …, g_L]

    Examples
    --------
    >>> chain_amplitude(np.array([0.0, 1e3]), np.array([4.0]), [1.0]).round(12).ravel().tolist()
    [0.0, 2.0]
    """
    _, beta = amplitude_coefficients(gains)
    return rising_amplitude(t, s, beta, len(gains) + 1)


def chain_half_time(s: Any, gains: Sequence[Any]) -> Any:
    """Time to half strength, τ_n(2^{−1/n}) (s/β)^{1/n}/s ∝ s^{−(1 − 1/n)}, n = 2^L − 1.

    The exponent is 2/3 for two layers, 6/7 for three, 14/15 for four: with depth FA's order of learning approaches
    backprop's 1/s, though it needs no start to escape from.

    Examples
    --------
    >>> round(float(chain_half_time(1.0, [2.0])), 12)
    0.937706990575
    """
    depth = len(gains) + 1
    n = map_power(depth)
    _, beta = amplitude_coefficients(gains)
    return chain_rise_time(2.0 ** (-1.0 / n), depth) * (s / beta) ** (1.0 / n) / s


def chain_alignment(a: np.ndarray, layer: int, width: int) -> np.ndarray:
    """cos(W_l, B_lᵀ) = √(PR(a^{2^{l−1}})/n_l), l ≥ 2, PR(p) = (Σp)²/Σp², n_l the width of layer l.

    Layer l sees the spectrum of the task through the power 2^{l−1} of the amplitudes: its alignment, and its effective
    rank, fall with depth, whatever the width.

    Parameters
    ----------
    a : array (..., d), amplitudes in the lowest layer
    layer, width : l and n_l

    Returns
    -------
    array (...); NaN where all amplitudes are zero.
    """
    carried = np.asarray(a, dtype=float) ** (2 ** (integer("layer", layer, at_least=2) - 1))
    below = np.sqrt(np.square(carried).sum(-1) * width)
    return np.divide(carried.sum(-1), below, out=np.full(carried.shape[:-1], np.nan), where=below > 0)[()]


def chain_weights(
    modes: tuple[np.ndarray, np.ndarray, np.ndarray],
    feedback: Sequence[np.ndarray],
    t: np.ndarray,
    gains: Sequence[float],
) -> list[np.ndarray]:
    """W_1(t) … W_L(t) from zero under fixed feedback along the chain, B_lᵀ B_l = g_l I.

    Parameters
    ----------
    modes : U (o, d), s (d,), V (i, d) of the target
    feedback : [B_2, …, B_L], B_l (n_{l−1}, n_l)
    t : array (T,)
    gains : [g_2, …, g_L]

    Returns
    -------
    list of array (T, out, in)
    """
    left, strengths, right = modes
    a = chain_amplitude(t, strengths, gains)
    alphas, _ = amplitude_coefficients(gains)
    carriers = [left]
    for b in reversed(feedback):
        carriers.insert(0, b @ carriers[0])
    below, weights = right, []
    for layer, (alpha, carrier) in enumerate(zip(alphas, carriers, strict=True)):
        weights.append(np.einsum("ok,tk,ik->toi", carrier, alpha * a ** (2**layer), below, optimize=True))
        below = carrier
    return weights
