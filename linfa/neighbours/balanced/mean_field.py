"""The read-out of a balanced network: its field, its bias, its fluctuations."""

from dataclasses import dataclass

import numpy as np

from linfa._check import choice, integer, real_number
from linfa.neighbours.balanced.averages import (
    LOUDEST,
    NONLINEARITIES,
    WEIGHTS,
    balance_and_stimulus,
    balanced_field,
    hermite_powers,
)
from linfa.neighbours.balanced.closed_forms import (
    filtered_variance,
    filtered_variance_delayed,
    linear_variance,
    quenched_linear_variance,
    shared_variance,
)
from linfa.neighbours.balanced.disorder import STRONGEST, dynamic_mean_field
from linfa.neighbours.balanced.response import response
from linfa.neighbours.balanced.stability import LONGEST_DELAY, hopf


@dataclass(frozen=True)
class MeanField:
    """State of a balanced network of many neurons; see `mean_field`.

    Attributes
    ----------
    x : float
        The stimulus that is represented.
    field : float
        m: neuron i has the field w_i m on average.
    readout : float
        x̂ in the limit of many neurons.
    slope, loop_gain : float
        u = E w²φ' and B = b u.
    field_variance, frozen_variance : float
        q or Δ₀, the variance of fields around w_i m; and Δ_∞, the part of it that is frozen in time.
    n_variance : float
        N times the variance of x̂ in time from private noise and chaos; ∞ where the balanced state is unstable.
    n_frozen_variance : float
        N times the variance of the mean of x̂ between networks of other couplings; see
        `Disorder.between_networks`.
    shared_variance : float
        Variance of x̂ from noise on the stimulus: N does not divide it.
    stable : bool
        Whether feedback stays below the Hopf boundary.
    """

    x: float
    field: float
    readout: float
    slope: float
    loop_gain: float
    field_variance: float
    frozen_variance: float
    n_variance: float
    n_frozen_variance: float
    shared_variance: float
    stable: bool

    @property
    def bias(self) -> float:
        """x − x̂ in the limit of many neurons, m/b."""
        return self.x - self.readout

    def error(self, n: int) -> float:
        """Root-mean-square of x − x̂ for `n` neurons: bias, fluctuations in time and between networks together.

        Examples
        --------
        >>> round(mean_field(25.0, 0.2, 0.75).error(25), 5)
        0.02119
        """
        n = integer("n", n, at_least=1)
        return float(np.sqrt(self.bias**2 + (self.n_variance + self.n_frozen_variance) / n + self.shared_variance))


def mean_field(
    b: float,
    x: float,
    sigma: float,
    g: float = 0.0,
    delay: float = 0.0,
    *,
    nonlinearity: str = "tanh",
    weights: str = "signs",
    correlation_time: float = 0.0,
    shared: float = 0.0,
) -> MeanField:
    """Field, read-out and O(1/N) fluctuations of predictive coding in a balanced network.

    h_i' = −h_i + g Σ_j G_ij φ(h_j(t − d)) + b w_i (x − x̂(t − d)) + η_i,    x̂ = (1/N) Σ_i w_i φ(h_i),  G_ij ~ N(0, 1/N)

    m = b (x − x̂),  x̂ = E w φ(w m + √q z),  u = E w²φ',  and N var x̂ = ∫ dω/2π S_c(ω) |T(ω)|² with the autocovariance
    c(τ) of one neuron's activity and T = (1 + iω)/(1 + iω + b u e^{−iωd}) (M1–M3, F1–F5).

    Parameters
    ----------
    b : float
        Balance, ≥ 0: strength of input and of cancelling feedback.
    x : float
        Stimulus, constant in time.
    sigma : float
        Private noise σ ≥ 0: η_i = σ ξ_i with unit white ξ, time in units of the neurons' time constant.
    g : float
        Strength of random couplings, ≥ 0; below 1 for a linear network.
    delay : float
        d ≥ 0 of all couplings.
    nonlinearity : {"tanh", "linear"}
        φ.
    weights : {"signs", "gaussian"}
        w_i = ±1, or w_i ~ N(0, 1); Gaussian ones without random couplings.
    correlation_time : float
        t_n of private noise: t_n η' = −η + σ ξ, of variance σ²/(2t_n); 0 is white. Only without random couplings.
    shared : float
        s ≥ 0 of white noise on the stimulus, x + s ξ; to leading order in s.

    Returns
    -------
    MeanField

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, or the combination is not covered.

    Notes
    -----
    Source: Kadmon, Timcheck & Ganguli 2020; the delay integral in closed form is derived here. With random couplings
    the fluctuations in time leave out that those of q move x̂ as well where m ≠ 0; how much this matters is not known.
    Measured over other couplings, N var is 0.96-0.99 of theory for g ≤ 1.2 with noise (150 to 800 neurons), 0.9-1.1 for
    g = 2, and in chaos at g = 3 some 0.87 with 600 neurons, after allowing for the finite time of the runs.

    Examples
    --------
    >>> state = mean_field(8.0, 0.2, 0.75)
    >>> round(state.field, 8), round(state.slope, 8), round(state.n_variance, 8)
    (0.21524022, 0.78997508, 0.02527789)
    """
    b, x = balance_and_stimulus(b, x)
    sigma = real_number("sigma", sigma, at_least=0.0, at_most=LOUDEST)
    g = real_number("g", g, at_least=0.0, at_most=STRONGEST)
    delay = real_number("delay", delay, at_least=0.0, at_most=LONGEST_DELAY)
    linear = choice("nonlinearity", nonlinearity, NONLINEARITIES) == "linear"
    choice("weights", weights, WEIGHTS)
    tn = real_number("correlation_time", correlation_time, at_least=0.0, at_most=1e3)
    shared = real_number("shared", shared, at_least=0.0)
    if g > 0:
        if weights == "gaussian" or tn > 0:
            what = "weights is 'gaussian'" if weights == "gaussian" else f"correlation_time is {tn:g}"
            raise ValueError(f"{what} and g is {g:g}; with random couplings it must be 'signs', and noise white")
        if linear and g >= 1:
            raise ValueError(f"g is {g:g}; it must be below 1 for a linear network, which else grows without bound")
        real_number("sigma", sigma, at_most=STRONGEST)
        return (_linear_disorder if linear else _disorder)(b, x, sigma, g, delay, shared)
    variance = sigma**2 / (2 * (1 + tn))
    middle, found = balanced_field(b, x, variance, nonlinearity, weights)
    gain = b * found.slope
    stable = _stable(gain, delay)
    left = 0.0 if sigma == 0 else np.inf
    if sigma > 0 and stable:
        powers = hermite_powers(middle, variance, nonlinearity, weights)[1:]
        if tn > 0:
            left = _coloured(gain, delay, tn, powers)
        else:
            order = np.arange(1, len(powers) + 1)
            instant = delay == 0 or gain == 0
            rest = filtered_variance(gain, order) if instant else filtered_variance_delayed(gain, order, delay)
            left = float(powers @ rest)
    return _result(b, x, middle, found.mean, found.slope, (variance, 0.0), (left, 0.0), shared, delay)


