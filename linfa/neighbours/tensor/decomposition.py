"""What a decomposition hands back, whoever made it."""

from dataclasses import dataclass, field

import numpy as np

from linfa.neighbours.tensor.spikes import cosines_squared, full_tensor, relative_error


@dataclass(frozen=True)
class Decomposition:
    """Estimated factors of a tensor; see `amp` and `als`.

    Attributes
    ----------
    factors : list of p arrays (N_a, r)
        The estimate is N^{−(p−1)/2} Σ_ρ x̂_1ρ ⊗ … ⊗ x̂_pρ.
    iterations : int
        Sweeps made.
    converged : bool
        Whether the last sweep changed the factors by less than the tolerance.
    change : float
        By how much it did, relative to their size.
    overlaps : array (iterations + 1, p), or (iterations + 1, p, r, r) for a rank above 1; None without `truth`
        x̂_aᵀ x_a/N_a with the true factors, at the start and after each sweep.
    covariances : list of p arrays (r, r), or None for `als`
        Posterior covariance of a row, mean over the rows: what the estimate does not know.
    """

    factors: list[np.ndarray]
    iterations: int
    converged: bool
    change: float
    overlaps: np.ndarray | None = field(default=None, repr=False)
    covariances: list[np.ndarray] | None = field(default=None, repr=False)

    def tensor(self) -> np.ndarray:
        """The estimated tensor, (N_1, …, N_p)."""
        return full_tensor(self.factors)

    def relative_error(self, truth: list[np.ndarray]) -> float:
        """|T̂ − T|²/|T|² against the tensor of the true factors."""
        return relative_error(self.factors, truth)

    def cosines_squared(self, truth: list[np.ndarray]) -> np.ndarray:
        """cos² with the true factors, mode by mode, components paired: (p,), or (p, r) for a rank above 1."""
        return cosines_squared(self.factors, truth)


class OverlapRecord:
    """Overlaps with true factors, sweep by sweep."""

    def __init__(self, truth: list[np.ndarray] | None) -> None:
        self._truth = truth
        self._rows: list[list[np.ndarray]] = []

    def add(self, factors: list[np.ndarray]) -> None:
        if self._truth is not None:
            self._rows.append([x.T @ z / len(z) for x, z in zip(factors, self._truth, strict=True)])

    @property
    def array(self) -> np.ndarray | None:
        if self._truth is None:
            return None
        found = np.array(self._rows)
        return found[..., 0, 0] if found.shape[-1] == 1 else found
