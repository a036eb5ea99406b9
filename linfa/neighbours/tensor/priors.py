"""What is known about a row of a factor before the tensor is seen: Gaussian, signs, zeros and ones, any finite set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from linfa._check import choice, integer, real_array, real_number
from linfa.neighbours.tensor import closed_forms
from linfa.neighbours.tensor.kernels import discrete_posterior

# States of a row that are enumerated at most: beyond, one row alone takes longer than a product with the tensor.
_MOST_STATES = 4096
# Grids of the Gaussian average, (half-width, step) by dimension. The trapezoidal rule errs by e^{−2π²/(uh) − u²/8} at
# worst over the distance u of two states in units of the noise: 1e-16, 1e-10 and 1e-6.
_GRIDS = {1: (9.0, 0.05), 2: (8.0, 0.15), 3: (7.0, 0.35)}


class Prior(ABC):
    """Distribution of a row of a factor: see `Gaussian`, `Rademacher`, `Bernoulli`, `Discrete`.

    Attributes
    ----------
    components : int or None
        Length of the rows that it describes; None where it describes one number, of which a row of any length holds
        independent copies.
    """

    components: int | None

    @abstractmethod
    def mean(self, rank: int = 1) -> np.ndarray:
        """E[x], (r,)."""

    @abstractmethod
    def covariance(self, rank: int = 1) -> np.ndarray:
        """E[x xᵀ] − E[x] E[x]ᵀ, (r, r)."""

    @abstractmethod
    def posterior(self, precision: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means (N, r) of P(x) exp(−xᵀA x/2 + Bᵀx) for each row B of `fields`, and the sum of its covariances."""

    @abstractmethod
    def overlap(self, precision: np.ndarray) -> np.ndarray:
        """g(A) = E[f xᵀ] at B = A x + A^{1/2} z, (r, r)."""

    @abstractmethod
    def evidence(self, precision: np.ndarray) -> float:
        """ψ(A) = E log ∫ dP(x) exp(−xᵀA x/2 + Bᵀx) at B = A X + A^{1/2} z."""

    @abstractmethod
    def sample(self, generator: np.random.Generator, size: int, rank: int, exact_moments: bool) -> np.ndarray:
        """Rows (size, r); with `exact_moments` their mean and second moments are those of the prior."""

    def second_moment(self, rank: int = 1) -> np.ndarray:
        """E[x xᵀ], (r, r)."""
        mean = self.mean(rank)
        return self.covariance(rank) + np.outer(mean, mean)


