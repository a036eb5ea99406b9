"""Layers with weights: affine maps of rows, and the feedback that carries the error back through them."""

from collections.abc import Iterator

import numpy as np

from linfa._check import choice, flag, integer
from linfa.nn import backend
from linfa.nn.backend import namespace
from linfa.nn.carriers import Carrier, Transpose
from linfa.nn.layer import INITIAL, Builder, Layer, Pass, Shape, initial_deviation
from linfa.nn.parameters import Array, Parameter


class WeightMap:
    """a = W h + b on rows h, and the carrier that sends the error back.

    Attributes
    ----------
    weight, bias : Parameter
        W as (out, …), whose view ``weight.matrix`` is (out × fan); b (out,), or None.
    carrier : Carrier
        The feedback; `Transpose` until the network sets another.
    sends : bool
        Whether anything below learns, so that an error must be sent there.
    deviation : float
        Standard deviation of the initial weights.
    channels : int
        Channels that come in (fan without the kernel's extent).
    positions : int
        Rows for each sample.
    rank_factor : int
        Maps that are fused in one, such as q, k and v of attention: feedback of rank r has rank_factor · r.
    seen : dict
        What the last pass with `record` left: input and error, for probes.
    """

    def __init__(
        self,
        name: str,
        weight: Parameter,
        bias: Parameter | None,
        *,
        deviation: float,
        channels: int,
        sends: bool,
        input_shape: Shape,
        positions: int,
        rank_factor: int = 1,
    ) -> None:
        self.name, self.weight, self.bias = name, weight, bias
        self.deviation, self.channels, self.sends = deviation, channels, sends
        self.input_shape, self.positions, self.rank_factor = input_shape, positions, rank_factor
        self.carrier: Carrier = Transpose()
        self.is_output = False
        self.record = False
        self.seen: dict[str, Array] = {}

    def __repr__(self) -> str:
        return f"WeightMap({self.name}, {self.source} × {self.receiving}, {self.carrier.name})"

    @property
    def source(self) -> int:
        """Units that the error comes from (out)."""
        return self.weight.matrix.shape[0]

    @property
    def receiving(self) -> int:
        """Entries of a row (fan)."""
        return self.weight.matrix.shape[1]

    def apply(self, rows: Array) -> Array:
        """Rows (M × fan) → (M × out)."""
        out = rows @ self.weight.matrix.T
        if self.bias is not None:
            out += self.bias.value
        return out

    def learn(self, rows: Iterator[tuple[slice, Array]], error: Array, samples: int, way: Pass) -> None:
        """Gradients of W and b, and of the feedback, from the rows that came in and the errors (M × out) there."""
        xp = namespace(error)
        weight = self.weight
        total = None
        for span, part in rows:
            product = error[span].T @ part
            if total is None:
                total = product
            else:
                total += product
        weight.gradient = total.reshape(weight.value.shape)
        if self.bias is not None:
            self.bias.gradient = xp.sum(error, axis=0)
        if way.learn and self.sends and not self.carrier.direct and not way.exact:
            self.carrier.learn(weight.matrix, total, error, samples, way)

    def signal(self, error: Array, way: Pass) -> tuple[Array, Array]:
        """The rows that are sent (M × r) and the matrix that spreads them (r × fan); their product is ∂loss/∂rows."""
        if way.exact:
            return error, self.weight.matrix
        return self.carrier.compress(error), self.carrier.spread(self.weight.matrix, way)

    def deliver(self, x: Array, way: Pass) -> Array:
        """Direct feedback: what arrives at the input x of this layer, straight from the output."""
        carrier = self.carrier
        samples = len(x)
        carried = carrier.carried(way)
        if way.learn:
            gradient = carried.T @ x.reshape(samples, -1)
            carrier.learn(None, gradient, carried, samples, way)
        return (carrier.compress(carried) @ carrier.spread(None, way)).reshape(x.shape)

    def clipped(self, back: Array, way: Pass) -> Array:
        """∂loss/∂h (N, …) with every entry cut to what the pass allows; the reference of alignments stays as it is."""
        if way.clip_signal is None or way.exact:
            return back
        # The loss is a mean over the batch, the limit is on one sample's.
        limit = back.dtype.type(way.clip_signal / len(back))
        return namespace(back).clip(back, -limit, limit)

    def note(self, x: Array, error: Array, samples: int) -> None:
        """Keep input and error for the probes, where they are wanted."""
        if self.record:
            self.seen = {"input": x, "error": error, "samples": samples}


