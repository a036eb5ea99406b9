"""The command line: what it prints, what it writes, its exit status; never a traceback, never half a file."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import linfa
from linfa import claims
from linfa.cli import main
from linfa.presets import preset
from linfa.simulation import DivergenceWarning

LINFA = Path(sys.executable).with_name("linfa")
MODES = "simulate --task modes --modes 3 1 --hidden 4 --points 5 --horizon 1"
TASK = linfa.LinearTask.from_modes([3.0, 1.0], 2, 2)
TIMES = np.linspace(0.0, 1.0, 5)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test runs in an empty folder, and takes the claims that it registered away again."""
    monkeypatch.chdir(tmp_path)
    before = set(claims.names())
    yield tmp_path
    for name in set(claims.names()) - before:
        claims.forget(name)


@pytest.fixture
def command(capsys):
    """Run a command line in this process: (exit status, standard output, standard error)."""

    def run(line):
        try:
            status = main(shlex.split(line))
        except SystemExit as stop:
            status = stop.code
        written = capsys.readouterr()
        return status, written.out, written.err

    return run


def process(line, **options):
    """Run a command line in a process of its own, its output in pipes."""
    return subprocess.run([LINFA, *shlex.split(line)], capture_output=True, timeout=120, **options)


def files(folder="."):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def assert_one_line_and_a_hint(status, out, err):
    lines = err.strip().splitlines()
    assert status == 2
    assert out == ""
    assert lines[0].startswith("linfa")
    assert len(lines[0]) > len("linfa simulate: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("try: linfa")), err


def own_claim(name="own", title="a title", body="return 1.0, 1.0", knobs="scale=1.0"):
    """Write a file that registers one claim."""
    code = f'import linfa\n\n\n@linfa.claims.claim("{name}", title="{title}", tolerance=1e-3)\n'
    Path("own.py").write_text(f"{code}def own({knobs}):\n    {body}\n")


def column(out, name):
    """Texts of one left-justified column of a table with two or more blanks between columns."""
    header, *rows = [line for line in out.splitlines() if "  " in line]
    place = header.index(name)
    return [row[place:].split("  ")[0].strip() for row in rows]


def numbers(out, name):
    """Texts of one right-justified column."""
    header, *rows = [line for line in out.splitlines() if "  " in line]
    end = header.index(name) + len(name)
    return [row[:end].split()[-1] for row in rows]


# Help


@pytest.mark.parametrize("name", ["", "verify", "derive", "figure", "simulate"])
def test_help_says_what_to_type_next(name, command):
    status, out, err = command(f"{name} --help")
    assert (status, err) == (0, "")
    last = out.strip().splitlines()[-1]
    assert "linfa " in last
    assert last.startswith(("next:", "start with:"))
    # The command that it names exists.
    assert last.split("linfa ")[1].split()[0] in ("verify", "derive", "simulate", "figure", "train")


@pytest.mark.parametrize("name", ["verify", "derive", "figure", "simulate"])
def test_every_example_in_the_help_is_understood(name, command):
    from linfa.cli import _parser

    _, out, _ = command(f"{name} --help")
    examples = [line.strip().split("   ")[0] for line in out.splitlines() if line.startswith("  linfa ")]
    assert len(examples) >= 3
    for example in examples:
        _parser().parse_args(shlex.split(example.split(">")[0])[1:])


def test_no_command_prints_the_help_and_version_the_version(command):
    assert command("")[:2] == (0, command("--help")[1])
    assert command("--version")[1] == f"linfa {linfa.__version__}\n"


@pytest.mark.parametrize(
    "line",
    [
        "bogus",
        "verify --bogus",
        "verify --over",
        "verify --from",
        "simulate extra",
        "simulate --bogus",
        "derive",
        "derive no-such-derivation",
        "derive fa-modes --html missing/page.html",
        "figure",
        "figure no-such-figure",
    ],
)
def test_wrong_words_get_one_line_and_a_hint(line, command):
    assert_one_line_and_a_hint(*command(line))
    assert files() == []


# verify


@pytest.mark.slow
def test_verify_quick_checks_every_claim_and_all_hold(command):
    status, out, _ = command("verify --quick --json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == claims.names()
    for row in rows:
        assert isinstance(row["residual"], float)
        assert isinstance(row["tolerance"], float)
        assert isinstance(row["holds"], bool)
        assert row["holds"] == (row["residual"] <= row["tolerance"])
        assert row["accuracy"] in claims.ACCURACIES
        assert row["title"]
        assert row["reason"]
        assert row["seconds"] >= 0
    assert [row["name"] for row in rows if not row["holds"]] == []
    assert status == 0


def test_verify_table_has_a_line_for_each_claim_named(command):
    status, out, err = command("verify --quick backprop-closed-times fa-modes")
    assert (status, err) == (0, "")
    assert column(out, "claim") == ["backprop-closed-times", "fa-modes"]
    assert column(out, "verdict") == ["holds", "holds"]
    assert "2 of 2 claims hold" in out


def test_verify_list_names_every_claim(command):
    status, out, _ = command("verify --list")
    assert status == 0
    assert column(out, "claim") == claims.names()
    rows = json.loads(command("verify --list --json")[1])
    assert [row["name"] for row in rows] == claims.names()
    assert all(row["title"] == claims.get(row["name"]).title for row in rows)


def test_unknown_claim_is_answered_with_the_nearest(command):
    status, out, err = command("verify fa-mode")
    assert_one_line_and_a_hint(status, out, err)
    assert "'fa-mode' is unknown (did you mean 'fa-modes'?)" in err
    assert "linfa verify --list" in command("verify qqqqqq")[2]


def test_failing_claim_makes_the_exit_status_one(command):
    own_claim(body="return 1.0, 2.0")
    status, out, _ = command("verify own fa-modes --quick --from own.py")
    assert status == 1
    assert column(out, "verdict") == ["FAILS", "holds"]
    assert "1 of 2 claims hold" in out
    assert "failed: own" in out


def test_failing_claim_in_json(command):
    own_claim(body="return 1.0, 2.0")
    status, out, _ = command("verify own --json --from own.py")
    (row,) = json.loads(out)
    assert status == 1
    assert (row["name"], row["residual"], row["tolerance"], row["holds"]) == ("own", 1.0, 1e-3, False)


def test_own_claim_that_holds(command):
    own_claim()
    status, out, err = command("verify own --from own.py")
    assert (status, err) == (0, "")
    assert column(out, "verdict") == ["holds"]


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('boom')",
        "raise KeyError('boom')",
        "assert False, 'boom'",
        "raise SystemExit(0)  # boom",
        "return None  # boom",
        "return 'boom', 'boom'",
        "return [1.0], [1.0, 2.0]",
        "return 1.0, float('nan')",
    ],
)
def test_claim_that_fails_to_answer_has_not_held_and_the_others_still_run(body, command):
    own_claim(body=body)
    status, out, err = command("verify own fa-modes --quick --json --from own.py")
    own, other = json.loads(out)
    assert status == 1
    assert (own["holds"], own["residual"], other["holds"]) == (False, None, True)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "own.py registered no claim; decorate a function"),
        ("import linfa\n", "own.py registered no claim; decorate a function"),
        ("def f(:\n", "own.py failed: SyntaxError"),
        ("import nothing_of_this_name\n", "own.py failed: ModuleNotFoundError"),
        ("1 / 0\n", "own.py failed: ZeroDivisionError"),
        ("\0", "own.py failed: "),
        ("raise SystemExit(0)\n", "own.py "),
        ("import sys\nsys.exit(3)\n", "own.py "),
        (
            "import linfa\nlinfa.claims.claim('fa-modes', title='mine', tolerance=1.0)(lambda: (1, 1))\n",
            "own.py failed: ValueError: name is 'fa-modes', which is taken",
        ),
    ],
    ids=["empty", "no-claim", "syntax", "import", "raises", "nul", "exits", "exits-3", "taken"],
)
def test_file_without_claims_of_its_own_is_refused_by_name(code, words, command):
    Path("own.py").write_text(code)
    status, out, err = command("verify fa-modes --from own.py")
    assert_one_line_and_a_hint(status, out, err)
    assert words in err


