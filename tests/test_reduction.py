"""Reduced runs against whole ones: every rule, depth and start; what is not reduced; what is lifted, and when."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linfa
from linfa import Trajectory, reduction
from linfa._threads import single_threaded_blas

# Fixed steps are the same in any coordinates: what differs is rounding, here of some hundred steps.
STEPS = {"t": [0.0, 0.5, 1.5], "step": 0.05, "method": "rk4"}
# Chains of full feedback are stiff: what it multiplies grows with the depth.
SHORT_STEPS = {"t": [0.0, 0.3, 0.6], "step": 0.01, "method": "rk4"}
DESCENT = {"t": [0, 4, 40], "learning_rate": 0.03, "weight_decay": [0.1, 0.05, 0.2, 0.1, 0.15]}
ROUNDING = 1e-11
OBSERVABLES = (
    "map", "loss", "excess_loss", "mode_strengths", "recovery", "error_correlation", "weight_alignment",
    "gradient_alignment",
)  # fmt: skip
WIDTHS = {2: (5, 90, 4), 3: (5, 80, 70, 4), 5: (5, 70, 80, 75, 66, 4)}


def data_task(outputs=4):
    generator = np.random.default_rng(5)
    x = generator.standard_normal((40, 5)) @ np.diag([1.5, 1.2, 1.0, 0.7, 0.5])
    return linfa.LinearTask.from_data(x, x @ generator.standard_normal((5, outputs)) * 0.6 + 0.2 * x[:, :1] ** 2)


TASKS = {
    "correlated": data_task(),
    "whitened": linfa.LinearTask.from_modes([2.0, 1.0], inputs=5, outputs=4, seed=2),
}


def rules():
    yield "backprop", linfa.Backprop()
    yield "fa", linfa.FeedbackAlignment(seed=1)
    yield "dfa", linfa.DirectFeedback(seed=1)
    yield "dfa-rank-2", linfa.DirectFeedback(seed=1, rank=2)
    yield "kolen-pollack", linfa.KolenPollack(seed=1, rate=0.7)
    yield "kolen-pollack-own-decay", linfa.KolenPollack(seed=1, decay=0.3)
    yield "mirror", linfa.WeightMirror(seed=1, rate=0.5, decay=0.2)
    q_rules, p_rules = ("fixed", "local", "normative"), ("fixed", "oja-error", "oja-label", "local", "normative")
    for direct, q, p in itertools.product((False, True), q_rules, p_rules):
        name = f"{'direct-' if direct else ''}q-{q}-p-{p}"
        yield name, linfa.LowRankFeedback(rank=2, q=q, p=p, q_rate=0.8, p_rate=0.6, seed=1, direct=direct)


RULES = dict(rules())


def start(widths, kind, members=None):
    return linfa.initial_weights(widths, kind, {"zero": 0.0, "gaussian": 0.2}.get(kind, 0.5), seed=2, members=members)


def quiet(function, *arguments, **options):
    """Motionless starts, which are as good a test as others, warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="nothing moved")
        return function(*arguments, **options)


def both(task, weights, feedback, **options):
    """The reduced run and the whole one."""
    if isinstance(options.get("weight_decay"), list):
        options["weight_decay"] = options["weight_decay"][: len(weights)]
    return [quiet(linfa.simulate, task, weights, feedback, reduce=r, **options) for r in (True, False)]


def assert_equal(reduced, whole, tolerance=ROUNDING, names=OBSERVABLES):
    """Observables first: they must not need what is lifted."""
    for name in names:
        np.testing.assert_allclose(
            getattr(reduced, name), getattr(whole, name), rtol=tolerance, atol=tolerance, err_msg=name
        )
    pairs = [(f"W{k}", *pair) for k, pair in enumerate(zip(reduced.weights, whole.weights, strict=True))]
    assert reduced.feedback_weights.keys() == whole.feedback_weights.keys()
    for key, matrices in reduced.feedback_weights.items():
        pairs += [(key, a, b) for a, b in zip(matrices, whole.feedback_weights[key], strict=True)]
    for name in ("signals", "update_directions"):
        pairs += [(name, a, b) for a, b in zip(getattr(reduced, name), getattr(whole, name), strict=True)]
    for name, a, b in pairs:
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)


def tolerance(rule, options):
    # What no signal reaches fades by the exponential itself, in the whole run by the method's fourth-order likeness.
    return 1e-9 if rule == "kolen-pollack-own-decay" and "step" in options else ROUNDING


def is_reduced(run):
    return "reduction" in run.settings


