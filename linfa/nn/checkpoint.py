"""Checkpoints: named arrays in a safetensors file, and a JSON file that says what they are and which file is valid.

The arrays are written under a new name; only when they are whole does the JSON file, replaced in one step, point to
them. A run that is killed at any moment, or that fills the disk, leaves the checkpoint before it as it was.
"""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_FORMAT = "linfa checkpoint 1"
_POINTER = "checkpoint.json"


def save(folder: str | Path, arrays: Mapping[str, np.ndarray], facts: Mapping, step: int) -> Path:
    """Write a checkpoint.

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    arrays : dict of array
    facts : dict
        Plain numbers, text and lists: what JSON holds.
    step : int
        Number of updates made; the file of arrays is named by it.

    Returns
    -------
    Path
        The JSON file.

    Raises
    ------
    OSError
        If it cannot be written; an earlier checkpoint is still whole then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = save(folder, {"w": np.array([1.0, 2.0])}, {"rate": 0.1}, step=3)
    ...     arrays, facts, step = load(folder)
    >>> path.name, arrays["w"].tolist(), facts, step
    ('checkpoint.json', [1.0, 2.0], {'rate': 0.1}, 3)
    """
    from safetensors.numpy import save as to_bytes

    folder = make_folder(folder)
    # Safetensors writes the memory of an array as it lies; only C order means what the header says.
    content = to_bytes({name: np.asarray(array, order="C") for name, array in arrays.items()})
    digest = hashlib.sha256(content).hexdigest()
    # Named by its content too: a file that the JSON file points to is never written anew.
    target = folder / f"checkpoint-{step:08d}-{digest[:8]}.safetensors"
    pointer = {"format": _FORMAT, "arrays": target.name, "sha256": digest, "step": step, "facts": dict(facts)}
    described = json.dumps(pointer | {"digest": _digest(pointer)}, indent=1).encode()
    known = target.exists()
    try:
        _write_beside(target, content)
        _write_beside(folder / _POINTER, described)
    except OSError as error:
        if not known:
            target.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            kept = "the checkpoint before is as it was" if exists(folder) else "there is no checkpoint before"
            raise OSError(errno.ENOSPC, f"the disk is full; {kept}", str(folder)) from error
        raise
    # Those before, and what a run that was killed while it wrote has left.
    for old in (*folder.glob("checkpoint-*.safetensors"), *folder.glob(".checkpoint*.part")):
        if old != target:
            old.unlink(missing_ok=True)
    return folder / _POINTER


def load(folder: str | Path) -> tuple[dict[str, np.ndarray], dict, int]:
    """Arrays, facts and step of the checkpoint in `folder`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or no checkpoint.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = Path(folder) / _POINTER
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint in {folder}: no file {_POINTER}")
    described = path.read_bytes()
    try:
        pointer = json.loads(described)
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or no checkpoint: {error}") from error
    if not isinstance(pointer, dict) or pointer.get("format") != _FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version of linfa")
    if pointer.pop("digest", "") != _digest(pointer):
        raise ValueError(f"{path} is damaged: its content does not match the digest stored with it")
    try:
        name, digest = str(pointer["arrays"]), pointer["sha256"]
        facts, step = pointer["facts"], int(pointer["step"])
    except (KeyError, TypeError, ValueError) as error:
        # Whole, but written by something else under the same format.
        raise ValueError(f"{path} is no checkpoint: {error!r} is missing or wrong") from error
    target = path.with_name(name)
    lost = f"{path} is damaged: its arrays, {name!r}, do not lie beside it"
    if target.parent != path.parent:
        raise ValueError(lost)
    try:
        content = target.read_bytes()
    except FileNotFoundError as error:
        # Unless a run that is under way has replaced both since.
        if path.read_bytes() != described:
            return load(folder)
        raise ValueError(lost) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{target} is damaged: its checksum is not the one in {_POINTER}")
    try:
        return from_bytes(content), facts, step
    except SafetensorError as error:
        raise ValueError(f"{target} is damaged: {error}") from error


def exists(folder: str | Path) -> bool:
    """Whether `folder` holds a checkpoint."""
    return (Path(folder) / _POINTER).is_file()


def make_folder(folder: str | Path) -> Path:
    """The folder, made where it does not exist.

    Raises
    ------
    OSError
        If it cannot be made, or is a file.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, "there is a file where a folder is to be", str(folder)) from error
    return folder


def _digest(pointer: Mapping) -> str:
    # As it comes back from the file, where all keys are text.
    plain = json.loads(json.dumps(pointer))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _write_beside(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            # A rename must not overtake the data on its way to the disk.
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
