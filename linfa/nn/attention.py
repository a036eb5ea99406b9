"""What makes a transformer of images: patches as tokens, positions, self-attention."""

from linfa._check import choice, flag, integer, real_number
from linfa.nn.backend import namespace
from linfa.nn.layer import INITIAL, Builder, Layer, Pass, Shape, drop_mask
from linfa.nn.maps import Conv2d, Dense
from linfa.nn.parameters import Array


class PatchEmbedding(Layer):
    """Cut an image into square patches and map each to a token, (height, width, C) → (tokens, width).

    Parameters
    ----------
    size : int
        Side of a patch, which must divide the image.
    width : int
        Entries of a token.
    class_token : bool
        Put a learned token before the patches.
    initial : str
        As in `Dense`.

    Notes
    -----
    A learned position is added to every token (Dosovitskiy et al. 2021). Nothing below learns, so nothing is sent
    further down and the embedding needs no feedback of its own.
    """

    kind = "patches"

    def __init__(self, size: int, width: int, *, class_token: bool = True, initial: str = "kaiming-uniform") -> None:
        super().__init__()
        self.size = integer("size", size, at_least=1)
        self.width = integer("width", width, at_least=1)
        self.class_token = flag("class_token", class_token)
        self.conv = Conv2d(width, size, stride=size, padding=0, initial=initial)

    def children(self) -> list[Layer]:
        return [self.conv]

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 3 or shape[0] % self.size or shape[1] % self.size:
            raise ValueError(
                f"{self.name} gets samples of shape {shape}; it takes (height, width, channels) with sides that are "
                f"multiples of the patch's {self.size}"
            )
        self.conv.name = f"{self.name}.conv"
        tall, wide, _ = self.conv.build(shape, builder)
        tokens = tall * wide + self.class_token
        position = builder.draw("small-normal", (tokens, self.width), self.width, self.width)
        self.position = self._parameter("position", position, "embedding")
        if self.class_token:
            self.token = self._parameter(
                "token", builder.draw("small-normal", (1, self.width), self.width, self.width), "embedding"
            )
        return (tokens, self.width)

    def forward(self, x: Array, way: Pass) -> Array:
        xp = namespace(x)
        tokens = self.conv.forward(x, way).reshape(len(x), -1, self.width)
        if self.class_token:
            first = xp.broadcast_to(self.token.value, (len(x), 1, self.width))
            tokens = xp.concatenate([first, tokens], axis=1)
        return tokens + self.position.value

    def backward(self, error: Array, way: Pass) -> Array | None:
        self.position.gradient = error.sum(0)
        if self.class_token:
            self.token.gradient = error[:, :1].sum(0)
            error = error[:, 1:]
        shape = (len(error), self.conv.tall, self.conv.wide, self.width)
        return self.conv.backward(namespace(error).ascontiguousarray(error).reshape(shape), way)


class TokenPool(Layer):
    """One row for each sample: its first token, or the mean of all, (tokens, width) → (width,)."""

    kind = "pool"

    def __init__(self, which: str = "first") -> None:
        super().__init__()
        self.which = choice("which", which, ("first", "mean"))

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"{self.name} gets samples of shape {shape}; it takes (tokens, width)")
        return shape[1:]

    def forward(self, x: Array, way: Pass) -> Array:
        self._kept = x.shape if way.keeps else None
        return x[:, 0] if self.which == "first" else x.mean(1)

    def backward(self, error: Array, way: Pass) -> Array:
        xp, shape = namespace(error), self._taken()
        if self.which == "mean":
            return xp.broadcast_to((error * error.dtype.type(1.0 / shape[1]))[:, None], shape)
        back = xp.zeros(shape, error.dtype)
        back[:, 0] = error
        return back