@pytest.mark.parametrize("name", ["missing.py", ".", "''"])
def test_file_that_is_none_is_refused(name, command):
    status, out, err = command(f"verify --from {name}")
    assert_one_line_and_a_hint(status, out, err)
    assert "there is no file" in err


@pytest.mark.parametrize(
    "title", ["W[lower] against W[upper]", "closing [/] tag", "[red]loud[/red]", "rates in [/0, 1)"]
)
@pytest.mark.parametrize("options", ["", "--list", "--over scale=1:2:2"])
def test_titles_are_printed_as_they_are(title, options, command):
    own_claim(title=title)
    status, out, _ = command(f"verify own --from own.py {options}")
    assert status == 0
    assert title in out


# verify --over


def test_over_tables_the_residual_at_the_values_asked_for(command):
    own_claim(body="return 1.0, scale")
    status, out, _ = command("verify own --from own.py --over scale=0.5:1.5:3 --json")
    rows = json.loads(out)
    assert status == 0
    assert [row["scale"] for row in rows] == [0.5, 1.0, 1.5]
    assert [row["residual"] for row in rows] == [0.5, 0.0, 0.5]
    assert [row["holds"] for row in rows] == [False, True, False]
    claims.forget("own")
    _, out, _ = command("verify own --from own.py --over scale=0.5:1.5:3")
    assert column(out, "verdict") == ["FAILS", "holds", "FAILS"]
    assert numbers(out, "scale") == ["0.5", "1", "1.5"]


