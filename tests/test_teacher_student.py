"""Teacher–student dynamics: closed averages, equations against samples, solutions, signs, weak alignment, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.special import erf

import linfa
from linfa.neighbours import teacher_student as ts
from linfa.neighbours.teacher_student import kernels
from linfa.simulation import DivergenceWarning
from linfa.theory.regression import online_overlaps

HEAD = (1.0, 0.6)
START = ts.Start.draw(2, HEAD, inputs=500, scale=0.3, seed=0)
DFA = linfa.DirectFeedback([[[1.0], [-0.5]]])
NAN, INF = float("nan"), float("inf")


def gauss(c, function):
    """E f(a, b) for Gaussian fields with covariance c, by adaptive quadrature: an oracle apart from Hermite nodes."""
    root = np.linalg.cholesky(c)

    def weighed(y, x):
        a, b = root @ (x, y)
        return function(a, b) * np.exp(-(x**2 + y**2) / 2) / (2 * np.pi)

    return dblquad(weighed, -9, 9, -9, 9, epsabs=1e-10)[0]


def test_pairs_agree_with_adaptive_quadrature():
    c = np.array([[0.8, 0.5], [0.5, 1.7]])
    assert ts.second_moments(c, "erf")[0, 1] == pytest.approx(
        gauss(c, lambda a, b: erf(a / 2**0.5) * erf(b / 2**0.5)), abs=1e-9
    )
    # Kinks cost the quadrature digits.
    assert ts.second_moments(c, "relu")[0, 1] == pytest.approx(gauss(c, lambda a, b: max(a, 0) * max(b, 0)), abs=1e-6)
    slopes = gauss(c, lambda a, b: 2 / np.pi * np.exp(-(a**2 + b**2) / 2))
    assert ts.erf_slopes(0.8, 1.7, 0.5) == pytest.approx(slopes, abs=1e-9)


def test_erf_averages_are_linear_for_small_fields():
    """erf(z/√2) → √(2/π) z: averages of small fields are those of linear units, times 2/π for every two factors."""
    a = np.random.default_rng(1).standard_normal((4, 6)) * 1e-4
    c, slope = a @ a.T, 2 / np.pi
    # What is left out is of relative order C = 1e-7.
    assert ts.erf_second(c[0, 0], c[1, 1], c[0, 1]) == pytest.approx(slope * c[0, 1], rel=1e-6)
    assert ts.erf_third(c[0, 0], c[2, 2], c[0, 1], c[0, 2], c[1, 2]) == pytest.approx(slope * c[1, 2], rel=1e-5)
    fourth = ts.erf_fourth(*np.diag(c), *c[np.triu_indices(4, 1)])
    assert fourth == pytest.approx(slope**2 * c[2, 3], rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_averages_are_symmetric_and_bounded(seed):
    a = np.random.default_rng(seed).standard_normal((4, 4)) * 2
    c = a @ a.T
    second, slopes = np.empty((2, 4)), np.empty((2, 2))
    third, fourth = np.empty((2, 4, 4)), np.empty((2, 2, 4, 4))
    kernels.erf_averages(c, 2, second, slopes, third, fourth)
    assert (np.abs(second) < 1).all()
    # |g| < 1, so that four factors stay below the product of the slopes.
    assert (np.abs(fourth) <= slopes[:, :, None, None] * (1 + 1e-12)).all()
    assert np.array_equal(fourth, fourth.transpose(1, 0, 3, 2))
    assert second[0, 1] == pytest.approx(second[1, 0], abs=1e-15)
    # Stein's identity for the field itself: <g'(a) a g(a)> = C_aa/((1 + C_aa)) <g'(a) g'(a)>.
    assert third[0, 0, 0] == pytest.approx(c[0, 0] / (1 + c[0, 0]) * slopes[0, 0], rel=1e-12)


def test_compiled_velocity_is_the_function_that_is_proved():
    generator = np.random.default_rng(2)
    averages = [generator.standard_normal(s) for s in ((2, 5), (2, 2), (2, 5, 5), (2, 2, 5, 5))]
    output, carrier = generator.standard_normal(5), generator.standard_normal(2)
    sides = []
    for function in (kernels.averaged_velocity, kernels.compiled_velocity):
        found = [np.empty((2, 3)), np.empty((2, 2)), np.empty(2)]
        function(*averages, output, carrier, 0.3, 0.2, *found)
        sides.append(np.concatenate([x.ravel() for x in found]))
    # Sums of up to 25 terms of order 1 in another order.
    assert np.abs(sides[0] - sides[1]).max() < 1e-13


@pytest.mark.parametrize("feedback", [DFA, linfa.Backprop()])
def test_linear_students_follow_the_equations_of_the_core_theory(feedback):
    t = np.array([0.5, 3.0, 20.0])
    course = ts.ode(START, feedback, t, learning_rate=0.3, noise=0.2, activation="linear")
    carrier = None if course.feedback is None else course.feedback
    r, q, v = online_overlaps(t, (START.r, START.q, START.upper), START.teacher, START.head, 0.3, 0.04, carrier)
    # Both at rtol 1e-10.
    assert np.abs(course.r - r).max() < 1e-8
    assert np.abs(course.q - q).max() < 1e-8
    assert np.abs(course.upper - v).max() < 1e-8


def test_equations_agree_with_another_integrator():
    """Radau on the velocity in plain NumPy, from the averages' Python functions."""
    t = np.linspace(0, 40, 5)
    course = ts.ode(START, DFA, t, learning_rate=0.4, noise=0.3)
    output, c = np.concatenate([-START.upper, START.head]), START.covariance

    def velocity(_, state):
        r, q, v = state[:4].reshape(2, 2), state[4:8].reshape(2, 2), state[8:]
        c[:2, :2], c[:2, 2:], c[2:, :2], output[:2] = q, r, r.T, -v
        d = np.diag(c)
        moved = np.zeros(10)
        carrier = course.feedback
        for i in range(2):
            for a in range(4):
                moved[8 + i] += 0.4 * output[a] * ts.erf_second(d[i], d[a], c[i, a])
                for n in range(2):
                    pull = ts.erf_third(d[i], d[a], c[i, 2 + n], c[i, a], c[2 + n, a])
                    moved[2 * i + n] += 0.4 * carrier[i] * output[a] * pull
            for k in range(2):
                spread = 0.09 * ts.erf_slopes(d[i], d[k], c[i, k])
                drift = 0.0
                for a in range(4):
                    drift += output[a] * carrier[i] * ts.erf_third(d[i], d[a], c[i, k], c[i, a], c[k, a])
                    drift += output[a] * carrier[k] * ts.erf_third(d[k], d[a], c[k, i], c[k, a], c[i, a])
                    for b in range(4):
                        inner = (c[i, k], c[i, a], c[i, b], c[k, a], c[k, b], c[a, b])
                        spread += output[a] * output[b] * ts.erf_fourth(d[i], d[k], d[a], d[b], *inner)
                moved[4 + 2 * i + k] = 0.4 * drift + 0.16 * carrier[i] * carrier[k] * spread
        return moved

    state = np.concatenate([START.r.ravel(), START.q.ravel(), START.upper])
    found = solve_ivp(velocity, (0, 40), state, "Radau", t, rtol=1e-7, atol=1e-9).y.T
    ours = np.concatenate([course.r.reshape(5, 4), course.q.reshape(5, 4), course.upper], axis=1)
    # The oracle's tolerance, some digits lost over forty units of time.
    assert np.abs(ours - found).max() < 1e-5


