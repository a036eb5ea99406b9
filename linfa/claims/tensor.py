"""Claims about low-rank tensor decomposition in simulation: message passing and least squares against their theory."""

from collections.abc import Iterator, Sequence

import numpy as np

from linfa._random import stream
from linfa.claims.register import claim
from linfa.neighbours.tensor import (
    Bernoulli,
    Decomposition,
    Gaussian,
    Rademacher,
    als,
    als_error,
    als_weight,
    amp,
    bayes_error,
    cosines_squared,
    norm_multiplier,
    overlap_trajectory,
    spectral_directions,
    spectral_overlap,
    spike,
    state_evolution,
)

# Overlaps of one tensor scatter by 1/√N times a factor that grows towards the spinodal.
_SAMPLING = "three times what the largest deviation of a quick run comes to over seeds, root mean square"


def _spikes(
    shape: Sequence[int], prior: object, delta: float, draws: int, seed: int, rank: int = 1
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Tensors with exact moments, each with its true factors."""
    for draw in range(draws):
        yield spike(shape, rank, prior, delta, 1000 * seed + draw, exact_moments=True)


def _estimates(
    shape: Sequence[int], prior: object, delta: float, draws: int, seed: int, *, rank: int = 1, **options: object
) -> list[tuple[Decomposition, list[np.ndarray]]]:
    """Message passing on several tensors with exact moments, each with its true factors; informed unless said."""
    found = []
    for draw, (y, factors) in enumerate(_spikes(shape, prior, delta, draws, seed, rank)):
        start = options.get("start", factors)
        found.append((amp(y, rank, prior, delta, **{**options, "start": start}, truth=factors, seed=draw), factors))
    return found


def _mean_overlaps(estimates: list) -> np.ndarray:
    """Overlaps at the end, mean over draws."""
    return np.mean([found.overlaps[-1] for found, _ in estimates], axis=0)


@claim(
    "tensor-amp-rademacher",
    title="overlaps of message passing with signs, N = 100, informed start, against state evolution at rest",
    tolerance=3e-2,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.2, 2.3",
    quick={"draws": 6},
)
def amp_rademacher(draws: int = 12, size: int = 100, seed: int = 90) -> tuple:
    """State evolution says how well message passing does, here up to 0.65 of the spinodal."""
    predicted, found = [], []
    for delta in (0.1, 0.2):
        predicted.append(state_evolution("rademacher", delta, start="informed").mean())
        found.append(_mean_overlaps(_estimates((size,) * 3, "rademacher", delta, draws, seed)).mean())
    return predicted, found


@claim(
    "tensor-amp-trajectory",
    title="overlap after 0 to 5 parallel sweeps from full and from partial knowledge, against state evolution",
    tolerance=6e-2,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3",
    quick={"draws": 6},
)
def amp_trajectory(draws: int = 12, size: int = 100, delta: float = 0.2, seed: int = 91) -> tuple:
    """State evolution is about every sweep, not only the last; side information is a start tanh(Ax + √A z)."""
    predicted, found = [], []
    precision = 1.5
    for knows in ("everything", "something"):
        paths = []
        for draw in range(draws):
            y, factors = spike((size,) * 3, 1, "rademacher", delta, 1000 * seed + draw)
            start = factors
            if knows == "something":
                noise = [stream(seed, "claim", draw, a).standard_normal(x.shape) for a, x in enumerate(factors)]
                start = [np.tanh(precision * x + np.sqrt(precision) * z) for x, z in zip(factors, noise, strict=True)]
            run = amp(
                y,
                1,
                "rademacher",
                delta,
                start=start,
                schedule="parallel",
                iterations=5,
                tolerance=1e-300,
                truth=factors,
            )
            paths.append(run.overlaps.mean(1))
        first = "informed" if knows == "everything" else float(Rademacher().overlap(np.array([[precision]]))[0, 0])
        predicted.append(overlap_trajectory("rademacher", delta, 5, start=first)[:, 0])
        found.append(np.mean(paths, axis=0))
    return predicted, found


@claim(
    "tensor-amp-gaussian",
    title="cos² and relative error of message passing with Gaussian factors, N = 100, against m and 1 − m³",
    tolerance=0.1,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3, T1",
    quick={"draws": 6},
)
def amp_gaussian(draws: int = 12, size: int = 100, seed: int = 92) -> tuple:
    """Without a mean the length of a factor is free; directions and the tensor are not."""
    predicted, found = [], []
    for delta in (0.05, 0.1, 0.15):
        overlaps = state_evolution("gaussian", delta, start="informed")
        runs = _estimates((size,) * 3, "gaussian", delta, draws, seed)
        predicted.append([overlaps.mean(), bayes_error(overlaps)])
        cosines = np.mean([run.cosines_squared(truth) for run, truth in runs])
        found.append([cosines, np.mean([run.relative_error(truth) for run, truth in runs])])
    return list(np.transpose(predicted)), list(np.transpose(found))


@claim(
    "tensor-als",
    title="least squares: cos² of each mode, squared weight and relative error near the spike, cube and 60 × 100 × 180",
    tolerance=0.1,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.5",
    quick={"draws": 6},
)
def least_squares(draws: int = 12, seed: int = 93) -> tuple:
    """Least squares finds the directions of the Bayes estimate and fits their length to the noise."""
    predicted, found = [], []
    for shape, delta in (((100, 100, 100), 0.05), ((100, 100, 100), 0.15), ((60, 100, 180), 0.1)):
        overlaps = state_evolution("gaussian", delta, shape, "informed")
        cosines, weights, errors = [], [], []
        for y, factors in _spikes(shape, "gaussian", delta, draws, seed):
            run = als(y, 1, start=factors)
            cosines.append(run.cosines_squared(factors))
            weights.append(np.prod([np.square(x).mean() for x in run.factors]))
            errors.append(run.relative_error(factors))
        predicted.append([*overlaps, als_weight(overlaps) ** 2, als_error(overlaps)])
        found.append([*np.mean(cosines, axis=0), np.mean(weights), np.mean(errors)])
    return predicted, found


@claim(
    "tensor-amp-against-als",
    title="errors on the same tensors, factors N(0.3, 1): message passing from the prior, least squares informed",
    tolerance=0.12,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.5, T2",
    quick={"draws": 5},
)
def amp_against_als(draws: int = 12, size: int = 100, mean: float = 0.3, seed: int = 94) -> tuple:
    """What knowing prior and noise is worth; overlaps of message passing that starts from the prior alone."""
    prior = Gaussian(mean)
    moment = 1 + mean**2
    predicted, found = [], []
    for delta in (0.05, 0.1, 0.15):
        overlaps = state_evolution(prior, delta)
        fitted = state_evolution("gaussian", delta / moment**3, start="informed")
        predicted.append([overlaps.mean(), bayes_error(overlaps, [moment] * 3), als_error(fitted)])
        rows = []
        for y, factors in _spikes((size,) * 3, prior, delta, draws, seed):
            run = amp(y, 1, prior, delta, start="prior", truth=factors)
            errors = [estimate.relative_error(factors) for estimate in (run, als(y, 1, start=factors))]
            rows.append([run.overlaps[-1].mean(), *errors])
        found.append(np.mean(rows, axis=0))
    return list(np.transpose(predicted)), list(np.transpose(found))


@claim(
    "tensor-amp-shapes",
    title="overlaps in each mode of 50 × 100 × 200 and 40 × 40 × 320 with signs, and of 24⁴ with N(0, 1)",
    tolerance=6e-2,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3, T5",
    quick={"draws": 6},
)
def amp_shapes(draws: int = 12, seed: int = 95) -> tuple:
    """The longest mode is the hardest: each of its rows is seen by fewer entries."""
    predicted, found = [], []
    for shape, prior, delta in (
        ((50, 100, 200), "rademacher", 0.1),
        ((40, 40, 320), "rademacher", 0.15),
        ((24, 24, 24, 24), "gaussian", 0.05),
    ):
        predicted.append(state_evolution(prior, delta, shape, "informed"))
        runs = _estimates(shape, prior, delta, draws, seed)
        if prior == "gaussian":
            found.append(np.mean([run.cosines_squared(truth) for run, truth in runs], axis=0))
        else:
            found.append(_mean_overlaps(runs))
    return predicted, found


@claim(
    "tensor-amp-bernoulli",
    title="overlaps of message passing with zeros and ones from the prior, six pairs of ρ and Δ, N = 100",
    tolerance=6e-2,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3, T7",
    quick={"draws": 5},
)
def amp_bernoulli(draws: int = 8, size: int = 100, seed: int = 96) -> tuple:
    """A prior with a mean needs no other start."""
    predicted, found = [], []
    for density, delta in ((0.2, 0.001), (0.2, 0.02), (0.2, 0.1), (0.5, 0.05), (0.5, 0.2), (0.5, 0.5)):
        prior = Bernoulli(density)
        predicted.append(state_evolution(prior, delta).mean())
        found.append(_mean_overlaps(_estimates((size,) * 3, prior, delta, draws, seed, start="prior")).mean())
    return np.array(predicted), np.array(found)


@claim(
    "tensor-amp-rank",
    title="matrices of overlaps at rank 2, rows with mean vectors, N = 100, against state evolution of matrices",
    tolerance=0.1,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3",
    quick={"draws": 5},
)
def amp_rank(draws: int = 12, size: int = 100, seed: int = 97) -> tuple:
    """Components that share rows and noise: the precision of each row is a matrix."""
    priors = [Gaussian([0.6, -0.5]), Gaussian([0.5, 0.6]), Gaussian([-0.6, 0.6])]
    predicted, found = [], []
    for delta in (0.1, 2.0):
        predicted.append(state_evolution(priors, delta))
        found.append(_mean_overlaps(_estimates((size,) * 3, priors, delta, draws, seed, rank=2, start="prior")))
    return np.array(predicted), np.array(found)


@claim(
    "tensor-amp-components",
    title="relative error at rank 2 and 3 without means: that of rank 1, as components do not disturb each other",
    tolerance=0.12,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3",
    quick={"draws": 5},
)
def amp_components(draws: int = 12, size: int = 100, seed: int = 98) -> tuple:
    """Independent components without a mean decouple."""
    predicted, found = [], []
    for prior, rank, delta in (("gaussian", 2, 0.1), ("gaussian", 3, 0.1), ("rademacher", 3, 0.2)):
        predicted.append(bayes_error(state_evolution(prior, delta, start="informed")))
        runs = _estimates((size,) * 3, prior, delta, draws, seed, rank=rank)
        found.append(np.mean([run.relative_error(truth) for run, truth in runs]))
    return np.array(predicted), np.array(found)


@claim(
    "tensor-nishimori",
    title="|x̂|²/N = x̂ᵀx/N = 1 − mean posterior variance for signs, which hold with the Onsager term alone",
    tolerance=2e-2,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="2.3",
    quick={"draws": 6},
)
def nishimori(draws: int = 12, size: int = 100, delta: float = 0.2, seed: int = 99) -> tuple:
    """An estimate that knows what it knows: its size, its overlap with the truth and its own error bars agree."""
    runs = _estimates((size,) * 3, "rademacher", delta, draws, seed)
    squares = np.mean([[np.square(x).mean() for x in run.factors] for run, _ in runs])
    spread = np.mean([[c[0, 0] for c in run.covariances] for run, _ in runs])
    return [_mean_overlaps(runs).mean()] * 2, [squares, 1 - spread]


@claim(
    "tensor-norm-mode",
    title="growth of a common error of all norms in a parallel step, −(p − 1) undamped, for orders 3 and 4",
    tolerance=1e-2,
    accuracy="asymptotic",
    reason="holds for Δ → 0; at Δ = 1e-4 the gap is some tens of Δ, and the error of 1e-3 adds its square",
    entry="2.2",
)
def norm_mode(delta: float = 1e-4, error: float = 1e-3, seed: int = 100) -> tuple:
    """Why Gaussian factors need the sequential schedule or damping: all modes overshoot together."""
    predicted, found = [], []
    for shape in ((40, 40, 40), (16, 16, 16, 16)):
        y, factors = spike(shape, 1, "gaussian", delta, seed, exact_moments=True)
        rest = amp(y, 1, "gaussian", delta, start=factors).factors
        for damping in (0.0, 0.5, 0.75):
            stepped = [
                amp(y, 1, "gaussian", delta, start=start, schedule="parallel", damping=damping, iterations=1).factors
                for start in (rest, [(1 + error) * x for x in rest])
            ]
            growth = [
                (np.linalg.norm(far) / np.linalg.norm(near) - 1) / error for near, far in zip(*stepped, strict=True)
            ]
            predicted.append(norm_multiplier(len(shape), damping))
            found.append(np.mean(growth))
    return np.array(predicted), np.array(found)


@claim(
    "tensor-spectral-start",
    title="cos² of leading singular vectors of unfoldings, (1 − NΔ²)/(1 + Δ n_a), for a cube and 60 × 100 × 180",
    tolerance=0.12,
    accuracy="statistical",
    reason=_SAMPLING,
    entry="T6",
    quick={"draws": 6},
)
def spectral_start(draws: int = 20, seed: int = 101) -> tuple:
    """Where message passing may begin without a mean: up to Δ = 1/√N, whatever the shape."""
    predicted, found = [], []
    for shape in ((100, 100, 100), (60, 100, 180)):
        size = np.prod(shape) ** (1 / 3)
        for level in (0.2, 0.5):
            delta = level / np.sqrt(size)
            cosines = []
            for y, factors in _spikes(shape, "gaussian", delta, draws, seed):
                cosines.append(cosines_squared(spectral_directions(y, 1), factors))
            predicted.append(spectral_overlap(delta, size, np.array(shape) / size))
            found.append(np.mean(cosines, axis=0))
    return predicted, found


@claim(
    "tensor-start-success",
    title="share of tensors solved from a spectral start at Δ√N = ½ and 2, from a random one at ΔN = 1 and 20",
    tolerance=0.25,
    accuracy="statistical",
    reason="all or none at large size; here one in eight may go the other way",
    entry="T6",
    quick={"draws": 6},
)
def start_success(draws: int = 16, seed: int = 102) -> tuple:
    """Without a mean what can be found depends on the start, at noise that falls with size: 1/√N, or 1/N."""
    predicted, found = [], []
    for size in (40, 80):
        levels = (("spectral", 0.5, 0.5), ("spectral", 2.0, 0.5), ("random", 1.0, 1.0), ("random", 20.0, 1.0))
        for start, level, power in levels:
            delta = level / size**power
            runs = _estimates((size,) * 3, "gaussian", delta, draws, seed, start=start, iterations=60)
            # Solved: more than a quarter of the tensor is explained.
            found.append(np.mean([run.relative_error(truth) < 0.75 for run, truth in runs]))
            predicted.append(1.0 if level <= 1.0 else 0.0)
    return np.array(predicted), np.array(found)


@claim(
    "tensor-continuous-amp",
    title="one mode with mean 1: m_2 m_3 below Δ_c against state evolution, cube and 60 × 120 × 240",
    tolerance=0.2,
    accuracy="statistical",
    reason="close to a continuous transition overlaps scatter by 0.05 from tensor to tensor",
    entry="T3",
    quick={"draws": 6},
)
def continuous_amp(draws: int = 16, seed: int = 103) -> tuple:
    """A tensor that behaves as a matrix: the modes without a mean are found without a jump."""
    priors = [Gaussian(1.0, 0.25), Gaussian(), Gaussian()]
    predicted, found = [], []
    for shape in ((100, 100, 100), (60, 120, 240)):
        ratios = np.array(shape) / np.prod(shape) ** (1 / 3)
        critical = ratios[0] * np.sqrt(ratios[1] * ratios[2])
        for level in (0.3, 0.5):
            overlaps = state_evolution(priors, level * critical, shape)
            runs = _estimates(shape, priors, level * critical, draws, seed, start="spectral", iterations=100)
            predicted.append(overlaps[1] * overlaps[2])
            found.append(np.mean([abs(np.prod(run.overlaps[-1][1:])) for run, _ in runs]))
    return np.array(predicted), np.array(found)
