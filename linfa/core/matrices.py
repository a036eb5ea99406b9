"""Products and sums of matrices in buffers, of one network or of several side by side.

A buffer of one axis holds one network's numbers: its matrices are `Plain`, multiplied by compiled loops while they are
small and by BLAS beyond. A buffer of two axes, (numbers, lanes), holds as many networks as a vector register has
places: its matrices are `Panel`s, C-contiguous with the lanes as a third axis, and each register takes one step of a
product for all of them. Every entry of a product is there the sum over the inner index in ascending order, each term
fused, so a network's numbers do not depend on its neighbours or on its place among them.

Which of the two a kernel is compiled for is seen by the number of fields, which the compiler knows.
"""

from typing import NamedTuple

import numpy as np

from linfa.core.compile import inlined, kernel
from linfa.core.vector import Address, address, fused, load, negative, signed, spread_out, stands_alone, store, width

# Multiply-adds of one network's product above which a call into BLAS costs less than it saves.
BLAS_FROM = 24**3


class Plain(NamedTuple):
    """A matrix of one network."""

    entries: np.ndarray  # (rows, columns)


class Panel(NamedTuple):
    """Matrices of networks side by side. It keeps no array alive: to be handed down, not out."""

    at: Address
    rows: int
    columns: int


@inlined
def matrix(buffer, offset, rows, columns):
    """The matrix whose first entry is the number at `offset`."""
    if buffer.ndim == 1:
        return Plain(buffer[offset : offset + rows * columns].reshape(rows, columns))
    return Panel(address(buffer, offset * width(buffer)), rows, columns)


@inlined
def row_count(a):
    """m of a matrix (m, n)."""
    if len(a) == 1:
        return a.entries.shape[0]
    return a.rows


@inlined
def column_count(a):
    """n of a matrix (m, n)."""
    if len(a) == 1:
        return a.entries.shape[1]
    return a.columns


@inlined
def number(buffer, offset):
    """The number at `offset`; a register of them, one for each lane."""
    if buffer.ndim == 1:
        return buffer[offset]
    return load(buffer, offset * width(buffer))


@inlined
def _tile_2_by_4(a, at_a, a_row, a_inner, b, at_b, b_inner, b_column, start, adds, out, at, row, inner):
    """Two rows of four entries of out = A B, or of start + A B; every step is that far in memory."""
    lanes = width(out)
    below = at + row
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = spread_out(out, 0.0)
    if adds:
        c00, c01 = load(start, at), load(start, at + lanes)
        c02, c03 = load(start, at + 2 * lanes), load(start, at + 3 * lanes)
        c10, c11 = load(start, below), load(start, below + lanes)
        c12, c13 = load(start, below + 2 * lanes), load(start, below + 3 * lanes)
    for _ in range(inner):
        upper, lower = load(a, at_a), load(a, at_a + a_row)
        factor = load(b, at_b)
        c00, c10 = fused(upper, factor, c00), fused(lower, factor, c10)
        factor = load(b, at_b + b_column)
        c01, c11 = fused(upper, factor, c01), fused(lower, factor, c11)
        factor = load(b, at_b + 2 * b_column)
        c02, c12 = fused(upper, factor, c02), fused(lower, factor, c12)
        factor = load(b, at_b + 3 * b_column)
        c03, c13 = fused(upper, factor, c03), fused(lower, factor, c13)
        at_a += a_inner
        at_b += b_inner
    store(out, at, c00)
    store(out, at + lanes, c01)
    store(out, at + 2 * lanes, c02)
    store(out, at + 3 * lanes, c03)
    store(out, below, c10)
    store(out, below + lanes, c11)
    store(out, below + 2 * lanes, c12)
    store(out, below + 3 * lanes, c13)