@pytest.mark.parametrize("activation", ["linear", "erf", "relu"])
@pytest.mark.parametrize("method", ["overlaps", "weights"])
def test_simulation_repeats_to_the_bit_and_does_not_depend_on_saved_times(activation, method):
    start = ts.Start.draw(3, [1.0, -0.4], inputs=40, scale=0.5, seed=3)
    options = {"inputs": 40, "learning_rate": 0.2, "noise": 0.1, "activation": activation, "method": method}
    feedback = linfa.DirectFeedback(seed=2)
    once = ts.simulate(start, feedback, [0.0, 1.0, 3.0], seed=5, **options)
    again = ts.simulate(start, feedback, [3.0], seed=5, **options)
    assert np.array_equal(once.r[-1], again.r[-1])
    assert np.array_equal(once.upper[-1], again.upper[-1])
    # A root of the start's overlaps stands for them: exact up to rounding.
    assert np.abs(once.q[0] - start.q).max() < 1e-14
    assert not np.array_equal(once.r[-1], ts.simulate(start, feedback, [3.0], seed=6, **options).r[-1])


def test_members_do_not_depend_on_threads_and_first_repeats_simulate():
    starts = [ts.Start.draw(2, HEAD, inputs=60, seed=s) for s in range(5)]
    options = {"inputs": 60, "learning_rate": 0.3, "seed": 4}
    one, two = (ts.ensemble(starts, DFA, [0.5, 2.0], threads=n, **options) for n in (1, 2))
    assert np.array_equal(one.r, two.r)
    assert np.array_equal(one.q, two.q)
    single = ts.simulate(starts[0], DFA, [0.5, 2.0], **options)
    assert np.array_equal(single.q, one.member(0).q)
    mean, spread = one.statistics("error")
    assert mean == pytest.approx(one.error.mean(0))
    assert spread == pytest.approx(one.error.std(0, ddof=1) / np.sqrt(5))


