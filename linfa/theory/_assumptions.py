"""Where a closed form holds: refusals of numbers outside, which let the symbols of a proof pass."""

from collections.abc import Sequence

import numpy as np


def positive(name: str, value: object) -> None:
    """Refuse numbers that are not all above 0."""
    if not hasattr(value, "free_symbols") and not (np.asarray(value) > 0).all():
        raise ValueError(f"{name} is {_shown(value)}; it must be above 0")


def not_negative(name: str, value: object) -> None:
    """Refuse numbers that are not all at least 0."""
    if not hasattr(value, "free_symbols") and not (np.asarray(value) >= 0).all():
        raise ValueError(f"{name} is {_shown(value)}; it must not be negative")


def not_zero(name: str, value: object) -> None:
    """Refuse zeros and what is not finite."""
    if not hasattr(value, "free_symbols") and not (np.isfinite(value) & (np.asarray(value) != 0)).all():
        raise ValueError(f"{name} is {_shown(value)}; it must be finite and not 0")


def within(name: str, value: object, low: float, high: float) -> None:
    """Refuse numbers outside low … high, ends included."""
    if hasattr(value, "free_symbols"):
        return
    if not ((np.asarray(value) >= low) & (np.asarray(value) <= high)).all():
        raise ValueError(f"{name} is {_shown(value)}; it must lie between {low:g} and {high:g}")


def gains_of(name: str, value: Sequence) -> None:
    """Refuse an empty sequence of gains, and gains that are not above 0."""
    if len(value) == 0:
        raise ValueError(f"{name} is empty; it must hold one gain for each hidden layer")
    for k, gain in enumerate(value):
        positive(f"{name}[{k}]", gain)


def _shown(value: object) -> str:
    """A number as it is, of an array the smallest entry."""
    array = np.asarray(value)
    return f"{array:g}" if array.ndim == 0 else f"an array with smallest entry {np.nanmin(array):g}"
