"""Receptive fields of convolutional units, and how far they are centre–surround: an index instead of a glance.

A field f is an image of weights that drives one unit. With Π f its radially symmetric part about its own centre, and P
its power spectrum at wave vectors of direction θ,

    symmetry     ‖Π f‖² / ‖f‖²                                  1 for rings of any kind, 0 for what is odd
    orientation  |Σ P e^{2iθ}| / Σ P                            1 for one grating, 0 for rings and for checkerboards
    balance      min(Σ(Π f)₊, Σ(Π f)₋) / max(…)                 1 where the surround cancels the centre, 0 without one
    index        symmetry · (1 − orientation) · balance         1 for a balanced centre and surround alone
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from linfa._check import integer, real_array, real_number
from linfa.nn.backend import namespace, to_numpy
from linfa.nn.layer import Layer, Pass
from linfa.nn.maps import Conv2d
from linfa.nn.network import Network
from linfa.nn.normalisation import BatchNorm


def receptive_fields(network: Network, layer: str, *, steps: int = 2, rate: float = 1.0) -> np.ndarray:
    """Images that drive the central unit of each channel of a convolution, found by gradient ascent from zero.

    x ← x + rate ∂a_c/∂x, `steps` times from x = 0, where a_c is what channel c of the convolution gives at the centre
    of its map, before any activation (which would hide the units that are silent at zero).

    Parameters
    ----------
    network : Network
        Left as it is.
    layer : str
        Name of the convolution, such as ``"conv2"``; none of the layers before it may be a batch normalisation.
    steps : int
        The published fields took 2; the first of them is linear, later ones see which units it has switched on.
    rate : float

    Returns
    -------
    array (channels, height, width, C)
        In the precision of the network.

    Raises
    ------
    ValueError, TypeError
        If `layer` is no convolution of the network's main line, or lies behind a batch normalisation.

    Notes
    -----
    Source: the protocol of Hanut & Kadmon 2025, after Lindsey et al. 2019.

    Examples
    --------
    >>> from linfa.nn import Conv2d, Dense, Flatten
    >>> network = Network([Conv2d(2, 3), Flatten(), Dense(3)], (5, 5, 1))
    >>> fields = receptive_fields(network, "conv1", steps=1)
    >>> bool((fields[:, 1:4, 1:4] == network.maps[0].weight.value).all())  # of one convolution: its kernels
    True
    """
    if not isinstance(network, Network):
        raise TypeError(f"network is {type(network).__name__}; it must be a Network")
    steps, rate = integer("steps", steps, at_least=1), real_number("rate", rate, above=0.0)
    path = _path(network, layer)
    first, last = network.weights[0].value, path[-1]
    xp, way = namespace(first), Pass("probe", seed=network.seed, exact=True, learn=False)
    x = xp.zeros((last.channels, *network.input_shape), network.dtype)
    # One image for each channel, each with an error at its own central unit alone.
    error = xp.zeros((last.channels, last.tall, last.wide, last.channels), network.dtype)
    channels = xp.arange(last.channels)
    error[channels, last.tall // 2, last.wide // 2, channels] = 1.0
    for _ in range(steps):
        out = x
        for each in path:
            out = each.forward(out, way)
        back = error
        for each in reversed(path):
            back = each.backward(back, way)
        x = x + network.dtype.type(rate) * back
    return to_numpy(x)


def _path(network: Network, name: str) -> list[Layer]:
    """Copies of the layers up to the convolution, which all send their error down, the first one too."""
    line = network.body.list
    places = [k for k, layer in enumerate(line) if layer.name == name and isinstance(layer, Conv2d)]
    if not places:
        known = ", ".join(layer.name for layer in line if isinstance(layer, Conv2d)) or "none"
        raise ValueError(f"layer is {name!r}; it must be a convolution of the network's main line: {known}")
    path = line[: places[0] + 1]
    for layer in path:
        if any(isinstance(inside, BatchNorm) for inside in layer.layers()):
            raise ValueError(
                f"layer is {name!r}, behind the batch normalisation {layer.name}, where images depend on each other"
            )
    path = deepcopy(path)
    for layer in path:
        for inside in layer.layers():
            if hasattr(inside, "map"):
                inside.map.sends = True
    return path


@dataclass(frozen=True)
class FieldShapes:
    """What `field_shapes` found, each an array (fields,): symmetry, orientation, balance, and index."""

    symmetry: np.ndarray
    orientation: np.ndarray
    balance: np.ndarray

    @property
    def index(self) -> np.ndarray:
        """Centre–surround index: symmetry · (1 − orientation) · balance."""
        return self.symmetry * (1.0 - self.orientation) * self.balance


def field_shapes(fields: np.ndarray) -> FieldShapes:
    """Radial symmetry, orientation and balance of receptive fields; the equations are at the top of this module.

    Π f is the best fit of a radial profile that is linear between whole pixels; the centre is that of the energy f².
    White noise on n pixels has a symmetry of about (rings + 1)/n: 0.06 on 13 × 13.

    Parameters
    ----------
    fields : array (fields, height, width)

    Returns
    -------
    FieldShapes
        NaN for a field that is zero everywhere.

    Raises
    ------
    ValueError, TypeError
        If an entry is not a finite real number, or a side is below 3 pixels.

    Examples
    --------
    >>> y, x = np.mgrid[-6:7, -6:7]
    >>> rings = np.exp(-(x**2 + y**2) / 2) - 0.25 * np.exp(-(x**2 + y**2) / 8)
    >>> shapes = field_shapes(np.array([rings, np.cos(1.2 * x) * np.exp(-(x**2 + y**2) / 8)]))
    >>> shapes.index.round(2)
    array([0.99, 0.06])
    """
    fields = real_array("fields", fields, 3)
    if min(fields.shape[1:]) < 3:
        raise ValueError(f"fields are {fields.shape[1:]} each; both sides must have 3 pixels at least")
    # Only ratios matter; squares of very small fields would underflow.
    scale = np.abs(fields).max((1, 2), keepdims=True)
    scaled = np.divide(fields, scale, out=np.zeros_like(fields), where=scale > 0)
    found = [_symmetry_and_balance(f) for f in scaled]
    symmetry, balance = (np.array([pair[k] for pair in found]) for k in (0, 1))
    return FieldShapes(symmetry, _orientation(scaled), balance)


def _symmetry_and_balance(field: np.ndarray) -> tuple[float, float]:
    energy = np.square(field)
    total = energy.sum()
    if total == 0:
        return np.nan, np.nan
    rows, columns = (np.arange(size) for size in field.shape)
    radius = np.hypot(
        (rows - (energy.sum(1) @ rows) / total)[:, None],
        columns - (energy.sum(0) @ columns) / total,
    ).ravel()
    # Hat functions at whole radii: a profile that is linear in between.
    hats = np.clip(1.0 - np.abs(radius[:, None] - np.arange(np.ceil(radius.max()) + 1)), 0.0, None)
    symmetric = hats @ np.linalg.lstsq(hats, field.ravel(), rcond=None)[0]
    sides = np.clip(symmetric, 0.0, None).sum(), np.clip(-symmetric, 0.0, None).sum()
    balance = min(sides) / max(sides) if max(sides) > 0 else 0.0
    return float(np.square(symmetric).sum() / total), float(balance)


def _orientation(fields: np.ndarray) -> np.ndarray:
    power = np.square(np.abs(np.fft.fft2(fields)))
    # The mean has no direction.
    power[:, 0, 0] = 0.0
    angle = np.arctan2(np.fft.fftfreq(fields.shape[1])[:, None], np.fft.fftfreq(fields.shape[2]))
    total = power.sum((1, 2))
    harmonic = np.abs((power * np.exp(2j * angle)).sum((1, 2)))
    return np.divide(harmonic, total, out=np.full(len(fields), np.nan), where=total > 0)
