"""The tangent kernel of two layers: how errors decay at given weights, and the kernel learning leaves (A6, A11)."""

from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import real_array, symmetric


def error_velocity(error: Any, lower: Any, upper: Any, sigma_x: Any) -> Any:
    """E' = −(W2 W2ᵀ E + E W1ᵀ W1) Σx: decay of the error correlation under backprop, any data (A6).

    Parameters
    ----------
    error : E = Σyx − W2 W1 Σx (o × i)
    lower, upper : W1 (h × i), W2 (o × h)
    sigma_x : Σx (i × i)

    Notes
    -----
    Arrays or symbolic matrices. Whitened inputs are Σx = I.

    Examples
    --------
    >>> error_velocity(np.ones((1, 1)), np.eye(1), 2 * np.eye(1), np.eye(1))
    array([[-5.]])
    """
    return -(upper @ transposed(upper) @ error + error @ transposed(lower) @ lower) @ sigma_x


def tangent_kernel(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """K = W2 W2ᵀ ⊗ I + I ⊗ W1ᵀ W1 on row-major vec(W), (o·i, o·i) (A6).

    The map moves by vec(W') = K vec(E); the kernel between two inputs and outputs is (y ⊗ x)ᵀ K (y' ⊗ x').

    Raises
    ------
    ValueError, TypeError
        If the weights are no finite matrices that chain.

    Notes
    -----
    Source: Jacot, Gabriel & Hongler 2018 for the kernel; Braun et al. 2022 for this network.

    Examples
    --------
    >>> tangent_kernel(np.eye(1), 2 * np.eye(1))
    array([[5.]])
    """
    lower, upper = _two_layers(lower, upper)
    left, right = np.eye(len(upper)), np.eye(lower.shape[1])
    return np.kron(upper @ upper.T, right) + np.kron(left, lower.T @ lower)


def tangent_spectrum(lower: np.ndarray, upper: np.ndarray, sigma_x: np.ndarray | None = None) -> np.ndarray:
    """Rates at which errors decay at given weights: eigenvalues of S (μ_k I + W1ᵀ W1) S, over all μ_k of W2 W2ᵀ (A6).

    Parameters
    ----------
    lower, upper : arrays (h, i), (o, h)
    sigma_x : array (i, i), optional
        Σx = S S with symmetric S; None means whitened, where the rates are λ_j(W1ᵀ W1) + μ_k(W2 W2ᵀ).

    Returns
    -------
    array (o·i,), ascending; real and ≥ 0, as E Σx^{−1/2} moves by a symmetric operator.

    Raises
    ------
    ValueError, TypeError
        If the weights are no finite matrices that chain, or Σx is not symmetric and positive semidefinite.

    Notes
    -----
    The whitened spectrum is also that of `linfa.theory.stability.error_spectrum`; correlated inputs derived here.

    Examples
    --------
    >>> tangent_spectrum(np.eye(1), 2 * np.eye(1), np.array([[3.0]])).round(12).tolist()
    [15.0]
    """
    lower, upper = _two_layers(lower, upper)
    gram = lower.T @ lower
    sigma = np.eye(len(gram)) if sigma_x is None else symmetric("sigma_x", sigma_x, size=len(gram))
    values, vectors = np.linalg.eigh(sigma)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    inner = root @ gram @ root
    rates = [np.linalg.eigvalsh(mu * sigma + inner) for mu in np.linalg.eigvalsh(upper @ upper.T)]
    return np.sort(np.concatenate(rates))


def silent_kernel(target: Any, xp: ModuleType = np) -> Any:
    """|β| (I + v vᵀ) with v = βᵀ/|β|: tangent kernel that a two-layer network of one output learns from ε → 0 (A11).

    Parameters
    ----------
    target : matrix (1, i)
        β, the best map.
    xp : namespace of `sqrt` and `eye`

    Notes
    -----
    Assumes small weights at the start. Σx may be anything for the final kernel; that it has this shape already before
    the loss falls, silent alignment, needs whitened inputs: `early_kernel_cosine` says how much is missing otherwise.
    Source: Atanasov, Bordelon & Pehlevan 2021.

    Examples
    --------
    >>> silent_kernel(np.array([[0.0, 2.0]])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    size = xp.sqrt((target @ transposed(target))[0, 0])
    return size * xp.eye(target.shape[1]) + transposed(target) @ target / size


def early_kernel_cosine(cosine: Any, inputs: Any) -> Any:
    """(i + 2 + c²)/(i + 3): cosine between the kernels I + ω ωᵀ of the plateau and I + v vᵀ of the end, c = ω·v (A11).

    From small weights the plateau grows W1 along ω ∝ Σyxᵀ, the gradient at zero; the end is v ∝ Σx⁻¹ Σyxᵀ. They agree
    for whitened inputs, c = 1: that is silent alignment. For others the kernel must turn while the loss falls.

    Parameters
    ----------
    cosine : c
    inputs : i

    Notes
    -----
    One output, weights → 0, then error → error at zero. Derived here.

    Examples
    --------
    >>> early_kernel_cosine(1.0, 7)
    1.0
    """
    return (inputs + 2 + cosine**2) / (inputs + 3)


def _two_layers(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = real_array("lower", lower, 2), real_array("upper", upper, 2)
    if upper.shape[1] != lower.shape[0]:
        raise ValueError(f"upper is {upper.shape}; it must be (outputs, {lower.shape[0]}) to follow lower")
    return lower, upper