@inlined
def _tile_1_by_4(a, at_a, a_inner, b, at_b, b_inner, b_column, start, adds, out, at, inner):
    """Four entries of one row, as `_tile_2_by_4`."""
    lanes = width(out)
    c0 = c1 = c2 = c3 = spread_out(out, 0.0)
    if adds:
        c0, c1 = load(start, at), load(start, at + lanes)
        c2, c3 = load(start, at + 2 * lanes), load(start, at + 3 * lanes)
    for _ in range(inner):
        factor = load(a, at_a)
        c0 = fused(factor, load(b, at_b), c0)
        c1 = fused(factor, load(b, at_b + b_column), c1)
        c2 = fused(factor, load(b, at_b + 2 * b_column), c2)
        c3 = fused(factor, load(b, at_b + 3 * b_column), c3)
        at_a += a_inner
        at_b += b_inner
    store(out, at, c0)
    store(out, at + lanes, c1)
    store(out, at + 2 * lanes, c2)
    store(out, at + 3 * lanes, c3)


@inlined
def _tile_1_by_1(a, at_a, a_inner, b, at_b, b_inner, start, adds, out, at, inner):
    """One entry, as `_tile_2_by_4`."""
    total = load(start, at) if adds else spread_out(out, 0.0)
    for _ in range(inner):
        total = fused(load(a, at_a), load(b, at_b), total)
        at_a += a_inner
        at_b += b_inner
    store(out, at, total)


@kernel
def _multiply_lanes(a, turned_a, b, turned_b, start, adds, out):
    """out = A B or start + A B, tile by tile, with Aᵀ or Bᵀ in place of one that is turned; flags are 0 or 1."""
    stands_alone()
    rows, columns, inner = out.rows, out.columns, a.rows if turned_a else a.columns
    a_row, a_inner = (1, rows) if turned_a else (inner, 1)
    b_inner, b_column = (1, inner) if turned_b else (columns, 1)
    left, right, begin, result = a.at, b.at, start.at, out.at
    lanes = width(result)
    a_row, a_inner = a_row * lanes, a_inner * lanes
    b_inner, b_column = b_inner * lanes, b_column * lanes
    row = columns * lanes
    # A tile's four columns of B stay near the processor while the rows of A go by.
    for c in range(0, columns - columns % 4, 4):
        at_b, at = c * b_column, c * lanes
        for r in range(0, rows - 1, 2):
            _tile_2_by_4(
                left, r * a_row, a_row, a_inner, right, at_b, b_inner, b_column, begin, adds, result, r * row + at, row,
                inner,
            )  # fmt: skip
        if rows % 2:
            r = rows - 1
            _tile_1_by_4(
                left, r * a_row, a_inner, right, at_b, b_inner, b_column, begin, adds, result, r * row + at, inner
            )
    for c in range(columns - columns % 4, columns):
        for r in range(rows):
            _tile_1_by_1(
                left, r * a_row, a_inner, right, c * b_column, b_inner, begin, adds, result, r * row + c * lanes, inner
            )


@kernel
def multiply(a, b, out):
    """out = A B  with A (m, k), B (k, n)."""
    if len(a) == 1:
        _multiply_plain(a.entries, b.entries, out.entries)
    else:
        _multiply_lanes(a, np.int64(0), b, np.int64(0), out, np.int64(0), out)


@kernel
def _multiply_plain(a, b, out):
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
def add_product(start, a, b, out):
    """out = start + A B  with A (m, k), B (k, n); meant for a small inner size k (a rank)."""
    if len(a) == 1:
        _multiply_plain(a.entries, b.entries, out.entries)
        combine(1.0, start, 1.0, out, out)
    else:
        _multiply_lanes(a, np.int64(0), b, np.int64(0), start, np.int64(1), out)


@kernel
def multiply_transposed_left(a, b, out):
    """out = Aᵀ B  with A (k, m), B (k, n)."""
    if len(a) == 1:
        _multiply_transposed_left_plain(a.entries, b.entries, out.entries)
    else:
        _multiply_lanes(a, np.int64(1), b, np.int64(0), out, np.int64(0), out)


