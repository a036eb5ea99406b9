"""What control costs, the exact gradient of that cost, and learning that follows it: strong-DFC (D7)."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import flag, integer, real_array, real_number
from linfa.neighbours.control.layers import Layers, checked_layers, finite, fitting, stacked_feedback, stacked_jacobian
from linfa.neighbours.control.steady import SteadyState, at_rest, checked_leak, solve_loop
from linfa.neighbours.control.updates import control_update
from linfa.simulation import DivergenceWarning

# Rounds in which feedback is matched to the state that it brings about; each gains a digit or so at usual slopes.
_ROUNDS = 300
# Relative change of Q at which it counts as matched: rounding of J in a network of a few layers.
_MATCHED = 1e-13


def cost_row(control: Any, q: Any, inverse: Any, jacobian: Any) -> Any:
    """uᵀ QᵀQ (J Q + a I)⁻¹ J: what −dH is, for a push on each neuron that the weights give of themselves (D7).

    Parameters
    ----------
    control : u, (o, 1)
    q, jacobian : matrices (N, o), (o, N), at the controlled state
    inverse : (J Q + a I)⁻¹, (o, o)

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> cost_row(2 * one, 3 * one, one / 3, one).tolist()
    [[6.0]]
    """
    return transposed(control) @ transposed(q) @ q @ inverse @ jacobian


def cost_gradient(state: SteadyState) -> list[np.ndarray]:
    """dH/dW_l of the control cost H = ½|Q u|² at standing Q: exact, for any Q (D7).

    dH/dW_l = −[uᵀ QᵀQ (J Q + a I)⁻¹ J]_lᵀ r_{l−1}ᵀ

    Parameters
    ----------
    state : SteadyState
        Its J and r are those under control.

    Returns
    -------
    list of array (n_l, n_{l−1})

    Raises
    ------
    ValueError
        If J Q + a I is singular at the controlled state.

    Notes
    -----
    Without leak, and where the columns of Q span the rows of J, it is minus `control_update`: the local rule descends
    the cost exactly. At H = 0 the free network has no error. Source: Meulemans et al. 2022; with a leak derived here.

    Examples
    --------
    >>> from linfa.neighbours.control import jacobian, steady_state
    >>> weights = [np.array([[1.0]]), np.array([[2.0]])]
    >>> state = steady_state(weights, jacobian(weights, [1.0]).T, [1.0], [7.0], alpha=0.0)
    >>> [w.round(12).tolist() for w in cost_gradient(state)]
    [[[-2.0]], [[-3.0]]]
    """
    if not isinstance(state, SteadyState):
        raise TypeError(f"state is {type(state).__name__}; it must be what steady_state returns")
    inverse = solve_loop(state.jacobian, state.q, state.leak, np.eye(len(state.control)))
    if inverse is None:
        raise ValueError("state has a singular J Q + a I; its cost has no gradient")
    row = cost_row(state.control[:, None], state.q, inverse, state.jacobian)[0]
    parts = np.split(row, np.cumsum([len(v) for v in state.potentials])[:-1])
    return [-np.outer(part, r) for part, r in zip(parts, [state.x, *state.activity[:-1]], strict=True)]


def aligned_steady_state(
    weights: object,
    x: object,
    target: object,
    alpha: float = 0.0,
    k_p: float = 0.0,
    *,
    nonlinearity: str = "linear",
    output: str = "linear",
) -> SteadyState:
    """The steady state under feedback Q = Jᵀ that is matched to J at that very state (D7).

    Without leak it is the cheapest control that reaches the target, up to local alternatives.

    Parameters
    ----------
    weights, x, target, alpha, k_p, nonlinearity, output
        As in `steady_state`.

    Returns
    -------
    SteadyState
        Its `q` is the feedback found.

    Raises
    ------
    ValueError, TypeError
        As in `steady_state`; also if matching does not come to an end.

    Notes
    -----
    The cheapest push c with r_L(c) = r* is stationary in ½|c|² − μᵀr_L, so c = Jᵀμ. Source: Meulemans et al. 2022.

    Examples
    --------
    >>> state = aligned_steady_state([[[1.0]], [[2.0]]], [0.5], [1.5], nonlinearity="tanh")
    >>> bool(np.allclose(state.q, state.jacobian.T, rtol=1e-12)), round(float(state.activity[-1][0]), 12)
    (True, 1.5)
    """
    layers = checked_layers(weights, nonlinearity, output)
    x = fitting("x", x, layers.weights[0].shape[1])
    target = fitting("target", target, layers.sizes[-1])
    return _matched(layers, x, target, checked_leak(alpha, k_p, "integral"))


def _matched(layers: Layers, x: np.ndarray, target: np.ndarray, leak: float) -> SteadyState:
    """The steady state under its own Jᵀ, for arguments that are checked."""
    with np.errstate(over="ignore", invalid="ignore"):
        q = _guess(layers, x, target, leak)
    for _ in range(_ROUNDS):
        state = at_rest(layers, q, x, target, leak)
        change = np.abs(state.jacobian.T - q).max()
        if change <= _MATCHED * np.abs(q).max():
            return state
        q = state.jacobian.T.copy()
    raise ValueError(
        f"target is too far for feedback to be matched to it: after {_ROUNDS} rounds Q still changes by {change:.2g}; "
        f"it must be closer to the free output"
    )


def _guess(layers: Layers, x: np.ndarray, target: np.ndarray, leak: float) -> np.ndarray:
    """Jᵀ after Gauss–Newton steps c ← Jᵀ(JJᵀ + aI)⁻¹(r* − r_L + J c), which are cheap; the free one where they fail."""
    activity = layers.respond(x)[1]
    free = q = finite("a Jacobian", stacked_jacobian(layers, activity)).T
    if layers.linear:
        return free
    push = np.zeros(len(q))
    for _ in range(_ROUNDS):
        control = solve_loop(q.T, q, leak, target - activity[-1] + q.T @ push)
        if control is None:
            return free
        push = q @ control
        activity = layers.respond(x, layers.split(push))[1]
        before, q = q, stacked_jacobian(layers, activity).T
        if np.abs(q - before).max() <= _MATCHED * np.abs(q).max():
            return q
    return free


@dataclass(frozen=True)
class LearningRun:
    """Learning by control.

    Attributes
    ----------
    updates : array (T,)
        0 … number of updates.
    weights : list of array (n_l, n_{l−1})
        At the end.
    cost : array (T,)
        Control cost H before each update and at the end, mean over the samples.
    loss : array (T,)
        ½|y − r_L⁻|² of the free network, mean over the samples.
    """

    updates: np.ndarray
    weights: list[np.ndarray]
    cost: np.ndarray
    loss: np.ndarray


def learn(
    weights: object,
    x: object,
    labels: object,
    *,
    updates: int,
    learning_rate: float,
    q: object = None,
    alpha: float = 0.0,
    k_p: float = 0.0,
    nudge: float = 1.0,
    normalise: bool = False,
    nonlinearity: str = "linear",
    output: str = "linear",
) -> LearningRun:
    """Updates W_l ← W_l + η <(Q_l u) r_{l−1}ᵀ> from controlled steady states, the mean over all samples (D5, D7).

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
    x, labels : arrays (samples, i), (samples, o)
    updates : int
    learning_rate : float
        η > 0.
    q : list of array (n_l, o), or array (N, o), optional
        Standing feedback weights; None matches Q = Jᵀ to every controlled state.
    alpha, k_p, nonlinearity, output
        As in `steady_state`.
    nudge : float
        λ in (0, 1]: the target is r_L⁻ + λ (y − r_L⁻). 1 is strong-DFC; DFC is the limit of small ones.
    normalise : bool
        Divide by |r_{l−1}|²; see `control_update`.

    Returns
    -------
    LearningRun

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a parameter is out of its range, or some steady state cannot be reached from the start.

    Warns
    -----
    DivergenceWarning
        If learning loses a steady state or leaves the range of floating point; the run ends before that.

    Notes
    -----
    A single sample, linear layers, matched feedback without leak and normalised updates: the error shrinks by
    1 − η λ in every update once it is small, whatever the weights are (D5). Source: Meulemans et al. 2021, 2022.

    Examples
    --------
    >>> run = learn([[[1.0]], [[2.0]]], [[1.0]], [[3.0]], updates=60, learning_rate=0.1)
    >>> bool((np.diff(run.cost) < 0).all()), bool(run.loss[-1] < 1e-3 * run.loss[0])
    (True, True)
    """
    layers = checked_layers(weights, nonlinearity, output)
    x, labels = real_array("x", x, 2), real_array("labels", labels, 2)
    if x.shape[1] != layers.weights[0].shape[1]:
        raise ValueError(f"x is {x.shape}; it must be (samples, {layers.weights[0].shape[1]})")
    if labels.shape != (len(x), layers.sizes[-1]):
        raise ValueError(f"labels is {labels.shape}; it must be {(len(x), layers.sizes[-1])}")
    stacked = None if q is None else stacked_feedback(layers, q)
    updates = integer("updates", updates, at_least=0)
    rate = real_number("learning_rate", learning_rate, above=0.0)
    nudge = real_number("nudge", nudge, above=0.0, at_most=1.0)
    leak, normalise = checked_leak(alpha, k_p, "integral"), flag("normalise", normalise)
    costs, losses = np.zeros(updates + 1), np.zeros(updates + 1)
    for step in range(updates + 1):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                changes, costs[step], losses[step] = _mean_update(layers, stacked, x, labels, nudge, leak, normalise)
        except ValueError as error:
            # With the weights that were given it is the arguments that are wrong; later it is learning.
            if step == 0:
                raise
            warnings.warn(
                f"learning diverged in update {step}, after which some steady state is out of reach ({error}); "
                f"learning_rate must be smaller",
                DivergenceWarning,
                stacklevel=2,
            )
            return LearningRun(np.arange(step), layers.weights, costs[:step], losses[:step])
        if step < updates:
            moved = [w + rate * change for w, change in zip(layers.weights, changes, strict=True)]
            layers = Layers(moved, layers.nonlinearity, layers.output)
    return LearningRun(np.arange(updates + 1), layers.weights, costs, losses)


def _mean_update(
    layers: Layers,
    q: np.ndarray | None,
    x: np.ndarray,
    labels: np.ndarray,
    nudge: float,
    leak: float,
    normalise: bool,
) -> tuple[list[np.ndarray], float, float]:
    """Update, control cost and loss of the free network, each the mean over the samples."""
    total, cost, loss = [np.zeros_like(w) for w in layers.weights], 0.0, 0.0
    for sample, label in zip(x, labels, strict=True):
        free = finite("an output", layers.respond(sample)[1][-1])
        target = free + nudge * (label - free)
        state = _matched(layers, sample, target, leak) if q is None else at_rest(layers, q, sample, target, leak)
        cost += state.cost
        loss += 0.5 * float(np.square(label - free).sum())
        for part, change in zip(total, control_update(state, normalise=normalise), strict=True):
            part += change
    finite("a cost or a loss", np.array([cost, loss]))
    return [part / len(x) for part in total], cost / len(x), loss / len(x)
