"""Spiked tensors in closed form: denoisers, state evolution, thresholds, what least squares loses.

A tensor of order p is the sum of r products of factors x_a (N_a × r), one for each mode a, seen through noise:

    Y = N^{−(p−1)/2} Σ_ρ x_1ρ ⊗ … ⊗ x_pρ + √Δ ε,   N = (Π N_a)^{1/p},  n_a = N_a/N,  so that Π n_a = 1

In the limit of large N, the overlaps m_a = E[x̂_a x_a] of the Bayes estimate obey state evolution:

    m_a = g_a(A_a),   A_a = (1/Δ) Π_{b≠a} n_b m_b,   g(A) = E[x f(A, A x + √A z)],   z ~ N(0, 1)

with f(A, B) the mean of P(x) exp(−A x²/2 + B x). Every function here takes NumPy's numbers or SymPy's symbols.
Source: Kadmon & Ganguli 2018, arXiv 1810.10065; what is derived here says so.
"""

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory._assumptions import not_negative, positive, within


def gaussian_estimate(precision: Any, field: Any, mean: Any = 0, variance: Any = 1) -> Any:
    """f = (B + μ/v)/(A + 1/v), the posterior mean under the prior N(μ, v).

    Examples
    --------
    >>> gaussian_estimate(3.0, 2.0)
    0.5
    """
    positive("variance", variance)
    return (field + mean / variance) / (precision + 1 / variance)


def rademacher_estimate(field: Any, xp: ModuleType = np) -> Any:
    """f = tanh B, the posterior mean of a sign; x² = 1 leaves A no say.

    Examples
    --------
    >>> float(rademacher_estimate(0.0))
    0.0
    """
    return xp.tanh(field)


def bernoulli_estimate(precision: Any, field: Any, density: Any, xp: ModuleType = np) -> Any:
    """f = 1/(1 + e^{A/2 − B} (1 − ρ)/ρ), the posterior mean of a number that is 1 with probability ρ, else 0.

    Examples
    --------
    >>> float(bernoulli_estimate(0.0, 0.0, 0.25))
    0.25
    """
    within("density", density, 0.0, 1.0)
    return 1 / (1 + (1 - density) / density * xp.exp(precision / 2 - field))


def gaussian_overlap(precision: Any, mean: Any = 0, variance: Any = 1) -> Any:
    """g(A) = μ² + v² A/(1 + v A) for the prior N(μ, v).

    Examples
    --------
    >>> gaussian_overlap(1.0)
    0.5
    """
    return mean**2 + variance**2 * precision / (1 + variance * precision)


def gaussian_evidence(precision: Any, mean: Any = 0, variance: Any = 1, xp: ModuleType = np) -> Any:
    """ψ(A) = ½[(μ² + v) A − log(1 + v A)] for the prior N(μ, v), ψ(A) = E log ∫ dP(x) e^{A x X + √A z x − A x²/2}.

    Its slope is g/2, as for every prior.

    Examples
    --------
    >>> float(gaussian_evidence(0.0))
    0.0
    """
    return ((mean**2 + variance) * precision - xp.log(1 + variance * precision)) / 2


def free_entropy_of(overlaps: Sequence, evidences: Sequence, delta: Any, ratios: Sequence) -> Any:
    """F = Π n_a m_a/(2Δ) + Σ_a n_a (ψ_a(A_a) − A_a m_a/2), stationary where state evolution rests.

    Parameters
    ----------
    overlaps, evidences, ratios : m_a, ψ_a(A_a) and n_a of each mode
    delta : Δ > 0

    Examples
    --------
    >>> free_entropy_of([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1.0, [1.0, 1.0, 1.0])
    0.0
    """
    positive("delta", delta)
    # Each A_a n_a m_a is the same product over Δ.
    strength = prod(n * m for n, m in zip(ratios, overlaps, strict=True)) / delta
    return sum(n * e for n, e in zip(ratios, evidences, strict=True)) - (len(overlaps) - 1) * strength / 2


