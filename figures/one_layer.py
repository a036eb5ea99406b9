"""Which layer minds least: feedback of rank r to one layer alone, against all layers at rank r."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from linfa.plot import new_figure

# Label of the runs: how the curve is called, colour, mark.
CURVES = {
    "B2": ("B2, into the lowest layer", "C0", "o"),
    "B3": ("B3, into the middle one", "C2", "s"),
    "B4": ("B4, from the output", "C3", "D"),
    "raf": ("all three", "C1", "^"),
}
FREE = "none constrained"

_WIDTH, _CLASSES = 32, 10
_QUICK = {
    "data": "digits", "epochs": 1, "batch": 12, "rate": 5e-3, "probe_every": 0,
    "model": "mlp", "model_options": {"widths": [_WIDTH] * 3}, "feedback": "raf",
}  # fmt: skip
_FULL = (_WIDTH, _WIDTH, _CLASSES)


def _small(seed: int) -> list[recorded.Run]:
    plans = {FREE: _QUICK | {"rank": list(_FULL)}}
    for rank in (1, 3, 10):
        for place in range(3):
            plans[f"B{place + 2} r={rank}"] = _QUICK | {
                "rank": [rank if k == place else r for k, r in enumerate(_FULL)]
            }
        plans[f"raf r={rank}"] = _QUICK | {"rank": rank}
    return recorded.live(plans, [seed, seed + 1])


def compute(quick: bool, seed: int) -> Numbers:
    """Mean and standard error of accuracy against rank, for each layer that is constrained."""
    if quick:
        runs = _small(seed)
    else:
        runs = recorded.recorded("layers")
        if runs:
            runs += [run for run in recorded.recorded("mlp") if run.label.startswith("raf ")]
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    for label in CURVES:
        found = recorded.against_rank(runs, label)
        if len(found[0]):
            numbers[label] = np.array(found)
    values = recorded.last_accuracy(runs, FREE)
    if len(values):
        numbers["free"] = np.array(recorded.mean_and_error(values))
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Accuracy against rank, one curve for each layer."""
    figure = new_figure(7.0, 4.9)
    axes = figure.subplots()
    if not str(numbers["about"]):
        recorded.say_missing(axes, recorded.command("layers"), recorded.command("mlp"))
        return figure
    axes.set_title(f"MLP with three hidden layers, RAF;  {numbers['about']}", fontsize=10, color="0.35")
    if "free" in numbers:
        mean, error = numbers["free"]
        if np.isfinite(error):
            axes.axhspan(mean - error, mean + error, color="0.85", linewidth=0, zorder=0)
        axes.axhline(mean, color="0.35", linewidth=1.4, label="none")
    ranks = [np.zeros(0)]
    for label, (words, colour, mark) in CURVES.items():
        if label in numbers:
            r, mean, error = numbers[label]
            ranks.append(r)
            axes.errorbar(
                r, mean, np.nan_to_num(error), color=colour, marker=mark, markersize=6, linewidth=1.6, label=words
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(np.unique(np.concatenate(ranks)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("rank of the feedback that is constrained  r")
    axes.set_ylabel("test accuracy, last epoch  (%)")
    axes.legend(loc="lower right", title="constrained feedback")
    return figure


FIGURE = FigureSpec(
    name="one-layer",
    title="One narrow passage: which layer's error may be small",
    words="A network with three hidden layers has three feedback matrices, B2 into the lowest hidden layer, B3, "
    "and B4 from the output. One of them at a time gets rank r, the others stay as wide as their layers; Q "
    "and P learn by the RAF rule. The error becomes low-dimensional at the output, where there are only as "
    "many numbers as classes: whatever B4 leaves out is missing in every layer below, whereas B2 only takes "
    "it from the lowest. With all three, every layer is sent no more than r numbers. The grey line has no "
    "constraint. Points are means over seeds ± standard error.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-layers.jsonl", "learning-mlp.jsonl"),
)
make = FIGURE.make