class _MapLayer(Layer):
    """A layer that is one affine map."""

    map: WeightMap

    def __init__(self, bias: bool, initial: str) -> None:
        super().__init__()
        self.has_bias = flag("bias", bias)
        self.initial = choice("initial", initial, INITIAL)

    def _enrol(
        self, shape: Shape, fan_out: int, channels: int, input_shape: Shape, positions: int, builder: Builder
    ) -> None:
        """Draw W of this shape (out, …) and b; join the network's list of maps."""
        fan_in = int(np.prod(shape[1:]))
        weight = self._parameter("weight", builder.draw(self.initial, shape, fan_in, fan_out), "weight")
        bias = None
        if self.has_bias:
            # The usual default draws biases like the weights; the other schemes start them at zero.
            drawn = builder.draw(self.initial, shape[:1], fan_in, fan_out)
            start = drawn if self.initial == "kaiming-uniform" else np.zeros_like(drawn)
            bias = self._parameter("bias", start, "bias")
        self.map = WeightMap(
            self.name,
            weight,
            bias,
            deviation=initial_deviation(self.initial, fan_in, fan_out),
            channels=channels,
            sends=builder.below,
            input_shape=input_shape,
            positions=positions,
        )
        builder.maps.append(self.map)
        builder.below = True


class Dense(_MapLayer):
    """a = W h + b on the last axis of what comes in.

    Parameters
    ----------
    units : int
        Size of the output.
    bias : bool
    initial : {"kaiming-uniform", "he-normal", "glorot-normal", "small-normal"}
        Distribution of the initial weights; see `linfa.nn.layer.initial_deviation`.
    """

    kind = "dense"

    def __init__(self, units: int, *, bias: bool = True, initial: str = "kaiming-uniform") -> None:
        super().__init__(bias, initial)
        self.units = integer("units", units, at_least=1)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        positions = int(np.prod(shape[:-1]))
        self._enrol((self.units, shape[-1]), self.units, shape[-1], shape, positions, builder)
        return (*shape[:-1], self.units)

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x if way.keeps else None
        return self.map.apply(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], self.units)

    def backward(self, error: Array, way: Pass) -> Array | None:
        x = self._taken()
        rows, errors = x.reshape(-1, x.shape[-1]), error.reshape(-1, self.units)
        self.map.note(x, errors, len(x))
        self.map.learn(iter([(slice(None), rows)]), errors, len(x), way)
        if not self.map.sends:
            return None
        if self.map.carrier.direct and not way.exact:
            back = self.map.deliver(x, way)
        else:
            sent, spread = self.map.signal(errors, way)
            back = (sent @ spread).reshape(x.shape)
        back = self.map.clipped(back, way)
        if self.map.is_output:
            way.below_output = back
        return back


