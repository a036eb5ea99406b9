"""A run in reduced coordinates, and its matrices in those of the whole network, made when they are first asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from linfa._threads import single_threaded_blas
from linfa.reduction import ROUNDING, feedback_ends, lifted, projected


class LiftedMatrices(Sequence):
    """A list of matrices over time of which each is made when it is first read, and kept.

    Parameters
    ----------
    shapes : list of tuple
        What `shape` each will have.
    make : callable
        Takes the index and returns the matrix.

    Examples
    --------
    >>> matrices = LiftedMatrices([(1, 2, 2)], lambda k: np.eye(2)[None])
    >>> len(matrices), matrices.made, matrices[0].shape, matrices.made
    (1, 0, (1, 2, 2), 1)
    """

    def __init__(self, shapes: list[tuple[int, ...]], make: Callable[[int], np.ndarray]) -> None:
        self.shapes = shapes
        self._make = make
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        positions = range(len(self))[index]
        if isinstance(positions, range):
            return [self[k] for k in positions]
        if positions not in self._kept:
            self._kept[positions] = self._make(positions)
        return self._kept[positions]

    def __repr__(self) -> str:
        return f"LiftedMatrices({', '.join(map(str, self.shapes))})"

    @property
    def made(self) -> int:
        """How many have been made so far."""
        return len(self._kept)


@dataclass(frozen=True, eq=False)
class Held:
    """One matrix of a reduced run. Ensembles have a leading axis for members throughout.

    Attributes
    ----------
    start : array (n, n')
        The whole matrix at time 0.
    left, right : arrays (n, k), (n', k'), or None
        Bases of its two sides.
    moving : array (T, k, k'), or None
        In reduced coordinates, over time; None where it never changes.
    fading : array (T,), or None
        What is left at each time of the part of the start that no signal reaches.
    """

    start: np.ndarray
    left: np.ndarray | None
    right: np.ndarray | None
    moving: np.ndarray | None = None
    fading: np.ndarray | None = None

    @cached_property
    def _first(self) -> np.ndarray:
        with single_threaded_blas():
            return projected(self.start, self.left, self.right)

    @cached_property
    def rest(self) -> np.ndarray | None:
        """The part of the start that no signal reaches, (n, n'); None where that is rounding."""
        with single_threaded_blas():
            rest = self.start - lifted(self._first, self.left, self.right)
        return rest if np.abs(rest).max() > ROUNDING * np.abs(self.start).max() else None

    @cached_property
    def rest_norm(self) -> np.ndarray:
        """Its norm, a number for each member."""
        return np.zeros(self.start.shape[:-2]) if self.rest is None else np.linalg.norm(self.rest, axis=(-2, -1))

    @property
    def small(self) -> np.ndarray:
        """U_lᵀ W U_{l−1} over time, (T, k, k'); of one time where it never changes."""
        return self._first[..., None, :, :] if self.moving is None else self.moving

    @property
    def left_over(self) -> np.ndarray:
        """`fading`, (T,); 1 where nothing changes."""
        return np.ones((*self.start.shape[:-2], 1)) if self.fading is None else self.fading

    def whole(self, times: int) -> np.ndarray:
        """U w Uᵀ + fading · rest, (T, n, n')."""
        if self.moving is None:
            shape = (*self.start.shape[:-2], times, *self.start.shape[-2:])
            return np.broadcast_to(self.start[..., None, :, :], shape)
        with single_threaded_blas():
            out = lifted(self.moving, _in_time(self.left), _in_time(self.right))
        return out if self.rest is None else out + self.fading[..., None, None] * self.rest[..., None, :, :]

    def member(self, index: int, keep: np.ndarray) -> "Held":
        """That of one member, at some of the times."""
        bases = (None if basis is None else basis[index] for basis in (self.left, self.right))
        over_time = (None if a is None else a[index][keep] for a in (self.moving, self.fading))
        return Held(self.start[index], *bases, *over_time)


@dataclass(frozen=True, eq=False)
class ReducedRun:
    """All matrices of a run in the coordinates of an invariant family of subspaces; see `linfa.reduction`.

    Attributes
    ----------
    bases : list of array (n_l, k_l), or None
        U_0 … U_L.
    weights : list of Held
    feedback : dict of list of Held
        As `Trajectory.feedback_weights`.
    times : int
    """

    bases: list[np.ndarray | None]
    weights: list[Held]
    feedback: dict[str, list[Held]]
    times: int

    @property
    def members(self) -> int | None:
        """Number of ensemble members; None for a single run."""
        start = self.weights[0].start
        return len(start) if start.ndim == 3 else None

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer sizes of the whole network."""
        return (self.weights[0].start.shape[-1], *(held.start.shape[-2] for held in self.weights))

    def whole_weights(self) -> LiftedMatrices:
        """W_l over time, each lifted when it is first read."""
        return self._lazily(self.weights)

    def whole_feedback(self) -> dict[str, LiftedMatrices]:
        """Feedback over time, each matrix lifted when it is first read."""
        return {key: self._lazily(matrices) for key, matrices in self.feedback.items()}

    def _lazily(self, matrices: list[Held]) -> LiftedMatrices:
        leading = (self.times,) if self.members is None else (self.members, self.times)
        shapes = [(*leading, *held.start.shape[-2:]) for held in matrices]
        return LiftedMatrices(shapes, lambda k: matrices[k].whole(self.times))

    def lift(self, small: np.ndarray, out: int, into: int = 0) -> np.ndarray:
        """A matrix over time from layer `into` to layer `out`, in the coordinates of the whole network."""
        with single_threaded_blas():
            return lifted(small, _in_time(self.bases[out]), _in_time(self.bases[into]))

    def project(self, whole: np.ndarray, out: int, into: int = 0) -> np.ndarray:
        """The opposite of `lift`."""
        with single_threaded_blas():
            return projected(whole, _in_time(self.bases[out]), _in_time(self.bases[into]))

    def norm(self, layer: int) -> np.ndarray:
        """|W_{layer+1}| of the whole matrix, (T,)."""
        held = self.weights[layer]
        return np.hypot(np.linalg.norm(held.small, axis=(-2, -1)), held.left_over * held.rest_norm[..., None])

    def beside(self, layer: int, like: np.ndarray, carrier: Held | None) -> tuple[np.ndarray, np.ndarray]:
        """Two rows over time with the lengths and the inner product of W_{layer+1} and of what it is compared with.

        Parameters
        ----------
        layer : int
        like : array (T, k, k')
            What the weights are compared with, in reduced coordinates.
        carrier : Held, or None
            The feedback matrix of which `like` is the transpose, whose rest counts; None where nothing is left out.

        Returns
        -------
        two arrays (T, 1, k k' + 2)
            The rests, which are orthogonal to everything inside, are two vectors in a plane.
        """
        held = self.weights[layer]
        along = held.rest_norm
        shadow, across = np.zeros_like(along), np.zeros_like(along)
        fading = np.ones((*along.shape, 1))
        if carrier is not None and carrier.rest is not None:
            if held.rest is not None:
                inner = (held.rest * np.swapaxes(carrier.rest, -2, -1)).sum((-2, -1))
                shadow = np.divide(inner, along, out=np.zeros_like(inner), where=along > 0)
            across = np.sqrt(np.maximum(carrier.rest_norm**2 - shadow**2, 0.0))
            fading = carrier.left_over
        ours = _row(held.small, held.left_over * along[..., None], 0.0 * held.left_over)
        theirs = _row(like, fading * shadow[..., None], fading * across[..., None])
        leading = np.broadcast_shapes(ours.shape[:-2], theirs.shape[:-2])
        return tuple(np.broadcast_to(row, (*leading, *row.shape[-2:])) for row in (ours, theirs))

    def member(self, index: int, keep: np.ndarray) -> "ReducedRun":
        """One member of an ensemble, at some of the times."""
        return ReducedRun(
            [None if basis is None else basis[index] for basis in self.bases],
            [held.member(index, keep) for held in self.weights],
            {key: [held.member(index, keep) for held in matrices] for key, matrices in self.feedback.items()},
            int(keep.sum()),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything numerical, by the name it has in a file."""
        found = {f"basis{layer}": basis for layer, basis in enumerate(self.bases) if basis is not None}
        named = {f"W{k + 1}": held for k, held in enumerate(self.weights)}
        named |= {f"{key}{h + 1}": held for key, matrices in self.feedback.items() for h, held in enumerate(matrices)}
        for name, held in named.items():
            found[f"start_{name}"] = held.start
            if held.moving is not None:
                found |= {f"moving_{name}": held.moving, f"fading_{name}": held.fading}
        return found

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], direct: bool) -> "ReducedRun":
        """The run whose `arrays` these are."""
        depth = sum(name.startswith("start_W") for name in arrays)
        bases = [arrays.get(f"basis{layer}") for layer in range(depth + 1)]

        def held(name: str, left: np.ndarray | None, right: np.ndarray | None) -> Held:
            return Held(
                arrays[f"start_{name}"], left, right, arrays.get(f"moving_{name}"), arrays.get(f"fading_{name}")
            )

        weights = [held(f"W{k + 1}", bases[k + 1], bases[k]) for k in range(depth)]
        feedback = {
            key: [held(f"{key}{h + 1}", *feedback_ends(bases, direct, key, h)) for h in range(depth - 1)]
            for key in ("b", "q", "p")
            if f"start_{key}1" in arrays
        }
        return cls(bases, weights, feedback, len(arrays["t"]))


def _in_time(basis: np.ndarray | None) -> np.ndarray | None:
    """A basis, or one for each member, ahead of a time axis."""
    return None if basis is None else basis[..., None, :, :]


def _row(small: np.ndarray, *more: np.ndarray) -> np.ndarray:
    """A matrix over time as one row, with numbers over time appended."""
    flat = small.reshape(*small.shape[:-2], 1, -1)
    leading = np.broadcast_shapes(flat.shape[:-2], *(m.shape for m in more))
    flat = np.broadcast_to(flat, (*leading, *flat.shape[-2:]))
    return np.concatenate([flat, *(np.broadcast_to(m, leading)[..., None, None] for m in more)], axis=-1)
