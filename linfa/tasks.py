"""What is to be learned: the correlations that are all a linear network sees of its data."""

import warnings
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np

from linfa._check import choice, flag, integer, matching, read_only, real_array, seed_value, symmetric
from linfa._random import orthonormal_columns, stream

# Directions of Σx with less than this fraction of its largest eigenvalue, times its size, hold rounding alone.
_RANK_FRACTION = np.finfo(np.float64).eps
# Condition number of Σx from which the slowest direction learns 10⁸ times slower than the fastest: worth saying.
_ILL_CONDITIONED = 1e8


class LinearTask:
    """A linear regression task, given by its correlations.

    Parameters
    ----------
    sigma_yx : array (o, i)
        Σyx = E[y xᵀ].
    sigma_x : array (i, i), optional
        Σx = E[x xᵀ], symmetric and positive semidefinite. None means whitened inputs, Σx = I.
    sigma_y : array (o, o), optional
        Σy = E[y yᵀ]. When given, losses are ½E|y − ŷ|²; otherwise the excess over the best linear map.

    Attributes
    ----------
    target : array (o, i)
        T = Σyx Σx⁺, the best linear map.
    left, strengths, right : arrays (o, d), (d,), (i, d)
        Its modes, T = left @ diag(strengths) @ right.T, strengths descending, d = rank T.
    whitened : bool
        Whether Σx = I.
    input_rank : int
        Number of directions in which inputs vary.
    condition : float
        Largest over smallest eigenvalue of Σx among those directions.
    notes : tuple of str
        What a reader should know: a rank-deficient or ill-conditioned Σx.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, an entry is not finite, Σx or Σy is not symmetric and positive semidefinite, or no data
        can have these correlations (Σyx points where inputs never vary; Σy is smaller than what the inputs explain).

    Notes
    -----
    Where Σx is rank-deficient, the pseudo-inverse leaves the directions without input variance out of the target.

    Examples
    --------
    >>> import numpy as np
    >>> task = LinearTask(np.diag([2.0, 1.0]))
    >>> task.strengths.tolist(), task.whitened
    ([2.0, 1.0], True)
    """

    def __init__(
        self, sigma_yx: np.ndarray, sigma_x: np.ndarray | None = None, sigma_y: np.ndarray | None = None
    ) -> None:
        yx = real_array("sigma_yx", sigma_yx, 2)
        outputs, inputs = yx.shape
        x = np.eye(inputs) if sigma_x is None else symmetric("sigma_x", sigma_x, size=inputs)
        y = None if sigma_y is None else symmetric("sigma_y", sigma_y, size=outputs)
        self.sigma_yx = read_only(yx)
        self.sigma_x = read_only(x)
        self.sigma_y = None if y is None else read_only(y)
        self.whitened = bool(np.array_equal(x, np.eye(inputs)))
        self.name = "task"
        self.whitening: np.ndarray | None = None
        self.notes: tuple[str, ...] = ()
        self._resolve_inputs()
        self._resolve_residual()

    def _resolve_inputs(self) -> None:
        """Target, input rank and condition from the eigenvalues of Σx."""
        inputs = len(self.sigma_x)
        if self.whitened:
            self.input_rank, self.condition = inputs, 1.0
            self._input_root = self.sigma_x
            self.target = self.sigma_yx
            return
        values, vectors = np.linalg.eigh(self.sigma_x)
        if values[-1] <= 0:
            raise ValueError("sigma_x is zero; inputs must vary in at least one direction")
        kept = values > values[-1] * inputs * _RANK_FRACTION
        values, vectors = values[kept], vectors[:, kept]
        self.input_rank = int(kept.sum())
        self.condition = float(values[-1] / values[0])
        outside = self.sigma_yx - (self.sigma_yx @ vectors) @ vectors.T
        # Σyx estimated from the same samples lies in the range of Σx up to rounding, which the smallest kept
        # eigenvalue may amplify to about √eps.
        if np.linalg.norm(outside) > 1e-7 * max(np.linalg.norm(self.sigma_yx), np.finfo(float).tiny):
            share = np.linalg.norm(outside) / np.linalg.norm(self.sigma_yx)
            raise ValueError(
                f"sigma_yx has {share:.2g} of its size along directions in which sigma_x has no variance; no data has "
                "such correlations"
            )
        self._input_root = read_only(vectors * np.sqrt(values))
        self.target = read_only((self.sigma_yx @ vectors / values) @ vectors.T)
        notes = []
        if self.input_rank < inputs:
            notes.append(
                f"sigma_x has rank {self.input_rank} of {inputs}: directions without input variance are left out of "
                "the target"
            )
        if self.condition > _ILL_CONDITIONED:
            notes.append(f"sigma_x has condition number {self.condition:.1e}: its weakest directions learn that slowly")
        self.notes = tuple(notes)

    def _resolve_residual(self) -> None:
        """The part of Σy that no linear map explains, Σy − T Σx Tᵀ = R Rᵀ."""
        explained = self.target @ self.sigma_yx.T
        explained = 0.5 * (explained + explained.T)
        self._label_correlation = self.sigma_y if self.sigma_y is not None else read_only(explained)
        self._residual_root = np.zeros((len(explained), 0))
        self.residual_loss = 0.0
        if self.sigma_y is None:
            return
        values, vectors = np.linalg.eigh(self.sigma_y - explained)
        scale = np.abs(self.sigma_y).max()
        if values[0] < -1e-8 * len(values) * scale:
            raise ValueError(
                f"sigma_y is smaller than what the inputs explain: sigma_y - target sigma_x target.T has the "
                f"eigenvalue {values[0]:.3g}; no data has such correlations"
            )
        kept = values > 1e-12 * scale
        self._residual_root = read_only(vectors[:, kept] * np.sqrt(values[kept]))
        self.residual_loss = float(0.5 * values[kept].sum())

    @cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _signed_modes(self.target)

    @cached_property
    def explained_modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Modes (Ũ, s̃, Ṽ) of T S, Σx = S Sᵀ: what inputs explain of the outputs, ½Σs̃² is all there is to learn.

        Shapes (o, d), (d,), (input_rank, d). For whitened inputs they are the modes of T; for correlated ones they
        weigh each input direction by its variance, where T itself is dominated by directions that hardly vary.
        """
        return self._modes if self.whitened else _signed_modes(self.target @ self.input_root)

    @property
    def left(self) -> np.ndarray:
        """U (o, d): output side of the modes."""
        return self._modes[0]

    @property
    def strengths(self) -> np.ndarray:
        """s (d,): strengths of the modes, descending."""
        return self._modes[1]

    @property
    def right(self) -> np.ndarray:
        """V (i, d): input side of the modes."""
        return self._modes[2]

    @property
    def inputs(self) -> int:
        """Number of inputs i."""
        return self.sigma_yx.shape[1]

    @property
    def outputs(self) -> int:
        """Number of outputs o."""
        return self.sigma_yx.shape[0]

    @property
    def label_correlation(self) -> np.ndarray:
        """Σy where it is known, else what the inputs explain of it, Σyx Σx⁺ Σyxᵀ (o, o)."""
        return self._label_correlation

    @property
    def input_root(self) -> np.ndarray:
        """S (i, input_rank) with Σx = S Sᵀ."""
        return self._input_root

    @property
    def residual_root(self) -> np.ndarray:
        """R (o, k) with Σy − T Σx Tᵀ = R Rᵀ; no columns where Σy is unknown or fully explained."""
        return self._residual_root

    def __repr__(self) -> str:
        kind = "whitened" if self.whitened else f"Σx of rank {self.input_rank}, condition {self.condition:.3g}"
        sizes = f"{self.inputs} inputs, {self.outputs} outputs, {len(self.strengths)} modes"
        return f"LinearTask({self.name}: {sizes}, {kind})"

    def excess_loss(self, network_map: np.ndarray) -> np.ndarray | float:
        """½ tr(Δ Σx Δᵀ), Δ = T − W: the loss of a map beyond that of the best one.

        Parameters
        ----------
        network_map : array (..., o, i)

        Returns
        -------
        float or array (...)

        Examples
        --------
        >>> import numpy as np
        >>> float(LinearTask(np.eye(2)).excess_loss(np.zeros((2, 2))))
        1.0
        """
        network_map = np.asarray(network_map)
        matching("network_map", network_map, self.target.shape)
        gap = self.target - network_map
        # Summing squares keeps a tiny excess accurate where a difference of traces would lose it.
        rooted = gap if self.whitened else gap @ self.input_root
        return 0.5 * np.square(rooted).sum((-2, -1))

    def loss(self, network_map: np.ndarray) -> np.ndarray | float:
        """½E|y − ŷ|² where Σy is known, else the excess over the best linear map; (..., o, i) → (...)."""
        return self.excess_loss(network_map) + self.residual_loss

    @classmethod
    def from_modes(
        cls,
        strengths: np.ndarray,
        inputs: int,
        outputs: int,
        seed: int = 0,
        *,
        left: np.ndarray | None = None,
        right: np.ndarray | None = None,
    ) -> "LinearTask":
        """Whitened task with given mode strengths, T = U diag(s) Vᵀ.

        Parameters
        ----------
        strengths : array (d,)
            s > 0, at most min(inputs, outputs) of them; sorted in descending order, with their vectors.
        inputs, outputs : int
            Sizes i and o.
        seed : int
            Seed of the singular vectors that are not given (drawn uniformly).
        left, right : array (o, d), (i, d), optional
            Orthonormal singular vectors U, V.

        Raises
        ------
        ValueError, TypeError
            If there are more modes than the sizes hold, a strength is not positive, or given vectors are not
            orthonormal.

        Examples
        --------
        >>> LinearTask.from_modes([1.0, 3.0], inputs=5, outputs=4).strengths.tolist()
        [3.0, 1.0]
        """
        s = real_array("strengths", strengths, 1)
        inputs, outputs = integer("inputs", inputs, at_least=1), integer("outputs", outputs, at_least=1)
        seed = seed_value("seed", seed)
        if (s <= 0).any():
            raise ValueError(f"strengths holds {s.min():g}; every strength must be positive")
        if len(s) > min(inputs, outputs):
            raise ValueError(
                f"strengths has {len(s)} entries; {inputs} inputs and {outputs} outputs hold at most "
                f"{min(inputs, outputs)} modes"
            )
        vectors = []
        for k, (name, given, size) in enumerate((("left", left, outputs), ("right", right, inputs))):
            if given is None:
                vectors.append(orthonormal_columns(stream(seed, "task", k), size, len(s)))
                continue
            given = real_array(name, given, 2)
            if given.shape != (size, len(s)):
                raise ValueError(f"{name} is {given.shape}; it must be ({size}, {len(s)})")
            # Vectors orthonormal to half precision are taken to be meant so; others would shift every strength.
            if np.abs(given.T @ given - np.eye(len(s))).max() > 1e-8:
                raise ValueError(f"{name} does not have orthonormal columns")
            vectors.append(given)
        order = np.argsort(-s, kind="stable")
        u, v, s = vectors[0][:, order], vectors[1][:, order], s[order]
        task = cls((u * s) @ v.T)
        # Keep the vectors given: with equal strengths a decomposition would return others.
        task._modes = (read_only(u), read_only(s), read_only(v))
        task.name = "modes"
        return task

    @classmethod
    def from_data(cls, x: np.ndarray, y: np.ndarray, *, whiten: bool = False, centre: bool = False) -> "LinearTask":
        """Task with the correlations of given samples.

        Parameters
        ----------
        x : array (samples, i)
        y : array (samples, o)
        whiten : bool
            Replace x by Λ^{−1/2} Vᵀ x, with Σx = V Λ Vᵀ: uncorrelated inputs of unit variance, one for each direction
            in which x varies. The matrix is kept as `whitening` (rank, i): a map M of whitened inputs is
            M @ whitening on the original ones.
        centre : bool
            Subtract the mean over samples from x and y first.

        Warns
        -----
        UserWarning
            If Σx is rank-deficient or ill-conditioned.

        Raises
        ------
        ValueError, TypeError
            If the numbers of samples differ, or an entry is not a finite real number.

        Examples
        --------
        >>> import numpy as np
        >>> task = LinearTask.from_data(np.array([[1.0], [-1.0]]), np.array([[2.0], [-2.0]]))
        >>> task.target.tolist(), float(task.loss(task.target))
        ([[2.0]], 0.0)
        """
        task = cls._from_samples(x, y, whiten=whiten, centre=centre)
        for note in task.notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        return task

    @classmethod
    def _from_samples(cls, x: np.ndarray, y: np.ndarray, *, whiten: bool, centre: bool) -> "LinearTask":
        x, y = real_array("x", x, 2), real_array("y", y, 2)
        whiten, centre = flag("whiten", whiten), flag("centre", centre)
        if len(x) != len(y):
            raise ValueError(f"y has {len(y)} samples; it must have {len(x)}, as x has")
        if centre:
            size = np.abs(x).max()
            x, y = x - x.mean(0), y - y.mean(0)
            # What rounding leaves of constant inputs is no variance.
            if np.abs(x).max() <= 1e-14 * size:
                raise ValueError("x is the same in every sample; inputs must vary in at least one direction")
        sigma_x, sigma_yx, sigma_y = x.T @ x / len(x), y.T @ x / len(x), y.T @ y / len(x)
        plain = cls(sigma_yx, sigma_x, sigma_y)
        plain.name = "data"
        if not whiten:
            return plain
        # S⁺ = Λ^{−1/2} Vᵀ: S has orthogonal columns, so its pseudo-inverse is its scaled transpose.
        root = plain.input_root
        whitening = (root / np.square(root).sum(0)).T
        task = cls(sigma_yx @ whitening.T, None, sigma_y)
        task.name, task.whitening, task.notes = "data", read_only(whitening), plain.notes
        return task

    @classmethod
    def digits(cls, *, whiten: bool = False) -> "LinearTask":
        """The 1,797 bundled handwritten digits: 64 pixels to 10 one-hot classes, both centred.

        Centring does what a bias would and leaves 9 modes. Three pixels never vary, so Σx has rank 61; its condition
        number is about 10⁵.

        Parameters
        ----------
        whiten : bool
            As in `from_data`.

        Examples
        --------
        >>> LinearTask.digits().input_rank
        61
        """
        from linfa.digits import load_digits

        images, labels = load_digits()
        task = cls._from_samples(images, np.eye(10)[labels], whiten=whiten, centre=True)
        task.name = "digits"
        return task

    @classmethod
    def semantic(cls, levels: int = 3) -> "LinearTask":
        """Items and their properties on a binary tree, the classic task of semantic development.

        Every node of the tree is a property, shared by all items (leaves) below it: "can grow" by all, "has roots" by
        the plants, "has petals" by the flowers. One input for each of the 2**levels items, one output for each of
        the 2**(levels + 1) − 1 properties; item inputs have unit variance, Σx = I. What all items share is the
        strongest mode; then each level of the tree adds the modes that tell the branches below its nodes apart,
        broad distinctions before fine ones. With n_m = 2**(levels − m) items below a node of level m, the modes that
        level m adds have s² = (n_m + n_{m+1} + … + 1)/2**levels.

        Source: Rogers & McClelland 2004; Saxe, McClelland & Ganguli 2019.

        Parameters
        ----------
        levels : int
            Depth of the tree, 1 … 8.

        Examples
        --------
        >>> task = LinearTask.semantic(2)
        >>> task.outputs, task.inputs, (task.strengths**2).round(9).tolist()
        (7, 4, [1.75, 0.75, 0.25, 0.25])
        """
        levels = integer("levels", levels, at_least=1, at_most=8)
        items = 2**levels
        rows = []
        for level in range(levels + 1):
            size = items >> level
            rows.extend(np.repeat(np.eye(1 << level), size, axis=1))
        properties = np.array(rows)
        task = cls(properties / np.sqrt(items), None, properties @ properties.T / items)
        task.name = "semantic"
        return task

    @classmethod
    def from_file(cls, path: str | Path, *, whiten: bool = False) -> "LinearTask":
        """Task from an ``.npz`` file: samples `x` and `y`, or correlations `sigma_yx`, `sigma_x`, `sigma_y`.

        Parameters
        ----------
        path : path of the file
        whiten : bool
            As in `from_data`; for samples alone.

        Raises
        ------
        FileNotFoundError, ValueError, TypeError
            If there is no such file, it is not an ``.npz`` file of plain arrays, or its arrays make no task.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}; it must be an .npz file with x and y, or with sigma_yx")
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} cannot be read as an .npz file; numpy.savez writes one from arrays")
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
        except Exception as error:
            raise ValueError(f"{path} cannot be read as an .npz file of plain arrays: {error}") from error
        if {"x", "y"} <= arrays.keys():
            task = cls._from_samples(arrays["x"], arrays["y"], whiten=whiten, centre=False)
        elif "sigma_yx" in arrays:
            if whiten:
                raise ValueError(f"{path} holds correlations; whiten is for samples x and y")
            task = cls(arrays["sigma_yx"], arrays.get("sigma_x"), arrays.get("sigma_y"))
        else:
            found = ", ".join(arrays) or "nothing"
            raise ValueError(f"{path} holds {found}; it must hold x and y, or sigma_yx (and sigma_x, sigma_y)")
        task.name = path.stem
        return task

    @classmethod
    def named(cls, name: str, *, whiten: bool = False) -> "LinearTask":
        """A built-in task by name: digits, or semantic."""
        if choice("name", name, ("digits", "semantic")) == "digits":
            return cls.digits(whiten=whiten)
        return cls.semantic()


def _signed_modes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular vectors and values up to the numerical rank, of the sign that makes each right vector's largest entry
    positive."""
    left, strengths, right = np.linalg.svd(matrix, full_matrices=False)
    keep = strengths > strengths[0] * max(matrix.shape) * _RANK_FRACTION
    left, strengths, right = left[:, keep], strengths[keep], right[keep].T
    if strengths.size:
        signs = np.sign(right[np.abs(right).argmax(0), np.arange(len(strengths))])
        left, right = left * signs, right * signs
    return read_only(left), read_only(strengths), read_only(right)
