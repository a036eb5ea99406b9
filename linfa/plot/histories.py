"""Plots of training runs: accuracy, alignment and effective ranks, layer by layer, from a `linfa.nn.History`."""

from collections.abc import Mapping
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linfa._check import integer
from linfa.plot.base import colours, new_figure, styled

# As many as the style sheet has colours; deeper networks go from dark to light.
_COLOURS = 7
# Names in the key below the figure.
_NAMED = 8
_GREY = "0.4"


class Record(Protocol):
    """What is read of a `linfa.nn.History`."""

    layers: list[str]
    names: list[str]
    settings: dict

    def __getattr__(self, name: str) -> np.ndarray: ...


def training(history: Record, *, classes: int | None = None, title: str = "") -> Figure:
    """Four panels of one run: loss and accuracy; alignment, effective rank of the error and of the updates by layer.

    Parameters
    ----------
    history : linfa.nn.History
        With at least one epoch or one probe. Panels of what was not measured say so.
    classes : int, optional
        Outputs of the network, for the line at classes − 1: with cross-entropy the most that the rank of the error can
        be at the output, and in a linear network at every layer. ``history.settings["classes"]`` when not given.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If `history` is something else, or empty.
    """
    _check("history", history)
    if classes is None:
        classes = history.settings.get("classes")
    classes = None if classes is None else integer("classes", classes, at_least=2)

    def make() -> Figure:
        figure = _apart(new_figure(10.4, 7.6))
        grid = figure.add_gridspec(2, 2)
        halves = grid[0, 0].subgridspec(2, 1, hspace=0.08)
        upper = figure.add_subplot(halves[0])
        lower = figure.add_subplot(halves[1], sharex=upper)
        others = [figure.add_subplot(grid[place]) for place in ((0, 1), (1, 0), (1, 1))]
        _losses(upper, history)
        _accuracies(lower, history)
        for axes, draw in zip(others, (_alignment, _error_rank, _update_rank), strict=True):
            draw(axes, history, classes)
        for axes, letter in zip((upper, *others), "abcd", strict=True):
            axes.set_title(letter, fontweight="bold")
        _layer_key(figure, history)
        if title:
            figure.suptitle(title, fontsize=13, parse_math=False)
        return figure

    return styled(make)


def compare(histories: Mapping[str, Record], *, classes: int | None = None, title: str = "") -> Figure:
    """Several runs in three panels: test accuracy, effective rank of the error by layer, and of the trajectory.

    Parameters
    ----------
    histories : dict of str to linfa.nn.History
        Runs by the names to show. The rank of the error is that of the last probe, its layers from input to output.
    classes, title
        As in `training`; the line at classes − 1 is drawn where all runs agree on it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If a run is something else, or empty.
    """
    if not isinstance(histories, Mapping):
        raise TypeError(f"histories is {type(histories).__name__}; it must be a dictionary of runs by name")
    if not histories:
        raise ValueError("histories is empty; it must hold at least one run")
    for name, history in histories.items():
        _check(f"histories[{name!r}]", history)
    if classes is None:
        agreed = {h.settings.get("classes") for h in histories.values()}
        classes = agreed.pop() if len(agreed) == 1 else None
    classes = None if classes is None else integer("classes", classes, at_least=2)

    def make() -> Figure:
        figure = _apart(new_figure(12.4, 4.6))
        left, middle, right = figure.subplots(1, 3)
        styles = _styles(len(histories))
        for history, style in zip(histories.values(), styles, strict=True):
            if "test_accuracy" in history.names:
                left.plot(history.step, 100 * history.test_accuracy, marker="o", **style)
            profile = _layered(history, "error_effective_rank")
            if profile is not None:
                middle.plot(np.arange(1, len(profile[-1]) + 1), profile[-1], marker="o", **style)
            if "whole_trajectory_effective_rank" in history.names:
                right.plot(history.probe_step, history.whole_trajectory_effective_rank, **style)
        longest = max(histories.values(), key=lambda h: len(h.probe_step))
        if right.lines:
            _most_directions(right, longest)
        left.set(xlabel="updates", ylabel="test accuracy  (%)")
        _layer_axis(middle, list(histories.values()))
        middle.set_ylabel("effective rank of the error,\nat the last probe")
        right.set(xlabel="updates", ylabel=_of_trajectory(longest))
        for axes in (middle, right):
            axes.set_ylim(bottom=0)
        if classes is not None and middle.lines:
            _bound(middle, classes, "left")
        for axes, letter in zip((left, middle, right), "abc", strict=True):
            axes.set_title(letter, fontweight="bold")
            if not axes.lines:
                _nothing(axes)
        handles = [Line2D([], [], **style) for style in styles]
        figure.legend(handles, list(map(str, histories)), loc="outside lower center", ncols=_columns(len(handles)))
        if title:
            figure.suptitle(title, fontsize=13, parse_math=False)
        return figure

    return styled(make)