@kernel
def _multiply_transposed_left_plain(a, b, out):
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
    if len(a) == 1:
        _multiply_transposed_right_plain(a.entries, b.entries, out.entries)
    else:
        _multiply_lanes(a, np.int64(0), b, np.int64(1), out, np.int64(0), out)


@kernel
def _multiply_transposed_right_plain(a, b, out):
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
    stands_alone()
    if len(a) == 1:
        x, y, z = a.entries, b.entries, out.entries
        for row in range(x.shape[0]):
            for inner in range(x.shape[1]):
                for column in range(y.shape[1]):
                    z[row, column] -= x[row, inner] * y[inner, column]
    else:
        lanes, k, n = width(out.at), a.columns, b.columns
        for row in range(a.rows):
            for column in range(n):
                total = load(out.at, (row * n + column) * lanes)
                for inner in range(k):
                    factor = negative(load(a.at, (row * k + inner) * lanes))
                    total = fused(factor, load(b.at, (inner * n + column) * lanes), total)
                store(out.at, (row * n + column) * lanes, total)


@kernel
def combine(first_factor, first, second_factor, second, out):
    """out = first_factor · first + second_factor · second, entry by entry (out may be either)."""
    stands_alone()
    if len(out) == 1:
        x, y, z = first.entries, second.entries, out.entries
        for row in range(z.shape[0]):
            for column in range(z.shape[1]):
                z[row, column] = first_factor * x[row, column] + second_factor * y[row, column]
    else:
        f, s = spread_out(out.at, first_factor), spread_out(out.at, second_factor)
        for at in range(0, out.rows * out.columns * width(out.at), width(out.at)):
            store(out.at, at, fused(f, load(first.at, at), s * load(second.at, at)))


@kernel
def scale(factor, out):
    """out *= factor."""
    stands_alone()
    if len(out) == 1:
        z = out.entries
        for row in range(z.shape[0]):
            for column in range(z.shape[1]):
                z[row, column] *= factor
    else:
        f = spread_out(out.at, factor)
        for at in range(0, out.rows * out.columns * width(out.at), width(out.at)):
            store(out.at, at, f * load(out.at, at))


@kernel
def transpose_into(source, out):
    """out = sourceᵀ."""
    stands_alone()
    if len(out) == 1:
        x, z = source.entries, out.entries
        for row in range(x.shape[0]):
            for column in range(x.shape[1]):
                z[column, row] = x[row, column]
    else:
        lanes, m, n = width(out.at), source.rows, source.columns
        for row in range(m):
            for column in range(n):
                store(out.at, (column * m + row) * lanes, load(source.at, (row * n + column) * lanes))


@kernel
def copy_into(source, out, first_column):
    """out[:, first_column : first_column + n] = source, for a source of n columns."""
    stands_alone()
    if len(out) == 1:
        x, z = source.entries, out.entries
        for row in range(x.shape[0]):
            for column in range(x.shape[1]):
                z[row, first_column + column] = x[row, column]
    else:
        lanes, n = width(out.at), source.columns
        for row in range(source.rows):
            at = (row * out.columns + first_column) * lanes
            for offset in range(0, n * lanes, lanes):
                store(out.at, at + offset, load(source.at, row * n * lanes + offset))


@kernel
def with_signs(magnitude, forward, out):
    """out = M ∘ sign(W)ᵀ  with M (n, m), W (m, n)."""
    stands_alone()
    if len(out) == 1:
        x, y, z = magnitude.entries, forward.entries, out.entries
        for row in range(x.shape[0]):
            for column in range(x.shape[1]):
                z[row, column] = x[row, column] * np.sign(y[column, row])
    else:
        lanes, n, m = width(out.at), magnitude.rows, magnitude.columns
        for row in range(n):
            for column in range(m):
                place = (row * m + column) * lanes
                value = load(magnitude.at, place)
                store(out.at, place, signed(value, load(forward.at, (column * n + row) * lanes)))
