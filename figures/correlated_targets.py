"""Correlated targets under direct feedback, early in learning: conditioning gets worse, gradients come back."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa._random import stream
from linfa.feedback import DirectFeedback
from linfa.neighbours.teacher_student import (
    early_condition,
    early_gradient_alignment,
    learn_deep_online,
    target_covariance,
    target_map,
)
from linfa.plot import new_figure

DEPTH, INPUTS, HIDDEN = 4, 6, 20
# Time at the end, updates × rate: early, as the error is still the target but for a part t^15.
TIME = 0.3
MARKS = ("o", "s", "^")


def compute(quick: bool, seed: int) -> Numbers:
    """Leading-order theory, and networks that see single samples, with feedback of orthonormal columns."""
    updates, members = (5_000, 3) if quick else (60_000, 10)
    fine, marked = np.linspace(0.0, 0.99, 12 if quick else 120), np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.97])
    marked = marked[::2] if quick else marked
    fresh = stream(seed, "data").standard_normal((1000, INPUTS))
    alignment, condition = np.empty((2, len(marked), members, DEPTH - 1))
    for k, correlation in enumerate(marked):
        for m in range(members):
            target = target_map(target_covariance(1.0, correlation), INPUTS, 100 * seed + m)
            rule = DirectFeedback(seed=100 * seed + m, draw="orthonormal")
            course = learn_deep_online(
                target, [HIDDEN] * (DEPTH - 1), rule, [updates], learning_rate=TIME / updates, seed=100 * seed + m
            )
            alignment[k, m] = course.gradient_alignment(fresh)[0]
            condition[k, m] = course.condition[0, 1:]
    spread = (1 + fine) / (1 - fine)
    root = np.sqrt(members)
    return {
        "correlation": fine,
        "condition": np.stack([early_condition(spread, layer) for layer in range(2, DEPTH + 1)], axis=1),
        "alignment": np.array([[early_gradient_alignment(c, l, DEPTH) for l in range(1, DEPTH)] for c in fine]),
        "marks": marked,
        # Geometric means: condition numbers spread by factors.
        "marks_condition": np.exp(np.log(condition).mean(1)),
        "marks_alignment": alignment.mean(1),
        "spread_alignment": alignment.std(1, ddof=1) / root,
        "spread_condition": np.log(condition).std(1, ddof=1) / root,
    }


def draw(numbers: Numbers) -> Figure:
    """Condition numbers of the small matrices, and alignment of gradients, against the correlation."""
    figure = new_figure(10.2, 4.5)
    left, right = figure.subplots(1, 2)
    marks = numbers["marks"]
    for k in range(DEPTH - 1):
        colour = f"C{k}"
        left.plot(numbers["correlation"], numbers["condition"][:, k], color=colour)
        middle, spread = numbers["marks_condition"][:, k], np.exp(2 * numbers["spread_condition"][:, k])
        bars = [middle - middle / spread, middle * spread - middle]
        left.errorbar(marks, middle, bars, fmt=MARKS[k], color=colour, elinewidth=1.2, label=f"$A_{k + 2}$")
        right.plot(numbers["correlation"], numbers["alignment"][:, k], color=colour)
        right.errorbar(
            marks,
            numbers["marks_alignment"][:, k],
            2 * numbers["spread_alignment"][:, k],
            fmt=MARKS[k],
            color=colour,
            elinewidth=1.2,
            label=f"hidden layer {k + 1}",
        )
    left.set_yscale("log")
    left.set_ylim(0.7, 1e6)
    left.legend(loc="upper left")
    left.set_ylabel("condition number")
    left.set_title("a  small matrices $A_l$: only worse")
    right.set_ylim(0.65, 1.03)
    right.legend(loc="lower right")
    right.set_ylabel("mean cosine with backprop's signal")
    right.set_title("b  gradients: worse, then better")
    for axes in (left, right):
        axes.set_xlabel(r"correlation of the two targets  $\rho$")
        axes.set_xlim(-0.03, 1.02)
    return figure


FIGURE = FigureSpec(
    name="correlated-targets",
    title="Correlated targets: weight alignment always holds, gradient alignment has a worst case",
    words="In a deep linear network under direct feedback every weight matrix is its feedback around a small matrix "
    "A_l. Early in learning A_2 is the covariance of the targets, and each layer above squares what is below, so that "
    "correlated targets condition it badly (a). Signals then turn away from backprop's, most in the lowest layer, "
    "but only up to a point: when the targets are almost one, so are all errors, and nothing is left to turn (b). "
    "Lines are theory, marks networks that learned sample by sample, with two standard errors.",
    claims=("teacher-conditioning", "teacher-gradient-alignment", "teacher-weak-alignment"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
