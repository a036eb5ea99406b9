"""Balanced predictive coding: reference values, independent oracles, limits, bad input, bits."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq, minimize_scalar

from linfa import claims
from linfa.neighbours import balanced
from linfa.neighbours.balanced import averages as one_neuron
from linfa.neighbours.balanced import closed_forms
from linfa.neighbours.balanced.response import response

X, SIGMA = 0.2, 0.75


@pytest.mark.parametrize(
    ("b", "field", "readout", "slope", "gain", "n_variance"),
    [
        (0.5, 0.07115974, 0.05768053, 0.80899872, 0.404499, 0.13409824),
        (8.0, 0.21524022, 0.17309497, 0.78997508, 6.319801, 0.02527789),
        (128.0, 0.24698634, 0.19807042, 0.78333242, 100.266549, 0.00183121),
    ],
)
def test_mean_field_agrees_with_the_reference_to_all_digits(b, field, readout, slope, gain, n_variance):
    state = balanced.mean_field(b, X, SIGMA)
    # Half a unit of the last digit given, and a little.
    for found, expected, digits in (
        (state.field, field, 8),
        (state.readout, readout, 8),
        (state.slope, slope, 8),
        (state.loop_gain, gain, 6),
        (state.n_variance, n_variance, 8),
    ):
        assert abs(found - expected) < 0.6 * 10.0**-digits
    assert state.bias == pytest.approx(state.field / b, rel=1e-12)


@pytest.mark.parametrize(
    ("delay", "gain", "frequency"),
    [(0.02, 79.177640, 79.171325), (0.1, 16.350554, 16.319945), (1.0, 2.261826, 2.028758)],
)
def test_hopf_agrees_with_the_reference(delay, gain, frequency):
    assert balanced.hopf(delay) == pytest.approx((gain, frequency), abs=6e-7)
    gain, frequency = balanced.hopf(delay)
    # Of the size of rounding times ω.
    assert abs(1 + 1j * frequency + gain * np.exp(-1j * frequency * delay)) < 1e-12 * gain


def test_other_reference_values():
    assert balanced.critical_balance(0.2, 0.1) == pytest.approx(16.95448, abs=6e-6)
    gain, n_variance = balanced.optimal_loop_gain(0.05)
    assert gain == pytest.approx(14.5181, abs=6e-5)
    assert n_variance == pytest.approx(0.07007, abs=6e-6)
    for b, onset in ((1.0, 1.2073), (50.0, 1.3913), (1e4, 1.4016)):
        assert balanced.chaos_onset(b, 0.2) == pytest.approx(onset, abs=6e-5)
    assert balanced.chaos_onset(50.0, 0.0) == 1.0


def test_dynamic_mean_field_agrees_with_the_reference_within_its_stated_error():
    """The reference was computed with a quadrature that is off by 1e-5 to 1e-2 at such variances."""
    state, chaos = balanced.mean_field(2.0, 0.4, 0.0, 3.0), balanced.dynamic_mean_field(3.0, 2.0, 0.4)
    expected = {
        state.field: 0.49303,
        chaos.variance: 5.69248,
        chaos.static: 1.53959,
        state.slope: 0.30742,
        state.readout: 0.15349,
        state.n_variance: 0.218568,
        state.n_frozen_variance: 0.056566,
        chaos.lyapunov_exponent(): 0.2220,
    }
    assert list(expected) == pytest.approx(list(expected.values()), rel=2e-3)
    assert chaos.chaotic


@pytest.mark.parametrize(("field", "variance"), [(0.3, 0.0), (0.3, 0.28), (1.2, 4.0), (-0.7, 90.0)])
def test_averages_against_adaptive_quadrature(field, variance):
    root, found = np.sqrt(variance), one_neuron.averages(field, variance)
    for function, value in (
        (np.tanh, found.mean),
        (lambda h: np.tanh(h) ** 2, found.square),
        (lambda h: np.cosh(h) ** -2.0, found.slope),
        (lambda h: np.cosh(h) ** -4.0, found.slope_square),
    ):
        bend = [0.0] if root == 0 else [-field / root]
        whole = quad(
            lambda z, f=function: f(field + root * z) * np.exp(-z * z / 2),
            -9.0,
            9.0,
            points=bend,
            epsabs=1e-13,
            limit=300,
        )[0]
        assert value == pytest.approx(whole / np.sqrt(2 * np.pi), abs=2e-12)


def test_averages_over_gaussian_weights_against_a_double_sum():
    field, variance = 0.9, 0.4
    z = np.linspace(-10, 10, 401)
    p = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    h = z[:, None] * field + np.sqrt(variance) * z
    found = one_neuron.averages(field, variance, weights="gaussian")
    assert found.mean == pytest.approx((p * z) @ np.tanh(h) @ p, rel=1e-12)
    assert found.slope == pytest.approx((p * z**2) @ (1 - np.tanh(h) ** 2) @ p, rel=1e-12)
    powers = one_neuron.hermite_powers(field, variance, weights="gaussian")
    # c(0) + E w²(E φ)² = E w²φ²; the series stops 1e-14 short.
    assert powers.sum() == pytest.approx((p * z**2) @ np.tanh(h) ** 2 @ p, rel=1e-12)


def test_gaussian_weights_have_the_derivative_of_the_readout_as_slope():
    h = 1e-5
    ahead, back = (one_neuron.averages(0.8 + s, 0.3, weights="gaussian").mean for s in (h, -h))
    assert one_neuron.averages(0.8, 0.3, weights="gaussian").slope == pytest.approx((ahead - back) / (2 * h), rel=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 1e4), st.floats(-3.0, 3.0), st.floats(0.0, 3.0))
def test_balance_holds_and_is_odd_in_the_stimulus(b, x, sigma):
    state, mirrored = balanced.mean_field(b, x, sigma), balanced.mean_field(b, -x, sigma)
    # The root is found to rounding of m; x̂ then is to 1/b of it and its own.
    assert abs(state.field - b * (x - state.readout)) <= 1e-12 * (1 + b)
    assert mirrored.readout == pytest.approx(-state.readout, abs=1e-14)
    assert mirrored.n_variance == pytest.approx(state.n_variance, rel=1e-9, abs=1e-16)
    assert 0 <= state.n_variance <= 1.0
    assert abs(state.readout) <= abs(x) + 1e-15


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.97), st.floats(0.02, 8.0), st.floats(0.3, 30.0))
def test_closed_delay_integral_is_the_rule_that_solves_the_delay_equation(fraction, delay, rate):
    gain = fraction * balanced.hopf(delay)[0]
    if abs(rate**2 + gain**2 - 1) < 1e-3:
        return
    rule = response(gain, delay, 45.0 / rate, 1.0 / rate)
    found = rule.filtered(lambda t: (np.exp(-rate * t), rate**2 * np.exp(-rate * t)), rate)
    # Both to rounding times the condition of 1/(r² + l²), at most 1e3.
    assert found == pytest.approx(float(closed_forms.filtered_variance_delayed(gain, rate, delay)), rel=1e-10)


def test_autocovariance_with_delay_against_direct_integration_of_its_equation():
    """K' = −K − B K(τ − d), K even: by a Runge–Kutta method over the first delay, which needs no past but itself."""
    gain, delay = 3.0, 0.4
    start = float(closed_forms.delay_variance(gain, delay))

    def flow(_, pair):
        # K at τ and at d − τ.
        return [-pair[0] - gain * pair[1], pair[1] + gain * pair[0]]

    middle = float(closed_forms.delay_autocovariance(gain, delay, delay / 2))
    run = solve_ivp(flow, (delay / 2, 0.0), [middle, middle], rtol=1e-11, atol=1e-13)
    assert run.y[0, -1] == pytest.approx(start, rel=1e-9)
    # Stationarity: the noise feeds what leak and feedback take, 2 K'(0⁺) = −1.
    assert -start - gain * run.y[1, -1] == pytest.approx(-0.5, rel=1e-9)


