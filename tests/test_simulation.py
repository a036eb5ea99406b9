"""Runs: bits that depend on nothing but the input, measured orders, exact discrete laws, endings, observables."""

import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import linfa
from linfa import metrics, running
from linfa.core import lanes as core
from linfa.core.runs import advance_lanes
from linfa.reduction import Correlations

RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=1),
    "dfa": linfa.DirectFeedback(seed=1),
    "kolen-pollack": linfa.KolenPollack(seed=1),
    "mirror": linfa.WeightMirror(seed=1, decay=0.5),
    "sign": linfa.SignSymmetry("fixed", seed=1),
    "low-rank": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error", seed=1),
    "direct-low-rank": linfa.LowRankFeedback(rank=2, q="normative", p="local", direct=True, seed=1),
}
MODES = {
    "flow": {"t": [0.0, 0.31, 0.7, 1.0]},
    "rk4": {"t": [0.0, 0.3, 1.0], "method": "rk4", "step": 0.03},
    "dormand-prince-fixed": {"t": [0.0, 0.3, 1.0], "step": 0.03},
    "descent": {"t": [0, 7, 30], "learning_rate": 0.03},
}
every_rule = pytest.mark.parametrize("rule", RULES)
every_mode = pytest.mark.parametrize("mode", MODES)
WIDTHS = (4, 6, 5, 3)


def samples(seed=0, n=25):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, 4)) * [1.3, 1.1, 0.9, 0.6]
    return x, x @ generator.standard_normal((4, 3)) * 0.7 + 0.2 * generator.standard_normal((n, 3))


TASK = linfa.LinearTask.from_data(*samples())


def arrays(run):
    """Everything numerical a run holds, by name."""
    named = {"t": run.t, "stopped_at": np.asarray(run.stopped_at)}
    named |= {f"W{k}": w for k, w in enumerate(run.weights)}
    return named | {f"{key}{h}": m for key, ms in run.feedback_weights.items() for h, m in enumerate(ms)}


def assert_same_bits(one, other):
    one, other = arrays(one), arrays(other)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].shape == other[name].shape, name
        assert np.ascontiguousarray(one[name]).tobytes() == np.ascontiguousarray(other[name]).tobytes(), name


# Bits


@every_mode
@every_rule
def test_ensemble_members_equal_their_own_runs_bit_for_bit(rule, mode):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3, members=4)
    options = MODES[mode] | {"weight_decay": 0.02}
    singles = [linfa.simulate(TASK, [w[m] for w in weights], RULES[rule], **options) for m in range(4)]
    for threads in (1, 2, 3):
        many = linfa.ensemble(TASK, weights, RULES[rule], threads=threads, **options)
        assert many.members == 4
        for m, single in enumerate(singles):
            assert_same_bits(many.member(m), single)


def test_ensemble_members_may_have_feedback_of_their_own():
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3, members=3)
    rules = [linfa.LowRankFeedback(rank=2, q="kolen-pollack", seed=s, decay=0.1 * s, q_rate=1.0 + s) for s in range(3)]
    many = linfa.ensemble(TASK, weights, rules, [0.0, 1.0])
    for m, rule in enumerate(rules):
        assert_same_bits(many.member(m), linfa.simulate(TASK, [w[m] for w in weights], rule, [0.0, 1.0]))
        assert many.member(m).feedback == rule
    assert not np.array_equal(many.feedback_weights["p"][0][0], many.feedback_weights["p"][0][1])


@every_mode
@every_rule
def test_the_same_call_gives_the_same_bits(rule, mode):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    assert_same_bits(*(linfa.simulate(TASK, weights, RULES[rule], **MODES[mode]) for _ in range(2)))


@every_mode
@every_rule
def test_slicing_does_not_change_a_bit(rule, mode, monkeypatch):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    whole = linfa.simulate(TASK, weights, RULES[rule], **MODES[mode])
    calls = []
    monkeypatch.setattr(running, "_SLICE_WORK", 1.0)
    sliced = linfa.simulate(TASK, weights, RULES[rule], **MODES[mode], progress=calls.append)
    assert_same_bits(whole, sliced)
    # One step for each slice, so that there is something to differ.
    assert len(calls) >= 8


def wide_network():
    """Wide enough that an unheld BLAS would share the products among threads and round them otherwise."""
    generator = np.random.default_rng(0)
    task = linfa.LinearTask(generator.standard_normal((150, 150)) / np.sqrt(150))
    return task, linfa.initial_weights((150, 200, 150), scale=150**-0.5, seed=0)


@pytest.mark.parametrize("options", [{"t": [3], "learning_rate": 0.05}, {"t": [0.05], "step": 0.05, "method": "rk4"}])
def test_blas_threads_do_not_change_a_bit(options):
    task, weights = wide_network()
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            made.append(linfa.simulate(task, weights, linfa.FeedbackAlignment(seed=1), **options))
            stacked = [np.stack([w, w]) for w in weights]
            made.append(linfa.ensemble(task, stacked, linfa.FeedbackAlignment(seed=1), threads=2, **options).member(1))
    for other in made[1:]:
        assert_same_bits(made[0], other)


