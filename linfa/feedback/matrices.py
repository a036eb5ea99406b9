"""Starting matrices of feedback: their shapes in a network, given ones checked, others drawn."""

from collections.abc import Sequence

import numpy as np

from linfa._check import read_only, real_array
from linfa._random import orthonormal_columns, stream


def given_matrices(name: str, value: object) -> tuple[np.ndarray, ...] | None:
    """A list of matrices as read-only arrays, or None."""
    if value is None:
        return None
    if isinstance(value, (str, bytes, np.ndarray)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {type(value).__name__}; it must be a list of matrices, one for each hidden layer")
    return tuple(read_only(real_array(f"{name}[{k}]", matrix, 2)) for k, matrix in enumerate(value))


def fitting(name: str, matrices: tuple[np.ndarray, ...], shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """The given matrices, if they have the shapes that the network asks for."""
    if len(matrices) != len(shapes):
        raise ValueError(f"{name} has {len(matrices)} matrices; this network takes {len(shapes)}, one per hidden layer")
    for k, (matrix, shape) in enumerate(zip(matrices, shapes, strict=True)):
        if matrix.shape != shape:
            raise ValueError(f"{name}[{k}] is {matrix.shape}; it must be {shape} (receiving layer × what it carries)")
    return list(matrices)


def carrier_shapes(widths: tuple[int, ...], direct: bool) -> list[tuple[int, int]]:
    """(receiving layer, what is carried) for each hidden layer."""
    return [(widths[h + 1], widths[-1] if direct else widths[h + 2]) for h in range(len(widths) - 2)]


def draw_matrices(
    shapes: list[tuple[int, int]], seed: int, scale: float, draw: str, factor: int = 0
) -> list[np.ndarray]:
    """Matrices with entries N(0, scale²/rows), or scale times orthonormal columns: Mᵀ M ≈ or = scale² I."""
    if draw == "svd":
        raise ValueError("draw is 'svd', which factors weights; in the linear theory give q_matrices and p_matrices")
    drawn = []
    for h, (rows, columns) in enumerate(shapes):
        generator = stream(seed, "feedback", factor, h)
        if draw == "orthonormal":
            if rows < columns:
                raise ValueError(
                    f"draw is 'orthonormal'; feedback to {rows} units cannot have {columns} orthonormal columns"
                )
            drawn.append(scale * orthonormal_columns(generator, rows, columns))
        else:
            drawn.append(scale / np.sqrt(rows) * generator.standard_normal((rows, columns)))
    return drawn
