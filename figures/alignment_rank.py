"""Alignment is a rank in disguise: cos(W2, Bᵀ) for tasks of different participation ratio."""

from itertools import product

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import FeedbackAlignment
from linfa.metrics import chance_band, participation_ratio
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.alignment_laws import alignment_of_moments
from linfa.theory.feedback_alignment import mode_amplitude, mode_amplitude_end, weight_alignment

OUTPUTS, HIDDEN = 16, 20
GAIN = 1.0
POWERS = (0.0, 0.4, 0.8, 1.4)
# Of equal largest strength, ordered by participation ratio.
TASKS = {
    "one mode": np.array([2.0]),
    "four equal modes": np.full(4, 2.0),
    "s ∝ 1/k": 2.0 / np.arange(1, OUTPUTS + 1),
    "all modes equal": np.full(OUTPUTS, 2.0),
}


def _run(strengths: np.ndarray, t: np.ndarray, seed: int) -> np.ndarray:
    """cos(W2, Bᵀ) of a simulated network that starts from zero."""
    task = LinearTask.from_modes(strengths, inputs=OUTPUTS, outputs=OUTPUTS, seed=seed)
    weights = initial_weights((OUTPUTS, HIDDEN, OUTPUTS), "zero")
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(GAIN)), draw="orthonormal")
    return simulate(task, weights, feedback, t, rtol=1e-9).weight_alignment[:, 0]


def _ratios(amplitudes: np.ndarray) -> float:
    """PR(a²)/o; the participation ratio of a matrix is that of the squares of its singular values."""
    return float(participation_ratio(np.diag(amplitudes)) / OUTPUTS)


def compute(quick: bool, seed: int) -> Numbers:
    """Four tasks over time; beginning and end of many tasks with power laws."""
    coarse = np.geomspace(0.01, 60.0, 9 if quick else 20)
    fine = np.union1d(np.geomspace(0.01, 60.0, 60 if quick else 300), coarse)
    numbers: Numbers = {"t": fine, "marks_t": coarse, "chance": np.array(chance_band((OUTPUTS, HIDDEN)))}
    for k, strengths in enumerate(TASKS.values()):
        numbers |= {
            f"theory{k}": weight_alignment(mode_amplitude(fine, strengths, GAIN), OUTPUTS),
            f"marks{k}": _run(strengths, coarse, seed),
        }
    early, late, ends = [], [], []
    for modes, power in product((2, 6, 16) if quick else (1, 2, 3, 5, 8, 12, 16), (0.0, 2.0) if quick else POWERS):
        strengths = 2.0 * np.arange(1.0, modes + 1) ** -power
        # Early amplitudes are s t; the end takes as long as the weakest mode needs.
        early.append(_ratios(strengths))
        late.append(_ratios(mode_amplitude_end(strengths, GAIN)))
        ends.append(_run(strengths, np.array([1e-3, 30.0 / np.cbrt(strengths[-1] ** 2)]), seed))
    share = np.linspace(1e-3, 1.0, 300)
    return numbers | {
        "share": share,
        # Equal modes of amplitude 1 have as much energy as participation ratio.
        "law": alignment_of_moments(share * OUTPUTS, share * OUTPUTS, OUTPUTS),
        "early_share": np.array(early),
        "late_share": np.array(late),
        "early": np.array(ends)[:, 0],
        "late": np.array(ends)[:, 1],
    }


def draw(numbers: Numbers) -> Figure:
    """Alignment over time, and at both ends against the participation ratio."""
    figure = new_figure(9.6, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    band = 2 * float(numbers["chance"])
    for axes in (left, right):
        axes.axhspan(-band, band, color="0.88", linewidth=0)
    for k, name in enumerate(TASKS):
        left.plot(numbers["t"], numbers[f"theory{k}"], color=f"C{k}")
        left.plot(numbers["marks_t"], numbers[f"marks{k}"], "o", color=f"C{k}")
        left.text(0.012, numbers[f"theory{k}"][0] + 0.02, name, color=f"C{k}", va="bottom")
    left.text(0.012, 0.0, "chance, ±2 s.d.", color="0.35", va="center")
    left.set_xscale("log")
    left.set_xlabel("time t  (unit time constant)")
    left.set_ylabel(r"alignment  cos($W_2$, $B^T$)")
    left.set_ylim(-0.14, 1.12)
    right.plot(numbers["share"], numbers["law"], color="0.35")
    right.plot(numbers["early_share"], numbers["early"], "o", color="C0", markerfacecolor="white", markersize=6.5)
    right.plot(numbers["late_share"], numbers["late"], "s", color="C1", markersize=4.5)
    right.text(0.5, 0.62, r"$\sqrt{\mathrm{PR}/o}$", color="0.25", fontsize=13)
    right.text(0.5, 0.36, "○ first moment,  PR of $s^2$", color="C0")
    right.text(0.5, 0.26, "■ end,  PR of $s^{2/3}$", color="C1")
    right.set_xlabel("participation ratio of the task over outputs  PR/o")
    return figure


FIGURE = FigureSpec(
    name="alignment-rank",
    title="Alignment of weights and feedback is a rank in disguise",
    words="Weights align with feedback only along modes that the task has. From zero weights the cosine is the square "
    "root of the task's participation ratio PR over the number of outputs o: with one mode it stays at 1/√o, however "
    "well that mode is learned; with all modes equal it is 1 at once. While learning, weak modes catch up, PR grows, "
    "and alignment rises. Lines are theory, marks simulations, the grey band chance.",
    claims=("fa-alignment",),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
