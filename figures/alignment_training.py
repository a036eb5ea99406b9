"""Do weights and feedback come to agree, and with them the errors? Layer by layer over training."""

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.metrics import chance_band
from linfa.nn.models import model
from linfa.nn.network import Network
from linfa.plot import new_figure

RULES = {
    "fa": "FA",
    "kolen-pollack r=10": "only Q learns, r = 10",
    "raf r=10": "RAF, r = 10",
    "local r=10": "local, r = 10",
}
GRADIENTS, WEIGHTS = "sample_gradient_alignment", "weight_alignment"
_SHAPES = {"digits": (8, 8, 1), "cifar10": (32, 32, 3)}
_CLASSES = 10
_QUICK = {
    "data": "digits", "epochs": 2, "batch": 16, "rate": 5e-3, "probe_every": 12,
    "model": "mlp", "model_options": {"widths": [32, 32, 32]},
}  # fmt: skip


def _small(seed: int) -> list[recorded.Run]:
    plans = {}
    for label in RULES:
        rule, _, rank = label.partition(" r=")
        plans[label] = _QUICK | {"feedback": rule, "rank": int(rank) if rank else None}
    return recorded.live(plans, [seed, seed + 1])


def _chance(run: recorded.Run) -> tuple[float, float]:
    """Widest bands of cosines between unrelated errors of one sample, and unrelated matrices, at hidden layers."""
    layers = model(run.plan["model"], _SHAPES[run.plan["data"]], _CLASSES, **run.plan.get("model_options", {}))
    shapes = [m.weight.matrix.shape for m in Network(layers, _SHAPES[run.plan["data"]]).maps]
    return max(chance_band((1, out)) for out, _ in shapes[:-1]), max(chance_band(shape) for shape in shapes[1:])


def compute(quick: bool, seed: int) -> Numbers:
    """Mean and standard error over seeds of both alignments, (2, probes, layers) for each rule."""
    runs = _small(seed) if quick else [run for run in recorded.recorded("mlp") if run.label in RULES]
    runs = [run for run in runs if GRADIENTS in run.probes]
    numbers: Numbers = {"about": np.array(recorded.protocol(runs))}
    if runs:
        numbers["chance"] = np.array(_chance(runs[0]))
    for label in RULES:
        for name in (GRADIENTS, WEIGHTS):
            found = recorded.over_training(runs, label, name)
            if found is not None:
                numbers[f"{label}_step"] = found[0]
                numbers[f"{label}_{name}"] = np.array(found[1:])
    return numbers


def _curves(axes: Axes, step: np.ndarray, mean: np.ndarray, error: np.ndarray) -> None:
    for k, (height, spread) in enumerate(zip(mean.T, np.nan_to_num(error.T), strict=True)):
        axes.fill_between(step, height - spread, height + spread, color=f"C{k}", alpha=0.25, linewidth=0)
        axes.plot(step, height, color=f"C{k}", label=f"error at layer {k + 1}; weights behind B{k + 2}")


def draw(numbers: Numbers) -> Figure:
    """One column for each rule: errors above, weights below; what B of layer l + 1 sends arrives at layer l."""
    figure = new_figure(11.4, 5.6)
    if not str(numbers["about"]):
        recorded.say_missing(figure.subplots(), recorded.command("mlp"))
        return figure
    panels = figure.subplots(2, len(RULES), sharex=True, sharey=True)
    for column, (label, words) in zip(panels.T, RULES.items(), strict=True):
        column[0].set_title(words)
        column[1].set_xlabel("updates")
        for axes, chance in zip(column, numbers["chance"], strict=True):
            axes.axhspan(-2 * chance, 2 * chance, color="0.85", linewidth=0)
        if f"{label}_step" not in numbers:
            column[0].text(0.5, 0.5, "not recorded", ha="center", transform=column[0].transAxes)
            continue
        step = numbers[f"{label}_step"]
        # At the output the errors are the same under every rule; the first layer's weights send nothing.
        _curves(column[0], step, *numbers[f"{label}_{GRADIENTS}"][:, :, :-1])
        _curves(column[1], step, *numbers[f"{label}_{WEIGHTS}"][:, :, 1:])
    panels[0, 0].set_ylabel("cosine of the error\nwith backprop's")
    panels[1, 0].set_ylabel("cosine of weights\nand feedback")
    panels[0, 0].set_ylim(min(-0.12, -2.1 * numbers["chance"].max()), 1.04)
    # Of one column: all have the same layers.
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels[0]), key=lambda found: len(found[0]))
    title = f"{numbers['about']};  grey: chance, ±2 standard deviations"
    figure.legend(handles, labels, loc="outside lower center", ncols=3, title=title, title_fontsize=9.5)
    return figure


FIGURE = FigureSpec(
    name="alignment-training",
    title="The error that arrives, beside the one that backprop would send",
    words="Upper row: the cosine between the error that the rule brings to a hidden layer and the one that "
    "backprop would bring there, mean over samples. Lower row: the cosine of the weights and the feedback in "
    "their place. Colours are layers, from the lowest up; shading is the standard error over seeds. Under FA "
    "the feedback stands still and the weights turn towards it. Where Q learns, both move towards each "
    "other; a random P bounds how far. RAF and the local rule turn P as well. Errors can agree far better "
    "than weights do: they only need the directions in which errors lie.",
    claims=(),
    compute=compute,
    draw=draw,
    records=("learning-mlp.jsonl",),
)
make = FIGURE.make
