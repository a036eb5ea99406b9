"""Balanced predictive coding: error against balance, and against the number of neurons."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from linfa.neighbours import balanced
from linfa.plot import new_figure

X, SIGMA, NEURONS = 0.2, 0.75, 100
DELAYS = (0.0, 0.1)
# Name, exponent χ of b = factor N^χ, and factor.
GROWTHS = ((0.0, 4.0), (0.5, 1.0), (1.0, 1.0))
MARKS = ("o", "s", "D")


def _error(n: int, b: float, delay: float, seed: int, duration: float) -> tuple[float, float]:
    """Root-mean-square error of simulated networks, and its standard error."""
    # The faster feedback is, the sooner fluctuations are averaged, and the smaller the step has to be.
    span = duration / np.sqrt(1 + b)
    step = min(0.04, 0.25 / (1 + b), delay / 5 if delay else 1.0)
    run = balanced.simulate(
        n, b, X, SIGMA, delay=delay, duration=span, seed=seed, step=step, burn_in=6.0, trajectories=4
    )
    blocks = np.square(run.readout - X)[:, : len(run.t) // 10 * 10].reshape(40, -1).mean(1)
    error = np.sqrt(blocks.mean())
    return float(error), float(blocks.std(ddof=1) / np.sqrt(len(blocks)) / (2 * error))


def compute(quick: bool, seed: int) -> Numbers:
    """Errors of simulated networks over balance, with and without delay, and over N for balance that grows with it."""
    duration = 60.0 if quick else 400.0
    line_b = np.geomspace(0.3, 300.0, 240)
    numbers: Numbers = {"line_b": line_b, "bias": np.array([balanced.mean_field(b, X, SIGMA).bias for b in line_b])}
    for k, delay in enumerate(DELAYS):
        states = [balanced.mean_field(b, X, SIGMA, delay=delay) for b in line_b]
        numbers[f"line{k}"] = np.array([state.error(NEURONS) for state in states])
        marks = np.geomspace(0.5, 128.0 if delay == 0 else 17.0, 4 if quick else 9)
        numbers[f"marks_b{k}"] = marks
        found = [_error(NEURONS, b, delay, seed + j, duration) for j, b in enumerate(marks)]
        numbers[f"marks{k}"] = np.array(found)
    best = balanced.optimal_balance(NEURONS, X, SIGMA, delay=DELAYS[1])
    numbers["best"] = np.array([best.b, best.error])
    line_n, marks_n = np.geomspace(10, 1000, 60), np.array([25, 100] if quick else [12, 25, 50, 100, 200, 400])
    numbers |= {"line_n": line_n, "marks_n": marks_n}
    for k, (growth, factor) in enumerate(GROWTHS):
        # N between whole numbers: the error of the formula, not of a network.
        squares = []
        for n in line_n:
            state = balanced.mean_field(factor * n**growth, X, SIGMA)
            squares.append((state.bias if growth else 0.0) ** 2 + state.n_variance / n)
        numbers[f"line_n{k}"] = np.sqrt(squares)
        found = []
        for j, n in enumerate(marks_n):
            b = factor * float(n) ** growth
            error, spread = _error(int(n), b, 0.0, seed + 50 + j, duration * (3.0 if growth == 0 else 1.0))
            if growth == 0:
                # At fixed balance the bias stays; what falls with N is the deviation.
                error = np.sqrt(error**2 - balanced.mean_field(b, X, SIGMA).bias ** 2)
                spread *= np.hypot(error, balanced.mean_field(b, X, SIGMA).bias) / error
            found.append((error, spread))
        numbers[f"marks_n{k}"] = np.array(found)
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Error over balance, and over N."""
    figure = new_figure(10.6, 4.8)
    left, right = figure.subplots(1, 2)
    left.plot(numbers["line_b"], numbers["bias"], color="0.45", linestyle="--", linewidth=1.4)
    for k in range(len(DELAYS)):
        shown = np.isfinite(numbers[f"line{k}"]) & (numbers[f"line{k}"] < 0.25)
        left.plot(numbers["line_b"][shown], numbers[f"line{k}"][shown], color=f"C{k}")
        error, spread = numbers[f"marks{k}"].T
        left.errorbar(numbers[f"marks_b{k}"], error, spread, fmt=MARKS[k], color=f"C{k}", capsize=3)
    left.plot(*numbers["best"], marker="*", markersize=15, color="C1", markeredgecolor="black", linestyle="None")
    left.annotate("best", numbers["best"], (12, -6), textcoords="offset points", color="C1")
    left.text(60, 0.013, "no delay", color="C0")
    left.text(22, 0.075, f"delay {DELAYS[1]:g}", color="C1")
    left.text(7.0, 0.0125, "bias $m/b$", color="0.35", ha="right")
    left.set_xlabel("balance  $b$")
    left.set_ylabel("error  $\\langle(x-\\hat x)^2\\rangle^{1/2}$")
    left.set_title(f"a  {NEURONS} neurons")
    labels = ("$b=4$: $N^{-1/2}$", "$b=\\sqrt{N}$: $N^{-1/2}$", "$b=N$: $N^{-1}$")
    for k, label in enumerate(labels):
        right.plot(numbers["line_n"], numbers[f"line_n{k}"], color=f"C{(0, 3, 2)[k]}")
        error, spread = numbers[f"marks_n{k}"].T
        right.errorbar(numbers["marks_n"], error, spread, fmt=MARKS[k], color=f"C{(0, 3, 2)[k]}", capsize=3)
        at = (95, 0.0095), (120, 0.034), (40, 0.0035)
        right.text(*at[k], label, color=f"C{(0, 3, 2)[k]}")
    right.set_xlabel("neurons  $N$")
    right.set_ylabel("error, no delay")
    right.set_title("b  balance that grows with the network")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
    left.set_ylim(0.001, 0.25)
    right.set_ylim(4e-4, 0.1)
    return figure


FIGURE = FigureSpec(
    name="balanced-error",
    title="Strong input and feedback that cancels it: errors fall with balance, until delay makes them rise",
    words="N noisy neurons represent a constant stimulus in their common read-out; feedback cancels all of the input "
    "but the error. Lines: theory; marks: simulation with standard errors. Without delay more balance is always better "
    "(a, blue), down to the bias (dashed); with delay there is a best balance (star) before feedback begins to ring. "
    "Where balance may grow with the network the error falls as 1/N (b, green), faster than the 1/√N of averaging "
    "independent neurons: superclassical coding. At fixed balance (b, blue) the bias stays, and the deviation that is "
    "drawn falls as 1/√N.",
    claims=("balanced-readout", "balanced-fluctuations", "balanced-delay", "balanced-superclassical"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
