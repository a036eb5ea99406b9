"""Claims about feedback that learns: B9, B17."""

import numpy as np

from linfa._algebra import transposed
from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import KolenPollack, LowRankFeedback, WeightMirror
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.conservation import decayed, mirrored
from linfa.trajectory import Trajectory


def _differences(run: Trajectory) -> list[np.ndarray]:
    """B − Wᵀ, or Q − Wᵀ Pᵀ for low-rank feedback, in every layer."""
    forward = [transposed(w) for w in run.weights[1:]]
    if "b" in run.feedback_weights:
        return [b - w for b, w in zip(run.feedback_weights["b"], forward, strict=True)]
    factors = zip(run.feedback_weights["q"], run.feedback_weights["p"], forward, strict=True)
    return [q - w @ transposed(p) for q, p, w in factors]


@claim(
    "kolen-pollack-difference",
    title="B − Wᵀ shrinks as e^{−wd t} in every layer, and stands still without decay",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B9",
)
def difference(decay: float = 0.2, seed: int = 12) -> tuple:
    """B9 in the flow, depth 2 and 4, correlated inputs."""
    t = np.linspace(0.0, 5.0, 11)
    predicted, simulated = [], []
    for widths in ((6, 8, 5), (6, 7, 8, 7, 5)):
        task, weights = correlated_task(6, 5, seed), initial_weights(widths, "gaussian", 0.4, seed)
        for wd in (decay, 0.0):
            found = _differences(simulate(task, weights, KolenPollack(seed=seed), t, weight_decay=wd, **TIGHT))
            predicted += [decayed(d[0], wd, t[:, None, None]) for d in found]
            simulated += found
    return predicted, simulated


@claim(
    "kolen-pollack-descent",
    title="B − Wᵀ shrinks by 1 − η wd in every update",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="B9",
    quick={"updates": 200},
)
def difference_descent(learning_rate: float = 0.02, decay: float = 0.1, updates: int = 1000, seed: int = 12) -> tuple:
    """B9 in descent: (1 − η wd)ⁿ."""
    n = np.arange(0, updates + 1, 50)
    task, weights = correlated_task(6, 5, seed), initial_weights((6, 7, 8, 5), "gaussian", 0.4, seed)
    run = simulate(task, weights, KolenPollack(seed=seed), n, learning_rate=learning_rate, weight_decay=decay)
    found = _differences(run)
    return [(1 - learning_rate * decay) ** n[:, None, None] * d[0] for d in found], found


@claim(
    "kolen-pollack-low-rank",
    title="Q − WᵀPᵀ shrinks as e^{−wd t} where Q learns and P is fixed",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B17",
)
def low_rank_difference(decay: float = 0.2, rank: int = 2, seed: int = 12) -> tuple:
    """B17: learning Q alone fixes sign and scale within row(P), not the subspace."""
    t = np.linspace(0.0, 5.0, 11)
    task, weights = correlated_task(6, 5, seed), initial_weights((6, 7, 8, 5), "gaussian", 0.4, seed)
    feedback = LowRankFeedback(rank=rank, q="kolen-pollack", seed=seed)
    found = _differences(simulate(task, weights, feedback, t, weight_decay=decay, **TIGHT))
    return [decayed(d[0], decay, t[:, None, None]) for d in found], found


@claim(
    "weight-mirror",
    title="mirror feedback at standing weights against e^{−wd t} B(0) + (1 − e^{−wd t}) (rate/wd) Wᵀ",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B9",
)
def mirror(rate: float = 0.7, decay: float = 0.3, seed: int = 13) -> tuple:
    """B9: weights that already solve the task stand still, so the mirror alone moves."""
    task = LinearTask.from_modes([3.0, 2.0, 1.0], inputs=5, outputs=4, seed=seed)
    weights = initial_weights((5, 6, 4), "aligned", np.sqrt(task.strengths), seed, task=task)
    t = np.linspace(0.0, 10.0, 11)
    feedback = WeightMirror(seed=seed, rate=rate, decay=decay)
    found = simulate(task, weights, feedback, t, **TIGHT).feedback_weights["b"][0]
    return mirrored(t[:, None, None], found[0], weights[1], rate, decay), found
