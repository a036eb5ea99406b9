"""An animation: the singular modes of the map, and the alignment of weights and feedback, as learning runs."""

from collections.abc import Callable

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from linfa.feedback import FeedbackAlignment
from linfa.metrics import chance_band
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.exact import exact

STRENGTHS = np.array([4.0, 2.6, 1.7, 1.1])
WIDTHS = (6, 10, 8)
HORIZON = 3.0
# Large enough for the map to start with singular modes of its own.
SCALE = 0.1


def compute(quick: bool, seed: int) -> Numbers:
    """One run from random weights at the times of the frames, and theory from zero weights."""
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[-1], seed=seed)
    feedback = FeedbackAlignment(seed=seed, draw="orthonormal")
    # Frames are close to each other at first, when singular modes turn.
    frames = HORIZON * np.linspace(0.0, 1.0, 7 if quick else 61) ** 2
    run = simulate(task, initial_weights(WIDTHS, "gaussian", SCALE, seed), feedback, frames, rtol=1e-9)
    fine = np.linspace(0.0, HORIZON, 61 if quick else 301)
    theory = exact(task, initial_weights(WIDTHS, "zero"), feedback, fine)
    left, values, right = np.linalg.svd(run.map)
    count = len(STRENGTHS)
    overlap = np.abs(
        np.einsum("toj,ok->tjk", left[:, :, :count], task.left) * np.einsum("tji,ik->tjk", right[:, :count], task.right)
    )
    return {
        "strengths": STRENGTHS,
        "t": fine,
        "theory": theory.mode_strengths,
        "theory_alignment": theory.weight_alignment[:, 0],
        "frames": frames,
        "singular": values[:, :count],
        "alignment": run.weight_alignment[:, 0],
        "overlap": overlap,
        "chance": np.array(chance_band((WIDTHS[2], WIDTHS[1]))),
    }


def _scene(numbers: Numbers) -> tuple[Figure, Callable[[int], list]]:
    """The figure without its moving parts, and a function that puts these where they are in a frame."""
    figure = new_figure(9.6, 3.6)
    modes, strengths, alignment = figure.subplots(1, 3, width_ratios=(0.85, 1, 1))
    count = len(numbers["strengths"])
    picture = modes.imshow(numbers["overlap"][0], vmin=0.0, vmax=1.0)
    ticks = np.arange(count)
    modes.set_xticks(ticks, labels=[str(k + 1) for k in ticks])
    modes.set_yticks(ticks, labels=[str(k + 1) for k in ticks])
    modes.set_xlabel("mode of the task")
    modes.set_ylabel("singular mode of the map")
    modes.set_title("overlap: dark 0, bright 1", fontsize=11)
    moving = []
    for k in range(count):
        strengths.plot(numbers["t"], numbers["theory"][:, k], color=f"C{k}", linewidth=1.4)
        moving += strengths.plot([], [], "o", color=f"C{k}", markersize=3.8)
        strengths.text(HORIZON, numbers["strengths"][k] + 0.07, str(k + 1), color=f"C{k}", ha="right", va="bottom")
    clock = strengths.text(0.03, 0.97, "", transform=strengths.transAxes, va="top")
    strengths.set_ylim(-0.15, 4.6)
    strengths.set_ylabel("singular values of the map")
    band = 2 * float(numbers["chance"])
    alignment.axhspan(-band, band, color="0.88", linewidth=0)
    alignment.text(HORIZON, 0.0, "chance, ±2 s.d.", color="0.35", ha="right", va="center")
    alignment.plot(numbers["t"], numbers["theory_alignment"], color="0.35", linewidth=1.4)
    moving += alignment.plot([], [], "o", color="C6", markersize=3.8)
    alignment.set_ylim(-0.35, 1.0)
    alignment.set_ylabel(r"alignment  cos($W_2$, $B^T$)")
    for axes in (strengths, alignment):
        axes.set_xlim(-0.03 * HORIZON, 1.03 * HORIZON)
        axes.set_xlabel("time t  (unit time constant)")

    def show(frame: int) -> list:
        picture.set_data(numbers["overlap"][frame])
        past = slice(0, frame + 1)
        for line, values in zip(moving, [*numbers["singular"].T, numbers["alignment"]], strict=True):
            line.set_data(numbers["frames"][past], values[past])
        clock.set_text(f"t = {numbers['frames'][frame]:.2f}")
        return [picture, clock, *moving]

    return figure, show


def draw(numbers: Numbers) -> Figure:
    """The last frame."""
    figure, show = _scene(numbers)
    show(len(numbers["frames"]) - 1)
    return figure


def animate(numbers: Numbers) -> FuncAnimation:
    """All frames, and the last one for a while."""
    figure, show = _scene(numbers)
    # Laid out once: a layout for each frame would tremble, and take most of the time.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    last = len(numbers["frames"]) - 1
    return FuncAnimation(figure, show, frames=[*range(last), *[last] * (last // 10 + 1)], interval=66)


FIGURE = FigureSpec(
    name="learning-modes",
    title="As feedback alignment learns, the map takes on the task's modes and the weights turn to the feedback",
    words="Left: which mode of the task each singular mode of the map is. It starts as noise and becomes the diagonal, "
    "strongest mode first. Middle: singular values rise, each to the strength of its mode. Right: the upper weights "
    "start within chance of the feedback and turn to it. Dots are a run from random weights, lines theory from zero "
    "weights. The map joins it; the alignment stays a little below, because without decay weights never forget their "
    "start.",
    claims=("fa-modes", "fa-alignment"),
    compute=compute,
    draw=draw,
    animate=animate,
)
make = FIGURE.make