class SelfAttention(Layer):
    """Multi-head self-attention, softmax(q kᵀ/√d) v in each head (Vaswani et al. 2017).

    Parameters
    ----------
    heads : int
        Must divide the width of a token.
    dropout, attention_dropout : float
        Of the output, and of the attention weights.
    initial : str
        As in `Dense`.

    Notes
    -----
    q, k and v are one map of width n → 3n; its feedback of rank r has rank 3r, as in the published transformers under
    low-dimensional feedback. Softmax and products are differentiated exactly; only the transposed weights are replaced.
    """

    kind = "attention"

    def __init__(
        self,
        heads: int,
        *,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        initial: str = "kaiming-uniform",
    ) -> None:
        super().__init__()
        self.heads = integer("heads", heads, at_least=1)
        self.rates = tuple(
            real_number(name, rate, at_least=0.0)
            for name, rate in (("dropout", dropout), ("attention_dropout", attention_dropout))
        )
        for name, rate in zip(("dropout", "attention_dropout"), self.rates, strict=True):
            if rate >= 1:
                raise ValueError(f"{name} is {rate:g}; it must be below 1")
        self.initial = choice("initial", initial, INITIAL)
        self._maps: list[Layer] = []

    def children(self) -> list[Layer]:
        return self._maps

    def build(self, shape: Shape, builder: Builder) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"{self.name} gets samples of shape {shape}; attention takes (tokens, width)")
        self.tokens, self.width = shape
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide the width of a token, {self.width}")
        self.qkv = Dense(3 * self.width, initial=self.initial)
        self.projection = Dense(self.width, initial=self.initial)
        self.qkv.name, self.projection.name = f"{self.name}.qkv", f"{self.name}.projection"
        self.qkv.build(shape, builder)
        self.qkv.map.rank_factor = 3
        self.projection.build(shape, builder)
        self._maps = [self.qkv, self.projection]
        self.numbers = (builder.noise_number(), builder.noise_number())
        return shape

    def forward(self, x: Array, way: Pass) -> Array:
        xp = namespace(x)
        n, tokens, width = x.shape
        depth = width // self.heads
        # (3, N, heads, tokens, depth)
        parts = self.qkv.forward(x, way).reshape(n, tokens, 3, self.heads, depth).transpose(2, 0, 3, 1, 4)
        q, k, v = (xp.ascontiguousarray(part) for part in parts)
        scores = (q * x.dtype.type(depth**-0.5)) @ k.swapaxes(2, 3)
        scores -= scores.max(-1, keepdims=True)
        attention = xp.exp(scores)
        attention /= attention.sum(-1, keepdims=True)
        masks: list[Array | None] = [None, None]
        if way.mode == "train":
            shapes = ((n, tokens, width), attention.shape)
            masks = [
                drop_mask(shape, rate, way, number, x) if rate else None
                for shape, rate, number in zip(shapes, self.rates, self.numbers, strict=True)
            ]
        dropped = attention if masks[1] is None else attention * masks[1]
        mixed = (dropped @ v).transpose(0, 2, 1, 3).reshape(n, tokens, width)
        out = self.projection.forward(mixed, way)
        self._kept = (q, k, v, attention, dropped, masks) if way.keeps else None
        return out if masks[0] is None else out * masks[0]

    def backward(self, error: Array, way: Pass) -> Array | None:
        q, k, v, attention, dropped, masks = self._taken()
        xp = namespace(error)
        n, heads, tokens, depth = q.shape
        if masks[0] is not None:
            error = error * masks[0]
        mixed = self.projection.backward(error, way).reshape(n, tokens, heads, depth).transpose(0, 2, 1, 3)
        to_v = dropped.swapaxes(2, 3) @ mixed
        to_attention = mixed @ v.swapaxes(2, 3)
        if masks[1] is not None:
            to_attention = to_attention * masks[1]
        to_scores = attention * (to_attention - (attention * to_attention).sum(-1, keepdims=True))
        to_scores *= error.dtype.type(depth**-0.5)
        back = xp.empty((n, tokens, 3, heads, depth), error.dtype)
        for place, part in enumerate((to_scores @ k, to_scores.swapaxes(2, 3) @ q, to_v)):
            back[:, :, place] = part.transpose(0, 2, 1, 3)
        return self.qkv.backward(back.reshape(n, tokens, -1), way)
