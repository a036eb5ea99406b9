"""From rich to lazy learning by one dial: the imbalance λ under backprop, the conserved c under feedback alignment."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from linfa.feedback import Backprop, Feedback, FeedbackAlignment
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import depth_time
from linfa.theory.feedback_alignment import half_time
from linfa.theory.scalar_alignment import relaxation_rate, relaxation_time, upper_weight, zero_error_points
from linfa.theory.unbalanced import unbalanced_amplitudes, unbalanced_strength

STRENGTHS = np.array([4.0, 2.0, 1.0])
WIDTHS = (4, 5, 3)
# Strength of every mode at the start of backprop, which cannot leave zero; B with BᵀB = I.
START, FEEDBACK = 0.01, 1.0
RICH, LAZY = 0.01, 40.0
HORIZONS = {"rich": 4.0, "lazy": 0.16}


def _strength(rule: str, t: np.ndarray, s: float, dial: float) -> np.ndarray:
    """u(t) of one mode, the dial at λ or −c."""
    if rule == "backprop":
        return unbalanced_strength(t, s, START, dial)
    roots = zero_error_points(s, FEEDBACK, -dial)
    # The closed form is the time to reach a: halve the interval in which a must lie.
    low, high = np.zeros_like(t), np.full_like(t, roots[0].real * (1 - 1e-15))
    for _ in range(60):
        middle = 0.5 * (low + high)
        late = relaxation_time(middle, 0.0, roots).real > t
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    return low * upper_weight(low, FEEDBACK, -dial)


def _half_time(rule: str, s: float, dial: float) -> float:
    """When a mode has reached s/2."""
    if rule == "fa":
        # The map is s/2 where a task of half the strength would have no error.
        middle = zero_error_points(s / 2, FEEDBACK, -dial)[0].real
        return float(relaxation_time(middle, 0.0, zero_error_points(s, FEEDBACK, -dial)).real)
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if unbalanced_strength(middle, s, START, dial) > s / 2 else (middle, high)
    return low


def _network(rule: str, task: LinearTask, dial: float, seed: int) -> tuple[list[np.ndarray], Feedback]:
    """Weights of a full network at this setting of the dial, and the rule it learns by."""
    if rule == "backprop":
        lower, upper = initial_weights(WIDTHS, "aligned", 1.0, seed, task=task)
        a, b = unbalanced_amplitudes(START, dial)
        return [a * lower, b * upper], Backprop()
    feedback = FeedbackAlignment(seed=seed, scale=FEEDBACK, draw="orthonormal")
    (carrier,) = feedback.resolve(WIDTHS).matrices["b"]
    upper = upper_weight(0.0, FEEDBACK, -dial) * carrier.T / FEEDBACK
    return [np.zeros((WIDTHS[1], WIDTHS[0])), upper], feedback


def compute(quick: bool, seed: int) -> Numbers:
    """Modes over time at both ends of the dial, and half-times along it."""
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[-1], seed=seed)
    dials = np.geomspace(RICH / 2, 100.0, 30 if quick else 120)
    few = np.geomspace(RICH, LAZY, 4 if quick else 10)
    numbers: Numbers = {"strengths": STRENGTHS, "dials": dials, "marks_dials": few}
    # Exponential approach at the lazy rate; zero imbalance with the start of backprop, zero weights.
    numbers |= {
        "backprop_lazy_half": np.log(2) / dials,
        "fa_lazy_half": np.log(2) / relaxation_rate(0.0, -dials),
        "backprop_rich_half": depth_time(STRENGTHS / 2, STRENGTHS, 2) - depth_time(START, STRENGTHS, 2),
        "fa_rich_half": half_time(STRENGTHS, FEEDBACK**2),
    }
    for rule in ("backprop", "fa"):
        numbers[f"{rule}_half"] = np.array([[_half_time(rule, s, d) for s in STRENGTHS] for d in dials])
        measured = []
        for dial in few:
            weights, feedback = _network(rule, task, dial, seed)
            t = np.geomspace(1e-3, 10.0, 300)
            u = simulate(task, weights, feedback, t, rtol=1e-10, atol=1e-12).mode_strengths
            # A mode rises steadily until rounding stops it: its crossing of s/2 is read from a spline.
            crossed = [np.searchsorted(u[:, k], s / 2) + np.arange(-3, 3) for k, s in enumerate(STRENGTHS)]
            measured.append([CubicSpline(u[at, k], t[at])(STRENGTHS[k] / 2) for k, at in enumerate(crossed)])
        numbers[f"{rule}_marks_half"] = np.array(measured)
        for regime, dial in (("rich", RICH), ("lazy", LAZY)):
            coarse = np.linspace(0.0, HORIZONS[regime], 9 if quick else 17)
            fine = np.union1d(np.linspace(0.0, HORIZONS[regime], 60 if quick else 300), coarse)
            weights, feedback = _network(rule, task, dial, seed)
            run = simulate(task, weights, feedback, coarse, rtol=1e-10, atol=1e-12)
            numbers |= {
                f"{regime}_t": fine,
                f"{regime}_marks_t": coarse,
                f"{rule}_{regime}": np.stack([_strength(rule, fine, s, dial) / s for s in STRENGTHS], axis=1),
                f"{rule}_marks_{regime}": run.mode_strengths / STRENGTHS,
            }
    return numbers


def draw(numbers: Numbers) -> Figure:
    """One row for each rule: rich curves, lazy curves, half-times along the dial."""
    figure = new_figure(10.4, 6.4)
    panels = figure.subplots(2, 3, width_ratios=(1, 1, 1.25), sharex="col")
    for row, (rule, name, symbol) in enumerate(
        (("backprop", "backprop", r"$\lambda = b^2 - a^2$"), ("fa", "feedback alignment", "$-c = 2bw - a^2$"))
    ):
        for column, regime in enumerate(("rich", "lazy")):
            axes = panels[row, column]
            for k in range(len(numbers["strengths"])):
                # Where curves coincide each shows every third of its marks, above all lines.
                some = slice(k, None, 3) if regime == "lazy" else slice(None)
                t, marks = numbers[f"{regime}_marks_t"][some], numbers[f"{rule}_marks_{regime}"][some, k]
                axes.plot(numbers[f"{regime}_t"], numbers[f"{rule}_{regime}"][:, k], color=f"C{k}")
                axes.plot(t, marks, "o", color=f"C{k}", markersize=5.5 if regime == "lazy" else 4.5, zorder=3)
            axes.set_title(f"{name}, {regime}")
            axes.set_ylim(-0.05, 1.1)
        panels[row, 1].sharey(panels[row, 0])
        panels[row, 1].tick_params(labelleft=False)
        panels[row, 0].set_ylabel("part learned  u/s")
        axes = panels[row, 2]
        axes.plot(numbers["dials"], numbers[f"{rule}_lazy_half"], "--", color="0.35")
        for k, limit in enumerate(numbers[f"{rule}_rich_half"]):
            axes.axhline(limit, color=f"C{k}", linestyle=":", linewidth=1.2)
            axes.plot(numbers["dials"], numbers[f"{rule}_half"][:, k], color=f"C{k}")
            axes.plot(numbers["marks_dials"], numbers[f"{rule}_marks_half"][:, k], "o", color=f"C{k}")
        axes.annotate(
            "lazy limit",
            (10.0, np.interp(10.0, numbers["dials"], numbers[f"{rule}_lazy_half"])),
            (4, 4),
            textcoords="offset points",
            color="0.35",
        )
        axes.text(90.0, numbers[f"{rule}_rich_half"][2] * 1.12, "rich limits", color="0.35", ha="right", va="bottom")
        axes.set(xscale="log", yscale="log", ylim=(4e-3, 5.0))
        axes.set_ylabel("half-time of each mode")
        axes.set_xlabel(f"dial  {symbol}")
    for axes in panels[:, 1]:
        axes.text(0.08, 0.42, "all three modes", color="0.35")
    for k, s in enumerate(numbers["strengths"]):
        panels[0, 0].text(3.0, 0.45 - 0.15 * k, f"s = {s:g}", color=f"C{k}")
    for axes in panels[1, :2]:
        axes.set_xlabel("time t  (unit time constant)")
    return figure


FIGURE = FigureSpec(
    name="lazy-rich",
    title="One dial from rich to lazy: λ under backprop, c under feedback alignment",
    words="Unequal layers at the start turn a dial. With both layers small, learning is rich: strong modes come first, "
    "and features have to grow. With a large upper layer it is lazy: all modes relax together at one rate, |λ| under "
    "backprop and |c|/2 under feedback alignment, whatever their strength. Half-times (right) go from the rich limit "
    "(dotted) to the lazy one (dashed). Lines are theory, dots full networks, at the dial settings 0.01 and 40.",
    claims=("backprop-unbalanced", "backprop-rich-and-lazy", "fa-scalar-time", "fa-scalar-lazy"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
