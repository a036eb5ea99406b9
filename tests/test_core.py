"""The core on bare arrays: registers against NumPy, networks side by side against one alone, small stand-ins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linfa
from linfa import running
from linfa.core import matrices, runge_kutta, vector
from linfa.core.compile import entry
from linfa.core.problem import FACTORED
from linfa.reduction import Correlations

RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=1),
    "dfa": linfa.DirectFeedback(seed=1),
    "kolen-pollack": linfa.KolenPollack(seed=1),
    "mirror": linfa.WeightMirror(seed=1, decay=0.5),
    "sign": linfa.SignSymmetry("uniform", seed=1),
    "fixed": linfa.LowRankFeedback(rank=2, seed=1),
    "fixed-q": linfa.LowRankFeedback(rank=2, p="oja-label", seed=1),
    "direct-fixed": linfa.LowRankFeedback(rank=2, direct=True, seed=1),
    "raf": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error", seed=1),
    "local": linfa.LowRankFeedback(rank=2, q="local", p="local", seed=1),
    "normative": linfa.LowRankFeedback(rank=2, q="normative", p="normative", seed=1),
    "direct-normative": linfa.LowRankFeedback(rank=2, q="normative", p="normative", direct=True, seed=1),
}
MODES = {
    "flow": {"t": [0.0, 0.31, 1.0]},
    "rk4": {"t": [0.0, 0.3, 1.0], "method": "rk4", "step": 0.03},
    "dormand-prince-fixed": {"t": [0.0, 0.3, 1.0], "step": 0.03},
    "descent": {"t": [0, 7, 30], "learning_rate": 0.03},
}
# Unlike in every size, and with a remainder against tiles of 2 x 4.
WIDTHS = (5, 7, 6, 3)
every_rule = pytest.mark.parametrize("rule", RULES)


def general_task(outputs=3):
    """Inputs that are not whitened and labels that no linear map explains."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 5)) @ generator.standard_normal((5, 5)) / 2
    y = x @ generator.standard_normal((5, outputs)) / 2 + 0.3 * generator.standard_normal((50, outputs))
    return linfa.LinearTask.from_data(x, y)


