"""Bad input from Python: every refusal names the argument and says what it takes; odd but good input changes no bit."""

import subprocess
import sys

import numpy as np
import pytest

import linfa
from linfa import claims, metrics
from linfa.feedback import feedback_from_dict
from linfa.presets import preset
from linfa.theory import backprop, chain_alignment, feedback_alignment, low_rank, riccati, stability
from linfa.theory.exact import NoClosedForm

TASK = linfa.LinearTask(np.diag([2.0, 1.0]))
WEIGHTS = linfa.initial_weights((2, 3, 2), scale=0.1)
ZERO = linfa.initial_weights((2, 3, 2), kind="zero")
BALANCED = linfa.initial_weights((2, 3, 2), kind="balanced", scale=0.1)
ALIGNED = linfa.initial_weights((2, 3, 2), kind="aligned", scale=0.1, task=TASK)
MEMBERS = linfa.initial_weights((2, 3, 2), scale=0.1, members=3)
ORTHONORMAL = linfa.FeedbackAlignment(draw="orthonormal")
B = np.ones((3, 2))
Q, P = np.ones((3, 1)), np.ones((1, 2))
EYE = np.eye(2)
NAN, INF = float("nan"), float("inf")


def simulate(**changes):
    return linfa.simulate(
        **({"task": TASK, "weights": WEIGHTS, "feedback": linfa.Backprop(), "t": [0.0, 1.0]} | changes)
    )


def ensemble(**changes):
    return linfa.ensemble(
        **({"task": TASK, "weights": MEMBERS, "feedback": linfa.Backprop(), "t": [0.0, 1.0]} | changes)
    )


def exact(**changes):
    return linfa.theory.exact(**({"task": TASK, "weights": ZERO, "feedback": ORTHONORMAL, "t": [0.0, 1.0]} | changes))


def low(**arguments):
    return linfa.LowRankFeedback(**arguments)


def under(feedback, **changes):
    return simulate(feedback=feedback, **changes)


def masked(values):
    """One entry hidden, as by a detector's bad pixel."""
    values = np.ma.masked_array(values)
    values[(0,) * values.ndim] = np.ma.masked
    return values


def refused(cases):
    """Parameters (what is tried, call, error, words of the message) from rows."""
    return pytest.mark.parametrize(("call", "error", "words"), [pytest.param(*rest, id=name) for name, *rest in cases])


