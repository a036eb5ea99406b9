"""Feedback rules: shapes and draws, ranks and their caps, round trips through JSON, presets, protection."""

import dataclasses
import json
import warnings

import numpy as np
import pytest

import linfa
from linfa.feedback import feedback_from_dict
from linfa.presets import PRESETS, preset

WIDTHS = (5, 8, 6, 3)
CHAIN = [(8, 6), (6, 3)]
DIRECT = [(8, 3), (6, 3)]


def given_matrices(shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(s) for s in shapes]


FULL = (linfa.FeedbackAlignment, linfa.DirectFeedback, linfa.KolenPollack, linfa.WeightMirror)
full_rule = pytest.mark.parametrize("rule", FULL)

# Every class, with drawn and with given matrices, and with every argument away from its default somewhere.
RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=3, scale=0.1, draw="orthonormal"),
    "fa-given": linfa.FeedbackAlignment(given_matrices(CHAIN)),
    "dfa": linfa.DirectFeedback(seed=2**40, scale=1 / 3),
    "dfa-rank": linfa.DirectFeedback(seed=4, rank=2),
    "dfa-given": linfa.DirectFeedback(given_matrices(DIRECT)),
    "low-rank": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error", q_rate=0.1, p_rate=1 / 7, decay=1e-3),
    "low-rank-each": linfa.LowRankFeedback(rank=(2, 1), q="normative", p="normative", seed=9, scale=2.0),
    "low-rank-direct": linfa.LowRankFeedback(rank=2, q="local", p="local", draw="orthonormal", direct=True),
    "low-rank-given": linfa.LowRankFeedback(
        q_matrices=given_matrices([(8, 2), (6, 1)]), p_matrices=given_matrices([(2, 6), (1, 3)])
    ),
    "low-rank-given-p": linfa.LowRankFeedback(rank=2, p_matrices=given_matrices([(2, 3)]), direct=True),
    "kolen-pollack": linfa.KolenPollack(seed=5, decay=0.1, rate=0.3),
    "kolen-pollack-given": linfa.KolenPollack(given_matrices(CHAIN)),
    "mirror": linfa.WeightMirror(seed=6, rate=0.7, noise_variance=0.2, decay=0.0),
    "mirror-given": linfa.WeightMirror(given_matrices(CHAIN)),
    "sign-uniform": linfa.SignSymmetry(scale=0.1),
    "sign-fixed": linfa.SignSymmetry("fixed", seed=8),
}
every_rule = pytest.mark.parametrize("feedback", RULES.values(), ids=RULES)


def flat(resolved):
    return {key: [m.tobytes() for m in ms] for key, ms in (resolved.matrices or {}).items()}


# Shapes and draws


@full_rule
def test_full_feedback_has_the_shape_receiver_times_source(rule):
    shapes = DIRECT if rule is linfa.DirectFeedback else CHAIN
    assert [b.shape for b in rule(seed=1).resolve(WIDTHS).matrices["b"]] == shapes


@pytest.mark.parametrize("direct", [False, True])
def test_low_rank_feedback_has_factors_of_the_rank(direct):
    matrices = linfa.LowRankFeedback(rank=2, direct=direct).resolve(WIDTHS).matrices
    assert [q.shape for q in matrices["q"]] == [(8, 2), (6, 2)]
    assert [p.shape for p in matrices["p"]] == [(2, 3 if direct else 6), (2, 3)]


@full_rule
def test_drawn_entries_have_variance_scale_squared_over_hidden(rule):
    b = rule(seed=2, scale=3.0).resolve((5, 300, 200)).matrices["b"][0]
    # 60,000 entries know their variance to 0.6 % and their mean to 0.4 % of the spread.
    assert b.var() == pytest.approx(9.0 / 300, rel=0.03)
    assert abs(b.mean()) < 4 * np.sqrt(9.0 / 300 / b.size)


@full_rule
def test_orthonormal_draw_has_its_gain_exactly(rule):
    for b in rule(seed=2, scale=1.7, draw="orthonormal").resolve(WIDTHS).matrices["b"]:
        # A Householder frame of at most 8 rows, times 1.7².
        np.testing.assert_allclose(b.T @ b, 1.7**2 * np.eye(b.shape[1]), atol=1e-14)


