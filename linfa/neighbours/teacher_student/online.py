"""Online learning simulated: one fresh sample at a time, in the order parameters or in the weights themselves."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from linfa._check import ascending_times, choice, integer, real_number, seed_value
from linfa._random import stream
from linfa._threads import single_threaded_blas, thread_count
from linfa.core.online import learn_online
from linfa.feedback import Feedback
from linfa.neighbours.teacher_student.dynamics import LIMIT, carrier_of, check_start
from linfa.neighbours.teacher_student.kernels import learn_overlaps, learn_weights
from linfa.neighbours.teacher_student.overlaps import ACTIVATIONS, OrderParameters, Start
from linfa.simulation import DivergenceWarning

METHODS = ("overlaps", "weights")
# Numbers drawn at once, 4 MB: enough that threads seldom wait for each other between calls.
_BLOCK = 2**19


def simulate(
    start: Start,
    feedback: Feedback,
    t: np.ndarray,
    *,
    inputs: int,
    learning_rate: float,
    noise: float = 0.0,
    activation: str = "erf",
    method: str = "overlaps",
    seed: int = 0,
) -> OrderParameters:
    """Online learning of a student with N inputs, one fresh sample x ~ N(0, I_N) for each update.

        λ = W x,  ν = W̃ x,  e = Aᵀ g(ν) + σ ζ − vᵀ g(λ);   W ← W + (η/N) F g'(λ) e xᵀ,   v ← v + (η/N) g(λ) e

    Parameters
    ----------
    start : Start
        Overlaps and second layers at t = 0.
    feedback : Backprop, FeedbackAlignment or DirectFeedback
        Matrices are (K, 1); F = v for backprop.
    t : array (T,)
        Times in samples/N, ascending and not negative; each is taken to the nearest whole sample.
    inputs : int
        N ≥ K + M.
    learning_rate : float
        η > 0; an update has the size η/N.
    noise : float
        Standard deviation σ ≥ 0 of the label noise.
    activation : {"erf", "linear", "relu"}
        g of student and teacher: erf(z/√2), z or max(z, 0).
    method : {"overlaps", "weights"}
        Both have the same law. ``"overlaps"`` draws the fields and the length of x, which is all that the order
        parameters feel, at a cost of (K + M)² a sample; ``"weights"`` draws x itself, at a cost of N (K + M), from
        weights with the overlaps of `start` (any such weights are a rotation of each other, which x does not notice).
    seed : int

    Returns
    -------
    OrderParameters
        The same type as from `ode`; up to where the run got: see its `status`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form, or two times are less than a sample apart.

    Warns
    -----
    DivergenceWarning
        If the order parameters grew beyond 1e12.

    Examples
    --------
    >>> from linfa.feedback import DirectFeedback
    >>> start = Start.draw(units=2, head=[1.0], inputs=100, scale=0.1, seed=0)
    >>> course = simulate(start, DirectFeedback([[[1.0], [0.5]]]), [0, 60], inputs=100, learning_rate=0.3)
    >>> bool(course.error[-1] < 0.2 * course.error[0])
    True
    """
    check_start(start)
    plan = _Plan(t, inputs, learning_rate, noise, activation, method, start)
    seed = seed_value("seed", seed)
    carrier = carrier_of(feedback, start.units)
    with single_threaded_blas():
        r, q, upper = plan.run(start, carrier, seed, 0)
    saved = int(np.isfinite(upper).all(1).sum())
    if saved < len(plan.times):
        _warn(plan.times[saved], "the run", 2)
    status = "completed" if saved == len(plan.times) else "diverged"
    parts = (r[:saved], q[:saved], upper[:saved])
    times = plan.times[:saved]
    if saved == 0:
        times, parts = np.zeros(1), (start.r[None], start.q[None], start.upper[None])
    return OrderParameters(times, *parts, start.teacher, start.head, carrier, activation, status)


def ensemble(
    starts: Sequence[Start],
    feedback: Feedback | Sequence[Feedback],
    t: np.ndarray,
    *,
    inputs: int,
    learning_rate: float,
    noise: float = 0.0,
    activation: str = "erf",
    method: str = "overlaps",
    seed: int = 0,
    threads: int | None = None,
) -> OrderParameters:
    """Many students side by side, each with samples of its own; the same bits for any number of threads.

    Parameters
    ----------
    starts : list of Start
        One for each member, with the same K and A. The first member repeats ``simulate(starts[0], …)``.
    feedback : rule or list of rules
        One for all members or one for each.
    threads : int, optional
        Threads to share the members among; None takes all cores that the process may use.
    t, inputs and the other arguments
        As in `simulate`.

    Returns
    -------
    OrderParameters
        With a leading member axis; NaN from where a member diverged.

    Raises
    ------
    ValueError, TypeError
        If an argument is not of this form.

    Warns
    -----
    DivergenceWarning
        If members diverged.

    Examples
    --------
    >>> from linfa.feedback import Backprop
    >>> starts = [Start.draw(2, [1.0, 1.0], inputs=50, scale=0.3, seed=s) for s in range(3)]
    >>> ensemble(starts, Backprop(), [0.0, 1.0], inputs=50, learning_rate=0.2).error.shape
    (3, 2)
    """
    if isinstance(starts, (str, bytes, Start)) or not isinstance(starts, Sequence):
        raise TypeError(f"starts is {type(starts).__name__}; it must be a list of Start, one for each member")
    if not starts:
        raise ValueError("starts is empty; it must hold one Start for each member")
    first = check_start(starts[0], "starts[0]")
    for m, start in enumerate(starts):
        check_start(start, f"starts[{m}]")
        if start.units != first.units or not np.array_equal(start.head, first.head):
            raise ValueError(f"starts[{m}] has another number of units or another head than starts[0]")
    if isinstance(feedback, Sequence) and not isinstance(feedback, (str, bytes)):
        if len(feedback) != len(starts):
            raise ValueError(f"feedback has {len(feedback)} rules; it must have {len(starts)}, one for each start")
        carriers = [carrier_of(rule, first.units) for rule in feedback]
    else:
        carriers = [carrier_of(feedback, first.units)] * len(starts)
    if len({carrier is None for carrier in carriers}) > 1:
        raise ValueError("feedback mixes backprop and fixed feedback; run an ensemble for each")
    plan = _Plan(t, inputs, learning_rate, noise, activation, method, first)
    seed, threads = seed_value("seed", seed), thread_count(threads)

    def member(m: int) -> tuple[np.ndarray, ...]:
        return plan.run(starts[m], carriers[m], seed, m)

    # The kernels release the interpreter lock.
    with single_threaded_blas(), ThreadPoolExecutor(min(threads, len(starts))) as pool:
        r, q, upper = (np.stack(parts) for parts in zip(*pool.map(member, range(len(starts))), strict=True))
    stopped = ~np.isfinite(upper).all(-1)
    if stopped.any():
        _warn(plan.times[np.argmax(stopped.any(0))], f"{stopped.any(1).sum()} of {len(starts)} members", 2)
    fixed = None if carriers[0] is None else np.stack(carriers)
    teacher = np.stack([start.teacher for start in starts])
    status = "diverged" if stopped.any() else "completed"
    return OrderParameters(plan.times, r, q, upper, teacher, first.head, fixed, activation, status)


def _warn(time: float, who: str, level: int) -> None:
    message = f"{who} diverged before t = {time:g}; a smaller learning_rate may help"
    warnings.warn(message, DivergenceWarning, stacklevel=level + 1)


class _Plan:
    """What all members of a simulation share."""

    def __init__(
        self,
        t: object,
        inputs: object,
        learning_rate: object,
        noise: object,
        activation: object,
        method: object,
        start: Start,
    ) -> None:
        self.size = integer("inputs", inputs, at_least=start.units + start.modes)
        self.rate = real_number("learning_rate", learning_rate, above=0.0)
        self.noise = real_number("noise", noise, at_least=0.0)
        self.kind = ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
        self.advance = self._in_overlaps if choice("method", method, METHODS) == "overlaps" else self._in_weights
        times = ascending_times(t)
        if times[-1] * self.size > 2**53:
            raise ValueError(
                f"t ends at {times[-1]:g}; with {self.size} inputs that is more samples than can be counted"
            )
        self.updates = np.rint(times * self.size).astype(np.int64)
        close = np.diff(self.updates) <= 0
        if close.any():
            k = int(np.argmax(close))
            raise ValueError(
                f"t goes from {times[k]:g} to {times[k + 1]:g} at index {k + 1}; with {self.size} inputs times must be "
                f"a sample, {1 / self.size:g}, apart"
            )
        self.times = self.updates / self.size
        drawn = start.units + start.modes if method == "overlaps" else self.size
        self.block = max(1, _BLOCK // drawn)

    def run(self, start: Start, carrier: np.ndarray | None, seed: int, member: int) -> tuple[np.ndarray, ...]:
        """R, Q and v of one member at all times, NaN from where it diverged."""
        # One stream for each kind of number: what is drawn does not depend on the times saved.
        sources = [stream(seed, "data", member, k) for k in range(3)]
        saved = [np.full((len(self.times), *x.shape), np.nan) for x in (start.r, start.q, start.upper)]
        with np.errstate(over="ignore", invalid="ignore"):
            step = self.advance(start, carrier, sources)
            done = 0
            for k, end in enumerate(self.updates):
                while done < end:
                    count = int(min(self.block, end - done))
                    if not step(count):
                        return tuple(saved)
                    done += count
                for kept, now in zip(saved, step(0), strict=True):
                    kept[k] = now
        return tuple(saved)

    def _in_overlaps(self, start: Start, carrier: np.ndarray | None, sources: list) -> Callable:
        """A function that sees `count` samples and says whether all is well, or for 0 gives R, Q and v."""
        r, q, upper = start.r.copy(), start.q.copy(), start.upper.copy()
        fields = start.units + start.modes
        root = np.zeros((fields, fields))
        root[: start.modes, : start.modes] = _factor(start.teacher)
        fixed = np.zeros(start.units) if carrier is None else carrier
        freedom = self.size - fields

        def step(count: int) -> object:
            if count == 0:
                return r, q, upper
            normals = sources[0].standard_normal((count, fields))
            rest = sources[1].chisquare(freedom, count) if freedom else np.zeros(count)
            noise = self.noise * sources[2].standard_normal(count) if self.noise else np.zeros(count)
            follows, rate = carrier is None, self.rate / self.size
            learn_overlaps(q, r, upper, root, fixed, follows, start.head, normals, rest, noise, rate, self.kind, LIMIT)
            return _bounded(r, q, upper)

        return step

    def _in_weights(self, start: Start, carrier: np.ndarray | None, sources: list) -> Callable:
        """The same with weights; linear units by the kernel that the core has for them."""
        units, size = start.units, self.size
        weights = np.zeros((units + start.modes, size))
        weights[:, : len(weights)] = _factor(start.covariance)
        lower, teacher, upper = weights[:units].copy(), weights[units:].copy(), start.upper.copy()
        if self.kind == ACTIVATIONS["linear"]:
            lower, teacher = np.sqrt(size) * lower, np.sqrt(size) * teacher
        fixed = np.zeros(units) if carrier is None else carrier
        overlap = 1.0 / size if self.kind == ACTIVATIONS["linear"] else 1.0

        def step(count: int) -> object:
            if count == 0:
                return overlap * (lower @ teacher.T), overlap * (lower @ lower.T), upper
            x = sources[0].standard_normal((count, size))
            noise = self.noise * sources[2].standard_normal(count) if self.noise else np.zeros(count)
            shared = (lower, upper, fixed, carrier is None, teacher, start.head, x, noise)
            if self.kind == ACTIVATIONS["linear"]:
                learn_online(*shared, self.rate)
            else:
                learn_weights(*shared, self.rate / size, self.kind)
            return _bounded(upper, overlap * np.square(lower).sum(1))

        return step


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A lower-triangular L with L Lᵀ = C, for singular C too."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    triangle = np.linalg.qr(root.T, mode="r").T
    return np.ascontiguousarray(triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0))


def _bounded(*arrays: np.ndarray) -> bool:
    """Whether all entries are within the limit; NaN is not."""
    return all(bool((np.abs(a) <= LIMIT).all()) for a in arrays)
