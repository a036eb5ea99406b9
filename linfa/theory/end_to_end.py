"""The map itself as it learns: end-to-end velocity, singular values, and the curvature of minima (A7, A9)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, real_array


def end_to_end_velocity(outer_root: Any, inner_root: Any, gradient: Any, depth: int) -> Any:
    """W' = −Σ_{j=1}^{L} N^{L−j} G M^{j−1} with N = (W Wᵀ)^{1/L}, M = (Wᵀ W)^{1/L}: any loss, balanced layers (A9).

    Parameters
    ----------
    outer_root, inner_root : arrays (o, o), (i, i)
        N and M; see `balanced_roots`. Symbolic matrices serve too.
    gradient : array (o, i)
        G = ∂ loss/∂W at the map W = W_L … W_1.
    depth : int
        Number of weight matrices L ≥ 1.

    Raises
    ------
    ValueError, TypeError
        If the depth is no positive integer.

    Notes
    -----
    Assumes W_{l+1}ᵀ W_{l+1} = W_l W_lᵀ for all l, at one time and hence at all (A4); any widths, any data.
    Source: Arora, Cohen & Hazan 2018.

    Examples
    --------
    >>> end_to_end_velocity(4.0 * np.eye(1), 4.0 * np.eye(1), np.eye(1), 2)
    array([[-8.]])
    """
    depth = integer("depth", depth, at_least=1)
    total = None
    for j in range(1, depth + 1):
        term = gradient
        for _ in range(depth - j):
            term = outer_root @ term
        for _ in range(j - 1):
            term = term @ inner_root
        total = term if total is None else total + term
    return -total


def balanced_roots(network_map: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """N = (W Wᵀ)^{1/L} (o × o) and M = (Wᵀ W)^{1/L} (i × i) of a map W (o × i).

    In a balanced network N = W_L W_Lᵀ and M = W_1ᵀ W_1.

    Raises
    ------
    ValueError, TypeError
        If the map is no finite matrix or the depth no positive integer.

    Examples
    --------
    >>> outer, inner = balanced_roots(np.diag([9.0, 4.0]), 2)
    >>> inner.round(12).tolist()
    [[9.0, 0.0], [0.0, 4.0]]
    """
    depth = integer("depth", depth, at_least=1)
    left, values, right = np.linalg.svd(real_array("network_map", network_map, 2), full_matrices=False)
    # A root would lift the rounding of a zero singular value to a number that counts.
    kept = values > max(np.shape(network_map)) * np.finfo(float).eps * values[0]
    powers = np.where(kept, values, 0.0) ** (2 / depth)
    return (left * powers) @ left.T, (right.T * powers) @ right


def singular_value_velocity(value: Any, slope: Any, depth: Any) -> Any:
    """σ_r' = −L σ_r^{2−2/L} <G, u_r v_rᵀ>: singular values of the map of a balanced network, any loss (A9).

    Parameters
    ----------
    value : σ_r
    slope : <G, u_r v_rᵀ> = u_rᵀ G v_r
    depth : L

    Notes
    -----
    Source: Arora, Cohen, Hu & Luo 2019.

    Examples
    --------
    >>> float(singular_value_velocity(4.0, -0.5, 2))
    4.0
    """
    return -depth * value ** (2 - 2 / depth) * slope


def single_output_velocity(network_map: Any, gradient: Any, depth: Any, xp: ModuleType = np) -> Any:
    """w' = −|w|^{2−2/L} (G + (L−1) G wᵀw/|w|²): the map of a balanced network with one output, any loss (A9).

    Parameters
    ----------
    network_map, gradient : matrices (1, i)
        w ≠ 0 and G = ∂ loss/∂w.
    depth : L
    xp : namespace of `sqrt`

    Notes
    -----
    The gradient is scaled by |w|^{2−2/L}, and amplified L-fold along w. Source: Arora, Cohen & Hazan 2018.

    Examples
    --------
    >>> single_output_velocity(np.array([[4.0, 0.0]]), np.array([[1.0, 1.0]]), 2).tolist()
    [[-8.0, -4.0]]
    """
    squared = (network_map @ transposed(network_map))[0, 0]
    along = (gradient @ transposed(network_map))[0, 0] / squared
    return -(xp.sqrt(squared) ** (2 - 2 / depth)) * (gradient + (depth - 1) * along * network_map)


def pair_curvature(first: Any, second: Any, depth: Any) -> Any:
    """κ_jk = Σ_{l=1}^{L} s_j^{2(L−l)/L} s_k^{2(l−1)/L} = (s_j² − s_k²)/(s_j^{2/L} − s_k^{2/L}); κ_jj = L s_j^{2−2/L}.

    Eigenvalues of the loss's Hessian at a balanced minimum (A7), one for each pair of a left mode j and a right mode
    k; missing modes count with s = 0, and all others vanish. The rates at which errors decay are the same.

    Parameters
    ----------
    first, second : arrays (...)
        s_j and s_k, ≥ 0.
    depth : int
        L ≥ 2.

    Returns
    -------
    array (...)

    Notes
    -----
    Whitened inputs. The largest is the sharpness L s₁^{2−2/L} that bounds the learning rate, `backprop_max_rate`.
    Source: the sharpness is Mulayoff & Michaeli 2020; the whole spectrum is derived here.

    Examples
    --------
    >>> float(pair_curvature(4.0, 4.0, 2)), float(pair_curvature(4.0, 0.0, 2))
    (8.0, 4.0)
    """
    # The sum, not the quotient, which fails where two modes are equally strong. 0⁰ = 1 is meant: the layer's end.
    p, q = first ** (2 / _exact(depth, first)), second ** (2 / _exact(depth, second))
    return sum(p ** (depth - l) * q ** (l - 1) for l in range(1, depth + 1))


def _exact(depth: int, like: Any) -> Any:
    """`depth` such that 2/depth stays a ratio of integers where `like` is symbolic."""
    return depth * like / like if hasattr(like, "free_symbols") else depth


def minimum_sharpness(lower_norm: Any, upper_norm: Any) -> Any:
    """‖W1‖₂² + ‖W2‖₂²: largest curvature at any two-layer minimum, smallest (2 s₁) where the norms are equal (A7).

    Parameters
    ----------
    lower_norm, upper_norm : spectral norms of W1 and W2 at a point of zero error

    Notes
    -----
    Whitened inputs. Source: Mulayoff & Michaeli 2020.

    Examples
    --------
    >>> float(minimum_sharpness(1.0, 2.0))
    5.0
    """
    return lower_norm**2 + upper_norm**2
