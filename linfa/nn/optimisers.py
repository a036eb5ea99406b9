"""Optimisers as rules: how one array changes, given its gradient and what the rule remembers of the past.

An optimiser holds settings alone. What it remembers are plain arrays that its caller keeps (`linfa.nn.descent`), so
that a checkpoint is a handful of named arrays and one count. Updates are in place: NumPy arrays go through compiled
kernels in one pass over memory, others through array expressions that say the same. With g the gradient, η the rate
and wd the decay, every rule but `Adam` decays decoupled from the gradient,

    W ← W − η (direction(g) + wd W)

so that two arrays with the same gradients approach each other by exactly 1 − η wd an update, whatever the rule: the
law of Kolen and Pollack (1994). The decay is added to the step before it is taken from W: in single precision 1 − η wd
is often 1, and W (1 − η wd) would not decay at all.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, sqrt
from types import ModuleType
from typing import ClassVar

import numpy as np

from linfa._check import flag, integer, real_number
from linfa.nn import update_kernels
from linfa.nn.backend import namespace
from linfa.nn.parameters import Array
from linfa.nn.settings import to_plain

Memory = dict[str, Array]


@dataclass(frozen=True)
class Step:
    """One update: its number and how far it goes.

    Parameters
    ----------
    count : int
        Number of the update, from 1.
    rate, decay : float
        η and wd, at least 0.
    clamp : float, optional
        Cut every entry of the gradient to ±clamp first.
    shape : tuple of int, optional
        Of the weights whose update this is, where it is not the array's own: feedback that mirrors a kernel is kept
        flattened.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> Step(1, rate=0.1).shrinkage
    0.0
    """

    count: int
    rate: float
    decay: float = 0.0
    clamp: float | None = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        integer("count", self.count, at_least=1)
        real_number("rate", self.rate, at_least=0.0)
        real_number("decay", self.decay, at_least=0.0)
        if self.clamp is not None:
            real_number("clamp", self.clamp, above=0.0)

    @property
    def shrinkage(self) -> float:
        """η wd: the part of W that decays."""
        return self.rate * self.decay

    @property
    def limit(self) -> float:
        """`clamp`, infinite where there is none."""
        return inf if self.clamp is None else self.clamp


def _library(name: str, array: Array) -> ModuleType:
    try:
        return namespace(array)
    except TypeError as error:
        raise TypeError(f"{name} is {type(array).__name__}; it must be an array of NumPy or CuPy") from error


def check_array(name: str, value: Array) -> None:
    """That `value` can be updated in place: single or double precision, C-contiguous, of at least one entry."""
    _library(name, value)
    if value.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} holds {value.dtype}; it must hold float32 or float64")
    if value.size == 0:
        raise ValueError(f"{name} is empty, shape {value.shape}; it must hold at least one number")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name}, shape {value.shape}, is not C-contiguous; it must be, to be updated in place")
    if not getattr(value.flags, "writeable", True):
        raise ValueError(f"{name}, shape {value.shape}, is read-only; it must be writeable, to be updated in place")


def check_like(name: str, array: Array, value: Array) -> None:
    """That `array` belongs to `value`: of the same library, shape and precision."""
    if _library(name, array) is not namespace(value):
        raise TypeError(f"{name} is an array of another library than its parameter, {namespace(value).__name__}")
    if array.shape != value.shape:
        raise ValueError(f"{name} is {array.shape}; it must be {value.shape}, as its parameter is")
    if array.dtype != value.dtype:
        raise TypeError(f"{name} holds {array.dtype}; it must hold {value.dtype}, as its parameter does")


class Optimiser(ABC):
    """Base class of the optimisers; see the subclasses."""

    # Whether the rule is for hidden matrices and kernels alone, so that everything else needs another.
    hidden_only: ClassVar[bool] = False

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of what is remembered; every one is an array of the value's shape and precision."""

    def start(self, value: Array) -> Memory:
        """What is remembered before the first update: zeros."""
        return {slot: namespace(value).zeros_like(value) for slot in self.slots}

    def update(self, value: Array, gradient: Array, memory: Memory, step: Step) -> None:
        """Change `value` and `memory` in place.

        Parameters
        ----------
        value : array (...)
            NumPy or CuPy, float32 or float64, C-contiguous.
        gradient : array (...)
            What is descended; of the same library, shape and precision. It stays as it is.
        memory : dict of array (...)
            What `start` returned, as the last update left it.
        step : Step
            Number of the update, rate, decay, and how the gradient is cut.

        Raises
        ------
        ValueError, TypeError
            If the arrays do not fit each other, or `memory` is another rule's.
        """
        check_array("value", value)
        check_like("gradient", gradient, value)
        if set(memory) != set(self.slots):
            held, wanted = (", ".join(sorted(names)) or "nothing" for names in (memory, self.slots))
            raise ValueError(f"memory holds {held}; {type(self).__name__} remembers {wanted}")
        for slot in self.slots:
            check_like(f"memory[{slot!r}]", memory[slot], value)
        if isinstance(value, np.ndarray):
            self._fused(value, np.ascontiguousarray(gradient), memory, step)
        else:
            self._plain(namespace(value), value, gradient, memory, step)

    @abstractmethod
    def _fused(self, value: np.ndarray, gradient: np.ndarray, memory: Memory, step: Step) -> None:
        """The update by compiled kernels."""

    @abstractmethod
    def _plain(self, xp: ModuleType, value: Array, gradient: Array, memory: Memory, step: Step) -> None:
        """The same in expressions of the array library `xp`."""

    def to_dict(self) -> dict:
        """Plain numbers, text and lists from which `linfa.nn.recipe.optimiser_from_dict` makes an equal optimiser."""
        return to_plain(self)


