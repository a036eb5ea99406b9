"""Claims about deep feedback control: steady states, Gauss–Newton updates, stability (D1 to D5)."""

import itertools
from functools import partial

import numpy as np

from linfa._random import stream
from linfa.claims._settings import ROUNDING, closing_order
from linfa.claims.register import claim
from linfa.neighbours import control
from linfa.networks import initial_weights

WIDTHS = (8, 12, 10, 4)
SMALL = (5, 7, 6, 3)
# Slow enough for every loop below to be stable, with and without proportional control.
SLOW = 20.0


def network(widths: tuple[int, ...], seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights of variance 1/fan-in, an input and a label."""
    weights = [w / np.sqrt(w.shape[1]) for w in initial_weights(widths, "gaussian", 1.0, seed)]
    generator = stream(seed, "claim", 90)
    return weights, generator.standard_normal(widths[0]), generator.standard_normal(widths[-1])


def tilted(jacobian: np.ndarray, size: float, seed: int) -> np.ndarray:
    """Feedback Jᵀ with noise on it: no longer in the row space of J, but near enough for a stable loop."""
    noise = stream(seed, "claim", 91).standard_normal(jacobian.T.shape)
    return jacobian.T + size * np.linalg.norm(jacobian) / np.linalg.norm(noise) * noise


def settled(weights: list, q: np.ndarray, x: np.ndarray, target: np.ndarray, alpha: float, **options: object) -> tuple:
    """u and e of a simulated network that has come to rest."""
    matrix = control.loop_matrix(
        weights, q, alpha, options.get("k_p", 0.0), tau_u=SLOW, leak=options.get("leak", "integral")
    )
    # After 40 times the slowest time constant what is left is e^{-40}, below rounding.
    run = control.simulate(weights, q, x, target, alpha, [-40.0 / control.growth_rate(matrix)], tau_u=SLOW, **options)
    return run.control[-1], run.error[-1]


@claim(
    "control-steady-state",
    title="control and error of a network that has come to rest against (JQ + aI)⁻¹δ and a u, a = α/(1 + αk_p)",
    tolerance=1e-10,
    accuracy="exact",
    reason="Euler's method has the fixed point of the equation: rounding of the output, over errors of 1e-3 of it",
    entry="D1",
    quick={"width": 6},
)
def at_rest(width: int = 12, tilt: float = 0.5, seed: int = 80) -> tuple:
    """D1 in a linear network: three proportional gains, two leaks, matched and tilted feedback."""
    weights, x, label = network((8, width, width, 4), seed)
    jacobian = control.jacobian(weights, x)
    predicted, simulated = [], []
    for q, k_p, alpha in itertools.product((jacobian.T, tilted(jacobian, tilt, seed)), (0.0, 1.0, 1.5), (0.1, 0.001)):
        state = control.steady_state(weights, q, x, label, alpha, k_p)
        predicted += [state.control, control.effective_leak(alpha, k_p) * state.control]
        simulated += settled(weights, q, x, label, alpha, k_p=k_p)
    return predicted, simulated


@claim(
    "control-leaky-control",
    title="the same where the leak acts on the whole control and not on its integral alone: a = α",
    tolerance=1e-11,
    accuracy="exact",
    reason="as for the leaky integral: rounding of the output, over errors of a hundredth of it",
    entry="D1",
)
def leaky_control(k_p: float = 1.5, alpha: float = 0.1, seed: int = 81) -> tuple:
    """D1: a variant in use, whose proportional part buys no accuracy."""
    weights, x, label = network(SMALL, seed)
    q = control.jacobian(weights, x).T
    state = control.steady_state(weights, q, x, label, alpha, k_p, leak="control")
    found = settled(weights, q, x, label, alpha, k_p=k_p, leak="control")
    return [state.control, alpha * state.control], list(found)


@claim(
    "control-weak-nudge",
    title="exponent with which a simulated tanh network nears linear control as the nudge λ → 0",
    tolerance=0.05,
    accuracy="asymptotic",
    reason="λ is 0.01 and 0.005; the next power of λ adds about 1 % to the exponent",
    entry="D1",
)
def weak_nudge(nudge: float = 0.01, alpha: float = 0.05, seed: int = 82) -> tuple:
    """D1 beyond linear networks: the relative error of (JQ + aI)⁻¹δ is of first order in the nudge."""
    weights, x, label = network(SMALL, seed)
    options = {"nonlinearity": "tanh"}
    jacobian = control.jacobian(weights, x, **options)
    free = control.feed_forward(weights, x, **options)[-1]

    def gap(size: float) -> float:
        error = size * (label - free)
        linear = np.linalg.solve(jacobian @ jacobian.T + alpha * np.eye(len(error)), error)
        found = settled(weights, jacobian.T, x, free + error, alpha, **options)[0]
        return np.linalg.norm(found - linear) / np.linalg.norm(linear)

    return 1.0, closing_order(gap, nudge)


@claim(
    "control-gauss-newton",
    title="push Q u of simulated control with Q = Jᵀ, mode by mode of J, against c s/(s² + α); its distance from J⁺δ",
    tolerance=1e-9,
    accuracy="exact",
    reason="rounding of runs that have come to rest, over the distance from J⁺δ, which falls to 1e-4 of it",
    entry="D2",
    quick={"decades": 2},
)
def gauss_newton(decades: int = 4, seed: int = 83) -> tuple:
    """D2: a leak damps Gauss–Newton as Levenberg and Marquardt do, by a/(s² + a) along every mode of J."""
    weights, x, label = network(WIDTHS, seed)
    jacobian = control.jacobian(weights, x)
    left, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    error = label - control.feed_forward(weights, x)[-1]
    exact = control.gauss_newton_correction(jacobian, error)
    parts = left.T @ error
    predicted, simulated = [], []
    for alpha in 10.0 ** -np.arange(decades + 1):
        push = jacobian.T @ settled(weights, jacobian.T, x, label, alpha)[0]
        lacking = control.damping_error(values, alpha) * parts / values
        gap = np.linalg.norm(push - exact)
        # No mode lacks more than the weakest: nothing is above this bound.
        above = gap - control.damping_error(values[-1], alpha) * np.linalg.norm(exact)
        predicted += [control.damped_gain(values, alpha) * parts, np.linalg.norm(lacking), 0.0]
        simulated += [rows @ push, gap, max(above, 0.0)]
    return predicted, simulated


@claim(
    "control-any-feedback",
    title="without leak any stable Q brings the output to its target: J Q u = δ, and P_J Q u = J⁺δ is all it needs",
    tolerance=1e-13,
    accuracy="exact",
    reason="rounding of a run that has come to rest",
    entry="D2",
)
def any_feedback(tilt: float = 0.7, seed: int = 84) -> tuple:
    """D2: what Q adds outside the row space of J is effort without effect."""
    weights, x, label = network(WIDTHS, seed)
    jacobian = control.jacobian(weights, x)
    q = tilted(jacobian, tilt, seed)
    error = label - control.feed_forward(weights, x)[-1]
    push = q @ settled(weights, q, x, label, 0.0)[0]
    shortest = control.gauss_newton_correction(jacobian, error)
    wasted = push - shortest
    # Pythagoras: the waste is orthogonal to what is needed.
    effort = np.sqrt(shortest @ shortest + wasted @ wasted)
    return [error, shortest, effort], [
        jacobian @ push,
        np.linalg.pinv(jacobian) @ (jacobian @ push),
        np.linalg.norm(push),
    ]


def _responses(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """∂r_L/∂W of a linear network, (o, all weights): the output is linear in every single weight."""
    columns = []
    for layer, w in enumerate(weights):
        for k in range(w.size):
            ends = []
            for sign in (1.0, -1.0):
                moved = [v.copy() for v in weights]
                moved[layer].flat[k] += sign
                r = x
                for v in moved:
                    r = v @ r
                ends.append(r)
            columns.append((ends[0] - ends[1]) / 2.0)
    return np.array(columns).T


@claim(
    "control-minimum-norm-update",
    title="J_lᵀ y r_{l−1}ᵀ with Σ|r|²JJᵀ y = δ against the pseudo-inverse of the response to every single weight",
    tolerance=1e-12,
    accuracy="exact",
    reason=ROUNDING,
    entry="D3",
)
def minimum_norm(seed: int = 85) -> tuple:
    """D3: the shortest update of all weights that moves the output by δ is shared through one vector y."""
    weights, x, error = network(SMALL, seed)
    update = control.flattened(control.minimum_norm_update(weights, x, error))
    responses = _responses(weights, x)
    return [update, error], [np.linalg.pinv(responses) @ error, responses @ update]


def _unit_activities(weights: list[np.ndarray], x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The network scaled so that |r_{l−1}| = 1 in the input and in every hidden layer."""
    r = x = x / np.linalg.norm(x)
    scaled = []
    for w in weights[:-1]:
        scaled.append(w / np.linalg.norm(w @ r))
        r = scaled[-1] @ r
    return [*scaled, weights[-1]], x


@claim(
    "control-parallel-updates",
    title="updates of simulated control are the minimum-norm update where both conditions hold, and only there",
    tolerance=1e-12,
    accuracy="exact",
    reason="rounding of a run that has come to rest; where a condition fails, the angle is counted as a yes or no",
    entry="D3",
)
def parallel_updates(nudge: float = 0.1, seed: int = 86) -> tuple:
    """D3: equal activities and Col(Q) = Row(J) make the two one; unequal activities or a tilted Q do not."""
    weights, x, label = network(SMALL, seed)
    equal, unit = _unit_activities(weights, x)
    directions, differ = [], []
    mixing = np.eye(3) + 0.2 * stream(seed, "claim", 92).standard_normal((3, 3))
    for layers, inputs, tilt in ((equal, unit, 0.0), (weights, x, 0.0), (equal, unit, 0.5)):
        jacobian = control.jacobian(layers, inputs)
        # Any Q in the row space will do, not Jᵀ alone.
        q = jacobian.T @ mixing if tilt == 0.0 else tilted(jacobian, tilt, seed)
        free = control.feed_forward(layers, inputs)
        error = nudge * (label - free[-1])
        u = settled(layers, q, inputs, free[-1] + error, 0.0)[0]
        below = [inputs, *free[:-1]]
        pushes = np.split(q @ u, np.cumsum([len(w) for w in layers])[:-1])
        learned = control.flattened([np.outer(push, r) for push, r in zip(pushes, below, strict=True)])
        shortest = control.flattened(control.minimum_norm_update(layers, inputs, error))
        directions.append((shortest / np.linalg.norm(shortest), learned / np.linalg.norm(learned)))
        differ.append(float(directions[-1][0] @ directions[-1][1] < 0.999))
    return [directions[0][0], [0.0, 1.0, 1.0]], [directions[0][1], differ]


@claim(
    "control-trajectory",
    title="order in dt at which the simulated course of control nears e^{At}, with and without proportional control",
    tolerance=0.05,
    accuracy="asymptotic",
    reason="steps of 0.01 and 0.005 time constants; the next power of dt adds about 1 % to the exponent",
    entry="D4",
)
def course(dt: float = 0.01, seed: int = 87) -> tuple:
    """D4: the whole course from the moment control is switched on; Euler's error is of first order."""
    weights, x, label = network(SMALL, seed)
    q = tilted(control.jacobian(weights, x), 0.5, seed)
    t = np.linspace(0.0, 40.0, 21)

    def gaps(step: float, k_p: float, leak: str) -> list[float]:
        options = {"k_p": k_p, "tau_u": SLOW, "leak": leak}
        exact = control.trajectory(weights, q, x, label, 0.1, t, **options)
        run = control.simulate(weights, q, x, label, 0.1, t, dt=step, **options)
        return [np.abs(run.control - exact.control).max(), np.abs(run.output - exact.output).max()]

    variants = ((0.0, "integral"), (1.0, "integral"), (1.0, "control"))
    return np.ones((3, 2)), np.array([closing_order(partial(gaps, k_p=k_p, leak=leak), dt) for k_p, leak in variants])


@claim(
    "control-fast-network",
    title="exponent with which the slow rates of the loop near −[(I + k_p JQ)⁻¹JQ + αI]/τ_u as τ_v → 0",
    tolerance=0.05,
    accuracy="asymptotic",
    reason="τ_v/τ_u is 1e-4 and 5e-5; the next power adds less than 1 %",
    entry="D4",
)
def fast_network(ratio: float = 1e-4, alpha: float = 0.1, seed: int = 88) -> tuple:
    """D4: a network that is fast against its controller leaves the controller's own equation."""
    weights, x, _ = network(WIDTHS, seed)
    jacobian = control.jacobian(weights, x)
    q = tilted(jacobian, 0.5, seed)

    def gap(tau_v: float, k_p: float) -> float:
        limit = np.sort_complex(np.linalg.eigvals(control.fast_loop_matrix(jacobian, q, alpha, k_p)))
        values = np.linalg.eigvals(control.loop_matrix(weights, q, alpha, k_p, tau_v=tau_v))
        return np.abs(np.sort_complex(values[np.argsort(-values.real)[: len(limit)]]) - limit).max()

    return np.ones(2), np.array([closing_order(partial(gap, k_p=k_p), ratio) for k_p in (0.0, 1.0)])


@claim(
    "control-critical-gain",
    title="growth of simulated control at 0.9 and 1.1 s_c (critical gain) against the spectrum; s_c τ_v for three τ_v",
    tolerance=1e-8,
    accuracy="exact",
    reason="growth is read off late, when all but the leading pair have died out by 1e-8 or more",
    entry="D4",
)
def stability(tau_v: float = 0.2, seed: int = 89) -> tuple:
    """D4: integral control swings itself up above s_c; Euler's own growth is counted in."""
    weights, x, label = network(WIDTHS, seed)
    q = control.jacobian(weights, x).T
    constants = [control.critical_gain(weights, q, tau_v=tau) * tau for tau in (0.05, tau_v, 1.0)]
    dt = 2e-3 * tau_v
    predicted, simulated = [np.full(2, constants[0])], [np.array(constants[1:])]
    for factor in (0.9, 1.1):
        gain = factor * constants[1] / tau_v
        matrix = control.loop_matrix(weights, gain * q, 0.0, tau_v=tau_v)
        steps = 1.0 + dt * np.linalg.eigvals(matrix)
        pair = steps[np.argmax(np.abs(steps) * (steps.imag > 0))]
        # Three states, a quarter of a turn apart, tell the modulus of the leading pair: z₂ = 2 Re(p) z₁ − |p|² z₀.
        last, apart = int(400.0 * tau_v / dt), int(0.5 * np.pi / np.angle(pair))
        t = dt * np.array([last, last + apart, last + 2 * apart])
        run = control.simulate(weights, gain * q, x, label, 0.0, t, tau_v=tau_v, dt=dt)
        squared = np.linalg.lstsq(run.error[:2].T, run.error[2], rcond=None)[0]
        predicted.append(np.log(np.abs(pair)) / dt)
        simulated.append(0.5 * np.log(-squared[0]) / (apart * dt))
    return [*predicted, np.array([-1.0, 1.0])], [*simulated, np.sign(simulated[1:])]


@claim(
    "control-two-layer-gain",
    title="critical gain of two layers against 2(T + α)²/[T(g − 1) − α], and all rates against roots of the cubic",
    tolerance=1e-9,
    accuracy="exact",
    reason="the gain is bisected to rounding of the spectrum, which near the threshold is 1e-12 of its size",
    entry="D4",
)
def two_layers(ratio: float = 7.0, alpha: float = 0.3, seed: int = 90) -> tuple:
    """D4 with a closed form: only the strongest mode of J₁J₁ᵀ matters, and none where all are below 1 + α/T."""
    weights, x, _ = network((6, 8, 3), seed)
    q = control.jacobian(weights, x).T
    modes = np.linalg.eigvalsh(weights[1] @ weights[1].T)
    predicted, simulated = [], []
    for leak in (0.0, alpha):
        predicted.append(control.two_layer_critical_gain(modes[-1], ratio, leak))
        simulated.append(control.critical_gain(weights, q, leak, tau_u=ratio))
    rates = np.linalg.eigvals(control.loop_matrix(weights, 2.0 * q, alpha, 0.5, tau_u=ratio))
    # The other rates are those of hidden units that the output does not hear: −1.
    heard = rates[np.argsort(-np.abs(rates + 1.0))[: 3 * len(modes)]]
    values = control.two_layer_polynomial(heard[:, None], 2.0, modes, ratio, alpha, 0.5)
    scale = np.abs(control.two_layer_polynomial(1.0, 2.0, modes[-1], ratio, alpha, 0.5))
    return [*predicted, np.ones(len(heard))], [*simulated, 1.0 + np.abs(values).min(1) / scale]
