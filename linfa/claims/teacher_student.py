"""Claims about a student that learns from a teacher sample by sample: order parameters, and the phases of learning."""

import numpy as np

from linfa._random import stream
from linfa.claims._settings import ROUNDING
from linfa.claims.register import claim
from linfa.feedback import Backprop, DirectFeedback, Feedback
from linfa.neighbours import teacher_student as ts
from linfa.neighbours.teacher_student.kernels import add_update


def direct(carrier: np.ndarray) -> DirectFeedback:
    """Direct feedback that carries one error to each unit by its entry of F."""
    return DirectFeedback([np.asarray(carrier, dtype=float)[:, None]])


@claim(
    "teacher-erf-averages",
    title="Gaussian averages of two to four factors g, g' of erf units against quadrature in four dimensions",
    tolerance=1e-13,
    accuracy="closed form",
    reason="Gauss–Hermite quadrature converges below rounding for fields of variance below 1; sums of a million terms",
    entry="S2",
    quick={"nodes": 30},
)
def erf_averages(nodes: int = 40, seed: int = 90) -> tuple:
    """Averages with all fields different, with repeated fields, and with fields that depend on each other."""
    generator = stream(seed, "claim")
    mixing = generator.standard_normal((4, 4)) / 3
    predicted, simulated = [], []
    for pick in ((0, 1, 2, 3), (0, 1, 2, 2), (0, 0, 1, 2), (0, 1, 0, 1), (0, 0, 0, 0)):
        c = (mixing @ mixing.T)[np.ix_(pick, pick)]
        aa, bb, cc, dd = np.diag(c)
        predicted.append(
            [
                ts.erf_second(aa, bb, c[0, 1]),
                ts.erf_slopes(aa, bb, c[0, 1]),
                ts.erf_third(aa, cc, c[0, 1], c[0, 2], c[1, 2]),
                ts.erf_fourth(aa, bb, cc, dd, *c[np.triu_indices(4, 1)]),
            ]
        )
        simulated.append(_quadrature(c, nodes))
    return np.array(predicted), np.array(simulated)


def _quadrature(c: np.ndarray, nodes: int) -> list[float]:
    """<g_a g_b>, <g'_a g'_b>, <g'_a z_b g_c> and <g'_a g'_b g_c g_d> by Gauss–Hermite nodes along a triangular root."""
    from scipy.special import erf

    values, vectors = np.linalg.eigh(c)
    root = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0))).T, mode="r").T
    x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / np.sqrt(2 * np.pi)
    # Field k depends on the first k + 1 axes alone.
    fields = [sum(root[k, j] * x.reshape(*[1] * j, -1, *[1] * (k - j)) for j in range(k + 1)) for k in range(4)]
    g = [erf(z / np.sqrt(2)) for z in fields]
    slope = [np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) for z in fields[:2]]
    inner = g[3] @ weights
    third = (g[2] * inner) @ weights
    pair = slope[0][:, None] * slope[1]
    return [
        weights @ (g[0][:, None] * g[1]) @ weights,
        weights @ pair @ weights,
        weights @ (slope[0][:, None] * fields[1] * (g[2] @ weights)) @ weights,
        weights @ (pair * third) @ weights,
    ]


@claim(
    "teacher-relu-average",
    title="<g(a) g(b)> of ReLU units against quadrature, for correlations from −1 to 1",
    tolerance=1e-12,
    accuracy="closed form",
    reason="adaptive quadrature at 1e-13, in polar coordinates where the integrand is smooth",
    entry="S5",
)
def relu_average(first: float = 0.7, second: float = 1.9) -> tuple:
    """The generalisation error of ReLU students rests on it: a closed form without a Gaussian integral left."""
    from scipy.integrate import quad

    cosines, size = np.linspace(-1.0, 1.0, 9), np.sqrt(first * second)
    measured = []
    for rho in cosines:
        # a = √C_aa r cos φ and b = √C_bb r cos(φ − θ) are both positive on an arc; the radial part ∫ r³ e^{−r²/2} is 2.
        theta = np.arccos(rho)
        arc = quad(
            lambda phi, theta=theta: np.cos(phi) * np.cos(phi - theta), theta - np.pi / 2, np.pi / 2, epsabs=1e-14
        )
        measured.append(size * 2 * arc[0] / (2 * np.pi))
    moments = [
        ts.second_moments(np.array([[first, rho * size], [rho * size, second]]), "relu")[0, 1] for rho in cosines
    ]
    return np.array(moments), np.array(measured)