def _check(name: str, history: object) -> None:
    if not all(hasattr(history, wanted) for wanted in ("layers", "names", "settings", "append_probe")):
        raise TypeError(f"{name} is {type(history).__name__}; it must be a linfa.nn.History")
    if not len(history.step) and not len(history.probe_step):
        raise ValueError(f"{name} holds neither epochs nor probes; there is nothing to plot")


def _losses(axes: Axes, history: Record) -> None:
    drawn = _pair(axes, history, "loss", 1.0)
    if drawn:
        heights = np.concatenate([line.get_ydata() for line in axes.lines])
        # Over less than a decade a logarithmic axis has no labels worth reading.
        if np.nanmin(heights) > 0 and np.nanmax(heights) > 10 * np.nanmin(heights):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0 if np.nanmin(heights) >= 0 else None)
    axes.set_ylabel("loss")
    axes.tick_params(labelbottom=False)


def _accuracies(axes: Axes, history: Record) -> None:
    if _pair(axes, history, "accuracy", 100.0):
        axes.legend(loc="lower right")
    axes.set_ylabel("accuracy  (%)")
    axes.set_xlabel("updates")


def _pair(axes: Axes, history: Record, what: str, unit: float) -> bool:
    """The curves of the training and the test part; whether there are any."""
    blue, red = colours(2)
    for name, colour in ((f"train_{what}", blue), (f"test_{what}", red)):
        if name in history.names and np.isfinite(getattr(history, name)).any():
            label = "test" if name.startswith("test") else "training"
            axes.plot(history.step, unit * getattr(history, name), "o-", color=colour, label=label)
    if not axes.lines:
        _nothing(axes)
    return bool(axes.lines)


def _alignment(axes: Axes, history: Record, classes: int | None) -> None:
    """Weights with feedback, and errors with backprop's: 1 where they are the same."""
    chance = _layered(history, "chance_alignment")
    weights, errors = (_layered(history, n) for n in ("weight_alignment", "sample_gradient_alignment"))
    if weights is None and errors is None:
        _nothing(axes)
    else:
        if weights is not None and chance is not None:
            aligned = np.isfinite(weights).any(0)
            band = 2 * float(chance[0][aligned].max())
            axes.axhspan(-band, band, color="0.88", linewidth=0)
            axes.plot([], [], color="0.88", linewidth=8, label="chance, weights, ±2 s.d.")
        axes.axhline(1.0, color=_GREY, linestyle=":", linewidth=1.2)
        axes.annotate(
            "backprop", (0.0, 1.0), (4, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points", color=_GREY
        )
        for values, line, label in (
            (weights, "-", "weights and feedback"),
            (errors, "--", "error and backprop's error"),
        ):
            if values is not None:
                _by_layer(axes, history, values, line)
                axes.plot([], [], line, color="0.2", label=label)
        shown = [float(np.nanmin(v)) for v in (weights, errors) if v is not None]
        axes.set_ylim(max(-1.05, min(-0.35, *shown, 0.0) - 0.15), 1.15)
        axes.legend(loc="lower right")
    axes.set_ylabel("alignment  (cosine)")
    axes.set_xlabel("updates")


def _error_rank(axes: Axes, history: Record, classes: int | None) -> None:
    values = _layered(history, "error_effective_rank")
    if values is None:
        _nothing(axes)
    else:
        _by_layer(axes, history, values, "-")
        axes.set_ylim(bottom=0)
        if classes is not None:
            _bound(axes, classes, "right")
    axes.set_ylabel("effective rank of the error")
    axes.set_xlabel("updates")


def _update_rank(axes: Axes, history: Record, classes: int | None) -> None:
    """Of the trajectory; where it was not measured, of the single update."""
    values, what = _layered(history, "trajectory_effective_rank"), _of_trajectory(history)
    of_trajectory = values is not None
    if not of_trajectory:
        values, what = _layered(history, "update_effective_rank"), "effective rank of the update"
    if values is None:
        _nothing(axes)
    else:
        _by_layer(axes, history, values, "-")
        top = float(np.nanmax(values))
        if of_trajectory:
            whole = _layered(history, "whole_trajectory_effective_rank")
            if whole is not None:
                axes.plot(history.probe_step, whole, "--", color="black", label="all layers together")
                top = max(top, float(np.nanmax(whole)))
            _most_directions(axes, history)
        # Weights that never moved have rank 0 throughout.
        axes.set_ylim(0, 1.12 * top if top > 0 else 1.0)
    axes.set_ylabel(what)
    axes.set_xlabel("updates")


def _window(history: Record) -> int | None:
    """Updates that the rank of the trajectory is of, where fewer than were probed."""
    rows = history.settings.get("trajectory_rows")
    return rows if isinstance(rows, int) and rows < len(history.probe_step) else None


def _of_trajectory(history: Record) -> str:
    rows = _window(history)
    return "effective rank of the trajectory" + ("" if rows is None else f",\nof the latest {rows} updates probed")


def _most_directions(axes: Axes, history: Record) -> None:
    """As many directions as updates is the most that a trajectory can have."""
    rows = _window(history)
    probed = np.arange(1, len(history.probe_step) + 1)
    words = "updates probed so far"
    if rows is not None:
        probed, words = np.minimum(probed, rows), f"{words}, {rows} at most"
    low, high = axes.get_ylim()
    axes.plot(history.probe_step, probed, ":", color=_GREY, linewidth=1.4, label=words)
    axes.set_ylim(low, high)
    axes.legend(loc="lower right")


def _layered(history: Record, name: str) -> np.ndarray | None:
    """(probes, layers), None where it was not measured or is NaN throughout."""
    if name not in history.names:
        return None
    values = getattr(history, name)
    return values if np.isfinite(values).any() else None


def _shades(count: int) -> list:
    if count <= _COLOURS:
        return colours(count)
    # The lightest end of the map would not be seen on white.
    return list(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, count)))


