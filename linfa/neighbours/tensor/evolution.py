"""State evolution: the overlaps of message passing in large tensors, step by step and where they come to rest."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from linfa._check import choice, integer, real_array, real_number
from linfa.neighbours.tensor.closed_forms import free_entropy_of
from linfa.neighbours.tensor.priors import Prior, mode_priors, prior_rank

# What stands for the fluctuation of order 1/√N that starts a mode without a mean, in units of its variance.
_SEED = 1e-9
# Overlaps below this, in the same units, are on their way to zero.
_LOST = 1e-25


def _mode_ratios(shape: object) -> np.ndarray:
    """n_a, the sizes over their geometric mean."""
    sizes = real_array("shape", shape, 1)
    if len(sizes) < 2:
        raise ValueError(f"shape is {tuple(sizes)}; it must name at least two modes")
    if (sizes <= 0).any():
        raise ValueError(f"shape holds {sizes.min():g}; every size must be above 0")
    return sizes / np.exp(np.mean(np.log(sizes)))


class Evolution:
    """State evolution of one problem: checked arguments, and the map from overlaps to overlaps."""

    def __init__(self, prior: object, delta: object, shape: object, rank: object = None) -> None:
        self.ratios = _mode_ratios(shape)
        self.modes = len(self.ratios)
        self._others = np.array([[b for b in range(self.modes) if b != a] for a in range(self.modes)])
        self.rank = prior_rank(prior, rank)
        self.priors: list[Prior] = mode_priors(prior, self.modes, self.rank)
        self.delta = real_number("delta", delta, above=0.0)

    def start(self, start: object, name: str = "start") -> np.ndarray:
        """Overlaps (p, r, r) from a name, one number, one for each mode, or all of them."""
        scales = np.array([p.covariance(self.rank) for p in self.priors])
        moments = np.array([p.second_moment(self.rank) for p in self.priors])
        if isinstance(start, str):
            choice(name, start, ("informed", "uninformed"))
            return moments if start == "informed" else moments - (1.0 - _SEED) * scales
        given = real_array(name, start, (0, 1, 3))
        if given.ndim < 3:
            if given.ndim == 1 and given.shape != (self.modes,):
                raise ValueError(f"{name} is {given.shape}; it must be ({self.modes},), one overlap for each mode")
            found = np.broadcast_to(given, (self.modes,))[:, None, None] * np.eye(self.rank)
        elif given.shape != moments.shape:
            raise ValueError(f"{name} is {given.shape}; it must be {moments.shape}")
        else:
            found = given
        for a in range(self.modes):
            # An estimate can know no more than everything: E[x xᵀ] − M is a covariance.
            least = np.linalg.eigvalsh(found[a])[0], np.linalg.eigvalsh(moments[a] - found[a])[0]
            if np.abs(found[a] - found[a].T).max() > 1e-12 * moments[a].max() or min(least) < -1e-9 * moments[a].max():
                raise ValueError(
                    f"{name} has overlap {_shown(found[a])} in mode {a}; it must lie between 0 and the second moment "
                    f"{_shown(moments[a])}"
                )
        return found.copy()

    def precisions(self, overlaps: np.ndarray) -> np.ndarray:
        """A_a = (1/Δ) ∘_{b≠a} n_b M_b, (p, r, r)."""
        scaled = self.ratios[:, None, None] * overlaps
        return np.prod(scaled[self._others], axis=1) / self.delta

    def per_mode(self, function: Callable[[Prior, np.ndarray], object], precisions: np.ndarray) -> list:
        """``function(prior, A)`` of every mode; modes that are alike are worked out once."""
        found: dict = {}
        keys = [(id(p), a.tobytes()) for p, a in zip(self.priors, precisions, strict=True)]
        for key, prior, precision in zip(keys, self.priors, precisions, strict=True):
            if key not in found:
                found[key] = function(prior, precision)
        return [found[key] for key in keys]

    def step(self, overlaps: np.ndarray) -> np.ndarray:
        """M_a = g_a(A_a), all modes at once."""
        return np.array(self.per_mode(lambda prior, a: prior.overlap(a), self.precisions(overlaps)))

    def shaped(self, overlaps: np.ndarray) -> np.ndarray:
        """Overlaps as they are handed out: numbers where the rank is 1."""
        return overlaps[..., 0, 0] if self.rank == 1 else overlaps


def _shown(matrix: np.ndarray) -> str:
    return f"{matrix[0, 0]:g}" if matrix.size == 1 else str(matrix.round(6).tolist())


def state_evolution(
    prior: Prior | str | Sequence[Prior | str],
    delta: float,
    shape: Sequence[float] = (1, 1, 1),
    start: str | float | Sequence = "uninformed",
    *,
    rank: int | None = None,
    tolerance: float = 1e-13,
    iterations: int = 100_000,
) -> np.ndarray:
    """Overlaps m_a = E[x̂_a x_a] where state evolution comes to rest, m_a = g_a((1/Δ) Π_{b≠a} n_b m_b).

    Parameters
    ----------
    prior : Prior or its name, or one for each mode
    delta : float
        Variance Δ of the noise, above 0.
    shape : sequence of p numbers
        Sizes of the modes, of which only the ratios matter; two make a matrix.
    start : {"uninformed", "informed"}, float, array (p,) or (p, r, r)
        m = E[x]², with a minute overlap where the mean is zero; m = E[x²]; or given: one overlap for all modes, one
        for each, or matrices.
    rank : int, optional
        r; by default that of the prior, or 1.
    tolerance : float
        Largest relative change of an overlap in a step that counts as rest.
    iterations : int
        Steps at most; running out of them warns, as happens within 1e-8 of a threshold.

    Returns
    -------
    array (p,), or (p, r, r) for a rank above 1
        M_a = E[x̂_a x_aᵀ].

    Raises
    ------
    ValueError, TypeError
        If the noise is not positive, the prior does not fit, or a start is no overlap.

    Notes
    -----
    Near zero mean, "uninformed" starts from 1e-9 of the variance; it stands for the limit N → ∞ at noise of order 1 and
    means little for noise below 1e-8.

    Examples
    --------
    >>> state_evolution("gaussian", 0.16, start="informed").round(9)
    array([0.8, 0.8, 0.8])
    """
    problem = Evolution(prior, delta, shape, rank)
    tolerance = real_number("tolerance", tolerance, above=0.0)
    overlaps = problem.start(start)
    scale = max(float(np.abs(p.second_moment(problem.rank)).max()) for p in problem.priors)
    for _ in range(integer("iterations", iterations, at_least=1)):
        before, overlaps = overlaps, problem.step(overlaps)
        # Each mode by its own size: one that grows from the seed is not at rest because the others are.
        moved = np.abs(overlaps - before).max(axis=(1, 2))
        size = np.abs(overlaps).max(axis=(1, 2))
        if (moved <= tolerance * size + _LOST * scale).all():
            break
    else:
        warnings.warn(
            f"state evolution still moves by {np.max(moved / size):.1e} after {iterations} steps: delta = {delta:g} is "
            "close to a threshold",
            RuntimeWarning,
            stacklevel=2,
        )
    overlaps[np.abs(overlaps) < 2 * _LOST * scale] = 0.0
    return problem.shaped(overlaps)


def overlap_trajectory(
    prior: Prior | str | Sequence[Prior | str],
    delta: float,
    steps: int,
    shape: Sequence[float] = (1, 1, 1),
    start: str | float | Sequence = "uninformed",
    *,
    rank: int | None = None,
) -> np.ndarray:
    """Overlaps after 0, 1, …, `steps` steps of state evolution under the parallel schedule; see `state_evolution`.

    Returns
    -------
    array (steps + 1, p), or (steps + 1, p, r, r) for a rank above 1

    Examples
    --------
    >>> overlap_trajectory("rademacher", 0.2, 2, start="informed")[:, 0].round(4)
    array([1.    , 0.9615, 0.9522])
    """
    problem = Evolution(prior, delta, shape, rank)
    found = [problem.start(start)]
    for _ in range(integer("steps", steps, at_least=0)):
        found.append(problem.step(found[-1]))
    return problem.shaped(np.array(found))


def free_entropy(
    overlaps: Sequence | float,
    prior: Prior | str | Sequence[Prior | str],
    delta: float,
    shape: Sequence[float] = (1, 1, 1),
    *,
    rank: int | None = None,
) -> float:
    """F(m) = Π n_a m_a/(2Δ) + Σ_a n_a [ψ_a(A_a) − A_a m_a/2]: largest at the fixed point of the best estimate.

    Parameters
    ----------
    overlaps : float, array (p,) or (p, r, r)
        As for a start of `state_evolution`.
    prior, delta, shape, rank
        See `state_evolution`.

    Returns
    -------
    float
        0 for overlaps of zero. F is N⁻¹ times the log evidence of the tensor against pure noise.

    Examples
    --------
    >>> round(free_entropy(state_evolution("gaussian", 0.2, start="informed"), "gaussian", 0.2), 6)
    0.103728
    """
    problem = Evolution(prior, delta, shape, rank)
    matrices = problem.start(overlaps, "overlaps")
    evidences = problem.per_mode(lambda prior, a: prior.evidence(a), problem.precisions(matrices))
    if problem.rank == 1:
        return float(free_entropy_of(matrices[:, 0, 0], evidences, problem.delta, problem.ratios))
    strength = np.prod(problem.ratios[:, None, None] * matrices, axis=0).sum() / problem.delta
    return float(problem.ratios @ evidences - (problem.modes - 1) * strength / 2)
