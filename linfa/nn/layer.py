"""What a layer is, and what it is told: how it is built, and which pass runs through it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from linfa._check import choice
from linfa._random import stream
from linfa.nn.backend import like
from linfa.nn.parameters import Array, Parameter

if TYPE_CHECKING:
    from linfa.nn.maps import WeightMap

Shape = tuple[int, ...]  # of one sample, without the batch
MODES = ("train", "probe", "evaluate")
INITIAL = ("kaiming-uniform", "he-normal", "glorot-normal", "small-normal")


@dataclass
class Pass:
    """One way through the network, forward and back.

    Attributes
    ----------
    mode : {"train", "probe", "evaluate"}
        ``"probe"`` computes as training does, with the batch's own statistics, but moves no running average and drops
        nothing out; ``"evaluate"`` uses running averages and keeps nothing for the way back.
    step : int
        Number of the update; with `seed` it fixes every random number of the pass.
    seed : int
    exact : bool
        On the way back, use the transposed weights whatever the feedback: the reference that alignments are held
        against.
    learn : bool
        On the way back, also form what learned feedback descends.
    output_error : array (N, classes), optional
        ∂loss/∂output, for direct feedback.
    targets : array (N, classes), optional
        One-hot labels, for rules that read them.
    clip_signal : float, optional
        Largest size of an entry of ∂(sum of losses)/∂h that a layer sends down.
    """

    mode: str = "train"
    step: int = 0
    seed: int = 0
    exact: bool = False
    learn: bool = True
    output_error: Array | None = None
    targets: Array | None = None
    clip_signal: float | None = None
    # What the output layer sends down, for direct feedback that starts there.
    below_output: Array | None = None

    def __post_init__(self) -> None:
        choice("mode", self.mode, MODES)

    @property
    def keeps(self) -> bool:
        """Whether layers keep what the way back needs."""
        return self.mode != "evaluate"


@dataclass
class Builder:
    """What layers are given while a network is built: precision, seed, and a list in which weights enrol."""

    dtype: np.dtype
    seed: int
    maps: list["WeightMap"] = field(default_factory=list)
    # Whether anything below learns, so that an error must be sent there.
    below: bool = False
    _drawn: int = 0
    _noisy: int = 0

    def draw(self, kind: str, shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        """Initial weights; `fan_in` and `fan_out` count connections of one unit."""
        generator = stream(self.seed, "weights", self._drawn)
        self._drawn += 1
        if kind == "kaiming-uniform":
            bound = np.sqrt(3.0) * initial_deviation(kind, fan_in, fan_out)
            drawn = generator.uniform(-bound, bound, shape)
        else:
            drawn = initial_deviation(kind, fan_in, fan_out) * generator.standard_normal(shape)
        return drawn.astype(self.dtype)

    def noise_number(self) -> int:
        """A number of its own for each layer that draws random numbers while it runs."""
        self._noisy += 1
        return self._noisy - 1


def initial_deviation(kind: str, fan_in: int, fan_out: int) -> float:
    """Standard deviation of the initial weights of a layer.

    kaiming-uniform (a = √5, the usual default): 1/√(3 fan_in); he-normal: √(2/fan_in); glorot-normal:
    √(2/(fan_in + fan_out)); small-normal: 0.02, usual in transformers.
    """
    choice("initial", kind, INITIAL)
    if kind == "kaiming-uniform":
        return 1.0 / np.sqrt(3.0 * fan_in)
    if kind == "he-normal":
        return np.sqrt(2.0 / fan_in)
    if kind == "glorot-normal":
        return np.sqrt(2.0 / (fan_in + fan_out))
    return 0.02


class Layer(ABC):
    """A function with a way back: `forward` keeps what `backward` needs.

    What travels back is the gradient of the loss, ∂loss/∂h: minus the error δ of the learning rules' usual notation.
    """

    # How a layer is called within its network: "dense", "conv", …
    kind = "layer"

    def __init__(self) -> None:
        self.name = ""
        self.parameters: list[Parameter] = []
        self.buffers: dict[str, Array] = {}

    @abstractmethod
    def build(self, shape: Shape, builder: Builder) -> Shape:
        """Draw the parameters for samples of this shape; returns the shape of what comes out."""

    @abstractmethod
    def forward(self, x: Array, way: Pass) -> Array:
        """What the layer makes of `x` (N, …)."""

    @abstractmethod
    def backward(self, error: Array, way: Pass) -> Array | None:
        """∂loss/∂x from ∂loss/∂(output); None where nothing below learns. Sets the gradients of the parameters."""

    def children(self) -> list["Layer"]:
        """Layers inside this one."""
        return []

    def layers(self) -> Iterator["Layer"]:
        """This layer and all inside it, in forward order."""
        yield self
        for child in self.children():
            yield from child.layers()

    def release(self) -> None:
        """Forget what the last forward pass left."""
        for layer in self.layers():
            layer._kept = None

    _kept: object = None

    def _parameter(self, name: str, value: np.ndarray, role: str) -> Parameter:
        made = Parameter(f"{self.name}.{name}" if self.name else name, value, role)
        self.parameters.append(made)
        return made

    def _taken(self) -> object:
        """What `forward` kept; an error when there is none."""
        if self._kept is None:
            raise RuntimeError(f"{self.name or self.kind}: backward came before a forward pass that keeps its inputs")
        return self._kept


class Elementwise(Layer):
    """A layer without parameters that keeps the shape."""

    def build(self, shape: Shape, builder: Builder) -> Shape:
        return shape


def drop_mask(shape: Shape, rate: float, way: Pass, number: int, reference: Array) -> Array:
    """Inverted dropout: 0 with probability `rate`, else 1/(1 − rate); a function of seed, layer and step alone."""
    generator = stream(way.seed, "dropout", number, way.step)
    kept = like(generator.random(shape, dtype=np.float32) >= rate, reference)
    return kept * reference.dtype.type(1.0 / (1.0 - rate))
