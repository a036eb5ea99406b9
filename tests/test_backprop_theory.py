"""Closed forms of backprop: the two faces of the Riccati solution agree, corners hold, bad input is refused."""

import numpy as np
import pytest
from scipy.linalg import expm

import linfa
from linfa import claims
from linfa.core.online import learn_online, least_mean_squares
from linfa.theory import end_to_end, generalisation, incremental, regression, riccati, riccati_equation, tangent_kernel
from linfa.theory.backprop import logistic_strength
from linfa.theory.stability import backprop_max_rate, error_spectrum
from linfa.theory.unbalanced import unbalanced_amplitudes, unbalanced_strength


def _riccati_case(balance):
    generator = np.random.default_rng(3)
    target, stack = generator.standard_normal((3, 4)), 0.4 * generator.standard_normal((7, 5))
    flow = np.block([[-balance / 2 * np.eye(4), target.T], [target, balance / 2 * np.eye(3)]])
    return flow, stack


@pytest.mark.parametrize("balance", [0.0, 0.7, -1.3])
@pytest.mark.parametrize("t", [0.05, 0.6, 1.0])
def test_propagator_is_the_solution_that_is_proved(balance, t):
    flow, stack = _riccati_case(balance)
    values, vectors = np.linalg.eigh(flow)
    propagated = vectors @ riccati.propagate(vectors.T @ stack, values, t)
    # Φ by an exponential of twice the size: [[−F, I], [0, F]] holds e^{Ft}, and e^{−Ft} Φ above the diagonal.
    size = len(flow)
    double = expm(t * np.block([[-flow, np.eye(size)], [np.zeros_like(flow), flow]]))
    growth = double[size:, size:]
    solution = riccati_equation.riccati_solution(stack, growth, growth @ double[:size, size:], np.eye(stack.shape[1]))
    assert np.abs(propagated @ propagated.T - solution).max() < 1e-12 * np.abs(solution).max()


@pytest.mark.parametrize("balance", [0.0, 0.7, -1.3])
def test_propagator_obeys_the_riccati_equation(balance):
    flow, stack = _riccati_case(balance)
    values, vectors = np.linalg.eigh(flow)

    def square(t):
        stacked = vectors @ riccati.propagate(vectors.T @ stack, values, t)
        return stacked @ stacked.T

    t, h = 0.8, 1e-3
    # Five-point differences: error h⁴.
    measured = (square(t - 2 * h) - 8 * square(t - h) + 8 * square(t + h) - square(t + 2 * h)) / (12 * h)
    expected = riccati_equation.riccati_velocity(square(t), flow)
    assert np.abs(measured - expected).max() < 1e-9 * np.abs(expected).max()


@pytest.mark.parametrize("span", [0.02, 0.3, 2.0, 40.0])
def test_propagator_keeps_its_digits_by_either_factorisation(span, monkeypatch):
    """Short steps factorise by Cholesky, long ones by QR: where both may, they agree to rounding."""
    flow, stack = _riccati_case(0.7)
    values, vectors = np.linalg.eigh(flow)
    turned = vectors.T @ stack
    made = riccati.propagate(turned, values, span)
    monkeypatch.setattr(riccati, "_WELL_CONDITIONED", 0.0)
    by_qr = riccati.propagate(turned, values, span)
    assert np.abs(made @ made.T - by_qr @ by_qr.T).max() < 1e-13


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (3, 3)])
@pytest.mark.parametrize("balance", [0.0, 0.7, -1.3])
def test_frame_of_the_riccati_flow(shape, balance):
    target = np.random.default_rng(5).standard_normal(shape)
    outputs, inputs = shape
    flow = np.block([[-balance / 2 * np.eye(inputs), target.T], [target, balance / 2 * np.eye(outputs)]])
    frame, whole, out = riccati._Frame(target, balance), np.eye(inputs + outputs), np.empty((inputs + outputs,) * 2)
    inverse = frame.into(whole)
    frame.by_modes(whole, out)
    vectors = np.vstack([frame.right @ out[:inputs], frame.left @ out[inputs:]])
    assert np.allclose(vectors @ inverse, whole, rtol=0, atol=1e-14)
    assert np.allclose(flow @ vectors, vectors * frame.values, rtol=0, atol=1e-14)


def test_unbalanced_curve_at_its_corners():
    t = np.array([0.0, 0.5, 2.0, 1e6])
    with np.errstate(all="raise", under="ignore"):
        assert np.abs(unbalanced_strength(t, 2.0, 0.1, 0.0) - logistic_strength(t, 2.0, 0.1)).max() < 1e-14
        for start, balance in ((0.0, 0.5), (0.0, -0.5), (-0.7, 0.3), (5.0, 2.0)):
            curve = unbalanced_strength(t, 2.0, start, balance)
            assert curve[0] == pytest.approx(start, abs=1e-15)
            assert curve[-1] == pytest.approx(2.0, abs=1e-14)
    assert unbalanced_strength(3.0, 2.0, 0.0, 0.4) == unbalanced_strength(3.0, 2.0, 0.0, -0.4)
    a, b = unbalanced_amplitudes(0.6, -0.8)
    assert (a * b, b**2 - a**2) == pytest.approx((0.6, -0.8))


