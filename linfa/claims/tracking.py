"""Claims about feedback that follows the weights: laws of Kolen and Pollack, the loss, the lag: B9, B18."""

import numpy as np

from linfa._algebra import transposed
from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import KolenPollack, LowRankFeedback
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.jacobian import LearningFlow
from linfa.theory.tracking import kolen_pollack_balance, kolen_pollack_drift, loss_fall, tracking_velocity
from linfa.trajectory import Trajectory


def _balance(run: Trajectory) -> np.ndarray:
    return kolen_pollack_balance(*run.weights, run.feedback_weights["b"][0])


@claim(
    "kolen-pollack-balance",
    title="W1W1ᵀ − W2ᵀW2 − DW2 − (DW2)ᵀ, D = B − W2ᵀ, stays at its start without decay, correlated inputs",
    tolerance=5e-13,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B9",
)
def balance(horizon: float = 5.0, seed: int = 40) -> tuple:
    """B9: the law between balancedness (A4) and that of fixed feedback (B1)."""
    task, weights = correlated_task(6, 5, seed), initial_weights((6, 8, 5), "gaussian", 0.4, seed)
    run = simulate(task, weights, KolenPollack(seed=seed), np.linspace(0.0, horizon, 11), **TIGHT)
    found = _balance(run)
    return np.broadcast_to(found[0], found.shape), found


@claim(
    "kolen-pollack-drift",
    title="change of that quantity in each update of descent against η² (G1G1ᵀ − G2ᵀG2)",
    tolerance=1e-11,
    accuracy="exact",
    reason="exact identity; differences of order η² = 4e-4 of matrices of order 1 lose four digits to rounding",
    entry="B9",
)
def drift(learning_rate: float = 0.02, updates: int = 30, seed: int = 40) -> tuple:
    """B9 in descent: the drift knows nothing of the feedback."""
    task, weights = correlated_task(6, 5, seed), initial_weights((6, 8, 5), "gaussian", 0.4, seed)
    run = simulate(task, weights, KolenPollack(seed=seed), np.arange(updates + 1), learning_rate=learning_rate)
    error, b = run.error_correlation, run.feedback_weights["b"][0]
    expected = kolen_pollack_drift(learning_rate, b @ error, error @ transposed(run.weights[0]))
    return expected[:-1], np.diff(_balance(run), axis=0)


def _tracked(
    seed: int, rank: int, p_rule: str = "fixed", decay: float = 0.0, off: float = 0.0
) -> tuple[LearningFlow, LinearTask]:
    """A random state with Q = W2ᵀPᵀ (and `off` times noise), orthonormal P, whitened inputs."""
    generator = stream(seed, "claim", rank)
    task = LinearTask.from_modes(np.linspace(4.0, 0.8, 5), inputs=8, outputs=6, seed=seed)
    weights = initial_weights((8, 7, 6), "gaussian", 0.4, seed)
    p = orthonormal_columns(generator, 6, rank).T
    q = weights[1].T @ p.T + off * generator.standard_normal((7, rank))
    feedback = LowRankFeedback(q="kolen-pollack", p=p_rule, p_rate=0.7, q_matrices=[q], p_matrices=[p])
    return LearningFlow(task, weights, feedback, decay), task


@claim(
    "projected-backprop-loss",
    title="dL/dt where Q = W2ᵀPᵀ against −|E W1ᵀ|² − tr(W2W2ᵀ PᵀP EEᵀ)",
    tolerance=1e-14,
    accuracy="exact",
    reason=ROUNDING,
    entry="B18",
)
def projected_loss(draws: int = 20, seed: int = 41) -> tuple:
    """B18 at random states: the loss's derivative from the velocity of the weights, against the identity."""
    predicted, simulated = [], []
    for draw in range(draws):
        flow, task = _tracked(seed + draw, 2)
        lower, upper = flow.matrices()["w"]
        error = task.target - upper @ lower
        lower_velocity, upper_velocity = flow.matrices(flow.velocity())["w"]
        moved = upper_velocity @ lower + upper @ lower_velocity
        p = flow.matrices()["p"][0]
        predicted.append(np.trace(loss_fall(error, lower, upper, p)))
        simulated.append(-(error * moved).sum())
    return np.array(predicted), np.array(simulated)


@claim(
    "projected-backprop-sign",
    title="tr(W2W2ᵀ PᵀP EEᵀ): never negative where P spans an eigenspace of EEᵀ; can be for other P",
    tolerance=1e-12,
    accuracy="exact",
    reason="signs, counted over random states: none negative among the first, at least one among the second",
    entry="B18",
    quick={"draws": 1000},
)
def projected_sign(draws: int = 4000, seed: int = 42) -> tuple:
    """B18: feedback that listens to whole components of the error never raises the loss; other feedback may."""
    generator = stream(seed, "claim")
    # Few outputs and one channel, so that a random P often cuts a component in two.
    upper, error = generator.standard_normal((draws, 4, 3)), generator.standard_normal((draws, 4, 6))
    whole = np.linalg.eigh(error @ transposed(error))[1][:, :, [1]]
    drawn = generator.standard_normal((draws, 4, 1))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    negative = []
    for channel in (whole, drawn):
        nothing = np.zeros((draws, 3, 6))
        fall = loss_fall(error, nothing, upper, transposed(channel))
        traces = -np.trace(fall, axis1=-2, axis2=-1)
        negative.append(np.mean(traces < -1e-12))
    return [0.0, 1.0], [negative[0], float(negative[1] > 0)]


@claim(
    "tracking-lag",
    title="d/dt (Q − W2ᵀPᵀ) where P follows Oja's rule against −wd (Q − W2ᵀPᵀ) − W2ᵀP'ᵀ",
    tolerance=1e-14,
    accuracy="exact",
    reason=ROUNDING,
    entry="B18",
)
def lag(decay: float = 0.3, seed: int = 43) -> tuple:
    """B18: decay is what lets go of the channel's past; without it a turn of P is never made up for."""
    predicted, simulated = [], []
    for rule in ("oja-error", "oja-label", "local"):
        flow, _ = _tracked(seed, 2, rule, decay, off=0.3)
        here, moved = flow.matrices(), flow.matrices(flow.velocity())
        upper, q, p = here["w"][1], here["q"][0], here["p"][0]
        predicted.append(tracking_velocity(q - upper.T @ p.T, upper, moved["p"][0], decay))
        simulated.append(moved["q"][0] - moved["w"][1].T @ p.T - upper.T @ moved["p"][0].T)
    return predicted, simulated
