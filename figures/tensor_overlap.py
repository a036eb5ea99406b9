"""What message passing recovers of a noisy tensor: on state evolution, and against least squares."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.neighbours.tensor import (
    Gaussian,
    als,
    als_error,
    amp,
    bayes_error,
    fixed_points,
    gaussian_fixed_point,
    spike,
    state_evolution,
    thresholds,
)
from linfa.plot import new_figure

MEAN = 0.3
MOMENT = 1 + MEAN**2
# Upper end of the axis of errors.
TOP = 2.6


def _branches(deltas: np.ndarray) -> np.ndarray:
    """Fixed points at each noise, smallest first, (noise, 3); not a number where there is one alone but the last."""
    found, easy = np.full((len(deltas), 3), np.nan), thresholds("gaussian", mean=MEAN).algorithmic
    for k, delta in enumerate(deltas):
        overlaps = fixed_points(Gaussian(MEAN), float(delta))[:, 0]
        if len(overlaps) == 3:
            found[k] = overlaps
        else:
            found[k, 2 if delta < easy else 0] = overlaps[0]
    return found


def compute(quick: bool, seed: int) -> Numbers:
    """Overlaps from both starts and errors of both methods, on the same tensors."""
    prior, known = Gaussian(MEAN), thresholds("gaussian", mean=MEAN)
    size, draws = (40, 4) if quick else (100, 8)
    edges = (known.algorithmic, known.information, known.dynamical)
    deltas = np.union1d(np.linspace(0.01, 0.5, 30 if quick else 100), np.array(edges) * (1 - 1e-6))
    numbers: Numbers = {"delta": deltas, "branches": _branches(deltas), "edges": np.array(edges)}
    uninformed = np.array([state_evolution(prior, d) for d in deltas])
    numbers["amp"] = np.array([bayes_error(m, [MOMENT] * 3) for m in uninformed])
    # Least squares near the spike, up to where that state ends.
    scaled = np.linspace(0.01, 0.25, 60)
    numbers["als_delta"] = scaled * MOMENT**3
    numbers["als"] = np.array([als_error([gaussian_fixed_point(d)] * 3) for d in scaled])
    # Around the spinodals the outcome of a tensor this small is a matter of luck; they are marked, not avoided.
    marks = np.linspace(0.05, 0.45, 5 if quick else 9)
    overlaps, errors = [], []
    for delta in marks:
        for draw in range(draws):
            y, factors = spike((size,) * 3, 1, prior, float(delta), 1000 * seed + draw, exact_moments=True)
            blind = amp(y, 1, prior, float(delta), start="prior", truth=factors, iterations=100)
            told = amp(y, 1, prior, float(delta), start=factors, truth=factors, iterations=100)
            fitted = als(y, 1, start="spectral", iterations=100)
            overlaps.append([blind.overlaps[-1].mean(), told.overlaps[-1].mean()])
            errors.append([blind.relative_error(factors), fitted.relative_error(factors)])
    shaped = (len(marks), draws, 2)
    numbers["marks"] = marks
    for name, values in (("overlap", overlaps), ("error", errors)):
        values = np.array(values).reshape(shaped)
        numbers[f"marks_{name}"] = values.mean(1)
        numbers[f"spread_{name}"] = values.std(1, ddof=1) / np.sqrt(draws)
    return numbers


def _marks(axes: Axes, numbers: Numbers, name: str, column: int, style: dict, shift: float) -> None:
    """Means over tensors with their standard errors, beside each other where they coincide."""
    means, spreads = numbers[f"marks_{name}"][:, column], numbers[f"spread_{name}"][:, column]
    # Failures of least squares grow without bound; those beyond the axis are left out whole.
    inside = means + spreads < TOP
    axes.errorbar(
        numbers["marks"][inside] + shift,
        means[inside],
        spreads[inside],
        linestyle="none",
        zorder=3,
        **style,
    )


def draw(numbers: Numbers) -> Figure:
    """Overlap from both starts; error of both methods."""
    figure = new_figure(10.4, 4.6)
    left, right = figure.subplots(1, 2)
    informed = {"fmt": "o", "color": "C0", "markersize": 6}
    blind = {"fmt": "s", "color": "C1", "markersize": 6, "markerfacecolor": "white", "markeredgewidth": 1.6}
    delta, branches = numbers["delta"], numbers["branches"]
    low, middle, high = branches.T
    left.plot(delta, high, color="C0")
    left.plot(delta, low, color="C1")
    left.plot(delta, middle, color="0.5", linestyle=":")
    _marks(left, numbers, "overlap", 1, informed, -0.004)
    _marks(left, numbers, "overlap", 0, blind, 0.004)
    for edge, name, height in zip(
        numbers["edges"],
        (r"$\Delta_{\rm alg}$", r"$\Delta_{\rm IT}$", r"$\Delta_{\rm dyn}$"),
        (1.19, 1.27, 1.19),
        strict=True,
    ):
        left.axvline(edge, color="0.75", linewidth=1.0, zorder=0)
        left.text(edge, height, name, color="0.35", ha="center", va="center", backgroundcolor="white", fontsize=10)
    left.text(0.03, 0.62, "started at the truth", color="C0")
    left.text(0.03, 0.53, "started from the prior", color="C1")
    left.text(0.365, 0.43, "unstable", color="0.45")
    left.set(xlim=(0, 0.5), ylim=(0, 1.33), xlabel=r"noise  $\Delta$", ylabel=r"overlap  $m = \hat{x}\cdot x/N$")
    left.set_title("message passing, two starts")
    right.plot(delta, numbers["amp"], color="C1")
    right.plot(numbers["als_delta"], numbers["als"], color="C2")
    squares = {"fmt": "^", "color": "C2", "markersize": 6.5}
    _marks(right, numbers, "error", 0, blind, 0.004)
    _marks(right, numbers, "error", 1, squares, -0.004)
    right.axhline(1.0, color="0.6", linewidth=1.0, linestyle=":")
    right.text(0.49, 1.05, "no better than zero", color="0.4", ha="right")
    right.text(0.25, 0.22, "message passing", color="C1")
    right.text(0.012, 1.75, "least squares,\nspectral start", color="C2")
    right.text(0.012, 2.43, "failed: fits the noise", color="C2")
    right.text(0.33, 1.75, "theory near\nthe truth", color="C2")
    right.set(xlim=(0, 0.5), ylim=(0, TOP), xlabel=r"noise  $\Delta$", ylabel="relative error of the tensor")
    right.set_title("against least squares, same tensors")
    return figure


FIGURE = FigureSpec(
    name="tensor-overlap",
    title="Message passing on state evolution, and least squares that fits the noise",
    words="A tensor of rank 1 is seen through noise; its factors have the mean 0.3. Left: how well message passing "
    "recovers them from its prior alone and when it is started at the truth. Both agree below the algorithmic "
    "threshold; above it the better state still exists but is not found, until it disappears. Thresholds are those of "
    "infinite size: tensors this small jump to either side of them. Right: on the same tensors least squares, which "
    "knows neither prior nor noise, fits its length to the noise, and fails where the singular vectors it starts from "
    "are noise. Lines are theory, marks means over tensors with standard errors.",
    claims=("tensor-amp-against-als", "tensor-als", "tensor-gaussian-thresholds"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
