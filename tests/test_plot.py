"""Plots: what is drawn is what the run and the theory hold; a figure appears whole on disk or not at all."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import linfa
from linfa import metrics, plot

T = np.linspace(0.0, 5.0, 101)
TASK = linfa.LinearTask.from_modes([3.0, 2.0, 1.0], 5, 4)
RULE = linfa.FeedbackAlignment(draw="orthonormal")
ZERO = linfa.initial_weights((5, 6, 4), kind="zero")
RUN = linfa.simulate(TASK, ZERO, RULE, T)
THEORY = linfa.theory.exact(TASK, ZERO, RULE, T)
DEEP = linfa.simulate(TASK, linfa.initial_weights((5, 6, 7, 4), scale=0.3), linfa.FeedbackAlignment(), T)
CORRELATED = linfa.simulate(
    linfa.LinearTask(np.diag([3.0, 1.0]), np.diag([1.0, 4.0])),
    linfa.initial_weights((2, 3, 2), scale=0.1),
    linfa.Backprop(),
    T,
)
ENSEMBLE = linfa.ensemble(TASK, linfa.initial_weights((5, 6, 4), members=2), RULE, T)
PANELS = (plot.loss, plot.mode_strengths, plot.alignment, plot.effective_rank)


def axes():
    return Figure().subplots()


def overview(*args, **options):
    """The four panels by name."""
    return dict(zip(("loss", "modes", "alignment", "rank"), plot.overview(*args, **options).axes, strict=True))


def marks(panel):
    """Curves of markers alone: simulation."""
    return [x for x in panel.lines if x.get_marker() == "o" and x.get_linestyle() == "None"]


def full_lines(panel):
    """Lines at full strength without markers: theory."""
    return [
        x
        for x in panel.lines
        if x.get_linestyle() == "-" and x.get_marker() == "None" and x.get_alpha() is None and len(x.get_xdata())
    ]


def guides(panel):
    """Faint lines beneath the marks."""
    return [x for x in panel.lines if x.get_linestyle() == "-" and x.get_alpha() is not None]


def dotted(panel):
    return [x for x in panel.lines if x.get_linestyle() == ":"]


def expected(trajectory):
    """What each panel shows of a trajectory, one column a curve."""
    rank = np.where(trajectory.effective_rank > 0, trajectory.effective_rank, np.nan)
    aligned = [trajectory.weight_alignment]
    # Under backprop both alignments are 1, and one curve stands for both.
    if trajectory.feedback.name != "backprop":
        aligned.append(trajectory.gradient_alignment)
    return {
        "loss": trajectory.excess_loss[:, None],
        "modes": trajectory.explained_strengths,
        "alignment": np.hstack(aligned),
        "rank": rank[:, None],
    }


def assert_curves(lines, t, columns):
    """The lines are the columns over these times, exactly."""
    assert len(lines) == columns.shape[1]
    for line, values in zip(lines, columns.T, strict=True):
        assert np.array_equal(line.get_xdata(), t)
        assert np.array_equal(line.get_ydata(), values, equal_nan=True)


def assert_marks(lines, t, columns):
    """Each mark is a saved time and the value there; first and last are marked."""
    assert len(lines) == columns.shape[1]
    for line, values in zip(lines, columns.T, strict=True):
        where = np.searchsorted(t, line.get_xdata())
        assert np.array_equal(t[where], line.get_xdata())
        assert np.array_equal(values[where], line.get_ydata(), equal_nan=True)
        assert (where[0], where[-1]) == (0, len(t) - 1)
        # Enough to show the curve, few enough to see the line beneath.
        assert 10 < len(where) < 40


@pytest.mark.parametrize("run", [RUN, DEEP, CORRELATED], ids=["two-layer", "deep", "correlated"])
def test_marks_and_their_guides_are_the_run(run):
    for name, panel in overview(run).items():
        columns = expected(run)[name]
        assert_marks(marks(panel), T, columns)
        assert_curves(guides(panel), T, columns)
        assert full_lines(panel) == []


def test_full_lines_are_the_theory_and_marks_stay_the_run():
    for name, panel in overview(RUN, THEORY).items():
        assert_curves(full_lines(panel), T, expected(THEORY)[name])
        assert_marks(marks(panel), T, expected(RUN)[name])


def test_theory_lies_beneath_the_marks_in_the_same_colour():
    for name, panel in overview(RUN, THEORY).items():
        for line, mark in zip(full_lines(panel), marks(panel), strict=True):
            assert panel.lines.index(line) < panel.lines.index(mark)
            if name in ("modes", "alignment"):
                assert line.get_color() == mark.get_color()


def test_curves_of_a_panel_have_different_colours():
    for panel in overview(DEEP).values():
        colours = [mark.get_color() for mark in marks(panel)]
        assert len(set(colours)) == len(colours)


def test_theory_may_have_times_of_its_own():
    fine = np.linspace(0.0, 5.0, 333)
    theory = linfa.theory.exact(TASK, ZERO, RULE, fine)
    for name, panel in overview(RUN, theory).items():
        assert_curves(full_lines(panel), fine, expected(theory)[name])


def test_dotted_lines_are_what_the_task_asks_for():
    panels = overview(RUN)
    # Modes from a singular value decomposition of what was built from them: a few roundings.
    assert [x.get_ydata()[0] for x in dotted(panels["modes"])] == pytest.approx([3.0, 2.0, 1.0], rel=1e-13)
    (goal,) = dotted(panels["rank"])
    assert goal.get_ydata()[0] == metrics.effective_rank(TASK.target)
    assert "best map" in panels["rank"].texts[0].get_text()


def test_at_most_the_strongest_modes_are_drawn():
    many = linfa.LinearTask.from_modes(np.arange(10.0, 0.0, -1.0), 12, 11)
    run = linfa.simulate(many, linfa.initial_weights((12, 12, 11), kind="zero"), RULE, T)
    panel = overview(run)["modes"]
    assert_curves(guides(panel), T, run.explained_strengths[:, : plot.MOST_MODES])


@pytest.mark.parametrize("run", [RUN, DEEP], ids=["two-layer", "deep"])
def test_band_of_chance_spans_two_standard_deviations(run):
    (band,) = overview(run)["alignment"].patches
    half = 2 * run.chance_alignment.max()
    # The height is a difference of two floats.
    assert band.get_y() == pytest.approx(-half, rel=1e-15)
    assert band.get_height() == pytest.approx(2 * half, rel=1e-15)
    assert band.get_width() == 1.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_alignment_is_signed_and_in_view(sign):
    """Large weights opposite to the feedback start at a cosine of −1."""
    opposed = [0.1 * w for w in linfa.initial_weights((5, 6, 4), "orthogonal", 1.0)]
    b = sign * opposed[1].T
    run = linfa.simulate(TASK, opposed, linfa.FeedbackAlignment([b]), T)
    panel = overview(run)["alignment"]
    low, high = panel.get_ylim()
    # A cosine of parallel matrices is 1 up to a rounding.
    assert marks(panel)[0].get_ydata()[0] == pytest.approx(sign, rel=1e-14)
    for line in marks(panel):
        values = line.get_ydata()[np.isfinite(line.get_ydata())]
        assert low < values.min()
        assert values.max() < high


def test_every_panel_is_labelled():
    figure = plot.overview(RUN, THEORY, title="three modes")
    labels = [panel.get_ylabel() for panel in figure.axes]
    assert "loss" in labels[0]
    assert "mode strength" in labels[1]
    assert "alignment" in labels[2]
    assert "effective rank" in labels[3]
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["a", "b", "c", "d"]
    assert all("time" in panel.get_xlabel() for panel in figure.axes)
    assert "three modes" in figure.get_suptitle()
    assert "marks: simulation" in figure.get_supxlabel()
    assert "lines: theory" in figure.get_supxlabel()
    legend = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert legend == ["weights", "signals", "chance, ±2 s.d."]


def test_key_names_theory_only_where_there_is_one():
    assert "theory" not in plot.overview(RUN).get_supxlabel()


def test_labels_say_what_correlated_inputs_change():
    assert "Sigma" in overview(CORRELATED)["modes"].get_ylabel()
    assert "Sigma" not in overview(RUN)["modes"].get_ylabel()


def test_layers_of_a_deep_network_are_told_apart():
    legend = [text.get_text() for text in overview(DEEP)["alignment"].get_legend().get_texts()]
    assert legend[:4] == ["weights layer 1", "weights layer 2", "signals layer 1", "signals layer 2"]


def test_descent_counts_updates():
    run = linfa.simulate(TASK, ZERO, RULE, np.arange(0, 50, 5), learning_rate=0.05)
    assert all(panel.get_xlabel() == "updates" for panel in plot.overview(run).axes)


def test_logarithmic_time_leaves_out_zero_and_nothing_else():
    panels = overview(RUN, THEORY, log_time=True)
    for name, panel in panels.items():
        assert panel.get_xscale() == "log"
        assert_curves(guides(panel), T[1:], expected(RUN)[name][1:])
        assert_curves(full_lines(panel), T[1:], expected(THEORY)[name][1:])
        assert_marks(marks(panel), T[1:], expected(RUN)[name][1:])


def test_marks_are_spread_evenly_along_a_logarithmic_axis():
    t = np.geomspace(1e-3, 10.0, 400)
    run = linfa.simulate(TASK, ZERO, RULE, t)
    gaps = np.diff(np.log(marks(overview(run, log_time=True)["loss"])[0].get_xdata()))
    # Each goal is met by the next saved time, at most one of 399 steps away.
    assert np.ptp(gaps) <= 2.001 * np.log(1e4) / 399


def test_loss_is_logarithmic_and_in_view():
    panel = overview(RUN)["loss"]
    low, high = panel.get_ylim()
    assert panel.get_yscale() == "log"
    assert 0 < low < RUN.excess_loss.min()
    assert high > RUN.excess_loss.max()


def test_predicted_plateau_is_drawn_and_in_view():
    figure = plot.overview(RUN, plateau=0.5)
    dashed = [x for x in figure.axes[0].lines if x.get_linestyle() == "--"]
    assert [x.get_ydata()[0] for x in dashed] == [0.5]
    assert "predicted plateau" in [text.get_text() for text in figure.axes[0].texts]
    low, high = plot.overview(RUN, plateau=1e-9).axes[0].get_ylim()
    assert low < 1e-9 < high
    assert [x for x in plot.overview(RUN, plateau=0.0).axes[0].lines if x.get_linestyle() == "--"] == []


@pytest.mark.filterwarnings("ignore:nothing moved")
@pytest.mark.parametrize("log_time", [False, True])
def test_run_that_never_leaves_zero_can_be_saved(log_time, tmp_path):
    """Its map has no rank and its weights no direction: nothing to draw in two panels, on either axis."""
    stuck = linfa.simulate(TASK, ZERO, linfa.FeedbackAlignment([np.zeros((6, 4))]), T)
    assert plot.save_figure(plot.overview(stuck, log_time=log_time), tmp_path / "figure.png").is_file()


@pytest.mark.parametrize("panel", PANELS)
def test_panels_draw_on_axes_of_ones_own(panel):
    alone = axes()
    panel(alone, RUN, THEORY)
    together = dict(zip(PANELS, plot.overview(RUN, THEORY).axes, strict=True))[panel]
    for part in (marks, guides, full_lines, dotted):
        for a, b in zip(part(alone), part(together), strict=True):
            assert np.array_equal(a.get_xydata(), b.get_xydata(), equal_nan=True)
    assert alone.get_ylabel() == together.get_ylabel()


def test_run_without_a_hidden_layer_says_so():
    run = linfa.simulate(TASK, [np.zeros((4, 5))], linfa.Backprop(), T)
    panels = overview(run)
    assert "no hidden layer" in [text.get_text() for text in panels["alignment"].texts]
    assert_curves(guides(panels["loss"]), T, run.excess_loss[:, None])


@pytest.mark.filterwarnings("ignore:nothing moved")
def test_run_that_never_leaves_zero_is_drawn():
    run = linfa.simulate(TASK, ZERO, linfa.Backprop(), T)
    panels = overview(run)
    assert np.isnan(guides(panels["rank"])[0].get_ydata()).all()
    assert np.array_equal(guides(panels["loss"])[0].get_ydata(), np.full(len(T), run.loss[0]))


# Refusals


@pytest.mark.parametrize("panel", [*PANELS, lambda _, run: plot.overview(run)])
def test_ensemble_is_refused_and_its_member_is_not(panel):
    with pytest.raises(ValueError, match=r"run is an ensemble of 2 members; plot one with run\.member\(index\)"):
        panel(axes(), ENSEMBLE)
    panel(axes(), ENSEMBLE.member(1))


def test_ensemble_is_no_theory():
    with pytest.raises(ValueError, match="theory is an ensemble of 2 members"):
        plot.overview(RUN, ENSEMBLE)


def test_single_time_makes_no_plot():
    run = linfa.simulate(TASK, ZERO, RULE, [1.0])
    with pytest.raises(ValueError, match="run holds 1 times; a plot needs at least 2"):
        plot.overview(run)
    assert len(plot.overview(linfa.simulate(TASK, ZERO, RULE, [0.0, 1.0])).axes) == 4


def test_theory_of_another_task_is_refused():
    other = linfa.LinearTask.from_modes([3.0, 2.0, 1.0], 6, 4)
    theory = linfa.theory.exact(other, linfa.initial_weights((6, 6, 4), kind="zero"), RULE, T)
    with pytest.raises(ValueError, match="theory"):
        plot.overview(RUN, theory)


@pytest.mark.parametrize(("arguments", "name"), [(("run.nc",), "run"), ((RUN, "exact"), "theory")])
def test_what_is_no_trajectory_is_refused_by_name(arguments, name):
    with pytest.raises(TypeError, match=f"{name} is str; it must be a Trajectory"):
        plot.overview(*arguments)


# Files

HEADS = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-", "svg": b"<?xml"}


@pytest.mark.parametrize("kind", HEADS)
def test_figure_is_written_in_the_format_of_its_ending(kind, tmp_path):
    figure = plot.overview(RUN, THEORY, title="three modes")
    path = plot.save_figure(figure, tmp_path / f"figure.{kind}")
    assert path == tmp_path / f"figure.{kind}"
    assert path.read_bytes().startswith(HEADS[kind])
    assert [p.name for p in tmp_path.iterdir()] == [f"figure.{kind}"]
    if kind == "svg":
        # Text stays text, to be found and edited.
        assert "effective rank of the map" in path.read_text()


def test_png_has_dots_enough_for_print(tmp_path):
    from matplotlib.image import imread

    figure = plot.overview(RUN)
    pixels = imread(plot.save_figure(figure, str(tmp_path / "figure.png")))
    assert pixels.shape[1] >= 150 * figure.get_figwidth()


@pytest.mark.parametrize("title", ["cost in $", "a$b_{c$d", "100 % of x_1^2", "Größe"])
def test_title_is_drawn_as_it_is(title, tmp_path):
    path = plot.save_figure(plot.overview(RUN, title=title), tmp_path / "figure.svg")
    assert title.replace("&", "&amp;") in path.read_text()


@pytest.mark.parametrize("name", ["figure.jpg", "figure", ".png", "figure.nc"])
def test_other_endings_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"path ends with .*written as \.png, \.pdf or \.svg"):
        plot.save_figure(plot.overview(RUN), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        plot.save_figure(plot.overview(RUN), tmp_path / "nowhere" / "figure.png")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("earlier", [None, b"the earlier picture"])
def test_failed_write_leaves_the_earlier_file_whole_and_no_leftovers(failure, earlier, tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    if earlier is not None:
        path.write_bytes(earlier)
    figure = plot.overview(RUN)

    def half(self, beside, *args, **kwargs):
        beside.write_bytes(b"half a pict")
        raise failure

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(type(failure)):
        plot.save_figure(figure, path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if earlier is None else [earlier])


def test_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(OSError, match="figure"):
        plot.save_figure(plot.overview(RUN), tmp_path / "figure.png")
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


# No trace outside the figure


def test_settings_of_matplotlib_are_as_before(tmp_path):
    before = dict(matplotlib.rcParams)
    figure = plot.overview(RUN, THEORY, log_time=True)
    plot.save_figure(figure, tmp_path / "figure.png")
    with pytest.raises(ValueError, match="members"):
        plot.overview(ENSEMBLE)
    with pytest.raises(FileNotFoundError):
        plot.save_figure(figure, tmp_path / "nowhere" / "figure.png")
    assert dict(matplotlib.rcParams) == before


def test_user_style_does_not_reach_the_overview_but_stays_set():
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.labelsize": 40.0}):
        panel = overview(RUN, THEORY)["loss"]
        assert matplotlib.rcParams["lines.linewidth"] == 9.0
    assert full_lines(panel)[0].get_linewidth() == 2.0
    assert panel.yaxis.label.get_size() == 11.0


def test_figures_are_made_without_pyplot():
    """A figure registered with pyplot would stay in memory, and appear in the next `show()`."""
    import subprocess
    import sys

    code = (
        "import sys, linfa; from linfa import plot; "
        "run = linfa.simulate(linfa.LinearTask([[1.0]]), [[[0.1]], [[0.1]]], linfa.Backprop(), [0.0, 1.0]); "
        "plot.overview(run); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_drawing_leaves_the_run_as_it_was():
    run = linfa.simulate(TASK, ZERO, RULE, T)
    before = [w.copy() for w in run.weights]
    plot.overview(run, THEORY, log_time=True)
    assert all(np.array_equal(a, b) for a, b in zip(run.weights, before, strict=True))
    assert np.array_equal(run.t, T)
