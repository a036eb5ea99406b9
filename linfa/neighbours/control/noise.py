"""Control that holds the output still against noise on every neuron: its moments, by theory and simulation (D6)."""

from typing import Any

import numpy as np

from linfa._algebra import transposed
from linfa._check import integer, real_array, real_number, seed_value
from linfa._random import stream
from linfa.neighbours.control.kernels import listen_to_noise

# Numbers drawn at once: a few megabytes for networks of usual size.
_BLOCK = 4096
# A longer run would take hours, and most likely the time is not in the units of the time constants.
_MOST_STEPS = 1e10


def cross_balance(jacobian: Any, loop: Any, cross: Any, tau_u: Any, tau_e: Any, sigma: Any) -> Any:
    """τ_u dE/dt for E = E[ε uᵀ]: −τ_u E/τ_e − E Mᵀ − σ Jᵀ, which vanishes at rest (D6).

    Parameters
    ----------
    jacobian : J (o, N)
    loop : M = J Q + α I, (o, o)
    cross : E (N, o)
    tau_u, tau_e : time constants of control and noise
    sigma : size of the noise
    """
    return -tau_u * cross / tau_e - cross @ transposed(loop) - sigma * transposed(jacobian)


def control_covariance_balance(jacobian: Any, loop: Any, cross: Any, covariance: Any, sigma: Any) -> Any:
    """τ_u dS/dt for S = E[u uᵀ]: −M S − S Mᵀ − σ (J E + Eᵀ Jᵀ), which vanishes at rest (D6)."""
    heard = jacobian @ cross
    return -(loop @ covariance) - covariance @ transposed(loop) - sigma * heard - sigma * transposed(heard)


