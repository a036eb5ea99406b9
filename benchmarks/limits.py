"""What this machine can do at most: its rate of matrix products and of moving memory; and what a run must do."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from timing import Effort

# Large enough for the full rate of any BLAS, small enough to take some hundredths of a second.
_PRODUCT_SIZE = 1024
# Each of the two arrays is several times larger than the last cache of most processors.
_COPY_BYTES = 256 * 2**20
_REPETITIONS = 7


@dataclass(frozen=True)
class Limits:
    """Floating-point operations a second of products, and bytes a second of copies, on this machine just now."""

    products: float
    copies: float


def measured(dtype: str, effort: Effort) -> Limits:
    """Both limits, products in this precision; of toy sizes, which mean nothing, where all is of toy size."""
    return Limits(product_rate(dtype, size=effort.of(_PRODUCT_SIZE, 64)), copy_rate(size=effort.of(_COPY_BYTES, 2**16)))


def product_rate(dtype: str, *, size: int = _PRODUCT_SIZE) -> float:
    """Floating-point operations a second of a square matrix product, two for each multiply-add."""
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((size, size)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    return 2.0 * size**3 / _median_seconds(lambda: np.matmul(a, b, out=out))


def copy_rate(*, size: int = _COPY_BYTES) -> float:
    """Bytes a second, those read and those written, of copying one array onto another."""
    source, target = np.ones(size // 8), np.zeros(size // 8)
    return 2.0 * source.nbytes / _median_seconds(lambda: np.copyto(target, source))


def _median_seconds(work: Callable[[], object]) -> float:
    work()
    samples = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        work()
        samples.append(time.perf_counter() - started)
    return statistics.median(samples)


def inner_widths(widths: Sequence[int], rank: int) -> tuple[int, int, int]:
    """The network that a two-layer run under rank-r feedback needs: i + o + r hidden units carry all it learns."""
    inputs, hidden, outputs = widths
    return inputs, min(hidden, inputs + outputs + rank), outputs


def flow_operations(widths: Sequence[int], rank: int, *, learned: bool = False) -> int:
    """Operations of the matrix products in one right-hand side of a two-layer flow on whitened inputs.

    W2 W1, P E, Q (P E) and E W1ᵀ; where Kolen–Pollack learns Q and Oja's rule P also W1 (P E)ᵀ, P Σ, (P Σ) Pᵀ and
    that times P. Rank 0 stands for backprop: W2 W1, W2ᵀ E and E W1ᵀ.

    Examples
    --------
    >>> flow_operations((2, 3, 2), 0), flow_operations((2, 3, 2), 1)
    (72, 68)
    """
    i, h, o = inner_widths(widths, rank) if rank else widths
    multiply_adds = 2 * o * h * i + (rank * i * (o + h) if rank else h * o * i)
    if learned:
        multiply_adds += h * i * rank + rank * o * o + 2 * rank * rank * o
    return 2 * multiply_adds


def saved_bytes(widths: Sequence[int], rank: int, members: int, times: int, *, learned: bool = False) -> int:
    """Bytes that the states of a run take, each written once: weights, and Q and P where they learn.

    Examples
    --------
    >>> saved_bytes((2, 3, 2), 1, 10, 5)
    4800
    """
    i, h, o = inner_widths(widths, rank) if rank else widths
    state = h * (i + o) + (rank * (h + o) if learned else 0)
    return 8 * state * members * times
