"""Whether control gets where it wants: the linearised loop, its stability, critical gains and exact course (D4)."""

from typing import Any

import numpy as np

from linfa._check import choice, real_array, real_number
from linfa.neighbours.control.layers import Layers, backward_products, checked_layers, finite, stacked_feedback
from linfa.neighbours.control.steady import LEAKS, SteadyState

# Gains tried for every decade when the first unstable one is looked for.
_SCAN = 24


def loop_blocks(
    chain: Any,
    q: Any,
    readout: Any,
    identities: tuple[Any, Any],
    tau_v: Any,
    tau_u: Any,
    alpha: Any,
    k_p: Any,
    leak: str = "integral",
) -> tuple[Any, Any, Any, Any]:
    """Blocks of the loop's matrix: (potentials, integral) change by them times their distance from rest (D4).

    τ_v v' = (−I + Ŵ − k_p Q S) v + Q u_int,   τ_u u_int' = −S v − α u_int

    Where the leak acts on the whole control u = u_int − k_p S v, the last line has −(1 − α k_p) S v.

    Parameters
    ----------
    chain : Ŵ (N, N), what every layer gets from the one below: blocks W_l diag φ'(v_{l−1}) below the diagonal
    q : Q (N, o)
    readout : S (o, N), selects the output: diag φ'(v_L) in the last block
    identities : identity matrices of size N and o
    tau_v, tau_u : time constants of potentials and integral
    alpha, k_p : leak and proportional gain
    leak : {"integral", "control"}

    Returns
    -------
    four matrices (N, N), (N, o), (o, N), (o, o)

    Notes
    -----
    Source: Meulemans et al. 2021 (dynamics); the linearisation is derived here.
    """
    neurons, outputs = identities
    seen = 1 if leak == "integral" else 1 - alpha * k_p
    inner = (chain - neurons - k_p * q @ readout) / tau_v
    return inner, q / tau_v, -seen * readout / tau_u, -alpha * outputs / tau_u


def loop_matrix(
    weights: object,
    q: object,
    alpha: float,
    k_p: float = 0.0,
    *,
    tau_v: float = 1.0,
    tau_u: float = 1.0,
    state: SteadyState | None = None,
    leak: str = "integral",
) -> np.ndarray:
    """The matrix A with which the controlled network returns to its steady state, z' = A z for z = (v, u_int) (D4).

    A = [[(−I + Ŵ − k_p Q S)/τ_v, Q/τ_v], [−S/τ_u, −(α/τ_u) I]]

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
    q : list of array (n_l, o), or array (N, o)
    alpha, k_p : float
        Leak and proportional gain of the controller, ≥ 0.
    tau_v, tau_u : float
        Time constants of the potentials and of the integral.
    state : SteadyState, optional
        Where to linearise a nonlinear network. None: the network is linear.
    leak : {"integral", "control"}
        See `steady_state`.

    Returns
    -------
    array (N + o, N + o)
        Control is stable where `growth_rate` of it is negative.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a parameter is out of its range.

    Notes
    -----
    Source: Meulemans et al. 2021; see `loop_blocks`.

    Examples
    --------
    >>> loop_matrix([[[1.0]]], [[2.0]], alpha=0.5).tolist()
    [[-1.0, 2.0], [-1.0, -0.5]]
    """
    layers = checked_layers(weights, "linear", "linear")
    stacked, slopes = stacked_feedback(layers, q), _slopes(layers, state)
    return _matrix(layers, stacked, slopes, _parameters(alpha, k_p, tau_v, tau_u, leak))


def _parameters(alpha: object, k_p: object, tau_v: object, tau_u: object, leak: object) -> dict:
    return {
        "tau_v": real_number("tau_v", tau_v, above=0.0),
        "tau_u": real_number("tau_u", tau_u, above=0.0),
        "alpha": real_number("alpha", alpha, at_least=0.0),
        "k_p": real_number("k_p", k_p, at_least=0.0),
        "leak": choice("leak", leak, LEAKS),
    }


def _slopes(layers: Layers, state: SteadyState | None) -> list[np.ndarray]:
    """φ'(v_l) of the given state, or ones."""
    if state is None:
        return [np.ones(size) for size in layers.sizes]
    if not isinstance(state, SteadyState):
        raise TypeError(f"state is {type(state).__name__}; it must be what steady_state returns")
    if [len(s) for s in state.slopes] != layers.sizes:
        raise ValueError(f"state has layers of {[len(s) for s in state.slopes]}; it must be of these weights")
    return state.slopes


