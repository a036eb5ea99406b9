"""The same problem at the same accuracy: what is run, how far off it is, and the tolerances that make it fair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import linfa
from linfa.feedback import Feedback

RTOL, ATOL = 1e-6, 1e-8
# The reference is run with these; a side that has come so far is tightened no more.
_TIGHTEST = 1e-12, 1e-14
# Two sides whose errors differ by less count as equally accurate.
EQUAL = 2.0
# Beyond this error a side does not solve the problem less accurately: it solves another one.
_ANOTHER_PROBLEM = 0.05
# The reference must be far better than what it judges; integration errors at rtol 1e-12 grow to some 1e-10.
_REFERENCE_TOLERANCE = 1e-8


class Disagreement(AssertionError):
    """A side that does not solve the problem, or cannot be made as accurate as the other."""


@dataclass(frozen=True)
class Flow:
    """Two-layer networks under low-rank feedback or backprop, by gradient flow on whitened inputs.

    `weights` have a leading member axis; one member stands for a single network.
    """

    task: linfa.LinearTask
    weights: Sequence[np.ndarray]
    feedback: Feedback
    t: np.ndarray

    @property
    def members(self) -> int:
        """Number of networks."""
        return len(self.weights[0])

    @property
    def widths(self) -> tuple[int, int, int]:
        """Inputs, hidden units, outputs."""
        return self.weights[0].shape[2], self.weights[0].shape[1], self.weights[1].shape[1]

    @property
    def learned(self) -> bool:
        """Whether Q and P learn."""
        return self.feedback.q != "fixed"

    @cached_property
    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Q and P from which all members start."""
        matrices = self.feedback.resolve(self.widths).matrices
        return matrices["q"][0], matrices["p"][0]

    def member(self, index: int) -> list[np.ndarray]:
        """What one network integrates: W1 and W2, and Q and P where they learn."""
        return [w[index] for w in self.weights] + (list(self.factors) if self.learned else [])


@dataclass(frozen=True)
class Solver:
    """One way to run a flow to given tolerances, and the network maps (members, T, o, i) of what comes out."""

    name: str
    solve: Callable[[float, float], Any]
    maps: Callable[[Any], np.ndarray]
    # Of many members each stride-th is run, a share of all, by which times are scaled up.
    stride: int = 1
    share: float = 1.0
    compile_seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Tuned:
    """A solver at the tolerances that it is timed with, and its error there."""

    solver: Solver
    rtol: float
    atol: float
    error: float

    def run(self) -> Any:
        """What is timed."""
        return self.solver.solve(self.rtol, self.atol)


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest Frobenius norm of the difference of two maps over that of the wanted one, over members and times.

    Infinite where an entry is not finite or the shapes differ.
    """
    if found.shape != wanted.shape:
        return float("inf")
    apart = np.linalg.norm(found - wanted, axis=(-2, -1)) / np.linalg.norm(wanted, axis=(-2, -1))
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def reference(ours: Solver, judge: Solver) -> np.ndarray:
    """Maps of a tight run of ours, once an integrator of another hand agrees on some members.

    Raises Disagreement where it does not.
    """
    wanted = ours.maps(ours.solve(*_TIGHTEST))
    apart = relative_error(judge.maps(judge.solve(*_TIGHTEST)), wanted[:: judge.stride])
    if not apart < _REFERENCE_TOLERANCE:
        raise Disagreement(f"the reference is {apart:.1e} from {judge.name}; it must be below {_REFERENCE_TOLERANCE:g}")
    return wanted


def matched(
    ours: Solver, theirs: Solver, wanted: np.ndarray, rtol: float = RTOL, atol: float = ATOL
) -> tuple[Tuned, Tuned]:
    """Both sides at the same accuracy: the less accurate one is tightened until it is no worse than the other.

    Both are judged on the members that the peer runs. Raises Disagreement where a side is off by more than any
    tolerance explains, or where tightening does not help it.
    """

    def tuned(solver: Solver, factor: float) -> Tuned:
        maps = solver.maps(solver.solve(rtol * factor, atol * factor))
        chosen = maps[:: theirs.stride] if solver is ours else maps
        error = relative_error(chosen, wanted[:: theirs.stride])
        if not error < _ANOTHER_PROBLEM:
            raise Disagreement(f"{solver.name} is {error:.1e} from the reference: it does not solve this problem")
        return Tuned(solver, rtol * factor, atol * factor, error)

    pair = [tuned(ours, 1.0), tuned(theirs, 1.0)]
    worse = int(pair[1].error > pair[0].error)
    aim = pair[1 - worse].error
    if pair[worse].error <= EQUAL * aim:
        return tuple(pair)
    factor = 1.0
    while rtol * factor > _TIGHTEST[0]:
        # Errors go about as tolerances do. Half of the way at a time, so that the side is not asked for more than it
        # must give.
        factor *= min(0.8, max(0.1, np.sqrt(aim / pair[worse].error)))
        pair[worse] = tuned(pair[worse].solver, factor)
        if pair[worse].error <= aim:
            return tuple(pair)
    raise Disagreement(
        f"{pair[worse].solver.name} is {pair[worse].error:.1e} from the reference at rtol {pair[worse].rtol:.1e}; "
        f"the other side reaches {aim:.1e}"
    )