def noise_on_branch(strength: Any, overlaps: Sequence, ratios: Sequence) -> Any:
    """Δ = Π n_a m_a/t, at which overlaps m_a = g_a(A_a) with n_a A_a m_a = t are a fixed point (derived here).

    At a fixed point the signal strength t = Π n_a m_a/Δ is the same for all modes, and A g_a(A) = t/n_a has one root A
    as its left side grows: whatever the shape and the priors, all fixed points lie on one curve Δ(t). Its extrema are
    the spinodals.

    Examples
    --------
    >>> noise_on_branch(0.5, [0.5, 0.5, 0.5], [1.0, 1.0, 1.0])
    0.25
    """
    return prod(n * m for n, m in zip(ratios, overlaps, strict=True)) / strength


def gaussian_fixed_point(delta: Any, xp: ModuleType = np) -> Any:
    """m = (1 + √(1 − 4Δ))/2: overlap in each mode of a cube with factors N(0, 1), up to Δ = 1/4 (T1).

    Raises
    ------
    ValueError
        If Δ is not between 0 and 1/4, where the branch ends.

    Examples
    --------
    >>> float(gaussian_fixed_point(0.25))
    0.5
    """
    within("delta", delta, 0.0, 0.25)
    return (1 + xp.sqrt(1 - 4 * delta)) / 2


def gaussian_dynamical(order: Any) -> Any:
    """Δ_dyn = (p−2)^{p−2}/(p−1)^{p−1}, where the informed branch of factors N(0, 1) ends, p ≥ 3 (T1; any p here).

    Examples
    --------
    >>> gaussian_dynamical(3)
    0.25
    """
    return (order - 2) ** (order - 2) / (order - 1) ** (order - 1)


def gaussian_free_entropy(overlap: Any, xp: ModuleType = np) -> Any:
    """F = m²/(2(1 − m)) + (3/2)(m + log(1 − m)) at the fixed point m of a cube with factors N(0, 1) (T1).

    Its zero m = 0.645007 is where the informed state stops being the likelier one, at Δ_IT = m(1 − m) = 0.228973.

    Examples
    --------
    >>> bool(abs(gaussian_free_entropy(0.645007)) < 1e-5)
    True
    """
    return overlap**2 / (2 * (1 - overlap)) + (overlap + xp.log(1 - overlap)) * 3 / 2


def gaussian_noise(gain: Any, mean: Any) -> Any:
    """Δ(y) = (c + y)² (1 − y)/y, c = μ²: where m = c + y is a fixed point of a cube with factors N(μ, 1) (T2).

    Examples
    --------
    >>> gaussian_noise(0.5, 0.0)
    0.25
    """
    return (mean**2 + gain) ** 2 * (1 - gain) / gain


def gaussian_spinodals(mean: Any, xp: ModuleType = np) -> tuple:
    """y∓ = (1 ∓ √(1 − 8c))/4, c = μ²: gains at which uninformed and informed branch end for factors N(μ, 1) (T2).

    Raises
    ------
    ValueError
        If |μ| is above 1/√8, the tricritical mean, beyond which there is one branch.

    Examples
    --------
    >>> [float(y) for y in gaussian_spinodals(0.0)]
    [0.0, 0.5]
    """
    if not hasattr(mean, "free_symbols"):
        # A mean of exactly 1/√8 has a square that rounds to just above 1/8.
        within("mean", np.abs(mean), 0.0, np.sqrt(0.125) * (1 + 1e-15))
        mean = np.minimum(np.abs(mean), np.sqrt(0.125))
    root = xp.sqrt(abs(1 - 8 * mean**2) if xp is np else 1 - 8 * mean**2)
    # Their product is c/2: for small means the difference 1 − root would lose all digits.
    return 2 * mean**2 / (1 + root), (1 + root) / 4


def continuous_transition(signal: Any, variances: Sequence, ratios: Sequence, xp: ModuleType = np) -> Any:
    """Δ_c = s v_2 v_3 √(n_2 n_3): where the overlaps of the two modes without a mean vanish, linearly (T3, T8).

    Parameters
    ----------
    signal : s = Π n_a μ_a² over the modes that have a mean; 1 for a matrix, p = 2
    variances, ratios : v and n of the two modes without a mean

    Examples
    --------
    >>> float(continuous_transition(1.0, [1.0, 1.0], [1.0, 1.0]))
    1.0
    """
    return signal * variances[0] * variances[1] * xp.sqrt(ratios[0] * ratios[1])


