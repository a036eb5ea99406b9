"""Effective ranks, alignments and residuals of conserved quantities.

With singular values σ_k, p = σ/Σσ and q = σ²/Σσ². Every function takes stacks of matrices: the last two axes are
the matrix, the others are kept.
"""

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, matching, real_array

# A vector shorter than this has no direction: its cosine is NaN. Signals at rounding level read as misaligned.
NORM_FLOOR = 1e-150


def _scaled(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest entries of a stack of matrices (1 for zero ones), and the matrices divided by them."""
    largest = np.abs(a).max(axis=(-2, -1), keepdims=True)
    largest = np.where(largest > 0, largest, 1.0)
    return largest, a / largest


def _top_one(values: np.ndarray) -> np.ndarray:
    """Singular values scaled to a largest one of 1 (all zero stay zero): no square over- or underflows, and every rank
    below is scale-free."""
    top = values.max(axis=-1, keepdims=True)
    return values / np.where(top > 0, top, 1.0)


def _singular_values(a: np.ndarray) -> np.ndarray:
    """Descending, as `_top_one` scales them."""
    return _top_one(np.linalg.svd(_scaled(real_array("a", a, tuple(range(2, 8))))[1], compute_uv=False))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the matrix is zero; a plain float for a single matrix."""
    result = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return result[()]


def _exponential_entropy(weights: np.ndarray) -> np.ndarray:
    # Here, not above: it takes longer to import than all else that this module needs.
    from scipy.special import entr

    total = weights.sum(-1, keepdims=True)
    p = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return np.where(total[..., 0] > 0, np.exp(entr(p).sum(-1)), 0.0)[()]


# Every rank that the singular values s (..., k) alone decide, with a largest one of 1 or 0.
_RANKS = {
    "effective_rank": _exponential_entropy,
    "entropy_rank_of_energy": lambda s: _exponential_entropy(s**2),
    "nuclear_rank": lambda s: _ratio(s.sum(-1) ** 2, (s**2).sum(-1)),
    "participation_ratio": lambda s: _ratio((s**2).sum(-1) ** 2, (s**4).sum(-1)),
    "intrinsic_rank": lambda s: s.sum(-1)[()],
    "stable_rank": lambda s: (s**2).sum(-1)[()],
}


def ranks_from_singular_values(values: np.ndarray) -> dict[str, np.ndarray | float]:
    """Every rank that singular values alone decide: all of `ranks` but `numerical_rank`, which asks for the shape too.

    Parameters
    ----------
    values : array (..., k)
        Singular values of a matrix or of a stack of them, in any order and on any scale.

    Returns
    -------
    dict of float or array (...)
        By the names of the functions of a matrix below; 0 where all values are zero.

    Raises
    ------
    ValueError, TypeError
        If `values` is empty, holds a negative number, or anything but finite real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> {name: round(float(rank), 3) for name, rank in ranks_from_singular_values([2.0, 1.0]).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'effective_rank': 1.89, 'entropy_rank_of_energy': 1.649, 'nuclear_rank': 1.8, 'participation_ratio': 1.471,
     'intrinsic_rank': 1.5, 'stable_rank': 1.25}
    """
    values = real_array("values", values, tuple(range(1, 7)))
    if (values < 0).any():
        raise ValueError(f"values holds {values.min():g}; singular values are not negative")
    values = _top_one(values)
    return {name: of_values(values) for name, of_values in _RANKS.items()}


def effective_rank(a: np.ndarray) -> np.ndarray | float:
    """Effective rank exp H(σ/Σσ), with H the Shannon entropy in nats.

    Parameters
    ----------
    a : array (..., m, n)
        A matrix or a stack of them.

    Returns
    -------
    float or array (...)
        Between 1 and min(m, n); 0 for the zero matrix.

    Raises
    ------
    ValueError, TypeError
        If `a` has fewer than two axes, is empty, or holds anything but finite real numbers.

    Notes
    -----
    Source: Roy & Vetterli, EUSIPCO 2007. It uses σ itself; `entropy_rank_of_energy` uses σ².

    Examples
    --------
    >>> import numpy as np
    >>> float(np.round(effective_rank(np.diag([1.0, 1.0, 0.0])), 12))
    2.0
    """
    return _RANKS["effective_rank"](_singular_values(a))


def entropy_rank_of_energy(a: np.ndarray) -> np.ndarray | float:
    """Entropy rank of the energies, exp H(σ²/Σσ²); arguments and errors as `effective_rank`.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.round(entropy_rank_of_energy(np.eye(3)), 12))
    3.0
    """
    return _RANKS["entropy_rank_of_energy"](_singular_values(a))


def nuclear_rank(a: np.ndarray) -> np.ndarray | float:
    """Participation ratio of the singular values, (Σσ)²/Σσ² = ‖A‖²_*/‖A‖²; arguments as `effective_rank`.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(nuclear_rank(np.diag([3.0, 1.0]))), 12)
    1.6
    """
    return _RANKS["nuclear_rank"](_singular_values(a))


def participation_ratio(a: np.ndarray) -> np.ndarray | float:
    """Participation ratio of the covariance spectrum, (Σσ²)²/Σσ⁴ = ‖A‖⁴/‖AᵀA‖²; arguments as `effective_rank`.

    The participation ratio of a vector of non-negative numbers p, (Σp)²/Σp², is that of diag(√p).

    Examples
    --------
    >>> import numpy as np
    >>> float(np.round(participation_ratio(np.eye(4)), 12))
    4.0
    """
    return _RANKS["participation_ratio"](_singular_values(a))


def stable_rank(a: np.ndarray) -> np.ndarray | float:
    """Stable rank Σσ²/σ₁² = ‖A‖²/‖A‖₂²; arguments as `effective_rank`.

    Examples
    --------
    >>> import numpy as np
    >>> float(stable_rank(np.diag([2.0, 1.0])))
    1.25
    """
    return _RANKS["stable_rank"](_singular_values(a))


def intrinsic_rank(a: np.ndarray) -> np.ndarray | float:
    """Intrinsic rank Σσ/σ₁; arguments as `effective_rank`.

    Examples
    --------
    >>> import numpy as np
    >>> float(intrinsic_rank(np.diag([2.0, 1.0])))
    1.5
    """
    return _RANKS["intrinsic_rank"](_singular_values(a))


def numerical_rank(a: np.ndarray) -> np.ndarray | int:
    """Number of singular values above max(m, n)·eps·σ₁; arguments as `effective_rank`.

    Examples
    --------
    >>> import numpy as np
    >>> int(numerical_rank(np.ones((3, 4))))
    1
    """
    return _count_above_rounding(_singular_values(a), np.shape(a))


def _count_above_rounding(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | int:
    return np.count_nonzero(values > max(shape[-2:]) * np.finfo(np.float64).eps, axis=-1)


def _directions(a: np.ndarray, b: np.ndarray, matrices: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors along a and b (matrices flattened) and whether both have a direction at all."""
    a = real_array("a", a, tuple(range(1, 8)))
    b = real_array("b", b, tuple(range(1, 8)))
    if (a.ndim == 1) != (b.ndim == 1) and matrices:
        raise ValueError(f"b has shape {b.shape}; it must match a, {a.shape}: both vectors, or both matrices")
    if matrices and a.ndim > 1:
        if a.shape[-2:] != b.shape[-2:]:
            raise ValueError(f"b has matrices of shape {b.shape[-2:]}; it must match a, {a.shape[-2:]}")
        a = a.reshape(*a.shape[:-2], -1)
        b = b.reshape(*b.shape[:-2], -1)
    elif a.shape[-1:] != b.shape[-1:]:
        raise ValueError(f"b has length {b.shape[-1]}; it must match a, {a.shape[-1]}")
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError as error:
        raise ValueError(f"a and b hold stacks of shapes {a.shape[:-1]} and {b.shape[:-1]}, which differ") from error
    units, good = [], True
    for x in (a, b):
        largest = np.abs(x).max(-1, keepdims=True)
        x = x / np.where(largest > 0, largest, 1.0)
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        good = good & ((largest * norm)[..., 0] > NORM_FLOOR)
        units.append(x / np.where(norm > 0, norm, 1.0))
    return units[0], units[1], good


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray | float:
    """Signed cosine <A, B>/(‖A‖‖B‖) between two vectors, or two matrices in the Frobenius product.

    Parameters
    ----------
    a, b : array (n,) or (..., m, n)
        Vectors, matrices or stacks of matrices of matching shape.

    Returns
    -------
    float or array (...)
        In [−1, 1], never its absolute value; NaN where either has no length.

    Raises
    ------
    ValueError, TypeError
        If the shapes differ or an entry is not a finite real number.

    Notes
    -----
    Two independent random m × n matrices have cosine 0 on average, with standard deviation 1/√(mn): `chance_band`.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.round(cosine(np.eye(2), -np.eye(2)), 12))
    -1.0
    """
    u, v, good = _directions(a, b, matrices=True)
    return np.where(good, np.clip((u * v).sum(-1), -1.0, 1.0), np.nan)[()]


def angle_degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray | float:
    """Angle between two vectors or matrices in degrees, accurate for tiny angles; arguments as `cosine`.

    2·atan2(‖u − v‖, ‖u + v‖) of the unit vectors; arccos would lose half the digits near 0° and 180°.

    Examples
    --------
    >>> round(float(angle_degrees([1.0, 0.0], [0.0, 2.0])), 12)
    90.0
    """
    u, v, good = _directions(a, b, matrices=True)
    angle = 2.0 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))
    return np.where(good, np.degrees(angle), np.nan)[()]


def sample_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over samples (rows) of the cosine between matching rows; rows without length are left out.

    This is *not* the cosine of the two matrices: rows count equally here, whatever their length.

    Examples
    --------
    >>> float(sample_cosine([[1.0, 0.0], [0.0, 9.0]], [[1.0, 0.0], [0.0, -1.0]]))
    0.0
    """
    u, v, good = _directions(a, b, matrices=False)
    good = np.broadcast_to(good, np.broadcast_shapes(u.shape, v.shape)[:-1])
    return float((u * v).sum(-1)[good].mean()) if good.any() else float("nan")


def chance_band(shape: tuple[int, int]) -> float:
    """Standard deviation 1/√(mn) of the cosine of two independent random matrices of the given shape.

    Examples
    --------
    >>> chance_band((5, 20))
    0.1
    """
    rows, columns = (integer(f"shape[{k}]", size, at_least=1) for k, size in enumerate(shape))
    return float(1.0 / np.sqrt(rows * columns))


def norm_ratio(feedback: np.ndarray, weight: np.ndarray) -> np.ndarray | float:
    """‖B‖/‖W‖, to be read next to every weight alignment; NaN where W is zero.

    Examples
    --------
    >>> import numpy as np
    >>> float(norm_ratio(2 * np.eye(3), np.eye(3)))
    2.0
    """
    b_scale, b = _scaled(real_array("feedback", feedback, tuple(range(2, 8))))
    w_scale, w = _scaled(real_array("weight", weight, tuple(range(2, 8))))
    try:
        np.broadcast_shapes(b.shape[:-2], w.shape[:-2])
    except ValueError as error:
        raise ValueError(
            f"feedback and weight are stacks of {b.shape[:-2]} and {w.shape[:-2]}, which differ"
        ) from error
    above, below = np.linalg.norm(b, axis=(-2, -1)), np.linalg.norm(w, axis=(-2, -1))
    ratio = np.divide(above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan), where=below > 0)
    return (ratio * (b_scale / w_scale)[..., 0, 0])[()]


def pseudo_inverse_alignment(weight: np.ndarray, feedback: np.ndarray) -> float:
    """<W, B⁺>, the inner product of W (o × h) with the pseudo-inverse of B (h × o).

    From zero initialisation it is ‖A‖²/2 > 0 in W1 = B A (B2). Source: Lillicrap et al. 2016.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.round(pseudo_inverse_alignment(np.eye(2), np.eye(2)), 12))
    2.0
    """
    w, b = real_array("weight", weight, 2), real_array("feedback", feedback, 2)
    if w.shape != b.shape[::-1]:
        raise ValueError(f"feedback is {b.shape}; it must be {w.shape[::-1]}, the transpose of weight")
    return float((w * np.linalg.pinv(b)).sum())


def subspace_angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Principal angles in degrees, descending, between the column spaces of `a` (n, j) and `b` (n, k).

    Raises ValueError when the numbers of rows differ. Source: Knyazev & Argentati 2002, as in SciPy.

    Examples
    --------
    >>> import numpy as np
    >>> subspace_angles(np.eye(3)[:, :1], np.eye(3)[:, 1:]).round(9).tolist()
    [90.0]
    """
    from scipy.linalg import subspace_angles as principal_angles

    a, b = _same_rows(a, b)
    return np.degrees(principal_angles(a, b))


def _same_rows(a: np.ndarray, b: np.ndarray, first: str = "a", second: str = "b") -> tuple[np.ndarray, np.ndarray]:
    a, b = real_array(first, a, 2), real_array(second, b, 2)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"{second} has {b.shape[0]} rows; it must have {a.shape[0]}, as {first} has")
    return a, b


def _orthonormal_basis(a: np.ndarray) -> np.ndarray:
    from scipy.linalg import orth

    return orth(a)


def subspace_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """‖UᵀV‖²/min(j, k) for orthonormal bases U, V of the column spaces of `a` (n, j) and `b` (n, k): 0 … 1.

    Two random subspaces overlap by max(j, k)/n on average.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, 1:3])), 12)
    0.5
    """
    a, b = _same_rows(a, b)
    u, v = _orthonormal_basis(a), _orthonormal_basis(b)
    smaller = min(u.shape[1], v.shape[1])
    return float(np.linalg.norm(u.T @ v) ** 2 / smaller) if smaller else float("nan")


def centred_kernel_alignment(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA ‖YᵀX‖²/(‖XᵀX‖‖YᵀY‖) of two centred representations (samples, features); NaN if one is constant.

    Source: Kornblith et al. 2019.

    Examples
    --------
    >>> import numpy as np
    >>> round(centred_kernel_alignment([[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]]), 12)
    1.0
    """
    x, y = _same_rows(x, y, "x", "y")
    x, y = _scaled(x - x.mean(0))[1], _scaled(y - y.mean(0))[1]
    below = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / below) if below > 0 else float("nan")


