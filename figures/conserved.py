"""What learning conserves: the flow holds it, descent lets it drift as predicted."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from scipy.integrate import cumulative_trapezoid

from linfa.feedback import Backprop, FeedbackAlignment
from linfa.metrics import balancedness, feedback_balance
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.conservation import balancedness_drift, feedback_balance_drift
from linfa.trajectory import Trajectory

RATES = np.array([1e-1, 1e-2, 1e-3])
WIDTHS = (6, 8, 5)
HORIZON = 3.0


def _quantity(run: Trajectory) -> np.ndarray:
    """What the rule of this run conserves, (T, h, h)."""
    lower, upper = run.weights
    if run.feedback.name == "backprop":
        return balancedness(lower, upper)
    return feedback_balance(lower, upper, run.feedback_matrix(0))


def _drift(run: Trajectory, rate: float) -> np.ndarray:
    """By how much one update from each saved state changes it, (T, h, h)."""
    lower, upper = run.update_directions
    if run.feedback.name == "backprop":
        return balancedness_drift(rate, lower, upper)
    return feedback_balance_drift(rate, lower)


def _ends(matrices: np.ndarray) -> np.ndarray:
    """Smallest and largest eigenvalue over time."""
    return np.linalg.eigvalsh(matrices)[:, [0, -1]]


def compute(quick: bool, seed: int) -> Numbers:
    """Flow and descent from the same random weights, on inputs that are correlated."""
    # Inputs of unequal variance: the laws hold for any data.
    target = LinearTask.from_modes([2.0, 1.2, 0.7], inputs=WIDTHS[0], outputs=WIDTHS[-1], seed=seed).target
    variance = np.diag(np.linspace(0.5, 1.5, WIDTHS[0]))
    task = LinearTask(target @ variance, variance)
    weights = initial_weights(WIDTHS, "gaussian", 0.3, seed)
    t = np.linspace(0.0, HORIZON, 13 if quick else 31)
    fine = np.union1d(np.linspace(0.0, HORIZON, 301), t)
    numbers: Numbers = {"rates": RATES, "marks_t": t, "t": fine}
    for name, feedback in (("backprop", Backprop()), ("fa", FeedbackAlignment(seed=seed))):
        flow = simulate(task, weights, feedback, fine, rtol=1e-12, atol=1e-14)
        held, at_start = _quantity(flow), _quantity(flow)[0]
        size = np.linalg.norm(at_start)
        numbers[f"{name}_flow"] = np.linalg.norm(held - at_start, axis=(1, 2))[np.isin(fine, t)] / size
        # To first order in η the drifts of many small updates add up to η times an integral along the flow.
        drift = cumulative_trapezoid(_drift(flow, 1.0), fine, axis=0, initial=0.0)
        numbers[f"{name}_law"] = np.linalg.norm(drift, axis=(1, 2)) / size
        numbers[f"{name}_law_ends"] = RATES[0] * _ends(drift)
        for k, rate in enumerate(RATES):
            updates = np.arange(round(HORIZON / rate) + 1)
            run = simulate(task, weights, feedback, updates, learning_rate=float(rate))
            drifted = _quantity(run) - at_start
            predicted = np.cumsum(_drift(run, float(rate)), axis=0)[:-1]
            kept = np.unique(np.round(t / rate).astype(int))
            numbers |= {
                f"{name}_t{k}": updates * rate,
                f"{name}_exact{k}": np.append(0.0, np.linalg.norm(predicted, axis=(1, 2)) / size),
                f"{name}_marks_t{k}": updates[kept] * rate,
                f"{name}_marks{k}": np.linalg.norm(drifted[kept], axis=(1, 2)) / size,
            }
            if k == 0:
                numbers |= {
                    f"{name}_ends": np.vstack([np.zeros((1, 2)), _ends(predicted)]),
                    f"{name}_marks_ends": _ends(drifted[kept]),
                }
    return numbers


def draw(numbers: Numbers) -> Figure:
    """One column for each rule: size of the drift, and below it its extreme eigenvalues."""
    figure = new_figure(9.6, 7.0)
    panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1.35, 1))
    for column, (name, title) in enumerate(
        (
            ("backprop", r"backprop:  $D = W_2^T W_2 - W_1 W_1^T$"),
            ("fa", r"feedback alignment:  $C = W_1 W_1^T - BW_2 - (BW_2)^T$"),
        )
    ):
        size, ends = panels[:, column]
        for k, rate in enumerate(numbers["rates"]):
            size.plot(numbers[f"{name}_t{k}"][1:], numbers[f"{name}_exact{k}"][1:], color=f"C{k}")
            size.plot(numbers[f"{name}_marks_t{k}"][1:], numbers[f"{name}_marks{k}"][1:], "o", color=f"C{k}")
            size.text(1.03 * HORIZON, numbers[f"{name}_exact{k}"][-1], f"η = {rate:g}", color=f"C{k}", va="center")
        size.plot(numbers["marks_t"][1:], numbers[f"{name}_flow"][1:], "s", color="C6", markersize=4)
        size.text(1.03 * HORIZON, numbers[f"{name}_flow"][-1], "flow", color="C6", va="center")
        size.set_title(title, fontsize=11)
        ends.axhline(0.0, color="0.6", linestyle=":", linewidth=1.2)
        for which, label in ((1, "largest"), (0, "smallest")):
            ends.plot(numbers["t"], numbers[f"{name}_law_ends"][:, which], "--", color="0.35", linewidth=1.3)
            ends.plot(numbers[f"{name}_t0"], numbers[f"{name}_ends"][:, which], color="C0")
            ends.plot(numbers[f"{name}_marks_t0"], numbers[f"{name}_marks_ends"][:, which], "o", color="C0")
            ends.text(1.03 * HORIZON, numbers[f"{name}_ends"][-1, which], label, color="C0", va="bottom")
        ends.set_xlabel("time t = η × updates")
    panels[0, 0].set_yscale("log")
    panels[0, 0].set_ylim(1e-16, 1.0)
    panels[0, 0].set_xlim(-0.04 * HORIZON, 1.27 * HORIZON)
    panels[0, 0].set_xticks(np.arange(HORIZON + 1))
    panels[1, 1].annotate(
        "first order in η,\nalong the flow",
        (0.7 * HORIZON, numbers["fa_law_ends"][-1, 1]),
        (0, -5),
        textcoords="offset points",
        color="0.35",
        ha="center",
        va="top",
    )
    panels[0, 0].set_ylabel("drift, relative to the start")
    panels[1, 0].set_ylabel("eigenvalues of the drift\n" + f"at η = {numbers['rates'][0]:g}")
    return figure


FIGURE = FigureSpec(
    name="conserved",
    title="What learning conserves, and what a finite learning rate takes from it",
    words="Each rule holds one matrix fixed while it learns: backprop the balance D of its two layers, feedback "
    "alignment the difference C of what W1 has grown and what W2 has aligned. The exact flow keeps them to the error "
    "of its integration (squares). Finite steps η let them drift, in proportion to η and exactly as predicted (lines, "
    "marks). Backprop's drift has both signs; that of C is never negative: large steps erode alignment.",
    claims=("backprop-balancedness", "fa-conservation", "backprop-drift", "fa-drift"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
