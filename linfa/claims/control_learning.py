"""Claims about learning by feedback control: error, feedback weights, cost (D5 to D7)."""

from collections.abc import Callable

import numpy as np

from linfa._random import stream
from linfa.claims._settings import ROUNDING, closing_order
from linfa.claims.control import SMALL, WIDTHS, network, tilted
from linfa.claims.register import claim
from linfa.neighbours import control
from linfa.theory.conservation import decayed

TANH = {"nonlinearity": "tanh"}


def _unflattened(weights: list[np.ndarray]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Weights of these shapes from one vector, as `control.flattened` makes it."""
    ends = np.cumsum([w.size for w in weights])[:-1]
    return lambda flat: [part.reshape(w.shape) for part, w in zip(np.split(flat, ends), weights, strict=True)]


@claim(
    "control-error-flow",
    title="error of one sample under the flow of normalised matched control against e^{−t}δ(0), four networks",
    tolerance=1e-9,
    accuracy="closed form",
    reason="integrated by SciPy at rtol 1e-11, atol 1e-13 over two units of time",
    entry="D5",
)
def error_flow(horizon: float = 2.0, seed: int = 91) -> tuple:
    """D5: every network, whatever its weights and depth, learns along the same straight line in output space."""
    from scipy.integrate import solve_ivp

    t = np.linspace(0.0, horizon, 6)
    predicted, simulated = [], []
    for key, widths in enumerate((SMALL, SMALL, WIDTHS, (6, 4))):
        weights, x, label = network(widths, seed + key)
        network_of = _unflattened(weights)

        def velocity(
            _: float, flat: np.ndarray, of: Callable = network_of, x: np.ndarray = x, label: np.ndarray = label
        ) -> np.ndarray:
            now = of(flat)
            state = control.steady_state(now, control.jacobian(now, x).T, x, label, 0.0)
            return control.flattened(control.control_update(state, normalise=True, below="free"))

        start = control.flattened(weights)
        done = solve_ivp(velocity, (0.0, horizon), start, "DOP853", t_eval=t, rtol=1e-11, atol=1e-13)
        first = label - control.feed_forward(weights, x)[-1]
        predicted.append(decayed(first, 1.0, t[:, None]))
        simulated.append(np.array([label - control.feed_forward(network_of(flat), x)[-1] for flat in done.y.T]))
    return predicted, simulated


@claim(
    "control-error-descent",
    title="late factor by which the error of one sample shrinks in an update of strong control against 1 − η",
    tolerance=1e-5,
    accuracy="asymptotic",
    reason="the error has fallen to 1e-7 when the factor is read: what is of second order in it is 1e-6 at most",
    entry="D5",
)
def error_descent(rate: float = 0.1, seed: int = 92) -> tuple:
    """D5 in descent, linear and tanh: whatever the weights, the factor ends at 1 − η, exactly."""
    # Far enough for the second order to be gone, and far above rounding.
    updates = int(np.ceil(np.log(1e-7) / np.log(1.0 - rate)))
    factors = []
    for key, options in enumerate(({}, TANH)):
        weights, x, label = network(SMALL, seed + key)
        run = control.learn(
            weights, x[None], label[None], updates=updates, learning_rate=rate, normalise=True, **options
        )
        factors.append(np.sqrt(run.loss[-1] / run.loss[-2]))
    return np.full(2, 1.0 - rate), np.array(factors)


@claim(
    "control-one-update",
    title="free activities after one normalised update at rate 1 against those under control before it, tanh, any Q",
    tolerance=1e-12,
    accuracy="exact",
    reason=ROUNDING,
    entry="D5",
)
def one_update(tilt: float = 0.5, alpha: float = 0.1, seed: int = 93) -> tuple:
    """D5: each layer learns to do by itself what it was pushed to do, so the controlled state becomes the free one."""
    weights, x, label = network(WIDTHS, seed)
    q = tilted(control.jacobian(weights, x, **TANH), tilt, seed)
    state = control.steady_state(weights, q, x, label, alpha, **TANH)
    updates = control.control_update(state, normalise=True)
    learned = [w + change for w, change in zip(weights, updates, strict=True)]
    return state.activity, control.steady_state(learned, q, x, label, alpha, **TANH).free_activity


@claim(
    "control-noise-moments",
    title="E[ε uᵀ] and E[u uᵀ] of simulated control under coloured noise against the closed forms",
    tolerance=0.06,
    accuracy="statistical",
    reason="8 runs of 2e4 time units (5e3): standard error of the entries 1 % (2 %) of the largest one",
    entry="D6",
    quick={"duration": 5000.0},
)
def noise_moments(duration: float = 20000.0, tilt: float = 0.8, seed: int = 94) -> tuple:
    """D6: what control has to say about the noise; its correlation with each neuron carries Jᵀ."""
    weights, x, _ = network(SMALL, seed)
    jacobian = control.jacobian(weights, x)
    q, constants = tilted(jacobian, tilt, seed), {"sigma": 0.5, "tau_u": 2.0, "tau_e": 1.0}
    runs = [control.measure_moments(jacobian, q, 0.1, duration, seed=seed + k, **constants) for k in range(8)]
    cross, covariance = control.noise_moments(jacobian, q, 0.1, **constants)
    return [cross, covariance], [np.mean([run[0] for run in runs], 0), np.mean([run[1] for run in runs], 0)]


@claim(
    "control-noise-fast-network",
    title="exponent with which the exact moments of the whole loop near those of a fast network as τ_v → 0",
    tolerance=0.05,
    accuracy="asymptotic",
    reason="τ_v/τ_u is 1e-3 and 5e-4; the next power adds less than 1 %",
    entry="D6",
)
def noise_fast_network(ratio: float = 1e-3, seed: int = 95) -> tuple:
    """D6: the moments of theory are those of the dynamics, potentials included, up to O(τ_v)."""
    weights, x, _ = network(SMALL, seed)
    jacobian = control.jacobian(weights, x)
    q = tilted(jacobian, 0.8, seed)
    limit = control.noise_moments(jacobian, q, 0.1)

    def gaps(tau_v: float) -> list[float]:
        found = control.full_loop_moments(control.loop_matrix(weights, q, 0.1, tau_v=tau_v), len(q), tau_v=tau_v)
        return [np.abs(a - b).max() for a, b in zip(found, limit, strict=True)]

    return np.ones(2), closing_order(gaps, ratio)


@claim(
    "control-feedback-learning",
    title="Q that learns from noise, mean of 24 runs, against the averaged flow",
    tolerance=0.05,
    accuracy="statistical",
    reason="entries of Q wander by about 6 % of the largest, their mean over the runs by 1.5 %",
    entry="D6",
    quick={"horizon": 3.0},
)
def feedback_learning(rate: float = 0.005, horizon: float = 6.0, runs: int = 24, seed: int = 96) -> tuple:
    """D6: the rule of the papers, noise and all, against its mean."""
    weights, x, _ = network(SMALL, seed)
    jacobian = control.jacobian(weights, x)
    q, t = tilted(jacobian, 0.8, seed), np.linspace(0.0, horizon, 4)
    constants = {"tau_u": 2.0, "tau_e": 1.0}
    flow = control.feedback_flow(jacobian, q, t, 0.1, 0.02, **constants)
    found = [
        control.learn_feedback(jacobian, q, t, 0.1, 0.02, rate=rate, seed=seed + k, **constants) for k in range(runs)
    ]
    return flow.q, np.mean([run.q for run in found], 0)


@claim(
    "control-row-space",
    title="averaged learning of Q, mode by mode of JJᵀ: time to reach m = gk + α, and e^{−(m − m₀)/α} left outside",
    tolerance=1e-7,
    accuracy="closed form",
    reason="the flow is integrated at rtol 1e-10; its last digits are those of the smallest parts outside",
    entry="D6",
)
def row_space(alpha: float = 0.2, seed: int = 97) -> tuple:
    """D6: how fast Q reaches the row space of J. The leak drives it; log Q⊥ + m/α is conserved."""
    weights, x, _ = network(SMALL, seed)
    jacobian = control.jacobian(weights, x)
    left, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    noise = stream(seed, "claim", 93).standard_normal(jacobian.T.shape)
    outside = noise - rows.T @ (rows @ noise)
    # Inside the row space Q(0) is k Jᵀ, which commutes with JJᵀ; outside it is anything.
    start, t = 0.3, np.array([0.5, 2.0, 6.0])
    run = control.feedback_flow(jacobian, start * jacobian.T + outside, t, alpha, tau_u=2.0, tau_e=0.7)
    first = start * values**2 + alpha
    loops = np.einsum("jk,jn,tno,ok->tk", left, jacobian, run.q, left, optimize=True) + alpha
    times = control.mode_loop_time(loops, first, values**2, alpha, 2.0, 0.7)
    left_over = (run.q - rows.T @ (rows @ run.q)) @ left
    parts = control.outside_part(loops, first, alpha)[:, None, :] * (outside @ left)
    return [np.repeat(t[:, None], len(values), 1), parts], [times, left_over]


@claim(
    "control-feedback-rest",
    title="end of averaged learning of Q with decay: Jᵀ K, β k m(τ_u + τ_e m) = α τ_e, all in the row space of J",
    tolerance=1e-7,
    accuracy="closed form",
    reason="the flow is integrated at rtol 1e-10 for twenty times 1/β",
    entry="D6",
)
def feedback_rest(alpha: float = 0.2, beta: float = 0.05, tilt: float = 0.8, seed: int = 98) -> tuple:
    """D6: condition 2 is where learning ends, from any stable start."""
    weights, x, _ = network(SMALL, seed)
    jacobian = control.jacobian(weights, x)
    run = control.feedback_flow(jacobian, tilted(jacobian, tilt, seed), [20.0 / beta], alpha, beta, tau_u=2.0)
    rest = control.feedback_fixed_point(jacobian, alpha, beta, tau_u=2.0)
    return [rest, 1.0], [run.q[-1], run.row_space_part[-1]]


def _cost_slopes(state: control.SteadyState, weights: list, alpha: float, k_p: float, seed: int) -> tuple:
    """Slopes of the cost along random directions, one for each layer: from the formula, and from solving anew."""
    predicted, measured = [], []
    for layer, (gradient, w) in enumerate(zip(control.cost_gradient(state), weights, strict=True)):
        direction = stream(seed, "claim", 94, layer).standard_normal(w.shape)

        def cost(step: float, layer: int = layer, direction: np.ndarray = direction) -> float:
            moved = [v + step * direction if k == layer else v for k, v in enumerate(weights)]
            return control.steady_state(moved, state.q, state.x, state.target, alpha, k_p, **TANH).cost

        h = 1e-3
        # Differences of sixth order.
        slope = 45 * (cost(h) - cost(-h)) - 9 * (cost(2 * h) - cost(-2 * h)) + cost(3 * h) - cost(-3 * h)
        predicted.append(float((gradient * direction).sum()))
        measured.append(slope / (60 * h))
    return np.array(predicted), np.array(measured)


@claim(
    "control-cost-gradient",
    title="gradient of the control cost of a tanh network against differences of states solved anew, any Q, any leak",
    tolerance=1e-8,
    accuracy="exact",
    reason="differences of sixth order at steps of 1e-3: rounding over the step is 1e-12, what they leave out 1e-10",
    entry="D7",
)
def cost_gradient(alpha: float = 0.05, tilt: float = 0.5, seed: int = 99) -> tuple:
    """D7: −[uᵀQᵀQ(JQ + aI)⁻¹J]ᵀrᵀ with J and r under control, matched and tilted Q, with leak and proportional gain."""
    weights, x, label = network(SMALL, seed)
    predicted, measured = [], []
    q = tilted(control.jacobian(weights, x, **TANH), tilt, seed)
    matched = control.aligned_steady_state(weights, x, label, **TANH).q
    for feedback, leak, k_p in ((matched, 0.0, 0.0), (q, 0.0, 0.0), (q, alpha, 0.0), (q, alpha, 1.5)):
        state = control.steady_state(weights, feedback, x, label, leak, k_p, **TANH)
        both = _cost_slopes(state, weights, leak, k_p, seed)
        predicted.append(both[0])
        measured.append(both[1])
    return predicted, measured


@claim(
    "control-local-rule",
    title="the local rule against minus the exact gradient of the cost where Col(Q) = Row(J), and where it is not",
    tolerance=1e-11,
    accuracy="exact",
    reason="Q is matched to 1e-14: rounding; where Q is tilted the difference is counted as a yes or no",
    entry="D7",
)
def local_rule(tilt: float = 0.5, seed: int = 100) -> tuple:
    """D7: each layer's own postsynaptic push times its own input is steepest descent of the total effort."""
    weights, x, label = network(SMALL, seed)
    state = control.aligned_steady_state(weights, x, label, **TANH)
    mixing = np.eye(3) + 0.2 * stream(seed, "claim", 95).standard_normal((3, 3))
    # A mixture of the columns of a matched Q drives the same state.
    mixed = control.steady_state(weights, state.q @ mixing, x, label, 0.0, **TANH)
    askew = control.steady_state(weights, tilted(state.jacobian, tilt, seed), x, label, 0.0, **TANH)
    predicted = [-control.flattened(control.cost_gradient(s)) for s in (state, mixed, askew)]
    local = [control.flattened(control.control_update(s)) for s in (state, mixed, askew)]
    apart = np.linalg.norm(predicted[2] - local[2]) > 0.05 * np.linalg.norm(local[2])
    return [predicted[0], predicted[1], 1.0], [local[0], local[1], float(apart)]


@claim(
    "control-cost-descent",
    title="fall of the mean cost in one update of strong control over η|gradient|², 12 samples, tanh, matched feedback",
    tolerance=0.05,
    accuracy="asymptotic",
    reason="the ratio is 1 at η → 0; at η = 1e-3 curvature takes about 1 % of it",
    entry="D7",
)
def cost_descent(rate: float = 1e-3, samples: int = 12, seed: int = 101) -> tuple:
    """D7 over a batch: with feedback matched to every state, learning descends the cheapest control's cost."""
    weights, _, _ = network(SMALL, seed)
    generator = stream(seed, "claim", 96)
    x = generator.standard_normal((samples, SMALL[0]))
    teacher = network(SMALL, seed + 1)[0]
    labels = np.array([control.feed_forward(teacher, sample, **TANH)[-1] for sample in x])
    run = control.learn(weights, x, labels, updates=1, learning_rate=rate, **TANH)
    slope = (control.flattened(run.weights) - control.flattened(weights)) / rate
    return 1.0, (run.cost[0] - run.cost[1]) / (rate * float(slope @ slope))
