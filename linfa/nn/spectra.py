"""Effective ranks of the matrices of a training step, through the smaller of their two Gram matrices.

A batch of errors may have 100,000 rows and a handful of columns, an update the reverse: the squares of the singular
values of A are the eigenvalues of the smaller of A Aᵀ and Aᵀ A. It is formed where A lives and in double precision, so
that singular values down to about 1e-7 of the largest are seen; what is smaller is rounding and counts as zero.
"""

import numpy as np

from linfa.metrics import ranks_from_singular_values
from linfa.nn.backend import namespace, to_numpy
from linfa.nn.parameters import Array

# The ranks that probes report, by their names in `linfa.metrics`.
RANKS = ("effective_rank", "entropy_rank_of_energy", "participation_ratio", "nuclear_rank", "stable_rank")


def gram(matrix: Array) -> Array:
    """The smaller of A Aᵀ and Aᵀ A, in double precision, where A lives.

    Examples
    --------
    >>> gram(np.ones((2, 5), np.float32))
    array([[5., 5.],
           [5., 5.]])
    """
    matrix = matrix.astype(np.float64, copy=False)
    return matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix


def gram_energies(matrix: np.ndarray, terms: int) -> np.ndarray:
    """Eigenvalues of a Gram matrix, descending: σ² of what it was formed of; `terms` is the length of its sums.

    Eigenvalues below max(size, terms)·eps of the largest, the rounding of those sums, are set to zero. NaN where an
    entry is not finite.
    """
    if not np.isfinite(matrix).all():
        return np.full(len(matrix), np.nan)
    values = np.linalg.eigvalsh(matrix)[::-1]
    floor = max(len(matrix), terms) * np.finfo(np.float64).eps * values[0]
    return np.where(values > floor, values, 0.0)


def energies(matrix: Array) -> np.ndarray:
    """Squares of the singular values of a matrix (m, n), descending, min(m, n) of them.

    Examples
    --------
    >>> energies(np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]])).tolist()
    [9.0, 4.0]
    """
    return gram_energies(to_numpy(gram(matrix)), max(matrix.shape))


def product_energies(left: Array, right: Array) -> np.ndarray:
    """Squares of the singular values of leftᵀ right, of matrices with few rows (N, m) and (N, n): N of them at most.

    With leftᵀ = Q R, Q has orthonormal columns, so that leftᵀ right has the singular values of R right: a matrix of
    N rows at most instead of m.

    Examples
    --------
    >>> product_energies(np.ones((1, 3)), np.ones((1, 4))).round(12).tolist()
    [12.0]
    """
    if not bool(namespace(left).isfinite(left).all()):
        return np.full(min(len(left), left.shape[1], right.shape[1]), np.nan)
    r = namespace(left).linalg.qr(left.T.astype(np.float64), mode="r")
    return energies(r @ right.astype(np.float64, copy=False))


def ranks(squares: np.ndarray) -> dict[str, float]:
    """The effective ranks `RANKS` of a matrix with these squares of singular values; each as in `linfa.metrics`.

    0 for the zero matrix, NaN where a square is not finite.

    Examples
    --------
    >>> sorted(set(ranks(np.array([2.0, 2.0, 0.0])).values()))
    [2.0]
    """
    if not np.isfinite(squares).all():
        return dict.fromkeys(RANKS, float("nan"))
    found = ranks_from_singular_values(np.sqrt(squares))
    return {name: float(found[name]) for name in RANKS}