def _by_layer(axes: Axes, history: Record, values: np.ndarray, line: str) -> None:
    for column, colour in zip(values.T, _shades(len(history.layers)), strict=True):
        if np.isfinite(column).any():
            # One probe alone draws no line.
            marker = "o" if len(column) == 1 else ""
            axes.plot(history.probe_step, column, line, marker=marker, color=colour, linewidth=1.6)


def _layer_key(figure: Figure, history: Record) -> None:
    """Colours of the layers; of many, some."""
    count = len(history.layers)
    if not count or not len(history.probe_step):
        return
    named = np.unique(np.linspace(0, count - 1, min(count, _NAMED)).round().astype(int))
    shades = _shades(count)
    handles = [Line2D([], [], color=shades[k]) for k in named]
    title = "layers in b, c, d" + (f", some of {count}" if len(named) < count else "")
    figure.legend(
        handles,
        [history.layers[k] for k in named],
        loc="outside lower center",
        ncols=_columns(len(named)),
        title=title,
    )


def _layer_axis(axes: Axes, histories: list[Record]) -> None:
    """Layers along the axis: by name where all runs have the same, few ones; else by number."""
    layers = histories[0].layers
    if all(h.layers == layers for h in histories) and len(layers) <= _COLOURS:
        axes.set_xticks(np.arange(1, len(layers) + 1), layers, rotation=30, ha="right")
    else:
        axes.set_xlabel("layer, from the input")
        axes.xaxis.get_major_locator().set_params(integer=True)


def _styles(count: int) -> list[dict]:
    lines = ("-", "--", ":", "-.")
    palette = colours(count)
    return [{"color": palette[k], "linestyle": lines[(k // _COLOURS) % len(lines)]} for k in range(count)]


def _bound(axes: Axes, classes: int, side: str) -> None:
    axes.axhline(classes - 1, color=_GREY, linestyle=":", linewidth=1.2)
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.3 * (classes - 1)))
    axes.annotate(
        "classes − 1",
        (float(side == "right"), classes - 1),
        (-2 if side == "right" else 4, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha=side,
        color=_GREY,
    )


def _apart(figure: Figure) -> Figure:
    """With room between panels, each of which has an axis of its own."""
    figure.get_layout_engine().set(w_pad=0.1, wspace=0.02)
    return figure


def _columns(entries: int) -> int:
    """Of a key with rows of like length, at most six in a row."""
    return -(-entries // -(-entries // 6))


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=_GREY, transform=axes.transAxes)