def test_curvature_is_the_sharpness_on_the_top_mode_and_symmetric():
    for depth in (2, 3, 5):
        assert end_to_end.pair_curvature(3.0, 3.0, depth) == pytest.approx(2 / backprop_max_rate(3.0, depth))
        assert end_to_end.pair_curvature(3.0, 1.0, depth) == pytest.approx(end_to_end.pair_curvature(1.0, 3.0, depth))


def test_tangent_spectrum_agrees_with_the_general_error_spectrum():
    lower, upper = linfa.initial_weights((4, 5, 3), scale=1.0, seed=1)
    general = np.sort(error_spectrum(lower, upper).real)
    assert np.abs(tangent_kernel.tangent_spectrum(lower, upper) - general).max() < 1e-13
    assert np.abs(np.linalg.eigvalsh(tangent_kernel.tangent_kernel(lower, upper)) - general).max() < 1e-13


def test_diagonal_end_goes_from_least_squares_to_least_sum():
    generator = np.random.default_rng(2)
    x, y = generator.standard_normal((3, 6)), generator.standard_normal(3)
    least_squares = np.linalg.pinv(x) @ y
    assert np.abs(incremental.diagonal_end(x, y, 50.0) - least_squares).max() < 1e-6
    sparse, exponent = incremental.sparse_limit(x, y)
    assert np.abs(x @ sparse - y).max() < 1e-9
    assert exponent > 0
    assert np.abs(incremental.diagonal_end(x, y, 1e-8) - sparse).max() < 1e-2


def test_modes_below_the_transition_are_lost_and_nothing_jumps():
    strength, left, right = generalisation.observed_mode(np.array([0.2, 0.5**0.25 * (1 + 1e-9), 3.0]), 0.5)
    assert strength[0] == pytest.approx(1 + np.sqrt(0.5))
    assert strength[1] == pytest.approx(1 + np.sqrt(0.5))
    assert left[:2] == pytest.approx([0.0, 0.0], abs=1e-8)
    assert right[2] > left[0]


def test_online_kernel_is_the_rule_and_repeats_to_the_bit():
    generator = np.random.default_rng(4)
    teacher, start = generator.standard_normal((2, 30)), generator.standard_normal((3, 30))
    head, second, feedback = (generator.standard_normal(k) for k in (2, 3, 3))
    x, zeta = generator.standard_normal((40, 30)), generator.standard_normal(40)
    for follows in (True, False):
        runs = []
        for _ in range(2):
            lower, upper = start.copy(), second.copy()
            learn_online(lower, upper, feedback, follows, teacher, head, x, zeta, 0.2)
            runs.append((lower, upper))
        w, v = start.copy(), second.copy()
        for row, noise in zip(x, zeta, strict=True):
            fields = w @ row / np.sqrt(30)
            error = head @ (teacher @ row) / np.sqrt(30) + noise - v @ fields
            carrier = v.copy() if follows else feedback
            w += 0.2 / np.sqrt(30) * error * np.outer(carrier, row)
            v += 0.2 / 30 * error * fields
        assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
        assert np.abs(runs[0][0] - w).max() < 1e-13
        assert np.abs(runs[0][1] - v).max() < 1e-13


def test_regression_kernel_is_the_rule():
    generator = np.random.default_rng(5)
    start, x, xi = (
        generator.standard_normal((6, 4)),
        generator.standard_normal((9, 6, 4)),
        generator.standard_normal((9, 6)),
    )
    errors, squares = start.copy(), np.empty(9)
    least_mean_squares(errors, x, xi, 0.1, squares)
    expected = start.copy()
    for k in range(9):
        gap = (x[k] * expected).sum(1) - xi[k]
        expected -= 0.1 * gap[:, None] * x[k]
    assert np.abs(errors - expected).max() < 1e-14
    assert squares[-1] == pytest.approx(np.square(expected).sum(1).mean())


def test_claims_repeat_to_the_bit():
    for name in ("noisy-teacher-modes", "lms-mean-square", "online-order-parameters"):
        first, again = claims.check(name, quick=True), claims.check(name, quick=True)
        assert all(np.array_equal(a, b) for a, b in zip(first.simulated, again.simulated, strict=True))
        assert first.residual > 0


