"""Feedback alignment with and without Muon and batch normalisation: four bars, with backprop over each pair."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.plot import new_figure

# Label of the runs of each bar: words below it.
BARS = {
    "fa": "AdamW",
    "fa + Muon": "Muon",
    "fa + batch norm": "AdamW",
    "fa + Muon + batch norm": "Muon",
}
PLACES = np.array([0.0, 1.0, 2.5, 3.5])
# Label of what each pair of bars is measured against.
REFERENCES = ("backprop", "backprop + batch norm")
CHANCE = 10.0
_QUICK = {
    "data": "digits",
    "epochs": 3,
    "batch": 24,
    "model": "conv4",
    "probe_every": 0,
    "model_options": {"widths": [8, 16], "strides": [2, 2]},
}


def _small(seed: int) -> list[recorded.Run]:
    return recorded.live(recorded.small_conditions((*BARS, *REFERENCES), _QUICK), [seed, seed + 1])


def compute(quick: bool, seed: int) -> Numbers:
    """Accuracy of the last epoch of every seed (settings, seeds), NaN where a setting has fewer seeds."""
    runs = _small(seed) if quick else recorded.recorded("collapse")
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    for rule, labels in (("fa", BARS), ("backprop", REFERENCES)):
        values = [recorded.last_accuracy(runs, label) for label in labels]
        table = np.full((len(labels), max(1, *(len(v) for v in values))), np.nan)
        for row, found in zip(table, values, strict=True):
            row[: len(found)] = found
        numbers[rule] = table
    return numbers


def _finite(row: np.ndarray) -> np.ndarray:
    return row[np.isfinite(row)]


def _whisker(axes: Axes, place: float, values: np.ndarray, **style: object) -> None:
    """Mean ± standard error; one seed has none."""
    mean, error = recorded.mean_and_error(values)
    if np.isfinite(error):
        axes.errorbar(place, mean, error, linewidth=1.4, **style)


def draw(numbers: Numbers) -> Figure:
    """Bars for feedback alignment, a line over each pair for backprop with the same normalisation."""
    figure = new_figure(7.0, 4.9)
    axes = figure.subplots()
    if not str(numbers["about"]):
        recorded.say_missing(axes, recorded.command("collapse"))
        return figure
    axes.set_title(f"conv net;  {numbers['about']}", fontsize=10, color="0.35")
    for place, words, values in zip(PLACES, BARS.values(), map(_finite, numbers["fa"]), strict=True):
        if len(values):
            axes.bar(place, values.mean(), 0.8, color="C0" if words == "Muon" else "C5", zorder=1)
            _whisker(axes, place, values, color="black", capsize=4, zorder=3)
            axes.plot(
                place + np.linspace(-0.2, 0.2, len(values)), values, "o", color="white", markeredgecolor="black",
                zorder=4,
            )  # fmt: skip
            colour = "white" if words == "Muon" else "black"
            axes.text(place, 1.5, f"{values.mean():.1f}", ha="center", va="bottom", color=colour)
    for pair, values in zip(PLACES.reshape(2, 2), map(_finite, numbers["backprop"]), strict=True):
        if len(values):
            ends = [pair[0] - 0.42, pair[1] + 0.42]
            axes.plot(ends, [values.mean()] * 2, color="C1", linewidth=2.2, zorder=2)
            _whisker(axes, pair.mean(), values, color="C1", zorder=2)
    axes.axhline(CHANCE, color="0.4", linewidth=1.0, linestyle=":")
    axes.text(1.75, CHANCE, "chance", color="0.35", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(PLACES, BARS.values())
    axes.set_xlabel("without normalisation" + " " * 22 + "batch normalisation")
    axes.set_ylabel("test accuracy, last epoch  (%)")
    tallest = np.nanmax(np.concatenate([numbers["fa"].ravel(), numbers["backprop"].ravel()]))
    axes.set_ylim(0.0, 1.12 * tallest)
    axes.plot([], [], color="C1", linewidth=2.2, label="backprop, AdamW")
    axes.plot([], [], "o", color="white", markeredgecolor="black", label="FA, single seeds")
    axes.legend(loc="upper left", ncols=2)
    return figure


FIGURE = FigureSpec(
    name="muon-normalisation",
    title="Feedback alignment in a convolutional net: what Muon adds, and what batch normalisation",
    words="Bars are feedback alignment, with AdamW or with Muon, which makes the update of every hidden matrix "
    "nearly orthogonal, and without or with batch normalisation; the orange line over each pair is backprop with "
    "AdamW and the same normalisation. Dots are single seeds, whiskers the standard error where there are several. "
    "As far as batch normalisation lifts a bar more than its line, it is a help for the feedback, not for learning as "
    "such. The dotted line is chance, as all classes are equally many.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-collapse.jsonl",),
)
make = FIGURE.make
