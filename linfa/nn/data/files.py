"""Readers of data files: CIFAR's batches, MNIST's idx files, arrays of one's own."""

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from linfa.nn.data.arrays import image_array, label_array
from linfa.nn.data.pickles import read_batch
from linfa.nn.data.sources import Source

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # training images and labels, test images and labels

_SIDE = {"cifar": 32, "idx": 28}
_OWN = ("x_train", "y_train", "x_test", "y_test")


def read_published(folder: Path, source: Source) -> Parts:
    """A published set from its files: images (N, H, W, C) uint8 and labels (N,) int64, training part first.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, empty, truncated, or does not hold what the set's files hold.
    """
    read = _cifar if source.form == "cifar" else _idx_pair
    train = read(folder, source.train_files, source, source.train_count)
    return *train, *read(folder, source.test_files, source, source.test_count)


def _cifar(folder: Path, names: tuple[str, ...], source: Source, limit: int) -> tuple[np.ndarray, np.ndarray]:
    side = _SIDE["cifar"]
    images, labels = [], []
    for path in (folder / name for name in names):
        batch = read_batch(path)
        for key in ("data", source.labels):
            if key not in batch:
                found = ", ".join(str(k)[:30] for k in list(batch)[:10]) or "nothing"
                raise ValueError(f"{path} holds {found}; a batch of this set holds data and {source.labels}")
        pixels, numbers = batch["data"], batch[source.labels]
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3 * side**2:
            found = getattr(pixels, "shape", type(pixels).__name__)
            raise ValueError(f"data in {path} is {found}; it must be (images, {3 * side**2})")
        if not isinstance(numbers, list) or not all(type(n) is int for n in numbers):
            raise ValueError(f"{source.labels} in {path} must be a list of integers, one for each image")
        _within(path, len(pixels), limit)
        labels.append(label_array(f"{source.labels} in {path}", numbers, len(pixels), source.classes))
        # Stored plane by plane; wanted pixel by pixel.
        images.append(np.ascontiguousarray(pixels.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)))
    return np.concatenate(images), np.concatenate(labels)


def _idx_pair(folder: Path, names: tuple[str, ...], source: Source, limit: int) -> tuple[np.ndarray, np.ndarray]:
    (prefix,) = names
    side = _SIDE["idx"]
    images, path = _idx(folder, f"{prefix}-images-idx3-ubyte", (side, side), limit)
    labels, labels_path = _idx(folder, f"{prefix}-labels-idx1-ubyte", (), limit)
    if len(labels) != len(images):
        raise ValueError(f"{labels_path} has {len(labels)} labels; {path} has {len(images)} images")
    labels = label_array(f"the content of {labels_path}", labels, len(images), source.classes)
    return images[..., np.newaxis], labels


def _idx(folder: Path, name: str, shape: tuple[int, ...], limit: int) -> tuple[np.ndarray, Path]:
    """An idx file of unsigned bytes, plain or compressed: (N, *shape), and the path it was read from.

    Four bytes 0, 0, 8 (unsigned byte), number of axes; the size of each axis, four bytes, highest first; the data.
    """
    plain, compressed = folder / name, folder / f"{name}.gz"
    if not plain.is_file() and not compressed.is_file():
        raise FileNotFoundError(f"there is no file {plain}, nor {compressed.name} beside it; it is a part of the set")
    path, opened = (plain, open) if plain.is_file() else (compressed, gzip.open)
    axes = 1 + len(shape)
    try:
        with opened(path, "rb") as file:
            header = file.read(4 + 4 * axes)
            if not header:
                raise ValueError(f"{path} is empty; fetch it again")
            if len(header) < 4 + 4 * axes or header[:4] != bytes([0, 0, 8, axes]):
                raise ValueError(f"{path} is no idx file of bytes with {axes} axes: it begins with {header[:4].hex()}")
            count, *sizes = (int(n) for n in np.frombuffer(header[4:], ">u4"))
            if tuple(sizes) != shape:
                raise ValueError(f"{path} holds images of {tuple(sizes)} pixels; this set has {shape}")
            _within(path, count, limit)
            wanted = int(count * np.prod(shape, dtype=int))
            # One byte more, so that a file that goes on is found out.
            data = file.read(wanted + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); fetch it again") from error
    if len(data) != wanted:
        found = f"only {len(data)}" if len(data) < wanted else "more than that"
        raise ValueError(
            f"{path} is truncated or damaged: {wanted} bytes of data announced, {found} found; fetch it again"
        )
    return np.frombuffer(data, np.uint8).reshape(count, *shape), path


def _within(path: Path, count: int, limit: int) -> None:
    if not 0 < count <= limit:
        raise ValueError(f"{path} holds {count} images; it must hold between 1 and {limit}")


def read_arrays(path: Path) -> tuple[Parts, int]:
    """One's own arrays from an ``.npz`` file, and the number of classes, which is the highest label plus one.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If there is no such file, it is no ``.npz`` file of plain arrays, or its arrays are no images and labels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; it must be an .npz file with {', '.join(_OWN)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; it must be an .npz file with {', '.join(_OWN)}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is truncated or no .npz file; numpy.savez writes one from {', '.join(_OWN)}")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as content:
            names = content.files
            for name in _OWN:
                if name in names:
                    arrays[name] = content[name]
    except Exception as error:
        raise ValueError(f"{path} cannot be read as an .npz file of plain arrays: {error}") from error
    if missing := [name for name in _OWN if name not in arrays]:
        found = ", ".join(names) or "nothing"
        raise ValueError(f"{path} holds {found}, without {', '.join(missing)}; it must hold {', '.join(_OWN)}")
    train, test = (image_array(f"{name} in {path}", arrays[name]) for name in ("x_train", "x_test"))
    train_labels = label_array(f"y_train in {path}", arrays["y_train"], len(train))
    present = np.unique(train_labels)
    # A label far above the others would otherwise stand for as many classes that nobody has.
    if len(present) != present[-1] + 1:
        absent = next(k for k, label in enumerate(present) if k != label)
        raise ValueError(
            f"y_train in {path} goes up to {present[-1]} but has no image of class {absent}; "
            "number the classes from 0, without gaps"
        )
    test_labels = label_array(f"y_test in {path}", arrays["y_test"], len(test), len(present))
    return (train, train_labels, test, test_labels), len(present)
