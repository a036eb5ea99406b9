"""The benchmarks of training: runs that stop by the clock and go on, tables of what is written here, PyTorch's side."""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from linfa import nn
from linfa.presets import network_preset

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore:this .* has .* the published set has:UserWarning")


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A few images in the layout of both sets."""
    folder = tmp_path_factory.mktemp("sets")
    generator = np.random.default_rng(0)

    def batch(path, count, labels, classes):
        path.parent.mkdir(exist_ok=True)
        images = generator.integers(0, 256, (count, 3072), np.uint8)
        content = {b"data": images, labels: [k % classes for k in range(count)]}
        path.write_bytes(pickle.dumps(content, protocol=2))

    for number in range(1, 6):
        batch(folder / "cifar-10-batches-py" / f"data_batch_{number}", 4, b"labels", 10)
    batch(folder / "cifar-10-batches-py" / "test_batch", 10, b"labels", 10)
    batch(folder / "cifar-100-python" / "train", 20, b"fine_labels", 100)
    batch(folder / "cifar-100-python" / "test", 10, b"fine_labels", 100)
    return folder


@pytest.fixture
def learning(tmp_path, monkeypatch):
    module = loaded("learning")
    monkeypatch.setattr(module, "DATA", tmp_path / "records")
    return module


TOY = {"epochs": 1, "batch": 8, "threads": 1, "probe_every": 2, "warm_up": 0}
# Layers as wide as the rank that is asked for.
SIZES = {
    "resnet": {"widths": [2, 3], "blocks": 1},
    "vit-large": {"width": 10, "depth": 1, "heads": 2, "patch": 16},
    "vgg": {"widths": [10, 10], "depth": 1, "hidden": 10},
}
LABELS = {"resnet": None, "vit-large": ["backprop", "normative r=10"], "vgg": ["backprop", "normative r=10"]}


def without_times(records):
    return [{name: value for name, value in record.items() if name != "linfa"} for record in records]


@pytest.mark.parametrize("experiment", ["resnet", "vit-large", "vgg"])
def test_a_run_that_the_clock_stops_goes_on_to_the_same_record(learning, root, tmp_path, monkeypatch, experiment):
    """With no minute to spare each call makes one update; a run has two."""
    assert experiment in learning.ON_DEVICE
    changes = TOY | {"model_options": SIZES[experiment]}
    arguments = {"root": str(root), "seeds": (0,), "only": LABELS[experiment], "changes": changes}
    checkpoints = tmp_path / "checkpoints"
    calls = 0
    while not learning.run(experiment, **arguments, minutes=0.0, checkpoints=str(checkpoints)):
        calls += 1
        assert calls < 20
    pieces = learning.records(experiment)
    wanted = LABELS[experiment] or list(learning.EXPERIMENTS[experiment])
    assert [record["label"] for record in pieces] == wanted
    # Each run takes a call for either update and one to be evaluated, in which the next one is not begun. With the
    # model's options changed, FA with and without normalisation is one run, recorded twice.
    distinct = {json.dumps(record["plan"]) for record in pieces}
    assert calls == 3 * len(distinct) - 1
    assert list(checkpoints.iterdir()) == []
    monkeypatch.setattr(learning, "DATA", tmp_path / "whole")
    assert learning.run(experiment, **arguments)
    assert without_times(learning.records(experiment)) == without_times(pieces)
    for record in pieces:
        assert record["status"] == "completed"
        assert len(record["accuracy"]) == 1
        assert np.shape(record["probes"]["error_effective_rank"]) == (1, len(record["layers"]))
    # Nothing is left to do.
    before = (learning.DATA / f"learning-{experiment}.jsonl").read_bytes()
    assert learning.run(experiment, **arguments)
    assert (learning.DATA / f"learning-{experiment}.jsonl").read_bytes() == before
    table = learning.write_tables()
    assert table.parent == learning.DATA
    assert all(f"| {label} |" in table.read_text() for label in wanted)


def test_minutes_without_a_place_for_checkpoints_are_refused(learning, root):
    with pytest.raises(ValueError, match="minutes is 1, which needs checkpoints"):
        learning.run("vgg", root=str(root), minutes=1.0)


def test_every_plan_of_every_experiment_is_one(learning):
    for experiment, runs in learning.EXPERIMENTS.items():
        assert len(runs) >= 4
        for label, entries in runs.items():
            plan = nn.Plan.from_dict(entries)
            rule = plan.rule()
            assert rule is not None, (experiment, label)
            plan.recipe()


def test_tables_count_the_runs_that_are_written_here_alone(learning, monkeypatch):
    """Not those of tuning, of another protocol, or of a label that is gone."""
    plan = {"epochs": 2, "feedback": "fa", "rank": None}
    monkeypatch.setattr(learning, "EXPERIMENTS", {"mine": {"fa": plan}})
    monkeypatch.setattr(learning, "_DATA", learning.DATA)
    learning.DATA.mkdir()

    def record(accuracy, label="fa", tuning=False, **changes):
        made = {"label": label, "family": label, "tuning": tuning, "accuracy": [0.0, accuracy]}
        learning._append("mine", made | {"plan": plan | {"rate": 0.01, "seed": 0} | changes})

    for accuracy in (0.5, 0.7):
        record(accuracy)
    record(0.9, tuning=True)
    record(0.9, epochs=9)
    record(0.9, label="gone")
    mean, error, count = learning.summary("mine")["fa"]
    # Two values 10 points from their mean: a standard error of 10.
    assert (mean, error, count) == (pytest.approx(60.0), pytest.approx(10.0), 2)
    assert "| fa | 0.01 | 60.00 | 10.00 | 2 |" in learning.table("mine")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_for_graphics_cards_runs_in_pieces_at_toy_size(root, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is what the timing compares with")
    changes = TOY | {"model_options": SIZES["vgg"], "probe_every": 0}
    environment = os.environ | {
        "PYTHON": sys.executable,
        "DEVICE": "cpu",
        "EXPERIMENTS": "vgg",
        "SEEDS": "0",
        # Ranks above 10 are above this network's layers.
        "CHANGE": json.dumps(changes | {"feedback": "fa", "rank": None}),
        "RECORDS": str(tmp_path / "records"),
        "STEPS": f"--only mlp --repetitions 7 --results {tmp_path}",
        "OPENBLAS_NUM_THREADS": "1",
    }

    def call(minutes):
        command = ["bash", ROOT / "benchmarks" / "gpu.sh", root, tmp_path / "checkpoints"]
        return subprocess.run(
            command, env=environment | {"MINUTES": minutes}, cwd=tmp_path, capture_output=True, text=True, timeout=600
        )

    first = call("0")
    assert first.returncode == 75, first.stderr
    assert "all done" not in first.stdout
    second = call("9")
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines()[-1] == "all done"
    assert "mlp normative r=10" in second.stdout
    assert (tmp_path / "records" / "learning-vgg.jsonl").is_file()
    rows = json.loads((tmp_path / "steps.json").read_text())["rows"]
    assert [(row["case"], row["rule"]) for row in rows] == [("mlp", "backprop"), ("mlp", "normative r=10")]
    assert all(row["ratio"] == row["torch_ms"] / row["linfa_ms"] > 0 for row in rows)


# PyTorch's side of the timing


@pytest.fixture
def steps(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is what the timing compares with")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return loaded("steps")


PEERS = {
    "mlp": (lambda: nn.mlp(10, (12, 12)), (20,)),
    "vgg": (lambda: nn.vgg(10, (4, 8), depth=1, hidden=8, dropout=0.0), (8, 8, 3)),
    "vit": (
        lambda: nn.vit(10, 8, depth=2, heads=2, dropout=0.0, attention_dropout=0.0, drop_path=0.0),
        (8, 8, 3),
    ),
    "resnet": (lambda: nn.resnet(10, (4, 8), blocks=1), (9, 9, 3)),
}


@pytest.mark.parametrize("rule", ["backprop", "normative"])
@pytest.mark.parametrize("name", PEERS)
def test_both_sides_have_the_same_loss_gradients_and_updates(steps, name, rule):
    import torch

    torch.set_num_threads(1)
    case = steps.Case(*PEERS[name], 6)
    ours, theirs = steps.sides(case, network_preset(rule, None if rule == "backprop" else 3), "cpu", "float64")
    assert steps.assert_same_loss(ours, theirs) < 1e-12
    steps.assert_same_gradient(ours, theirs)
    # Every gradient, those of Q and P too, relative to the largest entry of all.
    largest = max(float(np.abs(p.gradient).max()) for p in ours.network.parameters)
    for p in ours.network.parameters:
        found = theirs.peer.of[p.name].grad.numpy()
        if found.ndim == 4:
            # Kernels have their channels last here; Q of a convolution is a matrix (k·k·in × r).
            found = found.transpose(0, 2, 3, 1)
            found = found.reshape(len(found), -1).T if p.name.endswith(".q") else found
        np.testing.assert_allclose(p.gradient, found, rtol=0, atol=1e-11 * largest, err_msg=p.name)
    # AdamW divides by the size of a gradient: where that is rounding, so is the update, and losses feel it little.
    for _ in range(3):
        ours.step()
        theirs.step()
    assert ours.loss_and_gradients() == pytest.approx(theirs.loss_and_gradients(), rel=1e-5)


def test_sides_that_differ_are_found(steps):
    case = steps.Case(lambda: nn.mlp(10, (12, 12)), (20,), 6)
    ours, theirs = steps.sides(case, network_preset("normative", 3), "cpu", "float64")
    ours.network.maps[1].carrier.q[...] *= 1 + 1e-6
    steps.assert_same_loss(ours, theirs)
    with pytest.raises(AssertionError, match=r"the gradients of dense1\.weight are"):
        steps.assert_same_gradient(ours, theirs)
    # Of the classifier: before batch norm, a factor would change nothing.
    ours.network.maps[2].weight.value[...] *= 1.1
    with pytest.raises(AssertionError, match="the losses"):
        steps.assert_same_loss(ours, theirs)


def test_a_peer_that_is_unknown_is_refused(steps):
    network = nn.Network(nn.mlp(3, (4, 4)), (5,), feedback=network_preset("fa"))
    with pytest.raises(ValueError, match="dense2 has feedback full"):
        steps.Peer(network)
    with pytest.raises(TypeError, match="does not know Tanh"):
        steps.Peer(nn.Network([nn.Dense(3), nn.Tanh(), nn.Dense(2)], (4,)))


def test_rows_of_other_cases_stay_in_the_table(steps, tmp_path):
    row = {
        "case": "mlp", "rule": "backprop", "batch": 8, "device": "cpu", "threads": 1, "linfa_ms": 2.0, "torch_ms": 3.0,
        "ratio": 1.5, "loss_difference": 0.0, "gradient_difference": 0.0, "repetitions": 7, "load": 0.5,
    }  # fmt: skip
    steps.write([row, row | {"threads": 2}], tmp_path)
    steps.write([row | {"linfa_ms": 4.0, "ratio": 0.75}], tmp_path)
    rows = json.loads((tmp_path / "steps.json").read_text())["rows"]
    assert [(r["threads"], r["ratio"]) for r in rows] == [(1, 0.75), (2, 1.5)]
    assert "| cpu | 1 | mlp | backprop | 8 | 4.0 | 3.0 | 0.75 | 0.5 |" in (tmp_path / "steps.md").read_text()
