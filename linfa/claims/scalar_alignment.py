"""Claims about feedback alignment of a single mode from any start, and of a chain of single units: B3, B7."""

import numpy as np

from linfa._random import stream
from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import FeedbackAlignment
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory import scalar_alignment as theory
from linfa.trajectory import Trajectory


def _run(s: float, feedback: float, lower: float, upper: float, t: np.ndarray) -> Trajectory:
    """One input, one hidden unit, one output."""
    weights = [np.array([[lower]]), np.array([[upper]])]
    return simulate(LinearTask([[s]]), weights, FeedbackAlignment([[[feedback]]]), t, **TIGHT)


def _starts(s: float, feedback: float) -> list[tuple[float, float]]:
    """(a, c) in all regimes: lazy, zero, positive, three roots from both sides and between."""
    top = float(theory.critical_balance(s, feedback))
    middle = theory.zero_error_points(s, feedback, 2.0 * top)[1].real
    return [
        (0.3, -6.0),
        (0.0, 0.0),
        (-0.5, 0.0),
        (0.1, 0.7 * top),
        (-2.0, 0.7 * top),
        (3.0, 0.7 * top),
        (middle + 0.2, 2.0 * top),
        (middle - 0.2, 2.0 * top),
        (-5.0, 2.0 * top),
    ]


@claim(
    "fa-scalar-time",
    title="lower weight at closed times with complex logarithms, in nine starts over all regimes of c",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B3",
)
def closed_time(s: float = 1.3, feedback: float = 0.8) -> tuple:
    """B3: the time to any value on the way, and the conserved parabola that ties the upper weight to it."""
    predicted, simulated = [], []
    for lower, balance in _starts(s, feedback):
        end = theory.end_point(lower, s, feedback, balance)
        path = lower + (end - lower) * np.array([0.05, 0.3, 0.6, 0.9, 0.99])
        roots = theory.zero_error_points(s, feedback, balance)
        times = theory.relaxation_time(path, lower, roots).real
        run = _run(s, feedback, lower, theory.upper_weight(lower, feedback, balance), times)
        predicted += [path, theory.upper_weight(path, feedback, balance)]
        simulated += [run.weights[0].ravel(), run.weights[1].ravel()]
    return predicted, simulated


@claim(
    "fa-scalar-ends",
    title="ends of scalar FA and the decay rate of the last error there; zero error with b w < 0 from beyond r₂",
    tolerance=1e-7,
    accuracy="closed form",
    reason="the rate is a quotient of errors near 1e-8, known to the integrator's 1e-14 and bent by their own size",
    entry="B3",
)
def ends(s: float = 1.3, feedback: float = 0.8) -> tuple:
    """B3: every start converges to zero error; above the critical c some end against the feedback."""
    predicted, simulated = [], []
    for lower, balance in _starts(s, feedback):
        end = theory.end_point(lower, s, feedback, balance)
        rate = theory.relaxation_rate(end, balance)
        run = _run(s, feedback, lower, theory.upper_weight(lower, feedback, balance), [60.0 / rate + 20.0])
        product = feedback * theory.upper_weight(end, feedback, balance)
        predicted += [end, s, np.sign(product)]
        simulated += [run.weights[0].ravel()[-1], run.map.ravel()[-1], np.sign(feedback * run.weights[1].ravel()[-1])]
        # A nudge along the conserved parabola, small enough for the linear law and large enough to be measured.
        near = [end + sign * 1e-4 for sign in (1.0, -1.0)]
        shrunk = [_run(s, feedback, a, theory.upper_weight(a, feedback, balance), [1.0 / rate]) for a in near]
        left = (shrunk[0].weights[0] - shrunk[1].weights[0]).ravel()[-1] / 2e-4
        predicted.append(rate)
        simulated.append(-rate * np.log(left))
    return predicted, simulated


