"""Muon: momentum whose singular values are pushed towards 1 (Jordan et al. 2024)."""

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from types import ModuleType
from typing import ClassVar

import numpy as np

from linfa._check import choice, flag, integer
from linfa.nn import update_kernels
from linfa.nn.backend import namespace
from linfa.nn.optimisers import Memory, Optimiser, Step, clamped, fraction, scalars
from linfa.nn.parameters import Array

# Of f(σ) = a σ + b σ³ + c σ⁵: steep at 0 (each step lifts a small σ by a) and without a limit at 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Published beside the norm, so that a zero gradient is not divided by zero.
NORM_FLOOR = 1e-7
SHAPE_FACTORS = ("original", "flattened", "match-rms", "none")


def orthogonalise(matrix: Array, steps: int = 5) -> Array:
    """A matrix with the same singular vectors, its singular values pushed into about [0.68, 1.2].

    X = G/(‖G‖ + 1e-7), then `steps` times X ← (a + b A + c A²) X with A = X Xᵀ, on the smaller side, in G's precision.

    Parameters
    ----------
    matrix : array (m, n)
        G: NumPy or CuPy, float32 or float64.
    steps : int
        Newton–Schulz steps, at least 1.

    Returns
    -------
    array (m, n)
        With f(σ) = 3.4445 σ − 4.7750 σ³ + 2.0315 σ⁵, every singular value is f applied `steps` times to σ/‖G‖. After 5
        steps it lies in [0.681, 1.203] where σ/‖G‖ ≥ 0.00151, and is 485 σ/‖G‖ where that is small: no rank is created.
        The zero matrix stays zero.

    Raises
    ------
    ValueError, TypeError
        If `matrix` does not have two axes, is not in floating point, or has a norm that is not finite.

    Notes
    -----
    Source: Jordan et al. 2024, there in bfloat16. It is no exact orthogonalisation; that is the polar factor U Vᵀ.

    Examples
    --------
    >>> orthogonalise(np.diag([4.0, 1.0, 0.0])).diagonal().round(3)
    array([0.737, 0.743, 0.   ])
    """
    namespace(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix has {matrix.ndim} dimensions, shape {matrix.shape}; it must have 2")
    if matrix.dtype not in (np.float32, np.float64):
        raise TypeError(f"matrix holds {matrix.dtype}; it must hold float32 or float64")
    return _newton_schulz(matrix, _frobenius(matrix), integer("steps", steps, at_least=1))


def _frobenius(matrix: Array) -> float:
    """‖G‖, in double precision: squares of large single-precision numbers would overflow."""
    return sqrt(float((matrix.astype(np.float64) ** 2).sum()))


def _newton_schulz(matrix: Array, norm: float, steps: int) -> Array:
    if not isfinite(norm):
        raise ValueError(f"the matrix of shape {matrix.shape} to orthogonalise has norm {norm}; it must be finite")
    xp = namespace(matrix)
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (norm + NORM_FLOOR)
    linear, cubic, quintic = COEFFICIENTS
    diagonal = xp.arange(len(x))
    for _ in range(steps):
        gram = x @ x.T
        polynomial = cubic * gram + quintic * (gram @ gram)
        polynomial[diagonal, diagonal] += linear
        x = polynomial @ x
    return x.T if tall else x


@dataclass(frozen=True)
class Muon(Optimiser):
    """Orthogonalised momentum, for hidden matrices and convolution kernels.

        m ← μ m + (1 − μ) g;  u = m, with ``nesterov`` u = (1 − μ) g + μ m;  W ← W − η (s·orthogonalise(u) + wd W)

    Parameters
    ----------
    momentum : float
        μ, at least 0 and below 1.
    nesterov : bool
    steps : int
        Newton–Schulz steps; see `orthogonalise`.
    shape_factor : {"original", "flattened", "match-rms", "none"}
        s for W of shape (rows, columns), kernels flattened to (out, kernel·kernel·in):

        - ``"flattened"``: √max(1, rows/columns).
        - ``"original"``: the same for matrices. For kernels the published program takes the ratio of the last two axes
          of (out, in, height, width), not of the flattened matrix: √max(1, height/width), 1 for square kernels.
        - ``"match-rms"``: 0.2 √max(rows, columns), which gives updates the size of AdamW's, so that its rate and decay
          can be kept (Liu et al. 2025).
        - ``"none"``: 1.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; on `update`, if an array has neither two nor four axes, or the norm of what is
        to be orthogonalised is not finite.

    Notes
    -----
    Source: Jordan et al. 2024. Momentum that is summed and not averaged differs by a factor, which the normalisation
    removes. The decay is not multiplied by s.

    Examples
    --------
    >>> muon, w = Muon(), np.zeros((2, 2))
    >>> muon.update(w, np.diag([5.0, -5.0]), muon.start(w), Step(1, rate=0.1))
    >>> w.round(3) + 0.0  # the signs of the singular values count, hardly their size
    array([[-0.111,  0.   ],
           [ 0.   ,  0.111]])
    """

    momentum: float = 0.95
    nesterov: bool = True
    steps: int = 5
    shape_factor: str = "original"

    hidden_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", fraction("momentum", self.momentum))
        flag("nesterov", self.nesterov)
        object.__setattr__(self, "steps", integer("steps", self.steps, at_least=1))
        choice("shape_factor", self.shape_factor, SHAPE_FACTORS)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",)

    def scale(self, shape: tuple[int, ...]) -> float:
        """The shape factor s for weights of this shape.

        Examples
        --------
        >>> [round(Muon(shape_factor=name).scale((64, 3, 3, 1)), 3) for name in SHAPE_FACTORS]
        [1.0, 2.667, 1.6, 1.0]
        """
        if len(shape) not in (2, 4):
            raise ValueError(f"the weights have shape {tuple(shape)}; Muon takes matrices and kernels of four axes")
        rows, columns = shape[0], int(np.prod(shape[1:]))
        if self.shape_factor == "none":
            return 1.0
        if self.shape_factor == "match-rms":
            return 0.2 * sqrt(max(rows, columns))
        if self.shape_factor == "original" and len(shape) == 4:
            rows, columns = shape[1:3]
        return sqrt(max(1.0, rows / columns))

    def _blend(self) -> tuple[float, float, float, float]:
        """Factors of m and g in the new m, and of g and m in u."""
        now, past = (1.0 - self.momentum, self.momentum) if self.nesterov else (0.0, 1.0)
        return self.momentum, 1.0 - self.momentum, now, past

    def _fused(self, value: np.ndarray, gradient: np.ndarray, memory: Memory, step: Step) -> None:
        scale = self.scale(step.shape or value.shape)
        blended = np.empty((len(value), value.size // len(value)), value.dtype)
        squares = update_kernels.average_gradient(
            gradient.reshape(-1),
            memory["momentum"].reshape(-1),
            blended.reshape(-1),
            *scalars(value, *self._blend(), step.limit),
        )
        direction = np.ascontiguousarray(_newton_schulz(blended, sqrt(squares), self.steps))
        how = scalars(value, step.rate * scale, step.shrinkage, inf)
        update_kernels.gradient_step(value.reshape(-1), direction.reshape(-1), *how)

    def _plain(self, xp: ModuleType, value: Array, gradient: Array, memory: Memory, step: Step) -> None:
        scale = self.scale(step.shape or value.shape)
        keep, take, now, past = self._blend()
        g, m = clamped(xp, gradient, step), memory["momentum"]
        m *= keep
        m += take * g
        blended = (now * g + past * m).reshape(len(value), -1)
        direction = _newton_schulz(blended, _frobenius(blended), self.steps).reshape(value.shape)
        value -= step.rate * scale * direction + step.shrinkage * value
