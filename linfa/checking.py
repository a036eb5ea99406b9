"""Check many claims: in several processes where they can be forked, else one after the other."""

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

import numpy as np

from linfa import claims
from linfa._threads import available_threads, single_threaded_blas
from linfa.claims import Check
from linfa.terminal import progress

# Beyond this many, compiling and the longest claims alone set the time, and every process takes its memory.
_MOST_PROCESSES = 8


def check_all(chosen: Sequence[str], quick: bool, checks: list[Check] | None = None) -> list[Check]:
    """Check claims on all cores, with a progress bar on a terminal.

    Parameters
    ----------
    chosen : list of str
        Names of registered claims.
    quick : bool
        Small sizes.
    checks : list, optional
        Filled with the outcomes, also where Ctrl-C ends the work.

    Returns
    -------
    list of Check
        In the order of `chosen`. A claim whose function fails has not held, and says why on standard error.

    Examples
    --------
    >>> [check.name for check in check_all(["fa-modes", "backprop-closed-times"], quick=True)]
    ['fa-modes', 'backprop-closed-times']
    """
    checks = [] if checks is None else checks
    found: dict[int, Check] = {}
    try:
        # Forked before the bar starts its thread: a lock that a thread holds stays locked in a fork.
        with _processes(_process_count(len(chosen)), quick) as pipes, progress(len(chosen)) as update:
            for place, check, complaint in _outcomes(chosen, pipes, quick, update):
                found[place] = check
                if complaint:
                    print(complaint, file=sys.stderr)
    finally:
        checks[:] = [found[place] for place in sorted(found)]
    return checks


def _process_count(tasks: int) -> int:
    """How many processes to fork, 0 for none."""
    # A forked process has the claims that were registered in this one. Windows has no fork, macOS no safe one.
    if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return 0
    count = min(tasks, available_threads(), _MOST_PROCESSES)
    return count if count > 1 else 0


@contextmanager
def _processes(count: int, quick: bool) -> Iterator[list[Connection]]:
    """Processes that answer each name sent down their pipe with its outcome, ended on the way out."""
    running, pipes = [], []
    try:
        for _ in range(count):
            context = multiprocessing.get_context("fork")
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, quick), daemon=True)
            process.start()
            # Open in the process alone, so that its end is seen here.
            theirs.close()
            running.append(process)
            pipes.append(mine)
        yield pipes
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _serve(pipe: Connection, quick: bool) -> None:
    """Check what is asked for until nothing more is."""
    # Ctrl-C reaches the whole group; the first process decides, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One BLAS thread each: the cores are taken by the other processes.
    with suppress(EOFError, BrokenPipeError), single_threaded_blas():
        while True:
            pipe.send(_outcome(pipe.recv(), quick))


def _outcomes(
    chosen: Sequence[str], pipes: list[Connection], quick: bool, update: Callable[[str, float], None]
) -> Iterator[tuple[int, Check, str]]:
    """Place, check and complaint of each claim, as they come in; here where there are no processes."""
    waiting = deque(range(len(chosen)))
    in_hand: dict[Connection, int] = {}

    def deal(pipe: Connection) -> None:
        if waiting:
            # From both ends: neighbours in the register share kernels, which are then compiled by one process, and
            # found in the cache by those that come to them later.
            in_hand[pipe] = waiting.popleft() if pipes.index(pipe) % 2 == 0 else waiting.pop()
            pipe.send(chosen[in_hand[pipe]])

    def tell(*running: int) -> None:
        update("  ".join(chosen[place] for place in running), len(chosen) - len(waiting) - len(running))

    for pipe in pipes:
        deal(pipe)
    while in_hand:
        tell(*in_hand.values())
        for pipe in wait(list(in_hand)):
            place = in_hand.pop(pipe)
            try:
                outcome = pipe.recv()
            except EOFError:
                outcome = _failed(chosen[place], "its process ended before it answered")
            else:
                deal(pipe)
            yield place, *outcome
    # Without processes, or where all of them have died.
    while waiting:
        place = waiting.popleft()
        tell(place)
        yield place, *_outcome(chosen[place], quick)


def _outcome(name: str, quick: bool) -> tuple[Check, str]:
    """A check, and a complaint where it failed to answer: such a claim has not held, and the others still run."""
    try:
        return claims.get(name).check(quick=quick), ""
    except (Exception, SystemExit) as error:
        return _failed(name, f"{type(error).__name__}: {error}")


def _failed(name: str, why: str) -> tuple[Check, str]:
    claim, nothing = claims.get(name), [np.array(np.nan)]
    check = Check(
        name, claim.title, nothing, nothing, float("inf"), claim.tolerance, False, claim.accuracy, claim.reason,
        claim.entry,
    )  # fmt: skip
    return check, f"{name}: {why}"
