"""Direct feedback in a deep network: the task's spectrum conditions the alignment matrices, and these the gradients."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure

from linfa.feedback import DirectFeedback
from linfa.metrics import chance_band, mode_projection
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.deep_direct import direct_amplitude, direct_gradient_alignment, direct_weights
from linfa.trajectory import Trajectory

DEPTH = 4
OUTPUTS, INPUTS, HIDDEN = 4, 6, 8
WIDE = 48
STRENGTH = 2.0
# The correlation of targets in the panel over time.
CHOSEN = 0.2
MARKS = ("o", "s", "^", "D")
# Output directions: what all targets share, and three that tell them apart.
SHARED = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).T / 2.0


def _strengths(correlation: float) -> np.ndarray:
    """Mode strengths of targets that correlate by c: roots of the eigenvalues of Σy = s² [(1 − c) I + c 1 1ᵀ]."""
    values = np.linalg.eigvalsh((1 - correlation) * np.eye(OUTPUTS) + correlation)
    return STRENGTH * np.sqrt(values[::-1])


def _theory(strengths: np.ndarray, t: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """A_1 … A_L for feedback of gain 1, the error of every mode, and the gradient cosine of every hidden layer."""
    plain, gains = np.eye(OUTPUTS), [1.0] * (DEPTH - 1)
    # With F_l = I the weights are the alignment matrices themselves.
    small = direct_weights((plain, strengths, plain), [plain] * (DEPTH - 1), t, gains)
    product = small[0]
    for a in small[1:]:
        product = a @ product
    error = strengths - mode_projection(product, plain, plain)
    amplitude = direct_amplitude(t, strengths, gains)
    cosines = [direct_gradient_alignment(amplitude, error, layer, DEPTH) for layer in range(1, DEPTH)]
    return small, error, np.stack(cosines, axis=-1)


def _worst_times(strengths: np.ndarray) -> np.ndarray:
    """When the gradient cosine of each hidden layer is lowest, as long as there is an error worth the name."""
    t = np.linspace(0.02, 3.0, 1500)
    _, error, cosines = _theory(strengths, t)
    learning = np.square(error).sum(1) > 1e-4 * np.square(strengths).sum()
    return t[learning][np.argmin(cosines[learning], axis=0)]


def _measured(run: Trajectory, index: int, feedback: list[np.ndarray]) -> np.ndarray:
    """Condition numbers of A_l = F_l⁺ W_l F_{l−1}⁺ᵀ at one time."""
    inverses = [np.linalg.pinv(f) for f in feedback]
    small = [inverses[0] @ run.weights[0][index]]
    small += [
        up @ w[index] @ down.T for w, up, down in zip(run.weights[1:-1], inverses[1:], inverses[:-1], strict=True)
    ]
    small.append(run.weights[-1][index] @ inverses[-1].T)
    return np.array([np.linalg.cond(a) for a in small])


def compute(quick: bool, seed: int) -> Numbers:
    """Alignment at its worst, and the conditioning then, for targets from independent to alike; one task over time."""
    fine, marked = np.linspace(0.0, 0.6, 7 if quick else 61), np.linspace(0.0, 0.6, 4 if quick else 7)
    condition, gradient = [], []
    for c in fine:
        strengths = _strengths(c)
        small, _, cosines = _theory(strengths, _worst_times(strengths))
        gradient.append(np.diag(cosines))
        # All conditioned as when the first layer's signal is at its worst.
        condition.append([np.linalg.cond(a[0]) for a in small])
    structured = DirectFeedback(seed=seed, draw="orthonormal")
    zero = initial_weights((INPUTS, *[HIDDEN] * (DEPTH - 1), OUTPUTS), "zero")
    found = {"condition": [], "gradient": [], "generic": []}
    for c in marked:
        task = LinearTask.from_modes(_strengths(c), inputs=INPUTS, outputs=OUTPUTS, seed=seed, left=SHARED)
        worst = _worst_times(task.strengths)
        t = np.unique(worst)
        run = simulate(task, zero, structured, t, rtol=1e-10, atol=1e-13)
        at = np.searchsorted(t, worst)
        found["gradient"].append(run.gradient_alignment[at, np.arange(DEPTH - 1)])
        matrices = [run.feedback_matrix(h)[0] for h in range(DEPTH - 1)]
        found["condition"].append(_measured(run, at[0], matrices))
        wide = initial_weights((INPUTS, *[WIDE] * (DEPTH - 1), OUTPUTS), "zero")
        run = simulate(task, wide, DirectFeedback(seed=seed), np.linspace(0.1, 2.0, 39), rtol=1e-5, atol=1e-9)
        still = run.loss > 1e-4 * run.task.loss(0 * task.target)
        found["generic"].append(np.nanmin(run.gradient_alignment[still], axis=0))
    task = LinearTask.from_modes(_strengths(CHOSEN), inputs=INPUTS, outputs=OUTPUTS, seed=seed, left=SHARED)
    times, line_t = np.linspace(0.1, 1.8, 8 if quick else 18), np.linspace(0.02, 1.8, 200)
    over_time = simulate(task, zero, structured, times, rtol=1e-10, atol=1e-13).gradient_alignment
    return {
        "c": fine,
        "condition": np.array(condition),
        "gradient": np.array(gradient),
        "marks_c": marked,
        "marks_condition": np.array(found["condition"]),
        "marks_gradient": np.array(found["gradient"]),
        "marks_generic": np.array(found["generic"]),
        "line_t": line_t,
        "over_time": _theory(_strengths(CHOSEN), line_t)[2],
        "marks_t": times,
        "marks_over_time": over_time,
        "chance": np.array(2 * chance_band((HIDDEN, INPUTS))),
    }


def draw(numbers: Numbers) -> Figure:
    """Conditioning, alignment, and alignment over time."""
    figure = new_figure(10.8, 4.4)
    left, middle, right = figure.subplots(1, 3)
    for l in range(DEPTH):
        left.plot(numbers["c"], numbers["condition"][:, l], color=f"C{l}")
        left.plot(numbers["marks_c"], numbers["marks_condition"][:, l], MARKS[l], color=f"C{l}")
        end = (float(numbers["c"][-1]), float(numbers["condition"][-1, l]))
        left.annotate(f"$A_{l + 1}$", end, (5, 0), textcoords="offset points", color=f"C{l}", va="center")
    for axes in (middle, right):
        axes.axhspan(-numbers["chance"], numbers["chance"], color="0.88", linewidth=0)
        axes.set_ylim(-0.35, 1.08)
    for l in range(DEPTH - 1):
        middle.plot(numbers["c"], numbers["gradient"][:, l], color=f"C{l}")
        middle.plot(numbers["marks_c"], numbers["marks_gradient"][:, l], MARKS[l], color=f"C{l}")
        middle.plot(numbers["marks_c"], numbers["marks_generic"][:, l], "x", color=f"C{l}")
        right.plot(numbers["line_t"], numbers["over_time"][:, l], color=f"C{l}")
        right.plot(
            numbers["marks_t"], numbers["marks_over_time"][:, l], MARKS[l], color=f"C{l}", label=f"hidden layer {l + 1}"
        )
    right.legend(loc="lower right", bbox_to_anchor=(1.0, 0.46))
    right.text(0.05, -0.27, "grey: chance, ±2 s.d.", color="0.35", va="bottom")
    middle.text(0.59, 0.98, f"×: random F, {WIDE} units", color="0.35", ha="right", va="top")
    left.set_yscale("log")
    left.set_xlim(-0.03, 0.68)
    left.set_title("a  conditioning of $A_l$")
    left.set_ylabel("condition number of $A_l$")
    middle.set_title("b  signals at their worst")
    middle.set_ylabel("lowest gradient alignment")
    right.set_title(f"c  over time, c = {CHOSEN:g}")
    right.set_ylabel("gradient alignment  (cosine)")
    left.set_xlabel("correlation of targets  c")
    middle.set_xlabel("correlation of targets  c")
    right.set_xlabel("time t  (unit time constant)")
    return figure


FIGURE = FigureSpec(
    name="direct-depth",
    title="Correlated targets condition the alignment matrices badly, and the gradients of direct feedback with them",
    words="Direct feedback in four layers, from zero weights; lines theory, marks simulation. Every weight matrix is "
    "its feedback around a small matrix A_l, and signals agree with backprop's where A_l is close to a multiple of the "
    "identity. Targets that correlate share a strong mode, which is learned first and stands out in A_l (a). What is "
    "still wrong then lies in modes that A_l hardly carries: signals agree little, least in lower layers (b, c). Once "
    "all modes are learned the agreement returns.",
    claims=("dfa-weak-alignment", "dfa-modes", "dfa-gradient-alignment"),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