def assert_refused(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


# Tasks

RECTANGULAR = "rectangular array of numbers"


@refused(
    [
        ("vector", lambda: linfa.LinearTask([1.0, 2.0]), ValueError, r"sigma_yx has 1 dimensions.*must have 2"),
        ("text", lambda: linfa.LinearTask("diag"), TypeError, "sigma_yx holds text; it must hold real numbers"),
        ("none", lambda: linfa.LinearTask(None), TypeError, "sigma_yx holds objects; it must hold real numbers"),
        ("ragged", lambda: linfa.LinearTask([[1.0], [1.0, 2.0]]), ValueError, f"sigma_yx must be a {RECTANGULAR}"),
        ("nan", lambda: linfa.LinearTask([[1.0, NAN]]), ValueError, r"sigma_yx holds nan at index \(0, 1\).*finite"),
        ("inf", lambda: linfa.LinearTask([[-INF]]), ValueError, "sigma_yx holds -inf.*finite"),
        ("empty", lambda: linfa.LinearTask(np.zeros((0, 2))), ValueError, "sigma_yx is empty.*at least one number"),
        ("bool", lambda: linfa.LinearTask(EYE > 0), TypeError, "sigma_yx holds booleans; it must hold real numbers"),
        ("complex", lambda: linfa.LinearTask(EYE * 1j), TypeError, "sigma_yx holds complex.*real numbers"),
        ("object", lambda: linfa.LinearTask(EYE.astype(object)), TypeError, "sigma_yx holds objects.*real numbers"),
        ("bytes", lambda: linfa.LinearTask(np.array([[b"1"]])), TypeError, "sigma_yx holds bytes.*real numbers"),
        ("dates", lambda: linfa.LinearTask(np.zeros((2, 2), "M8[s]")), TypeError, "sigma_yx holds date.*real numbers"),
        ("sx-skew", lambda: linfa.LinearTask(EYE, [[1.0, 0.5], [0.0, 1.0]]), ValueError, "sigma_x is not symmetric"),
        ("sx-negative", lambda: linfa.LinearTask(EYE, np.diag([1.0, -1.0])), ValueError, "sigma_x has the eig.*semid"),
        ("sx-size", lambda: linfa.LinearTask(EYE, np.eye(3)), ValueError, r"sigma_x is \(3, 3\).*must be \(2, 2\)"),
        ("sx-square", lambda: linfa.LinearTask(EYE, np.ones((2, 3))), ValueError, r"sigma_x is \(2, 3\).*square"),
        ("sx-zero", lambda: linfa.LinearTask(EYE, 0 * EYE), ValueError, "sigma_x is zero; inputs must vary"),
        ("sx-vector", lambda: linfa.LinearTask(EYE, [1.0, 1.0]), ValueError, "sigma_x has 1 dimensions.*must have 2"),
        ("sx-number", lambda: linfa.LinearTask(EYE, 1.0), ValueError, "sigma_x has 0 dimensions.*must have 2"),
        ("sy-small", lambda: linfa.LinearTask(EYE, None, 0.1 * EYE), ValueError, "sigma_y is smaller than what"),
        ("sy-size", lambda: linfa.LinearTask(EYE, None, np.eye(3)), ValueError, r"sigma_y is \(3, 3\).*\(2, 2\)"),
        ("sy-skew", lambda: linfa.LinearTask(EYE, None, [[2.0, 1.0], [0.0, 2.0]]), ValueError, "sigma_y is not symm"),
        (
            "outside",
            lambda: linfa.LinearTask(EYE, np.diag([1.0, 0.0])),
            ValueError,
            "sigma_yx has 0.71.*sigma_x has no",
        ),
        (
            "outside-tiny",
            lambda: linfa.LinearTask(1e-9 * EYE, np.diag([1.0, 0.0])),
            ValueError,
            "sigma_yx.*no variance",
        ),
        ("sx-overflow", lambda: linfa.LinearTask(EYE, np.full((2, 2), 1e308)), ValueError, "sigma_x"),
        ("sx-subnormal", lambda: linfa.LinearTask(EYE, 1e-310 * EYE), ValueError, "sigma_x"),
        (
            "modes-negative",
            lambda: linfa.LinearTask.from_modes([1.0, -1.0], 2, 2),
            ValueError,
            "strengths holds -1.*pos",
        ),
        ("modes-zero", lambda: linfa.LinearTask.from_modes([0.0], 2, 2), ValueError, "strengths holds 0.*positive"),
        ("modes-empty", lambda: linfa.LinearTask.from_modes([], 2, 2), ValueError, "strengths is empty.*at least one"),
        ("modes-many", lambda: linfa.LinearTask.from_modes([1.0] * 3, 2, 9), ValueError, "strengths has 3.*at most 2"),
        ("inputs-zero", lambda: linfa.LinearTask.from_modes([1.0], 0, 2), ValueError, "inputs is 0.*at least 1"),
        ("inputs-float", lambda: linfa.LinearTask.from_modes([1.0], 2.0, 2), TypeError, "inputs is 2.0.*an integer"),
        ("outputs-text", lambda: linfa.LinearTask.from_modes([1.0], 2, "2"), TypeError, "outputs is '2'.*an integer"),
        ("left-skew", lambda: linfa.LinearTask.from_modes([1.0], 2, 2, left=P.T), ValueError, "left.*orthonormal"),
        (
            "left-shape",
            lambda: linfa.LinearTask.from_modes([1.0], 2, 2, left=P),
            ValueError,
            r"left is \(1, 2\).*\(2, 1",
        ),
        ("samples", lambda: linfa.LinearTask.from_data(B, EYE), ValueError, "y has 2 samples; it must have 3"),
        ("samples-vector", lambda: linfa.LinearTask.from_data([1.0], [[1.0]]), ValueError, "x has 1 dim.*must have 2"),
        ("samples-none", lambda: linfa.LinearTask.from_data(B[:0], B[:0]), ValueError, "x is empty.*at least one"),
        ("samples-zero", lambda: linfa.LinearTask.from_data(0 * B, B), ValueError, "sigma_x is zero; inputs must vary"),
        (
            # Centring leaves rounding errors of 0.1, which are no variance.
            "samples-constant",
            lambda: linfa.LinearTask.from_data(np.full((7, 2), 0.1), np.full((7, 1), 0.3), centre=True),
            ValueError,
            "must vary",
        ),
        ("whiten", lambda: linfa.LinearTask.from_data(B, B, whiten="yes"), TypeError, "whiten is 'yes'.*True or False"),
        ("centre", lambda: linfa.LinearTask.from_data(B, B, centre=1), TypeError, "centre is 1.*True or False"),
        ("levels", lambda: linfa.LinearTask.semantic(9), ValueError, "levels is 9.*at most 8"),
        ("levels-float", lambda: linfa.LinearTask.semantic(3.0), TypeError, "levels is 3.0.*an integer"),
        ("named", lambda: linfa.LinearTask.named("digit"), ValueError, "name is 'digit'.*did you mean 'digits'"),
        (
            "no-file",
            lambda: linfa.LinearTask.from_file("nowhere.npz"),
            FileNotFoundError,
            "no file nowhere.npz.*x and y",
        ),
        ("map-shape", lambda: TASK.excess_loss(np.ones((3, 3))), ValueError, r"network_map.*\(3, 3\).*\(.*2, 2\)"),
        ("map-vector", lambda: TASK.loss(np.ones(2)), ValueError, r"network_map.*\(2,\)"),
    ]
)
def test_what_makes_no_task_is_refused(call, error, words):
    assert_refused(call, error, words)


@refused(
    [
        ("widths-text", lambda: linfa.initial_weights("23"), TypeError, "widths is '23'.*sequence of layer sizes"),
        ("widths-number", lambda: linfa.initial_weights(3), TypeError, "widths is 3.*sequence of layer sizes"),
        ("widths-one", lambda: linfa.initial_weights((2,)), ValueError, r"widths is \(2,\).*input and the output"),
        ("width-zero", lambda: linfa.initial_weights((2, 0, 2)), ValueError, r"widths\[1\] is 0.*at least 1"),
        ("width-float", lambda: linfa.initial_weights((2, 3.0, 2)), TypeError, r"widths\[1\] is 3.0.*an integer"),
        ("kind", lambda: linfa.initial_weights((2, 2), "gausian"), ValueError, "kind is 'gausian'.*mean 'gaussian'"),
        ("scale", lambda: linfa.initial_weights((2, 2), scale=-1), ValueError, "scale is -1.*at least 0"),
        ("scale-text", lambda: linfa.initial_weights((2, 2), scale="1"), TypeError, "scale is '1'.*a number"),
        ("scale-array", lambda: linfa.initial_weights((2, 2), scale=[1.0]), TypeError, r"scale is \[1.0\].*a number"),
        ("scale-huge", lambda: linfa.initial_weights((2, 2), scale=10**400), ValueError, "scale.*finite"),
        (
            "seed-none",
            lambda: linfa.initial_weights((2, 2), seed=None),
            TypeError,
            "seed is None.*non-negative integer",
        ),
        ("seed-float", lambda: linfa.initial_weights((2, 2), seed=1.0), TypeError, "seed is 1.0.*non-negative integer"),
        ("seed-text", lambda: linfa.initial_weights((2, 2), seed="1"), TypeError, "seed is '1'.*non-negative integer"),
        (
            "seed-bool",
            lambda: linfa.initial_weights((2, 2), seed=True),
            TypeError,
            "seed is True.*non-negative integer",
        ),
        ("seed-negative", lambda: linfa.initial_weights((2, 2), seed=-1), ValueError, "seed is -1.*at least 0"),
        ("members", lambda: linfa.initial_weights((2, 2), members=0), ValueError, "members is 0.*at least 1"),
        (
            "balance",
            lambda: linfa.initial_weights((2, 2), balance=1.0),
            ValueError,
            "balance is 1; only.*lambda-balanced",
        ),
        ("task", lambda: linfa.initial_weights((2, 2), task=TASK), ValueError, "task is given; only kind 'aligned'"),
        ("no-task", lambda: linfa.initial_weights((2, 3, 2), "aligned"), TypeError, "task is NoneType.*LinearTask"),
        (
            "narrow",
            lambda: linfa.initial_weights((2, 1, 2), "aligned", task=TASK),
            ValueError,
            r"widths is \(2, 1, 2\); each layer must hold the 2 modes",
        ),
        (
            "no-room",
            lambda: linfa.initial_weights((2, 5, 2), "lambda-balanced", 0.1, balance=1.0),
            ValueError,
            r"widths is \(2, 5, 2\).*needs at least 5",
        ),
    ]
)
def test_what_makes_no_weights_is_refused(call, error, words):
    assert_refused(call, error, words)


# Feedback


@refused(
    [
        ("rank-0", lambda: low(rank=0), ValueError, "rank is 0; it must be at least 1"),
        ("rank-negative", lambda: low(rank=-2), ValueError, "rank is -2; it must be at least 1"),
        ("rank-float", lambda: low(rank=1.0), TypeError, "rank is 1.0; it must be an integer"),
        ("rank-bool", lambda: low(rank=True), TypeError, "rank is True; it must be an integer"),
        ("rank-text", lambda: low(rank="1"), TypeError, "rank is '1'; it must be an integer"),
        ("rank-none", lambda: low(), ValueError, "rank is not given; it is needed"),
        ("rank-above", lambda: under(low(rank=3)), ValueError, "rank is 3.*rank 2 at most"),
        ("rank-huge", lambda: under(low(rank=10**30)), ValueError, "rank is 10+;.*rank 2 at most"),
        ("rank-list", lambda: under(low(rank=[1, 1])), ValueError, "rank has 2 entries.*1 hidden layers"),
        ("rank-list-above", lambda: under(low(rank=[3])), ValueError, r"rank\[0\] is 3.*rank 2 at most"),
        ("q-rule", lambda: low(rank=1, q="kolen-polack"), ValueError, "q is 'kolen-polack'.*mean 'kolen-pollack'"),
        ("p-rule", lambda: low(rank=1, p=None), TypeError, "p is None.*one of fixed"),
        ("q-rate", lambda: low(rank=1, q_rate=0), ValueError, "q_rate is 0; it must be above 0"),
        ("p-rate", lambda: low(rank=1, p_rate=NAN), ValueError, "p_rate is nan; it must be finite"),
        ("rate-huge", lambda: low(rank=1, q_rate=10**400), ValueError, "q_rate.*finite"),
        ("decay", lambda: low(rank=1, q="local", decay=-1), ValueError, "decay is -1; it must be at least 0"),
        ("decay-fixed", lambda: low(rank=1, decay=0.1), ValueError, "decay is 0.1.*no decay term"),
        ("direct", lambda: low(rank=1, direct=1), TypeError, "direct is 1; it must be True or False"),
        ("draw", lambda: low(rank=1, draw="orthogonal"), ValueError, "draw is 'orthogonal'.*mean 'orthonormal'"),
        ("seed", lambda: low(rank=1, seed=0.0), TypeError, "seed is 0.0; it must be a non-negative integer"),
        ("q-array", lambda: low(q_matrices=Q[None], p_matrices=[P]), TypeError, "q_matrices is ndarray.*a list"),
        ("q-generator", lambda: low(q_matrices=iter([Q]), p_matrices=[P]), TypeError, "q_matrices is .*a list"),
        ("q-nan", lambda: low(q_matrices=[NAN * Q], p_matrices=[P]), ValueError, r"q_matrices\[0\] holds nan.*finite"),
        ("q-alone", lambda: low(q_matrices=[Q]), ValueError, "rank is not given; it is needed"),
        (
            "q-empty",
            lambda: low(q_matrices=[], p_matrices=[]),
            ValueError,
            "q_matrices.*is empty.*one matrix per hidden",
        ),
        (
            "q-wide",
            lambda: under(low(q_matrices=[np.eye(3)], p_matrices=[B])),
            ValueError,
            r"q_matrices\[0\].*2 at most",
        ),
        ("p-shape", lambda: under(low(q_matrices=[Q], p_matrices=[EYE])), ValueError, r"p_matrices\[0\] is .*\(1, 2\)"),
        ("p-number", lambda: under(low(q_matrices=[Q], p_matrices=[P] * 2)), ValueError, "p_matrices has 2.*takes 1"),
        ("b-array", lambda: linfa.FeedbackAlignment(B), TypeError, "matrices is ndarray; it must be a list"),
        ("b-text", lambda: linfa.FeedbackAlignment("random"), TypeError, "matrices is str; it must be a list"),
        ("b-inf", lambda: linfa.FeedbackAlignment([INF * B]), ValueError, r"matrices\[0\] holds inf.*finite"),
        ("b-complex", lambda: linfa.FeedbackAlignment([1j * B]), TypeError, r"matrices\[0\] holds complex.*real"),
        ("b-vector", lambda: linfa.FeedbackAlignment([[1.0]]), ValueError, r"matrices\[0\] has 1 dim.*must have 2"),
        ("b-shape", lambda: under(linfa.FeedbackAlignment([B.T])), ValueError, r"matrices\[0\] is \(2, 3\).*\(3, 2\)"),
        ("b-number", lambda: under(linfa.FeedbackAlignment([B, B])), ValueError, "matrices has 2.*takes 1"),
        ("b-scale", lambda: linfa.FeedbackAlignment(scale=0.0), ValueError, "scale is 0; it must be above 0"),
        ("dfa-rank", lambda: linfa.DirectFeedback([B], rank=1), ValueError, "rank is 1 and matrices are given"),
        ("kp-rate", lambda: linfa.KolenPollack(rate=-1), ValueError, "rate is -1; it must be above 0"),
        ("kp-decay", lambda: linfa.KolenPollack(decay="0"), TypeError, "decay is '0'; it must be a number"),
        ("mirror", lambda: linfa.WeightMirror(noise_variance=0), ValueError, "noise_variance is 0.*above 0"),
        ("mirror-inf", lambda: linfa.WeightMirror(rate=INF), ValueError, "rate is inf; it must be finite"),
        ("sign", lambda: linfa.SignSymmetry("signed"), ValueError, "magnitude is 'signed'.*one of uniform, fixed"),
        ("sign-scale", lambda: linfa.SignSymmetry(scale=0), ValueError, "scale is 0; it must be above 0"),
        ("preset", lambda: preset("kolen-polack"), ValueError, "feedback is 'kolen-polack'.*mean 'kolen-pollack'"),
        ("preset-list", lambda: preset(["fa"]), TypeError, r"feedback is \['fa'\].*one of backprop"),
        ("preset-no-rank", lambda: preset("fixed"), ValueError, "feedback is 'fixed', which needs a rank"),
        ("preset-rank", lambda: preset("fa", 2), ValueError, "rank is 2; feedback 'fa' takes none"),
        ("preset-sample", lambda: preset("drtp"), ValueError, "feedback is 'drtp'.*no form in the linear theory"),
        ("dict-class", lambda: feedback_from_dict({"class": "X"}), ValueError, "class is 'X'.*one of Backprop"),
        ("dict", lambda: feedback_from_dict("fa"), TypeError, "plain is str.*dictionary"),
    ]
)
def test_what_makes_no_feedback_is_refused(call, error, words):
    assert_refused(call, error, words)


# Runs


@refused(
    [
        ("task", lambda: simulate(task=EYE), TypeError, "task is ndarray; it must be a LinearTask"),
        ("weights-none", lambda: simulate(weights=None), TypeError, "weights is NoneType; it must be a list of mat"),
        ("weights-text", lambda: simulate(weights="zero"), TypeError, "weights is str; it must be a list of matrices"),
        ("weights-array", lambda: simulate(weights=np.ones((2, 2, 2))), TypeError, "weights is ndarray.*a list"),
        ("weights-empty", lambda: simulate(weights=[]), ValueError, "weights is empty; it must hold one matrix"),
        ("weights-0d", lambda: simulate(weights=[np.array(1.0)]), ValueError, r"weights\[0\] has 0 dim.*must have 2"),
        ("weights-words", lambda: simulate(weights=["ab", "cd"]), TypeError, r"weights\[0\] holds text.*real numbers"),
        ("weights-bool", lambda: simulate(weights=[B > 0, B.T]), TypeError, r"weights\[0\] holds booleans.*real num"),
        ("weights-nan", lambda: simulate(weights=[B, NAN * B.T]), ValueError, r"weights\[1\] holds nan.*finite"),
        (
            "weights-ragged",
            lambda: simulate(weights=[[[1], [1, 2]]]),
            ValueError,
            rf"weights\[0\] must be a {RECTANGULAR}",
        ),
        ("weights-big", lambda: simulate(weights=[[[10**30]]]), TypeError, r"weights\[0\].*real numbers"),
        ("weights-chain", lambda: simulate(weights=[B, B]), ValueError, r"weights\[1\] is \(3, 2\).*\(outputs, 3\)"),
        (
            "weights-in",
            lambda: simulate(weights=[np.eye(3), B.T]),
            ValueError,
            r"weights\[0\] is \(3, 3\).*\(hidden, 2\)",
        ),
        (
            "weights-out",
            lambda: simulate(weights=[B, np.eye(3)]),
            ValueError,
            r"weights\[1\] is \(3, 3\).*\(2, hidden\)",
        ),
        ("feedback", lambda: simulate(feedback="fa"), TypeError, "feedback is str; it must be a rule"),
        ("t-none", lambda: simulate(t=None), TypeError, "t holds objects; it must hold real numbers"),
        ("t-text", lambda: simulate(t="01"), TypeError, "t holds text; it must hold real numbers"),
        ("t-number", lambda: simulate(t=1.0), ValueError, "t has 0 dimensions.*must have 1"),
        ("t-table", lambda: simulate(t=[[0.0, 1.0]]), ValueError, r"t has 2 dimensions, shape \(1, 2\).*must have 1"),
        ("t-empty", lambda: simulate(t=[]), ValueError, "t is empty.*at least one number"),
        ("t-generator", lambda: simulate(t=iter([0.0])), TypeError, "t holds objects; it must hold real numbers"),
        ("t-negative", lambda: simulate(t=[-1.0, 1.0]), ValueError, "t starts at -1; times must not be negative"),
        (
            "t-unsorted",
            lambda: simulate(t=[0.0, 2.0, 1.0]),
            ValueError,
            "t goes from 2 to 1 at index 1; it must ascend",
        ),
        ("t-repeated", lambda: simulate(t=[0.0, 0.0]), ValueError, "t goes from 0 to 0 at index 0; it must ascend"),
        ("t-nan", lambda: simulate(t=[0.0, NAN]), ValueError, r"t holds nan at index \(1,\).*finite"),
        ("t-complex", lambda: simulate(t=[0j]), TypeError, "t holds complex numbers; it must hold real numbers"),
        ("updates", lambda: simulate(t=[0, 1.5], learning_rate=0.1), ValueError, "t holds 1.5.*updates, integers"),
        ("rate-0", lambda: simulate(learning_rate=0), ValueError, "learning_rate is 0; it must be above 0"),
        ("rate-negative", lambda: simulate(learning_rate=-0.1), ValueError, "learning_rate is -0.1.*above 0"),
        ("rate-nan", lambda: simulate(learning_rate=NAN), ValueError, "learning_rate is nan; it must be finite"),
        ("rate-bool", lambda: simulate(learning_rate=True), TypeError, "learning_rate is True; it must be a number"),
        ("rate-text", lambda: simulate(learning_rate="0.1"), TypeError, "learning_rate is '0.1'; it must be a number"),
        ("rate-huge", lambda: simulate(learning_rate=10**400), ValueError, "learning_rate.*finite"),
        ("decay-negative", lambda: simulate(weight_decay=-0.1), ValueError, "weight_decay holds -0.1.*at least 0"),
        ("decay-length", lambda: simulate(weight_decay=[0.1]), ValueError, "weight_decay has 1 entries.*per layer, 2"),
        ("decay-empty", lambda: simulate(weight_decay=[]), ValueError, "weight_decay is empty"),
        ("decay-none", lambda: simulate(weight_decay=None), TypeError, "weight_decay holds objects.*real numbers"),
        ("decay-nan", lambda: simulate(weight_decay=NAN), ValueError, "weight_decay holds nan.*finite"),
        ("rtol-0", lambda: simulate(rtol=0), ValueError, "rtol is 0; it must be at least 1e-14"),
        ("rtol-2", lambda: simulate(rtol=2), ValueError, "rtol is 2; it must be at most 1"),
        ("atol-0", lambda: simulate(atol=0.0), ValueError, "atol is 0; it must be above 0"),
        ("atol-text", lambda: simulate(atol="1e-3"), TypeError, "atol is '1e-3'; it must be a number"),
        ("method", lambda: simulate(method="rk5"), ValueError, "method is 'rk5'.*mean 'rk4'"),
        ("rk4", lambda: simulate(method="rk4"), ValueError, "step is not given; method 'rk4' needs"),
        ("step-0", lambda: simulate(method="rk4", step=0), ValueError, "step is 0; it must be above 0"),
        ("step-rate", lambda: simulate(step=0.1, learning_rate=0.1), ValueError, "step is given with learning_rate"),
        ("max-steps", lambda: simulate(max_steps=0), ValueError, "max_steps is 0; it must be at least 1"),
        (
            "max-steps-float",
            lambda: simulate(max_steps=1e6),
            TypeError,
            "max_steps is 1000000.0; it must be an integer",
        ),
        ("max-steps-huge", lambda: simulate(max_steps=10**30), ValueError, "max_steps"),
        ("members-2d", lambda: ensemble(weights=WEIGHTS), ValueError, r"weights\[0\] has 2 dimensions.*must have 3"),
        ("members", lambda: ensemble(weights=[MEMBERS[0], MEMBERS[1][:2]]), ValueError, r"weights\[1\] has 2 .*have 3"),
        ("no-members", lambda: ensemble(weights=[w[:0] for w in MEMBERS]), ValueError, r"weights\[0\] is empty"),
        ("threads-0", lambda: ensemble(threads=0), ValueError, "threads is 0; it must be at least 1"),
        ("threads-float", lambda: ensemble(threads=2.0), TypeError, "threads is 2.0; it must be an integer"),
        ("rules", lambda: ensemble(feedback=[linfa.Backprop()] * 2), ValueError, "feedback has 2 rules.*3 members"),
        ("rules-none", lambda: ensemble(feedback=[]), ValueError, "feedback has 0 rules.*3 members"),
        (
            "rules-mixed",
            lambda: ensemble(feedback=[linfa.Backprop()] * 2 + [ORTHONORMAL]),
            ValueError,
            r"feedback\[2\] follows another rule.*same",
        ),
        (
            "ranks-mixed",
            lambda: ensemble(feedback=[low(rank=r) for r in (1, 1, 2)]),
            ValueError,
            r"feedback\[2\].*rank",
        ),
        ("rules-text", lambda: ensemble(feedback="fa"), TypeError, "feedback is str; it must be a rule, or a list"),
        ("member", lambda: ensemble().member(3), IndexError, "index is 3; this ensemble has 3 members"),
        ("member-float", lambda: ensemble().member(1.0), TypeError, "index is 1.0; it must be an integer"),
        ("member-single", lambda: simulate().member(0), ValueError, "a single run; only an ensemble has members"),
        ("statistics", lambda: ensemble().statistics("los"), ValueError, "observable is 'los'.*mean 'loss'"),
        (
            "statistics-single",
            lambda: simulate().statistics(),
            ValueError,
            "a single run; statistics are of an ensemble",
        ),
    ]
)
def test_what_makes_no_run_is_refused(call, error, words):
    assert_refused(call, error, words)


@pytest.mark.parametrize("method", ["rk4", "dormand-prince"])
@pytest.mark.parametrize("step", [1e-19, 1e-300])
def test_step_too_short_to_count_is_refused_and_not_replaced_by_a_long_one(method, step):
    """1/step exceeds every 64-bit integer: no run can make these steps, and none must claim to have."""
    assert_refused(lambda: simulate(method=method, step=step), ValueError, "step is 1e-.*")


# Files


@pytest.mark.parametrize("content", [b"", b"hello", b"CDF\x02", b"CDF\x02" + bytes(200)])
def test_file_that_holds_no_run_is_refused_by_name(content, tmp_path):
    path = tmp_path / "run.nc"
    path.write_bytes(content)
    assert_refused(lambda: linfa.Trajectory.load(path), ValueError, "run.nc is ")


def test_truncated_run_is_refused_by_name(tmp_path):
    path = simulate().save(tmp_path / "run.nc")
    path.write_bytes(path.read_bytes()[:-9])
    assert_refused(lambda: linfa.Trajectory.load(path), ValueError, "run.nc is (truncated|damaged)")


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ({"a": EYE}, ValueError, "task.npz holds a; it must hold x and y, or sigma_yx"),
        ({"x": EYE}, ValueError, "task.npz holds x; it must hold x and y"),
        ({}, ValueError, "task.npz holds nothing; it must hold x and y"),
        ({"x": EYE, "y": np.ones((3, 1))}, ValueError, "y has 3 samples; it must have 2"),
        ({"sigma_yx": EYE, "sigma_x": np.eye(3)}, ValueError, r"sigma_x is \(3, 3\)"),
        ({"sigma_yx": NAN * EYE}, ValueError, "sigma_yx holds nan"),
        ({"x": np.array([None]), "y": EYE}, ValueError, "task.npz cannot be read as an .npz file of plain arrays"),
    ],
)
def test_file_that_makes_no_task_is_refused(arrays, error, words, tmp_path):
    np.savez(tmp_path / "task.npz", **arrays)
    assert_refused(lambda: linfa.LinearTask.from_file(tmp_path / "task.npz"), error, words)


