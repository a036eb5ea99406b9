"""Products of a tensor with factors in all modes but one, as matrix products that are shared between modes."""

from collections.abc import Sequence

import numpy as np

from linfa.neighbours.tensor.spikes import khatri_rao

# Below this rank, BLAS is faster one column at a time than with a matrix that thin.
_THIN = 4


class Products:
    """Products of one tensor (N_1, …, N_p) with factors, two passes through the tensor for all p of them.

    Components come first in memory, so that each is a matrix or a vector of its own. The modes are asked for in
    ascending order. What the tensor gives with the last factor serves all modes before the last: under a sequential
    schedule, too, that factor changes after them.
    """

    def __init__(self, y: np.ndarray) -> None:
        self.sizes = y.shape
        self._flat = np.ascontiguousarray(y).reshape(-1, y.shape[-1])
        self._partial: np.ndarray | None = None

    def mode(self, a: int, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Σ Y[…, i_a, …] Π_{b≠a} x_b[i_b, ρ] over all indices but i_a, (N_a, r)."""
        if a == len(self.sizes) - 1:
            return np.ascontiguousarray(self.sum_all_but_last(khatri_rao(factors[:-1])).T)
        if a == 0:
            self._partial = self.sum_last(factors[-1])
        found = self._partial
        rank = len(found)
        for b in range(len(self.sizes) - 2, a, -1):
            found = found.reshape(rank, -1, self.sizes[b]) @ factors[b].T[:, :, None]
        for b in range(a):
            found = factors[b].T[:, None, :] @ found.reshape(rank, self.sizes[b], -1)
        # A copy in any case: what is handed out may be written to.
        return found.reshape(rank, -1).T.copy()

    def sum_last(self, factor: np.ndarray) -> np.ndarray:
        """First pass: Σ_k Y[…, k] x_p[k, ρ], (r, N_1 ⋯ N_{p−1})."""
        if factor.shape[1] >= _THIN:
            return factor.T @ self._flat.T
        found = np.empty((factor.shape[1], len(self._flat)))
        for column, row in zip(np.ascontiguousarray(factor.T), found, strict=True):
            np.matmul(self._flat, column, out=row)
        return found

    def sum_all_but_last(self, rows: np.ndarray) -> np.ndarray:
        """Second pass: Σ Y[…, k] of the products of the other factors, `rows` (r, N_1 ⋯ N_{p−1}), to (r, N_p)."""
        return rows @ self._flat
