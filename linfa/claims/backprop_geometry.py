"""Claims about backprop's geometry: unbalanced modes, tangent kernel, curvature, end-to-end flow (A3, A6–A9)."""

import itertools

import numpy as np

from linfa._algebra import transposed
from linfa._random import orthonormal_columns, stream
from linfa.claims._settings import INTEGRATOR, ROUNDING, TIGHT, closing_order, correlated_task
from linfa.claims.register import claim
from linfa.feedback import Backprop
from linfa.networks import initial_weights
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.backprop import logistic_strength
from linfa.theory.end_to_end import (
    balanced_roots,
    end_to_end_velocity,
    minimum_sharpness,
    pair_curvature,
    single_output_velocity,
    singular_value_velocity,
)
from linfa.theory.tangent_kernel import error_velocity, tangent_kernel, tangent_spectrum
from linfa.theory.unbalanced import lazy_strength, unbalanced_amplitudes, unbalanced_strength
from linfa.trajectory import Trajectory

STRENGTHS = np.array([4.0, 3.0, 2.0, 1.0])


def _unbalanced(lower: np.ndarray, upper: np.ndarray, t: np.ndarray, seed: int) -> tuple[Trajectory, np.ndarray]:
    """A full network whose modes start with amplitudes `lower` in W1 and `upper` in W2; also its hidden frame."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    frame = orthonormal_columns(stream(seed, "claim", 3), 7, len(STRENGTHS))
    weights = [(frame * lower) @ task.right.T, (task.left * upper) @ frame.T]
    return simulate(task, weights, Backprop(), t, **TIGHT), frame


@claim(
    "backprop-unbalanced",
    title="strengths, and both layers' amplitudes, of aligned modes that start unbalanced, against the closed curve",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A3",
)
def unbalanced(scale: float = 0.3, ratio: float = 4.0, seed: int = 6) -> tuple:
    """A3 in a full network: λ of both signs, one mode whose W1 starts from zero, and one balanced."""
    lower = scale * np.array([1.0, ratio, 0.0, 1.0])
    upper = scale * np.array([ratio, 1.0, 1.0, 1.0])
    t = np.linspace(0.0, 6.0, 31)
    run, frame = _unbalanced(lower, upper, t, seed)
    balance = upper**2 - lower**2
    strengths = unbalanced_strength(t[:, None], STRENGTHS, lower * upper, balance)
    w1, w2 = run.weights
    amplitudes = [
        np.einsum("hk,thi,ik->tk", frame, w1, run.task.right),
        np.einsum("ok,toh,hk->tk", run.task.left, w2, frame),
    ]
    return [strengths, *unbalanced_amplitudes(strengths, balance)], [run.mode_strengths, *amplitudes]


@claim(
    "backprop-rich-and-lazy",
    title="exponents with which simulated modes reach the logistic curve (λ²) and the exponential (λ^−2)",
    tolerance=5e-3,
    accuracy="asymptotic",
    reason="two scales a factor of 2 apart in λ, at distances from the limit where the next power adds below 2e-3",
    entry="A3",
)
def rich_and_lazy(small: float = 0.01, large: float = 200.0, seed: int = 6) -> tuple:
    """A3: λ dials from rich (logistic) to lazy (exponential at rate |λ|); both gaps close quadratically."""
    t, start, modes = np.linspace(0.2, 3.0, 15), 0.2, len(STRENGTHS)

    def rich(balance: float) -> float:
        a, b = unbalanced_amplitudes(start, balance)
        run, _ = _unbalanced(np.full(modes, a), np.full(modes, b), t, seed)
        return np.abs(run.mode_strengths - logistic_strength(t[:, None], STRENGTHS, start)).max()

    def lazy(balance: float) -> float:
        # Time is measured in units of 1/λ, in which the lazy curve stands still.
        a, b = unbalanced_amplitudes(0.0, balance)
        run, _ = _unbalanced(np.full(modes, a), np.full(modes, b), t / balance, seed)
        return np.abs(run.mode_strengths - lazy_strength(t[:, None] / balance, STRENGTHS, 0.0, balance)).max()

    return np.array([2.0, -2.0]), np.array([closing_order(rich, 2 * small), closing_order(lazy, 2 * large)])


def _map_velocity(weights: list[np.ndarray], pull: np.ndarray, rate: float, order: int) -> np.ndarray:
    """W' at these weights under the error E = `pull`, from updates of the core; exact to rounding.

    One update at rate η moves the map by a polynomial in η of degree L. The update for −E is the same polynomial at
    −η, so differences are odd; for L > 2 a second rate removes the cubic (`order` 3).
    """
    network_map = weights[0]
    for w in weights[1:]:
        network_map = w @ network_map

    def slope(eta: float) -> np.ndarray:
        ends = []
        for sign in (1.0, -1.0):
            task = LinearTask(network_map + sign * pull)
            ends.append(simulate(task, weights, Backprop(), [1], learning_rate=eta).map[0])
        return (ends[0] - ends[1]) / (2.0 * eta)

    if order == 1:
        return slope(rate)
    return (4.0 * slope(rate) - slope(2.0 * rate)) / 3.0


@claim(
    "tangent-kernel-operator",
    title="decay operator of the error, read off the core entry by entry, and its spectrum, correlated inputs",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="A6",
)
def kernel_operator(scale: float = 0.6, seed: int = 7) -> tuple:
    """A6: E ↦ −(W2W2ᵀE + E W1ᵀW1)Σx and the tangent kernel, one entry of E at a time; whitened and correlated."""
    outputs, inputs, hidden = 3, 4, 5
    weights = initial_weights((inputs, hidden, outputs), "gaussian", scale, seed)
    task = correlated_task(inputs, outputs, seed)
    predicted, simulated = [], []
    for sigma in (np.eye(inputs), task.sigma_x):
        measured, expected = [], []
        for k in range(outputs * inputs):
            pull = np.zeros((outputs, inputs))
            pull.flat[k] = 1.0
            # E decays at the velocity of the map that it drives, seen through Σx.
            measured.append((_map_velocity(weights, pull, 1.0, 1) @ sigma).ravel())
            expected.append(-error_velocity(pull, *weights, sigma).ravel())
        operator = np.array(measured).T
        predicted += [np.array(expected).T, tangent_spectrum(*weights, sigma)]
        simulated += [operator, np.sort(np.linalg.eigvals(operator).real)]
    predicted.append(tangent_kernel(*weights))
    simulated.append(simulated[0])
    return predicted, simulated


@claim(
    "backprop-error-decay",
    title="error correlation along a flow with correlated inputs against the integral of −(W2W2ᵀE + E W1ᵀW1)Σx",
    tolerance=1e-11,
    accuracy="closed form",
    reason="Gauss–Legendre at 40 nodes on a smooth stretch of the flow; " + INTEGRATOR,
    entry="A6",
)
def error_decay(scale: float = 0.5, span: float = 1.0, seed: int = 7) -> tuple:
    """A6 in time: ∫ E' dt over a stretch of the flow is the change of E."""
    task = correlated_task(5, 4, seed)
    run, weights_of_time = _stretch(task, initial_weights((5, 6, 4), "gaussian", scale, seed), span)
    lower, upper = (w[1:-1] for w in run.weights)
    error = run.error_correlation
    velocity = error_velocity(error[1:-1], lower, upper, task.sigma_x)
    return np.tensordot(weights_of_time, velocity, 1), error[-1] - error[0]


