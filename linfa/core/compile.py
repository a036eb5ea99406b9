"""One way to compile a kernel: Numba in nopython mode, without the interpreter lock, cached on disk.

Numba notices that a cached kernel is out of date when the file that *defines* it changes, but not when a kernel
that it *calls*, in another file, does. The stamp of every cache entry here therefore covers all files of
``linfa.core``: change one, and all kernels are compiled again.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numba


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


_DIGEST = _sources_digest()


def kernel(function: Callable) -> Callable:
    """Compile `function` with Numba, to be called from other kernels only.

    Sums may be reordered (``reassoc``) and products fused into sums (``contract``), which lets dot products use
    vector instructions. Both are fixed when the kernel is compiled, so results repeat bit for bit; NaN and infinity
    keep their meaning.

    Parameters
    ----------
    function : callable
        A function of scalars, arrays and named tuples of them.

    Returns
    -------
    callable
        The compiled kernel; ``kernel.py_func`` is the Python function.
    """
    # Without wrappers for calls from Python and C a kernel compiles in half the time.
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def inlined(function: Callable) -> Callable:
    """Compile `function` like `kernel`, as a part of those that call it."""
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


def spliced(function: Callable) -> Callable:
    """A kernel that one other calls, and that is compiled as a part of that alone.

    What a kernel asks of the kind of its arguments, the number of fields or axes, the compiler does not see in here.
    """
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")


def entry(function: Callable) -> Callable:
    """Compile `function` like `kernel`, but to be called from Python."""
    return _compile(function, no_cfunc_wrapper=True)


def _compile(function: Callable, **options: bool) -> Callable:
    options |= {"nogil": True, "error_model": "numpy", "boundscheck": False, "fastmath": {"reassoc", "contract"}}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's can be written to: compile anew in every process.
        return numba.njit(**options)(function)
    # Numba keeps (modification time, size) of the defining file here and compares it for equality alone. A version
    # that keeps it elsewhere goes by its own stamp; the tests notice.
    index = getattr(compiled._cache, "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _DIGEST)
    return compiled
