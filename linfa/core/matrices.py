"""Matrix products on views into flat buffers: compiled loops while matrices are small, BLAS beyond.

All matrices are two-dimensional, C-contiguous and float64. The switch depends on the sizes alone, so a product
takes the same path, and gives the same bits, in every run.
"""

import numpy as np

from linfa.core.compile import kernel

# Multiply-adds of a product above which a call into BLAS costs less than it saves.
BLAS_FROM = 24**3


@kernel
def matrix(buffer, offset, rows, columns):
    """View of ``buffer[offset : offset + rows * columns]`` as a (rows, columns) matrix."""
    return buffer[offset : offset + rows * columns].reshape(rows, columns)


@kernel
def multiply(a, b, out):
    """out = A B  with A (m, k), B (k, n)."""
    m, k = a.shape
    n = b.shape[1]
    if m * k * n >= BLAS_FROM:
        np.dot(a, b, out)
        return
    for row in range(m):
        for column in range(n):
            out[row, column] = 0.0
        for inner in range(k):
            factor = a[row, inner]
            for column in range(n):
                out[row, column] += factor * b[inner, column]


@kernel
def multiply_transposed_left(a, b, out):
    """out = Aᵀ B  with A (k, m), B (k, n)."""
    k, m = a.shape
    n = b.shape[1]
    if m * k * n >= BLAS_FROM:
        np.dot(a.T, b, out)
        return
    for row in range(m):
        for column in range(n):
            out[row, column] = 0.0
        for inner in range(k):
            factor = a[inner, row]
            for column in range(n):
                out[row, column] += factor * b[inner, column]


@kernel
def multiply_transposed_right(a, b, out):
    """out = A Bᵀ  with A (m, k), B (n, k)."""
    m, k = a.shape
    n = b.shape[0]
    if m * k * n >= BLAS_FROM:
        np.dot(a, b.T, out)
        return
    for row in range(m):
        for column in range(n):
            total = 0.0
            for inner in range(k):
                total += a[row, inner] * b[column, inner]
            out[row, column] = total


@kernel
def subtract_product(a, b, out):
    """out -= A B  with A (m, k), B (k, n); meant for a small inner size k (a rank)."""
    m, k = a.shape
    n = b.shape[1]
    for row in range(m):
        for inner in range(k):
            factor = a[row, inner]
            for column in range(n):
                out[row, column] -= factor * b[inner, column]


@kernel
def combine(first_factor, first, second_factor, second, out):
    """out = first_factor · first + second_factor · second, entry by entry (out may be either)."""
    m, n = out.shape
    for row in range(m):
        for column in range(n):
            out[row, column] = first_factor * first[row, column] + second_factor * second[row, column]


@kernel
def copy_into(source, out, first_column):
    """out[:, first_column : first_column + n] = source, for a source of n columns."""
    m, n = source.shape
    for row in range(m):
        for column in range(n):
            out[row, first_column + column] = source[row, column]
