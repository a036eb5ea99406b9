"""The controlled network in time: by Euler steps, and exactly where it is linear."""

import warnings
from dataclasses import dataclass

import numpy as np

from linfa._check import ascending_times, real_number
from linfa.neighbours.control.kernels import integrate
from linfa.neighbours.control.layers import Layers, checked_layers, fitting, rates, stacked_feedback
from linfa.neighbours.control.loop import loop_matrix
from linfa.neighbours.control.steady import LEAKS, checked_leak, steady_state
from linfa.simulation import DivergenceWarning

# Steps for each time constant below which Euler's method is not the equation any more.
_STEPS = 10
# A longer run would take hours, and most likely the time is not in the units of the time constants.
_MOST_STEPS = 1e10


@dataclass(frozen=True)
class ControlRun:
    """The course of control, by simulation or by theory.

    Attributes
    ----------
    t : array (T,)
    potentials : list of array (T, n_l)
        v_l.
    integral : array (T, o)
        u_int.
    control : array (T, o)
        u = u_int + k_p e.
    error : array (T, o)
        e = r* − r_L.
    activity : list of array (T, n_l)
        r_l.
    q : array (N, o)
    """

    t: np.ndarray
    potentials: list[np.ndarray]
    integral: np.ndarray
    control: np.ndarray
    error: np.ndarray
    activity: list[np.ndarray]
    q: np.ndarray

    @property
    def output(self) -> np.ndarray:
        """r_L, (T, o)."""
        return self.activity[-1]

    @property
    def cost(self) -> np.ndarray:
        """½|Q u|² over time, (T,)."""
        return 0.5 * np.square(self.control @ self.q.T).sum(1)


