"""Spiked tensors: drawing them, and how close an estimate comes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from linfa._check import flag, integer, matching, real_array, real_number, seed_value
from linfa._random import stream
from linfa.neighbours.tensor.priors import Prior, mode_priors


class Spike(NamedTuple):
    """A tensor of low rank seen through noise.

    Attributes
    ----------
    y : array (N_1, …, N_p)
        The tensor.
    factors : list of p arrays (N_a, r)
        What it is made of: y = N^{−(p−1)/2} Σ_ρ x_1ρ ⊗ … ⊗ x_pρ + √Δ ε.
    """

    y: np.ndarray
    factors: list[np.ndarray]


def mode_sizes(shape: object) -> tuple[int, ...]:
    """Sizes of the modes: at least two, none zero."""
    if isinstance(shape, (str, bytes)) or not np.iterable(shape):
        raise TypeError(f"shape is {shape!r}; it must be a sequence of sizes, one for each mode")
    sizes = tuple(integer(f"shape[{a}]", n, at_least=1) for a, n in enumerate(shape))
    if len(sizes) < 2:
        raise ValueError(f"shape is {sizes}; it must name at least two modes")
    return sizes


def geometric_mean(sizes: Sequence[int]) -> float:
    """N = (Π N_a)^{1/p}."""
    return float(np.exp(np.mean(np.log(sizes))))


def spike_scale(sizes: Sequence[int]) -> float:
    """N^{−(p−1)/2}, what multiplies the product of the factors."""
    return geometric_mean(sizes) ** (-(len(sizes) - 1) / 2)


def checked_factors(name: str, factors: object, sizes: Sequence[int], rank: int | None = None) -> list[np.ndarray]:
    """`factors` as one array (N_a, r) for each mode, all of the same rank."""
    if isinstance(factors, (str, bytes, np.ndarray)) or not np.iterable(factors):
        raise TypeError(f"{name} is {type(factors).__name__}; it must be a list of factors, one for each mode")
    found = [real_array(f"{name}[{a}]", x, 2) for a, x in enumerate(factors)]
    if len(found) != len(sizes):
        raise ValueError(f"{name} holds {len(found)} factors; it must hold {len(sizes)}, one for each mode")
    rank = found[0].shape[1] if rank is None else rank
    for a, (x, size) in enumerate(zip(found, sizes, strict=True)):
        matching(f"{name}[{a}]", x, (size, rank))
    return found


def checked_tensor(value: object) -> np.ndarray:
    """`value` as a tensor of order 2 and more, of a scale at which products and squares stay in range."""
    y = real_array("y", value, tuple(range(2, 17)))
    largest = float(np.abs(y).max())
    if largest > 0 and not 1e-100 < largest < 1e100:
        raise ValueError(f"y has entries of size {largest:.1e}; it must be scaled to between 1e-100 and 1e100")
    return y


def _sizes_of(name: str, factors: object) -> tuple[int, ...]:
    """Sizes of the modes of a list of factors."""
    if isinstance(factors, (str, bytes, np.ndarray)) or not np.iterable(factors):
        raise TypeError(f"{name} is {type(factors).__name__}; it must be a list of factors, one for each mode")
    if len(factors) < 2:
        raise ValueError(f"{name} holds {len(factors)} factors; it must hold at least two, one for each mode")
    return tuple(len(real_array(f"{name}[{a}]", x, 2)) for a, x in enumerate(factors))


def full_tensor(factors: Sequence[np.ndarray]) -> np.ndarray:
    """N^{−(p−1)/2} Σ_ρ x_1ρ ⊗ … ⊗ x_pρ, (N_1, …, N_p).

    Examples
    --------
    >>> full_tensor([np.ones((4, 1)), np.ones((4, 1))])[0]
    array([0.5, 0.5, 0.5, 0.5])
    """
    sizes = _sizes_of("factors", factors)
    factors = checked_factors("factors", factors, sizes)
    return (spike_scale(sizes) * (khatri_rao(factors[:-1]).T @ factors[-1].T)).reshape(sizes)


def khatri_rao(factors: Sequence[np.ndarray]) -> np.ndarray:
    """Products x_1[i_1, ρ] x_2[i_2, ρ] …, (r, N_1 N_2 …), the last index running fastest."""
    found = np.ascontiguousarray(factors[0].T)
    for x in factors[1:]:
        found = (found[:, :, None] * x.T[:, None, :]).reshape(len(found), -1)
    return found


def spike(
    shape: Sequence[int],
    rank: int,
    prior: Prior | str | Sequence[Prior | str],
    delta: float,
    seed: int,
    exact_moments: bool = False,
) -> Spike:
    """Draw a spiked tensor y = N^{−(p−1)/2} Σ_ρ x_1ρ ⊗ … ⊗ x_pρ + √Δ ε, ε ~ N(0, 1), rows of x_a from the prior.

    Parameters
    ----------
    shape : sequence of p ≥ 2 sizes
    rank : int
    prior : Prior or its name, or one for each mode
    delta : float
        Variance of the noise, at least 0.
    seed : int
    exact_moments : bool
        Centre and whiten Gaussian factors, and draw each state of discrete ones as often as it is expected, so that
        sample moments are those of the prior. The signal-to-noise ratio of a drawn tensor fluctuates by √(2p/N), the
        largest deviation from theory at finite size; this removes it.

    Returns
    -------
    Spike
        ``y`` and ``factors``; it unpacks into the two.

    Raises
    ------
    ValueError, TypeError
        If a size is zero, the noise is negative, or the prior does not fit the rank.

    Examples
    --------
    >>> y, factors = spike((4, 5, 6), 2, "rademacher", delta=0.1, seed=0)
    >>> y.shape, [x.shape for x in factors]
    ((4, 5, 6), [(4, 2), (5, 2), (6, 2)])
    """
    sizes = mode_sizes(shape)
    rank = integer("rank", rank, at_least=1)
    priors = mode_priors(prior, len(sizes), rank)
    delta = real_number("delta", delta, at_least=0.0)
    seed, exact = seed_value("seed", seed), flag("exact_moments", exact_moments)
    factors = [
        np.ascontiguousarray(p.sample(stream(seed, "task", a), n, rank, exact))
        for a, (p, n) in enumerate(zip(priors, sizes, strict=True))
    ]
    y = stream(seed, "data").standard_normal(sizes)
    y *= np.sqrt(delta)
    y += full_tensor(factors)
    return Spike(y, factors)


def relative_error(estimate: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """|T̂ − T|²/|T|² of the tensors that two lists of factors make, without building them.

    Raises
    ------
    ValueError
        If the factors do not fit, or the true tensor is zero.

    Examples
    --------
    >>> relative_error([np.zeros((3, 1)), np.zeros((2, 1))], [np.ones((3, 1)), np.ones((2, 1))])
    1.0
    """
    truth = checked_factors("truth", truth, _sizes_of("truth", truth))
    estimate = checked_factors("estimate", estimate, [len(x) for x in truth])

    def product(left: list[np.ndarray], right: list[np.ndarray]) -> float:
        return float(np.prod([x.T @ z for x, z in zip(left, right, strict=True)], axis=0).sum())

    square = product(truth, truth)
    if not square > 0:
        raise ValueError("truth makes a tensor of zeros; an error relative to it has no meaning")
    return (product(estimate, estimate) - 2 * product(estimate, truth) + square) / square


def cosines_squared(estimate: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> np.ndarray:
    """cos² between estimated and true factors, mode by mode; components are paired so that their sum is largest.

    The length of a factor without a mean can move from one mode to another at no cost; directions cannot.

    Returns
    -------
    array (p,), or (p, r) for a rank above 1
        In the order of the true components; 0 where a factor is zero.

    Examples
    --------
    >>> cosines_squared([np.array([[2.0], [0.0]])] * 2, [np.array([[1.0], [1.0]])] * 2).round(12)
    array([0.5, 0.5])
    """
    from scipy.optimize import linear_sum_assignment

    truth = checked_factors("truth", truth, _sizes_of("truth", truth))
    estimate = checked_factors("estimate", estimate, [len(x) for x in truth], truth[0].shape[1])
    squares = []
    for x, z in zip(truth, estimate, strict=True):
        lengths = np.outer(np.square(x).sum(0), np.square(z).sum(0))
        squares.append(np.divide(np.square(x.T @ z), lengths, out=np.zeros_like(lengths), where=lengths > 0))
    rows, columns = linear_sum_assignment(-np.sum(squares, axis=0))
    found = np.array([s[rows, columns] for s in squares])
    return found[:, 0] if found.shape[1] == 1 else found