def test_limits_of_delay_and_loop_gain():
    rates = np.array([1.0, 2.0, 7.0])
    short = closed_forms.filtered_variance_delayed(4.0, rates, 1e-9)
    # First order in the delay.
    assert short == pytest.approx(closed_forms.filtered_variance(4.0, rates), rel=1e-7)
    assert closed_forms.delay_variance(1.0, 2.0) == pytest.approx(closed_forms.delay_variance(1 + 1e-9, 2.0), rel=1e-8)
    # So long a delay is independent noise to the neurons: variance 1/(2√(1 − B²)).
    assert closed_forms.delay_variance(0.6, 1e4) == pytest.approx(1 / 1.6, rel=1e-12)
    assert balanced.mean_field(0.0, X, SIGMA, delay=0.3).n_variance == pytest.approx(
        balanced.mean_field(0.0, X, SIGMA).n_variance, rel=1e-12
    )
    near = balanced.mean_field(16.95, X, 1e-6, delay=0.1)
    assert near.stable
    assert near.n_variance > 1e2 * balanced.mean_field(8.0, X, 1e-6, delay=0.1).n_variance
    beyond = balanced.mean_field(17.0, X, 1e-6, delay=0.1)
    assert not beyond.stable
    assert beyond.n_variance == np.inf


