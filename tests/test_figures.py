"""Every figure at its quick size: what is drawn, not only that it runs."""

import json

import numpy as np
import pytest

from linfa import claims, figures
from linfa.cli import main

NAMES = figures.names()


@pytest.fixture(scope="module")
def made():
    """Each figure with its numbers, computed once."""
    found = {}
    for name in NAMES:
        spec = figures.get(name)
        numbers = spec.numbers(quick=True)
        found[name] = (spec, numbers, spec.make(quick=True))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_figure_has_words_claims_and_labelled_axes(made, name):
    spec, _, figure = made[name]
    assert spec.name == name
    assert len(spec.words.split()) > 25
    assert spec.title
    assert set(spec.claims) <= set(claims.names())
    for axes in figure.axes:
        if axes.has_data() and axes.axison and axes.get_label() != "inset":
            assert axes.get_xlabel() or any(o.get_xlabel() for o in axes.get_shared_x_axes().get_siblings(axes)), name
            assert axes.get_ylabel() or any(o.get_ylabel() for o in axes.get_shared_y_axes().get_siblings(axes)), name


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_finite_where_drawn_and_repeat_bit_for_bit(made, name):
    spec, numbers, _ = made[name]
    again = spec.numbers(quick=True)
    assert numbers.keys() == again.keys()
    for key, values in numbers.items():
        assert np.array_equal(values, again[key], equal_nan=values.dtype.kind == "f"), key


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_at_the_edge(made, name):
    figure = made[name][2]
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    # In inches; a pixel is 0.01.
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def lines(figure, panel=0):
    """Curves and marks of one panel, as (x, y, is marks)."""
    return [(*line.get_data(), line.get_linestyle() == "None") for line in figure.axes[panel].lines]


def test_backprop_modes_draws_theory_as_lines_through_simulated_marks(made):
    _, numbers, figure = made["backprop-modes"]
    for panel, depth in enumerate(numbers["depths"]):
        for k in range(4):
            shared = np.isin(numbers[f"t{depth}"], numbers[f"marks_t{depth}"])
            # Simulated at rtol 1e-10; the steep rise of five layers amplifies errors of time by about 1e2.
            assert np.abs(numbers[f"theory{depth}"][shared, k] - numbers[f"marks{depth}"][:, k]).max() < 1e-7
            drawn = lines(figure, panel)
            assert any(not marks and np.array_equal(y, numbers[f"theory{depth}"][:, k]) for _, y, marks in drawn)
            assert any(marks and np.array_equal(y, numbers[f"marks{depth}"][:, k]) for _, y, marks in drawn)


def test_shrinkage_marks_lie_on_theory(made):
    _, numbers, figure = made["shrinkage"]
    for name in ("backprop", "fa"):
        on_line = np.interp(numbers["marks_s"], numbers["s"], numbers[name])
        # Piecewise linear between 300 points of a smooth curve: 1e-4 of its size.
        assert np.abs(on_line - numbers[f"marks_{name}"]).max() < 1e-3
        assert any(marks and np.array_equal(y, numbers[f"marks_{name}"]) for _, y, marks in lines(figure))


def test_cache_is_used_and_noticed_when_stale_or_foreign(tmp_path, capsys):
    spec, cache = figures.get("shrinkage"), tmp_path / "kept.numbers.npz"
    numbers = spec.numbers(quick=True, cache=cache)
    with np.load(cache) as content:
        assert json.loads(str(content["parameters"]))["figure"] == "shrinkage"
    again = spec.numbers(quick=True, cache=cache)
    assert all(np.array_equal(numbers[key], again[key]) for key in numbers)
    assert capsys.readouterr().err == ""
    spec.numbers(quick=True, seed=1, cache=cache)
    assert "another size, seed or version" in capsys.readouterr().err
    cache.write_bytes(b"something else")
    with pytest.raises(ValueError, match="holds no numbers of a figure"):
        spec.numbers(quick=True, cache=cache)
    np.savez(cache, other=np.ones(3))
    with pytest.raises(ValueError, match="holds no numbers of a figure"):
        spec.numbers(quick=True, cache=cache)


def test_command_line_lists_draws_and_refuses(tmp_path, capsys):
    assert main(["figure", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == NAMES
    out = tmp_path / "picture.svg"
    assert main(["figure", "shrinkage", "--quick", "--out", str(out)]) == 0
    assert out.read_text().startswith("<?xml")
    for arguments, words in (
        (["figure", "shrinkag"], "shrinkage"),
        (["figure"], "name one figure"),
        (["figure", "shrinkage", "--quick", "--out", str(tmp_path / "x.gif")], "does not move"),
        (["figure", "shrinkage", "--quick", "--out", str(tmp_path / "no" / "x.png")], "no folder"),
        (["figure", "shrinkage", "--quick", "--out", str(tmp_path / "x.jpeg")], ".png, .pdf or .svg"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


def test_gallery_shows_every_figure_with_its_words(tmp_path):
    assert main(["figure", "--gallery", str(tmp_path / "g"), "--quick"]) == 0
    page = (tmp_path / "g" / "index.html").read_text()
    for name in NAMES:
        assert (tmp_path / "g" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'src="{name}.png"' in page
        assert f"linfa figure {name}" in page
