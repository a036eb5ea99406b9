"""Claims about learning in stages: half-times, stairs, sparsity, silent alignment, classification (A10, A11, A14)."""

from functools import partial

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import BarycentricInterpolator
from scipy.optimize import brentq, minimize
from scipy.special import expit

from linfa._random import stream
from linfa.claims._settings import TIGHT, closing_order, correlated_task
from linfa.claims.register import claim
from linfa.feedback import Backprop
from linfa.metrics import angle_degrees, cosine, effective_rank
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import depth_time
from linfa.theory.incremental import diagonal_end, diagonal_weights, early_half_time, rank_staircase, sparse_limit
from linfa.theory.tangent_kernel import early_kernel_cosine, silent_kernel, tangent_kernel

STRENGTHS = np.array([3.0, 2.0, 1.0])


def _half_times(depth: int, scale: float, seed: int) -> np.ndarray:
    """Times at which the modes of a full network from layers of size `scale` reach half their strength.

    The closed time says only where to look: around it the run is saved at Chebyshev points and the crossing is found
    on the polynomial through them.
    """
    task = LinearTask.from_modes(STRENGTHS, inputs=5, outputs=4, seed=seed)
    weights = initial_weights((5, *(6,) * (depth - 1), 4), "aligned", scale, seed, task=task)
    nodes = np.cos(np.pi * (np.arange(21) + 0.5) / 21)[::-1]
    windows = []
    for s in STRENGTHS:
        centre = depth_time(s / 2, s, depth) - depth_time(scale**depth, s, depth)
        windows.append(centre + 0.3 / s * nodes)
    times = np.unique(np.concatenate(windows))
    strengths = simulate(task, weights, Backprop(), times, **TIGHT).mode_strengths
    crossings = []
    for k, window in enumerate(windows):
        curve = BarycentricInterpolator(window, strengths[np.searchsorted(times, window), k] / STRENGTHS[k] - 0.5)
        crossings.append(brentq(curve, window[0], window[-1], xtol=1e-13 * window[-1]))
    return np.array(crossings)


@claim(
    "backprop-half-time-order",
    title="exponents in ε with which measured half-times reach their leading order, depth 2 to 4",
    tolerance=1e-2,
    accuracy="asymptotic",
    reason="two starts a factor of 2 apart: the next power of ε adds below 1e-2",
    entry="A10",
)
def half_time_order(scale: float = 0.05, seed: int = 41) -> tuple:
    """A10: the gap is ∝ ε² for two layers, and relative to the time ∝ ε^{L−2} for L ≥ 3."""

    def gap(start: float, depth: int) -> np.ndarray:
        leading = early_half_time(STRENGTHS, start, depth)
        missed = np.abs(_half_times(depth, start, seed) - leading)
        return missed if depth == 2 else missed / leading

    measured = [closing_order(partial(gap, depth=depth), scale) for depth in (2, 3, 4)]
    return [np.full(3, p) for p in (2.0, 1.0, 2.0)], measured


@claim(
    "backprop-rank-staircase",
    title="effective rank of the map between the half-times of its modes, from small random weights",
    tolerance=1e-3,
    accuracy="asymptotic",
    reason="between two half-times the next mode still has a share ∝ a power of ε, which the entropy of the ranks "
    "multiplies by a logarithm",
    entry="A10",
)
def staircase(scale: float = 1e-9, seed: int = 42) -> tuple:
    """A10 from Gaussian weights that are neither aligned nor balanced: one mode fires after the other."""
    strengths = np.array([6.0, 3.0, 1.5, 0.75])
    task = LinearTask.from_modes(strengths, inputs=6, outputs=5, seed=seed)
    half = early_half_time(strengths, scale, 2)
    between = np.append(np.sqrt(half[:-1] * half[1:]), 1.5 * half[-1])
    run = simulate(
        task, initial_weights((6, 8, 5), "gaussian", scale, seed), Backprop(), between, rtol=1e-10, atol=1e-20
    )
    return rank_staircase(strengths), effective_rank(run.map)


