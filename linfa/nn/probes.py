"""Probes: alignment, effective ranks and norms, layer by layer, while a network learns; they leave no trace in it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import nan, sqrt

import numpy as np

from linfa._check import choice, integer, real_number, seed_value
from linfa._random import stream
from linfa.metrics import chance_band
from linfa.nn.alignment import error_alignment, matrix_cosine, matrix_norm
from linfa.nn.backend import like
from linfa.nn.carriers import Transpose
from linfa.nn.layer import Pass
from linfa.nn.maps import WeightMap
from linfa.nn.network import Network
from linfa.nn.parameters import Array
from linfa.nn.spectra import RANKS, energies, gram_energies, product_energies, ranks
from linfa.nn.update_path import UpdatePath
from linfa.nn.vocabulary import QUANTITIES, WHOLE

# Entries of the sketch of an update: the effective rank of 32 updates of an MLP came out within 0.3 %, the other ranks
# within 1.5 %. A prime, so that the entries of a row or a column of weights, whose sizes are round, share no few bins.
SKETCH = 16381
# Updates that are kept for the rank of the trajectory: more than the twenty or so that a `Trainer` probes by default.
TRAJECTORY_ROWS = 64
DEFAULT = tuple(group for group in QUANTITIES if group != "update")


def probe_batch(images: np.ndarray, labels: np.ndarray, count: int = 128, seed: int = 0) -> tuple[np.ndarray, ...]:
    """A class-balanced part of a data set to probe on: `count` images and their labels, in the order of the set.

    Parameters
    ----------
    images : array (N, …)
    labels : array (N,) of integers
    count : int
        At most N. No class has more than one image more than another, unless the other has no more to give.
    seed : int

    Returns
    -------
    images : array (count, …)
    labels : array (count,)

    Raises
    ------
    ValueError, TypeError
        If labels are no integers, do not match the images, or are fewer than `count`.

    Examples
    --------
    >>> images, labels = probe_batch(np.arange(12.0)[:, None], np.array([0] * 7 + [1] * 5), count=6, seed=1)
    >>> labels.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise TypeError(f"labels is {labels.dtype} of shape {labels.shape}; it must hold one integer for each image")
    if len(images) != len(labels):
        raise ValueError(f"labels has {len(labels)} entries; it must have {len(images)}, as images has")
    count = integer("count", count, at_least=1)
    if count > len(labels):
        raise ValueError(f"count is {count}; it must be at most {len(labels)}, the number of images")
    generator = stream(seed_value("seed", seed), "validation", 1)
    pools = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    # Every class gives its first image, then its second, …; which of them give the last ones is drawn.
    turns = np.concatenate([np.arange(len(pool)) for pool in pools])
    order = np.lexsort((generator.permutation(len(turns)), turns))
    chosen = np.sort(np.concatenate(pools)[order[:count]])
    return images[chosen], labels[chosen]