def test_coloured_noise_approaches_white_noise_and_agrees_with_the_linear_closed_form():
    white = balanced.mean_field(6.0, X, SIGMA).n_variance
    # First order in the correlation time: a t_n = 6e-6.
    assert balanced.mean_field(6.0, X, SIGMA, correlation_time=1e-6).n_variance == pytest.approx(white, rel=3e-5)
    for tn in (0.2, 1.0, 1.0 + 1e-10, 5.0):
        found = balanced.mean_field(6.0, X, SIGMA, nonlinearity="linear", correlation_time=tn).n_variance
        assert found == pytest.approx(closed_forms.coloured_variance(6.0, SIGMA, tn), rel=1e-11)


def test_weak_disorder_and_weak_noise_join_the_theories_without_them():
    plain, weak = balanced.mean_field(5.0, X, SIGMA), balanced.mean_field(5.0, X, SIGMA, g=1e-4)
    # Second order in g.
    assert weak.n_variance == pytest.approx(plain.n_variance, rel=1e-6)
    assert weak.readout == pytest.approx(plain.readout, rel=1e-6)
    frozen, stirred = balanced.mean_field(2.0, X, 0.0, g=0.9), balanced.mean_field(2.0, X, 1e-4, g=0.9)
    assert stirred.frozen_variance == pytest.approx(frozen.frozen_variance, rel=1e-6)
    # Linear response around the frozen state: N var ∝ σ².
    twice = balanced.mean_field(2.0, X, 2e-4, g=0.9)
    assert twice.n_variance == pytest.approx(4 * stirred.n_variance, rel=1e-4)
    assert frozen.n_variance == 0.0


def test_small_tanh_networks_are_linear():
    options = {"g": 0.6, "delay": 0.2}
    small = balanced.mean_field(2.0, 1e-4, 1e-4, **options)
    linear = balanced.mean_field(2.0, 1e-4, 1e-4, nonlinearity="linear", **options)
    # Cubic corrections are 1e-8.
    for name in ("field", "readout", "field_variance", "frozen_variance", "n_variance", "n_frozen_variance"):
        assert getattr(small, name) == pytest.approx(getattr(linear, name), rel=1e-6), name


def test_orbit_of_the_autocovariance_conserves_energy_and_meets_its_ends():
    for g, b, x, sigma in ((3.0, 2.0, 0.4, 0.0), (1.2, 4.0, 0.2, 0.75), (3.0, 8.0, 0.0, 0.0), (0.7, 3.0, 0.5, 0.3)):
        state = balanced.dynamic_mean_field(g, b, x, sigma)
        lag = np.linspace(0.0, 12.0, 1201)
        covariance = state.autocovariance(lag)
        assert covariance[0] == pytest.approx(state.variance, rel=1e-9)
        assert (np.diff(covariance) <= 1e-12).all()
        # Fourth-order differences of spacing 0.01.
        h = lag[1]
        inner = (covariance[:-4] - 8 * covariance[1:-3] + 8 * covariance[3:-1] - covariance[4:]) / (12 * h)
        height = [quad(lambda v, s=state: s.g**2 * s.product(v) - v, 0.0, c)[0] for c in covariance[2:-2:100]]
        energy = inner[::100] ** 2 / 2 + np.array(height)
        # Of energies of order Δ₀², here up to 30.
        assert energy == pytest.approx(np.full_like(energy, energy[0]), abs=1e-8)
        bend = float(state.variance - g**2 * state.product(state.variance))
        slope = (covariance[1] - covariance[0]) / h - h / 2 * bend
        assert slope == pytest.approx(-(sigma**2) / 2, abs=2e-4)
        assert np.array_equal(covariance, state.autocovariance(-lag))


