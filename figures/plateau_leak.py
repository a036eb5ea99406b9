"""The plateau of fixed low-rank feedback, and how frozen random features leak past it."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from linfa.feedback import LowRankFeedback
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.finite_start import frozen_part
from linfa.theory.leakage import leaked, leaking_error, slow_rates
from linfa.theory.low_rank import learned_map, low_rank_weights, row_projector

STRENGTHS = np.array([4.0, 2.5, 1.5, 1.0])
RANK = 2
WIDTHS = (8, RANK + 3, 6)
SCALES = np.array([0.1, 0.03, 0.01])
# From here on P E is silent and the leak alone moves the map.
SILENT = 5.0
MARKS = ("o", "s", "D")


def compute(quick: bool, seed: int) -> Numbers:
    """Runs from one random start at several sizes; theory from zero weights, and of the leak."""
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[2], seed=seed)
    feedback = LowRankFeedback(rank=RANK, seed=seed, draw="orthonormal")
    matrices = feedback.resolve(WIDTHS).matrices
    q, p = matrices["q"][0], matrices["p"][0]
    start = initial_weights(WIDTHS, "gaussian", 1.0, seed)
    scales, horizon = (SCALES[:2], 1e3) if quick else (SCALES, 2e4)
    fine, late = np.geomspace(0.05, horizon, 300), np.geomspace(SILENT, horizon, 200)
    seen = np.geomspace(0.05, horizon, 16 if quick else 30)
    lower, upper = low_rank_weights(task.target, q, p, fine, 1.0)
    unlearned = task.target - learned_map(task, q @ p)
    # What feedback has taken up belongs to it; the leak reads the frozen features in all other input directions.
    features = frozen_part(start[0], q, np.linalg.pinv(q))
    features = features - features @ row_projector(p @ task.target)
    rates = slow_rates(task.target, q, p, start[0])
    directions = np.linalg.svd(features)[2][: len(rates)].T
    own = np.linspace(0.0, 1.2, 100)
    numbers: Numbers = {
        "scales": scales,
        "t": fine,
        "zero_start": task.excess_loss(upper @ lower),
        "plateau": np.array(task.excess_loss(learned_map(task, q @ p))),
        "end": np.array(task.excess_loss(learned_map(task, q @ p, start[0]))),
        "late_t": late,
        "marks_t": seen,
        "rates": rates,
        "own_t": own,
        "part": leaked(own[:, None], 1.0, rates),
    }
    for k, scale in enumerate(scales):
        # Times of their own for each start, so that its marks do not hide those of another.
        steps = (np.arange(6) + (k + 1) / 3) * 0.2 / scale**2
        both = np.union1d(seen, steps)
        run = simulate(task, [scale * w for w in start], feedback, both, rtol=1e-6, atol=1e-9)
        part = np.linalg.norm(run.error_correlation @ directions, axis=1) / np.linalg.norm(
            unlearned @ directions, axis=0
        )
        numbers |= {
            f"marks{k}": run.excess_loss[np.isin(both, seen)],
            f"leak{k}": 0.5 * np.square(leaking_error(late, unlearned, scale * features)).sum((-2, -1)),
            f"own_marks_t{k}": steps * scale**2,
            f"own_marks{k}": part[np.isin(both, steps)],
        }
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Loss over time, and the error along each leaking direction over time in units of the leak."""
    figure = new_figure(10.2, 4.6)
    left, right = figure.subplots(1, 2)
    plateau, end, t = float(numbers["plateau"]), float(numbers["end"]), numbers["marks_t"]
    for height in (plateau, end):
        left.axhline(height, color="0.35", linestyle="--", linewidth=1.2)
    left.plot(numbers["t"], numbers["zero_start"], color="0.35")
    middle = np.sqrt(plateau * end)
    for k, scale in enumerate(numbers["scales"]):
        colour = f"C{k}"
        left.plot(numbers["late_t"], numbers[f"leak{k}"], color=colour)
        left.plot(t, numbers[f"marks{k}"], MARKS[k], color=colour)
        halfway = np.exp(np.interp(-middle, -numbers[f"marks{k}"], np.log(t)))
        label = f"$\\sigma_0 = {scale:g}$" if k == len(numbers["scales"]) - 1 else f"${scale:g}$"
        left.annotate(label, (halfway, middle), (6, 6), textcoords="offset points", color=colour)
        for j in range(len(numbers["rates"])):
            right.plot(
                numbers[f"own_marks_t{k}"], numbers[f"own_marks{k}"][:, j], MARKS[k], color=f"C{j + 3}", zorder=3
            )
    for j in range(len(numbers["rates"])):
        right.plot(numbers["own_t"], numbers["part"][:, j], color=f"C{j + 3}")
        at = min(1.0, 3.4 / float(numbers["rates"][j]))
        where = (at, float(np.exp(-numbers["rates"][j] * at)))
        right.annotate(f"$e^{{-\\kappa_{j + 1}t}}$", where, (8, 5), textcoords="offset points", color=f"C{j + 3}")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    left.yaxis.set_minor_locator(NullLocator())
    left.set_ylim(0.6, 16)
    left.set_xlim(0.04, 1.2 * t[-1])
    left.text(0.045, plateau / 1.05, "plateau", color="0.3", va="top")
    left.text(0.045, end / 1.05, "end, with frozen features", color="0.3", va="top")
    left.text(0.8, 7, "line: from zero weights", color="0.3")
    left.set_title("a  loss")
    left.set_xlabel("time t  (unit time constant)")
    left.set_ylabel("loss above the best map  L")
    right.set_yscale("log")
    right.set_ylim(0.01, 1.3)
    right.set_title("b  leak along each frozen direction $v_k$")
    right.set_xlabel("time in units of the leak  $\\sigma_0^2\\,t$")
    right.set_ylabel("error left  $|E(t)v_k|/|E_{plateau}v_k|$")
    return figure


FIGURE = FigureSpec(
    name="plateau-leak",
    title="Fixed low-rank feedback stops at a plateau, and leaks past it at the rate of its random features",
    words="Loss under fixed feedback of rank 2 for a task of 4 modes, from random starts of size σ₀; marks are "
    "simulations. Feedback reports two directions of the error. Once these are learned it is silent, and the loss "
    "stops at a predicted height (a, upper dashes). The first layer is then frozen, but the second still reads its "
    "random features: each input direction leaks at a rate κ of order σ₀² (b), down to what so few features express.",
    claims=("low-rank-limit", "low-rank-trajectory", "low-rank-leak", "low-rank-slow-rates", "finite-start"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