def test_blas_runs_on_one_thread_during_a_run_and_as_before_after_it():
    def blas_threads():
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    seen = []
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        linfa.simulate(
            TASK,
            linfa.initial_weights(WIDTHS),
            linfa.Backprop(),
            [0.1],
            progress=lambda _: seen.append(set(blas_threads().values())),
        )
        after = blas_threads()
    assert seen
    assert all(threads == {1} for threads in seen)
    assert {path: after[path] for path in before} == before


def test_progress_ascends_to_one():
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3, members=3)
    for function, start in ((linfa.simulate, [w[0] for w in weights]), (linfa.ensemble, weights)):
        seen = []
        function(TASK, start, linfa.Backprop(), [0.0, 5.0], progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == pytest.approx(1.0)


def test_an_error_in_progress_stops_the_ensemble_and_reaches_the_caller():
    def interrupt(_):
        raise KeyboardInterrupt

    weights = linfa.initial_weights(WIDTHS, scale=0.4, members=3)
    with pytest.raises(KeyboardInterrupt):
        linfa.ensemble(TASK, weights, linfa.Backprop(), [1.0], progress=interrupt)


# Order of convergence, against the logistic curve of balanced two-layer modes (A1)

STRENGTHS = np.array([2.0, 1.0])
LOGISTIC_TASK = linfa.LinearTask.from_modes(STRENGTHS, inputs=3, outputs=4, seed=5)
START = 0.3
HORIZON = 2.0


def logistic(t):
    """u(t) = s e^{2st}/(e^{2st} − 1 + s/u0) for each mode, (T, modes)."""
    growth = np.exp(2 * STRENGTHS * np.asarray(t)[:, None])
    return STRENGTHS * growth / (growth - 1 + STRENGTHS / START**2)


def aligned_start():
    return linfa.initial_weights((3, 5, 4), "aligned", START, seed=6, task=LOGISTIC_TASK)


def logistic_error(t, **options):
    run = linfa.simulate(LOGISTIC_TASK, aligned_start(), linfa.Backprop(), t, **options)
    return np.abs(run.mode_strengths - logistic(run.t)).max()


def slope(sizes, errors):
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    # Steps short enough for the leading term, errors well above rounding.
    [("rk4", 4, (40, 80, 160, 320)), ("dormand-prince", 5, (20, 40, 80, 160))],
)
def test_fixed_steps_converge_at_the_order_of_their_method(method, order, steps):
    lengths = [HORIZON / n for n in steps]
    errors = [logistic_error([HORIZON], method=method, step=h) for h in lengths]
    assert errors[-1] > 1e-13
    # The next term of the expansion bends a measured slope by some hundredths.
    assert slope(lengths, errors) == pytest.approx(order, abs=0.2)


def test_fixed_steps_land_on_requested_times_without_losing_order():
    times = np.array([0.013, 0.5, 0.77, HORIZON])
    lengths = [HORIZON / n for n in (40, 80, 160, 320)]
    errors = [logistic_error(times, method="rk4", step=h) for h in lengths]
    # Steps of uneven intervals do not shrink by exactly 2.
    assert slope(lengths, errors) == pytest.approx(4, abs=0.3)


def dense_errors(step):
    """Errors at times between steps of equal length, with the adaptive integrator held to that step."""
    times = (np.arange(0.0, HORIZON - step / 2, step)[:, None] + step * np.array([0.17, 0.5, 0.83])).ravel()
    weights = aligned_start()
    plan = running.check_run(LOGISTIC_TASK, 2, times, None, 0.0, 1.0, 1e30, "dormand-prince", None, 10**6)
    networks = running.Networks(
        [w[None] for w in weights], [linfa.Backprop().resolve((3, 5, 4))], [Correlations.of(LOGISTIC_TASK)]
    )
    problem = running.core_problem(plan, networks)
    starts = running.start_vectors(plan, networks, problem)
    saved, counts = np.empty((1, len(times), problem.n_kept)), [np.zeros(1, dtype=np.int64) for _ in range(3)]
    members = core.Members(starts, np.full(1, 1e12), saved, counts[0], counts[1], np.zeros(1), counts[2])
    settings = core.Settings(core.ADAPTIVE, times, 1.0, 1e30, 0.0, 10**6)
    lanes = core.make_lanes(problem, 4, "float64")
    # The first round chooses a first step, every other makes one.
    while advance_lanes(problem, members, lanes, settings, 1):
        lanes.clock[:, core.STEP] = step
    assert members.statuses[0] == core.COMPLETED
    maps = saved[0, :, 15:].reshape(-1, 4, 5) @ saved[0, :, :15].reshape(-1, 5, 3)
    strengths = metrics.mode_projection(maps, LOGISTIC_TASK.left, LOGISTIC_TASK.right)
    return np.abs(strengths - logistic(times)).max()