@claim(
    "fa-scalar-threshold",
    title="number of ends reached from a sweep of starts just below and above c = 3(bs)^{2/3}: one, then two",
    tolerance=5e-11,
    accuracy="closed form",
    reason="the double root stands at −(bs)^{1/3}, the single one at 2(bs)^{1/3}; off it they are as exact as runs",
    entry="B3",
)
def threshold(s: float = 1.3, feedback: float = 0.8, margin: float = 0.01) -> tuple:
    """B3: three roots exist above the critical balance alone; the ends themselves are compared too."""
    predicted, simulated = [], []
    sweep = np.linspace(-4.0, 4.0, 9)
    for factor in (1.0 - margin, 1.0 + margin):
        balance = factor * float(theory.critical_balance(s, feedback))
        ends = np.array([theory.end_point(a, s, feedback, balance) for a in sweep])
        found = [
            _run(s, feedback, a, theory.upper_weight(a, feedback, balance), [400.0]).weights[0].ravel()[-1]
            for a in sweep
        ]
        predicted += [ends, 1.0 if factor < 1 else 2.0]
        simulated += [np.array(found), len(np.unique(np.round(found, 6)))]
    return predicted, simulated


@claim(
    "fa-scalar-zero",
    title="map from zero weights: u' = (3/2)(2bu)^{2/3}(s − u) along the run, and the ends a*, w*",
    tolerance=5e-9,
    accuracy="closed form",
    reason="the velocity is a fourth-order difference over 1e-3: rounding 1e-14/1e-3 and 1e-12 of its own",
    entry="B3",
)
def zero_start(s: float = 1.3, feedback: float = 0.8) -> tuple:
    """B3 with c = 0: the map moves at once, where backprop would stand still."""
    step = 1e-3
    centres = np.array([0.2, 0.6, 1.2, 2.0])
    t = np.append((centres[:, None] + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).ravel(), 60.0)
    run = _run(s, feedback, 0.0, 0.0, t)
    u = run.map.ravel()[:-1].reshape(-1, 5)
    slope = (u[:, 0] - 8 * u[:, 1] + 8 * u[:, 3] - u[:, 4]) / (12 * step)
    ends = [np.cbrt(2 * feedback * s), np.cbrt(s**2 / (2 * feedback))]
    return [theory.map_velocity(u[:, 2], s, feedback), ends], [slope, [w.ravel()[-1] for w in run.weights]]


@claim(
    "fa-scalar-lazy",
    title="order in |c| at which all modes relax at |c|/2: excess 12(bs)²/|c|³, exponent and coefficient",
    tolerance=2e-3,
    accuracy="asymptotic",
    reason="the next term of the excess is 8(bs)²/|c|³ of it, 3e-4 in the exponent at the largest |c| and s",
    entry="B3",
)
def lazy(balance: float = 40.0, feedback: float = 0.8) -> tuple:
    """B3: with a large upper weight the order of learning forgets the strengths of the modes."""
    predicted, simulated = [], []
    for s in (0.8, 1.6, 3.2):
        excess = []
        for c in (-balance, -2 * balance):
            end = theory.end_point(0.0, s, feedback, c)
            nudges = [end * (1 + sign * 1e-2) for sign in (1.0, -1.0)]
            # Half the difference of two runs at either side of the end: odd terms of the nudge alone are left.
            t = 2.0 / -c
            runs = [
                _run(s, feedback, a, theory.upper_weight(a, feedback, c), [t]).weights[0].ravel()[-1] for a in nudges
            ]
            rate = -np.log((runs[0] - runs[1]) / (2e-2 * end)) / t
            excess.append(rate / (-c / 2) - 1)
        predicted.append(np.array([3.0, 1.0]))
        simulated.append(
            np.array([np.log2(excess[0] / excess[1]), excess[1] / theory.lazy_excess(s, feedback, -2 * balance)])
        )
    return predicted, simulated


@claim(
    "fa-scalar-delay",
    title="time lost below the critical balance over π√(2/(μ√(3c))) as μ → 0: exponent −1/2 and prefactor",
    tolerance=2e-3,
    accuracy="asymptotic",
    reason="the difference of two gaps cancels the passage time outside the bottleneck; the rest falls as √μ",
    entry="B3",
)
def delay(s: float = 1.3, feedback: float = 0.8, gap: float = 1e-5) -> tuple:
    """B3: a start against the feedback is stuck near −√(c/3), the longer the closer c is to critical."""
    gaps, times = gap / 4.0 ** np.arange(3), []
    for mu in gaps:
        balance = 3.0 * np.cbrt(feedback * s - mu) ** 2
        lower = -2.5 * np.sqrt(balance / 3.0)
        coarse = np.linspace(0.0, 3.0 * theory.ghost_delay(mu, balance), 4001)
        a = _run(s, feedback, lower, theory.upper_weight(lower, feedback, balance), coarse).weights[0].ravel()
        # Where a crosses zero it is fast again; linear interpolation is right to a millionth of the delay.
        k = int(np.argmax(a > 0))
        times.append(coarse[k - 1] - a[k - 1] * (coarse[k] - coarse[k - 1]) / (a[k] - a[k - 1]))
    delays = theory.ghost_delay(gaps, 3.0 * np.cbrt(feedback * s - gaps) ** 2)
    rises = np.diff(times)
    return [-0.5, 1.0], [np.log(rises[1] / rises[0]) / np.log(gaps[1] / gaps[0]), rises[1] / np.diff(delays)[1]]


