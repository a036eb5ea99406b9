"""Wide networks with a scalar output: learning as one number, for backprop and for correlated feedback (B11).

N neurons with lower weights a_k and upper weights w_k of variance 1 at the start, output f = <w a>/γ with the mean over
neurons, error Δ = y − f, and richness γ (small: lazy; large: features move):

    backprop   a' = γ Δ w,  w' = γ Δ a
    FA         a' = γ Δ z,  w' = γ Δ a,      z = ρ w(0) + √(1 − ρ²) ζ

In linfa's units W1 = a/√(N γ), W2 = w/√(N γ), B = z/√(N γ), and time is γ times the time here.
Source: Bordelon & Pehlevan 2022; closed forms in time, spread at finite width and alignment derived here.
"""

from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory._assumptions import positive, within
from linfa.theory.scalar_alignment import relaxation_time


def kernel(output: Any, richness: Any, xp: ModuleType = np) -> Any:
    """H = √(1 + γ² f²) = <a²> = <w²> under backprop, with which Δ' = −2 H Δ (B11).

    Examples
    --------
    >>> float(kernel(0.0, 1.0))
    1.0
    """
    return xp.sqrt(1 + richness**2 * output**2)


def backprop_lift(t: Any, y: Any, richness: Any, xp: ModuleType = np) -> Any:
    """x(t) with γf = (x − 1/x)/2 under backprop: x' = 1 + 2Sx − x² from x(0) = 1, S = γ y (B11; derived here).

    x = (x₊ + x₋ q)/(1 + q),   q = (x₊ − 1)/(1 − x₋) e^{−2Rt},   x± = S ± R,   R = √(1 + S²)

    Parameters
    ----------
    t, y, richness : time ≥ 0, target, γ > 0
    xp : namespace of `exp`, `sqrt`

    Examples
    --------
    >>> float(backprop_lift(0.0, 1.0, 2.0))
    1.0
    """
    positive("richness", richness)
    goal = richness * y
    speed = xp.sqrt(1 + goal**2)
    high, low = goal + speed, goal - speed
    fading = xp.exp(-2 * speed * t) * (high - 1) / (1 - low)
    return (low * fading + high) / (fading + 1)


def backprop_output(t: Any, y: Any, richness: Any, xp: ModuleType = np) -> Any:
    """f(t) = (x − 1/x)/(2γ) of an infinitely wide network under backprop, from f(0) = 0; arguments as `backprop_lift`.

    Solves f' = 2 H (y − f) with H = √(1 + γ²f²) (B11; closed form derived here).

    Examples
    --------
    >>> float(backprop_output(0.0, 1.0, 2.0)), round(float(backprop_output(50.0, 1.0, 2.0)), 12)
    (0.0, 1.0)
    """
    x = backprop_lift(t, y, richness, xp)
    return (x - 1 / x) / (2 * richness)


def alignment_output(u: Any, richness: Any, correlation: Any) -> Any:
    """f = ((1 + ρ) u + u³/2)/γ, where u' = γ Δ is what every neuron has been taught so far (B11).

    Examples
    --------
    >>> alignment_output(1.0, 1.0, 0.5)
    2.0
    """
    return ((1 + correlation) * u + u**3 / 2) / richness


def alignment_kernel(u: Any) -> Any:
    """H = <a²> = 1 + u² under feedback alignment (B11).

    Examples
    --------
    >>> alignment_kernel(2.0)
    5.0
    """
    return 1 + u**2


def alignment_cosine(u: Any, correlation: Any, xp: ModuleType = np) -> Any:
    """cos(w, z) = (ρ + u²/2)/√(1 + (1 + ρ) u² + u⁴/4): weights turn to the feedback as u grows (B11; derived here).

    Examples
    --------
    >>> float(alignment_cosine(0.0, 0.3))
    0.3
    """
    within("correlation", correlation, -1.0, 1.0)
    return (correlation + u**2 / 2) / xp.sqrt(1 + (1 + correlation) * u**2 + u**4 / 4)


