"""Plots of training runs: what is drawn is what the history holds."""

import warnings

import matplotlib
import numpy as np
import pytest

from linfa import plot
from linfa.nn.history import History

LAYERS = ["dense1", "dense2", "dense3"]
PANELS = ("loss", "accuracy", "alignment", "error", "updates")


def history(layers=LAYERS, epochs=3, probes=5, drop=(), **settings):
    made = History(layers, settings)
    for e in range(epochs):
        made.append_epoch(
            epoch=e, step=10 * (e + 1), train_loss=2.0 / (e + 1), test_loss=2.1 / (e + 1),
            train_accuracy=0.3 * e, test_accuracy=0.25 * e,
        )  # fmt: skip
    n = len(layers)
    for p in range(probes):
        found = {
            "weight_alignment": np.r_[np.nan, np.linspace(0.1, 0.5, n - 1) * p],
            "chance_alignment": np.linspace(0.06, 0.04, n),
            "sample_gradient_alignment": np.linspace(0.2, 1.0, n),
            "error_effective_rank": np.linspace(20.0, 4.0, n) + p,
            "update_effective_rank": np.linspace(9.0, 3.0, n),
            "trajectory_effective_rank": np.linspace(0.9, 0.5, n) * (p + 1),
            "whole_trajectory_effective_rank": np.array(0.8 * (p + 1)),
        }
        made.append_probe(5 * p, {name: value for name, value in found.items() if name not in drop})
    return made


def training(*args, **options):
    return dict(zip(PANELS, plot.training(*args, **options).axes, strict=True))


def curves(axes, line="-"):
    return [x for x in axes.lines if x.get_linestyle() == line and len(x.get_xdata()) > 1]


def says(axes):
    return [text.get_text() for text in axes.texts]


# One run


def test_loss_and_accuracy_are_those_of_the_epochs():
    h, panels = history(), training(history())
    for name, what, unit in (("loss", "loss", 1.0), ("accuracy", "accuracy", 100.0)):
        train, test = curves(panels[name])
        np.testing.assert_array_equal(train.get_xdata(), h.step)
        np.testing.assert_allclose(train.get_ydata(), unit * getattr(h, f"train_{what}"))
        np.testing.assert_allclose(test.get_ydata(), unit * getattr(h, f"test_{what}"))


def test_loss_is_logarithmic_only_over_a_decade():
    assert training(history())["loss"].get_yscale() == "linear"
    assert training(history(epochs=12))["loss"].get_yscale() == "log"


def test_alignment_is_drawn_by_layer_with_its_band_and_its_reference():
    h = history()
    axes = training(h)["alignment"]
    weights, errors = curves(axes), curves(axes, "--")
    assert len(weights) == 2  # the first layer sends no error
    for k, line in enumerate(weights):
        np.testing.assert_array_equal(line.get_ydata(), h.weight_alignment[:, k + 1])
        assert line.get_color() == errors[k + 1].get_color()
    for k, line in enumerate(errors):
        np.testing.assert_array_equal(line.get_ydata(), h.sample_gradient_alignment[:, k])
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    # ± two standard deviations, of the widest band among the layers with feedback
    np.testing.assert_allclose([band.y0, band.y1], [-0.1, 0.1], atol=1e-12)
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [1.0]
    assert "backprop" in says(axes)


def test_anti_alignment_is_on_the_axis():
    h = history(probes=0)
    h.append_probe(0, {"weight_alignment": [np.nan, -0.9, -0.5]})
    assert training(h)["alignment"].get_ylim()[0] < -0.9


def test_rank_of_the_error_has_the_bound_where_classes_are_known():
    for h, options in ((history(), {"classes": 10}), (history(classes=10), {})):
        axes = training(h, **options)["error"]
        assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [9]
        assert "classes − 1" in says(axes)
        for k, line in enumerate(curves(axes)):
            np.testing.assert_array_equal(line.get_ydata(), h.error_effective_rank[:, k])
    axes = training(history())["error"]
    assert not says(axes)
    assert not curves(axes, ":")


def test_rank_of_the_trajectory_else_of_the_update():
    h = history()
    axes = training(h)["updates"]
    assert "trajectory" in axes.get_ylabel()
    np.testing.assert_array_equal(curves(axes)[1].get_ydata(), h.trajectory_effective_rank[:, 1])
    np.testing.assert_array_equal(curves(axes, "--")[0].get_ydata(), h.whole_trajectory_effective_rank)
    np.testing.assert_array_equal(curves(axes, ":")[0].get_ydata(), [1, 2, 3, 4, 5])
    without = history(drop=("trajectory_effective_rank", "whole_trajectory_effective_rank"))
    axes = training(without)["updates"]
    assert axes.get_ylabel() == "effective rank of the update"
    np.testing.assert_array_equal(curves(axes)[2].get_ydata(), without.update_effective_rank[:, 2])