def test_over_spaces_decades_geometrically(command):
    own_claim()
    _, out, _ = command("verify own --from own.py --over scale=1e-4:1:5 --json")
    # Powers of ten from a logarithm and back, within rounding.
    assert [row["scale"] for row in json.loads(out)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0], rel=1e-14)


def test_over_a_count_takes_each_integer_once(command):
    own_claim(knobs="size=3")
    _, out, _ = command("verify own --from own.py --over size=2:4:9 --json")
    assert [row["size"] for row in json.loads(out)] == [2, 3, 4]


def test_over_a_built_in_claim_shows_where_the_prediction_stops_being_right(command):
    status, out, err = command("verify backprop-logistic --quick --over scale=1e-3:1e-1:3 --json")
    rows, tolerance = json.loads(out), claims.get("backprop-logistic").tolerance
    assert (status, err) == (0, "")
    assert len(rows) == 3
    assert [row["holds"] for row in rows] == [row["residual"] <= tolerance for row in rows]


@pytest.mark.parametrize(
    "error", ["ValueError", "TypeError", "KeyError", "RuntimeError", "AssertionError", "OverflowError"]
)
def test_over_goes_on_where_a_claim_refuses(error, command):
    own_claim(body=f"if scale > 1: raise {error}('scale outside [/0, 1]')\n    return 1.0, 1.0")
    status, out, _ = command("verify own --from own.py --over scale=1:2:2")
    assert status == 0
    assert "refused" in out
    assert "scale outside [/0, 1]" in out


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("scale", "must read KNOB=START:STOP:COUNT"),
        ("scale=", "must read KNOB=START:STOP:COUNT"),
        ("scale=1:2", "must read KNOB=START:STOP:COUNT"),
        ("scale=1:2:3:4", "must read KNOB=START:STOP:COUNT"),
        ("scale=a:2:3", "must read KNOB=START:STOP:COUNT"),
        ("scale=1:2:3.5", "must read KNOB=START:STOP:COUNT"),
        ("scale=1:2:1", "COUNT between 2 and 1000"),
        ("scale=1:2:-3", "COUNT between 2 and 1000"),
        ("scale=1:2:1001", "COUNT between 2 and 1000"),
        ("scale=nan:2:3", "START and STOP must be finite"),
        ("scale=1:inf:3", "START and STOP must be finite"),
        ("sclae=1:2:3", "knob 'sclae' is unknown to claim 'own'; it has scale"),
        ("=1:2:3", "knob '' is unknown"),
    ],
)
def test_over_refuses_what_is_no_range(asked, words, command):
    own_claim()
    status, out, err = command(f"verify own --from own.py --over {asked}")
    assert_one_line_and_a_hint(status, out, err)
    assert words in err


