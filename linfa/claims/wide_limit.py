"""Claims about wide networks with a scalar output: B11."""

import numpy as np

from linfa._random import stream
from linfa.claims._settings import INTEGRATOR, TIGHT
from linfa.claims.register import claim
from linfa.feedback import Backprop, FeedbackAlignment
from linfa.simulation import ensemble, simulate
from linfa.tasks import LinearTask
from linfa.theory import wide_limit as theory
from linfa.trajectory import Trajectory

CORRELATIONS = (0.0, 0.5, 1.0)


def _neurons(number: int, correlation: float, seed: int, key: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, w and z of each neuron at the start."""
    a, w, zeta = stream(seed, "claim", key).standard_normal((3, number))
    return a, w, correlation * w + np.sqrt(1.0 - correlation**2) * zeta


def _network(a: np.ndarray, w: np.ndarray, richness: float) -> list[np.ndarray]:
    """The neurons as weights of linfa's flow, in which the map is a plain product."""
    scale = 1.0 / np.sqrt(len(a) * richness)
    return [scale * a[:, None], scale * w[None, :]]


def _taught(run: Trajectory, a: np.ndarray, z: np.ndarray, richness: float) -> np.ndarray:
    """u(t), read off how far the lower weights have moved along the feedback."""
    scale = np.sqrt(len(a) * richness)
    return (scale * run.weights[0][:, :, 0] - a) @ z / (z @ z)


@claim(
    "wide-limit-backprop",
    title="error and kernel <a²> of 10⁵ neurons under backprop against the closed forms of infinite width",
    tolerance=1e-2,
    accuracy="statistical",
    reason="one draw: standard errors are 0.9/√N = 0.003 of the kernel and less of the output",
    entry="B11",
    quick={"neurons": 50_000},
)
def backprop(neurons: int = 100_000, richness: float = 1.5, y: float = 1.0, seed: int = 71) -> tuple:
    """B11 for backprop: Δ' = −2HΔ with H = √(1 + γ²f²), solved in closed form."""
    t = np.linspace(0.1, 1.5, 8)
    a, w, _ = _neurons(neurons, 0.0, seed)
    run = simulate(LinearTask([[y]]), _network(a, w, richness), Backprop(), richness * t, rtol=1e-8, atol=1e-10)
    output = theory.backprop_output(t, y, richness)
    moved = np.square(run.weights[0]).sum((1, 2)) * richness
    return [output, theory.kernel(output, richness)], [run.map[:, 0, 0], moved]


@claim(
    "wide-limit-alignment",
    title="output, kernel and cos(w, z) of 50,000 neurons under FA with feedback correlated by 0, ½ and 1",
    tolerance=1.5e-2,
    accuracy="statistical",
    reason="mean of four draws: the largest standard error, of the cosine for ρ = 0, is 2.6/√(4N) = 0.006",
    entry="B11",
    quick={"draws": 2},
)
def alignment(neurons: int = 50_000, draws: int = 4, richness: float = 1.5, y: float = 1.0, seed: int = 72) -> tuple:
    """B11 for feedback alignment: one number u, at the times that its closed form gives for it."""
    predicted, simulated = [], []
    for correlation in CORRELATIONS:
        u = theory.alignment_end(y, richness, correlation) * np.linspace(0.15, 0.95, 7)
        t = theory.alignment_time(u, y, richness, correlation)
        observed = []
        for draw in range(draws):
            a, w, z = _neurons(neurons, correlation, seed, draw)
            feedback = FeedbackAlignment([z[:, None] / np.sqrt(neurons * richness)])
            run = simulate(LinearTask([[y]]), _network(a, w, richness), feedback, richness * t, rtol=1e-8, atol=1e-10)
            moved = np.square(run.weights[0]).sum((1, 2)) * richness
            observed.append([run.map[:, 0, 0], moved, run.weight_alignment[:, 0]])
        predicted += [theory.alignment_output(u, richness, correlation), theory.alignment_kernel(u)]
        predicted.append(theory.alignment_cosine(u, correlation))
        simulated += list(np.mean(observed, axis=0))
    return predicted, simulated


@claim(
    "wide-limit-finite",
    title="FA with 3 to 300 neurons, exactly: u at closed times and its end, from four moments of the start",
    tolerance=3e-11,
    accuracy="closed form",
    reason=INTEGRATOR,
    entry="B11",
)
def finite(richness: float = 1.5, y: float = 1.0, seed: int = 73) -> tuple:
    """B11 without the limit: for any width u obeys a cubic whose coefficients are averages over the neurons."""
    predicted, simulated = [], []
    for key, number in enumerate((3, 30, 300)):
        a, w, z = _neurons(number, 0.4, seed, key)
        moments = (np.mean(w * a), np.mean(w * z) + np.mean(a * a), np.mean(a * z), np.mean(z * z))
        end = theory.finite_end(y, richness, moments)
        u = end * np.array([0.1, 0.4, 0.7, 0.95])
        t = np.append(theory.alignment_time(u, y, richness, 0.4, moments), 100.0)
        feedback = FeedbackAlignment([z[:, None] / np.sqrt(number * richness)])
        run = simulate(LinearTask([[y]]), _network(a, w, richness), feedback, richness * t, **TIGHT)
        predicted.append(np.append(u, end))
        simulated.append(_taught(run, a, z, richness))
    return predicted, simulated


def _ends(neurons: int, correlation: float, draws: int, richness: float, y: float, seed: int) -> np.ndarray:
    """u∞ of independent networks."""
    drawn = [_neurons(neurons, correlation, seed, 1 + m) for m in range(draws)]
    networks = [_network(a, w, richness) for a, w, _ in drawn]
    weights = [np.stack(layer) for layer in zip(*networks, strict=True)]
    feedback = [FeedbackAlignment([z[:, None] / np.sqrt(neurons * richness)]) for _, _, z in drawn]
    run = ensemble(LinearTask([[y]]), weights, feedback, [8.0 * richness], rtol=1e-7, atol=1e-9, threads=1)
    a, z = (np.stack([d[k] for d in drawn]) for k in (0, 2))
    moved = np.sqrt(neurons * richness) * run.weights[0][:, -1, :, 0] - a
    return (moved * z).sum(1) / (z * z).sum(1)


@claim(
    "wide-limit-spread",
    title="standard deviation of u∞ between networks of N neurons over its prediction √(v/N)/(1 + ρ + 3u²/2)",
    tolerance=0.15,
    accuracy="statistical",
    reason="√(1/(2·300)) = 4 % for each standard deviation, three of which may be off by 2.5 standard errors at most",
    entry="B11",
    quick={"draws": 200, "neurons": 250},
)
def spread(draws: int = 300, neurons: int = 400, richness: float = 1.5, y: float = 1.0, seed: int = 74) -> tuple:
    """B11 at finite width: sampling error with its prefactor, not its exponent alone."""
    measured = [np.std(_ends(neurons, c, draws, richness, y, seed), ddof=1) for c in CORRELATIONS]
    predicted = [theory.end_spread(y, richness, c, neurons) for c in CORRELATIONS]
    return np.ones(3), np.array(measured) / np.array(predicted)


@claim(
    "wide-limit-rate",
    title="exponent −1/2 in N of the root-mean-square gap between u∞ of N neurons and its limit",
    tolerance=0.15,
    accuracy="statistical",
    reason="4.5 % for each of two spreads over a factor 16 in N are 0.023 of 0.5 in the slope; three times that",
    entry="B11",
    quick={"draws": 150, "narrow": 60},
)
def rate(draws: int = 250, narrow: int = 100, richness: float = 1.5, y: float = 1.0, seed: int = 75) -> tuple:
    """B11: how the limit is approached; the mean bias is of second order and does not show."""
    end = theory.alignment_end(y, richness, 0.5)
    gaps = [np.sqrt(np.mean((_ends(n, 0.5, draws, richness, y, seed) - end) ** 2)) for n in (narrow, 16 * narrow)]
    return -0.5, np.log(gaps[1] / gaps[0]) / np.log(16.0)


@claim(
    "wide-limit-lazy",
    title="richness → 0: FA's error over y e^{−(1+ρ)t} and backprop's over y e^{−2t}, exponent 2 of the gap",
    tolerance=2e-2,
    accuracy="asymptotic",
    reason="slopes between γ = 0.1 and 0.05 of exactly solved finite networks; the next term is γ² of the gap",
    entry="B11",
)
def lazy(richness: float = 0.1, y: float = 1.0, seed: int = 76) -> tuple:
    """B11's lazy limit: features stay, feedback counts by its correlation alone.

    Neurons are balanced in quadruples, so that all first and second moments have their limits and no sampling error
    hides the gap.
    """
    t = np.array([0.5, 1.0, 2.0])
    predicted, simulated = [], []
    for correlation in (-0.5, 0.0, 0.5):
        # a, w and ζ are the columns of a Hadamard matrix: orthogonal, with <a²> = <w²> = <z²> = 1 and <a z> = 0.
        a, w, zeta = (np.array(signs) for signs in ([1.0, -1, 1, -1], [1.0, 1, -1, -1], [1.0, -1, -1, 1]))
        z = correlation * w + np.sqrt(1 - correlation**2) * zeta
        gaps = []
        for gamma in (richness, richness / 2):
            feedback = FeedbackAlignment([z[:, None] / np.sqrt(4 * gamma)])
            for rule, speed in ((feedback, 1 + correlation), (Backprop(), 2.0)):
                run = simulate(LinearTask([[y]]), _network(a, w, gamma), rule, gamma * t, **TIGHT)
                gaps.append(run.error_correlation[:, 0, 0] / (y * np.exp(-speed * t)) - 1)
        predicted.append(np.full((2, len(t)), 2.0))
        simulated.append(np.log2(np.array([gaps[0] / gaps[2], gaps[1] / gaps[3]])))
    return predicted, simulated