def test_the_window_of_the_trajectory_is_said_where_updates_fell_out_of_it():
    for rows in (5, 9):
        axes = training(history(trajectory_rows=rows))["updates"]
        assert axes.get_ylabel() == "effective rank of the trajectory"
        np.testing.assert_array_equal(curves(axes, ":")[0].get_ydata(), [1, 2, 3, 4, 5])
    h = history(trajectory_rows=3)
    for axes in (training(h)["updates"], plot.compare({"fa": h}).axes[2]):
        assert axes.get_ylabel() == "effective rank of the trajectory,\nof the latest 3 updates probed"
        np.testing.assert_array_equal(curves(axes, ":")[0].get_ydata(), [1, 2, 3, 3, 3])
        assert "updates probed so far, 3 at most" in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("name", ["trajectory_effective_rank", "update_effective_rank"])
def test_weights_that_never_moved_have_an_axis_all_the_same(name):
    h = history(probes=0)
    for step in range(3):
        h.append_probe(step, {name: np.zeros(3)})
    with warnings.catch_warnings(action="error"):
        axes = training(h)["updates"]
    assert axes.get_ylim() == (0.0, 1.0)
    assert len(curves(axes)) == 3


def test_colours_are_those_of_the_key():
    figure = plot.training(history())
    key = figure.legends[0]
    assert [text.get_text() for text in key.get_texts()] == LAYERS
    shades = [handle.get_color() for handle in key.legend_handles]
    assert [line.get_color() for line in curves(figure.axes[3])] == shades


def test_deep_networks_have_a_colour_for_every_layer():
    figure = plot.training(history([f"conv{k}" for k in range(20)]))
    drawn = [tuple(line.get_color()) for line in curves(figure.axes[3])]
    assert len(set(drawn)) == 20
    key = figure.legends[0]
    assert "of 20" in key.get_title().get_text()
    assert [t.get_text() for t in key.get_texts()][:: len(key.get_texts()) - 1] == ["conv0", "conv19"]


@pytest.mark.parametrize(("epochs", "probes", "silent"), [(0, 3, PANELS[:2]), (2, 0, PANELS[2:])])
def test_panels_of_what_was_not_measured_say_so(epochs, probes, silent):
    panels = training(history(epochs=epochs, probes=probes))
    for name, axes in panels.items():
        assert (says(axes) == ["not measured"]) == (name in silent), name


def test_a_single_record_is_a_mark():
    panels = training(history(epochs=1, probes=1))
    for name in ("loss", "error", "updates"):
        assert any(line.get_marker() == "o" for line in panels[name].lines), name


# Several runs


def test_runs_are_compared_in_one_colour_each():
    first, second = history(), history(epochs=2, probes=4)
    figure = plot.compare({"fa": first, "backprop": second}, classes=5, title="two")
    accuracy, error, trajectory = figure.axes
    for k, h in enumerate((first, second)):
        np.testing.assert_allclose(accuracy.lines[k].get_ydata(), 100 * h.test_accuracy)
        np.testing.assert_array_equal(error.lines[k].get_ydata(), h.error_effective_rank[-1])
        np.testing.assert_array_equal(trajectory.lines[k].get_ydata(), h.whole_trajectory_effective_rank)
        assert len({axes.lines[k].get_color() for axes in figure.axes}) == 1
    assert [t.get_text() for t in error.get_xticklabels()] == LAYERS
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["fa", "backprop"]
    assert "classes − 1" in says(error)


def test_bound_is_drawn_where_runs_agree_on_it():
    agree = plot.compare({"a": history(classes=10), "b": history(classes=10)}).axes[1]
    differ = plot.compare({"a": history(classes=10), "b": history(classes=5)}).axes[1]
    assert says(agree) == ["classes − 1"]
    assert says(differ) == []


def test_runs_of_different_networks_count_layers():
    axes = plot.compare({"a": history(), "b": history(["conv1", "dense1"])}).axes[1]
    assert axes.get_xlabel() == "layer, from the input"
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 2]


def test_more_runs_than_colours_differ_in_line():
    figure = plot.compare({str(k): history() for k in range(9)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9


# Bad input, and no trace


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot.training({"loss": [1]}), TypeError, "history is dict; it must be a linfa.nn.History"),
        (lambda: plot.training(History(["a"])), ValueError, "neither epochs nor probes"),
        (lambda: plot.training(history(), classes=1), ValueError, "classes is 1"),
        (lambda: plot.training(history(classes="ten")), TypeError, "classes"),
        (lambda: plot.compare([history()]), TypeError, "histories is list"),
        (lambda: plot.compare({}), ValueError, "empty"),
        (lambda: plot.compare({"a": history(), "b": 3}), TypeError, r"histories\['b'\] is int"),
        (lambda: plot.compare({"a": History(["a"])}), ValueError, r"histories\['a'\] holds neither"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_settings_of_matplotlib_are_as_before(tmp_path):
    before = dict(matplotlib.rcParams)
    h = history()
    state = h.to_state()[0]
    path = plot.save_figure(plot.training(h, title="a $ sign"), tmp_path / "run.png")
    plot.save_figure(plot.compare({"a": h}), tmp_path / "runs.svg")
    assert path.stat().st_size > 10_000
    assert dict(matplotlib.rcParams) == before
    assert all(np.array_equal(a, h.to_state()[0][name], equal_nan=True) for name, a in state.items())


def test_drawing_needs_no_networks():
    """The layer below must not import the one above."""
    import subprocess
    import sys

    code = (
        "import sys, linfa.plot; loaded = list(sys.modules); "
        "print([m for m in loaded if m.startswith('linfa.nn')], 'matplotlib.pyplot' in loaded)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