def test_over_tables_one_claim(command):
    status, out, err = command("verify fa-modes fa-half-time --over gain=1:2:3")
    assert_one_line_and_a_hint(status, out, err)
    assert "--over tables one claim; 2 are chosen" in err


# simulate


def assert_is_run(path, **changes):
    """The file holds what `linfa.simulate` gives, to the last bit."""
    rule = preset("fa", draw="orthonormal")
    weights = linfa.initial_weights((2, 4, 2), kind="zero")
    expected = linfa.simulate(**({"task": TASK, "weights": weights, "feedback": rule, "t": TIMES} | changes))
    found = linfa.Trajectory.load(path)
    assert np.array_equal(found.t, expected.t)
    assert all(np.array_equal(a, b) for a, b in zip(found.weights, expected.weights, strict=True))
    assert found.feedback == expected.feedback
    assert found.settings == expected.settings
    assert found.status == expected.status


def drawn(inputs, seed):
    return linfa.LinearTask.from_modes([3.0, 1.0], inputs, 2, seed)


def assert_is_png(path):
    from matplotlib.image import imread

    assert Path(path).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 500
    # Something is drawn on it.
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10


def test_simulate_writes_the_run_and_its_picture_into_a_new_folder(command):
    status, out, err = command(f"{MODES} --feedback fa --out deep/er")
    assert (status, err) == (0, "")
    assert files() == ["deep/er/modes-fa.nc", "deep/er/modes-fa.png"]
    assert_is_run("deep/er/modes-fa.nc")
    assert_is_png("deep/er/modes-fa.png")
    assert "written to deep/er: modes-fa.nc modes-fa.png" in out
    final = linfa.Trajectory.load("deep/er/modes-fa.nc")
    predicted = linfa.theory.exact(TASK, [w[0] for w in final.weights], final.feedback, [1.0])
    (shown,) = numbers(out.split("\n\n")[1], " loss")
    assert shown == f"{final.excess_loss[-1]:.4g}"
    assert f"= {predicted.excess_loss[-1]:.4g}" in out


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("--learning-rate 0.05 --horizon 4", {"learning_rate": 0.05, "t": np.arange(5)}),
        ("--weight-decay 0.1", {"weight_decay": 0.1}),
        ("--log-time", {"t": np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 4)])}),
        ("--seed 7", {"task": drawn(2, 7), "feedback": preset("fa", None, 7, draw="orthonormal")}),
        ("--draw gaussian", {"feedback": preset("fa", draw="gaussian")}),
        ("--init gaussian --scale 0.5", {"weights": linfa.initial_weights((2, 4, 2), "gaussian", 0.5)}),
        ("--init orthogonal --scale 0.5", {"weights": linfa.initial_weights((2, 4, 2), "orthogonal", 0.5)}),
        ("--init balanced", {"weights": linfa.initial_weights((2, 4, 2), "balanced")}),
        ("--init aligned", {"weights": linfa.initial_weights((2, 4, 2), "aligned", task=TASK)}),
        ("--hidden 3 4", {"weights": linfa.initial_weights((2, 3, 4, 2), "zero"), "feedback": preset("fa")}),
        ("--inputs 5", {"task": drawn(5, 0), "weights": linfa.initial_weights((5, 4, 2), "zero")}),
    ],
)
def test_simulate_options_reach_the_run(options, changes, command):
    status, _, err = command(f"{MODES} --feedback fa --out runs {options}")
    assert (status, err) == (0, "")
    assert_is_run("runs/modes-fa.nc", **changes)


