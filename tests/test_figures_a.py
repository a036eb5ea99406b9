"""What the figures of linear learning draw: theory and simulation behind the lines and marks, at quick size."""

import numpy as np
import pytest

from linfa import figures
from linfa.cli import main


@pytest.fixture(scope="module")
def made():
    """Numbers and figure by name, computed once."""
    kept = {}

    def get(name):
        if name not in kept:
            spec = figures.get(name)
            numbers = spec.numbers(quick=True)
            kept[name] = (numbers, spec.make(quick=True))
        return kept[name]

    return get


def drawn(figure, panel, values, *, marks):
    """Whether a panel has a curve, or marks, at exactly these heights."""
    lines = [line for line in figure.axes[panel].lines if (line.get_linestyle() == "None") == marks]
    return any(np.array_equal(line.get_ydata(), values, equal_nan=True) for line in lines)


def words_in(figure):
    """All text inside the panels."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_staircase_theory_meets_simulation_and_climbs_the_stairs(made):
    numbers, figure = made("staircase")
    shared = np.isin(numbers["t"], numbers["marks_t"])
    for k in range(3):
        # Integrated at rtol 1e-9; a mode that grows by 1e12 amplifies its errors, and steep stairs turn them upwards.
        for what in ("loss", "rank", "modes"):
            gap = numbers[f"backprop{k}_{what}"][shared] - numbers[f"marks_backprop{k}_{what}"]
            assert np.abs(gap).max() < 1e-6
        for panel, what in ((0, "loss"), (2, "rank")):
            assert drawn(figure, panel, numbers[f"backprop{k}_{what}"], marks=False)
            assert drawn(figure, panel, numbers[f"marks_backprop{k}_{what}"][k::3], marks=True)
            assert drawn(figure, panel + 1, numbers[f"marks_fa{k}_{what}"][k::3], marks=True)
    # From weights of size 1e-6 feedback alignment is as from zero up to about that size.
    assert np.abs(numbers["fa_modes"][shared] - numbers["marks_fa2_modes"]).max() < 1e-5
    # Backprop from the smallest start stands on every stair: within 2 % for a while; the first wait is longest.
    rank = numbers["backprop2_rank"]
    assert all((np.abs(rank / height - 1) < 0.02).sum() >= 3 for height in numbers["stairs"])
    # The smaller the start, the later the last mode; feedback alignment does not care.
    half = [np.argmax(numbers[f"backprop{k}_modes"][:, -1] > 0.375) for k in range(3)]
    assert half == sorted(half)
    assert len(set(half)) == 3
    assert {f"{n} mode" + "s" * (n > 1) for n in range(1, 5)} <= set(words_in(figure))


def test_alignment_rank_follows_the_participation_ratio(made):
    numbers, figure = made("alignment-rank")
    shared = np.isin(numbers["t"], numbers["marks_t"])
    for k in range(4):
        # Integrated at rtol 1e-9.
        assert np.abs(numbers[f"theory{k}"][shared] - numbers[f"marks{k}"]).max() < 1e-7
        assert drawn(figure, 0, numbers[f"theory{k}"], marks=False)
        assert drawn(figure, 0, numbers[f"marks{k}"], marks=True)
    # Sixteen outputs: one mode stays at 1/4, four at 1/2, all equal at 1.
    for k, height in ((0, 0.25), (1, 0.5), (3, 1.0)):
        assert np.abs(numbers[f"theory{k}"] - height).max() < 1e-12
    for when in ("early", "late"):
        # Early marks are 1e-3 after the start, when a² has its first correction ∝ t³; late ones as exact as the run.
        assert np.abs(numbers[when] ** 2 - numbers[f"{when}_share"]).max() < 1e-6
        assert drawn(figure, 1, numbers[when], marks=True)
    assert np.abs(numbers["law"] ** 2 - numbers["share"]).max() < 1e-12
    assert (numbers["late_share"] >= numbers["early_share"] - 1e-12).all()
    (band,) = [p for p in figure.axes[0].patches if p.get_width() > 0.99]
    assert band.get_height() == pytest.approx(4 / np.sqrt(16 * 20))


def test_conserved_drifts_as_predicted(made):
    numbers, figure = made("conserved")
    for column, name in enumerate(("backprop", "fa")):
        # Integrated at rtol 1e-12.
        assert numbers[f"{name}_flow"].max() < 1e-11
        assert drawn(figure, column, numbers[f"{name}_flow"][1:], marks=True)
        for k in range(3):
            shared = np.isin(numbers[f"{name}_t{k}"], numbers[f"{name}_marks_t{k}"])
            # An identity: nothing but rounding, summed over up to 3000 updates.
            gap = numbers[f"{name}_exact{k}"][shared] - numbers[f"{name}_marks{k}"]
            assert np.abs(gap).max() < 1e-12
            assert drawn(figure, column, numbers[f"{name}_exact{k}"][1:], marks=False)
            assert drawn(figure, column, numbers[f"{name}_marks{k}"][1:], marks=True)
        # First order in η: its relative gap is some η, here below 5 η.
        for k, rate in enumerate(numbers["rates"]):
            assert abs(numbers[f"{name}_exact{k}"][-1] / (rate * numbers[f"{name}_law"][-1]) - 1) < 5 * rate
        for which in (0, 1):
            assert drawn(figure, 2 + column, numbers[f"{name}_ends"][:, which], marks=False)
            assert drawn(figure, 2 + column, numbers[f"{name}_marks_ends"][:, which], marks=True)
    # Feedback alignment's drift has no negative part; backprop's has.
    assert numbers["fa_ends"].min() > -1e-12
    assert numbers["backprop_ends"].min() < -1e-3


def test_vector_field_paths_keep_their_hyperbola(made):
    numbers, figure = made("vector-field")
    shared = np.isin(numbers["t"], numbers["marks_t"])
    for path, marks in zip(numbers["paths"], numbers["marks"], strict=True):
        # Integrated at rtol 1e-10; passing the saddle amplifies errors by about 10.
        assert np.abs(path[shared] - marks).max() < 1e-7
        assert drawn(figure, 0, path[:, 1], marks=False)
        assert drawn(figure, 0, marks[:, 1], marks=True)
        balance = np.diff(np.square(path), axis=1)
        assert np.ptp(balance) < 1e-12
        # All end on the zero-error curve but for e^{-8·2} of the slowest, balanced one.
        assert path[-1].prod() == pytest.approx(1.0, abs=1e-4)
    # The arrows are minus the gradient of the loss: against differences of the drawn loss on its own fine grid.
    smooth, step = numbers["smooth"], numbers["smooth"][1] - numbers["smooth"][0]
    slope_b, slope_a = np.gradient(numbers["loss"], step)
    inner = np.isin(np.round(smooth, 9), np.round(numbers["grid"], 9)) & (np.abs(smooth) < smooth[-1])
    assert inner.sum() == len(numbers["grid"]) - 2
    for slope, flow in ((slope_a, numbers["flow"][0]), (slope_b, numbers["flow"][1])):
        # The loss is quadratic in each weight, so that central differences are exact.
        assert np.abs(slope[np.ix_(inner, inner)] + flow[1:-1, 1:-1]).max() < 1e-10
    assert np.abs(numbers["zero"].prod(0) - 1).max() < 1e-12


def test_phase_portrait_paths_end_on_the_hyperbola(made):
    numbers, figure = made("phase-portrait")
    hyperbola = {name: numbers[name] for name in ("aligned", "opposed", "unstable")}
    for a, w in hyperbola.values():
        assert np.abs(a * w - 1).max() < 1e-12
    for path, marks, end in zip(numbers["paths"], numbers["marks"], numbers["ends"], strict=True):
        # Marks lie on their parabola to the integrator's rtol 1e-10, the way to its end included.
        balance = np.square(marks[:, 0]) - 2 * marks[:, 1]
        assert np.ptp(balance) < 1e-8
        assert np.abs(np.square(path[:, 0]) - 2 * path[:, 1] - balance[0]).max() < 1e-8
        # All ends attract at rates of 2 and more, for most of 6 units of time.
        assert np.abs(marks[-1] - end).max() < 1e-3
        assert end.prod() == pytest.approx(1.0, abs=1e-10)
        assert drawn(figure, 0, path[:, 1], marks=False)
        assert drawn(figure, 0, marks[:, 1], marks=True)
    # Two starts on one parabola, on either side of the unstable point, end on different branches.
    assert numbers["ends"][5, 0] > 0 > numbers["ends"][6, 0]
    # Every run of the sweep ends on a stable root: on the upper branch from the right, from the left only below c = 3.
    for c, late, from_right in zip(numbers["sweep"], numbers["late"], np.tile([False, True], 99), strict=False):
        roots = np.roots([1.0, 0.0, -c, -2.0])
        assert np.abs(roots - late).min() < 1e-6
        assert (late > 0) == (from_right or c < 3)
        assert 3 * late**2 > c
    assert numbers["critical"] == pytest.approx(3.0)
    assert drawn(figure, 1, numbers["late"], marks=True)
    stable = np.where(numbers["rates"][:, 0] > 0, numbers["roots"][:, 0], np.nan)
    assert drawn(figure, 1, stable, marks=False)
    # Three real roots exactly above the critical c.
    clear = np.abs(numbers["c"] - 3.0) > 1e-6
    three = np.isfinite(numbers["roots"]).all(1)
    assert (three == (numbers["c"] > 3.0))[clear].all()


def test_lazy_rich_goes_from_one_limit_to_the_other(made):
    numbers, figure = made("lazy-rich")
    for row, rule in enumerate(("backprop", "fa")):
        for column, regime in enumerate(("rich", "lazy")):
            theory, marks = numbers[f"{rule}_{regime}"], numbers[f"{rule}_marks_{regime}"]
            shared = np.isin(numbers[f"{regime}_t"], numbers[f"{regime}_marks_t"])
            # Integrated at rtol 1e-10.
            assert np.abs(theory[shared] - marks).max() < 1e-8
            for k in range(3):
                some = slice(k, None, 3) if regime == "lazy" else slice(None)
                assert drawn(figure, 3 * row + column, theory[:, k], marks=False)
                assert drawn(figure, 3 * row + column, marks[some, k], marks=True)
        # Rich: strong modes first; lazy: all alike.
        assert np.ptp(numbers[f"{rule}_rich"], axis=1).max() > 0.5
        # Backprop's modes start at 0.01, which is up to 1 % of their strengths.
        assert np.ptp(numbers[f"{rule}_lazy"], axis=1).max() < 0.01
        half = numbers[f"{rule}_half"]
        for k in range(3):
            assert drawn(figure, 3 * row + 2, half[:, k], marks=False)
            assert drawn(figure, 3 * row + 2, numbers[f"{rule}_marks_half"][:, k], marks=True)
            # Half-times are known at 30 dial settings; between them straight lines on logarithmic axes are off by 1 %.
            between = np.interp(np.log(numbers["marks_dials"]), np.log(numbers["dials"]), np.log(half[:, k]))
            assert np.abs(np.exp(between) / numbers[f"{rule}_marks_half"][:, k] - 1).max() < 0.01
        # At the ends of the dial, 0.005 and 100, both limits are near; backprop keeps its start of 1 % in the lazy one.
        assert np.abs(half[0] / numbers[f"{rule}_rich_half"] - 1).max() < 0.01
        assert np.abs(half[-1] / numbers[f"{rule}_lazy_half"][-1] - 1).max() < 0.02


def test_learning_modes_become_those_of_the_task(made):
    numbers, figure = made("learning-modes")
    picture = figure.axes[0].images[0].get_array()
    assert np.array_equal(picture, numbers["overlap"][-1])
    # At three units of time the start, of size 0.1 · 0.1 · √10, is left in the weakest mode by its decay alone.
    assert np.abs(numbers["overlap"][-1] - np.eye(4)).max() < 0.05
    assert numbers["overlap"][0].diagonal().max() < 0.7
    for k in range(4):
        assert drawn(figure, 1, numbers["theory"][:, k], marks=False)
        assert drawn(figure, 1, numbers["singular"][:, k], marks=True)
    # Theory starts from zero, the run from random weights: they agree to some percent at the end.
    assert np.abs(numbers["singular"][-1] / numbers["theory"][-1] - 1).max() < 0.03
    assert drawn(figure, 2, numbers["alignment"], marks=True)
    assert abs(numbers["alignment"][0]) < 2 * numbers["chance"]
    assert 3 * numbers["chance"] < numbers["alignment"][-1] < numbers["theory_alignment"][-1]
    # Strengths, and with them the alignment, start as those of s.
    strengths = numbers["strengths"]
    early = np.sqrt((strengths**2).sum() ** 2 / (strengths**4).sum() / 8)
    assert numbers["theory_alignment"][1] == pytest.approx(early, abs=1e-3)


def test_learning_modes_moves(tmp_path):
    from PIL import Image

    path = tmp_path / "moving.gif"
    assert main(["figure", "learning-modes", "--quick", "--out", str(path)]) == 0
    with Image.open(path) as moving:
        assert moving.n_frames >= 5
        first = np.asarray(moving.convert("L"), dtype=float)
        moving.seek(moving.n_frames - 1)
        last = np.asarray(moving.convert("L"), dtype=float)
    assert first.shape == last.shape
    assert np.abs(first - last).max() > 50