def test_dense_output_converges_between_steps():
    # Shorter steps than for the end point: the next term of the interpolation is larger than that of the steps.
    lengths = [HORIZON / n for n in (60, 120, 240)]
    errors = [dense_errors(h) for h in lengths]
    assert errors[-1] > 1e-13
    # Fourth-order interpolation has a local error of order 5, as the global error of the steps: 5 in all.
    assert slope(lengths, errors) == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("times", [[HORIZON], np.linspace(0.0, HORIZON, 77)], ids=["end", "dense"])
def test_global_error_follows_the_tolerance(times):
    tolerances = 10.0 ** np.arange(-11, -4)
    errors = np.array([logistic_error(times, rtol=r, atol=1e-2 * r) for r in tolerances])
    # Error control per step of a fifth-order pair: error ∝ tolerance, with the jitter of single steps.
    assert slope(tolerances, errors) == pytest.approx(1.0, abs=0.2)
    # A tolerance on the entries, about 1 here, that a horizon of a few time constants amplifies little.
    assert (errors < 100 * tolerances).all()


def test_requested_times_do_not_change_the_steps():
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    sparse = linfa.simulate(TASK, weights, RULES["low-rank"], [0.0, 3.0])
    dense = linfa.simulate(TASK, weights, RULES["low-rank"], np.linspace(0.0, 3.0, 301))
    for a, b in zip(sparse.weights, dense.weights, strict=True):
        assert np.array_equal(a[-1], b[-1])


# Times


@every_mode
@every_rule
def test_first_saved_state_at_zero_is_the_start(rule, mode):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    run = linfa.simulate(TASK, weights, RULES[rule], **MODES[mode])
    assert all(np.array_equal(w[0], start) for w, start in zip(run.weights, weights, strict=True))
    for key, matrices in (RULES[rule].resolve(WIDTHS).matrices or {}).items():
        assert all(np.array_equal(m[0], s) for m, s in zip(run.feedback_weights[key], matrices, strict=True))


@every_mode
def test_times_that_start_above_zero_still_run_from_zero(mode):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    full = linfa.simulate(TASK, weights, RULES["low-rank"], **MODES[mode])
    late = linfa.simulate(TASK, weights, RULES["low-rank"], **(MODES[mode] | {"t": MODES[mode]["t"][1:]}))
    for a, b in zip(full.weights, late.weights, strict=True):
        assert np.array_equal(a[1:], b)


@every_mode
@every_rule
def test_time_zero_alone_returns_the_start(rule, mode):
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    run = linfa.simulate(TASK, weights, RULES[rule], **(MODES[mode] | {"t": [0.0]}))
    assert run.status == "completed"
    assert run.t.tolist() == [0.0]
    assert all(np.array_equal(w, start[None]) for w, start in zip(run.weights, weights, strict=True))


@every_rule
def test_single_weight_matrix_relaxes_exponentially(rule):
    # With one layer there is nothing to feed back to: W(t) = T (1 − e^{−t}) on whitened inputs.
    target = np.random.default_rng(4).standard_normal((3, 4))
    run = linfa.simulate(linfa.LinearTask(target), [np.zeros((3, 4))], RULES[rule], [0.5, 2.0], rtol=1e-12, atol=1e-14)
    for w, t in zip(run.weights[0], run.t, strict=True):
        # rtol 1e-12 over two time constants.
        np.testing.assert_allclose(w, -np.expm1(-t) * target, rtol=1e-10)
    assert run.feedback_weights == {}
    assert run.weight_alignment.shape == run.gradient_alignment.shape == (2, 0)
    many = linfa.ensemble(
        linfa.LinearTask(target), [np.zeros((2, 3, 4))], RULES[rule], [0.5, 2.0], rtol=1e-12, atol=1e-14
    )
    assert_same_bits(many.member(1), run)


# Discrete laws


def descend_in_numpy(task, weights, rule, feedback, learning_rate, decay, updates):
    """The training loop as anyone would write it; `feedback` is [B_2, …] for chain feedback, [F_1, …] for direct."""
    weights = [w.copy() for w in weights]
    for _ in range(updates):
        below = [np.eye(task.inputs)]
        for w in weights:
            below.append(w @ below[-1])
        error = task.sigma_yx - below[-1] @ task.sigma_x
        signals = [error]
        for l in range(len(weights) - 1, 0, -1):
            back = weights[l].T if rule == "backprop" else feedback[l - 1]
            if rule == "sign":
                back = feedback[l - 1] * np.sign(weights[l].T)
            signals.insert(0, back @ (error if rule == "dfa" else signals[0]))
        changes = [s @ b.T - decay * w for s, b, w in zip(signals, below, weights, strict=False)]
        weights = [w + learning_rate * c for w, c in zip(weights, changes, strict=True)]
    return weights


