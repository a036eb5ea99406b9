"""How fast one may learn: where descent ends, over learning rate and start, and the rate that theory allows."""

import warnings

import matplotlib
import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop, Feedback, FeedbackAlignment
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import DivergenceWarning, ensemble
from linfa.tasks import LinearTask
from linfa.theory.low_rank import low_rank_weights
from linfa.theory.stability import backprop_max_rate, feedback_alignment_max_rate

STRENGTHS = np.array([3.0, 2.0, 1.0])
# No more outputs than modes: beyond them the start is forgotten slowly, whatever the rate.
WIDTHS = (5, 6, 3)
# Losses below this part of the first one are as good as zero.
FLOOR = 1e-8


def _ends(task: LinearTask, starts: list[np.ndarray], rule: Feedback, rates: np.ndarray, updates: int) -> np.ndarray:
    """Loss left, mean of the last two updates, (rates, starts); NaN where descent has left for good."""
    everything = 0.5 * np.square(STRENGTHS).sum()
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        for rate in rates:
            run = ensemble(task, starts, rule, [updates - 1, updates], learning_rate=float(rate))
            rows.append(run.loss.mean(1) / everything)
    return np.array(rows)


def compute(quick: bool, seed: int) -> Numbers:
    """Three maps: both rules from random weights of growing size, and FA from growing distances to its solution."""
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[2], seed=seed)
    aligned = FeedbackAlignment(seed=seed, draw="orthonormal")
    carrier = aligned.resolve(WIDTHS).matrices["b"][0]
    # By t = 10⁴ every mode has risen to the last bit.
    solution = [w[0] for w in low_rank_weights(task.target, carrier, np.eye(WIDTHS[2]), np.array([1e4]), 1.0)]
    size, updates = (8, 300) if quick else (40, 1000)
    fractions = np.linspace(0.32, 1.48, size)
    scales, distances = np.geomspace(0.01, 2.0, size), np.geomspace(0.01, 1.0, size)
    start = initial_weights(WIDTHS, "gaussian", 1.0, seed)
    random = [scales[:, None, None] * w for w in start]
    off = [(1 - distances)[:, None, None] * w for w in solution]
    fastest = {"backprop": float(backprop_max_rate(STRENGTHS[0]))}
    fastest["fa"] = float(feedback_alignment_max_rate(STRENGTHS[0], 1.0))
    return {
        "fractions": fractions,
        "scales": scales,
        "distances": distances,
        "max_rates": np.array([fastest["backprop"], fastest["fa"]]),
        "backprop": _ends(task, random, Backprop(), fractions * fastest["backprop"], updates),
        "fa": _ends(task, random, aligned, fractions * fastest["fa"], updates),
        "fa_near": _ends(task, off, aligned, fractions * fastest["fa"], updates),
    }


def draw(numbers: Numbers) -> Figure:
    """The maps side by side, learning rates in units of the largest one that theory allows."""
    figure = new_figure(10.8, 4.4)
    panels = figure.subplots(1, 3, sharey=True)
    shown = (
        ("backprop", "scales", "a  backprop, random start", "size of the start  $\\sigma_0$"),
        ("fa", "scales", "b  FA, random start", "size of the start  $\\sigma_0$"),
        ("fa_near", "distances", "c  FA, near its solution", "distance to the solution  $\\delta$"),
    )
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="white")
    for axes, (name, start, title, label) in zip(panels, shown, strict=True):
        losses = np.log10(np.maximum(numbers[name], FLOOR))
        image = axes.pcolormesh(
            numbers[start],
            numbers["fractions"],
            losses,
            vmin=np.log10(FLOOR),
            vmax=0.0,
            cmap=colours,
            shading="nearest",
        )
        axes.axhline(1.0, color="C1", linewidth=2)
        axes.set_xscale("log")
        axes.set_title(title)
        axes.set_xlabel(label)
    for axes, x, y, text in (
        (panels[0], 0.08, 0.6, "solved"),
        (panels[1], 0.08, 0.6, "solved"),
        (panels[2], 0.08, 0.6, "solved"),
        (panels[0], 0.08, 1.13, "two-cycle"),
        (panels[0], 0.08, 1.4, "leaves"),
        (panels[1], 0.08, 1.4, "leaves"),
        (panels[2], 0.08, 1.4, "leaves"),
    ):
        axes.text(x, y, text, color="white" if text == "solved" else "black", ha="center", va="center")
    panels[1].text(0.012, 1.02, "predicted  $\\eta_{max}$", color="C1", va="bottom")
    panels[0].set_ylabel("learning rate  $\\eta/\\eta_{max}$")
    bar = figure.colorbar(image, ax=panels, label="loss left  $\\log_{10} L/L_0$", pad=0.015, aspect=30)
    bar.ax.set_label("inset")
    return figure


FIGURE = FigureSpec(
    name="learning-rate",
    title="The largest learning rate is a statement about the neighbourhood of the solution",
    words="Loss left after 1,000 updates; white: gone to infinity. Below the predicted rate (orange) a solution is "
    "stable. Backprop obeys it from all small starts; just above it the strongest mode swings between two values, "
    "which is not yet the end. Feedback alignment near its solution fails where predicted (c), but from small random "
    "weights already at about 0.8 of that rate (b): it overshoots on the way. Large starts fail under either rule.",
    claims=("backprop-max-rate", "backprop-two-cycle", "fa-max-rate", "fa-max-rate-converges"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
