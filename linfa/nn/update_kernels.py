"""Compiled kernels of the optimisers: one pass over memory, in place, no temporaries.

All arrays are flat, of one length and precision; every scalar comes in that precision, or the arithmetic would be done
in double. In every kernel g = gradient, cut to ±clamp.
"""

import numpy as np

from linfa.core.compile import entry, kernel


@kernel
def cut(g: np.floating, clamp: np.floating) -> np.floating:
    """g, at most ±clamp. NaN stays NaN, which min and max do not promise."""
    return clamp if g > clamp else (-clamp if g < -clamp else g)


@entry
def count_not_finite(x: np.ndarray) -> int:
    """How many entries are NaN or infinite."""
    count = 0
    for i in range(x.size):
        # NaN compares as false; a sum of x − x would be simplified away.
        if not abs(x[i]) < np.inf:
            count += 1
    return count


@entry
def gradient_step(
    value: np.ndarray, gradient: np.ndarray, rate: np.floating, shrinkage: np.floating, clamp: np.floating
) -> None:
    """w ← w − (rate g + shrinkage w)."""
    for i in range(value.size):
        g = cut(gradient[i], clamp)
        value[i] -= rate * g + shrinkage * value[i]


@entry
def momentum_step(
    value: np.ndarray,
    gradient: np.ndarray,
    buffer: np.ndarray,
    momentum: np.floating,
    now: np.floating,
    past: np.floating,
    rate: np.floating,
    shrinkage: np.floating,
    clamp: np.floating,
) -> None:
    """m ← momentum m + g;  w ← w − (rate (now g + past m) + shrinkage w)."""
    for i in range(value.size):
        g = cut(gradient[i], clamp)
        m = momentum * buffer[i] + g
        buffer[i] = m
        value[i] -= rate * (now * g + past * m) + shrinkage * value[i]


@entry
def adam_step(
    value: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    keep_mean: np.floating,
    take_mean: np.floating,
    keep_square: np.floating,
    take_square: np.floating,
    rate: np.floating,
    correction: np.floating,
    epsilon: np.floating,
    coupled: np.floating,
    shrinkage: np.floating,
    clamp: np.floating,
) -> None:
    """With g + coupled w for g:  m ← keep m + take g,  v ← keep v + take g²,
    w ← w − (rate m/(correction √v + epsilon) + shrinkage w)."""
    for i in range(value.size):
        g = cut(gradient[i], clamp) + coupled * value[i]
        m = keep_mean * mean[i] + take_mean * g
        v = keep_square * square[i] + take_square * g * g
        mean[i] = m
        square[i] = v
        value[i] -= rate * m / (correction * np.sqrt(v) + epsilon) + shrinkage * value[i]


@entry
def amsgrad_step(
    value: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    largest: np.ndarray,
    keep_mean: np.floating,
    take_mean: np.floating,
    keep_square: np.floating,
    take_square: np.floating,
    rate: np.floating,
    correction: np.floating,
    epsilon: np.floating,
    coupled: np.floating,
    shrinkage: np.floating,
    clamp: np.floating,
) -> None:
    """As `adam_step`, with the largest v so far in place of v."""
    for i in range(value.size):
        g = cut(gradient[i], clamp) + coupled * value[i]
        m = keep_mean * mean[i] + take_mean * g
        v = keep_square * square[i] + take_square * g * g
        mean[i] = m
        square[i] = v
        top = max(largest[i], v)
        largest[i] = top
        value[i] -= rate * m / (correction * np.sqrt(top) + epsilon) + shrinkage * value[i]


@entry
def average_gradient(
    gradient: np.ndarray,
    buffer: np.ndarray,
    blend: np.ndarray,
    momentum: np.floating,
    take: np.floating,
    now: np.floating,
    past: np.floating,
    clamp: np.floating,
) -> float:
    """m ← momentum m + take g;  blend ← now g + past m. Returns Σ blend², summed in double precision."""
    total = 0.0
    for i in range(gradient.size):
        g = cut(gradient[i], clamp)
        m = momentum * buffer[i] + take * g
        buffer[i] = m
        u = now * g + past * m
        blend[i] = u
        total += np.float64(u) * np.float64(u)
    return total