def clamped(xp: ModuleType, gradient: Array, step: Step) -> Array:
    """`gradient` with every entry cut to ±step.clamp."""
    return gradient if step.clamp is None else xp.clip(gradient, -step.clamp, step.clamp)


def scalars(value: np.ndarray, *numbers: float) -> tuple[np.floating, ...]:
    """Numbers in the precision of `value`, as the kernels take them."""
    return tuple(value.dtype.type(number) for number in numbers)


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent with momentum μ on the gradient alone.

        m ← μ m + g;  W ← W − η (d + wd W),  d = m, with ``nesterov`` d = g + μ m

    Parameters
    ----------
    momentum : float
        μ, at least 0 and below 1.
    nesterov : bool
        Look ahead (Sutskever et al. 2013); needs momentum.

    Raises
    ------
    ValueError, TypeError
        If μ is out of range, or ``nesterov`` is asked for without momentum.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> SGD().update(w, np.array([1.0, -1.0]), {}, Step(1, rate=0.5))
    >>> w
    array([0.5, 2.5])
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", fraction("momentum", self.momentum))
        if flag("nesterov", self.nesterov) and self.momentum == 0.0:
            raise ValueError("nesterov is True, which needs momentum; momentum is 0")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def _fused(self, value: np.ndarray, gradient: np.ndarray, memory: Memory, step: Step) -> None:
        w, g = value.reshape(-1), gradient.reshape(-1)
        how = scalars(value, step.rate, step.shrinkage, step.limit)
        if not self.momentum:
            update_kernels.gradient_step(w, g, *how)
            return
        now, past = (1.0, self.momentum) if self.nesterov else (0.0, 1.0)
        blend = scalars(value, self.momentum, now, past)
        update_kernels.momentum_step(w, g, memory["momentum"].reshape(-1), *blend, *how)

    def _plain(self, xp: ModuleType, value: Array, gradient: Array, memory: Memory, step: Step) -> None:
        direction = g = clamped(xp, gradient, step)
        if self.momentum:
            m = memory["momentum"]
            m *= self.momentum
            m += g
            direction = g + self.momentum * m if self.nesterov else m
        value -= step.rate * direction + step.shrinkage * value


class _Moments(Optimiser):
    """What `Adam` and `AdamW` share: the two running moments of the gradient."""

    betas: tuple[float, float]
    epsilon: float
    amsgrad: bool
    coupled: ClassVar[bool]

    def __post_init__(self) -> None:
        betas = self.betas
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas is {betas!r}; it must be a pair of numbers")
        object.__setattr__(self, "betas", tuple(fraction(f"betas[{k}]", beta) for k, beta in enumerate(betas)))
        object.__setattr__(self, "epsilon", real_number("epsilon", self.epsilon, above=0.0))
        flag("amsgrad", self.amsgrad)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "square", "largest") if self.amsgrad else ("mean", "square")

    def _corrections(self, step: Step) -> tuple[float, float]:
        """η/(1 − β1ᵗ) and 1/√(1 − β2ᵗ): both moments start from zero."""
        return step.rate / (1.0 - self.betas[0] ** step.count), 1.0 / sqrt(1.0 - self.betas[1] ** step.count)

    def _fused(self, value: np.ndarray, gradient: np.ndarray, memory: Memory, step: Step) -> None:
        rate, correction = self._corrections(step)
        keep_mean, keep_square = self.betas
        kernel = update_kernels.amsgrad_step if self.amsgrad else update_kernels.adam_step
        kernel(
            value.reshape(-1),
            gradient.reshape(-1),
            *(memory[slot].reshape(-1) for slot in self.slots),
            *scalars(value, keep_mean, 1.0 - keep_mean, keep_square, 1.0 - keep_square),
            *scalars(value, rate, correction, self.epsilon),
            *scalars(value, *((step.decay, 0.0) if self.coupled else (0.0, step.shrinkage)), step.limit),
        )

    def _plain(self, xp: ModuleType, value: Array, gradient: Array, memory: Memory, step: Step) -> None:
        rate, correction = self._corrections(step)
        g = clamped(xp, gradient, step)
        if self.coupled and step.decay:
            g = g + step.decay * value
        m, v = memory["mean"], memory["square"]
        m *= self.betas[0]
        m += (1.0 - self.betas[0]) * g
        v *= self.betas[1]
        v += (1.0 - self.betas[1]) * g * g
        if self.amsgrad:
            v = memory["largest"]
            xp.maximum(v, memory["square"], out=v)
        change = rate * m / (correction * xp.sqrt(v) + self.epsilon)
        if not self.coupled and step.decay:
            change += step.shrinkage * value
        value -= change


@dataclass(frozen=True)
class Adam(_Moments):
    """Adam, with the decay inside the gradient (L2), t the number of the update.

        g ← g + wd W;  m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
        W ← W − η m̂/(√v̂ + ε),  m̂ = m/(1 − β1ᵗ),  v̂ = v/(1 − β2ᵗ)

    Parameters
    ----------
    betas : (float, float)
        β1 and β2, at least 0 and below 1.
    epsilon : float
        ε > 0.
    amsgrad : bool
        Take the largest v so far for v (Reddi, Kale & Kumar 2018).

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    Source: Kingma & Ba 2015. The decay passes through the division by √v̂, so that Kolen and Pollack's law does not
    hold; with `AdamW` it does.

    Examples
    --------
    >>> adam, w = Adam(), np.array([1.0, 1.0])
    >>> adam.update(w, np.array([3.0, -0.1]), adam.start(w), Step(1, rate=0.1))
    >>> w.round(6)  # the first step is as long as the rate, whatever the gradient
    array([0.9, 1.1])
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    amsgrad: bool = False

    coupled: ClassVar[bool] = True


@dataclass(frozen=True)
class AdamW(_Moments):
    """Adam with decoupled decay, W ← W − η (m̂/(√v̂ + ε) + wd W); arguments, moments and errors as in `Adam`.

    Notes
    -----
    Source: Loshchilov & Hutter 2019, in the form where the decay is multiplied by the rate.

    Examples
    --------
    >>> adam, w = AdamW(), np.array([1.0, 1.0])
    >>> adam.update(w, np.array([0.0, 0.0]), adam.start(w), Step(1, rate=0.1, decay=0.5))
    >>> w
    array([0.95, 0.95])
    """

    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    amsgrad: bool = False

    coupled: ClassVar[bool] = False


def fraction(name: str, value: object) -> float:
    """`value` as a number of at least 0 and below 1."""
    number = real_number(name, value, at_least=0.0)
    if number >= 1.0:
        raise ValueError(f"{name} is {number:g}; it must be below 1")
    return number