def _compared(
    feedback: Feedback, t: np.ndarray, rate: float, noise: float, size: int, members: int, seed: int, method: str
) -> tuple[list, list]:
    """Equations and simulation from the same drawn weights: means of R, Q, v and twice the error."""
    head = np.array([1.0, 0.6])
    starts = [ts.Start.draw(2, head, size, 0.3, seed + m) for m in range(members)]
    options = {"learning_rate": rate, "noise": noise}
    theory = [ts.ode(start, feedback, t, **options) for start in starts]
    run = ts.ensemble(starts, feedback, t, inputs=size, method=method, seed=seed, **options)
    sides = ([], [])
    for name in ("r", "q", "upper", "error"):
        sides[0].append(np.mean([getattr(course, name) for course in theory], axis=0))
        sides[1].append(getattr(run, name).mean(0))
    return sides


@claim(
    "teacher-erf-dynamics",
    title="R, Q, v and ε_g of an online erf student against their equations, K = M = 2, DFA and backprop",
    tolerance=5e-2,
    accuracy="statistical",
    reason="means of 40 students with N = 500: four standard errors, the largest 1.3 %, of R under backprop, where "
    "students leave the symmetric plateau at different times; under DFA 0.15 %, and ε_g 0.2 % under both",
    entry="S2",
    quick={"members": 24},
)
def erf_dynamics(
    size: int = 500, members: int = 40, rate: float = 0.2, horizon: float = 150.0, seed: int = 91
) -> tuple:
    """Nine coupled equations for millions of updates, feedback fixed or following the weights."""
    t, predicted, simulated = np.linspace(0, horizon, 16), [], []
    for feedback in (direct([1.0, 0.6]), Backprop()):
        theory, run = _compared(feedback, t, rate, 0.0, size, members, seed, "overlaps")
        predicted += theory
        simulated += run
    return predicted, simulated


@claim(
    "teacher-erf-weights",
    title="R, Q, v and ε_g against a student that has N weights and sees N inputs, with label noise, K = M = 2",
    tolerance=8e-2,
    accuracy="statistical",
    reason="means of 10 students with N = 500: four standard errors of single overlaps, 2 % each over seeds",
    entry="S2",
    quick={"size": 300},
)
def erf_weights(
    size: int = 500, members: int = 10, rate: float = 0.2, noise: float = 0.3, horizon: float = 20.0, seed: int = 92
) -> tuple:
    """No short cut here: stochastic gradient descent on weights, sample by sample."""
    t, predicted, simulated = np.linspace(0, horizon, 6), [], []
    for feedback in (direct([1.0, 0.6]), Backprop()):
        theory, run = _compared(feedback, t, rate, noise, size, members, seed, "weights")
        predicted += theory
        simulated += run
    return predicted, simulated


@claim(
    "teacher-overlap-update",
    title="overlaps after updates from fields and |x|² alone against those of the weights themselves, erf and ReLU",
    tolerance=1e-13,
    accuracy="exact",
    reason=ROUNDING,
    entry="S1",
)
def overlap_update(inputs: int = 40, updates: int = 200, rate: float = 0.5, seed: int = 93) -> tuple:
    """Order parameters are a complete description at any N: nothing else of the weights is ever needed."""
    from scipy.special import erf

    predicted, simulated = [], []
    shapes = (
        (lambda z: erf(z / np.sqrt(2)), lambda z: np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2)),
        (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    )
    for g, slope in shapes:
        generator = stream(seed, "claim")
        lower, teacher = (generator.standard_normal((k, inputs)) / np.sqrt(inputs) for k in (3, 2))
        upper, head, carrier = (generator.standard_normal(k) for k in (3, 2, 3))
        r, q = lower @ teacher.T, lower @ lower.T
        for x in generator.standard_normal((updates, inputs)):
            student, taught = lower @ x, teacher @ x
            error = head @ g(taught) - upper @ g(student)
            carried = rate / inputs * carrier * slope(student) * error
            upper = upper + rate / inputs * g(student) * error
            lower = lower + np.outer(carried, x)
            add_update(q, r, np.concatenate([student, taught]), carried, x @ x)
        predicted += [r, q]
        simulated += [lower @ teacher.T, lower @ lower.T]
    return predicted, simulated


