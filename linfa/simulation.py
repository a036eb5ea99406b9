"""Run a network: check the input, hand bare arrays to the core, return a `Trajectory`."""

import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from linfa._check import ascending_times, choice, flag, integer, real_array, real_number, weight_matrices
from linfa._threads import single_threaded_blas, thread_count
from linfa.feedback import Feedback, Resolved
from linfa.lifting import Held, ReducedRun
from linfa.reduction import Correlations, Reduction, feedback_ends, find_reduction
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory, repeat_in_time

if TYPE_CHECKING:
    from linfa.core.problem import Problem

METHODS = ("dormand-prince", "rk4")
_STATUS = ("running", "completed", "diverged", "stalled")
# Weights this many times larger than task and start have left every bounded solution behind.
_DIVERGED_BEYOND = 1e12
# Multiply-adds between two looks at Ctrl-C and progress: some tens of milliseconds.
_SLICE_WORK = 5e7


MOTIONLESS = (
    "nothing moved: the start is a fixed point of this rule; from zero weights backprop and sign-symmetry stay there, "
    "so start them from small ones"
)


class DivergenceWarning(RuntimeWarning):
    """A run diverged, or its integrator stopped advancing; the trajectory ends before that."""


@dataclass(frozen=True)
class RunPlan:
    """What all members of a run share."""

    task: LinearTask
    times: np.ndarray
    learning_rate: float | None
    decay: np.ndarray
    rtol: float
    atol: float
    method: str
    step: float | None
    max_steps: int

    def settings(self, resolved: Resolved) -> dict:
        """How the run is made, in plain numbers and words."""
        settings: dict = {"weight_decay": self.decay.tolist()}
        if self.learning_rate is not None:
            settings |= {"method": "descent", "learning_rate": self.learning_rate}
        elif self.step is not None:
            settings |= {"method": self.method, "step": self.step}
        else:
            settings |= {"method": self.method, "rtol": self.rtol, "atol": self.atol}
        return settings | {"transport": resolved.transport, "direct": resolved.direct, "ranks": list(resolved.ranks)}

    def fading(self, decay: float) -> np.ndarray:
        """What weight decay alone leaves at each time."""
        if self.learning_rate is None:
            return np.exp(-decay * self.times)
        return (1.0 - self.learning_rate * decay) ** self.times

    def feedback_decay(self, resolved: Resolved) -> np.ndarray:
        """Decay of the feedback to each hidden layer."""
        return self.decay[1:] if resolved.decay is None else np.full(len(self.decay) - 1, resolved.decay)


