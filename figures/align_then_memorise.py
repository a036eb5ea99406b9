"""Online learning from a teacher under direct feedback: order parameters and error, align first, then memorise."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import Backprop, DirectFeedback
from linfa.neighbours.teacher_student import Start, ensemble, ode, phases
from linfa.plot import new_figure

CARRIER, HEAD = np.array([1.0, 0.5]), (1.0, 0.6)
RATE, SCALE = 0.5, 0.01
RULES = {"dfa": DirectFeedback([CARRIER[:, None]]), "backprop": Backprop()}
# Two units of the student and two of the teacher.
PAIRS = ((0, 0), (0, 1), (1, 0), (1, 1))


def compute(quick: bool, seed: int) -> Numbers:
    """Equations and simulations of a few students under both rules, from the same drawn weights."""
    size, members, horizon = (100, 3, 700.0) if quick else (500, 10, 2000.0)
    starts = [Start.draw(2, HEAD, size, SCALE, 100 * seed + m) for m in range(members)]
    fine, marks = np.geomspace(0.1, horizon, 100 if quick else 300), np.geomspace(0.1, horizon, 9 if quick else 25)
    numbers: Numbers = {"t": fine, "marks_t": marks}
    for name, rule in RULES.items():
        theory = [ode(start, rule, fine, learning_rate=RATE) for start in starts]
        run = ensemble(starts, rule, marks, inputs=size, learning_rate=RATE, seed=seed)
        numbers[f"error_{name}"] = np.mean([course.error for course in theory], axis=0)
        numbers[f"marks_error_{name}"], numbers[f"spread_error_{name}"] = run.statistics("error")
        if name == "dfa":
            for what in ("alignment", "r"):
                numbers[what] = np.mean([getattr(course, what) for course in theory], axis=0)
                numbers[f"marks_{what}"], numbers[f"spread_{what}"] = run.statistics(what)
            found = [phases(course) for course in theory]
            numbers["aligned"] = np.array(np.mean([phase.aligned for phase in found]))
            numbers["memorised"] = np.array(np.mean([phase.memorised for phase in found]))
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Error, alignment and overlaps over logarithmic time."""
    figure = new_figure(11.0, 4.4)
    panels = left, middle, right = figure.subplots(1, 3)
    t, marks = numbers["t"], numbers["marks_t"]
    for colour, name in (("C0", "dfa"), ("C1", "backprop")):
        left.plot(t, numbers[f"error_{name}"], color=colour)
        _marks(left, marks, numbers[f"marks_error_{name}"], numbers[f"spread_error_{name}"], colour)
    left.set_yscale("log")
    left.set_ylim(1e-6, 1.0)
    left.text(0.13, 2e-2, "direct\nfeedback", color="C0", va="top")
    left.text(6.5, 0.28, "backprop", color="C1")
    left.set_ylabel(r"generalisation error  $\epsilon_g$")
    left.set_title("a  error")
    middle.plot(t, numbers["alignment"], color="C0")
    _marks(middle, marks, numbers["marks_alignment"], numbers["spread_alignment"], "C0")
    middle.set_ylim(-0.3, 1.22)
    middle.set_ylabel("cos(v, F)")
    middle.set_title("b  alignment")
    for k, (i, n) in enumerate(PAIRS):
        colour = f"C{k}"
        right.plot(t, numbers["r"][:, i, n], color=colour)
        _marks(right, marks, numbers["marks_r"][:, i, n], numbers["spread_r"][:, i, n], colour)
        # Overlaps that end alike are told apart by the side on which their names stand.
        end, side = float(numbers["r"][-1, i, n]), (-8, 8, -8, 8)[k]
        name = f"$R_{{{i + 1}{n + 1}}}$"
        right.annotate(name, (t[-1], end), (4, side), textcoords="offset points", color=colour, va="center")
    right.set_ylabel("overlaps with the teacher's units  R")
    right.set_title("c  overlaps")
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xlabel("time t  (samples per input)")
        axes.axvspan(t[0], float(numbers["aligned"]), color="C4", alpha=0.25, linewidth=0)
        axes.axvspan(float(numbers["aligned"]), float(numbers["memorised"]), color="0.93", linewidth=0, zorder=0)
    middle.text(0.28, 1.12, "align", ha="center")
    middle.text(18.0, 1.12, "memorise", ha="center")
    return figure


def _marks(axes: object, t: np.ndarray, values: np.ndarray, spread: np.ndarray, colour: str) -> None:
    axes.errorbar(t, values, 2 * spread, fmt="o", color=colour, elinewidth=1.2)


FIGURE = FigureSpec(
    name="align-then-memorise",
    title="Direct feedback aligns first and memorises later",
    words="A student of two erf units learns from a teacher of two, one fresh sample at a time. Feedback moves both "
    "units along one direction, so that v turns to the feedback F before anything else happens; the error then "
    "rests on a plateau where both units are alike, until each takes a unit of the teacher. From small weights "
    "backprop starts later, as its feedback is v itself. Lines are the equations for infinitely many inputs, marks "
    "students that see samples, with two standard errors.",
    claims=("teacher-erf-dynamics", "teacher-align-then-memorise", "teacher-align-phase", "teacher-backprop-escape"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
