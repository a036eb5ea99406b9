"""Initial weights of deep linear networks."""

import itertools
from collections.abc import Sequence

import numpy as np

from linfa._check import choice, integer, layer_widths, real_array, real_number, seed_value
from linfa._random import orthonormal_columns, stream
from linfa.tasks import LinearTask

KINDS = ("zero", "gaussian", "orthogonal", "balanced", "lambda-balanced", "aligned")


def initial_weights(
    widths: Sequence[int],
    kind: str = "gaussian",
    scale: float | np.ndarray = 1e-3,
    seed: int = 0,
    *,
    balance: float = 0.0,
    task: LinearTask | None = None,
    members: int | None = None,
) -> list[np.ndarray]:
    """Weights W_1 … W_L of a network with the given layer sizes.

    Parameters
    ----------
    widths : sequence of int
        Layer sizes, input first: (i, h, o) for two weight matrices.
    kind : str
        - ``"zero"``: all entries 0.
        - ``"gaussian"``: independent entries N(0, scale²).
        - ``"orthogonal"``: scale times a matrix with orthonormal rows or columns, drawn uniformly (Saxe et al. 2013).
        - ``"balanced"``: W_l = scale R_l R_{l−1}ᵀ with orthonormal R_l of as many columns as the narrowest layer
          has units, so that W_{l+1}ᵀ W_{l+1} = W_l W_lᵀ (A4).
        - ``"lambda-balanced"``: W_{l+1}ᵀ W_{l+1} − W_l W_lᵀ = balance · I between all layers (A5; Dominé et al. 2024).
        - ``"aligned"``: W_l = R_l diag(a) R_{l−1}ᵀ with R_0 = V and R_L = U the modes of `task`, R_l between random
          with orthonormal columns (A1). Mode k of the map starts at a_k^L.
    scale : float or array (d,)
        Size, ≥ 0. For ``"aligned"`` also one value a_k for each mode of the task.
    seed : int
        Seed of everything drawn.
    balance : float
        λ of ``"lambda-balanced"``, of either sign.
    task : LinearTask
        The task whose modes ``"aligned"`` follows.
    members : int, optional
        Draw this many networks; every matrix gets a leading axis. Member m does not depend on `members`.

    Returns
    -------
    list of array (out, in), or (members, out, in)
        First layer first.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above, or the sizes admit no such weights.

    Examples
    --------
    >>> [w.shape for w in initial_weights((4, 8, 3), kind="orthogonal", scale=0.1, seed=1)]
    [(8, 4), (3, 8)]
    """
    widths = layer_widths(widths)
    kind = choice("kind", kind, KINDS)
    seed = seed_value("seed", seed)
    balance = real_number("balance", balance)
    if balance != 0.0 and kind != "lambda-balanced":
        raise ValueError(f"balance is {balance:g}; only kind 'lambda-balanced' takes one, kind is {kind!r}")
    if kind == "aligned":
        strengths = _aligned_strengths(widths, scale, task)
    else:
        if task is not None:
            raise ValueError(f"task is given; only kind 'aligned' takes one, kind is {kind!r}")
        scale = real_number("scale", scale, at_least=0.0)
    if members is None:
        keys: list[tuple[int, ...]] = [()]
    else:
        keys = [(m,) for m in range(integer("members", members, at_least=1))]
    drawn = []
    for key in keys:
        generators = [stream(seed, "weights", layer, *key) for layer in range(len(widths))]
        if kind == "zero":
            drawn.append([np.zeros((n, m)) for m, n in itertools.pairwise(widths)])
        elif kind == "gaussian":
            drawn.append(_gaussian(widths, scale, generators))
        elif kind == "orthogonal":
            drawn.append(
                [scale * _orthogonal(g, n, m) for m, n, g in zip(widths, widths[1:], generators, strict=False)]
            )
        elif kind == "balanced":
            drawn.append(_balanced(widths, scale, generators))
        elif kind == "lambda-balanced":
            drawn.append(_lambda_balanced(widths, scale, balance, generators))
        else:
            drawn.append(_aligned(widths, strengths, task, generators))
    if members is None:
        return drawn[0]
    return [np.stack(layer) for layer in zip(*drawn, strict=True)]