def _matrix(layers: Layers, q: np.ndarray, slopes: list[np.ndarray], parameters: dict) -> np.ndarray:
    sizes = layers.sizes
    ends = np.cumsum(sizes)
    count, outputs = int(ends[-1]), sizes[-1]
    chain, readout = np.zeros((count, count)), np.zeros((outputs, count))
    for k in range(1, len(sizes)):
        below = slice(ends[k - 1] - sizes[k - 1], ends[k - 1])
        chain[ends[k - 1] : ends[k], below] = layers.weights[k] * slopes[k - 1]
    readout[:, count - outputs :] = np.diag(slopes[-1])
    blocks = loop_blocks(chain, q, readout, (np.eye(count), np.eye(outputs)), **parameters)
    return finite("a loop", np.block([list(blocks[:2]), list(blocks[2:])]))


def growth_rate(matrix: np.ndarray) -> float:
    """Largest real part of the eigenvalues: how fast the slowest deviation shrinks (negative) or grows (D4).

    Examples
    --------
    >>> growth_rate(np.diag([-2.0, -1.0]))
    -1.0
    """
    matrix = real_array("matrix", matrix, 2)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix is {matrix.shape}; it must be square")
    return float(np.linalg.eigvals(matrix).real.max())


def euler_growth_rate(matrix: np.ndarray, dt: float) -> float:
    """The same for explicit Euler steps: max log|1 + λ dt|/dt, which adds about dt ω²/2 to an oscillation (D4).

    Examples
    --------
    >>> round(euler_growth_rate(np.array([[0.0, 18.0], [-18.0, 0.0]]), 1e-3), 6)
    0.161974
    """
    dt = real_number("dt", dt, above=0.0)
    growth_rate(matrix)
    return float(np.log(np.abs(1.0 + dt * np.linalg.eigvals(matrix))).max() / dt)


def fast_loop(gain: Any, undamped: Any, identity: Any, alpha: Any, tau_u: Any) -> Any:
    """−(D G + α I)/τ_u with G = J Q and D = (I + k_p G)⁻¹; see `fast_loop_matrix`."""
    return -(undamped @ gain + alpha * identity) / tau_u


def fast_loop_matrix(jacobian: np.ndarray, q: np.ndarray, alpha: float, k_p: float = 0.0, tau_u: float = 1.0) -> Any:
    """The loop of a network that is fast compared with the controller, τ_v ≪ τ_u: that of the integral alone (D4).

    −[(I + k_p J Q)⁻¹ J Q + α I]/τ_u,   without proportional control −(J Q + α I)/τ_u

    Parameters
    ----------
    jacobian, q : arrays (o, N), (N, o)
    alpha, k_p, tau_u : float

    Returns
    -------
    array (o, o)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a parameter is out of its range, or I + k_p J Q is singular.

    Notes
    -----
    Source: Meulemans et al. 2021; with k_p derived here.

    Examples
    --------
    >>> fast_loop_matrix(np.eye(1), np.eye(1), alpha=0.5, k_p=1.0).tolist()
    [[-1.0]]
    """
    parameters = _parameters(alpha, k_p, 1.0, tau_u, "integral")
    jacobian, q = real_array("jacobian", jacobian, 2), real_array("q", q, 2)
    if q.shape != jacobian.shape[::-1]:
        raise ValueError(f"q is {q.shape}; it must be {jacobian.shape[::-1]}, as the transpose of jacobian")
    gain = jacobian @ q
    identity = np.eye(len(gain))
    damping = identity + parameters["k_p"] * gain
    if np.linalg.matrix_rank(damping) < len(gain):
        raise ValueError(f"k_p is {k_p:g}, at which I + k_p J Q is singular; it must be another")
    return fast_loop(gain, np.linalg.inv(damping), identity, parameters["alpha"], parameters["tau_u"])


