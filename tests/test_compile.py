"""Compiled kernels: the cache follows every file of the core, and does without a place to write."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numba
import pytest

from linfa.core import compile as compiling
from linfa.core import velocity


def test_cache_entries_carry_the_digest_of_all_core_files():
    assert velocity.velocity._cache._cache_file._source_stamp[1] == compiling._DIGEST
    assert compiling._sources_digest() == compiling._DIGEST


def test_digest_follows_every_file_of_the_core(tmp_path, monkeypatch):
    for name in ("compile.py", "matrices.py"):
        (tmp_path / name).write_text("x = 1")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compile.py"))
    before = compiling._sources_digest()
    (tmp_path / "matrices.py").write_text("x = 2")
    assert compiling._sources_digest() != before


def test_kernel_compiles_without_a_place_for_its_cache(monkeypatch):
    def njit(**options):
        if not options.pop("cache", False):
            return numba.njit(**options)

        def refuse(function):
            raise RuntimeError("cannot cache function: no locator available")

        return refuse

    monkeypatch.setattr(compiling, "numba", SimpleNamespace(njit=njit))
    assert compiling.entry(lambda x: x + 1)(2) == 3


@pytest.mark.slow
def test_second_process_starts_from_the_cache():
    """A warm start loads machine code: far below the ten seconds and more that compiling takes."""
    code = (
        "import numpy as np, linfa, time; w = linfa.initial_weights((2, 3, 2), scale=0.1); "
        "start = time.perf_counter(); linfa.simulate(linfa.LinearTask(np.eye(2)), w, linfa.Backprop(), [1.0]); "
        "print(time.perf_counter() - start)"
    )
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    seconds = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
            ).stdout
        )
        for _ in range(2)
    ]
    # Half a second on an idle core; the rest is room for a busy one.
    assert seconds[1] < 4.0