@pytest.mark.parametrize("rule", ["backprop", "fa", "dfa", "sign"])
@pytest.mark.parametrize("task", [TASK, LOGISTIC_TASK], ids=["correlated", "whitened"])
@pytest.mark.parametrize("depth", [2, 3])
def test_descent_is_the_plain_training_loop(rule, task, depth):
    widths = (task.inputs, *(6, 5)[: depth - 1], task.outputs)
    weights = linfa.initial_weights(widths, scale=0.4, seed=3)
    run = linfa.simulate(task, weights, RULES[rule], [0, 1, 60], learning_rate=0.05, weight_decay=0.02)
    feedback = (RULES[rule].resolve(widths).matrices or {}).get("b")
    for k, updates in enumerate((0, 1, 60)):
        expected = descend_in_numpy(task, weights, rule, feedback, 0.05, 0.02, updates)
        for w, e in zip(run.weights, expected, strict=True):
            # Sums in another order: some eps an update, which learning rather damps than amplifies.
            np.testing.assert_allclose(w[k], e, atol=1e-13)


@pytest.mark.parametrize("widths", [(4, 6, 3), WIDTHS])
def test_kolen_pollack_difference_shrinks_by_one_factor_an_update(widths):
    weights = linfa.initial_weights(widths, scale=0.4, seed=3)
    updates = np.array([0, 1, 10, 200])
    rate, decay = 0.05, 0.1
    run = linfa.simulate(TASK, weights, linfa.KolenPollack(seed=1), updates, learning_rate=rate, weight_decay=decay)
    for w, b in zip(run.weights[1:], run.feedback_weights["b"], strict=True):
        difference = w - np.swapaxes(b, -1, -2)
        expected = difference[0] * (1 - rate * decay) ** updates[:, None, None]
        # Weights of size 1 round at 1e-16 an update, a few times over 200 updates.
        np.testing.assert_allclose(difference, expected, atol=1e-13)
        assert np.abs(difference[-1]).max() > 0.05


@pytest.mark.parametrize("widths", [(4, 6, 3), WIDTHS], ids=["depth 2", "depth 3"])
@pytest.mark.parametrize("rule", ["backprop", "fa"])
def test_conserved_quantity_drifts_by_exactly_its_identity(rule, widths):
    """A4: ΔD = η² (G_{l+1}ᵀ G_{l+1} − G_l G_lᵀ); B1 along the chain: ΔC = η² G_l G_lᵀ; summed over updates."""
    rate, updates = 0.02, 1000
    weights = linfa.initial_weights(widths, scale=0.6, seed=3)
    run = linfa.simulate(TASK, weights, RULES[rule], np.arange(updates + 1), learning_rate=rate)
    directions = run.update_directions
    for l in range(len(weights) - 1):
        lower, upper = run.weights[l], run.weights[l + 1]
        g = directions[l][:-1]
        own = g @ np.swapaxes(g, -1, -2)
        if rule == "backprop":
            quantity = metrics.balancedness(lower, upper)
            above = directions[l + 1][:-1]
            drift = np.swapaxes(above, -1, -2) @ above - own
        else:
            # B W_{l+1} is linear in the weights: only W_l W_lᵀ has a term of second order in the step.
            quantity = metrics.feedback_balance(lower, upper, run.feedback_matrix(l)[0])
            drift = own
        total = rate**2 * drift.sum(0)
        size = np.linalg.norm(quantity, axis=(-2, -1)).max()
        # 1,000 roundings of a quantity of size 1 that partly cancel.
        np.testing.assert_allclose(quantity[-1] - quantity[0], total, rtol=0, atol=1e-12 * size)
        # The drift is 1e9 times larger than what the comparison allows: it is really seen.
        assert np.linalg.norm(total) > 1e-3 * size


@pytest.mark.parametrize("task", [TASK, LOGISTIC_TASK], ids=["correlated", "whitened"])
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("rule", ["backprop", "fa"])
def test_conserved_quantity_stays_along_the_flow(rule, depth, task):
    widths = (task.inputs, *(6, 5)[: depth - 1], task.outputs)
    weights = linfa.initial_weights(widths, scale=0.6, seed=3)
    run = linfa.simulate(task, weights, RULES[rule], np.linspace(0.0, 5.0, 6), rtol=1e-13, atol=1e-14)
    for l in range(depth - 1):
        lower, upper = run.weights[l], run.weights[l + 1]
        if rule == "backprop":
            quantity = metrics.balancedness(lower, upper)
        else:
            quantity = metrics.feedback_balance(lower, upper, run.feedback_matrix(l)[0])
        # Steps at rtol 1e-13 accumulate to less than ten of them.
        assert metrics.relative_residual(quantity, quantity[0]).max() < 1e-12
    # Something was learned meanwhile.
    assert run.excess_loss[-1] < 0.2 * run.excess_loss[0]


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("mode", ["flow", "descent"])
def test_first_layer_moves_within_the_span_of_q(direct, mode):
    rule = linfa.LowRankFeedback(rank=2, seed=1, direct=direct)
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    run = linfa.simulate(TASK, weights, rule, **MODES[mode])
    moved = run.weights[0][-1] - weights[0]
    values = np.linalg.svd(moved, compute_uv=False)
    # Beyond the rank there is rounding alone; within it there is learning.
    assert values[1] > 1e-3 * values[0]
    assert (values[2:] < 1e-13 * max(1.0, values[0])).all()
    q = np.linalg.qr(run.feedback_weights["q"][0][0])[0]
    np.testing.assert_allclose(moved, q @ q.T @ moved, atol=1e-13)


