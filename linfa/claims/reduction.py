"""Claims about exact reduction: a network of any width against the small one that it comes down to."""

import numpy as np

from linfa._random import stream
from linfa._threads import single_threaded_blas
from linfa.claims._settings import correlated_task
from linfa.claims.register import claim
from linfa.feedback import (
    Backprop,
    DirectFeedback,
    Feedback,
    FeedbackAlignment,
    KolenPollack,
    LowRankFeedback,
    WeightMirror,
)
from linfa.networks import initial_weights
from linfa.reduction import Reduction, find_reduction
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory

INPUTS, OUTPUTS = 6, 4
# Equal steps, so that reduced and whole network make the same ones: what they differ by is rounding.
STEPS = {"step": 0.02, "method": "rk4"}
SAME_STEPS = "the same steps in other coordinates: rounding alone, which grows with the number of steps and terms"


def _rules(rank: int, seed: int) -> list[Feedback]:
    low_rank = [("fixed", "fixed"), ("kolen-pollack", "oja-label"), ("normative", "normative"), ("local", "local")]
    return [
        Backprop(),
        FeedbackAlignment(seed=seed),
        KolenPollack(seed=seed),
        WeightMirror(seed=seed),
        *(LowRankFeedback(rank=rank, q=q, p=p, seed=seed) for q, p in low_rank),
    ]


def _observed(run: Trajectory) -> list[np.ndarray]:
    """What a run shows: weights and feedback, map and loss, alignments where there are directions to compare."""
    shown = [*run.weights, *(m for matrices in run.feedback_weights.values() for m in matrices), run.map, run.loss]
    return [*shown, *(np.nan_to_num(a) for a in (run.weight_alignment, run.gradient_alignment))]


def _both(task: LinearTask, weights: list[np.ndarray], feedback: Feedback) -> tuple[list, list]:
    """What the reduced and the whole network show, in the flow and in descent."""
    small, whole = [], []
    for options in ({"t": [0.5, 2.0], **STEPS}, {"t": [5, 60], "learning_rate": 0.03, "weight_decay": 0.1}):
        for shown, reduce in ((small, True), (whole, False)):
            run = simulate(task, weights, feedback, reduce=reduce, **options)
            if reduce and "reduction" not in run.settings:
                raise ValueError(f"{feedback.name} ran whole; the claim is about reduced runs, so take wider layers")
            shown += _observed(run)
    return small, whole


@claim(
    "reduction-hidden",
    title="weights, feedback, loss and alignments of a wide layer run with i + o + r units against the whole, 8 rules",
    tolerance=1e-11,
    accuracy="exact",
    reason=SAME_STEPS,
    entry="B2, any start",
    quick={"width": 80},
)
def hidden(width: int = 300, rank: int = 2, scale: float = 0.1, seed: int = 51) -> tuple:
    """Every rule but sign-symmetry, correlated inputs, flow and descent: one layer, in coordinates of its span."""
    task = correlated_task(INPUTS, OUTPUTS, seed)
    weights = initial_weights((INPUTS, int(width), OUTPUTS), scale=scale, seed=seed)
    predicted, simulated = [], []
    for rule in _rules(int(rank), seed):
        small, whole = _both(task, weights, rule)
        predicted += small
        simulated += whole
    return predicted, simulated


@claim(
    "reduction-deep",
    title="the same for three hidden layers from orthogonal weights (backprop, direct) and from zero (chain, direct)",
    tolerance=1e-11,
    accuracy="exact",
    reason=SAME_STEPS,
    entry="A3, B10",
    quick={"width": 80},
)
def deep(width: int = 120, seed: int = 52) -> tuple:
    """Deep networks close where their weights, going up and down, make no new directions."""
    task = correlated_task(INPUTS, OUTPUTS, seed)
    widths = (INPUTS, int(width), int(width) - 4, int(width) - 10, OUTPUTS)
    predicted, simulated = [], []
    for kind, rule in (
        ("orthogonal", Backprop()),
        ("orthogonal", LowRankFeedback(rank=1, q="kolen-pollack", direct=True, seed=seed)),
        ("zero", FeedbackAlignment(seed=seed)),
        ("zero", DirectFeedback(seed=seed)),
        ("zero", LowRankFeedback(rank=2, q="normative", p="local", seed=seed)),
    ):
        weights = initial_weights(widths, kind, 0.0 if kind == "zero" else 0.5, seed=seed)
        small, whole = _both(task, weights, rule)
        predicted += small
        simulated += whole
    return predicted, simulated


@claim(
    "reduction-inputs",
    title="whitened inputs, many more than outputs, from zero: the course with as many inputs as modes against all",
    tolerance=1e-11,
    accuracy="exact",
    reason=SAME_STEPS,
    entry="B2",
)
def inputs(count: int = 150, seed: int = 53) -> tuple:
    """Input directions without a mode are never looked at."""
    task = LinearTask.from_modes([2.0, 1.0, 0.5], inputs=int(count), outputs=OUTPUTS, seed=seed)
    weights = initial_weights((int(count), 20, OUTPUTS), "zero")
    small, whole = _both(task, weights, FeedbackAlignment(seed=seed))
    return small, whole


@claim(
    "reduction-width",
    title="map, loss and size of the reduced network at widths 2⁷ … 2¹¹ against those of i + o + r units",
    tolerance=1e-11,
    accuracy="exact",
    reason=SAME_STEPS,
    entry="B2, any start",
)
def width_drops_out(widest: int = 2048, rank: int = 2, seed: int = 54) -> tuple:
    """The same small network, hidden in wider and wider ones by orthonormal columns: a step costs the same in all."""
    task = correlated_task(INPUTS, OUTPUTS, seed)
    size = INPUTS + OUTPUTS + int(rank)
    lower, upper = initial_weights((INPUTS, size, OUTPUTS), scale=0.3, seed=seed)
    generator = stream(seed, "claim", 1)
    q, p = generator.standard_normal((size, int(rank))), np.eye(int(rank), OUTPUTS)
    t = [0.5, 2.0]
    narrow = simulate(task, [lower, upper], LowRankFeedback(q_matrices=[q], p_matrices=[p]), t, **STEPS)
    predicted, simulated = [], []
    for width in 2 ** np.arange(7, int(np.log2(widest)) + 1):
        frame = np.linalg.qr(generator.standard_normal((width, size)))[0]
        weights, feedback = [frame @ lower, upper @ frame.T], LowRankFeedback(q_matrices=[frame @ q], p_matrices=[p])
        run = simulate(task, weights, feedback, t, **STEPS)
        predicted += [narrow.map, narrow.loss, np.array([float(size)])]
        simulated += [run.map, run.loss, np.array([float(_found(task, weights, feedback).reduced_widths[1])])]
    return predicted, simulated


def _found(task: LinearTask, weights: list[np.ndarray], feedback: Feedback) -> Reduction:
    with single_threaded_blas():
        return find_reduction(task, weights, feedback.resolve((task.inputs, len(weights[0]), task.outputs)))