def test_file_of_text_is_refused_without_advice_to_load_it_unsafely(tmp_path):
    (tmp_path / "task.npz").write_text("x, y\n1, 2\n")
    with pytest.raises(ValueError, match=r"task.npz cannot be read as an .npz file") as caught:
        linfa.LinearTask.from_file(tmp_path / "task.npz")
    assert "pickle" not in str(caught.value)


# Theory outside its assumptions

CORRELATED = linfa.LinearTask(EYE, np.diag([1.0, 2.0]))
DEEP = linfa.initial_weights((2, 3, 3, 2), kind="zero")


@refused(
    [
        ("correlated", lambda: exact(task=CORRELATED), NoClosedForm, "task has correlated inputs"),
        ("start", lambda: exact(weights=WEIGHTS), NoClosedForm, "weights are not zero"),
        (
            "gaussian-b",
            lambda: exact(feedback=linfa.FeedbackAlignment()),
            NoClosedForm,
            "feedback does not.*orthonormal",
        ),
        ("zero-b", lambda: exact(feedback=linfa.FeedbackAlignment([0 * B])), NoClosedForm, "feedback"),
        ("learned", lambda: exact(feedback=linfa.KolenPollack()), NoClosedForm, "'kolen-pollack' learns"),
        ("signs", lambda: exact(feedback=linfa.SignSymmetry()), NoClosedForm, "'sign-symmetry' follows the weights"),
        ("single", lambda: exact(weights=[0 * EYE]), NoClosedForm, "weights is a single matrix"),
        ("single-bp", lambda: exact(weights=[EYE], feedback=linfa.Backprop()), NoClosedForm, "weights of depth 1"),
        (
            "deep-low-rank",
            lambda: exact(weights=DEEP, feedback=low(rank=1)),
            NoClosedForm,
            "'low-rank' in a network of",
        ),
        ("deep-bp", lambda: exact(weights=DEEP, feedback=linfa.Backprop()), NoClosedForm, "not aligned.*'aligned'"),
        ("unbalanced", lambda: exact(weights=WEIGHTS, feedback=linfa.Backprop()), NoClosedForm, "not λ-balanced.*draw"),
        (
            "risen",
            lambda: exact(weights=[20 * w for w in ALIGNED], feedback=linfa.Backprop()),
            NoClosedForm,
            "a mode starts at or above its strength",
        ),
    ]
)
def test_theory_says_which_assumption_fails(call, error, words):
    assert issubclass(error, ValueError)
    assert_refused(call, error, words)


