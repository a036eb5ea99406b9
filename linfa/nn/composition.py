"""Layers made of layers: one after the other, and beside a shortcut."""

from collections import Counter
from collections.abc import Sequence

from linfa._check import real_number
from linfa.nn.layer import Builder, Layer, Pass, Shape, drop_mask
from linfa.nn.parameters import Array


class Sequential(Layer):
    """Layers one after the other.

    Parameters
    ----------
    layers : list of Layer
        Each is called by its kind and number, "dense1", "norm1", "dense2", …; give `name` to call this one.

    Raises
    ------
    TypeError, ValueError
        If something else than layers is given, or one layer twice.
    """

    kind = "block"

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        if isinstance(layers, Layer) or not isinstance(layers, Sequence):
            raise TypeError(f"layers is {type(layers).__name__}; it must be a list of layers")
        for k, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{k}] is {layer!r}; it must be a layer")
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("layers holds one layer twice; make one for each place, or they would share their state")
        self.list = list(layers)

    def children(self) -> list[Layer]:
        return self.list

    def build(self, shape: Shape, builder: Builder) -> Shape:
        numbers: Counter[str] = Counter()
        for layer in self.list:
            numbers[layer.kind] += 1
            called = f"{layer.kind}{numbers[layer.kind]}"
            layer.name = f"{self.name}.{called}" if self.name else called
            shape = layer.build(shape, builder)
        return shape

    def forward(self, x: Array, way: Pass) -> Array:
        for layer in self.list:
            x = layer.forward(x, way)
        return x

    def backward(self, error: Array, way: Pass) -> Array | None:
        for layer in reversed(self.list):
            error = layer.backward(error, way)
            if error is None:
                return None
        return error


class Residual(Layer):
    """x + body(x), or shortcut(x) + body(x) where the shape changes (He et al. 2016).

    Parameters
    ----------
    body : list of Layer
    shortcut : list of Layer, optional
        What takes the place of the identity.
    drop_path : float
        Probability with which, in training, a sample's body is left out (stochastic depth; Huang et al. 2016).
    """

    kind = "block"

    def __init__(self, body: Sequence[Layer], shortcut: Sequence[Layer] | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        self.body = Sequential(body)
        self.shortcut = None if shortcut is None else Sequential(shortcut)
        self.drop_path = real_number("drop_path", drop_path, at_least=0.0)
        if self.drop_path >= 1:
            raise ValueError(f"drop_path is {self.drop_path:g}; it must be below 1")

    def children(self) -> list[Layer]:
        return [self.body] if self.shortcut is None else [self.body, self.shortcut]

    def build(self, shape: Shape, builder: Builder) -> Shape:
        self.number = builder.noise_number()
        self.body.name = self.name
        # What lies below the block is below both of its ways.
        below = builder.below
        out = self.body.build(shape, builder)
        around = shape
        if self.shortcut is not None:
            self.shortcut.name = f"{self.name}.shortcut"
            learned, builder.below = builder.below, below
            around = self.shortcut.build(shape, builder)
            builder.below = builder.below or learned
        if around != out:
            way = "shortcut" if self.shortcut is not None else "input"
            raise ValueError(f"{self.name}: its body makes {out} of {shape}, its {way} {around}; they must agree")
        return out

    def forward(self, x: Array, way: Pass) -> Array:
        made = self.body.forward(x, way)
        self._kept = None
        if self.drop_path and way.mode == "train":
            shape = (len(x),) + (1,) * (x.ndim - 1)
            self._kept = drop_mask(shape, self.drop_path, way, self.number, x)
            made = made * self._kept
        return made + (x if self.shortcut is None else self.shortcut.forward(x, way))

    def backward(self, error: Array, way: Pass) -> Array | None:
        inside = self.body.backward(error if self._kept is None else error * self._kept, way)
        around = error if self.shortcut is None else self.shortcut.backward(error, way)
        return None if inside is None or around is None else inside + around
