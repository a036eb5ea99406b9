"""The linear core against its peers: ensembles, one wide network, products, closed forms, width and threads.

Every entry is a generator of rows, so that those that are finished outlast an interruption; `run.py` calls them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import limits
import numpy as np
from accuracy import ATOL, RTOL, Flow, Solver, Tuned, matched, reference, relative_error
from linear_peers import diffrax_solvers, evaluations, linfa_solver, scipy_solver, torch_solvers
from table import Goal, Row
from timing import SAMPLE_SECONDS, Effort, load, medians

import linfa
from linfa._threads import available_threads

HORIZON = 20.0


def task(inputs: int, outputs: int) -> linfa.LinearTask:
    """A whitened task with as many modes as fit, their strengths from 3 down to 1."""
    modes = np.linspace(3.0, 1.0, min(inputs, outputs))
    return linfa.LinearTask.from_modes(modes, inputs=inputs, outputs=outputs, seed=0)


def flow(widths: tuple[int, int, int], members: int, feedback: linfa.Feedback, effort: Effort) -> Flow:
    """Small Gaussian weights, and 51 times up to the horizon."""
    weights = linfa.initial_weights(widths, kind="gaussian", scale=0.1, seed=1, members=members)
    times = np.linspace(0.0, effort.of(HORIZON, 2.0), effort.of(51, 5))
    return Flow(task(widths[0], widths[2]), weights, feedback, times)


def ensemble_small(effort: Effort) -> Iterator[Row]:
    """Many small networks under fixed rank-2 feedback."""
    problem = flow((8, 16, 8), effort.of(1024, 4), linfa.LowRankFeedback(rank=2, seed=0), effort)
    goals = {"diffrax": Goal(8, 20), "scipy": Goal(40, 100), "torch": None}
    yield from contests("ensemble-small", _work(problem, "fixed rank-2 feedback"), problem, goals, effort)


def ensemble_medium(effort: Effort) -> Iterator[Row]:
    """Networks of medium size under fixed rank-4 feedback."""
    problem = flow((32, 32, 10), effort.of(256, 3), linfa.LowRankFeedback(rank=4, seed=0), effort)
    goals = {"diffrax": Goal(4, 10), "torch": None}
    yield from contests("ensemble-medium", _work(problem, "fixed rank-4 feedback"), problem, goals, effort)


def ensemble_learned(effort: Effort) -> Iterator[Row]:
    """The same with both factors of the feedback learned."""
    feedback = linfa.LowRankFeedback(rank=4, q="kolen-pollack", p="oja-label", seed=0)
    problem = flow((32, 32, 10), effort.of(256, 3), feedback, effort)
    goals = {"diffrax": Goal(4, 10), "torch": None}
    yield from contests("ensemble-learned", _work(problem, "Kolen–Pollack Q and Oja P, rank 4"), problem, goals, effort)


def wide(effort: Effort) -> Iterator[Row]:
    """One network that is much wider than what it learns; peers integrate all of it, as anyone would write it."""
    problem = flow((32, effort.of(4096, 256), 10), 1, linfa.LowRankFeedback(rank=4, seed=0), effort)
    goals = {"diffrax": Goal(30, 200), "scipy": Goal(50, 300)}
    ours = linfa_solver(problem)

    def read(rtol: float, atol: float) -> list[np.ndarray]:
        return [w[-1] for w in ours.solve(rtol, atol).weights]

    yield from contests("wide", _work(problem, "rank-4 feedback"), problem, goals, effort, reading=read)


def _work(problem: Flow, words: str) -> str:
    sizes = "-".join(map(str, problem.widths))
    who = f"one network {sizes}" if problem.members == 1 else f"ensemble of {problem.members:,} networks ({sizes})"
    return f"{who}, {words}, {len(problem.t)} times"


def contests(
    entry: str,
    work: str,
    problem: Flow,
    goals: dict[str, Goal | None],
    effort: Effort,
    *,
    reading: Callable[[float, float], object] | None = None,
) -> Iterator[Row]:
    """A row for every peer; `reading` is linfa's run with the whole weights read, timed beside it."""
    ours = linfa_solver(problem)
    wanted = reference(ours, scipy_solver(problem, "DOP853", most=2))
    for package, goal in goals.items():
        name = {"scipy": "SciPy RK45", "diffrax": "diffrax", "torch": "PyTorch"}[package]
        if package not in effort.peers:
            continue
        if find_spec(package) is None:
            yield Row(entry, work, name, goal, note=f"{package} is not installed")
            continue
        mine, theirs = _fairest(ours, _candidates(package, problem, effort), wanted)
        yield _contest(entry, work, name, goal, problem, mine, theirs, effort, reading)


