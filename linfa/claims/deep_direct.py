"""Claims about direct feedback in deep networks from zero weights, and about neurons with a threshold: B10, B1."""

from itertools import pairwise

import numpy as np

from linfa._random import stream
from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, correlated_task
from linfa.claims.register import claim
from linfa.feedback import DirectFeedback
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.deep_direct import (
    compressed_flow,
    direct_amplitude,
    direct_coefficients,
    direct_gradient_alignment,
    direct_weights,
    expanded,
)
from linfa.trajectory import Trajectory

STRENGTHS = np.array([3.0, 2.0, 1.2])
GAIN = 1.44


def _widths(depth: int) -> tuple[int, ...]:
    return (6, *(7 + k for k in range(depth - 1)), 4)


def _structured(depth: int, t: np.ndarray, seed: int, strengths: np.ndarray = STRENGTHS) -> Trajectory:
    """Zero weights, whitened inputs, F_lᵀF_l = g I."""
    task = LinearTask.from_modes(strengths, inputs=6, outputs=4, seed=seed)
    feedback = DirectFeedback(seed=seed, scale=float(np.sqrt(GAIN)), draw="orthonormal")
    return simulate(task, initial_weights(_widths(depth), "zero"), feedback, t, **TIGHT)


def _error(a: np.ndarray, strengths: np.ndarray, depth: int) -> np.ndarray:
    """What each mode still lacks, s − β aⁿ."""
    return strengths - direct_coefficients([GAIN] * (depth - 1))[1] * a ** (2**depth - 1)


@claim(
    "dfa-weak-alignment",
    title="W_l against F_l A_l F_{l−1}ᵀ with A_l integrated as matrices of the output's size, depth 3 and 4, any Σx",
    tolerance=5e-12,
    accuracy="closed form",
    reason="both sides integrated, at rtol 1e-12 and 1e-13",
    entry="B10",
)
def weak_alignment(horizon: float = 8.0, seed: int = 61) -> tuple:
    """B10 in the flow, for generic feedback and correlated inputs."""
    t, predicted, simulated = np.linspace(0.5, horizon, 10), [], []
    for depth in (3, 4):
        task, feedback = correlated_task(6, 4, seed), DirectFeedback(seed=seed)
        run = simulate(task, initial_weights(_widths(depth), "zero"), feedback, t, **TIGHT)
        matrices = [run.feedback_matrix(h)[0] for h in range(depth - 1)]
        predicted += expanded(compressed_flow(task, matrices, t), matrices)
        simulated += run.weights
    return predicted, simulated


@claim(
    "dfa-weak-alignment-online",
    title="the same after single-sample updates: A_l ← A_l + η e z_{l−1}ᵀ against the weights themselves, depth 2 to 4",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="B10",
    quick={"updates": 200},
)
def online(learning_rate: float = 0.01, updates: int = 1000, seed: int = 62) -> tuple:
    """B10 sample by sample: alignment is no average, it holds after every update."""
    predicted, simulated = [], []
    for depth in (2, 3, 4):
        generator = stream(seed, "claim", depth)
        widths = _widths(depth)
        matrices = [generator.standard_normal((n, 4)) / np.sqrt(n) for n in widths[1:-1]]
        grams = [f.T @ f for f in matrices]
        target = generator.standard_normal((4, 6)) / 2
        weights = initial_weights(widths, "zero")
        small = [np.zeros((4, 6)), *(np.zeros((4, 4)) for _ in matrices)]
        for x in generator.standard_normal((updates, 6)):
            y = target @ x + 0.1 * generator.standard_normal(4)
            activity = [x]
            for w in weights:
                activity.append(w @ activity[-1])
            error = y - activity[-1]
            for w, below, f in zip(weights, activity[:-1], [*matrices, np.eye(4)], strict=True):
                w += learning_rate * np.outer(f @ error, below)
            inner = [x, small[0] @ x]
            for a, gram in zip(small[1:], grams, strict=True):
                inner.append(a @ (gram @ inner[-1]))
            error = y - inner[-1]
            for a, below in zip(small, inner[:-1], strict=True):
                a += learning_rate * np.outer(error, below)
        predicted += expanded(small, matrices)
        simulated += weights
    return predicted, simulated


