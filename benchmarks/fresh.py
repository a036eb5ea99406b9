"""What a user waits for in a new process: the import, the first run, compiling everything."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from table import Goal, Row
from timing import Effort, load

# The clock starts with the first line of linfa: what the interpreter itself takes is not linfa's.
_IMPORT = "import time; started = time.perf_counter(); import linfa; "
_SET_UP = (
    "task = linfa.LinearTask.from_modes([3, 2, 1], inputs=8, outputs=8); "
    "weights = linfa.initial_weights((8, 16, 8), scale=0.1, members=2); one = [w[0] for w in weights]; "
    "feedback = linfa.LowRankFeedback(rank=2); "
)
_FIRST = "linfa.simulate(task, one, feedback, [1.0]); "
_OTHERS = (
    "linfa.simulate(task, one, feedback, [1.0], method='rk4', step=0.1); "
    "linfa.simulate(task, one, feedback, [10], learning_rate=0.01); linfa.ensemble(task, weights, feedback, [1.0]); "
)
_TELL = "print(time.perf_counter() - started)"
# Compiling takes so long that the clock's noise is nothing beside it.
_COMPILATIONS = 3


def _seconds(code: str, cache: str | None = None) -> float:
    """What the code prints, in a fresh process; `cache` replaces the folder of compiled code."""
    environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": cache})
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"a fresh process failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout))


def fresh(effort: Effort) -> Iterator[Row]:
    """Import, import with the first run, and compiling every way to run a flow or descent."""
    first = _IMPORT + _SET_UP + _FIRST + _TELL
    # Fills the cache, and the file system's.
    _seconds(first)
    pieces = {
        ("import linfa", Goal(0.4, kind="seconds")): _IMPORT + _TELL,
        ("import and first simulate, compiled code on disk", Goal(1.5, kind="seconds")): first,
    }
    for (work, goal), code in pieces.items():
        seconds = statistics.median(_seconds(code) for _ in range(effort.repetitions))
        yield _row(work, goal, seconds, effort.repetitions)
    if effort.quick:
        return

    def compiled() -> float:
        with tempfile.TemporaryDirectory() as empty:
            return _seconds(_IMPORT + _SET_UP + _FIRST + _OTHERS + _TELL, empty)

    seconds = statistics.median(compiled() for _ in range(_COMPILATIONS))
    note = "flow in adaptive and fixed steps, descent, ensemble"
    yield _row("import and first runs, nothing compiled", Goal(20, kind="seconds"), seconds, _COMPILATIONS, note)


def _row(work: str, goal: Goal, seconds: float, repetitions: int, note: str = "") -> Row:
    return Row(
        "fresh", f"{work}, a fresh process", "–", goal, seconds, 1e3 * seconds, repetitions=repetitions, load=load(),
        note=note,
    )  # fmt: skip