def noise_moments(
    jacobian: np.ndarray, q: np.ndarray, alpha: float, *, sigma: float = 1.0, tau_u: float = 1.0, tau_e: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E[ε uᵀ] and E[u uᵀ] while noise σ ε pushes all neurons and control holds the output at its free value (D6).

    E = −(σ/τ_u) Jᵀ [I/τ_e + Mᵀ/τ_u]⁻¹,   M S + S Mᵀ = −σ (J E + Eᵀ Jᵀ),   M = J Q + α I

    Parameters
    ----------
    jacobian, q : arrays (o, N), (N, o)
    alpha : float
        Leak, ≥ 0.
    sigma : float
        Size of the noise.
    tau_u, tau_e : float
        Time constants of control and noise (an Ornstein–Uhlenbeck process of unit variance).

    Returns
    -------
    arrays (N, o), (o, o)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a parameter is out of its range, or control is unstable: then there is no stationary
        state.

    Notes
    -----
    Assumes that potentials follow at once (τ_v ≪ τ_u, τ_e) and pure integral control. Source: Meulemans et al. 2021
    (rule); the moments are derived here.

    Examples
    --------
    >>> cross, covariance = noise_moments(np.eye(1), np.eye(1), 0.0)
    >>> cross.tolist(), covariance.round(12).tolist()
    ([[-0.5]], [[0.5]])
    """
    jacobian, q = fitting_pair(jacobian, q)
    alpha = real_number("alpha", alpha, at_least=0.0)
    parameters = [real_number(n, v, above=0.0) for n, v in (("sigma", sigma), ("tau_u", tau_u), ("tau_e", tau_e))]
    found = stationary_moments(jacobian, q, alpha, *parameters)
    if found is None:
        rate = float(np.linalg.eigvals(jacobian @ q).real.min()) + alpha
        raise ValueError(
            f"q makes control unstable: J Q + alpha I has an eigenvalue with real part {rate:.3g}; all must be positive"
        )
    return found


def fitting_pair(jacobian: object, q: object) -> tuple[np.ndarray, np.ndarray]:
    jacobian, q = real_array("jacobian", jacobian, 2), real_array("q", q, 2)
    if q.shape != jacobian.shape[::-1]:
        raise ValueError(f"q is {q.shape}; it must be {jacobian.shape[::-1]}, as the transpose of jacobian")
    return jacobian, q


def stationary_moments(
    jacobian: np.ndarray, q: np.ndarray, alpha: float, sigma: float, tau_u: float, tau_e: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """E and S, or None where the loop is unstable."""
    from scipy.linalg import solve_continuous_lyapunov

    loop = jacobian @ q + alpha * np.eye(len(jacobian))
    if not np.linalg.eigvals(loop).real.min() > 0.0:
        return None
    cross = -sigma * np.linalg.solve(tau_u / tau_e * np.eye(len(loop)) + loop, jacobian).T
    heard = jacobian @ cross
    covariance = solve_continuous_lyapunov(loop, -sigma * (heard + heard.T))
    return cross, 0.5 * (covariance + covariance.T)


def full_loop_moments(
    matrix: np.ndarray, neurons: int, *, sigma: float = 1.0, tau_v: float = 1.0, tau_e: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E[ε u_intᵀ] and E[u_int u_intᵀ] for potentials of any speed, from the matrix of `loop_matrix` (D6).

    The state (v, u_int, ε) is linear and driven by white noise, so that its covariance C solves F C + C Fᵀ = −D.

    Parameters
    ----------
    matrix : array (N + o, N + o)
        A of `loop_matrix`.
    neurons : int
        N.
    sigma, tau_v, tau_e : float

    Returns
    -------
    arrays (N, o), (o, o)

    Raises
    ------
    ValueError, TypeError
        If the loop is unstable, or an argument is out of its range.

    Examples
    --------
    >>> from linfa.neighbours.control import loop_matrix
    >>> matrix = loop_matrix([[[1.0]]], [[1.0]], 0.0, tau_v=1e-6)
    >>> full_loop_moments(matrix, 1, tau_v=1e-6)[1].round(5).tolist()
    [[0.5]]
    """
    from scipy.linalg import solve_continuous_lyapunov

    matrix = real_array("matrix", matrix, 2)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix is {matrix.shape}; it must be square")
    neurons = integer("neurons", neurons, at_least=1, at_most=len(matrix) - 1)
    sigma, tau_v, tau_e = (
        real_number(n, v, above=0.0) for n, v in (("sigma", sigma), ("tau_v", tau_v), ("tau_e", tau_e))
    )
    if not np.linalg.eigvals(matrix).real.max() < 0.0:
        raise ValueError("matrix has an eigenvalue that does not decay; the loop must be stable")
    size = len(matrix)
    flow, drive = np.zeros((size + neurons, size + neurons)), np.zeros((size + neurons, size + neurons))
    flow[:size, :size] = matrix
    flow[:neurons, size:] = sigma / tau_v * np.eye(neurons)
    flow[size:, size:] = -np.eye(neurons) / tau_e
    drive[size:, size:] = -2.0 / tau_e * np.eye(neurons)
    covariance = solve_continuous_lyapunov(flow, drive)
    return covariance[size:, neurons:size], covariance[neurons:size, neurons:size]


def measure_moments(
    jacobian: np.ndarray,
    q: np.ndarray,
    alpha: float,
    duration: float,
    *,
    sigma: float = 1.0,
    tau_u: float = 1.0,
    tau_e: float = 1.0,
    dt: float | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """E[ε uᵀ] and E[u uᵀ] by simulation over `duration`, after a tenth of it to forget the start (D6).

    Parameters
    ----------
    jacobian, q, alpha, sigma, tau_u, tau_e, dt, seed
        As in `learn_feedback`; Q stands still.
    duration : float

    Returns
    -------
    arrays (N, o), (o, o)

    Raises
    ------
    ValueError, TypeError
        As in `noise_moments` and `learn_feedback`.

    Examples
    --------
    >>> cross, covariance = measure_moments(np.eye(1), np.eye(1), 0.0, 2000.0)
    >>> bool(abs(covariance[0, 0] - 0.5) < 0.1)
    True
    """
    jacobian, q = fitting_pair(jacobian, q)
    duration = real_number("duration", duration, above=0.0)
    noise_moments(jacobian, q, alpha, sigma=sigma, tau_u=tau_u, tau_e=tau_e)
    noise = NoisyControl(jacobian, q, alpha, 0.0, sigma, tau_u, tau_e, dt, 0.0, seed)
    noise.run(0.1 * duration)
    noise.crossed[:], noise.squared[:] = 0.0, 0.0
    steps = noise.run(duration)
    return noise.crossed / steps, noise.squared / steps


class NoisyControl:
    """A noisy controlled network that can be run on."""

    def __init__(
        self,
        jacobian: np.ndarray,
        q: np.ndarray,
        alpha: object,
        beta: object,
        sigma: object,
        tau_u: object,
        tau_e: object,
        dt: object,
        rate: float,
        seed: object,
    ) -> None:
        tau_u, tau_e = real_number("tau_u", tau_u, above=0.0), real_number("tau_e", tau_e, above=0.0)
        shortest = min(tau_u, tau_e) / 10.0
        self.dt = 0.5 * shortest if dt is None else real_number("dt", dt, above=0.0)
        if self.dt > shortest * (1.0 + 1e-9):
            raise ValueError(
                f"dt is {self.dt:g}; it must be at most {shortest:g}, a tenth of the shorter time constant"
            )
        self.constants = (
            real_number("alpha", alpha, at_least=0.0),
            real_number("sigma", sigma, above=0.0),
            tau_u,
            tau_e,
        )
        self.learning = (rate, real_number("beta", beta, at_least=0.0))
        self.generator = stream(seed_value("seed", seed), "data")
        self.jacobian, self.q = jacobian, q.copy()
        self.control, self.noise = np.zeros(len(jacobian)), self.generator.standard_normal(len(q))
        self.crossed, self.squared = np.zeros(q.shape), np.zeros((len(jacobian), len(jacobian)))

    def run(self, duration: float) -> int:
        """Go on for `duration`; returns the number of steps."""
        if duration / self.dt > _MOST_STEPS:
            raise ValueError(
                f"duration (t / rate) is {duration:g}, {duration / self.dt:.2g} steps of {self.dt:g}; it must take at "
                f"most {_MOST_STEPS:.0e}"
            )
        # At least one step, however short, where there is any time to go.
        steps = max(int(np.ceil(duration / self.dt * (1.0 - 1e-12))), int(duration > 0.0))
        for done in range(0, steps, _BLOCK):
            normals = self.generator.standard_normal((min(_BLOCK, steps - done), len(self.q)))
            alive = listen_to_noise(
                self.jacobian,
                self.q,
                self.control,
                self.noise,
                normals,
                (*self.constants, duration / steps, *self.learning),
                self.crossed,
                self.squared,
            )
            if not alive:
                raise ValueError("rate or q lets the simulation diverge; rate must be smaller, or q closer to Jᵀ")
        return steps
