"""What feedback selects: one of eight degenerate solutions of an erf student, and which ReLU students learn at all."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa._random import stream
from linfa.feedback import Backprop, DirectFeedback
from linfa.neighbours.teacher_student import (
    Start,
    all_solutions,
    ensemble,
    learning_probability,
    reached_solution,
    selected_solution,
)
from linfa.plot import new_figure

CARRIER, HEAD = np.array([-0.6, 1.2]), (1.0, 0.6)
MODES = (1, 2, 3)
MARKS = ("o", "s", "^")


def _counts(rule: object, members: int, seed: int) -> np.ndarray:
    """How often each of the eight solutions is reached from small random starts, and last how often none was."""
    size, solutions = 50, all_solutions(2)
    starts = [Start.draw(2, HEAD, size, 0.01, 1000 * seed + m) for m in range(members)]
    run = ensemble(starts, rule, [0.0, 1000.0], inputs=size, learning_rate=0.5, seed=seed)
    counts = np.zeros(len(solutions) + 1)
    for m in range(members):
        done = run.error[m, -1] < 2e-3 * run.error[m, 0]
        counts[solutions.index(reached_solution(run.member(m))) if done else -1] += 1
    return counts


def _learned(units: int, modes: int, draws: int, seed: int) -> np.ndarray:
    """Whether a ReLU student learned, for random feedback: entries of either sign, moduli between 0.6 and 1.5."""
    size = 50
    generator = stream(seed, "feedback", units, modes)
    carriers = generator.choice([-1.0, 1.0], (draws, units)) * generator.uniform(0.6, 1.5, (draws, units))
    starts = [Start.draw(units, np.ones(modes), size, 0.01, 1000 * seed + m) for m in range(draws)]
    rules = [DirectFeedback([carrier[:, None]]) for carrier in carriers]
    run = ensemble(starts, rules, [0.0, 1500.0], inputs=size, learning_rate=0.2, activation="relu", seed=seed)
    return run.error[:, -1] < 0.01 * run.error[:, 0]


def compute(quick: bool, seed: int) -> Numbers:
    """Counts of solutions under both rules; learned fractions of ReLU students of two to six units."""
    members, draws = (16, 4) if quick else (160, 60)
    shown = [(k, m) for m in MODES for k in ((2, 4) if quick else range(2, 7)) if k >= m]
    fractions = np.array([_learned(k, m, draws, seed).mean() for k, m in shown])
    units = np.arange(1, 8)
    return {
        "dfa": _counts(DirectFeedback([CARRIER[:, None]]), members // 2, seed) / (members // 2),
        "backprop": _counts(Backprop(), members, seed) / members,
        "members": np.array(members),
        "chosen": np.array(all_solutions(2).index(selected_solution(CARRIER, HEAD))),
        "units": units,
        "probability": np.array([[learning_probability(k, m) if k >= m else np.nan for k in units] for m in MODES]),
        "marks": np.array(shown),
        "fraction": fractions,
        # Fractions of 0 and 1 are not certain either: half a draw at least.
        "spread": np.sqrt(np.maximum(fractions * (1 - fractions), 0.25 / draws) / draws),
    }


def draw(numbers: Numbers) -> Figure:
    """Solutions as bars, and the probability to learn against the number of units."""
    figure = new_figure(10.6, 4.6)
    left, right = figure.subplots(1, 2)
    place, width = np.arange(9), 0.4
    left.bar(place - width / 2, numbers["dfa"], width, color="C0")
    left.bar(place + width / 2, numbers["backprop"], width, color="C1")
    error = 2 * np.sqrt(1 / 8 * 7 / 8 / float(numbers["members"]))
    left.plot([-0.5, 7.5], [1 / 8, 1 / 8], color="0.25", linewidth=1.4)
    left.fill_between([-0.5, 7.5], 1 / 8 - error, 1 / 8 + error, color="0.25", alpha=0.2, linewidth=0)
    names = []
    for solution in all_solutions(2):
        signs = "".join("+" if s > 0 else "−" for s in solution.signs)
        names.append(f"{signs}\n{solution.matches[0] + 1}{solution.matches[1] + 1}")
    left.set_xticks(place, [*names, "none\nyet"])
    left.set_xlabel("signs of v, and the teacher's units that are matched")
    left.set_ylabel("fraction of random starts")
    left.set_ylim(0, 1.12)
    chosen = int(numbers["chosen"])
    at = (chosen - width / 2, float(numbers["dfa"][chosen]))
    left.annotate("direct feedback", at, (0, 5), textcoords="offset points", color="C0", ha="center")
    left.text(-0.5, 1 / 8 + error + 0.02, "backprop: 1/8 each", color="C1")
    left.set_title("a  erf: which of 2! · 2² solutions")
    for k, modes in enumerate(MODES):
        theory = numbers["probability"][k]
        right.plot(numbers["units"], theory, color=f"C{k}")
        here = numbers["marks"][:, 1] == modes
        right.errorbar(
            numbers["marks"][here, 0],
            numbers["fraction"][here],
            2 * numbers["spread"][here],
            fmt=MARKS[k],
            color=f"C{k}",
            elinewidth=1.2,
        )
        right.annotate(
            f"M = {modes}", (7.0, float(theory[-1])), (4, 0), textcoords="offset points", color=f"C{k}", va="center"
        )
    right.set_xlim(0.7, 7.9)
    right.set_ylim(0, 1.08)
    right.set_xlabel("hidden units of the student  K")
    right.set_ylabel("probability to learn")
    right.set_title("b  ReLU: enough positive feedback")
    return figure


FIGURE = FigureSpec(
    name="feedback-selects",
    title="Feedback selects: a solution among equals, and whether a ReLU student learns",
    words="An erf student can match its teacher in eight equivalent ways: exchange its units, flip their signs. "
    "Backprop reaches each of them equally often from random starts; direct feedback always reaches the one in which "
    "the signs of v are those of F and the larger feedback goes with the larger teacher unit. A ReLU cannot flip "
    "signs: for a teacher of M positive units, M entries of random feedback must be positive, which more hidden units "
    "make likely. Lines are theory, marks and bars simulations, with two standard errors.",
    claims=("teacher-degeneracy-breaking", "teacher-backprop-degeneracy", "teacher-relu-signs"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