def test_series_of_products_is_the_average_over_two_correlated_fields():
    state = balanced.dynamic_mean_field(3.0, 2.0, 0.4)
    z = np.linspace(-9, 9, 721)
    p = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    for covariance in (state.static, 3.0, 0.98 * state.variance):
        shared, own = np.sqrt(covariance), np.sqrt(state.variance - covariance)
        inner = np.tanh(state.field + shared * z[:, None] + own * z) @ p
        # The sum over an even grid is off by 1e-10 where tanh is as steep as here.
        assert float(state.product(covariance)) == pytest.approx(p @ inner**2, rel=1e-8)


def test_lyapunov_exponent_of_a_frozen_state_and_convergence_of_the_grid():
    onset = balanced.chaos_onset(3.0, 0.4)
    assert balanced.dynamic_mean_field(onset, 3.0, 0.4).lyapunov_exponent() == pytest.approx(0.0, abs=1e-6)
    below = balanced.dynamic_mean_field(0.98 * onset, 3.0, 0.4)
    above = balanced.dynamic_mean_field(1.05 * onset, 3.0, 0.4)
    assert not below.chaotic
    assert below.lyapunov_exponent() < 0 < above.lyapunov_exponent()
    chaos = balanced.dynamic_mean_field(3.0, 2.0, 0.4)
    assert chaos.lyapunov_exponent() == pytest.approx(chaos.lyapunov_exponent(points=500), abs=1e-6)


def test_balance_suppresses_chaos():
    """With a stimulus the onset rises with balance and the exponent falls."""
    onsets = [balanced.chaos_onset(b, 0.4) for b in (0.1, 1.0, 10.0, 100.0)]
    assert (np.diff(onsets) > 0).all()
    exponents = [balanced.dynamic_mean_field(3.0, b, 0.4).lyapunov_exponent() for b in (0.5, 2.0, 8.0)]
    assert (np.diff(exponents) < 0).all()


def test_growth_rate_is_the_rightmost_root():
    gain, delay = 12.0, 0.1
    root = balanced.growth_rate(gain, delay)
    assert abs(root + 1 + gain * np.exp(-root * delay)) < 1e-11
    assert balanced.growth_rate(balanced.hopf(delay)[0], delay).real == pytest.approx(0.0, abs=1e-11)
    # Newton's method from a grid of starts finds no root further to the right.
    starts = (np.linspace(-20, 20, 21)[:, None] + 1j * np.linspace(0, 200, 41)).ravel()
    for _ in range(60):
        with np.errstate(over="ignore", invalid="ignore"):
            fading = gain * np.exp(-starts * delay)
            starts = starts - (starts + 1 + fading) / (1 - delay * fading)
    found = starts[np.isfinite(starts)]
    found = found[np.abs(found + 1 + gain * np.exp(-found * delay)) < 1e-9]
    assert len(found) > 100
    assert found.real.max() == pytest.approx(root.real, abs=1e-9)


