"""What noise does to the modes of a task: singular values and vectors of a teacher plus noise (A12)."""

from types import ModuleType
from typing import Any

import numpy as np


def noisy_strength(s: Any, ratio: Any, xp: ModuleType = np) -> Any:
    """ŝ = √((1 + s²)(A + s²))/s: where a mode of strength s > A^{1/4} is seen in a noisy correlation matrix (A12).

    Parameters
    ----------
    s : strength of the teacher's mode
    ratio : A = outputs/inputs
    xp : namespace of `sqrt`

    Notes
    -----
    Σ̂ = Σ_k s_k u_k v_kᵀ + noise with independent entries of variance 1/inputs, both sizes large, few modes; each mode
    on its own. Below A^{1/4} the mode is lost: see `observed_mode`.
    Source: Benaych-Georges & Nadakuditi 2012; Lampinen & Ganguli 2019.

    Examples
    --------
    >>> round(float(noisy_strength(1.0, 1.0)), 12)
    2.0
    """
    return xp.sqrt((1 + s**2) * (ratio + s**2)) / s


def output_overlap(s: Any, ratio: Any) -> Any:
    """<u, û>² = 1 − A(1 + s²)/(s²(A + s²)) of the output side, for s > A^{1/4} (A12); arguments as `noisy_strength`.

    Examples
    --------
    >>> float(output_overlap(1.0, 1.0))
    0.0
    """
    return 1 - ratio * (1 + s**2) / (s**2 * (ratio + s**2))


def input_overlap(s: Any, ratio: Any) -> Any:
    """<v, v̂>² = 1 − (A + s²)/(s²(1 + s²)) of the input side, for s > A^{1/4} (A12); arguments as `noisy_strength`.

    Examples
    --------
    >>> float(input_overlap(2.0, 1.0))
    0.75
    """
    return 1 - (ratio + s**2) / (s**2 * (1 + s**2))


def observed_mode(s: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ŝ, <u, û>² and <v, v̂>² on both sides of the transition at s = A^{1/4}, below which ŝ = 1 + √A and overlaps are 0.

    Parameters
    ----------
    s : array (...)
        Strengths ≥ 0 of the teacher's modes.
    ratio : float
        A = outputs/inputs > 0.

    Raises
    ------
    ValueError
        If a strength is negative or the ratio not positive.

    Examples
    --------
    >>> [float(x) for x in observed_mode(0.5, 1.0)]
    [2.0, 0.0, 0.0]
    """
    s = np.asarray(s, dtype=float)
    if not ratio > 0:
        raise ValueError(f"ratio is {ratio:g}; it must be above 0")
    if (s < 0).any():
        raise ValueError(f"s holds {s.min():g}; strengths must not be negative")
    seen = s**4 > ratio
    safe = np.where(seen, s, 2 * ratio**0.25)
    strength = np.where(seen, noisy_strength(safe, ratio), 1 + np.sqrt(ratio))
    overlaps = (np.where(seen, overlap(safe, ratio), 0.0) for overlap in (output_overlap, input_overlap))
    return strength[()], *(x[()] for x in overlaps)