@claim(
    "dfa-modes",
    title="all weights of deep DFA from zero, depth 2 to 5, against a' = s − β aⁿ with n = 2^L − 1",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B10",
    quick={"deepest": 3},
)
def modes(horizon: float = 6.0, deepest: int = 5, seed: int = 63) -> tuple:
    """B10 closed for F_lᵀF_l = g I: direct feedback has the mode law of the chain, with another β."""
    t, predicted, simulated = np.linspace(0.0, horizon, 13), [], []
    for depth in range(2, deepest + 1):
        run = _structured(depth, t, seed)
        task = run.task
        matrices = [run.feedback_matrix(h)[0] for h in range(depth - 1)]
        predicted += direct_weights((task.left, task.strengths, task.right), matrices, t, [GAIN] * (depth - 1))
        simulated += run.weights
    return predicted, simulated


@claim(
    "dfa-gradient-alignment",
    title="cos of DFA's and backprop's signals in every hidden layer, for flat to steep tasks, depth 3 and 4",
    tolerance=5e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B10",
)
def gradient_alignment(seed: int = 63) -> tuple:
    """B10: conditioning controls alignment. Flat tasks give 1, "strong" alignment; steep ones less."""
    t, predicted, simulated = np.linspace(0.5, 1.6, 8), [], []
    for depth in (3, 4):
        for steepness in (1.0, 1.5, 2.5):
            strengths = np.array([2.0 * steepness, 2.0])
            run = _structured(depth, t, seed, strengths)
            a = direct_amplitude(t, run.task.strengths, [GAIN] * (depth - 1))
            error = _error(a, run.task.strengths, depth)
            columns = [direct_gradient_alignment(a, error, layer, depth) for layer in range(1, depth)]
            predicted.append(np.stack(columns, axis=1))
            simulated.append(run.gradient_alignment)
            if steepness == 1.0:
                predicted.append(np.ones_like(run.gradient_alignment))
                simulated.append(run.gradient_alignment)
    return predicted, simulated


@claim(
    "relu-neuron-balance",
    title="|w_i|² − 2<B_i, W_{l+1,:i}> of ReLU neurons in descent, drift η²|dw_i|² summed; off the diagonal it fails",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="B1",
    quick={"updates": 100},
)
def neurons(learning_rate: float = 0.01, updates: int = 400, seed: int = 64) -> tuple:
    """B1 for positively homogeneous units, in plain NumPy: three layers, layerwise and with a batch of samples."""
    generator = stream(seed, "claim")
    widths = (5, 8, 7, 3)
    weights = [generator.standard_normal((n, m)) / np.sqrt(m) for m, n in pairwise(widths)]
    feedback = [generator.standard_normal((n, m)) / np.sqrt(n) for n, m in pairwise(widths[1:])]
    x = generator.standard_normal((5, 40))
    y = np.maximum(generator.standard_normal((3, 5)) @ x, 0.0)

    def balance(layer: int) -> np.ndarray:
        carried = feedback[layer] @ weights[layer + 1]
        return weights[layer] @ weights[layer].T - carried - carried.T

    starts, drift = [balance(0), balance(1)], [np.zeros(8), np.zeros(7)]
    for _ in range(updates):
        first = weights[0] @ x
        second = weights[1] @ np.maximum(first, 0.0)
        top = (y - weights[2] @ np.maximum(second, 0.0)) / x.shape[1]
        middle = (feedback[1] @ top) * (second > 0)
        bottom = (feedback[0] @ middle) * (first > 0)
        directions = [bottom @ x.T, middle @ np.maximum(first, 0.0).T, top @ np.maximum(second, 0.0).T]
        for w, direction in zip(weights, directions, strict=True):
            w += learning_rate * direction
        for layer in (0, 1):
            drift[layer] += learning_rate**2 * np.square(directions[layer]).sum(1)
    predicted = [np.diag(starts[layer]) + drift[layer] for layer in (0, 1)]
    simulated = [np.diag(balance(layer)) for layer in (0, 1)]
    # The negative control: masks differ between neurons, so products of two neurons are not held.
    moved = [np.abs(balance(layer) - starts[layer])[~np.eye(widths[layer + 1], dtype=bool)].max() for layer in (0, 1)]
    return [*predicted, np.ones(2)], [*simulated, (np.array(moved) > 1e-2).astype(float)]
