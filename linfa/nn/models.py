"""Models: lists of layers for a `Network`, each of any size by arguments, and a register of them by name.

A convolution, or a dense layer, with batch normalisation after it has no bias: the mean that is taken out would take it
with it. Layers are called by kind and number, so that feedback can be chosen for one of them: "conv3", "block2.dense1".
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from linfa._check import choice, flag, integer, nearest, real_number
from linfa.nn.activations import GELU, Dropout, Flatten
from linfa.nn.attention import PatchEmbedding, SelfAttention, TokenPool
from linfa.nn.composition import Residual
from linfa.nn.convnets import conv4, following, probability, resnet, retina, sizes_of, vgg
from linfa.nn.layer import Layer, Shape
from linfa.nn.maps import Dense
from linfa.nn.normalisation import LayerNorm


def mlp(
    classes: int,
    widths: Sequence[int] = (512, 512, 512),
    *,
    normalisation: str | None = "batch",
    activation: str = "relu",
    dropout: float = 0.0,
) -> list[Layer]:
    """Dense layers, each followed by normalisation, activation and dropout, and a classifier.

    Parameters
    ----------
    classes : int
        Outputs.
    widths : sequence of int
        Hidden layers; three of 512 in the published runs of low-dimensional feedback. None at all: a linear classifier.
    normalisation : {"batch", "layer", None}
    activation : {"relu", "gelu", "tanh", "identity"}
    dropout : float
        Probability with which a hidden unit is dropped in training.

    Returns
    -------
    list of Layer
        For images of any shape, or rows of features.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> Network(mlp(10, (32, 16)), (8, 8, 1))
    Network(2,826 weights, 10 classes: dense1 dense2 dense3)
    """
    classes = integer("classes", classes, at_least=1)
    rate = probability("dropout", dropout)
    layers: list[Layer] = [Flatten()]
    for width in sizes_of("widths", widths, at_least=0):
        layers += [Dense(width, bias=normalisation != "batch"), *following(normalisation, activation)]
        layers += [Dropout(rate)] if rate else []
    return [*layers, Dense(classes)]


def vit(
    classes: int,
    width: int = 384,
    *,
    depth: int = 8,
    heads: int = 8,
    patch: int = 4,
    mlp_ratio: float = 2.0,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    drop_path: float = 0.1,
    class_token: bool = True,
    initial: str = "small-normal",
) -> list[Layer]:
    """Vision transformer (Dosovitskiy et al. 2021), normalised before attention and before its dense layers.

    The defaults are the published sizes for CIFAR-10 under low-dimensional feedback (Hanut & Kadmon 2025, fourth
    version).

    Parameters
    ----------
    classes : int
    width : int
        Entries of a token.
    depth : int
        Blocks of attention and dense layers.
    heads : int
        Must divide `width`.
    patch : int
        Side of a patch, which must divide the image.
    mlp_ratio : float
        Hidden units of the dense layers of a block over `width`; rounded.
    dropout, attention_dropout : float
        Of tokens after the embedding, of attention and after each dense layer of a block; and of attention weights.
    drop_path : float
        Probability of leaving out the last block's parts; it grows linearly from 0 at the first block.
    class_token : bool
        Classify from a learned token, or from the mean of all.
    initial : str
        Distribution of initial weights, as in `Dense`.

    Returns
    -------
    list of Layer
        For images.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> network = Network(vit(10, 16, depth=1, heads=2), (8, 8, 3))
    >>> [m.name for m in network.maps][:4]
    ['patches1.conv', 'block1.attention1.qkv', 'block1.attention1.projection', 'block2.dense1']
    """
    classes, width = integer("classes", classes, at_least=1), integer("width", width, at_least=1)
    depth = integer("depth", depth, at_least=1)
    hidden = round(real_number("mlp_ratio", mlp_ratio, above=0.0) * width)
    if hidden < 1:
        raise ValueError(f"mlp_ratio is {mlp_ratio:g}, which leaves no hidden unit of a width of {width}")
    rate, path = probability("dropout", dropout), probability("drop_path", drop_path)
    dropped = (lambda: [Dropout(rate)]) if rate else list
    # The published networks have this ε in their layer normalisation.
    epsilon = 1e-6
    layers: list[Layer] = [PatchEmbedding(patch, width, class_token=class_token, initial=initial), *dropped()]
    for block in range(depth):
        share = path * block / max(depth - 1, 1)
        attention = SelfAttention(heads, dropout=rate, attention_dropout=attention_dropout, initial=initial)
        dense = [Dense(hidden, initial=initial), GELU(), *dropped(), Dense(width, initial=initial), *dropped()]
        layers += [Residual([LayerNorm(epsilon), attention], drop_path=share)]
        layers += [Residual([LayerNorm(epsilon), *dense], drop_path=share)]
    pool = TokenPool("first" if flag("class_token", class_token) else "mean")
    return [*layers, LayerNorm(epsilon), pool, Dense(classes, initial=initial)]


@dataclass(frozen=True)
class Model:
    """A model by name: what makes its layers, and with which arguments away from the defaults of that function."""

    make: Callable[..., list[Layer]]
    about: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, object]:
        """Arguments and their defaults."""
        parameters = list(inspect.signature(self.make).parameters.values())[1:]
        return {p.name: p.default for p in parameters} | dict(self.arguments)


_RESNET20 = {"widths": (16, 32, 64), "blocks": 3, "shortcut": "padding"}
_FIRST_VIT = {"depth": 6, "mlp_ratio": 1.0, "drop_path": 0.0}
_SMALL_VIT = {"width": 128, "depth": 4, "heads": 4, "dropout": 0.0, "attention_dropout": 0.0, "drop_path": 0.0}
MODELS = {
    "mlp": Model(mlp, "dense layers with batch norm, 3 × 512"),
    "conv4": Model(conv4, "three convolutions and a classifier"),
    "vgg": Model(vgg, "eight convolutions in four blocks, two dense layers"),
    "retina": Model(retina, "two convolutions of a retina, three of cortex, two dense layers"),
    "resnet18": Model(resnet, "ResNet-18 for small images"),
    "resnet20": Model(resnet, "ResNet-20 for small images, shortcuts without weights", _RESNET20),
    "vit": Model(vit, "vision transformer, width 384, depth 8"),
    "vit-6": Model(vit, "vision transformer, width 384, depth 6, as published first", _FIRST_VIT),
    "vit-small": Model(vit, "vision transformer for a processor, width 128, depth 4", _SMALL_VIT),
}


def model(name: str, input_shape: Shape, classes: int, **options: object) -> list[Layer]:
    """Layers of a model by its name.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    input_shape : tuple of int
        Of one sample: (height, width, channels), or (features,) for the MLP.
    classes : int
        Outputs.
    **options
        Further arguments of the function behind the name: ``MODELS[name].options`` lists them with their defaults.

    Returns
    -------
    list of Layer
        To be given to `Network` with the same shape.

    Raises
    ------
    ValueError, TypeError
        If the name or an option is unknown, an option is out of range, or the model cannot take such samples.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> Network(model("mlp", (8, 8, 1), 10, widths=(16,)), (8, 8, 1))
    Network(1,226 weights, 10 classes: dense1 dense2)
    """
    chosen = MODELS[choice("model", name, MODELS)]
    known = chosen.options
    for option in options:
        if option not in known:
            raise ValueError(f"model {name!r} takes no {option!r}; it takes {', '.join(known)}{nearest(option, known)}")
    sizes = sizes_of("input_shape", input_shape)
    if chosen.make is not mlp and len(sizes) != 3:
        raise ValueError(f"input_shape is {sizes}; model {name!r} takes images, (height, width, channels)")
    return chosen.make(classes, **(dict(chosen.arguments) | options))