class Conv2d(_MapLayer):
    """Convolution of images with their channels last, (height, width, C) → (height', width', channels).

    Parameters
    ----------
    channels : int
        Kernels, that is channels of the output.
    kernel : int
        Side of the square kernel.
    stride : int
    padding : int or None
        Zeros around the image; None takes ⌊kernel/2⌋, which keeps the size at stride 1.
    bias, initial
        As in `Dense`.

    Notes
    -----
    W is (channels, kernel, kernel, C): a dense map on windows of the image, so that its feedback is that of a dense map
    with kernel²·C inputs. P mixes channels at each position (a 1 × 1 convolution) and Q is a kernel, the way
    the published rules have it; with a stride, their product is the transposed convolution with the composed kernel.
    """

    kind = "conv"

    def __init__(
        self,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        initial: str = "kaiming-uniform",
    ) -> None:
        super().__init__(bias, initial)
        self.channels = integer("channels", channels, at_least=1)
        self.kernel = integer("kernel", kernel, at_least=1)
        self.stride = integer("stride", stride, at_least=1)
        self.padding = self.kernel // 2 if padding is None else integer("padding", padding, at_least=0)

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 3:
            raise ValueError(
                f"{self.name} gets samples of shape {shape}; a convolution takes (height, width, channels)"
            )
        self.tall, self.wide = (backend.output_size(size, self.kernel, self.stride, self.padding) for size in shape[:2])
        if min(self.tall, self.wide) < 1:
            raise ValueError(f"{self.name} has a kernel of {self.kernel}, more than the image {shape} with its padding")
        fan_out = self.channels * self.kernel**2
        weights = (self.channels, self.kernel, self.kernel, shape[2])
        self._enrol(weights, fan_out, shape[2], shape, self.tall * self.wide, builder)
        return (self.tall, self.wide, self.channels)

    def _rows(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """Windows of some images at a time, with the rows of the whole batch that they are."""
        if self.kernel == 1 and self.stride == 1 and not self.padding:
            yield slice(None), x.reshape(-1, x.shape[-1])
            return
        positions = self.tall * self.wide
        step = backend.images_at_once(x, self.map.receiving, positions)
        for start in range(0, len(x), step):
            part = x[start : start + step]
            rows = backend.patches(part, self.kernel, self.stride, self.padding)
            yield slice(start * positions, (start + len(part)) * positions), rows

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x if way.keeps else None
        out = namespace(x).empty((len(x) * self.tall * self.wide, self.channels), x.dtype)
        for span, rows in self._rows(x):
            out[span] = self.map.apply(rows)
        return out.reshape(len(x), self.tall, self.wide, self.channels)

    def backward(self, error: Array, way: Pass) -> Array | None:
        x = self._taken()
        errors = error.reshape(-1, self.channels)
        self.map.note(x, errors, len(x))
        self.map.learn(self._rows(x), errors, len(x), way)
        if not self.map.sends:
            return None
        if self.map.carrier.direct and not way.exact:
            return self.map.clipped(self.map.deliver(x, way), way)
        sent, spread = self.map.signal(errors, way)
        back = self._transposed(sent.reshape(len(x), self.tall, self.wide, -1), spread, x.shape)
        return self.map.clipped(back, way)

    def _transposed(self, sent: Array, spread: Array, shape: Shape) -> Array:
        """Transposed convolution: the adjoint of gathering windows, applied to `sent` @ `spread`.

        At stride 1 it is a convolution with the kernel turned by 180°, which gathers windows of what is sent (few
        channels, where feedback is of low rank) instead of scattering windows of what arrives.
        """
        xp = namespace(sent)
        arriving = shape[-1]
        image = xp.empty(shape, sent.dtype)
        if self.stride == 1 and self.padding < self.kernel:
            source = sent.shape[-1]
            turned = spread.reshape(source, self.kernel, self.kernel, arriving)[:, ::-1, ::-1]
            matrix = xp.ascontiguousarray(turned.transpose(1, 2, 0, 3)).reshape(-1, arriving)
            step = backend.images_at_once(sent, matrix.shape[0], shape[1] * shape[2])
            for start in range(0, len(sent), step):
                part = sent[start : start + step]
                rows = backend.patches(part, self.kernel, 1, self.kernel - 1 - self.padding)
                image[start : start + step] = (rows @ matrix).reshape(len(part), *shape[1:])
            return image
        step = backend.images_at_once(sent, self.map.receiving, self.tall * self.wide)
        for start in range(0, len(sent), step):
            part = sent[start : start + step]
            rows = part.reshape(-1, part.shape[-1]) @ spread
            image[start : start + step] = backend.fold(
                rows, (len(part), *shape[1:]), self.kernel, self.stride, self.padding
            )
        return image