# Endings

UNIT = linfa.LinearTask(np.eye(1))


def test_descent_above_the_maximal_rate_diverges_when_predicted():
    # W_n = 1 − (−2)^n at η = 3: |W_n| first exceeds 10¹² at n = 40.
    with pytest.warns(linfa.DivergenceWarning, match="update 40"):
        run = linfa.simulate(UNIT, [np.zeros((1, 1))], linfa.Backprop(), np.arange(101), learning_rate=3.0)
    assert run.status == "diverged"
    assert run.stopped_at == 40
    assert run.t.tolist() == list(range(40))
    # Integers below 2^53 times one rounding an update.
    np.testing.assert_allclose(run.weights[0][:, 0, 0], 1 - (-2.0) ** run.t, rtol=1e-12)
    assert len(run.loss) == len(run.weight_alignment) == 40


def test_descent_just_below_the_maximal_rate_converges():
    run = linfa.simulate(UNIT, [np.zeros((1, 1))], linfa.Backprop(), [0, 2000], learning_rate=1.98)
    assert run.status == "completed"
    assert np.isnan(run.stopped_at)
    # (−0.98)^2000 = 3e-18.
    assert abs(run.weights[0][-1, 0, 0] - 1.0) < 1e-14


def mixed_ensemble():
    """Member 1 starts where descent at rate 0.1 diverges, the others converge."""
    starts = np.array([0.5, 10.0, 0.7]).reshape(3, 1, 1)
    return [starts, starts.copy()], {"t": np.arange(31), "learning_rate": 0.1}


def test_diverged_member_leaves_the_others_alone_and_is_padded_with_nan():
    weights, options = mixed_ensemble()
    rule = linfa.KolenPollack([np.ones((1, 1))])
    with pytest.warns(linfa.DivergenceWarning, match="1 of 3 members diverged, first member 1"):
        many = linfa.ensemble(UNIT, weights, rule, **options)
    assert many.status.tolist() == ["completed", "diverged", "completed"]
    assert np.isnan(many.stopped_at[[0, 2]]).all()
    with pytest.warns(linfa.DivergenceWarning):
        single = linfa.simulate(UNIT, [w[1] for w in weights], rule, **options)
    assert single.stopped_at == many.stopped_at[1]
    assert 0 < len(single.t) < 31
    assert_same_bits(many.member(1), single)
    assert many.member(1).status == "diverged"
    assert_same_bits(many.member(2), linfa.simulate(UNIT, [w[2] for w in weights], rule, **options))
    for stack in (*many.weights, *many.feedback_weights["b"]):
        assert np.isfinite(stack[1, : len(single.t)]).all()
        assert np.isnan(stack[1, len(single.t) :]).all()
    for name in ("loss", "effective_rank", "weight_alignment", "gradient_alignment", "mode_strengths"):
        values = getattr(many, name)
        assert values.shape[:2] == (3, 31), name
        assert np.isnan(values[1, len(single.t) :]).all(), name
        np.testing.assert_array_equal(values[1, : len(single.t)], getattr(single, name), err_msg=name)


def test_negative_index_is_the_last_member_and_others_are_refused():
    weights = linfa.initial_weights(WIDTHS, members=2)
    many = linfa.ensemble(TASK, weights, linfa.Backprop(), [0.0, 0.1])
    assert_same_bits(many.member(-1), many.member(1))
    with pytest.raises(IndexError, match="2 members"):
        many.member(2)
    with pytest.raises(ValueError, match="single run"):
        many.member(0).member(0)


def test_run_that_spends_its_steps_has_stalled_and_keeps_what_it_has():
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    times = np.linspace(0.0, 50.0, 501)
    with pytest.warns(linfa.DivergenceWarning, match="stopped advancing"):
        run = linfa.simulate(TASK, weights, linfa.Backprop(), times, max_steps=20)
    assert run.status == "stalled"
    assert 0 < len(run.t) < 501
    assert run.t[-1] <= run.stopped_at < 50.0
    # Every requested time up to the end is there, and holds what the full run holds.
    assert len(run.t) == np.searchsorted(times, run.stopped_at, side="right")
    full = linfa.simulate(TASK, weights, linfa.Backprop(), times)
    assert all(np.array_equal(a, b[: len(run.t)]) for a, b in zip(run.weights, full.weights, strict=True))
    with pytest.warns(linfa.DivergenceWarning, match="2 of 2 members stalled"):
        many = linfa.ensemble(TASK, [np.stack([w, w]) for w in weights], linfa.Backprop(), times, max_steps=20)
    assert_same_bits(many.member(0), run)