@dataclass(frozen=True)
class MemberRun:
    """One network's run: the network as it was run, reduced or not, and its states."""

    reduction: Reduction | None
    weights: list[np.ndarray]
    resolved: Resolved
    states: np.ndarray
    saved: int
    status: str
    stopped: float


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
    task : LinearTask
    weights : list of array (out, in)
        Initial weights, first layer first.
    feedback : Feedback
    t : array (T,)
        Times at which to save, ascending and not negative; the run starts at 0. In descent, numbers of updates.
    learning_rate : float, optional
        η. When given, gradient descent is run instead of the flow.
    weight_decay : float or sequence of float
        wd, for all layers or one for each.
    rtol, atol : float
        Tolerances of the adaptive integrator on every entry of the state.
    method : {"dormand-prince", "rk4"}
        Dormand–Prince 5(4), adaptive unless `step` is given; or the classical fourth-order method, which needs it.
    step : float, optional
        Longest step of a fixed-step run; steps are equal between two saved times and land on each.
    max_steps : int
        Steps of the adaptive integrator, rejected ones included, after which a run counts as stalled.
    reduce : bool
        Run wide networks in the subspaces that learning happens in, where these are much smaller (see
        `linfa.reduction`): the same course to the integrator's accuracy, whatever the width. ``settings["reduction"]``
        then says what was reduced to what; whole weights are made when they are first read.
    progress : callable, optional
        Called with the fraction of the horizon that is done.

    Returns
    -------
    Trajectory
        Up to where the run got: see its `status` and `stopped_at`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above or the shapes do not fit each other.

    Warns
    -----
    DivergenceWarning
        If the run diverged or stopped advancing.
    UserWarning
        If the start is a fixed point, such as zero weights under backprop.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> weights = linfa.initial_weights((2, 4, 2), kind="zero")
    >>> run = simulate(task, weights, linfa.FeedbackAlignment(seed=0), t=np.linspace(0, 40, 5))
    >>> bool(run.loss[-1] < 1e-6)
    True
    """
    weights = weight_matrices(weights)
    plan = check_run(task, len(weights), t, learning_rate, weight_decay, rtol, atol, method, step, max_steps)
    reduce = flag("reduce", reduce)
    resolved = resolve_feedback(task, weights, feedback)
    with single_threaded_blas():
        run = _run_member(plan, resolved, weights, reduce, progress=progress)
    if run.status != "completed":
        warnings.warn(_explain(run.status, run.stopped, plan), DivergenceWarning, stacklevel=_outside())
    start = initial_state(run.weights, run.resolved)[: run.states.shape[1]]
    states, saved = run.states, run.saved
    times = plan.times[:saved].copy()
    if saved == 0:
        # Stopped before the first time asked for: what there is up to then is the start.
        times, saved, states[0] = np.zeros(1), 1, start
    elif times[-1] > 0 and (states[saved - 1] == start).all() and (task.sigma_yx != 0).any():
        warnings.warn(MOTIONLESS, UserWarning, stacklevel=_outside())
    kept_weights, kept_feedback = _unpack(states[:saved], run.weights, run.resolved, ())
    settings = plan.settings(resolved)
    if run.reduction is not None:
        kept_weights = _reduced_run(
            replace(plan, times=times), [run], [weights], [resolved], kept_weights, kept_feedback
        )
        kept_feedback, settings["reduction"] = None, str(run.reduction)
    return Trajectory(
        task,
        feedback,
        times,
        kept_weights,
        kept_feedback,
        settings=settings,
        status=run.status,
        stopped_at=run.stopped,
    )


def ensemble(
    task: LinearTask,
    weights: Sequence[np.ndarray],
    feedback: Feedback | Sequence[Feedback],
    t: np.ndarray,
    *,
    threads: int | None = None,
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
    """Many networks side by side; each equals its own `simulate` run to the last bit, for any number of threads.

    Parameters
    ----------
    weights : list of array (members, out, in)
        Initial weights, first layer first.
    feedback : Feedback or list of Feedback
        One for all members, with one draw, or one for each: these may differ in seed, matrices, rates and decay, but
        not in rule or rank.
    threads : int, optional
        Threads to share the members among; None takes all cores that the process may use.
    task, t and the other arguments
        As in `simulate`.

    Returns
    -------
    Trajectory
        Every array with a leading member axis. A member that stopped early holds NaN from there on.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of the form above or the shapes do not fit each other.

    Warns
    -----
    DivergenceWarning
        If members diverged or stopped advancing.

    Examples
    --------
    >>> import numpy as np, linfa
    >>> task = linfa.LinearTask(np.diag([2.0, 1.0]))
    >>> weights = linfa.initial_weights((2, 4, 2), scale=0.1, members=3)
    >>> ensemble(task, weights, linfa.Backprop(), t=[0.0, 1.0]).loss.shape
    (3, 2)
    """
    stacked = weight_matrices(weights, members=True)
    members = len(stacked[0])
    threads = min(thread_count(threads), members)
    plan = check_run(task, len(stacked), t, learning_rate, weight_decay, rtol, atol, method, step, max_steps)
    reduce = flag("reduce", reduce)
    singles = [[np.ascontiguousarray(w[m]) for w in stacked] for m in range(members)]
    if isinstance(feedback, Feedback):
        resolved = [resolve_feedback(task, singles[0], feedback)] * members
    else:
        feedback = _feedback_list(feedback, members)
        resolved = [resolve_feedback(task, singles[0], f) for f in feedback]
        _same_rules(resolved)
    done = [0] * members
    stop = threading.Event()

    def report(m: int, fraction: float) -> None:
        done[m] = fraction
        if progress is not None:
            progress(sum(done) / members)

    results: list[MemberRun] = [None] * members
    # The kernels release the interpreter lock; free threads take the next member, so uneven runs share evenly.
    with single_threaded_blas(), ThreadPoolExecutor(threads) as pool:
        futures = {
            pool.submit(_run_member, plan, resolved[m], singles[m], reduce, progress=partial(report, m), stop=stop): m
            for m in range(members)
        }
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    status = np.array([r.status for r in results])
    stopped = np.array([r.stopped for r in results])
    for r in results:
        r.states[r.saved :] = np.nan
    if (status != "completed").any():
        warnings.warn(_explain_members(status, stopped, plan), DivergenceWarning, stacklevel=_outside())
    kept_weights, kept_feedback, words = _stack_members(plan, results, singles, resolved)
    return Trajectory(
        task,
        feedback,
        plan.times.copy(),
        kept_weights,
        kept_feedback,
        settings=plan.settings(resolved[0]) | ({"reduction": words} if words else {}),
        status=status,
        stopped_at=stopped,
    )


def _stack_members(
    plan: RunPlan, runs: list[MemberRun], weights: list[list[np.ndarray]], resolved: list[Resolved]
) -> tuple[list[np.ndarray] | ReducedRun, dict[str, list[np.ndarray]] | None, str]:
    """Weights and feedback of all members over time, and the words for their reduction."""
    words = list(dict.fromkeys(str(r.reduction or "") for r in runs))
    if len(words) == 1:
        kept = _unpack(
            np.stack([r.states for r in runs]), runs[0].weights, runs[0].resolved, [r.resolved for r in runs]
        )
        if runs[0].reduction is None:
            return *kept, ""
        return _reduced_run(plan, runs, weights, resolved, *kept), None, words[0]
    # Members of several sizes fit no common array before they are lifted.
    lifted = []
    for run, start, rule in zip(runs, weights, resolved, strict=True):
        kept = _unpack(run.states, run.weights, run.resolved, ())
        if run.reduction is not None:
            whole = _reduced_run(plan, [run], [start], [rule], *kept)
            kept = (whole.whole_weights(), whole.whole_feedback())
        lifted.append(kept)
    stacked = [np.stack(layer) for layer in zip(*(kept for kept, _ in lifted), strict=True)]
    matrices = {}
    for key in lifted[0][1]:
        each = zip(*(feedback[key] for _, feedback in lifted), strict=True)
        matrices[key] = [_stack_in_time(over_members) for over_members in each]
    return stacked, matrices, "by member: " + "; ".join(word or "none" for word in words)


def _stack_in_time(matrices: tuple[np.ndarray, ...]) -> np.ndarray:
    """Matrices over time of all members; those that repeat one matrix in memory still do."""
    if any(m.strides[0] != 0 for m in matrices):
        return np.stack(matrices)
    return repeat_in_time(np.stack([m[0] for m in matrices]), len(matrices[0]), members=True)


def _reduced_run(
    plan: RunPlan,
    runs: list[MemberRun],
    weights: list[list[np.ndarray]],
    resolved: list[Resolved],
    small_weights: list[np.ndarray],
    small_feedback: dict[str, list[np.ndarray]],
) -> ReducedRun:
    """What it takes to lift a reduced run, or those of several members with a leading axis in the arrays given."""
    single = small_weights[0].ndim == 3

    def over_members(values: list[np.ndarray]) -> np.ndarray:
        return values[0] if single else np.stack(values)

    first = runs[0].reduction.bases
    bases = [None if u is None else over_members([r.reduction.bases[k] for r in runs]) for k, u in enumerate(first)]
    held_weights = []
    for k, small in enumerate(small_weights):
        start, fading = over_members([w[k] for w in weights]), over_members([plan.fading(plan.decay[k])] * len(runs))
        held_weights.append(Held(start, bases[k + 1], bases[k], small, fading))
    held_feedback: dict[str, list[Held]] = {}
    learning = {(key, h) for key, h, _, learns in feedback_layout(resolved[0]) if learns}
    for key, matrices in small_feedback.items():
        for h, small in enumerate(matrices):
            start = over_members([r.matrices[key][h] for r in resolved])
            ends = feedback_ends(bases, resolved[0].direct, key, h)
            moving = ()
            if (key, h) in learning:
                # Full feedback that learns decays where no signal reaches; factors have no such part.
                decays = [plan.feedback_decay(r)[h] if key == "b" else 0.0 for r in resolved]
                moving = (small, over_members([plan.fading(decay) for decay in decays]))
            held_feedback.setdefault(key, []).append(Held(start, *ends, *moving))
    return ReducedRun(bases, held_weights, held_feedback, len(plan.times))


def check_run(
    task: LinearTask,
    depth: int,
    t: np.ndarray,
    learning_rate: float | None,
    weight_decay: float | Sequence[float],
    rtol: float,
    atol: float,
    method: str,
    step: float | None,
    max_steps: int,
) -> RunPlan:
    """Everything that does not depend on the member, checked."""
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; it must be a LinearTask")
    times = ascending_times(t)
    method = choice("method", method, METHODS)
    if learning_rate is not None:
        learning_rate = real_number("learning_rate", learning_rate, above=0.0)
        if step is not None or method != "dormand-prince":
            raise ValueError("method or step is given with learning_rate; descent takes neither")
        if (times != np.round(times)).any():
            raise ValueError(f"t holds {times[times != np.round(times)][0]:g}; in descent it counts updates, integers")
    elif step is not None:
        step = real_number("step", step, above=0.0)
        # A clock of 53 bits cannot count more steps than this and still tell them apart.
        if times[-1] / step > 1e15:
            raise ValueError(
                f"step is {step:g}; it must be at least {times[-1] * 1e-15:.2g} for a horizon of {times[-1]:g}"
            )
    elif method == "rk4":
        raise ValueError("step is not given; method 'rk4' needs the length of its steps")
    decay = real_array("weight_decay", weight_decay, (0, 1))
    if decay.ndim == 1 and len(decay) != depth:
        raise ValueError(f"weight_decay has {len(decay)} entries; it must be a number or have one per layer, {depth}")
    if (decay < 0).any():
        raise ValueError(f"weight_decay holds {decay.min():g}; it must be at least 0")
    return RunPlan(
        task,
        times,
        learning_rate,
        np.broadcast_to(decay, (depth,)).copy(),
        # Below 1e-14 rounding in the right-hand side, not the step, decides the error estimate.
        real_number("rtol", rtol, at_least=1e-14, at_most=1.0),
        real_number("atol", atol, above=0.0),
        method,
        step,
        integer("max_steps", max_steps, at_least=1, at_most=2**62),
    )


def _widths(weights: Sequence[np.ndarray]) -> tuple[int, ...]:
    return (weights[0].shape[1], *(w.shape[0] for w in weights))


def resolve_feedback(task: LinearTask, weights: Sequence[np.ndarray], feedback: Feedback) -> Resolved:
    """The rule of feedback for these weights, if they fit the task."""
    if not isinstance(feedback, Feedback):
        raise TypeError(f"feedback is {type(feedback).__name__}; it must be a rule such as linfa.Backprop()")
    if weights[0].shape[1] != task.inputs:
        raise ValueError(f"weights[0] is {weights[0].shape}; it must be (hidden, {task.inputs}) to take task's inputs")
    if weights[-1].shape[0] != task.outputs:
        last = len(weights) - 1
        raise ValueError(
            f"weights[{last}] is {weights[-1].shape}; it must be ({task.outputs}, hidden) to give task's outputs"
        )
    return feedback.resolve(_widths(weights))


def _feedback_list(feedback: object, members: int) -> list[Feedback]:
    if not isinstance(feedback, Sequence) or isinstance(feedback, (str, bytes)):
        raise TypeError(f"feedback is {type(feedback).__name__}; it must be a rule, or a list of one per member")
    if len(feedback) != members:
        raise ValueError(f"feedback has {len(feedback)} rules; it must have one for each of {members} members")
    return list(feedback)


def _same_rules(resolved: list[Resolved]) -> None:
    def rule(r: Resolved) -> tuple:
        return (r.transport, r.direct, r.b_rule, r.q_rule, r.p_rules, r.ranks)

    for m, other in enumerate(resolved):
        if rule(other) != rule(resolved[0]):
            raise ValueError(f"feedback[{m}] follows another rule or rank than feedback[0]; all must follow the same")


def feedback_layout(resolved: Resolved) -> list[tuple[str, int, np.ndarray, bool]]:
    """Feedback matrices as (key, layer, start, learns), in the order of the core's state: what learns goes first."""
    flat = []
    for h in range(len((resolved.matrices or {}).get("b", (resolved.matrices or {}).get("q", ())))):
        for key in resolved.matrices:
            rule = {"b": resolved.b_rule, "q": resolved.q_rule}.get(key) or resolved.p_rules[h]
            flat.append((key, h, resolved.matrices[key][h], rule != "fixed"))
    return [entry for learns in (True, False) for entry in flat if entry[3] == learns]


