"""Claims about conserved quantities: A4, B1, in flow and, with their exact drift, in descent."""

import numpy as np

from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import Backprop, DirectFeedback, Feedback, FeedbackAlignment, LowRankFeedback
from linfa.metrics import balancedness, feedback_balance
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.theory.alignment_laws import feedback_balance_decay
from linfa.theory.conservation import balancedness_drift, decayed, direct_carriers, feedback_balance_drift
from linfa.trajectory import Trajectory

DEEP = (6, 7, 8, 7, 5)


def _run(feedback: Feedback, widths: tuple[int, ...], t: np.ndarray, seed: int, **options: object) -> Trajectory:
    """A network of O(1) Gaussian weights on correlated inputs: no assumption of the special cases holds."""
    task = correlated_task(widths[0], widths[-1], seed)
    weights = initial_weights(widths, "gaussian", 0.4, seed)
    return simulate(task, weights, feedback, t, **options)


def _carriers(run: Trajectory) -> list[np.ndarray]:
    """M_l that carries the signal of layer l + 1 to layer l; fixed feedback, so the first time stands for all."""
    matrices = [run.feedback_matrix(h)[0] for h in range(len(run.weights) - 1)]
    return direct_carriers(matrices) if run.direct else matrices


def _held(quantities: list[np.ndarray]) -> tuple:
    """A conserved quantity over time: predicted is its start, at every time."""
    return [np.broadcast_to(q[:1], q.shape) for q in quantities], quantities


def _feedback_quantities(run: Trajectory) -> list[np.ndarray]:
    return [feedback_balance(run.weights[l], run.weights[l + 1], carrier) for l, carrier in enumerate(_carriers(run))]


def _held_in_flow(rules: tuple[Feedback, ...], widths: tuple[int, ...], horizon: float, seed: int) -> tuple:
    """Both sides of the law of fixed feedback, for several rules in a network of these sizes."""
    t = np.linspace(0.0, horizon, 11)
    return _held([q for rule in rules for q in _feedback_quantities(_run(rule, widths, t, seed, **TIGHT))])


@claim(
    "backprop-balancedness",
    title="W_{l+1}ᵀW_{l+1} − W_lW_lᵀ constant along the flow, correlated inputs, depth 2 and 4",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A4",
)
def balancedness_flow(horizon: float = 10.0, seed: int = 5) -> tuple:
    """A4 in the flow."""
    quantities = []
    for widths in ((6, 8, 5), DEEP):
        run = _run(Backprop(), widths, np.linspace(0.0, horizon, 11), seed, **TIGHT)
        quantities += [balancedness(run.weights[l], run.weights[l + 1]) for l in range(len(widths) - 2)]
    return _held(quantities)


@claim(
    "backprop-balancedness-decay",
    title="the same with weight decay: it shrinks as e^{−2 wd t}",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A4",
)
def balancedness_decay(decay: float = 0.2, seed: int = 5) -> tuple:
    """A4 with decay."""
    t = np.linspace(0.0, 5.0, 11)
    run = _run(Backprop(), DEEP, t, seed, weight_decay=decay, **TIGHT)
    quantities = [balancedness(run.weights[l], run.weights[l + 1]) for l in range(3)]
    return [decayed(q[0], 2 * decay, t[:, None, None]) for q in quantities], quantities


@claim(
    "backprop-drift",
    title="drift of balancedness in descent, against η² (G_{l+1}ᵀG_{l+1} − G_lG_lᵀ) summed over the updates",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="A4",
    quick={"updates": 200},
)
def balancedness_descent(learning_rate: float = 0.02, updates: int = 1000, seed: int = 5) -> tuple:
    """A4's discrete identity, accumulated over many updates, for depth 2 and 4."""
    predicted, simulated = [], []
    for widths in ((6, 8, 5), DEEP):
        run = _run(Backprop(), widths, np.arange(updates + 1), seed, learning_rate=learning_rate)
        directions = run.update_directions
        for l in range(len(widths) - 2):
            quantity = balancedness(run.weights[l], run.weights[l + 1])
            drift = balancedness_drift(learning_rate, directions[l][:-1], directions[l + 1][:-1])
            predicted.append(quantity[0] + np.cumsum(drift, axis=0))
            simulated.append(quantity[1:])
    return predicted, simulated


