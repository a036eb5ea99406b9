"""What weight decay does to each mode: backprop's threshold against feedback alignment's cube root."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop, FeedbackAlignment
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import soft_threshold
from linfa.theory.feedback_alignment import decayed_error

DECAY = 0.5


def compute(quick: bool, seed: int) -> Numbers:
    """End points of both rules for tasks whose strengths cover the axis."""
    strengths = np.linspace(2.0, 0.2, 4 if quick else 10)
    size = len(strengths)
    task = LinearTask.from_modes(strengths, inputs=size, outputs=size, seed=seed)
    weights = initial_weights((size, size + 2, size), "gaussian", 0.3, seed)
    # Long enough for the mode nearest to the threshold.
    t, options = [60.0 if quick else 400.0], {"weight_decay": DECAY, "rtol": 1e-9}
    backprop = simulate(task, weights, Backprop(), t, **options)
    aligned = simulate(task, weights, FeedbackAlignment(seed=seed, draw="orthonormal"), t, **options)
    fine = np.linspace(0.0, 2.1, 300)
    return {
        "s": fine,
        "backprop": soft_threshold(fine, DECAY),
        "fa": fine - decayed_error(fine, 1.0, DECAY, DECAY),
        "marks_s": strengths,
        "marks_backprop": backprop.mode_strengths[-1],
        "marks_fa": aligned.mode_strengths[-1],
    }


def draw(numbers: Numbers) -> Figure:
    """Learned against required strength."""
    figure = new_figure(5.6, 4.6)
    axes = figure.subplots()
    axes.plot(numbers["s"], numbers["s"], color="0.6", linestyle=":")
    axes.text(1.62, 1.78, "no decay", color="0.4", rotation=42, rotation_mode="anchor", ha="center")
    for name, colour in (("backprop", "C0"), ("fa", "C1")):
        axes.plot(numbers["s"], numbers[name], color=colour)
        axes.plot(numbers["marks_s"], numbers[f"marks_{name}"], "o", color=colour)
    axes.text(1.05, 0.42, "backprop", color="C0")
    axes.text(0.78, 0.48, "feedback\nalignment", color="C1", ha="right", va="bottom")
    axes.set_xlabel("strength of the mode in the task  s")
    axes.set_ylabel("strength learned  u")
    axes.set_xlim(0, 2.1)
    axes.set_ylim(-0.03, 2.1)
    axes.set_aspect("equal")
    return figure


FIGURE = FigureSpec(
    name="shrinkage",
    title="Weight decay cuts weak modes under backprop, and shrinks all of them under feedback alignment",
    words="With weight decay (0.5 in both layers) no mode is learned in full. Backprop gives up a fixed amount of each "
    "and modes weaker than that altogether: a hard threshold. Feedback alignment follows a smooth cube-root law: even "
    "the weakest mode is learned a little. Lines are theory, dots the ends of simulations from random weights.",
    claims=("backprop-soft-threshold", "fa-decay-shrinkage"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
