"""Balanced predictive coding in closed form: filtered noise, delay, disorder of linear networks, scaling with balance.

The network, in units of its time constant:

    h_i' = −h_i + g Σ_j G_ij φ(h_j(t − d)) + b w_i (x − x̂(t − d)) + σ ξ_i,    x̂ = (1/N) Σ_i w_i φ(h_i)

Feedback filters what N independent neurons add up to: with the loop gain B = b u and a = 1 + B, noise of autocovariance
c(τ)/N before feedback has the spectrum S_c |T|²/N after it, T(ω) = (1 + iω)/(1 + iω + B e^{−iωd}).
Source: Kadmon, Timcheck & Ganguli 2020 for the network; forms that were derived or simplified here say so.
"""

from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory._assumptions import not_negative, positive, within


def filtered_variance(loop_gain: Any, rate: Any) -> Any:
    """(a r + 1)/(a (a + r)), a = 1 + B: what instantaneous feedback leaves of noise with c(τ) = e^{−rτ} (F3).

    Parameters
    ----------
    loop_gain, rate : B ≥ 0, r > 0

    Notes
    -----
    White noise reaches the n-th Hermite component of activity with r = n. At r = √(1 − g²), times σ²/(2r), this is the
    variance of the linear network with disorder g as well (F5, simplified here: it has no 0/0).

    Examples
    --------
    >>> filtered_variance(0.0, 3.0), filtered_variance(3.0, 1.0)
    (1.0, 0.25)
    """
    not_negative("loop_gain", loop_gain)
    positive("rate", rate)
    a = 1 + loop_gain
    return (a * rate + 1) / (a * (a + rate))


def linear_variance(loop_gain: Any, sigma: Any, g: Any = 0.0, xp: ModuleType = np) -> Any:
    """σ²(a k + 1)/(2k a (a + k)), k = √(1 − g²): N var of the linear network without delay, a = 1 + b (F4, F5).

    Parameters
    ----------
    loop_gain, sigma, g : B = b ≥ 0, σ ≥ 0, 0 ≤ g < 1
    xp : namespace of `sqrt`

    Examples
    --------
    >>> float(linear_variance(1.0, 2.0))
    1.0
    """
    rate = xp.sqrt(1 - g**2)
    return sigma**2 / (2 * rate) * filtered_variance(loop_gain, rate)


def quenched_linear_variance(b: Any, x: Any, g: Any) -> Any:
    """g²m²/((1 − g²)(1 + b)²), m = b x/(1 + b): N times the variance of x̂'s mean between linear networks.

    Examples
    --------
    >>> quenched_linear_variance(1.0, 2.0, 0.0)
    0.0
    """
    field = b * x / (1 + b)
    return g**2 * field**2 / ((1 - g**2) * (1 + b) ** 2)


def frozen_variance_between(
    loop_gain: Any, cross: Any, of_variance: Any, own: Any, spread: tuple[Any, Any, Any]
) -> Any:
    """N times the variance of x̂ between networks whose activity is frozen (σ = 0, below chaos), of other couplings.

    Sums over N neurons, S₁ of w φ and S₂ of φ², scatter by ζ around their averages and move field and variance,

        δS₁ = u δm + ½E[φ''] δq + ζ₁,   δS₂ = 2E[φφ'] δm + E[φ'² + φφ''] δq + ζ₂,   δm = −b δS₁,   δq = g² δS₂

    Parameters
    ----------
    loop_gain, cross : b u, and 2b E[φφ']
    of_variance, own : ½g² E[φ''], and g² E[φ'² + φφ'']
    spread : (Var φ, Cov(φ, φ²), Var φ²), those of ζ₁ and ζ₂ times N

    Notes
    -----
    Derived here. Without δq it is Var φ/(1 + b u)², which is up to a fifth too much where m is not 0.

    Examples
    --------
    >>> frozen_variance_between(1.0, 0.0, 0.0, 0.0, (4.0, 0.0, 1.0))
    1.0
    """
    rest = 1 - own
    determinant = (1 + loop_gain) * rest + of_variance * cross
    first, mixed, second = spread
    return (rest**2 * first + 2 * rest * of_variance * mixed + of_variance**2 * second) / determinant**2