EYE = np.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: end_to_end.end_to_end_velocity(EYE, EYE, EYE, 0), ValueError, "depth"),
        (lambda: end_to_end.balanced_roots(EYE, 1.5), TypeError, "depth"),
        (lambda: end_to_end.balanced_roots(np.array([[np.nan]]), 2), ValueError, "network_map"),
        (lambda: tangent_kernel.tangent_kernel(EYE, np.eye(3)), ValueError, "upper"),
        (lambda: tangent_kernel.tangent_spectrum(EYE, EYE, np.eye(3)), ValueError, "sigma_x"),
        (lambda: incremental.early_half_time(1.0, 0.1, 1), ValueError, "depth"),
        (lambda: incremental.rank_staircase(np.array([1.0, 2.0])), ValueError, "strengths"),
        (lambda: incremental.diagonal_end(EYE, np.ones(3), 0.1), ValueError, "labels"),
        (lambda: incremental.diagonal_end(np.ones((2, 3)), np.ones(2), 0.1), ValueError, "design"),
        (lambda: incremental.diagonal_end(EYE, np.ones(2), 0.0), ValueError, "scale"),
        (lambda: incremental.sparse_limit(np.ones((2, 3)), np.array([1.0, 2.0])), ValueError, "labels"),
        (lambda: generalisation.observed_mode(-1.0, 0.5), ValueError, "s holds"),
        (lambda: generalisation.observed_mode(1.0, 0.0), ValueError, "ratio"),
        (
            lambda: regression.online_overlaps([1.0], (EYE, EYE, np.ones(3)), EYE, np.ones(2), 0.1, 0.0),
            ValueError,
            "start",
        ),
        (
            lambda: regression.online_overlaps([1.0], (EYE, EYE, np.ones(2)), EYE, np.ones(2), 0.1, 0.0, np.ones(3)),
            ValueError,
            "feedback",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, error, named):
    with pytest.raises(error, match=named):
        call()


# One mutation of theory for each claim: the claim that rests on it must fail.
MUTATIONS = {
    "backprop-unbalanced": ("backprop_geometry", "unbalanced_strength", lambda f: lambda t, s, u, b: f(t, s, u, 2 * b)),
    "backprop-rich-and-lazy": ("backprop_geometry", "lazy_strength", lambda f: lambda t, s, u, b: f(t, s, u, 1.01 * b)),
    "tangent-kernel-operator": ("backprop_geometry", "tangent_spectrum", lambda f: lambda a, b, c: f(a, 1.01 * b, c)),
    "backprop-error-decay": ("backprop_geometry", "error_velocity", lambda f: lambda e, a, b, c: f(e, a, b, 1.01 * c)),
    "end-to-end-velocity": ("backprop_geometry", "balanced_roots", lambda f: lambda w, d: f(w, d + 1)),
    "singular-value-dynamics": ("backprop_geometry", "singular_value_velocity", lambda f: lambda *a: 2 * f(*a)),
    "backprop-curvature": ("backprop_geometry", "pair_curvature", lambda f: lambda a, b, d: f(a, b, d + 1)),
    "backprop-unbalanced-sharpness": ("backprop_geometry", "minimum_sharpness", lambda f: lambda a, b: 2 * a * b),
    "backprop-decay-logistic": ("backprop_geometry", "logistic_strength", lambda f: lambda t, s, u: f(1.01 * t, s, u)),
    "backprop-half-time-order": ("incremental", "early_half_time", lambda f: lambda s, e, d: 1.1 * f(s, e, d)),
    "backprop-rank-staircase": ("incremental", "rank_staircase", lambda f: lambda s: np.arange(1.0, len(s) + 1)),
    "diagonal-network": ("incremental", "diagonal_end", lambda f: lambda x, y, a: f(x, y, 1.1 * a)),
    "diagonal-network-sparse": ("incremental", "sparse_limit", lambda f: lambda x, y: (f(x, y)[0], 2.0)),
    "silent-alignment": ("incremental", "silent_kernel", lambda f: lambda b: f(1.01 * b)),
    "silent-alignment-fails": ("incremental", "early_kernel_cosine", lambda f: lambda c, i: 1.0),
    "noisy-teacher-modes": ("generalisation", "observed_mode", lambda f: lambda s, r: f(s, 1 / r)),
    "regression-risk": ("generalisation", "mode_risk", lambda f: lambda t, e, w, v, n: f(t, e, w, v, n + 1)),
    "regression-early-stopping": ("generalisation", "best_stopping_time", lambda f: lambda e, w, *a: f(e, 2 * w, *a)),
    "lms-mean-square": ("generalisation", "lms_step", lambda f: lambda m, r, d, v: f(m, r, d + 2, v)),
    "online-order-parameters": (
        "generalisation",
        "online_overlaps",
        lambda f: lambda t, x, o, h, r, v, c: f(t, x, o, h, 1.1 * r, v, c),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_theory_is_refuted(name, monkeypatch):
    family, attribute, mutate = MUTATIONS[name]
    module = f"linfa.claims.{family}"
    original = getattr(__import__(module, fromlist=[attribute]), attribute)
    monkeypatch.setattr(f"{module}.{attribute}", mutate(original))
    assert not claims.check(name, quick=True).holds
