"""What low-rank feedback recovers of each mode, one rule after the other, and the loss that each leaves."""

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.feedback import LowRankFeedback
from linfa.metrics import mode_recovery
from linfa.networks import initial_weights
from linfa.plot import new_figure
from linfa.simulation import ensemble
from linfa.tasks import LinearTask
from linfa.theory.local_rule import local_amplitude, local_threshold
from linfa.theory.low_rank import learned_map
from linfa.theory.sketch import eckart_young_loss, sketch_loss, sketch_recovery

STRENGTHS = np.linspace(4.0, 0.8, 6)
WIDTHS = (10, 9, 8)
# The local rule keeps no mode in bounds without decay; the others run without.
DECAY = 0.3
HORIZON = 100.0
# Each rule with the size of W1 and W2 at the start: from small weights the local rule dies out.
RULES = {
    "fixed": ({}, 1e-4),
    "q": ({"q": "kolen-pollack"}, 1e-4),
    "oja": ({"q": "kolen-pollack", "p": "oja-label", "p_rate": 3.0, "scale": 1e-3}, 1e-4),
    "normative": ({"q": "normative", "p": "normative", "scale": 1e-2}, 1e-2),
    "local": ({"q": "local", "p": "local"}, 0.3),
}


def _limit(task: LinearTask, rules: list[LowRankFeedback]) -> np.ndarray:
    """Mean recovered part of each mode in T Π_row(PT), over these draws of P."""
    found = []
    for rule in rules:
        matrices = rule.resolve(WIDTHS).matrices
        learned = learned_map(task, matrices["q"][0] @ matrices["p"][0])
        found.append(mode_recovery(learned, task.left, task.strengths, task.right))
    return np.mean(found, axis=0)


def compute(quick: bool, seed: int) -> Numbers:
    """Ends of every rule at every rank, mean over draws of start and feedback; theory for all but the normative."""
    modes = len(STRENGTHS)
    task = LinearTask.from_modes(STRENGTHS, inputs=WIDTHS[0], outputs=WIDTHS[2], seed=seed)
    everything = 0.5 * np.square(STRENGTHS).sum()
    ranks = np.array([1, 3, 6]) if quick else np.arange(1, modes + 1)
    numbers: Numbers = {"strengths": STRENGTHS, "r": np.arange(modes + 1), "marks_r": ranks}
    limits = [np.zeros(modes)]
    for name, (factors, start) in RULES.items():
        # Which modes a random P favours is a matter of chance, and now and then which ones the local rule captures.
        draws = {"fixed": (6, 60), "q": (6, 60), "local": (2, 20)}.get(name, (2, 5))[0 if quick else 1]
        weights = initial_weights(WIDTHS, "gaussian", start, seed, members=draws)
        parts, losses = [], []
        for rank in ranks:
            rules = [LowRankFeedback(rank=int(rank), seed=seed + k, **factors) for k in range(draws)]
            decay = DECAY if name == "local" else 0.0
            run = ensemble(task, weights, rules, [HORIZON], weight_decay=decay, rtol=1e-5, atol=1e-8)
            parts.append(run.recovery[:, -1].mean(0))
            losses.append(run.excess_loss[:, -1].mean() / everything)
            if name == "q":
                limits.append(_limit(task, rules))
        numbers |= {f"marks_{name}": np.array(parts), f"loss_{name}": np.array(losses)}
    best = (np.arange(modes) < numbers["r"][:, None]).astype(float)
    captured = local_threshold(DECAY) <= STRENGTHS
    kept = np.zeros(modes)
    kept[captured] = local_amplitude(STRENGTHS[captured], DECAY) / STRENGTHS[captured]
    sketch = [sketch_recovery(STRENGTHS, int(r)) for r in numbers["r"][1:]]
    return numbers | {
        "theory_fixed": np.vstack([np.zeros(modes), *sketch]),
        "theory_q": np.array(limits),
        "theory_oja": best,
        "theory_local": best * kept,
        "sketch": np.array([1.0, *(sketch_loss(STRENGTHS, int(r)) / everything for r in numbers["r"][1:])]),
        "eckart_young": np.array([1.0, *(eckart_young_loss(STRENGTHS, int(r)) / everything for r in numbers["r"][1:])]),
    }


