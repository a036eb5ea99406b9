"""Closed forms as a method of simulate: the same type, any times, and refusals that say what to do."""

import numpy as np
import pytest

import linfa
from linfa.theory import NoClosedForm, exact

MODES = linfa.LinearTask.from_modes([3.0, 2.0, 1.0], inputs=6, outputs=5, seed=1)
CASES = {
    "riccati": ((6, 8, 5), "balanced", linfa.Backprop()),
    "aligned": ((6, 8, 7, 5), "aligned", linfa.Backprop()),
    "fa": ((6, 8, 5), "zero", linfa.FeedbackAlignment(draw="orthonormal")),
    "fa-deep": ((6, 8, 7, 5), "zero", linfa.FeedbackAlignment(draw="orthonormal")),
    "dfa-deep": ((6, 8, 7, 5), "zero", linfa.DirectFeedback(draw="orthonormal")),
    "low-rank": ((6, 8, 5), "zero", linfa.LowRankFeedback(rank=2, draw="orthonormal")),
}


def start(widths, kind):
    task = {"task": MODES} if kind == "aligned" else {}
    return linfa.initial_weights(widths, kind, 0.0 if kind == "zero" else 0.2, seed=3, **task)


@pytest.mark.parametrize("case", CASES)
def test_exact_is_the_closed_form_and_what_integration_approaches(case):
    widths, kind, feedback = CASES[case]
    t = [0.0, 0.5, 3.0]
    written = linfa.simulate(MODES, start(widths, kind), feedback, t, method="exact")
    stepped = linfa.simulate(MODES, start(widths, kind), feedback, t, rtol=1e-11, atol=1e-13)
    assert (written.source, stepped.source) == ("theory", "simulation")
    predicted = exact(MODES, start(widths, kind), feedback, t)
    assert all(np.array_equal(a, b) for a, b in zip(written.weights, predicted.weights, strict=True))
    assert np.abs(written.map - stepped.map).max() < 1e-8


def test_exact_reaches_times_that_no_stepping_would():
    run = linfa.simulate(MODES, start((6, 8, 5), "zero"), CASES["fa"][2], [1e9], method="exact")
    assert run.loss[0] < 1e-25


def test_exact_reports_that_it_is_done():
    seen = []
    linfa.simulate(MODES, start((6, 8, 5), "zero"), CASES["fa"][2], [1.0], method="exact", progress=seen.append)
    assert seen == [1.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feedback": linfa.FeedbackAlignment(seed=1)}, "QᵀQ = g I"),
        ({"feedback": linfa.KolenPollack(seed=1)}, "learns"),
        ({"weights": linfa.initial_weights((6, 8, 5))}, "weights are not zero"),
        ({"feedback": linfa.Backprop(), "weights": linfa.initial_weights((6, 8, 5))}, "not λ-balanced"),
        ({"weight_decay": 0.1}, "weight_decay is 0.1"),
    ],
)
def test_what_has_no_closed_form_is_refused_with_the_reason_and_the_way_out(changes, words):
    call = {"weights": start((6, 8, 5), "zero"), "feedback": CASES["fa"][2], "t": [1.0]} | changes
    with pytest.raises(NoClosedForm, match=words) as caught:
        linfa.simulate(MODES, method="exact", **call)
    assert "method='dormand-prince' integrates any case" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 0.1, "t": [1, 2]}, "method 'exact' is of the flow, not of descent"),
        ({"step": 0.1}, "method 'exact' makes no steps"),
        ({"rtol": -1.0}, "rtol is -1"),
        ({"t": [2.0, 1.0]}, "it must ascend"),
        ({"weight_decay": [0.0, 0.0, 0.0]}, "weight_decay has 3 entries"),
    ],
)
def test_arguments_that_exact_cannot_honour_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        linfa.simulate(MODES, start((6, 8, 5), "zero"), CASES["fa"][2], **({"t": [1.0]} | options), method="exact")


def test_unknown_methods_name_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'exact'"):
        linfa.simulate(MODES, start((6, 8, 5), "zero"), CASES["fa"][2], [1.0], method="exactly")


def test_warnings_point_at_the_caller():
    with pytest.warns(UserWarning, match="nothing moved") as caught:
        linfa.simulate(MODES, start((6, 8, 5), "zero"), linfa.Backprop(), [1.0])
    assert caught[0].filename == __file__


def test_command_line_writes_closed_forms_and_refuses_before_it_writes(tmp_path, capsys):
    from linfa.cli import main

    task = ["simulate", "--task", "modes", "--modes", "3", "2", "1", "--hidden", "8", "--out", str(tmp_path / "runs")]
    assert main([*task, "--method", "exact", "--feedback", "fa", "kolen-pollack"]) == 2
    assert "kolen-pollack: feedback 'kolen-pollack' learns" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert main([*task, "--method", "exact", "--feedback", "fa", "--horizon", "1e6", "--points", "3"]) == 0
    run = linfa.Trajectory.load(tmp_path / "runs" / "modes-fa.nc")
    assert (run.source, run.t[-1]) == ("theory", 1e6)
    assert run.loss[-1] < 1e-25
    assert (tmp_path / "runs" / "modes-fa.png").is_file()
