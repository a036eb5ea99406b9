"""Pooling over windows of an image, or over all positions, and picking some of them."""

from linfa._check import integer
from linfa.nn import backend
from linfa.nn.backend import namespace
from linfa.nn.layer import Builder, Layer, Pass, Shape
from linfa.nn.parameters import Array


class _Windows(Layer):
    """Windows of side `size`, `stride` apart, without padding."""

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        super().__init__()
        # Where the largest entry of a window was is kept in one byte.
        self.size = integer("size", size, at_least=1, at_most=15)
        self.stride = self.size if stride is None else integer("stride", stride, at_least=1)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"{self.name} gets samples of shape {shape}; pooling takes (height, width, channels)")
        tall, wide = (backend.output_size(size, self.size, self.stride, 0) for size in shape[:2])
        if min(tall, wide) < 1:
            raise ValueError(f"{self.name} has windows of {self.size}, more than the image {shape[:2]}")
        return (tall, wide, shape[2])


class MaxPool(_Windows):
    """Largest entry of each window; the error goes back to it (to the first of equal ones).

    Parameters
    ----------
    size : int
    stride : int, optional
        `size` when not given.
    """

    kind = "pool"

    def forward(self, x: Array, way: Pass) -> Array:
        largest, where = backend.max_pool(x, self.size, self.stride)
        self._kept = (where, x.shape) if way.keeps else None
        return largest

    def backward(self, error: Array, way: Pass) -> Array:
        where, shape = self._taken()
        return backend.max_pool_back(error, where, shape, self.size, self.stride)


class AveragePool(_Windows):
    """Mean of each window. Parameters as `MaxPool`."""

    kind = "pool"

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x.shape if way.keeps else None
        n, channels = len(x), x.shape[-1]
        tall, wide = (backend.output_size(size, self.size, self.stride, 0) for size in x.shape[1:3])
        rows = backend.patches(x, self.size, self.stride, 0).reshape(-1, self.size**2, channels)
        return rows.mean(1).reshape(n, tall, wide, channels)

    def backward(self, error: Array, way: Pass) -> Array:
        shape = self._taken()
        each = error.reshape(-1, 1, shape[-1]) * error.dtype.type(1.0 / self.size**2)
        rows = namespace(error).broadcast_to(each, (len(each), self.size**2, shape[-1]))
        return backend.fold(rows.reshape(len(each), -1), shape, self.size, self.stride, 0)


class GlobalAveragePool(Layer):
    """Mean over all positions, (N, …, C) → (N, C)."""

    kind = "pool"

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) < 2:
            raise ValueError(f"{self.name} gets samples of shape {shape}; there must be positions to average over")
        return (shape[-1],)

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x.shape if way.keeps else None
        return x.reshape(len(x), -1, x.shape[-1]).mean(1)

    def backward(self, error: Array, way: Pass) -> Array:
        shape = self._taken()
        positions = 1
        for size in shape[1:-1]:
            positions *= size
        each = (error * error.dtype.type(1.0 / positions))[:, None]
        return namespace(error).broadcast_to(each, (shape[0], positions, shape[-1])).reshape(shape)


class Subsample(Layer):
    """Every `stride`-th position, with zeros for the channels that are missing: a shortcut without weights.

    Parameters
    ----------
    stride : int
    channels : int
        Of the output, at least those that come in.

    Notes
    -----
    "Option A" of He et al. 2016. The zeros are behind the channels that come in.
    """

    kind = "subsample"

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride = integer("stride", stride, at_least=1)
        self.channels = integer("channels", channels, at_least=1)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 3 or shape[2] > self.channels:
            raise ValueError(
                f"{self.name} gets samples of shape {shape}; it takes (height, width, channels) with at most "
                f"{self.channels} channels"
            )
        return (*(backend.output_size(size, 1, self.stride, 0) for size in shape[:2]), self.channels)

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x.shape if way.keeps else None
        kept = x[:, :: self.stride, :: self.stride]
        out = namespace(x).zeros((*kept.shape[:3], self.channels), x.dtype)
        out[..., : x.shape[3]] = kept
        return out

    def backward(self, error: Array, way: Pass) -> Array:
        shape = self._taken()
        image = namespace(error).zeros(shape, error.dtype)
        image[:, :: self.stride, :: self.stride] = error[..., : shape[3]]
        return image
