"""Layers without weights that act entry by entry, and the one that flattens."""

import math

import numpy as np

from linfa._check import real_number
from linfa.nn.backend import erf, namespace
from linfa.nn.layer import Builder, Elementwise, Layer, Pass, Shape, drop_mask
from linfa.nn.parameters import Array


class Identity(Elementwise):
    """φ(a) = a: with it, a network is linear."""

    kind = "identity"

    def forward(self, x: Array, way: Pass) -> Array:
        return x

    def backward(self, error: Array, way: Pass) -> Array:
        return error


class ReLU(Elementwise):
    """φ(a) = max(a, 0), with φ'(0) = 0."""

    kind = "relu"

    def forward(self, x: Array, way: Pass) -> Array:
        out = namespace(x).maximum(x, 0)
        self._kept = out if way.keeps else None
        return out

    def backward(self, error: Array, way: Pass) -> Array:
        return error * (self._taken() > 0)


class Tanh(Elementwise):
    """φ(a) = tanh a."""

    kind = "tanh"

    def forward(self, x: Array, way: Pass) -> Array:
        out = namespace(x).tanh(x)
        self._kept = out if way.keeps else None
        return out

    def backward(self, error: Array, way: Pass) -> Array:
        return error * (1 - self._taken() ** 2)


class GELU(Elementwise):
    """φ(a) = a Φ(a), Φ the normal distribution function (Hendrycks & Gimpel 2016): the exact form, with erf."""

    kind = "gelu"

    def forward(self, x: Array, way: Pass) -> Array:
        below = 0.5 * (1 + erf(x * x.dtype.type(math.sqrt(0.5))))
        self._kept = (x, below) if way.keeps else None
        return x * below

    def backward(self, error: Array, way: Pass) -> Array:
        x, below = self._taken()
        density = namespace(x).exp(-0.5 * x * x) * x.dtype.type(1 / math.sqrt(2 * math.pi))
        return error * (below + x * density)


class Dropout(Elementwise):
    """Sets each entry to zero with probability `rate` while training, and scales the rest by 1/(1 − rate).

    The mask is a function of seed, layer and step alone, so a run that resumes sees the same ones.
    """

    kind = "dropout"

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = real_number("rate", rate, at_least=0.0)
        if self.rate >= 1:
            raise ValueError(f"rate is {self.rate:g}; it must be below 1, or nothing is left")

    def build(self, shape: Shape, builder: Builder) -> Shape:
        self.number = builder.noise_number()
        return shape

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = None
        if way.mode != "train" or self.rate == 0:
            return x
        self._kept = drop_mask(x.shape, self.rate, way, self.number, x)
        return x * self._kept

    def backward(self, error: Array, way: Pass) -> Array:
        return error if self._kept is None else error * self._kept


class Flatten(Layer):
    """(N, height, width, C) → (N, height·width·C)."""

    kind = "flatten"

    def build(self, shape: Shape, builder: Builder) -> Shape:
        return (int(np.prod(shape)),)

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x.shape if way.keeps else None
        return x.reshape(len(x), -1)

    def backward(self, error: Array, way: Pass) -> Array:
        return error.reshape(self._taken())