@full_rule
def test_orthonormal_draw_needs_room(rule):
    with pytest.raises(ValueError, match="orthonormal"):
        rule(draw="orthonormal").resolve((5, 2, 3))


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("draw", ["gaussian", "orthonormal"])
def test_drawn_q_has_its_gain_and_drawn_p_orthonormal_rows(direct, draw):
    matrices = linfa.LowRankFeedback(rank=20, scale=0.5, draw=draw, direct=direct).resolve((5, 900, 30)).matrices
    q, p = matrices["q"][0], matrices["p"][0]
    # Frames of 20 columns are orthonormal to some eps.
    np.testing.assert_allclose(p @ p.T, np.eye(20), atol=1e-13)
    if draw == "orthonormal":
        np.testing.assert_allclose(q.T @ q, 0.25 * np.eye(20), atol=1e-13)
    else:
        # 18,000 entries know their variance to 1 %.
        assert q.var() == pytest.approx(0.25 / 900, rel=0.05)


@pytest.mark.parametrize("rule", [linfa.LowRankFeedback(rank=2, direct=True), linfa.DirectFeedback(rank=2)])
def test_direct_feedback_starts_from_one_p_for_all_layers(rule):
    resolved = rule.resolve((5, 8, 6, 7, 3))
    assert resolved.direct
    assert all(np.array_equal(p, resolved.matrices["p"][0]) for p in resolved.matrices["p"])
    q = [m[:6] for m in resolved.matrices["q"]]
    assert not np.array_equal(q[0], q[1])
    along = linfa.LowRankFeedback(rank=2).resolve((5, 6, 6, 6)).matrices["p"]
    assert not np.array_equal(along[0], along[1])


def test_a_single_given_p_serves_all_layers_of_direct_feedback():
    p = given_matrices([(2, 3)])
    resolved = linfa.LowRankFeedback(rank=2, p_matrices=p, direct=True).resolve(WIDTHS)
    assert all(np.array_equal(m, p[0]) for m in resolved.matrices["p"])
    with pytest.raises(ValueError, match="p_matrices has 1 matrices"):
        linfa.LowRankFeedback(rank=2, p_matrices=p).resolve(WIDTHS)


@every_rule
def test_resolving_again_gives_the_same_bits(feedback):
    assert flat(feedback.resolve(WIDTHS)) == flat(feedback.resolve(WIDTHS))


@pytest.mark.parametrize("rule", [*FULL, linfa.SignSymmetry, linfa.LowRankFeedback])
def test_another_seed_gives_another_draw(rule):
    options = {linfa.SignSymmetry: {"magnitude": "fixed"}, linfa.LowRankFeedback: {"rank": 2}}.get(rule, {})
    one, other = (flat(rule(seed=s, **options).resolve(WIDTHS)) for s in (0, 1))
    assert all(a != b for key in one for a, b in zip(one[key], other[key], strict=True))


def test_sign_symmetry_magnitudes():
    uniform = linfa.SignSymmetry().resolve(WIDTHS).matrices["b"]
    for m, (rows, columns) in zip(uniform, CHAIN, strict=True):
        assert m.shape == (rows, columns)
        # One square root.
        np.testing.assert_allclose(m, np.sqrt(2 / (rows + columns)), rtol=1e-15)
    drawn = linfa.SignSymmetry("fixed", scale=0.5).resolve((5, 200, 300)).matrices["b"][0]
    assert (drawn >= 0).all()
    # Root mean square of |N(0, 0.25)|: known to 0.3 % from 60,000 entries.
    assert np.sqrt((drawn**2).mean()) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("name", [n for n in RULES if not n.endswith(("given", "each"))])
def test_one_weight_matrix_needs_no_feedback(name):
    assert not any((RULES[name].resolve((5, 3)).matrices or {}).values())


