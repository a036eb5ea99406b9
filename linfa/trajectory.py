"""The result of a run, simulated or predicted: times, weights, and observables computed when asked for."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from linfa import metrics
from linfa._algebra import transposed
from linfa._check import choice, integer
from linfa.feedback import Feedback
from linfa.lifting import ReducedRun
from linfa.tasks import LinearTask
from linfa.trajectory_file import read, write

__all__ = ["OBSERVABLES", "Trajectory"]

# What a trajectory computes of itself: one number, or one for each mode or layer, at every time.
OBSERVABLES = (
    "loss",
    "excess_loss",
    "mode_strengths",
    "explained_strengths",
    "recovery",
    "weight_alignment",
    "gradient_alignment",
    "effective_rank",
)


class Trajectory:
    """Weights over time and what follows from them. Theory and simulation both return it.

    Every array has the time axis T first; the result of an ensemble has a leading member axis before it.

    Attributes
    ----------
    task : LinearTask
    feedback : Feedback, or a list of them (one for each member)
    t : array (T,)
        Times of the flow, or numbers of updates in descent.
    weights : list of array (T, out, in)
        First layer first. Of a run in reduced coordinates each is made when it is first read; observables need none.
    feedback_weights : dict of list of array
        ``"b"``: full feedback (T, receiver, source), or the magnitudes of sign-symmetry; ``"q"`` (T, receiver, r) and
        ``"p"`` (T, r, source): the factors of low-rank feedback. One matrix for each hidden layer; empty for backprop.
    source : str
        ``"simulation"`` or ``"theory"``.
    settings : dict
        How the run was made: method, tolerances or learning rate, weight decay, and ``"reduction"`` where one was used.
    status : str, or array of str
        ``"completed"``, ``"diverged"`` (an entry left all bounds) or ``"stalled"`` (the integrator stopped advancing).
    stopped_at : float, or array
        Time (or update) at which divergence or stalling was noticed; NaN when completed.
    """

    def __init__(
        self,
        task: LinearTask,
        feedback: Feedback | list[Feedback],
        t: np.ndarray,
        weights: list[np.ndarray] | ReducedRun,
        feedback_weights: dict[str, list[np.ndarray]] | None = None,
        *,
        source: str = "simulation",
        settings: dict | None = None,
        status: str | np.ndarray = "completed",
        stopped_at: float | np.ndarray = float("nan"),
    ) -> None:
        self.task = task
        self.feedback = feedback
        self.t = t
        self._reduced = weights if isinstance(weights, ReducedRun) else None
        if self._reduced is None:
            self.weights = weights
            self.feedback_weights = feedback_weights or {}
        else:
            self.weights = weights.whole_weights()
            self.feedback_weights = weights.whole_feedback()
        self.source = source
        self.settings = settings or {}
        self.status = status
        self.stopped_at = stopped_at

    def __repr__(self) -> str:
        names = {f.name for f in (self.feedback if isinstance(self.feedback, list) else [self.feedback])}
        sizes = "-".join(map(str, self.widths))
        members = f", {self.members} members" if self.members is not None else ""
        return f"Trajectory({self.source}, {sizes}, {'/'.join(sorted(names))}, {len(self.t)} times{members})"

    @property
    def members(self) -> int | None:
        """Number of ensemble members; None for a single run."""
        if self._reduced is not None:
            return self._reduced.members
        return len(self.weights[0]) if self.weights[0].ndim == 4 else None

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer sizes, input first."""
        if self._reduced is not None:
            return self._reduced.widths
        return (self.weights[0].shape[-1], *(w.shape[-2] for w in self.weights))

    @cached_property
    def map(self) -> np.ndarray:
        """W_L … W_1, (T, o, i)."""
        product = self._inner[-1]
        for w in reversed(self._inner[:-1]):
            product = product @ w
        return self._lifted(product, len(self._inner))

    @property
    def _inner(self) -> list[np.ndarray]:
        """The weights in the coordinates in which the run was made; signals stay in these."""
        return self.weights if self._reduced is None else [held.small for held in self._reduced.weights]

    def _lifted(self, small: np.ndarray, layer: int, below: int = 0) -> np.ndarray:
        return small if self._reduced is None else self._reduced.lift(small, layer, below)

    @cached_property
    def _inner_error(self) -> np.ndarray:
        """E in the coordinates of `_inner`."""
        if self._reduced is None:
            return self.error_correlation
        return self._reduced.project(self.error_correlation, len(self.weights))

    @cached_property
    def loss(self) -> np.ndarray:
        """½E|y − ŷ|² where Σy is known, else the excess over the best linear map, (T,)."""
        return self.task.loss(self.map)

    @cached_property
    def excess_loss(self) -> np.ndarray:
        """Loss beyond that of the best linear map, ½ tr(Δ Σx Δᵀ), (T,)."""
        return self.task.excess_loss(self.map)

    @cached_property
    def mode_strengths(self) -> np.ndarray:
        """Strength of the map along each mode of the task, u_kᵀ W v_k, (T, modes)."""
        return metrics.mode_projection(self.map, self.task.left, self.task.right)

    @cached_property
    def explained_strengths(self) -> np.ndarray:
        """Strength along each of the task's `explained_modes`, ũ_kᵀ W S ṽ_k, (T, modes); whitened: `mode_strengths`."""
        left, _, right = self.task.explained_modes
        return metrics.mode_projection(self.map, left, self.task.input_root @ right)

    @property
    def recovery(self) -> np.ndarray:
        """Recovered fraction of each of the task's `explained_modes`, (T, modes): 1 when it is learned."""
        return self.explained_strengths / self.task.explained_modes[1]

    @cached_property
    def error_correlation(self) -> np.ndarray:
        """E = (T − W) Σx, (T, o, i)."""
        gap = self.task.target - self.map
        return gap if self.task.whitened else gap @ self.task.sigma_x

    def feedback_matrix(self, h: int) -> np.ndarray:
        """The matrix that carries the signal to hidden layer h + 1, (T, receiver, source): B, Q P, or W_{h+2}ᵀ."""
        return self._carrier(h, self.weights, self.feedback_weights)

    def _carrier(self, h: int, weights: Sequence[np.ndarray], feedback: dict[str, Sequence[np.ndarray]]) -> np.ndarray:
        if "q" in feedback:
            return feedback["q"][h] @ feedback["p"][h]
        if "b" not in feedback:
            return transposed(weights[h + 1])
        if self.settings.get("transport") == "sign":
            return feedback["b"][h] * np.sign(transposed(weights[h + 1]))
        return feedback["b"][h]

    def _inner_carrier(self, h: int) -> np.ndarray:
        """`feedback_matrix` in the coordinates of `_inner`."""
        if self._reduced is None:
            return self.feedback_matrix(h)
        small = {key: [held.small for held in matrices] for key, matrices in self._reduced.feedback.items()}
        return self._carrier(h, self._inner, small)

    @property
    def direct(self) -> bool:
        """Whether feedback carries the output error itself to every layer."""
        return bool(self.settings.get("direct", False))

    @cached_property
    def weight_alignment(self) -> np.ndarray:
        """Signed cosine of weights and feedback, (T, L−1); NaN where either is zero.

        Along the chain cos(W_l, B_lᵀ), l = 2 … L. For direct feedback cos(W_l, F_l F_{l−1}ᵀ) with F_L = I.
        """
        columns = []
        for h in range(len(self.weights) - 1):
            carried = self._inner_carrier(h)
            if self.direct:
                last = h + 2 == len(self.weights)
                like = transposed(carried) if last else self._inner_carrier(h + 1) @ transposed(carried)
            else:
                like = transposed(carried)
            columns.append(_where_finite(metrics.cosine, *self._compared(h, like)))
        return _stack_columns(columns, self._leading)

    def _compared(self, h: int, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights above hidden layer h + 1 and what they are compared with, or rows at the same angle."""
        if self._reduced is None:
            return self.weights[h + 1], like
        if not self.feedback_weights:
            rows, _ = self._reduced.beside(h + 1, like, None)
            return rows, rows
        # Direct feedback to several layers keeps all outputs, and low-rank feedback lies inside: neither has a rest.
        has_rest = "b" in self.feedback_weights and not (self.direct and len(self.weights) > 2)
        return self._reduced.beside(h + 1, like, self._reduced.feedback["b"][h] if has_rest else None)

    @property
    def _leading(self) -> tuple[int, ...]:
        """(T,), or (members, T)."""
        return self._inner[0].shape[:-2]

    @cached_property
    def _inner_signals(self) -> list[np.ndarray]:
        """`signals` in the coordinates of `_inner`."""
        error = self._inner_error
        signals = [error]
        for h in range(len(self.weights) - 2, -1, -1):
            signals.insert(0, self._inner_carrier(h) @ (error if self.direct else signals[0]))
        return signals

    @cached_property
    def signals(self) -> list[np.ndarray]:
        """D_l = E[δ_l xᵀ], the signal that teaches each layer, l = 1 … L, (T, n_l, i); the last is E."""
        return [self._lifted(signal, k + 1) for k, signal in enumerate(self._inner_signals)]

    @cached_property
    def update_directions(self) -> list[np.ndarray]:
        """G_l = D_l V_{l−1}ᵀ, what drives each weight matrix (without decay), l = 1 … L, (T, out, in)."""
        directions, below = [], None
        for k, (w, signal) in enumerate(zip(self._inner, self._inner_signals, strict=True)):
            small = signal if below is None else signal @ transposed(below)
            directions.append(self._lifted(small, k + 1, k))
            below = w if below is None else w @ below
        return directions

    @cached_property
    def gradient_alignment(self) -> np.ndarray:
        """Signed cosine of the signal a hidden layer gets and the one backprop would give it, (T, L−1).

        cos(D_l, D_l of backprop) with D_l = E[δ_l xᵀ]; for two layers cos(B E, W2ᵀ E). NaN where the reference has
        sunk to rounding level, 10⁻¹³ of what the norms of its factors allow, or to ten times the integrator's relative
        tolerance: directions mean nothing there.
        """
        reference = self._inner_error
        floor = max(1e-13, 10.0 * self.settings.get("rtol", 0.0)) * np.linalg.norm(self.task.sigma_yx)
        columns: list[np.ndarray] = []
        for h in range(len(self.weights) - 2, -1, -1):
            reference = transposed(self._inner[h + 1]) @ reference
            floor = floor * self._weight_norm(h + 1)
            cosines = _where_finite(metrics.cosine, self._inner_signals[h], reference)
            columns.insert(0, np.where(np.linalg.norm(reference, axis=(-2, -1)) > floor, cosines, np.nan))
        return _stack_columns(columns, self._leading)

    def _weight_norm(self, k: int) -> np.ndarray:
        if self._reduced is None:
            return np.linalg.norm(self.weights[k], axis=(-2, -1))
        return self._reduced.norm(k)

    @cached_property
    def effective_rank(self) -> np.ndarray:
        """Effective rank exp H(σ/Σσ) of the map, (T,); 0 for the zero map."""
        return _where_finite(metrics.effective_rank, self.map)

    @property
    def chance_alignment(self) -> np.ndarray:
        """Standard deviation of `weight_alignment` between unrelated matrices, one for each column (L−1,)."""
        sizes = self.widths[1:]
        return np.array([metrics.chance_band(shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)])

    def member(self, index: int) -> "Trajectory":
        """One member of an ensemble, as the `simulate` run it equals."""
        if self.members is None:
            raise ValueError("this trajectory is a single run; only an ensemble has members")
        index = integer("index", index)
        if not -self.members <= index < self.members:
            raise IndexError(f"index is {index}; this ensemble has {self.members} members")
        keep = np.isfinite(self._inner[0][index]).all((-2, -1))
        if not keep.any():
            stopped = float(self.stopped_at[index])
            raise ValueError(f"member {index} stopped at {stopped:g}, before the first time saved; it holds nothing")
        if self._reduced is not None:
            weights, feedback_weights = self._reduced.member(index, keep), None
        else:
            weights = [w[index][keep] for w in self.weights]
            feedback_weights = {key: [m[index][keep] for m in ms] for key, ms in self.feedback_weights.items()}
        return Trajectory(
            self.task,
            self.feedback[index] if isinstance(self.feedback, list) else self.feedback,
            self.t[keep],
            weights,
            feedback_weights,
            source=self.source,
            settings=self.settings,
            status=str(self.status[index]),
            stopped_at=float(self.stopped_at[index]),
        )

    def statistics(self, *observables: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard error over the members of an ensemble.

        Parameters
        ----------
        *observables : str
            Names of observables, such as ``"loss"`` or ``"mode_strengths"``; ``"loss"`` when none is given.

        Returns
        -------
        dict of (mean, standard error)
            Arrays without the member axis. Members that stopped early, and entries that are NaN, are left out; the
            standard error of fewer than two members is NaN.

        Raises
        ------
        ValueError
            If this is a single run, or a name is no observable.

        Examples
        --------
        >>> import linfa
        >>> task = linfa.LinearTask(np.eye(2))
        >>> weights = linfa.initial_weights((2, 4, 2), scale=0.1, members=8)
        >>> many = linfa.ensemble(task, weights, linfa.Backprop(), t=[0.0, 1.0])
        >>> mean, error = many.statistics("loss")["loss"]
        >>> mean.shape, bool((error > 0).all())
        ((2,), True)
        """
        if self.members is None:
            raise ValueError("this trajectory is a single run; statistics are of an ensemble's members")
        found = {}
        for name in observables or ("loss",):
            values = self._observable(name)
            present = np.isfinite(values)
            count = present.sum(0)
            filled = np.where(present, values, 0.0)
            mean = np.divide(filled.sum(0), count, out=np.full(count.shape, np.nan), where=count > 0)
            spread = np.where(present, values - mean, 0.0)
            variance = np.divide(np.square(spread).sum(0), count - 1, out=np.full(count.shape, np.nan), where=count > 1)
            found[name] = (mean, np.sqrt(variance / np.maximum(count, 1)))
        return found

    def table(self, *observables: str) -> dict[str, np.ndarray]:
        """A tidy table, one number a row: columns member, t, observable, index, value.

        ``pandas.DataFrame(run.table("loss", "mode_strengths"))`` makes a data frame of it. `index` counts modes or
        layers where an observable has several; a single run is member 0.

        Examples
        --------
        >>> import linfa
        >>> weights = linfa.initial_weights((2, 4, 2), scale=0.1)
        >>> run = linfa.simulate(linfa.LinearTask(np.eye(2)), weights, linfa.Backprop(), [0.0, 1.0])
        >>> {name: len(column) for name, column in run.table("loss", "mode_strengths").items()}
        {'member': 6, 't': 6, 'observable': 6, 'index': 6, 'value': 6}
        """
        columns: dict[str, list[np.ndarray]] = {key: [] for key in ("member", "t", "observable", "index", "value")}
        for name in observables or ("loss",):
            values = self._observable(name)
            values = values if self.members is not None else values[None]
            values = values if values.ndim == 3 else values[..., None]
            member, time, index = np.indices(values.shape)
            for key, column in (
                ("member", member),
                ("t", np.asarray(self.t)[time]),
                ("observable", np.full(values.shape, name)),
                ("index", index),
                ("value", values),
            ):
                columns[key].append(column.ravel())
        return {key: np.concatenate(parts) for key, parts in columns.items()}

    def _observable(self, name: str) -> np.ndarray:
        choice("observable", name, OBSERVABLES)
        return np.asarray(getattr(self, name))

    def save(self, path: str | Path) -> Path:
        """Write the run to a NetCDF file (classic format, readable by xarray, MATLAB, R).

        The file appears whole or not at all. Returns its path; raises OSError when it cannot be written. A run in
        reduced coordinates is written in these: ``basis`` U_l, ``moving`` w_l, ``start`` and ``fading`` make
        W_l = U_l w_l U_{l−1}ᵀ + fading (start − its part in the subspaces).
        """
        return write(
            path,
            self.task,
            self.feedback,
            self.t,
            self.weights if self._reduced is None else self._reduced,
            self.feedback_weights,
            source=self.source,
            settings=self.settings,
            status=self.status,
            stopped_at=self.stopped_at,
        )

    @classmethod
    def load(cls, path: str | Path) -> "Trajectory":
        """Read a run that `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, it is not such a file, or its content is incomplete or altered.
        """
        return cls(**read(path))


def _where_finite(function: Callable[..., np.ndarray], *stacks: np.ndarray) -> np.ndarray:
    """Apply to the matrices of a stack that are finite; NaN where a member stopped before."""
    leading = np.broadcast_shapes(*(s.shape[:-2] for s in stacks))
    stacks = tuple(np.broadcast_to(s, (*leading, *s.shape[-2:])) for s in stacks)
    finite = np.logical_and.reduce([np.isfinite(s).all((-2, -1)) for s in stacks])
    if finite.all():
        return function(*stacks)
    result = np.full(leading, np.nan)
    if finite.any():
        result[finite] = function(*(s[finite] for s in stacks))
    return result


def _stack_columns(columns: list[np.ndarray], leading: tuple[int, ...]) -> np.ndarray:
    return np.stack(columns, axis=-1) if columns else np.empty((*leading, 0))