def _waves(square: Any, time: Any, longest: Any, xp: ModuleType) -> tuple[Any, Any, Any]:
    """cos(l t), sin(l t)/l and 1 from l², which may be negative or zero; as numbers, all times e^{−|Im l| longest}.

    The factor keeps hyperbolic functions of long delays in range; it cancels in every ratio below.
    """
    if xp is not np:
        root = xp.sqrt(square)
        return xp.cos(root * time), xp.sin(root * time) / root, 1
    root = np.sqrt(np.asarray(square, dtype=complex))
    real, growth = root.real, root.imag
    # One of the two is zero, so that cosines and growth multiply.
    rise, spread = np.exp(growth * (time - longest)), 2 * growth * time
    # (1 − e^{−z})/z, which is 1 at 0.
    even = np.where(spread == 0, 1.0, -np.expm1(-spread) / np.where(spread == 0, 1.0, spread))
    cosine = np.cos(real * time) * rise * (1 + np.exp(-spread)) / 2
    return cosine, time * np.sinc(real * time / np.pi) * rise * even, np.exp(-growth * longest)


def delay_variance(loop_gain: Any, delay: Any, xp: ModuleType = np) -> Any:
    """Variance K(0) of y' = −y − B y(t − d) + ξ with white ξ of unit intensity (F4; Küchler & Mensch 1992).

    K(0) = ½ (1 + B sin(l d)/l)/(1 + B cos(l d)),   l² = B² − 1

    It holds for B ≤ 1 too, where sine and cosine are hyperbolic, and grows without bound at the Hopf boundary, beyond
    which it means nothing.

    Parameters
    ----------
    loop_gain, delay : B ≥ 0, d ≥ 0
    xp : namespace of `sqrt`, `sin`, `cos`

    Examples
    --------
    >>> float(delay_variance(3.0, 0.0))
    0.125
    """
    cosine, sine, one = _waves(loop_gain**2 - 1, delay, delay, xp)
    return (one + loop_gain * sine) / (one + loop_gain * cosine) / 2


def delay_autocovariance(loop_gain: Any, delay: Any, time: Any, xp: ModuleType = np) -> Any:
    """Autocovariance K(τ) of that process for 0 ≤ τ ≤ d; beyond, K' = −K − B K(τ − d).

    K(τ) = ½ (cos(l τ) − sin(l τ)/l + B sin(l (d − τ))/l)/(1 + B cos(l d))

    Examples
    --------
    >>> float(delay_autocovariance(3.0, 0.5, 0.0) - delay_variance(3.0, 0.5))
    0.0
    """
    square = loop_gain**2 - 1
    end, _, one = _waves(square, delay, delay, xp)
    cosine, sine, _ = _waves(square, time, delay, xp)
    _, rest, _ = _waves(square, delay - time, delay, xp)
    return (cosine - sine + loop_gain * rest) / (one + loop_gain * end) / 2


def filtered_variance_delayed(loop_gain: Any, rate: Any, delay: Any, xp: ModuleType = np) -> Any:
    """∫ dω/2π 2r/(r² + ω²) |T(ω)|² in closed form: what delayed feedback leaves of c(τ) = e^{−rτ} (F3).

    2r K(0) + 2(1 − r²) k(r), with k the Laplace transform of K, for which the delay equation gives

        k(r) (1 + r + B e^{−rd}) = K(0) − B ∫₀ᵈ K(s) e^{−r(d−s)} ds,

    an integral of exponentials and sines.

    Parameters
    ----------
    loop_gain, rate, delay : B ≥ 0 below the Hopf boundary, r > 0, d ≥ 0
    xp : namespace of `sqrt`, `sin`, `cos`, `exp`

    Notes
    -----
    Derived here; without delay it is `filtered_variance`. Where r² + l² = 0, which takes r ≤ 1 and B ≤ 1, it is 0/0.

    Examples
    --------
    >>> round(float(filtered_variance_delayed(3.0, 2.0, 0.0) - filtered_variance(3.0, 2.0)), 12)
    0.0
    """
    square = loop_gain**2 - 1
    cosine, sine, one = _waves(square, delay, delay, xp)
    start = delay_variance(loop_gain, delay, xp)
    fading = xp.exp(-rate * delay)
    # The three sines and cosines of K in turn, each integrated against e^{−r(d−s)}.
    of_cosine = rate * cosine + square * sine - rate * fading * one
    of_sine = rate * sine - cosine + fading * one
    of_rest = one - fading * (rate * sine + cosine)
    carried = (of_cosine - of_sine + loop_gain * of_rest) / (rate**2 + square) / (one + loop_gain * cosine) / 2
    transform = (start - loop_gain * carried) / (1 + rate + loop_gain * fading)
    return 2 * rate * start + 2 * (1 - rate**2) * transform


def shared_variance(loop_gain: Any, shared: Any, delay: Any = 0.0, xp: ModuleType = np) -> Any:
    """B²s² K(0): variance of x̂ from white noise of intensity s² on the stimulus itself, however many neurons.

    Without delay B²s²/(2a): the network represents the noise as it represents x.

    Examples
    --------
    >>> float(shared_variance(1.0, 2.0))
    1.0
    """
    return loop_gain**2 * shared**2 * delay_variance(loop_gain, delay, xp)


