"""The flow of backprop in the plane of two weights: hyperbolas, a saddle, and the zero-error curve."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.reduced_modes import mode_velocity
from linfa.theory.unbalanced import unbalanced_amplitudes, unbalanced_strength

STRENGTH = 1.0
EDGE = 2.2
# (a, b) at the start; two lie close to the line b = −a, which leads into the saddle.
STARTS = np.array(
    [
        [0.04, 0.04],
        [-1.55, 1.6],
        [1.6, -1.55],
        [-0.15, 1.6],
        [1.8, 0.1],
        [-1.9, -2.0],
        [2.1, 1.7],
        [0.25, -1.3],
        [-1.1, 0.1],
    ]
)


def _path(start: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(a, b) over time, from the closed form of their product and the conserved difference of their squares."""
    a, b = start
    balance = b**2 - a**2
    strength = unbalanced_strength(t, STRENGTH, a * b, balance)
    lower, upper = unbalanced_amplitudes(strength, balance)
    # The larger weight never changes its sign; the other one has that of the product.
    if balance >= 0:
        return np.stack([np.sign(b) * np.sign(strength) * lower, np.sign(b) * upper], axis=1)
    return np.stack([np.sign(a) * lower, np.sign(a) * np.sign(strength) * upper], axis=1)


def compute(quick: bool, seed: int) -> Numbers:
    """Paths in closed form, and simulated at equal steps of time: crowded marks are slow."""
    t = np.linspace(0.0, 8.0, 33 if quick else 65)
    fine = np.union1d(np.linspace(0.0, 8.0, 201 if quick else 1601), t)
    task, paths, marks = LinearTask([[STRENGTH]]), [], []
    for a, b in STARTS:
        run = simulate(task, [np.array([[a]]), np.array([[b]])], Backprop(), t, rtol=1e-10, atol=1e-12)
        paths.append(_path(np.array([a, b]), fine))
        marks.append(np.stack([w.ravel() for w in run.weights], axis=1))
    grid = np.linspace(-EDGE, EDGE, 21)
    a, b = np.meshgrid(grid, grid)
    # Backprop is feedback through the upper weight itself.
    flow_a, flow_b, _, _ = mode_velocity(a, b, b, 1.0, STRENGTH)
    curve = np.geomspace(STRENGTH / (1.2 * EDGE), 1.2 * EDGE, 200)
    smooth = np.linspace(-EDGE, EDGE, 201)
    return {
        "t": fine,
        "marks_t": t,
        "paths": np.array(paths),
        "marks": np.array(marks),
        "grid": grid,
        "flow": np.stack([flow_a, flow_b]),
        "smooth": smooth,
        "loss": np.array([[float(task.excess_loss([[x * y]])) for x in smooth] for y in smooth]),
        "zero": np.stack([curve, STRENGTH / curve]),
    }


def draw(numbers: Numbers) -> Figure:
    """One square panel."""
    figure = new_figure(6.6, 6.6)
    axes = figure.subplots()
    smooth, grid = numbers["smooth"], numbers["grid"]
    levels = [0.0, 0.02, 0.08, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0]
    shades = [str(grey) for grey in np.linspace(1.0, 0.72, len(levels) - 1)]
    axes.contourf(smooth, smooth, numbers["loss"], levels=levels, colors=shades)
    flow_a, flow_b = numbers["flow"]
    speed = np.hypot(flow_a, flow_b)
    still = speed < 1e-9
    size = np.where(still, 1.0, speed)
    # All arrows are equally long: the marks of the paths show the speed.
    unit_a, unit_b = (np.ma.masked_where(still, part / size) for part in (flow_a, flow_b))
    axes.quiver(grid, grid, unit_a, unit_b, color="0.5", pivot="mid", scale=32, width=0.0028)
    for sign in (1, -1):
        axes.plot(*(sign * numbers["zero"]), color="C1", linewidth=3.0)
    axes.plot([-EDGE, EDGE], [EDGE, -EDGE], "--", color="C6", linewidth=1.4)
    for path, marks in zip(numbers["paths"], numbers["marks"], strict=True):
        axes.plot(path[:, 0], path[:, 1], color="C0")
        axes.plot(marks[:, 0], marks[:, 1], "o", color="C0", markersize=3.8)
        axes.plot(*marks[0], "s", color="C0", markerfacecolor="white", markersize=6)
    axes.plot(0.0, 0.0, "X", color="C6", markersize=9, markeredgecolor="white")
    axes.text(-0.12, -0.3, "saddle", bbox=_PAPER, ha="right")
    axes.text(0.62, 2.0, "zero error  $ab = s$", color="C1", bbox=_PAPER)
    axes.text(0.9, -1.74, "$b = -a$,  into the saddle", bbox=_PAPER, ha="center")
    axes.set_xlim(-EDGE, EDGE)
    axes.set_ylim(-EDGE, EDGE)
    axes.set_aspect("equal")
    axes.set_xlabel("weight of the first layer  a")
    axes.set_ylabel("weight of the second layer  b")
    return figure


# Behind words that lie on arrows.
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}

FIGURE = FigureSpec(
    name="vector-field",
    title="Backprop on two weights: hyperbolas around a saddle",
    words="A chain of two weights learns the map s = 1. Arrows point down the loss (grey; darker is higher). "
    "Every path keeps b² − a², so it runs on a hyperbola until it meets the curve ab = s, where the error is zero. "
    "The origin is a saddle: starts near the dashed line first run into it, lose their speed and then leave along "
    "a = b. Lines are the closed form, dots a simulation at equal steps of time: crowded dots are slow.",
    claims=("backprop-unbalanced", "backprop-balancedness"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
