"""Convolutional models as lists of layers, and what all models are made of."""

from collections.abc import Sequence

from linfa._check import choice, integer, real_number
from linfa.nn.activations import GELU, Dropout, Flatten, Identity, ReLU, Tanh
from linfa.nn.composition import Residual
from linfa.nn.layer import Layer
from linfa.nn.maps import Conv2d, Dense
from linfa.nn.normalisation import BatchNorm, LayerNorm
from linfa.nn.pooling import GlobalAveragePool, MaxPool, Subsample

ACTIVATIONS = {"relu": ReLU, "gelu": GELU, "tanh": Tanh, "identity": Identity}
NORMALISATIONS = {"batch": BatchNorm, "layer": LayerNorm}


def conv4(
    classes: int,
    widths: Sequence[int] = (64, 128, 256),
    *,
    strides: Sequence[int] = (2, 2, 2),
    kernel: int = 3,
    normalisation: str | None = None,
    activation: str = "relu",
    readout: str = "flatten",
) -> list[Layer]:
    """Convolutions and a classifier: four layers with weights unless `widths` says otherwise.

    The network on which the collapse of rank under feedback alignment was shown (Boeshertz, Pascanu & Clopath 2026) has
    four layers of a size that was not published. These widths and strides are a choice: each convolution halves the
    image and doubles the channels.

    Parameters
    ----------
    classes : int
    widths, strides : sequence of int
        Channels and stride of each convolution.
    kernel : int
        Side of the kernels.
    normalisation : {"batch", "layer", None}
    activation : {"relu", "gelu", "tanh", "identity"}
    readout : {"flatten", "mean"}
        Whether the classifier sees every position, or the mean over them.

    Returns
    -------
    list of Layer
        For images.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `strides` and `widths` differ in length.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> Network(conv4(10, (4, 8, 16)), (16, 16, 3))
    Network(2,226 weights, 10 classes: conv1 conv2 conv3 dense1)
    """
    classes = integer("classes", classes, at_least=1)
    widths, strides = sizes_of("widths", widths), sizes_of("strides", strides)
    if len(strides) != len(widths):
        raise ValueError(f"strides has {len(strides)} entries; it must have {len(widths)}, one for each of widths")
    readouts = {"flatten": Flatten, "mean": GlobalAveragePool}
    readout = choice("readout", readout, readouts)
    layers: list[Layer] = []
    for width, stride in zip(widths, strides, strict=True):
        layers += _convolution(width, stride, kernel, normalisation, activation)
    return [*layers, readouts[readout](), Dense(classes)]


def vgg(
    classes: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    *,
    depth: int = 2,
    hidden: int = 256,
    dropout: float = 0.4,
    normalisation: str | None = "batch",
    activation: str = "relu",
) -> list[Layer]:
    """Blocks of 3 × 3 convolutions with max pooling between them, mean over positions, and two dense layers.

    The sizes of the published runs of low-dimensional feedback on CIFAR-10 (Hanut & Kadmon 2025). There, dropout comes
    before the classifier.

    Parameters
    ----------
    classes : int
    widths : sequence of int
        Channels of each block.
    depth : int
        Convolutions of a block.
    hidden : int
        Units of the dense layer before the classifier.
    dropout : float
    normalisation : {"batch", "layer", None}
        After each convolution.
    activation : {"relu", "gelu", "tanh", "identity"}

    Returns
    -------
    list of Layer
        For images whose sides survive being halved once for every block but the last.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> Network(vgg(10, (4, 8), depth=1, hidden=8), (8, 8, 3))
    Network(582 weights, 10 classes: conv1 conv2 dense1 dense2)
    """
    classes, depth = integer("classes", classes, at_least=1), integer("depth", depth, at_least=1)
    rate = probability("dropout", dropout)
    layers: list[Layer] = []
    for block, width in enumerate(sizes_of("widths", widths)):
        layers += [MaxPool(2)] if block else []
        for _ in range(depth):
            layers += _convolution(width, 1, 3, normalisation, activation)
    layers += [GlobalAveragePool(), Dense(hidden), *following(None, activation)]
    return [*layers, *([Dropout(rate)] if rate else []), Dense(classes)]


