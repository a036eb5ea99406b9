"""What a network learns: arrays with a role and a gradient."""

from dataclasses import dataclass
from typing import Any

Array = Any  # numpy.ndarray or cupy.ndarray: the array's own type decides which library works on it

# weight: matrices and kernels; bias, gain: vectors; embedding: positions and class token;
# feedback-*: what carries the error back, where it learns.
ROLES = ("weight", "bias", "gain", "embedding", "feedback-b", "feedback-q", "feedback-p")


@dataclass(eq=False)
class Parameter:
    """An array that an optimiser updates in place.

    Attributes
    ----------
    name : str
        Where it sits in the network, as ``"dense2.weight"``.
    value : array
        Kernels of convolutions have four axes (out, kernel, kernel, in); matrices have two (out, in).
    role : str
        One of `ROLES`; it decides which optimiser, rate and decay a parameter gets.
    gradient : array or None
        What the optimiser descends: the gradient of the loss or, for feedback, minus what its rule adds.
    rate : float
        Speed relative to the run's learning rate, where a feedback rule sets one.
    decay : float or None
        Weight decay of its own, where a feedback rule sets one; None leaves it to the run.
    """

    name: str
    value: Array
    role: str
    gradient: Array | None = None
    rate: float = 1.0
    decay: float | None = None

    @property
    def matrix(self) -> Array:
        """The value as (out, everything else), a view: kernels flattened."""
        return self.value.reshape(len(self.value), -1)