def continuous_overlaps(distance: Any, variances: Sequence, ratios: Sequence, xp: ModuleType = np) -> tuple:
    """(m_2, m_3) = 2 (1 − Δ/Δ_c) (v_2 √n_3, v_3 √n_2)/(√n_2 + √n_3): how they vanish at Δ_c, to leading order (T3).

    Parameters
    ----------
    distance : 1 − Δ/Δ_c
    variances, ratios : v and n of the two modes without a mean, Gaussian

    Notes
    -----
    The slope is derived here.

    Examples
    --------
    >>> [float(m) for m in continuous_overlaps(0.01, [1.0, 1.0], [1.0, 1.0])]
    [0.01, 0.01]
    """
    roots = [xp.sqrt(n) for n in ratios]
    shared = 2 * distance / (roots[0] + roots[1])
    return shared * variances[0] * roots[1], shared * variances[1] * roots[0]


def bayes_error(overlaps: Sequence, second_moments: Sequence | None = None) -> Any:
    """1 − Π m_a/E[x_a²]: squared error of the Bayes estimate of a tensor of rank 1, relative to its square.

    Examples
    --------
    >>> bayes_error([0.5, 0.5, 0.5])
    0.875
    """
    moments = [1] * len(overlaps) if second_moments is None else second_moments
    return 1 - prod(m / v for m, v in zip(overlaps, moments, strict=True))


def als_weight(overlaps: Sequence, xp: ModuleType = np) -> Any:
    """λ/√N = √P (1 − p + Σ 1/m_a), P = Π m_a: size of the best approximation of rank 1 near a spike of size √N.

    Its cos² with the spike, m_a in mode a, are the overlaps of Bayes estimates under the prior N(0, 1) at the same
    noise: least squares finds the same directions and fits their length to the noise. For a cube λ²/N = m(3 − 2m)².
    Any shape and order: derived here.

    Parameters
    ----------
    overlaps : m_a, the fixed point of state evolution for N(0, 1) at noise Δ/Π E[x_a²]

    Examples
    --------
    >>> float(als_weight([1.0, 1.0, 1.0]))
    1.0
    """
    return xp.sqrt(prod(overlaps)) * (1 - len(overlaps) + sum(1 / m for m in overlaps))


def als_error(overlaps: Sequence, xp: ModuleType = np) -> Any:
    """1 + ℓ² − 2ℓ√P, ℓ = `als_weight`: squared error of the best approximation of rank 1 over the spike's square.

    For a cube 1 + m(3 − 2m)(3 − 4m), against 1 − m³ of the Bayes estimate. Any shape and order: derived here.

    Examples
    --------
    >>> float(als_error([1.0, 1.0, 1.0]))
    0.0
    """
    weight = als_weight(overlaps, xp)
    return 1 + weight**2 - 2 * weight * xp.sqrt(prod(overlaps))


def spectral_overlap(delta: Any, size: Any, ratio: Any = 1, order: int = 3) -> Any:
    """cos² = (1 − Δ² N^{p−2})/(1 + Δ n_a) or 0: leading singular vector of the unfolding along mode a (T6).

    The unfolding is a matrix with a spike of size √N; the formula is the transition of Baik, Ben Arous & Péché for it.
    The spectral start therefore works for Δ < N^{1−p/2}, whatever the shape.

    Parameters
    ----------
    delta, size, ratio, order : Δ over Π E[x_a²], N, n_a, p

    Examples
    --------
    >>> float(spectral_overlap(0.1, 100.0))
    0.0
    """
    not_negative("delta", delta)
    cosine = (1 - delta**2 * size ** (order - 2)) / (1 + delta * ratio)
    return cosine if hasattr(cosine, "free_symbols") else np.maximum(cosine, 0.0)


def norm_multiplier(order: Any, damping: Any) -> Any:
    """d − (1 − d)(p − 1): growth of an error in the common norm per parallel step, prior N(0, v), Δ → 0.

    The estimate of a factor is as small as the others are large, all of them at once: undamped, the norm of a cube
    oscillates with −2 (derived here). Damping d > (p − 2)/p makes it stable; the sequential schedule has 0.

    Examples
    --------
    >>> norm_multiplier(3, 0.0), norm_multiplier(3, 0.5)
    (-2.0, -0.5)
    """
    return damping - (1 - damping) * (order - 1)