def _stretch(task: LinearTask, weights: list[np.ndarray], span: float) -> tuple[Trajectory, np.ndarray]:
    """A flow saved at both ends of [0, span] and at the nodes of a quadrature between, with the nodes' weights."""
    nodes, node_weights = np.polynomial.legendre.leggauss(40)
    times = np.concatenate([[0.0], 0.5 * span * (nodes + 1.0), [span]])
    return simulate(task, weights, Backprop(), times, **TIGHT), 0.5 * span * node_weights


def _random_balanced(widths: tuple[int, ...], strengths: np.ndarray, seed: int) -> list[np.ndarray]:
    """Balanced factors of a random map with the given singular values."""
    own = LinearTask.from_modes(strengths, inputs=widths[0], outputs=widths[-1], seed=seed)
    return initial_weights(widths, "aligned", own.strengths ** (1 / (len(widths) - 1)), seed, task=own)


@claim(
    "end-to-end-velocity",
    title="velocity of the map of balanced networks, depth 2 to 4, against −Σ (WWᵀ)^{(L−j)/L} G (WᵀW)^{(j−1)/L}",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="A9",
)
def end_to_end(seed: int = 8) -> tuple:
    """A9 at one instant, for a gradient G that has nothing to do with the map; and for a single output."""
    generator = stream(seed, "claim", 8)
    predicted, simulated = [], []
    for depth, outputs in itertools.product((2, 3, 4), (4, 1)):
        widths = (5, *(6,) * (depth - 1), outputs)
        weights = _random_balanced(widths, STRENGTHS[: min(outputs, 3)], seed)
        gradient = generator.standard_normal((outputs, 5))
        network_map = weights[0]
        for w in weights[1:]:
            network_map = w @ network_map
        predicted.append(end_to_end_velocity(*balanced_roots(network_map, depth), gradient, depth))
        simulated.append(_map_velocity(weights, -gradient, 0.05, 1 if depth == 2 else 3))
        if outputs == 1:
            predicted.append(single_output_velocity(network_map, gradient, depth))
            simulated.append(simulated[-1])
    return predicted, simulated