def _gaussian(widths: tuple[int, ...], scale: float, generators: list[np.random.Generator]) -> list[np.ndarray]:
    return [scale * g.standard_normal((n, m)) for m, n, g in zip(widths, widths[1:], generators, strict=False)]


def _orthogonal(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    if rows >= columns:
        return orthonormal_columns(generator, rows, columns)
    return orthonormal_columns(generator, columns, rows).T


def _balanced(widths: tuple[int, ...], scale: float, generators: list[np.random.Generator]) -> list[np.ndarray]:
    narrow = min(widths)
    frames = [orthonormal_columns(g, n, narrow) for n, g in zip(widths, generators, strict=True)]
    return [scale * upper @ lower.T for lower, upper in itertools.pairwise(frames)]


def _lambda_balanced(
    widths: tuple[int, ...], scale: float, balance: float, generators: list[np.random.Generator]
) -> list[np.ndarray]:
    """From one Gaussian end, each next matrix is a root of the gram matrix that the condition asks for.

    For λ ≥ 0 upwards: W_{l+1} = O (W_l W_lᵀ + λ I)^{1/2}; for λ < 0 the same on the transposed network, downwards.
    """
    if balance < 0.0:
        flipped = _lambda_balanced(widths[::-1], scale, -balance, generators)
        return [w.T for w in reversed(flipped)]
    weights = _gaussian(widths[:2], scale, generators[:1])
    for layer in range(2, len(widths)):
        gram = weights[-1] @ weights[-1].T
        values, vectors = np.linalg.eigh(gram)
        # Eigenvalues that are zero but for rounding must not ask for room that is not needed.
        values = np.where(values > values[-1] * len(values) * np.finfo(float).eps, values, 0.0) + balance
        kept = values > 0.0
        needed = int(kept.sum())
        if needed > widths[layer]:
            side = "follow" if balance > 0.0 else "balance"
            raise ValueError(
                f"widths is {widths} (or reversed, for a negative balance): a layer of {widths[layer]} units is too "
                f"small to {side} one of rank {needed}; kind 'lambda-balanced' with balance {balance:g} needs at "
                f"least {needed}"
            )
        frame = orthonormal_columns(generators[layer - 1], widths[layer], needed)
        weights.append(frame * np.sqrt(values[kept]) @ vectors[:, kept].T)
    return weights


def _aligned_strengths(widths: tuple[int, ...], scale: object, task: object) -> np.ndarray:
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; kind 'aligned' needs the LinearTask whose modes it follows")
    if (widths[0], widths[-1]) != (task.inputs, task.outputs):
        raise ValueError(
            f"widths starts with {widths[0]} and ends with {widths[-1]}; the task has {task.inputs} inputs and "
            f"{task.outputs} outputs"
        )
    modes = len(task.strengths)
    if min(widths) < modes:
        raise ValueError(f"widths is {widths}; each layer must hold the {modes} modes of the task")
    values = real_array("scale", scale, (0, 1))
    if values.ndim == 1 and len(values) != modes:
        raise ValueError(f"scale has {len(values)} entries; it must be a number or have one for each of {modes} modes")
    if (values < 0).any():
        raise ValueError(f"scale holds {values.min():g}; it must be at least 0")
    return np.broadcast_to(values, (modes,))


def _aligned(
    widths: tuple[int, ...], strengths: np.ndarray, task: LinearTask, generators: list[np.random.Generator]
) -> list[np.ndarray]:
    frames = [task.right]
    frames += [orthonormal_columns(g, n, len(strengths)) for n, g in zip(widths[1:-1], generators[1:-1], strict=True)]
    frames.append(task.left)
    return [(upper * strengths) @ lower.T for lower, upper in itertools.pairwise(frames)]