def test_single_samples_are_the_rule():
    """One update from known fields, in plain NumPy, for weights and for overlaps."""
    generator = np.random.default_rng(6)
    lower, teacher = generator.standard_normal((2, 3, 20)) / 4
    upper, head, carrier = generator.standard_normal((3, 3))
    x = generator.standard_normal((1, 20))
    w, v = lower.copy(), upper.copy()
    kernels.learn_weights(w, v, carrier, False, teacher, head, x, np.array([0.3]), 0.1, kernels.ERF)
    fields, taught = lower @ x[0], teacher @ x[0]
    error = head @ erf(taught / 2**0.5) + 0.3 - upper @ erf(fields / 2**0.5)
    slope = np.sqrt(2 / np.pi) * np.exp(-(fields**2) / 2)
    assert np.abs(w - lower - 0.1 * error * np.outer(carrier * slope, x[0])).max() < 1e-15
    assert np.abs(v - upper - 0.1 * error * erf(fields / 2**0.5)).max() < 1e-15


def test_overlaps_of_dependent_weights_are_simulated():
    """Student equal to teacher, or zero: the covariance is singular, and learning neither stops nor makes NaN."""
    perfect = ts.Solution((1, -1), (1, 0)).start(START.teacher, START.head)
    run = ts.simulate(perfect, linfa.Backprop(), [0.0, 50.0], inputs=30, learning_rate=0.5)
    # Pivots at rounding level have roots of 1e-8; the error is quadratic in these.
    assert run.error.max() < 1e-12
    zero = ts.Start(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2), START.teacher, START.head)
    run = ts.simulate(zero, DFA, [0.0, 30.0], inputs=4, learning_rate=0.3)
    assert np.isfinite(run.error).all()
    assert run.error[-1] < 0.5 * run.error[0]
    assert np.isnan(run.alignment[0])


def test_perfect_students_stay_where_they_are():
    for solution in ts.all_solutions(2):
        start = solution.start(START.teacher, START.head)
        assert ts.generalisation_error(start.r, start.q, start.upper, start.teacher, start.head) < 1e-15
        course = ts.ode(start, DFA, [0.0, 5.0], learning_rate=0.5)
        assert np.abs(course.r[-1] - course.r[0]).max() < 1e-12
        assert ts.reached_solution(course) == solution


def test_label_noise_leaves_an_error_that_grows_with_the_rate():
    late = [ts.ode(START, DFA, [4000 / rate], learning_rate=rate, noise=0.1).error[-1] for rate in (0.05, 0.1)]
    # Proportional to η σ² for small rates.
    assert late[0] > 1e-6
    assert late[1] / late[0] == pytest.approx(2, rel=0.1)


def test_three_units_keep_the_signs_but_need_not_keep_the_order():
    """The counterexample to matching by size that `selected_solution` names."""
    carrier, head = np.array([0.6, -1.5, 1.0]), [2.0, 1.0, 0.5]
    start = ts.Start.draw(3, head, inputs=500, scale=0.01, seed=3)
    course = ts.ode(start, linfa.DirectFeedback([carrier[:, None]]), [4000.0], learning_rate=0.5, rtol=1e-8)
    found, expected = ts.reached_solution(course), ts.selected_solution(carrier, head)
    assert course.error[-1] < 1e-6
    assert found.signs == expected.signs
    assert found.matches == (1, 0, 2)
    assert expected.matches == (2, 0, 1)


