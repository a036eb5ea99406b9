"""Alternating least squares: the best approximation of low rank, which knows neither prior nor noise."""

from collections.abc import Sequence

import numpy as np

from linfa._check import choice, integer, real_number, seed_value
from linfa._threads import single_threaded_blas
from linfa.neighbours.tensor.decomposition import Decomposition, OverlapRecord
from linfa.neighbours.tensor.products import Products
from linfa.neighbours.tensor.spikes import checked_factors, checked_tensor, spike_scale
from linfa.neighbours.tensor.starts import leading_directions, least_squares_sweep, random_directions


def als(
    y: np.ndarray,
    rank: int,
    *,
    start: str | Sequence[np.ndarray] = "spectral",
    iterations: int = 1000,
    tolerance: float = 1e-9,
    truth: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> Decomposition:
    """Minimise |Y − T̂|² over tensors of low rank, one mode after the other: x_a ← Y(x_b, b ≠ a) (∘_{b≠a} x_bᵀx_b)⁻¹.

    Parameters
    ----------
    y : array (N_1, …, N_p), p ≥ 2
    rank : int
    start : {"spectral", "random"} or list of p arrays (N_a, r)
        Leading singular vectors of the unfoldings, random directions, or given.
    iterations : int
        Sweeps at most.
    tolerance : float
        Change of a sweep, relative to the size of a factor, that counts as rest.
    truth : list of p arrays (N_a, r), optional
        True factors, with which overlaps are recorded sweep by sweep.
    seed : int
        For a start that draws.

    Returns
    -------
    Decomposition
        In linfa's scale of spikes; the length of a component is shared between its modes as √N_a.

    Raises
    ------
    ValueError, TypeError
        If an argument is not what it must be.

    Examples
    --------
    >>> from linfa.neighbours.tensor import spike
    >>> y, factors = spike((10, 11, 12), 2, "gaussian", delta=0.0, seed=1)
    >>> bool(als(y, 2).relative_error(factors) < 1e-12)
    True
    """
    y = checked_tensor(y)
    rank = integer("rank", rank, at_least=1)
    iterations = integer("iterations", iterations, at_least=1)
    tolerance = real_number("tolerance", tolerance, above=0.0)
    truth = None if truth is None else checked_factors("truth", truth, y.shape, rank)
    seed = seed_value("seed", seed)
    products, record = Products(y), OverlapRecord(truth)
    with single_threaded_blas():
        if not isinstance(start, str):
            factors = checked_factors("start", start, y.shape, rank)
        elif choice("start", start, ("spectral", "random")) == "spectral":
            factors = leading_directions(y, rank, seed)
        else:
            factors = random_directions(y.shape, rank, seed)
        record.add(_balanced(factors, y.shape))
        change, done = np.inf, 0
        while done < iterations and not change <= tolerance:
            before = list(factors)
            least_squares_sweep(products, factors)
            change = max(
                float(np.linalg.norm(x - z) / max(np.linalg.norm(x), np.finfo(float).tiny))
                for x, z in zip(factors, before, strict=True)
            )
            done += 1
            record.add(_balanced(factors, y.shape))
    return Decomposition(_balanced(factors, y.shape), done, bool(change <= tolerance), change, record.array)


def _balanced(factors: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
    """The same tensor in the scale of spikes, columns of mode a of lengths ∝ √N_a."""
    lengths = [np.linalg.norm(x, axis=0) for x in factors]
    # Π √N_a times the scale of a spike of such columns is √N: what is left is shared equally.
    total = np.prod([length / np.sqrt(n) for length, n in zip(lengths, sizes, strict=True)], axis=0)
    share = (total / spike_scale(sizes)) ** (1 / len(sizes))
    return [
        x * (np.sqrt(n) * share / np.where(length > 0, length, 1.0))
        for x, length, n in zip(factors, lengths, sizes, strict=True)
    ]