@entry
def _arithmetic(a, b, c, out):
    x, y, z = vector.load(a, 0), vector.load(b, 0), vector.load(c, 0)
    lanes = vector.width(a)
    vector.store(out, 0, x + y)
    vector.store(out, lanes, x - y)
    vector.store(out, 2 * lanes, x * y)
    vector.store(out, 3 * lanes, x / y)
    vector.store(out, 4 * lanes, vector.fused(x, y, z))
    vector.store(out, 5 * lanes, vector.magnitude(x))
    vector.store(out, 6 * lanes, vector.negative(x))
    vector.store(out, 7 * lanes, vector.larger(x, y))
    vector.store(out, 8 * lanes, vector.signed(x, y))
    vector.store(out, 9 * lanes, vector.choose(z, x, y))
    vector.store(out, 10 * lanes, vector.spread_out(a, b[1]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_registers_do_what_numpy_does(dtype):
    lanes = 32 // np.dtype(dtype).itemsize
    generator = np.random.default_rng(1)
    a, b, c = (generator.standard_normal(lanes).astype(dtype) for _ in range(3))
    c[::2] = 0.0
    b[2] = 0.0
    out = np.zeros((11, lanes), dtype)
    _arithmetic(a, b, c, out)
    with np.errstate(divide="ignore"):
        wanted = [a + b, a - b, a * b, a / b]
    for row, value in zip(out, wanted, strict=False):
        assert np.array_equal(row, value)
    # Rounded once: the product of two doubles is exact in long double to well below an ulp of the sum.
    exact = a.astype(np.longdouble) * b.astype(np.longdouble) + c.astype(np.longdouble)
    assert (np.abs(out[4] - exact) <= 0.51 * np.spacing(np.abs(out[4]))).all()
    rest = [np.abs(a), -a, np.maximum(a, b), a * np.sign(b), np.where(c != 0, a, b), np.full(lanes, b[1])]
    for row, value in zip(out[5:], rest, strict=True):
        assert np.array_equal(row, value)


@entry
def _unclear(a, b, out):
    vector.store(out, 0, vector.larger(vector.load(a, 0), vector.load(b, 0)))
    vector.store(out, 4, vector.signed(vector.load(a, 0), vector.load(b, 0)))
    vector.store(out, 8, vector.choose(vector.load(b, 0), vector.load(a, 0), vector.load(a, 0) * vector.load(a, 0)))


def test_what_is_no_number_is_never_taken_for_one():
    nan, out = np.nan, np.zeros(12)
    _unclear(np.array([nan, 1.0, 2.0, nan]), np.array([1.0, nan, nan, nan]), out)
    # `larger` gives its second where one is unclear: a running maximum goes first, and NaN is counted apart.
    assert np.array_equal(out[:4], [1.0, nan, nan, nan], equal_nan=True)
    assert np.isnan(out[4:8]).all()
    assert np.array_equal(out[8:], [nan, 1.0, 2.0, nan], equal_nan=True)


@entry
def _count(counter, repetitions):
    total = 0
    for _ in range(repetitions):
        total += vector.fetch_and_add(counter, 1)
    return total


def test_numbers_handed_out_to_threads_are_handed_out_once():
    import threading

    counter, sums = np.zeros(1, dtype=np.int64), []
    _count(counter, 0)
    threads = [threading.Thread(target=lambda: sums.append(_count(counter, 100_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter[0] == 400_000
    assert sum(sums) == 400_000 * 399_999 // 2


@entry
def _products(state, at, m, k, n, out):
    a, b = matrices.matrix(state, at[0], m, k), matrices.matrix(state, at[1], k, n)
    turned_a, turned_b = matrices.matrix(state, at[2], k, m), matrices.matrix(state, at[3], n, k)
    start = matrices.matrix(state, at[4], m, n)
    matrices.multiply(a, b, matrices.matrix(out, 0, m, n))
    matrices.multiply_transposed_left(turned_a, b, matrices.matrix(out, m * n, m, n))
    matrices.multiply_transposed_right(a, turned_b, matrices.matrix(out, 2 * m * n, m, n))
    matrices.add_product(start, a, b, matrices.matrix(out, 3 * m * n, m, n))
    less = matrices.matrix(out, 4 * m * n, m, n)
    matrices.copy_into(start, less, 0)
    matrices.subtract_product(a, b, less)


@pytest.mark.parametrize("lanes", [1, 4])
@settings(max_examples=40, deadline=None)
@given(m=st.integers(1, 7), k=st.integers(0, 9), n=st.integers(1, 11))
def test_products_of_any_size(lanes, m, k, n):
    generator = np.random.default_rng(m + 10 * k + 100 * n)
    beside = () if lanes == 1 else (lanes,)
    shapes = [(m, k), (k, n), (k, m), (n, k), (m, n)]
    parts = [generator.standard_normal((*shape, *beside)) for shape in shapes]
    state = np.concatenate([part.reshape(-1, *beside) for part in parts])
    at = np.cumsum([0] + [p * q for p, q in shapes[:-1]])
    out = np.full((5 * m * n, *beside), np.nan)
    _products(state, at, m, k, n, out)
    a, b, turned_a, turned_b, start = (part.reshape(*shape, lanes) for part, shape in zip(parts, shapes, strict=True))
    product = np.einsum("mkl,knl->mnl", a, b)
    wanted = [
        product, np.einsum("kml,knl->mnl", turned_a, b), np.einsum("mkl,nkl->mnl", a, turned_b), start + product,
        start - product,
    ]  # fmt: skip
    # Sums of at most ten products of numbers of size 1, in another order.
    assert np.allclose(out.reshape(5, m, n, lanes), wanted, rtol=0, atol=1e-14)


def members_of(widths=WIDTHS, members=6, scale=0.4):
    return linfa.initial_weights(widths, scale=scale, seed=3, members=members)


@entry
def _largest(problem, state, register, sizes):
    runge_kutta.largest_entries(problem, state, register, sizes)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_largest_entry_notices_what_is_not_finite_wherever_it_stands(lanes, wrong):
    weights = linfa.initial_weights((2, 3, 2), scale=0.3, members=1)
    task = linfa.LinearTask(np.eye(2))
    plan = running.check_run(task, 2, [1.0], None, 0.0, 1e-8, 1e-10, "dormand-prince", None, 10)
    resolved = linfa.Backprop().resolve((2, 3, 2))
    problem = running.core_problem(plan, running.Networks(weights, [resolved], [Correlations.of(task)]))
    beside = () if lanes == 1 else (lanes,)
    for where in range(problem.n_dynamic):
        state, sizes = np.full((problem.n_state, *beside), -1.0), np.zeros(lanes)
        # Behind what is integrated stands what no step changes, however large.
        state[problem.n_dynamic :] = 1e20
        state[where, ...] = -3.0
        _largest(problem, state, np.zeros(4), sizes)
        assert (sizes == 3.0).all()
        state[where, ...] = wrong
        _largest(problem, state, np.zeros(4), sizes)
        assert not (sizes <= 1e300).any()


@every_rule
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore::linfa.simulation.DivergenceWarning")
def test_side_by_side_or_alone(rule, mode, monkeypatch):
    """Registers and BLAS are two implementations of one dynamics."""
    task, weights = general_task(), members_of()
    together = linfa.ensemble(task, weights, RULES[rule], **MODES[mode])
    monkeypatch.setattr(running, "SHARED_WORK", 0)
    alone = linfa.ensemble(task, weights, RULES[rule], **MODES[mode])
    # The same arithmetic in another order, over tens of steps. Where a sign changes the adaptive method looks for the
    # moment, to its accuracy of 1e-8 times some hundreds, and every rounding error moves its steps.
    tolerance = 1e-5 if (rule, mode) == ("sign", "flow") else 1e-11
    for a, b in zip(together.weights, alone.weights, strict=True):
        assert np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True)
    for key, matrices_of in together.feedback_weights.items():
        for a, b in zip(matrices_of, alone.feedback_weights[key], strict=True):
            assert np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("rule", ["fa", "dfa", "fixed", "fixed-q", "direct-fixed"])
@pytest.mark.parametrize("lanes", ["shared", "alone"])
def test_small_stand_ins_change_nothing(rule, lanes, monkeypatch):
    """W(t) = W(0) + F A(t) under fixed feedback: exact in descent, where both forms make the same steps."""
    if lanes == "alone":
        monkeypatch.setattr(running, "SHARED_WORK", 0)
    widths = (5, 14, 12, 3)
    task, weights = general_task(), members_of(widths)
    problem = running.core_problem
    seen = []

    def whole(plan, networks, *, factor=True):
        seen.append(problem(plan, networks).table[FACTORED, :3].tolist())
        return problem(plan, networks, factor=False)

    factored = linfa.ensemble(task, weights, RULES[rule], t=[0, 5, 200], learning_rate=0.02, reduce=False)
    monkeypatch.setattr(running, "core_problem", whole)
    plain = linfa.ensemble(task, weights, RULES[rule], t=[0, 5, 200], learning_rate=0.02, reduce=False)
    # Along the chain full feedback to layer 1 comes from layer 2, which is as wide.
    assert seen == [[0, 1, 0] if rule == "fa" else [1, 1, 0]]
    for a, b in zip(factored.weights, plain.weights, strict=True):
        # 200 updates of numbers of size 1, each rounded in another order.
        assert np.abs(a - b).max() < 1e-12


def test_members_side_by_side_keep_their_own_rates_matrices_and_ends():
    """One that diverges, one that stalls and others that go on: as each alone, to the last bit."""
    task, weights = general_task(), members_of((5, 7, 3), members=7)
    rules = [linfa.LowRankFeedback(rank=2, q="kolen-pollack", seed=m, q_rate=0.5 + m, decay=0.1 * m) for m in range(7)]
    weights[0][2] *= 50.0
    times = [0.0, 0.4, 2.0]
    many = linfa.ensemble(task, weights, rules, times, threads=2)
    for m, rule in enumerate(rules):
        single = linfa.simulate(task, [w[m] for w in weights], rule, times)
        for a, b in zip(many.member(m).weights, single.weights, strict=True):
            assert np.array_equal(a, b)


@every_rule
def test_single_precision_is_as_accurate_as_it_says(rule):
    """Its error is that which the tolerance allows in double precision too, and some roundings of 6e-8."""
    task, weights = general_task(), members_of(members=9)
    times = np.linspace(0.0, 2.0, 5)
    exact = linfa.ensemble(task, weights, RULES[rule], times, rtol=1e-10, atol=1e-12).map
    for rtol in (1e-4, 1e-5):
        options = {"rtol": rtol, "atol": rtol / 10}
        double = linfa.ensemble(task, weights, RULES[rule], times, **options)
        single = linfa.ensemble(task, weights, RULES[rule], times, **options, precision="float32")
        assert single.settings["precision"] == "float32"
        assert single.map.dtype == np.float64
        assert np.abs(single.map - double.map).max() > 1e-8
        assert np.abs(single.map - exact).max() < 1.1 * np.abs(double.map - exact).max() + 1e-5


def test_single_precision_refuses_what_it_cannot_keep():
    task, weights = general_task(), members_of()
    with pytest.raises(ValueError, match="rtol is 1e-08; it must be at least 1e-06"):
        linfa.ensemble(task, weights, linfa.Backprop(), [1.0], precision="float32")
    with pytest.raises(ValueError, match="precision"):
        linfa.ensemble(task, weights, linfa.Backprop(), [1.0], precision="half")


def test_start_vectors_hold_what_the_kernels_read():
    task, weights = general_task(), members_of()
    resolved = RULES["raf"].resolve(WIDTHS)
    plan = running.check_run(task, 3, [1.0], None, [0.1, 0.2, 0.3], 1e-8, 1e-10, "dormand-prince", None, 10)
    networks = running.Networks(weights, [resolved], [Correlations.of(task)])
    problem = running.core_problem(plan, networks)
    starts = running.start_vectors(plan, networks, problem)
    assert starts.shape == (6, problem.n_state)
    assert np.array_equal(starts[4, : WIDTHS[0] * WIDTHS[1]], weights[0][4].ravel())
    assert np.array_equal(starts[0, problem.at_rate + 3 : problem.at_rate + 6], [0.1, 0.2, 0.3])
    at = problem.at_residual_root
    root = starts[3, at : at + 3 * problem.n_residual].reshape(3, -1)
    assert np.allclose(root @ root.T, task.sigma_y - task.target @ task.sigma_x @ task.target.T)
