"""Checks of arguments. Each names the argument, says what came and what is expected."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real

import numpy as np


def real_array(name: str, value: object, ndim: int | tuple[int, ...]) -> np.ndarray:
    """`value` as a finite, non-empty float64 array with `ndim` dimensions (or one of several numbers of them)."""
    if np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; every entry must be given, so fill or drop the masked ones")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers; its rows differ in length") from error
    if array.dtype.kind not in "iuf":
        kind = {"c": "complex numbers", "b": "booleans", "U": "text", "S": "bytes", "O": "objects"}
        raise TypeError(f"{name} holds {kind.get(array.dtype.kind, array.dtype)}; it must hold real numbers")
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if array.ndim not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ValueError(f"{name} has {array.ndim} dimensions, shape {array.shape}; it must have {wanted}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}; it must hold at least one number")
    # One memory layout: sums over another would differ in the last bit.
    array = array.astype(np.float64, order="C")
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise ValueError(f"{name} holds {array[where]} at index {where}; every entry must be finite")
    return array


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, C-contiguous and protected against writing."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def real_number(
    name: str, value: object, *, above: float | None = None, at_least: float | None = None, at_most: float | None = None
) -> float:
    """`value` as a finite float within the bounds given."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number):
        raise ValueError(f"{name} is {number}; it must be finite")
    if above is not None and not number > above:
        raise ValueError(f"{name} is {number:g}; it must be above {above:g}")
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} is {number:g}; it must be at least {at_least:g}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} is {number:g}; it must be at most {at_most:g}")
    return number


def integer(name: str, value: object, *, at_least: int | None = None, at_most: int | None = None) -> int:
    """`value` as an int within the bounds given; booleans and floats are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; it must be an integer")
    number = int(value)
    if at_least is not None and number < at_least:
        raise ValueError(f"{name} is {number}; it must be at least {at_least}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} is {number}; it must be at most {at_most}")
    return number


def seed_value(name: str, value: object) -> int:
    """`value` as a seed: a non-negative integer."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; it must be a non-negative integer")
    return integer(name, value, at_least=0)


def flag(name: str, value: object) -> bool:
    """`value` as a bool; nothing else passes for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; it must be True or False")
    return bool(value)


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """`value`, if it is one of `options`; the error names the nearest one."""
    options = tuple(options)
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; it must be one of {', '.join(options)}")
    if value not in options:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(options)}{nearest(value, options)}")
    return value


def nearest(word: str, options: Iterable[str]) -> str:
    """A hint at the option closest to `word`, or nothing when none is close."""
    close = get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def layer_widths(value: object) -> tuple[int, ...]:
    """Layer sizes, input first: at least input, one hidden layer's worth of weights, output."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"widths is {value!r}; it must be a sequence of layer sizes, input first")
    widths = tuple(integer(f"widths[{k}]", w, at_least=1) for k, w in enumerate(value))
    if len(widths) < 2:
        raise ValueError(f"widths is {widths}; it must name at least the input and the output size")
    return widths


def symmetric(name: str, value: object, *, size: int | None = None) -> np.ndarray:
    """`value` as a symmetric, positive semidefinite matrix, symmetrised to the last bit."""
    array = real_array(name, value, 2)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} is {array.shape}; it must be square")
    if size is not None and array.shape[0] != size:
        raise ValueError(f"{name} is {array.shape}; it must be ({size}, {size})")
    scale = np.abs(array).max()
    # Beyond these, sums and squares of the entries leave the range of floating point.
    if scale > 0 and not 1e-145 < scale < 1e145:
        raise ValueError(f"{name} has entries of size {scale:.1e}; it must be scaled to between 1e-145 and 1e145")
    skew = np.abs(array - array.T).max()
    # Correlations summed in floating point are symmetric to about n·eps; 1e-10 leaves room for float32 inputs
    # that were symmetrised by hand, and still finds every wrong entry.
    if skew > 1e-10 * scale:
        raise ValueError(f"{name} is not symmetric: largest difference {skew:.3g}; it must equal its transpose")
    array = 0.5 * (array + array.T)
    lowest = float(np.linalg.eigvalsh(array)[0])
    if lowest < -1e-10 * scale * len(array):
        raise ValueError(f"{name} has the eigenvalue {lowest:.3g}; it must be positive semidefinite")
    return array


def weight_matrices(weights: object, *, members: bool = False) -> list[np.ndarray]:
    """`weights` as a list of float64 matrices that chain, first layer first; with a leading axis for members."""
    if isinstance(weights, (str, bytes, np.ndarray)) or not isinstance(weights, Iterable):
        raise TypeError(f"weights is {type(weights).__name__}; it must be a list of matrices, first layer first")
    ndim = 3 if members else 2
    checked = [real_array(f"weights[{k}]", w, ndim) for k, w in enumerate(weights)]
    if len(checked) < 1:
        raise ValueError("weights is empty; it must hold one matrix per layer, first layer first")
    for k in range(1, len(checked)):
        below, here = checked[k - 1], checked[k]
        if here.shape[-1] != below.shape[-2]:
            wanted = f"(outputs, {below.shape[-2]})"
            raise ValueError(
                f"weights[{k}] is {here.shape[-2:]}; it must be {wanted} to follow weights[{k - 1}] "
                f"of shape {below.shape[-2:]}"
            )
        if members and here.shape[0] != below.shape[0]:
            raise ValueError(
                f"weights[{k}] has {here.shape[0]} members; it must have {below.shape[0]}, as weights[{k - 1}] has"
            )
    return checked


def ascending_times(value: object) -> np.ndarray:
    """Times `t`: at least one, none negative, each later than the one before."""
    times = real_array("t", value, 1)
    if times[0] < 0:
        raise ValueError(f"t starts at {times[0]:g}; times must not be negative")
    if (np.diff(times) <= 0).any():
        where = int(np.argmax(np.diff(times) <= 0))
        raise ValueError(f"t goes from {times[where]:g} to {times[where + 1]:g} at index {where}; it must ascend")
    return times


def matching(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """That the last axes of an array have the sizes given; None stands for any."""
    found = array.shape[-len(shape) :]
    if len(found) != len(shape) or any(w is not None and w != f for f, w in zip(found, shape, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} is {array.shape}; it must be (..., {wanted})")
