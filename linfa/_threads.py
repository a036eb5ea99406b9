"""Threads: one for BLAS while kernels run, as many of ours as the process may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from linfa._check import integer

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def available_threads() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """The number of threads asked for; None means all that the process may use."""
    return available_threads() if threads is None else integer("threads", threads, at_least=1)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread, so that it neither competes with our threads nor changes results with their number."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> "ThreadpoolController":
    """The BLAS libraries of this process; looking for them takes longer than a small network's run."""
    # Numba's matrix product calls the BLAS that SciPy loads; it must be loaded to be held.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
