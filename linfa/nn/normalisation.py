"""Normalisation of activity, over the batch or over each sample's features; differentiated exactly on the way back."""

import numpy as np

from linfa._check import real_number
from linfa.nn.backend import namespace
from linfa.nn.layer import Builder, Layer, Pass, Shape
from linfa.nn.parameters import Array


class _Normalisation(Layer):
    """Gain γ and shift β for each feature; features on the last axis."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = real_number("epsilon", epsilon, above=0.0)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        self.gain = self._parameter("gain", np.ones(shape[-1], builder.dtype), "gain")
        self.shift = self._parameter("shift", np.zeros(shape[-1], builder.dtype), "bias")
        builder.below = True
        return shape

    def _learn(self, error: Array, normal: Array) -> None:
        self.gain.gradient = (error * normal).sum(0)
        self.shift.gradient = error.sum(0)


class BatchNorm(_Normalisation):
    """(a − mean)/√(variance + ε) γ + β, with mean and variance of each feature over batch and positions.

    Parameters
    ----------
    momentum : float
        Share of the new batch in the running averages, which serve in evaluation.
    epsilon : float

    Notes
    -----
    As in Ioffe & Szegedy 2015; the running variance is the unbiased one, as is usual.
    """

    kind = "norm"

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(epsilon)
        self.momentum = real_number("momentum", momentum, above=0.0, at_most=1.0)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        self.buffers["mean"] = np.zeros(shape[-1], builder.dtype)
        self.buffers["variance"] = np.ones(shape[-1], builder.dtype)
        return super().build(shape, builder)

    def forward(self, x: Array, way: Pass) -> Array:
        xp = namespace(x)
        rows = x.reshape(-1, x.shape[-1])
        self._kept = None
        if way.mode == "evaluate":
            scale = self.gain.value / xp.sqrt(self.buffers["variance"] + x.dtype.type(self.epsilon))
            return ((rows - self.buffers["mean"]) * scale + self.shift.value).reshape(x.shape)
        if len(rows) < 2:
            raise ValueError(f"{self.name} gets {len(rows)} row; the statistics of a batch need at least 2")
        mean = rows.mean(0)
        centred = rows - mean
        variance = (centred * centred).mean(0)
        if way.mode == "train":
            share = x.dtype.type(self.momentum)
            unbiased = variance * x.dtype.type(len(rows) / (len(rows) - 1))
            for name, new in (("mean", mean), ("variance", unbiased)):
                self.buffers[name] += share * (new - self.buffers[name])
        root = 1 / xp.sqrt(variance + x.dtype.type(self.epsilon))
        centred *= root
        self._kept = centred, root
        return (centred * self.gain.value + self.shift.value).reshape(x.shape)

    def backward(self, error: Array, way: Pass) -> Array:
        normal, root = self._taken()
        rows = error.reshape(normal.shape)
        self._learn(rows, normal)
        count = error.dtype.type(1.0 / len(rows))
        # What moves the mean or the spread of the batch changes nothing: both components are taken out.
        back = rows - self.shift.gradient * count - normal * (self.gain.gradient * count)
        back *= self.gain.value * root
        return back.reshape(error.shape)


class LayerNorm(_Normalisation):
    """(h − mean)/√(variance + ε) γ + β, with mean and variance over the features of each row (Ba et al. 2016)."""

    kind = "norm"

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__(epsilon)

    def forward(self, x: Array, way: Pass) -> Array:
        xp = namespace(x)
        rows = x.reshape(-1, x.shape[-1])
        centred = rows - rows.mean(1, keepdims=True)
        root = 1 / xp.sqrt((centred * centred).mean(1, keepdims=True) + x.dtype.type(self.epsilon))
        centred *= root
        self._kept = (centred, root) if way.keeps else None
        return (centred * self.gain.value + self.shift.value).reshape(x.shape)

    def backward(self, error: Array, way: Pass) -> Array:
        normal, root = self._taken()
        rows = error.reshape(normal.shape)
        self._learn(rows, normal)
        scaled = rows * self.gain.value
        back = scaled - scaled.mean(1, keepdims=True) - normal * (scaled * normal).mean(1, keepdims=True)
        back *= root
        return back.reshape(error.shape)
