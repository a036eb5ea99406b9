"""Feedback alignment with and without Muon, with and without batch normalisation: four bars."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.plot import new_figure

# What stands behind the rule's name in a label: words below the bar.
SETTINGS = {
    "": "AdamW",
    " + Muon": "Muon",
    " + batch norm": "AdamW",
    " + Muon + batch norm": "Muon",
}
PLACES = np.array([0.0, 1.0, 2.5, 3.5])
CHANCE = 10.0
_QUICK = {"data": "digits", "epochs": 3, "batch": 24, "model": "conv4", "probe_every": 0}


def _small(seed: int) -> list[recorded.Run]:
    plans = {}
    for rule in ("backprop", "fa"):
        for setting, optimiser in SETTINGS.items():
            plans[rule + setting] = _QUICK | {
                "feedback": rule,
                "optimiser": optimiser.lower(),
                "rate": 0.02 if optimiser == "Muon" else 3e-3,
                "model_options": {
                    "widths": [8, 16], "strides": [2, 2], "normalisation": "batch" if "batch" in setting else None
                },
            }  # fmt: skip
    return recorded.live(plans, [seed, seed + 1])


def compute(quick: bool, seed: int) -> Numbers:
    """Accuracy of the last epoch of every seed (settings, seeds), NaN where a setting has fewer seeds."""
    runs = _small(seed) if quick else recorded.recorded("collapse")
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    for rule in ("backprop", "fa"):
        values = [recorded.last_accuracy(runs, rule + setting) for setting in SETTINGS]
        table = np.full((len(SETTINGS), max(1, *(len(v) for v in values))), np.nan)
        for row, found in zip(table, values, strict=True):
            row[: len(found)] = found
        numbers[rule] = table
    return numbers


def _finite(row: np.ndarray) -> np.ndarray:
    return row[np.isfinite(row)]


def draw(numbers: Numbers) -> Figure:
    """Bars for feedback alignment, a mark over each for backprop in the same setting."""
    figure = new_figure(7.0, 4.9)
    axes = figure.subplots()
    if not str(numbers["about"]):
        recorded.say_missing(axes, recorded.command("collapse"))
        return figure
    axes.set_title(f"conv net;  {numbers['about']}", fontsize=10, color="0.35")
    for place, words, fa, backprop in zip(PLACES, SETTINGS.values(), numbers["fa"], numbers["backprop"], strict=True):
        fa, backprop = _finite(fa), _finite(backprop)
        if len(fa):
            mean, error = recorded.mean_and_error(fa)
            axes.bar(place, mean, 0.8, color="C0" if words == "Muon" else "C5", zorder=1)
            axes.errorbar(place, mean, np.nan_to_num(error), color="black", capsize=4, linewidth=1.4, zorder=3)
            axes.plot(
                place + np.linspace(-0.2, 0.2, len(fa)), fa, "o", color="white", markeredgecolor="black", zorder=4
            )
            colour = "white" if words == "Muon" else "black"
            axes.text(place, 1.5, f"{mean:.1f}", ha="center", va="bottom", color=colour)
        if len(backprop):
            mean, error = recorded.mean_and_error(backprop)
            axes.plot([place - 0.42, place + 0.42], [mean, mean], color="C1", linewidth=2.2, zorder=2)
            axes.errorbar(place, mean, np.nan_to_num(error), color="C1", linewidth=1.4, zorder=2)
    axes.axhline(CHANCE, color="0.4", linewidth=1.0, linestyle=":")
    axes.text(1.75, CHANCE, "chance", color="0.35", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(PLACES, SETTINGS.values())
    axes.set_xlabel("without normalisation" + " " * 22 + "batch normalisation")
    axes.set_ylabel("test accuracy, last epoch  (%)")
    tallest = np.nanmax(np.concatenate([numbers["fa"].ravel(), numbers["backprop"].ravel()]))
    axes.set_ylim(0.0, 1.12 * tallest)
    axes.plot([], [], color="C1", linewidth=2.2, label="backprop")
    axes.plot([], [], "o", color="white", markeredgecolor="black", label="FA, single seeds")
    axes.legend(loc="upper left", ncols=2)
    return figure


FIGURE = FigureSpec(
    name="muon-normalisation",
    title="Feedback alignment in a convolutional net: what Muon adds, and what batch normalisation",
    words="Bars are feedback alignment, with AdamW or with Muon, which makes the update of every hidden matrix "
    "nearly orthogonal, and without or with batch normalisation; orange marks are backprop in the same "
    "setting. Dots are single seeds, whiskers the standard error. Whatever lifts a bar more than its orange "
    "mark is a help for the feedback, not for learning as such. The dotted line is chance, as all classes "
    "are equally many.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-collapse.jsonl",),
)
make = FIGURE.make
