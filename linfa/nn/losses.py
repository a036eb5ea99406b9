"""What is minimised: value of the loss and its gradient at the output, both means over the batch."""

from abc import ABC, abstractmethod

import numpy as np

from linfa._check import real_number
from linfa.nn.backend import namespace
from linfa.nn.parameters import Array


class Loss(ABC):
    """A loss of outputs (N × classes) and targets (N × classes, one-hot or real)."""

    name = "loss"

    @abstractmethod
    def __call__(self, output: Array, targets: Array) -> tuple[float, Array]:
        """Mean loss over the batch, and ∂loss/∂output (N × classes)."""


class CrossEntropy(Loss):
    """−Σ y log softmax(output): the error is softmax − y, so it sums to zero and has rank ≤ classes − 1.

    Parameters
    ----------
    label_smoothing : float
        Share of every target that is spread over all classes.
    """

    name = "cross-entropy"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = real_number("label_smoothing", label_smoothing, at_least=0.0, at_most=1.0)

    def __call__(self, output: Array, targets: Array) -> tuple[float, Array]:
        xp = namespace(output)
        if self.label_smoothing:
            share = output.dtype.type(self.label_smoothing)
            targets = targets * (1 - share) + share / targets.shape[1]
        shifted = output - output.max(1, keepdims=True)
        powers = xp.exp(shifted)
        total = powers.sum(1, keepdims=True)
        loss = float((targets * (xp.log(total) - shifted)).sum() / len(output))
        return loss, (powers / total - targets) / output.dtype.type(len(output))


class SquaredError(Loss):
    """½|y − ŷ|², the loss of the linear theory: the error is ŷ − y."""

    name = "squared-error"

    def __call__(self, output: Array, targets: Array) -> tuple[float, Array]:
        gap = output - targets
        return float(0.5 * (gap * gap).sum() / len(output)), gap / output.dtype.type(len(output))


LOSSES = {"cross-entropy": CrossEntropy, "squared-error": SquaredError}


def one_hot(labels: np.ndarray, classes: int, dtype: np.dtype) -> np.ndarray:
    """Labels 0 … classes − 1 as rows of zeros with a one.

    Examples
    --------
    >>> one_hot(np.array([1, 0]), 2, np.float32).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows
