"""Related theories on the same machinery, each with its closed forms, a simulation and claims that tie the two."""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["balanced", "control", "teacher_student", "tensor"]

if TYPE_CHECKING:
    from linfa.neighbours import balanced, control, teacher_student, tensor


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'linfa.neighbours' has no attribute {name!r}")
    return import_module(f"linfa.neighbours.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