def test_rates_rules_and_decay_reach_the_core():
    resolved = linfa.LowRankFeedback(rank=1, q="local", p="oja-label", q_rate=2.0, p_rate=3.0, decay=0.5).resolve(
        WIDTHS
    )
    assert (resolved.q_rule, resolved.p_rules) == ("kolen-pollack", ("oja-error", "oja-label"))
    assert (resolved.q_rate, resolved.p_rate, resolved.decay) == (2.0, 3.0, 0.5)
    direct = linfa.LowRankFeedback(rank=1, p="oja-label", direct=True).resolve(WIDTHS)
    assert direct.p_rules == ("oja-label", "oja-label")
    mirror = linfa.WeightMirror(rate=2.0, noise_variance=0.25).resolve(WIDTHS)
    assert (mirror.b_rule, mirror.b_rate) == ("mirror", 0.5)


# Ranks


def test_rank_above_a_smaller_layer_is_capped_with_a_warning():
    with pytest.warns(UserWarning, match=r"capped to \[4, 3\]"):
        resolved = linfa.LowRankFeedback(rank=4).resolve(WIDTHS)
    assert resolved.ranks == (4, 3)
    assert [q.shape[1] for q in resolved.matrices["q"]] == [4, 3]


def test_rank_that_every_layer_holds_does_not_warn():
    with warnings.catch_warnings(action="error"):
        assert linfa.LowRankFeedback(rank=3).resolve(WIDTHS).ranks == (3, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 7}, "rank is 7"),
        ({"rank": 4, "direct": True}, "rank is 4"),
        ({"rank": (2, 4)}, r"rank\[1\] is 4"),
        ({"rank": (2,)}, "rank has 1 entries"),
        ({"rank": (2, 2, 2)}, "rank has 3 entries"),
        ({"q_matrices": given_matrices([(8, 7), (6, 2)]), "p_matrices": given_matrices([(7, 6), (2, 3)])}, "7 columns"),
        ({"rank": 2, "q_matrices": given_matrices([(8, 3), (6, 2)])}, r"q_matrices\[0\]"),
        ({"rank": 2, "p_matrices": given_matrices([(2, 6), (2, 4)])}, r"p_matrices\[1\]"),
        ({"rank": 2, "q_matrices": given_matrices([(8, 2)])}, "q_matrices has 1"),
    ],
)
def test_ranks_and_factors_that_do_not_fit_the_network_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        linfa.LowRankFeedback(**options).resolve(WIDTHS)


def test_direct_rank_above_the_output_is_refused_in_direct_feedback_alignment():
    with pytest.raises(ValueError, match="rank is 4"):
        linfa.DirectFeedback(rank=4).resolve(WIDTHS)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ValueError, "rank is not given"),
        ({"q_matrices": given_matrices([(8, 2)])}, ValueError, "rank is not given"),
        ({"q_matrices": [], "p_matrices": []}, ValueError, "empty"),
        ({"rank": 0}, ValueError, "rank is 0"),
        ({"rank": (1, 0)}, ValueError, r"rank\[1\]"),
        ({"rank": 1.5}, TypeError, "rank"),
        ({"rank": True}, TypeError, "rank"),
        ({"rank": 1, "q": "hebbian"}, ValueError, "q is 'hebbian'"),
        ({"rank": 1, "p": "oja-labels"}, ValueError, "did you mean 'oja-label'"),
        ({"rank": 1, "p": "kolen-pollack"}, ValueError, "p is"),
        ({"rank": 1, "q_rate": 0.0}, ValueError, "q_rate"),
        ({"rank": 1, "p_rate": -1.0}, ValueError, "p_rate"),
        ({"rank": 1, "decay": 0.1}, ValueError, "no decay term"),
        ({"rank": 1, "q": "local", "decay": -0.1}, ValueError, "decay"),
        ({"rank": 1, "direct": 1}, TypeError, "direct"),
        ({"rank": 1, "draw": "uniform"}, ValueError, "draw"),
        ({"rank": 1, "scale": 0.0}, ValueError, "scale"),
        ({"rank": 1, "seed": -1}, ValueError, "seed"),
        ({"q_matrices": np.ones((1, 2, 2)), "rank": 1}, TypeError, "list of matrices"),
        ({"q_matrices": [np.full((2, 2), np.nan)], "rank": 1}, ValueError, r"q_matrices\[0\]"),
    ],
)
def test_arguments_that_make_no_low_rank_rule_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        linfa.LowRankFeedback(**options)