def kernel_target_alignment(kernel: np.ndarray, target: np.ndarray) -> float:
    """<K, y yᵀ>/(‖K‖‖y yᵀ‖) of a kernel (n, n) with targets (n,) or (n, outputs); NaN if either is zero.

    Source: Cristianini et al. 2001.

    Examples
    --------
    >>> import numpy as np
    >>> round(kernel_target_alignment(np.ones((2, 2)), np.ones(2)), 12)
    1.0
    """
    kernel = real_array("kernel", kernel, 2)
    target = real_array("target", target, (1, 2))
    target = target[:, None] if target.ndim == 1 else target
    if kernel.shape != (len(target), len(target)):
        raise ValueError(f"kernel is {kernel.shape}; it must be ({len(target)}, {len(target)}) to match target")
    target = _scaled(target)[1]
    return float(cosine(kernel, target @ target.T))


def mode_recovery(network_map: np.ndarray, left: np.ndarray, strengths: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Recovered fraction of each mode, [Uᵀ W V]_kk / s_k (B14, B23): 0 before, 1 when the mode is learned.

    Parameters
    ----------
    network_map : array (..., o, i)
    left, strengths, right : arrays (o, d), (d,), (i, d)
        Modes of the target, T = left @ diag(strengths) @ right.T.

    Returns
    -------
    array (..., d)

    Examples
    --------
    >>> import numpy as np
    >>> mode_recovery(np.diag([2.0, 0.5]), np.eye(2), np.array([2.0, 1.0]), np.eye(2)).tolist()
    [1.0, 0.5]
    """
    network_map = real_array("network_map", network_map, tuple(range(2, 8)))
    strengths = real_array("strengths", strengths, 1)
    if (strengths <= 0).any():
        raise ValueError(f"strengths holds {strengths.min():g}; every strength must be positive")
    return mode_projection(network_map, left, right) / strengths


def mode_projection(network_map: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Strength of the map along each mode, u_kᵀ W v_k = [Uᵀ W V]_kk, for maps (..., o, i): (..., d)."""
    left, right = np.asarray(left), np.asarray(right)
    matching("left", left, (network_map.shape[-2], None))
    matching("right", right, (network_map.shape[-1], left.shape[-1]))
    return np.einsum("ok,...oi,ik->...k", left, network_map, right, optimize=True)


def _fits(name: str, matrix: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """As `matching`, for arrays; SymPy checks its own matrices."""
    if isinstance(matrix, np.ndarray):
        matching(name, matrix, shape)


def balancedness(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """D = W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ, conserved under backprop (A4); stacks keep their leading axes."""
    _fits("upper", upper, (None, lower.shape[-2]))
    return transposed(upper) @ upper - lower @ transposed(lower)


def feedback_balance(lower: np.ndarray, upper: np.ndarray, feedback: np.ndarray) -> np.ndarray:
    """C = W_l W_lᵀ − B W_{l+1} − (B W_{l+1})ᵀ, conserved under fixed feedback B (B1); stacks keep their axes."""
    _fits("upper", upper, (None, lower.shape[-2]))
    _fits("feedback", feedback, (lower.shape[-2], upper.shape[-2]))
    carried = feedback @ upper
    return lower @ transposed(lower) - carried - transposed(carried)


def relative_residual(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """‖values − reference‖/‖reference‖ over the last two axes; the plain norm where the reference is zero."""
    gap = np.linalg.norm(values - reference, axis=(-2, -1))
    size = np.linalg.norm(reference, axis=(-2, -1))
    return gap / np.where(size > 0, size, 1.0)


def ranks(a: np.ndarray) -> dict[str, float]:
    """All named ranks of one matrix, from one decomposition; keys are the names of the functions above.

    Examples
    --------
    >>> import numpy as np
    >>> sorted(ranks(np.eye(2)))[:3]
    ['effective_rank', 'entropy_rank_of_energy', 'intrinsic_rank']
    """
    values = _singular_values(real_array("a", a, 2))
    found = {name: float(of_values(values)) for name, of_values in _RANKS.items()}
    return found | {"numerical_rank": float(_count_above_rounding(values, np.shape(a)))}


def spectrum_from_gram(a: np.ndarray) -> np.ndarray:
    """Singular values of one matrix (m, n), descending, through its smaller Gram matrix.

    For m ≪ n this forms m × m numbers alone. Values below about √eps·σ₁ are rounding.

    Examples
    --------
    >>> import numpy as np
    >>> spectrum_from_gram(np.diag([1.0, 2.0])).round(9).tolist()
    [2.0, 1.0]
    """
    a = real_array("a", a, 2)
    gram = a @ a.T if a.shape[0] <= a.shape[1] else a.T @ a
    return np.sqrt(np.clip(np.linalg.eigvalsh(gram)[::-1], 0.0, None))
