"""Balanced predictive coding with delay: where it is quiet, where it rings, where it oscillates."""

import matplotlib
import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.neighbours import balanced
from linfa.plot import new_figure

X, SIGMA, NEURONS = 0.2, 0.3, 100
DELAY = 0.1


def _cycle(b: float, delay: float, sigma: float, n: int, seed: int) -> float:
    """Amplitude of the read-out's oscillation in simulation, from its standard deviation."""
    run = balanced.simulate(
        n, b, X, sigma, delay=delay, duration=30 * delay + 4, burn_in=12.0, step=delay / 20, seed=seed, start=_near(n)
    )
    return float(np.sqrt(2) * run.readout.std())


def _near(n: int) -> np.ndarray:
    """Neurons side by side, off the balanced state by a little."""
    return np.full(n, 0.3)


def compute(quick: bool, seed: int) -> Numbers:
    """A map of fluctuations over balance and delay, its boundary and valley, and the cycle beyond."""
    size = 24 if quick else 90
    delays, balances = np.geomspace(0.02, 1.0, size), np.geomspace(0.7, 120.0, size)
    deviation = np.full((size, size), np.nan)
    for j, delay in enumerate(delays):
        critical = balanced.critical_balance(X, float(delay), SIGMA)
        for i, b in enumerate(balances):
            if b < critical:
                deviation[i, j] = np.sqrt(balanced.mean_field(b, X, SIGMA, delay=delay).n_variance)
    line = np.geomspace(0.02, 1.0, 40)
    numbers: Numbers = {
        "delays": delays,
        "balances": balances,
        "deviation": deviation,
        "line_d": line,
        "critical": np.array([balanced.critical_balance(X, d, SIGMA) for d in line]),
        # So many neurons that fluctuations, not the bias, are what is minimised at x = 0.
        "best": np.array([balanced.optimal_balance(NEURONS, 0.0, SIGMA, delay=d).b for d in line]),
    }
    marks = np.geomspace(0.03, 0.6, 3 if quick else 6)
    found = []
    for delay in marks:
        # The growth rate of a small perturbation, on both sides of the boundary, crosses zero between them.
        critical = balanced.critical_balance(X, float(delay))
        rates = [_rate(f * critical, float(delay)) for f in (0.95, 1.05)]
        found.append(critical * (0.95 - 0.1 * rates[0] / (rates[1] - rates[0])))
    numbers |= {"marks_d": marks, "marks_critical": np.array(found)}
    onset = balanced.critical_balance(X, DELAY)
    cycle_b = onset * (1 + np.geomspace(1e-4, 1.6, 60))
    numbers |= {
        "cycle_b": cycle_b,
        "amplitude": np.array([balanced.limit_cycle(b, X, DELAY).amplitude for b in cycle_b]),
        "onset": np.array(onset),
    }
    for name, sigma, n, begin in (("quiet", 0.0, 2, 0.7), ("noisy", SIGMA, 1000, 0.7)):
        values = onset * np.linspace(begin, 2.5, 5 if quick else 12)
        numbers[f"{name}_b"] = values
        numbers[name] = np.array([_cycle(float(b), DELAY, sigma, n, seed + k) for k, b in enumerate(values)])
    noisy_onset = balanced.critical_balance(X, DELAY, SIGMA)
    noisy_b = noisy_onset * (1 + np.geomspace(1e-4, 1.5, 50))
    numbers |= {
        "noisy_line_b": noisy_b,
        "noisy_amplitude": np.array([balanced.limit_cycle(b, X, DELAY, SIGMA).amplitude for b in noisy_b]),
    }
    return numbers


def _rate(b: float, delay: float) -> float:
    """Growth rate of a small perturbation, in simulation, from the envelope of the read-out over two stretches."""
    state = balanced.mean_field(b, X, 0.0)
    weights = balanced.simulate(2, b, X, 0.0, delay=delay, duration=1.0).weights
    run = balanced.simulate(
        2,
        b,
        X,
        0.0,
        delay=delay,
        duration=48 * delay,
        burn_in=12 * delay,
        start=weights * (state.field + 1e-6),
        step=delay / 40,
    )
    away = run.readout - state.readout
    half = len(away) // 2
    early, late = np.square(away[:half]).mean(), np.square(away[half : 2 * half]).mean()
    return float(np.log(late / early) / (2 * half * run.step))


def draw(numbers: Numbers) -> Figure:
    """The phase diagram, and the amplitude of the cycle."""
    figure = new_figure(10.8, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="0.88")
    image = left.pcolormesh(
        numbers["delays"],
        numbers["balances"],
        np.log10(np.ma.masked_invalid(numbers["deviation"])),
        cmap=colours,
        shading="nearest",
        vmin=-1.4,
        vmax=0.0,
    )
    left.set_xscale("log")
    left.set_yscale("log")
    limits = left.get_xlim(), left.get_ylim()
    left.plot(numbers["line_d"], numbers["critical"], color="C1", linewidth=3)
    left.plot(numbers["line_d"], numbers["best"], color="white", linewidth=2.5, linestyle="--")
    left.plot(numbers["marks_d"], numbers["marks_critical"], "o", color="C1", markeredgecolor="black", markersize=8)
    left.set_xlim(*limits[0])
    left.set_ylim(*limits[1])
    left.text(0.25, 45, "oscillates", ha="center", fontsize=12)
    left.text(0.03, 1.6, "noise", color="white", ha="left", va="center", fontsize=12)
    left.text(0.045, 9.5, "best balance", color="white", rotation=-37, ha="center", va="center")
    left.text(0.105, 24, "Hopf boundary", color="C1", rotation=-33, ha="center", va="center")
    left.set_xlabel("delay  $d$  (time constants)")
    left.set_ylabel("balance  $b$")
    left.set_title("a  phases")
    bar = figure.colorbar(image, ax=left, label="deviation  $\\log_{10}\\sqrt{N}\\,\\delta\\hat x$", pad=0.02)
    bar.ax.set_label("inset")
    right.plot(numbers["cycle_b"], numbers["amplitude"], color="C0")
    right.plot(numbers["noisy_line_b"], numbers["noisy_amplitude"], color="C2")
    right.plot(numbers["quiet_b"], numbers["quiet"], "o", color="C0", label="no noise, 2 neurons", markersize=7)
    right.plot(numbers["noisy_b"], numbers["noisy"], "s", color="C2", label=f"$\\sigma={SIGMA:g}$, 1,000 neurons")
    right.axvline(float(numbers["onset"]), color="C1", linewidth=1.5)
    right.text(float(numbers["onset"]) - 0.4, 0.75, "$b_c$", color="C1", ha="right", fontsize=13)
    right.legend(loc="lower right")
    right.set_xlabel("balance  $b$")
    right.set_ylabel("amplitude of the read-out")
    right.set_title(f"b  the oscillation, delay {DELAY:g}")
    return figure


FIGURE = FigureSpec(
    name="balanced-delay",
    title="Feedback that comes late: noise below the Hopf boundary, oscillation above it, and a best balance between",
    words="The same network with a delay d in its feedback. Colour: fluctuations of the read-out by theory; they fall "
    "with balance b, then rise towards the boundary (orange) at which the balanced state starts to oscillate, about "
    "b = π/(2d). Dots on it: where growth turns to decay in simulation, without noise. The best balance (dashed) is a "
    "little below half of it. In b the amplitude of the oscillation, lines by describing function, marks by "
    "simulation; noise makes neurons less steep and moves the boundary up.",
    claims=("balanced-hopf", "balanced-limit-cycle", "balanced-optimum", "balanced-delay"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
