"""Claims about fixed low-rank feedback: B5."""

import numpy as np

from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import FeedbackAlignment, LowRankFeedback
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.exact import exact
from linfa.theory.low_rank import learned_map, projected_modes, projected_strength


@claim(
    "low-rank-confinement",
    title="(I − QQ⁺) W1 stays at its start, in flow and descent, correlated inputs, any start",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="B5 i",
)
def confinement(rank: int = 2, seed: int = 9) -> tuple:
    """B5 (i): W1 moves within the columns of Q alone."""
    task = correlated_task(8, 6, seed)
    weights = initial_weights((8, 9, 6), "gaussian", 0.5, seed)
    feedback = LowRankFeedback(rank=rank, seed=seed)
    runs = [
        simulate(task, weights, feedback, np.linspace(0.0, 5.0, 6)),
        simulate(task, weights, feedback, np.arange(0, 501, 100), learning_rate=0.02),
    ]
    q = runs[0].feedback_weights["q"][0][0]
    outside = np.eye(9) - q @ np.linalg.pinv(q)
    frozen = outside @ weights[0]
    return [np.broadcast_to(frozen, (6, *frozen.shape))] * 2, [outside @ run.weights[0] for run in runs]


@claim(
    "low-rank-limit",
    title="map at late times against T Π_row(PT): random P, best P, a bottleneck, zero and random W2",
    tolerance=1e-10,
    accuracy="closed form",
    reason="the slowest mode of PT is within e^{-20} of its end; the integrator adds 1e-11",
    entry="B5 ii",
)
def limit(rank: int = 3, seed: int = 10) -> tuple:
    """B5 (ii), with its two corollaries: P = U_rᵀ gives the truncated SVD, a narrow hidden layer acts as low rank."""
    task = LinearTask.from_modes(np.linspace(4.0, 0.8, 6), inputs=9, outputs=7, seed=seed)
    zero = initial_weights((9, 8, 7), "zero")
    random_upper = [zero[0], initial_weights((9, 8, 7), "gaussian", 0.4, seed)[1]]
    drawn = LowRankFeedback(rank=rank, seed=seed, draw="orthonormal")
    best = LowRankFeedback(rank=rank, seed=seed, draw="orthonormal", p_matrices=[task.left[:, :rank].T])
    narrow = initial_weights((9, rank, 7), "zero")
    predicted, simulated = [], []
    for weights, feedback in (
        (zero, drawn),
        (random_upper, drawn),
        (zero, best),
        (narrow, FeedbackAlignment(seed=seed, scale=1.5)),
    ):
        start = simulate(task, weights, feedback, [0.0])
        carrier = start.feedback_matrix(0)[0]
        slowest = np.linalg.svd(carrier @ task.target, compute_uv=False)
        slowest = slowest[slowest > 1e-10 * slowest[0]][-1]
        run = simulate(task, weights, feedback, [60.0 + 60.0 / slowest], **TIGHT)
        predicted.append(learned_map(task, carrier))
        simulated.append(run.map[-1])
    predicted.append((task.left[:, :rank] * task.strengths[:rank]) @ task.right[:, :rank].T)
    simulated.append(simulated[2])
    return predicted, simulated


def _from_zero(rank: int, gain: float, seed: int) -> tuple[LinearTask, list[np.ndarray], LowRankFeedback]:
    """The case with closed forms: whitened inputs, zero weights, QᵀQ = g I and PPᵀ = I."""
    task = LinearTask.from_modes(np.linspace(4.0, 0.8, 6), inputs=9, outputs=7, seed=seed)
    feedback = LowRankFeedback(rank=rank, seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    return task, initial_weights((9, 8, 7), "zero"), feedback


@claim(
    "low-rank-modes",
    title="strengths of P W2 W1 along the modes of PT against g a³/2",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B5 iii",
)
def modes(rank: int = 3, gain: float = 1.4, horizon: float = 6.0, seed: int = 11) -> tuple:
    """B5 (iii): the time scales are the singular values of PT, not of T."""
    task, weights, feedback = _from_zero(rank, gain, seed)
    t = np.linspace(0.0, horizon, 25)
    run = simulate(task, weights, feedback, t, **TIGHT)
    p = run.feedback_weights["p"][0][0]
    left, strengths, right = projected_modes(task.target, p)
    simulated = np.einsum("rk,ro,toi,ik->tk", left, p, run.map, right, optimize=True)
    return projected_strength(t, strengths, gain), simulated


@claim(
    "low-rank-trajectory",
    title="W1, W2 and the whole map, outside row(P) too, against T V diag(g a³/(2s)) Vᵀ",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B5 iii",
)
def trajectory(rank: int = 3, gain: float = 1.4, horizon: float = 6.0, seed: int = 11) -> tuple:
    """B5 (iii) closed for the full map: the target seen through a projector that opens mode by mode."""
    task, weights, feedback = _from_zero(rank, gain, seed)
    t = np.linspace(0.0, horizon, 25)
    run, predicted = simulate(task, weights, feedback, t, **TIGHT), exact(task, weights, feedback, t)
    return [*predicted.weights, predicted.map, predicted.loss], [*run.weights, run.map, run.loss]
