"""What feedback control teaches, beside backprop and the low-rank feedback of this project, on the same networks."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa._random import orthonormal_columns, stream
from linfa.feedback import Backprop, Feedback, LowRankFeedback
from linfa.metrics import cosine
from linfa.neighbours import control
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.conservation import decayed

WIDTHS = (8, 12, 10, 6)
RULES = ("control", "tracked", "fixed")
LABELS = {
    "control": ("control, $Q = J^T P^T P$", "C0", "o"),
    "tracked": ("low rank, $Q_l = J_l^T P^T$", "C1", "s"),
    "fixed": ("low rank, fixed $Q_l$", "C2", "D"),
}
# Control through fewer channels than outputs needs some leak; this one is weak against all modes of J.
LEAK = 1e-3
# Weak enough for control to leave the activities as they are.
NUDGE = 1e-3
SLOW = 40.0
NETWORKS = 4


def _network(seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights of variance 1/fan-in, an input and a label."""
    weights = [w / np.sqrt(w.shape[1]) for w in initial_weights(WIDTHS, "gaussian", 1.0, seed)]
    generator = stream(seed, "data")
    return weights, generator.standard_normal(WIDTHS[0]), generator.standard_normal(WIDTHS[-1])


def _sample(x: np.ndarray, label: np.ndarray) -> LinearTask:
    """The task of a single sample."""
    return LinearTask(np.outer(label, x), np.outer(x, x), np.outer(label, label))


