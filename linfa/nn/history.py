"""What a run was: numbers of every epoch, and what the probes measured, as a labelled data set."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from io import BytesIO
from numbers import Real
from pathlib import Path

import numpy as np

from linfa._check import choice, integer
from linfa.nn.vocabulary import MEANINGS, QUANTITIES

_FORMAT = "linfa history 1"
_COUNTS = ("epoch", "step", "probe_step")
# (what it is, unit) of what files hold beside the probes' quantities.
_WORDS = {
    "epoch": ("epoch, from 0", "1"),
    "step": ("updates made by the end of the epoch", "1"),
    "probe_step": ("updates made before the probed one", "1"),
    "train_loss": ("mean loss over the training batches of the epoch", "1"),
    "train_accuracy": ("accuracy over the training batches of the epoch", "1"),
    "test_loss": ("mean loss on the test part", "1"),
    "test_accuracy": ("accuracy on the test part", "1"),
    "learning_rate": ("learning rate of the last update of the epoch", "1"),
    "seconds": ("wall time of the epoch", "s"),
}
# Of a window of updates, whose length the settings hold.
_TRAJECTORY = frozenset(QUANTITIES["trajectory"])


class History:
    """Records of a run, one for each epoch and one for each probed update; every quantity is an attribute.

    Parameters
    ----------
    layers : list of str
        Names of the layers that the probes measure.
    settings : dict, optional
        How the run was made: plain numbers, text and lists. A `Trainer` adds threads, classes and, where the trajectory
        is probed, trajectory_rows: the number of latest probed updates that its ranks are of.

    Attributes
    ----------
    layers : list of str
    settings : dict
    epoch, step : integer arrays (epochs,)
        Number of the epoch, and updates made by its end; with them whatever else `append_epoch` was given.
    probe_step : integer array (probes,)
        Updates made before the one that was probed; with it arrays (probes, layers) of what `append_probe` was given,
        or (probes,) where it is of the whole network.

    Raises
    ------
    ValueError, TypeError
        If a layer's name is given twice or is no text, or `settings` is nothing that JSON holds.

    Examples
    --------
    >>> history = History(["dense1", "dense2"])
    >>> history.append_epoch(epoch=0, step=100, test_accuracy=0.9)
    >>> history.append_probe(50, {"error_effective_rank": np.array([3.0, 1.0])})
    >>> history
    History(1 epoch, 1 probe, 2 layers, test accuracy 0.900)
    >>> history.test_accuracy, history.error_effective_rank
    (array([0.9]), array([[3., 1.]]))
    """

    def __init__(self, layers: Iterable[str], settings: Mapping | None = None) -> None:
        if isinstance(layers, str) or not isinstance(layers, Iterable):
            raise TypeError(f"layers is {layers!r}; it must be a list of names")
        self.layers = list(layers)
        for k, name in enumerate(self.layers):
            if not isinstance(name, str) or not name:
                raise TypeError(f"layers[{k}] is {name!r}; it must be the name of a layer")
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers is {self.layers}; every name must stand once")
        if settings is not None and not isinstance(settings, Mapping):
            raise TypeError(f"settings is {settings!r}; it must be a dictionary")
        self.settings = dict(settings or {})
        try:
            json.dumps(self.settings)
        except (TypeError, ValueError) as error:
            raise TypeError(f"settings must hold plain numbers, text and lists alone: {error}") from error
        self._epochs: dict[str, list[float]] = {"epoch": [], "step": []}
        self._probes: dict[str, list[np.ndarray]] = {"probe_step": []}

    def __repr__(self) -> str:
        counts = ((len(self._epochs["epoch"]), "epoch"), (self._probe_count, "probe"), (len(self.layers), "layer"))
        said = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts]
        if self._epochs.get("test_accuracy"):
            said.append(f"test accuracy {self._epochs['test_accuracy'][-1]:.3f}")
        return f"History({', '.join(said)})"

    def __getattr__(self, name: str) -> np.ndarray:
        if not name.startswith("_") and name in self.names:
            return self._column(name)
        raise AttributeError(f"this history has no {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.names})

    @property
    def names(self) -> list[str]:
        """Every quantity recorded so far, those of epochs first."""
        return [*self._epochs, *self._probes]

    @property
    def _probe_count(self) -> int:
        return len(self._probes["probe_step"])

    def append_epoch(self, *, epoch: int, step: int, **values: float) -> None:
        """Record an epoch.

        Parameters
        ----------
        epoch, step : int
            Its number, and the updates made by its end; both above those of the epoch before.
        **values : float
            Such as train_loss, train_accuracy, test_loss, test_accuracy, learning_rate, seconds. A name that other
            epochs lack is NaN there.

        Raises
        ------
        ValueError, TypeError
            If a value is no number, epochs do not ascend, or a name is taken.
        """
        for name, value in values.items():
            self._check_name(name, self._probes)
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
                raise TypeError(f"{name} is {value!r}; it must be a number")
        counts = {"epoch": _later("epoch", epoch, self._epochs), "step": _later("step", step, self._epochs)}
        done = len(self._epochs["epoch"])
        for name in values:
            self._epochs.setdefault(name, [np.nan] * done)
        for name, column in self._epochs.items():
            column.append(counts[name] if name in counts else float(values.get(name, np.nan)))

    def append_probe(self, step: int, measured: Mapping[str, np.ndarray]) -> None:
        """Record what `linfa.nn.Probes` measured around the update after `step` others.

        Parameters
        ----------
        step : int
            Above that of the probe before.
        measured : dict of array (layers,) or ()
            The same names and shapes every time.

        Raises
        ------
        ValueError, TypeError
            If steps do not ascend, or an array does not fit the layers or the probes before.
        """
        found = {}
        for name, value in measured.items():
            self._check_name(name, self._epochs)
            array = np.array(value, np.float64)
            if array.shape not in ((), (len(self.layers),)):
                raise ValueError(
                    f"{name} has shape {array.shape}; it must be ({len(self.layers)},), or () for all layers"
                )
            if self._probe_count and name in self._probes and array.shape != self._probes[name][0].shape:
                raise ValueError(f"{name} has shape {array.shape}; before it had {self._probes[name][0].shape}")
            found[name] = array
        wanted = set(self._probes) - {"probe_step"}
        if self._probe_count and wanted != set(found):
            odd = sorted(wanted ^ set(found))[0]
            raise ValueError(f"measured {'has' if odd in found else 'lacks'} {odd!r}, unlike the probe before")
        self._probes["probe_step"].append(_later("probe_step", step, self._probes))
        for name, array in found.items():
            self._probes.setdefault(name, []).append(array)

    def table(self, *names: str) -> dict[str, np.ndarray]:
        """A tidy table, one number a row: columns step, observable, layer, value.

        ``pandas.DataFrame(history.table("test_accuracy", "error_effective_rank"))`` makes a data frame of it. `layer`
        is empty for what is of the whole network. Without names: all that epochs recorded.

        Raises ValueError for a name that is not recorded.

        Examples
        --------
        >>> history = History(["dense1", "dense2"])
        >>> history.append_probe(50, {"error_effective_rank": np.array([3.0, 1.0])})
        >>> {name: column.tolist() for name, column in history.table("error_effective_rank").items()}
        ... # doctest: +NORMALIZE_WHITESPACE
        {'step': [50, 50], 'observable': ['error_effective_rank', 'error_effective_rank'],
         'layer': ['dense1', 'dense2'], 'value': [3.0, 1.0]}
        """
        columns: dict[str, list[np.ndarray]] = {key: [] for key in ("step", "observable", "layer", "value")}
        for name in names or [n for n in self._epochs if n not in _COUNTS]:
            values = self._column(choice("observable", name, [n for n in self.names if n not in _COUNTS]))
            steps = self._column("step" if name in self._epochs else "probe_step")
            layers = np.array(self.layers if values.ndim == 2 else [""])
            steps, layers = np.broadcast_arrays(steps[:, None], layers)
            for key, column in (
                ("step", steps),
                ("observable", np.full(steps.shape, name)),
                ("layer", layers),
                ("value", values),
            ):
                columns[key].append(column.ravel())
        return {key: np.concatenate(parts) if parts else np.empty(0) for key, parts in columns.items()}

    def save(self, path: str | Path) -> Path:
        """Write the history to a NetCDF file (classic format, readable by xarray, MATLAB, R).

        Dimensions are epoch, probe_step and layer, each with its coordinate. The file appears whole or not at all.

        Returns
        -------
        Path

        Raises
        ------
        OSError
            If it cannot be written; an earlier file of the name is still whole then.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path.parent} is no folder; path must lie in an existing one")
        content = self._content()
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                # A rename must not overtake the data on its way to the disk.
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise OSError(errno.ENOSPC, f"the disk is full; {path.name} is as it was before", str(path)) from error
            raise
        finally:
            beside.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Read a history that `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, it is not such a file, or its content is incomplete or altered.
        """
        from scipy.io import netcdf_file

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}; it must be one that History.save wrote")
        try:
            with netcdf_file(path, "r", mmap=False) as file:
                form = getattr(file, "linfa_format", b"").decode()
                if form == _FORMAT:
                    description, digest = file.description.decode(), file.digest.decode()
                    columns = {n: v[...].astype(np.float64) for n, v in file.variables.items() if n != "layer"}
        except Exception as error:
            # A damaged header can fail anywhere in the reader.
            raise ValueError(f"{path} is truncated or not a NetCDF file: {error}") from error
        if form != _FORMAT:
            raise ValueError(f"{path} is a NetCDF file, but not one that History.save wrote")
        if _digest(columns, description) != digest:
            raise ValueError(f"{path} is damaged: its content does not match the digest stored with it")
        try:
            facts = json.loads(description)
            return cls.from_state({f"{facts['of'][name]}.{name}": a for name, a in columns.items()}, facts)
        except (KeyError, TypeError, ValueError) as error:
            # Whole, but written by something else under the same format: another version, or by hand.
            raise ValueError(f"{path} does not describe a history that this version reads: {error!r}") from error

    def to_state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Everything, for a checkpoint: float64 arrays by name, and facts that JSON holds."""
        arrays = {}
        for prefix, columns in (("epoch", self._epochs), ("probe", self._probes)):
            arrays |= {f"{prefix}.{name}": np.array(column, np.float64) for name, column in columns.items() if column}
        return arrays, {"layers": list(self.layers), "settings": dict(self.settings)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], facts: Mapping) -> "History":
        """The history that `to_state` described, with the same bits.

        Raises
        ------
        ValueError, TypeError, KeyError
            If arrays and facts are not of one history.
        """
        history = cls(facts["layers"], facts["settings"])
        for name, array in arrays.items():
            prefix, _, column = name.partition(".")
            if prefix not in ("epoch", "probe") or not column:
                raise ValueError(f"the state of the history has {name!r}, which is of something else")
            columns = history._epochs if prefix == "epoch" else history._probes
            values = np.array(array, np.float64)
            columns[column] = [int(v) for v in values] if column in _COUNTS else list(values)
            allowed = [()] if prefix == "epoch" or column == "probe_step" else [(), (len(history.layers),)]
            if values.shape[1:] not in allowed:
                raise ValueError(
                    f"{name} is {values.shape} in the state of the history; there are {len(history.layers)} layers"
                )
        for columns in (history._epochs, history._probes):
            lengths = {name: len(column) for name, column in columns.items()}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the state of the history has columns of different lengths: {lengths}")
        return history

    def _column(self, name: str) -> np.ndarray:
        column = self._epochs[name] if name in self._epochs else self._probes[name]
        return np.array(column, np.int64 if name in _COUNTS else np.float64)

    def _check_name(self, name: str, others: Mapping) -> None:
        """That a quantity's name can be an attribute, and is not that of something else."""
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or name.startswith("_"):
            raise ValueError(f"{name!r} is no name for a quantity; it must be letters, digits and underscores")
        if name in others or name in _COUNTS or hasattr(type(self), name) or name in ("layers", "settings", "layer"):
            raise ValueError(f"{name!r} is taken; a quantity needs a name of its own")

    def _content(self) -> bytes:
        """The file as bytes."""
        from scipy.io import netcdf_file

        held = {n: self._column(n) for n in self.names if len(self._column(n))}
        of = {name: "epoch" if name in self._epochs else "probe" for name in held}
        description = json.dumps({"layers": self.layers, "settings": self.settings, "of": of})
        buffer = BytesIO()
        file = netcdf_file(buffer, "w", version=2)
        file.linfa_format, file.title, file.description = _FORMAT, "a training run of linfa", description
        file.digest = _digest({name: column.astype(np.float64) for name, column in held.items()}, description)
        labels = [name.encode() for name in self.layers]
        if labels:
            width = max(map(len, labels))
            file.createDimension("layer", len(labels))
            file.createDimension("layer_letters", width)
            letters = file.createVariable("layer", "c", ("layer", "layer_letters"))
            letters[...] = np.array([list(label.ljust(width, b"\0")) for label in labels], np.uint8).view("S1")
            letters.long_name, letters._Encoding = "layer, in forward order", "utf-8"
        for dimension in ("epoch", "probe_step"):
            if dimension in held:
                file.createDimension(dimension, len(held[dimension]))
        for name, column in held.items():
            dimensions = ("epoch" if of[name] == "epoch" else "probe_step", "layer")[: column.ndim]
            variable = file.createVariable(name, "i4" if name in _COUNTS else "f8", dimensions)
            variable[...] = column
            words, unit = _WORDS.get(name, (MEANINGS.get(name, name.replace("_", " ")), "1"))
            if name in _TRAJECTORY and "trajectory_rows" in self.settings:
                words = f"{words}, {self.settings['trajectory_rows']} at most"
            variable.long_name, variable.units = words, unit
        file.flush()
        content = buffer.getvalue()
        file.close()
        return content


def _later(name: str, value: int, columns: Mapping[str, list]) -> int:
    # Files hold counts in 32 bits.
    value = integer(name, value, at_least=0, at_most=2**31 - 1)
    if columns[name] and value <= columns[name][-1]:
        raise ValueError(f"{name} is {value}; it must be above {columns[name][-1]}, that of the record before")
    return value


def _digest(columns: Mapping[str, np.ndarray], description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(columns):
        digest.update(f"{name}{columns[name].shape}".encode())
        digest.update(np.ascontiguousarray(columns[name], dtype="<f8").tobytes())
    return digest.hexdigest()
