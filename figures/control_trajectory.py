"""Feedback control in time: the course of the outputs, what proportional control buys, and where the loop swings."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa._random import stream
from linfa.neighbours import control
from linfa.networks import initial_weights
from linfa.plot import new_figure

WIDTHS = (8, 12, 10, 3)
SLOW = 20.0
LEAK = 0.3
PROPORTIONAL = (0.0, 0.5, 1.5)
MARKS = ("o", "s", "D")


def compute(quick: bool, seed: int) -> Numbers:
    """The course of control by Euler steps and exactly, and its growth against the gain."""
    weights = [w / np.sqrt(w.shape[1]) for w in initial_weights(WIDTHS, "gaussian", 1.0, seed)]
    generator = stream(seed, "data")
    x, target = generator.standard_normal(WIDTHS[0]), generator.standard_normal(WIDTHS[-1])
    q = control.jacobian(weights, x).T
    fine, seen = np.linspace(0.0, 60.0, 301), np.linspace(0.0, 60.0, 25)
    numbers: Numbers = {"t": fine, "marks_t": seen, "target": target}
    for k, k_p in enumerate(PROPORTIONAL):
        state = control.steady_state(weights, q, x, target, LEAK, k_p)
        exact = control.trajectory(weights, q, x, target, LEAK, fine, k_p, tau_u=SLOW)
        run = control.simulate(weights, q, x, target, LEAK, seen, k_p, tau_u=SLOW, dt=0.01)
        numbers |= {
            f"error{k}": np.linalg.norm(exact.error, axis=1),
            f"marks_error{k}": np.linalg.norm(run.error, axis=1),
            f"rest{k}": np.array(np.linalg.norm(state.error)),
        }
        if k == 0:
            numbers |= {"output": exact.output, "marks_output": run.output, "rest": state.activity[-1]}
    critical = control.critical_gain(weights, q)
    factors, tried = np.linspace(0.05, 2.0, 120), np.linspace(0.2, 1.9, 6 if quick else 12)
    numbers |= {
        "factors": factors,
        "growth": np.array([control.growth_rate(control.loop_matrix(weights, f * critical * q, 0.0)) for f in factors]),
        "tried": tried,
        "marks_growth": np.array([_growth(weights, f * critical * q, x, target) for f in tried]),
    }
    return numbers


def _growth(weights: list[np.ndarray], q: np.ndarray, x: np.ndarray, target: np.ndarray) -> float:
    """Rate at which the error of a simulated loop grows or shrinks, from its envelope."""
    # Where it swings, the largest error of a window that holds several turns is its envelope.
    t = np.linspace(0.0, 160.0, 3201)
    size = np.linalg.norm(control.simulate(weights, q, x, target, 0.0, t, dt=0.001).error, axis=1)
    windows = [slice(1400, 2000), slice(2600, 3200)]
    return float(np.log(size[windows[1]].max() / size[windows[0]].max()) / (t[2600] - t[1400]))


def draw(numbers: Numbers) -> Figure:
    """Outputs, errors and growth rates."""
    figure = new_figure(12.6, 4.4)
    panels = figure.subplots(1, 3)
    _outputs(panels[0], numbers)
    _errors(panels[1], numbers)
    growth = panels[2]
    growth.axhline(0.0, color="0.6", linewidth=1)
    growth.axvline(1.0, color="0.6", linewidth=1, linestyle="--")
    growth.plot(numbers["factors"], numbers["growth"], color="0.25")
    growth.plot(numbers["tried"], numbers["marks_growth"], "o", color="C1", markersize=6)
    growth.text(1.04, growth.get_ylim()[0] * 0.9, "critical gain", color="0.35", va="bottom")
    growth.text(0.1, 0.005, "above: unstable", color="0.35", va="bottom")
    growth.set_title("c  late pushes swing the loop")
    growth.set_xlabel("gain of the feedback  $s/s_c$")
    growth.set_ylabel("growth of the error  (1/$\\tau_v$)")
    return figure


def _outputs(axes: Axes, numbers: Numbers) -> None:
    """Outputs under integral control, with what is asked for and what is reached."""
    for k in range(len(numbers["target"])):
        axes.axhline(numbers["target"][k], color=f"C{k}", linestyle=":", linewidth=1.2)
        axes.plot(numbers["t"], numbers["output"][:, k], color=f"C{k}")
        axes.plot(numbers["marks_t"], numbers["marks_output"][:, k], MARKS[k], color=f"C{k}")
    axes.set_title("a  outputs go to their targets")
    axes.set_xlabel("time  $t/\\tau_v$")
    axes.set_ylabel("outputs  $r_L$   (dotted: targets)")


def _errors(axes: Axes, numbers: Numbers) -> None:
    """Errors for three proportional gains, and where they rest."""
    for k, k_p in enumerate(PROPORTIONAL):
        axes.axhline(numbers[f"rest{k}"], color=f"C{k + 3}", linestyle="--", linewidth=1.2)
        axes.plot(numbers["t"], numbers[f"error{k}"], color=f"C{k + 3}")
        axes.plot(
            numbers["marks_t"],
            numbers[f"marks_error{k}"],
            MARKS[k],
            color=f"C{k + 3}",
            label=f"$k_p = {k_p:g}$",
        )
    axes.legend(loc="upper right")
    axes.set_ylim(bottom=0.0)
    axes.set_title("b  proportional control")
    axes.set_xlabel("time  $t/\\tau_v$")
    axes.set_ylabel("error  $|e|$   (dashed: at rest, $a|u|$)")


FIGURE = FigureSpec(
    name="control-trajectory",
    title="Feedback control steers the output to its target, unless it pushes too hard",
    words="A linear network of three layers and its controller; lines are the exact course e^{At}, marks Euler steps. "
    "Control is switched on at t = 0 and rests close to the targets (a): its leak of 0.3 leaves the error a u. "
    "Proportional control acts at once and leaves less, but takes longer to come to rest (b). Pushes on lower layers "
    "arrive late, so that a loop with too much gain overshoots, and above a critical one swings itself up (c).",
    claims=("control-steady-state", "control-trajectory", "control-critical-gain"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
