"""Deep feedback control: against SciPy, against the core, against itself; and what it refuses."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

import linfa
from linfa import claims, figures
from linfa.metrics import cosine
from linfa.neighbours import control
from linfa.simulation import DivergenceWarning

NAN, INF = float("nan"), float("inf")


def network(widths=(5, 7, 6, 3), seed=0):
    generator = np.random.default_rng(seed)
    weights = [generator.standard_normal((n, m)) / np.sqrt(m) for m, n in itertools.pairwise(widths)]
    return weights, generator.standard_normal(widths[0]), generator.standard_normal(widths[-1])


def tilted(jacobian, size=0.3, seed=1):
    return jacobian.T + size * np.random.default_rng(seed).standard_normal(jacobian.T.shape)


W, X, Y = network()
J = control.jacobian(W, X)
Q = tilted(J)


# Digits of the theory notes


def test_bounds_of_the_gauss_newton_limit_have_the_digits_of_the_notes():
    # All five belong to one smallest singular value, s² = 1.0957 to the digits given.
    found = control.damping_error(np.sqrt(1.0957), 10.0 ** -np.arange(5.0))
    assert [f"{v:.3g}" for v in found] == ["0.477", "0.0836", "0.00904", "0.000912", "9.13e-05"]


def test_late_slope_of_one_sample_has_the_digits_of_the_notes():
    weights, x, label = network((4, 5, 3))
    # Errors of 1e-6: what is of second order in them is below the digits, and so is rounding over 50 updates.
    label = control.feed_forward(weights, x)[-1] + 1e-6 * label
    run = control.learn(weights, x[None], label[None], updates=50, learning_rate=0.01, nudge=0.1, normalise=True)
    slope = 0.5 * np.log(run.loss[-1] / run.loss[0]) / 50
    assert f"{slope:.6e}" == f"{np.log1p(-1e-3):.6e}" == "-1.000500e-03"


def test_euler_adds_half_dt_omega_squared_to_an_oscillation():
    pair = np.array([[0.264, 18.0], [-18.0, 0.264]])
    added = control.euler_growth_rate(pair, 1e-3) - control.growth_rate(pair)
    # 0.16 in the notes; the next order is dt² λ³/3.
    assert abs(added - 1e-3 * 18.0**2 / 2) < 2e-3


# Steady states


@pytest.mark.parametrize("output", ["linear", "tanh"])
@pytest.mark.parametrize("k_p", [0.0, 1.5])
def test_steady_state_solves_the_equations_of_the_dynamics(output, k_p):
    alpha, target = 0.1, 0.4 * Y
    options = {"nonlinearity": "tanh", "output": output}
    state = control.steady_state(W, Q, X, target, alpha, k_p, **options)
    sizes = [len(w) for w in W]

    def velocity(z):
        v, integral = np.split(z[:16], np.cumsum(sizes)[:-1]), z[16:]
        r = [X, *(np.tanh(a) for a in v[:-1]), np.tanh(v[-1]) if output == "tanh" else v[-1]]
        error = target - r[-1]
        u = integral + k_p * error
        pushes = np.split(Q @ u, np.cumsum(sizes)[:-1])
        moved = [-a + w @ below + c for a, w, below, c in zip(v, W, r, pushes, strict=False)]
        return np.concatenate([*moved, error - alpha * integral])

    found = optimize.root(velocity, np.zeros(19), method="hybr", tol=1e-13).x
    # SciPy's root has its own tolerance; both are near rounding.
    assert np.abs(np.concatenate(state.potentials) - found[:16]).max() < 1e-10
    assert np.abs(state.control - k_p * state.error - found[16:]).max() < 1e-10
    assert np.abs(state.error - state.leak * state.control).max() < 1e-13


def test_strong_control_of_a_saturating_network_is_followed_from_the_free_state():
    weights = [3 * w for w in W]
    state = control.steady_state(weights, control.jacobian(W, X).T, X, 6 * Y, 0.01, nonlinearity="tanh")
    assert np.abs(state.error - 0.01 * state.control).max() < 1e-10
    # The branch has no jump: halving the way there changes little near its end.
    near = control.steady_state(weights, control.jacobian(W, X).T, X, 6 * Y * (1 + 1e-7), 0.01, nonlinearity="tanh")
    assert np.abs(near.control - state.control).max() < 1e-3


def test_linear_network_meets_the_closed_form_and_leaves_no_error_without_leak():
    state = control.steady_state(W, Q, X, Y, 0.3, 2.0)
    error = Y - control.feed_forward(W, X)[-1]
    leak = 0.3 / 1.6
    expected = np.linalg.solve(J @ Q + leak * np.eye(3), error)
    assert np.allclose(state.control, expected, rtol=1e-13, atol=0)
    assert np.abs(control.control_balance(J, Q, leak, state.control, error)).max() < 1e-14
    exact = control.steady_state(W, Q, X, Y, 0.0, 2.0)
    assert np.abs(exact.activity[-1] - Y).max() < 1e-14


def test_feedback_may_be_stacked_or_one_matrix_for_each_layer():
    parts = np.split(Q, [7, 13])
    for given_q in (parts, tuple(parts), [part.tolist() for part in parts], Q.tolist()):
        state = control.steady_state(W, given_q, X, Y, 0.1)
        assert np.array_equal(state.control, control.steady_state(W, Q, X, Y, 0.1).control)


def test_mixing_the_columns_of_feedback_changes_the_control_and_nothing_else():
    mixing = np.eye(3) + 0.3 * np.random.default_rng(4).standard_normal((3, 3))
    one = control.steady_state(W, Q, X, Y, 0.0, nonlinearity="tanh")
    two = control.steady_state(W, Q @ mixing, X, Y, 0.0, nonlinearity="tanh")
    assert np.allclose(mixing @ two.control, one.control, rtol=1e-11)
    assert abs(one.cost / two.cost - 1) < 1e-11


def test_output_that_is_there_already_needs_no_control():
    free = control.feed_forward(W, X, nonlinearity="tanh")
    state = control.steady_state(W, Q, X, free[-1], 0.1, nonlinearity="tanh")
    assert not state.control.any()
    assert state.cost == 0.0
    assert all(not g.any() for g in control.cost_gradient(state))


def test_a_single_layer_is_controlled_in_closed_form():
    state = control.steady_state([[[2.0]]], [[1.0]], [1.0], [3.0], 1.0, nonlinearity="tanh")
    assert state.control.tolist() == [0.5]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.floats(1e-6, 10.0),
    st.floats(0.0, 5.0),
    st.integers(0, 10**6),
)
def test_matched_feedback_always_comes_to_rest_on_the_equation(widths, alpha, k_p, seed):
    weights, x, label = network(widths, seed)
    jacobian = control.jacobian(weights, x)
    state = control.steady_state(weights, jacobian.T, x, label, alpha, k_p)
    left = control.control_balance(jacobian, jacobian.T, state.leak, state.control, label - state.free_activity[-1])
    size = np.linalg.norm(jacobian) ** 2 * np.linalg.norm(state.control) + np.linalg.norm(label) + 1.0
    # A backward stable solve leaves a residual of a few eps.
    assert np.abs(left).max() < 1e-13 * size
    # Leaky control never pushes further than Gauss–Newton.
    assert np.linalg.norm(jacobian.T @ state.control) <= np.linalg.norm(
        np.linalg.pinv(jacobian) @ (label - state.free_activity[-1])
    ) * (1 + 1e-9)


# Jacobians and updates


@pytest.mark.parametrize("output", ["linear", "tanh"])
def test_jacobian_is_the_response_to_pushes(output):
    options = {"nonlinearity": "tanh", "output": output}
    found = control.jacobian(W, X, **options)

    def respond(c):
        pushes, r = np.split(c, [7, 13]), X
        for k, (w, push) in enumerate(zip(W, pushes, strict=True)):
            r = w @ r + push
            r = np.tanh(r) if k < 2 or output == "tanh" else r
        return r

    h = 1e-5
    columns = [(respond(h * e) - respond(-h * e)) / (2 * h) for e in np.eye(16)]
    # Central differences: h² and rounding over h.
    assert np.abs(found - np.array(columns).T).max() < 1e-9


def test_backprop_update_is_that_of_the_core():
    task = linfa.LinearTask(np.outer(Y, X), np.outer(X, X))
    run = linfa.simulate(task, W, linfa.Backprop(), [0, 1], learning_rate=1.0)
    error = Y - control.feed_forward(W, X)[-1]
    for mine, core in zip(control.backprop_update(W, X, error), run.weights, strict=True):
        # The core works with correlations, whose products are of the size of the weights' own change.
        assert np.allclose(mine, core[1] - core[0], rtol=0, atol=1e-13)


def test_gradient_of_the_loss_is_backprop_in_a_tanh_network():
    error = Y - control.feed_forward(W, X, nonlinearity="tanh")[-1]
    update = control.flattened(control.backprop_update(W, X, error, nonlinearity="tanh"))
    direction = np.random.default_rng(2).standard_normal(update.shape)

    def loss(step):
        ends = np.cumsum([w.size for w in W])[:-1]
        parts = np.split(step * direction, ends)
        moved = [w + part.reshape(w.shape) for w, part in zip(W, parts, strict=True)]
        return 0.5 * np.square(Y - control.feed_forward(moved, X, nonlinearity="tanh")[-1]).sum()

    h = 1e-5
    assert abs((loss(h) - loss(-h)) / (2 * h) + update @ direction) < 1e-8


def test_minimum_norm_update_is_the_least_squares_one():
    update = control.minimum_norm_update(W, X, Y, nonlinearity="tanh")
    flat = control.flattened(update)
    rows = np.array([control.flattened(control.backprop_update(W, X, e, nonlinearity="tanh")) for e in np.eye(3)])
    assert np.allclose(flat, np.linalg.lstsq(rows, Y, rcond=None)[0], rtol=1e-10, atol=1e-13)
    assert np.allclose(rows @ flat, Y, rtol=1e-12)


def test_conditions_decide_about_the_angle_to_the_minimum_norm_update():
    error = 1e-6 * Y
    shortest = control.flattened(control.minimum_norm_update(W, X, error))
    target = control.feed_forward(W, X)[-1] + error
    matched = control.flattened(control.control_update(control.steady_state(W, J.T, X, target, 0.0)))
    tilted_update = control.flattened(control.control_update(control.steady_state(W, Q, X, target, 0.0)))
    assert 0.9 < cosine(matched, shortest) < 1 - 1e-4
    assert cosine(tilted_update, shortest) < cosine(matched, shortest)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 10**6))
def test_row_space_part_is_a_part_and_does_not_depend_on_the_basis(outputs, more, seed):
    generator = np.random.default_rng(seed)
    jacobian = generator.standard_normal((outputs, outputs + more))
    q = generator.standard_normal((outputs + more, outputs))
    part = control.row_space_part(q, jacobian)
    assert 0.0 <= part <= 1.0
    mixing = np.eye(outputs) + 0.1 * generator.standard_normal((outputs, outputs))
    assert abs(control.row_space_part(q, mixing @ jacobian) - part) < 1e-9
    assert abs(control.row_space_part(jacobian.T @ mixing, jacobian) - 1.0) < 1e-12


def test_row_space_part_of_random_feedback_is_the_root_of_its_share():
    generator = np.random.default_rng(3)
    parts = control.row_space_part(generator.standard_normal((4000, 16, 3)), J)
    # Mean of the squares of 4000 draws, each off by about 6 %.
    assert abs(np.mean(parts**2) - 3 / 16) < 5e-3


# Stability


def test_simulation_agrees_with_an_adaptive_integrator_in_a_saturating_network():
    weights, options = W, {"nonlinearity": "tanh", "output": "tanh"}
    alpha, k_p, tau_v, tau_u, target = 0.1, 0.5, 0.7, 6.0, 0.5 * Y
    t = np.linspace(0.0, 12.0, 7)

    def velocity(_, z):
        v, integral = np.split(z[:16], [7, 13]), z[16:]
        r = [X, *map(np.tanh, v)]
        error = target - r[-1]
        u = integral + k_p * error
        pushes = np.split(Q @ u, [7, 13])
        moved = [(-a + w @ b + c) / tau_v for a, w, b, c in zip(v, weights, r, pushes, strict=False)]
        return np.concatenate([*moved, (error - alpha * integral) / tau_u])

    below, start = X, []
    for w in weights:
        start.append(w @ below)
        below = np.tanh(start[-1])
    oracle = integrate.solve_ivp(velocity, (0, 12), np.concatenate([*start, np.zeros(3)]), "DOP853", t, rtol=1e-10)
    gaps = []
    for dt in (0.02, 0.01):
        run = control.simulate(weights, Q, X, target, alpha, t, k_p, tau_v=tau_v, tau_u=tau_u, dt=dt, **options)
        gaps.append(np.abs(np.hstack([*run.potentials, run.integral]) - oracle.y.T).max())
    # First order in dt.
    assert gaps[1] < 0.02
    assert abs(gaps[0] / gaps[1] - 2.0) < 0.1


def test_trajectory_starts_free_and_ends_at_rest():
    state = control.steady_state(W, Q, X, Y, 0.1, 1.0)
    run = control.trajectory(W, Q, X, Y, 0.1, [0.0, 2000.0], 1.0, tau_u=20.0)
    assert np.allclose(run.output[0], state.free_activity[-1], atol=1e-13)
    assert np.allclose(run.control[-1], state.control, atol=1e-12)
    assert np.allclose(run.cost[-1], state.cost, rtol=1e-11)


def test_weak_control_of_a_tanh_network_follows_its_linear_response():
    free = control.feed_forward(W, X, nonlinearity="tanh")[-1]
    t = np.linspace(0.0, 60.0, 13)
    gaps = []
    for nudge in (1e-2, 5e-3):
        target = free + nudge * (Y - free)
        options = {"tau_u": 20.0, "nonlinearity": "tanh"}
        exact = control.trajectory(W, Q, X, target, 0.1, t, **options)
        # Euler's own error is of first order in the nudge; Richardson's combination of two steps removes it.
        runs = [control.simulate(W, Q, X, target, 0.1, t, dt=dt, **options).control for dt in (0.01, 0.005)]
        gaps.append(np.abs(2 * runs[1] - runs[0] - exact.control).max())
    # Second order in the nudge, as the state that is linearised about is the exact one.
    assert 3.5 < gaps[0] / gaps[1] < 4.5


def test_unstable_control_says_so_and_hands_back_what_it_has():
    gain = 3.0 * control.critical_gain(W, J.T)
    with pytest.warns(DivergenceWarning, match="control is unstable.*before t = "):
        run = control.simulate(W, gain * J.T, X, Y, 0.0, [0.0, 1.0, 1e4])
    assert run.t.tolist() == [0.0, 1.0]
    assert np.isfinite(run.control).all()
    with pytest.warns(DivergenceWarning, match="control is unstable"):
        early = control.simulate(W, gain * J.T, X, Y, 0.0, [1e4])
    assert early.t.tolist() == [0.0]
    assert np.allclose(early.output[0], control.feed_forward(W, X)[-1])


def test_update_averaged_over_time_becomes_that_of_the_steady_state():
    steady_update = control.control_update(control.steady_state(W, J.T, X, Y, 0.1, nonlinearity="tanh"))
    gaps = []
    for horizon in (500.0, 1000.0):
        t = np.linspace(0.0, horizon, 4001)
        run = control.simulate(W, J.T, X, Y, 0.1, t, tau_u=20.0, nonlinearity="tanh")
        mean = control.averaged_update(run, W, X)
        gaps.append(np.linalg.norm(control.flattened(mean) - control.flattened(steady_update)))
    # What the transient adds is spread over the run.
    assert gaps[1] < 0.05 * np.linalg.norm(control.flattened(steady_update))
    assert abs(gaps[0] / gaps[1] - 2.0) < 0.02


def test_critical_gain_is_where_the_spectrum_crosses():
    for alpha, leak in ((0.0, "integral"), (0.2, "integral"), (0.2, "control")):
        gain = control.critical_gain(W, Q, alpha, tau_u=3.0, leak=leak)
        rates = [
            control.growth_rate(control.loop_matrix(W, f * gain * Q, alpha, tau_u=3.0, leak=leak))
            for f in (0.999, 1.001)
        ]
        assert rates[0] < 0 < rates[1]


def test_proportional_control_takes_the_swing_away():
    assert control.critical_gain(W, Q, 0.2, 0.7, tau_u=3.0) == INF
    gains = np.geomspace(1e-3, 1e6, 60)
    assert max(control.growth_rate(control.loop_matrix(W, s * Q, 0.2, 0.7, tau_u=3.0)) for s in gains) < 0


def test_critical_gain_knows_the_extremes():
    # Feedback of the wrong sign is unstable at any gain; with one layer there is nothing to swing.
    assert control.critical_gain(W, -J.T) == 0.0
    assert control.critical_gain([np.eye(2)], np.eye(2)) == INF
    # Below g = 1 + α/T two layers never swing.
    assert control.critical_gain([np.eye(2), 0.9 * np.eye(2)], np.vstack([0.9 * np.eye(2), np.eye(2)])) == INF


def test_loop_of_a_saturating_network_takes_its_slopes():
    state = control.steady_state(W, Q, X, 0.3 * Y, 0.1, nonlinearity="tanh", output="tanh")
    matrix = control.loop_matrix(W, Q, 0.1, state=state)
    assert np.allclose(matrix[16:, 13:16], -np.diag(1 - state.activity[-1] ** 2))
    assert np.allclose(matrix[7:13, :7], W[1] * (1 - state.activity[0] ** 2))


# Feedback that learns


def test_noise_moments_are_integrals_of_the_spectrum():
    alpha, sigma, tau_u, tau_e = 0.1, 0.5, 2.0, 0.7
    loop = J @ Q + alpha * np.eye(3)

    def spectrum(omega):
        answer = -np.linalg.inv(1j * omega * tau_u * np.eye(3) + loop) * sigma @ J
        power = 2 * tau_e / (1 + (omega * tau_e) ** 2) / (2 * np.pi)
        return np.concatenate([(answer.conj().T * power).real.ravel(), (answer @ answer.conj().T * power).real.ravel()])

    found = 2 * integrate.quad_vec(spectrum, 0, np.inf, epsabs=1e-11)[0]
    cross, covariance = control.noise_moments(J, Q, alpha, sigma=sigma, tau_u=tau_u, tau_e=tau_e)
    # Quadrature on a half line to about 1e-10.
    assert np.abs(found[:48].reshape(16, 3) - cross).max() < 1e-8
    assert np.abs(found[48:].reshape(3, 3) - covariance).max() < 1e-8
    assert np.abs(control.cross_balance(J, loop, cross, tau_u, tau_e, sigma)).max() < 1e-14
    assert np.abs(control.control_covariance_balance(J, loop, cross, covariance, sigma)).max() < 1e-14


def test_feedback_ends_in_the_row_space_and_control_becomes_gauss_newton():
    run = control.feedback_flow(J, Q, [0.0, 5.0, 200.0], 0.1, 0.02, tau_u=2.0)
    assert run.row_space_part[0] < 0.95
    assert run.row_space_part[-1] > 1 - 1e-8
    error = Y - control.feed_forward(W, X)[-1]
    exact = control.gauss_newton_correction(J, error)
    angles = []
    for q in run.q:
        state = control.steady_state(W, q, X, Y, 0.0)
        angles.append(cosine(np.concatenate(state.correction), exact))
    assert angles[0] < 0.98
    assert angles[-1] > 1 - 1e-12


def test_size_of_the_noise_drops_out_of_the_averaged_rule():
    moves = []
    for sigma in (0.1, 3.0):
        cross, covariance = control.noise_moments(J, Q, 0.1, sigma=sigma)
        moves.append(control.feedback_velocity(Q, cross, covariance, sigma, 0.02))
    assert np.allclose(moves[0], moves[1], rtol=1e-11)


def test_a_leak_is_what_feedback_grows_from():
    inside = 0.4 * J.T
    still = control.feedback_flow(J, inside, [0.0, 20.0], 0.0)
    assert np.allclose(still.q[1], inside, atol=1e-10)
    grown = control.feedback_flow(J, inside, [0.0, 20.0], 0.3)
    assert np.linalg.norm(grown.q[1]) > 1.2 * np.linalg.norm(inside)


def test_same_seed_gives_the_same_bits():
    one, two, other = (control.learn_feedback(J, Q, [0.0, 1.0], 0.1, rate=0.02, seed=s).q for s in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert np.array_equal(
        control.measure_moments(J, Q, 0.1, 100.0, seed=2)[0], control.measure_moments(J, Q, 0.1, 100.0, seed=2)[0]
    )


def test_inputs_are_left_as_they_are():
    q, weights = Q.copy(), [w.copy() for w in W]
    control.learn_feedback(J, q, [1.0], 0.1, rate=0.05)
    control.learn(weights, X[None], Y[None], updates=2, learning_rate=0.1)
    control.simulate(weights, q, X, Y, 0.1, [1.0], tau_u=20.0)
    assert np.array_equal(q, Q)
    assert all(np.array_equal(a, b) for a, b in zip(weights, W, strict=True))


# Cost


def test_matched_control_is_the_cheapest_that_reaches_the_target():
    target = 0.5 * Y
    state = control.aligned_steady_state(W, X, target, nonlinearity="tanh")

    def output(c):
        pushes, r = np.split(c, [7, 13]), X
        for k, (w, push) in enumerate(zip(W, pushes, strict=True)):
            r = w @ r + push
            r = np.tanh(r) if k < 2 else r
        return r

    found = optimize.minimize(
        lambda c: 0.5 * c @ c,
        np.zeros(16),
        jac=lambda c: c,
        method="SLSQP",
        constraints={"type": "eq", "fun": lambda c: output(c) - target},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    # SciPy differentiates the constraint numerically.
    assert abs(found.fun / state.cost - 1) < 1e-7
    assert np.abs(found.x - np.concatenate(state.correction)).max() < 1e-4
    # Another feedback that reaches the target pays more.
    assert control.steady_state(W, Q, X, target, 0.0, nonlinearity="tanh").cost > state.cost


@pytest.mark.slow
def test_strong_control_learns_from_a_teacher():
    generator = np.random.default_rng(8)
    x = generator.standard_normal((20, 5))
    teacher = network(seed=9)[0]
    labels = np.array([control.feed_forward(teacher, sample, nonlinearity="tanh")[-1] for sample in x])
    run = control.learn(W, x, labels, updates=15, learning_rate=0.5, nonlinearity="tanh")
    assert (np.diff(run.cost) < 0).all()
    assert run.cost[-1] < 0.3 * run.cost[0]
    assert run.loss[-1] < 0.3 * run.loss[0]


@pytest.mark.parametrize("options", [{}, {"nonlinearity": "tanh"}])
def test_learning_that_diverges_says_so_and_hands_back_what_it_has(options):
    with pytest.warns(DivergenceWarning, match="learning diverged in update .*learning_rate must be smaller"):
        run = control.learn(W, X[None], Y[None], updates=30, learning_rate=1e6, **options)
    assert 1 <= len(run.updates) < 31
    assert len(run.updates) == len(run.cost) == len(run.loss)
    assert np.isfinite(run.loss).all()


def test_feedback_may_start_from_nothing():
    run = control.feedback_flow(J, 0 * Q, [0.0, 2.0], 0.1)
    assert np.isnan(run.row_space_part[0])
    assert run.row_space_part[1] > 1 - 1e-9


def test_sizes_near_the_range_of_floating_point_are_no_excuse():
    assert abs(control.row_space_part(1e200 * Q, J) - control.row_space_part(Q, J)) < 1e-14
    plain = control.steady_state(W, Q, X, Y, 0.0, nonlinearity="tanh")
    for size in (1e-200, 1e200):
        state = control.steady_state(W, size * Q, X, Y, 0.0, nonlinearity="tanh")
        assert np.allclose(state.control * size, plain.control, rtol=1e-12)
    # β k (g k + α)(τ_u + τ_e (g k + α)) = α τ_e has k = 1 to leading order.
    assert abs(control.feedback_fixed_point(np.eye(1), 1e300, 1e-300)[0, 0] - 1.0) < 1e-12


def test_standing_feedback_descends_too_if_it_is_near_the_row_space():
    labels = Y[None]
    run = control.learn(W, X[None], labels, updates=40, learning_rate=0.1, q=Q, alpha=0.05)
    assert run.cost[-1] < 0.2 * run.cost[0]
    assert run.updates.tolist() == list(range(41))


# Claims and figures

MUTATIONS = {
    "control-steady-state": ("effective_leak", lambda f: lambda a, k: f(a, 2 * k)),
    "control-gauss-newton": ("damped_gain", lambda f: lambda s, a: f(s, 2 * a)),
    "control-minimum-norm-update": ("minimum_norm_update", lambda f: lambda w, x, e: [2 * u for u in f(w, x, e)]),
    "control-trajectory": ("trajectory", lambda f: lambda *a, tau_u, **k: f(*a, tau_u=1.01 * tau_u, **k)),
    "control-fast-network": ("fast_loop_matrix", lambda f: lambda j, q, a, k: f(j, q, a, 1.1 * k + 0.1)),
    "control-critical-gain": ("loop_matrix", lambda f: lambda w, q, *a, **k: f(w, 1.01 * q, *a, **k)),
    "control-two-layer-gain": ("two_layer_critical_gain", lambda f: lambda g, t, a: f(1.01 * g, t, a)),
    "control-noise-moments": ("noise_moments", lambda f: lambda *a, tau_e, **k: f(*a, tau_e=1.3 * tau_e, **k)),
    "control-noise-fast-network": ("noise_moments", lambda f: lambda j, q, a: f(j, 1.1 * q, a)),
    "control-feedback-learning": ("feedback_flow", lambda f: lambda j, q, t, a, b, **k: f(j, q, 1.5 * t, a, b, **k)),
    "control-row-space": ("mode_loop_time", lambda f: lambda m, s, g, a, u, e: f(m, s, g, a, e, u)),
    "control-feedback-rest": ("feedback_fixed_point", lambda f: lambda j, a, b, **k: f(j, b, a, **k)),
    "control-cost-gradient": ("cost_gradient", lambda f: lambda s: [1.001 * g for g in f(s)]),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_wrong_theory_is_noticed(name, monkeypatch):
    attribute, mutate = MUTATIONS[name]
    claims.names()
    monkeypatch.setattr(control, attribute, mutate(getattr(control, attribute)))
    assert not claims.check(name, quick=True).holds


def test_figure_of_the_row_space_has_its_marks_on_the_lines():
    numbers = figures.get("control-row-space").numbers(quick=True)
    for k in range(3):
        line = np.interp(numbers["marks_t"], numbers["t"], numbers[f"part{k}"])
        # At the quick rate noise keeps a part of about 0.02 outside.
        assert np.abs(numbers[f"marks_part{k}"] - line).max() < 0.03
        loops = [
            np.interp(numbers["marks_t"], *c) for c in zip(numbers[f"times{k}"].T, numbers[f"loop{k}"].T, strict=True)
        ]
        assert np.abs(numbers[f"marks_loop{k}"] / np.transpose(loops) - 1).max() < 0.06


def test_figure_of_the_course_has_its_marks_on_the_lines():
    numbers = figures.get("control-trajectory").numbers(quick=True)
    for k in range(3):
        line = np.interp(numbers["marks_t"], numbers["t"], numbers[f"error{k}"])
        # Euler's error at dt = 0.01, and that of drawing straight lines between 301 points.
        assert np.abs(numbers[f"marks_error{k}"] - line).max() < 0.02
    line = np.interp(numbers["tried"], numbers["factors"], numbers["growth"])
    assert np.abs(numbers["marks_growth"] - line).max() < 0.01


@pytest.mark.slow
def test_figure_of_the_updates_shows_theory_and_simulation_alike():
    numbers = figures.get("control-updates").numbers(quick=True)
    # Control is run to rest; its nudge of 1e-3 moves the activities by as much.
    assert np.abs(numbers["lines"] - numbers["marks"]).max() < 1e-3
    full = numbers["marks"][:, -1]
    assert full[0, 0] > 0.98
    # Low-rank feedback that follows the weights is backprop once it has all channels.
    assert abs(full[1, 1] - 1) < 1e-9
    assert full[2, 1] < 0.5
    expected = np.exp(-numbers["t"])
    assert np.abs(numbers["course_control"] / expected - 1).max() < 0.1
    assert np.ptp(numbers["course_gradient"][:, -1]) > 0.01


# What is refused


def steady(**changes):
    arguments = {"weights": W, "q": Q, "x": X, "target": Y, "alpha": 0.1} | changes
    return lambda: control.steady_state(**arguments)


def run(**changes):
    arguments = {"weights": W, "q": Q, "x": X, "target": Y, "alpha": 0.1, "t": [0.0, 1.0]} | changes
    return lambda: control.simulate(**arguments)


def loop(**changes):
    return lambda: control.loop_matrix(**({"weights": W, "q": Q, "alpha": 0.1} | changes))


def noisy(function=control.noise_moments, **changes):
    return lambda: function(**({"jacobian": J, "q": Q, "alpha": 0.1} | changes))


def flow(**changes):
    return noisy(control.feedback_flow, **({"t": [1.0]} | changes))


def learned(**changes):
    arguments = {"weights": W, "x": X[None], "labels": Y[None], "updates": 1, "learning_rate": 0.1} | changes
    return lambda: control.learn(**arguments)


BLIND = np.zeros((16, 3))
# In the null space of J: no push of these reaches the output.
UNHEARD = np.linalg.svd(J)[2][3:6].T

REFUSED = [
    ("q-singular", steady(q=BLIND, alpha=0.0), ValueError, r"q gives a singular J Q \+ a I with a = 0 .*rank 0 of 3"),
    ("q-unheard", steady(q=UNHEARD, alpha=0.0), ValueError, "q gives a singular J Q"),
    ("q-low-rank", steady(q=Q[:, :1] @ np.ones((1, 3)), alpha=0.0), ValueError, "singular J Q.*rank 1 of 3"),
    ("q-singular-tanh", steady(q=BLIND, alpha=0.0, nonlinearity="tanh"), ValueError, "q gives a singular J Q"),
    ("q-shape", steady(q=Q[:5]), ValueError, r"q is \(5, 3\); it must be \(16, 3\)"),
    ("q-transposed", steady(q=Q.T), ValueError, r"q is \(3, 16\); it must be \(16, 3\)"),
    ("q-layers", steady(q=[Q[:7], Q[7:13]]), ValueError, "q has 2 matrices; it must have 3, one for each layer"),
    ("q-layer", steady(q=[Q[:7], Q[:5], Q[13:]]), ValueError, r"q\[1\] is \(5, 3\); it must be \(6, 3\)"),
    ("q-nan", steady(q=Q * NAN), ValueError, "q holds nan.*finite"),
    ("q-text", steady(q="J"), TypeError, "q holds text"),
    ("q-none", steady(q=None), TypeError, "q holds objects"),
    ("q-bool", steady(q=Q > 0), TypeError, "q holds booleans"),
    ("q-empty", steady(q=[]), ValueError, "q has 0 matrices"),
    ("weights-none", steady(weights=[]), ValueError, "weights is empty"),
    ("weights-array", steady(weights=W[0]), TypeError, "weights is ndarray"),
    ("weights-chain", steady(weights=[W[0], W[2]]), ValueError, r"weights\[1\] is \(3, 6\)"),
    ("weights-huge", steady(weights=[1e200 * w for w in W]), ValueError, "weights give .* beyond the range"),
    ("neurons-zero", steady(weights=[np.zeros((0, 5)), W[2]]), ValueError, r"weights\[0\] is empty"),
    ("x-length", steady(x=X[:2]), ValueError, "x has 2 entries; it must have 5"),
    ("x-matrix", steady(x=X[None]), ValueError, "x has 2 dimensions"),
    ("x-inf", steady(x=[INF] * 5), ValueError, "x holds inf"),
    ("target-length", steady(target=Y[:2]), ValueError, "target has 2 entries; it must have 3"),
    ("target-bool", steady(target=[True] * 3), TypeError, "target holds booleans"),
    ("target-far", steady(target=[5.0] * 3, alpha=0.0, output="tanh"), ValueError, "target is out of reach"),
    ("alpha-negative", steady(alpha=-0.1), ValueError, "alpha is -0.1; it must be at least 0"),
    ("alpha-nan", steady(alpha=NAN), ValueError, "alpha is nan; it must be finite"),
    ("alpha-bool", steady(alpha=True), TypeError, "alpha is True; it must be a number"),
    ("alpha-text", steady(alpha="0"), TypeError, "alpha is '0'; it must be a number"),
    ("k_p-negative", steady(k_p=-1.0), ValueError, "k_p is -1; it must be at least 0"),
    ("nonlinearity", steady(nonlinearity="relu"), ValueError, "nonlinearity is 'relu'; it must be one of linear, tanh"),
    ("output", steady(output="tan"), ValueError, "output is 'tan'.*mean 'tanh'"),
    ("leak", steady(leak="u"), ValueError, "leak is 'u'; it must be one of integral, control"),
    ("t-negative", run(t=[-1.0]), ValueError, "t starts at -1"),
    ("t-order", run(t=[1.0, 0.5]), ValueError, "t goes from 1 to 0.5"),
    ("t-far", run(t=[1e300]), ValueError, r"t goes to 1e\+300, .* steps of 0.1; it must take at most 1e\+10"),
    (
        "noise-far",
        noisy(control.measure_moments, duration=1e300),
        ValueError,
        r"duration .* is 1e\+299.*at most 1e\+10",
    ),
    ("average-one", lambda: control.averaged_update(run(t=[1.0])(), W, X), ValueError, "run holds 1 times"),
    ("average-run", lambda: control.averaged_update(W, W, X), TypeError, "run is list"),
    (
        "average-other",
        lambda: control.averaged_update(run()(), W[:2], X),
        ValueError,
        r"weights has layers of \[7, 6\]",
    ),
    ("dt-long", run(dt=0.2), ValueError, "dt is 0.2; it must be at most 0.1, a tenth of the shorter time constant"),
    ("dt-zero", run(dt=0.0), ValueError, "dt is 0; it must be above 0"),
    ("tau_v-zero", run(tau_v=0.0), ValueError, "tau_v is 0; it must be above 0"),
    ("tau_u-negative", run(tau_u=-1.0), ValueError, "tau_u is -1; it must be above 0"),
    ("state", loop(state=1), TypeError, "state is int; it must be what steady_state returns"),
    (
        "state-other",
        loop(state=control.steady_state([[[1.0]]], [[1.0]], [1.0], [1.0], 1.0)),
        ValueError,
        r"state has layers of \[1\]",
    ),
    ("gain-blind", lambda: control.critical_gain(W, BLIND), ValueError, "q has no effect on the output"),
    ("growth-shape", lambda: control.growth_rate(J), ValueError, r"matrix is \(3, 16\); it must be square"),
    ("euler-dt", lambda: control.euler_growth_rate(np.eye(2), -1.0), ValueError, "dt is -1; it must be above 0"),
    ("fast-shape", lambda: control.fast_loop_matrix(J, J, 0.1), ValueError, r"q is \(3, 16\); it must be \(16, 3\)"),
    (
        "fast-singular",
        lambda: control.fast_loop_matrix(np.eye(1), -np.eye(1), 0.1, 1.0),
        ValueError,
        r"k_p is 1, at which I \+ k_p J Q is singular",
    ),
    ("unstable-noise", noisy(q=-J.T), ValueError, "q makes control unstable"),
    ("marginal-noise", noisy(q=BLIND, alpha=0.0), ValueError, "q makes control unstable"),
    ("sigma-negative", noisy(sigma=-0.5), ValueError, "sigma is -0.5; it must be above 0"),
    ("sigma-zero", noisy(sigma=0.0), ValueError, "sigma is 0; it must be above 0"),
    ("tau_e-zero", noisy(tau_e=0.0), ValueError, "tau_e is 0; it must be above 0"),
    ("noise-shape", noisy(q=Q.T), ValueError, r"q is \(3, 16\); it must be \(16, 3\)"),
    ("flow-unstable", flow(q=-J.T), ValueError, "q makes control unstable"),
    ("flow-beta", flow(beta=-1.0), ValueError, "beta is -1; it must be at least 0"),
    ("noise-dt", noisy(control.learn_feedback, t=[1.0], dt=0.5), ValueError, "dt is 0.5; it must be at most 0.1"),
    ("noise-rate", noisy(control.learn_feedback, t=[1.0], rate=0.0), ValueError, "rate is 0; it must be above 0"),
    ("noise-seed", noisy(control.learn_feedback, t=[1.0], seed=-1), ValueError, "seed is -1; it must be at least 0"),
    ("noise-long", noisy(control.measure_moments, duration=0.0), ValueError, "duration is 0; it must be above 0"),
    ("rest-alpha", lambda: control.feedback_fixed_point(J, 0.0, 1.0), ValueError, "alpha is 0; it must be above 0"),
    ("rest-beta", lambda: control.feedback_fixed_point(J, 1.0, 0.0), ValueError, "beta is 0; it must be above 0"),
    ("rest-rank", lambda: control.feedback_fixed_point(0 * J, 1.0, 1.0), ValueError, "has not full row rank"),
    ("rest-tall", lambda: control.feedback_fixed_point(J.T, 1.0, 1.0), ValueError, "has not full row rank"),
    ("loop-moments", lambda: control.full_loop_moments(np.eye(3), 2), ValueError, "does not decay.*stable"),
    (
        "loop-neurons",
        lambda: control.full_loop_moments(-np.eye(3), 3),
        ValueError,
        "neurons is 3; it must be at most 2",
    ),
    ("part-shape", lambda: control.row_space_part(Q.T, J), ValueError, "it must have 16 rows"),
    ("error-length", lambda: control.gauss_newton_correction(J, X), ValueError, "error has 5 entries; it must have 3"),
    (
        "no-input",
        lambda: control.minimum_norm_update([W[0]], 0 * X, np.ones(7)),
        ValueError,
        "no change of the weights moves",
    ),
    (
        "no-activity",
        lambda: control.control_update(steady(x=0 * X)(), normalise=True),
        ValueError,
        "state has no activity below layer 1",
    ),
    ("below", lambda: control.control_update(steady()(), below="both"), ValueError, "below is 'both'"),
    ("no-state", lambda: control.control_update(W), TypeError, "state is list"),
    ("no-state-cost", lambda: control.cost_gradient(None), TypeError, "state is NoneType"),
    ("flat", lambda: control.flattened(np.eye(2)), TypeError, "updates is ndarray"),
    ("samples", learned(labels=np.ones((2, 3))), ValueError, r"labels is \(2, 3\); it must be \(1, 3\)"),
    ("sample-size", learned(x=np.ones((1, 2))), ValueError, r"x is \(1, 2\); it must be \(samples, 5\)"),
    ("updates", learned(updates=1.5), TypeError, "updates is 1.5; it must be an integer"),
    ("rate", learned(learning_rate=0.0), ValueError, "learning_rate is 0; it must be above 0"),
    ("nudge", learned(nudge=1.5), ValueError, "nudge is 1.5; it must be at most 1"),
    ("normalise", learned(normalise=1), TypeError, "normalise is 1; it must be True or False"),
]


@pytest.mark.parametrize(("call", "error", "words"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_bad_input_is_refused_in_one_line(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_zero_feedback_has_no_direction():
    assert np.isnan(control.row_space_part(BLIND, J))


def test_singular_loop_is_lifted_by_a_leak():
    state = control.steady_state(W, BLIND, X, Y, 0.5)
    assert np.allclose(state.control, (Y - state.free_activity[-1]) / 0.5)
    assert state.cost == 0.0
