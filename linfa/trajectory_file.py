"""A trajectory in a file: what makes one, as named arrays and a description, under a digest of both."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from linfa.feedback import Feedback, feedback_from_dict
from linfa.lifting import ReducedRun
from linfa.tasks import LinearTask

_FORMAT = "linfa trajectory 1"
# A run in reduced coordinates, which holds other arrays.
_REDUCED_FORMAT = "linfa trajectory 2"


def write(
    path: str | Path,
    task: LinearTask,
    feedback: Feedback | list[Feedback],
    t: np.ndarray,
    weights: list[np.ndarray] | ReducedRun,
    feedback_weights: dict[str, list[np.ndarray]],
    *,
    source: str,
    settings: dict,
    status: str | np.ndarray,
    stopped_at: float | np.ndarray,
) -> Path:
    """Write the arguments of a `linfa.Trajectory` to a NetCDF file, which appears whole or not at all.

    Parameters
    ----------
    path : str or Path
        In an existing folder.
    task, feedback, t, weights, feedback_weights, source, settings, status, stopped_at
        As `linfa.Trajectory` takes them.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from scipy.io import netcdf_file

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder; path must lie in an existing one")
    reduced = isinstance(weights, ReducedRun)
    members = weights.members if reduced else len(weights[0]) if weights[0].ndim == 4 else None
    arrays = {"t": np.asarray(t, float), "stopped_at": np.atleast_1d(np.asarray(stopped_at, float))}
    arrays |= weights.arrays() if reduced else _named(weights, feedback_weights, members is not None)
    arrays |= _of_task(task)
    arrays = {name: np.ascontiguousarray(a, dtype=np.float64) for name, a in arrays.items() if a.size}
    description = json.dumps(
        {
            "task": {"name": task.name, "whitened": task.whitened, "notes": list(task.notes)},
            "feedback": [f.to_dict() for f in (feedback if isinstance(feedback, list) else [feedback])],
            "one_feedback": not isinstance(feedback, list),
            "source": source,
            "settings": settings,
            "status": np.asarray(status).tolist(),
            "members": members,
        }
    )
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with netcdf_file(beside, "w", version=2) as file:
            file.linfa_format = _REDUCED_FORMAT if reduced else _FORMAT
            file.description = description
            file.digest = _digest(arrays, description)
            for name, array in arrays.items():
                dimensions = []
                for axis, size in enumerate(array.shape):
                    dimensions.append(f"{name}_{axis}")
                    file.createDimension(dimensions[-1], size)
                file.createVariable(name, "f8", tuple(dimensions))[...] = array
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _named(
    weights: list[np.ndarray], feedback_weights: dict[str, list[np.ndarray]], members: bool
) -> dict[str, np.ndarray]:
    """Weights and feedback by the names they have in a file; feedback that never changes is kept once."""
    arrays = {f"W{k + 1}": w for k, w in enumerate(weights)}
    time_axis = int(members)
    for key, matrices in feedback_weights.items():
        for h, m in enumerate(matrices):
            fixed = m.strides[time_axis] == 0
            arrays[f"{key}{h + 1}{'_fixed' if fixed else ''}"] = m.take(0, axis=time_axis) if fixed else m
    return arrays


def _of_task(task: LinearTask) -> dict[str, np.ndarray]:
    arrays = {"sigma_yx": task.sigma_yx, "left": task.left, "strengths": task.strengths, "right": task.right}
    for name in ("sigma_y", "whitening"):
        if getattr(task, name) is not None:
            arrays[name] = getattr(task, name)
    if not task.whitened:
        arrays["sigma_x"] = task.sigma_x
    return arrays


def read(path: str | Path) -> dict:
    """The arguments of the `linfa.Trajectory` that `write` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is not such a file, or its content is incomplete or altered.
    """
    from scipy.io import netcdf_file

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; it must be one that Trajectory.save wrote")
    try:
        with netcdf_file(path, "r", mmap=False) as file:
            form = getattr(file, "linfa_format", b"").decode()
            if form in (_FORMAT, _REDUCED_FORMAT):
                description = file.description.decode()
                digest = file.digest.decode()
                arrays = {name: v[...].astype(np.float64) for name, v in file.variables.items()}
    except Exception as error:
        # A damaged header can fail anywhere in the reader.
        raise ValueError(f"{path} is truncated or not a NetCDF file: {error}") from error
    if form not in (_FORMAT, _REDUCED_FORMAT):
        raise ValueError(f"{path} is a NetCDF file, but not one that Trajectory.save wrote")
    if _digest(arrays, description) != digest:
        raise ValueError(f"{path} is damaged: its content does not match the digest stored with it")
    try:
        return _arguments(arrays, json.loads(description), reduced=form == _REDUCED_FORMAT)
    except (KeyError, TypeError, ValueError) as error:
        # Whole, but written by something else under the same format: another version, or by hand.
        raise ValueError(f"{path} does not describe a trajectory that this version reads: {error!r}") from error


def _arguments(arrays: dict[str, np.ndarray], described: dict, *, reduced: bool) -> dict:
    task = LinearTask(arrays["sigma_yx"], arrays.get("sigma_x"), arrays.get("sigma_y"))
    if "strengths" in arrays:
        task._modes = (arrays["left"], arrays["strengths"], arrays["right"])
    task.name, task.notes = described["task"]["name"], tuple(described["task"]["notes"])
    task.whitening = arrays.get("whitening")
    feedback = [feedback_from_dict(f) for f in described["feedback"]]
    members = described["members"]
    if reduced:
        weights, feedback_weights = ReducedRun.from_arrays(arrays, described["settings"]["direct"]), None
    else:
        weights, feedback_weights = _matrices_of(arrays, members is not None)
    status, stopped = described["status"], arrays["stopped_at"]
    return {
        "task": task,
        "feedback": feedback[0] if described["one_feedback"] else feedback,
        "t": arrays["t"],
        "weights": weights,
        "feedback_weights": feedback_weights,
        "source": described["source"],
        "settings": described["settings"],
        "status": status if members is None else np.array(status),
        "stopped_at": float(stopped[0]) if members is None else stopped,
    }


def _matrices_of(arrays: dict[str, np.ndarray], members: bool) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Weights and feedback over time, from their names in a file."""
    weights = [arrays[f"W{k}"] for k in range(1, 1 + sum(name.startswith("W") for name in arrays))]
    times = len(arrays["t"])
    feedback_weights: dict[str, list[np.ndarray]] = {}
    for key in ("b", "q", "p"):
        for h in range(1, len(weights)):
            if f"{key}{h}" in arrays:
                feedback_weights.setdefault(key, []).append(arrays[f"{key}{h}"])
            elif f"{key}{h}_fixed" in arrays:
                fixed = arrays[f"{key}{h}_fixed"]
                feedback_weights.setdefault(key, []).append(repeat_in_time(fixed, times, members))
    return weights, feedback_weights


def repeat_in_time(fixed: np.ndarray, times: int, members: bool) -> np.ndarray:
    """A matrix, or one for each member, that stands at every time; a view that repeats nothing in memory."""
    if members:
        return np.broadcast_to(fixed[:, None], (len(fixed), times, *fixed.shape[1:]))
    return np.broadcast_to(fixed, (times, *fixed.shape))


def _digest(arrays: dict[str, np.ndarray], description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(repr(arrays[name].shape).encode())
        digest.update(np.ascontiguousarray(arrays[name], dtype="<f8").tobytes())
    return digest.hexdigest()
