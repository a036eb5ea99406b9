"""Degenerate solutions of an erf student with as many units as its teacher, and which of them feedback selects."""

import math
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np

from linfa._check import integer, real_array
from linfa.neighbours.teacher_student.overlaps import OrderParameters, Start


@dataclass(frozen=True)
class Solution:
    """A student that equals its teacher: w_i = s_i w̃_π(i), v_i = s_i A_π(i). As g is odd, all of these have no error.

    Attributes
    ----------
    signs : tuple of int
        Sign of v_i, which is that of s_i A_π(i).
    matches : tuple of int
        π(i), the unit of the teacher that unit i has learned.

    Examples
    --------
    >>> Solution((1, -1), (1, 0)).matches
    (1, 0)
    """

    signs: tuple[int, ...]
    matches: tuple[int, ...]

    def start(self, teacher: np.ndarray, head: np.ndarray) -> Start:
        """The student at this solution, as a `Start`; `teacher` T (M, M), `head` A (M,).

        Examples
        --------
        >>> Solution((1, -1), (1, 0)).start(np.eye(2), np.array([1.0, 2.0])).upper.tolist()
        [2.0, -1.0]
        """
        teacher, head = real_array("teacher", teacher, 2), real_array("head", head, 1)
        chosen = list(self.matches)
        upper = np.array(self.signs) * np.abs(head[chosen])
        signs = np.array(self.signs) * np.sign(head[chosen])
        r = signs[:, None] * teacher[chosen]
        return Start(r, r[:, chosen] * signs, upper, teacher, head)


def solution_count(units: int) -> int:
    """K! 2^K: permutations of the units, and joint sign flips of w_i and v_i.

    Examples
    --------
    >>> solution_count(2), solution_count(3)
    (8, 48)
    """
    units = integer("units", units, at_least=1)
    return math.factorial(units) * 2**units


def all_solutions(units: int) -> list[Solution]:
    """The K! 2^K solutions of K units.

    Examples
    --------
    >>> len(all_solutions(3))
    48
    """
    units = integer("units", units, at_least=1)
    return [Solution(signs, pi) for pi in permutations(range(units)) for signs in product((1, -1), repeat=units)]


def exchange_gain(first: Any, second: Any, upper: Any, lower: Any) -> Any:
    """(f − f')(a − a') = (f a + f' a') − (f a' + f' a): what F·v gains when the larger |F| takes the larger |A|.

    Examples
    --------
    >>> exchange_gain(2.0, 1.0, 5.0, 3.0)
    2.0
    """
    return (first - second) * (upper - lower)


def selected_solution(carrier: np.ndarray, head: np.ndarray) -> Solution:
    """The solution that maximises F·v: v takes the signs of F, and units in the order of |F_i| those in that of |A_n|.

    That fixed feedback goes there from small random starts is found for K = 2, not proved; backprop has no such
    preference. For K = 3 the signs still follow F, but the matching need not: F = (0.6, −1.5, 1) with A = (2, 1, 0.5)
    gives the largest unit to the largest feedback, and the other two the other way round.

    Parameters
    ----------
    carrier, head : arrays (K,)
        F and A, with entries other than 0 and moduli that differ.

    Raises
    ------
    ValueError, TypeError
        If the sizes differ, an entry is 0, or two moduli are equal, so that the selection is not unique.

    Examples
    --------
    >>> selected_solution([-0.6, 1.2], [1.5, 0.5])
    Solution(signs=(-1, 1), matches=(1, 0))
    """
    carrier, head = real_array("carrier", carrier, 1), real_array("head", head, 1)
    if len(carrier) != len(head):
        raise ValueError(f"carrier has {len(carrier)} entries; it must have {len(head)}, as head has")
    for name, values in (("carrier", carrier), ("head", head)):
        sizes = np.sort(np.abs(values))
        if sizes[0] == 0 or (np.diff(sizes) == 0).any():
            raise ValueError(f"{name} is {values.tolist()}; its moduli must differ and not be 0 for a unique solution")
    matches = np.empty(len(head), dtype=int)
    matches[np.argsort(np.abs(carrier))] = np.argsort(np.abs(head))
    return Solution(tuple(int(s) for s in np.sign(carrier)), tuple(int(n) for n in matches))


def reached_solution(course: OrderParameters) -> Solution:
    """The solution nearest to the end of a single course: signs of v, and the best match argmax_n |R_in|/√T_nn.

    Whether the course has got there, its `error` says.

    Raises
    ------
    ValueError, TypeError
        If this is no single course of an erf student with as many units as its teacher.

    Examples
    --------
    >>> from linfa.feedback import DirectFeedback
    >>> from linfa.neighbours.teacher_student import ode
    >>> start, feedback = Start.draw(2, [1.0, -0.5], inputs=500, seed=0), DirectFeedback([[[-0.6], [1.0]]])
    >>> reached_solution(ode(start, feedback, [900.0], learning_rate=1.0))
    Solution(signs=(-1, 1), matches=(1, 0))
    """
    if not isinstance(course, OrderParameters):
        raise TypeError(f"course is {type(course).__name__}; it must be OrderParameters, as ode or simulate return")
    if course.members is not None:
        raise ValueError(f"course has {course.members} members; take one with course.member(index)")
    units, modes = course.r.shape[1:]
    if course.activation != "erf" or units != modes:
        raise ValueError(f"course is {course!r}; these are solutions of erf students with as many units as the teacher")
    matches = np.abs(course.match[-1]).argmax(1)
    return Solution(tuple(int(s) for s in np.sign(course.upper[-1])), tuple(int(n) for n in matches))
