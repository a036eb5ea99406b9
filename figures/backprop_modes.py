"""Mode trajectories under backprop, depth 2 to 5."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop
from linfa.networks import initial_weights
from linfa.plot import new_figure, place_labels
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import depth_strength

STRENGTHS = np.array([4.0, 3.0, 2.0, 1.0])
# Each layer starts at this amplitude: the same fraction of the way for every depth would hide how depth delays.
AMPLITUDE = 0.3


def compute(quick: bool, seed: int) -> Numbers:
    """Theory on a fine grid of times, simulation of the full network on a coarse one."""
    numbers: Numbers = {"strengths": STRENGTHS, "depths": np.array([2, 3, 4, 5])}
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    for depth in numbers["depths"]:
        # The weakest mode sets the horizon: its start is AMPLITUDE^L.
        horizon = {2: 4.5, 3: 6.5, 4: 12.0, 5: 30.0}[int(depth)]
        fine, coarse = np.linspace(0.0, horizon, 60 if quick else 400), np.linspace(0.0, horizon, 8 if quick else 25)
        fine = np.union1d(fine, coarse)
        widths = (6, *(7,) * (int(depth) - 1), 5)
        weights = initial_weights(widths, "aligned", AMPLITUDE, seed, task=task)
        run = simulate(task, weights, Backprop(), coarse, rtol=1e-10, atol=1e-12)
        theory = [depth_strength(fine, float(s), AMPLITUDE ** int(depth), int(depth)) for s in STRENGTHS]
        numbers |= {
            f"t{depth}": fine,
            f"theory{depth}": np.stack(theory, axis=1),
            f"marks_t{depth}": coarse,
            f"marks{depth}": run.mode_strengths,
        }
    return numbers


def draw(numbers: Numbers) -> Figure:
    """One panel for each depth."""
    figure = new_figure(9.6, 6.2)
    panels = figure.subplots(2, 2, sharey=True).ravel()
    for axes, depth in zip(panels, numbers["depths"], strict=True):
        for k in range(len(numbers["strengths"])):
            colour = f"C{k}"
            axes.plot(numbers[f"t{depth}"], numbers[f"theory{depth}"][:, k], color=colour)
            axes.plot(numbers[f"marks_t{depth}"], numbers[f"marks{depth}"][:, k], "o", color=colour)
        axes.set_title(f"{depth} layers")
        axes.set_xlabel("time t  (unit time constant)")
        axes.set_ylim(-0.15, 4.4)
    for axes in panels[::2]:
        axes.set_ylabel("mode strength u")
    place_labels(panels[0], numbers["strengths"], [f"s = {s:g}" for s in numbers["strengths"]])
    return figure


FIGURE = FigureSpec(
    name="backprop-modes",
    title="Backprop learns one mode after the other, the deeper the later and the steeper",
    words="Each curve is the strength of one mode of the task in the map of the network. Lines are the exact solution, "
    "dots a simulation of the full network. Strong modes come first. Small weights pass little error back, so every "
    "mode waits on a plateau before it rises; with more layers each must wait for all the others, and the step is "
    "steeper. Note the different time axes.",
    claims=("backprop-logistic", "backprop-depth"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
