"""The register of predictions: what theory says, what simulation gives, and how far apart they may be."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from linfa._check import choice, nearest, real_number

ACCURACIES = ("exact", "closed form", "asymptotic", "statistical")
_FAMILIES = (
    "backprop",
    "backprop_geometry",
    "incremental",
    "generalisation",
    "conservation",
    "zero_start",
    "scalar_alignment",
    "feedback_alignment",
    "low_rank",
    "plateau",
    "low_rank_fixed_points",
    "sketch",
    "learned_feedback",
    "tracking",
    "subspace",
    "local_rule",
    "published_experiment",
    "stability",
    "deep_direct",
    "reduction",
    "wide_limit",
    "beyond",
    "teacher_student",
    "teacher_student_selection",
    "balanced",
    "balanced_disorder",
    "tensor",
    "tensor_phases",
    "control",
    "control_learning",
)


@dataclass(frozen=True)
class Check:
    """Outcome of one claim.

    Attributes
    ----------
    name, title : str
        The claim, and what was compared.
    predicted, simulated : list of array
        Both sides, part by part.
    residual : float
        Largest of max|predicted − simulated|/max|predicted| over the parts (absolute where the prediction is 0).
    tolerance : float
    holds : bool
        residual ≤ tolerance, and everything finite.
    accuracy, reason : str
        Class of accuracy, and why the tolerance is what it is.
    entry : str
        The entry of the theory, such as A1.
    seconds : float
    """

    name: str
    title: str
    # Arrays would fill the screen where a check is only looked at.
    predicted: list[np.ndarray] = field(repr=False)
    simulated: list[np.ndarray] = field(repr=False)
    residual: float
    tolerance: float
    holds: bool
    accuracy: str = ""
    reason: str = ""
    entry: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A prediction that can be checked: a function that computes both sides, and the accuracy it is held to."""

    name: str
    title: str
    function: Callable[..., tuple]
    tolerance: float
    accuracy: str = ""
    reason: str = ""
    entry: str = ""
    quick: Mapping[str, object] = field(default_factory=dict)

    @property
    def knobs(self) -> dict[str, object]:
        """Arguments that may be varied, with their defaults."""
        return {
            name: p.default
            for name, p in inspect.signature(self.function).parameters.items()
            if isinstance(p.default, (int, float)) and not isinstance(p.default, bool)
        }

    def check(self, *, quick: bool = False, **knobs: float) -> Check:
        """Compute both sides and compare them.

        Parameters
        ----------
        quick : bool
            Use the claim's small sizes.
        **knobs
            Values for arguments of the claim.

        Raises
        ------
        ValueError, TypeError
            If the claim has no such knob, or its function does not return two sides of matching shape.
        """
        for name, value in knobs.items():
            if name not in self.knobs:
                known = ", ".join(self.knobs) or "none"
                raise ValueError(f"knob {name!r} is unknown to claim {self.name!r}; it has {known}")
            real_number(f"knob {name!r}", value)
            if isinstance(self.knobs[name], int) and value != int(value):
                raise ValueError(f"knob {name!r} is {value:g}; claim {self.name!r} takes an integer")
        values = {k: int(v) if isinstance(self.knobs[k], int) else float(v) for k, v in knobs.items()}
        start = time.perf_counter()
        sides = self.function(**{**(self.quick if quick else {}), **values})
        seconds = time.perf_counter() - start
        if not isinstance(sides, tuple) or len(sides) != 2:
            raise TypeError(
                f"claim {self.name!r} returned {type(sides).__name__}; it must return (predicted, simulated)"
            )
        predicted, simulated = (_parts(self.name, side) for side in sides)
        residual = _residual(self.name, predicted, simulated)
        return Check(
            self.name,
            self.title,
            predicted,
            simulated,
            residual,
            self.tolerance,
            bool(residual <= self.tolerance),
            self.accuracy,
            self.reason,
            self.entry,
            seconds,
        )


def _parts(name: str, side: object) -> list[np.ndarray]:
    """One side of a claim as a list of arrays: a list or tuple of parts, or a single one."""
    # The weights of a reduced run are a sequence, but no list.
    parts = list(side) if isinstance(side, Sequence) and not isinstance(side, str) else [side]
    try:
        arrays = [np.asarray(part, dtype=np.complex128 if np.iscomplexobj(part) else np.float64) for part in parts]
    except (TypeError, ValueError) as error:
        raise TypeError(f"claim {name!r} returned something that is not numbers: {error}") from error
    if not arrays or any(a.size == 0 for a in arrays):
        raise ValueError(f"claim {name!r} returned nothing to compare; each side must hold at least one number")
    return arrays