def two_layer_critical_gain(strongest: Any, ratio: Any, alpha: Any = 0) -> Any:
    """s_c = 2(T + α)²/[T(g − 1) − α], T = τ_u/τ_v: gain at which control of two layers starts to swing (D4).

    For pure integral control with Q = s Jᵀ; stable for all s where the denominator is not positive.

    Parameters
    ----------
    strongest : g, the largest eigenvalue of J_1 J_1ᵀ (W_2 W_2ᵀ in a linear network)
    ratio : T
    alpha : leak

    Notes
    -----
    Assumes a linear output, so that the only other block is J_2 = I. Derived here.

    Examples
    --------
    >>> two_layer_critical_gain(5.0, 10.0)
    5.0
    """
    return 2 * (ratio + alpha) ** 2 / (ratio * (strongest - 1) - alpha)


def two_layer_polynomial(rate: Any, gain: Any, mode: Any, ratio: Any, alpha: Any = 0, k_p: Any = 0) -> Any:
    """Polynomial in z = τ_v λ whose roots are the rates λ of two layers under Q = s Jᵀ, one mode g of J_1 J_1ᵀ (D4).

    (1 + z)²(T z + α) + s [1 + k_p (T z + α)](1 + z + g) = 0

    Examples
    --------
    >>> two_layer_polynomial(0.0, 1.0, 3.0, 10.0)
    4.0
    """
    integral = ratio * rate + alpha
    return (1 + rate) ** 2 * integral + gain * (1 + k_p * integral) * (1 + rate + mode)


def critical_gain(
    weights: object,
    q: object,
    alpha: float = 0.0,
    k_p: float = 0.0,
    *,
    tau_v: float = 1.0,
    tau_u: float = 1.0,
    state: SteadyState | None = None,
    leak: str = "integral",
) -> float:
    """The smallest factor s at which the loop with feedback s Q becomes unstable (D4).

    Parameters
    ----------
    weights, q, alpha, k_p, tau_v, tau_u, state, leak
        As in `loop_matrix`.

    Returns
    -------
    float
        0 where even weak feedback is unstable; infinity where no gain is, up to 1e9 times the natural one.

    Raises
    ------
    ValueError, TypeError
        As in `loop_matrix`, and where q has no effect on the output.

    Notes
    -----
    For pure integral control without leak, s_c τ_v/τ_u depends on weights and Q alone. The first crossing is looked for
    among 24 gains a decade and then bisected: a window of instability narrower than a tenth of its gain may be missed.

    Examples
    --------
    >>> lower, upper = np.eye(2), np.diag([3.0, 2.0])
    >>> q = np.vstack([upper.T, np.eye(2)])
    >>> round(critical_gain([lower, upper], q, tau_u=10.0), 9), two_layer_critical_gain(9.0, 10.0)
    (2.5, 2.5)
    """
    layers = checked_layers(weights, "linear", "linear")
    stacked, slopes = stacked_feedback(layers, q), _slopes(layers, state)
    parameters = _parameters(alpha, k_p, tau_v, tau_u, leak)
    effect = _effect(layers, stacked, slopes)
    if not effect > 0.0:
        raise ValueError("q has no effect on the output: J Q is zero in every layer")

    def unstable(gain: float) -> bool:
        return growth_rate(_matrix(layers, gain * stacked, slopes, parameters)) >= 0.0

    # What the loop is weighed against: the network's own lag, the leak, proportional control.
    scales = [parameters["tau_u"] / parameters["tau_v"], 1.0]
    scales += [parameters["alpha"]] if alpha > 0 else []
    scales += [1.0 / parameters["k_p"]] if k_p > 0 else []
    low, high = 1e-3 * min(scales) / effect, 1e9 * max(scales) / effect
    if unstable(low):
        return 0.0
    for gain in np.geomspace(low, high, int(_SCAN * np.log10(high / low)) + 2)[1:]:
        if unstable(gain):
            return _bisected(unstable, low, float(gain))
        low = float(gain)
    return float("inf")


def _effect(layers: Layers, q: np.ndarray, slopes: list[np.ndarray]) -> float:
    """Σ_l |J_l Q_l|: an upper bound of the loop's gain."""
    blocks = backward_products(layers.weights, [np.diag(s) for s in slopes])
    parts = zip(blocks, np.split(q, np.cumsum(layers.sizes)[:-1]), strict=True)
    return float(sum(np.linalg.norm(j @ part) for j, part in parts))


def _bisected(unstable: Any, low: float, high: float) -> float:
    """The gain between a stable and an unstable one at which stability ends, to rounding."""
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if unstable(middle):
            high = middle
        else:
            low = middle