def _candidates(package: str, problem: Flow, effort: Effort) -> list[Solver]:
    if package == "scipy":
        return [scipy_solver(problem)]
    if package == "diffrax":
        return diffrax_solvers(problem, effort.of(("Dopri5", "Tsit5"), ("Tsit5",)))
    return torch_solvers(problem, compiled=not effort.quick)


def _fairest(ours: Solver, candidates: list[Solver], wanted: np.ndarray) -> tuple[Tuned, Tuned]:
    """The pair, each at the same accuracy, in which the peer does best."""
    pairs = [matched(ours, theirs, wanted) for theirs in candidates]
    if len(pairs) == 1:
        return pairs[0]

    def ratio(pair: tuple[Tuned, Tuned]) -> float:
        found = medians({"linfa": pair[0].run, "peer": pair[1].run}, 3)
        return found["peer"] / found["linfa"]

    return min(pairs, key=ratio)


def _contest(
    entry: str,
    work: str,
    name: str,
    goal: Goal | None,
    problem: Flow,
    mine: Tuned,
    theirs: Tuned,
    effort: Effort,
    reading: Callable[[float, float], object] | None,
) -> Row:
    steps = {"linfa": mine.run, "peer": theirs.run}
    if reading is not None:
        steps["reading"] = lambda: reading(mine.rtol, mine.atol)
    found = _timed(steps, effort)
    seconds = {"linfa": found["linfa"], "peer": found["peer"] / theirs.solver.share}
    rank = problem.feedback.rank
    done = evaluations(problem, mine.rtol, mine.atol) * problem.members
    operations = done * limits.flow_operations(problem.widths, rank, learned=problem.learned)
    moved = limits.saved_bytes(problem.widths, rank, problem.members, len(problem.t), learned=problem.learned)
    limit = limits.measured("float64", effort)
    notes = [theirs.solver.name] if theirs.solver.name != name else []
    notes += [theirs.solver.note] if theirs.solver.note else []
    if "reading" in found:
        notes.append(f"with the last whole weights read: linfa {1e3 * found['reading']:.4g} ms")
    return Row(
        entry, work, name, goal, seconds["peer"] / seconds["linfa"], 1e3 * seconds["linfa"], 1e3 * seconds["peer"],
        mine.error, theirs.error, mine.rtol, theirs.rtol,
        products=operations / seconds["linfa"] / limit.products,
        memory=moved / seconds["linfa"] / limit.copies,
        compile_seconds=theirs.solver.compile_seconds, repetitions=effort.repetitions, load=load(),
        note="; ".join(notes),
    )  # fmt: skip


def _timed(steps: dict[str, Callable[[], object]], effort: Effort) -> dict[str, float]:
    return medians(steps, effort.repetitions, sample_seconds=effort.of(SAMPLE_SECONDS, 0.0))


def products(effort: Effort) -> Iterator[Row]:
    """One large network under backprop in fixed steps, against its matrix products alone, equally many."""
    inputs, hidden, outputs = effort.of((256, 512, 256), (16, 24, 16))
    problem = task(inputs, outputs)
    weights = linfa.initial_weights((inputs, hidden, outputs), kind="gaussian", scale=0.1, seed=1)
    steps = 20
    times = np.array([1.0])
    w1, w2 = weights
    mapped, error = np.empty((outputs, inputs)), problem.target
    slope1, slope2 = np.empty_like(w1), np.empty_like(w2)

    def multiply() -> None:
        for _ in range(4 * steps):
            np.matmul(w2, w1, out=mapped)
            np.matmul(w2.T, error, out=slope1)
            np.matmul(error, w1.T, out=slope2)

    def simulate() -> object:
        return linfa.simulate(problem, weights, linfa.Backprop(), times, method="rk4", step=1.0 / steps)

    found = _timed({"linfa": simulate, "peer": multiply}, effort)
    operations = 4 * steps * limits.flow_operations((inputs, hidden, outputs), 0)
    yield Row(
        "products", f"one network {inputs}-{hidden}-{outputs}, backprop, {steps} steps of RK4",
        "its products by NumPy", Goal(0.75, 0.9), found["peer"] / found["linfa"], 1e3 * found["linfa"],
        1e3 * found["peer"], products=operations / found["linfa"] / limits.measured("float64", effort).products,
        repetitions=effort.repetitions, load=load(), note="four right-hand sides a step on either side",
    )  # fmt: skip


