"""Download of the published sets, held to their checksums; needs pooch, the extra ``linfa[data]``."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from linfa._check import choice
from linfa.nn.data.sources import SOURCES, Archive, Source


def data_root(root: str | os.PathLike | None = None) -> Path:
    """Folder that holds the data sets: `root`, else the environment's LINFA_DATA, else ``data`` where one is."""
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise TypeError(f"root is {root!r}; it must be the path of a folder")
    return Path(root if root is not None else os.environ.get("LINFA_DATA") or "data").expanduser()


def download(name: str, root: str | os.PathLike | None = None) -> Path:
    """Fetch a published data set from its official address into torchvision's folder layout.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "cifar10", "cifar100"}
    root : path, optional
        Folder of the data sets; as for `load` when not given. It is made where it does not exist.

    Returns
    -------
    Path
        The folder of the set.

    Raises
    ------
    ImportError
        If pooch is not installed.
    ValueError
        If a file does not have its published SHA-256 checksum. Nothing of the set is changed then.
    OSError
        If the address cannot be reached or the disk not be written to; nothing of the set is changed then.

    Notes
    -----
    All files are fetched and checked in a folder of their own before the first one takes its place, whole.

    Examples
    --------
    >>> download("imagenet")
    Traceback (most recent call last):
    ValueError: name is 'imagenet'; it must be one of mnist, fashion-mnist, cifar10, cifar100
    """
    # Tables and bars of a terminal, which reading a set does without.
    from linfa.terminal import progress

    source = SOURCES[choice("name", name, SOURCES)]
    root = data_root(root)
    folder = root / source.folder
    # Before anything is made on disk.
    _pooch()
    root.mkdir(parents=True, exist_ok=True)
    total = sum(archive.size for archive in source.archives) / 1e6
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as staging, progress(round(total)) as update:
        done, ready = 0.0, []
        for archive in source.archives:
            path = _retrieve(
                archive, Path(staging), lambda megabytes, done=done: update(f"{name}, MB", done + megabytes)
            )
            done += archive.size / 1e6
            ready += _unpacked(path, source) if source.form == "cifar" else [path]
        folder.mkdir(parents=True, exist_ok=True)
        for path in ready:
            path.replace(folder / path.name)
            # What was unpacked from an earlier file of this name must not be read in its place.
            if path.suffix == ".gz":
                (folder / path.stem).unlink(missing_ok=True)
    return folder


def _pooch() -> object:
    try:
        import pooch
    except ImportError as error:
        raise ImportError("downloads need pooch: pip install 'linfa[data]'") from error
    return pooch


class _Bar:
    """What pooch reports its progress to."""

    total = 0

    def __init__(self, update: Callable[[float], None]) -> None:
        self._update = update
        self._done = 0

    def update(self, size: int) -> None:
        self._done += size
        self._update(self._done / 1e6)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _retrieve(archive: Archive, staging: Path, update: Callable[[float], None]) -> Path:
    """The archive in the folder `staging`, with its checksum found right."""
    pooch = _pooch()
    from requests.exceptions import RequestException

    logger = pooch.get_logger()
    level = logger.level
    # Its messages tell of our temporary folder.
    logger.setLevel("ERROR")
    try:
        name = archive.url.rpartition("/")[2]
        downloader = pooch.HTTPDownloader(progressbar=_Bar(update))
        return Path(pooch.retrieve(archive.url, f"sha256:{archive.sha256}", name, staging, downloader=downloader))
    except RequestException as error:
        raise ConnectionError(f"{archive.url} could not be fetched: {error}") from error
    except ValueError as error:
        raise ValueError(
            f"{archive.url} does not have its published checksum, so nothing of it was kept; try again later: {error}"
        ) from error
    finally:
        logger.setLevel(level)


def _unpacked(archive: Path, source: Source) -> list[Path]:
    """The files of the set, written beside the archive, which is removed."""
    made = []
    with tarfile.open(archive) as content:
        for name in (*source.train_files, *source.test_files, *source.also):
            inside = f"{source.folder}/{name}"
            # The content alone, whatever else its entry says: no owners, modes or paths.
            packed = content.extractfile(inside) if inside in content.getnames() else None
            if packed is None:
                raise ValueError(f"{archive.name} holds no {inside}; nothing of it was kept")
            path = archive.with_name(name)
            with path.open("wb") as file:
                shutil.copyfileobj(packed, file)
            made.append(path)
    archive.unlink()
    return made
