"""Data sets: images and labels, a training and a test part; the bundled, the published, and one's own."""

import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path

import numpy as np

from linfa._check import flag, integer, nearest, real_number, seed_value
from linfa._random import stream
from linfa.digits import load_digits
from linfa.nn.data.arrays import blocks, image_array, label_array
from linfa.nn.data.fetch import data_root, download
from linfa.nn.data.files import read_arrays, read_published
from linfa.nn.data.sources import SOURCES, Source

NAMES = ("digits", *SOURCES)

# Of 1,797 digits, a fifth to test on.
_DIGITS_TEST = 360
# Luminance of red, green and blue in thousandths (ITU-R BT.601).
_LUMINANCE = np.array([299, 587, 114])


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels to train and to test on.

    Parameters
    ----------
    name : str
    train_images : array (N, H, W, C), (N, H, W) or (N, features)
        uint8 with pixels 0 … 255, float32 or float64; kept in that type, channels last, without a copy. Images without
        an axis for channels get one of length 1.
    train_labels : array (N,) of integers
        From 0 to classes − 1.
    test_images, test_labels : arrays
        Of the same type and the same size of image.
    classes : int

    Raises
    ------
    ValueError, TypeError
        If shapes or types do not fit together, a pixel is not finite, or a label is out of range.

    Examples
    --------
    >>> images = np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3)
    >>> Dataset("mine", images, [0, 1, 0, 1], images[:2], [0, 1], classes=2)
    Dataset(mine: 4 training and 2 test images of 2 × 2 × 3, uint8, 2 classes)
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int

    def __post_init__(self) -> None:
        classes = integer("classes", self.classes, at_least=2)
        object.__setattr__(self, "classes", classes)
        for part in ("train", "test"):
            images = image_array(f"{part}_images", getattr(self, f"{part}_images"))
            labels = label_array(f"{part}_labels", getattr(self, f"{part}_labels"), len(images), classes)
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
        train, test = self.train_images, self.test_images
        if train.shape[1:] != test.shape[1:]:
            raise ValueError(f"test_images are {test.shape[1:]} each; they must be {train.shape[1:]}, as train_images")
        # One may be 0 … 255 where the other is 0 … 1.
        if train.dtype != test.dtype:
            raise TypeError(f"test_images hold {test.dtype}; they must hold {train.dtype}, as train_images do")

    def __repr__(self) -> str:
        size = " × ".join(map(str, self.train_images.shape[1:]))
        return (
            f"Dataset({self.name}: {len(self.train_images):,} training and {len(self.test_images):,} test images of "
            f"{size}, {self.train_images.dtype}, {self.classes} classes)"
        )

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel (or feature) over the training images, (C,); on the scale 0 … 1 for uint8."""
        return self._moments[0]

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel (or feature) over the training images, (C,), on the scale of `mean`.

        1 for a constant channel, so that one may divide by it.
        """
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        images = self.train_images
        channels = images.shape[-1]
        count = images.size // channels
        # Sums run over images first: along rows, that is, and not along a handful of channels.
        rows = images.reshape(len(images), -1)
        mean = sum(block.sum(0, dtype=np.float64) for block in blocks(rows)).reshape(-1, channels).sum(0) / count
        squares = np.zeros(rows.shape[1])
        for block in blocks(rows):
            # About the mean, so that nothing cancels.
            apart = block - np.tile(mean, rows.shape[1] // channels)
            squares += np.einsum("nk,nk->k", apart, apart)
        std = np.sqrt(squares.reshape(-1, channels).sum(0) / count)
        # The mean of equal numbers may be off by rounding, and their spread be that.
        lowest, highest = (f(rows, 0).reshape(-1, channels) for f in (np.min, np.max))
        std = np.where(lowest.min(0) == highest.max(0), 0.0, std)
        unit = 255.0 if images.dtype == np.uint8 else 1.0
        return mean / unit, np.where(std > 0, std / unit, 1.0)

    def split(self, validation: int | float, seed: int = 0) -> "Dataset":
        """Hold out a part of the training set, to choose hyperparameters on; the test set stays out of sight.

        Parameters
        ----------
        validation : int or float
            Number of images to hold out, or their fraction of the training set (below 1).
        seed : int
            Which images are drawn; each class gives its share, to the nearest image.

        Returns
        -------
        Dataset
            Its test part is what was held out; both parts keep the order of the training set.

        Raises
        ------
        ValueError, TypeError
            If nothing would be held out, or nothing left.

        Examples
        --------
        >>> load("digits").split(0.2, seed=1)
        Dataset(digits: 1,150 training and 287 test images of 8 × 8 × 1, float32, 10 classes)
        """
        count = len(self.train_labels)
        if isinstance(validation, Integral):
            held = integer("validation", validation, at_least=1, at_most=count - 1)
        else:
            fraction = real_number("validation", validation, above=0.0)
            held = round(fraction * count)
            if not 0 < held < count:
                raise ValueError(f"validation is {fraction:g} of {count} images; it must leave some on either side")
        inside, outside = _partition(self.train_labels, held, stream(seed_value("seed", seed), "validation"))
        images, labels = self.train_images, self.train_labels
        return Dataset(self.name, images[inside], labels[inside], images[outside], labels[outside], self.classes)

    def first_classes(self, classes: int) -> "Dataset":
        """The images of classes 0 … `classes` − 1 alone, in the same order.

        Raises ValueError when there are fewer classes, or when a part has no image of them.

        Examples
        --------
        >>> load("digits").first_classes(2)
        Dataset(digits: 287 training and 73 test images of 8 × 8 × 1, float32, 2 classes)
        """
        classes = integer("classes", classes, at_least=2, at_most=self.classes)
        if classes == self.classes:
            return self
        train, test = self.train_labels < classes, self.test_labels < classes
        return Dataset(
            self.name,
            self.train_images[train],
            self.train_labels[train],
            self.test_images[test],
            self.test_labels[test],
            classes,
        )

    def grayscale(self) -> "Dataset":
        """The same set in one channel, the luminance 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

        uint8 is rounded to the nearest level. A set of one channel is returned as it is; any other number than 3
        raises ValueError.

        Examples
        --------
        >>> red = np.full((2, 1, 1, 3), [100, 0, 0], np.uint8)
        >>> Dataset("red", red, [0, 1], red, [0, 1], 2).grayscale().train_images.ravel()
        array([30, 30], dtype=uint8)
        """
        shape = self.train_images.shape
        if len(shape) == 4 and shape[-1] == 1:
            return self
        if len(shape) != 4 or shape[-1] != 3:
            raise ValueError(f"the images are {shape[1:]} each; a grayscale is made of (H, W, 3)")
        return replace(self, train_images=_luminance(self.train_images), test_images=_luminance(self.test_images))


def load(
    name: str = "digits",
    root: str | os.PathLike | None = None,
    classes: int | None = None,
    download_missing: bool = False,
) -> Dataset:
    """A data set by name, or one's own from an ``.npz`` file.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100"} or path of an ``.npz`` file
        The digits come with linfa: 8 × 8, float32 from 0 to 1, 1,437 to train and 360 to test on, each class by its
        share. The published sets are read from torchvision's folder layout. An ``.npz`` file holds x_train, y_train,
        x_test, y_test as for `Dataset`, labels from 0 without gaps.
    root : path, optional
        Folder that holds ``cifar-10-batches-py``, ``cifar-100-python``, ``FashionMNIST/raw`` or ``MNIST/raw``; else the
        environment variable LINFA_DATA, else ``data`` in the working directory.
    classes : int, optional
        Keep the first so many classes alone.
    download_missing : bool
        Fetch a published set that is not there (`linfa.nn.data.download`).

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        If the set is not there; the message says where it was looked for, and how to get it.
    ValueError, TypeError
        If a file is empty, truncated, damaged or holds something else, or an argument is wrong.

    Warns
    -----
    UserWarning
        If a published set has fewer images than were published.

    Examples
    --------
    >>> load("digits")
    Dataset(digits: 1,437 training and 360 test images of 8 × 8 × 1, float32, 10 classes)
    """
    fetch = flag("download_missing", download_missing)
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(f"name is {name!r}; it must be one of {', '.join(NAMES)}, or the path of an .npz file")
    path = Path(name).expanduser()
    if name == "digits":
        dataset = _digits()
    elif path.suffix == ".npz":
        parts, found = read_arrays(path)
        if found < 2:
            raise ValueError(f"y_train in {path} has one class alone; there must be at least two to tell apart")
        dataset = Dataset(path.stem, *parts, found)
    else:
        if name not in SOURCES:
            hint = nearest(str(name), NAMES)
            raise ValueError(
                f"name is {str(name)!r}; it must be one of {', '.join(NAMES)}, or the path of an .npz file{hint}"
            )
        dataset = _published(name, root, fetch)
    return dataset if classes is None else dataset.first_classes(classes)


def _digits() -> Dataset:
    images, labels = load_digits()
    # Sixteenths: exact in float32.
    images = images.astype(np.float32).reshape(-1, 8, 8, 1)
    train, test = _partition(labels, _DIGITS_TEST, stream(0, "validation"))
    return Dataset("digits", images[train], labels[train], images[test], labels[test], 10)


def _published(name: str, root: str | os.PathLike | None, fetch: bool) -> Dataset:
    source = SOURCES[name]
    folder = data_root(root) / source.folder
    if not folder.is_dir() and fetch:
        download(name, root)
    if not folder.is_dir():
        said = "by root" if root is not None else "by LINFA_DATA" if os.environ.get("LINFA_DATA") else "by default"
        raise FileNotFoundError(
            f"{name} is not there: no folder {folder.resolve()} (looked for {said}). Name the folder that holds "
            f"{source.folder} as root or in the environment variable LINFA_DATA, or fetch the set with "
            f"pip install 'linfa[data]' and linfa.nn.data.download({name!r})"
        )
    dataset = Dataset(name, *read_published(folder, source), source.classes)
    _warn_of_parts(dataset, source)
    return dataset


def _warn_of_parts(dataset: Dataset, source: Source) -> None:
    """Numbers from a part of a set are not comparable to those that others report."""
    found = (len(dataset.train_labels), len(dataset.test_labels))
    whole = (source.train_count, source.test_count)
    if found != whole:
        warnings.warn(
            f"this {dataset.name} has {found[0]:,} training and {found[1]:,} test images; the published set has "
            f"{whole[0]:,} and {whole[1]:,}",
            stacklevel=4,
        )


def _partition(labels: np.ndarray, held: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices that stay and indices held out, in order; each class holds out its share, by largest remainders."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares, remainders = np.divmod(held * sizes, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: held - shares.sum()]] += 1
    out = np.zeros(len(labels), bool)
    for label, share in zip(classes, shares, strict=True):
        out[generator.permutation(np.flatnonzero(labels == label))[:share]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


def _luminance(images: np.ndarray) -> np.ndarray:
    gray = np.empty((*images.shape[:-1], 1), images.dtype)
    for block, made in zip(blocks(images), blocks(gray), strict=True):
        if images.dtype == np.uint8:
            made[..., 0] = (block.astype(np.int32) @ _LUMINANCE + 500) // 1000
        else:
            made[..., 0] = block @ (_LUMINANCE / 1000)
    return gray
