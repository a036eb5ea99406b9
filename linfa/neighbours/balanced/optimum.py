"""How much balance is best: more of it cancels noise, until delay makes feedback ring."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from linfa._check import integer, real_number
from linfa.neighbours.balanced.closed_forms import delay_variance
from linfa.neighbours.balanced.mean_field import MeanField, mean_field
from linfa.neighbours.balanced.stability import critical_balance, hopf


def optimal_loop_gain(delay: float, sigma: float = 1.0) -> tuple[float, float]:
    """Loop gain that minimises N var of a linear network with delay and white noise, and that N var (F4).

    As d → 0: B d = y with y = cos y = 0.739085, N var = 1.531919 σ²d.

    Parameters
    ----------
    delay, sigma : float
        d > 0, σ ≥ 0.

    Returns
    -------
    loop_gain, n_variance : float
        The loop gain is 0 where delay is so long that no feedback is best.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; without delay, more balance is always better.

    Examples
    --------
    >>> [round(v, 4) for v in optimal_loop_gain(0.05)]
    [14.5181, 0.0701]
    """
    sigma = real_number("sigma", sigma, at_least=0.0)
    critical, _ = hopf(delay)
    # Rises without bound towards the Hopf boundary, and has one minimum before it.
    found = minimize_scalar(
        lambda gain: float(delay_variance(gain, delay)),
        bounds=(0.0, critical),
        method="bounded",
        options={"xatol": 1e-9},
    )
    # Without feedback the variance is ½; a bounded search ends beside it, not on it.
    gain, variance = (float(found.x), float(found.fun)) if found.fun < 0.5 else (0.0, 0.5)
    return gain, sigma**2 * variance


@dataclass(frozen=True)
class Optimum:
    """The best balance, the state there, and its root-mean-square error."""

    b: float
    error: float
    state: MeanField


def optimal_balance(
    n: int, x: float, sigma: float, g: float = 0.0, delay: float = 0.0, *, shared: float = 0.0, largest: float = 1e6
) -> Optimum:
    """Balance at which a tanh network of `n` neurons has the least error, bias and fluctuations together.

    Parameters
    ----------
    n, x, sigma, g, delay, shared : as in `mean_field`
    largest : float
        Balance up to which is searched: the answer where neither delay nor shared noise sets a limit.

    Returns
    -------
    Optimum

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> best = optimal_balance(400, 0.2, 0.75, delay=0.1)
    >>> round(best.b, 1), round(best.error, 4)
    (15.7, 0.0198)
    """
    n = integer("n", n, at_least=1)
    largest = real_number("largest", largest, above=0.0)

    def error(logarithm: float) -> float:
        return mean_field(float(np.exp(logarithm)), x, sigma, g, delay, shared=shared).error(n)

    high = largest
    real_number("delay", delay, at_least=0.0)
    if delay > 0:
        # Random couplings and noise make neurons less steep: beyond the critical balance without them, check there too.
        high = min(largest, 4 * critical_balance(x, delay, sigma))
    grid = np.linspace(np.log(min(1e-3, high / 2)), np.log(high), 61)
    values = np.array([error(v) for v in grid])
    k = int(np.argmin(values))
    low, top = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    found = minimize_scalar(error, bounds=(low, top), method="bounded", options={"xatol": 1e-7})
    at = found.x if found.fun < values[k] else grid[k]
    b = float(np.exp(at))
    state = mean_field(b, x, sigma, g, delay, shared=shared)
    return Optimum(b, state.error(n), state)