def simulate(
    weights: object,
    q: object,
    x: object,
    target: object,
    alpha: float,
    t: object,
    k_p: float = 0.0,
    *,
    tau_v: float = 1.0,
    tau_u: float = 1.0,
    dt: float | None = None,
    nonlinearity: str = "linear",
    output: str = "linear",
    leak: str = "integral",
) -> ControlRun:
    """A controlled network from its free state on: control is switched on at t = 0.

    τ_v v_l' = −v_l + W_l φ(v_{l−1}) + Q_l u,   u = u_int + k_p e,   τ_u u_int' = e − α u_int,   e = r* − r_L

    Parameters
    ----------
    weights, q, x, target, alpha, k_p, nonlinearity, output, leak
        As in `steady_state`.
    t : array (T,)
        Times to save, ascending, ≥ 0.
    tau_v, tau_u : float
        Time constants of the potentials and of the integral.
    dt : float, optional
        Longest Euler step; at most a tenth of the shorter time constant, which is also what None takes.

    Returns
    -------
    ControlRun

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, times do not ascend, or a parameter is out of its range.

    Warns
    -----
    DivergenceWarning
        If control is unstable and the run leaves the range of floating point; it ends before that.

    Notes
    -----
    All layers are moved from one state, so that a push takes time to arrive: errors are O(dt). Source of the dynamics:
    Meulemans et al. 2021.

    Examples
    --------
    >>> run = simulate([[[1.0]], [[2.0]]], [[2.0], [1.0]], [1.0], [3.0], 0.0, [0.0, 200.0], tau_u=20.0)
    >>> run.output.round(9).ravel().tolist()
    [2.0, 3.0]
    """
    layers = checked_layers(weights, nonlinearity, output)
    x = fitting("x", x, layers.weights[0].shape[1])
    target = fitting("target", target, layers.sizes[-1])
    q, t = stacked_feedback(layers, q), ascending_times(t)
    checked_leak(alpha, k_p, leak)
    tau_v, tau_u = real_number("tau_v", tau_v, above=0.0), real_number("tau_u", tau_u, above=0.0)
    longest = min(tau_v, tau_u) / _STEPS
    dt = longest if dt is None else real_number("dt", dt, above=0.0)
    # A tenth that was computed may be a rounding error above the tenth meant.
    if dt > longest * (1.0 + 1e-9):
        raise ValueError(f"dt is {dt:g}; it must be at most {longest:g}, a tenth of the shorter time constant")
    gaps = np.diff(t, prepend=0.0)
    if t[-1] / dt > _MOST_STEPS:
        raise ValueError(
            f"t goes to {t[-1]:g}, {t[-1] / dt:.2g} steps of {dt:g}; it must take at most {_MOST_STEPS:.0e}"
        )
    steps = np.ceil(gaps / dt * (1.0 - 1e-12)).astype(np.int64)
    potentials, integrals = np.empty((len(t), sum(layers.sizes))), np.empty((len(t), layers.sizes[-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        start = np.concatenate(layers.respond(x)[0])
    saved = integrate(
        np.array([len(x), *layers.sizes]),
        np.concatenate([w.ravel() for w in layers.weights]),
        q,
        x,
        target,
        (layers.nonlinearity == "tanh", layers.output == "tanh"),
        leak == LEAKS[1],
        (tau_v, tau_u, float(alpha), float(k_p)),
        steps,
        gaps / np.maximum(steps, 1),
        start.copy(),
        np.zeros(layers.sizes[-1]),
        potentials,
        integrals,
    )
    if saved < len(t):
        warnings.warn(
            f"control is unstable: the run left the range of floating point before t = {t[saved]:g}; lower the gain "
            f"(critical_gain) or raise tau_u",
            DivergenceWarning,
            stacklevel=2,
        )
        if saved == 0:
            # Gone before the first time asked for: what there is up to then is the start.
            t, saved, potentials[0], integrals[0] = np.zeros(1), 1, start, 0.0
    return _run(layers, q, target, t[:saved], potentials[:saved], integrals[:saved], float(k_p))


def _run(
    layers: Layers,
    q: np.ndarray,
    target: np.ndarray,
    t: np.ndarray,
    potentials: np.ndarray,
    integral: np.ndarray,
    k_p: float,
) -> ControlRun:
    """A run from its states."""
    parts = layers.split(potentials)
    activity = [rates(v, layers.kind(k)) for k, v in enumerate(parts)]
    error = target - activity[-1]
    return ControlRun(t, parts, integral, integral + k_p * error, error, activity, q)


def trajectory(
    weights: object,
    q: object,
    x: object,
    target: object,
    alpha: float,
    t: object,
    k_p: float = 0.0,
    *,
    tau_v: float = 1.0,
    tau_u: float = 1.0,
    nonlinearity: str = "linear",
    output: str = "linear",
    leak: str = "integral",
) -> ControlRun:
    """What theory says `simulate` does: z(t) − z_ss = e^{At} (z(0) − z_ss) with the matrix of `loop_matrix` (D4).

    Exact for a linear network; for a nonlinear one the linear response about its steady state.

    Parameters
    ----------
    weights, q, x, target, alpha, t, k_p, tau_v, tau_u, nonlinearity, output, leak
        As in `simulate`.

    Returns
    -------
    ControlRun

    Raises
    ------
    ValueError, TypeError
        As `steady_state` and `simulate`; also if the solution grows beyond the range of floating point.

    Examples
    --------
    >>> run = trajectory([[[1.0]]], [[1.0]], [1.0], [2.0], 0.0, [0.0, 100.0])
    >>> run.output.round(9).ravel().tolist()
    [1.0, 2.0]
    """
    from scipy.linalg import expm

    t = ascending_times(t)
    state = steady_state(weights, q, x, target, alpha, k_p, nonlinearity=nonlinearity, output=output, leak=leak)
    matrix = loop_matrix(weights, q, alpha, k_p, tau_v=tau_v, tau_u=tau_u, state=state, leak=leak)
    layers = checked_layers(weights, nonlinearity, output)
    rest = np.concatenate([*state.potentials, state.control - k_p * state.error])
    start = np.concatenate([*layers.respond(state.x)[0], np.zeros(len(state.control))])
    with np.errstate(over="ignore", invalid="ignore"):
        states = rest + expm(t[:, None, None] * matrix) @ (start - rest)
    if not np.isfinite(states).all():
        raise ValueError(f"t goes to {t[-1]:g}, where unstable control has left the range of floating point")
    count = sum(layers.sizes)
    return _run(layers, state.q, state.target, t, states[:, :count], states[:, count:], float(k_p))


def averaged_update(run: ControlRun, weights: object, x: object) -> list[np.ndarray]:
    """What every layer learns while control is on, at learning rate 1: the mean over the run (DFC).

    ΔW_l = <(v_l − W_l r_{l−1}) r_{l−1}ᵀ>

    by the trapezoidal rule over the saved times. Its limit for long runs is `control_update`.

    Parameters
    ----------
    run : ControlRun
        Two saved times at least.
    weights : list of array (n_l, n_{l−1})
    x : array (i,)
        The weights and the input of the run.

    Returns
    -------
    list of array (n_l, n_{l−1})

    Raises
    ------
    ValueError, TypeError
        If the run holds a single time, or the weights or x do not fit it.

    Notes
    -----
    Source: Meulemans et al. 2021.

    Examples
    --------
    >>> run = trajectory([[[1.0]]], [[1.0]], [1.0], [2.0], 0.0, np.linspace(50.0, 60.0, 5))
    >>> averaged_update(run, [[[1.0]]], [1.0])[0].round(9).tolist()
    [[1.0]]
    """
    if not isinstance(run, ControlRun):
        raise TypeError(f"run is {type(run).__name__}; it must be what simulate or trajectory returns")
    if len(run.t) < 2:
        raise ValueError(f"run holds {len(run.t)} times; a mean over time needs at least 2")
    layers = checked_layers(weights, "linear", "linear")
    if layers.sizes != [v.shape[1] for v in run.potentials]:
        raise ValueError(f"weights has layers of {layers.sizes}; run has {[v.shape[1] for v in run.potentials]}")
    x = fitting("x", x, layers.weights[0].shape[1])
    gaps = np.diff(run.t)
    shares = (np.append(gaps, 0.0) + np.append(0.0, gaps)) / (2.0 * (run.t[-1] - run.t[0]))
    below = [np.broadcast_to(x, (len(run.t), len(x))), *run.activity[:-1]]
    triples = zip(run.potentials, layers.weights, below, strict=True)
    return [(shares[:, None] * (v - r @ w.T)).T @ r for v, w, r in triples]