def retina(
    classes: int,
    channels: int = 32,
    *,
    retina_layers: int = 2,
    cortex_layers: int = 3,
    bottleneck: int | None = None,
    kernel: int = 9,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> list[Layer]:
    """Convolutions of a retina and of a visual stream behind it, and two dense layers (after Lindsey et al. 2019).

    The first convolution of the stream, ``conv3`` unless `retina_layers` says otherwise, sends the retina its error:
    feedback of low rank there is the bottleneck of the published receptive fields (Hanut & Kadmon 2025). `bottleneck`
    narrows the forward way instead, as Lindsey et al. did.

    Parameters
    ----------
    classes : int
    channels : int
        Of every convolution.
    retina_layers, cortex_layers : int
        Convolutions before and after the optic nerve.
    bottleneck : int, optional
        Channels of the optic nerve, the retina's last convolution; `channels` when not given.
    kernel : int
        Side of the kernels.
    hidden : int
        Units of the dense layer before the classifier.
    dropout : float
        Before the classifier.

    Returns
    -------
    list of Layer
        For images; the published runs had one channel of grey.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> from linfa.nn import Network
    >>> network = Network(retina(10, 4, kernel=3, hidden=8), (8, 8, 1))
    >>> [m.name for m in network.maps]
    ['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'dense1', 'dense2']
    """
    classes, channels = integer("classes", classes, at_least=1), integer("channels", channels, at_least=1)
    before = integer("retina_layers", retina_layers, at_least=1)
    behind = integer("cortex_layers", cortex_layers, at_least=0)
    nerve = channels if bottleneck is None else integer("bottleneck", bottleneck, at_least=1)
    rate = probability("dropout", dropout)
    layers: list[Layer] = []
    for width in [channels] * (before - 1) + [nerve] + [channels] * behind:
        layers += _convolution(width, 1, kernel, None, "relu")
    layers += [Flatten(), Dense(hidden), ReLU()]
    return [*layers, *([Dropout(rate)] if rate else []), Dense(classes)]


def resnet(
    classes: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    *,
    blocks: int = 2,
    shortcut: str = "projection",
    normalisation: str | None = "batch",
    activation: str = "relu",
) -> list[Layer]:
    """Residual network in the form for small images: a 3 × 3 convolution, stages of basic blocks, mean, classifier.

    Each block is convolution, normalisation, activation, convolution, normalisation, plus its input, activation; the
    first of every stage but the first halves the image (He et al. 2016).

    Parameters
    ----------
    classes : int
    widths : sequence of int
        Channels of each stage. The default, with 2 blocks, is ResNet-18; (16, 32, 64) with 3 is ResNet-20.
    blocks : int
        Blocks of a stage.
    shortcut : {"projection", "padding"}
        What stands beside a block that changes the shape: a 1 × 1 convolution with a stride and a normalisation, which
        has feedback of its own ("option B"); or every second position with zeros for the new channels, which has no
        weights ("option A", as He et al. had it on CIFAR-10).
    normalisation : {"batch", "layer", None}
    activation : {"relu", "gelu", "tanh", "identity"}

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
    >>> Network(resnet(10, (4, 8), blocks=1), (8, 8, 3))
    Network(1,454 weights, 10 classes: conv1 block1.conv1 block1.conv2 block2.conv1 block2.conv2 block2.shortcut.conv1 \
dense1)
    """
    classes, blocks = integer("classes", classes, at_least=1), integer("blocks", blocks, at_least=1)
    widths = sizes_of("widths", widths)
    choice("shortcut", shortcut, ("projection", "padding"))
    layers = _convolution(widths[0], 1, 3, normalisation, activation)
    channels = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            body = [
                *_convolution(width, stride, 3, normalisation, activation),
                *_convolution(width, 1, 3, normalisation, None),
            ]
            around: list[Layer] | None = None
            if stride > 1 or width != channels:
                around = [Subsample(stride, width)]
                if shortcut == "projection":
                    around = _convolution(width, stride, 1, normalisation, None)
            layers += [Residual(body, around), *following(None, activation)]
            channels = width
    return [*layers, GlobalAveragePool(), Dense(classes)]


def sizes_of(name: str, value: object, at_least: int = 1) -> tuple[int, ...]:
    """`value` as a tuple of at least so many positive integers."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {value!r}; it must be a list of sizes")
    if len(value) < at_least:
        raise ValueError(f"{name} is empty; it must hold at least one size")
    return tuple(integer(f"{name}[{k}]", size, at_least=1) for k, size in enumerate(value))


def probability(name: str, value: object) -> float:
    """`value` as a probability of leaving something out, below 1."""
    rate = real_number(name, value, at_least=0.0)
    if rate >= 1:
        raise ValueError(f"{name} is {rate:g}; it must be below 1")
    return rate


def following(normalisation: str | None, activation: str | None) -> list[Layer]:
    """What follows a layer with weights."""
    layers: list[Layer] = []
    if normalisation is not None:
        layers.append(NORMALISATIONS[choice("normalisation", normalisation, NORMALISATIONS)]())
    if activation is not None:
        layers.append(ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]())
    return layers


def _convolution(
    channels: int, stride: int, kernel: int, normalisation: str | None, activation: str | None
) -> list[Layer]:
    conv = Conv2d(channels, kernel, stride=stride, bias=normalisation != "batch")
    return [conv, *following(normalisation, activation)]
