"""Delay turns cancelling feedback into oscillation: the Hopf boundary, growth near it, the limit cycle beyond it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import lambertw

from linfa._check import choice, real_number
from linfa.neighbours.balanced.averages import LOUDEST, NONLINEARITIES, balance_and_stimulus, balanced_field, grid

# Longer delays than this many time constants leave exp(d) out of range; B_c is 1 there to five digits.
LONGEST_DELAY = 500.0


def hopf(delay: float) -> tuple[float, float]:
    """Loop gain B_c and angular frequency ω_c at which the balanced state starts to oscillate.

    1 + iω + B e^{−iωd} = 0:   tan(ω d) = −ω with ω d in (π/2, π),   B = √(1 + ω²);   B_c ≈ π/(2d) + 2/π for small d

    Parameters
    ----------
    delay : float
        d > 0, in time constants.

    Returns
    -------
    loop_gain, frequency : float

    Raises
    ------
    ValueError, TypeError
        If `delay` is not a number above 0: without delay no balance oscillates.

    Examples
    --------
    >>> [round(v, 6) for v in hopf(0.1)]
    [16.350554, 16.319945]
    """
    delay = real_number("delay", delay, above=0.0, at_most=LONGEST_DELAY)
    # y cos y + d sin y falls from d > 0 to −π on this interval, and so has one root.
    angle = brentq(lambda y: y * np.cos(y) + delay * np.sin(y), np.pi / 2, np.pi, xtol=1e-15, rtol=8.9e-16)
    # For short delays the tangent at π/2 loses the digits that ω = y/d keeps.
    frequency = angle / delay
    return float(np.hypot(1.0, frequency)), float(frequency)


def growth_rate(loop_gain: float, delay: float) -> complex:
    """Rightmost root of λ + 1 + B e^{−λd} = 0: −1 + W₀(−B d e^d)/d, or −1 − B without delay.

    Parameters
    ----------
    loop_gain, delay : float
        B ≥ 0, d ≥ 0.

    Returns
    -------
    complex
        Growth rate, and angular frequency (not negative).

    Examples
    --------
    >>> growth_rate(2.0, 0.0)
    (-3+0j)
    >>> abs(growth_rate(hopf(0.1)[0], 0.1).real) < 1e-12
    True
    """
    loop_gain = real_number("loop_gain", loop_gain, at_least=0.0)
    delay = real_number("delay", delay, at_least=0.0, at_most=LONGEST_DELAY)
    if delay == 0 or loop_gain == 0:
        return complex(-1.0 - loop_gain)
    root = lambertw(-loop_gain * delay * np.exp(delay)) / delay - 1
    return complex(root.real, abs(root.imag))


@dataclass(frozen=True)
class LimitCycle:
    """Oscillation of the read-out beyond the Hopf boundary: x̂ ≈ mean + amplitude cos(2πt/period)."""

    amplitude: float
    period: float
    mean: float


def limit_cycle(b: float, x: float, delay: float, sigma: float = 0.0) -> LimitCycle:
    """Amplitude, period and mean of the oscillation of a tanh network without disorder, by describing function.

    The field is taken as m₀ + A cos θ + √q z, q = σ²/2. Its first harmonic passes through tanh with the gain
    (2/A) <E_z φ cos θ>, and the loop closes where b times this gain is B_c, at the frequency of the Hopf boundary:

        b (2/A) <E_z φ(m₀ + A cos θ + √q z) cos θ>_θ = B_c,    m₀ = b (x − <E_z φ>_θ),    amplitude of x̂ = A B_c/b

    Parameters
    ----------
    b, x, delay, sigma : float
        Balance b above its critical value, stimulus, delay d > 0, noise σ ≥ 0.

    Returns
    -------
    LimitCycle

    Raises
    ------
    ValueError, TypeError
        If the balanced state is stable, so that there is no cycle; or if an argument is out of its range.

    Notes
    -----
    Higher harmonics are left out: they are damped by the neurons' own time constant, the more the shorter the delay.

    Examples
    --------
    >>> cycle = limit_cycle(25.0, 0.2, 0.1)
    >>> round(cycle.amplitude, 3), round(cycle.period, 3)
    (0.954, 0.385)
    """
    b, x = balance_and_stimulus(b, x)
    sigma = real_number("sigma", sigma, at_least=0.0, at_most=LOUDEST)
    critical, frequency = hopf(delay)
    variance = sigma**2 / 2
    _, rest = balanced_field(b, x, variance)
    if b * rest.slope <= critical:
        raise ValueError(
            f"b is {b:g}, a loop gain of {b * rest.slope:g}; it must be above the Hopf boundary, a loop gain of "
            f"{critical:g}, for a limit cycle"
        )

    def centre(amplitude: float) -> tuple[float, float]:
        """m₀, and the first harmonic of the activity."""
        cosine, activity = _activity(amplitude, variance)
        low, high = sorted((0.0, b * x))
        middle = 0.0 if low == high else brentq(lambda m: m - b * (x - activity(m).mean()), low, high, xtol=1e-14)
        return middle, 2 * float(np.mean(activity(middle) * cosine))

    # A first harmonic of a function within ±1 is at most 4/π.
    largest = 4 * b / (np.pi * critical)
    smallest = 1e-6 * largest
    amplitude = brentq(lambda a: b * centre(a)[1] / a - critical, smallest, largest, xtol=1e-12)
    middle, _ = centre(amplitude)
    return LimitCycle(float(amplitude * critical / b), float(2 * np.pi / frequency), float(x - middle / b))


def _activity(amplitude: float, variance: float) -> tuple[np.ndarray, Callable[[float], np.ndarray]]:
    """cos θ on an even grid, and a function of m₀ that gives E_z tanh(m₀ + A cos θ + √q z) there."""
    # tanh has poles at iπ/2: the integrand is analytic for |Im θ| < asinh(π/(2A)), and e^{−37} is below rounding.
    strip = np.arcsinh(np.pi / (2 * amplitude))
    count = 16 + int(np.ceil(37.0 / strip))
    cosine = np.cos(2 * np.pi * np.arange(count) / count)
    z, p = grid(variance) if variance > 0 else (np.zeros(1), np.ones(1))
    swing = amplitude * cosine[:, None] + np.sqrt(variance) * z
    return cosine, lambda middle: np.tanh(middle + swing) @ p


def critical_balance(x: float, delay: float, sigma: float = 0.0, nonlinearity: str = "tanh") -> float:
    """b_c, the balance at which b u(b) reaches the loop gain of the Hopf boundary.

    Parameters
    ----------
    x, delay, sigma : float
        Stimulus, delay d > 0, noise σ ≥ 0; noise makes neurons less steep and b_c larger.
    nonlinearity : {"tanh", "linear"}

    Returns
    -------
    float
        ∞ where saturation holds the loop gain below the boundary at any balance.

    Examples
    --------
    >>> round(critical_balance(0.2, 0.1), 5)
    16.95448
    """
    choice("nonlinearity", nonlinearity, NONLINEARITIES)
    _, x = balance_and_stimulus(0.0, x)
    sigma = real_number("sigma", sigma, at_least=0.0, at_most=LOUDEST)
    critical, _ = hopf(delay)

    def excess(b: float) -> float:
        return b * balanced_field(b, x, sigma**2 / 2, nonlinearity)[1].slope - critical

    # u ≤ 1, so that b_c is at least B_c.
    low, high = critical, 2 * critical
    while excess(high) < 0:
        low, high = high, 2 * high
        if high > 1e6 * critical:
            return float("inf")
    return float(brentq(excess, low, high, xtol=1e-12, rtol=1e-14)) if excess(low) < 0 else float(low)
