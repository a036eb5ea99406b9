"""Random couplings: dynamic mean-field theory, the onset of chaos, the largest Lyapunov exponent.

Seen from one neuron, the others' activity through g G is a Gaussian field. Around w m its autocovariance Δ(τ) obeys

    Δ'' = Δ − g² C(Δ),   Δ'(0⁺) = −σ²/2,   C(Δ) = E[φ(h)φ(h')] where h and h' have mean m, variance Δ₀, covariance Δ,

whatever the delay (Sompolinsky, Crisanti & Sommers 1988; Schuecker, Goedeke & Helias 2018 with noise). C is a power
series in Δ/Δ₀ with the coefficients c_n² of `averages.hermite_powers`, none of them negative, so that the potential
V(Δ) = −Δ²/2 + g² ∫C needs no double average.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq

from linfa._check import real_array, real_number
from linfa.neighbours.balanced.averages import (
    Averages,
    averages,
    balance_and_stimulus,
    balanced_field,
    grid,
    hermite_powers,
)
from linfa.neighbours.balanced.closed_forms import frozen_exponent, frozen_variance_between

# Distance to the end of the orbit, relative to its length, at which it is taken for the exponential that it becomes.
_CLOSE = 1e-6
# Orbits shorter than this part of Δ₀ follow a series of three terms to 1e-12 of their size.
_SHORT = 1e-4
# Beyond these the series in Δ/Δ₀ takes more terms than are kept.
STRONGEST = 20.0
# Of the quadrature of V': nodes crowd at Δ₀, where the series converges slowest.
_NODES = 120
# ln q up to which the onset of chaos is searched.
_LARGEST = 18.0


@dataclass(frozen=True)
class Disorder:
    """Fluctuations of the field in a tanh network with random couplings; see `dynamic_mean_field`.

    Attributes
    ----------
    g, sigma : float
    field : float
        m.
    variance, static : float
        Δ₀, all of the variance around w m, and Δ_∞, the part that is frozen in time.
    powers : array
        c_n² at Δ₀, so that C(Δ) = Σ c_n² (Δ/Δ₀)ⁿ.
    averages : Averages
        At (m, Δ₀).
    """

    g: float
    sigma: float
    field: float
    variance: float
    static: float
    powers: np.ndarray = field(repr=False)
    averages: Averages = field(repr=False)

    @property
    def chaotic(self) -> bool:
        """Whether activity fluctuates without noise."""
        return self.sigma == 0 and self.variance > self.static

    def product(self, covariance: np.ndarray, order: int = 0) -> np.ndarray:
        """C(Δ), or its derivative of the given order, E[φ^(k)(h) φ^(k)(h')]."""
        coefficients = self.powers
        for _ in range(order):
            coefficients = coefficients[1:] * np.arange(1, len(coefficients))
        if len(coefficients) == 0:
            return np.zeros_like(np.asarray(covariance, dtype=float))
        ratio = np.asarray(covariance, dtype=float) / self.variance
        # Horner's rule on all points at once; terms beyond rounding cost nothing to speak of.
        return np.polynomial.polynomial.polyval(ratio, coefficients) / self.variance**order

    @cached_property
    def _orbit(self) -> tuple[object, float, float]:
        """Δ and Δ' over time counted back from the end of the orbit, its duration, and the rate of its last decay."""
        span, rate = self.variance - self.static, self.decay_rate
        orders = np.arange(len(self.powers))
        bends = [self.g**2 * float(self.product(self.static, k)) for k in (1, 2, 3)]

        def flow(_: float, state: np.ndarray) -> list[float]:
            above = span * state[0]
            if span < _SHORT * self.variance:
                # Taylor's series around the saddle, where Δ − g² C would lose its digits.
                return [state[1], state[0] * (1 - bends[0] - above * (bends[1] / 2 + above * bends[2] / 6))]
            ratio = (self.static + above) / self.variance
            return [state[1], (self.static + above - self.g**2 * (self.powers @ ratio**orders)) / span]

        # Backwards the orbit is the unstable direction of the saddle: errors at its start die out.
        slope = self.sigma**2 / (2 * span)
        turns = flow(0.0, np.ones(2))[1] < 0

        def end(_: float, state: np.ndarray) -> float:
            # Where the orbit turns, its end is met at right angles by the slope, elsewhere by the covariance.
            return state[1] - slope if turns else state[0] - 1

        end.terminal, end.direction = True, -1.0 if turns else 1.0
        begun = [_CLOSE, rate * _CLOSE]
        found = solve_ivp(
            flow, (0.0, 400.0 / rate), begun, "DOP853", dense_output=True, events=end, rtol=1e-11, atol=1e-16
        )
        return found.sol, float(found.t[-1]), rate

    @property
    def decay_rate(self) -> float:
        """√(1 − g² E[φ'φ'](Δ_∞)): rate at which Δ approaches Δ_∞."""
        square = float(1 - self.g**2 * self.product(self.static, 1))
        # At the onset of chaos it goes to 0, as the square of the distance, which rounding hides below 1e-6.
        if square < 1e-11:
            raise ValueError(
                f"g is {self.g:g}, so close to the onset of chaos that fluctuations take more than 3e5 time constants "
                f"to decay; it must be further away"
            )
        return float(np.sqrt(square))

    def between_networks(self, b: float) -> float:
        """N times the variance of the mean of x̂ between networks of other couplings, at balance b.

        Exact where activity is frozen, `closed_forms.frozen_variance_between`. Where it fluctuates, the part that
        stems from frozen fields independent from neuron to neuron, [C(Δ_∞) − (E φ)²]/(1 + b u)².
        """
        if self.static == 0:
            return 0.0
        gain = b * self.averages.slope
        if self.variance > self.static:
            return max(0.0, float(self.product(self.static) - self.powers[0])) / (1 + gain) ** 2
        z, p = grid(self.variance)
        activity = np.tanh(self.field + np.sqrt(self.variance) * z)
        first = 1 - activity**2
        second = -2 * activity * first
        around = np.stack([activity, activity**2])
        around -= (around @ p)[:, None]
        spread = (around * p) @ around.T
        return float(
            frozen_variance_between(
                gain,
                2 * b * (p @ (activity * first)),
                self.g**2 / 2 * (p @ second),
                self.g**2 * (p @ (first**2 + activity * second)),
                (spread[0, 0], spread[0, 1], spread[1, 1]),
            )
        )

    def autocovariance(self, lag: np.ndarray) -> np.ndarray:
        """Δ(τ) of the field around w m.

        Parameters
        ----------
        lag : array, or number
            τ, of either sign.
        """
        return self._path(real_array("lag", lag, (0, 1)))[0]

    def _path(self, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Δ(τ) and dΔ/d|τ|."""
        lag = np.abs(lag)
        if self.variance == self.static:
            return np.full_like(lag, self.static), np.zeros_like(lag)
        solution, duration, rate = self._orbit
        span = self.variance - self.static
        inside = solution(np.clip(duration - lag, 0.0, duration).ravel()).reshape(2, *lag.shape)
        beyond = np.exp(-rate * np.maximum(lag - duration, 0.0))
        return self.static + span * inside[0] * beyond, -span * inside[1] * beyond

    def activity(self, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """c(τ) = C(Δ(τ)) − C(Δ_∞), the temporal autocovariance of activity, and c''(τ) for τ > 0."""
        covariance, velocity = self._path(lag)
        acceleration = covariance - self.g**2 * self.product(covariance)
        value = self.product(covariance) - self.product(self.static)
        curvature = self.product(covariance, 2) * velocity**2 + self.product(covariance, 1) * acceleration
        return value, curvature

    @property
    def horizon(self) -> float:
        """Time after which c(τ) is below rounding."""
        return self._orbit[1] + 25.0 / self.decay_rate

    def lyapunov_exponent(self, points: int = 2000) -> float:
        """λ = −1 + √(−E₀), E₀ the ground state of −d²/dτ² − g² E[φ'φ'](τ): growth of small perturbations, d = 0.

        Parameters
        ----------
        points : int
            Of the coarser of two grids, whose errors of second order are extrapolated away.

        Examples
        --------
        >>> round(dynamic_mean_field(3.0, 2.0, 0.4).lyapunov_exponent(), 3)
        0.222
        """
        if self.variance == self.static:
            # A constant potential: E₀ = −g² E φ'².
            return float(frozen_exponent(self.g, self.averages.slope_square))
        coarse, fine = (self._ground_state(n) for n in (points, 2 * points))
        return float(np.sqrt(-(4 * fine - coarse) / 3) - 1)

    def _ground_state(self, points: int) -> float:
        """E₀ by central differences on the half-line; the state is even."""
        # E₀ is below −1 near chaos and below the potential's end anywhere: the state decays faster than the orbit.
        end = self._orbit[1] + 20.0 / self.decay_rate
        lag = np.linspace(0.0, end, points + 1)
        step = lag[1]
        potential = -(self.g**2) * self.product(self._path(lag)[0], 1)
        diagonal, beside = potential + 2 / step**2, np.full(points, -1 / step**2)
        # An even state has equal neighbours at 0; √2 makes the matrix symmetric.
        beside[0] *= np.sqrt(2.0)
        return float(eigh_tridiagonal(diagonal, beside, eigvals_only=True, select="i", select_range=(0, 0))[0])


def dynamic_mean_field(g: float, b: float, x: float, sigma: float = 0.0) -> Disorder:
    """Stationary state of an infinite tanh network with couplings g G, balance b and private white noise σ.

    Energy is conserved along the orbit Δ(τ): V(Δ₀) + σ⁴/8 = V(Δ_∞), with Δ_∞ the first root of Δ = g² C(Δ) and m from
    the balance at q = Δ₀. Below the onset of chaos, and without noise, Δ₀ = Δ_∞: activity is frozen.

    Parameters
    ----------
    g, b, x, sigma : float
        g ≥ 0, b ≥ 0, stimulus, σ ≥ 0.

    Returns
    -------
    Disorder

    Raises
    ------
    ValueError, TypeError
        If an argument is not such a number.

    Examples
    --------
    >>> state = dynamic_mean_field(0.0, 8.0, 0.2, 0.75)
    >>> state.variance, state.static
    (0.28125, 0.0)
    """
    g = real_number("g", g, at_least=0.0, at_most=STRONGEST)
    b, x = balance_and_stimulus(b, x)
    sigma = real_number("sigma", sigma, at_least=0.0, at_most=STRONGEST)
    if sigma == 0:
        variance = _frozen_variance(g, b, x)
        found = averages(balanced_field(b, x, variance)[0], variance)
        if g * np.sqrt(found.slope_square) > 1:
            # Where frozen activity is unstable, Δ₀ there is the second root of Δ = g² C, and V lower than at the first.
            variance = _lowest(lambda q: _energy_gap(g, b, x, sigma, q)[0], 1e-9 * variance, variance)
            return _state(g, b, x, sigma, variance, _energy_gap(g, b, x, sigma, variance)[1])
        return _state(g, b, x, sigma, variance, variance)
    low, high = sigma**2 / 2, sigma**2 / 2 + 2 * g**2
    # At low the neurons' own noise is all there is, and the gap not negative; at high it is, as C ≤ 1.
    variance = _lowest(lambda q: _energy_gap(g, b, x, sigma, q)[0], low, high) if g > 0 else low
    return _state(g, b, x, sigma, variance, _energy_gap(g, b, x, sigma, variance)[1])


def _lowest(gap: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(gap, low, high, xtol=1e-300, rtol=8.9e-16))


def _state(g: float, b: float, x: float, sigma: float, variance: float, static: float) -> Disorder:
    middle, found = balanced_field(b, x, variance)
    return Disorder(g, sigma, middle, float(variance), float(static), hermite_powers(middle, variance), found)


def _frozen_variance(g: float, b: float, x: float) -> float:
    """q = g² E φ²(m(q), q), the frozen state without noise; the largest root."""

    def surplus(variance: float) -> float:
        return g**2 * balanced_field(b, x, variance)[1].square - variance

    if g == 0 or (b * x == 0 and g <= 1):
        return 0.0
    # From q = 0 frozen activity grows if g > 1, until saturation at q − 2q² or so balances it.
    low = 0.1 * (1 - 1 / g**2) if b * x == 0 else 0.0
    return float(brentq(surplus, low, g**2, xtol=1e-300, rtol=8.9e-16))


def _energy_gap(g: float, b: float, x: float, sigma: float, variance: float) -> tuple[float, float]:
    """V(Δ₀) − V(Δ_∞) + σ⁴/8 for a trial Δ₀ with its own m, and Δ_∞, or where V rises least if there is none."""
    middle, _ = balanced_field(b, x, variance)
    powers = hermite_powers(middle, variance)
    polynomial = np.polynomial.polynomial
    slopes = powers[1:] * np.arange(1, len(powers)) / variance

    def rise(covariance: float) -> float:
        return g**2 * polynomial.polyval(covariance / variance, powers) - covariance

    def steepening(covariance: float) -> float:
        return g**2 * polynomial.polyval(covariance / variance, slopes) - 1

    # V' = g²C − Δ is convex: its first root lies before its minimum.
    if steepening(0.0) >= 0:
        static = 0.0
    else:
        static = variance if steepening(variance) <= 0 else brentq(steepening, 0.0, variance, rtol=8.9e-16)
    if rise(0.0) > 0 > rise(static):
        static = brentq(rise, 0.0, static, xtol=1e-300, rtol=8.9e-16)
    elif rise(0.0) == 0:
        static = 0.0
    # V' integrated, not V subtracted: its values are small where the orbit is short, those of V are not.
    z, w = np.polynomial.legendre.leggauss(_NODES)
    span = variance - static
    return float(span * (w / 2) @ rise(static + span * (z + 1) / 2) + sigma**4 / 8), float(static)


def chaos_onset(b: float, x: float) -> float:
    """g_c: strength of random couplings at which the frozen state of a tanh network without noise turns chaotic.

    g² E φ'² = 1 there, with q = g² E φ² and m = b (x − E φ); g_c = 1 at x = 0, whatever the balance.

    Parameters
    ----------
    b, x : float
        Balance b ≥ 0 and stimulus.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        If an argument is not such a number, or the neurons are driven so deep into saturation that g_c leaves the range
        of floating point.

    Examples
    --------
    >>> chaos_onset(10.0, 0.0)
    1.0
    >>> round(chaos_onset(1.0, 0.2), 4)
    1.2073
    """
    b, x = balance_and_stimulus(b, x)
    if b * x == 0:
        return 1.0

    def excess(logarithm: float) -> float:
        found = balanced_field(b, x, np.exp(logarithm))[1]
        return np.exp(logarithm) * found.slope_square - found.square

    # Weak fluctuations around a field that is not 0 are stable; strong ones are not: E φ'² falls as 1/√q alone.
    low, high = -40.0, -39.0
    while excess(high) <= 0:
        low, high = high, high + 1.0
        if high > _LARGEST:
            raise ValueError(
                f"b is {b:g} and x is {x:g}, at which the onset needs fluctuations of variance above "
                f"{np.exp(_LARGEST):.0e}; |x| must be smaller"
            )
    if excess(low) >= 0:
        return 1.0
    variance = np.exp(brentq(excess, low, high, xtol=1e-14))
    return float(np.sqrt(variance / balanced_field(b, x, variance)[1].square))