@claim(
    "teacher-overlap-law",
    title="mean and standard deviation of R, Q and v over students with few inputs: from fields, and from weights",
    tolerance=1.2e-1,
    accuracy="statistical",
    reason="4000 students on either side: a standard deviation is known to 1/√8000 = 1.1 %, a small mean, held against "
    "the largest of its kind, to 3 %; four of these",
    entry="S1",
    quick={"members": 2000},
)
def overlap_law(inputs: int = 8, members: int = 4000, rate: float = 0.6, seed: int = 94) -> tuple:
    """Eight inputs are far from N → ∞, but a fresh Gaussian sample has the same fields however it is drawn."""
    start = ts.Start.draw(2, [1.0, 1.0], inputs, 0.5, seed)
    feedback, sides = direct([1.0, -0.6]), []
    for k, method in enumerate(("overlaps", "weights")):
        run = ts.ensemble(
            [start] * members,
            feedback,
            [2.0, 6.0],
            inputs=inputs,
            learning_rate=rate,
            activation="relu",
            method=method,
            seed=seed + k,
        )
        sides.append([s(x, axis=0) for s in (np.mean, np.std) for x in (run.r, run.q, run.upper)])
    return tuple(sides)


@claim(
    "teacher-align-phase",
    title="first growth from zero weights under DFA: R and Q as t, v as t², all along F, with cos(v, F) = 1",
    tolerance=2e-3,
    accuracy="asymptotic",
    reason="leading order in t: what is left out is smaller by about ηt (1 + η E[y²]) = 1e-3",
    entry="S3",
)
def align_phase(rate: float = 0.5, noise: float = 0.4, time: float = 1e-3, seed: int = 95) -> tuple:
    """Before anything is fitted every unit grows by its own feedback along one direction that all units share."""
    drawn = ts.Start.draw(3, [1.0, -0.4], 50, 0.0, seed)
    carrier = np.array([1.3, -0.7, 0.2])
    course = ts.ode(drawn, direct(carrier), [0.0, time], learning_rate=rate, noise=noise, atol=1e-18)
    mean_square = 2 * course.error[0] + noise**2
    column, head = carrier[:, None], drawn.head[:, None]
    r, q, v = ts.early_growth(time, column, drawn.teacher, head, rate, mean_square)
    return [r, q, v[:, 0], 1.0], [course.r[1], course.q[1], course.upper[1], course.alignment[1]]


@claim(
    "teacher-backprop-escape",
    title="rate at which backprop leaves small weights, (2η/π)√(uᵀTu), from the slope of ln|v| over time",
    tolerance=2e-3,
    accuracy="asymptotic",
    reason="what decays has fallen by e^{−2γt} = 4e-4 where the slope is taken, and weights are below 1e-3 throughout",
    entry="S2",
)
def backprop_escape(rate: float = 0.5, scale: float = 1e-7, seed: int = 96) -> tuple:
    """Backprop carries back v itself, which is small: it waits for ln(1/scale). Fixed feedback does not."""
    start = ts.Start.draw(2, [1.0, 0.6], 500, scale, seed)
    expected = ts.escape_rate(start.teacher, start.head[:, None], rate)
    t = np.array([4.0, 8.0]) / expected
    course = ts.ode(start, Backprop(), t, learning_rate=rate, atol=1e-22)
    sizes = np.log(np.linalg.norm(course.upper, axis=1))
    fixed = ts.ode(start, direct([1.0, 0.5]), [4.0 / expected], learning_rate=rate)
    # By then fixed feedback has learned most of what two units that are alike can learn.
    return [expected, 1.0], [np.diff(sizes)[0] / np.diff(t)[0], float(fixed.error[0] < 0.2 * course.error[0])]


@claim(
    "teacher-align-then-memorise",
    title="times at which cos(v, F) reaches 0.9 and ε_g a thousandth of its start: simulated and from the equations",
    tolerance=6e-2,
    accuracy="statistical",
    reason="means over 12 starts, N = 500: four standard errors, 1.3 % each",
    entry="S3",
    quick={"members": 6},
)
def align_then_memorise(size: int = 500, members: int = 12, rate: float = 0.5, seed: int = 97) -> tuple:
    """From small random weights, DFA first aligns, then memorises: the one is over before the other gets anywhere."""
    t = np.unique(np.concatenate([np.linspace(0, 10, 101), np.linspace(10, 900, 446)]))
    feedback = direct([1.0, 0.5])
    starts = [ts.Start.draw(2, [1.0, 0.6], size, 0.01, seed + m) for m in range(members)]
    theory = [ts.phases(ts.ode(start, feedback, t, learning_rate=rate)) for start in starts]
    run = ts.phases(ts.ensemble(starts, feedback, t, inputs=size, learning_rate=rate, seed=seed))
    aligned = [np.mean([found.aligned for found in theory]), run.aligned.mean()]
    memorised = [np.mean([found.memorised for found in theory]), run.memorised.mean()]
    late = np.mean(run.memorised > 30 * run.aligned)
    return [aligned[0], memorised[0], 1.0], [aligned[1], memorised[1], late]