class Gaussian(Prior):
    """Rows N(μ, v I).

    Parameters
    ----------
    mean : float or array (r,)
        A vector fixes the rank.
    variance : float, above 0

    Raises
    ------
    ValueError, TypeError
        If the variance is not above 0, or the mean is not finite.

    Examples
    --------
    >>> Gaussian(mean=0.3).second_moment().round(12)
    array([[1.09]])
    """

    def __init__(self, mean: float | Sequence[float] = 0.0, variance: float = 1.0) -> None:
        self._mean = np.array(real_number("mean", mean)) if np.ndim(mean) == 0 else real_array("mean", mean, 1)
        self.variance = real_number("variance", variance, above=0.0)
        self.components = None if self._mean.ndim == 0 else len(self._mean)

    def __repr__(self) -> str:
        return f"Gaussian(mean={self._mean.tolist()}, variance={self.variance:g})"

    def mean(self, rank: int = 1) -> np.ndarray:
        """E[x], (r,)."""
        return np.full(rank, self._mean)

    def covariance(self, rank: int = 1) -> np.ndarray:
        """v I, (r, r)."""
        return self.variance * np.eye(rank)

    def posterior(self, precision: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A + I/v)⁻¹(B + μ/v) and N (A + I/v)⁻¹."""
        rank = len(precision)
        if rank == 1:
            spread = 1.0 / (precision + 1.0 / self.variance)
            return (fields + self._mean / self.variance) * spread, len(fields) * spread
        spread = np.linalg.inv(precision + np.eye(rank) / self.variance)
        spread = 0.5 * (spread + spread.T)
        return (fields + self._mean / self.variance) @ spread, len(fields) * spread

    def overlap(self, precision: np.ndarray) -> np.ndarray:
        """μμᵀ + v (A + I/v)⁻¹ A, (r, r)."""
        mean, rank = self.mean(len(precision)), len(precision)
        if rank == 1:
            return closed_forms.gaussian_overlap(precision, mean[0], self.variance)
        gain = self.variance * np.linalg.solve(precision + np.eye(rank) / self.variance, precision)
        return np.outer(mean, mean) + 0.5 * (gain + gain.T)

    def evidence(self, precision: np.ndarray) -> float:
        """½[tr(E[x xᵀ] A) − log det(I + v A)]."""
        rank = len(precision)
        square = np.sum(self.second_moment(rank) * precision)
        return float(0.5 * (square - np.linalg.slogdet(np.eye(rank) + self.variance * precision)[1]))

    def sample(self, generator: np.random.Generator, size: int, rank: int, exact_moments: bool) -> np.ndarray:
        """Rows (size, r); exact moments by centring and whitening the draw, which needs more than r rows."""
        drawn = generator.standard_normal((size, rank))
        if exact_moments:
            if size <= rank:
                raise ValueError(f"exact_moments needs more than {rank} rows in every mode; one has {size}")
            drawn -= drawn.mean(0)
            # Whitening by the inverse square root turns the draw least.
            values, vectors = np.linalg.eigh(drawn.T @ drawn / size)
            drawn = drawn @ (vectors / np.sqrt(values)) @ vectors.T
        return self._mean + np.sqrt(self.variance) * drawn


class Discrete(Prior):
    """Rows from a finite set.

    Parameters
    ----------
    values : array (K,) or (K, r)
        Numbers, of which rows of any length hold independent copies; or whole rows.
    probabilities : array (K,)
        Above 0, adding up to 1.

    Raises
    ------
    ValueError, TypeError
        If the probabilities do not fit, do not add up, or a component has no variance.

    Examples
    --------
    >>> Discrete([-1, 0, 1], [0.1, 0.8, 0.1]).covariance().round(12)
    array([[0.2]])
    """

    def __init__(self, values: Sequence, probabilities: Sequence[float]) -> None:
        found = real_array("values", values, (1, 2))
        weights = real_array("probabilities", probabilities, 1)
        if len(weights) != len(found):
            raise ValueError(f"probabilities has {len(weights)} entries; it must have {len(found)}, one for each value")
        if (weights <= 0).any():
            raise ValueError(f"probabilities holds {weights.min():g}; every probability must be above 0")
        # Ten decimals typed by hand.
        if abs(weights.sum() - 1.0) > 1e-9:
            raise ValueError(f"probabilities add up to {weights.sum():.12g}; they must add up to 1")
        self.components = None if found.ndim == 1 else found.shape[1]
        self._values = found.reshape(len(found), -1)
        self._probabilities = weights / weights.sum()
        mean = self._probabilities @ self._values
        # Values that mirror each other have no mean, whatever rounding says.
        self._mean = np.where(np.abs(mean) < 1e-14 * np.abs(self._values).max(), 0.0, mean)
        lowest = np.linalg.eigvalsh(self._covariance())[0] if self._values.shape[1] > 1 else self._covariance()[0, 0]
        if lowest <= 1e-14 * np.square(self._values).max():
            raise ValueError("values have no variance in some direction; a factor that is known cannot be estimated")
        self._states: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __repr__(self) -> str:
        values = self._values[:, 0] if self.components is None else self._values
        return f"Discrete({values.tolist()}, {self._probabilities.tolist()})"

    def _covariance(self) -> np.ndarray:
        centred = self._values - self._probabilities @ self._values
        return (centred.T * self._probabilities) @ centred

    def _enumerated(self, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All rows of this length, their probabilities and the logarithms of these."""
        if rank not in self._states:
            if self.components is not None:
                states, weights = self._values, self._probabilities
            elif len(self._values) ** rank > _MOST_STATES:
                raise ValueError(
                    f"rank is {rank}; {len(self._values)} values per component make more than {_MOST_STATES} states of "
                    "a row"
                )
            else:
                states = np.array(list(product(self._values[:, 0], repeat=rank)))
                weights = np.array([np.prod(p) for p in product(self._probabilities, repeat=rank)])
            self._states[rank] = states, weights, np.log(weights)
        return self._states[rank]

    def mean(self, rank: int = 1) -> np.ndarray:
        """E[x], (r,)."""
        return np.full(rank, self._mean)

    def covariance(self, rank: int = 1) -> np.ndarray:
        """E[x xᵀ] − E[x] E[x]ᵀ, (r, r)."""
        return self._covariance() if self.components is not None else self._covariance()[0, 0] * np.eye(rank)

    def posterior(self, precision: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and summed covariance by enumeration of the states of a row."""
        means, _, covariance = self._posterior(precision, fields)
        return means, covariance

    def _posterior(self, precision: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        states, _, log_weights = self._enumerated(len(precision))
        means, evidence, covariance = np.empty_like(fields), np.empty(len(fields)), np.empty_like(precision)
        discrete_posterior(precision, fields, states, log_weights, means, evidence, covariance)
        return means, evidence, covariance

    def _average(self, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Posterior means and evidences at all nodes of the average over x and z, and the nodes' weights."""
        states, probabilities, _ = self._enumerated(len(precision))
        nodes, weights = _gaussian_grid(len(precision))
        root = _root(precision)
        fields = (states @ precision)[:, None, :] + (nodes @ root)[None, :, :]
        means, evidence, _ = self._posterior(precision, np.ascontiguousarray(fields.reshape(-1, len(precision))))
        return means, evidence, np.outer(probabilities, weights).ravel()

    def overlap(self, precision: np.ndarray) -> np.ndarray:
        """g(A), (r, r), by the trapezoidal rule.

        Independent components that have independent noise are averaged one by one, whatever their number.

        Raises
        ------
        ValueError
            If more than three components depend on each other.
        """
        rank = len(precision)
        if rank > 1 and self.components is None and not np.any(precision - np.diag(np.diag(precision))):
            mean = self.mean(rank)
            found = np.outer(mean, mean)
            for k in range(rank):
                found[k, k] = self.overlap(precision[k : k + 1, k : k + 1])[0, 0]
            return found
        means, _, weights = self._average(precision)
        # E[f xᵀ] = E[f fᵀ]; about the mean, no digits cancel where the overlap is small.
        mean = self.mean(rank)
        means -= mean
        return np.outer(mean, mean) + (means.T * weights) @ means

    def evidence(self, precision: np.ndarray) -> float:
        """ψ(A) by the trapezoidal rule; raises as `overlap` does."""
        rank = len(precision)
        if rank > 1 and self.components is None and not np.any(precision - np.diag(np.diag(precision))):
            return sum(self.evidence(precision[k : k + 1, k : k + 1]) for k in range(rank))
        _, evidence, weights = self._average(precision)
        return float(weights @ evidence)

    def sample(self, generator: np.random.Generator, size: int, rank: int, exact_moments: bool) -> np.ndarray:
        """Rows (size, r); exact moments by drawing each state as often as it is expected, up to rounding."""
        states, probabilities, _ = self._enumerated(rank)
        if not exact_moments:
            return states[generator.choice(len(states), size, p=probabilities)]
        expected = size * probabilities
        counts = np.floor(expected + 1e-9).astype(int)
        # The rows that remain go to the states that are shortest of their share.
        for k in np.argsort(counts - expected, kind="stable")[: size - counts.sum()]:
            counts[k] += 1
        return generator.permutation(np.repeat(states, counts, axis=0))


class Rademacher(Discrete):
    """Signs: −1 and 1 with probability ½ each.

    Examples
    --------
    >>> Rademacher().covariance()
    array([[1.]])
    """

    def __init__(self) -> None:
        super().__init__([-1.0, 1.0], [0.5, 0.5])

    def __repr__(self) -> str:
        return "Rademacher()"


class Bernoulli(Discrete):
    """Ones with probability ρ, zeros otherwise.

    Parameters
    ----------
    density : float
        ρ, between 0 and 1, both excluded.

    Raises
    ------
    ValueError, TypeError
        If the density is not between 0 and 1: without variance there is nothing to estimate.

    Examples
    --------
    >>> Bernoulli(0.25).mean()
    array([0.25])
    """

    def __init__(self, density: float) -> None:
        self.density = real_number("density", density, above=0.0)
        if self.density >= 1.0:
            raise ValueError(f"density is {self.density:g}; it must be below 1")
        super().__init__([0.0, 1.0], [1.0 - self.density, self.density])

    def __repr__(self) -> str:
        return f"Bernoulli({self.density:g})"


PRIORS = {"gaussian": Gaussian, "rademacher": Rademacher, "bernoulli": Bernoulli, "discrete": Discrete}


def named_prior(name: str, **parameters: object) -> Prior:
    """The prior of this name: gaussian (mean, variance), rademacher, bernoulli (density), discrete (values, …).

    Raises
    ------
    ValueError, TypeError
        If there is none of this name, or its parameters are others.

    Examples
    --------
    >>> named_prior("bernoulli", density=0.1)
    Bernoulli(0.1)
    """
    made = PRIORS[choice("prior", name, PRIORS)]
    try:
        return made(**parameters)
    except TypeError as error:
        if "__init__" not in str(error):
            raise
        raise TypeError(f"prior {name!r}: {str(error).partition('() ')[2]}") from error


def mode_priors(prior: object, modes: int, rank: int) -> list[Prior]:
    """One prior for each mode: from one for all or a list of them, given as priors or by name; all fit the rank."""
    if isinstance(prior, (list, tuple)):
        if len(prior) != modes:
            raise ValueError(f"prior holds {len(prior)} priors; it must hold one for all modes, or {modes}")
        found = [_as_prior(f"prior[{a}]", p) for a, p in enumerate(prior)]
    else:
        found = [_as_prior("prior", prior)] * modes
    for p in found:
        if p.components not in (None, rank):
            raise ValueError(f"prior {p} describes rows of length {p.components}; the rank is {rank}")
    return found


def prior_rank(prior: object, rank: object) -> int:
    """The rank asked for, or the one that a prior for whole rows fixes; 1 where nothing does."""
    if rank is not None:
        return integer("rank", rank, at_least=1)
    given = prior if isinstance(prior, (list, tuple)) else [prior]
    return next((p.components for p in given if isinstance(p, Prior) and p.components is not None), 1)


def _as_prior(name: str, value: object) -> Prior:
    if isinstance(value, str):
        return named_prior(value)
    if not isinstance(value, Prior):
        raise TypeError(f"{name} is {value!r}; it must be a prior such as tensor.Gaussian(), or the name of one")
    return value


def _root(precision: np.ndarray) -> np.ndarray:
    """A^{1/2}, (r, r)."""
    if len(precision) == 1:
        return np.sqrt(np.maximum(precision, 0.0))
    values, vectors = np.linalg.eigh(precision)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


@lru_cache(maxsize=4)
def _gaussian_grid(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (K, r) and weights (K,) of averages over r independent standard normal numbers."""
    if dimension not in _GRIDS:
        raise ValueError(
            f"rank is {dimension}; state evolution of a discrete prior averages over at most {max(_GRIDS)} components "
            "that depend on each other"
        )
    width, step = _GRIDS[dimension]
    # A whole number of steps, with a node at zero.
    line = step * np.arange(-round(width / step), round(width / step) + 1)
    density = np.exp(-0.5 * line**2)
    density /= density.sum()
    nodes = np.array(list(product(line, repeat=dimension)))
    weights = density
    for _ in range(dimension - 1):
        weights = np.multiply.outer(weights, density).reshape(-1)
    return nodes, weights
