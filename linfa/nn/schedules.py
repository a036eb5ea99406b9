"""How the learning rate changes over a run: factors of the base rate."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import cos, pi

from linfa._check import choice, integer, real_number
from linfa.nn.settings import from_plain, to_plain


class Schedule(ABC):
    """Base class: a schedule called with the number of an update and of updates in an epoch gives a factor of the rate.

    Updates are counted from 0.
    """

    def __call__(self, update: int, updates_per_epoch: int = 1) -> float:
        """The factor of the base rate in this update.

        Raises
        ------
        ValueError, TypeError
            If `update` is no integer of at least 0, or `updates_per_epoch` none of at least 1.
        """
        update = integer("update", update, at_least=0)
        return self._factor(update, integer("updates_per_epoch", updates_per_epoch, at_least=1))

    @abstractmethod
    def _factor(self, update: int, updates_per_epoch: int) -> float: ...

    def to_dict(self) -> dict:
        """Plain numbers and text from which `schedule_from_dict` makes an equal schedule."""
        return to_plain(self)


@dataclass(frozen=True)
class Constant(Schedule):
    """The base rate throughout.

    Examples
    --------
    >>> Constant()(1000)
    1.0
    """

    def _factor(self, update: int, updates_per_epoch: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Exponential(Schedule):
    """factorⁿ in epoch n, or in update n.

    Parameters
    ----------
    factor : float
        Above 0, at most 1.
    every : {"epoch", "update"}

    Examples
    --------
    >>> Exponential(0.5)(update=25, updates_per_epoch=10)
    0.25
    """

    factor: float
    every: str = "epoch"

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", real_number("factor", self.factor, above=0.0, at_most=1.0))
        choice("every", self.every, ("epoch", "update"))

    def _factor(self, update: int, updates_per_epoch: int) -> float:
        return self.factor ** (update // updates_per_epoch if self.every == "epoch" else update)


@dataclass(frozen=True)
class WarmUpCosine(Schedule):
    """Linear warm-up, then half a cosine down to a floor (Loshchilov & Hutter 2017, without restarts).

    With t in epochs, w those of the warm-up and T all of them:

        start + (1 − start) t/w                                  t < w
        floor + (1 − floor) ½ (1 + cos(π (t − w)/(T − w)))       w ≤ t < T;  floor from T on

    Parameters
    ----------
    epochs : float
        T.
    warm_up : float
        w, at least 0 and below T; a fraction of an epoch will do.
    start : float
        Where the warm-up begins, between 0 and 1.
    floor : float
        Where the cosine ends, between 0 and 1.

    Examples
    --------
    >>> schedule = WarmUpCosine(epochs=10, warm_up=2)
    >>> [round(schedule(t * 100, 100), 3) for t in (0, 1, 2, 6, 10)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """

    epochs: float
    warm_up: float = 0.0
    start: float = 1 / 25
    floor: float = 0.0

    def __post_init__(self) -> None:
        for name, bounds in (
            ("epochs", {"above": 0.0}),
            ("warm_up", {"at_least": 0.0}),
            ("start", {"at_least": 0.0, "at_most": 1.0}),
            ("floor", {"at_least": 0.0, "at_most": 1.0}),
        ):
            object.__setattr__(self, name, real_number(name, getattr(self, name), **bounds))
        if self.warm_up >= self.epochs:
            raise ValueError(f"warm_up is {self.warm_up:g}; it must be below epochs, which is {self.epochs:g}")

    def _factor(self, update: int, updates_per_epoch: int) -> float:
        t = update / updates_per_epoch
        if t < self.warm_up:
            return self.start + (1.0 - self.start) * t / self.warm_up
        if t >= self.epochs:
            return self.floor
        phase = (t - self.warm_up) / (self.epochs - self.warm_up)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + cos(pi * phase))


SCHEDULES = (Constant, Exponential, WarmUpCosine)


def schedule_from_dict(plain: dict) -> Schedule:
    """The schedule that `Schedule.to_dict` described.

    Raises
    ------
    ValueError, TypeError
        If the dictionary names no known class, or arguments that it does not take.

    Examples
    --------
    >>> schedule_from_dict(Exponential(0.98).to_dict())
    Exponential(factor=0.98, every='epoch')
    """
    return from_plain("schedule", plain, SCHEDULES)
