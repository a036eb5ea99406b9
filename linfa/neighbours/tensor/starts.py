"""Where to begin: from what the prior knows, from a draw, or from the tensor's own leading directions."""

from collections.abc import Sequence

import numpy as np

from linfa._check import integer, seed_value
from linfa._random import stream
from linfa._threads import single_threaded_blas
from linfa.neighbours.tensor.closed_forms import spectral_overlap
from linfa.neighbours.tensor.priors import Prior
from linfa.neighbours.tensor.products import Products
from linfa.neighbours.tensor.spikes import checked_tensor, geometric_mean

# How much of a draw is added to the mean: enough to part components whose priors are alike.
_FLUCTUATION = 1e-3
# Starts of least squares on the small core of a tensor of higher rank, of which the best is kept.
_CORE_STARTS = 10
# Least cos² that a spectral start is credited with: a start of zero would not move.
_LEAST_COSINE = 0.1


def spectral_directions(y: np.ndarray, rank: int, seed: int = 0) -> list[np.ndarray]:
    """Components of the best approximation within each unfolding's leading singular vectors, columns of length 1.

    For rank 1 these are the leading singular vectors themselves. For a higher rank the tensor is projected on the
    r leading ones of each mode, and least squares finds the components of the small core. Signs are such that all
    components enter with a plus.

    Parameters
    ----------
    y : array (N_1, …, N_p)
    rank : int
    seed : int
        Of the starts of least squares on the core, for ranks above 1.

    Raises
    ------
    ValueError, TypeError
        If an argument is not what it must be.

    Examples
    --------
    >>> [x.round(12).ravel().tolist() for x in spectral_directions([[0.0, 3.0], [0.0, 4.0]], 1)]
    [[0.6, 0.8], [0.0, 1.0]]
    """
    y, rank, seed = checked_tensor(y), integer("rank", rank, at_least=1), seed_value("seed", seed)
    with single_threaded_blas():
        return leading_directions(y, rank, seed)


def leading_directions(y: np.ndarray, rank: int, seed: int) -> list[np.ndarray]:
    """`spectral_directions` of checked arguments."""
    bases = [_leading(np.moveaxis(y, a, 0).reshape(n, -1), rank) for a, n in enumerate(y.shape)]
    core = y
    for basis in bases:
        # Each product moves the mode it replaces to the end: after all of them the order is restored.
        core = np.tensordot(core, basis, axes=(0, 0))
    components = [np.ones((1, 1))] * y.ndim if rank == 1 else _core_components(core, rank, seed)
    found = []
    for basis, part in zip(bases, components, strict=True):
        x = basis @ part
        found.append(x / np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny))
    if rank == 1 and core.ravel()[0] < 0:
        found[0] = -found[0]
    return found


def _leading(unfolding: np.ndarray, rank: int) -> np.ndarray:
    """Leading left singular vectors; their signs make the largest entry positive."""
    rows, columns = unfolding.shape
    if rows <= columns:
        vectors = np.linalg.eigh(unfolding @ unfolding.T)[1][:, ::-1][:, :rank]
    else:
        vectors = np.linalg.svd(unfolding, full_matrices=False)[0][:, :rank]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], axis=0)
    return vectors * np.where(largest < 0, -1.0, 1.0)


def _core_components(core: np.ndarray, rank: int, seed: int) -> list[np.ndarray]:
    """Least squares on the core, from several draws; the one with the smallest residual."""
    products, best, least = Products(core), None, np.inf
    for k in range(_CORE_STARTS):
        generator = stream(seed, "weights", k)
        factors = [generator.standard_normal((n, rank)) for n in core.shape]
        for _ in range(100):
            least_squares_sweep(products, factors)
        total = np.zeros(core.shape)
        for rho in range(rank):
            term = factors[0][:, rho]
            for x in factors[1:]:
                term = np.multiply.outer(term, x[:, rho])
            total += term
        residual = np.linalg.norm(core - total)
        if residual < least:
            best, least = [x.copy() for x in factors], residual
    return best


def least_squares_sweep(products: Products, factors: list[np.ndarray]) -> None:
    """x_a ← MTTKRP_a (∘_{b≠a} x_bᵀx_b)⁺, one mode after the other, in place; all but the last get unit columns."""
    last = len(factors) - 1
    for a in range(last + 1):
        gram = np.prod([x.T @ x for b, x in enumerate(factors) if b != a], axis=0)
        target = products.mode(a, factors)
        # Collinear components have a singular Gram matrix: the shortest solution.
        x = target / gram[0, 0] if gram.size == 1 and gram[0, 0] > 0 else target @ np.linalg.pinv(gram, hermitian=True)
        if a < last:
            x = x / np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny)
        factors[a] = x


def spectral_start(y: np.ndarray, rank: int, priors: Sequence[Prior], delta: float, seed: int) -> list[np.ndarray]:
    """Spectral directions as estimates: each as long as its expected cos² with the truth warrants, (N_a, r)."""
    directions = leading_directions(y, rank, seed)
    moments = [np.diag(p.second_moment(rank)) for p in priors]
    size = geometric_mean(y.shape)
    means = [p.mean(rank) for p in priors]
    directions = _matched(directions, means)
    noise = delta / np.prod(moments, axis=0)
    found = []
    for x, square, n in zip(directions, moments, y.shape, strict=True):
        cosine = np.maximum(spectral_overlap(noise, size, n / size, y.ndim), _LEAST_COSINE)
        found.append(x * np.sqrt(n * square * cosine))
    return found


def _matched(directions: list[np.ndarray], means: list[np.ndarray]) -> list[np.ndarray]:
    """Components in the order, and where signs are free with the signs, of the prior's means."""
    from scipy.optimize import linear_sum_assignment

    sums = [x.sum(0) / np.sqrt(len(x)) for x in directions]
    _, order = linear_sum_assignment(-sum(np.outer(np.abs(m), np.abs(s)) for m, s in zip(means, sums, strict=True)))
    directions = [x[:, order].copy() for x in directions]
    for rho in range(len(order)):
        flips = [np.sign(x[:, rho].sum()) * np.sign(m[rho]) for x, m in zip(directions, means, strict=True)]
        wrong, free = [a for a, f in enumerate(flips) if f < 0], [a for a, f in enumerate(flips) if f == 0]
        # Signs flip in pairs.
        if len(wrong) % 2:
            wrong = wrong + free[:1] if free else wrong[:-1]
        for a in wrong:
            directions[a][:, rho] *= -1.0
    return directions


def prior_start(y: np.ndarray, rank: int, priors: Sequence[Prior], seed: int, *, share: float) -> list[np.ndarray]:
    """The prior's mean plus a share of the fluctuation of a draw from it, (N_a, r)."""
    found = []
    for a, (p, n) in enumerate(zip(priors, y.shape, strict=True)):
        mean = p.mean(rank)
        found.append(mean + share * (p.sample(stream(seed, "weights", a), n, rank, False) - mean))
    return found


def uninformed_start(y: np.ndarray, rank: int, priors: Sequence[Prior], seed: int) -> list[np.ndarray]:
    """The prior's mean, with just enough of a draw to part components that are alike."""
    return prior_start(y, rank, priors, seed, share=_FLUCTUATION)


def random_directions(sizes: Sequence[int], rank: int, seed: int) -> list[np.ndarray]:
    """Uniformly distributed unit columns (N_a, r)."""
    drawn = [stream(seed, "weights", a).standard_normal((n, rank)) for a, n in enumerate(sizes)]
    return [x / np.linalg.norm(x, axis=0) for x in drawn]
