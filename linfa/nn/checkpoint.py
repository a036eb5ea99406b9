"""Checkpoints: named arrays in a safetensors file, and a JSON file that says what they are and which file is valid.

The arrays are written under a new name; only when they are whole does the JSON file, replaced in one step, point to
them. A run that is killed at any moment, or that fills the disk, leaves the checkpoint before it as it was.
"""

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
    """
    from safetensors.numpy import save as to_bytes

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Safetensors writes the memory of an array as it lies; only C order means what the header says.
    content = to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    target = folder / f"checkpoint-{step:08d}.safetensors"
    pointer = {
        "format": _FORMAT,
        "arrays": target.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "step": step,
        "facts": dict(facts),
    }
    _write_beside(target, content)
    _write_beside(folder / _POINTER, json.dumps(pointer, indent=1).encode())
    for old in folder.glob("checkpoint-*.safetensors"):
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
    try:
        pointer = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or no checkpoint: {error}") from error
    if not isinstance(pointer, dict) or pointer.get("format") != _FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version of linfa")
    try:
        name, digest = str(pointer["arrays"]), pointer["sha256"]
        facts, step = pointer["facts"], int(pointer["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error!r} is missing or wrong") from error
    target = path.with_name(name)
    if target.parent != path.parent or not target.is_file():
        raise ValueError(f"{path} is damaged: its arrays, {name!r}, do not lie beside it")
    content = target.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{target} is damaged: its checksum is not the one in {_POINTER}")
    try:
        return from_bytes(content), facts, step
    except SafetensorError as error:
        raise ValueError(f"{target} is damaged: {error}") from error


def exists(folder: str | Path) -> bool:
    """Whether `folder` holds a checkpoint."""
    return (Path(folder) / _POINTER).is_file()


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