# Equal to the whole run


@pytest.mark.parametrize(
    ("kind", "task"), [("gaussian", "correlated"), ("zero", "whitened"), ("orthogonal", "correlated")]
)
@pytest.mark.parametrize("rule", RULES)
def test_two_layers_equal_the_whole_run(rule, kind, task):
    for options in (STEPS, DESCENT):
        reduced, whole = both(TASKS[task], start(WIDTHS[2], kind), RULES[rule], **options)
        assert is_reduced(reduced)
        assert not is_reduced(whole)
        assert_equal(reduced, whole, tolerance(rule, options))


# Full feedback along the chain mixes all directions of orthogonal layers: it closes with weights that have few.
CHAINS = ("fa", "kolen-pollack", "kolen-pollack-own-decay", "mirror")
DEEP = [(rule, "zero", depth) for rule in RULES if rule != "backprop" for depth in (3, 5)]
# Four low-rank matrices span more than half of layers as small as those of depth 5 here.
DEEP += [(rule, "orthogonal", 3) for rule in RULES if rule not in CHAINS] + [("backprop", "orthogonal", 5)]
DEEP += [(rule, "balanced", 3) for rule in ("backprop", "fa", "kolen-pollack", "mirror")] + [("fa", "balanced", 5)]


@pytest.mark.parametrize(("rule", "kind", "depth"), DEEP)
def test_deep_networks_that_close_equal_the_whole_run(rule, kind, depth):
    task = TASKS["correlated" if depth == 3 else "whitened"]
    for options in (SHORT_STEPS, DESCENT):
        reduced, whole = both(task, start(WIDTHS[depth], kind), RULES[rule], **options)
        assert is_reduced(reduced)
        # Gradient alignment divides by signals that start at rounding level in deep networks.
        names = [name for name in OBSERVABLES if name != "gradient_alignment"]
        assert_equal(reduced, whole, tolerance(rule, options), names)
        finite = np.isfinite(whole.gradient_alignment) & np.isfinite(reduced.gradient_alignment)
        np.testing.assert_allclose(reduced.gradient_alignment[finite], whole.gradient_alignment[finite], atol=1e-8)


@pytest.mark.parametrize("rule", ["backprop", "kolen-pollack", "q-local-p-oja-label"])
def test_adaptive_flow_equals_the_whole_one_to_its_accuracy(rule):
    options = {"t": [1.0, 4.0], "rtol": 1e-11, "atol": 1e-13, "weight_decay": 0.05}
    reduced, whole = both(TASKS["correlated"], start(WIDTHS[2], "gaussian"), RULES[rule], **options)
    # Steps differ with the coordinates, and values between them are known to fourth order.
    assert_equal(reduced, whole, tolerance=1e-8)


@settings(max_examples=15, deadline=None)
@given(
    inputs=st.integers(1, 12), outputs=st.integers(1, 8), hidden=st.integers(65, 130), rank=st.integers(0, 12),
    exponent=st.floats(-12, 0), seed=st.integers(0, 1000),
)  # fmt: skip
def test_any_two_layers_equal_the_whole_run(inputs, outputs, hidden, rank, exponent, seed):
    generator = np.random.default_rng(seed)
    task = linfa.LinearTask(generator.standard_normal((outputs, inputs)))
    # First layers of any rank, and of any size beside the feedback.
    factors = generator.standard_normal((hidden, rank)), generator.standard_normal((rank, inputs))
    lower = 10.0**exponent * factors[0] @ factors[1] / np.sqrt(hidden)
    weights = [lower, 0.1 * generator.standard_normal((outputs, hidden))]
    r = int(generator.integers(1, outputs + 1))
    rule = linfa.LowRankFeedback(rank=r, q="kolen-pollack", p="local", seed=seed)
    reduced, whole = both(task, weights, rule, t=[3, 20], learning_rate=0.02)
    assert is_reduced(reduced)
    assert_equal(reduced, whole, names=("map", "loss", "weight_alignment"))


def test_modes_seeded_twelve_orders_below_others_are_kept():
    # Below the rounding of large entries nothing could be kept; this is above it, and decides when the mode rises.
    task = linfa.LinearTask.from_modes([2.0, 1.5], inputs=2, outputs=2, seed=1)
    weights = linfa.initial_weights((2, 100, 2), "aligned", np.array([0.1, 1e-13]), seed=3, task=task)
    reduced, whole = both(task, weights, linfa.Backprop(), t=[16.0, 17.5], rtol=1e-10, atol=1e-18)
    assert is_reduced(reduced)
    assert 1e-6 < whole.mode_strengths[0, 1] < whole.mode_strengths[1, 1]
    # Rounding of the large entries is a part in a thousand of the small mode.
    np.testing.assert_allclose(reduced.mode_strengths, whole.mode_strengths, rtol=1e-2)


