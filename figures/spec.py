"""What a figure is: numbers that take time, a drawing that does not, and the words that go with it."""

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from matplotlib.figure import Figure

import linfa
from linfa.plot import styled

_FORMAT = "linfa figure numbers 1"
Numbers = dict[str, np.ndarray]


@dataclass(frozen=True)
class FigureSpec:
    """One figure of the set.

    Attributes
    ----------
    name, title : str
        How it is called, and its heading.
    words : str
        What is seen and why, in words that a student follows.
    claims : tuple of str
        The claims whose two sides it draws.
    compute : callable
        ``compute(quick, seed)`` returns the numbers, arrays by name: everything that takes time.
    draw : callable
        ``draw(numbers)`` returns the figure.
    animate : callable, optional
        ``animate(numbers)`` returns a `matplotlib.animation.Animation`.
    records : tuple of str
        Files of recorded runs, in the folder ``data`` beside this module, from which the full size is drawn.
    """

    name: str
    title: str
    words: str
    claims: tuple[str, ...]
    compute: Callable[[bool, int], Numbers]
    draw: Callable[[Numbers], Figure]
    animate: Callable[[Numbers], object] | None = None
    records: tuple[str, ...] = ()

    def make(self, quick: bool = False, seed: int = 0, cache: str | Path | None = None) -> Figure:
        """The figure, from numbers computed now or read from `cache`.

        Parameters
        ----------
        quick : bool
            Small sizes: the same picture with fewer points, in a second or so.
        seed : int
        cache : path, optional
            File that keeps the numbers with their parameters. Numbers of another size, seed or version are computed
            again; a file of something else is refused.

        Raises
        ------
        ValueError
            If `cache` exists and holds no figure numbers.
        """
        numbers = self.numbers(quick, seed, cache)
        return styled(lambda: self.draw(numbers))

    def numbers(self, quick: bool = False, seed: int = 0, cache: str | Path | None = None) -> Numbers:
        """The numbers behind the figure; see `make`."""
        if cache is None:
            return self.compute(quick, seed)
        path, wanted = Path(cache), self._parameters(quick, seed)
        if path.exists():
            found, numbers = _read(path)
            if found == wanted:
                return numbers
            print(f"{path} holds numbers of another size, seed or version; computing them again", file=sys.stderr)
        numbers = self.compute(quick, seed)
        _write(path, wanted, numbers)
        return numbers

    def _parameters(self, quick: bool, seed: int) -> dict:
        """Everything on which the numbers depend, the code that computes them and recorded runs included."""
        digest = hashlib.sha256(Path(inspect.getfile(self.compute)).read_bytes())
        for path in (Path(__file__).with_name("data") / name for name in self.records):
            digest.update(path.read_bytes() if path.is_file() else b"")
        return {
            "format": _FORMAT,
            "figure": self.name,
            "quick": bool(quick),
            "seed": int(seed),
            "linfa": linfa.__version__,
            "source": digest.hexdigest(),
        }


def _read(path: Path) -> tuple[dict, Numbers]:
    try:
        with np.load(path, allow_pickle=False) as content:
            parameters = json.loads(str(content["parameters"]))
            numbers = {name: content[name] for name in content.files if name != "parameters"}
    except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
        raise ValueError(f"{path} holds no numbers of a figure: {error}; name another cache or remove it") from error
    if not isinstance(parameters, dict) or parameters.get("format") != _FORMAT:
        raise ValueError(f"{path} holds no numbers of a figure; name another cache or remove it")
    return parameters, numbers


def _write(path: Path, parameters: dict, numbers: Numbers) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, parameters=json.dumps(parameters), **numbers)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