def test_selected_solution_has_the_largest_overlap_with_feedback():
    generator = np.random.default_rng(8)
    for _ in range(20):
        carrier, head = generator.standard_normal((2, 3))
        scores = {s: float(carrier @ (np.array(s.signs) * np.abs(head[list(s.matches)]))) for s in ts.all_solutions(3)}
        assert max(scores, key=scores.get) == ts.selected_solution(carrier, head)


def test_learning_probability_counts_draws():
    signs = np.random.default_rng(9).standard_normal((20_000, 5)) > 0.4
    p = float(0.5 * (1 - erf(0.4 / 2**0.5)))
    for modes in (1, 3, 5):
        # Four standard errors of a fraction of 20,000.
        assert (signs.sum(1) >= modes).mean() == pytest.approx(ts.learning_probability(5, modes, p), abs=0.015)
    assert ts.learning_probability(3, 4) == 0


def test_phases_interpolate_and_say_when_nothing_happened():
    course = ts.ode(ts.Start.draw(2, HEAD, 500, 0.01, 1), DFA, np.linspace(0, 60, 121), learning_rate=0.5)
    found = ts.phases(course)
    k = int(np.argmax(course.alignment >= 0.9))
    assert course.t[k - 1] < found.aligned <= course.t[k]
    assert np.isnan(found.memorised)


def test_mean_cosine_against_quadrature_and_its_corners():
    for r, n in ((0.8, 1), (0.3, 3), (0.05, 6)):

        def cosine(theta, r=r, n=n):
            c, s = np.cos(theta) ** 2, np.sin(theta) ** 2
            return (c + r ** (n + 1) * s) / np.sqrt((c + r ** (2 * n + 1) * s) * (c + r * s))

        # On the logarithm of tan θ the integrand turns as gently wherever it does.
        oracle = quad(lambda u: cosine(np.arctan(np.exp(u))) / np.cosh(u) / 2, -40, 40, epsabs=1e-12, limit=200)[0]
        assert ts.mean_cosine(r, n) == pytest.approx(oracle * 2 / np.pi, abs=1e-9)
    for depth in (2, 3, 4):
        for layer in range(1, depth):
            curve = [ts.early_gradient_alignment(c, layer, depth) for c in np.linspace(0, 0.9999, 60)]
            assert curve[0] == pytest.approx(1)
            turns = np.flatnonzero(np.diff(np.sign(np.diff(curve))))
            assert len(turns) == 1, "down from 1, one minimum, and up again"
            assert curve[-1] > 0.98
            assert ts.early_gradient_alignment(1.0, layer, depth) == 1


def test_weak_alignment_holds_for_any_feedback_and_uneven_layers():
    for feedback in (linfa.DirectFeedback(seed=1), linfa.DirectFeedback(seed=1, rank=1)):
        target = np.random.default_rng(1).standard_normal((3, 5)) / 3
        course = ts.learn_deep_online(target, [4, 9, 2], feedback, [0, 400, 900], learning_rate=0.01, noise=0.1)
        for w, f in zip(course.weights, course.expanded, strict=True):
            # Rounding of 900 additions of terms below 1.
            assert np.abs(w - f).max() < 1e-14
        assert np.isnan(course.condition[0]).all()
        assert np.isnan(course.gradient_alignment(np.eye(5))[0]).all()


def test_gradient_alignment_leaves_out_errors_at_rounding_level():
    course = ts.learn_deep_online(np.eye(2), [6], linfa.DirectFeedback(seed=0), [30_000], learning_rate=0.02)
    assert np.isnan(course.gradient_alignment(np.eye(2))).all()
    assert np.isfinite(course.gradient_alignment(np.eye(2), floor=0.0)).all()


