"""The learning figures: what they read, what they draw, at quick size and from records made up for the test."""

import json
from dataclasses import replace

import numpy as np
import pytest
from linfa.figures import recorded

from linfa import figures

RULES = ("normative", "raf", "local", "kolen-pollack", "fixed")
LEARNING = (
    "accuracy-rank",
    "one-layer",
    "alignment-training",
    "rank-collapse",
    "rank-depth",
    "muon-normalisation",
    "receptive-fields",
)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder of records in the place of the shipped one."""
    monkeypatch.setattr(recorded, "DATA", tmp_path)
    return tmp_path


def record(label, seed=0, accuracy=(0.3, 0.5), tuning=False, layers=("dense1", "dense2"), **plan):
    probes = {
        name: [[0.1, None], [0.2 + seed, 1.0], [0.3, 1.0]]
        for name in (
            "weight_alignment", "sample_gradient_alignment", "error_effective_rank", "trajectory_effective_rank",
        )
    }  # fmt: skip
    plan = {"data": "cifar10", "epochs": len(accuracy), "seed": seed, "model": "mlp"} | plan
    return {
        "label": label, "tuning": tuning, "plan": plan, "status": "completed", "accuracy": list(accuracy),
        "layers": list(layers), "probe_step": [0.0, 10.0, 20.0], "probes": probes,
    }  # fmt: skip


def write(folder, experiment, records):
    path = folder / f"learning-{experiment}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def heights(axes):
    """What the lines of a panel go through."""
    return [np.asarray(line.get_ydata(), float) for line in axes.lines]


def all_text(figure):
    return " ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def test_records_are_read_without_tuning_and_the_later_of_two_counts(store):
    write(store, "mlp", [record("fa", 100, tuning=True), record("fa"), record("fa", accuracy=(0.4,)), record("fa", 1)])
    runs = recorded.recorded("mlp")
    assert recorded.last_accuracy(runs, "fa").tolist() == [40.0, 50.0]
    assert recorded.protocol(runs) == "CIFAR-10, 1–2 epochs, 2 seeds"
    step, mean, error = recorded.over_training(runs, "fa", "weight_alignment")
    assert step.tolist() == [0, 10, 20]
    assert mean[1].tolist() == pytest.approx([0.7, 1.0])
    # Of 0.2 and 1.2: deviation 1/√2, over √2.
    assert error[1, 0] == pytest.approx(0.5)
    assert np.isnan(mean[0, 1])
    assert recorded.over_training(runs, "fa", "nothing") is None
    assert recorded.recorded("conv") == []


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", json.dumps(record("fa", accuracy=())), json.dumps(record("fa", accuracy=(np.nan,))),
     json.dumps(record("fa", layers=["dense1"])), json.dumps(record("fa"))[:-40]],
)  # fmt: skip
def test_a_damaged_line_is_named_with_what_to_do(store, line):
    path = write(store, "mlp", [record("fa")])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"line 2 of learning-mlp.jsonl .*take it out and call python benchmarks"):
        recorded.recorded("mlp")


def test_one_seed_has_no_standard_error():
    mean, error = recorded.mean_and_error(np.array([[1.0, 2.0]]))
    assert mean.tolist() == [1.0, 2.0]
    assert np.isnan(error).all()


def test_live_runs_repeat_and_follow_their_seed():
    plan = {"data": "digits", "epochs": 1, "model_options": {"widths": [8]}, "probe_every": 20}
    first, again = (recorded.live({"backprop": plan}, [0, 1]) for _ in range(2))
    assert [run.seed for run in first] == [0, 1]
    assert first[0].accuracy[-1] != first[1].accuracy[-1]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.accuracy, other.accuracy)
        assert one.probes["error_effective_rank"].shape == (3, 2)


@pytest.mark.parametrize("name", LEARNING)
def test_without_records_a_figure_says_what_makes_them(store, name):
    said = all_text(figures.get(name).make())
    assert "not recorded" in said
    assert "--root DIR" in said


def test_accuracy_against_rank_draws_what_is_recorded(store):
    runs = [record("backprop", s, (0.6 + 0.01 * s,)) for s in range(3)] + [record("fa", 0, (0.5,))]
    runs += [record(f"raf r={r}", s, (0.1 * r + 0.02 * s,)) for r in (1, 4) for s in range(2)]
    write(store, "mlp", runs)
    spec = figures.get("accuracy-rank")
    numbers, figure = spec.numbers(), spec.make()
    ranks, mean, error = numbers["mlp_raf"]
    assert ranks.tolist() == [1, 4]
    assert mean == pytest.approx([11.0, 41.0])
    assert error == pytest.approx([1.0, 1.0])
    drawn = heights(figure.axes[0])
    assert any(np.allclose(y, mean) for y in drawn if len(y) == 2)
    assert any(np.allclose(y, 61.0) for y in drawn)
    (band,) = [p for p in figure.axes[0].patches if p.get_width() > 0.99]
    # Standard error of 60, 61, 62: 1/√3, to either side.
    assert band.get_height() == pytest.approx(2 / np.sqrt(3))
    assert figure.axes[0].get_title(loc="right") == "CIFAR-10\n1 epoch, 1–3 seeds"
    # The other networks are not there yet.
    assert len(figure.axes) == 1
    assert "learning.py conv" in figure.legends[0].get_title().get_text()


def test_one_layer_takes_all_at_rank_r_from_the_other_experiment(store):
    write(store, "layers", [record(f"B{b} r={r}", 0, (0.1 * b,)) for b in (2, 3, 4) for r in (1, 10)])
    write(store, "mlp", [record("raf r=1", 0, (0.15,)), record("backprop", 0, (0.9,))])
    spec = figures.get("one-layer")
    numbers = spec.numbers()
    assert numbers["B4"][1].tolist() == pytest.approx([40.0, 40.0])
    assert numbers["raf"][1].tolist() == pytest.approx([15.0])
    labels = figures.get("one-layer").make().axes[0].get_legend_handles_labels()[1]
    assert labels == ["B2, into the lowest layer", "B3, into the middle one", "B4, from the output", "all three"]


def test_alignment_knows_its_chance_and_leaves_out_what_is_the_same_for_all(store):
    names = ("dense1", "dense2", "dense3")
    made = [record(label, layers=names, model_options={"widths": [16, 25]}) for label in ("fa", "raf r=10")]
    for each in made:
        each["probes"] = {name: [[*row, 0.9] for row in rows] for name, rows in each["probes"].items()}
    write(store, "mlp", made)
    numbers, figure = figures.get("alignment-training").numbers(), figures.get("alignment-training").make()
    # One error of 16 units, and the 10 × 25 weights of the output.
    assert numbers["chance"] == pytest.approx([1 / 4, 1 / np.sqrt(250)])
    upper, lower = heights(figure.axes[0]), heights(figure.axes[4])
    assert np.allclose(upper[0], [0.1, 0.2, 0.3])
    assert np.allclose(lower[1], 0.9)
    assert len(upper) == len(lower) == 2
    assert "not recorded" in all_text(figure)


def test_rank_collapse_marks_the_bound_and_the_number_of_updates(store):
    write(store, "collapse", [record(label, s) for label in ("backprop", "fa", "fa + Muon") for s in (0, 1)])
    figure = figures.get("rank-collapse").make()
    assert any(np.allclose(y, 9.0) for y in heights(figure.axes[1]))
    assert any(np.allclose(y, [1, 2, 3]) for y in heights(figure.axes[2]))
    assert "classes − 1" in all_text(figure)


def test_bars_are_means_with_single_seeds_beside_the_mark_of_backprop(store):
    made = [
        record("fa" + s, seed, (0.1 * k + 0.02 * seed,)) for k, s in enumerate(("", " + Muon"), 2) for seed in (0, 1)
    ]
    made += [record("backprop", 0, (0.7,)), record("fa + batch norm", 0, (0.6,))]
    write(store, "collapse", made)
    numbers, figure = figures.get("muon-normalisation").numbers(), figures.get("muon-normalisation").make()
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([21.0, 31.0, 60.0])
    assert np.isnan(numbers["fa"][3]).all()
    assert any(np.allclose(y, [20.0, 22.0]) for y in heights(axes) if len(y) == 2)
    assert any(np.allclose(y, 70.0) for y in heights(axes) if len(y) == 2)
    assert "21.0" in all_text(figure)


@pytest.mark.parametrize(("seeds", "drawn"), [((0,), 0), ((0, 1), 2)])
def test_whiskers_and_bands_are_of_several_seeds(store, seeds, drawn):
    """One seed has no standard error: nothing of no height is drawn in its place."""
    made = [record(label, s, (0.5 + 0.1 * s,)) for label in ("backprop", "fa") for s in seeds]
    write(store, "collapse", made)
    assert len(figures.get("muon-normalisation").make().axes[0].containers) == 1 + drawn
    panels = figures.get("rank-collapse").make().axes
    assert [len(axes.collections) for axes in panels[:2]] == [drawn, drawn]


def test_the_number_of_updates_ends_at_the_window_that_is_kept(store):
    long = record("fa")
    long["probe_step"] = list(range(70))
    long["probes"] = {name: [[2.0, 1.0]] * 70 for name in long["probes"]}
    write(store, "collapse", [long])
    figure = figures.get("rank-collapse").make()
    assert any(np.array_equal(y, [*range(1, 65), *[64] * 6]) for y in heights(figure.axes[2]))


def test_receptive_fields_show_the_index_of_what_is_recorded(store):
    y, x = np.mgrid[-6:7, -6:7]
    rings = np.exp(-(x**2 + y**2) / 2) - 0.25 * np.exp(-(x**2 + y**2) / 8)
    bars = np.cos(1.2 * x) * np.exp(-(x**2 + y**2) / 8)
    about = {"plan": {"data": "cifar10", "epochs": 3}, "images": 1000}
    content = {"about": np.array(json.dumps(about))}
    for seed in (0, 1):
        for label, fields in (("start", [bars, bars]), ("rank 4", [rings, rings]), ("rank 16", [rings, 0 * rings])):
            content[f"{label}/{seed}/fields"] = np.array(fields, np.float16)
            content[f"{label}/{seed}/accuracy"] = np.array([0.4, 0.5 + 0.02 * seed])
    np.savez_compressed(store / "receptive-fields.npz", **content)
    spec = figures.get("receptive-fields")
    numbers, figure = spec.numbers(), spec.make()
    assert numbers["labels"].tolist() == ["start", "rank 4", "rank 16"]
    assert (numbers["start_index"] < 0.1).all()
    assert (numbers["rank 4_index"] > 0.9).all()
    # A unit that nothing drives has no shape.
    assert np.isnan(numbers["rank 16_index"]).sum(1).tolist() == [1, 1]
    assert numbers["rank 4_accuracy"].tolist() == [50.0, 52.0]
    assert "rank 4: 51.0 %" in [axes.get_title() for axes in figure.axes]
    (store / "receptive-fields.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"receptive-fields.npz is damaged .*remove it and call"):
        spec.numbers()


def test_kept_numbers_of_a_figure_follow_its_records(tmp_path, capsys):
    spec = figures.get("muon-normalisation")
    cache = tmp_path / "kept.npz"
    spec.numbers(cache=cache)
    spec.numbers(cache=cache)
    assert capsys.readouterr().err == ""
    # Any other file in the place of the records: the numbers that were kept are of something else.
    other = replace(spec, records=("../spec.py",))
    other.numbers(cache=cache)
    assert "another size, seed or version" in capsys.readouterr().err


def test_rank_by_depth_is_that_of_the_hidden_layers_at_the_end(store):
    runs = [record("fa", s, (0.2 + 0.1 * s,)) for s in range(2)] + [record("backprop", 0, (0.5,))]
    for run, last in zip(runs, (0.3, 0.5, 0.9), strict=True):
        run["probes"]["error_effective_rank"][-1] = [last, 9.0]
    write(store, "deep", runs)
    numbers, figure = figures.get("rank-depth").numbers(), figures.get("rank-depth").make()
    start, _, end, error = numbers["fa"]
    assert start.tolist() == [0.1]
    assert end == pytest.approx([0.4])
    assert error == pytest.approx([0.1])
    assert np.allclose(numbers["fa seeds"], [[0.3, 0.5], [20.0, 30.0]])
    assert "fa + Muon" not in numbers
    left, right = figure.axes
    # Before training, FA and backprop, one layer each; single seeds beside.
    assert sorted(y[0] for y in heights(left) if len(y) == 1) == pytest.approx([0.1, 0.4, 0.9])
    assert sorted(len(y) for y in heights(right)) == [1, 2]


def test_ranks_by_depth_at_quick_size():
    numbers = figures.get("rank-depth").numbers(quick=True)
    assert str(numbers["about"]).startswith("bundled digits")
    for label in ("backprop", "fa", "fa + Muon + batch norm"):
        assert numbers[label].shape == (4, 5)
        assert ((numbers[label][[0, 2]] >= 1.0) & (numbers[label][[0, 2]] <= 32.0)).all()
    # Normalised, every layer's error fills more directions than in the deep net without.
    assert (numbers["fa + batch norm"][2, 1:] > numbers["fa"][2, 1:]).all()


@pytest.mark.parametrize("name", ["accuracy-rank", "muon-normalisation"])
def test_quick_runs_learn_and_say_what_they_are(name):
    numbers = figures.get(name).numbers(quick=True)
    about = str(numbers.get("about", numbers.get("mlp_about")))
    assert about.startswith("bundled digits")
    best = numbers["mlp_backprop"][0] if name == "accuracy-rank" else np.nanmax(numbers["backprop"])
    # Chance is 10 %.
    assert best > 70.0


def test_operations_counted_lie_below_the_clock_and_above_two_thirds():
    spec = figures.get("operations")
    numbers, figure = spec.numbers(quick=True), spec.make(quick=True)
    exact = numbers["ViT_exact"]
    assert exact[:2].tolist() == [exact[0], exact[0]]
    assert numbers["ViT_counts"].sum(1)[0] < exact.sum()
    # Wᵀ is not sent: forward and gradients are two thirds; what is left grows by (a + b)/ab for each rank.
    width = int(numbers["size"][0])
    slope = np.diff(numbers["counted"][0]) / np.diff(numbers["fine"])
    assert slope == pytest.approx(np.full(len(slope), 2 / (3 * width)))
    assert numbers["counted"][0, 0] == pytest.approx(2 / 3 * (1 + 1 / width))
    assert (numbers["counted"][1] > numbers["counted"][0]).all()
    # A clock on a busy machine: the right size, no more.
    assert ((numbers["timed"] > 0.2) & (numbers["timed"] < 5.0)).all()
    assert np.array_equal(numbers["timed"], spec.numbers(quick=True)["timed"])
    assert len(figure.axes) == 3