def alignment_end(y: Any, richness: Any, correlation: Any, xp: ModuleType = np) -> Any:
    """u∞, the root of (1 + ρ) u + u³/2 = γ y: how far features have moved in the end (B11).

    u∞ = 2 √(2(1 + ρ)/3) sinh(⅓ asinh(γ y √27/(2√2 (1 + ρ)^{3/2})));  it falls with ρ: feedback that starts less
    aligned makes richer features.

    Parameters
    ----------
    y, richness, correlation : target, γ > 0, ρ > −1
    xp : namespace of `sqrt`, `sinh`, `asinh`

    Examples
    --------
    >>> round(float(alignment_end(1.5, 1.0, 0.0)), 12)
    1.0
    """
    positive("richness", richness)
    positive("1 + correlation", 1 + correlation)
    slope = 1 + correlation
    size = 2 * xp.sqrt(2 * slope / 3)
    return size * xp.sinh(xp.asinh(3 * richness * y / (slope * size)) / 3)


def alignment_time(
    u: Any, y: float, richness: float, correlation: float, moments: tuple[float, ...] | None = None
) -> np.ndarray:
    """Time at which u is reached, u' = γ y − (1 + ρ) u − u³/2 from zero, in closed form with complex logarithms (B11).

    This is the cubic flow of scalar alignment (B3) with b s = γ y and c = −2(1 + ρ).

    Parameters
    ----------
    u : array, between 0 and u∞
    y, richness, correlation : target, γ, ρ
    moments : (<wa>, <wz> + <aa>, <az>, <zz>) at the start, optional
        Of a network of finite width, for which u' = γ y − <wa> − (<wz> + <aa>) u − (3/2)<az> u² − <zz> u³/2 holds
        exactly; None means their limits (0, 1 + ρ, 0, 1).

    Examples
    --------
    >>> float(alignment_time(0.0, 1.0, 1.0, 0.0))
    0.0
    """
    roots, cube = _roots(y, richness, correlation, moments)
    return np.real(relaxation_time(np.asarray(u, dtype=float), 0.0, roots, cube))


def finite_end(y: float, richness: float, moments: tuple[float, ...]) -> float:
    """u∞ of a network of finite width with the given moments at the start: the first zero of u' (B11; derived here).

    Examples
    --------
    >>> round(finite_end(1.5, 1.0, (0.0, 1.0, 0.0, 1.0)), 12)
    1.0
    """
    roots, _ = _roots(y, richness, 0.0, moments)
    velocity = richness * y - moments[0]
    real = roots.real[np.abs(roots.imag) < 1e-9 * np.abs(roots).max()]
    return float(real[real > 0].min() if velocity > 0 else real[real < 0].max())


def _roots(y: float, richness: float, correlation: float, moments: tuple[float, ...] | None) -> tuple:
    constant, linear, square, cube = (0.0, 1.0 + correlation, 0.0, 1.0) if moments is None else moments
    return np.roots([cube / 2, 1.5 * square, linear, constant - richness * y]).astype(complex), cube


def end_spread(y: Any, richness: Any, correlation: Any, neurons: Any, xp: ModuleType = np) -> Any:
    """Standard deviation of u∞ between networks of N neurons, to leading order in 1/√N (B11; derived here).

    √(v/N)/(1 + ρ + (3/2)u²),   v = 1 + (3 + 3ρ + ρ²) u² + (9/4 + 2ρ) u⁴ + u⁶/2

    Parameters
    ----------
    y, richness, correlation, neurons : target, γ, ρ, N; u = u∞

    Notes
    -----
    v is the variance over neurons of w a as a function of u, for Gaussian a, w, ζ.

    Examples
    --------
    >>> float(end_spread(0.0, 1.0, 0.0, 100))
    0.1
    """
    positive("neurons", neurons)
    u = alignment_end(y, richness, correlation, xp)
    return xp.sqrt(neuron_variance(u, correlation) / neurons) / (1 + correlation + 3 * u**2 / 2)


def neuron_variance(u: Any, correlation: Any) -> Any:
    """v = 1 + (3 + 3ρ + ρ²) u² + (9/4 + 2ρ) u⁴ + u⁶/2: variance of w a between neurons at given u (B11).

    Examples
    --------
    >>> neuron_variance(0.0, 0.5)
    1.0
    """
    return 1 + (3 + 3 * correlation + correlation**2) * u**2 + (9 + 8 * correlation) * u**4 / 4 + u**6 / 2
