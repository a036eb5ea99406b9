"""Effective ranks over training: of the error at each layer, and of the path that its weights take."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from linfa.nn.probes import TRAJECTORY_ROWS
from linfa.plot import new_figure

# Label of the runs: name in the key, colour, line.
RUNS = {
    "backprop": ("backprop", "C6", "-"),
    "fa": ("FA", "C1", "-"),
    "fa + Muon": ("FA + Muon", "C0", "--"),
    "fa + batch norm": ("FA + batch norm", "C2", "-."),
    "fa + Muon + batch norm": ("FA + both", "C3", ":"),
}
ERROR, PATH = "error_effective_rank", "trajectory_effective_rank"
CLASSES = 10
_QUICK = {
    "data": "digits",
    "epochs": 2,
    "batch": 32,
    "model": "conv4",
    "probe_every": 8,
    "model_options": {"widths": [8, 16, 16], "strides": [1, 2, 2]},
}


def _small(seed: int) -> list[recorded.Run]:
    return recorded.live(recorded.small_conditions(RUNS, _QUICK), [seed])


def compute(quick: bool, seed: int) -> Numbers:
    """Mean and standard error over seeds of both effective ranks, (2, probes, layers) for each run."""
    runs = _small(seed) if quick else [run for run in recorded.recorded("collapse") if run.label in RUNS]
    runs = [run for run in runs if ERROR in run.probes]
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    if runs:
        numbers["layers"] = np.array(runs[0].layers)
    for label in RUNS:
        for name in (ERROR, PATH):
            found = recorded.over_training(runs, label, name)
            if found is not None:
                numbers[f"{label}_step"] = found[0]
                numbers[f"{label}_{name}"] = np.array(found[1:])
    return numbers


def draw(numbers: Numbers) -> Figure:
    """One column for each layer: the error above, the path of the weights below."""
    figure = new_figure(11.4, 5.9)
    if not str(numbers["about"]):
        recorded.say_missing(figure.subplots(), recorded.command("collapse"))
        return figure
    layers = [str(layer) for layer in numbers["layers"]]
    panels = figure.subplots(2, len(layers), sharex=True, sharey="row")
    longest = np.zeros(0)
    for label, (words, colour, line) in RUNS.items():
        if f"{label}_step" not in numbers:
            continue
        step = numbers[f"{label}_step"]
        longest = step if len(step) > len(longest) else longest
        for row, name in zip(panels, (ERROR, PATH), strict=True):
            mean, error = numbers[f"{label}_{name}"]
            for k, axes in enumerate(row):
                # One seed has no error, and no band.
                low, high = mean[:, k] - error[:, k], mean[:, k] + error[:, k]
                if np.isfinite(error[:, k]).any():
                    axes.fill_between(step, low, high, color=colour, alpha=0.2, linewidth=0)
                axes.plot(step, mean[:, k], line, color=colour, label=words, linewidth=1.8)
    # No more dimensions than updates that were probed and are kept.
    most = np.minimum(np.arange(1, len(longest) + 1), TRAJECTORY_ROWS)
    for k, layer in enumerate(layers):
        panels[0, k].set_title("output" if k == len(layers) - 1 else layer)
        panels[1, k].set_xlabel("updates")
        panels[1, k].plot(longest, most, color="0.6", linewidth=1.0)
    panels[0, -1].axhline(CLASSES - 1, color="0.4", linewidth=1.0)
    panels[0, -1].text(
        1.0,
        CLASSES - 0.7,
        "classes − 1",
        color="0.35",
        ha="right",
        va="bottom",
        transform=panels[0, -1].get_yaxis_transform(),
    )
    panels[1, 0].text(longest[-1], most[-1], "updates probed ", color="0.4", ha="right", va="bottom", fontsize=9)
    for row, words in zip(
        panels, ("effective rank\nof the error", "effective rank of\nthe path of updates"), strict=True
    ):
        row[0].set_ylabel(words)
        row[0].set_yscale("log")
        row[0].yaxis.set_major_locator(LogLocator(10.0, (1.0, 2.0, 5.0)))
        row[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        row[0].yaxis.set_minor_locator(NullLocator())
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, title=str(numbers["about"]), title_fontsize=9.5)
    return figure


FIGURE = FigureSpec(
    name="rank-collapse",
    title="How many dimensions the error and the updates have, with and without Muon and batch normalisation",
    words="A net of convolutions and a classifier; one column for each layer with weights. Upper row: effective "
    "rank (exponential of the entropy of the singular values) of the errors at a layer, over a batch of test "
    "images and all positions. At the output the errors of a softmax sum to zero, so that it is at most "
    "classes − 1; lower layers gain dimensions only by their nonlinearities and positions. Lower row: "
    "effective rank of the updates that were probed up to then, as rows of a matrix (of the latest "
    f"{TRAJECTORY_ROWS}, where there are more); it cannot exceed their number (grey). Muon makes every update nearly "
    "orthogonal, batch normalisation the activity less alike.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-collapse.jsonl",),
)
make = FIGURE.make