def test_limit_cycle_solves_its_two_equations_and_starts_at_the_boundary():
    b, delay = 25.0, 0.1
    cycle = balanced.limit_cycle(b, X, delay)
    critical, frequency = balanced.hopf(delay)
    amplitude, middle = cycle.amplitude * b / critical, b * (X - cycle.mean)
    half = [
        quad(lambda a, w=weight: np.tanh(middle + amplitude * np.cos(a)) * w(a), 0, np.pi)[0] / np.pi
        for weight in (np.cos, lambda a: 1.0)
    ]
    assert b * 2 * half[0] / amplitude == pytest.approx(critical, rel=1e-9)
    assert half[1] == pytest.approx(cycle.mean, abs=1e-10)
    assert cycle.period == pytest.approx(2 * np.pi / frequency)
    onset = balanced.critical_balance(X, delay)
    # Amplitude grows as the root of the distance: 1e-3 of it from one of 1e-6.
    assert balanced.limit_cycle(onset * (1 + 1e-6), X, delay).amplitude < 5e-3


def test_optima_against_a_search_of_their_own():
    best = balanced.optimal_balance(400, X, SIGMA, delay=0.1)
    nearby = [balanced.mean_field(best.b * f, X, SIGMA, delay=0.1).error(400) for f in (0.98, 1.02)]
    assert best.error < min(nearby)
    found = minimize_scalar(
        lambda b: balanced.mean_field(b, X, SIGMA, delay=0.1).error(400), bounds=(5.0, 20.0), method="bounded"
    )
    assert best.error == pytest.approx(found.fun, rel=1e-9)
    angle = brentq(lambda y: y - np.cos(y), 0, 1)
    # The relative distance from the limit is of order d.
    assert balanced.optimal_loop_gain(1e-5)[0] * 1e-5 == pytest.approx(angle, rel=1e-4)
    assert balanced.optimal_loop_gain(50.0) == (0.0, 0.5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delay": 0.1},
        {"g": 0.8},
        {"correlation_time": 0.5},
        {"shared": 0.03},
        {"nonlinearity": "linear"},
        {"nonlinearity": "linear", "g": 0.7, "delay": 0.1},
    ],
    ids=str,
)
def test_simulation_agrees_with_theory(options):
    n, b = 200, 6.0
    state = balanced.mean_field(b, X, SIGMA, **options)
    run = balanced.simulate(n, b, X, SIGMA, duration=150.0, seed=3, step=0.02, trajectories=4, **options)
    found = run.statistics()
    # One draw of couplings moves the mean of a network by √(n_frozen/n); fluctuations in time are measured.
    spread = np.hypot(found["mean"][1], np.sqrt(state.n_frozen_variance / n))
    assert abs(found["mean"][0] - state.readout) < 4 * spread + 1e-4
    expected = state.n_variance / n + state.shared_variance
    # The measured standard error, four times; 1 % for the scheme and 1/N for the couplings.
    assert abs(found["variance"][0] / expected - 1) < 4 * found["variance"][1] / expected + 0.02


def test_second_order_scheme_converges_as_it_should():
    """Without noise the transient is a smooth function of the step: errors fall by four when it is halved."""
    start = np.full(3, 0.9)
    for delay in (0.0, 0.1):
        ends = []
        for step in (0.02, 0.01, 0.005, 0.0025):
            options = {"delay": delay, "duration": 0.4, "burn_in": 0.0, "start": start, "step": step}
            ends.append(balanced.simulate(3, 5.0, 0.3, 0.0, **options).readout[-1])
        ratios = np.diff(ends)[:-1] / np.diff(ends)[1:]
        assert ratios == pytest.approx(np.full(2, 4.0), rel=0.15)


def test_simulated_transient_against_an_integrator_of_scipy():
    n, b, g, x = 12, 3.0, 1.5, 0.4
    run = balanced.simulate(n, b, x, 0.0, g, 0.0, 5.0, 7, burn_in=0.0, start=np.linspace(-1, 1, n), step=0.002)
    from linfa.neighbours.balanced.simulation import _couplings

    w, coupling = _couplings(n, g, "signs", 7)

    def flow(_, h):
        activity = np.tanh(h)
        return -h + activity @ coupling + b * w * (x - w @ activity / n)

    exact = solve_ivp(flow, (0, 5), np.linspace(-1, 1, n), t_eval=run.t, rtol=1e-10, atol=1e-12)
    # Second order: (b dt)² = 4e-5 of the speed of the transient.
    assert np.abs(np.tanh(exact.y).T @ w / n - run.readout).max() < 5e-5