class Probes:
    """Measurements on a fixed batch, around updates that the trainer chooses: `before` one, and `after` it.

    Parameters
    ----------
    network : Network
    x : array (N, …)
        Samples as the network takes them, at least 2; `probe_batch` chooses balanced ones. They are copied.
    labels : array (N,) of integers, or (N, classes) of real targets
    quantities : list of str, optional
        Groups of `linfa.nn.vocabulary.QUANTITIES`: weights, alignment, error, gradient, update, activation, trajectory.
        All but update when not given: the spectrum of a full update costs as much as all else together.
    trajectory_rows : int
        Updates that the rank of the trajectory is of: the latest ones probed. It cannot exceed them. Whoever probes
        more often sees the rank of a window that moves on: it no longer is that of the whole run, and where early
        updates that spanned more directions than late ones fall out, it falls.
    trajectory_entries : int or None
        Length to which long updates are sketched for it (`linfa.nn.update_path`); None keeps them whole, at a cost in
        memory of trajectory_rows times the weights.
    floor : float, optional
        Alignments are NaN where `reference_norm` is no larger. When not given, the machine epsilon of the network's
        precision: the error at the output is a difference of numbers of order 1, and rounding below that.
    clip_signal : float, optional
        As in the run's own passes (`linfa.nn.layer.Pass`).
    seed : int
        Of the sketch.

    Attributes
    ----------
    layers : list of str
        Names of the maps, in forward order: the axis of every array that is measured.
    names : list of str
        What is measured.
    trajectory_rows : int or None
        As given; None where the trajectory is not measured.

    Raises
    ------
    ValueError, TypeError
        If the samples do not fit the network, or a group is unknown.

    Notes
    -----
    The batch runs forward once, in mode ``"probe"``: batch statistics as in training, no running average moved, nothing
    dropped out. The error goes back once under the network's rule and once with the transposed weights, from the same
    output error; both are taken at the output a_l of each map, as ∂(loss of a sample)/∂a_l. A sample is all positions
    of an image. Matrices of errors and of inputs have one row for each position of each sample and are not centred;
    gradients and updates are (out × fan), kernels flattened. In single precision the rounding of the weights is part of
    an update.

    Examples
    --------
    >>> import linfa
    >>> from linfa import nn
    >>> layers = [nn.Dense(16), nn.Tanh(), nn.Dense(3)]
    >>> network = nn.Network(layers, (8,), feedback=linfa.FeedbackAlignment(seed=1))
    >>> x = np.random.default_rng(0).standard_normal((12, 8))
    >>> probes = Probes(network, x, np.arange(12) % 3, quantities=["alignment", "update"])
    >>> probes.before(0)
    >>> network.maps[0].weight.value -= 0.1
    >>> measured = probes.after(0)
    >>> measured["update_effective_rank"].round(3)
    array([1., 0.])
    >>> bool(measured["sample_gradient_alignment"][1] > 0.999)  # the output layer's error is the same
    True
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        labels: np.ndarray,
        *,
        quantities: Iterable[str] = DEFAULT,
        trajectory_rows: int = TRAJECTORY_ROWS,
        trajectory_entries: int | None = SKETCH,
        floor: float | None = None,
        clip_signal: float | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network is {type(network).__name__}; it must be a Network")
        self.network = network
        self.layers = [m.name for m in network.maps]
        self._x, self._labels = _batch(network, x, labels)
        if isinstance(quantities, str) or not isinstance(quantities, Iterable):
            raise TypeError(f"quantities is {quantities!r}; it must be a list of {', '.join(QUANTITIES)}")
        asked = {choice(f"quantities[{k}]", name, QUANTITIES) for k, name in enumerate(quantities)}
        if not asked:
            raise ValueError(f"quantities is empty; it must name some of {', '.join(QUANTITIES)}")
        self.quantities = [name for name in QUANTITIES if name in asked]
        self.names = [name for group in self.quantities for name in QUANTITIES[group]]
        epsilon = float(np.finfo(network.dtype).eps)
        self.floor = epsilon if floor is None else real_number("floor", floor, at_least=0.0)
        self.clip_signal = None if clip_signal is None else real_number("clip_signal", clip_signal, above=0.0)
        rows = integer("trajectory_rows", trajectory_rows, at_least=2)
        if trajectory_entries is not None:
            trajectory_entries = integer("trajectory_entries", trajectory_entries, at_least=rows)
        seed = seed_value("seed", seed)
        self._paths: list[UpdatePath] = []
        self.trajectory_rows = rows if "trajectory" in self.quantities else None
        if self.trajectory_rows is not None:
            self._paths = [
                UpdatePath(m.weight.value.size, rows, trajectory_entries, seed, k, network.dtype)
                for k, m in enumerate(network.maps)
            ]
        # What `before` leaves for `after`: its step, what it measured, and copies of the weights.
        self._begun: tuple[int, dict[str, np.ndarray], list[Array]] | None = None

    def __repr__(self) -> str:
        return f"Probes({len(self._x)} samples, {len(self.layers)} layers: {', '.join(self.quantities)})"

    def before(self, step: int) -> None:
        """Measure all but what an update changes, and remember the weights; `after` hands it over."""
        step = integer("step", step, at_least=0)
        measured = {name: np.full(len(self.layers), nan) for name in self.names if name not in WHOLE}
        way = Pass("probe", step, self.network.seed, learn=False, clip_signal=self.clip_signal)
        if "weights" in self.quantities:
            for k, m in enumerate(self.network.maps):
                _put(measured, k, _of_weights(m, way))
        if {"alignment", "error", "gradient", "activation"} & set(self.quantities):
            with _untouched(self.network):
                self._go_through(way, measured)
        weights = []
        if {"update", "trajectory"} & set(self.quantities):
            weights = [m.weight.value.copy() for m in self.network.maps]
        self._begun = (step, measured, weights)

    def after(self, step: int) -> dict[str, np.ndarray]:
        """What `before` measured, and what the update since then did.

        Returns
        -------
        dict of array (layers,)
            By the names in `linfa.nn.vocabulary.QUANTITIES`; arrays () for what is of the whole network. NaN where
            there is nothing to measure: no feedback of the layer's own, no error above the floor.

        Raises
        ------
        RuntimeError
            If `before` was not called with this step.
        """
        if self._begun is None or self._begun[0] != step:
            begun = "not" if self._begun is None else f"with step {self._begun[0]}"
            raise RuntimeError(f"after({step!r}) came, but before was {begun} called; it must be, with the same step")
        _, measured, weights = self._begun
        self._begun = None
        # Where neither is asked for, no weights were kept.
        for k, (m, old) in enumerate(zip(self.network.maps, weights, strict=False)):
            update = m.weight.value - old
            if "update" in self.quantities:
                _put(measured, k, _of_matrix("update", energies(_as_matrix(update))))
            if self._paths:
                self._paths[k].append(update)
                _put(measured, k, _named("trajectory", self._path_ranks([self._paths[k]])))
        if self._paths:
            whole = _named("whole_trajectory", self._path_ranks(self._paths))
            measured |= {name: np.array(value) for name, value in whole.items()}
        return measured

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs: the latest updates and their Gram matrices, by layer."""
        parts = zip(self.layers, self._paths, strict=False)
        return {f"{layer}.{name}": array for layer, path in parts for name, array in path.state().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take up what `state` returned, bit for bit.

        Raises
        ------
        ValueError
            If it is of another network, or of other probes.
        """
        wanted = self.state().keys()
        for what, names in (("lacks", wanted - state.keys()), ("has", state.keys() - wanted)):
            if names:
                raise ValueError(f"the state of the probes {what} {sorted(names)[0]!r}; it is of other probes")
        for layer, path in zip(self.layers, self._paths, strict=False):
            try:
                path.load_state({name: state[f"{layer}.{name}"] for name in ("rows", "gram")})
            except ValueError as error:
                raise ValueError(f"the state of the probes does not fit {layer}: {error}") from error

    def _go_through(self, way: Pass, measured: dict[str, np.ndarray]) -> None:
        """Forward, back under the rule and, where it differs, back exactly; measure at every map."""
        network = self.network
        for m in network.maps:
            m.record = True
        x = like(self._x, network.weights[0].value)
        _, output = network.learn(x, self._labels, way)
        rule = [(m.seen["input"], m.seen["error"], m.weight.gradient) for m in network.maps]
        exact = rule
        if "alignment" in self.quantities and (self.clip_signal is not None or not _is_backprop(network)):
            back = Pass("probe", way.step, way.seed, exact=True, learn=False, targets=way.targets)
            network.backward(way.output_error, back)
            exact = [(m.seen["input"], m.seen["error"], m.weight.gradient) for m in network.maps]
        for k, (m, (inputs, error, gradient), (_, true_error, true_gradient)) in enumerate(
            zip(network.maps, rule, exact, strict=True)
        ):
            if "alignment" in self.quantities:
                found = error_alignment(error, true_error, len(x), self.floor)
                known = found["reference_norm"] > self.floor
                found["update_alignment"] = (
                    matrix_cosine(_as_matrix(gradient), _as_matrix(true_gradient)) if known else nan
                )
                _put(measured, k, found)
            if "error" in self.quantities:
                squares = energies(error)
                # Of single samples, not of their share in the mean.
                _put(measured, k, {"error_norm": sqrt(len(x) * squares.sum())} | _named("error", ranks(squares)))
            if "gradient" in self.quantities:
                _put(measured, k, _of_matrix("gradient", _gradient_energies(m, inputs, error, gradient)))
            if "activation" in self.quantities:
                squares = energies(inputs.reshape(-1, inputs.shape[-1]))
                norm = sqrt(squares.sum() / len(x))
                _put(measured, k, {"activation_norm": norm} | _named("activation", ranks(squares)))
        if "activation" in self.quantities:
            lengths = measured["activation_norm"]
            final = matrix_norm(output) / sqrt(len(x))
            above = np.append(lengths[1:], final)
            measured["growth"] = np.divide(above, lengths, out=np.full(len(above), nan), where=lengths > 0)

    def _path_ranks(self, paths: list[UpdatePath]) -> dict[str, float]:
        """Of the rows of all `paths` side by side, whose Gram matrix is the sum of theirs."""
        return ranks(gram_energies(sum(p.gram for p in paths), sum(p.entries for p in paths)))


def _batch(network: Network, x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, labels = np.array(x), np.array(labels)
    if x.dtype.kind not in "iuf":
        raise TypeError(f"x holds {x.dtype}; it must hold real numbers")
    if x.shape[1:] != network.input_shape or len(x) < 2:
        sizes = ", ".join(map(str, network.input_shape))
        raise ValueError(f"x is {x.shape}; it must be (samples, {sizes}), with at least 2 samples")
    if not np.isfinite(x).all():
        raise ValueError("x holds NaN or infinity; every entry must be finite")
    if len(labels) != len(x):
        raise ValueError(f"labels has {len(labels)} entries; it must have {len(x)}, as x has")
    network.targets(labels)
    return x.astype(network.dtype), labels


def _is_backprop(network: Network) -> bool:
    return all(isinstance(m.carrier, Transpose) for m in network.maps if m.sends)


@contextmanager
def _untouched(network: Network) -> Iterator[None]:
    """Gradients, and what layers and maps keep between passes, are afterwards what they were."""
    gradients = [(p, p.gradient) for p in network.parameters]
    kept = [(layer, layer._kept) for layer in network.layers]
    seen = [(m, m.record, m.seen) for m in network.maps]
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.gradient = gradient
        for layer, left in kept:
            layer._kept = left
        for m, record, left in seen:
            m.record, m.seen = record, left


def _as_matrix(kernels: Array) -> Array:
    return kernels.reshape(len(kernels), -1)


def _put(measured: dict[str, np.ndarray], layer: int, values: dict[str, float]) -> None:
    for name, value in values.items():
        measured[name][layer] = value


def _named(matrix: str, found: dict[str, float]) -> dict[str, float]:
    return {f"{matrix}_{rank}": found[rank] for rank in RANKS}


def _of_matrix(matrix: str, squares: np.ndarray) -> dict[str, float]:
    return {f"{matrix}_norm": sqrt(squares.sum())} | _named(matrix, ranks(squares))


def _of_weights(m: WeightMap, way: Pass) -> dict[str, float]:
    """Norm of W; where the layer has a feedback in the place of its weights, how the two compare."""
    w = m.weight.matrix
    norm = matrix_norm(w)
    found = {"weight_norm": norm, "chance_alignment": chance_band(w.shape)}
    if not m.sends or m.carrier.direct or isinstance(m.carrier, Transpose):
        return found
    b = m.carrier.matrix(w, way).T
    found["weight_alignment"] = matrix_cosine(w, b)
    found["norm_ratio"] = matrix_norm(b) / norm if norm > 0 else nan
    return found


def _gradient_energies(m: WeightMap, inputs: Array, error: Array, gradient: Array) -> np.ndarray:
    """Squares of the singular values of the weight gradient.

    Where a dense layer saw fewer rows than it has units, they follow from errors and inputs, <error inputs>.
    """
    out, fan = m.weight.matrix.shape
    if m.weight.value.ndim == 2 and len(error) < min(out, fan):
        return product_energies(error, inputs.reshape(-1, fan))
    return energies(_as_matrix(gradient))
