"""Checks of images and labels, which stay in the type in which they are stored."""

from collections.abc import Iterator

import numpy as np

from linfa._check import read_only

# Images worked on at a time, so that no copy of a whole set in a larger type is ever made.
_BLOCK = 1000


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """The images in order, some at a time, as views."""
    for start in range(0, len(images), _BLOCK):
        yield images[start : start + _BLOCK]


def image_array(name: str, value: object) -> np.ndarray:
    """`value` as images (N, H, W, C) or vectors (N, features), uint8, float32 or float64; a read-only view."""
    if np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; every pixel must be given, so fill or drop the masked ones")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of images; its rows differ in length") from error
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind == "f" and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise TypeError(f"{name} holds {array.dtype}; it must hold uint8 (pixels 0 … 255), float32 or float64")
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim not in (2, 4):
        raise ValueError(f"{name} is {array.shape}; it must be (N, H, W), (N, H, W, channels) or (N, features)")
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}; it must hold at least one image")
    # Taken as they are, such images would be 3 pixels high and have as many channels as they are wide.
    if array.ndim == 4 and array.shape[1] in (1, 3) and min(array.shape[2:]) > 4:
        raise ValueError(
            f"{name} is {array.shape}, which has its channels first; they come last: {name}.transpose(0, 2, 3, 1)"
        )
    if array.dtype.kind == "f":
        for number, block in enumerate(blocks(array)):
            finite = np.isfinite(block)
            if not finite.all():
                where = tuple(int(k) for k in np.argwhere(~finite)[0])
                place = (where[0] + number * _BLOCK, *where[1:])
                raise ValueError(f"{name} holds {block[where]} at index {place}; every pixel must be finite")
    return read_only(array[:])


def label_array(name: str, value: object, count: int, classes: int | None = None) -> np.ndarray:
    """`value` as int64 labels (count,) from 0 to classes − 1, read-only."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a list of integers, one for each image") from error
    if array.ndim != 1:
        raise ValueError(f"{name} is {array.shape}; it must be ({count},), one label for each image")
    if len(array) != count:
        raise ValueError(f"{name} has {len(array)} labels; there are {count} images")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}; it must hold integers, the numbers of the classes from 0")
    highest = np.iinfo(np.int64).max if classes is None else classes - 1
    wrong = (array < 0) | (array > highest)
    if wrong.any():
        where = int(np.argmax(wrong))
        limit = "0 or more" if classes is None else f"from 0 to {highest}"
        raise ValueError(f"{name} holds {array[where]} at index {where}; labels must be {limit}")
    return read_only(array.astype(np.int64))
