"""Cosines and inner products of errors and of weights, where they lie in memory: NumPy or CuPy, of any size."""

from math import nan, sqrt

import numpy as np

from linfa.metrics import NORM_FLOOR
from linfa.nn.backend import to_numpy
from linfa.nn.parameters import Array

# As many entries are turned to double precision at a time.
_BLOCK = 2**20


def matrix_norm(a: Array) -> float:
    """Frobenius norm of a matrix.

    Examples
    --------
    >>> matrix_norm(np.array([[3.0, 0.0], [0.0, 4.0]], np.float32))
    5.0
    """
    return sqrt(_product(a, a))


def matrix_cosine(a: Array, b: Array) -> float:
    """Signed cosine of two matrices of one shape, in the Frobenius product; NaN where either has no length.

    Sums run along rows in the precision of the matrices, over rows in double precision.

    Examples
    --------
    >>> matrix_cosine(np.eye(3), -np.eye(3))
    -1.0
    """
    return float(_ratios(*(np.array([_product(x, y)]) for x, y in ((a, b), (a, a), (b, b))))[0])


def error_alignment(error: Array, exact: Array, samples: int, floor: float) -> dict[str, float]:
    """How the errors of a rule lie to those of backprop, sample by sample and as matrices.

    Parameters
    ----------
    error, exact : array (samples × positions, units)
        ∂(mean loss)/∂a under the rule, and exactly.
    samples : int
        A sample is all of its positions.
    floor : float
        Cosines are NaN where the reference is no longer than this.

    Returns
    -------
    dict
        ``reference_norm``: root mean square over samples of |∂(loss of the sample)/∂a|, exactly;
        ``sample_gradient_alignment``: mean of the samples' cosines, those without an error left out;
        ``matrix_gradient_alignment``: cosine of the two matrices.

    Examples
    --------
    >>> found = error_alignment(np.array([[1.0, 0.0], [0.0, 9.0]]), np.array([[1.0, 0.0], [0.0, -1.0]]), 2, floor=0.0)
    >>> found["sample_gradient_alignment"], round(found["matrix_gradient_alignment"], 3)
    (0.0, -0.625)
    """
    both, own, reference = (
        _sample_products(a, b, samples) for a, b in ((error, exact), (error, error), (exact, exact))
    )
    # The loss is a mean: an error is N times as long for its sample alone.
    norm = sqrt(samples * reference.sum())
    found = {"reference_norm": norm, "sample_gradient_alignment": nan, "matrix_gradient_alignment": nan}
    if norm > floor:
        each = _ratios(both, own, reference)
        each = each[np.isfinite(each)]
        found["sample_gradient_alignment"] = float(each.mean()) if len(each) else nan
        sums = (np.array([part.sum()]) for part in (both, own, reference))
        found["matrix_gradient_alignment"] = float(_ratios(*sums)[0])
    return found


def _product(a: Array, b: Array) -> float:
    return float(to_numpy(_row_products(a, b)).sum(dtype=np.float64))


def _row_products(a: Array, b: Array) -> Array:
    # One row times one column: a product of matrices, which is the fast way to a dot product on any device.
    return (a[:, None, :] @ b[:, :, None])[:, 0, 0]


def _sample_products(a: Array, b: Array, samples: int) -> np.ndarray:
    """Inner products of matching samples, (samples,).

    In double precision: the squared errors of samples that are learned underflow in single.
    """
    a, b = a.reshape(samples, -1), b.reshape(samples, -1)
    step = max(1, _BLOCK // a.shape[1])
    found = []
    for start in range(0, samples, step):
        here, there = (part[start : start + step].astype(np.float64, copy=False) for part in (a, b))
        found.append(to_numpy(_row_products(here, there)))
    return np.concatenate(found)


def _ratios(both: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines from inner products; NaN where one of the two has no length."""
    good = (a > NORM_FLOOR**2) & (b > NORM_FLOOR**2)
    lengths = np.sqrt(a) * np.sqrt(b)
    return np.clip(np.divide(both, lengths, out=np.full(len(both), nan), where=good), -1.0, 1.0)