def initial_state(weights: Sequence[np.ndarray], resolved: Resolved) -> np.ndarray:
    """Weights and feedback as one vector, laid out as the core reads it."""
    return np.concatenate([np.ravel(w) for w in weights] + [np.ravel(m) for _, _, m, _ in feedback_layout(resolved)])


def _run_member(
    plan: RunPlan,
    resolved: Resolved,
    weights: Sequence[np.ndarray],
    reduce: bool,
    *,
    progress: Callable[[float], None] | None = None,
    stop: threading.Event | None = None,
) -> MemberRun:
    """One network, slice by slice, in reduced coordinates where that is asked for and pays."""
    from linfa.core import descent, runge_kutta

    reduction = find_reduction(plan.task, weights, resolved) if reduce else None
    correlations = None
    if reduction is not None:
        weights, resolved = reduction.weights(weights), reduction.feedback(resolved)
        correlations = reduction.correlations(plan.task)
    problem = core_problem(plan, resolved, weights, correlations)
    state = initial_state(weights, resolved)
    n = problem.n_dynamic
    saved = np.empty((len(plan.times), n))
    work = np.zeros(problem.n_work)
    clock, counters = np.zeros(3), np.zeros(5, dtype=np.int64)
    scale = max(1.0, float(np.abs(state[:n]).max()), float(np.abs(plan.task.target).max()))
    limit = _DIVERGED_BEYOND * scale
    widths = problem.widths
    step_work = 3.0 * widths[0] * float((widths[1:] * widths[:-1]).sum()) + 10.0 * n
    horizon = plan.times[-1]
    if plan.learning_rate is not None:
        advance = partial(
            descent.descend, problem, state, np.zeros(n), work, plan.times, saved, clock, counters, plan.learning_rate,
            limit,
        )  # fmt: skip
    else:
        step_work *= runge_kutta.STAGES
        stages, trial = np.zeros((runge_kutta.STAGES, n)), np.empty_like(state)
        shared = (problem, state, stages, trial, work, plan.times, saved, clock, counters)
        if plan.step is None:
            advance = partial(runge_kutta.integrate_adaptive, *shared, plan.rtol, plan.atol, limit, plan.max_steps)
        else:
            method = runge_kutta.RK4 if plan.method == "rk4" else runge_kutta.DORMAND_PRINCE
            advance = partial(runge_kutta.integrate_fixed, *shared, method, plan.step, limit)
    budget = int(np.clip(_SLICE_WORK / step_work, 1, 100_000))
    status = "running"
    while status == "running":
        if stop is not None and stop.is_set():
            raise InterruptedError("the run was stopped")
        status = _STATUS[advance(budget)]
        if progress is not None:
            progress(1.0 if status != "running" or horizon == 0 else float(clock[runge_kutta.TIME] / horizon))
    stopped = float("nan") if status == "completed" else float(clock[runge_kutta.TIME])
    return MemberRun(reduction, weights, resolved, saved, int(counters[runge_kutta.NEXT_SAVE]), status, stopped)


