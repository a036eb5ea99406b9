"""Descent on samples, from checked arguments to a `Trajectory`."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from linfa._check import integer, weight_matrices
from linfa._threads import single_threaded_blas
from linfa.feedback import Feedback, Resolved
from linfa.reduction import Correlations
from linfa.running import (
    Networks,
    RunPlan,
    check_run,
    core_problem,
    feedback_layout,
    initial_state,
    network_widths,
    resolve_feedback,
    start_vectors,
)
from linfa.sampling.samples import Finite, Fresh, source_of
from linfa.simulation import DivergenceWarning
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory
from linfa.trajectory_file import repeat_in_time

# Numbers drawn ahead: their count is the same whenever a run is saved, so that saving does not change its bits.
_DRAWN_AHEAD = 2**16
# As in full-batch descent: matrices this many times larger than the start have left every bounded solution behind.
_DIVERGED_BEYOND = 1e12


def stochastic(
    data: LinearTask | tuple[np.ndarray, np.ndarray],
    weights: Sequence[np.ndarray],
    feedback: Feedback,
    t: np.ndarray,
    *,
    learning_rate: float,
    batch: int = 1,
    noise: float = 0.0,
    weight_decay: float | Sequence[float] = 0.0,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Trajectory:
    """Train a deep linear network by descent on batches of samples, under a rule of feedback.

    W_l ← W_l + η (<δ_l h_{l−1}ᵀ> − wd_l W_l), the mean over the samples of one batch; feedback that learns does so from
    the same batch, with the same η. With the whole data set as the batch this is `linfa.simulate` with a learning rate;
    with one fresh sample for each update it is online learning.

    Parameters
    ----------
    data : LinearTask, or (x, y)
        A task: every batch is drawn anew, Gaussian with the task's correlations (see `draw_samples`). Or samples
        x (samples, i), y (samples, o): each is used once an epoch, in an order drawn for every epoch; a batch goes on
        into the next epoch where its size does not divide the number of samples.
    weights : list of array (out, in)
        Initial weights, first layer first.
    feedback : Feedback
    t : array (T,)
        Numbers of updates at which to save, ascending.
    learning_rate : float
        η.
    batch : int
        Samples in a batch; of a data set no more than it has.
    noise : float
        Standard deviation of noise that is added to the labels anew whenever a sample is used. For noise that a data
        set keeps, give `draw_samples` some.
    weight_decay : float or sequence of float
        wd, for all layers or one for each.
    seed : int
        Of everything drawn here. The same seed gives the same bits, whatever `t` is and however many threads there are.
    progress : callable, optional
        Called with the fraction of the updates that is done.

    Returns
    -------
    Trajectory
        Of the task, or of the task that the samples make (``LinearTask.from_data``): its losses are those over the
        population or the data set, without `noise`. ``task.loss(run.map)`` has the loss of another task on the way.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above or the shapes do not fit each other.

    Warns
    -----
    DivergenceWarning
        If the run diverged; the trajectory ends before that.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> weights = linfa.initial_weights((2, 4, 2), scale=0.3)
    >>> samples = linfa.draw_samples(task, 3, noise=0.5)
    >>> run = stochastic(samples, weights, linfa.Backprop(), [0, 4000], learning_rate=0.02)
    >>> bool(run.excess_loss[-1] < 1e-3), bool(task.loss(run.map)[-1] > 0.01)  # learned by heart
    (True, True)
    """
    task, source = source_of(data, noise, seed)
    weights = weight_matrices(weights)
    if learning_rate is None:
        raise TypeError("learning_rate is None; descent on samples needs a number")
    plan = check_run(task, len(weights), t, learning_rate, weight_decay, 1e-8, 1e-10, "dormand-prince", None, 1)
    batch = integer("batch", batch, at_least=1)
    if isinstance(source, Finite) and batch > len(source.x):
        raise ValueError(f"batch is {batch}; it must be at most {len(source.x)}, the number of samples")
    resolved = resolve_feedback(task, weights, feedback)
    with single_threaded_blas():
        states, stopped = _descend(plan, source, weights, resolved, batch, progress)
    times = plan.times[: len(states)].copy()
    if stopped is not None:
        warnings.warn(
            f"the run diverged: noticed at update {stopped}; the trajectory ends before that",
            DivergenceWarning,
            stacklevel=2,
        )
        if len(states) == 0:
            # Stopped before the first update asked for: what there is up to then is the start.
            times, states = np.zeros(1), initial_state(weights, resolved)[None]
    kept, matrices = _matrices(states, weights, resolved)
    settings = plan.settings(resolved) | {
        "method": "stochastic descent",
        "batch": batch,
        "noise": source.noise,
        "samples": len(source.x) if isinstance(source, Finite) else None,
        "seed": seed,
    }
    return Trajectory(
        task,
        feedback,
        times,
        kept,
        matrices,
        settings=settings,
        status="completed" if stopped is None else "diverged",
        stopped_at=float("nan") if stopped is None else float(stopped),
    )


def _descend(
    plan: RunPlan,
    source: Fresh | Finite,
    weights: list[np.ndarray],
    resolved: Resolved,
    batch: int,
    progress: Callable[[float], None] | None,
) -> tuple[np.ndarray, int | None]:
    """States at the times that were reached, and the update at which the run diverged."""
    from linfa.sampling.kernels import descend_batches

    widths = network_widths(weights)
    lower = weights[0].copy()
    # The batch as a whitened task (see the kernel), whose first layer decays outside.
    images = [np.zeros((1, widths[1], batch)), *(w[None] for w in weights[1:])]
    empty = Correlations(
        np.zeros((widths[-1], batch)), None, np.eye(batch), np.zeros((widths[-1], 0)), np.zeros((widths[-1],) * 2)
    )
    inner = replace(plan, decay=np.concatenate([[0.0], plan.decay[1:]]))
    networks = Networks(images, [resolved], [empty])
    problem = core_problem(inner, networks, factor=False)
    state = start_vectors(inner, networks, problem)[0]
    change, work, moved = np.zeros(problem.n_dynamic), np.zeros(problem.n_work), np.zeros_like(lower)
    start = initial_state(weights, resolved)
    limit = _DIVERGED_BEYOND * max(1.0, np.abs(start).max())
    times, clock = plan.times.astype(np.int64), np.zeros(2, dtype=np.int64)
    states = np.empty((len(times), len(start)))
    ahead = max(1, _DRAWN_AHEAD // (batch * (widths[0] + widths[-1])))
    goes_on = True
    while goes_on:
        x, y = (part.reshape(ahead, batch, -1) / np.sqrt(batch) for part in source.draw(ahead * batch))
        goes_on = descend_batches(
            problem, state, change, work, lower, moved, x, y, plan.learning_rate, plan.decay[0], limit, times, states,
            clock,
        )  # fmt: skip
        if progress is not None:
            progress(min(1.0, clock[0] / max(1, times[-1])))
    done, saved = map(int, clock)
    return states[:saved], None if saved == len(times) else done


def _matrices(
    states: np.ndarray, weights: list[np.ndarray], resolved: Resolved
) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Weights and feedback over time as views into the saved states; fixed feedback repeats in time."""
    layout = feedback_layout(resolved)
    shapes = [w.shape for w in weights] + [start.shape for _, _, start, learns in layout if learns]
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    flat = np.split(states, ends[:-1], axis=1)
    parts = [part.reshape(len(states), *shape) for part, shape in zip(flat, shapes, strict=True)]
    learned = iter(parts[len(weights) :])
    found: dict[str, dict[int, np.ndarray]] = {key: {} for key in resolved.matrices or {}}
    for key, h, start, learns in layout:
        found[key][h] = next(learned) if learns else repeat_in_time(start, len(states), members=False)
    return parts[: len(weights)], {key: [of[h] for h in sorted(of)] for key, of in found.items()}
