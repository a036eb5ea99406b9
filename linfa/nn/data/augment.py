"""Augmentation: what is drawn for each image, and the one kernel that makes a batch of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from linfa._check import flag, integer, real_number
from linfa.core.compile import entry, kernel


class Draws(NamedTuple):
    """How each image of a batch is changed, one row for each."""

    flips: np.ndarray  # (n,) bool
    shifts: np.ndarray  # (n, 2) rows and columns by which the crop is displaced
    turns: np.ndarray  # (n, 2) cosine and sine of the angle
    holes: np.ndarray  # (n, 2) first row and column that is cut out
    hole: int  # its side


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images, drawn anew for every batch.

    Parameters
    ----------
    flip : bool
        Mirror left and right, every other image on average.
    crop : int
        Pad by so many black pixels on every side, and cut the image's size out anywhere.
    rotation : float
        Turn about the centre by an angle from −rotation to rotation, in degrees; bilinear, black outside.
    cutout : int
        Side of a square, centred anywhere in the image, that is set to the channels' mean (DeVries & Taylor 2017).

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    In this order, as is usual: crop, flip, rotation, normalisation, cutout. The first three are one map from pixel to
    pixel, so that an image is interpolated at most once. Every image takes the same six uniform numbers whatever is
    switched on: switching one change on leaves the others as they were.

    Examples
    --------
    >>> Augmentation(flip=True, crop=4)
    Augmentation(flip=True, crop=4, rotation=0.0, cutout=0)
    """

    flip: bool = False
    crop: int = 0
    rotation: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "flip", flag("flip", self.flip))
        object.__setattr__(self, "crop", integer("crop", self.crop, at_least=0))
        object.__setattr__(self, "rotation", real_number("rotation", self.rotation, at_least=0.0, at_most=180.0))
        object.__setattr__(self, "cutout", integer("cutout", self.cutout, at_least=0))

    def fits(self, height: int, width: int) -> None:
        """That something of an image of this size remains in sight; ValueError otherwise."""
        for name in ("crop", "cutout"):
            if getattr(self, name) >= min(height, width):
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be below {min(height, width)}, the side of the images"
                )

    def draw(self, generator: np.random.Generator, count: int, height: int, width: int) -> Draws:
        """Changes of `count` images of the given size."""
        u = generator.random((count, 6))
        angles = np.deg2rad(self.rotation) * (2 * u[:, 3] - 1)
        return Draws(
            flips=(u[:, 0] < 0.5) & self.flip,
            shifts=(u[:, 1:3] * (2 * self.crop + 1)).astype(np.int64) - self.crop,
            turns=np.stack([np.cos(angles), np.sin(angles)], axis=1),
            holes=(u[:, 4:6] * (height, width)).astype(np.int64) - self.cutout // 2,
            hole=self.cutout,
        )


def unchanged(count: int) -> Draws:
    """Draws that leave every image as it is."""
    turns = np.tile([1.0, 0.0], (count, 1))
    return Draws(np.zeros(count, bool), np.zeros((count, 2), np.int64), turns, np.zeros((count, 2), np.int64), 0)


@kernel
def _neighbours(place: float, size: int) -> tuple[int, int, float, float]:
    """The two pixels beside a place between pixels on a side of `size`, and how much each counts there."""
    low = int(np.floor(place))
    part = place - low
    # Beyond the edge a pixel counts nothing, and any other may stand in for it.
    before = 1 - part if 0 <= low < size else 0.0
    after = part if -1 <= low < size - 1 else 0.0
    return min(max(low, 0), size - 1), min(max(low + 1, 0), size - 1), before, after


@entry
def assemble(
    images: np.ndarray,
    rows: np.ndarray,
    flips: np.ndarray,
    shifts: np.ndarray,
    turns: np.ndarray,
    holes: np.ndarray,
    hole: int,
    scale: np.ndarray,
    offset: np.ndarray,
    out: np.ndarray,
) -> None:
    """A batch in one pass over the images `rows`: changed, normalised, and in the type of `out`.

        out[n, y, x, c] = scale[c] · image(y', x', c) + offset[c],    0 in the hole

    (y', x') is (y, x) turned about the centre, mirrored, and shifted; image(…) is 0 beyond the image's edge.
    Arrays: images (N, H, W, C), rows (n,), scale and offset (C,), out (n, H, W, C); the others as in `Draws`.
    """
    height, width, channels = images.shape[1:]
    middle_y, middle_x = 0.5 * (height - 1), 0.5 * (width - 1)
    for n in range(len(rows)):
        image = images[rows[n]]
        cosine, sine = turns[n, 0], turns[n, 1]
        for y in range(height):
            for x in range(width):
                if holes[n, 0] <= y < holes[n, 0] + hole and holes[n, 1] <= x < holes[n, 1] + hole:
                    for c in range(channels):
                        out[n, y, x, c] = 0
                elif sine != 0.0:
                    from_y = middle_y + cosine * (y - middle_y) + sine * (x - middle_x)
                    from_x = middle_x - sine * (y - middle_y) + cosine * (x - middle_x)
                    if flips[n]:
                        from_x = width - 1 - from_x
                    top, bottom, above, below = _neighbours(from_y + shifts[n, 0], height)
                    left, right, before, after = _neighbours(from_x + shifts[n, 1], width)
                    for c in range(channels):
                        value = above * (before * image[top, left, c] + after * image[top, right, c])
                        value += below * (before * image[bottom, left, c] + after * image[bottom, right, c])
                        out[n, y, x, c] = value * scale[c] + offset[c]
                else:
                    row = y + shifts[n, 0]
                    column = (width - 1 - x if flips[n] else x) + shifts[n, 1]
                    if 0 <= row < height and 0 <= column < width:
                        for c in range(channels):
                            out[n, y, x, c] = image[row, column, c] * scale[c] + offset[c]
                    else:
                        for c in range(channels):
                            out[n, y, x, c] = offset[c]