def _residual(name: str, predicted: list[np.ndarray], simulated: list[np.ndarray]) -> float:
    if len(predicted) != len(simulated):
        raise ValueError(f"claim {name!r} predicts {len(predicted)} parts and simulates {len(simulated)}")
    worst = 0.0
    for k, (p, s) in enumerate(zip(predicted, simulated, strict=True)):
        if p.shape != s.shape:
            raise ValueError(f"claim {name!r} predicts part {k} of shape {p.shape} and simulates {s.shape}")
        if not (np.isfinite(p).all() and np.isfinite(s).all()):
            return float("inf")
        size = float(np.abs(p).max())
        worst = max(worst, float(np.abs(p - s).max()) / (size if size > 0 else 1.0))
    return worst


_REGISTER: dict[str, Claim] = {}
_loaded = False


def claim(
    name: str,
    *,
    title: str,
    tolerance: float,
    accuracy: str = "",
    reason: str = "",
    entry: str = "",
    quick: Mapping[str, object] | None = None,
) -> Callable[[Callable[..., tuple]], Callable[..., tuple]]:
    """Register a function that returns (predicted, simulated) as a claim.

    Parameters
    ----------
    name : str
        How the claim is called: lower case, words joined by hyphens, not taken yet.
    title : str
        What is compared, in a few words.
    tolerance : float
        Largest residual at which the claim holds, relative to the size of the prediction.
    accuracy : {"exact", "closed form", "asymptotic", "statistical"}, optional
        Round-off; integrator tolerance; a gap that closes; sampling error.
    reason : str, optional
        Why the tolerance is what it is.
    entry : str, optional
        Entry of the theory, such as B4.
    quick : dict, optional
        Arguments for a run at small size.

    Returns
    -------
    decorator
        It returns the function unchanged. Arguments with numeric defaults become knobs to vary.

    Raises
    ------
    ValueError, TypeError
        If the name is taken or malformed, or the tolerance is not a positive number.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> @linfa.claims.claim("doc-early-rise", title="early growth of a mode under FA", tolerance=1e-3)
    ... def early_rise(time=0.02):
    ...     task = linfa.LinearTask(np.diag([2.0]))
    ...     weights = linfa.initial_weights((1, 1, 1), kind="zero")
    ...     run = linfa.simulate(task, weights, linfa.FeedbackAlignment([[[1.0]]]), [time])
    ...     return 0.5 * 2.0**3 * time**3, run.map[0, 0, 0]
    >>> linfa.claims.check("doc-early-rise").holds
    True
    >>> linfa.claims.forget("doc-early-rise")
    """
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}; it must be text")
    if not name or name.strip("abcdefghijklmnopqrstuvwxyz0123456789-") or name[0] == "-":
        raise ValueError(f"name is {name!r}; it must be lower-case words, digits and hyphens")
    if not isinstance(title, str) or not title:
        raise TypeError(f"title is {title!r}; it must say in words what is compared")
    tolerance = real_number("tolerance", tolerance, above=0.0)
    if accuracy:
        choice("accuracy", accuracy, ACCURACIES)
    for argument, value in (("reason", reason), ("entry", entry)):
        if not isinstance(value, str):
            raise TypeError(f"{argument} is {value!r}; it must be text")
    if quick is not None and not isinstance(quick, Mapping):
        raise TypeError(f"quick is {quick!r}; it must be a dictionary of arguments")

    def register(function: Callable[..., tuple]) -> Callable[..., tuple]:
        if not callable(function):
            raise TypeError(f"function is {function!r}; it must return (predicted, simulated) when called")
        if name in _REGISTER:
            raise ValueError(f"name is {name!r}, which is taken by another claim")
        _REGISTER[name] = Claim(name, title, function, tolerance, accuracy, reason, entry, dict(quick or {}))
        return function

    return register


def _load() -> None:
    """Import the built-in families once; done late, as they need everything else."""
    global _loaded
    if not _loaded:
        for family in _FAMILIES:
            import_module(f"linfa.claims.{family}")
        _loaded = True


def names() -> list[str]:
    """Names of all registered claims, in the order of the theory.

    Examples
    --------
    >>> "fa-conservation" in names()
    True
    """
    _load()
    return list(_REGISTER)


def get(name: str) -> Claim:
    """The claim of this name; the error of an unknown one names the nearest."""
    _load()
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}; it must be the name of a claim")
    if name not in _REGISTER:
        hint = nearest(name, _REGISTER) or "; linfa.claims.names() lists them"
        raise ValueError(f"claim {name!r} is unknown{hint}")
    return _REGISTER[name]


def check(name: str, *, quick: bool = False, **knobs: float) -> Check:
    """Check one claim by name; see `Claim.check`.

    Examples
    --------
    >>> check("backprop-closed-times").holds
    True
    """
    return get(name).check(quick=quick, **knobs)


def forget(name: str) -> None:
    """Take a claim out of the register."""
    get(name)
    del _REGISTER[name]