def test_run_that_stops_before_its_first_time_hands_back_its_start():
    with pytest.warns(linfa.DivergenceWarning):
        run = linfa.simulate(
            UNIT, [np.full((2, 1), 9.0), np.full((1, 2), 9.0)], linfa.FeedbackAlignment(), [500], learning_rate=1.0
        )
    assert run.t.tolist() == [0.0]
    assert (run.weights[0][0] == 9.0).all()
    assert run.loss.shape == run.effective_rank.shape == (1,)
    assert run.weight_alignment.shape == run.gradient_alignment.shape == (1, 1)


def test_overflow_into_nan_counts_as_divergence_at_once():
    # One mode overflows to inf and NaN in the first update while the last entry of the state stays finite.
    weights = [np.diag([1e160, 0.0]), np.diag([1e160, 0.0])]
    with pytest.warns(linfa.DivergenceWarning, match="update 1"):
        run = linfa.simulate(linfa.LinearTask(np.eye(2)), weights, linfa.Backprop(), [0, 1], learning_rate=0.1)
    assert run.t.tolist() == [0]
    assert all(np.isfinite(w).all() for w in run.weights)


# Arguments


@every_mode
def test_input_arrays_are_neither_modified_nor_kept(mode):
    options = {k: np.array(v, dtype=float) if k == "t" else v for k, v in MODES[mode].items()}
    weights = linfa.initial_weights(WIDTHS, scale=0.4, seed=3)
    q, p = (linfa.LowRankFeedback(rank=2).resolve(WIDTHS).matrices[k] for k in "qp")
    inputs = [*weights, *q, *p, options["t"]]
    before = [a.copy() for a in inputs]
    run = linfa.simulate(TASK, weights, linfa.LowRankFeedback(q="kolen-pollack", q_matrices=q, p_matrices=p), **options)
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    kept = {name: a.copy() for name, a in arrays(run).items()}
    for a in inputs:
        a[...] = 0.0
    assert all(np.array_equal(a, kept[name], equal_nan=True) for name, a in arrays(run).items())


@pytest.mark.parametrize("form", ["fortran", "read-only", "strided", "float32", "lists"])
def test_form_of_the_weights_does_not_matter(form):
    weights = [np.round(w * 64) / 64 for w in linfa.initial_weights(WIDTHS, scale=0.4, seed=3)]
    forms = {
        "fortran": np.asfortranarray,
        "read-only": lambda w: np.require(w.copy()),
        "strided": lambda w: np.repeat(w, 2, axis=1)[:, ::2],
        "float32": lambda w: w.astype(np.float32),
        "lists": lambda w: w.tolist(),
    }
    other = [forms[form](w) for w in weights]
    if form == "read-only":
        for w in other:
            w.flags.writeable = False
    runs = [linfa.simulate(TASK, w, RULES["kolen-pollack"], [0.0, 1.0]) for w in (weights, other)]
    assert_same_bits(*runs)


GOOD = {"task": TASK, "weights": linfa.initial_weights(WIDTHS), "feedback": linfa.Backprop(), "t": [0.0, 1.0]}