def coloured_variance(loop_gain: Any, sigma: Any, correlation_time: Any) -> Any:
    """σ²/(2a(1 + a t_n)): N var for linear φ without delay under private noise t_n η' = −η + σ ξ.

    The noise has the variance s² = σ²/(2t_n), for which this reads s² t_n/(a(1 + a t_n)): 1/b where feedback is slower
    than the noise, 1/b² where it is faster.

    Examples
    --------
    >>> coloured_variance(1.0, 2.0, 0.0)
    1.0
    """
    a = 1 + loop_gain
    return sigma**2 / (2 * a * (1 + a * correlation_time))


def noise_limit(b: Any, sigma: Any, slope: Any, slope_square: Any) -> Any:
    """σ² E[φ'²]/(2b E[φ']): N var at strong balance under white noise, without delay.

    Examples
    --------
    >>> noise_limit(100.0, 1.0, 1.0, 1.0)
    0.005
    """
    return sigma**2 * slope_square / (2 * b * slope)


def smooth_limit(loop_gain: Any, variance: Any, curvature: Any) -> Any:
    """[c(0) − c''(0)]/B²: N var at strong balance of activity that is smooth in time, as in chaos, without delay.

    Examples
    --------
    >>> smooth_limit(10.0, 1.0, -1.0)
    0.02
    """
    return (variance - curvature) / loop_gain**2


def closed_loop(frequency: Any, loop_gain: Any, delay: Any, xp: ModuleType = np) -> Any:
    """B/(1 + iω + B e^{−iωd}): read-out per stimulus of angular frequency ω, for small modulation.

    Examples
    --------
    >>> complex(closed_loop(0.0, 3.0, 0.1))
    (0.75+0j)
    """
    unit = 1j if xp is np else xp.I
    return loop_gain / (1 + unit * frequency + loop_gain * xp.exp(-unit * frequency * delay))


def hopf_point(angle: Any, xp: ModuleType = np) -> tuple[Any, Any, Any]:
    """(B, ω, d) on the Hopf boundary, by the angle y = ω d in (π/2, π): B = −1/cos y, ω = −tan y, d = −y/tan y.

    Where 1 + iω + B e^{−iωd} = 0.

    Examples
    --------
    >>> [round(float(v), 6) for v in hopf_point(3 * np.pi / 4)]
    [1.414214, 1.0, 2.356194]
    """
    return -1 / xp.cos(angle), -xp.tan(angle), -angle / xp.tan(angle)


def small_delay_variance(strength: Any, xp: ModuleType = np) -> Any:
    """(1 + sin y)/(2y cos y): N var/(σ²d) for linear φ as d → 0 at the loop gain B = y/d.

    Its minimum, 1.531919, is where y = cos y = 0.739085, at 0.4705 of the Hopf boundary y = π/2.

    Examples
    --------
    >>> round(float(small_delay_variance(0.7390851332151607)), 6)
    1.531919
    """
    positive("strength", strength)
    return (1 + xp.sin(strength)) / (2 * strength * xp.cos(strength))


def error_exponents(growth: Any) -> tuple[Any, Any]:
    """Exponents of N in (standard deviation, bias) when the balance grows as b ∝ N^χ: −(1 + χ)/2 and −χ.

    At χ = 1 the error falls as 1/N, faster than the 1/√N of independent neurons. This needs d = 0 or d ∝ 1/N.

    Examples
    --------
    >>> error_exponents(1.0)
    (-1.0, -1.0)
    """
    within("growth", growth, 0.0, 1.0)
    return -(1 + growth) / 2, -growth


def frozen_exponent(g: Any, slope_square: Any, xp: ModuleType = np) -> Any:
    """−1 + g √(E φ'²): largest Lyapunov exponent of a frozen state; chaos begins where it is 0.

    Examples
    --------
    >>> float(frozen_exponent(1.0, 1.0))
    0.0
    """
    return g * xp.sqrt(slope_square) - 1


def euler_variance(loop_gain: Any, sigma: Any, step: Any, xp: ModuleType = np) -> Any:
    """σ²/(2a (1 − B tanh(dt/2))): N var that the exponential Euler scheme gives for linear φ without delay.

    Notes
    -----
    Stationary variance of x̂ ← (ε − (1 − ε)B) x̂ + noise of variance σ²(1 − ε²)/2 with ε = e^{−dt}; derived here. The
    excess 1/(1 − B dt/2) is that of a feedback which lags by half a step.

    Examples
    --------
    >>> float(euler_variance(1.0, 2.0, 0.0))
    1.0
    """
    return sigma**2 / (2 * (1 + loop_gain) * (1 - loop_gain * xp.tanh(step / 2)))