RULES = {
    "backprop": {"feedback": linfa.Backprop(), "weights": linfa.initial_weights((2, 4, 2), "balanced")},
    "dfa": {"feedback": preset("dfa", draw="orthonormal")},
    "mirror": {"feedback": preset("mirror", draw="orthonormal")},
    "usf": {"feedback": preset("usf"), "weights": linfa.initial_weights((2, 4, 2), "balanced")},
    "frsf": {"feedback": preset("frsf"), "weights": linfa.initial_weights((2, 4, 2), "balanced")},
    "kolen-pollack": {"feedback": preset("kolen-pollack", draw="orthonormal")},
}
LOW_RANK = ("fixed", "kolen-pollack", "raf", "draf", "normative", "local")


def test_simulate_takes_every_full_rule_in_one_call(command):
    status, out, err = command(f"{MODES} --out runs --feedback {' '.join(RULES)}")
    assert (status, err) == (0, "")
    assert column(out.split("\n\n")[1], "rule") == list(RULES)
    for name, changes in RULES.items():
        assert_is_run(f"runs/modes-{name}.nc", **changes)


def test_simulate_runs_every_low_rank_rule_at_every_rank(command):
    status, out, err = command(f"{MODES} --out runs --feedback {' '.join(LOW_RANK)} --rank 1 2")
    assert (status, err) == (0, "")
    assert column(out.split("\n\n")[1], "rule") == [f"{name} r={rank}" for name in LOW_RANK for rank in (1, 2)]
    for name in LOW_RANK:
        for rank in (1, 2):
            assert_is_run(f"runs/modes-{name}-r{rank}.nc", feedback=preset(name, rank, draw="orthonormal"))


def test_rank_goes_to_the_rules_that_take_one(command):
    assert command(f"{MODES} --out runs --feedback fa fixed --rank 1")[0] == 0
    assert files("runs") == ["modes-fa.nc", "modes-fa.png", "modes-fixed-r1.nc", "modes-fixed-r1.png"]


@pytest.mark.parametrize("options", ["--task digits", "--task digits --whiten", "--task semantic"])
def test_built_in_tasks_run(options, command):
    status, out, err = command(f"simulate {options} --hidden 4 --points 3 --horizon 0.1 --out runs")
    name = options.split()[1]
    assert (status, err) == (0, "")
    assert files("runs") == [f"{name}-backprop.nc", f"{name}-backprop.png"]
    assert linfa.Trajectory.load(f"runs/{name}-backprop.nc").task.name == name
    assert name in out.splitlines()[0]


SAMPLES = np.random.default_rng(0).standard_normal((30, 3))


@pytest.mark.parametrize(
    ("arrays", "options", "task"),
    [
        ({"x": SAMPLES, "y": SAMPLES[:, :2]}, "", linfa.LinearTask.from_data(SAMPLES, SAMPLES[:, :2])),
        (
            {"x": SAMPLES, "y": SAMPLES[:, :2]},
            "--whiten",
            linfa.LinearTask.from_data(SAMPLES, SAMPLES[:, :2], whiten=True),
        ),
        ({"sigma_yx": [[2.0, 0.0]]}, "", linfa.LinearTask([[2.0, 0.0]])),
        (
            {"sigma_yx": [[2.0, 1.0]], "sigma_x": np.diag([1.0, 2.0]), "sigma_y": [[9.0]]},
            "",
            linfa.LinearTask([[2.0, 1.0]], np.diag([1.0, 2.0]), [[9.0]]),
        ),
    ],
    ids=["samples", "whitened", "correlations", "all-correlations"],
)
def test_task_of_ones_own_from_a_file(arrays, options, task, command):
    np.savez("mine.npz", **arrays)
    line = (
        f"simulate --task mine.npz --feedback fa --hidden 4 --points 5 --horizon 1 --no-log-time --out runs {options}"
    )
    status, _, err = command(line)
    assert (status, err) == (0, "")
    assert_is_run(
        "runs/mine-fa.nc", task=task, weights=linfa.initial_weights((task.inputs, 4, task.outputs), kind="zero")
    )