@pytest.mark.parametrize("function", [linfa.simulate, linfa.ensemble])
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"task": "digits"}, TypeError, "task is str"),
        ({"weights": np.ones((2, 3, 4))}, TypeError, "weights is ndarray"),
        ({"weights": []}, ValueError, "weights is empty"),
        ({"weights": [np.ones((6, 4)), np.ones((3, 5))]}, ValueError, r"weights\[1\] is \(3, 5\)"),
        ({"weights": [np.ones((6, 5)), np.ones((3, 6))]}, ValueError, r"weights\[0\] is \(6, 5\)"),
        ({"weights": [np.ones((6, 4)), np.ones((2, 6))]}, ValueError, r"weights\[1\] is \(2, 6\)"),
        ({"weights": [np.full((3, 4), np.nan)]}, ValueError, r"weights\[0\] holds nan"),
        ({"feedback": "backprop"}, TypeError, "feedback is str"),
        ({"feedback": linfa.Backprop}, TypeError, "feedback"),
        ({"t": []}, ValueError, "t is empty"),
        ({"t": 1.0}, ValueError, "t has 0 dimensions"),
        ({"t": [-1.0, 1.0]}, ValueError, "t starts at -1"),
        ({"t": [0.0, 1.0, 1.0]}, ValueError, "index 1"),
        ({"t": [0.0, np.inf]}, ValueError, "t holds inf"),
        ({"t": [0.0, 0.5], "learning_rate": 0.1}, ValueError, "integers"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"learning_rate": 0.1, "step": 0.1}, ValueError, "descent takes neither"),
        ({"learning_rate": 0.1, "method": "rk4"}, ValueError, "descent takes neither"),
        ({"method": "rk4"}, ValueError, "step is not given"),
        ({"method": "euler"}, ValueError, "method is 'euler'"),
        ({"step": -0.1}, ValueError, "step"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"weight_decay": [0.1, 0.1]}, ValueError, "weight_decay has 2 entries"),
        ({"rtol": 1e-15}, ValueError, "rtol"),
        ({"rtol": 2.0}, ValueError, "rtol"),
        ({"atol": 0.0}, ValueError, "atol"),
        ({"max_steps": 0}, ValueError, "max_steps"),
        ({"max_steps": 1e6}, TypeError, "max_steps"),
    ],
)
def test_arguments_that_make_no_run_are_refused(function, changes, error, words):
    arguments = GOOD | changes
    if function is linfa.ensemble and isinstance(arguments["weights"], list):
        arguments["weights"] = [np.stack([w, w]) for w in arguments["weights"]]
    with pytest.raises(error, match=words):
        function(**arguments)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"weights": [np.ones((2, 5, 4)), np.ones((3, 3, 5))]}, ValueError, r"weights\[1\] has 3 members"),
        ({"weights": [np.ones((5, 4)), np.ones((3, 5))]}, ValueError, r"weights\[0\] has 2 dimensions"),
        ({"feedback": [linfa.Backprop()]}, ValueError, "feedback has 1 rules"),
        ({"feedback": [linfa.Backprop(), linfa.FeedbackAlignment()]}, ValueError, r"feedback\[1\]"),
        ({"feedback": [linfa.LowRankFeedback(rank=r) for r in (1, 2)]}, ValueError, r"feedback\[1\]"),
        ({"threads": 0}, ValueError, "threads"),
        ({"threads": 1.5}, TypeError, "threads"),
    ],
)
def test_arguments_that_make_no_ensemble_are_refused(changes, error, words):
    good = GOOD | {"weights": linfa.initial_weights(WIDTHS, members=2)}
    with pytest.raises(error, match=words):
        linfa.ensemble(**(good | changes))


# Observables of a depth-3 run, against what their definitions say


