"""Easy, hard, impossible: the phases of a noisy tensor over the mean of its factors and the noise."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.neighbours.tensor import Gaussian, amp, gaussian_noise, gaussian_spinodals, spike, thresholds
from linfa.plot import new_figure

TRICRITICAL = np.sqrt(0.125)


def compute(quick: bool, seed: int) -> Numbers:
    """Thresholds over the mean, and the share of tensors on which message passing climbs."""
    means = TRICRITICAL * (1 - np.linspace(1.0, 0.0, 30 if quick else 90) ** 2)
    low, high = gaussian_spinodals(means)
    # At a mean of zero the gain of the uninformed branch is zero: the noise goes to zero with it.
    algorithmic = np.where(means > 0, gaussian_noise(np.maximum(low, 1e-300), means), 0.0)
    information = [thresholds("gaussian", mean=float(mu)).information for mu in means[:-1]]
    numbers: Numbers = {
        "means": means,
        "algorithmic": algorithmic,
        "information": np.append(information, 27 / 64),
        "dynamical": gaussian_noise(high, means),
    }
    size, draws = (40, 4) if quick else (80, 10)
    grid_means = np.array([0.12, 0.26]) if quick else np.array([0.06, 0.12, 0.18, 0.24, 0.3])
    levels = np.linspace(0.02, 0.44, 5 if quick else 15)
    shares = np.empty((len(grid_means), len(levels)))
    for k, mu in enumerate(grid_means):
        prior, known = Gaussian(float(mu)), thresholds("gaussian", mean=float(mu))
        # The overlap on the unstable branch at the tricritical gain parts both stable ones.
        edge = mu**2 + 0.25
        for j, delta in enumerate(levels):
            climbed = []
            for draw in range(draws):
                y, factors = spike((size,) * 3, 1, prior, float(delta), 1000 * seed + draw, exact_moments=True)
                run = amp(y, 1, prior, float(delta), start="prior", truth=factors, iterations=80)
                climbed.append(run.overlaps[-1].mean() > edge)
            shares[k, j] = np.mean(climbed)
        numbers[f"edges{k}"] = np.array([known.algorithmic, known.information, known.dynamical])
    numbers |= {"grid_means": grid_means, "levels": levels, "shares": shares}
    return numbers


def draw(numbers: Numbers) -> Figure:
    """Phases as areas, simulations as dots, filled by the share of tensors that are solved."""
    figure = new_figure(7.4, 5.2)
    axes = figure.subplots()
    means = numbers["means"]
    top, right = 0.5, 0.42
    algorithmic, information, dynamical = (numbers[k] for k in ("algorithmic", "information", "dynamical"))
    beyond = ([*means, means[-1], right], [*algorithmic, top, top])
    axes.fill_between(beyond[0], 0, beyond[1], color="C2", alpha=0.22, linewidth=0)
    axes.fill_between(means, algorithmic, information, color="C4", alpha=0.3, linewidth=0)
    axes.fill_between(means, information, top, color="C1", alpha=0.2, linewidth=0)
    axes.plot(means, algorithmic, color="C2")
    axes.plot(means, information, color="C1")
    axes.plot(means, dynamical, color="0.4", linestyle="--")
    axes.plot(means[-1], algorithmic[-1], "o", color="black", markersize=7, zorder=4)
    axes.annotate("tricritical", (means[-1], algorithmic[-1]), (8, 4), textcoords="offset points")
    points, levels = np.meshgrid(numbers["grid_means"], numbers["levels"], indexing="ij")
    marks = axes.scatter(
        points,
        levels,
        c=numbers["shares"],
        cmap="Greys",
        vmin=0,
        vmax=1,
        s=44,
        edgecolors="black",
        linewidths=0.9,
        zorder=3,
    )
    bar = figure.colorbar(marks, ax=axes, shrink=0.8)
    bar.ax.set_label("inset")
    bar.set_label("share of tensors solved")
    axes.text(0.385, 0.2, "easy", color="C2", ha="center", fontsize=14, fontweight="bold")
    axes.text(0.132, 0.165, "hard", color="#9a6a00", fontsize=14, fontweight="bold")
    axes.text(0.018, 0.465, "impossible", color="C1", fontsize=14, fontweight="bold")
    axes.text(0.005, 0.257, r"$\Delta_{\rm dyn}$", color="0.3")
    axes.set(xlim=(0, right), ylim=(0, top), xlabel=r"mean of the factors  $\mu$", ylabel=r"noise  $\Delta$")
    return figure


FIGURE = FigureSpec(
    name="tensor-phases",
    title="Easy, hard, impossible: a known mean opens the door",
    words="Factors of a noisy tensor are drawn from N(μ, 1). Below the green line message passing finds them from its "
    "prior alone. Between green and red they could be found, as the better state is the likelier one, but no fast "
    "method reaches it. Above red there is nothing to find; up to the dashed line the better state still exists, if "
    "one is started there. Both transitions meet at a mean of 1/√8, beyond which the estimate worsens smoothly. Lines "
    "are theory for infinite size; dots are filled by the share of simulated tensors that were solved, which for "
    "tensors of this size falls from all to none around the green line, not at it.",
    claims=("tensor-gaussian-thresholds", "tensor-tricritical"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
