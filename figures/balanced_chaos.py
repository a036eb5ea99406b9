"""Random couplings in a balanced network: chaos, and how balance suppresses it."""

import matplotlib
import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from linfa.neighbours import balanced
from linfa.plot import new_figure

G, X = 3.0, 0.4
STIMULI = (0.0, 0.2, 0.4, 0.6)


def compute(quick: bool, seed: int) -> Numbers:
    """Onset over balance for several stimuli; Lyapunov exponent and fluctuations over balance, theory and networks."""
    line = np.geomspace(0.1, 100.0, 15 if quick else 60)
    coarse = np.geomspace(0.3, 100.0, 5 if quick else 18)
    marks = np.array([0.5, 5.0] if quick else [0.5, 2.0, 8.0, 30.0])
    sizes = (200,) if quick else (200, 600)
    numbers: Numbers = {
        "line_b": line,
        "coarse_b": coarse,
        "marks_b": marks,
        "sizes": np.array(sizes),
        "onset": np.array([[balanced.chaos_onset(b, x) for b in line] for x in STIMULI]),
        "exponent": np.array([balanced.dynamic_mean_field(G, b, X).lyapunov_exponent() for b in coarse]),
        "n_variance": np.array([balanced.mean_field(b, X, 0.0, G).n_variance for b in coarse]),
        "noisy_n_variance": np.array([balanced.mean_field(b, X, 0.75).n_variance for b in coarse]),
    }
    for k, n in enumerate(sizes):
        exponents, variances, noisy = [], [], []
        for j, b in enumerate(marks):
            step = min(0.1, 0.8 / (1 + b))
            runs = [
                balanced.measured_exponent(n, b, X, 0.0, G, 20.0 if quick else 40.0, seed + 10 * r + j, step=step)
                for r in range(2 if quick else 3)
            ]
            exponents.append([np.mean(runs), np.std(runs, ddof=1) / np.sqrt(len(runs))])
            spread = []
            for r in range(2):
                run = balanced.simulate(
                    n, b, X, 0.0, G, duration=40.0, seed=seed + 10 * r + j, step=step, burn_in=20.0, trajectories=8
                )
                spread.append(n * run.readout.var(1))
            spread = np.concatenate(spread)
            variances.append([spread.mean(), spread.std(ddof=1) / np.sqrt(len(spread))])
            run = balanced.simulate(100, b, X, 0.75, duration=60.0, seed=seed + j, step=step / 4, trajectories=8)
            spread = 100 * run.readout.var(1)
            noisy.append([spread.mean(), spread.std(ddof=1) / np.sqrt(len(spread))])
        numbers |= {f"exponents{k}": np.array(exponents), f"variances{k}": np.array(variances)}
        numbers["noisy"] = np.array(noisy)
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Onset, exponent, fluctuations."""
    figure = new_figure(12.0, 4.4)
    left, middle, right = figure.subplots(1, 3)
    shades = matplotlib.colormaps["cividis"](np.linspace(0.75, 0.0, len(STIMULI)))
    for x, onset, shade in zip(STIMULI, numbers["onset"], shades, strict=True):
        left.plot(numbers["line_b"], onset, color=shade)
        left.annotate(
            f"$x={x:g}$",
            (numbers["line_b"][-1], onset[-1]),
            (-2, 5),
            textcoords="offset points",
            color=shade,
            ha="right",
            va="bottom",
        )
    left.text(0.12, 2.6, "chaos", fontsize=13)
    left.text(2.5, 0.8, "frozen", fontsize=13)
    left.set_ylim(0.6, 3.0)
    left.set_xlabel("balance  $b$")
    left.set_ylabel("random couplings  $g$")
    left.set_title("a  onset of chaos")
    middle.plot(numbers["coarse_b"], numbers["exponent"], color="C0", label="$N\\to\\infty$")
    right.plot(numbers["coarse_b"], numbers["n_variance"], color="C0")
    right.plot(numbers["coarse_b"], numbers["noisy_n_variance"], color="C1")
    for k, n in enumerate(numbers["sizes"]):
        style = {"fmt": ("D", "o")[k], "color": ("C5", "C0")[k], "capsize": 3, "label": f"$N={n:,}$"}
        middle.errorbar(numbers["marks_b"], *numbers[f"exponents{k}"].T, **style)
        right.errorbar(numbers["marks_b"], *numbers[f"variances{k}"].T, **style)
    right.errorbar(numbers["marks_b"], *numbers["noisy"].T, fmt="s", color="C1", capsize=3)
    middle.legend()
    middle.set_ylim(0.0, 0.3)
    middle.set_xlabel("balance  $b$")
    middle.set_ylabel("largest Lyapunov exponent")
    middle.set_title(f"b  $g={G:g}$, $x={X:g}$")
    right.text(22, 0.03, "noise\n$\\propto b^{-1}$", color="C1")
    right.text(1.1, 0.012, "chaos\n$\\propto b^{-2}$", color="C0")
    right.set_yscale("log")
    right.yaxis.set_minor_locator(NullLocator())
    right.set_xlabel("balance  $b$")
    right.set_ylabel("fluctuations  $N\\,\\mathrm{var}\\,\\hat x$")
    right.set_title("c  cancelled by balance")
    for axes in (left, middle, right):
        axes.set_xscale("log")
    return figure


FIGURE = FigureSpec(
    name="balanced-chaos",
    title="Balance suppresses chaos: it sets in later, grows slower, and is cancelled faster than noise",
    words="Random couplings of strength g make activity chaotic. A stimulus that is represented with strong balance "
    "pushes neurons into saturation and the onset up (a); at g = 3 the largest Lyapunov exponent falls with balance "
    "(b). Chaotic activity is smooth in time, so that feedback cancels it as 1/b², noise only as 1/b (c, orange). "
    "Lines: dynamic mean-field theory; marks: networks with standard errors. Finite networks are less chaotic than "
    "infinite ones.",
    claims=("balanced-chaos-onset", "balanced-lyapunov", "balanced-chaos", "balanced-chaos-suppressed"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
