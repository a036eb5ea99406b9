"""Settings as plain numbers, text and lists, as JSON and TOML hold them, and back."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

from linfa._check import choice, nearest


def to_plain(settings: Any) -> Any:
    """A frozen dataclass as a dictionary with its class and fields; what it holds likewise, tuples as lists.

    Examples
    --------
    >>> from linfa.nn.schedules import Constant
    >>> to_plain(Constant())
    {'class': 'Constant'}
    """
    if is_dataclass(settings):
        return {"class": type(settings).__name__} | {
            f.name: to_plain(getattr(settings, f.name)) for f in fields(settings)
        }
    if isinstance(settings, dict):
        return {name: to_plain(value) for name, value in settings.items()}
    if isinstance(settings, (tuple, list)):
        return [to_plain(value) for value in settings]
    return settings


def from_plain(name: str, plain: object, classes: Iterable[type]) -> Any:
    """What `to_plain` described, made of one of `classes`; `name` is what errors call it.

    Raises
    ------
    TypeError, ValueError
        If `plain` is no dictionary, names another class, a field that the class does not have, or a value that it
        refuses.

    Examples
    --------
    >>> from linfa.nn.schedules import Exponential
    >>> from_plain("schedule", {"class": "Exponential", "factor": 0.5}, [Exponential])
    Exponential(factor=0.5, every='epoch')
    """
    if not isinstance(plain, dict):
        raise TypeError(f"{name} is {plain!r}; it must be a dictionary with the name of a class and its arguments")
    known = {c.__name__: c for c in classes}
    if "class" not in plain:
        raise ValueError(f"{name} names no class; its entry 'class' must be one of {', '.join(known)}")
    chosen = known[choice(f"{name}['class']", plain["class"], known)]
    arguments = {key: value for key, value in plain.items() if key != "class"}
    allowed = [f.name for f in fields(chosen)]
    for key in arguments:
        if key not in allowed:
            takes = f"takes {', '.join(allowed)}" if allowed else "takes no arguments"
            raise ValueError(f"{name} has the entry {key!r}; {chosen.__name__} {takes}{nearest(str(key), allowed)}")
    return chosen(**arguments)
