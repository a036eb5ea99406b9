"""Claims about noise: a teacher's modes seen through it, regression from samples, online learning (A12, A13)."""

import numpy as np

from linfa._random import orthonormal_columns, stream
from linfa._threads import single_threaded_blas
from linfa.claims._settings import TIGHT
from linfa.claims.register import claim
from linfa.core.online import learn_online, least_mean_squares
from linfa.feedback import Backprop
from linfa.simulation import simulate
from linfa.tasks import LinearTask
from linfa.theory.generalisation import observed_mode
from linfa.theory.regression import best_stopping_time, lms_limit, lms_step, mode_risk, online_error, online_overlaps


@claim(
    "noisy-teacher-modes",
    title="strength and squared overlaps of a teacher's modes in noisy correlations, above and below A^{1/4}",
    tolerance=3e-2,
    accuracy="statistical",
    reason="means of 12 draws at 300 × 600: four standard errors, the largest being 7e-3, of weak overlaps; below the "
    "transition the edge lies of order n^{-2/3} low and overlaps are of order 1/n",
    entry="A12",
    quick={"draws": 6},
)
def noisy_modes(ratio: float = 0.5, inputs: int = 600, draws: int = 12, seed: int = 51) -> tuple:
    """A12: singular values and vectors of a rank-two teacher plus noise, then of one too weak to be seen."""
    outputs = round(ratio * inputs)
    observed: list[list[np.ndarray]] = [[], []]
    teachers = (np.array([2.5, 1.5]), np.array([0.5]))
    for draw in range(draws):
        generator = stream(seed, "claim", 12, draw)
        for k, s in enumerate(teachers):
            u, v = orthonormal_columns(generator, outputs, len(s)), orthonormal_columns(generator, inputs, len(s))
            noise = generator.standard_normal((outputs, inputs)) / np.sqrt(inputs)
            observed[k].append(_top_modes((u * s) @ v.T + noise, u, v))
    predicted = [np.array(observed_mode(s, outputs / inputs)) for s in teachers]
    means = [np.mean(sides, axis=0) for sides in observed]
    # Strengths and overlaps apart, so that each is held relative to its own size.
    return [p[k] for p in predicted for k in range(3)], [m[k] for m in means for k in range(3)]