@claim(
    "fa-conservation",
    title="W1W1ᵀ − BW2 − (BW2)ᵀ constant along the flow, full and low-rank B, correlated inputs",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B1",
)
def alignment_flow(horizon: float = 10.0, seed: int = 6) -> tuple:
    """B1 in the flow, two layers."""
    return _held_in_flow((FeedbackAlignment(seed=seed), LowRankFeedback(rank=2, seed=seed)), (6, 8, 5), horizon, seed)


@claim(
    "fa-chain-conservation",
    title="the same law in every layer of a deep chain, full and low-rank B",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B1",
)
def chain_flow(horizon: float = 5.0, seed: int = 6) -> tuple:
    """B1 for each l < L of a chain of depth 4."""
    return _held_in_flow((FeedbackAlignment(seed=seed), LowRankFeedback(rank=3, seed=seed)), DEEP, horizon, seed)


@claim(
    "dfa-conservation",
    title="the law of direct feedback, M_l = F_l F_{l+1}⁺, full rank and rank r with one P",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B1",
)
def direct_flow(horizon: float = 5.0, seed: int = 6) -> tuple:
    """B1 for direct feedback of depth 4; the hidden layers are wider than the output, so each F has full rank."""
    return _held_in_flow((DirectFeedback(seed=seed), DirectFeedback(seed=seed, rank=2)), DEEP, horizon, seed)


@claim(
    "fa-conservation-decay",
    title="rate of change of the FA law with weight decay: −2 wd1 W1W1ᵀ + wd2 (BW2 + (BW2)ᵀ)",
    tolerance=1e-11,
    accuracy="closed form",
    reason="both sides integrated at rtol 1e-12; with equal decay d the law reads C' = −2d W1W1ᵀ + d(BW2 + …)",
    entry="B1",
)
def alignment_decay(decay_lower: float = 0.3, decay_upper: float = 0.1, seed: int = 6) -> tuple:
    """B1 with decay, in the weak form that needs no derivative: Simpson's rule on a fine grid over a short time."""
    t = np.linspace(0.0, 0.5, 401)
    run = _run(LowRankFeedback(rank=2, seed=seed), (6, 8, 5), t, seed, weight_decay=[decay_lower, decay_upper], **TIGHT)
    lower, upper = run.weights
    carrier = run.feedback_matrix(0)[0]
    rate = feedback_balance_decay(lower, upper, carrier, decay_lower, decay_upper)
    step = t[1] - t[0]
    integral = step / 3 * (rate[0] + 4 * rate[1:-1:2].sum(0) + 2 * rate[2:-2:2].sum(0) + rate[-1])
    quantity = feedback_balance(lower, upper, carrier)
    return integral, quantity[-1] - quantity[0]


@claim(
    "fa-drift",
    title="drift of the FA law in descent, against η² G_lG_lᵀ summed: two layers, deep chain, direct",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="B1",
    quick={"updates": 200},
)
def alignment_descent(learning_rate: float = 0.01, updates: int = 1000, seed: int = 6) -> tuple:
    """B1's discrete identity over many updates; it is positive semidefinite and erodes alignment."""
    predicted, simulated = [], []
    cases = (
        (FeedbackAlignment(seed=seed), (6, 8, 5)),
        (LowRankFeedback(rank=2, seed=seed), (6, 8, 5)),
        (FeedbackAlignment(seed=seed), DEEP),
        (DirectFeedback(seed=seed), DEEP),
        (DirectFeedback(seed=seed, rank=2), DEEP),
    )
    for feedback, widths in cases:
        run = _run(feedback, widths, np.arange(updates + 1), seed, learning_rate=learning_rate)
        for l, quantity in enumerate(_feedback_quantities(run)):
            drift = feedback_balance_drift(learning_rate, run.update_directions[l][:-1])
            predicted.append(quantity[0] + np.cumsum(drift, axis=0))
            simulated.append(quantity[1:])
    return predicted, simulated
