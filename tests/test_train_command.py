"""`linfa train`: what it prints and writes, what it refuses, and how it stops: by a kill, by Ctrl-C, by itself."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_runs import bits, write_set

from linfa import nn
from linfa.cli import main
from linfa.nn import checkpoint, lock

LINFA = Path(sys.executable).with_name("linfa")
SMALL = "--data small.npz --model-option widths=[8,8] --batch 16 --epochs 2 --threads 1 --probe-every 3"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch, data):
    """Every test runs in a folder that holds the images alone."""
    monkeypatch.chdir(tmp_path)
    Path("small.npz").write_bytes(Path(data).read_bytes())
    return tmp_path


@pytest.fixture
def train(capsys):
    """Run `linfa train` in this process: (exit status, standard output, standard error)."""

    def run(line):
        try:
            status = main(["train", *shlex.split(line)])
        except SystemExit as stop:
            status = stop.code
        written = capsys.readouterr()
        return status, written.out, written.err

    return run


def folders():
    return sorted(str(path) for path in Path("runs").glob("*")) if Path("runs").is_dir() else []


def state(folder):
    """The bits of a finished run, from its checkpoint."""
    _, facts, _ = checkpoint.load(folder)
    return bits(nn.Plan.from_dict(facts["settings"]["plan"]).trainer(folder).resume())


def test_help_says_what_to_type_next_and_its_examples_are_understood(train):
    from linfa.cli import _parser

    status, out, err = train("--help")
    assert (status, err) == (0, "")
    assert out.strip().splitlines()[-1] == "next: linfa figure --list"
    examples = [line.strip().split("   ")[0] for line in out.splitlines() if line.startswith("  linfa train")]
    assert len(examples) >= 5
    for example in examples:
        _parser().parse_args(shlex.split(example)[1:])


def test_every_entry_of_a_plan_is_an_option():
    from linfa.cli import _parser

    arguments = vars(_parser().parse_args(["train"]))
    assert [name for name in nn.Plan().to_dict() if name not in arguments] == []
    assert [name for name in nn.Plan().to_dict() if arguments[name] is not None] == []


# What it prints and writes


def test_a_run_prints_its_epochs_and_writes_checkpoint_history_and_figure(train):
    status, out, err = train(f"{SMALL} --feedback normative --rank 2")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Dataset(small: 64 training and 30 test images of 6 × 6 × 1")
    assert "normative r=2, adamw, 2 epochs of 4 updates, 1 thread" in lines
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert [line.split()[0] for line in lines if "low-rank" in line] == ["dense2", "dense3"]
    folder = Path("runs/small-mlp-normative-r2-adamw-seed0")
    assert folders() == [str(folder)]
    history = nn.History.load(folder / "history.nc")
    assert lines[-1] == f"test accuracy {history.test_accuracy[-1]:.3f}"
    assert lines[-2] == f"written to {folder}: checkpoint.json history.nc history.png"
    assert (folder / "history.png").stat().st_size > 10_000
    assert state(folder)["step"] == 8
    # Twice the same.
    before = state(folder)
    assert train(f"{SMALL} --feedback normative --rank 2")[:2] == (0, out)
    assert state(folder) == before


def test_json_is_alone_on_standard_output(train):
    status, out, err = train(f"{SMALL} --feedback normative --rank 5 --json")
    record = json.loads(out)
    assert (status, err) == (0, "")
    assert record["status"] == "completed"
    assert (record["epochs"], record["updates"], record["threads"]) == (2, 8, 1)
    assert record["test_accuracy"] == record["test_accuracies"][-1]
    assert record["plan"] == nn.Plan.from_dict(record["plan"]).to_dict()
    assert record["plan"]["rank"] == 5
    assert record["folder"] == folders()[0]
    assert record["notes"] == ["rank 5 is capped where layers are smaller: dense3 3"]


def test_what_is_capped_is_said(train):
    assert "note: rank 5 is capped where layers are smaller: dense3 3" in train(f"{SMALL} --feedback fixed --rank 5")[1]


def test_a_file_holds_what_options_say_and_options_come_on_top(train):
    Path("run.toml").write_text(
        'data = "small.npz"\nfeedback = "raf"\nrank = 2\nbatch = 16\nepochs = 5\nthreads = 1\nprobe_every = 0\n'
        "[model_options]\nwidths = [8, 8]\ndropout = 0.1\n"
    )
    record = json.loads(train("--config run.toml --epochs 1 --model-option dropout=0.2 --json")[1])
    assert (record["plan"]["epochs"], record["plan"]["rank"]) == (1, 2)
    assert record["plan"]["model_options"] == {"widths": [8, 8], "dropout": 0.2}


def test_ranks_one_for_each_layer(train):
    record = json.loads(train(f"{SMALL} --feedback raf --rank 4 2 --json")[1])
    assert record["plan"]["rank"] == [4, 2]
    assert folders() == ["runs/small-mlp-raf-r4-2-adamw-seed0"]
    status, out, _ = train(f"{SMALL} --feedback raf --rank 2 --layers dense3 --out one")
    assert status == 0
    assert "raf r=2 in dense3" in out


@pytest.mark.slow
def test_the_digits_under_normative_feedback(train):
    """The line that the help begins with. It comes to 0.986; 0.95 leaves room for another processor's rounding."""
    line = "--data digits --model mlp --feedback normative --rank 10 --epochs 12 --seed 5 --threads 1"
    status, out, err = train(line)
    assert (status, err) == (0, "")
    name, accuracy = out.splitlines()[-1].rsplit(" ", 1)
    assert name == "test accuracy"
    assert float(accuracy) > 0.95


