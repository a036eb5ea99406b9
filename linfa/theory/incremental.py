"""One mode after the other: half-times from small weights, the rank staircase, and diagonal networks (A10)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import integer, real_array
from linfa.metrics import effective_rank


def early_half_time(s: Any, start: Any, depth: int, xp: ModuleType = np) -> Any:
    """Leading order, as ε → 0, of the time to half strength from layers of amplitude ε (A10).

    - L = 2: ln(s/ε²)/(2s);  relative gap → ε²/(s ln(s/ε²))
    - L ≥ 3: ε^{2−L}/((L − 2)s);  relative gap ∝ ε^{L−2}

    Parameters
    ----------
    s : strength of the mode
    start : ε, amplitude of the mode in every layer
    depth : int
        L ≥ 2.
    xp : namespace of `log`

    Raises
    ------
    ValueError, TypeError
        If the depth is below 2 or no integer.

    Notes
    -----
    Whitened inputs, aligned and balanced layers. Exact times are `depth_time`. Source: Saxe, McClelland & Ganguli 2013.

    Examples
    --------
    >>> round(float(early_half_time(2.0, 1e-3, 2)), 6), float(early_half_time(2.0, 0.25, 3))
    (3.627164, 2.0)
    """
    depth = integer("depth", depth, at_least=2)
    if depth == 2:
        return xp.log(s / start**2) / (2 * s)
    return start ** (2 - depth) / ((depth - 2) * s)


def rank_staircase(strengths: np.ndarray) -> np.ndarray:
    """Effective rank of the map on each plateau, k = 1 … d modes learned, for backprop from weights → 0 (A10).

    The k-th stair is the effective rank of diag(s_1 … s_k): k itself only where the modes are equally strong.

    Parameters
    ----------
    strengths : array (d,)
        s_1 ≥ s_2 ≥ … > 0.

    Returns
    -------
    array (d,)

    Raises
    ------
    ValueError, TypeError
        If the strengths are not positive and descending.

    Notes
    -----
    Source: Saxe et al. 2013; Gidel, Bach & Lacoste-Julien 2019; Li, Luo & Lyu 2021.

    Examples
    --------
    >>> rank_staircase(np.array([2.0, 2.0])).round(12).tolist()
    [1.0, 2.0]
    """
    strengths = real_array("strengths", strengths, 1)
    if (strengths <= 0).any() or (np.diff(strengths) > 0).any():
        raise ValueError(f"strengths is {strengths}; it must be positive and descending")
    return np.array([effective_rank(np.diag(strengths[: k + 1])) for k in range(len(strengths))])


def diagonal_weights(integral: Any, scale: Any, xp: ModuleType = np) -> Any:
    """w = 2α² sinh(−4 z), z = ∫₀ᵗ Xᵀ(Xw − y): the map of a diagonal network w = u² − v² with u₀ = v₀ = α (A10).

    Parameters
    ----------
    integral : array (d,)
        z, the gradient ½|Xw − y|² has with respect to w, summed over time.
    scale : α > 0
    xp : namespace of `sinh`

    Notes
    -----
    Flow of ½|Xw − y|² in u and v; mirror flow in the hypentropy potential. Source: Woodworth et al. 2020.

    Examples
    --------
    >>> float(diagonal_weights(-0.25, 0.5).round(6))
    0.587601
    """
    return 2 * scale**2 * xp.sinh(-4 * integral)


def diagonal_end(design: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
    """Where a diagonal network ends: X w = y with w = 2α² sinh(Xᵀν), of all interpolants the one least in hypentropy.

    α → 0 makes it the interpolant of smallest Σ|w|; large α that of smallest Σw².

    Parameters
    ----------
    design : array (n, d)
        X with n ≤ d and independent rows.
    labels : array (n,)
        y.
    scale : float
        α > 0.

    Returns
    -------
    array (d,)

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, the rows are dependent, or α is not positive.

    Notes
    -----
    Newton's method on the convex dual Σ 2α² cosh(Xᵀν) − yᵀν, with bounded steps. Source: Woodworth et al. 2020.

    Examples
    --------
    >>> diagonal_end(np.array([[1.0, 2.0]]), np.array([2.0]), 1e-3).round(2).tolist()
    [0.0, 1.0]
    """
    x, y = real_array("design", design, 2), real_array("labels", labels, 1)
    if len(y) != len(x):
        raise ValueError(f"labels has {len(y)} entries; it must have {len(x)}, one for each row of design")
    if np.linalg.matrix_rank(x) < len(x):
        raise ValueError(f"design is {x.shape} of rank {np.linalg.matrix_rank(x)}; its rows must be independent")
    if not scale > 0:
        raise ValueError(f"scale is {scale:g}; it must be above 0")
    size = 2 * scale**2

    nu = np.zeros(len(x))
    for _ in range(10_000):
        field = x.T @ nu
        gap = x @ (size * np.sinh(field)) - y
        step = -np.linalg.solve((x * (size * np.cosh(field))) @ x.T, gap)
        # Fields that move by no more than 1 leave the curvature known to a factor e: no step is too long to converge.
        step /= max(1.0, np.abs(x.T @ step).max())
        nu = nu + step
        if np.abs(step).max() <= 1e-15 * (1.0 + np.abs(nu).max()):
            break
    return size * np.sinh(x.T @ nu)


def sparse_limit(design: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Interpolant w* of least Σ|w| that a diagonal network nears as α → 0, and the exponent p of its gap ∝ α^p.

    With the dual certificate ν, X_iᵀν = sign w*_i on the support of w*, chosen to make m = max |X_iᵀν| off it smallest,
    w_i = 2α² sinh(…) there goes as α^{2(1−m)}:  p = 2(1 − m).

    Parameters
    ----------
    design : array (n, d)
        X.
    labels : array (n,)
        y.

    Returns
    -------
    w* : array (d,)
    p : float

    Raises
    ------
    ValueError, TypeError
        If X w = y has no solution, or the shapes do not fit.

    Notes
    -----
    Assumes that w* is unique and has zeros. Source: Woodworth et al. 2020 for the limit; the exponent is derived here.

    Examples
    --------
    >>> sparse, power = sparse_limit(np.array([[1.0, 2.0]]), np.array([2.0]))
    >>> sparse.tolist(), power
    ([0.0, 1.0], 1.0)
    """
    from scipy.optimize import linprog

    x, y = real_array("design", design, 2), real_array("labels", labels, 1)
    if len(y) != len(x):
        raise ValueError(f"labels has {len(y)} entries; it must have {len(x)}, one for each row of design")
    samples, count = x.shape
    found = linprog(np.ones(2 * count), A_eq=np.hstack([x, -x]), b_eq=y, bounds=(0, None))
    if not found.success:
        raise ValueError("labels has no interpolant: design @ w = labels has no solution")
    sparse = found.x[:count] - found.x[count:]
    support = np.abs(sparse) > 1e-9 * np.abs(sparse).max()
    off = x[:, ~support].T
    ones = np.ones((len(off), 1))
    # Minimise m over (ν, m): X_iᵀν = sign w_i on the support, |X_iᵀν| ≤ m off it.
    certificate = linprog(
        np.append(np.zeros(samples), 1.0),
        A_ub=np.vstack([np.hstack([off, -ones]), np.hstack([-off, -ones])]),
        b_ub=np.zeros(2 * len(off)),
        A_eq=np.hstack([x[:, support].T, np.zeros((int(support.sum()), 1))]),
        b_eq=np.sign(sparse[support]),
        bounds=[(None, None)] * samples + [(0, None)],
    )
    return sparse, 2.0 * (1.0 - float(certificate.x[-1]))