def test_dependent_inputs_are_noted_once_and_without_a_line_of_source():
    np.savez("mine.npz", x=np.hstack([SAMPLES, SAMPLES[:, :1]]), y=SAMPLES[:, :2])
    done = process("simulate --task mine.npz --hidden 4 --points 3 --horizon 1", text=True)
    assert done.returncode == 0
    assert (done.stdout + done.stderr).count("sigma_x has rank 3 of 4") == 1
    assert ".py:" not in done.stderr


@pytest.mark.parametrize("name", ["a[bold]b", "a[red", "cost in $", "a$b_{c$d", "with blank", "Größe", "-"])
def test_name_of_a_file_is_printed_and_drawn_as_it_is(name, command):
    np.savez(f"{name}.npz", sigma_yx=np.diag([2.0, 1.0]))
    status, out, err = command(f"simulate '--task={name}.npz' --hidden 2 --points 3 --horizon 1 --out runs")
    assert (status, err) == (0, "")
    assert f"LinearTask({name}:" in out
    assert f"{name}-backprop.png" in out
    assert files("runs") == [f"{name}-backprop.nc", f"{name}-backprop.png"]


def test_task_of_nothing_is_answered_in_words(command):
    np.savez("mine.npz", sigma_yx=np.zeros((2, 2)))
    status, out, err = command("simulate --task mine.npz --hidden 2 --points 3 --out runs")
    assert status in (0, 2)
    assert "reduction operation" not in err
    assert status == 2 or (err == "" and "runs/" not in out and len(files("runs")) == 2)


def test_run_that_cannot_leave_zero_is_written_and_drawn(command):
    """Correlated inputs make time logarithmic; a map of zeros has no rank to draw on that axis."""
    np.savez("mine.npz", sigma_yx=np.diag([2.0, 1.0]), sigma_x=np.diag([1.0, 1e3]))
    line = "simulate --task mine.npz --init zero --feedback backprop --hidden 2 --points 5 --horizon 1 --out runs"
    status, out, _ = command(line)
    assert status == 0
    assert files("runs") == ["mine-backprop.nc", "mine-backprop.png"]
    assert "0 of 2" in out


# simulate: divergence


DIVERGES = "simulate --task modes --modes 3 1 --hidden 4 --learning-rate 10 --feedback fa --out runs"


def test_divergence_is_named_and_makes_the_exit_status_one(command):
    status, out, _ = command(f"{DIVERGES} --points 101 --horizon 100")
    assert status == 1
    assert "fa diverged at " in out
    run = linfa.Trajectory.load("runs/modes-fa.nc")
    assert run.status == "diverged"
    assert f"fa diverged at {run.stopped_at:g}; its trajectory ends before that" in out
    assert run.t[-1] < run.stopped_at
    assert all(np.isfinite(w).all() for w in run.weights)
    with pytest.warns(DivergenceWarning):
        assert_is_run("runs/modes-fa.nc", learning_rate=10.0, t=np.arange(101))


def test_divergence_of_one_rule_leaves_the_others(command):
    status, out, _ = command(f"{MODES} --learning-rate 2 --horizon 60 --feedback fa usf --init zero --out runs")
    assert status == 1
    assert "fa diverged" in out
    assert "usf diverged" not in out
    assert linfa.Trajectory.load("runs/modes-usf.nc").status == "completed"


def test_picture_of_an_earlier_run_does_not_stay_beside_a_run_without_one(command):
    """A run that ends before its second saved time cannot be plotted; the old picture is not of this run."""
    command(f"{MODES} --feedback fa --out runs")
    earlier = Path("runs/modes-fa.png").read_bytes()
    assert command(f"{DIVERGES} --points 2 --horizon 100")[0] == 1
    assert "modes-fa.nc" in files("runs")
    assert not Path("runs/modes-fa.png").exists() or Path("runs/modes-fa.png").read_bytes() != earlier