def _descent(weights: list[np.ndarray], feedback: Feedback, x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """One update of the core at rate 1, on this sample alone."""
    run = simulate(_sample(x, label), weights, feedback, [0, 1], learning_rate=1.0)
    return control.flattened([w[1] - w[0] for w in run.weights])


def _direct(weights: list[np.ndarray], feedback: LowRankFeedback, x: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The same by theory: Q_l P δ in the hidden layers, δ itself at the output."""
    matrices = feedback.resolve(WIDTHS).matrices
    pushes = [q @ p @ error for q, p in zip(matrices["q"], matrices["p"], strict=True)]
    activities = [x, *control.feed_forward(weights, x)[:-1]]
    columns = ([v[:, None] for v in vectors] for vectors in ([*pushes, error], activities))
    return control.flattened(control.pushed_updates(*columns))


def _controlled(weights: list[np.ndarray], q: np.ndarray, x: np.ndarray, error: np.ndarray) -> tuple:
    """Updates under weak control through Q: at the predicted steady state, and after simulation up to there."""
    free = control.feed_forward(weights, x)
    target = free[-1] + NUDGE * error
    state = control.steady_state(weights, q, x, target, LEAK)
    # Slowest are the modes that control does not reach: they forget at the rate of the leak, but never hold anything.
    run = control.simulate(weights, q, x, target, LEAK, [1500.0], tau_u=SLOW)
    predicted = control.flattened(control.control_update(state))
    pushes = np.split(q @ run.control[-1], np.cumsum([len(w) for w in weights])[:-1])
    below = [x, *(r[-1] for r in run.activity[:-1])]
    return predicted, control.flattened([np.outer(c, r) for c, r in zip(pushes, below, strict=True)])


def compute(quick: bool, seed: int) -> Numbers:
    """Cosines of all updates with two references, over ranks and networks; and errors of one sample over time."""
    ranks, draws = np.arange(1, WIDTHS[-1] + 1), 5 if quick else 24
    found = np.empty((2, len(RULES), len(ranks), 2, draws))
    plain = np.empty((draws,))
    for draw in range(draws):
        weights, x, label = _network(seed + draw)
        jacobian = control.jacobian(weights, x)
        error = label - control.feed_forward(weights, x)[-1]
        shortest = control.flattened(control.minimum_norm_update(weights, x, error))
        backprop = _descent(weights, Backprop(), x, label)
        plain[draw] = cosine(backprop, shortest)
        for k, rank in enumerate(ranks):
            p = orthonormal_columns(stream(seed + draw, "feedback", 9, rank), WIDTHS[-1], rank)
            updates = [_controlled(weights, jacobian.T @ p @ p.T, x, error)]
            follows = [j.T @ p for j in np.split(jacobian, np.cumsum(WIDTHS[1:])[:-1], axis=1)[:-1]]
            for options in ({"q_matrices": follows}, {"rank": int(rank), "seed": seed + draw}):
                feedback = LowRankFeedback(p_matrices=[p.T], direct=True, **options)
                updates.append((_direct(weights, feedback, x, error), _descent(weights, feedback, x, label)))
            for j, both in enumerate(updates):
                for side, update in enumerate(both):
                    found[side, j, k, :, draw] = cosine(update, shortest), cosine(update, backprop)
    numbers: Numbers = {
        "ranks": ranks,
        "lines": found[0].mean(-1),
        "marks": found[1].mean(-1),
        "bars": found[1].std(-1, ddof=1) / np.sqrt(draws),
        "backprop": np.array(plain.mean()),
    }
    return numbers | _courses(quick, seed)


def _courses(quick: bool, seed: int) -> Numbers:
    """Errors of one sample, over time: normalised control and backprop, several networks."""
    t, fine = np.linspace(0.0, 3.0, 13), np.linspace(0.0, 3.0, 61)
    rate = 0.05 if quick else 0.01
    every = round(0.25 / (rate * 0.1))
    errors = {"control": [], "gradient": []}
    for k in range(NETWORKS):
        weights, x, label = _network(seed + k)
        x = x * (0.5 + 0.4 * k) / np.linalg.norm(x)
        run = control.learn(
            weights,
            x[None],
            label[None],
            updates=every * (len(t) - 1),
            learning_rate=rate,
            q=control.jacobian(weights, x).T,
            nudge=0.1,
            normalise=True,
        )
        errors["control"].append(np.sqrt(run.loss[::every] / run.loss[0]))
        flow = simulate(_sample(x, label), weights, Backprop(), fine)
        errors["gradient"].append(np.sqrt(flow.excess_loss / flow.excess_loss[0]))
    return {"t": t, "fine": fine, **{f"course_{name}": np.array(value) for name, value in errors.items()}}


def draw(numbers: Numbers) -> Figure:
    """Cosines with the shortest update and with backprop, and the course of the error."""
    figure = new_figure(12.6, 4.6)
    panels = figure.subplots(1, 3)
    for axes, which in zip(panels, range(2), strict=False):
        _cosines(axes, numbers, which)
    panels[0].axhline(numbers["backprop"], color="0.4", linestyle="--", linewidth=1.2)
    panels[0].text(1.0, float(numbers["backprop"]) + 0.015, "backprop", color="0.35")
    panels[0].set_title("a  likeness to Gauss–Newton")
    panels[0].set_ylabel("cosine with the shortest update")
    panels[1].set_title("b  likeness to backprop")
    panels[1].set_ylabel("cosine with backprop")
    panels[1].legend(loc="lower right")
    courses = panels[2]
    fine = numbers["fine"]
    courses.plot(fine, decayed(1.0, 1.0, fine), color="C5", zorder=3)
    for k in range(NETWORKS):
        courses.plot(fine, numbers["course_gradient"][k], color="0.55", linewidth=1.4)
        courses.plot(numbers["t"], numbers["course_control"][k], ("o", "s", "D", "^")[k], color="C0", zorder=4)
    courses.plot([], [], "o", color="C0", label="normalised control")
    courses.plot([], [], color="0.55", linewidth=1.4, label="backprop")
    courses.plot([], [], color="C5", label="$e^{-t}$")
    courses.legend(loc="upper right")
    courses.set_yscale("log")
    courses.set_ylim(0.02, 1.3)
    courses.set_title("c  four networks learn one sample")
    courses.set_xlabel("time of learning  t")
    courses.set_ylabel("error left  $|\\delta|/|\\delta(0)|$")
    return figure


def _cosines(axes: Axes, numbers: Numbers, which: int) -> None:
    for j, rule in enumerate(RULES):
        label, colour, mark = LABELS[rule]
        axes.plot(numbers["ranks"], numbers["lines"][j, :, which], color=colour)
        axes.errorbar(
            numbers["ranks"],
            numbers["marks"][j, :, which],
            numbers["bars"][j, :, which],
            fmt=mark,
            color=colour,
            markersize=6,
            label=label,
        )
    axes.set_xticks(numbers["ranks"])
    axes.set_ylim(0.0, 1.05)
    axes.set_xlabel("rank of the feedback  r")


FIGURE = FigureSpec(
    name="control-updates",
    title="Feedback control teaches Gauss–Newton steps; low-rank feedback, at best, backprop of a part of the error",
    words="Updates of random linear networks for single samples: marks are simulations (control run until it rests; "
    "one update of the core), means with standard errors; lines are theory. The error reaches the hidden layers by r "
    "channels, P; low-rank feedback spares the output layer, control does not. With all channels control is nearly "
    "the shortest update that does the job (a) and not the gradient (b); direct feedback whose Q follows the weights "
    "is backprop; with fixed random Q both agree at the output layer alone. Normalised control takes the error of "
    "every network down one exponential, whatever its weights (c).",
    claims=(
        "control-gauss-newton",
        "control-parallel-updates",
        "control-minimum-norm-update",
        "control-error-flow",
        "kolen-pollack-low-rank-limit",
    ),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