@refused(
    [
        ("task", lambda: exact(task="digits"), TypeError, "task is str; it must be a LinearTask"),
        ("feedback", lambda: exact(feedback="fa"), TypeError, "feedback is str; it must be a rule"),
        ("sizes", lambda: exact(task=linfa.LinearTask(np.eye(3))), ValueError, r"weights\[0\] is \(3, 2\)"),
        (
            "sizes-bp",
            lambda: exact(task=linfa.LinearTask(np.eye(3)), weights=BALANCED, feedback=linfa.Backprop()),
            ValueError,
            r"weights\[0\] is \(3, 2\)",
        ),
        (
            "outputs-bp",
            lambda: exact(task=linfa.LinearTask(B), weights=BALANCED, feedback=linfa.Backprop()),
            ValueError,
            r"weights\[1\] is \(2, 3\)",
        ),
        ("t-negative", lambda: exact(t=[-1.0, 0.0]), ValueError, "t starts at -1; times must not be negative"),
        ("t-unsorted", lambda: exact(t=[1.0, 0.0]), ValueError, "t .*ascend"),
        (
            "t-negative-balanced",
            lambda: exact(t=[-1.0, 0.0], weights=BALANCED, feedback=linfa.Backprop()),
            ValueError,
            "t .*negative",
        ),
        (
            "t-unsorted-balanced",
            lambda: exact(t=[1.0, 0.0], weights=BALANCED, feedback=linfa.Backprop()),
            ValueError,
            "t .*ascend",
        ),
        (
            "t-negative-aligned",
            lambda: exact(t=[-1.0, 0.0], weights=ALIGNED, feedback=linfa.Backprop()),
            ValueError,
            "t .*negative",
        ),
        ("riccati-inputs", lambda: riccati.balanced_backprop(CORRELATED, BALANCED, [0.0]), ValueError, "task has corr"),
        (
            "riccati-balance",
            lambda: riccati.balanced_backprop(TASK, WEIGHTS, [0.0]),
            ValueError,
            "weights are not λ-bal",
        ),
        ("riccati-t", lambda: riccati.balanced_backprop(TASK, BALANCED, [1.0, 0.0]), ValueError, "t .*ascend"),
        ("riccati-depth", lambda: riccati.balance_of([EYE] * 3), ValueError, "weights has 3 matrices.*for two"),
        ("depth-start", lambda: backprop.depth_strength([0.0], 1.0, 2.0, 3), ValueError, "start is 2.*between 0 and"),
        ("depth-zero", lambda: backprop.depth_strength([0.0], 1.0, 0.0, 2), ValueError, "start is 0.*between 0 and"),
        ("depth-nan", lambda: backprop.depth_strength([0.0], 1.0, NAN, 2), ValueError, "start is nan.*between 0 and"),
        (
            "depth-1",
            lambda: backprop.depth_strength([0.0], 1.0, 0.1, 1),
            ValueError,
            "depth is 1; it must be at least 2",
        ),
        ("depth-float", lambda: backprop.depth_strength([0.0], 1.0, 0.1, 2.5), TypeError, "depth is 2.5.*an integer"),
        ("depth-t-nan", lambda: backprop.depth_strength([NAN], 1.0, 0.1, 3), ValueError, "t holds nan"),
        ("depth-time", lambda: backprop.depth_time(0.5, 1.0, 2.0), TypeError, "depth is 2.0; it must be an integer"),
        (
            "risen",
            lambda: feedback_alignment.risen_fraction([-1.0]),
            ValueError,
            "scaled_time holds -1.*not be negative",
        ),
        ("chain-depth", lambda: chain_alignment.map_power(1), ValueError, "depth is 1; it must be at least 2"),
        (
            "chain-layer",
            lambda: chain_alignment.chain_alignment(B, 1, 3),
            ValueError,
            "layer is 1; it must be at least 2",
        ),
        ("map-task", lambda: low_rank.learned_map("digits", B), TypeError, "task is str; it must be a LinearTask"),
        (
            "map-feedback",
            lambda: low_rank.learned_map(TASK, np.eye(3)),
            ValueError,
            r"feedback is \(3, 3\).*\(hidden, 2",
        ),
        (
            "map-lower",
            lambda: low_rank.learned_map(TASK, B, EYE),
            ValueError,
            r"lower is \(2, 2\); it must be \(3, 2\)",
        ),
        ("spectrum", lambda: stability.error_spectrum(B, np.ones((2, 4))), ValueError, r"upper is \(2, 4\).*3"),
        ("max-rate", lambda: stability.max_rate([]), ValueError, "spectrum is empty"),
    ]
)
def test_theory_refuses_what_it_is_not_for(call, error, words):
    assert_refused(call, error, words)