# What it refuses


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--modle mlp", "unrecognized arguments: --modle mlp (did you mean '--model'?)"),
        ("--flip yes", "unrecognized arguments: yes\n"),
        ("--epochs ten", "argument --epochs: invalid int value: 'ten'"),
        ("--model mpl", "did you mean 'mlp'"),
        ("--feedback rafe --rank 2", "did you mean 'raf'"),
        ("--feedback normative", "feedback is 'normative', which needs a rank"),
        ("--feedback normative --rank 9", "rank is 9; feedback to these layers has rank 8 at most"),
        ("--feedback normative --rank 5 --layers dense3", "rank is 5; feedback to these layers has rank 3 at most"),
        ("--feedback fa --rank 3", "feedback 'fa' takes none"),
        ("--feedback fa --feedback-rate 0.1", "learns neither Q nor P"),
        ("--feedback fa --feedback-option scael=2", "scael"),
        ("--feedback-decay 0.1", "needs a feedback_rate"),
        ("--others fa", "layers is empty"),
        ("--model-option widths", "--model-option is 'widths'; it must be NAME=VALUE"),
        ("--model-option widths=8", "widths is 8"),
        ("--model-option with=8", "takes no 'with'"),
        ("--optimiser-option momentum=0.9", "'adamw' takes no 'momentum'"),
        ("--schedule constant --warm-up 1", "warm_up is 1, which is for schedule 'cosine'"),
        ("--factor 0.5", "factor is 0.5, which is for schedule 'exponential'"),
        ("--validation 10.5", "validation is 10.5"),
        ("--batch 65", "batch is 65; the training set has 64 images"),
        ("--epochs 0", "epochs is 0; it must be at least 1"),
        ("--seed -1", "seed is -1"),
        ("--rate nan", "rate is nan"),
        ("--rate inf", "rate is inf"),
        ("--data nowhere.npz", "nowhere.npz"),
        ("--data cifar10 --root nowhere", "no folder"),
        ("--config nowhere.toml", "nowhere.toml"),
        ("--config small.npz", "small.npz is no TOML file"),
        ("--resume ''", "there is no checkpoint in"),
        ("--resume nowhere", "there is no checkpoint in nowhere"),
        ("--resume nowhere --epochs 3", "--epochs cannot be given with it"),
        ("--resume nowhere --overwrite", "--overwrite cannot be given with it"),
        ("--resume nowhere --model-option a=1", "--model-option cannot be given with it"),
        ("--out small.npz", "a file where a folder is to be"),
    ],
)
def test_refused_in_one_line(train, line, message):
    whole = line if "--resume" in line or "--config" in line else f"{SMALL} {line}"
    status, out, err = train(whole)
    assert status == 2
    assert out == ""
    assert message in err
    assert err.startswith("linfa train: ")
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err
    assert folders() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.full((64, 6, 6, 1), np.nan, np.float32)}, "nan at index (0, 0, 0, 0)"),
        ({"y_test": np.full(30, 7)}, "holds 7 at index 0"),
    ],
    ids=["pixels", "labels"],
)
def test_data_that_are_none(train, changes, message):
    write_set("small.npz", **changes)
    status, out, err = train(SMALL)
    assert (status, out) == (2, "")
    assert message in err


