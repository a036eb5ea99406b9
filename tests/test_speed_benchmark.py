"""The speed benchmark: every entry at toy size, equal accuracy that a wrong peer cannot pass, rows that are kept."""

import doctest
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import linfa

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def of(monkeypatch):
    """Modules of the benchmark by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


@pytest.fixture
def flow(of):
    return of("linear").flow((4, 6, 3), 3, linfa.LowRankFeedback(rank=2, seed=0), of("timing").Effort(quick=True))


def measured(of, tmp_path, name, *peers):
    assert of("run").main(["--here", "--quick", "--only", name, "--peers", *peers, "--results", str(tmp_path)]) == 0
    return of("table").read(tmp_path)


@pytest.mark.parametrize("name", ["ensemble-small", "ensemble-medium", "ensemble-learned", "wide"])
def test_every_contest_runs_at_equal_accuracy(of, tmp_path, name, monkeypatch):
    # The medium ones have no row against SciPy, of which every test machine can have one.
    contests = of("linear").contests

    def with_scipy(entry, work, problem, goals, *rest, **options):
        return contests(entry, work, problem, {"scipy": of("table").Goal(1.0)}, *rest, **options)

    monkeypatch.setattr(of("linear"), "contests", with_scipy)
    (row,) = measured(of, tmp_path, name, "scipy")
    assert row.value == pytest.approx(row.peer_ms / row.linfa_ms)
    assert row.value > 0
    # Tolerances of 1e-6 and 1e-8 keep errors of so short a run some 20 times smaller than this.
    assert 0 < row.peer_error < 1e-4
    assert 0 < row.linfa_error < 1e-4
    if row.peer_rtol == row.linfa_rtol:
        assert 0.5 <= row.peer_error / row.linfa_error <= 2
    else:
        assert (row.peer_error <= row.linfa_error) == (row.peer_rtol < row.linfa_rtol)
    assert min(row.products, row.memory) > 0
    assert ("whole weights read" in row.note) == (name == "wide")


@pytest.mark.parametrize("name", ["products", "exact", "width", "threads", "fresh"])
def test_every_row_without_a_peer_package_runs(of, tmp_path, name):
    rows = measured(of, tmp_path, name)
    assert len(rows) == (2 if name == "fresh" else 1)
    for row in rows:
        if name == "threads" and "one core alone" in row.note:
            pytest.skip("this process may use one core alone")
        assert row.linfa_ms > 0 or "lost in the noise" in row.note
        if name == "exact":
            # The closed form is right to rounding, the integrator to its tolerance of 1e-10.
            assert row.linfa_error < 1e-8
            assert row.peer_error < 1e-8


@pytest.mark.slow
def test_diffrax_solves_the_same_flow(of, tmp_path):
    pytest.importorskip("diffrax", reason="diffrax is the peer")
    (row,) = measured(of, tmp_path, "ensemble-learned", "diffrax")
    assert row.value > 0
    assert row.compile_seconds > 0
    assert 0 < row.peer_error < 1e-4


@pytest.mark.parametrize("name", ["ensemble-small", "ensemble-learned"])
def test_pytorch_solves_the_same_flow(of, tmp_path, name):
    pytest.importorskip("torch", reason="PyTorch is the peer")
    (row,) = measured(of, tmp_path, name, "torch")
    assert row.value > 0
    assert 0 < row.peer_error < 1e-4


@pytest.mark.parametrize("name", ["mlp", "vgg", "vit"])
def test_training_steps_are_compared_with_backprop_and_with_the_same_rule(of, tmp_path, name):
    pytest.importorskip("torch", reason="PyTorch is the peer")
    rows = measured(of, tmp_path, name, "torch")
    assert [row.peer for row in rows] == ["PyTorch, backprop", "PyTorch, backprop", "PyTorch, the same rule"]
    assert all(row.value == pytest.approx(row.peer_ms / row.linfa_ms) for row in rows)
    assert rows[0].peer_ms == rows[1].peer_ms
    assert all(row.products > 0 for row in rows)


@pytest.mark.parametrize(("name", "peer"), [("ensemble-small", "diffrax"), ("vgg", "torch")])
def test_a_peer_that_is_missing_is_a_row_without_a_ratio(of, tmp_path, monkeypatch, name, peer):
    for module in ("linear", "training"):
        monkeypatch.setattr(of(module), "find_spec", lambda package: None)
    rows = measured(of, tmp_path, name, peer)
    assert [row.note for row in rows] == [f"{peer} is not installed"] * len(rows)
    assert {row.value for row in rows} == {None}
    assert f"{peer} is not installed" in (tmp_path / "speed.md").read_text()


# Equal accuracy


def test_the_error_is_the_largest_over_members_and_times(of):
    relative_error = of("accuracy").relative_error
    wanted = np.ones((2, 3, 2, 2))
    found = wanted.copy()
    found[1, 2, 0, 0] += 0.5
    found[0, 1] *= 1.1
    # Half of one entry against a norm of 2.
    assert relative_error(found, wanted) == pytest.approx(0.25)
    found[0, 0, 1, 1] = np.nan
    assert relative_error(found, wanted) == np.inf
    assert relative_error(found[:1], wanted) == np.inf


@pytest.mark.parametrize(("factor", "words"), [(1.2, "does not solve this problem"), (1.0001, "the other side")])
def test_a_peer_that_solves_another_problem_is_found(of, flow, monkeypatch, factor, words):
    """By its error at once, or because tightening does not help it."""
    accuracy, peers = of("accuracy"), of("linear_peers")
    ours = peers.linfa_solver(flow)
    wanted = accuracy.reference(ours, peers.scipy_solver(flow, "DOP853"))
    velocity = peers.velocity
    monkeypatch.setattr(peers, "velocity", lambda *state: [factor * slope for slope in velocity(*state)])
    with pytest.raises(accuracy.Disagreement, match=words):
        accuracy.matched(ours, peers.scipy_solver(flow), wanted)
    with pytest.raises(accuracy.Disagreement, match="the reference is"):
        accuracy.reference(ours, peers.scipy_solver(flow, "DOP853"))


@pytest.mark.parametrize("careless", ["ours", "theirs"])
def test_the_less_accurate_side_is_tightened(of, flow, careless):
    accuracy, peers = of("accuracy"), of("linear_peers")
    sides = {"ours": peers.linfa_solver(flow), "theirs": peers.scipy_solver(flow)}
    wanted = accuracy.reference(sides["ours"], peers.scipy_solver(flow, "DOP853"))
    exact = sides[careless].solve
    sides[careless] = replace(sides[careless], solve=lambda rtol, atol: exact(100 * rtol, 100 * atol))
    pair = dict(zip(sides, accuracy.matched(*sides.values(), wanted), strict=True))
    other = pair["theirs" if careless == "ours" else "ours"]
    assert other.rtol == 1e-6
    assert pair[careless].rtol < 1e-6
    assert pair[careless].error <= other.error


def test_scipy_runs_members_spread_over_the_ensemble(of):
    linear, peers = of("linear"), of("linear_peers")
    flow = linear.flow((4, 6, 3), 10, linfa.LowRankFeedback(rank=2, seed=0), of("timing").Effort(quick=True))
    solver = peers.scipy_solver(flow, most=4)
    maps = solver.maps(solver.solve(1e-6, 1e-8))
    assert solver.stride == 3
    assert solver.share == 0.4
    assert np.array_equal(maps[:, 0], (flow.weights[1] @ flow.weights[0])[::3])


@pytest.mark.parametrize("q", ["fixed", "kolen-pollack"])
def test_a_wide_network_has_the_same_course_in_its_subspace(of, q):
    linear, peers = of("linear"), of("linear_peers")
    feedback = linfa.LowRankFeedback(rank=2, q=q, p="fixed" if q == "fixed" else "oja-label", seed=0)
    flow = linear.flow((4, 30, 3), 1, feedback, of("timing").Effort(quick=True))
    inner = peers.inner(flow)
    assert inner.widths == (4, 9, 3)
    whole, small = (solver.maps(solver.solve(1e-9, 1e-11)) for solver in map(peers.scipy_solver, (flow, inner)))
    # Steps differ, so the integration error is what is left.
    assert of("accuracy").relative_error(small, whole) < 1e-7


# Limits


class Counted:
    """A matrix that adds up the operations of the products it takes part in."""

    done = 0

    def __init__(self, *shape):
        self.shape = shape

    @property
    def mT(self):
        return Counted(*self.shape[::-1])

    def __matmul__(self, other):
        Counted.done += 2 * self.shape[0] * self.shape[1] * other.shape[1]
        assert self.shape[1] == other.shape[0]
        return Counted(self.shape[0], other.shape[1])

    def __sub__(self, other):
        assert self.shape == other.shape
        return self


@pytest.mark.parametrize("learned", [False, True])
def test_operations_are_those_of_the_right_hand_side(of, monkeypatch, learned):
    i, h, o, r = 5, 7, 4, 2
    w, factors = (Counted(h, i), Counted(o, h)), (Counted(h, r), Counted(r, o))
    monkeypatch.setattr(Counted, "done", 0)
    state, fixed = (w + factors, ()) if learned else (w, factors)
    of("linear_peers").velocity(state, fixed, Counted(o, i), Counted(o, o))
    assert of("limits").flow_operations((i, h, o), r, learned=learned) == Counted.done


def test_examples_of_the_limits_run(of):
    outcome = doctest.testmod(of("limits"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_limits_of_this_machine_are_rates(of):
    limits = of("limits")
    # A multiply-add in a second, and a byte: any machine does far more.
    assert limits.product_rate("float32", size=64) > 1e6
    assert limits.copy_rate(size=2**20) > 1e6


def test_times_are_taken_by_turns(of):
    order = []
    found = of("timing").medians({name: lambda name=name: order.append(name) for name in "ab"}, 3, sample_seconds=0.0)
    # Twice to warm up, then by turns.
    assert "".join(order) == "aabb" + "ab" * 3
    assert set(found) == {"a", "b"}


# The table


@pytest.fixture
def row(of):
    table = of("table")
    return table.Row("wide", "work", "peer", table.Goal(2.0, 5.0), 3.0, 1.0, 3.0, 1e-6, 2e-6, 1e-6, 1e-6, 0.25, None)


def test_rows_of_other_entries_stay_and_the_same_one_is_replaced(of, row, tmp_path):
    table = of("table")
    other = replace(row, entry="exact", value=None, note="lost")
    table.write([row, other], tmp_path)
    table.write([replace(row, value=6.0)], tmp_path, ["exact", "wide"])
    kept = table.read(tmp_path)
    assert [(r.entry, r.value) for r in kept] == [("exact", None), ("wide", 6.0)]
    assert kept[0] == other
    lines = (tmp_path / "speed.md").read_text().splitlines()
    assert "| 6.00 | ≥ 2 (5) | dream | 1.0e-06 / 2.0e-06 |" in lines[-1]
    assert "| – | ≥ 2 (5) | – |" in lines[-2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speed.json", "speed.md"]
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][1]["value"] == 6.0


def test_goals_are_judged_from_their_side(of):
    goal = of("table").Goal
    assert [goal(2, 5).reached(v) for v in (1.9, 2.0, 5.0)] == ["no", "yes", "dream"]
    assert [goal(1.5, kind="growth").reached(v) for v in (1.6, 1.5)] == ["no", "yes"]
    assert [str(goal(2, 5)), str(goal(0.4, kind="seconds"))] == ["≥ 2 (5)", "≤ 0.4 s"]


def test_a_row_without_a_goal_is_one(of, row, tmp_path):
    table = of("table")
    table.write([replace(row, goal=None)], tmp_path)
    assert table.read(tmp_path) == [replace(row, goal=None)]
    assert "| 3.00 | – | – |" in (tmp_path / "speed.md").read_text()
    assert table.line(replace(row, goal=None)).endswith("against peer: 3.00, linfa 1 ms, peer 3 ms")


# The command


def test_entries_run_in_processes_of_their_own(tmp_path):
    command = [sys.executable, BENCHMARKS / "run.py", "--quick", "--only", "products", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "one network 16-24-16, backprop" in done.stdout
    assert (tmp_path / "speed.md").is_file()


def test_an_entry_that_fails_does_not_stop_the_others(of, monkeypatch, capsys):
    run, asked = of("run"), []
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def fails(command, env):
        asked.append(command[command.index("--only") + 1])
        if cores is not None:
            assert len(os.sched_getaffinity(0)) == min(run.ENTRIES[asked[-1]].cores, len(cores))
        assert env["OPENBLAS_NUM_THREADS"] == "1"
        return subprocess.CompletedProcess(command, int(asked[-1] == "exact"))

    monkeypatch.setattr(run.subprocess, "run", fails)
    assert run.main(["--quick", "--only", "exact", "threads"]) == 1
    assert asked == ["exact", "threads"]
    assert "failed: exact" in capsys.readouterr().err
    assert cores is None or os.sched_getaffinity(0) == cores


def test_the_command_lists_entries_and_refuses_too_few_repetitions(of, capsys):
    run = of("run")
    assert run.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(run.ENTRIES)
    with pytest.raises(SystemExit):
        run.main(["--repetitions", "3"])
    assert "--repetitions is 3; it must be at least 7" in capsys.readouterr().err