def test_task_without_modes_has_an_exact_trajectory_or_a_reason():
    """Nothing is to be learned: zero weights stay, under every rule."""
    nothing = linfa.LinearTask(0 * EYE)
    for feedback in (linfa.Backprop(), ORTHONORMAL):
        assert not exact(task=nothing, feedback=feedback).map.any()


# Metrics


@refused(
    [
        ("vector", lambda: metrics.effective_rank([1.0, 2.0]), ValueError, "a has 1 dimensions.*must have 2"),
        ("text", lambda: metrics.stable_rank([["a"]]), TypeError, "a holds text; it must hold real numbers"),
        ("nan", lambda: metrics.participation_ratio([[NAN]]), ValueError, "a holds nan.*finite"),
        ("empty", lambda: metrics.nuclear_rank([[]]), ValueError, "a is empty"),
        ("cosine", lambda: metrics.cosine(np.ones(2), np.ones(3)), ValueError, "b has length 3; it must match a, 2"),
        ("cosine-shapes", lambda: metrics.cosine(B, B.T), ValueError, r"b has matrices of shape \(2, 3\).*match a"),
        ("cosine-matrix-vector", lambda: metrics.cosine(EYE, np.ones(2)), ValueError, r"b .*\(2,\).*match a"),
        ("cosine-vector-matrix", lambda: metrics.cosine(np.ones(2), EYE), ValueError, "b .*match a"),
        (
            "cosine-stacks",
            lambda: metrics.cosine(np.ones((2, 2, 2)), np.ones((3, 2, 2))),
            ValueError,
            "a and b.*differ",
        ),
        ("cosine-number", lambda: metrics.cosine(1.0, 1.0), ValueError, "a has 0 dimensions"),
        ("angle", lambda: metrics.angle_degrees(np.ones(2), EYE), ValueError, "b .*match a"),
        ("angles-vector", lambda: metrics.subspace_angles(np.ones(2), EYE), ValueError, "a has 1 dimensions.*have 2"),
        ("angles-rows", lambda: metrics.subspace_angles(B, EYE), ValueError, "b has 2 rows; it must have 3, as a has"),
        ("kernels", lambda: metrics.centred_kernel_alignment(B, EYE), ValueError, "y has 2 rows; it must have 3, as x"),
        ("kernel-target", lambda: metrics.kernel_target_alignment(EYE, np.ones(3)), ValueError, r"kernel is \(2, 2\)"),
        (
            "pseudo-inverse",
            lambda: metrics.pseudo_inverse_alignment(B, B),
            ValueError,
            r"feedback is \(3, 2\).*\(2, 3\)",
        ),
        (
            "norm-ratio",
            lambda: metrics.norm_ratio(np.ones((3, 2, 2)), np.ones((2, 2, 2))),
            ValueError,
            "feedback|weight",
        ),
        ("recovery", lambda: metrics.mode_recovery(EYE, np.eye(3), np.ones(2), EYE), ValueError, r"left is \(3, 3\)"),
        ("recovery-zero", lambda: metrics.mode_recovery(EYE, EYE, np.zeros(2), EYE), ValueError, "strengths holds 0"),
        ("projection", lambda: metrics.mode_projection(EYE, np.eye(3), EYE), ValueError, r"left is \(3, 3\)"),
        ("balancedness", lambda: metrics.balancedness(B, B), ValueError, r"upper is \(3, 2\)"),
        ("gram", lambda: metrics.spectrum_from_gram(np.ones(3)), ValueError, "a has 1 dimensions.*must have 2"),
        ("chance", lambda: metrics.chance_band((0, 3)), ValueError, "shape.*at least 1"),
    ]
)
def test_metrics_refuse_what_they_are_not_for(call, error, words):
    assert_refused(call, error, words)