def test_a_truncated_set(train):
    Path("small.npz").write_bytes(Path("small.npz").read_bytes()[:-100])
    status, _, err = train(SMALL)
    assert status == 2
    assert "small.npz" in err


def test_a_card_without_its_library(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    status, out, err = train(f"{SMALL} --device cuda")
    assert (status, out) == (2, "")
    assert err == "linfa train: device is 'cuda', which needs CuPy: pip install 'linfa[cuda]'\n"


# What it does not overwrite


def stopped(monkeypatch, line, update):
    """Run until Ctrl-C comes in this update; returns the exit status."""
    step = nn.Trainer._update

    def interrupted(trainer, x, labels):
        if trainer.step == update:
            raise KeyboardInterrupt
        step(trainer, x, labels)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Trainer, "_update", interrupted)
        return main(["train", *shlex.split(line)])


def test_a_run_broken_off_is_neither_overwritten_nor_forgotten(train, monkeypatch, capsys):
    assert stopped(monkeypatch, f"{SMALL} --checkpoint-every 2 --out run", 3) == 130
    assert "kept: go on with linfa train --resume run" in capsys.readouterr().err
    status, _, err = train(f"{SMALL} --out run")
    assert status == 2
    assert "holds a run that stopped after 2 updates; go on with linfa train --resume run" in err
    assert train("--resume run")[0] == 0
    train(f"{SMALL} --checkpoint-every 2 --out whole")
    assert state("run") == state("whole")
    # Once more from the end: nothing is left to do.
    status, out, _ = train("--resume run")
    assert (status, out.splitlines()[-1].split()[:2]) == (0, ["test", "accuracy"])
    assert state("run") == state("whole")


def test_a_finished_run_is_replaced_by_its_like_alone(train):
    train(f"{SMALL} --out run")
    before = state("run")
    status, _, err = train(f"{SMALL} --rate 0.5 --out run")
    assert status == 2
    assert "holds a finished run with other settings (rate is None there, 0.5 here)" in err
    assert state("run") == before
    assert train(f"{SMALL} --rate 0.5 --out run --overwrite")[0] == 0
    assert state("run") != before


def test_a_folder_in_which_a_run_is_under_way_is_left_to_it(train):
    train(f"{SMALL} --checkpoint-every 2 --out run")
    before = state("run")
    with lock.held(Path("run")):
        for line in ("--resume run", f"{SMALL} --out run --overwrite"):
            status, _, err = train(line)
            assert (status, len(err.splitlines())) == (2, 1)
            assert "wait for it, stop it, or choose another folder: 'run'" in err
    assert state("run") == before