def test_divergence_is_said_and_what_there_was_is_kept():
    start = ts.Start.draw(2, HEAD, inputs=50, scale=1.0, seed=0)
    # Strong noise makes Q large, and the equation of v stiff.
    with pytest.warns(DivergenceWarning, match="stalled after t = "):
        course = ts.ode(
            start, DFA, np.linspace(0, 10, 50), learning_rate=1.0, noise=1e3, activation="linear", max_steps=300
        )
    assert course.status == "stalled"
    assert 1 <= len(course.t) < 50
    # So much of it leaves every bound within the first step.
    with pytest.warns(DivergenceWarning, match="diverged after t = 0;"):
        course = ts.ode(start, DFA, [0.0, 1.0], learning_rate=1.0, noise=1e15, activation="linear", rtol=1.0, atol=1e40)
    assert (course.status, len(course.t)) == ("diverged", 1)
    for method in ("overlaps", "weights"):
        with pytest.warns(DivergenceWarning, match="diverged"):
            run = ts.simulate(
                start,
                linfa.Backprop(),
                [0.0, 500.0],
                inputs=50,
                learning_rate=9.0,
                activation="linear",
                method=method,
            )
        assert (run.status, len(run.t)) == ("diverged", 1)
    with pytest.warns(DivergenceWarning, match="2 of 2 members"):
        many = ts.ensemble(
            [start, start], linfa.Backprop(), [0.0, 500.0], inputs=50, learning_rate=9.0, activation="linear"
        )
    assert np.isnan(many.q[:, 1]).all()
    assert len(many.member(0).t) == 1


