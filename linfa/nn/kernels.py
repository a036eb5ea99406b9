"""Compiled kernels of the CPU backend: windows of images, gathered, scattered and pooled. Channels last."""

import numpy as np

from linfa.core.compile import entry


@entry
def gather_patches(
    x: np.ndarray, kernel: int, stride: int, padding: int, tall: int, wide: int, rows: np.ndarray
) -> None:
    """rows[(n, p, q), (a, b, c)] = x[n, p·stride + a − padding, q·stride + b − padding, c], 0 beyond the border."""
    n, height, width, channels = x.shape
    # Along a row of the window, pixels and their channels lie side by side in the image too.
    lines = x.reshape(n, height, width * channels)
    length = kernel * channels
    m = 0
    for image in range(n):
        for p in range(tall):
            for q in range(wide):
                left = q * stride - padding
                first, last = max(0, -left) * channels, min(kernel, width - left) * channels
                for a in range(kernel):
                    y = p * stride + a - padding
                    # Loops over views from their own zero are compiled to vector instructions.
                    part = rows[m, a * length : (a + 1) * length]
                    if 0 <= y < height and first < last:
                        for c in range(first):
                            part[c] = 0.0
                        seen, inside = lines[image, y, left * channels + first :], part[first:last]
                        for c in range(last - first):
                            inside[c] = seen[c]
                        for c in range(last, length):
                            part[c] = 0.0
                    else:
                        for c in range(length):
                            part[c] = 0.0
                m += 1


@entry
def scatter_patches(
    rows: np.ndarray, kernel: int, stride: int, padding: int, tall: int, wide: int, x: np.ndarray
) -> None:
    """Transpose of `gather_patches`: x[…] += rows[…]."""
    n, height, width, channels = x.shape
    lines = x.reshape(n, height, width * channels)
    length = kernel * channels
    m = 0
    for image in range(n):
        for p in range(tall):
            for q in range(wide):
                left = q * stride - padding
                first, last = max(0, -left) * channels, min(kernel, width - left) * channels
                for a in range(kernel):
                    y = p * stride + a - padding
                    if 0 <= y < height and first < last:
                        seen, part = lines[image, y, left * channels + first :], rows[m, a * length + first :]
                        for c in range(last - first):
                            seen[c] += part[c]
                m += 1


@entry
def max_pool(x: np.ndarray, size: int, stride: int, largest: np.ndarray, where: np.ndarray) -> None:
    """largest[n, p, q, c] = max over (a, b) of x[n, p·stride + a, q·stride + b, c]; where = a·size + b, the first."""
    n, tall, wide, channels = largest.shape
    for image in range(n):
        for p in range(tall):
            for q in range(wide):
                for c in range(channels):
                    largest[image, p, q, c] = x[image, p * stride, q * stride, c]
                    where[image, p, q, c] = 0
                for place in range(1, size * size):
                    y, z = p * stride + place // size, q * stride + place % size
                    for c in range(channels):
                        if x[image, y, z, c] > largest[image, p, q, c]:
                            largest[image, p, q, c] = x[image, y, z, c]
                            where[image, p, q, c] = place


@entry
def max_pool_back(error: np.ndarray, where: np.ndarray, size: int, stride: int, x: np.ndarray) -> None:
    """Add each error to the entry of x that was the largest in its window."""
    n, tall, wide, channels = error.shape
    for image in range(n):
        for p in range(tall):
            for q in range(wide):
                for c in range(channels):
                    place = where[image, p, q, c]
                    x[image, p * stride + place // size, q * stride + place % size, c] += error[image, p, q, c]