def core_problem(
    plan: RunPlan, resolved: Resolved, weights: Sequence[np.ndarray], correlations: Correlations | None = None
) -> "Problem":
    """The arrays that describe a run of this network to the core; those of the task where no others are given."""
    from linfa.core import problem as core

    rules = {
        "fixed": core.FIXED,
        "kolen-pollack": core.KOLEN_POLLACK,
        "normative": core.NORMATIVE,
        "mirror": core.MIRROR,
        "oja-error": core.OJA_ERROR,
        "oja-label": core.OJA_LABEL,
        "local": core.LOCAL,
    }
    transports = {"backprop": core.BACKPROP, "full": core.FULL, "low-rank": core.LOW_RANK, "sign": core.SIGN}
    hidden = len(weights) - 1
    correlations = correlations or Correlations.of(plan.task)
    return core.build_problem(
        _widths(weights),
        target=correlations.target,
        sigma_x=correlations.sigma_x,
        input_root=correlations.input_root,
        residual_root=correlations.residual_root,
        sigma_y=correlations.sigma_y,
        transport=transports[resolved.transport],
        direct=resolved.direct,
        ranks=resolved.ranks or (0,) * hidden,
        b_rule=rules[resolved.b_rule],
        q_rule=rules[resolved.q_rule],
        p_rules=tuple(rules[rule] for rule in resolved.p_rules) or (core.FIXED,) * hidden,
        b_rate=resolved.b_rate,
        q_rate=resolved.q_rate,
        p_rate=resolved.p_rate,
        decay=plan.decay,
        feedback_decay=plan.feedback_decay(resolved),
    )


