"""Simulate the network: check the input, draw couplings and noise, hand bare arrays to the kernel."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from linfa._check import choice, integer, matching, real_array, real_number, seed_value
from linfa._random import stream
from linfa._threads import single_threaded_blas
from linfa.neighbours.balanced.averages import NONLINEARITIES, WEIGHTS

METHODS = ("heun", "euler")
# Noise numbers drawn at once: enough to hide the cost of a call, and some tens of milliseconds between two looks at
# Ctrl-C.
_BLOCK = 1 << 20
# Steps to the fastest time of the network, 1/(1 + b): the scheme is of second order, and variances are within 3e-3.
_FINEST = 10.0
_LONGEST_STEP = 0.05


@dataclass(frozen=True)
class Simulation:
    """A run of the network.

    Attributes
    ----------
    t : array (T,)
    readout : array (T,), or (trajectories, T) where several were asked for
        x̂(t).
    field : array (n,), or (trajectories, n)
        h at the end.
    weights : array (n,)
        w.
    step : float
        Time between two of `t`.
    """

    t: np.ndarray
    readout: np.ndarray
    field: np.ndarray
    weights: np.ndarray
    step: float

    def statistics(self, blocks: int = 20) -> dict[str, tuple[float, float]]:
        """Mean of x̂ and its variance in time, over all trajectories, each with its standard error.

        Parameters
        ----------
        blocks : int
            Stretches of each trajectory, taken to be independent: each should be many correlation times long. The
            variance is taken around the mean of each whole trajectory.

        Examples
        --------
        >>> run = simulate(4, 1.0, 0.5, 0.0, duration=10.0)
        >>> sorted(run.statistics(2))
        ['mean', 'variance']
        """
        blocks = integer("blocks", blocks, at_least=2, at_most=len(self.t) // 2)
        values = np.atleast_2d(self.readout)
        length = values.shape[1] // blocks
        pieces = values[:, : length * blocks].reshape(len(values) * blocks, length)
        around = pieces - np.repeat(values[:, : length * blocks].mean(1), blocks)[:, None]
        result = {}
        for name, found in (("mean", pieces.mean(1)), ("variance", np.square(around).mean(1))):
            result[name] = (float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))))
        return result


def simulate(
    n: int,
    b: float,
    x: float | Callable[[np.ndarray], np.ndarray],
    sigma: float,
    g: float = 0.0,
    delay: float = 0.0,
    duration: float = 100.0,
    seed: int = 0,
    *,
    nonlinearity: str = "tanh",
    weights: str = "signs",
    correlation_time: float = 0.0,
    shared: float = 0.0,
    step: float | None = None,
    burn_in: float = 20.0,
    start: np.ndarray | None = None,
    trajectories: int | None = None,
    method: str = "heun",
) -> Simulation:
    """Predictive coding in a balanced network of `n` neurons.

    h_i' = −h_i + g Σ_j G_ij φ(h_j(t − d)) + b w_i (x − x̂(t − d)) + η_i,    x̂ = (1/N) Σ_i w_i φ(h_i),  G_ij ~ N(0, 1/N)

    Parameters
    ----------
    n : int
        Neurons.
    b : float
        Balance, ≥ 0.
    x : float, or callable
        Stimulus; a function of an array of times gives one that varies. Times before 0 are the burn-in.
    sigma, g, delay, nonlinearity, weights, correlation_time, shared : as in `mean_field`
    duration : float
        Time to record, in time constants.
    seed : int
        Of couplings, weights, start and noise.
    step : float, optional
        Longest time step, shortened so that delay, or duration, is a whole number of them; by default a tenth of the
        time 1/(1 + b) on which feedback acts, and 0.05 at most.
    burn_in : float
        Time that passes before t = 0.
    start : array (n,) or (trajectories, n), optional
        h at the start, and ever before; standard normal by default.
    trajectories : int, optional
        Number of runs side by side with the same couplings and weights, and other noise and start. With random
        couplings they cost little more than one.
    method : {"heun", "euler"}
        Exponential integrator of second order, or of first, which makes feedback lag by half a step more.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range: no neurons, negative noise, a delay above 0 but below the step.

    Notes
    -----
    A step takes O(n) without random couplings and O(n²) with them. The leak, the noise and coloured noise are exact.
    The same seed gives the same numbers, bit for bit, whatever the number of threads.

    Examples
    --------
    >>> run = simulate(100, 8.0, 0.2, 0.75, duration=50.0, seed=1)
    >>> run.t.shape == run.readout.shape
    True
    >>> bool(abs(run.readout.mean() - 0.1731) < 0.005)
    True
    """
    from linfa.neighbours.balanced.kernels import advance

    n = integer("n", n, at_least=1)
    b = real_number("b", b, at_least=0.0)
    sigma = real_number("sigma", sigma, at_least=0.0)
    g = real_number("g", g, at_least=0.0)
    delay = real_number("delay", delay, at_least=0.0)
    duration = real_number("duration", duration, above=0.0)
    seed = seed_value("seed", seed)
    choice("nonlinearity", nonlinearity, NONLINEARITIES)
    choice("weights", weights, WEIGHTS)
    choice("method", method, METHODS)
    tn = real_number("correlation_time", correlation_time, at_least=0.0)
    shared = real_number("shared", shared, at_least=0.0)
    burn_in = real_number("burn_in", burn_in, at_least=0.0)
    members = 1 if trajectories is None else integer("trajectories", trajectories, at_least=1)
    dt, lag, steps, before = _time_grid(b, delay, duration, burn_in, step)
    size = (members, n)
    field = _start(start, size, seed)
    w, coupling = _couplings(n, g, weights, seed)
    stimulus = _stimulus(x, dt * np.arange(-before, steps + 1))

    activity = field if nonlinearity == "linear" else np.tanh(field)
    kept = np.exp(-dt / tn) if tn > 0 else 0.0
    spread = sigma / np.sqrt(2 * tn) if tn > 0 else 0.0
    leak = -np.expm1(-dt)
    beta = (dt - leak) / dt if method == "heun" else 0.0
    # White noise, accumulated with the leak over one step.
    white = np.sqrt(-np.expm1(-2 * dt) / 2)
    scheme = (1 - leak, leak - beta, beta, sigma * white, kept, spread * np.sqrt(1 - kept**2))
    noise, common = stream(seed, "noise"), stream(seed, "noise", 1)
    coloured = spread * noise.standard_normal(size) if tn > 0 else np.zeros((1, 1))
    readouts = np.empty((before + steps + 1, members))
    with single_threaded_blas():
        inputs = activity @ coupling if g > 0 else np.zeros((1, 1))
        readouts[0] = activity @ w / n
        past = np.tile(readouts[0], (lag + 1, 1))
        state = (field, past, np.tile(inputs, (lag + 1 if g > 0 else 1, 1, 1)), coloured, np.zeros(1, dtype=np.int64))
        network = (w, coupling, b, nonlinearity == "linear")
        length = max(1, _BLOCK // (members * n))
        for begin in range(0, before + steps, length):
            end = min(begin + length, before + steps)
            drawn = noise.standard_normal((end - begin, *size)) if sigma > 0 else np.zeros((end - begin, *size))
            pushed = np.zeros((end - begin, members))
            if shared > 0:
                pushed += shared * white / leak * common.standard_normal((end - begin, members))
            out = readouts[begin + 1 : end + 1]
            advance(state, network, scheme, drawn, stimulus[begin : end + 1], pushed, out)
    kept_readouts = np.ascontiguousarray(readouts[before:].T)
    if trajectories is None:
        kept_readouts, field = kept_readouts[0], field[0]
    return Simulation(dt * np.arange(steps + 1), kept_readouts, field, w, dt)


def _time_grid(
    b: float, delay: float, duration: float, burn_in: float, step: float | None
) -> tuple[float, int, int, int]:
    """Step, delay in steps, steps to record, and steps before."""
    if step is None:
        dt = min(_LONGEST_STEP, 1.0 / (_FINEST * (1 + b)), duration)
    else:
        dt = real_number("step", step, above=0.0, at_most=duration)
    if 0 < delay < dt:
        raise ValueError(f"delay is {delay:g}, below the step {dt:g}; it must be 0 or at least one step")
    whole = delay if delay > 0 else duration
    # A quotient that rounding put just above an integer is that integer.
    dt = whole / int(np.ceil(whole / dt * (1 - 1e-12)))
    lag = round(delay / dt)
    steps, before = int(np.floor(duration / dt * (1 + 1e-12))), int(np.ceil(burn_in / dt * (1 - 1e-12)))
    return dt, lag, max(steps, 1), before


def _start(start: np.ndarray | None, size: tuple[int, int], seed: int) -> np.ndarray:
    if start is None:
        return stream(seed, "data").standard_normal(size)
    found = real_array("start", start, (1, 2))
    matching("start", found, (size[1],))
    if found.ndim == 2:
        matching("start", found, size)
    return np.array(np.broadcast_to(found, size))


def _couplings(n: int, g: float, weights: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """w, and g Gᵀ, or a placeholder without random couplings."""
    generator = stream(seed, "weights")
    w = generator.standard_normal(n) if weights == "gaussian" else generator.choice([-1.0, 1.0], n)
    if g == 0:
        return w, np.zeros((1, 1))
    # Of size 2 at least, or the kernel would take a single coupling for none.
    return w, np.ascontiguousarray(g / np.sqrt(n) * generator.standard_normal((n, n)).T)


def _stimulus(x: object, t: np.ndarray) -> np.ndarray:
    """x at every step."""
    if not callable(x):
        return np.full(len(t), real_number("x", x))
    found = real_array("x(t)", x(t), 1)
    matching("x(t)", found, (len(t),))
    return found


def measured_exponent(
    n: int, b: float, x: float, sigma: float, g: float, duration: float = 100.0, seed: int = 0, *, step: float = 0.05
) -> float:
    """Largest Lyapunov exponent of one tanh network without delay, from the growth of a tangent vector.

    δh' = −δh + (g G − (b/N) w wᵀ) φ'(h) δh along h(t), both by the exponential scheme of second order; the growth is
    averaged over `duration`, after as long a time for the vector to turn.

    Parameters
    ----------
    n, b, x, sigma, g, duration, seed : as in `simulate`
    step : float
        Time step, well below 1/(1 + b).

    Returns
    -------
    float

    Examples
    --------
    >>> round(measured_exponent(20, 1.0, 0.0, 0.0, 0.1, 20.0), 2) < -0.7
    True
    """
    n = integer("n", n, at_least=1)
    b = real_number("b", b, at_least=0.0)
    x = real_number("x", x)
    sigma = real_number("sigma", sigma, at_least=0.0)
    g = real_number("g", g, above=0.0)
    duration = real_number("duration", duration, above=0.0)
    dt = real_number("step", step, above=0.0, at_most=duration)
    seed = seed_value("seed", seed)
    w, coupling = _couplings(n, g, "signs", seed)
    full = coupling - b / n * np.outer(w, w)
    field, tangent = stream(seed, "data").standard_normal((2, n))
    noise = stream(seed, "noise")
    leak = -np.expm1(-dt)
    beta, kick = (dt - leak) / dt, sigma * np.sqrt(-np.expm1(-2 * dt) / 2)
    steps = int(np.ceil(duration / dt))
    growth = 0.0
    with single_threaded_blas():
        for k in range(2 * steps):
            both = np.stack([field, tangent])
            first = _push(both, full, b * w * x)
            guess = (1 - leak) * both + leak * first
            if sigma > 0:
                guess[0] += kick * noise.standard_normal(n)
            field, tangent = guess + beta * (_push(guess, full, b * w * x) - first)
            size = np.linalg.norm(tangent)
            tangent /= size
            growth += np.log(size) if k >= steps else 0.0
    return float(growth / (steps * dt))


def _push(both: np.ndarray, coupling: np.ndarray, drive: np.ndarray) -> np.ndarray:
    """Input to the field, and to the tangent vector."""
    activity = np.tanh(both[0])
    pushed = np.stack([activity, (1 - activity**2) * both[1]]) @ coupling
    pushed[0] += drive
    return pushed
