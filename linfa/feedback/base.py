"""What all feedback rules share: the words that name them, and what a rule says of a given network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from linfa._check import real_number

Q_RULES = ("fixed", "kolen-pollack", "local", "normative")
P_RULES = ("fixed", "oja-error", "oja-label", "local", "normative")
DRAWS = ("gaussian", "orthonormal", "svd")
# What direct feedback carries: the output error, its sign, the one-hot target, or what the output layer sends down.
SIGNALS = ("error", "sign", "target", "below-output")
P_SCALINGS = ("plain", "batch-deviation", "unit-deviation")


@dataclass(frozen=True)
class Resolved:
    """Feedback for given layer sizes: the rule in every layer, and the matrices it starts from."""

    transport: str  # backprop | full | low-rank | sign
    direct: bool = False
    matrices: dict[str, list[np.ndarray]] | None = None  # "b" or "q" and "p", one matrix for each hidden layer
    b_rule: str = "fixed"  # fixed | kolen-pollack | mirror
    q_rule: str = "fixed"
    p_rules: tuple[str, ...] = ()
    b_rate: float = 1.0
    q_rate: float = 1.0
    p_rate: float = 1.0
    decay: float | None = None  # None: the weight decay of the layer whose weights the feedback replaces

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank r of each low-rank feedback; empty for the others."""
        return tuple(q.shape[1] for q in (self.matrices or {}).get("q", ()))


class Feedback(ABC):
    """Base class of the feedback rules; see the subclasses."""

    name: ClassVar[str]

    @abstractmethod
    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""

    def to_dict(self) -> dict:
        """Plain numbers, text and lists from which `feedback_from_dict` makes an equal rule."""
        plain: dict = {"class": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
                value = [matrix.tolist() for matrix in value]
            plain[field.name] = list(value) if isinstance(value, tuple) else value
        return plain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feedback) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(type(self).__name__)


def set_fields(instance: Feedback, **values: object) -> None:
    """Put checked values into the fields of a frozen rule."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def only_in_samples(name: str, value: str, linear: str) -> None:
    """Refuse, in the linear theory, what is no linear function of the error correlation."""
    if value != linear:
        raise ValueError(f"{name} is {value!r}, which has no form in the linear theory; it must be {linear!r} here")


def optional_decay(value: object) -> float | None:
    """A decay of the feedback's own, at least 0, or None for that of the weights."""
    return None if value is None else real_number("decay", value, at_least=0.0)