def _unpack(
    states: np.ndarray, weights: Sequence[np.ndarray], resolved: Resolved, each: Sequence[Resolved]
) -> tuple[list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Weights and feedback over time as views into the saved states (…, T, n); fixed feedback repeats in time."""
    leading = states.shape[:-1]
    used = 0

    def take(shape: tuple[int, int]) -> np.ndarray:
        nonlocal used
        part = states[..., used : used + shape[0] * shape[1]]
        used += shape[0] * shape[1]
        return part.reshape(*leading, *shape)

    kept = [take(w.shape) for w in weights]
    found: dict[str, dict[int, np.ndarray]] = {}
    for key, h, start, learns in feedback_layout(resolved):
        if learns:
            matrix = take(start.shape)
        elif each:
            matrix = repeat_in_time(np.stack([r.matrices[key][h] for r in each]), leading[-1], members=True)
        else:
            matrix = repeat_in_time(start, leading[-1], members=False)
        found.setdefault(key, {})[h] = matrix
    return kept, {key: [found[key][h] for h in sorted(found[key])] for key in resolved.matrices or {} if key in found}


def _outside() -> int:
    """The stack level, seen by who calls this, of the code that called into this package: where a warning belongs."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "linfa":
        frame, level = frame.f_back, level + 1
    return level


def _explain(status: str, stopped: float, plan: RunPlan) -> str:
    when = f"update {stopped:.0f}" if plan.learning_rate is not None else f"t = {stopped:.6g}"
    if status == "diverged":
        return f"the run diverged: noticed at {when}; the trajectory ends before that"
    return f"the integrator stopped advancing at {when} of {plan.times[-1]:g}; the trajectory ends before that"


def _explain_members(status: np.ndarray, stopped: np.ndarray, plan: RunPlan) -> str:
    parts = []
    for word in ("diverged", "stalled"):
        which = np.flatnonzero(status == word)
        if which.size:
            first = which[np.argmin(stopped[which])]
            parts.append(f"{which.size} of {status.size} members {word}, first member {first}")
            parts.append(_explain(word, float(stopped[first]), plan))
    return "; ".join(parts)
