"""Backprop's staircase and feedback alignment's smooth rise, from ever smaller weights."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop, FeedbackAlignment
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.exact import exact
from linfa.theory.incremental import rank_staircase

# Each mode half as strong as the one before: stairs of equal width on a logarithmic time axis.
STRENGTHS = np.array([6.0, 3.0, 1.5, 0.75])
SCALES = np.array([1e-1, 1e-3, 1e-6])
WIDTHS = (6, 8, 5)


def compute(quick: bool, seed: int) -> Numbers:
    """Both rules from the same balanced random weights; theory of feedback alignment from zero weights."""
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[-1], seed=seed)
    coarse = np.geomspace(0.05, 60.0, 30 if quick else 72)
    fine = np.union1d(np.geomspace(0.05, 60.0, 100 if quick else 500), coarse)
    numbers: Numbers = {
        "strengths": STRENGTHS,
        "scales": SCALES,
        "stairs": rank_staircase(STRENGTHS),
        "t": fine,
        "marks_t": coarse,
    }
    aligned = FeedbackAlignment(seed=seed, draw="orthonormal")
    predicted = exact(task, initial_weights(WIDTHS, "zero"), aligned, fine)
    runs = {"fa": predicted}
    for k, scale in enumerate(SCALES):
        weights = initial_weights(WIDTHS, "balanced", scale, seed)
        # The start is tiny, and what grows from it must be followed to relative accuracy.
        options = {"rtol": 1e-9, "atol": 1e-9 * scale}
        runs[f"backprop{k}"] = exact(task, weights, Backprop(), fine)
        runs[f"marks_backprop{k}"] = simulate(task, weights, Backprop(), coarse, **options)
        runs[f"marks_fa{k}"] = simulate(task, weights, aligned, coarse, **options)
    for name, run in runs.items():
        numbers |= {
            f"{name}_loss": run.excess_loss / np.square(STRENGTHS).sum() * 2,
            f"{name}_rank": run.effective_rank,
            f"{name}_modes": run.mode_strengths,
        }
    return numbers


# Colours of the scales; those of the modes are C0 … C3. Marks differ too, for print without colour.
_COLOURS, _MARKS, _SIGNS = ("C5", "C4", "C6"), ("^", "s", "o"), "▲■●"


def draw(numbers: Numbers) -> Figure:
    """One column for each rule; loss, effective rank and modes below each other."""
    figure = new_figure(9.6, 8.0)
    panels = figure.subplots(3, 2, sharex=True, sharey="row")
    t, marks_t = numbers["t"], numbers["marks_t"]
    smallest = len(numbers["scales"]) - 1
    for column, rule in enumerate(("backprop", "fa")):
        for row, what in enumerate(("loss", "rank")):
            axes = panels[row, column]
            if rule == "fa":
                axes.plot(t, numbers[f"fa_{what}"], color="0.35")
            for k in range(len(numbers["scales"])):
                if rule == "backprop":
                    axes.plot(t, numbers[f"backprop{k}_{what}"], color=_COLOURS[k])
                # Every third mark, each scale its own: where curves coincide all of them are seen.
                third = slice(k, None, 3)
                axes.plot(marks_t[third], numbers[f"marks_{rule}{k}_{what}"][third], _MARKS[k], color=_COLOURS[k])
        axes = panels[2, column]
        for k in range(len(numbers["strengths"])):
            theory = numbers[f"backprop{smallest}_modes" if rule == "backprop" else "fa_modes"]
            axes.plot(t, theory[:, k] / numbers["strengths"][k], color=f"C{k}")
            marks = numbers[f"marks_{rule}{smallest}_modes"][:, k] / numbers["strengths"][k]
            axes.plot(marks_t[::2], marks[::2], "o", color=f"C{k}")
        for k, height in enumerate(numbers["stairs"]):
            panels[1, column].axhline(height, color="0.6", linestyle=":", linewidth=1.2, zorder=0)
            if rule == "backprop":
                panels[1, 1].annotate(
                    f"{k + 1} mode" + "s" * (k > 0),
                    (1.0, height),
                    (-2, 2),
                    xycoords=panels[1, 1].get_yaxis_transform(),
                    textcoords="offset points",
                    ha="right",
                    va="bottom",
                    color="0.35",
                )
    for axes in panels[2]:
        axes.set_xlabel("time t  (unit time constant)")
    panels[0, 0].set(xscale="log", yscale="log", xlim=(0.05, 60.0), ylim=(1e-5, 2.0))
    panels[0, 0].set_title("backprop")
    panels[0, 1].set_title("feedback alignment")
    panels[0, 0].set_ylabel("loss, relative to W = 0")
    panels[1, 0].set_ylabel("effective rank of W")
    panels[2, 0].set_ylabel("part learned  u/s")
    panels[1, 0].set_ylim(0.7, 5.2)
    panels[2, 0].set_ylim(-0.07, 1.1)
    for k, (scale, colour) in enumerate(zip(numbers["scales"], _COLOURS, strict=True)):
        panels[0, 0].text(
            0.065, 3e-2 / 6**k, rf"{_SIGNS[k]} ε = $10^{{{np.log10(scale):.0f}}}$", color=colour, ha="left"
        )
    for k, s in enumerate(numbers["strengths"]):
        panels[2, 0].text(0.065, 0.92 - 0.14 * k, f"s = {s:g}", color=f"C{k}", ha="left")
    return figure


FIGURE = FigureSpec(
    name="staircase",
    title="From small weights, backprop climbs a staircase; feedback alignment does not wait",
    words="Lines are exact theory, marks simulations that start from random balanced weights of size ε, the same for "
    "both rules. Backprop leaves zero slowly: the smaller ε, the longer it waits, and the more clearly it learns one "
    "mode at a time: the rank of its map first falls to one, then climbs in stairs (dotted). Fixed feedback pushes W1 "
    "from the first moment. Its modes rise in close succession, and from small weights ε no longer matters.",
    claims=("backprop-rank-staircase", "backprop-riccati", "fa-modes", "fa-effective-rank"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
