"""Where deep feedback alignment loses its error: effective rank layer by layer, and what lifts it."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.rank_collapse import RUNS
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.plot import new_figure

MARKS = {"fa": "o", "fa + Muon": "s", "fa + batch norm": "^", "fa + Muon + batch norm": "D"}
_QUICK = {
    "data": "digits",
    "epochs": 2,
    "batch": 64,
    "model": "mlp",
    "probe_every": 20,
    "model_options": {"widths": [32] * 5},
}


def _small(seed: int) -> list[recorded.Run]:
    return recorded.live(recorded.small_conditions(RUNS, _QUICK), [seed, seed + 1])


def compute(quick: bool, seed: int) -> Numbers:
    """By condition: mean and standard error by hidden layer at start and end; rank and accuracy (2, seeds)."""
    runs = _small(seed) if quick else recorded.recorded("deep")
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    for label in RUNS:
        found = recorded.over_training(runs, label, "error_effective_rank")
        if found is None:
            continue
        _, mean, error = found
        # The output's error is that of the loss, of rank classes − 1 under every rule.
        numbers[label] = np.array([mean[0, :-1], error[0, :-1], mean[-1, :-1], error[-1, :-1]])
        chosen = recorded.labelled(runs, label)
        last = [run.probes["error_effective_rank"][-1, -2] for run in chosen]
        numbers[f"{label} seeds"] = np.array([last, [run.accuracy[-1] for run in chosen]])
    return numbers


def _ranks(axes: Axes, numbers: Numbers) -> None:
    start = numbers["fa"][0] if "fa" in numbers else None
    if start is not None:
        axes.plot(np.arange(1, len(start) + 1), start, color="0.55", linewidth=1.2, label="before training, no norm")
    for label, (name, colour, line) in RUNS.items():
        if label in numbers:
            _, _, mean, error = numbers[label]
            axes.errorbar(
                np.arange(1, len(mean) + 1), mean, np.nan_to_num(error), color=colour, linestyle=line,
                marker=MARKS.get(label, ""), markersize=5.5, linewidth=1.7, label=name,
            )  # fmt: skip
            layers = len(mean)
    axes.set_xticks(np.arange(1, layers + 1))
    axes.set_xlabel("hidden layer, from the input")
    axes.set_ylabel("effective rank of the error")
    axes.set_ylim(bottom=0.0)


def _accuracy(axes: Axes, numbers: Numbers) -> None:
    for label, (_, colour, _) in RUNS.items():
        if label in numbers:
            axes.plot(*numbers[f"{label} seeds"], MARKS.get(label, "*"), color=colour, markersize=7)
    axes.set_xlabel("effective rank of the error\nin the last hidden layer")
    axes.set_ylabel("test accuracy, last epoch  (%)")
    axes.set_xlim(left=0.0)


def draw(numbers: Numbers) -> Figure:
    """Ranks by layer at the end of training; accuracy against that of the last hidden layer, single seeds."""
    figure = new_figure(10.5, 4.6)
    if not str(numbers["about"]):
        recorded.say_missing(figure.subplots(), recorded.command("deep"))
        return figure
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
    left.set_title(f"deep MLP;  {numbers['about']}", loc="left", fontsize=10, color="0.35")
    _ranks(left, numbers)
    _accuracy(right, numbers)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=9)
    return figure


FIGURE = FigureSpec(
    name="rank-depth",
    title="A deep net under feedback alignment loses its error on the way: rank by layer, and what lifts it",
    words="The error enters at the last hidden layer and goes left. Before training (grey) few directions reach the "
    "layer below the output, and every mask on the way adds some. Backprop (black) raises that rank where it is low; "
    "feedback alignment (orange) does not, and loses half the directions of the layers between. Muon, which makes "
    "updates nearly orthogonal, and batch normalisation lift it everywhere, and accuracy with it (right, single "
    "seeds). But rank is not accuracy: backprop learns most with a rank between. Means over seeds ± standard error.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-deep.jsonl",),
)
make = FIGURE.make
