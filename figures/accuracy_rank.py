"""How many numbers of error are enough: accuracy against the rank of the feedback, rule by rule."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from linfa.plot import new_figure

CLASSES = 10
# Rule: its name in the key, colour, mark.
RULES = {
    "normative": ("normative", "C0", "D"),
    "raf": ("RAF", "C2", "s"),
    "local": ("local", "C4", "^"),
    "kolen-pollack": ("only Q learns", "C3", "v"),
    "fixed": ("fixed", "C5", "o"),
}
LINES = {"fa": ("FA", "--"), "dfa": ("DFA", ":")}
PANELS = {"mlp": "a  MLP", "conv": "b  conv net", "vit": "c  transformer"}

_DIGITS = {"data": "digits", "epochs": 1, "batch": 12, "rate": 5e-3, "probe_every": 0}
_QUICK = {
    "mlp": (_DIGITS | {"model": "mlp", "model_options": {"widths": [32, 32]}}, tuple(RULES), (1, 3, 10), (0, 1)),
    "conv": (
        _DIGITS | {"model": "conv4", "model_options": {"widths": [8, 16], "strides": [2, 2]}},
        ("normative", "local"),
        (2, 8),
        (0,),
    ),
}


def _small(experiment: str, seed: int) -> list[recorded.Run]:
    common, rules, ranks, seeds = _QUICK[experiment]
    plans = {rule: common | {"feedback": rule} for rule in ("backprop", *LINES)}
    plans |= {f"{rule} r={r}": common | {"feedback": rule, "rank": r} for rule in rules for r in ranks}
    return recorded.live(plans, [seed + s for s in seeds])


def compute(quick: bool, seed: int) -> Numbers:
    """Mean and standard error of the last epoch's accuracy, for each network and rule."""
    panels = tuple(_QUICK) if quick else tuple(PANELS)
    numbers: Numbers = {"panels": np.array(panels)}
    for panel in panels:
        runs = _small(panel, seed) if quick else recorded.recorded(panel)
        numbers[f"{panel}_about"] = np.array(recorded.protocol(runs))
        for rule in ("backprop", *LINES):
            values = recorded.last_accuracy(runs, rule)
            if len(values):
                numbers[f"{panel}_{rule}"] = np.array(recorded.mean_and_error(values))
        for rule in RULES:
            ranks, mean, error = recorded.against_rank(runs, rule)
            if len(ranks):
                numbers[f"{panel}_{rule}"] = np.array([ranks, mean, error])
    return numbers


def _panel(axes: Axes, numbers: Numbers, panel: str) -> None:
    axes.set_title(PANELS[panel])
    about = str(numbers[f"{panel}_about"])
    axes.set_title(about.replace(", ", "\n", 1), loc="right", fontsize=9, color="0.35")
    axes.axvline(CLASSES, color="0.7", linewidth=1.0, zorder=0)
    if f"{panel}_backprop" in numbers:
        mean, error = numbers[f"{panel}_backprop"]
        if np.isfinite(error):
            axes.axhspan(mean - error, mean + error, color="0.8", linewidth=0, zorder=0)
        axes.axhline(mean, color="C6", linewidth=1.4, label="backprop")
    for rule, (label, line) in LINES.items():
        if f"{panel}_{rule}" in numbers:
            axes.axhline(numbers[f"{panel}_{rule}"][0], color="C1", linestyle=line, linewidth=1.6, label=label)
    for rule, (label, colour, mark) in RULES.items():
        if f"{panel}_{rule}" in numbers:
            ranks, mean, error = numbers[f"{panel}_{rule}"]
            axes.errorbar(
                ranks, mean, np.nan_to_num(error), color=colour, marker=mark, markersize=5.5, linewidth=1.5, label=label
            )
    axes.set_xscale("log", base=2)
    ranks = np.unique(np.concatenate([numbers[f"{panel}_{rule}"][0] for rule in RULES if f"{panel}_{rule}" in numbers]))
    axes.set_xticks(ranks)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("rank of the feedback  r")
    axes.set_ylabel("test accuracy, last epoch  (%)")
    # On white, as the lines of other rules may pass here; on the side where there is room, and clear of low lines.
    first = min(axes.get_xticks()) >= CLASSES
    axes.annotate(
        f"{CLASSES} classes", (CLASSES, 0.1), (5 if first else -5, 0), xycoords=axes.get_xaxis_transform(),
        textcoords="offset points", color="0.4", ha="left" if first else "right", va="bottom", fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
    )  # fmt: skip


def draw(numbers: Numbers) -> Figure:
    """One panel for each network that has runs."""
    panels = [str(panel) for panel in numbers["panels"]]
    there = [panel for panel in panels if str(numbers[f"{panel}_about"])]
    figure = new_figure(3.6 * max(len(there), 1) + 0.6, 4.9)
    if not there:
        recorded.say_missing(figure.subplots(), *map(recorded.command, panels))
        return figure
    every = figure.subplots(1, len(there), squeeze=False)[0]
    key: dict[str, object] = {}
    for axes, panel in zip(every, there, strict=True):
        _panel(axes, numbers, panel)
        handles, labels = axes.get_legend_handles_labels()
        key |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in key}
    missing = [recorded.command(panel) for panel in panels if panel not in there]
    title = "\n".join(["not recorded; made by", *missing]) if missing else None
    ncols = 4 if len(there) > 1 else 3
    figure.legend(key.values(), key.keys(), loc="outside lower center", ncols=ncols, title=title, title_fontsize=8)
    return figure


FIGURE = FigureSpec(
    name="accuracy-rank",
    title="How small may the error be? As small as the task has classes, if the feedback learns where to look",
    words="Each network is trained with an error that passes every layer through r numbers; what matters is which. "
    "Where P and Q both learn (normative: fitted to the weights; RAF and local: from errors and activity "
    "alone), as many numbers as classes come close to backprop (black, ± its standard error). Where P stays "
    "random, whether Q learns or not, much more is lost. FA and DFA carry an error of full size through "
    "fixed random weights. Points are means over seeds ± standard error of the last epoch's test accuracy.",
    claims=(),
    compute=compute,
    draw=draw,
    records=tuple(f"learning-{panel}.jsonl" for panel in PANELS),
)
make = FIGURE.make