def _diagonal_flow(
    design: np.ndarray, labels: np.ndarray, scale: float, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flow of ½|X(u² − v²) − y|² from u = v = α: the map w(t), and z(t) = ∫ Xᵀ(Xw − y)."""
    size = design.shape[1]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        u, v = state[:size], state[size : 2 * size]
        slope = design.T @ (design @ (u**2 - v**2) - labels)
        return np.concatenate([-2 * u * slope, 2 * v * slope, slope])

    start = np.concatenate([np.full(2 * size, scale), np.zeros(size)])
    found = solve_ivp(velocity, (0.0, t[-1]), start, method="DOP853", t_eval=t, rtol=1e-12, atol=1e-14 * scale)
    u, v, z = np.split(found.y.T, 3, axis=1)
    return u**2 - v**2, z


def _wide_problem(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four equations for six unknowns."""
    generator = stream(seed, "claim", 10)
    return generator.standard_normal((4, 6)) / 2.0, generator.standard_normal(4)


@claim(
    "diagonal-network",
    title="map of a diagonal network over time against 2α² sinh(−4 ∫Xᵀ(Xw − y)), and its end against the dual problem",
    tolerance=2e-11,
    accuracy="closed form",
    reason="DOP853 at rtol 1e-12 to t = 200; sinh turns absolute errors of the integral into relative ones",
    entry="A10",
)
def diagonal(scale: float = 0.1, seed: int = 43) -> tuple:
    """A10 for w = u² − v²: which of the many solutions is found is decided by α."""
    design, labels = _wide_problem(seed)
    t = np.concatenate([np.linspace(0.0, 10.0, 21), [200.0]])
    w, z = _diagonal_flow(design, labels, scale, t)
    return [diagonal_weights(z, scale), diagonal_end(design, labels, scale)], [w, w[-1]]


@claim(
    "diagonal-network-sparse",
    title="exponent in α with which the end of a diagonal network nears the interpolant of least Σ|w|",
    tolerance=1e-2,
    accuracy="asymptotic",
    reason="two starts a factor of 10 apart; corrections fall with the next power of α",
    entry="A10",
)
def diagonal_sparse(scale: float = 1e-3, seed: int = 43) -> tuple:
    """A10 as α → 0: weights off the support of the sparsest solution vanish as a power of α that is known."""
    design, labels = _wide_problem(seed)
    sparse, exponent = sparse_limit(design, labels)
    ends = [_diagonal_flow(design, labels, start, np.array([0.0, 200.0]))[0][-1] for start in (scale, scale / 10)]
    gaps = [np.abs(end - sparse).max() for end in ends]
    return exponent, np.log10(gaps[0] / gaps[1])


def _learned_time(task: LinearTask, weights: list[np.ndarray], fraction: float, horizon: float) -> float:
    """When |W| first reaches `fraction` of the best map, to the accuracy of the run."""
    goal = fraction * np.linalg.norm(task.target)
    low, high = 0.0, horizon
    # Each pass narrows the bracket by the number of saved times.
    for _ in range(5):
        t = np.linspace(low, high, 65)
        size = np.linalg.norm(simulate(task, weights, Backprop(), t, **TIGHT).map, axis=(1, 2))
        k = int(np.argmax(size >= goal))
        if k == 0:
            raise ValueError(f"fraction is {fraction:g}; the map does not pass it between 0 and the time {horizon:g}")
        low, high = t[k - 1], t[k]
    return 0.5 * (low + high)


def _kernels(task: LinearTask, scale: float, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tangent kernel when `fraction` of the map is learned, and at the end, from weights of size `scale`."""
    weights = initial_weights((task.inputs, 10, 1), "gaussian", scale, seed)
    horizon = (
        3.0
        * np.log(1.0 / scale)
        / np.linalg.norm(task.target @ (np.eye(task.inputs) if task.whitened else task.sigma_x))
    )
    early = _learned_time(task, weights, fraction, horizon)
    slowest = 1.0 if task.whitened else np.linalg.eigvalsh(task.sigma_x)[0]
    run = simulate(
        task, weights, Backprop(), [early, horizon + 30.0 / (slowest * np.linalg.norm(task.target))], **TIGHT
    )
    return tuple(tangent_kernel(run.weights[0][k], run.weights[1][k]) for k in range(2))


@claim(
    "silent-alignment",
    title="exponents in ε: kernel's angle to its end when 1 % is learned (ε), gap of its end to |β|(I + vvᵀ) (ε²)",
    tolerance=5e-3,
    accuracy="asymptotic",
    reason="two starts a factor of 2 apart from the same draw; the next order in ε adds below 1e-2",
    entry="A11",
)
def silent(scale: float = 1e-3, fraction: float = 0.01, seed: int = 44) -> tuple:
    """A11: whitened inputs, one output: the kernel has its final shape before the loss falls."""
    beta = stream(seed, "claim", 11).standard_normal((1, 7))
    final = silent_kernel(beta)

    def gaps(start: float) -> list[float]:
        early, end = _kernels(LinearTask(beta), start, fraction, seed)
        return [angle_degrees(early, final), np.linalg.norm(end - final) / np.linalg.norm(final)]

    return np.array([1.0, 2.0]), closing_order(gaps, scale)


@claim(
    "silent-alignment-fails",
    title="correlated inputs: the early kernel misses the final one by the angle between Σyx and Σyx Σx⁻¹",
    tolerance=2e-3,
    accuracy="asymptotic",
    reason="the map turns by a share of the fraction learned, 1e-3, before the early kernel is read off",
    entry="A11",
)
def silent_fails(scale: float = 1e-5, fraction: float = 1e-3, seed: int = 44) -> tuple:
    """A11, the negative: without whitening alignment stays below 1 however small the start; the end is the same."""
    task = correlated_task(7, 1, seed)
    gradient = task.target @ task.sigma_x
    predicted, simulated = [], []
    for start in (scale, scale / 100):
        early, end = _kernels(task, start, fraction, seed)
        predicted += [early_kernel_cosine(cosine(gradient, task.target), 7), silent_kernel(task.target)]
        simulated += [cosine(early, end), end]
    return predicted, simulated


def _classify(
    depth: int, margins: tuple[float, ...], seed: int
) -> tuple[list[list[np.ndarray]], np.ndarray, np.ndarray]:
    """Weights of a deep linear classifier under logistic loss when its smallest margin passes each of `margins`.

    The flow is followed in the time τ with dτ = Σp dt, p the slopes of the loss: it passes the same points, and in it
    the margin grows steadily where the flow itself takes exponentially long.
    """
    generator = stream(seed, "claim", 14)
    widths = (3, *(5,) * (depth - 1), 1)
    x = generator.standard_normal((12, 3))
    labels = np.sign(x @ np.array([1.0, -0.5, 0.25]))
    signed = (x + 0.4 * labels[:, None] * np.array([1.0, -0.5, 0.25])) * labels[:, None]
    weights = initial_weights(widths, "gaussian", 0.6, seed)
    cuts = np.cumsum([w.size for w in weights])[:-1]

    def unpack(state: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(w.shape) for part, w in zip(np.split(state, cuts), weights, strict=True)]

    def margin(state: np.ndarray) -> np.ndarray:
        network_map = np.eye(3)
        for w in unpack(state):
            network_map = w @ network_map
        return signed @ network_map[0]

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        # Slopes 1/(1 + e^m), scaled by the largest so that they do not underflow at large margins.
        slopes = -np.logaddexp(0.0, margin(state))
        slopes = np.exp(slopes - slopes.max())
        pull = (slopes / slopes.sum()) @ signed
        below, matrices = [np.eye(3)], unpack(state)
        for w in matrices:
            below.append(w @ below[-1])
        above, moved = pull[None, :], []
        carried = np.eye(1)
        for l in range(depth - 1, -1, -1):
            moved.insert(0, carried.T @ above @ below[l].T)
            carried = carried @ matrices[l]
        return np.concatenate([m.ravel() for m in moved])

    state, saved = np.concatenate([w.ravel() for w in weights]), []
    for goal in margins:

        def passed(_: float, y: np.ndarray, goal: float = goal) -> float:
            return float(margin(y).min()) - goal

        passed.terminal, passed.direction = True, 1.0
        found = solve_ivp(velocity, (0.0, 1e9), state, method="LSODA", rtol=1e-9, atol=1e-11, events=passed)
        state = found.y_events[0][0]
        saved.append(unpack(state))
    return saved, signed, labels


@claim(
    "classification-alignment",
    title="deep linear classifier at margins 10² to 10⁴: alignments, rank-one shares near 1 and rising; risk near 0",
    tolerance=5e-2,
    accuracy="asymptotic",
    reason="a trend: imbalance is conserved while weights grow as margin^{1/L}, so gaps close as margin^{−4/L} or so",
    entry="A14",
)
def classification(depth: int = 3, seed: int = 45) -> tuple:
    """A14: top singular vectors of neighbouring layers align, each layer goes to rank one, the risk to zero."""
    saved, signed, _ = _classify(depth, (1e2, 1e3, 1e4), seed)
    qualities, risks = [], []
    for weights in saved:
        decomposed = [np.linalg.svd(w) for w in weights]
        aligned = [abs(decomposed[l + 1][2][0] @ decomposed[l][0][:, 0]) for l in range(depth - 1)]
        shares = [d[1][0] / np.linalg.norm(d[1]) for d in decomposed[:-1]]
        qualities.append([*aligned, *shares])
        network_map = np.linalg.multi_dot(weights[::-1])
        risks.append(float(np.mean(expit(-(signed @ network_map[0])))))
    rising = np.all(np.diff(qualities, axis=0) > 0)
    late = np.array(qualities[-1])
    return [np.ones_like(late), 1.0, 0.0], [late, float(rising), risks[-1]]


@claim(
    "classification-max-margin",
    title="exponent with which the direction of the map nears the maximal margin as the margin grows, against −1",
    tolerance=5e-2,
    accuracy="asymptotic",
    reason="margins 10³ and 10⁴; rank-one gaps of the layers close faster and add the rest",
    entry="A14",
)
def classification_margin(depth: int = 3, seed: int = 45) -> tuple:
    """A14: the direction of the map goes to that of the largest margin, as slowly as one over the margin."""
    saved, signed, _ = _classify(depth, (1e3, 1e4), seed)
    found = minimize(
        lambda w: 0.5 * w @ w,
        signed.mean(0) * 10,
        jac=lambda w: w,
        constraints={"type": "ineq", "fun": lambda w: signed @ w - 1.0, "jac": lambda _: signed},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    best = found.x / np.linalg.norm(found.x)
    gaps = [np.linalg.norm(m / np.linalg.norm(m) - best) for m in (np.linalg.multi_dot(w[::-1])[0] for w in saved)]
    return -1.0, np.log10(gaps[1] / gaps[0])