ODE = {"start": START, "feedback": DFA, "t": [0.0, 1.0], "learning_rate": 0.1}
RUN = ODE | {"inputs": 50}
DEEP = {
    "target": np.eye(2),
    "hidden": [3],
    "feedback": linfa.DirectFeedback(seed=0),
    "updates": [5],
    "learning_rate": 0.1,
}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"start": [1.0]}, TypeError, "start"),
        ({"feedback": "dfa"}, TypeError, "feedback"),
        ({"feedback": linfa.KolenPollack()}, ValueError, "KolenPollack"),
        ({"feedback": linfa.DirectFeedback([np.ones((3, 1))])}, ValueError, r"\(2, 1\)"),
        ({"feedback": linfa.DirectFeedback(rank=1)}, ValueError, "rank"),
        ({"t": []}, ValueError, "empty"),
        ({"t": [1.0, 0.5]}, ValueError, "ascend"),
        ({"t": [NAN]}, ValueError, "finite"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"learning_rate": True}, TypeError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate"),
        ({"noise": -0.1}, ValueError, "noise"),
        ({"noise": NAN}, ValueError, "noise"),
        ({"noise": INF}, ValueError, "noise"),
        ({"activation": "tanh"}, ValueError, "activation"),
        ({"activation": 1}, TypeError, "activation"),
    ],
)
def test_bad_input_to_both_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        ts.ode(**(ODE | change))
    with pytest.raises(error, match=words):
        ts.simulate(**(RUN | change))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ts.ode(**ODE, activation="relu"), ValueError, "simulate it"),
        (lambda: ts.ode(**ODE, rtol=0.0), ValueError, "rtol"),
        (lambda: ts.simulate(**(RUN | {"inputs": 3})), ValueError, "inputs is 3; it must be at least 4"),
        (lambda: ts.simulate(**(RUN | {"inputs": 50.0})), TypeError, "inputs"),
        (lambda: ts.simulate(**(RUN | {"t": [0.0, 0.001]})), ValueError, "apart"),
        (lambda: ts.simulate(**(RUN | {"t": [1e300]})), ValueError, "more samples"),
        (lambda: ts.simulate(**RUN, method="fast"), ValueError, "method"),
        (lambda: ts.simulate(**RUN, seed=-1), ValueError, "seed"),
        (lambda: ts.simulate(**RUN, seed=True), TypeError, "seed"),
        (lambda: ts.ensemble(START, DFA, [1.0], inputs=50, learning_rate=0.1), TypeError, "list of Start"),
        (lambda: ts.ensemble([], DFA, [1.0], inputs=50, learning_rate=0.1), ValueError, "empty"),
        (lambda: ts.ensemble([START, 3], DFA, [1.0], inputs=50, learning_rate=0.1), TypeError, r"starts\[1\]"),
        (lambda: ts.ensemble([START], [DFA, DFA], [1.0], inputs=50, learning_rate=0.1), ValueError, "one for each"),
        (
            lambda: ts.ensemble([START] * 2, [DFA, linfa.Backprop()], [1.0], inputs=50, learning_rate=0.1),
            ValueError,
            "mixes",
        ),
        (lambda: ts.Start.draw(0, HEAD, 50), ValueError, "units"),
        (lambda: ts.Start.draw(2, [], 50), ValueError, "head"),
        (lambda: ts.Start.draw(2, HEAD, 50, scale=-1.0), ValueError, "scale"),
        (lambda: ts.Start.draw(2, HEAD, 3), ValueError, "inputs"),
        (lambda: ts.Start(np.ones((2, 2)), 0.1 * np.eye(2), np.ones(2), np.eye(2), np.ones(2)), ValueError, "r.T"),
        (lambda: ts.Start(np.ones((3, 2)), np.eye(2), np.ones(2), np.eye(2), np.ones(2)), ValueError, "r is"),
        (lambda: ts.Start(np.eye(2), -np.eye(2), np.ones(2), np.eye(2), np.ones(2)), ValueError, "q has"),
        (lambda: ts.Start(np.eye(2), np.eye(2), [True, False], np.eye(2), np.ones(2)), TypeError, "upper"),
        (lambda: ts.Start.from_networks([np.ones((2, 4))], [np.ones((2, 4)), np.ones((1, 2))]), ValueError, "student"),
        (
            lambda: ts.Start.from_networks([np.ones((2, 4)), np.ones((1, 2))], [np.ones((2, 5)), np.ones((1, 2))]),
            ValueError,
            "inputs",
        ),
        (lambda: ts.phases(3.0), TypeError, "course"),
        (lambda: ts.phases(ts.ode(**ODE), cosine=1.5), ValueError, "cosine"),
        (lambda: ts.phases(ts.ode(**ODE), fraction=1.0), ValueError, "fraction"),
        (lambda: ts.selected_solution([1.0, 1.0], [1.0, 2.0]), ValueError, "moduli"),
        (lambda: ts.selected_solution([1.0, 0.0], [1.0, 2.0]), ValueError, "moduli"),
        (lambda: ts.selected_solution([1.0], [1.0, 2.0]), ValueError, "entries"),
        (lambda: ts.reached_solution(ts.simulate(**RUN, activation="relu")), ValueError, "erf"),
        (lambda: ts.solution_count(0), ValueError, "units"),
        (lambda: ts.can_learn([NAN, 1.0], 1), ValueError, "carrier"),
        (lambda: ts.learning_probability(3, 0), ValueError, "modes"),
        (lambda: ts.learning_probability(3, 1, 1.2), ValueError, "positive"),
        (lambda: ts.ode(**ODE).member(0), ValueError, "no members"),
        (lambda: ts.ode(**ODE).statistics("error"), ValueError, "at least 2"),
        (lambda: ts.target_covariance(0.0, 0.5), ValueError, "ratio"),
        (lambda: ts.target_covariance(1.0, 1.5), ValueError, "correlation"),
        (lambda: ts.target_map(np.eye(3), 2), ValueError, "inputs"),
        (lambda: ts.target_map(-np.eye(2), 3), ValueError, "covariance"),
        (lambda: ts.early_condition(2.0, 1), ValueError, "layer"),
        (lambda: ts.carried_power(3, 3), ValueError, "layer"),
        (lambda: ts.early_gradient_alignment(NAN, 1, 3), ValueError, "correlation"),
        (lambda: ts.learn_deep_online(**(DEEP | {"hidden": []})), TypeError, "hidden"),
        (lambda: ts.learn_deep_online(**(DEEP | {"hidden": [0]})), ValueError, "hidden"),
        (lambda: ts.learn_deep_online(**(DEEP | {"updates": []})), ValueError, "updates"),
        (lambda: ts.learn_deep_online(**(DEEP | {"updates": [3, 3]})), ValueError, "updates"),
        (lambda: ts.learn_deep_online(**(DEEP | {"feedback": linfa.Backprop()})), TypeError, "feedback"),
        (lambda: ts.learn_deep_online(**(DEEP | {"noise": -1.0})), ValueError, "noise"),
        (
            lambda: ts.learn_deep_online(**(DEEP | {"updates": [5000], "learning_rate": 3.0})),
            FloatingPointError,
            "diverged",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
