"""How feedback weights learn from noise to lie in the row space of J: averaged flow, its laws, simulation (D6)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from linfa._check import ascending_times, real_array, real_number
from linfa.neighbours.control.noise import NoisyControl, fitting_pair, noise_moments, stationary_moments
from linfa.neighbours.control.updates import row_space_part


@dataclass(frozen=True)
class FeedbackRun:
    """Feedback weights over time, by simulation or by theory.

    Attributes
    ----------
    t : array (T,)
    q : array (T, N, o)
    jacobian : array (o, N)
    """

    t: np.ndarray
    q: np.ndarray
    jacobian: np.ndarray

    @property
    def row_space_part(self) -> np.ndarray:
        """|P_J Q|/|Q| over time, (T,); see `row_space_part`."""
        return row_space_part(self.q, self.jacobian)


def feedback_velocity(q: Any, cross: Any, covariance: Any, sigma: Any, beta: Any) -> Any:
    """Q' = −(Q S + σ E)/σ² − β Q, the mean of −v_fb uᵀ/σ² − β Q with v_fb = Q u + σ ε (D6).

    Source: Meulemans et al. 2021.
    """
    return -(q @ covariance + sigma * cross) / sigma**2 - beta * q


def mode_loop_time(loop: Any, start: Any, g: Any, alpha: Any, tau_u: Any, tau_e: Any) -> Any:
    """Time in which m = g k + α of a mode grows from `start` under learning without decay, Q = k Jᵀ inside (D6).

    t = [τ_u (m² − m₀²)/2 + τ_e (m³ − m₀³)/3]/(g α τ_e)

    Parameters
    ----------
    loop, start : m and m₀
    g : eigenvalue of J Jᵀ
    alpha : leak, > 0; without a leak k stands still
    tau_u, tau_e : time constants of control and noise

    Notes
    -----
    Assumes that J Q(0) is symmetric and commutes with J Jᵀ. Learning of a mode slows down as t^{−2/3}. Derived here.

    Examples
    --------
    >>> mode_loop_time(1.0, 1.0, 2.0, 0.1, 1.0, 1.0)
    0.0
    """
    return (tau_u * (loop**2 - start**2) / 2 + tau_e * (loop**3 - start**3) / 3) / (g * alpha * tau_e)


def outside_part(loop: Any, start: Any, alpha: Any, xp: Any = np) -> Any:
    """Q_⊥/Q_⊥(0) = e^{−(m − m₀)/α}: what is left outside the row space of J when the mode's loop has grown to m (D6).

    Notes
    -----
    Without decay log Q_⊥ + m/α is conserved. Assumptions as in `mode_loop_time`; derived here.

    Examples
    --------
    >>> float(outside_part(0.5, 0.5, 0.1))
    1.0
    """
    return xp.exp(-(loop - start) / alpha)


def mode_velocity(k: Any, g: Any, alpha: Any, beta: Any, tau_u: Any, tau_e: Any) -> Any:
    """k' = α τ_e/[m (τ_u + τ_e m)] − β k, m = g k + α, for Q = k Jᵀ along a mode g of J Jᵀ (D6).

    The leak alone drives it. Its zero is where learning with decay ends: `feedback_fixed_point`. Derived here.

    Examples
    --------
    >>> mode_velocity(0.0, 1.0, 1.0, 0.0, 1.0, 1.0)
    0.5
    """
    loop = g * k + alpha
    # Two quotients, as the product of both denominators may leave the range of floating point.
    return alpha / loop * (tau_e / (tau_u + tau_e * loop)) - beta * k


def feedback_fixed_point(
    jacobian: np.ndarray, alpha: float, beta: float, *, tau_u: float = 1.0, tau_e: float = 1.0
) -> np.ndarray:
    """Where learning with decay ends: Q = Jᵀ K, K a function of J Jᵀ with the eigenvalues k of `mode_velocity` (D6).

    β k (g k + α)(τ_u + τ_e (g k + α)) = α τ_e

    Parameters
    ----------
    jacobian : array (o, N)
        Of full row rank.
    alpha, beta : float
        Leak and decay, both > 0.
    tau_u, tau_e : float

    Returns
    -------
    array (N, o)

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of its range, or J has not full row rank.

    Notes
    -----
    Independent of the size of the noise. Derived here.

    Examples
    --------
    >>> q = feedback_fixed_point(np.eye(1), 1.0, 0.5)
    >>> bool(abs(mode_velocity(q[0, 0], 1.0, 1.0, 0.5, 1.0, 1.0)) < 1e-12)
    True
    """
    jacobian = real_array("jacobian", jacobian, 2)
    alpha, beta, tau_u, tau_e = (
        real_number(n, v, above=0.0) for n, v in (("alpha", alpha), ("beta", beta), ("tau_u", tau_u), ("tau_e", tau_e))
    )
    left, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    if len(values) < len(jacobian) or not values[-1] > values[0] * max(jacobian.shape) * np.finfo(float).eps:
        raise ValueError(f"jacobian is {jacobian.shape} and has not full row rank; every output must have a row")
    amplitudes = []
    for s in values:
        low, high = 0.0, 1.0
        while mode_velocity(high, s**2, alpha, beta, tau_u, tau_e) > 0.0:
            high *= 2.0
        while low < (middle := 0.5 * (low + high)) < high:
            if mode_velocity(middle, s**2, alpha, beta, tau_u, tau_e) > 0.0:
                low = middle
            else:
                high = middle
        amplitudes.append(s * high)
    return (rows.T * amplitudes) @ left.T


def feedback_flow(
    jacobian: np.ndarray,
    q: np.ndarray,
    t: np.ndarray,
    alpha: float,
    beta: float = 0.0,
    *,
    tau_u: float = 1.0,
    tau_e: float = 1.0,
) -> FeedbackRun:
    """Feedback weights that learn slowly from noise: Q' = −(Q S + σ E)/σ² − β Q with the moments of the noise (D6).

    Parameters
    ----------
    jacobian, q : arrays (o, N), (N, o)
        J of the free network, and Q(0).
    t : array (T,)
        Times, ascending, in units in which Q' is the rule itself.
    alpha, beta : float
        Leak of the controller and decay of Q, ≥ 0.
    tau_u, tau_e : float
        Time constants of control and noise.

    Returns
    -------
    FeedbackRun

    Raises
    ------
    ValueError, TypeError
        As in `noise_moments`; also where Q runs into instability.

    Notes
    -----
    The size of the noise drops out. Assumes that Q moves little while noise and control forget. Integrated at rtol
    1e-10.

    Examples
    --------
    >>> run = feedback_flow(np.array([[1.0, 0.0]]), np.array([[1.0], [1.0]]), [0.0, 30.0], 0.5)
    >>> run.row_space_part.round(3).tolist()
    [0.707, 1.0]
    """
    from scipy.integrate import solve_ivp

    jacobian, q = fitting_pair(jacobian, q)
    t, beta = ascending_times(t), real_number("beta", beta, at_least=0.0)
    noise_moments(jacobian, q, alpha, tau_u=tau_u, tau_e=tau_e)

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        now = flat.reshape(q.shape)
        found = stationary_moments(jacobian, now, alpha, 1.0, tau_u, tau_e)
        # Trial steps of the integrator that leave the stable region are refused by their size.
        return np.full(flat.shape, np.nan) if found is None else feedback_velocity(now, *found, 1.0, beta).ravel()

    # Q may start from zero: a leak lets it grow.
    scale = float(np.abs(q).max()) or 1.0
    span = (0.0, max(float(t[-1]), np.finfo(float).tiny))
    # A step that lands on NaN is halved by the error control of the explicit method.
    done = solve_ivp(velocity, span, q.ravel(), "DOP853", t_eval=t, rtol=1e-10, atol=1e-12 * scale)
    if not done.success or not np.isfinite(done.y).all():
        raise ValueError(f"q runs into unstable control before t = {t[-1]:g}; start closer to Jᵀ, or with more leak")
    return FeedbackRun(t, done.y.T.reshape(-1, *q.shape), jacobian)


def learn_feedback(
    jacobian: np.ndarray,
    q: np.ndarray,
    t: np.ndarray,
    alpha: float,
    beta: float = 0.0,
    *,
    rate: float = 0.01,
    sigma: float = 1.0,
    tau_u: float = 1.0,
    tau_e: float = 1.0,
    dt: float | None = None,
    seed: int = 0,
) -> FeedbackRun:
    """The same by simulation: noise, control and Q in time, Q moving at `rate` times the rule (D6).

    Parameters
    ----------
    jacobian, q, t, alpha, beta, tau_u, tau_e
        As in `feedback_flow`; `t` is the time of learning, t / rate that of the simulation.
    rate : float
        Speed of Q; theory is the limit of small ones.
    sigma : float
        Size of the noise.
    dt : float, optional
        Longest step; at most a tenth of the shorter time constant, half of which None takes.
    seed : int

    Returns
    -------
    FeedbackRun

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a parameter is out of its range, or the simulation diverges.

    Examples
    --------
    >>> run = learn_feedback(np.array([[1.0, 0.0]]), np.array([[1.0], [1.0]]), [0.0, 30.0], 0.5, rate=0.05)
    >>> bool(run.row_space_part[-1] > 0.99)
    True
    """
    jacobian, q = fitting_pair(jacobian, q)
    t, rate = ascending_times(t), real_number("rate", rate, above=0.0)
    noise = NoisyControl(jacobian, q, alpha, beta, sigma, tau_u, tau_e, dt, rate, seed)
    saved = []
    for gap in np.diff(t, prepend=0.0):
        noise.run(gap / rate)
        saved.append(noise.q.copy())
    return FeedbackRun(t, np.array(saved), jacobian)
