"""Bayesian approximate message passing: factors of a noisy tensor of low rank, given what is known about them."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from linfa._check import choice, flag, integer, real_number, seed_value
from linfa._threads import single_threaded_blas
from linfa.neighbours.tensor.decomposition import Decomposition, OverlapRecord
from linfa.neighbours.tensor.kernels import messages, settle
from linfa.neighbours.tensor.priors import Gaussian, Prior, mode_priors
from linfa.neighbours.tensor.products import Products
from linfa.neighbours.tensor.spikes import checked_factors, checked_tensor, geometric_mean, spike_scale
from linfa.neighbours.tensor.starts import prior_start, spectral_start, uninformed_start
from linfa.simulation import DivergenceWarning

STARTS = ("auto", "prior", "random", "spectral")
SCHEDULES = ("sequential", "parallel")


def amp(
    y: np.ndarray,
    rank: int,
    prior: Prior | str | Sequence[Prior | str],
    delta: float,
    *,
    start: str | Sequence[np.ndarray] = "auto",
    schedule: str = "sequential",
    damping: float | None = None,
    onsager: bool = True,
    iterations: int = 500,
    tolerance: float = 1e-6,
    truth: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> Decomposition:
    """Estimate the factors of y = N^{−(p−1)/2} Σ_ρ x_1ρ ⊗ … ⊗ x_pρ + √Δ ε by Bayesian approximate message passing.

        A_a = (1/Δ) ∘_{b≠a} x̂_bᵀx̂_b/N,   B_a = N^{−(p−1)/2}/Δ Y(x̂_b, b ≠ a) − Onsager_a,   x̂_a = f_a(A_a, B_a)
        Onsager_a = (1/Δ) Σ_{b≠a} x̂_a⁽ᵇ⁾ [S_b ∘_{c≠a,b} x̂_cᵀx̂_c⁽ᵇ⁾/N]ᵀ

    where x̂⁽ᵇ⁾ are the factors that the last update of mode b used and S_b is the sum of its posterior covariances
    over N: what mode a told mode b is taken out of the answer.

    Parameters
    ----------
    y : array (N_1, …, N_p), p ≥ 2
    rank : int
    prior : Prior or its name, or one for each mode
        What the rows of the factors are drawn from.
    delta : float
        Variance Δ of the noise, above 0.
    start : {"auto", "prior", "random", "spectral"} or list of p arrays (N_a, r)
        The prior's mean; a draw from the prior; leading singular vectors of the unfoldings; or given, as for an
        informed start. "auto" takes the mean where at most one mode lacks one, and else the spectral start.
    schedule : {"sequential", "parallel"}
        Update one mode after the other, each with the newest others; or all at once, as state evolution does.
    damping : float, optional
        Share of the old estimate that is kept, at least 0 and below 1. By default 0; under the parallel schedule with
        a Gaussian prior (p − 3/2)/p, 1/2 for p = 3, since undamped the norms of all modes oscillate and grow together
        by −(p − 1) a step.
    onsager : bool
        Leave the reaction term out to see what it is for.
    iterations : int
        Sweeps at most.
    tolerance : float
        Change per sweep, relative to the factors' expected size, that counts as rest.
    truth : list of p arrays (N_a, r), optional
        True factors, with which overlaps are recorded sweep by sweep.
    seed : int
        For a start that draws.

    Returns
    -------
    Decomposition

    Raises
    ------
    ValueError, TypeError
        If the noise is not positive, or the prior, the start or the true factors do not fit.

    Warns
    -----
    DivergenceWarning
        If the estimate leaves the range of floating point; what it was before is returned.

    Notes
    -----
    Source: Kadmon & Ganguli 2018, arXiv 1810.10065; the form of the Onsager term for any order and schedule is derived
    here. Gaussian factors can trade length with each other at hardly any cost. That makes the last digits slow at
    little noise, and without a mean only cos² and the error of the tensor are worth comparing.

    Examples
    --------
    >>> from linfa.neighbours.tensor import Gaussian, spike
    >>> y, factors = spike((40, 40, 40), 1, Gaussian(mean=1.0), delta=0.5, seed=0)
    >>> found = amp(y, 1, Gaussian(mean=1.0), 0.5)
    >>> found.converged, bool(found.relative_error(factors) < 0.2)
    (True, True)
    """
    y = checked_tensor(y)
    rank = integer("rank", rank, at_least=1)
    priors = mode_priors(prior, y.ndim, rank)
    delta = real_number("delta", delta, above=0.0)
    parallel = choice("schedule", schedule, SCHEDULES) == "parallel"
    if damping is None:
        unstable = parallel and any(isinstance(p, Gaussian) for p in priors)
        damping = (y.ndim - 1.5) / y.ndim if unstable else 0.0
    damping = real_number("damping", damping, at_least=0.0)
    if damping >= 1.0:
        raise ValueError(f"damping is {damping:g}; it must be below 1, or nothing moves")
    onsager = flag("onsager", onsager)
    iterations = integer("iterations", iterations, at_least=1)
    tolerance = real_number("tolerance", tolerance, above=0.0)
    truth = None if truth is None else checked_factors("truth", truth, y.shape, rank)
    seed = seed_value("seed", seed)
    with single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):
        first = _started(start, y, rank, priors, delta, seed)
        passing, record = _MessagePassing(y, priors, delta, damping, onsager, first), OverlapRecord(truth)
        record.add(first)
        change, done = np.inf, 0
        while done < iterations and not change <= tolerance:
            before = passing.state.copy()
            change = passing.sweep(parallel)
            if not np.isfinite(change):
                warnings.warn(f"message passing diverged in sweep {done + 1}", DivergenceWarning, stacklevel=2)
                passing.state = before
                break
            done += 1
            record.add(passing.factors)
    covariances = [s * passing.size / n for s, n in zip(passing.state.spreads, y.shape, strict=True)]
    return Decomposition(passing.factors, done, bool(change <= tolerance), change, record.array, covariances)


def _started(start: object, y: np.ndarray, rank: int, priors: list[Prior], delta: float, seed: int) -> list[np.ndarray]:
    if not isinstance(start, str):
        return checked_factors("start", start, y.shape, rank)
    name = choice("start", start, STARTS)
    if name == "auto":
        meanless = sum(not p.mean(rank).any() for p in priors)
        name = "prior" if meanless <= 1 else "spectral"
    if name == "spectral":
        return spectral_start(y, rank, priors, delta, seed)
    return uninformed_start(y, rank, priors, seed) if name == "prior" else prior_start(y, rank, priors, seed, share=1.0)


class _State(NamedTuple):
    """Estimates, and what every mode knew when it was updated last; factors stand one below the other."""

    factors: np.ndarray  # (Σ N_a, r)
    used: np.ndarray  # (p, Σ N_a, r), the factors as the last update of each mode saw them
    spreads: np.ndarray  # (p, r, r), sum over rows of the posterior covariance, over N
    known: np.ndarray  # (p,), which modes have been updated

    def copy(self) -> "_State":
        return _State(*(part.copy() for part in self))


class _MessagePassing:
    """Message passing on one tensor, sweep by sweep."""

    def __init__(
        self, y: np.ndarray, priors: list[Prior], delta: float, damping: float, onsager: bool, start: list[np.ndarray]
    ) -> None:
        rank, modes = start[0].shape[1], y.ndim
        self.products, self.priors = Products(y), priors
        self.delta, self.damping, self.onsager = delta, damping, onsager
        self.size = geometric_mean(y.shape)
        self.field_scale = spike_scale(y.shape) / delta
        self.offsets = np.concatenate([[0], np.cumsum(y.shape)])
        self.rows = [slice(int(k), int(l)) for k, l in zip(self.offsets[:-1], self.offsets[1:], strict=True)]
        moments = [np.trace(p.second_moment(rank)) for p in priors]
        self.squares = [float(n * m) for n, m in zip(y.shape, moments, strict=True)]
        factors = np.ascontiguousarray(np.concatenate(start))
        used = np.zeros((modes, *factors.shape))
        self.state = _State(factors, used, np.zeros((modes, rank, rank)), np.zeros(modes, dtype=np.bool_))

    @property
    def factors(self) -> list[np.ndarray]:
        return [self.state.factors[rows].copy() for rows in self.rows]

    def sweep(self, parallel: bool) -> float:
        """Update every mode once; returns the largest change relative to the expected size of a factor."""
        read = self.state
        write = read.copy() if parallel else read
        views = [read.factors[rows] for rows in self.rows]
        changes = []
        for a, (prior, rows) in enumerate(zip(self.priors, self.rows, strict=True)):
            precision = np.empty_like(read.spreads[a])
            fields = self.products.mode(a, views)
            fields *= self.field_scale
            known = read.known if self.onsager else np.zeros_like(read.known)
            messages(
                a, self.offsets, read.factors, read.used, read.spreads, known, self.size, self.delta, precision, fields
            )
            means, covariance = prior.posterior(precision, fields)
            covariance /= self.size
            if self.damping and read.known[a]:
                covariance += self.damping * (read.spreads[a] - covariance)
            write.used[a] = read.factors
            write.spreads[a] = covariance
            changes.append(settle(means, self.damping, views[a], write.factors[rows]) / self.squares[a])
            write.known[a] = True
        self.state = write
        # Not a number where one of them is, which Python's max would hide.
        return float(np.sqrt(np.max(changes)))
