"""Claims about feedback that chooses its subspace: Oja's rule, escape, freezing, the normative rule: B19, B20, B22."""

import numpy as np

from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import LowRankFeedback
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.fixed_points import learned_top_modes
from linfa.theory.jacobian import LearningFlow
from linfa.theory.oja import deflated_modes, escape_rate, escape_threshold, oja_projector
from linfa.theory.reduced_modes import mode_trajectory, undriven_amplitude
from linfa.theory.sketch import eckart_young_loss
from linfa.trajectory import Trajectory

# Distance from a fixed point at which its linear neighbourhood is measured.
NUDGE = 1e-7


def _task(seed: int) -> LinearTask:
    return LinearTask.from_modes(np.linspace(4.0, 0.8, 8), inputs=12, outputs=10, seed=seed)


def _channels(rank: int, seed: int, outputs: int = 10) -> np.ndarray:
    return orthonormal_columns(stream(seed, "claim"), outputs, rank).T


@claim(
    "oja-projector",
    title="PᵀP under Oja's rule on the labels against Fᵀ(I − P₀P₀ᵀ + FFᵀ)⁻¹F, F = P₀ e^{ηSt}; any start",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B19",
)
def projector(rate: float = 0.2, horizon: float = 6.0, seed: int = 50) -> tuple:
    """B19: P knows nothing of the weights; orthonormal, scaled and random starts."""
    task, t = _task(seed), np.linspace(0.0, horizon, 13)
    weights = initial_weights((12, 11, 10), "gaussian", 0.1, seed)
    drawn = stream(seed, "claim", 1).standard_normal((3, 10)) / 3
    predicted, simulated = [], []
    for p in (_channels(2, seed), 0.5 * _channels(4, seed), drawn):
        feedback = LowRankFeedback(rank=len(p), p="oja-label", p_rate=rate, p_matrices=[p], seed=seed)
        found = simulate(task, weights, feedback, t, **TIGHT).feedback_weights["p"][0]
        predicted.append(oja_projector(p, task.label_correlation, rate, t))
        simulated.append(np.swapaxes(found, 1, 2) @ found)
    return predicted, simulated


@claim(
    "oja-label-limit",
    title="loss in the end where Q is learned and P follows Oja's rule on the labels, against ½ Σ_{i>r} s²",
    tolerance=1e-6,
    accuracy="asymptotic",
    reason="frozen features of the start leak in: 2 h (start)² t = 1e-7 of the loss, gone with the start",
    entry="B19",
    quick={"ranks": 1},
)
def label_limit(start: float = 1e-5, ranks: int = 3, seed: int = 51) -> tuple:
    """B19: the labels' principal components are the target's strongest modes, the best that rank r allows."""
    task = _task(seed)
    predicted, simulated = [], []
    for rank in (1, 2, 4)[:ranks]:
        feedback = LowRankFeedback(rank=rank, q="kolen-pollack", p="oja-label", p_rate=5.0, scale=start, seed=seed)
        run = simulate(
            task, initial_weights((12, 11, 10), "gaussian", start, seed), feedback, [40.0], rtol=1e-9, atol=1e-12
        )
        predicted.append(eckart_young_loss(task.strengths, rank))
        simulated.append(run.loss[-1])
    return predicted, simulated


def _chasing(task: LinearTask, rank: int, rate: float, start: float, horizon: float, seed: int) -> Trajectory:
    """P by Oja's rule on the error, Q relaxing to W2ᵀPᵀ fast against everything else."""
    weights = initial_weights((12, 11, 10), "gaussian", start, seed)
    p = _channels(rank, seed)
    feedback = LowRankFeedback(
        q="normative", q_rate=30.0, p="oja-error", p_rate=rate, q_matrices=[weights[1].T @ p.T], p_matrices=[p]
    )
    return simulate(task, weights, feedback, [horizon], rtol=1e-6, atol=1e-10)


@claim(
    "oja-deflation",
    title="loss where Oja's rule on the error freezes, r = 1 and 2, against the modes beyond η s_j² > s_i, one by one",
    tolerance=1e-3,
    accuracy="asymptotic",
    reason="leakage from the start and what the last turn of P leaves, as parts of the loss of one mode learned",
    entry="B19, B20",
    quick={"rates": 2},
)
def deflation(start: float = 1e-3, rates: int = 4, seed: int = 52) -> tuple:
    """B19 and B20: one channel may learn all modes in turn, and the freezing threshold says where it stops."""
    task = _task(seed)
    everything = eckart_young_loss(task.strengths, 1)
    predicted, simulated = [], []
    for rate in (1.0, 5.0, 0.8, 1.5)[:rates]:
        for rank in (1, 2):
            learned = deflated_modes(task.strengths, rank, rate)
            left = 0.5 * np.square(task.strengths[learned:]).sum()
            predicted.append(np.array([left, everything]))
            simulated.append(np.array([_chasing(task, rank, rate, start, 60.0, seed).loss[-1], everything]))
    return predicted, simulated


