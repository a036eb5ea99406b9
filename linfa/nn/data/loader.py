"""Batches: their order from the seed alone, made ahead of time by a thread."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from linfa._check import flag, integer, real_array, seed_value
from linfa._random import stream
from linfa.nn.data.arrays import image_array, label_array
from linfa.nn.data.augment import Augmentation, Draws, assemble, unchanged

Batch = tuple[np.ndarray, np.ndarray]

# Batches made ahead: one is enough to keep up with the training, two also smooth out a slow one.
_AHEAD = 2


class Loader:
    """Normalised batches of a set of images, shuffled and augmented anew every epoch.

    Parameters
    ----------
    images : array (N, H, W, C), (N, H, W) or (N, features)
        uint8, float32 or float64; converted batch by batch, never as a whole.
    labels : array (N,) of integers
    batch : int
        Images in a batch.
    seed : int
        The order of an epoch depends on (seed, epoch), what a batch draws on (seed, epoch, number of the batch).
    augment : Augmentation, optional
        Random changes of the images; none when not given.
    mean, std : float or array (C,), optional
        x = (pixel − mean)/std for each channel, or feature; uint8 pixels count as pixel/255. 0 and 1 when not given.
    dtype : numpy.float32 or numpy.float64
        Type of the batches.
    drop_last : bool
        Leave out the last batch of an epoch where it is smaller than the others.
    prefetch : bool
        Make batches in a thread while the last one is in use. The batches are the same either way.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    >>> loader = Loader(images, np.arange(10), batch=4, seed=1)
    >>> len(loader), [y.tolist() for x, y in loader.epoch(0)]
    (2, [[3, 2, 6, 0], [5, 4, 7, 9]])
    >>> [y.tolist() for x, y in loader.epoch(0, start=1)]
    [[5, 4, 7, 9]]
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch: int = 128,
        seed: int = 0,
        *,
        augment: Augmentation | None = None,
        mean: float | np.ndarray | None = None,
        std: float | np.ndarray | None = None,
        dtype: type = np.float32,
        drop_last: bool = True,
        prefetch: bool = True,
    ) -> None:
        images = image_array("images", images)
        self._labels = label_array("labels", labels, len(images))
        self._shape = images.shape[1:]
        if augment is not None:
            if not isinstance(augment, Augmentation):
                raise TypeError(f"augment is {augment!r}; it must be an Augmentation, or None")
            if len(self._shape) != 3:
                raise ValueError(f"augment is given, but images are vectors of {self._shape[0]} numbers, without sides")
            augment.fits(*self._shape[:2])
        # The kernel takes vectors as images of one pixel with many channels.
        self._images = images if images.ndim == 4 else images.reshape(len(images), 1, 1, -1)
        self._augment = augment
        self.batch = integer("batch", batch, at_least=1)
        self.seed = seed_value("seed", seed)
        self.drop_last = flag("drop_last", drop_last)
        self.prefetch = flag("prefetch", prefetch)
        if self.drop_last and self.batch > len(images):
            raise ValueError(f"batch is {self.batch}; it must be at most {len(images)}, the number of images")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {self.dtype}; it must be float32 or float64")
        centre = _per_channel("mean", 0.0 if mean is None else mean, self._shape[-1])
        spread = _per_channel("std", 1.0 if std is None else std, self._shape[-1])
        if not (spread > 0).all():
            raise ValueError(f"std holds {spread.min():g}; every entry must be above 0")
        unit = 255.0 if images.dtype == np.uint8 else 1.0
        self._scale = (1.0 / (unit * spread)).astype(self.dtype)
        self._offset = (-centre / spread).astype(self.dtype)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        whole, rest = divmod(len(self._labels), self.batch)
        return whole if self.drop_last or not rest else whole + 1

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Batches (x, y) of one epoch, from batch `start` on.

        Parameters
        ----------
        number : int
            Epoch, from 0.
        start : int
            The first batch to give, from 0 to the number of batches: a run that was broken off goes on with the very
            batches that it would have had.

        Yields
        ------
        x : array (batch, H, W, C) or (batch, features)
        y : int64 array (batch,)

        Raises
        ------
        ValueError, TypeError
            If an argument is out of range.
        """
        number = integer("number", number, at_least=0)
        start = integer("start", start, at_least=0, at_most=len(self))
        order = stream(self.seed, "data", number).permutation(len(self._labels))

        def make(index: int) -> Batch:
            rows = self._rows(order, index)
            if self._augment is None:
                return self._assembled(rows, unchanged(len(rows)))
            generator = stream(self.seed, "data", number, index)
            return self._assembled(rows, self._augment.draw(generator, len(rows), *self._shape[:2]))

        return self._batches(make, range(start, len(self)))

    def in_order(self) -> Iterator[Batch]:
        """All images once, in the order in which they are stored, without augmentation: to evaluate on."""
        order = np.arange(len(self._labels))

        def make(index: int) -> Batch:
            rows = self._rows(order, index)
            return self._assembled(rows, unchanged(len(rows)))

        return self._batches(make, range(-(-len(order) // self.batch)))

    def _rows(self, order: np.ndarray, index: int) -> np.ndarray:
        return order[index * self.batch : (index + 1) * self.batch]

    def _assembled(self, rows: np.ndarray, draws: Draws) -> Batch:
        x = np.empty((len(rows), *self._images.shape[1:]), self.dtype)
        assemble(self._images, rows, *draws, self._scale, self._offset, x)
        return x.reshape(len(rows), *self._shape), self._labels[rows]

    def _batches(self, make: Callable[[int], Batch], indices: range) -> Iterator[Batch]:
        if not self.prefetch:
            yield from map(make, indices)
            return
        # Left in any way, by the end, an error or a consumer who breaks off, the thread ends with its current batch.
        with ThreadPoolExecutor(1, thread_name_prefix="linfa-data") as pool:
            waiting = deque()
            try:
                for index in indices:
                    waiting.append(pool.submit(make, index))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _per_channel(name: str, value: object, channels: int) -> np.ndarray:
    array = real_array(name, value, (0, 1))
    if array.ndim == 1 and len(array) != channels:
        raise ValueError(f"{name} has {len(array)} entries; it must be one number, or {channels}, one for each channel")
    return np.broadcast_to(array, (channels,))