# What is found


def found(task, weights, feedback):
    widths = (weights[0].shape[1], *(len(w) for w in weights))
    with single_threaded_blas():
        return reduction.find_reduction(task, weights, feedback.resolve(widths))


@pytest.mark.parametrize(
    ("rule", "kind", "widths"),
    [
        ("backprop", "gaussian", (5, 9, 4)),
        ("fa", "gaussian", (5, 13, 4)),
        ("q-fixed-p-fixed", "gaussian", (5, 11, 4)),
        ("fa", "zero", (2, 2, 2)),
        ("q-fixed-p-fixed", "zero", (2, 2, 4)),
    ],
)
def test_hidden_layer_has_the_size_of_its_span(rule, kind, widths):
    weights = start((5, 300, 4), kind)
    assert found(TASKS["whitened"], weights, RULES[rule]).reduced_widths == widths


def test_deep_direct_feedback_from_zero_is_blocks_of_the_size_of_the_output():
    assert found(data_task(), start(WIDTHS[5], "zero"), RULES["dfa"]).reduced_widths == (5, 4, 4, 4, 4, 4)


@pytest.mark.parametrize(("rule", "kind"), [("backprop", "orthogonal"), ("dfa", "orthogonal"), ("fa", "zero")])
def test_subspaces_are_invariant(rule, kind):
    weights, rule = start(WIDTHS[3], kind), RULES[rule]
    bases = [
        np.eye(n) if u is None else u for n, u in zip(WIDTHS[3], found(data_task(), weights, rule).bases, strict=True)
    ]
    for basis in bases:
        assert np.abs(basis.T @ basis - np.eye(basis.shape[1])).max() < 1e-13
    for w, above, below in zip(weights, bases[1:], bases[:-1], strict=True):
        for matrix, source, target in ((w, below, above), (w.T, above, below)):
            image = matrix @ source
            assert np.abs(image - target @ (target.T @ image)).max() < 1e-12
    for h, b in enumerate(rule.resolve(WIDTHS[3]).matrices["b"] if rule.name != "backprop" else ()):
        image = b @ bases[-1 if rule.direct else h + 2]
        assert np.abs(image - bases[h + 1] @ (bases[h + 1].T @ image)).max() < 1e-12


def test_more_inputs_than_the_task_asks_about_drop_out():
    task = linfa.LinearTask.from_modes([2.0, 1.0], inputs=200, outputs=4, seed=2)
    reduced, whole = both(task, start((200, 70, 4), "orthogonal"), RULES["fa"], **STEPS)
    assert reduced.settings["reduction"] == "inputs 200 → 12, hidden 70 → 10"
    assert_equal(reduced, whole)


def test_inputs_and_outputs_outside_the_task_are_kept_where_weights_join_them():
    # Layer by layer block-diagonal: one block is the task's, the other maps inputs to outputs that have no target.
    task = linfa.LinearTask(np.diag([2.0, 1.0, 0.0, 0.0]))
    weights = [np.zeros((100, 4)), np.zeros((4, 100))]
    weights[0][[0, 1, 2, 3], [0, 1, 2, 3]] = weights[1][[0, 1, 2, 3], [0, 1, 2, 3]] = 0.5
    reduced, whole = both(task, weights, linfa.Backprop(), **STEPS)
    assert is_reduced(reduced)
    assert_equal(reduced, whole, names=("map", "loss"))
    # What has no target is unlearned.
    assert (np.abs(whole.map[-1, 2:, 2:]) < np.abs(whole.map[0, 2:, 2:])).any()


# Where it is not applied


@pytest.mark.parametrize(
    ("task", "weights", "rule"),
    [
        (data_task(), start((5, 400, 4), "gaussian"), linfa.SignSymmetry()),
        (data_task(), start((5, 64, 4), "gaussian"), linfa.Backprop()),
        (linfa.LinearTask(np.eye(40)), start((40, 90, 40), "gaussian"), linfa.Backprop()),
        (data_task(), start(WIDTHS[3], "gaussian"), linfa.Backprop()),
        (data_task(), start(WIDTHS[3], "orthogonal"), linfa.FeedbackAlignment()),
    ],
    ids=["sign-symmetry", "small", "little-gained", "generic-deep", "mixing-feedback"],
)
def test_networks_that_do_not_reduce_run_whole(task, weights, rule):
    assert found(task, weights, rule) is None
    one, other = both(task, weights, rule, t=[2], learning_rate=0.01)
    assert not is_reduced(one)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