@claim(
    "fa-scalar-chain",
    title="chains of 3 to 5 single units: every layer from a_1 alone, and the end, from random starts",
    tolerance=1e-10,
    accuracy="closed form",
    reason="the integrator's 1e-12 is amplified where a chain passes close to an unstable point",
    entry="B3",
    quick={"deepest": 4, "starts": 2},
)
def chain(deepest: int = 5, starts: int = 4, seed: int = 45) -> tuple:
    """B3 in depth: a flow on a line whose polynomial has degree 2^L − 1; it always converges."""
    predicted, simulated = [], []
    for depth in range(3, deepest + 1):
        for start in range(starts):
            generator = stream(seed, "claim", depth, start)
            b = generator.uniform(0.6, 1.4, depth - 1) * generator.choice([-1.0, 1.0], depth - 1)
            a = generator.uniform(-1.0, 1.0, depth)
            balances = [theory.scalar_balance(a[l], a[l + 1], b[l]) for l in range(depth - 1)]
            end = theory.scalar_chain_end(a[0], 1.5, b, balances)
            nearby = [theory.scalar_chain_velocity(end + sign * 1e-6, 1.5, b, balances) for sign in (1.0, -1.0)]
            horizon = 40.0 + 60.0 * 2e-6 / (nearby[1] - nearby[0])
            run = simulate(
                LinearTask([[1.5]]),
                [np.array([[x]]) for x in a],
                FeedbackAlignment([np.array([[x]]) for x in b]),
                np.append(np.linspace(0.0, 4.0, 9), 4.0 + horizon),
                **TIGHT,
            )
            layers = np.array([w.ravel() for w in run.weights])
            predicted += [np.array(theory.scalar_chain(layers[0], b, balances))[1:], [end, 1.5]]
            simulated += [layers[1:], [layers[0, -1], run.map.ravel()[-1]]]
    return predicted, simulated


@claim(
    "fa-opposed-start",
    title="W2(0) = −κBᵀ: the peak s + (2/3)gκ√(2κ/3) of each mode's error, when it comes, and zero error after it",
    tolerance=1e-10,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B7",
)
def opposed(gain: float = 1.3, opposition: float = 1.5, seed: int = 46) -> tuple:
    """B7: an anti-aligned start lets the loss rise before the law of alignment takes over: a transient."""
    strengths = np.array([3.0, 2.0, 1.0])
    task = LinearTask.from_modes(strengths, inputs=5, outputs=3, seed=seed)
    feedback = FeedbackAlignment(seed=seed, scale=float(np.sqrt(gain)), draw="orthonormal")
    b = feedback.resolve((5, 6, 3)).matrices["b"][0]
    # In scalar alignment a is √g times the amplitude here and the feedback √g, so that c = 2 g κ.
    root, balance = np.sqrt(gain), 2.0 * gain * opposition
    peak = root * np.sqrt(2.0 * opposition / 3.0)
    times = [
        float(theory.relaxation_time(peak, 0.0, theory.zero_error_points(s, root, balance)).real) for s in strengths
    ]
    weights = [np.zeros((6, 5)), -opposition * b.T]
    errors, near = [], []
    for k, t in enumerate(times):
        run = simulate(task, weights, feedback, [0.0, t - 1e-3, t, t + 1e-3, 80.0], **TIGHT)
        error = strengths[k] - run.mode_strengths[:, k]
        errors.append([error[0], error[2]])
        near.append(float(error[2] > max(error[1], error[3])))
    rising = theory.opposed_peak(strengths, gain, opposition)
    ended = (task.left * strengths) @ task.right.T
    return [np.stack([strengths, rising], 1), np.ones(3), ended], [np.array(errors), np.array(near), run.map[-1]]