@claim(
    "singular-value-dynamics",
    title="change of the map's singular values along a flow against the integral of −L σ^{2−2/L} uᵀGv",
    tolerance=1e-10,
    accuracy="closed form",
    reason="Gauss–Legendre at 40 nodes on a smooth stretch of the flow, singular vectors of values 0.1 apart or more; "
    + INTEGRATOR,
    entry="A9",
)
def singular_values(span: float = 0.2, seed: int = 9) -> tuple:
    """A9 in time, depth 2 to 4: the singular vectors turn as well, since the task has other modes than the start."""
    task = correlated_task(5, 4, seed)
    predicted, simulated = [], []
    for depth in (2, 3, 4):
        weights = _random_balanced((5, *(6,) * (depth - 1), 4), np.array([1.8, 1.2, 0.7]), seed)
        run, node_weights = _stretch(task, weights, span)
        left, values, right = np.linalg.svd(run.map)
        slope = -np.einsum("tok,toi,tki->tk", left[:, :, :3], run.error_correlation, right[:, :3])
        velocity = singular_value_velocity(values[:, :3], slope, depth)
        predicted.append(node_weights @ velocity[1:-1])
        simulated.append(values[-1, :3] - values[0, :3])
    return predicted, simulated


@claim(
    "backprop-curvature",
    title="all non-zero Hessian eigenvalues at balanced minima, depth 2 to 4, against Σ s_j^{2(L−l)/L} s_k^{2(l−1)/L}",
    tolerance=1e-13,
    accuracy="exact",
    reason="odd differences of the core's updates at two rates are exact up to depth 4: " + ROUNDING,
    entry="A7",
)
def curvature(seed: int = 10) -> tuple:
    """A7: the operator E ↦ −E' at the minimum has the Hessian's non-zero spectrum; its top is L s₁^{2−2/L}."""
    outputs, inputs = 3, 4
    strengths = STRENGTHS[:2]
    predicted, simulated = [], []
    for depth in (2, 3, 4):
        weights = _random_balanced((inputs, *(5,) * (depth - 1), outputs), strengths, seed)
        operator = np.empty((outputs * inputs, outputs * inputs))
        for k in range(outputs * inputs):
            pull = np.zeros((outputs, inputs))
            pull.flat[k] = 1.0
            operator[:, k] = _map_velocity(weights, pull, 0.05, 1 if depth == 2 else 3).ravel()
        left = np.concatenate([strengths, np.zeros(outputs - 2)])
        right = np.concatenate([strengths, np.zeros(inputs - 2)])
        predicted.append(np.sort(pair_curvature(left[:, None], right[None, :], depth).ravel()))
        simulated.append(np.linalg.eigvalsh((operator + operator.T) / 2))
        if depth == 2:
            predicted.append(minimum_sharpness(*(np.linalg.norm(w, 2) for w in weights)))
            simulated.append(simulated[-1][-1])
    return predicted, simulated


