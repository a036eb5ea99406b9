"""Feedback alignment of one mode in the plane of its two weights: parabolas that end on a hyperbola."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import FeedbackAlignment
from linfa.plot import new_figure
from linfa.simulation import ensemble
from linfa.tasks import LinearTask
from linfa.theory.scalar_alignment import (
    critical_balance,
    end_point,
    relaxation_rate,
    scalar_balance,
    upper_weight,
    zero_error_points,
)

STRENGTH, FEEDBACK = 1.0, 1.0
EDGE = 3.2
# Starts (a, w): with the feedback, from zero, against it, and on both sides of the unstable branch.
STARTS = np.array(
    [
        [-2.6, 2.7],
        [0.0, 0.0],
        [0.0, 1.8],
        [2.8, 3.0],
        [1.2, -2.9],
        # Both on the parabola c = 6, on either side of its unstable point.
        [-0.1, -2.995],
        [-0.6, -2.82],
        [-2.9, 0.6],
    ]
)
PARABOLAS = np.array([-5.0, -2.5, 0.0, 3.0, 6.0, 9.0])


def _simulated(starts: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(a, w) over time of chains of two weights, (starts, T, 2)."""
    weights = [starts[:, k, None, None] for k in range(2)]
    feedback = FeedbackAlignment([[[FEEDBACK]]])
    run = ensemble(LinearTask([[STRENGTH]]), weights, feedback, t, rtol=1e-10, atol=1e-12)
    return np.stack([w[:, :, 0, 0] for w in run.weights], axis=2)


def _zero_error(a: np.ndarray) -> np.ndarray:
    """(a, w) with w a = s."""
    return np.stack([a, STRENGTH / a])


def compute(quick: bool, seed: int) -> Numbers:
    """Parabolas and zero-error points in closed form; runs from chosen starts and from a sweep over c."""
    t = np.linspace(0.0, 6.0, 25 if quick else 61)
    marks = _simulated(STARTS, t)
    balances = scalar_balance(STARTS[:, 0], STARTS[:, 1], FEEDBACK)
    ends = np.array([end_point(a, STRENGTH, FEEDBACK, c) for a, c in zip(STARTS[:, 0], balances, strict=True)])
    between = np.linspace(0.0, 1.0, 60)
    paths = STARTS[:, :1] + (ends[:, None] - STARTS[:, :1]) * between
    critical = float(critical_balance(STRENGTH, FEEDBACK))
    # The double root, where stable and unstable zero-error points meet.
    fold = float(zero_error_points(STRENGTH, FEEDBACK, critical)[1:].real.mean())
    shown = np.linspace(-6.0, 9.0, 151)
    roots = np.array([zero_error_points(STRENGTH, FEEDBACK, c) for c in shown])
    real = np.where(np.abs(roots.imag) < 1e-7, roots.real, np.nan)
    a, border, unstable = np.linspace(-EDGE, EDGE, 241), np.linspace(-EDGE, fold, 200), np.linspace(fold, -0.2, 200)
    sweep = np.linspace(-5.5, 8.5, 8 if quick else 15)
    # From far on either side of all roots.
    begin = np.array([[a, upper_weight(a, FEEDBACK, c)] for c in sweep for a in (-3.0, 3.0)])
    late = _simulated(begin, np.array([0.0, 200.0]))[:, -1, 0]
    return {
        "marks": marks,
        "paths": np.stack([paths, upper_weight(paths, FEEDBACK, balances[:, None])], axis=2),
        "ends": np.stack([ends, upper_weight(ends, FEEDBACK, balances)], axis=1),
        "a": a,
        "parabolas": upper_weight(a, FEEDBACK, PARABOLAS[:, None]),
        "aligned": _zero_error(np.geomspace(0.2, EDGE, 200)),
        "opposed": _zero_error(np.linspace(-1.1 * EDGE, fold, 200)),
        "unstable": _zero_error(unstable),
        # What ends opposed: left of the critical parabola and of the unstable points.
        "basin": np.concatenate(
            [np.stack([border, upper_weight(border, FEEDBACK, critical)]), _zero_error(unstable)], 1
        ),
        "critical": np.array(critical),
        "fold": _zero_error(np.array(fold)),
        "c": shown,
        "roots": real,
        "rates": relaxation_rate(real, shown[:, None]),
        "sweep": np.repeat(sweep, 2),
        "late": late,
    }