def _top_modes(matrix: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Largest singular values of `matrix`, and the squared overlaps of their vectors with u and v."""
    with single_threaded_blas():
        values, left = np.linalg.eigh(matrix @ matrix.T)
    count = u.shape[1]
    left, strengths = left[:, : -count - 1 : -1], np.sqrt(values[: -count - 1 : -1])
    right = matrix.T @ left / strengths
    return np.array([strengths, np.sum(left * u, axis=0) ** 2, np.sum(right * v, axis=0) ** 2])


@claim(
    "regression-risk",
    title="excess risk of gradient flow from zero over time, averaged exactly over teachers and label noise",
    tolerance=1e-12,
    accuracy="closed form",
    reason="the error is linear in teacher and noise: a task with an output for each unit of either holds the mean, "
    "without sampling; integrated at rtol 1e-12, and most of the error is in modes that have died out",
    entry="A13",
    quick={"samples": 25, "inputs": 15},
)
def regression_risk(
    samples: int = 60, inputs: int = 40, weight: float = 1.5, noise: float = 0.3, seed: int = 52
) -> tuple:
    """A13 for random X, at n > d and at n < d, where some directions are never learned."""
    t = np.array([0.0, 0.3, 1.0, 3.0, 10.0])
    predicted, simulated = [], []
    for n, d in ((samples, inputs), (inputs, samples)):
        x = stream(seed, "claim", 13).standard_normal((n, d))
        predicted.append(_mean_risk(x, t, weight, noise))
        simulated.append(_measured_risk(x, t, weight, noise))
    return predicted, simulated


def _mean_risk(x: np.ndarray, t: np.ndarray, weight: float, noise: float) -> np.ndarray:
    n, d = x.shape
    eigenvalues = np.linalg.eigvalsh(x.T @ x / n)
    seen = eigenvalues[eigenvalues > 1e-10 * eigenvalues[-1]]
    return (mode_risk(t[:, None], seen, weight, noise, n).sum(1) + (d - len(seen)) * weight) / d


def _measured_risk(x: np.ndarray, t: np.ndarray, weight: float, noise: float) -> np.ndarray:
    """Risk of a network of one layer with d + n outputs, in the mean over teachers and label noise.

    The first d outputs learn a unit of the teacher each, the others a unit of label noise; squared errors add up.
    """
    n, d = x.shape
    teachers = np.vstack([np.sqrt(weight) * np.eye(d), np.zeros((n, d))])
    labels = x @ teachers.T
    labels[:, d:] += np.sqrt(noise) * np.eye(n)
    task = LinearTask(labels.T @ x / n, x.T @ x / n)
    run = simulate(task, [np.zeros((d + n, d))], Backprop(), t, **TIGHT)
    return np.square(run.map - teachers).sum((1, 2)) / d


@claim(
    "regression-early-stopping",
    title="time at which the risk of flow on orthogonal inputs is least, ln(1 + nλw₀²/σ²)/λ, and the risk there",
    tolerance=5e-11,
    accuracy="closed form",
    reason="the minimum is found on a polynomial of degree 24 through the run; integrated at rtol 1e-12",
    entry="A13",
)
def early_stopping(
    samples: int = 12, inputs: int = 8, weight: float = 1.5, noise: float = 2.0, seed: int = 53
) -> tuple:
    """A13: training longer fits noise; the best moment is known, and its risk is that of the best ridge penalty."""
    eigenvalue = 0.7
    x = np.sqrt(samples * eigenvalue) * orthonormal_columns(stream(seed, "claim", 13), samples, inputs)
    best = best_stopping_time(eigenvalue, weight, noise, samples)
    # Around the predicted time, but not symmetrically.
    nodes = np.polynomial.chebyshev.chebpts1(25)
    curve = np.polynomial.Chebyshev.fit(nodes, _measured_risk(x, best * (1.1 + 0.6 * nodes), weight, noise), 24)
    turning = [z.real for z in curve.deriv().roots() if abs(z.imag) < 1e-9 and abs(z.real) <= 1]
    ridge = weight * noise / (samples * eigenvalue * weight + noise)
    return [best, ridge], [best * (1.1 + 0.6 * turning[0]), curve(turning[0])]


@claim(
    "lms-mean-square",
    title="mean squared error of online regression over 200 updates, and in its steady state",
    tolerance=1.2e-2,
    accuracy="statistical",
    reason="20,000 replicas: four standard errors, 3e-3 each over seeds, of the largest gap over 200 updates",
    entry="A13",
    quick={"replicas": 10_000},
)
def lms(fraction: float = 0.4, inputs: int = 10, noise: float = 0.5, replicas: int = 20_000, seed: int = 54) -> tuple:
    """A13 at `fraction` of η_max."""
    rate, steps = fraction * 2 / (inputs + 2), 200
    generator = stream(seed, "claim", 15)
    errors = generator.standard_normal((replicas, inputs))
    expected, measured = [np.square(errors).sum(1).mean()], []
    for _ in range(steps // 20):
        # In blocks: all samples at once would take gigabytes at large sizes.
        x = generator.standard_normal((20, replicas, inputs))
        xi = np.sqrt(noise) * generator.standard_normal((20, replicas))
        squares = np.empty(20)
        least_mean_squares(errors, x, xi, rate, squares)
        measured.append(squares)
        for _ in range(20):
            expected.append(lms_step(expected[-1], rate, inputs, noise))
    squares = np.concatenate(measured)
    return [np.array(expected[1:]), lms_limit(rate, inputs, noise)], [squares, squares[steps // 2 :].mean()]


@claim(
    "online-order-parameters",
    title="overlaps, second layer and error of an online linear student against their equations, backprop and FA",
    tolerance=4e-2,
    accuracy="statistical",
    reason="means of 8 students with N = 1000: four standard errors, 9e-3 each over seeds, of the largest entry; the "
    "equations themselves are exact to 1/N",
    entry="A13",
    quick={"size": 600},
)
def online_student(
    size: int = 1000, members: int = 8, rate: float = 0.3, noise: float = 0.2, horizon: float = 10.0, seed: int = 55
) -> tuple:
    """A13: fresh samples, N → ∞; feedback alignment differs from backprop in one vector."""
    units, modes = 3, 2
    generator = stream(seed, "claim", 16)
    head, feedback = np.array([1.0, -0.7]), generator.standard_normal(units)
    second = 0.3 * generator.standard_normal(units)
    times = np.array([0.5, 1.0, 2.0, 4.0, horizon])
    predicted, simulated = [], []
    for follows in (True, False):
        theory, measured = [], []
        for member in range(members):
            own = stream(seed, "claim", 17, member)
            teacher, lower = own.standard_normal((modes, size)), 0.5 * own.standard_normal((units, size))
            overlaps = teacher @ teacher.T / size
            start = (lower @ teacher.T / size, lower @ lower.T / size, second)
            carrier = None if follows else feedback
            expected = online_overlaps(times, start, overlaps, head, rate, noise**2, carrier)
            learned = _learn(lower, second, carrier, teacher, head, times, rate, noise, own)
            for side, found in ((theory, expected), (measured, learned)):
                side.append([*found, _error(found, overlaps, head)])
        predicted += [np.mean(values, axis=0) for values in zip(*theory, strict=True)]
        simulated += [np.mean(values, axis=0) for values in zip(*measured, strict=True)]
    return predicted, simulated


def _error(found: tuple[np.ndarray, ...], overlaps: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Twice the generalisation error at each time."""
    columns = zip(*found, strict=True)
    return np.array([online_error(r, q, v[:, None], overlaps, head[:, None])[0, 0] for r, q, v in columns])


def _learn(
    lower: np.ndarray,
    upper: np.ndarray,
    feedback: np.ndarray | None,
    teacher: np.ndarray,
    head: np.ndarray,
    times: np.ndarray,
    rate: float,
    noise: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R, Q and v of a student at the given times (steps/N); feedback None is backprop."""
    lower, upper, size, done, saved = lower.copy(), upper.copy(), lower.shape[1], 0, []
    carrier = np.zeros_like(upper) if feedback is None else feedback
    for end in np.round(times * size).astype(int):
        while done < end:
            steps = min(1000, int(end) - done)
            x, zeta = generator.standard_normal((steps, size)), noise * generator.standard_normal(steps)
            learn_online(lower, upper, carrier, feedback is None, teacher, head, x, zeta, rate)
            done += steps
        saved.append((lower @ teacher.T / size, lower @ lower.T / size, upper.copy()))
    return tuple(np.array(values) for values in zip(*saved, strict=True))
