"""What the runs of many networks are made of: settings, members, and the lanes that a thread works on."""

from typing import NamedTuple

import numpy as np

from linfa.core.compile import kernel
from linfa.core.problem import REGISTER, Problem
from linfa.core.runge_kutta import STAGES, lane_count
from linfa.core.vector import REGISTER_BYTES, entry_at, set_entry, stands_alone

# How a run ended.
RUNNING, COMPLETED, DIVERGED, STALLED = 0, 1, 2, 3
# How a run is made.
ADAPTIVE, DORMAND_PRINCE, CLASSICAL, DESCENT = 0, 1, 2, 3
# Entries of `clock` and `counters`. In runs of fixed steps STEP is the saved time left behind and REJECTED counts the
# steps since.
TIME, STEP, LAST_ERROR = 0, 1, 2
NEXT_SAVE, ACCEPTED, REJECTED, JUST_REJECTED, FRESH = 0, 1, 2, 3, 4


class Settings(NamedTuple):
    """What all members share beside the problem."""

    method: int
    times: np.ndarray  # (T,) times to save, or numbers of updates
    rtol: float
    atol: float
    step: float  # longest step, or learning rate
    max_steps: int


class Members(NamedTuple):
    """The runs to be made, and what comes of them."""

    starts: np.ndarray  # (members, n_state)
    limits: np.ndarray  # (members,) a run counts as diverged when an entry exceeds this
    saved: np.ndarray  # (members, T, n_kept)
    counts: np.ndarray  # (members,) of saved times
    statuses: np.ndarray  # (members,)
    stopped: np.ndarray  # (members,) the time, or number of updates, where the run ended
    following: np.ndarray  # (1,) the next member to be taken up


class Lanes(NamedTuple):
    """What one thread works on; the last axis of the first five is missing where there is one lane."""

    state: np.ndarray  # (n_state, lanes)
    trial: np.ndarray  # (n_state, lanes)
    between: np.ndarray  # (n_state, lanes)
    stages: np.ndarray  # (STAGES, integrated, lanes), the padding included
    work: np.ndarray  # (n_work, lanes)
    steps: np.ndarray  # one register each
    fractions: np.ndarray
    register: np.ndarray
    held: np.ndarray  # (lanes,) the member in each, or -1
    clock: np.ndarray  # (lanes, 3)
    counters: np.ndarray  # (lanes, 5)
    lengths: np.ndarray  # (lanes,)
    errors: np.ndarray  # (lanes,)
    sizes: np.ndarray  # (lanes,)
    sums: np.ndarray  # (3, lanes)


def lanes_of(dtype: np.dtype) -> int:
    """How many networks share the registers of this precision."""
    return REGISTER_BYTES // np.dtype(dtype).itemsize


def make_lanes(problem: Problem, lanes: int, dtype: np.dtype) -> Lanes:
    """Empty lanes; 1 for a network that has the thread to itself."""
    beside = () if lanes == 1 else (lanes,)
    integrated = problem.n_dynamic + -problem.n_dynamic % REGISTER

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((*shape, *beside), dtype)

    register = lanes_of(dtype)
    return Lanes(
        zeros(problem.n_state),
        zeros(problem.n_state),
        zeros(problem.n_state),
        zeros(STAGES, integrated),
        zeros(problem.n_work),
        np.zeros(register, dtype),
        np.ones(register, dtype),
        np.zeros(register, dtype),
        np.full(lanes, -1),
        np.zeros((lanes, 3)),
        np.zeros((lanes, 5), dtype=np.int64),
        np.zeros(lanes),
        np.zeros(lanes),
        np.zeros(lanes),
        np.zeros((3, lanes)),
    )


@kernel
def put(numbers, target, first, lane):
    """target[first:, lane] = numbers[first:]."""
    stands_alone()
    lanes = lane_count(target)
    for i in range(first, numbers.size):
        set_entry(target, i * lanes + lane, entry_at(numbers, i))


@kernel
def take(source, first, count, lane, row, into):
    """row[into : into + count] = source[first : first + count, lane]."""
    stands_alone()
    lanes = lane_count(source)
    for i in range(count):
        set_entry(row, into + i, entry_at(source, (first + i) * lanes + lane))
