"""Claims about random P: what it recovers, on average and at best: B14."""

import numpy as np

from linfa.claims._settings import TIGHT
from linfa.claims.register import claim
from linfa.feedback import LowRankFeedback
from linfa.networks import initial_weights
from linfa.simulation import ensemble, simulate
from linfa.tasks import LinearTask
from linfa.theory.sketch import eckart_young_loss, sketch_loss, sketch_loss_bound, sketch_recovery
from linfa.trajectory import Trajectory

MODES = 16


def _learned(task: LinearTask, rank: int, draws: int, seed: int, rtol: float = 1e-5) -> Trajectory:
    """Ends of learning from zero weights under `draws` random P of this rank, one network each."""
    # Only Q's columns ever carry anything: r hidden units are as good as any number.
    weights = initial_weights((task.inputs, rank, task.outputs), "zero", members=draws)
    rules = [LowRankFeedback(rank=rank, seed=seed + k, draw="orthonormal") for k in range(draws)]
    return ensemble(task, weights, rules, [60.0], threads=1, rtol=rtol, atol=1e-8)


def _power_law(seed: int) -> LinearTask:
    strengths = 5.0 / np.sqrt(np.arange(1, MODES + 1))
    return LinearTask.from_modes(strengths, inputs=MODES, outputs=MODES, seed=seed)


@claim(
    "sketch-trace",
    title="recovered parts of all modes add up to r, whatever P; for equal modes the loss left is 1 − r/d of all",
    tolerance=1e-11,
    accuracy="closed form",
    reason="what the slowest mode of PT still lacks at the end",
    entry="B14",
)
def trace(seed: int = 30) -> tuple:
    """B14: feedback of rank r learns the worth of r modes, spread over all; B5 (ii) for a flat task."""
    task = LinearTask.from_modes(np.linspace(3.0, 1.0, 6), inputs=9, outputs=7, seed=seed)
    flat = LinearTask.from_modes(np.full(6, 2.0), inputs=6, outputs=6, seed=seed)
    predicted, simulated = [], []
    for rank in (1, 3):
        feedback = LowRankFeedback(rank=rank, seed=seed, draw="orthonormal")
        run = simulate(task, initial_weights((9, 8, 7), "zero"), feedback, [150.0], **TIGHT)
        predicted.append(float(rank))
        simulated.append(run.recovery[-1].sum())
        run = simulate(flat, initial_weights((6, 8, 6), "zero"), feedback, [0.0, 60.0], **TIGHT)
        predicted.append(1 - rank / 6)
        simulated.append(run.loss[-1] / run.loss[0])
    return predicted, simulated


@claim(
    "sketch-mean",
    title="recovered part of each of 16 modes, mean over random P, against s²/(s² + κ); mean loss against ½ κ r",
    tolerance=0.1,
    accuracy="statistical",
    reason="the formula itself is off by up to 6 % of the largest part; sampling adds 2 %",
    entry="B14",
    quick={"draws": 100},
)
def mean(draws: int = 200, seed: int = 31) -> tuple:
    """B14 on a power law s_k = 5 k^{−1/2}: strong modes are recovered better, though P knows nothing of them."""
    task = _power_law(seed)
    predicted, simulated = [], []
    for rank in (2, 4, 8):
        run = _learned(task, rank, draws, seed)
        predicted += [sketch_recovery(task.strengths, rank), sketch_loss(task.strengths, rank)]
        simulated += [run.recovery[:, -1].mean(0), run.loss[:, -1].mean()]
    return predicted, simulated


@claim(
    "sketch-best",
    title="P on the r strongest modes reaches the loss of Eckart and Young, ½ Σ_{i>r} s²",
    tolerance=1e-14,
    accuracy="closed form",
    reason="what the slowest mode still lacks at the end",
    entry="B14",
)
def best(seed: int = 32) -> tuple:
    """B14: the only choice of P, up to what T does not produce, that loses no more than a map of rank r must."""
    task = _power_law(seed)
    predicted, simulated = [], []
    for rank in (1, 2, 8):
        feedback = LowRankFeedback(rank=rank, draw="orthonormal", p_matrices=[task.left[:, :rank].T], seed=seed)
        run = simulate(task, initial_weights((MODES, MODES, MODES), "zero"), feedback, [40.0], **TIGHT)
        predicted.append(eckart_young_loss(task.strengths, rank))
        simulated.append(run.loss[-1])
    return predicted, simulated


@claim(
    "sketch-bounds",
    title="share of random P that lose no less than Eckart and Young; of ranks where the mean keeps Halko's bound",
    tolerance=1e-12,
    accuracy="exact",
    reason="inequalities: shares of one, counted; the losses keep a distance of 10 % and more from both bounds",
    entry="B14",
    quick={"draws": 40},
)
def bounds(draws: int = 150, seed: int = 33) -> tuple:
    """B14: no P of rank r does better than the best map of that rank, and a random one is not much worse on average."""
    task = _power_law(seed)
    losses = {rank: _learned(task, rank, draws, seed, rtol=1e-4).loss[:, -1] for rank in (2, 4, 8)}
    above = [np.mean(loss >= eckart_young_loss(task.strengths, rank)) for rank, loss in losses.items()]
    below = [loss.mean() <= sketch_loss_bound(task.strengths, rank) for rank, loss in losses.items()]
    return [np.ones(3), np.ones(3)], [np.array(above), np.array(below, dtype=float)]