@claim(
    "backprop-unbalanced-sharpness",
    title="largest curvature at random, unbalanced two-layer minima against ‖W1‖₂² + ‖W2‖₂², never below 2 s₁",
    tolerance=4e-14,
    accuracy="exact",
    reason=ROUNDING,
    entry="A7",
)
def unbalanced_sharpness(draws: int = 5, seed: int = 11) -> tuple:
    """A7: any weights are a minimum for the map they make; balance of the norms makes it flattest."""
    predicted, simulated, below = [], [], 0
    for draw in range(draws):
        weights = initial_weights((4, 5, 3), "gaussian", 0.7, seed + draw)
        columns = []
        for k in range(12):
            pull = np.zeros((3, 4))
            pull.flat[k] = 1.0
            columns.append(_map_velocity(weights, pull, 1.0, 1).ravel())
        sharpness = np.linalg.eigvalsh(np.array(columns)).max()
        predicted.append(minimum_sharpness(*(np.linalg.norm(w, 2) for w in weights)))
        simulated.append(sharpness)
        below += int(sharpness < 2 * np.linalg.norm(weights[1] @ weights[0], 2))
    return [np.array(predicted), 0.0], [np.array(simulated), float(below)]


@claim(
    "backprop-decay-logistic",
    title="balanced modes under weight decay against the logistic curve of strength s − wd, above and below threshold",
    tolerance=1e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="A8",
)
def decayed_logistic(decay: float = 1.4, scale: float = 0.4, seed: int = 12) -> tuple:
    """A8 in time: u' = 2u(s − wd − u); a mode weaker than the decay fades away."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    weights = initial_weights((6, 7, 5), "aligned", scale, seed, task=task)
    t = np.linspace(0.0, 6.0, 31)
    run = simulate(task, weights, Backprop(), t, weight_decay=decay, **TIGHT)
    return logistic_strength(t[:, None], task.strengths - decay, scale**2), run.mode_strengths


@claim(
    "backprop-decay-balances",
    title="end of backprop with weight decay: ½‖W − T‖² + wd ‖W‖_* and balanced layers",
    tolerance=2e-14,
    accuracy="closed form",
    reason="by t = 50 every mode is within e^{-50} of its end, and the identity is exact there: rounding",
    entry="A8",
)
def decay_balances(decay: float = 0.5, scale: float = 0.3, seed: int = 12) -> tuple:
    """A8: at the end (wd/2)(‖W1‖² + ‖W2‖²) has become wd times the nuclear norm of the map, and the layers balance."""
    task = LinearTask.from_modes(STRENGTHS, inputs=6, outputs=5, seed=seed)
    run = simulate(
        task, initial_weights((6, 7, 5), "gaussian", scale, seed), Backprop(), [50.0], weight_decay=decay, **TIGHT
    )
    lower, upper = (w[-1] for w in run.weights)
    penalty = decay / 2 * (np.sum(lower**2) + np.sum(upper**2))
    nuclear = np.linalg.svd(run.map[-1], compute_uv=False).sum()
    return [decay * nuclear, lower @ lower.T], [penalty, transposed(upper) @ upper]
