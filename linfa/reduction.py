"""Exact reduction: every layer in coordinates of the subspace that learning happens in.

A family of subspaces S_0 … S_L of the layers, with orthonormal bases U_l, is *invariant* when signals never leave it:

    W_l(0) S_{l−1} ⊂ S_l,   W_l(0)ᵀ S_l ⊂ S_{l−1},   the task's modes lie in S_0 and S_L,   Σx S_0 ⊂ S_0,
    and what carries the error to a layer maps into the subspace of that layer.

Then W_l = U_l w_l U_{l−1}ᵀ + R_l, where w_l learns by the same rule in the smaller network and the rest R_l, which no
signal reaches, stands still or decays: any width is *exactly* the width of its subspace. In two layers S_1 is spanned
by the columns of W1(0), the rows of W2(0) and the columns of Q or B: at most i + o + r, or r alone from zero weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa.feedback import Resolved
from linfa.tasks import LinearTask

# A network whose layers are all this small runs in its own coordinates: its steps take microseconds as they are.
SMALL_LAYER = 64
# The least factor in multiplications of a step for which finding subspaces and lifting results back pays.
LEAST_GAIN = 2.0
# Directions below this fraction of the matrix that makes them of others are taken for rounding, which passes through
# many layers amplify to about as much. One left out by mistake changes the start by no more than this fraction.
ROUNDING = 1e-12
# The same for columns that are given, where rounding leaves a few times 1e-16.
_GIVEN_ROUNDING = 1e-14
# Columns that stand out this far from those before them need no closer look: they are orthogonal to 1e-14.
_CLEAR = 1e-2


def lifted(small: Any, left: Any, right: Any) -> Any:
    """U_l w U_{l−1}ᵀ: a matrix of the reduced network in the coordinates of the whole one.

    Parameters
    ----------
    small : array (..., k, k')
    left, right : arrays (..., n, k), (..., n', k'); or None for a layer that is not reduced

    Examples
    --------
    >>> lifted(np.array([[2.0]]), np.array([[0.6], [0.8]]), None).tolist()
    [[1.2], [1.6]]
    """
    out = small if left is None else left @ small
    return out if right is None else out @ transposed(right)


def projected(full: Any, left: Any, right: Any) -> Any:
    """U_lᵀ W U_{l−1}: a matrix of the whole network in the coordinates of the reduced one; arguments as `lifted`.

    Examples
    --------
    >>> projected(np.eye(2), np.array([[0.6], [0.8]]), None).tolist()
    [[0.6, 0.8]]
    """
    out = full if left is None else transposed(left) @ full
    return out if right is None else out @ right


def step_work(widths: Sequence[int]) -> float:
    """Multiply-adds of one evaluation of a learning rule, to leading order: three products a layer, and the state.

    Examples
    --------
    >>> step_work((2, 3, 1))
    144.0
    """
    sizes = np.asarray(widths, dtype=float)
    return float((sizes[1:] * sizes[:-1]).sum() * (3.0 * sizes[0] + 10.0))


@dataclass(frozen=True)
class Correlations:
    """What the core reads of a task, in the coordinates of a run; names as in `linfa.core.problem.Problem`."""

    target: np.ndarray
    sigma_x: np.ndarray | None
    input_root: np.ndarray
    residual_root: np.ndarray
    sigma_y: np.ndarray

    @classmethod
    def of(cls, task: LinearTask) -> "Correlations":
        """Those of the task itself."""
        sigma_x = None if task.whitened else task.sigma_x
        return cls(task.target, sigma_x, task.input_root, task.residual_root, task.label_correlation)


def feedback_ends(
    bases: Sequence[np.ndarray | None], direct: bool, key: str, h: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The bases on both sides of feedback matrix h, of its rows and of its columns; key is "b", "q" or "p"."""
    receiver, source = bases[h + 1], bases[-1 if direct else h + 2]
    return {"b": (receiver, source), "q": (receiver, None), "p": (None, source)}[key]


@dataclass(frozen=True)
class Reduction:
    """An invariant family of subspaces.

    Attributes
    ----------
    widths : tuple of int
        Layer sizes of the whole network.
    bases : tuple of array (n_l, k_l), or None
        U_0 … U_L; None for a layer that keeps its own coordinates.
    """

    widths: tuple[int, ...]
    bases: tuple[np.ndarray | None, ...]

    @property
    def reduced_widths(self) -> tuple[int, ...]:
        """k_0 … k_L, the layer sizes of the network that is run."""
        return tuple(n if u is None else u.shape[1] for n, u in zip(self.widths, self.bases, strict=True))

    def weights(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """w_l(0) of given W_l(0)."""
        pairs = zip(weights, self.bases[1:], self.bases[:-1], strict=True)
        return [np.ascontiguousarray(projected(w, left, right)) for w, left, right in pairs]

    def feedback(self, resolved: Resolved) -> Resolved:
        """The same rule with its matrices in the coordinates of the reduced network."""
        if not resolved.matrices:
            return resolved
        matrices = {
            key: [
                np.ascontiguousarray(projected(m, *feedback_ends(self.bases, resolved.direct, key, h)))
                for h, m in enumerate(ms)
            ]
            for key, ms in resolved.matrices.items()
        }
        return replace(resolved, matrices=matrices)

    def correlations(self, task: LinearTask) -> Correlations:
        """The task in the coordinates of inputs and outputs of the reduced network."""
        inputs, outputs = self.bases[0], self.bases[-1]
        whole = Correlations.of(task)
        return Correlations(
            projected(whole.target, outputs, inputs),
            None if whole.sigma_x is None else projected(whole.sigma_x, inputs, inputs),
            np.eye(self.reduced_widths[0]) if whole.sigma_x is None else projected(whole.input_root, inputs, None),
            projected(whole.residual_root, outputs, None),
            projected(whole.sigma_y, outputs, outputs),
        )

    def __str__(self) -> str:
        last = len(self.widths) - 1
        names = ["inputs", *("hidden" if last == 2 else f"hidden {layer}" for layer in range(1, last)), "outputs"]
        sizes = zip(names, self.widths, self.reduced_widths, strict=True)
        return ", ".join(f"{name} {n} → {k}" for name, n, k in sizes if n != k)


def find_reduction(task: LinearTask, weights: list[np.ndarray], resolved: Resolved) -> Reduction | None:
    """The smallest invariant family of subspaces, found by following signals until they reach nothing new.

    Parameters
    ----------
    task : LinearTask
    weights : list of array (out, in)
        W_1(0) … W_L(0).
    resolved : Resolved
        The rule of feedback for these weights.

    Returns
    -------
    Reduction or None
        None where it does not hold (sign-symmetry, which looks at single entries) or does not pay: no layer above
        `SMALL_LAYER`, or a step less than `LEAST_GAIN` times cheaper.

    Notes
    -----
    Of whole layers, matrices give their columns, each on its own scale, so that tiny weights count as much as others.
    In networks that keep neither inputs nor outputs whole, parts of a matrix below 1e-12 of it count as rounding.
    From generic weights deeper than two layers the subspaces fill the layers; zero, orthogonal and balanced starts
    close.

    Examples
    --------
    >>> import linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> weights = linfa.initial_weights((2, 500, 2))
    >>> str(find_reduction(task, weights, linfa.Backprop().resolve((2, 500, 2))))
    'hidden 500 → 4'
    """
    widths = (weights[0].shape[1], *(len(w) for w in weights))
    if max(widths) <= SMALL_LAYER or resolved.transport == "sign":
        return None
    growth = _Growth(task, weights, resolved, widths)
    return growth.result() if growth.run() else None


class _Span:
    """A subspace of a layer that grows."""

    def __init__(self, size: int) -> None:
        self.basis = np.zeros((size, 0))

    @property
    def whole(self) -> bool:
        return self.basis.shape[1] == len(self.basis)

    def add(self, vectors: np.ndarray, rounding: float) -> np.ndarray:
        """Take up the directions of these vectors, of sizes up to 1; returns those that are new, as a basis."""
        size, known = self.basis.shape
        if self.whole or not vectors.size:
            return vectors[:, :0]
        found, triangle = np.linalg.qr(self._outside(vectors))
        clear = vectors.shape[1] <= size and np.abs(np.diag(triangle)).min() > _CLEAR
        if not clear:
            directions, sizes, _ = np.linalg.svd(triangle)
            found = found @ directions[:, : len(sizes)][:, sizes > rounding]
        if known + found.shape[1] >= size:
            # Its own coordinates: nothing has to be lifted, and what leaves it is judged column by column.
            self.basis = np.eye(size)
            return self.basis
        if not clear:
            # A direction that stood out by 1e-10 holds what is known to 1e-6: remove that once more.
            found = np.linalg.qr(self._outside(found))[0]
        self.basis = np.hstack([self.basis, found])
        return found

    def _outside(self, vectors: np.ndarray) -> np.ndarray:
        # Projecting twice leaves rounding errors of what is projected out, not of its square.
        for _ in range(2):
            vectors = vectors - self.basis @ (self.basis.T @ vectors)
        return vectors


class _Growth:
    """Subspaces of all layers, and the matrices that carry signals from one to another."""

    def __init__(
        self, task: LinearTask, weights: list[np.ndarray], resolved: Resolved, widths: tuple[int, ...]
    ) -> None:
        self.weights, self.widths = weights, widths
        self.spans = [_Span(n) for n in widths]
        last = len(weights)
        self.edges = [(w, k, k + 1) for k, w in enumerate(weights)] + [(w.T, k + 1, k) for k, w in enumerate(weights)]
        self.scaled: dict[int, np.ndarray] = {}
        self.waiting: list[tuple[int, np.ndarray]] = []
        self.seeds = [(0, task.right), (last, task.left)]
        if not task.whitened:
            self.edges.append((task.sigma_x, 0, 0))
        matrices = resolved.matrices or {}
        for h in range(last - 1):
            source = last if resolved.direct else h + 2
            if "b" in matrices:
                self.edges.append((matrices["b"][h], source, h + 1))
            if "q" in matrices:
                self.seeds += [(h + 1, matrices["q"][h]), (source, matrices["p"][h].T)]
            if resolved.b_rule == "mirror":
                # The mirror copies all of W, the part outside the subspaces too: it must be inside.
                self.seeds += [(h + 2, weights[h + 1]), (h + 1, weights[h + 1].T)]
        # Oja's rule looks at all labels or errors, the alignment of two layers with direct feedback at all its columns.
        if set(resolved.p_rules) & {"oja-error", "oja-label"} or ("b" in matrices and resolved.direct and last > 2):
            self.seeds.append((last, np.eye(widths[-1])))

    def run(self) -> bool:
        """Grow until nothing is new; False as soon as what is gained is too little."""
        for layer, vectors in self.seeds:
            self._enter(layer, _columns(vectors))
        if not self._close():
            return False
        for layer, span in enumerate(self.spans):
            if not span.basis.shape[1]:
                # Nothing ever happens here; a layer still needs a unit.
                self._enter(layer, np.eye(self.widths[layer], 1))
        if not self._close():
            return False
        if self._rest_maps():
            self._enter(len(self.weights), np.eye(self.widths[-1]))
        return self._close()

    def result(self) -> Reduction:
        return Reduction(self.widths, tuple(None if s.whole else np.ascontiguousarray(s.basis) for s in self.spans))

    def _enter(self, layer: int, vectors: np.ndarray, rounding: float = _GIVEN_ROUNDING) -> None:
        found = self.spans[layer].add(vectors, rounding)
        if found.shape[1]:
            self.waiting.append((layer, found))

    def _close(self) -> bool:
        while self.waiting:
            if self._gain() < LEAST_GAIN:
                return False
            layer, found = self.waiting.pop()
            whole = self.spans[layer].whole
            if whole and found.shape != (self.widths[layer],) * 2:
                # Taken up before the layer filled; all its columns follow.
                continue
            for edge, (matrix, source, target) in enumerate(self.edges):
                if source != layer or self.spans[target].whole:
                    continue
                if whole:
                    self._enter(target, _columns(matrix))
                    continue
                if edge not in self.scaled:
                    self.scaled[edge] = _scaled(matrix)
                self._enter(target, self.scaled[edge] @ found, ROUNDING)
        return self._gain() >= LEAST_GAIN

    def _gain(self) -> float:
        return step_work(self.widths) / max(step_work([max(s.basis.shape[1], 1) for s in self.spans]), 1.0)

    def _rest_maps(self) -> bool:
        """Whether inputs outside S_0 reach outputs outside S_L, where the task would then send an error."""
        if self.spans[0].whole or self.spans[-1].whole:
            return False
        bases = [span.basis for span in self.spans]
        for w, left, right in zip(self.weights, bases[1:], bases[:-1], strict=True):
            rest = w - lifted(projected(w, left, right), left, right)
            if np.abs(rest).max() <= ROUNDING * np.abs(w).max():
                return False
        return True


def _columns(matrix: np.ndarray) -> np.ndarray:
    """The columns that are not zero, each of length 1."""
    peaks = np.abs(matrix).max(0)
    # Squares of tiny or huge entries would leave the range of floating point.
    scaled = matrix[:, peaks > 0] / peaks[peaks > 0]
    return scaled / np.linalg.norm(scaled, axis=0)


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """The matrix over the length of its longest row or column: what it makes of unit vectors is then of size 1."""
    peak = np.abs(matrix).max()
    if peak == 0.0:
        return matrix
    matrix = matrix / peak
    return matrix / max(np.linalg.norm(matrix, axis=0).max(), np.linalg.norm(matrix, axis=1).max())