# simulate: bad options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--task digit", "task is 'digit'.*did you mean 'digits'"),
        ("--task missing.npz", "there is no file missing.npz"),
        ("--task modes --modes", "argument --modes"),
        ("--task modes", "--task modes needs their strengths"),
        ("--task modes --modes a", "argument --modes: invalid float value: 'a'"),
        ("--task modes --modes 1 -1", "strengths holds -1; every strength must be positive"),
        ("--task modes --modes nan", "strengths holds nan"),
        ("--task modes --modes 1 2 --inputs 1", "strengths has 2 entries"),
        ("--task modes --modes 1 --outputs 0", "outputs is 0; it must be at least 1"),
        ("--task semantic --modes 1", "--modes is for --task modes"),
        ("--task semantic --inputs 3", "--inputs is for --task modes"),
        ("--task semantic --whiten", "--whiten is for samples"),
        ("--task modes --modes 1 --whiten", "--whiten is for samples"),
        ("--feedback", "argument --feedback: expected at least one"),
        ("--feedback fb", "feedback is 'fb'; it must be one of backprop"),
        ("--feedback brsf", "feedback is 'brsf', which has no form in the linear theory"),
        ("--feedback fixed", "feedback is 'fixed', which needs a rank"),
        ("--feedback fixed --rank 0", "rank is 0; it must be at least 1"),
        ("--feedback fixed --rank 1.5", "argument --rank: invalid int value: '1.5'"),
        ("--feedback fixed --rank 11", "rank is 11.*at most"),
        ("--task modes --modes 3 1 --feedback fa fixed --rank 1 9", "rank is 9;.*at most"),
        ("--rank 1", "--rank is given, but backprop takes none"),
        ("--hidden 0", "is 0; it must be at least 1"),
        ("--hidden 2.5", "argument --hidden: invalid int value: '2.5'"),
        ("--init gauss", "init is 'gauss'.*did you mean 'gaussian'"),
        ("--scale -1", "scale is -1; it must be at least 0"),
        ("--scale nan", "scale is nan; it must be finite"),
        ("--draw orthogonal", "draw is 'orthogonal'.*did you mean 'orthonormal'"),
        ("--feedback fa --draw orthonormal --hidden 2", "draw is 'orthonormal'; feedback to 2 units"),
        ("--horizon 0", "horizon is 0; it must be above 0"),
        ("--horizon nan", "horizon is nan; it must be finite"),
        ("--points 1", "points is 1; it must be at least 2"),
        ("--points 1e3", "argument --points: invalid int value: '1e3'"),
        ("--learning-rate 0", "learning.rate is 0; it must be above 0"),
        ("--learning-rate -0.1", "learning.rate is -0.1; it must be above 0"),
        ("--learning-rate nan", "learning.rate is nan; it must be finite"),
        ("--learning-rate 0.1 --horizon 0.4", "horizon"),
        ("--weight-decay -1", "weight_decay holds -1; it must be at least 0"),
        ("--seed -1", "seed is -1; it must be at least 0"),
        ("--seed x", "argument --seed: invalid int value: 'x'"),
        # 800 TB: more than any address space holds.
        ("--task modes --modes 1 --inputs 99999999999999 --outputs 1", "memory|allocate"),
    ],
)
def test_bad_option_gets_one_line_and_nothing_is_written(options, words, capsys):
    import re

    try:
        status = main(["simulate", "--points", "3", "--out", "runs", *shlex.split(options)])
    except SystemExit as stop:
        status = stop.code
    written = capsys.readouterr()
    assert status == 2
    lines = written.err.strip().splitlines()
    assert re.search(words, lines[0]), written.err
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("try: linfa"))
    assert files() == []


@pytest.mark.parametrize("out", ["taken", "taken/below"])
def test_output_folder_that_cannot_be_made_is_named(out, command):
    Path("taken").write_text("mine")
    status, printed, err = command(f"{MODES} --out {out}")
    assert_one_line_and_a_hint(status, printed, err)
    assert "taken" in err
    assert Path("taken").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"x, y\n", b"PK\x03\x04 cut"])