def test_signs_of_entries_do_not_survive_a_rotation():
    # Why sign-symmetry is left out: the network that rotated weights describe learns something else.
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    lower, upper = start((2, 2, 2), "gaussian")
    task, rule = linfa.LinearTask(np.diag([2.0, 1.0])), linfa.SignSymmetry(scale=0.5)
    maps = [linfa.simulate(task, w, rule, [0.3]).map for w in ([lower, upper], [turn @ lower, upper @ turn.T])]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3


def test_reduce_is_a_flag():
    with pytest.raises(TypeError, match="reduce is 1; it must be True or False"):
        linfa.simulate(data_task(), start((5, 8, 4), "gaussian"), linfa.Backprop(), [0.1], reduce=1)
    with pytest.raises(TypeError, match="reduce is 'no'"):
        linfa.ensemble(data_task(), start((5, 8, 4), "gaussian", 2), linfa.Backprop(), [0.1], reduce="no")


# Lifting


def wide_run(hidden=2000, **options):
    rule = linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-label", seed=1)
    options = {"t": np.linspace(0, 1, 21)} | options
    return linfa.simulate(data_task(), start((5, hidden, 4), "gaussian"), rule, **options)


def test_observables_lift_nothing_and_weights_are_lifted_when_read():
    run = wide_run()
    for name in (*OBSERVABLES, "effective_rank", "explained_strengths", "chance_alignment"):
        getattr(run, name)
    assert (run.widths, run.members) == ((5, 2000, 4), None)
    assert "5-2000-4" in repr(run)
    assert run.weights.made == run.feedback_weights["q"].made == 0
    upper = run.weights[-1]
    assert run.weights.made == 1
    assert run.weights[1] is upper
    assert [w.shape for w in run.weights[:]] == [(21, 2000, 5), (21, 4, 2000)]
    with pytest.raises(IndexError):
        run.weights[2]


def test_state_does_not_grow_with_the_width():
    sizes = {}
    for hidden in (250, 2000):
        held = wide_run(hidden)._reduced
        learned = [*held.weights, *(h for matrices in held.feedback.values() for h in matrices)]
        sizes[hidden] = sum(h.moving.size for h in learned if h.moving is not None)
    assert sizes[250] == sizes[2000]


def test_first_weights_are_those_given():
    weights = start((5, 300, 4), "gaussian")
    run = linfa.simulate(data_task(), weights, RULES["fa"], [0.0, 1.0])
    for given_weight, w in zip(weights, run.weights, strict=True):
        assert np.abs(w[0] - given_weight).max() < 1e-14
    assert np.array_equal(run.feedback_weights["b"][0][1], RULES["fa"].resolve((5, 300, 4)).matrices["b"][0])


@pytest.mark.parametrize("rule", ["backprop", "q-local-p-oja-label", "kolen-pollack", "dfa"])
@pytest.mark.parametrize("members", [None, 3])
def test_reduced_runs_are_saved_and_come_back_bit_for_bit(rule, members, tmp_path):
    call = linfa.simulate if members is None else linfa.ensemble
    weights = start(WIDTHS[2], "gaussian", members)
    run = call(data_task(), weights, RULES[rule], [0.0, 0.5, 1.0], weight_decay=0.1)
    back = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert is_reduced(run)
    assert run.weights.made == back.weights.made == 0
    assert back.settings == run.settings
    for name in OBSERVABLES:
        assert np.array_equal(getattr(run, name), getattr(back, name), equal_nan=True), name
    assert all(np.array_equal(a, b) for a, b in zip(run.weights, back.weights, strict=True))
    for key, matrices in run.feedback_weights.items():
        assert all(np.array_equal(a, b) for a, b in zip(matrices, back.feedback_weights[key], strict=True))
    if members:
        assert np.array_equal(run.member(1).weights[0], back.weights[0][1])


def test_saved_rests_come_back(tmp_path):
    rule = linfa.KolenPollack(seed=1, decay=0.2)
    run = linfa.simulate(data_task(), start(WIDTHS[3], "zero"), rule, [0.0, 2.0], weight_decay=0.1)
    rest = run._reduced.feedback["b"][0].rest
    # B (80 × 70) sees four directions from above; all others only decay.
    assert np.linalg.norm(rest) > 0.5 * np.linalg.norm(run.feedback_weights["b"][0][0])
    back = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert np.array_equal(run.feedback_weights["b"][0], back.feedback_weights["b"][0])
    assert np.array_equal(run.weight_alignment, back.weight_alignment, equal_nan=True)