# Claims


@refused(
    [
        ("name", lambda: claims.check("fa-mode"), ValueError, "claim 'fa-mode' is unknown.*mean 'fa-modes'"),
        ("name-type", lambda: claims.check(3), TypeError, "name is 3; it must be the name of a claim"),
        ("forget", lambda: claims.forget("nothing-like-it-123"), ValueError, "claim 'nothing-like-it-123' is unknown"),
        ("knob", lambda: claims.check("fa-modes", bogus=1), ValueError, "knob 'bogus' is unknown.*it has gain"),
        ("knob-text", lambda: claims.check("fa-modes", gain="a"), TypeError, "gain.*a number"),
        ("knob-none", lambda: claims.check("fa-modes", gain=None), TypeError, "gain.*a number"),
        ("knob-half", lambda: claims.check("fa-modes", seed=0.5), ValueError, "knob 'seed' is 0.5.*an integer"),
        ("title", lambda: claims.claim("x", title=3, tolerance=1.0), TypeError, "title is 3; it must say in words"),
        ("tolerance", lambda: claims.claim("x", title="t", tolerance=NAN), ValueError, "tolerance is nan.*finite"),
        ("entry", lambda: claims.claim("x", title="t", tolerance=1.0, entry=3), TypeError, "entry is 3"),
        ("reason", lambda: claims.claim("x", title="t", tolerance=1.0, reason=3), TypeError, "reason is 3"),
        ("quick", lambda: claims.claim("x", title="t", tolerance=1.0, quick=3)(lambda: (1, 1)), TypeError, "quick is"),
        ("function", lambda: claims.claim("x", title="t", tolerance=1.0)(3), TypeError, "function is"),
    ]
)
def test_what_makes_no_claim_is_refused(call, error, words):
    try:
        assert_refused(call, error, words)
    finally:
        if "x" in claims.names():
            claims.forget("x")


