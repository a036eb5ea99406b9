"""Feedback alignment of one mode from any start, exactly: a cubic flow on a line (B3).

    a' = b e,   w' = e a,   e = s − w a;      c = a² − 2 b w stands still, so   a' = b s + (c a − a³)/2.

Here a is the lower weight, w the upper one, b the feedback. With BᵀB = g I a mode of two layers is this with b = √g
and a in units of W1's own singular value. Source: Baldi, Sadowski & Lu 2018 for the parabolas; closed forms derived
here.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from linfa.theory._assumptions import not_negative, not_zero, positive


def scalar_balance(lower: Any, upper: Any, feedback: Any) -> Any:
    """c = a² − 2 b w, which learning conserves (B1 for one mode).

    Examples
    --------
    >>> scalar_balance(1.0, 2.0, 0.5)
    -1.0
    """
    return lower**2 - 2 * feedback * upper


def scalar_velocity(lower: Any, s: Any, feedback: Any, balance: Any) -> Any:
    """a' = b s + (c a − a³)/2: what is left of the two layers once c is known (B3).

    Examples
    --------
    >>> scalar_velocity(2.0, 4.0, 1.0, 0.0)
    0.0
    """
    return feedback * s + (balance * lower - lower**3) / 2


def upper_weight(lower: Any, feedback: Any, balance: Any) -> Any:
    """w = (a² − c)/(2 b), the upper weight that goes with a lower one (B3); b must not be 0.

    Examples
    --------
    >>> upper_weight(2.0, 1.0, 0.0)
    2.0
    """
    not_zero("feedback", feedback)
    return (lower**2 - balance) / (2 * feedback)


def relaxation_rate(lower: Any, balance: Any) -> Any:
    """(3a² − c)/2 = a² + b w, the rate at which small errors decay at a zero-error point; stable where positive (B3).

    Examples
    --------
    >>> relaxation_rate(2.0, 0.0)
    6.0
    """
    return (3 * lower**2 - balance) / 2


def critical_balance(s: Any, feedback: Any, xp: ModuleType = np) -> Any:
    """3 (b s)^{2/3}: above this c there are three zero-error points, below it one (B3).

    Examples
    --------
    >>> round(float(critical_balance(8.0, 1.0)), 12)
    12.0
    """
    return 3 * xp.cbrt(feedback * s) ** 2


def zero_error_points(s: float, feedback: float, balance: float) -> np.ndarray:
    """The three roots of a³ − c a − 2 b s = 0, complex, by descending real part (B3).

    Every real root is a point of zero error. Of three real ones the middle is unstable.

    Examples
    --------
    >>> zero_error_points(0.0, 1.0, 4.0).real.round(12).tolist()
    [2.0, 0.0, -2.0]
    """
    not_zero("feedback", feedback)
    roots = np.roots([1.0, 0.0, -float(balance), -2.0 * float(feedback) * float(s)]).astype(complex)
    if len(roots) < 3:
        roots = np.append(roots, np.zeros(3 - len(roots)))
    return roots[np.argsort(-roots.real, kind="stable")]


def end_point(start: float, s: float, feedback: float, balance: float) -> float:
    """The a on which the flow from a(0) ends: the next stable zero-error point in its direction (B3).

    Above the critical balance, a start on the far side of the unstable point ends with b w < 0: zero error, and
    weights that oppose the feedback for ever.

    Examples
    --------
    >>> round(end_point(0.0, 4.0, 1.0, 0.0), 12)
    2.0
    """
    roots = zero_error_points(s, feedback, balance)
    scale = max(np.abs(roots).max(), np.finfo(float).tiny)
    # Rounding splits a double root into a complex pair of relative size √eps.
    real = np.sort(roots.real[np.abs(roots.imag) < 1e-7 * scale])
    velocity = scalar_velocity(start, s, feedback, balance)
    if velocity == 0:
        return float(start)
    ahead = real[real > start] if velocity > 0 else real[real < start]
    return float(ahead.min() if velocity > 0 else ahead.max())


def relaxation_time(lower: Any, start: Any, roots: Sequence[Any], cube: Any = 1, xp: ModuleType = np) -> Any:
    """Time from a(0) to a under a' = −(k/2)(a − r₁)(a − r₂)(a − r₃) (B3).

    t = Σ_k ln((a − r_k)/(a(0) − r_k))/f'(r_k),     f'(r_k) = −(k/2) Π_{j≠k} (r_k − r_j)

    Parameters
    ----------
    lower, start : a and a(0), with no root between them
    roots : three different roots, complex ones in a pair; scalar alignment has their sum at zero
    cube : k, 1 for scalar alignment
    xp : namespace of `log`

    Returns
    -------
    Complex for complex roots, with an imaginary part that is rounding: principal logarithms are right, since a − r
    never turns by half a circle while a moves along the real line.

    Raises
    ------
    ValueError
        If two roots coincide, or there are not three.

    Examples
    --------
    >>> roots = zero_error_points(4.0, 1.0, 0.0)
    >>> from linfa.theory.feedback_alignment import rise_time
    >>> bool(abs(relaxation_time(1.0, 0.0, roots) - 0.5 * rise_time(0.5)) < 1e-14)
    True
    """
    if len(roots) != 3:
        raise ValueError(f"roots has {len(roots)} entries; it must hold three")
    total = 0
    for k, root in enumerate(roots):
        first, second = (other for j, other in enumerate(roots) if j != k)
        slope = cube * (root - first) * (root - second)
        if not hasattr(slope, "free_symbols") and slope == 0:
            raise ValueError(f"roots holds {root} twice; this closed form needs three different ones")
        total = total - 2 * xp.log((lower - root) / (start - root)) / slope
    return total


def map_velocity(strength: Any, s: Any, feedback: Any, xp: ModuleType = np) -> Any:
    """u' = (3/2)(2 b u)^{2/3}(s − u) for the map u = w a from zero weights: no plateau at the origin (B3).

    Backprop has u' = 2 u (s − u) instead, which cannot leave zero.

    Examples
    --------
    >>> float(map_velocity(0.5, 1.0, 1.0))
    0.75
    """
    return 3 * xp.cbrt(2 * feedback * strength) ** 2 * (s - strength) / 2


def lazy_excess(s: Any, feedback: Any, balance: Any) -> Any:
    """12 (b s)²/|c|³: by how much, relative to |c|/2, a strong mode relaxes faster in the lazy regime (B3).

    For −c ≫ a*² all modes relax at the rate |c|/2 ≈ b w(0), whatever their strength; this is the first correction.

    Raises
    ------
    ValueError
        If balance is not negative.

    Examples
    --------
    >>> lazy_excess(1.0, 1.0, -2.0)
    1.5
    """
    positive("-balance", -balance)
    return 12 * (feedback * s) ** 2 / (-balance) ** 3


def ghost_delay(gap: Any, balance: Any, xp: ModuleType = np) -> Any:
    """π √(2/(μ √(3c))): time lost near a = −√(c/3) when b s exceeds (c/3)^{3/2} by a small μ (B3).

    Just below the critical balance two zero-error points have met and vanished; where they were, learning slows down.

    Parameters
    ----------
    gap : μ = b s − (c/3)^{3/2} > 0
    balance : c > 0

    Notes
    -----
    Leading order for μ → 0, for starts well below −√(c/3).

    Examples
    --------
    >>> round(float(ghost_delay(2.0, 1 / 3)), 12)
    3.14159265359
    """
    positive("gap", gap)
    positive("balance", balance)
    return xp.pi * xp.sqrt(2 / (gap * xp.sqrt(3 * balance)))


def opposed_peak(s: Any, gain: Any, opposition: Any, xp: ModuleType = np) -> Any:
    """s + (2/3) g κ √(2κ/3): the largest error of a mode that starts with W1 = 0, W2 = −κ Bᵀ (B7).

    Weights that oppose the feedback make the error grow, until W1 is large enough for the alignment law to turn W2.
    The peak is at a = √(2κ/3) in W1 = B A.

    Parameters
    ----------
    s, gain, opposition : strength, g of BᵀB = g I, κ ≥ 0

    Examples
    --------
    >>> round(float(opposed_peak(1.0, 1.0, 1.5)), 12)
    2.0
    """
    positive("gain", gain)
    not_negative("opposition", opposition)
    return s + 2 * gain * opposition * xp.sqrt(2 * opposition / 3) / 3


def scalar_chain(lower: Any, feedback: Sequence[Any], balances: Sequence[Any]) -> list[Any]:
    """[a_1 … a_L] of a chain with one unit per layer: a_{l+1} = (a_l² − c_l)/(2 b_{l+1}) (B3).

    Parameters
    ----------
    lower : a_1
    feedback : [b_2 … b_L], none of them 0
    balances : [c_1 … c_{L−1}], c_l = a_l² − 2 b_{l+1} a_{l+1}

    Examples
    --------
    >>> scalar_chain(2.0, [1.0, 1.0], [0.0, 0.0])
    [2.0, 2.0, 2.0]
    """
    if len(feedback) != len(balances):
        raise ValueError(f"balances has {len(balances)} entries; it must have {len(feedback)}, as feedback has")
    layers = [lower]
    for b, c in zip(feedback, balances, strict=True):
        layers.append(upper_weight(layers[-1], b, c))
    return layers


def scalar_chain_velocity(lower: Any, s: Any, feedback: Sequence[Any], balances: Sequence[Any]) -> Any:
    """a_1' = b_2 ⋯ b_L (s − a_1 ⋯ a_L) with the upper layers as functions of a_1: a flow on a line (B3).

    The polynomial has odd degree 2^L − 1 and a negative leading coefficient, so the flow always converges.

    Examples
    --------
    >>> scalar_chain_velocity(2.0, 8.0, [1.0, 1.0], [0.0, 0.0])
    0.0
    """
    product, carried = 1, 1
    for a in scalar_chain(lower, feedback, balances):
        product = product * a
    for b in feedback:
        carried = carried * b
    return carried * (s - product)


def scalar_chain_end(start: float, s: float, feedback: Sequence[float], balances: Sequence[float]) -> float:
    """The a_1 on which a scalar chain ends: the next zero of its velocity in the direction of flow (B3).

    Examples
    --------
    >>> round(scalar_chain_end(0.0, 8.0, [1.0, 1.0], [0.0, 0.0]), 10)
    2.0
    """
    layer = np.polynomial.Polynomial([0.0, 1.0])
    product = layer
    for b, c in zip(feedback, balances, strict=True):
        not_zero("feedback", b)
        layer = (layer**2 - c) / (2.0 * b)
        product = product * layer
    roots = (product - s).roots()
    velocity = scalar_chain_velocity(start, s, feedback, balances)
    if velocity == 0:
        return float(start)
    real = np.sort(roots.real[np.abs(roots.imag) < 1e-7 * np.abs(roots).max()])
    root = real[real > start].min() if velocity > 0 else real[real < start].max()
    # The companion matrix of a high degree leaves some digits to be had by Newton's method.
    gap, slope = product - s, product.deriv()
    for _ in range(3):
        root = root - gap(root) / slope(root)
    return float(root)
