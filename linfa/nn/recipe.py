"""Recipes: which optimiser, rate and decay each parameter gets, by its role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linfa._check import flag, real_number
from linfa.nn.muon import Muon
from linfa.nn.optimisers import SGD, Adam, AdamW, Optimiser
from linfa.nn.schedules import SCHEDULES, Constant, Schedule
from linfa.nn.settings import from_plain, to_plain

OPTIMISERS = (SGD, Adam, AdamW, Muon)


def optimiser_from_dict(plain: dict) -> Optimiser:
    """The optimiser that `Optimiser.to_dict` described.

    Raises
    ------
    ValueError, TypeError
        If the dictionary names no known class, or arguments that it does not take.

    Examples
    --------
    >>> optimiser_from_dict(SGD(momentum=0.9).to_dict())
    SGD(momentum=0.9, nesterov=False)
    """
    return from_plain("optimiser", plain, OPTIMISERS)


def _optional(name: str, value: object, **bounds: float) -> float | None:
    return None if value is None else real_number(name, value, **bounds)


@dataclass(frozen=True)
class Treatment:
    """An optimiser with its rate, decay, and limit of the gradient.

    Parameters
    ----------
    optimiser : Optimiser
    rate : float
        η of the first update, before any schedule; above 0.
    decay : float
        wd: an update takes η wd W from W (from `Adam`, it goes into the gradient).
    clamp : float, optional
        Largest size of an entry of the gradient; larger ones are cut.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or η wd is 1 or more, which would throw W across zero.

    Examples
    --------
    >>> Treatment(AdamW(), rate=5e-4, decay=0.1).decay
    0.1
    """

    optimiser: Optimiser
    rate: float
    decay: float = 0.0
    clamp: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.optimiser, Optimiser):
            raise TypeError(f"optimiser is {self.optimiser!r}; it must be an optimiser, as SGD() or AdamW()")
        object.__setattr__(self, "rate", real_number("rate", self.rate, above=0.0))
        object.__setattr__(self, "decay", real_number("decay", self.decay, at_least=0.0))
        object.__setattr__(self, "clamp", _optional("clamp", self.clamp, above=0.0))
        if self.rate * self.decay >= 1.0:
            raise ValueError(f"rate times decay is {self.rate * self.decay:g}; it must be below 1")


@dataclass(frozen=True)
class Relative:
    """A treatment relative to another: the same optimiser, going `rate` times as far.

    With η and wd of the other, the update is W ← W − η (rate·direction + decay W): the decay is relative to η alone,
    as in the learning rules of the linear theory.

    Parameters
    ----------
    rate : float
        Factor of η; above 0.
    decay : float, optional
        None takes wd.
    clamp : float, optional
        None takes the other's.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> Relative(rate=0.5).of(Treatment(SGD(), rate=0.5, decay=0.01))
    Treatment(optimiser=SGD(momentum=0.0, nesterov=False), rate=0.25, decay=0.02, clamp=None)
    """

    rate: float = 1.0
    decay: float | None = None
    clamp: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", real_number("rate", self.rate, above=0.0))
        object.__setattr__(self, "decay", _optional("decay", self.decay, at_least=0.0))
        object.__setattr__(self, "clamp", _optional("clamp", self.clamp, above=0.0))

    def of(self, other: Treatment) -> Treatment:
        """The treatment that this is, relative to `other`."""
        decay = other.decay if self.decay is None else self.decay
        clamp = other.clamp if self.clamp is None else self.clamp
        return Treatment(other.optimiser, self.rate * other.rate, decay / self.rate, clamp)


def published_auxiliary(rate: float = 3e-4, clamp: float | None = None) -> Treatment:
    """The AdamW that serves beside Muon what Muon does not, with its published settings and no decay.

    Source: Jordan et al. 2024.

    Examples
    --------
    >>> published_auxiliary(rate=1e-3).optimiser.betas
    (0.9, 0.95)
    """
    return Treatment(AdamW(betas=(0.9, 0.95), epsilon=1e-10), rate=rate, clamp=clamp)


@dataclass(frozen=True)
class Recipe:
    """Who gets what, by role; `linfa.nn.descent.assign` applies it to a network's parameters.

    Parameters
    ----------
    weights : Treatment
        Of matrices and kernels. Biases, gains and embeddings get it without decay.
    auxiliary : Treatment
        Where `weights` is for hidden matrices alone (`Muon`), that of all else: the weights in `exempt`, biases, gains,
        embeddings, Q and P. The default is the published one, `published_auxiliary`.
    exempt : sequence of str
        Weights that Muon leaves to the auxiliary optimiser: ``"first"``, ``"head"`` (the last), or names. The default
        is the published rule.
    decay_everywhere : bool
        Let biases, gains and embeddings decay too.
    b : Treatment or Relative, optional
        Of full feedback that learns (Kolen–Pollack), relative to the weights which it replaces. None: theirs, at the
        rate and with the decay that its rule asks for (`Parameter.rate`, `Parameter.decay`).
    q, p : Treatment or Relative, optional
        Of the factors of low-rank feedback, relative to `weights` (or `auxiliary`). None: that, at the rate and with
        the decay that the rule asks for.
    schedule : Schedule
        Factor of all rates.
    feedback_schedule : Schedule, optional
        Factor of the rates of Q and P. None: `schedule`.
    overrides : dict of str to Treatment or Relative
        By the parameter's name, instead of what its role gives; relative to that.

    Raises
    ------
    ValueError, TypeError
        If an argument is of the wrong kind, or the auxiliary optimiser is for hidden matrices alone.

    Notes
    -----
    Sources: who gets AdamW beside Muon, and its settings, Jordan et al. 2024.

    Examples
    --------
    >>> run = Treatment(AdamW(), rate=5e-4, decay=0.1)
    >>> recipe = Recipe(run, q=Treatment(AdamW(), rate=0.03), p=Relative(0.1, decay=0.0))
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    weights: Treatment
    auxiliary: Treatment = field(default_factory=published_auxiliary)
    exempt: tuple[str, ...] = ("first", "head")
    decay_everywhere: bool = False
    b: Treatment | Relative | None = None
    q: Treatment | Relative | None = None
    p: Treatment | Relative | None = None
    schedule: Schedule = field(default_factory=Constant)
    feedback_schedule: Schedule | None = None
    overrides: Mapping[str, Treatment | Relative] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("weights", "auxiliary"):
            if not isinstance(getattr(self, name), Treatment):
                raise TypeError(f"{name} is {getattr(self, name)!r}; it must be a Treatment")
        if self.auxiliary.optimiser.hidden_only:
            raise ValueError("auxiliary is for hidden matrices alone; it must take every parameter, as AdamW does")
        if isinstance(self.exempt, str) or not all(isinstance(name, str) for name in self.exempt):
            raise TypeError(f"exempt is {self.exempt!r}; it must be a sequence of 'first', 'head' or names of weights")
        object.__setattr__(self, "exempt", tuple(self.exempt))
        flag("decay_everywhere", self.decay_everywhere)
        for name in ("b", "q", "p"):
            _treatment_or_relative(name, getattr(self, name), optional=True)
        if not isinstance(self.schedule, Schedule):
            raise TypeError(f"schedule is {self.schedule!r}; it must be a schedule, as Constant()")
        if not isinstance(self.feedback_schedule, (Schedule, type(None))):
            raise TypeError(f"feedback_schedule is {self.feedback_schedule!r}; it must be a schedule or None")
        if not isinstance(self.overrides, Mapping):
            raise TypeError(f"overrides is {self.overrides!r}; it must be a dictionary of treatments by name")
        for name, given in self.overrides.items():
            _treatment_or_relative(f"overrides[{name!r}]", given)
        object.__setattr__(self, "overrides", dict(self.overrides))

    @property
    def base(self) -> Treatment:
        """Of what is no hidden weight: `auxiliary` beside Muon, `weights` otherwise."""
        return self.auxiliary if self.weights.optimiser.hidden_only else self.weights

    def to_dict(self) -> dict:
        """Plain numbers, text, lists and dictionaries from which `from_dict` makes an equal recipe."""
        return to_plain(self)

    @staticmethod
    def from_dict(plain: dict) -> "Recipe":
        """The recipe that `to_dict` described.

        Raises
        ------
        ValueError, TypeError
            If `plain` is not such a description.
        """
        if not isinstance(plain, dict):
            raise TypeError(f"recipe is {plain!r}; it must be the dictionary that to_dict() returns")
        held = dict(plain)
        for name in ("weights", "auxiliary", "b", "q", "p"):
            if held.get(name) is not None:
                held[name] = _treatment_from_plain(name, held[name])
        for name in ("schedule", "feedback_schedule"):
            if held.get(name) is not None:
                held[name] = from_plain(name, held[name], SCHEDULES)
        if isinstance(held.get("overrides"), dict):
            given = held["overrides"].items()
            held["overrides"] = {name: _treatment_from_plain(f"overrides[{name!r}]", one) for name, one in given}
        return from_plain("recipe", held, [Recipe])


def _treatment_or_relative(name: str, value: object, *, optional: bool = False) -> None:
    if not isinstance(value, (Treatment, Relative)) and not (optional and value is None):
        raise TypeError(f"{name} is {value!r}; it must be a Treatment or Relative{', or None' if optional else ''}")


def _treatment_from_plain(name: str, plain: Any) -> Treatment | Relative:
    if isinstance(plain, dict) and "optimiser" in plain:
        plain = plain | {"optimiser": from_plain(f"{name}['optimiser']", plain["optimiser"], OPTIMISERS)}
    return from_plain(name, plain, [Treatment, Relative])