def _on_a_mode(
    rate: float, seed: int, nudge: float = 0.0, **tracking: object
) -> tuple[LinearTask, list[np.ndarray], LowRankFeedback]:
    """One channel on the first of three modes, everything at rest; P tilted by `nudge` towards the second."""
    task = LinearTask.from_modes([3.0, 2.0, 1.0], inputs=5, outputs=4, seed=seed)
    weights = learned_top_modes(task, 1, 4, seed)
    tilted = task.left[:, 0] + nudge * task.left[:, 1]
    p = (tilted / np.linalg.norm(tilted))[None]
    factors = {"q_matrices": [weights[1].T @ p.T], "p_matrices": [p]}
    tracking = tracking or {"q": "kolen-pollack"}
    return task, weights, LowRankFeedback(p="oja-error", p_rate=rate, **tracking, **factors)


@claim(
    "oja-escape-rate",
    title="growth of the signal P E v of an unlearned mode, and eigenvalues of the whole flow, against η s_j² − σ₂²",
    tolerance=5e-7,
    accuracy="closed form",
    reason="the start is 1e-7 off the point: curvature adds terms of that order",
    entry="B20",
)
def escape_rates(seed: int = 53) -> tuple:
    """B20 below and above the threshold η = 3/4: the channel is frozen by its own success, or leaves."""
    t = np.linspace(0.0, 1.5, 7)
    predicted, simulated = [], []
    for rate in (0.3, 0.7, 0.8, 1.5):
        task, weights, feedback = _on_a_mode(rate, seed, NUDGE)
        run = simulate(task, weights, feedback, t, rtol=1e-13, atol=1e-20)
        signal = (run.feedback_weights["p"][0] @ run.error_correlation @ task.right[:, 1])[:, 0]
        predicted.append(np.exp(escape_rate(rate, 2.0, np.sqrt(3.0)) * t))
        simulated.append(signal / signal[0])
        task, weights, feedback = _on_a_mode(rate, seed)
        spectrum = LearningFlow(task, weights, feedback).spectrum(merge=1e-3)
        rates = escape_rate(rate, np.array([2.0, 1.0]), np.sqrt(3.0))
        predicted += [rates, max(rates[0], 0.0) + 1.0]
        simulated += [np.array([spectrum.real[np.abs(spectrum - x).argmin()] for x in rates]), spectrum.real[0] + 1.0]
    return predicted, simulated


@claim(
    "oja-escape",
    title="channels that leave a learned mode within the horizon: those with η above σ₂²/s_j², and no others",
    tolerance=1e-12,
    accuracy="exact",
    reason="yes or no, counted: left if the second mode is learned to half, 10 % above and below the threshold",
    entry="B20",
)
def escapes(below: float = 0.9, above: float = 1.1, seed: int = 53) -> tuple:
    """B20 on both sides: above the threshold the next mode is learned by the same channel, below it never is."""
    threshold = escape_threshold(2.0, np.sqrt(3.0))
    found = []
    for fraction in (below, above):
        task, weights, feedback = _on_a_mode(fraction * threshold, seed, 1e-3, q="normative", q_rate=30.0)
        found.append(simulate(task, weights, feedback, [60.0], rtol=1e-6, atol=1e-10).recovery[-1, 1] > 0.5)
    return np.array([below > 1, above > 1], dtype=float), np.array(found, dtype=float)


@claim(
    "normative-beyond-rank",
    title="the normative rule at rank r ends below ½ Σ_{i>r} s², the least that any fixed channels of that rank allow",
    tolerance=1e-12,
    accuracy="exact",
    reason="yes or no, counted: its losses are below half of that bound, and more than r modes are learned to 90 %",
    entry="B19",
    quick={"ranks": 1},
)
def normative(start: float = 1e-2, ranks: int = 3, seed: int = 54) -> tuple:
    """B19: channels that follow W2 take up mode after mode, as each becomes one of the r strongest in W2."""
    task = _task(seed)
    beyond = []
    for rank in (2, 1, 4)[:ranks]:
        feedback = LowRankFeedback(rank=rank, q="normative", p="normative", scale=start, seed=seed)
        run = simulate(task, initial_weights((12, 11, 10), "gaussian", start, seed), feedback, [300.0], rtol=1e-6)
        beyond.append(run.loss[-1] < 0.5 * eckart_young_loss(task.strengths, rank))
        beyond.append((run.recovery[-1] > 0.9).sum() > rank)
    return np.ones(len(beyond)), np.array(beyond, dtype=float)


