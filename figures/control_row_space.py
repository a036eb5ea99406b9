"""How fast feedback weights that learn from noise reach the row space of the Jacobian."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa._random import stream
from linfa.neighbours import control
from linfa.networks import initial_weights
from linfa.plot import new_figure

WIDTHS = (5, 8, 6, 3)
LEAKS = (0.1, 0.3, 1.0)
MARKS = ("o", "s", "D")
# Gain inside the row space at the start: weak enough to see it grow, strong enough for noise to be held.
START = 0.3


def compute(quick: bool, seed: int) -> Numbers:
    """Averaged flows, closed forms of their modes, and runs with the noise itself."""
    weights = [w / np.sqrt(w.shape[1]) for w in initial_weights(WIDTHS, "gaussian", 1.0, seed)]
    jacobian = control.jacobian(weights, np.zeros(WIDTHS[0]))
    left, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    noise = stream(seed, "data").standard_normal(jacobian.T.shape)
    outside = noise - rows.T @ (rows @ noise)
    outside *= 1.5 * np.linalg.norm(START * jacobian) / np.linalg.norm(outside)
    start = START * jacobian.T + outside
    members, rate = (4, 0.002) if quick else (8, 0.0004)
    fine, seen = (
        np.linspace(0.0, 12.0, 121),
        np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
    )
    numbers: Numbers = {"t": fine, "marks_t": seen, "g": values**2}
    for k, alpha in enumerate(LEAKS):
        runs = [control.learn_feedback(jacobian, start, seen, alpha, rate=rate, seed=seed + m) for m in range(members)]
        parts = np.array([run.row_space_part for run in runs])
        q = np.array([run.q for run in runs])
        loops = np.einsum("jk,jn,mtno,ok->mtk", left, jacobian, q, left, optimize=True) + alpha
        # Runs are averaged before lengths are taken: each for itself also has the noise of its last moments.
        kept = (q.mean(0) - rows.T @ (rows @ q.mean(0))) @ left
        numbers |= {
            f"part{k}": control.feedback_flow(jacobian, start, fine, alpha).row_space_part,
            f"marks_part{k}": parts.mean(0),
            f"bars_part{k}": parts.std(0, ddof=1) / np.sqrt(members),
            f"first{k}": START * values**2 + alpha,
            f"marks_loop{k}": loops.mean(0),
            f"bars_loop{k}": loops.std(0, ddof=1) / np.sqrt(members),
            f"marks_outside{k}": np.linalg.norm(kept, axis=1) / np.linalg.norm(outside @ left, axis=0),
        }
    # Closed forms give times for values of m; the curves are drawn that way round.
    for k, alpha in enumerate(LEAKS):
        first = numbers[f"first{k}"]
        last = first * 1.02 + np.array([_reached(12.0, f, g, alpha) - f for f, g in zip(first, values**2, strict=True)])
        loop = np.linspace(first, last, 80)
        numbers |= {f"loop{k}": loop, f"times{k}": control.mode_loop_time(loop, first, values**2, alpha, 1.0, 1.0)}
    return numbers


def _reached(time: float, first: float, g: float, alpha: float) -> float:
    """m at a given time: the inverse of the closed form."""
    from scipy.optimize import brentq

    return brentq(lambda m: control.mode_loop_time(m, first, g, alpha, 1.0, 1.0) - time, first, first + 100.0)


def draw(numbers: Numbers) -> Figure:
    """The part of Q in the row space, the growth of its modes, and what is left outside."""
    figure = new_figure(12.6, 4.4)
    parts, growth, outside = figure.subplots(1, 3)
    for k, alpha in enumerate(LEAKS):
        parts.plot(numbers["t"], numbers[f"part{k}"], color=f"C{k}")
        parts.errorbar(
            numbers["marks_t"],
            numbers[f"marks_part{k}"],
            numbers[f"bars_part{k}"],
            fmt=MARKS[k],
            color=f"C{k}",
            label=f"leak $\\alpha = {alpha:g}$",
        )
    parts.axhline(1.0, color="0.6", linestyle=":", linewidth=1.2)
    parts.legend(loc="lower right")
    parts.set_title("a  feedback finds the row space")
    parts.set_ylabel("part of Q in it  $|P_J Q|/|Q|$")
    _growth(growth, numbers)
    _outside(outside, numbers)
    for axes in (parts, growth):
        axes.set_xlabel("time of learning")
    return figure


def _growth(axes: Axes, numbers: Numbers) -> None:
    """m(t) of all modes at the middle leak."""
    middle = 1
    for j in range(len(numbers["g"])):
        axes.plot(numbers[f"times{middle}"][:, j], numbers[f"loop{middle}"][:, j], color=f"C{j + 3}")
        axes.errorbar(
            numbers["marks_t"],
            numbers[f"marks_loop{middle}"][:, j],
            numbers[f"bars_loop{middle}"][:, j],
            fmt="s",
            color=f"C{j + 3}",
        )
        height = float(numbers[f"loop{middle}"][-1, j])
        axes.annotate(
            f"$g = {numbers['g'][j]:.1f}$",
            (numbers["t"][-1], height),
            (0, 7),
            textcoords="offset points",
            ha="right",
            color=f"C{j + 3}",
        )
    axes.set_ylim(0.0, 1.12 * float(numbers[f"loop{middle}"].max()))
    axes.set_title(f"b  its leak drives it  ($\\alpha = {LEAKS[middle]:g}$)")
    axes.set_ylabel("loop of a mode  $m = gk + \\alpha$")


def _outside(axes: Axes, numbers: Numbers) -> None:
    """What is left outside against the growth inside, all modes of all leaks on one curve."""
    x = np.linspace(0.0, 5.0, 50)
    axes.plot(x, control.outside_part(x, 0.0, 1.0), color="0.25")
    for k, alpha in enumerate(LEAKS):
        grown = (numbers[f"marks_loop{k}"] - numbers[f"first{k}"]) / alpha
        shown = grown < x[-1]
        axes.plot(grown[shown], numbers[f"marks_outside{k}"][shown], MARKS[k], color=f"C{k}")
    axes.set_yscale("log")
    axes.set_ylim(4e-3, 1.5)
    axes.text(2.3, 0.2, "$e^{-(m - m_0)/\\alpha}$", color="0.25")
    axes.set_title("c  growth inside, decay outside")
    axes.set_xlabel("growth inside  $(m - m_0)/\\alpha$")
    axes.set_ylabel("left outside  $|Q_\\perp|/|Q_\\perp(0)|$")


FIGURE = FigureSpec(
    name="control-row-space",
    title="Feedback weights learn from noise where the rows of the Jacobian lie, as fast as their leak allows",
    words="Noise on all neurons, a controller that holds the output still, and an anti-Hebbian rule between the two; "
    "marks are means of simulated runs with standard errors, lines the averaged flow. Feedback turns into the row "
    "space of J (a), which makes control a Gauss–Newton step; at any finite rate the noise keeps stirring it a little "
    "(last marks of c). Inside the row space the leak of the controller alone drives growth, slower and "
    "slower (b, closed form). What grows inside fades outside: every mode at every leak lies on one curve (c).",
    claims=("control-feedback-learning", "control-row-space", "control-noise-moments"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
