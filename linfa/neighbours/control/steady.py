"""Where control comes to rest: the steady state of the controlled network and the equation that it solves."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from linfa._check import choice, real_number
from linfa.neighbours.control.layers import (
    Layers,
    checked_layers,
    finite,
    fitting,
    stacked_feedback,
    stacked_jacobian,
)

LEAKS = ("integral", "control")
# Newton's step must halve the residual: a slower one means that it is far from where it converges.
_CONTRACTION = 0.5
# Residuals below this part of the terms they are made of are rounding of a few hundred operations.
_ROUNDING = 1e-12
# Shortest part of the way from the free to the controlled state, and most parts tried.
_FINEST = 2.0**-20
_TRIES = 1000


def effective_leak(alpha: Any, k_p: Any) -> Any:
    """a = α/(1 + α k_p): what is left of the leak once proportional control helps (D1).

    At rest the error is e = a u. Where the leak acts on the whole control, u, and not on its integral alone, a = α.

    Examples
    --------
    >>> effective_leak(1.0, 1.0)
    0.5
    """
    return alpha / (1 + alpha * k_p)


def control_balance(jacobian: Any, q: Any, leak: Any, control: Any, error: Any) -> Any:
    """J Q u + a u − δ, which vanishes at rest: what control adds to the output, what it leaves, what was missing (D1).

    Parameters
    ----------
    jacobian, q : matrices (o, N), (N, o)
    leak : a, see `effective_leak`
    control, error : u and δ = r* − r⁻, (o,) or (o, 1)

    Examples
    --------
    >>> control_balance(np.eye(1), np.eye(1), 0.5, np.array([2.0]), np.array([3.0])).tolist()
    [0.0]
    """
    return jacobian @ (q @ control) + leak * control - error


@dataclass(frozen=True)
class SteadyState:
    """A controlled network at rest.

    Attributes
    ----------
    control : array (o,)
        u.
    error : array (o,)
        e = r* − r_L, what control leaves: a u.
    correction : list of array (n_l,)
        Q_l u, the push that every layer gets, before it propagates.
    potentials, activity : list of array (n_l,)
        v_l and r_l = φ(v_l) under control.
    free_activity : list of array (n_l,)
        r_l⁻ without control.
    jacobian : array (o, N)
        J at the controlled state.
    slopes : list of array (n_l,)
        φ'(v_l) at the controlled state.
    x, target, q : arrays (i,), (o,), (N, o)
    leak : float
        a.
    """

    control: np.ndarray
    error: np.ndarray
    correction: list[np.ndarray]
    potentials: list[np.ndarray]
    activity: list[np.ndarray]
    free_activity: list[np.ndarray]
    jacobian: np.ndarray
    slopes: list[np.ndarray]
    x: np.ndarray
    target: np.ndarray
    q: np.ndarray
    leak: float

    @property
    def cost(self) -> float:
        """H = ½|Q u|², the effort of control (D7)."""
        return 0.5 * float(sum(np.square(c).sum() for c in self.correction))


def steady_state(
    weights: object,
    q: object,
    x: object,
    target: object,
    alpha: float,
    k_p: float = 0.0,
    *,
    nonlinearity: str = "linear",
    output: str = "linear",
    leak: str = "integral",
) -> SteadyState:
    """The state in which a network rests while feedback control steers its output to a target (D1).

    (J Q + a I) u = δ,   e = a u,   a = α/(1 + α k_p),   δ = r* − r_L⁻

    in a linear network; in a nonlinear one the same relation holds between the output under the push Q u and u.

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
        W_1 … W_L, first layer first.
    q : list of array (n_l, o), or array (N, o)
        Feedback weights Q_1 … Q_L from the controller to every layer, the output included; or all stacked.
    x : array (i,)
    target : array (o,)
        r*: a label, or an output nudged towards it.
    alpha : float
        Leak α ≥ 0 of the integral; 0 asks for the target exactly.
    k_p : float
        Proportional gain, ≥ 0.
    nonlinearity, output : {"linear", "tanh"}
        φ of the hidden layers, and of the output.
    leak : {"integral", "control"}
        What leaks: u_int (the papers), or u = u_int + k_p e (a variant, a = α).

    Returns
    -------
    SteadyState

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, J Q + a I is singular, or no state in reach has the output asked for.

    Notes
    -----
    Whether the dynamics get there is another question: see `loop_matrix`. A nonlinear network may have several steady
    states; this is the one that the free state turns into as the target moves from r_L⁻ to r*.
    Source: Meulemans et al. 2021, 2022.

    Examples
    --------
    >>> from linfa.neighbours.control import jacobian
    >>> weights = [np.eye(2), np.array([[1.0, 1.0]])]
    >>> state = steady_state(weights, jacobian(weights, [1.0, 0.0]).T, [1.0, 0.0], [4.0], alpha=0.0)
    >>> state.control.tolist(), state.activity[-1].tolist()
    ([1.0], [4.0])
    """
    layers = checked_layers(weights, nonlinearity, output)
    x = fitting("x", x, layers.weights[0].shape[1])
    target = fitting("target", target, layers.sizes[-1])
    q = stacked_feedback(layers, q)
    return at_rest(layers, q, x, target, checked_leak(alpha, k_p, leak))


def checked_leak(alpha: object, k_p: object, leak: object) -> float:
    """a, from arguments that are checked."""
    alpha, k_p = real_number("alpha", alpha, at_least=0.0), real_number("k_p", k_p, at_least=0.0)
    return alpha if choice("leak", leak, LEAKS) == "control" else effective_leak(alpha, k_p)


def at_rest(layers: Layers, q: np.ndarray, x: np.ndarray, target: np.ndarray, leak: float) -> SteadyState:
    """The steady state for arguments that are checked."""
    with np.errstate(over="ignore", invalid="ignore"):
        free = layers.respond(x)[1]
        error = finite("an output", target - free[-1])
        start = finite("a Jacobian", stacked_jacobian(layers, free))
        step = solve_loop(start, q, leak, error)
        if step is None:
            raise ValueError(_singular(start, q, leak))
        control = step if layers.linear else _follow(layers, q, x, free[-1], error, leak)
        if control is None:
            raise ValueError(
                "target is out of reach: on the way to it J Q + a I becomes singular, or nearly so; it must be closer "
                "to the free output, or alpha larger"
            )
        correction = layers.split(q @ control)
        potentials, activity = layers.respond(x, correction)
    finite("a controlled state", np.concatenate(potentials))
    return SteadyState(
        control=control,
        error=target - activity[-1],
        correction=correction,
        potentials=potentials,
        activity=activity,
        free_activity=free,
        jacobian=stacked_jacobian(layers, activity),
        slopes=layers.slopes(activity),
        x=x,
        target=target,
        q=q,
        leak=leak,
    )


def solve_loop(jacobian: np.ndarray, q: np.ndarray, leak: float, right: np.ndarray) -> np.ndarray | None:
    """(J Q + a I)⁻¹ times a vector or matrix; None where that matrix is singular to rounding."""
    loop = jacobian @ q + leak * np.eye(len(jacobian))
    if not np.isfinite(loop).all():
        return None
    left, values, rows = np.linalg.svd(loop)
    # Rounding of J Q is a part eps of the products that are added, however small their sum.
    size = q.shape[0] * np.abs(jacobian).max() * np.abs(q).max() + leak
    if not values[-1] > len(loop) * np.finfo(float).eps * size:
        return None
    scaled = left.T @ right
    return rows.T @ (scaled / (values if right.ndim == 1 else values[:, None]))


def _singular(jacobian: np.ndarray, q: np.ndarray, leak: float) -> str:
    rank = np.linalg.matrix_rank(jacobian @ q)
    return (
        f"q gives a singular J Q + a I with a = {leak:g} (J Q has rank {rank} of {len(jacobian)}); it must be "
        f"invertible: take q with columns along the rows of J, or a larger alpha"
    )


def _follow(
    layers: Layers, q: np.ndarray, x: np.ndarray, free: np.ndarray, error: np.ndarray, leak: float
) -> np.ndarray | None:
    """u, followed from the free state as the target moves; None where the branch ends before its goal."""
    control, reached, step = np.zeros(len(error)), 0.0, 1.0
    for _ in range(_TRIES):
        if reached == 1.0:
            return control
        goal = min(1.0, reached + step)
        found = _newton(layers, q, x, free + goal * error, leak, control)
        if found is not None:
            control, reached, step = found, goal, 2.0 * step
        elif step > _FINEST:
            step *= 0.5
        else:
            return None
    return None


def _newton(
    layers: Layers, q: np.ndarray, x: np.ndarray, target: np.ndarray, leak: float, control: np.ndarray
) -> np.ndarray | None:
    """u with r_L(u) + a u = target by Newton's method; None where it does not contract from here."""
    activity = layers.respond(x, layers.split(q @ control))[1]
    residual = target - activity[-1] - leak * control
    while True:
        here = stacked_jacobian(layers, activity)
        # Largest entries stand for lengths, whose squares may leave the range of floating point.
        size = np.abs(target).max() + np.abs(activity[-1]).max() + leak * np.abs(control).max()
        size += np.abs(here).max() * np.abs(q @ control).max()
        before = np.abs(residual).max()
        step = solve_loop(here, q, leak, residual)
        if step is None:
            return None
        proposed = control + step
        activity = layers.respond(x, layers.split(q @ proposed))[1]
        residual = target - activity[-1] - leak * proposed
        after = np.abs(residual).max()
        if not after <= _CONTRACTION * before:
            # At the floor of rounding no step halves what is left.
            return control if before <= _ROUNDING * size else None
        control = proposed
        if after == 0.0:
            return control
