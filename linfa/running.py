"""From checked arguments to bare arrays and back: networks of one shape and rule, run side by side by the core."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from linfa._check import ascending_times, choice, integer, real_array, real_number
from linfa._threads import single_threaded_blas
from linfa.feedback import Feedback, Resolved
from linfa.reduction import Correlations
from linfa.tasks import LinearTask

if TYPE_CHECKING:
    from linfa.core.problem import Problem

METHODS = ("dormand-prince", "rk4")
PRECISIONS = ("float64", "float32")
# Tolerances below which rounding in the right-hand side, not the step, decides the error estimate.
_LEAST_RTOL = {"float64": 1e-14, "float32": 1e-6}
_STATUS = ("running", "completed", "diverged", "stalled")
# Weights this many times larger than task and start have left every bounded solution behind.
_DIVERGED_BEYOND = 1e12
# Multiply-adds between two looks at Ctrl-C and progress: some tens of milliseconds.
_SLICE_WORK = 5e7
# Multiply-adds of a right-hand side up to which networks share registers, about that of 28-28-28. Beyond, what four of
# them need no longer stays near the processor, and BLAS makes the products of one as fast as ours those of four.
SHARED_WORK = 140_000


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
    precision: str = "float64"

    def settings(self, resolved: Resolved) -> dict:
        """How the run is made, in plain numbers and words."""
        settings: dict = {"weight_decay": self.decay.tolist()}
        if self.learning_rate is not None:
            settings |= {"method": "descent", "learning_rate": self.learning_rate}
        elif self.step is not None:
            settings |= {"method": self.method, "step": self.step}
        else:
            settings |= {"method": self.method, "rtol": self.rtol, "atol": self.atol}
        if self.precision != "float64":
            settings["precision"] = self.precision
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
class Networks:
    """Networks of one shape under one rule, before their run.

    Attributes
    ----------
    weights : list of array (members, out, in)
    resolved : list of Resolved
        One for each member, or one for all.
    correlations : list of Correlations
        Likewise.
    """

    weights: list[np.ndarray]
    resolved: list[Resolved]
    correlations: list[Correlations]

    def __len__(self) -> int:
        return len(self.weights[0])

    @property
    def widths(self) -> tuple[int, ...]:
        """Layer sizes, input first."""
        return network_widths([w[0] for w in self.weights])


@dataclass(frozen=True)
class NetworkRuns:
    """What came of them: states (members, T, n), and for each member how many of the times were reached and the end."""

    states: np.ndarray
    counts: np.ndarray
    status: np.ndarray
    stopped: np.ndarray


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
    precision: str = "float64",
) -> RunPlan:
    """Everything that does not depend on the member, checked."""
    if not isinstance(task, LinearTask):
        raise TypeError(f"task is {type(task).__name__}; it must be a LinearTask")
    times = ascending_times(t)
    method = choice("method", method, METHODS)
    precision = choice("precision", precision, PRECISIONS)
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
        real_number("rtol", rtol, at_least=_LEAST_RTOL[precision], at_most=1.0),
        real_number("atol", atol, above=0.0),
        method,
        step,
        integer("max_steps", max_steps, at_least=1, at_most=2**62),
        precision,
    )


def network_widths(weights: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Layer sizes, input first."""
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
    return feedback.resolve(network_widths(weights))


def feedback_layout(resolved: Resolved) -> list[tuple[str, int, np.ndarray, bool]]:
    """Feedback matrices as (key, layer, start, learns), in the order of the core's state: what learns goes first."""
    flat = []
    for h in range(len((resolved.matrices or {}).get("b", (resolved.matrices or {}).get("q", ())))):
        for key in resolved.matrices:
            rule = {"b": resolved.b_rule, "q": resolved.q_rule}.get(key) or resolved.p_rules[h]
            flat.append((key, h, resolved.matrices[key][h], rule != "fixed"))
    return [entry for learns in (True, False) for entry in flat if entry[3] == learns]


def initial_state(weights: Sequence[np.ndarray], resolved: Resolved) -> np.ndarray:
    """Weights and what feedback learns as one vector, as a run saves it."""
    learning = [np.ravel(m) for _, _, m, learns in feedback_layout(resolved) if learns]
    return np.concatenate([np.ravel(w) for w in weights] + learning)


def core_problem(plan: RunPlan, networks: Networks, *, factor: bool = True) -> "Problem":
    """The shapes, rules and offsets that describe these networks to the core."""
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
    hidden = len(networks.weights) - 1
    resolved, correlations = networks.resolved[0], networks.correlations[0]
    return core.build_problem(
        networks.widths,
        whitened=correlations.sigma_x is None,
        n_root=correlations.target.shape[1] if correlations.sigma_x is None else correlations.input_root.shape[1],
        n_residual=correlations.residual_root.shape[1],
        transport=transports[resolved.transport],
        direct=resolved.direct,
        ranks=resolved.ranks or (0,) * hidden,
        b_rule=rules[resolved.b_rule],
        q_rule=rules[resolved.q_rule],
        p_rules=tuple(rules[rule] for rule in resolved.p_rules) or (core.FIXED,) * hidden,
        decays=bool(plan.decay.any()),
        feedback_decays=any(plan.feedback_decay(r).any() for r in networks.resolved),
        factor=factor,
    )


