"""The array backend, found from the array's own type: NumPy with compiled kernels, or CuPy with its library calls.

CuPy is never imported here unless one of its arrays comes in. Images have their channels last, (N, height, width, C),
so that a convolution is a matrix product on rows, like everything else: one row for each position of each image.
"""

import sys
from types import ModuleType

import numpy as np

from linfa.nn import kernels
from linfa.nn.parameters import Array

# Patches of as many entries are worked on at a time: they stay in the processor's cache between being gathered and
# being multiplied.
_CHUNK_ENTRIES = 2**19
# A graphics card is filled by large products.
_CHUNK_ENTRIES_DEVICE = 2**27


def namespace(x: Array) -> ModuleType:
    """NumPy or CuPy, by the type of `x`.

    Examples
    --------
    >>> namespace(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(x, np.ndarray):
        return np
    if type(x).__module__.partition(".")[0] == "cupy":
        return sys.modules["cupy"]
    raise TypeError(f"x is {type(x).__name__}; it must be an array of NumPy or CuPy")


def to_numpy(x: Array) -> np.ndarray:
    """The array in the computer's own memory."""
    return x if namespace(x) is np else x.get()


def like(x: np.ndarray, reference: Array) -> Array:
    """A NumPy array where `reference` lives, in its precision."""
    xp = namespace(reference)
    return xp.asarray(x, dtype=reference.dtype)


def device_module(device: str) -> ModuleType:
    """NumPy for ``"cpu"``, CuPy for ``"cuda"``.

    Raises
    ------
    RuntimeError
        If CuPy is not installed, or sees no device.
    """
    if device == "cpu":
        return np
    if device != "cuda":
        raise ValueError(f"device is {device!r}; it must be 'cpu' or 'cuda'")
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        raise RuntimeError("device is 'cuda', which needs CuPy: pip install 'linfa[cuda]'") from error
    except Exception as error:
        raise RuntimeError(f"device is 'cuda', but no such device answers: {error}") from error
    return cupy


def erf(x: Array) -> Array:
    """The error function, entry by entry."""
    if namespace(x) is np:
        from scipy.special import erf as of_array
    else:
        from cupyx.scipy.special import erf as of_array
    return of_array(x)


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Positions of a window along an axis, ⌊(size + 2 padding − kernel)/stride⌋ + 1."""
    return (size + 2 * padding - kernel) // stride + 1


def images_at_once(x: Array, row_length: int, positions: int) -> int:
    """How many images to gather patches of at a time; a fixed number for given sizes, so that results repeat."""
    limit = _CHUNK_ENTRIES if namespace(x) is np else _CHUNK_ENTRIES_DEVICE
    return max(1, limit // (row_length * positions))


def patches(x: Array, kernel: int, stride: int, padding: int) -> Array:
    """Every window of an image as a row: (N, H, W, C) → (N·positions, kernel·kernel·C), zeros beyond the border."""
    if namespace(x) is np:
        n, height, width, channels = x.shape
        tall, wide = (output_size(size, kernel, stride, padding) for size in (height, width))
        rows = np.empty((n * tall * wide, kernel * kernel * channels), x.dtype)
        kernels.gather_patches(np.ascontiguousarray(x), kernel, stride, padding, tall, wide, rows)
        return rows
    return _patches(x, kernel, stride, padding)


def fold(rows: Array, shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> Array:
    """Transpose of `patches`: add every row back where its window lay, in an image of this shape (N, H, W, C)."""
    if namespace(rows) is np:
        tall, wide = (output_size(size, kernel, stride, padding) for size in shape[1:3])
        image = np.zeros(shape, rows.dtype)
        kernels.scatter_patches(np.ascontiguousarray(rows), kernel, stride, padding, tall, wide, image)
        return image
    return _fold(rows, shape, kernel, stride, padding)


def max_pool(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    """Largest entry in every window, (N, H, W, C) → (N, H', W', C), and where in its window it was."""
    if namespace(x) is np:
        n, height, width, channels = x.shape
        shape = (n, output_size(height, size, stride, 0), output_size(width, size, stride, 0), channels)
        largest, where = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
        kernels.max_pool(np.ascontiguousarray(x), size, stride, largest, where)
        return largest, where
    return _max_pool(x, size, stride)


def max_pool_back(error: Array, where: Array, shape: tuple[int, ...], size: int, stride: int) -> Array:
    """Error at the inputs of `max_pool`: each goes to the entry that was the largest."""
    if namespace(error) is np:
        image = np.zeros(shape, error.dtype)
        kernels.max_pool_back(np.ascontiguousarray(error), where, size, stride, image)
        return image
    return _max_pool_back(error, where, shape, size, stride)


# The same in array expressions alone: what runs on a graphics card, and what the tests hold the kernels against.


def _windows(shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> list[tuple]:
    """(row, column, slices) of a padded image for each place in the window."""
    tall, wide = (output_size(size, kernel, stride, padding) for size in shape[1:3])
    return [
        (a, b, (slice(None), slice(a, a + stride * tall, stride), slice(b, b + stride * wide, stride)))
        for a in range(kernel)
        for b in range(kernel)
    ]


def _padded(x: Array, padding: int) -> Array:
    return namespace(x).pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))) if padding else x


def _patches(x: Array, kernel: int, stride: int, padding: int) -> Array:
    n, height, width, channels = x.shape
    tall, wide = (output_size(size, kernel, stride, padding) for size in (height, width))
    image, rows = _padded(x, padding), namespace(x).empty((n, tall, wide, kernel, kernel, channels), x.dtype)
    for a, b, window in _windows(x.shape, kernel, stride, padding):
        rows[:, :, :, a, b] = image[window]
    return rows.reshape(n * tall * wide, -1)


def _fold(rows: Array, shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> Array:
    n, height, width, channels = shape
    tall, wide = (output_size(size, kernel, stride, padding) for size in (height, width))
    rows = rows.reshape(n, tall, wide, kernel, kernel, channels)
    image = namespace(rows).zeros((n, height + 2 * padding, width + 2 * padding, channels), rows.dtype)
    for a, b, window in _windows(shape, kernel, stride, padding):
        image[window] += rows[:, :, :, a, b]
    return image[:, padding : padding + height, padding : padding + width]


def _max_pool(x: Array, size: int, stride: int) -> tuple[Array, Array]:
    xp = namespace(x)
    stacked = xp.stack([x[window] for _, _, window in _windows(x.shape, size, stride, 0)])
    return stacked.max(0), stacked.argmax(0).astype(xp.uint8)


def _max_pool_back(error: Array, where: Array, shape: tuple[int, ...], size: int, stride: int) -> Array:
    image = namespace(error).zeros(shape, error.dtype)
    for place, (_, _, window) in enumerate(_windows(shape, size, stride, 0)):
        image[window] += error * (where == place)
    return image