TITLES = {
    "fixed": "a  P and Q fixed",
    "q": "b  only Q learns",
    "oja": "c  P learns: Oja on labels",
    "normative": f"d  normative, at t = {HORIZON:g}",
    "local": f"e  local, decay {DECAY:g}",
}


def _modes(axes: Axes, numbers: Numbers, name: str) -> None:
    """Recovered part of every mode against rank, and their mean."""
    marks_r, marks = numbers["marks_r"], numbers[f"marks_{name}"]
    theory = numbers.get(f"theory_{name}")
    r = np.concatenate([[0], marks_r]) if name == "q" else numbers["r"]
    for k in range(marks.shape[1]):
        if theory is None:
            axes.plot(marks_r, marks[:, k], color=f"C{k}", linewidth=0.8, alpha=0.5)
        else:
            axes.plot(r, theory[:, k], color=f"C{k}", linewidth=1.4)
        axes.plot(marks_r, marks[:, k], "o", color=f"C{k}")
    if theory is not None:
        axes.plot(r, theory.mean(1), color="C6", linewidth=3.5)
    else:
        axes.plot(marks_r, marks.mean(1), color="C6", linewidth=2, alpha=0.3)
    axes.plot(marks_r, marks.mean(1), "s", color="C6", markersize=6.5, markeredgecolor="white")
    axes.set_title(TITLES[name])
    axes.set_xlim(-0.15, 6.25)
    axes.set_ylim(-0.04, 1.12)


LABELS = {
    "fixed": ("fixed", "C0", "o"),
    "q": ("only Q", "C1", "x"),
    "oja": ("Oja", "C2", "s"),
    "normative": ("normative", "C3", "D"),
    "local": ("local", "C4", "^"),
}


def draw(numbers: Numbers) -> Figure:
    """One panel for each rule, and the losses of all."""
    figure = new_figure(10.2, 6.6)
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, name in zip(panels, TITLES, strict=False):
        _modes(axes, numbers, name)
    panels[0].set_ylabel("recovered part  $\\hat\\sigma_k$")
    panels[3].set_ylabel("recovered part  $\\hat\\sigma_k$")
    for k in range(len(numbers["strengths"])):
        # In panel c each mode is complete at a rank of its own.
        panels[2].text(k + 1, 1.03, f"{k + 1}", color=f"C{k}", ha="center", va="bottom")
    panels[3].plot(numbers["r"], numbers["r"] / len(numbers["strengths"]), color="0.5", linestyle=":")
    panels[3].text(3.2, 0.42, "r/d", color="0.4")
    panels[0].text(5.9, 0.12, "mean = r/d", color="C6", ha="right", fontweight="bold")
    losses = panels[5]
    losses.plot(numbers["r"], numbers["sketch"], color="0.3")
    losses.plot(numbers["r"], numbers["eckart_young"], color="0.3", linestyle="--")
    for name, (label, colour, mark) in LABELS.items():
        losses.plot(numbers["marks_r"], numbers[f"loss_{name}"], mark, color=colour, markersize=6, label=label)
    losses.legend(loc="upper right")
    losses.text(2.75, 0.42, "sketch law", color="0.3")
    losses.text(0.1, 0.3, "Eckart–\nYoung", color="0.3")
    losses.set_title("f  loss left")
    losses.set_ylabel("loss left  $L/L_0$")
    for axes in panels[3:]:
        axes.set_xlabel("rank of the feedback  r")
    return figure


FIGURE = FigureSpec(
    name="low-rank-recovery",
    title="What low-rank feedback learns is decided by P: a random mixture, the top modes, or more than its rank",
    words="Six modes, numbered from the strongest; marks are simulations, lines theory, the bold line the mean. Fixed "
    "random feedback recovers r modes' worth, spread over all (a: sketch law, approximate); Q alone changes nothing "
    "(b: exact limit of these draws). Oja's rule on the labels takes exactly the r strongest, with the same mean but "
    "the least loss of rank r (dashed in f). The normative rule goes beyond its rank in time; the local one prunes "
    "weak modes and mostly keeps the r strongest.",
    claims=(
        "low-rank-limit",
        "kolen-pollack-low-rank-limit",
        "sketch-mean",
        "oja-label-limit",
        "normative-beyond-rank",
        "local-fixed-point",
    ),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