@full_rule
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"matrices": np.eye(3)}, TypeError, "list of matrices"),
        ({"matrices": "B"}, TypeError, "list of matrices"),
        ({"matrices": [np.ones(3)]}, ValueError, r"matrices\[0\]"),
        ({"matrices": [np.array([[np.inf]])]}, ValueError, r"matrices\[0\] holds inf"),
        ({"scale": -1.0}, ValueError, "scale"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"draw": None}, TypeError, "draw"),
    ],
)
def test_arguments_that_make_no_full_rule_are_refused(rule, options, error, words):
    with pytest.raises(error, match=words):
        rule(**options)


@full_rule
def test_given_matrices_that_do_not_fit_the_network_are_refused(rule):
    with pytest.raises(ValueError, match="matrices has 1 matrices; this network takes 2"):
        rule(given_matrices([(8, 6)])).resolve(WIDTHS)
    with pytest.raises(ValueError, match=r"matrices\[0\] is \(6, 8\)"):
        rule(given_matrices([(6, 8), (6, 3)])).resolve(WIDTHS)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (linfa.KolenPollack, {"rate": 0.0}),
        (linfa.KolenPollack, {"decay": -1.0}),
        (linfa.WeightMirror, {"rate": -1.0}),
        (linfa.WeightMirror, {"noise_variance": 0.0}),
        (linfa.WeightMirror, {"decay": float("nan")}),
        (linfa.SignSymmetry, {"magnitude": "random"}),
        (linfa.SignSymmetry, {"scale": 0.0}),
        (linfa.DirectFeedback, {"rank": 0}),
        (linfa.DirectFeedback, {"rank": 1, "matrices": given_matrices(DIRECT)}),
    ],
)
def test_other_arguments_out_of_range_are_refused_by_name(rule, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        rule(**options)


# Round trips


@every_rule
def test_round_trip_through_json_keeps_every_bit(feedback):
    back = feedback_from_dict(json.loads(json.dumps(feedback.to_dict(), allow_nan=False)))
    assert type(back) is type(feedback)
    assert back == feedback
    assert hash(back) == hash(feedback)
    assert back.to_dict() == feedback.to_dict()
    one, other = feedback.resolve(WIDTHS), back.resolve(WIDTHS)
    assert flat(one) == flat(other)
    assert dataclasses.replace(one, matrices=None) == dataclasses.replace(other, matrices=None)


def test_round_trip_keeps_awkward_numbers():
    awkward = np.array([[5e-324, -0.0, 1 / 3], [1.7976931348623157e308, -2.2e-308, np.nextafter(1.0, 2.0)]])
    back = feedback_from_dict(json.loads(json.dumps(linfa.FeedbackAlignment([awkward]).to_dict())))
    assert back.matrices[0].tobytes() == awkward.tobytes()


def test_rules_differ_when_an_argument_does():
    rules = list(RULES.values())
    for k, one in enumerate(rules):
        assert all((one == other) == (k == j) for j, other in enumerate(rules))
    assert linfa.Backprop() != "backprop"


@pytest.mark.parametrize(
    ("plain", "error"),
    [("fa", TypeError), ({}, TypeError), ({"class": "FeedbackAlignement"}, ValueError), ({"class": 3}, TypeError)],
)
def test_dictionaries_that_describe_no_rule_are_refused(plain, error):
    with pytest.raises(error, match=r"plain|class"):
        feedback_from_dict(plain)


# Presets

NAMES = (
    "backprop", "fa", "dfa", "fixed", "kolen-pollack", "raf", "draf", "normative", "local", "mirror", "usf", "frsf"
)  # fmt: skip
LOW_RANK = ("fixed", "raf", "draf", "normative", "local")


def test_presets_are_the_names_of_the_contract():
    assert set(PRESETS) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "rank", "expected"),
    [
        ("backprop", None, linfa.Backprop()),
        ("fa", None, linfa.FeedbackAlignment(seed=4)),
        ("dfa", None, linfa.DirectFeedback(seed=4)),
        ("dfa", 2, linfa.DirectFeedback(seed=4, rank=2)),
        ("fixed", 2, linfa.LowRankFeedback(rank=2, seed=4)),
        ("kolen-pollack", None, linfa.KolenPollack(seed=4)),
        ("kolen-pollack", 2, linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="fixed", seed=4)),
        ("raf", 2, linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-label", seed=4)),
        ("draf", 2, linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-label", direct=True, seed=4)),
        ("normative", 2, linfa.LowRankFeedback(rank=2, q="normative", p="normative", seed=4)),
        ("local", 2, linfa.LowRankFeedback(rank=2, q="local", p="local", seed=4)),
        ("mirror", None, linfa.WeightMirror(seed=4)),
        ("usf", None, linfa.SignSymmetry("uniform", seed=4)),
        ("frsf", None, linfa.SignSymmetry("fixed", seed=4)),
    ],
)
def test_preset_is_the_class_it_stands_for(name, rank, expected):
    assert preset(name, rank=rank, seed=4) == expected


