"""Align, then memorise: how learning under fixed feedback starts, and when its two phases happen."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import real_number
from linfa.neighbours.teacher_student.overlaps import OrderParameters


def early_growth(
    t: Any, carrier: Any, teacher: Any, head: Any, rate: Any, mean_square: Any, xp: ModuleType = np
) -> tuple[Any, Any, Any]:
    """R, Q and v of an erf student that starts from zero weights, to leading order in t (the align phase).

        R = ηt (2/π) F (T u)ᵀ,   Q = η² t (2/π) E[y²] F Fᵀ,   v = ½ (ηt)² (2/π)² (uᵀT u) F,   u_m = A_m/√(1 + T_mm)

    Every unit grows along its own F_i times one direction that all share, Σ u_m w̃_m, and v along F: cos(v, F) = 1
    before anything is fitted.

    Parameters
    ----------
    t : time, samples/N
    carrier, head : columns (K, 1), (M, 1)
        F and A.
    teacher : matrix (M, M)
        T.
    rate : η
    mean_square : E[y²] of the labels, noise included: 2 ε_g(0) + σ²
    xp : namespace of `sqrt` and `pi`

    Notes
    -----
    Arrays or symbolic matrices with entries. Derived here from the equations of `ode`.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> r, q, v = early_growth(1e-3, np.array([[2.0], [1.0]]), one, one, 0.5, 0.3)
    >>> (v[0] / v[1]).tolist()
    [2.0]
    """
    slope = 2 / xp.pi
    shared, strength = _shared_direction(teacher, head, xp)
    r = rate * t * slope * (carrier @ transposed(shared))
    q = rate**2 * t * slope * mean_square * (carrier @ transposed(carrier))
    return r, q, (rate * t * slope) ** 2 / 2 * strength * carrier


def escape_rate(teacher: Any, head: Any, rate: Any, xp: ModuleType = np) -> Any:
    """(2η/π) √(uᵀT u): the rate at which backprop of an erf student leaves small weights, u_m = A_m/√(1 + T_mm).

    It needs a time ∝ ln(1/scale) for it, where fixed feedback needs none: its weights grow at once. Arguments as
    `early_growth`. Derived here.

    Examples
    --------
    >>> round(float(escape_rate(np.eye(1), np.ones((1, 1)), 0.5) * np.pi * np.sqrt(2)), 12)
    1.0
    """
    return 2 * rate / xp.pi * xp.sqrt(_shared_direction(teacher, head, xp)[1])


def _shared_direction(teacher: Any, head: Any, xp: ModuleType) -> tuple[Any, Any]:
    """T u and uᵀT u: overlaps with the teacher, and squared length, of what all units grow along first."""
    seen = head * 0
    for m in range(len(head)):
        seen[m, 0] = head[m, 0] / xp.sqrt(1 + teacher[m, m])
    shared = teacher @ seen
    return shared, (transposed(seen) @ shared)[0, 0]


@dataclass(frozen=True)
class Phases:
    """Times at which the two phases of learning are over; NaN where that did not happen.

    Attributes
    ----------
    aligned : float or array (members,)
        When cos(v, F) first reaches the level asked for.
    memorised : float or array (members,)
        When ε_g first falls to the fraction of its start asked for.
    """

    aligned: np.ndarray | float
    memorised: np.ndarray | float


def phases(course: OrderParameters, cosine: float = 0.9, fraction: float = 0.001) -> Phases:
    """When a course of learning has aligned, and when it has memorised: measured from saved times, linear in between.

    Parameters
    ----------
    course : OrderParameters
        From `ode`, `simulate` or `ensemble`.
    cosine : float
        Alignment of v with the feedback that counts as aligned, in (−1, 1].
    fraction : float
        Part of the error at the start that counts as memorised, in (0, 1).

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Examples
    --------
    >>> from linfa.feedback import DirectFeedback
    >>> from linfa.neighbours.teacher_student import Start, ode
    >>> start = Start.draw(units=2, head=[1.0, 0.6], inputs=500, scale=0.01, seed=0)
    >>> feedback = DirectFeedback([[[1.0], [0.5]]])
    >>> found = phases(ode(start, feedback, np.linspace(0, 600, 301), learning_rate=0.5))
    >>> bool(found.aligned < 5 < 100 < found.memorised)
    True
    """
    if not isinstance(course, OrderParameters):
        raise TypeError(f"course is {type(course).__name__}; it must be OrderParameters, as ode or simulate return")
    cosine = real_number("cosine", cosine, above=-1.0, at_most=1.0)
    fraction = real_number("fraction", fraction, above=0.0)
    if fraction >= 1:
        raise ValueError(f"fraction is {fraction:g}; it must be below 1")
    error = course.error
    # v = 0 has no direction yet, so it has not aligned.
    aligned = np.nan_to_num(course.alignment, nan=-1.0)
    # What diverged has not memorised.
    missing = np.nan_to_num(error, nan=np.inf)
    return Phases(
        _first_above(course.t, aligned, np.full(aligned.shape[:-1], cosine)),
        _first_above(course.t, -missing, -fraction * error[..., 0]),
    )


def _first_above(t: np.ndarray, values: np.ndarray, level: np.ndarray) -> np.ndarray | float:
    """First time at which values (..., T) reach level (...), NaN where they never do."""
    above = values >= level[..., None]
    at = np.argmax(above, axis=-1)
    before = np.maximum(at - 1, 0)
    high, low = (np.take_along_axis(values, k[..., None], -1)[..., 0] for k in (at, before))
    rise = high - low
    usable = np.isfinite(rise) & (rise > 0)
    share = np.where(usable, (level - np.where(usable, low, 0.0)) / np.where(usable, rise, 1.0), 1.0)
    crossed = t[before] + share * (t[at] - t[before])
    return np.where(above.any(-1), crossed, np.nan)[()]