def test_stimulus_may_vary_in_time():
    run = balanced.simulate(2, 3.0, lambda t: np.where(t <= 0, 0.0, 0.3), 0.0, duration=10.0, seed=1)
    still = balanced.mean_field(3.0, 0.3, 0.0)
    assert abs(run.readout[0]) < 1e-6
    assert run.readout[-1] == pytest.approx(still.readout, abs=1e-9)


@pytest.mark.slow
def test_same_seed_same_bits_whatever_the_blocks_and_threads(monkeypatch):
    from linfa.neighbours.balanced import simulation

    arguments = (40, 5.0, X, SIGMA, 0.9, 0.1, 8.0, 11)
    first = balanced.simulate(*arguments, trajectories=3)
    monkeypatch.setattr(simulation, "_BLOCK", 1000)
    again = balanced.simulate(*arguments, trajectories=3)
    assert np.array_equal(first.readout, again.readout)
    assert np.array_equal(first.field, again.field)
    assert not np.array_equal(first.readout, balanced.simulate(*arguments[:-1], 12, trajectories=3).readout)
    code = (
        "from linfa.neighbours import balanced; import hashlib;"
        f"print(hashlib.sha256(balanced.simulate(*{arguments}, trajectories=3).readout.tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_grid_of_times():
    run = balanced.simulate(5, 1.0, X, SIGMA, delay=0.07, duration=2.0, step=0.02)
    assert run.step == pytest.approx(0.07 / 4)
    assert run.t[0] == 0
    assert run.t[-1] == pytest.approx(2.0, abs=run.step)
    assert run.readout.shape == run.t.shape
    assert run.field.shape == (5,)
    several = balanced.simulate(5, 1.0, X, SIGMA, duration=1.0, trajectories=2)
    assert several.readout.shape == (2, len(several.t))
    assert several.t[-1] == pytest.approx(1.0)
    single = balanced.simulate(1, 1.0, X, SIGMA, 0.5, duration=1.0)
    assert np.isfinite(single.readout).all()


# Where theory is wrong by a little, the claim that rests on it must fail.
MUTATIONS = {
    "balanced-hopf-boundary": ("linfa.claims.balanced", "hopf_point", lambda f: lambda y: (1.001 * f(y)[0], *f(y)[1:])),
    "balanced-optimum": ("linfa.claims.balanced", "small_delay_variance", lambda f: lambda y: 1.01 * f(y)),
    "balanced-delay-integral": (
        "linfa.claims.balanced",
        "filtered_variance_delayed",
        lambda f: lambda b, r, d: f(b, r, 1.001 * d),
    ),
    "balanced-scaling": ("linfa.claims.balanced", "error_exponents", lambda f: lambda chi: f(0.99 * chi)),
    "balanced-strong-balance": ("linfa.claims.balanced", "noise_limit", lambda f: lambda b, s, u, v: f(b, s, v, u)),
    "balanced-chaos-suppressed": (
        "linfa.claims.balanced_disorder",
        "smooth_limit",
        lambda f: lambda b, c, v: f(b, c, -v),
    ),
    "balanced-disorder-linear": (
        "linfa.claims.balanced_disorder",
        "linear_variance",
        lambda f: lambda b, s, g: f(b, s, 0.9 * g),
    ),
    "balanced-euler": ("linfa.claims.balanced", "euler_variance", lambda f: lambda b, s, dt: f(b, s, 0.5 * dt)),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_theory_is_refuted(name, monkeypatch):
    module, attribute, mutate = MUTATIONS[name]
    original = getattr(__import__(module, fromlist=[attribute]), attribute)
    monkeypatch.setattr(f"{module}.{attribute}", mutate(original))
    assert not claims.check(name, quick=True).holds


NAN = float("nan")
BAD = [
    (lambda: balanced.mean_field(-1.0, X, SIGMA), ValueError, "b is -1"),
    (lambda: balanced.mean_field(1.0, X, -0.1), ValueError, "sigma is -0.1"),
    (lambda: balanced.mean_field(1.0, NAN, SIGMA), ValueError, "x is nan"),
    (lambda: balanced.mean_field(True, X, SIGMA), TypeError, "b is True"),
    (lambda: balanced.mean_field("8", X, SIGMA), TypeError, "b is '8'"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, g=-1), ValueError, "g is -1"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, g=1.0, nonlinearity="linear"), ValueError, "below 1 for a linear"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, delay=-0.1), ValueError, "delay is -0.1"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, nonlinearity="tanhh"), ValueError, "did you mean 'tanh'"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, weights=1), TypeError, "weights is 1"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, g=0.5, weights="gaussian"), ValueError, "random couplings"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, g=0.5, correlation_time=1.0), ValueError, "noise white"),
    (lambda: balanced.mean_field(1.0, X, SIGMA, shared=-1.0), ValueError, "shared is -1"),
    (lambda: balanced.mean_field(1.0, X, SIGMA).error(0), ValueError, "n is 0"),
    (lambda: balanced.hopf(0.0), ValueError, "delay is 0"),
    (lambda: balanced.hopf(NAN), ValueError, "delay is nan"),
    (lambda: balanced.hopf(1e4), ValueError, "delay is 10000"),
    (lambda: balanced.growth_rate(-1.0, 0.1), ValueError, "loop_gain is -1"),
    (lambda: balanced.limit_cycle(10.0, X, 0.1), ValueError, "above the Hopf boundary"),
    (lambda: balanced.limit_cycle(30.0, X, 0.0), ValueError, "delay is 0"),
    (lambda: balanced.critical_balance(X, 0.1, -1.0), ValueError, "sigma is -1"),
    (lambda: balanced.chaos_onset(-1.0, X), ValueError, "b is -1"),
    (lambda: balanced.chaos_onset(1e6, 50.0), ValueError, r"\|x\| must be smaller"),
    (lambda: balanced.chaos_onset([1.0], X), TypeError, "b is"),
    (lambda: balanced.dynamic_mean_field(1e3, 1.0, X), ValueError, "g is 1000"),
    (lambda: balanced.optimal_loop_gain(0.0), ValueError, "delay is 0"),
    (lambda: balanced.optimal_balance(0, X, SIGMA, delay=0.1), ValueError, "n is 0"),
    (lambda: balanced.simulate(0, 1.0, X, SIGMA), ValueError, "n is 0"),
    (lambda: balanced.simulate(2.0, 1.0, X, SIGMA), TypeError, "n is 2.0"),
    (lambda: balanced.simulate(5, 1.0, X, -1.0), ValueError, "sigma is -1"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, NAN), ValueError, "g is nan"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, 0.0, 1e-6), ValueError, "below the step"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, 0.0, 0.01, step=0.02), ValueError, "below the step"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, duration=0.0), ValueError, "duration is 0"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, duration=1.0, step=2.0), ValueError, "step is 2"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, seed=-1), ValueError, "seed is -1"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, seed=1.5), TypeError, "seed is 1.5"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, start=np.zeros(4)), ValueError, "start is"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, start=np.full(5, NAN)), ValueError, "start holds nan"),
    (lambda: balanced.simulate(5, 1.0, lambda t: t[:-1], SIGMA), ValueError, r"x\(t\) is"),
    (lambda: balanced.simulate(5, 1.0, lambda t: t / 0.0, SIGMA), ValueError, r"x\(t\) holds"),
    (lambda: balanced.simulate(5, 1.0, "x", SIGMA), TypeError, "x is 'x'"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, trajectories=0), ValueError, "trajectories is 0"),
    (lambda: balanced.simulate(5, 1.0, X, SIGMA, method="rk4"), ValueError, "method is 'rk4'"),
    (lambda: balanced.measured_exponent(5, 1.0, X, 0.0, 0.0), ValueError, "g is 0"),
    (lambda: closed_forms.filtered_variance(-1.0, 1.0), ValueError, "loop_gain is -1"),
    (lambda: closed_forms.error_exponents(2.0), ValueError, "growth is 2"),
]


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_is_named_and_never_gives_a_number(case):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call()
