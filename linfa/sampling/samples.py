"""Where batches come from: a data set, epoch by epoch, or a task's own distribution, with noise on the labels."""

import numpy as np

from linfa._check import integer, real_number, seed_value
from linfa._random import stream
from linfa._threads import single_threaded_blas
from linfa.tasks import LinearTask

# Streams of one seed: order of samples, fresh inputs, what inputs do not explain, noise; then those of `draw_samples`.
_ORDER, _INPUTS, _RESIDUALS, _NOISE, _DATA_SET = range(5)


def draw_samples(task: LinearTask, count: int, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian samples with the correlations of a task: x ~ N(0, Σx), y = T x + r + ζ.

    r ~ N(0, Σy − T Σx Tᵀ) is what no linear map explains (zero where Σy is unknown), ζ ~ N(0, noise² I) noise on the
    labels.

    Parameters
    ----------
    task : LinearTask
    count : int
    noise : float
        Standard deviation of every entry of ζ.
    seed : int

    Returns
    -------
    x : array (count, i)
    y : array (count, o)

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> x, y = draw_samples(linfa.LinearTask([[2.0, 0.0]]), 5)
    >>> bool(np.allclose(y, 2 * x[:, :1]))
    True
    """
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; it must be a LinearTask")
    count = integer("count", count, at_least=1)
    with single_threaded_blas():
        return Fresh(task, _noise(noise), seed_value("seed", seed), _DATA_SET).draw(count)


class Fresh:
    """Samples drawn anew, rows of x and y; `first` numbers the streams they come from."""

    def __init__(self, task: LinearTask, noise: float, seed: int, first: int = 0) -> None:
        self.task, self.noise = task, noise
        self._inputs, self._residuals, self._noise = (
            stream(seed, "data", first + k) for k in (_INPUTS, _RESIDUALS, _NOISE)
        )

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        task = self.task
        x = self._inputs.standard_normal((count, task.input_root.shape[1]))
        if not task.whitened:
            x = x @ task.input_root.T
        y = x @ task.target.T
        if task.residual_root.size:
            y += self._residuals.standard_normal((count, task.residual_root.shape[1])) @ task.residual_root.T
        return x, _noisy(y, self.noise, self._noise)


class Finite:
    """Samples of a data set, epoch by epoch in an order of its own."""

    def __init__(self, x: np.ndarray, y: np.ndarray, noise: float, seed: int) -> None:
        self.x, self.y, self.noise = x, y, noise
        self._order, self._noise = stream(seed, "data", _ORDER), stream(seed, "data", _NOISE)
        self._waiting = np.zeros(0, dtype=np.int64)

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        epochs = -(-(count - len(self._waiting)) // len(self.x))
        orders = self._order.permuted(np.tile(np.arange(len(self.x)), (epochs, 1)), axis=1)
        order = np.concatenate([self._waiting, orders.ravel()])
        chosen, self._waiting = order[:count], order[count:]
        return self.x[chosen], _noisy(self.y[chosen], self.noise, self._noise)


def _noisy(y: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    return y + noise * generator.standard_normal(y.shape) if noise > 0.0 else y


def _noise(value: object) -> float:
    return real_number("noise", value, at_least=0.0)


def source_of(data: object, noise: object, seed: object) -> tuple[LinearTask, Fresh | Finite]:
    """The task whose losses are kept, and where batches come from."""
    noise, seed = _noise(noise), seed_value("seed", seed)
    if isinstance(data, LinearTask):
        return data, Fresh(data, noise, seed)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data is {type(data).__name__}; it must be a LinearTask, or a pair (x, y) of samples")
    # Without the warnings of `from_data`: fewer samples than inputs are what is asked for here, not an accident.
    task = LinearTask._from_samples(*data, whiten=False, centre=False)
    x, y = (np.array(part, dtype=np.float64, order="C") for part in data)
    return task, Finite(x, y, noise, seed)
