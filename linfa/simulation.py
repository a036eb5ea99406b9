"""Run a network, or many: check the input, hand bare arrays to the core, return a `Trajectory`."""

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from linfa._check import flag, weight_matrices
from linfa._threads import single_threaded_blas, thread_count
from linfa.feedback import Feedback, Resolved
from linfa.lifting import Held, ReducedRun
from linfa.reduction import SMALL_LAYER, Correlations, Reduction, feedback_ends, find_reduction
from linfa.running import (
    NetworkRuns,
    Networks,
    RunPlan,
    check_run,
    feedback_layout,
    initial_state,
    network_widths,
    resolve_feedback,
    run_networks,
)
from linfa.tasks import LinearTask
from linfa.trajectory import Trajectory
from linfa.trajectory_file import repeat_in_time

MOTIONLESS = (
    "nothing moved: the start is a fixed point of this rule; from zero weights backprop and sign-symmetry stay there, "
    "so start them from small ones"
)


class DivergenceWarning(RuntimeWarning):
    """A run diverged, or its integrator stopped advancing; the trajectory ends before that."""


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
    run = _run_members(plan, [resolved], [w[None] for w in weights], reduce, 1, progress)[0]
    if run.status != "completed":
        warnings.warn(_explain(run.status, run.stopped, plan), DivergenceWarning, stacklevel=_outside())
    start = initial_state(run.weights, run.resolved)
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
    precision: str = "float64",
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
    precision : {"float64", "float32"}
        ``"float32"`` holds and multiplies numbers in single precision, twice as many at once. For an `rtol` of 1e-5 and
        more the error of the network's map is that of double precision at the same `rtol`; below 1e-6, where rounding
        rules, it is refused. A loss near its end is rounding of the weights. Results come as float64.
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
    plan = check_run(task, len(stacked), t, learning_rate, weight_decay, rtol, atol, method, step, max_steps, precision)
    reduce = flag("reduce", reduce)
    singles = [np.ascontiguousarray(w[0]) for w in stacked]
    if isinstance(feedback, Feedback):
        resolved = [resolve_feedback(task, singles, feedback)]
    else:
        feedback = _feedback_list(feedback, members)
        resolved = [resolve_feedback(task, singles, f) for f in feedback]
        _same_rules(resolved)
    if reduce and max(network_widths(singles)) > SMALL_LAYER:
        runs = _run_members(plan, resolved, stacked, reduce, threads, progress)
        status, stopped = np.array([r.status for r in runs]), np.array([r.stopped for r in runs])
        for r in runs:
            r.states[r.saved :] = np.nan
        starts = [[w[m] for w in stacked] for m in range(members)]
        kept_weights, kept_feedback, words = _stack_members(plan, runs, starts, resolved * (members // len(resolved)))
    else:
        whole = _run_together(plan, resolved, stacked, threads, progress)
        status, stopped, words = whole.status, whole.stopped, ""
        for m in np.flatnonzero(whole.counts < len(plan.times)):
            whole.states[m, whole.counts[m] :] = np.nan
        kept_weights, kept_feedback = _unpack(whole.states, singles, resolved[0], resolved)
    if (status != "completed").any():
        warnings.warn(_explain_members(status, stopped, plan), DivergenceWarning, stacklevel=_outside())
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


def _run_together(
    plan: RunPlan,
    resolved: list[Resolved],
    weights: list[np.ndarray],
    threads: int,
    progress: Callable[[float], None] | None,
) -> NetworkRuns:
    """All members in their own coordinates."""
    return run_networks(plan, Networks(weights, resolved, [Correlations.of(plan.task)]), threads, progress=progress)


def _run_members(
    plan: RunPlan,
    resolved: list[Resolved],
    weights: list[np.ndarray],
    reduce: bool,
    threads: int,
    progress: Callable[[float], None] | None,
) -> list[MemberRun]:
    """Every member in reduced coordinates where that is asked for and pays; those of one size run together."""
    members = len(weights[0])
    rules = resolved * (members // len(resolved))
    starts = [[np.ascontiguousarray(w[m]) for w in weights] for m in range(members)]
    whole = Correlations.of(plan.task)
    found: list[tuple] = []
    with single_threaded_blas():
        for start, rule in zip(starts, rules, strict=True):
            reduction = find_reduction(plan.task, start, rule) if reduce else None
            if reduction is None:
                found.append((None, start, rule, whole))
            else:
                smaller = reduction.weights(start), reduction.feedback(rule), reduction.correlations(plan.task)
                found.append((reduction, *smaller))
    sizes: dict[tuple, list[int]] = {}
    for m, (_, start, _, correlations) in enumerate(found):
        roots = correlations.input_root.shape, correlations.residual_root.shape
        sizes.setdefault((network_widths(start), roots), []).append(m)
    runs: list[MemberRun] = [None] * members
    done = 0
    for chosen in sizes.values():
        starts = [np.stack(layer) for layer in zip(*(found[m][1] for m in chosen), strict=True)]
        networks = Networks(starts, [found[m][2] for m in chosen], [found[m][3] for m in chosen])
        report = None
        if progress is not None:
            before, share = done / members, len(chosen) / members

            def report(fraction: float, before: float = before, share: float = share) -> None:
                progress(before + share * fraction)

        made = run_networks(plan, networks, threads, progress=report)
        done += len(chosen)
        for k, m in enumerate(chosen):
            reduction, start, rule, _ = found[m]
            end = str(made.status[k]), float(made.stopped[k])
            runs[m] = MemberRun(reduction, start, rule, made.states[k], int(made.counts[k]), *end)
    return runs


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
            fixed = np.stack([r.matrices[key][h] for r in each])
            fixed = np.broadcast_to(fixed, (leading[0], *start.shape))
            matrix = repeat_in_time(fixed, leading[-1], members=True)
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