def start_vectors(plan: RunPlan, networks: Networks, problem: "Problem") -> np.ndarray:
    """The states that the core starts from, one a row: (members, n_state)."""
    from linfa.core import problem as core

    starts = np.zeros((len(networks), problem.n_state), plan.precision)

    def fill(offset: int, values: np.ndarray) -> None:
        starts[:, offset : offset + values[0].size] = values.reshape(len(values), -1)

    table = problem.table
    for layer, w in enumerate(networks.weights):
        fill(table[core.AT_START if table[core.FACTORED, layer] else core.AT_WEIGHT, layer], w)
    matrices = [r.matrices or {} for r in networks.resolved]
    for key, offsets in (("b", table[core.AT_B]), ("q", table[core.AT_Q]), ("p", table[core.AT_P])):
        for h in range(len(matrices[0].get(key, ()))):
            fill(offsets[h], np.stack([m[key][h] for m in matrices]))
    rates = [[r.b_rate, r.q_rate, r.p_rate, *plan.decay, *plan.feedback_decay(r)] for r in networks.resolved]
    fill(problem.at_rate, np.array(rates))
    # In the order of the state; what no rule asks for has no place there.
    tasks = networks.correlations
    fill(problem.at_target, np.stack([c.target for c in tasks]))
    for name in ("sigma_x", "input_root", "residual_root", "sigma_y"):
        offset = getattr(problem, f"at_{name}")
        if offset:
            fill(offset, np.stack([getattr(c, name) for c in tasks]))
    return starts


def _limits(networks: Networks) -> np.ndarray:
    """Sizes beyond which a member has diverged."""
    largest = [np.abs(w).max((1, 2)) for w in networks.weights]
    learning = [[m for _, _, m, learns in feedback_layout(r) if learns] for r in networks.resolved]
    largest += [np.array([np.abs(m).max() for m in matrices]) for matrices in zip(*learning, strict=True)]
    largest += [np.array([np.abs(c.target).max() for c in networks.correlations])]
    # One rule or task for all stands for each.
    largest = [np.broadcast_to(sizes, len(networks)) for sizes in largest]
    with np.errstate(over="ignore"):
        # A start near the end of the range has no bound to leave but that.
        return _DIVERGED_BEYOND * np.maximum(1.0, np.max(largest, axis=0))


def run_networks(
    plan: RunPlan,
    networks: Networks,
    threads: int = 1,
    *,
    progress: Callable[[float], None] | None = None,
) -> NetworkRuns:
    """Run them all, each as it would run alone, to the last bit.

    Parameters
    ----------
    plan : RunPlan
    networks : Networks
    threads : int
    progress : callable, optional
        Called with the fraction that is done, from the threads that do it.
    """
    from linfa.core import lanes as core
    from linfa.core.runge_kutta import STAGES
    from linfa.core.runs import advance_lanes

    problem = core_problem(plan, networks)
    starts, count = start_vectors(plan, networks, problem), len(networks)
    saved = np.empty((count, len(plan.times), problem.n_kept), plan.precision)
    members = core.Members(
        starts,
        _limits(networks),
        saved,
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.zeros(count),
        np.zeros(1, dtype=np.int64),
    )
    if plan.learning_rate is not None:
        method, step = core.DESCENT, plan.learning_rate
    elif plan.step is None:
        method, step = core.ADAPTIVE, 0.0
    else:
        method, step = core.CLASSICAL if plan.method == "rk4" else core.DORMAND_PRINCE, plan.step
    settings = core.Settings(method, plan.times, plan.rtol, plan.atol, step, plan.max_steps)
    widths = np.array(networks.widths, dtype=float)
    products = 3.0 * widths[0] * float((widths[1:] * widths[:-1]).sum())
    lanes = core.lanes_of(plan.precision) if products <= SHARED_WORK else 1
    stages = 1 if plan.learning_rate is not None else STAGES
    budget = int(np.clip(_SLICE_WORK / (lanes * stages * (products + 10.0 * problem.n_dynamic)), 1, 100_000))
    stop, at_work = threading.Event(), []

    def work() -> None:
        mine = core.make_lanes(problem, lanes, plan.precision)
        at_work.append(mine)
        while advance_lanes(problem, members, mine, settings, budget):
            if stop.is_set():
                raise InterruptedError("the run was stopped")
            report()
        report()

    def report() -> None:
        if progress is None:
            return
        horizon = plan.times[-1] or 1.0
        under_way = sum(float((m.clock[:, core.TIME] * (m.held >= 0)).sum()) for m in at_work) / horizon
        progress(min(1.0, (np.count_nonzero(members.statuses) + under_way) / count))

    with single_threaded_blas():
        if threads == 1 or count <= lanes:
            work()
        else:
            _side_by_side(work, min(threads, -(-count // lanes)), stop)
    status = np.array(_STATUS)[members.statuses]
    stopped = np.where(members.statuses == core.COMPLETED, np.nan, members.stopped)
    return NetworkRuns(saved.astype(np.float64, copy=False), members.counts, status, stopped)


def _side_by_side(work: Callable[[], None], threads: int, stop: threading.Event) -> None:
    """Do the same work in several threads; the kernels release the interpreter lock."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            raise
