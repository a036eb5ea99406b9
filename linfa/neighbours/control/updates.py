"""What control teaches: its updates, the shortest that do the same, backprop's, and when they coincide (D2, D3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import choice, flag, real_array
from linfa.neighbours.control.layers import Layers, checked_layers, finite, fitting, stacked_jacobian
from linfa.neighbours.control.steady import SteadyState


def damped_gain(s: Any, leak: Any) -> Any:
    """s/(s² + a): how strongly control with Q = Jᵀ pushes along a mode of J of singular value s (D2).

    The pseudo-inverse has 1/s. Source: Meulemans et al. 2021.

    Examples
    --------
    >>> damped_gain(2.0, 1.0)
    0.4
    """
    return s / (s**2 + leak)


def damping_error(s: Any, leak: Any) -> Any:
    """a/(s² + a): part of the Gauss–Newton correction that leaky control lacks along a mode of J (D2).

    Over all modes the relative error is at most that of the smallest singular value.

    Examples
    --------
    >>> damping_error(2.0, 1.0)
    0.2
    """
    return leak / (s**2 + leak)


def gauss_newton_correction(jacobian: np.ndarray, error: np.ndarray) -> np.ndarray:
    """J⁺ δ: the smallest push on all neurons that, to first order, moves the output by δ (D2).

    Parameters
    ----------
    jacobian : array (o, N)
    error : array (o,)

    Returns
    -------
    array (N,)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> gauss_newton_correction(np.array([[3.0, 4.0]]), np.array([25.0])).round(12).tolist()
    [3.0, 4.0]
    """
    jacobian = real_array("jacobian", jacobian, 2)
    return np.linalg.pinv(jacobian) @ fitting("error", error, len(jacobian))


def row_space_part(q: np.ndarray, jacobian: np.ndarray) -> np.ndarray | float:
    """|P_J Q|/|Q|, P_J = J⁺J: the part of Q in the row space of J; 1 where control is Gauss–Newton (D3, condition 2).

    Parameters
    ----------
    q : array (..., N, o)
        One Q, or several.
    jacobian : array (o, N)

    Returns
    -------
    float or array (...)
        In [0, 1]; NaN where Q is zero. √(o/N) is what a random Q has.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Source: Meulemans et al. 2021.

    Examples
    --------
    >>> float(row_space_part(np.array([[3.0], [4.0]]), np.array([[1.0, 0.0]])))
    0.6
    """
    q, jacobian = real_array("q", q, (2, 3, 4)), real_array("jacobian", jacobian, 2)
    if q.shape[-2] != jacobian.shape[1]:
        raise ValueError(f"q is {q.shape}; it must have {jacobian.shape[1]} rows, as jacobian has columns")
    _, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    rows = rows[values > values[0] * max(jacobian.shape) * np.finfo(float).eps]
    # Squares of very large or small entries would leave the range of floating point.
    largest = np.abs(q).max(axis=(-2, -1), keepdims=True)
    q = q / np.where(largest > 0, largest, 1.0)
    size = np.linalg.norm(q, axis=(-2, -1))
    inside = np.linalg.norm(rows @ q, axis=(-2, -1))
    part = np.divide(inside, size, out=np.full_like(size, np.nan), where=size > 0)
    return np.minimum(part, 1.0)[()]


def control_update(state: SteadyState, *, normalise: bool = False, below: str = "controlled") -> list[np.ndarray]:
    """What every layer learns from a controlled network at rest, at learning rate 1 (DFC-SS, strong-DFC).

    ΔW_l = (v_l − W_l r_{l−1}) r_{l−1}ᵀ = (Q_l u) r_{l−1}ᵀ

    divided by |r_{l−1}|² where `normalise` is set (D5). Then one update at rate 1 with the activity under control turns
    the controlled state into that of the free network.

    Parameters
    ----------
    state : SteadyState
    normalise : bool
    below : {"controlled", "free"}
        Which activity r_{l−1} is learned from: that under control, or that of the free network, the limit of weak
        nudges.

    Returns
    -------
    list of array (n_l, n_{l−1})

    Raises
    ------
    ValueError
        If a layer is to be normalised by an activity of zero, or `below` is unknown.

    Notes
    -----
    Source: Meulemans et al. 2021, 2022; the statement about one update is derived here.

    Examples
    --------
    >>> weights = [np.array([[1.0]]), np.array([[2.0]])]
    >>> from linfa.neighbours.control import jacobian, steady_state
    >>> state = steady_state(weights, jacobian(weights, [1.0]).T, [1.0], [7.0], alpha=0.0)
    >>> [w.tolist() for w in control_update(state)]
    [[[2.0]], [[3.0]]]
    """
    if not isinstance(state, SteadyState):
        raise TypeError(f"state is {type(state).__name__}; it must be what steady_state returns")
    under_control = choice("below", below, ("controlled", "free")) == "controlled"
    heard = [state.x, *(state.activity if under_control else state.free_activity)[:-1]]
    pushes, activities = ([v[:, None] for v in vectors] for vectors in (state.correction, heard))
    if not flag("normalise", normalise):
        return pushed_updates(pushes, activities)
    squares = [float(r @ r) for r in heard]
    if 0.0 in squares:
        raise ValueError(f"state has no activity below layer {squares.index(0.0) + 1}; normalise must be False")
    return pushed_updates(pushes, activities, squares)


def pushed_updates(pushes: Sequence[Any], activities: Sequence[Any], squares: Sequence[Any] | None = None) -> list[Any]:
    """ΔW_l = c_l r_{l−1}ᵀ, or c_l r_{l−1}ᵀ/|r_{l−1}|²: each layer learns the push that it got (D3, D5).

    Parameters
    ----------
    pushes : sequence of columns c_1 … c_L, (n_l, 1)
    activities : sequence of columns r_0 … r_{L−1}, (n_{l−1}, 1)
    squares : sequence of |r_{l−1}|², optional

    Examples
    --------
    >>> pushed_updates([np.ones((1, 1))], [np.array([[1.0], [2.0]])], [5.0])[0].tolist()
    [[0.2, 0.4]]
    """
    updates = [c @ transposed(r) for c, r in zip(pushes, activities, strict=True)]
    return updates if squares is None else [u / s for u, s in zip(updates, squares, strict=True)]


def shared_updates(blocks: Sequence[Any], control: Any, activities: Sequence[Any]) -> list[Any]:
    """ΔW_l = J_lᵀ y r_{l−1}ᵀ: one vector y, in units of the output, tells every layer what to do (D3).

    Parameters
    ----------
    blocks : sequence of matrices J_1 … J_L, (o, n_l)
    control : y, (o, 1)
    activities : sequence of columns r_0 … r_{L−1}, (n_{l−1}, 1)

    Notes
    -----
    y = δ is backprop; y = u is control with Q = Jᵀ; y = K⁻¹δ with K = Σ |r_{l−1}|² J_l J_lᵀ is the shortest update
    that, to first order, moves the output by δ.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> [u.tolist() for u in shared_updates([2 * one, one], one, [3 * one, one])]
    [[[6.0]], [[1.0]]]
    """
    return pushed_updates([transposed(block) @ control for block in blocks], activities)


def _free_blocks(
    weights: object, x: object, nonlinearity: str, output: str
) -> tuple[Layers, list[np.ndarray], list[np.ndarray]]:
    """Layers, J_1 … J_L and r_0 … r_{L−1} (columns) of the free network."""
    layers = checked_layers(weights, nonlinearity, output)
    x = fitting("x", x, layers.weights[0].shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        activity = layers.respond(x)[1]
        blocks = layers.split(finite("a Jacobian", stacked_jacobian(layers, activity)))
    return layers, blocks, [r[:, None] for r in (x, *activity[:-1])]


def backprop_update(
    weights: object, x: object, error: object, *, nonlinearity: str = "linear", output: str = "linear"
) -> list[np.ndarray]:
    """ΔW_l = J_lᵀ δ r_{l−1}ᵀ, the downhill direction of ½|δ|², at learning rate 1.

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
    x, error : arrays (i,), (o,)
        Input, and what the output lacks, δ = r* − r_L.
    nonlinearity, output : {"linear", "tanh"}

    Returns
    -------
    list of array (n_l, n_{l−1})

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a name is unknown.

    Examples
    --------
    >>> [w.tolist() for w in backprop_update([[[1.0]], [[2.0]]], [3.0], [1.0])]
    [[[6.0]], [[3.0]]]
    """
    layers, blocks, below = _free_blocks(weights, x, nonlinearity, output)
    return shared_updates(blocks, fitting("error", error, layers.sizes[-1])[:, None], below)


def minimum_norm_update(
    weights: object, x: object, error: object, *, nonlinearity: str = "linear", output: str = "linear"
) -> list[np.ndarray]:
    """The shortest ΔW that, to first order, moves the output by δ: a Gauss–Newton step of a single sample (D3).

    ΔW_l = J_lᵀ y r_{l−1}ᵀ,   (Σ_l |r_{l−1}|² J_l J_lᵀ) y = δ

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
    x, error : arrays (i,), (o,)
        Input, and the change δ of the output that is asked for.
    nonlinearity, output : {"linear", "tanh"}

    Returns
    -------
    list of array (n_l, n_{l−1})

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a name is unknown, or no change of the weights can move the output in every direction.

    Notes
    -----
    It is parallel to `control_update` with weak control where every |r_{l−1}| is the same (condition 1) and the columns
    of Q span the rows of J (condition 2). Source: Meulemans et al. 2021.

    Examples
    --------
    >>> [w.round(12).tolist() for w in minimum_norm_update([[[1.0]], [[2.0]]], [1.0], [5.0])]
    [[[2.0]], [[1.0]]]
    """
    layers, blocks, below = _free_blocks(weights, x, nonlinearity, output)
    error = fitting("error", error, layers.sizes[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        kernel = finite("a kernel", sum((float((r * r).sum()) * j @ j.T for j, r in zip(blocks, below, strict=True))))
    values = np.linalg.eigvalsh(kernel)
    if not values[0] > len(kernel) * np.finfo(float).eps * values[-1]:
        raise ValueError(
            "x and weights leave some outputs that no change of the weights moves: the kernel Σ|r|²JJᵀ is singular"
        )
    return shared_updates(blocks, np.linalg.solve(kernel, error)[:, None], below)


def flattened(updates: Sequence[np.ndarray]) -> np.ndarray:
    """The updates of all layers as one vector, to be compared with `linfa.metrics.cosine`.

    Examples
    --------
    >>> flattened([np.eye(1), np.zeros((1, 2))]).tolist()
    [1.0, 0.0, 0.0]
    """
    if isinstance(updates, np.ndarray) or not isinstance(updates, Sequence):
        raise TypeError(f"updates is {type(updates).__name__}; it must be a list of one matrix for each layer")
    return np.concatenate([real_array(f"updates[{k}]", u, 2).ravel() for k, u in enumerate(updates)])
