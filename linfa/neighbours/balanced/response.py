"""What feedback makes of fluctuations with any autocovariance: the response to white noise, as a quadrature rule."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import lambertw

from linfa.neighbours.balanced.closed_forms import delay_autocovariance, delay_variance

# Gauss–Legendre points on a panel, and Chebyshev points on a piece of the delay equation: both functions are entire,
# and vary by a factor e² at most over one, which twelve points resolve to rounding.
_POINTS = 12
# e^{−40} is far below rounding.
_FOLDS = 40.0
# Some seconds of work.
_PIECES = 300_000


@dataclass(frozen=True)
class Response:
    """Autocovariance K of y' = −y − B y(t − d) + ξ as a rule: ∫₀^∞ f K dτ = Σ weights f(times).

    Attributes
    ----------
    times, weights : array
    variance : float
        K(0).
    """

    times: np.ndarray
    weights: np.ndarray
    variance: float

    def filtered(self, autocovariance: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], drop: float) -> float:
        """What is left of a fluctuation with autocovariance c after feedback: ∫ dω/2π S_c |T|² (F1, F2).

        −2c'(0⁺) K(0) + 2∫₀^∞ (c − c'') K dτ, which has no differences of large numbers at strong feedback, where
        c(0) − B(B + 2)/a ∫ c e^{−aτ} dτ loses all digits; derived here.

        Parameters
        ----------
        autocovariance : callable
            τ (n,) to c (n,) and c'' (n,), τ > 0.
        drop : float
            −c'(0⁺): positive where activity has a white drive, 0 where it is smooth.
        """
        value, curvature = autocovariance(self.times)
        return float(2 * drop * self.variance + 2 * self.weights @ (value - curvature))


def response(loop_gain: float, delay: float, horizon: float, fastest: float = 1.0) -> Response:
    """The rule for loop gain B below the Hopf boundary and delay d.

    Parameters
    ----------
    loop_gain, delay : float
    horizon : float
        Time beyond which the functions to integrate are zero.
    fastest : float
        Shortest time on which they vary near 0.

    Examples
    --------
    >>> rule = response(3.0, 0.0, 50.0)
    >>> round(float(rule.weights.sum()), 12) == round(0.125 / 4, 12)
    True
    """
    variance = float(delay_variance(loop_gain, delay))
    smallest = min(fastest, 1.0 / (1.0 + loop_gain)) / 4
    if delay == 0:
        times, weights = _panels(smallest, min(horizon, _FOLDS / (1 + loop_gain)), 0.5)
        return Response(times, weights * variance * np.exp(-(1 + loop_gain) * times), variance)
    pieces = int(np.ceil(max(1.0, 2 * delay, delay * (1 + loop_gain))))
    length = delay / pieces
    found = [_panels(min(smallest, length), min(delay, horizon), length)]
    found[0] = (found[0][0], found[0][1] * delay_autocovariance(loop_gain, delay, found[0][0]))
    nodes, solver, rule = _chebyshev()
    solve = solver(length)
    before = [delay_autocovariance(loop_gain, delay, (k + nodes) * length) for k in range(pieces)]
    # Where the slowest root of λ + 1 + B e^{−λd} = 0 is real, K is soon this one exponential.
    slowest = lambertw(-loop_gain * delay * np.exp(delay)) / delay - 1
    settled = np.exp(slowest.real * length) if slowest.imag == 0 else np.nan
    start, largest, piece = before[-1][-1], variance, 0
    while delay + piece * length < horizon:
        begin = delay + piece * length
        values = solve(-loop_gain * before[piece % pieces], start)
        if abs(values[-1] - start * settled) < 1e-13 * abs(start):
            times, weights = _panels(length, horizon - begin, 1.0 / max(1.0, -slowest.real))
            found.append((begin + times, weights * start * np.exp(slowest.real * times)))
            break
        found.append((begin + nodes * length, rule * length * values))
        start, before[piece % pieces] = values[-1], values
        largest = max(np.abs(values).max(), 0.0 if piece % pieces == 0 else largest)
        piece += 1
        if piece % pieces == 0 and largest < 1e-17 * variance:
            break
        if piece == _PIECES:
            raise ValueError(
                f"delay is {delay:g} and the loop gain {loop_gain:g}, so close to the Hopf boundary that fluctuations "
                f"ring for more than {begin / delay:.0f} delays; it must be further away"
            )
    times, weights = (np.concatenate(part) for part in zip(*found, strict=True))
    return Response(times, weights, variance)


def _panels(first: float, end: float, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre points and weights on panels that double from `first` up to `longest`, from 0 to `end`."""
    edges, width = [0.0], first
    while edges[-1] < end:
        edges.append(min(end, edges[-1] + width))
        width = min(2 * width, longest)
    x, w = np.polynomial.legendre.leggauss(_POINTS)
    low, wide = np.array(edges[:-1])[:, None], np.diff(edges)[:, None]
    return (low + wide * (x + 1) / 2).ravel(), (wide * w / 2).ravel()


def _chebyshev() -> tuple[np.ndarray, Callable, np.ndarray]:
    """Nodes on [0, 1], a maker of solvers for K' + K = f on pieces of given length, and quadrature weights."""
    n = _POINTS
    nodes = (1 - np.cos(np.pi * np.arange(n + 1) / n)) / 2
    # Through the coefficients of Chebyshev polynomials: 13 of them are well conditioned.
    table = np.polynomial.chebyshev.chebvander(2 * nodes - 1, n)
    slopes = np.stack(
        [2 * np.polynomial.chebyshev.chebval(2 * nodes - 1, np.polynomial.chebyshev.chebder(e)) for e in np.eye(n + 1)],
        axis=1,
    )
    differentiate = slopes @ np.linalg.inv(table)
    integrals = np.array([0.0 if k % 2 else 1.0 / (1.0 - k * k) for k in range(n + 1)])
    rule = np.linalg.solve(table.T, integrals)

    def solver(length: float) -> Callable[[np.ndarray, float], np.ndarray]:
        # The delay equation K' + K = −B K(τ − d) on a piece, K given at its start.
        matrix = differentiate / length + np.eye(n + 1)
        matrix[0] = np.eye(n + 1)[0]
        inverse = np.linalg.inv(matrix)

        def solve(right: np.ndarray, start: float) -> np.ndarray:
            return inverse @ np.concatenate([[start], right[1:]])

        return solve

    return nodes, solver, rule