def _stable(loop_gain: float, delay: float) -> bool:
    return delay == 0 or loop_gain < hopf(delay)[0]


def _result(
    b: float,
    x: float,
    middle: float,
    readout: float,
    slope: float,
    variances: tuple[float, float],
    n_variances: tuple[float, float],
    shared: float,
    delay: float,
) -> MeanField:
    gain = b * slope
    stable = _stable(gain, delay)
    common = 0.0 if shared == 0 or gain == 0 else float(shared_variance(gain, shared, delay)) if stable else np.inf
    return MeanField(x, middle, readout, slope, gain, *variances, *n_variances, common, stable)


def _coloured(loop_gain: float, delay: float, tn: float, powers: np.ndarray) -> float:
    """N var under Ornstein–Uhlenbeck noise, whose field has correlation ρ(τ) = (e^{−τ} − t_n e^{−τ/t_n})/(1 − t_n)."""
    order = np.arange(1, len(powers) + 1)

    def activity(lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = lag * (1 / tn - 1)
        # (1 − e^{−gap})/gap, 1 where the two time constants agree.
        even = np.where(np.abs(gap) < 1e-8, 1.0, -np.expm1(-gap) / np.where(gap == 0, 1.0, gap))
        rho = np.exp(-lag) * (1 + lag * even)
        velocity = -np.exp(-lag) * lag * even / tn
        acceleration = -(1 + 1 / tn) * velocity - rho / tn
        series = np.polynomial.polynomial
        first, second = powers * order, powers[1:] * order[1:] * order[:-1]
        bend = series.polyval(rho, second) if len(second) else 0.0
        return rho * series.polyval(rho, powers), series.polyval(rho, first) * acceleration + bend * velocity**2

    rule = response(loop_gain, delay, 45.0 * max(1.0, tn), min(1.0, tn))
    return rule.filtered(activity, 0.0)


def _linear_disorder(b: float, x: float, sigma: float, g: float, delay: float, shared: float) -> MeanField:
    """Linear neurons, g < 1: all in closed form but the delay's integral."""
    rate = np.sqrt(1 - g**2)
    middle, found = balanced_field(b, x, 0.0, "linear")
    frozen = g**2 * middle**2 / rate**2
    variance = frozen + sigma**2 / (2 * rate)
    if sigma == 0:
        left = 0.0
    elif not _stable(b, delay):
        left = np.inf
    elif delay == 0:
        left = float(linear_variance(b, sigma, g))
    else:
        # The closed form is 0/0 where B = g; the rule is not.
        rule = response(b, delay, 40.0 / rate)
        left = sigma**2 / 2 * rule.filtered(lambda t: (np.exp(-rate * t) / rate, rate * np.exp(-rate * t)), 1.0)
    between = float(quenched_linear_variance(b, x, g))
    return _result(b, x, middle, found.mean, 1.0, (variance, frozen), (left, between), shared, delay)


def _disorder(b: float, x: float, sigma: float, g: float, delay: float, shared: float) -> MeanField:
    """tanh neurons with random couplings, by dynamic mean-field theory."""
    state = dynamic_mean_field(g, b, x, sigma)
    found, gain = state.averages, b * state.averages.slope
    left = 0.0
    if state.variance > state.static:
        left = np.inf
        if _stable(gain, delay):
            rule = response(gain, delay, state.horizon, 0.2)
            left = rule.filtered(state.activity, sigma**2 / 2 * float(state.product(state.variance, 1)))
    variances = (state.variance, state.static)
    n_variances = (left, state.between_networks(b))
    return _result(b, x, state.field, found.mean, found.slope, variances, n_variances, shared, delay)
