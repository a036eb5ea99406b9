"""Claims about backprop: A1, A2, A5, A8."""

import numpy as np
from scipy.integrate import quad

from linfa._algebra import transposed
from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import Backprop
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import depth_strength, depth_time, depth_velocity, logistic_strength, soft_threshold
from linfa.theory.riccati import balanced_backprop


@claim(
    "backprop-logistic",
    title="mode strengths of a full two-layer network against the logistic curve",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A1",
)
def logistic(scale: float = 0.05, seed: int = 1) -> tuple:
    """A1 at Σx = I: aligned, balanced weights of size `scale`."""
    task = LinearTask.from_modes([4.0, 3.0, 2.0, 1.0], inputs=9, outputs=7, seed=seed)
    weights = initial_weights((9, 6, 7), "aligned", scale, seed, task=task)
    t = np.linspace(0.0, 8.0, 41)
    run = simulate(task, weights, Backprop(), t, **TIGHT)
    return logistic_strength(t[:, None], task.strengths, scale**2), run.mode_strengths


@claim(
    "backprop-logistic-correlated",
    title="the same with input variances that differ between modes: plateaus at s/d",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A1",
)
def logistic_correlated(scale: float = 0.1, seed: int = 1) -> tuple:
    """A1 where Σx = V diag(d) Vᵀ commutes with ΣyxᵀΣyx."""
    generator = stream(seed, "claim", 1)
    left, right = orthonormal_columns(generator, 5, 3), orthonormal_columns(generator, 6, 6)
    s, d = np.array([3.0, 2.0, 1.0]), np.array([1.5, 0.5, 0.8, 1.0, 0.3, 2.0])
    task = LinearTask((left * s) @ right[:, :3].T, (right * d) @ right.T)
    frame = orthonormal_columns(generator, 5, 3)
    weights = [scale * frame @ right[:, :3].T, scale * left @ frame.T]
    t = np.linspace(0.0, 8.0, 33)
    run = simulate(task, weights, Backprop(), t, **TIGHT)
    strengths = np.einsum("ok,toi,ik->tk", left, run.map, right[:, :3])
    return logistic_strength(t[:, None], s, scale**2, d[:3]), strengths


@claim(
    "backprop-depth",
    title="mode strengths of full networks of depth 2 to 5 against the inverted closed times",
    tolerance=1e-10,
    accuracy="closed form",
    reason="integrated at rtol 1e-12; the steep rise of deep networks turns errors of time into errors of strength",
    entry="A2",
    quick={"deepest": 3},
)
def depth_modes(scale: float = 0.5, deepest: int = 5, seed: int = 2) -> tuple:
    """A2: all layers start at `scale`, for L = 2 … deepest."""
    task = LinearTask.from_modes([4.0, 3.0, 2.0, 1.0], inputs=6, outputs=5, seed=seed)
    predicted, simulated = [], []
    for depth in range(2, deepest + 1):
        widths = (6, *(7,) * (depth - 1), 5)
        weights = initial_weights(widths, "aligned", scale, seed, task=task)
        t = np.linspace(0.0, 3.0, 25)
        run = simulate(task, weights, Backprop(), t, **TIGHT)
        curves = [depth_strength(t, float(s), scale**depth, depth) for s in task.strengths]
        predicted.append(np.stack(curves, axis=1))
        simulated.append(run.mode_strengths)
    return predicted, simulated


@claim(
    "backprop-closed-times",
    title="closed times of the depth-L mode equation against quadrature, L = 2 to 6",
    tolerance=1e-13,
    accuracy="exact",
    reason="adaptive quadrature asked for 1e-13; closed forms lose a digit where they subtract near the start",
    entry="A2",
)
def closed_times(scale: float = 0.5, strength: float = 2.0) -> tuple:
    """A2: ∫ du / (L u^{2−2/L} (s − u)) from scale^L to 0.9 s."""
    predicted, simulated = [], []
    for depth in range(2, 7):
        start, end = scale**depth, 0.9 * strength
        predicted.append(depth_time(end, strength, depth) - depth_time(start, strength, depth))
        # In log u the integrand is smooth over the many decades that a small start spans.
        value, _ = quad(
            lambda x, L=depth: np.exp(x) / depth_velocity(np.exp(x), strength, L),
            np.log(start),
            np.log(end),
            epsabs=0.0,
            epsrel=1e-13,
            limit=400,
        )
        simulated.append(value)
    return predicted, simulated


@claim(
    "backprop-riccati",
    title="map, W1ᵀW1 and W2W2ᵀ of λ-balanced networks against the exact Riccati propagator",
    tolerance=1e-10,
    accuracy="closed form",
    reason="integrated at rtol 1e-12 through escapes from saddles, each of which amplifies errors by up to 1/scale",
    entry="A5",
    quick={"horizon": 6.0},
)
def riccati(scale: float = 0.2, horizon: float = 20.0, seed: int = 3) -> tuple:
    """A5 for λ > 0, λ < 0 and λ = 0, wide and narrow hidden layers, unequal sizes."""
    task = LinearTask.from_modes([3.0, 2.0, 1.0, 0.5], inputs=5, outputs=7, seed=seed)
    other = LinearTask(task.target.T)
    t = np.linspace(0.0, horizon, 21)
    predicted, simulated = [], []
    for problem, hidden, balance in ((task, 6, 0.8), (other, 6, -0.8), (task, 3, 0.0), (task, 9, 0.0)):
        widths = (problem.inputs, hidden, problem.outputs)
        kind = "lambda-balanced" if balance else "balanced"
        weights = initial_weights(widths, kind, scale, seed, balance=balance)
        for side, run in (
            (predicted, balanced_backprop(problem, weights, t)),
            (simulated, simulate(problem, weights, Backprop(), t, **TIGHT)),
        ):
            lower, upper = run.weights
            side += [run.map, transposed(lower) @ lower, upper @ transposed(upper)]
    return predicted, simulated


@claim(
    "backprop-soft-threshold",
    title="end of backprop with weight decay against U (s − wd)₊ Vᵀ",
    tolerance=1e-11,
    accuracy="closed form",
    reason="the slowest mode is within e^{-2 |s − wd| t} < 1e-10 of its end; the integrator adds 1e-11",
    entry="A8",
)
def shrinkage(decay: float = 0.5, scale: float = 0.3, seed: int = 4) -> tuple:
    """A8 from generic Gaussian weights; the weakest mode lies under the threshold."""
    s = np.array([3.0, 2.0, 1.2, 0.2])
    task = LinearTask.from_modes(s, inputs=6, outputs=5, seed=seed)
    weights = initial_weights((6, 7, 5), "gaussian", scale, seed)
    slowest = float(np.abs(s - decay).min())
    run = simulate(task, weights, Backprop(), [20.0 + 15.0 / slowest], weight_decay=decay, **TIGHT)
    return (task.left * soft_threshold(task.strengths, decay)) @ task.right.T, run.map[-1]