def test_file_that_is_no_npz_is_refused_by_name(content, command):
    Path("mine.npz").write_bytes(content)
    status, out, err = command("simulate --task mine.npz --out runs")
    assert_one_line_and_a_hint(status, out, err)
    assert "mine.npz cannot be read as an .npz file" in err
    assert files() == ["mine.npz"]


def test_failure_to_write_leaves_whole_files_alone(command, monkeypatch):
    """The disk fills while the second rule is written: the first is whole, of the second there is nothing."""
    from linfa import experiment

    write = experiment._write

    def full(outcome, stem, arguments):
        if outcome.name == "dfa":
            raise OSError(28, "No space left on device")
        return write(outcome, stem, arguments)

    monkeypatch.setattr(experiment, "_write", full)
    status, _, err = command(f"{MODES} --feedback fa dfa --out runs")
    assert (status, err.strip().splitlines()[0][:15]) == (2, "linfa simulate:")
    assert files("runs") == ["modes-fa.nc", "modes-fa.png"]
    assert_is_run("runs/modes-fa.nc")


# In a process of its own


def control_characters(text):
    return {c for c in text if unicodedata.category(c) == "Cc" and c != "\n"}


@pytest.mark.parametrize(
    "line", ["verify --list", "verify fa-modes --quick", f"{MODES} --feedback fa usf", "derive fa-modes"]
)
def test_pipe_gets_plain_text(line):
    done = process(line, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
    assert control_characters(done.stdout) == set()
    assert not any(row.endswith(" ") for row in done.stdout.splitlines())


@pytest.mark.parametrize(
    "line", ["simulate --task missing.npz", "verify nothing-like-it", "simulate --rank x", "bogus"]
)
def test_bad_input_makes_no_traceback_and_no_output(line):
    done = process(line, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert control_characters(done.stderr) == set()


def test_failing_claim_makes_the_exit_status_of_the_process_one():
    own_claim(body="return 1.0, 2.0")
    done = process("verify own --from own.py --json", text=True)
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["holds"] is False


def test_output_can_be_encoded_where_greek_cannot():
    """A pipe on Windows often speaks cp1252: a letter it lacks must not cost the whole answer."""
    done = process("verify --list", env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0
    assert b"fa-modes" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind on Windows")
def test_reader_that_leaves_early_is_no_error():
    with subprocess.Popen(
        [LINFA, "derive", "fa-modes", "--latex"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        complaint = run.stderr.read().decode()
        status = run.wait(60)
    assert complaint == ""
    assert status in (1, 141)


def interrupted(line, ready):
    """Start a command, press Ctrl-C once `ready()` says so; (exit status, standard output, standard error)."""
    with subprocess.Popen(
        [LINFA, *shlex.split(line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background may have been started with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        deadline = time.monotonic() + 60
        while not ready() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert run.poll() is None, "the command ended before it could be interrupted"
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    return run.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupt_leaves_what_is_finished_and_exits_130():
    """Sign-symmetry has nothing to do at zero and is finished at once; FA of 200 units is then busy for minutes."""
    line = (
        "simulate --task digits --whiten --hidden 200 --init zero --feedback usf fa --horizon 1e9 --points 5 "
        "--no-log-time --out runs"
    )
    finished = ["digits-usf.nc", "digits-usf.png"]
    started = time.monotonic()
    status, _, err = interrupted(line, lambda: Path("runs/digits-usf.png").exists())
    assert status == 130
    assert "stopped; what was finished stays on disk" in err
    assert "Traceback" not in err
    assert files("runs") == finished
    assert linfa.Trajectory.load("runs/digits-usf.nc").status == "completed"
    assert_is_png("runs/digits-usf.png")
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupt_of_a_claim_exits_130():
    own_claim(body="import pathlib, time\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n    return 1.0, 1.0")
    status, _, err = interrupted("verify own --from own.py", lambda: Path("begun").exists())
    assert status == 130
    assert "Traceback" not in err