def signal_cosine(a, b):
    return (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("task", [TASK, LOGISTIC_TASK], ids=["correlated", "whitened"])
@every_rule
def test_observables_follow_their_definitions(rule, task):
    widths = (task.inputs, 6, 5, task.outputs)
    weights = linfa.initial_weights(widths, scale=0.5, seed=3)
    run = linfa.simulate(task, weights, RULES[rule], [0.0, 0.4, 0.9], weight_decay=0.01)
    direct = rule.startswith("d")
    assert run.direct == direct
    assert run.widths == widths
    for k in range(3):
        w1, w2, w3 = (w[k] for w in run.weights)
        matrices = {key: [m[k] for m in ms] for key, ms in run.feedback_weights.items()}
        if rule == "backprop":
            back = [w2.T, w3.T]
        elif rule == "sign":
            back = [b * np.sign(w.T) for b, w in zip(matrices["b"], (w2, w3), strict=True)]
        elif "low-rank" in rule:
            back = [q @ p for q, p in zip(matrices["q"], matrices["p"], strict=True)]
        else:
            back = matrices["b"]
        total = w3 @ w2 @ w1
        gap = task.target - total
        error = task.sigma_yx - total @ task.sigma_x
        d2 = back[1] @ error
        d1 = back[0] @ (error if direct else d2)
        signals = [d1, d2, error]
        # Products of matrices of at most 6 rows and size 1: some tens of eps, everywhere below.
        close = {"rtol": 0, "atol": 1e-13}
        np.testing.assert_allclose(run.map[k], total, **close)
        np.testing.assert_allclose(run.error_correlation[k], error, **close)
        np.testing.assert_allclose(run.mode_strengths[k], np.diag(task.left.T @ total @ task.right), **close)
        excess = 0.5 * np.trace(gap @ task.sigma_x @ gap.T)
        np.testing.assert_allclose(run.excess_loss[k], excess, **close)
        np.testing.assert_allclose(run.loss[k], excess + task.residual_loss, **close)
        for h in range(2):
            np.testing.assert_allclose(run.feedback_matrix(h)[k], back[h], **close)
        for got, expected in zip(run.signals, signals, strict=True):
            np.testing.assert_allclose(got[k], expected, **close)
        for got, expected in zip(run.update_directions, (d1, d2 @ w1.T, error @ (w2 @ w1).T), strict=True):
            np.testing.assert_allclose(got[k], expected, **close)
        likes = [(back[1] @ back[0].T, back[1].T) if direct else (back[0].T, back[1].T)][0]
        expected = [signal_cosine(w2, likes[0]), signal_cosine(w3, likes[1])]
        np.testing.assert_allclose(run.weight_alignment[k], expected, **close)
        expected = [signal_cosine(d1, w2.T @ w3.T @ error), signal_cosine(d2, w3.T @ error)]
        np.testing.assert_allclose(run.gradient_alignment[k], expected, **close)
        np.testing.assert_allclose(run.effective_rank[k], metrics.effective_rank(total), rtol=1e-12)
        left, strengths, right = task.explained_modes
        explained = np.diag(left.T @ total @ task.input_root @ right)
        np.testing.assert_allclose(run.explained_strengths[k], explained, **close)
        np.testing.assert_allclose(run.recovery[k], explained / strengths, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.chance_alignment, [1 / np.sqrt(30), 1 / np.sqrt(5 * task.outputs)], rtol=1e-14)


@every_rule
def test_first_descent_step_follows_the_update_directions(rule):
    # Ties the observables to what the core integrates: W(1) − W(0) = η G(0).
    weights = linfa.initial_weights(WIDTHS, scale=0.5, seed=3)
    run = linfa.simulate(TASK, weights, RULES[rule], [0, 1], learning_rate=0.01)
    for w, g in zip(run.weights, run.update_directions, strict=True):
        # Weights of size 1 round at 1e-16.
        np.testing.assert_allclose(w[1] - w[0], 0.01 * g[0], atol=1e-15)


def test_alignment_of_backprop_is_one_and_of_nothing_is_nan():
    weights = linfa.initial_weights(WIDTHS, scale=0.5, seed=3)
    run = linfa.simulate(TASK, weights, linfa.Backprop(), [0.0, 1.0])
    np.testing.assert_allclose(run.weight_alignment, 1.0, rtol=1e-14)
    np.testing.assert_allclose(run.gradient_alignment, 1.0, rtol=1e-14)
    zero = linfa.simulate(TASK, linfa.initial_weights(WIDTHS, "zero"), linfa.FeedbackAlignment(), [0.0])
    assert np.isnan(zero.weight_alignment).all()
    assert np.isnan(zero.gradient_alignment).all()
    assert zero.effective_rank.tolist() == [0.0]


def test_gradient_alignment_is_nan_once_signals_are_rounding():
    rule = linfa.FeedbackAlignment(seed=1, draw="orthonormal")
    weights = linfa.initial_weights((3, 6, 4), "zero")
    run = linfa.simulate(LOGISTIC_TASK, weights, rule, [10, 4000], learning_rate=0.1)
    assert np.isfinite(run.gradient_alignment[0, 0])
    # Descent ends where an update is lost to rounding: errors of some eps.
    assert run.excess_loss[1] < 1e-29
    assert np.isnan(run.gradient_alignment[1, 0])
    assert np.isfinite(run.weight_alignment[1, 0])


def test_settings_say_how_a_run_was_made():
    weights = linfa.initial_weights(WIDTHS)
    flow = linfa.simulate(TASK, weights, RULES["direct-low-rank"], [0.1], weight_decay=[0.1, 0.0, 0.2], rtol=1e-6)
    assert flow.settings == {
        "weight_decay": [0.1, 0.0, 0.2], "method": "dormand-prince", "rtol": 1e-6, "atol": 1e-10,
        "transport": "low-rank", "direct": True, "ranks": [2, 2],
    }  # fmt: skip
    descent = linfa.simulate(TASK, weights, linfa.Backprop(), [1], learning_rate=0.5)
    assert (descent.settings["method"], descent.settings["learning_rate"]) == ("descent", 0.5)
    fixed = linfa.simulate(TASK, weights, linfa.Backprop(), [0.1], method="rk4", step=0.05)
    assert (fixed.settings["method"], fixed.settings["step"]) == ("rk4", 0.05)


def test_layers_may_decay_at_rates_of_their_own():
    # Without a signal (zero target, one zero layer) each layer only decays.
    task = linfa.LinearTask(np.zeros((3, 4)))
    weights = linfa.initial_weights(WIDTHS, scale=0.5, seed=3)
    weights[1][:] = 0.0
    rates = (0.3, 0.0, 0.7)
    run = linfa.simulate(task, weights, linfa.Backprop(), [2.0], weight_decay=rates, rtol=1e-12, atol=1e-14)
    for w, start, rate in zip(run.weights, weights, rates, strict=True):
        # rtol 1e-12 over a horizon of 1.4 time constants.
        np.testing.assert_allclose(w[0], np.exp(-2.0 * rate) * start, rtol=1e-10, atol=1e-14)


def test_consecutive_flows_equal_one_flow():
    weights = linfa.initial_weights(WIDTHS, scale=0.5, seed=3)
    options = {"rtol": 1e-12, "atol": 1e-14}
    whole = linfa.simulate(TASK, weights, linfa.FeedbackAlignment(seed=1), [1.0, 2.0], **options)
    second = linfa.simulate(TASK, [w[0] for w in whole.weights], linfa.FeedbackAlignment(seed=1), [1.0], **options)
    for a, b in itertools.zip_longest(whole.weights, second.weights):
        # Two independent choices of steps at rtol 1e-12.
        np.testing.assert_allclose(a[1], b[0], atol=1e-10)