# Ensembles


def assert_members_equal_runs(many, task, weights, feedback, **options):
    for m in range(many.members):
        rule = feedback[m] if isinstance(feedback, list) else feedback
        one, other = linfa.simulate(task, [w[m] for w in weights], rule, **options), many.member(m)
        assert one.settings.get("reduction", "none") in many.settings.get("reduction", "none")
        assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
        for key, matrices in one.feedback_weights.items():
            assert all(np.array_equal(a, b) for a, b in zip(matrices, other.feedback_weights[key], strict=True))
        yield one, other


@pytest.mark.parametrize("options", [{"t": [0.0, 0.7]}, {"t": [0, 9], "learning_rate": 0.02}], ids=["flow", "descent"])
def test_members_equal_their_own_runs_bit_for_bit_at_any_thread_count(options):
    weights = start(WIDTHS[2], "gaussian", 4)
    feedback = [linfa.LowRankFeedback(rank=2, q="local", p="local", seed=s, decay=0.1 * s) for s in range(4)]
    for threads in (1, 2):
        many = linfa.ensemble(data_task(), weights, feedback, threads=threads, **options)
        assert many.settings["reduction"] == "hidden 90 → 11"
        for one, other in assert_members_equal_runs(many, data_task(), weights, feedback, **options):
            for name in ("loss", "weight_alignment", "gradient_alignment"):
                assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
        assert np.array_equal(many.loss[2], many.member(2).loss)


def test_members_of_different_sizes_run_reduced_and_are_kept_whole():
    weights = start(WIDTHS[2], "gaussian", 3)
    for w in weights:
        w[1] = 0.0
    many = linfa.ensemble(data_task(), weights, RULES["kolen-pollack"], [0.0, 0.7])
    assert many.settings["reduction"] == "by member: hidden 90 → 13; hidden 90 → 4"
    assert many.weights[0].shape == (3, 2, 90, 5)
    assert len(list(assert_members_equal_runs(many, data_task(), weights, RULES["kolen-pollack"], t=[0.0, 0.7]))) == 3
    # Fixed feedback is one matrix for all times among them too.
    fixed = linfa.ensemble(data_task(), weights, RULES["fa"], [0.0, 0.7])
    assert fixed.feedback_weights["b"][0].strides[1] == 0
    assert np.array_equal(fixed.feedback_weights["b"][0][2, 1], fixed.member(0).feedback_weights["b"][0][0])


def test_reduced_members_that_diverge_hold_nan_and_leave_the_others_alone():
    weights = start(WIDTHS[2], "gaussian", 2)
    for w in weights:
        w[1] *= 100.0
    options = {"t": [0, 5, 60], "learning_rate": 0.05}
    with pytest.warns(linfa.DivergenceWarning, match="1 of 2 members diverged"):
        many = linfa.ensemble(data_task(), weights, linfa.Backprop(), **options)
    assert is_reduced(many)
    assert many.status.tolist() == ["completed", "diverged"]
    assert np.isnan(many.loss[1, -1])
    assert np.isnan(many.weights[0][1, -1]).all()
    assert np.isfinite(many.weights[0][0]).all()
    assert len(many.member(1).t) < 3
    one = linfa.simulate(data_task(), [w[0] for w in weights], linfa.Backprop(), **options)
    assert np.array_equal(many.member(0).weights[0], one.weights[0])


def test_motionless_starts_are_named_in_reduced_coordinates_too():
    with pytest.warns(UserWarning, match="nothing moved"):
        run = linfa.simulate(data_task(), start((5, 300, 4), "zero"), linfa.Backprop(), [1.0])
    assert is_reduced(run)
    assert not run.weights[0].any()


def test_a_claim_may_return_the_weights_of_a_reduced_run():
    @linfa.claims.claim("reduced-weights-as-they-are", title="weights of one run against themselves", tolerance=1e-15)
    def same():
        run = linfa.simulate(data_task(), start((5, 300, 4), "gaussian"), linfa.Backprop(), [0.0, 0.1])
        return run.weights, list(run.weights)

    try:
        assert linfa.claims.check("reduced-weights-as-they-are").holds
    finally:
        linfa.claims.forget("reduced-weights-as-they-are")
