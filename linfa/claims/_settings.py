"""What the claims share: tolerances of the integrator, and the words that explain them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from linfa._random import stream
from linfa.tasks import LinearTask

# The integrator is asked for three digits more than a closed-form claim is held to.
TIGHT = {"rtol": 1e-12, "atol": 1e-14}

INTEGRATOR = "integrated at rtol 1e-12; error grows with the horizon and the closed form adds its own rounding"
ROUNDING = "exact identity: rounding alone, which grows with the number and size of the terms added"


def correlated_task(inputs: int, outputs: int, seed: int) -> LinearTask:
    """A task whose inputs are correlated: random Σyx and a well-conditioned Σx."""
    generator = stream(seed, "claim")
    root = generator.standard_normal((inputs, 2 * inputs)) / np.sqrt(2 * inputs)
    return LinearTask(generator.standard_normal((outputs, inputs)), root @ root.T + 0.2 * np.eye(inputs))


def closing_order(gap: Callable[[float], ArrayLike], size: float) -> np.ndarray:
    """Exponent with which a gap goes as `size`, from this size and half of it."""
    return np.log2(np.divide(gap(size), gap(size / 2)))
