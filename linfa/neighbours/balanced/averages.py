"""One neuron in Gaussian noise: averages of its activity, their Hermite series, and the balance that sets its field.

A neuron with weight w = ±1 has the field w m + √q z, z standard normal. Averages over z are sums on an even grid, which
converge faster than any power for functions that are analytic near the real axis: the step follows from the spectrum
of the integrand, so that aliasing stays below rounding (Trefethen & Weideman 2014). Gauss–Hermite rules of a hundred
nodes are not enough where tanh is steep on the scale of √q.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from linfa._check import real_number

NONLINEARITIES = ("tanh", "linear")
WEIGHTS = ("signs", "gaussian")

# e^{−37} is below the spacing of double precision: how far spectra and tails are followed.
_FOLDS = 37.0
# Beyond this order the rest of the variance is kept in one last term.
_ORDERS = 4096
# Largest σ: the grids of louder noise, over which tanh is a step, grow with it.
LOUDEST = 100.0


@dataclass(frozen=True)
class Averages:
    """What a population with fields w m + √q z reads out: E w φ and E w²φ', with E φ² and E φ'² where w = ±1."""

    mean: float
    slope: float
    square: float
    slope_square: float


def averages(field: float, variance: float, nonlinearity: str = "tanh", weights: str = "signs") -> Averages:
    """E w φ(h), E w²φ'(h), E φ²(h), E φ'²(h) for h = w m + √q z (M1–M3).

    Parameters
    ----------
    field, variance : float
        m, and q ≥ 0.
    nonlinearity : {"tanh", "linear"}
    weights : {"signs", "gaussian"}
        w = ±1, or w ~ N(0, 1), for which E w φ = m E φ'(√s z) and E w²φ' = E φ' + m² E φ''' with s = m² + q.

    Examples
    --------
    >>> averages(0.0, 0.0)
    Averages(mean=0.0, slope=1.0, square=0.0, slope_square=1.0)
    """
    if nonlinearity == "linear":
        total = field**2 + variance
        return Averages(float(field), 1.0, float(total), 1.0)
    if weights == "gaussian":
        z, p = grid(field**2 + variance)
        squared = np.tanh(np.sqrt(field**2 + variance) * z) ** 2
        first, third = 1 - squared, (1 - squared) * (6 * squared - 2)
        mean = field * (p @ first)
        return Averages(float(mean), float(p @ first + field**2 * (p @ third)), float(p @ squared), float(p @ first**2))
    z, p = grid(variance)
    activity = np.tanh(field + np.sqrt(variance) * z)
    slope = 1 - activity**2
    mean = _odd_mean(field, np.sqrt(variance) * z, p)
    return Averages(mean, float(p @ slope), float(p @ activity**2), float(p @ slope**2))


def _odd_mean(field: float, noise: np.ndarray, p: np.ndarray) -> float:
    """Σ p tanh(m + n) over noise n of even distribution, to rounding of itself however small m is.

    ½[tanh(m + n) + tanh(m − n)] = t/(t² + sech² m cosh² n) with t = tanh m, written so that nothing overflows.
    """
    size, depth = np.abs(noise), abs(field)
    # e^{600} makes a term vanish as well as more would.
    growth = np.exp(np.minimum(2 * (size - depth), 600.0))
    ratio = growth * ((1 + np.exp(-2 * size)) / (1 + np.exp(-2 * depth))) ** 2
    t = np.tanh(field)
    return float(p @ (t / (t**2 + ratio)))


def hermite_powers(
    field: float, variance: float, nonlinearity: str = "tanh", weights: str = "signs", least: int = 1
) -> np.ndarray:
    """E_w w² c_n² for n = 0, 1, …: the covariance of activity at correlation ρ of the noise is Σ c_n² ρⁿ (F3).

    c_n = E φ(m + √q z) He_n(z)/√n!.  The series is followed until it holds all of E φ² but 1e-14 of it.

    Parameters
    ----------
    field, variance, nonlinearity, weights : as in `averages`
    least : int
        Orders to return at least.

    Examples
    --------
    >>> hermite_powers(0.5, 0.25, "linear")
    array([0.25, 0.25])
    """
    if nonlinearity == "linear":
        # w m + √q z, weighted with w² and averaged: E w⁴ = 3 for Gaussian weights.
        return np.array([field**2 * (3.0 if weights == "gaussian" else 1.0), variance])
    if weights == "gaussian":
        # tanh(w m) has its poles at w = iπ/(2m), as the average over z has its own in units of √q.
        w, p = grid(field**2)
    else:
        w, p = np.ones(1), np.ones(1)
    orders = 64
    while True:
        found = _hermite(w * field, variance, orders) ** 2 @ (p * w**2)
        total = float((p * w**2) @ [averages(v * field, variance).square for v in w])
        rest = total - found.sum()
        if rest <= 1e-14 * total or orders >= _ORDERS:
            break
        orders *= 4
    kept = max(least + 1, int(np.searchsorted(np.cumsum(found), total * (1 - 1e-14))) + 1)
    found = found[:kept]
    return np.append(found, rest) if orders >= _ORDERS and rest > 1e-14 * total else found


def _hermite(fields: np.ndarray, variance: float, orders: int) -> np.ndarray:
    """c_n for n < orders and each field: (orders, fields)."""
    # He_n e^{−z²/2}/√n! oscillates with wave numbers up to √n, on top of those of tanh.
    z, p = grid(variance, wave=np.sqrt(orders), reach=np.sqrt(4 * _FOLDS))
    activity = np.tanh(fields[:, None] + np.sqrt(variance) * z)
    # Bounded by e^{z²/4} at every order, times the square root of the weight: neither under- nor overflows.
    root = np.exp(-(z**2) / 4)
    ahead, behind = root.copy(), np.zeros_like(root)
    weight = p / root
    found = np.empty((orders, len(fields)))
    for n in range(orders):
        found[n] = activity @ (weight * ahead)
        ahead, behind = (z * ahead - np.sqrt(n) * behind) / np.sqrt(n + 1), ahead
    return found


def grid(variance: float, wave: float = 0.0, reach: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points z and weights p of E f = Σ p f(z) for f built of tanh(√q z + m), standard normal z."""
    reach = np.sqrt(2 * _FOLDS) if reach is None else reach
    # Spectra: e^{−k²/2} of the Gaussian and e^{−πk/(2√q)} of tanh, its poles being π/(2√q) away from the real axis.
    highest = wave + np.sqrt(2 * _FOLDS) + _FOLDS * np.sqrt(variance) / (np.pi / 2)
    count = int(np.ceil(reach * highest / (2 * np.pi))) + 1
    z = np.linspace(-reach, reach, 2 * count + 1)
    p = np.exp(-(z**2) / 2)
    return z, p / p.sum()


def balance_and_stimulus(b: object, x: object) -> tuple[float, float]:
    """b ≥ 0 and x, of sizes that floating point can balance."""
    return real_number("b", b, at_least=0.0, at_most=1e12), real_number("x", x, at_least=-1e6, at_most=1e6)


def balanced_field(
    b: float, x: float, variance: float, nonlinearity: str = "tanh", weights: str = "signs"
) -> tuple[float, Averages]:
    """m = b (x − x̂(m)), the field at which input and cancelling feedback agree, and the averages there (M1).

    The only root: x̂ rises with m, at the rate u = E w²φ' > 0.

    Examples
    --------
    >>> balanced_field(1.0, 1.0, 0.0, "linear")[0]
    0.5
    """
    if nonlinearity == "linear":
        field = b * x / (1 + b)
    else:
        # Feedback never turns the sign of the input, nor adds to it.
        field = _root(lambda m: m - b * (x - averages(m, variance, nonlinearity, weights).mean), 0.0, b * x)
    return field, averages(field, variance, nonlinearity, weights)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    if low == high:
        return low
    return float(brentq(function, min(low, high), max(low, high), xtol=1e-300, rtol=8.9e-16, maxiter=1000))