@claim(
    "redrawn-subspace",
    title="one random channel, drawn anew every few time units with Q = W2ᵀPᵀ: the loss goes to 0, all modes learned",
    tolerance=1e-4,
    accuracy="asymptotic",
    reason="what the weakest mode still lacks after the last draw; it shrinks with every further one",
    entry="B19",
    quick={"draws": 60},
)
def redrawn(interval: float = 5.0, draws: int = 60, seed: int = 55) -> tuple:
    """B19: what is spurious about rank 1 is that the channel stays; one that keeps moving learns everything."""
    task = _task(seed)
    weights = initial_weights((12, 11, 10), "gaussian", 1e-3, seed)
    start = task.loss(weights[1] @ weights[0])
    for draw in range(draws):
        p = _channels(1, seed + draw)
        feedback = LowRankFeedback(q="kolen-pollack", q_matrices=[weights[1].T @ p.T], p_matrices=[p])
        run = simulate(task, weights, feedback, [interval], rtol=1e-6)
        weights = [w[-1] for w in run.weights]
    return [np.array([0.0, 1.0]), np.ones(8)], [np.array([run.loss[-1] / start, 1.0]), run.recovery[-1]]


_RULES = (
    ("fixed", "fixed", 0.0),
    ("kolen-pollack", "fixed", 0.1),
    ("kolen-pollack", "oja-error", 0.1),
    ("kolen-pollack", "oja-label", 0.0),
    ("local", "local", 0.2),
    ("normative", "normative", 0.05),
    ("normative", "oja-error", 0.0),
)


@claim(
    "reduced-modes",
    title="W1, W2, Q and P under every rule, aligned start, against four numbers for each mode",
    tolerance=1e-10,
    accuracy="closed form",
    reason="two integrators at rtol 1e-12; rounding off the aligned form grows where the form is not stable",
    entry="B22",
    quick={"rules": 4},
)
def reduced(horizon: float = 4.0, rules: int = 7, seed: int = 56) -> tuple:
    """B22, with modes beyond the channels: full matrices keep the aligned form, and move by the reduced equations."""
    task = LinearTask.from_modes([3.0, 2.2, 1.5, 0.7], inputs=6, outputs=5, seed=seed)
    frame = orthonormal_columns(stream(seed, "claim"), 7, 4)
    start = stream(seed, "claim", 1).uniform(0.2, 0.8, (4, 4))
    a, w, q, p = start
    weights = [(frame * a) @ task.right.T, (task.left * w) @ frame.T]
    rank, t = 2, np.linspace(0.0, horizon, 9)
    factors = {"q_matrices": [frame[:, :rank] * q[:rank]], "p_matrices": [p[:rank, None] * task.left[:, :rank].T]}
    predicted, simulated = [], []
    for q_rule, p_rule, decay in _RULES[:rules]:
        feedback = LowRankFeedback(q=q_rule, p=p_rule, q_rate=1.3, p_rate=0.6, **factors)
        run = simulate(task, weights, feedback, t, weight_decay=decay, **TIGHT)
        rates = {"q_rate": 1.3, "p_rate": 0.6, "decay": decay}
        found = mode_trajectory(t, start, task.strengths, rank, q_rule=q_rule, p_rule=p_rule, **rates)
        of_a, of_w, of_q, of_p = np.swapaxes(found, 0, 1)
        predicted += [
            np.einsum("hk,tk,ik->thi", frame, of_a, task.right),
            np.einsum("ok,tk,hk->toh", task.left, of_w, frame),
            frame[:, :rank] * of_q[:, None, :rank],
            of_p[:, :rank, None] * task.left[:, :rank].T,
        ]
        simulated += [*run.weights, run.feedback_weights["q"][0], run.feedback_weights["p"][0]]
    return predicted, simulated


@claim(
    "undriven-mode",
    title="W2 in modes without a channel against s/a − (s/a − w₀) e^{−a²t}, with W1 standing there",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B22",
)
def undriven(horizon: float = 20.0, seed: int = 57) -> tuple:
    """B22: modes that no channel carries leak in through whatever the first layer was born with."""
    task = LinearTask.from_modes([3.0, 2.0, 1.0], inputs=5, outputs=4, seed=seed)
    frame = orthonormal_columns(stream(seed, "claim"), 6, 3)
    a, w = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.1, -0.2])
    weights = [(frame * a) @ task.right.T, (task.left * w) @ frame.T]
    t = np.linspace(0.0, horizon, 21)
    feedback = LowRankFeedback(q_matrices=[frame[:, :1]], p_matrices=[task.left[:, :1].T])
    run = simulate(task, weights, feedback, t, **TIGHT)
    lower = np.einsum("hk,thi,ik->tk", frame, run.weights[0], task.right)[:, 1:]
    upper = np.einsum("ok,toh,hk->tk", task.left, run.weights[1], frame)[:, 1:]
    expected = undriven_amplitude(t[:, None], w[1:], a[1:], task.strengths[1:])
    return [np.broadcast_to(a[1:], lower.shape), expected], [lower, upper]