def draw(numbers: Numbers) -> Figure:
    """The plane of the two weights, and its zero-error points against c."""
    figure = new_figure(10.4, 5.3)
    plane, tree = figure.subplots(1, 2)
    fold, critical = numbers["fold"], float(numbers["critical"])
    for parabola in numbers["parabolas"]:
        plane.plot(numbers["a"], parabola, color="0.75", linewidth=1.0)
    corner = [[-EDGE], [numbers["basin"][1, -1]]]
    plane.fill(*np.concatenate([numbers["basin"], corner], axis=1), color="C4", alpha=0.22, linewidth=0)
    for name, style in (("aligned", "-"), ("opposed", "-"), ("unstable", "--")):
        plane.plot(*numbers[name], style, color="C1", linewidth=2.8)
    for path, marks, end in zip(numbers["paths"], numbers["marks"], numbers["ends"], strict=True):
        plane.plot(path[:, 0], path[:, 1], color="C0", linewidth=1.6)
        plane.plot(marks[:, 0], marks[:, 1], "o", color="C0", markersize=3.4)
        plane.plot(*marks[0], "s", color="C0", markerfacecolor="white", markersize=6)
        plane.plot(*end, "D", color="C6", markersize=5)
    plane.plot(*fold, "o", color="C1", markerfacecolor="white", markersize=8)
    for c, vertex in (("−5", 2.5), ("3", -1.5)):
        plane.annotate(f"c = {c}", (0, vertex), (-6, 4), textcoords="offset points", color="0.45", ha="center")
    plane.text(0.48, 2.85, "zero error  $wa = s$", color="C1")
    plane.text(-0.42, -2.0, "unstable", color="C1")
    plane.text(-3.12, -2.5, "ends against\nthe feedback,\n$bw < 0$", va="center")
    plane.set_xlim(-EDGE, EDGE)
    plane.set_ylim(-EDGE, EDGE)
    plane.set_xlabel("lower weight  a")
    plane.set_ylabel("upper weight  w")
    tree.axvspan(critical, numbers["c"][-1], color="C4", alpha=0.22, linewidth=0)
    tree.axhline(0.0, color="0.8", linewidth=1.0, zorder=0)
    for k in range(3):
        for sign, style in ((1, "-"), (-1, "--")):
            tree.plot(
                numbers["c"],
                np.where(sign * numbers["rates"][:, k] > 0, numbers["roots"][:, k], np.nan),
                style,
                color="C1",
                linewidth=2.8,
            )
    tree.plot(numbers["sweep"], numbers["late"], "o", color="C0")
    tree.plot(critical, fold[0], "o", color="C1", markerfacecolor="white", markersize=8)
    tree.text(-1.7, 2.0, "stable, $bw > 0$", color="C1", ha="center")
    tree.text(5.7, -2.55, "stable, $bw < 0$", color="C1", ha="right")
    tree.text(6.2, -0.75, "unstable", color="C1", ha="center")
    tree.text(3.2, 3.65, "$c > 3\\,(bs)^{2/3}$:  three", ha="left")
    tree.text(2.8, 3.65, "one zero-error point", ha="right")
    tree.set_xlabel("conserved  $c = a^2 - 2bw$")
    tree.set_ylabel("lower weight at zero error  a*")
    tree.set_xlim(numbers["c"][0], numbers["c"][-1])
    tree.set_ylim(-EDGE, 4.0)
    return figure


FIGURE = FigureSpec(
    name="phase-portrait",
    title="Feedback alignment of one mode: every parabola ends on the hyperbola of zero error",
    words="Two weights learn the map s under a fixed feedback b. Each start keeps c = a² − 2bw, so it slides along a "
    "parabola until it meets the hyperbola of zero error: all starts learn. Below a critical c there is one end, with "
    "the weight aligned to the feedback. Above it two more appear: the shaded starts end aligned against the feedback, "
    "with no error left to turn them. Lines are theory, dots simulations at equal steps of time.",
    claims=("fa-scalar-time", "fa-scalar-ends", "fa-scalar-threshold"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