def exact(effort: Effort) -> Iterator[Row]:
    """A whole trajectory in closed form against stepping through it."""
    size, count = effort.of((64, 200), (8, 5))
    problem = task(size, size)
    weights = linfa.initial_weights((size,) * 3, kind="lambda-balanced", scale=0.1, balance=0.5, seed=1)
    times = np.linspace(0.0, HORIZON, count)
    rtol, atol = 1e-10, 1e-12

    def run(**options: object) -> linfa.Trajectory:
        return linfa.simulate(problem, weights, linfa.Backprop(), times, **options)

    wanted = run(rtol=1e-13, atol=1e-15).map[None]
    written, stepped = run(method="exact"), run(rtol=rtol, atol=atol)
    found = _timed({"linfa": lambda: run(method="exact"), "peer": lambda: run(rtol=rtol, atol=atol)}, effort)
    yield Row(
        "exact", f"exact trajectory, {count} times, {size}-{size}-{size} λ-balanced", "linfa's integrator",
        Goal(20, 100), found["peer"] / found["linfa"], 1e3 * found["linfa"], 1e3 * found["peer"],
        relative_error(written.map[None], wanted), relative_error(stepped.map[None], wanted), None, rtol,
        repetitions=effort.repetitions, load=load(),
        note=f"horizon {HORIZON:g}; errors against the integrator at rtol 1e-13",
    )  # fmt: skip


def width(effort: Effort) -> Iterator[Row]:
    """What another step costs as the hidden layer grows; finding the subspaces is not in it, and told beside it."""
    widths = effort.of([2**k for k in range(6, 15)], [64, 128, 256])
    few, many = effort.of((100, 1100), (5, 505))
    problem = task(32, 10)
    feedback = linfa.LowRankFeedback(rank=4, seed=0)

    def runner(hidden: int, steps: int) -> Callable[[], object]:
        # Entries N(0, 1/(4 hidden)): the map starts at the same size, and its course is much the same, at any width.
        weights = linfa.initial_weights((32, hidden, 10), kind="gaussian", scale=0.5 / hidden**0.5, seed=1)
        times = np.array([steps * 0.01])
        return lambda: linfa.simulate(problem, weights, feedback, times, method="rk4", step=0.01)

    runs = {f"{hidden} {steps}": runner(hidden, steps) for hidden in widths for steps in (few, many)}
    found = _timed(runs, effort)
    cost = {h: (found[f"{h} {many}"] - found[f"{h} {few}"]) / (many - few) for h in widths}
    set_up = found[f"{widths[-1]} {few}"] - few * cost[widths[-1]]
    # Differences of times: a machine that is busy elsewhere can turn them round, and then they say nothing.
    growth = max(cost.values()) / min(cost.values()) if min(cost.values()) > 0 else None
    note = "dearest over cheapest" if growth is not None else "lost in the noise: measure again"
    listed = ", ".join(f"{1e3 * value:.3g}" for value in cost.values())
    yield Row(
        "width", f"a step of RK4 of 32-n-10, rank-4 feedback, n = {widths[0]} … {widths[-1]}", f"itself at {widths[0]}",
        Goal(1.5, kind="growth"), growth, 1e3 * cost[widths[-1]], 1e3 * cost[widths[0]],
        repetitions=effort.repetitions, load=load(),
        note=f"{note}; set-up at {widths[-1]}: {1e3 * set_up:.3g} ms once; ms by width: {listed}",
    )  # fmt: skip


def threads(effort: Effort) -> Iterator[Row]:
    """An ensemble shared by two threads against one."""
    problem = flow((8, 16, 8), effort.of(1024, 4), linfa.LowRankFeedback(rank=2, seed=0), effort)
    work, goal = f"{_work(problem, 'fixed rank-2 feedback')}, 2 threads", Goal(1.8, 1.95)
    if available_threads() < 2:
        yield Row("threads", work, "itself on 1", goal, threads=2, note="this process may use one core alone")
        return
    one, two = (partial(linfa_solver(problem, count).solve, RTOL, ATOL) for count in (1, 2))
    if not np.array_equal(one().map, two().map):
        raise AssertionError("an ensemble on two threads has other bits than on one")
    found = _timed({"one": one, "two": two}, effort)
    yield Row(
        "threads", work, "itself on 1", goal, found["one"] / found["two"], 1e3 * found["two"], 1e3 * found["one"],
        threads=2, repetitions=effort.repetitions, load=load(), note="the same bits on either",
    )  # fmt: skip