# Values that a mask hides are not there: computing with what stands beneath is wrong in silence.


@refused(
    [
        ("task", lambda: linfa.LinearTask(masked(1e20 * EYE)), (TypeError, ValueError), "sigma_yx.*mask"),
        ("data", lambda: linfa.LinearTask.from_data(masked(B), B), (TypeError, ValueError), "x .*mask"),
        ("weights", lambda: simulate(weights=[masked(B), B.T]), (TypeError, ValueError), r"weights\[0\].*mask"),
        ("feedback", lambda: linfa.FeedbackAlignment([masked(B)]), (TypeError, ValueError), r"matrices\[0\].*mask"),
        ("t", lambda: simulate(t=masked(np.array([0.0, 1.0]))), (TypeError, ValueError), "t .*mask"),
        ("metric", lambda: metrics.effective_rank(masked(EYE)), (TypeError, ValueError), "a .*mask"),
    ]
)
def test_masked_entries_are_refused(call, error, words):
    assert_refused(call, error, words)


# Odd but good


class Framed:
    """What data-frame libraries hand over: an object that turns into an array when asked."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


def frozen(a):
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS = {
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "read-only": frozen,
    "big-endian": lambda a: a.astype(">f8"),
    "long-double": lambda a: a.astype(np.longdouble),
    "lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    "matrix": lambda a: np.matrix(a) if a.ndim == 2 else a,
    "frame": Framed,
}
GENERATOR = np.random.default_rng(5)
MAP, OTHER, SAMPLES = (GENERATOR.standard_normal(shape) for shape in ((6, 5), (6, 5), (20, 3)))
CARRIER = GENERATOR.standard_normal((3, 2))
CHAIN = [GENERATOR.standard_normal(shape) for shape in ((3, 3), (2, 3))]


def everything(form):
    """Numbers from every door, with all arrays handed over in one form."""
    task = linfa.LinearTask.from_data(form(SAMPLES), form(SAMPLES[:, :2]))
    second = linfa.LinearTask(form(MAP[:, :3]), form(SAMPLES.T @ SAMPLES / 20))
    feedback = linfa.FeedbackAlignment([form(CARRIER)])
    run = linfa.simulate(task, [form(w) for w in CHAIN], feedback, form(np.array([0.0, 0.5, 1.0])))
    predicted = linfa.theory.exact(TASK, [form(w) for w in BALANCED], linfa.Backprop(), form(np.array([0.0, 1.0])))
    found = {
        "task": [task.target, task.left, task.strengths, task.input_root],
        "second": [second.target, second.left, second.explained_modes[1]],
        "run": [run.map, run.loss, run.weight_alignment, run.gradient_alignment, run.effective_rank],
        "predicted": [predicted.map, predicted.loss],
        "learned map": [linfa.theory.learned_map(TASK, form(CARRIER))],
    }
    for name in ("effective_rank", "participation_ratio", "stable_rank", "nuclear_rank", "intrinsic_rank"):
        found[name] = [getattr(metrics, name)(form(MAP))]
    for name in ("cosine", "angle_degrees", "subspace_angles", "subspace_overlap", "norm_ratio", "sample_cosine"):
        found[name] = [getattr(metrics, name)(form(MAP), form(OTHER))]
    return found


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_form_of_the_arrays_changes_no_bit(form):
    plain, other = everything(np.ascontiguousarray), everything(FORMS[form])
    for name, values in plain.items():
        assert all(np.array_equal(a, b) for a, b in zip(values, other[name], strict=True)), name
        assert not any(isinstance(b, np.matrix) for b in other[name]), name


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.uint64])
def test_narrow_numbers_are_widened_before_anything_is_computed(kind):
    weights = [
        np.round(4 * w).astype(kind) if kind in (np.int8,) else np.abs(np.round(4 * w)).astype(kind) for w in CHAIN
    ]
    task = linfa.LinearTask.from_data(SAMPLES, SAMPLES[:, :2])
    narrow = linfa.simulate(task, weights, linfa.Backprop(), [0.0, 0.25])
    wide = linfa.simulate(task, [w.astype(np.float64) for w in weights], linfa.Backprop(), [0.0, 0.25])
    assert narrow.weights[0].dtype == np.float64
    assert np.array_equal(narrow.map, wide.map)


def test_weights_and_widths_may_come_from_a_generator():
    run = simulate(weights=(w for w in WEIGHTS))
    assert np.array_equal(run.map, simulate().map)
    drawn = linfa.initial_weights(n for n in (2, 3, 2))
    assert all(np.array_equal(a, b) for a, b in zip(drawn, linfa.initial_weights((2, 3, 2)), strict=True))


def test_numbers_of_numpy_pass_for_numbers():
    plain = simulate(feedback=low(rank=1, seed=7), learning_rate=0.5, t=[0, 3])
    typed = simulate(feedback=low(rank=np.int8(1), seed=np.uint64(7)), learning_rate=np.float32(0.5), t=range(0, 4, 3))
    assert np.array_equal(plain.map, typed.map)


def test_seeds_of_any_size_differ():
    drawn = [linfa.initial_weights((2, 2), seed=seed)[0] for seed in (0, 2**64, 10**40)]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


def test_minus_zero_is_a_time_and_a_start():
    run = simulate(t=[-0.0, 1.0], weights=[-0.0 * B, WEIGHTS[1]])
    assert np.array_equal(run.map, simulate(weights=[0.0 * B, WEIGHTS[1]]).map)


def test_subnormal_weights_stay_finite():
    run = simulate(weights=[np.full((3, 2), 5e-324), np.full((2, 3), 5e-324)], t=[0.0, 10.0])
    assert run.status == "completed"
    assert np.isfinite(run.loss).all()
    # Nothing has grown: the loss is that of the zero map, ½(2² + 1²), to the last bit.
    assert run.loss.tolist() == [2.5, 2.5]


def test_shortest_time_is_reached():
    run = simulate(t=[0.0, 5e-324])
    assert run.status == "completed"
    assert np.array_equal(run.map[0], run.map[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [1e300 * w for w in WEIGHTS]},
        {"weights": [1e300 * w for w in WEIGHTS], "t": [0, 1], "learning_rate": 0.1},
        {"task": linfa.LinearTask(1e150 * EYE), "max_steps": 1000},
        {"t": [0.0, 1e300], "max_steps": 1000},
        {"weight_decay": 1e300},
    ],
    ids=["weights", "descent", "task", "horizon", "decay"],
)
def test_run_that_numbers_cannot_hold_warns_and_hands_back_its_finite_part(changes):
    with pytest.warns(linfa.DivergenceWarning, match="the (run diverged|integrator stopped)"):
        run = simulate(**changes)
    assert run.status in ("diverged", "stalled")
    assert all(np.isfinite(w).all() for w in run.weights)


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_metrics_do_not_depend_on_the_size_of_a_matrix(size):
    # Scaling by a number that is no power of two moves each entry by half a unit in the last place.
    for name in ("effective_rank", "participation_ratio", "stable_rank", "nuclear_rank"):
        function = getattr(metrics, name)
        assert function(size * MAP) == pytest.approx(function(MAP), rel=1e-13)
    # A cosine near 0 carries the rounding errors of its terms, some 1e-16 of 1.
    assert metrics.cosine(size * MAP, OTHER) == pytest.approx(metrics.cosine(MAP, OTHER), abs=1e-14)


@pytest.mark.parametrize("size", [1e-140, 1e140])
def test_tasks_of_extreme_size_keep_their_modes(size):
    task = linfa.LinearTask(size * np.diag([2.0, 1.0]), size * np.diag([1.0, 2.0]), 10 * size * EYE)
    # Two roundings on the way to T = Σyx Σx⁻¹ = diag(2, ½).
    assert task.strengths == pytest.approx([2.0, 0.5], rel=1e-14)
    assert np.isfinite(task.residual_loss)


@pytest.mark.parametrize("t", [[100.0, 200.0], [0.0, 100.0, 200.0]])
def test_run_that_has_converged_is_not_called_motionless(t, recwarn):
    """At a decayed fixed point descent repeats itself to the last bit; it moved to get there."""
    run = linfa.simulate(TASK, WEIGHTS, linfa.Backprop(), [10 * time for time in t], learning_rate=0.3)
    assert np.array_equal(run.map[-1], run.map[-2])
    assert not [w for w in recwarn if "nothing moved" in str(w.message)]


def test_prediction_of_late_times_ends_and_is_the_solution():
    """The Riccati solution costs at any time what it costs at 20, when all modes are learned."""
    code = (
        "import numpy as np, linfa; task = linfa.LinearTask(np.diag([2.0, 1.0])); "
        "weights = linfa.initial_weights((2, 3, 2), kind='balanced', scale=0.1); "
        "run = linfa.theory.exact(task, weights, linfa.Backprop(), [1e3, 1e9, 1e300]); "
        "print(abs(run.map - task.target).max())"
    )
    # At t = 1e3 it takes hundredths of a second; the rest is the start of Python.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=15)
    # The propagator loses half its digits at most.
    assert float(done.stdout) < 1e-7
