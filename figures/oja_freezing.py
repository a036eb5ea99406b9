"""When Oja's rule on the error lets go of a learned mode, and when it stays there in silence."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from linfa.feedback import LowRankFeedback
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.fixed_points import learned_top_modes
from linfa.theory.oja import escape_rate, escape_threshold
from linfa.trajectory import Trajectory

HELD = 3.0
CANDIDATE = 2.0
FRACTIONS = np.array([0.5, 0.8, 1.2, 1.5])
COLOURS = ("C0", "C5", "C4", "C1")
HORIZON = 60.0
# Signals below this are of no interest, and near the tolerance of the integrator.
LOWEST = 1e-8


def _run(candidate: float, rate: float, tilt: float, t: np.ndarray, seed: int) -> Trajectory:
    """One channel on the stronger of two modes, which is learned, tilted to the other; Q follows W2ᵀPᵀ at once."""
    task = LinearTask.from_modes([HELD, candidate], inputs=4, outputs=3, seed=seed)
    weights = learned_top_modes(task, 1, 3, seed)
    tilted = task.left[:, 0] + tilt * task.left[:, 1]
    p = (tilted / np.linalg.norm(tilted))[None]
    factors = {"q_matrices": [weights[1].T @ p.T], "p_matrices": [p]}
    feedback = LowRankFeedback(q="normative", q_rate=30.0, p="oja-error", p_rate=rate, **factors)
    return simulate(task, weights, feedback, t, rtol=1e-6, atol=1e-13)


def compute(quick: bool, seed: int) -> Numbers:
    """A map of who escapes, and the signal of the unlearned mode below and above the threshold."""
    occupied = np.sqrt(HELD)
    candidates = np.linspace(0.8, 2.8, 5 if quick else 17)
    rates = np.geomspace(0.25, 4.0, 5 if quick else 17)
    found = [[_run(s, rate, 1e-3, np.array([HORIZON]), seed).recovery[-1, 1] for s in candidates] for rate in rates]
    fine = np.linspace(0.7, 2.9, 200)
    t, line_t = np.linspace(0.0, 24.0, 13 if quick else 25), np.linspace(0.0, 24.0, 200)
    threshold = float(escape_threshold(CANDIDATE, occupied))
    signals, starts = [], []
    for fraction in FRACTIONS:
        run = _run(CANDIDATE, fraction * threshold, 1e-5, t, seed)
        signal = run.feedback_weights["p"][0] @ run.error_correlation @ run.task.right[:, 1]
        signals.append(np.abs(signal[:, 0]))
        starts.append(abs(signal[0, 0]))
    growth = [escape_rate(fraction * threshold, CANDIDATE, occupied) for fraction in FRACTIONS]
    return {
        "candidates": candidates,
        "rates": rates,
        "recovered": np.array(found),
        "line_s": fine,
        "threshold": escape_threshold(fine, occupied),
        "t": t,
        "signals": np.array(signals),
        "line_t": line_t,
        "predicted": np.array(starts)[:, None] * np.exp(np.outer(growth, line_t)),
        "fractions": FRACTIONS,
        "chosen": FRACTIONS * threshold,
    }


def draw(numbers: Numbers) -> Figure:
    """The map with the threshold over it, and the four signals."""
    figure = new_figure(10.4, 4.7)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    image = left.pcolormesh(
        numbers["candidates"], numbers["rates"], numbers["recovered"], vmin=0.0, vmax=1.0, shading="nearest"
    )
    left.set_yscale("log")
    limits = left.get_xlim(), left.get_ylim()
    left.plot(numbers["line_s"], numbers["threshold"], color="white", linewidth=3)
    left.set_xlim(limits[0])
    left.set_ylim(limits[1])
    left.set_yticks([0.3, 1, 3], ["0.3", "1", "3"])
    left.yaxis.set_minor_locator(NullLocator())
    left.text(2.1, 1.9, "escapes,\nlearns mode j", color="black", ha="center", va="center")
    left.text(1.3, 0.55, "silent,\nstays on mode i", color="white", ha="center", va="center")
    left.text(1.12, 2.85, "$\\eta_P s_j^2=\\sigma_{2,i}^2$", color="black")
    bar = figure.colorbar(image, ax=left)
    bar.set_label("recovered part of mode j")
    bar.ax.set_label("inset")
    left.set_xlabel("strength of the unlearned mode  $s_j$")
    left.set_ylabel("rate of Oja's rule  $\\eta_P$")
    left.set_title(f"a  the end, from a learned mode of $s_i={HELD:g}$")
    for colour, fraction, rate, predicted, signal in zip(
        COLOURS, numbers["fractions"], numbers["chosen"], numbers["predicted"], numbers["signals"], strict=True
    ):
        left.plot([CANDIDATE], [rate], "o", color=colour, markeredgecolor="white", markersize=8)
        shown = (predicted < 3.0) & (predicted > LOWEST)
        right.plot(numbers["line_t"][shown], predicted[shown], color=colour)
        seen = signal > LOWEST
        right.plot(numbers["t"][seen], signal[seen], "o", color=colour)
        at = np.flatnonzero(shown)[shown.sum() // 2]
        # Fast signals are labelled on their left, slow ones on their right, off the lines.
        fast, grows = abs(fraction - 1) > 0.3, fraction > 1
        right.annotate(
            f"${fraction:g}\\,\\eta^*$",
            (numbers["line_t"][at], predicted[at]),
            (-8 if fast else 10, 4 if fast == grows else -14),
            textcoords="offset points",
            color=colour,
            ha="right" if fast else "left",
        )
    right.set_yscale("log")
    right.set_ylim(LOWEST, 10)
    right.set_xlim(-3.5, 25)
    right.set_xlabel("time t  (unit time constant)")
    right.set_ylabel("signal of the unlearned mode  $|P\\,E\\,v_j|$")
    right.set_title(f"b  both sides of the threshold, $s_j={CANDIDATE:g}$")
    return figure


FIGURE = FigureSpec(
    name="oja-freezing",
    title="A channel that learns from the error leaves a learned mode only if it moves faster than the weights",
    words="One feedback channel has learned mode i; can Oja's rule turn it to the unlearned mode j? Two forces act on "
    "the signal of mode j: Oja's rule amplifies it at the rate η_P s_j², and learning removes it at σ₂², the squared "
    "strength of mode i in W2. Above the threshold (white line) the channel escapes and learns mode j as well; below "
    "it falls silent and stays. Lines in b are the predicted exponentials, dots the full simulation.",
    claims=("oja-escape-rate", "oja-escape", "oja-deflation"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
