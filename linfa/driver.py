"""One call for both ways to a trajectory: stepping through it, and writing it down where theory has a closed form."""

from collections.abc import Callable, Sequence

import numpy as np

from linfa import running, simulation
from linfa._check import choice, flag, weight_matrices
from linfa.feedback import Feedback
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory

METHODS = (*running.METHODS, "exact")
_INSTEAD = "; method='dormand-prince' integrates any case"


def simulate(
    task: LinearTask,
    weights: Sequence[np.ndarray],
    feedback: Feedback,
    t: np.ndarray,
    *,
    learning_rate: float | None = None,
    weight_decay: float | Sequence[float] = 0.0,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    method: str = "dormand-prince",
    step: float | None = None,
    max_steps: int = 1_000_000,
    reduce: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Trajectory:
    """Train a deep linear network by gradient flow, or by gradient descent, under a rule of feedback.

    Flow: W_l' = E[δ_l h_{l−1}ᵀ] − wd_l W_l with unit time constant, δ_l by the rule; learned feedback is integrated
    with the weights. Descent: W_l ← W_l + η (…), the explicit Euler step of the same right-hand side.

    Parameters
    ----------
    method : {"dormand-prince", "rk4", "exact"}
        How the flow is followed. ``"exact"`` makes no steps: any times, however late, from the closed forms of
        `linfa.theory.exact`, where one covers the case; `rtol`, `atol`, `max_steps` and `reduce` then mean nothing.
    task, weights, feedback, t and the other arguments
        As in `linfa.simulation.simulate`.

    Returns
    -------
    Trajectory
        With ``source == "theory"`` from closed forms, else ``"simulation"``.

    Raises
    ------
    linfa.theory.NoClosedForm
        If `method` is ``"exact"`` and no closed form covers the case: a ValueError that says what fails.
    ValueError, TypeError
        If an argument is not of the form above or the shapes do not fit each other.

    Warns
    -----
    DivergenceWarning, UserWarning
        As `linfa.simulation.simulate`.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> weights = linfa.initial_weights((2, 4, 2), kind="balanced", scale=0.01)
    >>> stepped = simulate(task, weights, linfa.Backprop(), t=[5.0, 10.0])
    >>> written = simulate(task, weights, linfa.Backprop(), t=[5.0, 10.0, 1e6], method="exact")
    >>> bool(abs(stepped.map - written.map[:2]).max() < 1e-5), written.source
    (True, 'theory')
    """
    if choice("method", method, METHODS) != "exact":
        return simulation.simulate(
            task, weights, feedback, t, learning_rate=learning_rate, weight_decay=weight_decay, rtol=rtol, atol=atol,
            method=method, step=step, max_steps=max_steps, reduce=reduce, progress=progress,
        )  # fmt: skip
    flag("reduce", reduce)
    plan = running.check_run(
        task,
        len(weight_matrices(weights)),
        t,
        learning_rate,
        weight_decay,
        rtol,
        atol,
        "dormand-prince",
        None,
        max_steps,
    )
    return _written_down(plan, weights, feedback, step, progress)


def _written_down(
    plan: running.RunPlan,
    weights: Sequence[np.ndarray],
    feedback: Feedback,
    step: float | None,
    progress: Callable[[float], None] | None,
) -> Trajectory:
    """The closed form, after a look at what no closed form has."""
    # Imported when it is asked for: stepping needs no theory, and starts sooner without.
    from linfa.theory.exact import NoClosedForm, exact

    if plan.learning_rate is not None:
        raise ValueError(f"learning_rate is {plan.learning_rate:g}; method 'exact' is of the flow, not of descent")
    if step is not None:
        raise ValueError(f"step is {step!r}; method 'exact' makes no steps")
    if plan.decay.any():
        raise NoClosedForm(f"weight_decay is {plan.decay.max():g}; closed forms of a whole course have none{_INSTEAD}")
    try:
        run = exact(plan.task, weights, feedback, plan.times)
    except NoClosedForm as error:
        raise NoClosedForm(f"{error}{_INSTEAD}") from None
    if progress is not None:
        progress(1.0)
    return run