def test_preset_hands_on_further_options():
    assert preset("raf", rank=1, p="oja-error").p == "oja-error"
    assert preset("fa", scale=2.0).scale == 2.0
    with pytest.raises(TypeError):
        preset("fa", scael=2.0)


@pytest.mark.parametrize("name", LOW_RANK)
def test_low_rank_presets_need_a_rank(name):
    with pytest.raises(ValueError, match="needs a rank"):
        preset(name)


@pytest.mark.parametrize("name", ["backprop", "fa", "mirror", "usf", "frsf"])
def test_full_presets_refuse_a_rank(name):
    with pytest.raises(ValueError, match="rank is 2"):
        preset(name, rank=2)


@pytest.mark.parametrize(("name", "reason"), [("brsf", "redrawn"), ("drtp", "does not depend on the error")])
def test_rules_without_a_linear_flow_are_refused_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=reason):
        preset(name)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'normative'"):
        preset("normativ")


# Protection


@every_rule
def test_rules_are_frozen(feedback):
    with pytest.raises(dataclasses.FrozenInstanceError):
        feedback.seed = 1


@pytest.mark.parametrize("order", ["C", "F"])
@full_rule
def test_given_matrices_are_copied_and_protected(rule, order):
    mine = [np.array(m, order=order) for m in given_matrices(DIRECT if rule is linfa.DirectFeedback else CHAIN)]
    before = [m.copy() for m in mine]
    feedback = rule(mine)
    resolved = feedback.resolve(WIDTHS)
    assert all(np.array_equal(a, b) and a.flags.writeable for a, b in zip(mine, before, strict=True))
    for m in mine:
        m[:] = 0.0
    mine.clear()
    for kept, resolved_matrix, original in zip(feedback.matrices, resolved.matrices["b"], before, strict=True):
        assert np.array_equal(kept, original)
        assert np.array_equal(resolved_matrix, original)
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0] = 1.0


def test_given_factors_are_copied_and_protected():
    q, p = given_matrices([(8, 2), (6, 2)]), given_matrices([(2, 6), (2, 3)])
    before = q[0].copy(), p[1].copy()
    feedback = linfa.LowRankFeedback(q_matrices=q, p_matrices=p)
    q[0][:] = p[1][:] = 0.0
    assert np.array_equal(feedback.q_matrices[0], before[0])
    assert np.array_equal(feedback.p_matrices[1], before[1])
    for kept in (*feedback.q_matrices, *feedback.p_matrices):
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0] = 1.0


def test_resolved_lists_are_not_shared_between_networks():
    feedback = linfa.FeedbackAlignment(given_matrices(CHAIN))
    feedback.resolve(WIDTHS).matrices["b"].clear()
    assert len(feedback.resolve(WIDTHS).matrices["b"]) == 2