def test_a_damaged_checkpoint_is_said_and_left(train):
    train(f"{SMALL} --out run")
    path = next(Path("run").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    for line in (f"{SMALL} --out run", "--resume run"):
        status, _, err = train(line)
        assert status == 2
        assert "is damaged: its checksum" in err
    path.unlink()
    assert "do not lie beside it" in train("--resume run")[2]
    assert train(f"{SMALL} --out run --overwrite")[0] == 0


def test_data_that_changed_or_moved_since(train):
    train(f"{SMALL} --checkpoint-every 1 --out run")
    write_set("small.npz", seed=1)
    status, _, err = train("--resume run")
    assert status == 2
    assert "data.digest" in err


def test_a_checkpoint_made_from_python_is_not_taken_for_a_run_of_the_command(train, data):
    images, labels = np.zeros((8, 2, 2, 1), np.float32), np.arange(8) % 2
    dataset = nn.Dataset("zeros", images, labels, images, labels, 2)
    network = nn.Network(nn.mlp(2, (3,)), (2, 2, 1))
    nn.Trainer(network, dataset, nn.Recipe(nn.Treatment(nn.SGD(), 0.1)), epochs=1, threads=1, folder="run").run()
    assert "resume it with Trainer.resume" in train("--resume run")[2]
    assert "linfa train did not make" in train(f"{SMALL} --out run")[2]


# How it stops


def test_a_run_that_diverges_says_so_and_keeps_its_history(train):
    line = f"{SMALL} --optimiser sgd --rate 1e25 --weight-decay 0 --model-option normalisation=null"
    status, out, err = train(f"{line} --out run")
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert any(line.startswith("note: ") and "update" in line for line in lines)
    assert any(line.startswith("the run diverged after ") for line in lines)
    assert Path("run/history.nc").is_file()
    assert nn.History.load("run/history.nc").probe_step.tolist() == [0]
    status, out, err = train(f"{line} --out other --json")
    record = json.loads(out)
    assert (status, err, record["status"], record["test_accuracy"]) == (1, "", "diverged", None)
    assert "update" in record["reason"]


@pytest.mark.parametrize("what", ["history.nc", "history.png"])
def test_a_disk_that_fills_at_the_end_leaves_what_was_there(train, monkeypatch, what):
    import errno

    train(f"{SMALL} --out run")
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    replace = Path.replace

    def full(path, target):
        if Path(target).name == what:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        status, out, err = train(f"{SMALL} --out run")
    assert status == 2
    assert "disk is full" in err or "No space left" in err
    assert "test accuracy" not in out.splitlines()[-1][:13]
    after = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    # The arrays of the checkpoint go by a digest, of which wall times are a part.
    assert {Path(name).suffix for name in after} == {Path(name).suffix for name in before}
    assert len(after) == len(before)
    assert after[what] == before[what]
    assert nn.History.load("run/history.nc").step.tolist() == [4, 8]
    # The checkpoint is of the end: with room again, there is nothing to train.
    assert train("--resume run")[0] == 0


def test_ctrl_c_before_a_checkpoint_says_that_there_is_none(monkeypatch, capsys):
    assert stopped(monkeypatch, f"{SMALL} --out run", 0) == 130
    assert "stopped in update 0, before there was a checkpoint" in capsys.readouterr().err
    # An older run's is none of this one.
    main(["train", *shlex.split(f"{SMALL} --out run")])
    assert stopped(monkeypatch, f"{SMALL} --out run --overwrite", 0) == 130
    assert "before there was a checkpoint" in capsys.readouterr().err


KILL = """
import os, signal
from linfa.cli import main
count, sync = 0, os.fsync
def killed(number):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(number)
os.fsync = killed
main({arguments!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [5, 6], ids=["arrays", "pointer"])
def test_killed_while_it_writes_a_checkpoint_a_run_goes_on_with_the_same_bits(train, at):
    """The third checkpoint, of update 3, is half there: its arrays, or its arrays without what points to them."""
    line = f"{SMALL} --feedback raf --rank 2 --optimiser muon --flip --checkpoint-every 1"
    code = KILL.format(at=at, arguments=["train", *shlex.split(f"{line} --out run")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL
    left = {path.name for path in Path("run").iterdir()}
    assert any(name.endswith(".part") for name in left)
    assert checkpoint.load("run")[2] == 2
    assert train("--resume run")[0] == 0
    train(f"{line} --out whole")
    assert state("run") == state("whole")
    assert not any(path.name.endswith(".part") for path in Path("run").iterdir())


def waited_for(path, process):
    until = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_from_outside_in_mid_epoch_a_run_goes_on_with_the_same_bits(train, how):
    """A real process, at whatever update the signal finds it; standard error is a pipe, so there is no progress."""
    line = "--data small.npz --model-option widths=[8,8] --batch 2 --epochs 100 --threads 1 --feedback mirror"
    line = f"{line} --probe-every 0"
    process = subprocess.Popen(
        [LINFA, "train", *shlex.split(f"{line} --checkpoint-every 5 --out run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    waited_for(Path("run/checkpoint.json"), process)
    process.send_signal(how)
    _, err = process.communicate(timeout=300)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "go on with linfa train --resume run" in err.decode()
        assert "Traceback" not in err.decode()
    else:
        assert process.returncode == -signal.SIGKILL
        assert err == b""
    stopped_at = checkpoint.load("run")[2]
    # 32 updates an epoch.
    assert 0 < stopped_at < 100 * 32
    assert train("--resume run")[0] == 0
    assert train(f"{line} --out whole")[0] == 0
    assert state("run") == state("whole")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
@pytest.mark.slow
def test_progress_is_shown_on_a_terminal():
    """Here standard error is a terminal; the tests above see nothing there in a pipe."""
    inner, outer = os.openpty()
    with subprocess.Popen(
        [LINFA, "train", *shlex.split(f"{SMALL} --epochs 3")], stdout=subprocess.DEVNULL, stderr=outer
    ) as process:
        os.close(outer)
        seen = b""
        while True:
            try:
                part = os.read(inner, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        assert process.wait(timeout=300) == 0
    os.close(inner)
    assert b"12/12" in seen or b"of 3" in seen
