"""The linear experiment of the low-dimensional feedback paper, with its own sizes and constants."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.claims.published_experiment import (
    DECAY,
    HIDDEN,
    INPUTS,
    RATE,
    UPDATES,
    _descend,
    _descend_normative,
    _random_factors,
    _recovered,
    _set_up,
    _truncated_factors,
)
from linfa.feedback import LowRankFeedback
from linfa.plot import new_figure
from linfa.theory.finite_start import frozen_recovery, mean_recovery

MODES = 32
# The rank at which single modes are shown.
CHOSEN = 8


def compute(quick: bool, seed: int) -> Numbers:
    """Recovered part of all 32 modes after the published number of updates, or an eighth of it."""
    task, weights = _set_up(MODES, seed)
    updates = UPDATES // 8 if quick else UPDATES
    ranks, q_ranks = (np.array([CHOSEN, 32]), [CHOSEN]) if quick else (np.array([2, 4, CHOSEN, 16, 24, 32]), [2, 16])
    line_ranks = np.array([1, 2, 4, 8, 12, 16, 20, 24, 28, 32])
    theory = []
    for rank in line_ranks:
        through = frozen_recovery(task.target, weights[0], *_random_factors(int(rank), seed), updates, RATE, DECAY)
        theory.append(_recovered(task, task.target @ through))
    found: dict[str, list] = {"fixed": [], "q": [], "normative": []}
    for rank in ranks:
        q, p = _random_factors(int(rank), seed)
        factors = {"q_matrices": [q], "p_matrices": [p]}
        found["fixed"].append(_recovered(task, _descend(task, weights, LowRankFeedback(**factors), updates)))
        if rank in q_ranks:
            only_q = LowRankFeedback(q="kolen-pollack", **factors)
            found["q"].append(_recovered(task, _descend(task, weights, only_q, updates)))
        lower, upper, *_ = _descend_normative(task, weights, *_truncated_factors(weights[1], int(rank)), updates)
        found["normative"].append(_recovered(task, upper @ lower))
    return {
        "r": line_ranks,
        "fixed": np.array(theory),
        "end": np.array([mean_recovery(int(rank), MODES, HIDDEN, INPUTS) for rank in line_ranks]),
        "marks_r": ranks,
        "marks_fixed": np.array(found["fixed"]),
        "marks_normative": np.array(found["normative"]),
        "q_r": np.array(q_ranks),
        "marks_q": np.array(found["q"]),
        "strengths": task.strengths,
        "updates": np.array(updates),
    }


def _against_rank(axes: Axes, numbers: Numbers, name: str, colour: str) -> None:
    modes = numbers[f"marks_{name}"]
    axes.plot(np.repeat(numbers["marks_r"], MODES), modes.ravel(), ".", color=colour, alpha=0.4, markersize=4)
    axes.plot(numbers["r"], numbers["end"], color="0.45", linestyle=":")
    axes.plot(numbers["r"], numbers["fixed"].mean(1), color="C1", linewidth=3)
    axes.plot(numbers["marks_r"], modes.mean(1), "o", color=colour, markersize=8, markeredgecolor="white")
    axes.set_xlabel("rank of the feedback  r")
    axes.set_xlim(0, 34)
    axes.set_ylim(-0.12, 1.1)


def draw(numbers: Numbers) -> Figure:
    """Recovered part against rank, for fixed and for normative feedback, and mode by mode at one rank."""
    figure = new_figure(10.8, 4.4)
    left, middle, right = figure.subplots(1, 3, sharey=True)
    _against_rank(left, numbers, "fixed", "C1")
    left.plot(numbers["q_r"], numbers["marks_q"].mean(1), "x", color="C6", markersize=9, markeredgewidth=2)
    _against_rank(middle, numbers, "normative", "C2")
    at = int(np.flatnonzero(numbers["marks_r"] == CHOSEN)[0])
    mode = np.arange(1, MODES + 1)
    right.plot(mode, numbers["fixed"][numbers["r"] == CHOSEN][0], color="C1")
    right.plot(mode, numbers["marks_fixed"][at], "o", color="C1")
    right.plot(mode, numbers["marks_normative"][at], "D", color="C2")
    left.set_ylabel("recovered part  $\\hat\\sigma_k$")
    right.set_xlabel("mode  k, strongest first")
    left.set_title("a  Q and P fixed (×: Q learns)")
    middle.set_title("b  normative")
    right.set_title(f"c  mode by mode, r = {CHOSEN}")
    left.text(15, 0.92, "in the end", color="0.4", ha="right")
    left.text(33, 0.0, "line and large marks: mean", color="C1", ha="right")
    middle.text(33, 0.0, "line: mean, fixed", color="C1", ha="right")
    right.text(31, 0.93, "normative", color="C2", ha="right")
    right.text(31, 0.85, "fixed", color="C1", ha="right")
    return figure


FIGURE = FigureSpec(
    name="published-experiment",
    title="The published linear experiment: what its 5,000 updates show, and what they are too few for",
    words="The paper's network: 128 inputs, 64 hidden units, a target of 32 modes, 5,000 updates; small dots are "
    "modes, large marks means. Under fixed feedback (theory as line) r directions are learned and the random first "
    "layer is read out a little; learning Q alone (crosses) changes nothing. The mean says little of the normative "
    "rule, which learns the r strongest modes nearly whole (c). Dotted: where fixed feedback would end, much later.",
    claims=("published-fixed", "published-table", "published-loop", "finite-start-mean"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
