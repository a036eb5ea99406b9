"""Many networks through the lanes of a register, each at its own pace: who is done makes room for who is next.

Every thread has lanes of its own and calls `advance_lanes` until nothing is left; members are handed out one by one,
whichever lane is free, so uneven runs share evenly. The numbers of a member depend neither on its lane nor on what
runs beside it. A network too large to share a register has the thread to itself: one lane, its arrays of one axis less.

The kernel works in slices of at most `budget` rounds, so that the caller can show progress or stop in between. How a
run is sliced does not change a bit of it.
"""

import numpy as np

from linfa.core.compile import entry, kernel, spliced
from linfa.core.lanes import (
    ACCEPTED,
    ADAPTIVE,
    CLASSICAL,
    COMPLETED,
    DESCENT,
    DIVERGED,
    FRESH,
    JUST_REJECTED,
    LAST_ERROR,
    NEXT_SAVE,
    REJECTED,
    STALLED,
    STEP,
    TIME,
    put,
    take,
)
from linfa.core.matrices import matrix
from linfa.core.problem import AT_FORMED, AT_KEPT, AT_WEIGHT, FACTORED, WIDTH
from linfa.core.runge_kutta import (
    STAGES,
    first_guess,
    interpolate,
    lane_count,
    largest_entries,
    prepare_stage,
    scaled_errors,
    spread_lengths,
    starting_steps,
)
from linfa.core.vector import (
    choose,
    entry_at,
    fetch_and_add,
    fused,
    load,
    spread_out,
    stands_alone,
    store,
    width,
)
from linfa.core.velocity import form_weight, velocity

_EPSILON = np.finfo(np.float64).eps


@kernel
def form_weights(problem, moving, lanes):
    """Every weight that something smaller stands for, into its place in the work space."""
    stands_alone()
    for layer in range(1, problem.depth + 1):
        if problem.table[FACTORED, layer - 1]:
            rows, columns = problem.table[WIDTH, layer], problem.table[WIDTH, layer - 1]
            formed = matrix(lanes.work, problem.table[AT_FORMED, layer - 1], rows, columns)
            form_weight(problem, moving, lanes.state, layer, formed)


@kernel
def keep(problem, moving, lanes, members, lane):
    """Save what lane holds of `moving`, whose small stand-ins have been formed, as its next row."""
    stands_alone()
    row = members.saved[lanes.held[lane], lanes.counters[lane, NEXT_SAVE]]
    lanes.counters[lane, NEXT_SAVE] += 1
    end = problem.n_dynamic - (problem.n_kept - problem.n_kept_weights)
    for layer in range(1, problem.depth + 1):
        count = problem.table[WIDTH, layer] * problem.table[WIDTH, layer - 1]
        into = problem.table[AT_KEPT, layer - 1]
        if problem.table[FACTORED, layer - 1]:
            take(lanes.work, problem.table[AT_FORMED, layer - 1], count, lane, row, into)
        else:
            take(moving, problem.table[AT_WEIGHT, layer - 1], count, lane, row, into)
    take(moving, end, problem.n_dynamic - end, lane, row, problem.n_kept_weights)


@kernel
def finish(lanes, members, lane, status):
    """Write down how the member in this lane ended, and free the lane."""
    stands_alone()
    member = lanes.held[lane]
    members.statuses[member] = status
    members.stopped[member] = lanes.clock[lane, TIME]
    members.counts[member] = lanes.counters[lane, NEXT_SAVE]
    lanes.held[lane] = -1


@spliced
def take_up(problem, members, lanes, settings):
    """The next members into free lanes; returns how many lanes are at work and how many of them start."""
    at_work = starting = 0
    times = settings.times
    for lane in range(lanes.held.size):
        while lanes.held[lane] < 0 and members.following[0] < len(members.starts):
            member = fetch_and_add(members.following, 1)
            if member >= len(members.starts):
                break
            lanes.held[lane] = member
            put(members.starts[member], lanes.state, 0, lane)
            # Fixed numbers, which no step changes, must stand in every buffer that a velocity is taken of.
            put(members.starts[member], lanes.trial, problem.n_dynamic, lane)
            lanes.clock[lane] = 0.0
            lanes.counters[lane] = 0
            lanes.counters[lane, FRESH] = 1
            if times[0] <= 0.0:
                form_weights(problem, lanes.state, lanes)
                while lanes.counters[lane, NEXT_SAVE] < times.size and times[lanes.counters[lane, NEXT_SAVE]] <= 0.0:
                    keep(problem, lanes.state, lanes, members, lane)
                if lanes.counters[lane, NEXT_SAVE] == times.size:
                    finish(lanes, members, lane, COMPLETED)
        if lanes.held[lane] >= 0:
            at_work += 1
            starting += lanes.counters[lane, FRESH]
    return at_work, starting


@spliced
def guess_steps(problem, lanes, settings):
    """Small Euler steps of the lanes that start, whose velocities are stages[1]; the others keep theirs, stages[0]."""
    state, stages = lanes.state, lanes.stages
    for lane in range(lanes.held.size):
        lanes.lengths[lane] = lanes.counters[lane, FRESH]
    spread_lengths(lanes.lengths, lanes.register)
    fresh, stage = load(lanes.register, 0), stages.size // STAGES
    for at in range(0, stage, width(state)):
        store(stages, at, choose(fresh, load(stages, stage + at), load(stages, at)))
    first_guess(
        problem, state, lanes.steps, stages, lanes.trial, settings.rtol, settings.atol, lanes.register, lanes.sums,
        lanes.lengths,
    )  # fmt: skip


@spliced
def choose_first_steps(problem, lanes, settings):
    """First steps of the lanes that start."""
    starting_steps(
        problem, lanes.state, lanes.stages, settings.rtol, settings.atol, lanes.register, lanes.sums, lanes.lengths
    )
    for lane in range(lanes.held.size):
        if lanes.counters[lane, FRESH]:
            lanes.clock[lane, STEP] = lanes.lengths[lane]
            lanes.clock[lane, LAST_ERROR] = 1e-4
            lanes.counters[lane, FRESH] = 0


@spliced
def save_between(problem, lanes, members, settings):
    """Save the times that the lanes accepted in this round have passed."""
    times = settings.times
    while True:
        waiting = False
        for lane in range(lanes.held.size):
            lanes.lengths[lane] = 1.0
            following = lanes.counters[lane, NEXT_SAVE]
            if lanes.errors[lane] <= 1.0 and following < times.size and times[following] <= lanes.sums[1, lane]:
                waiting = True
                if times[following] != lanes.sums[1, lane]:
                    lanes.lengths[lane] = (times[following] - lanes.clock[lane, TIME]) / lanes.sums[0, lane]
        if not waiting:
            return
        spread_lengths(lanes.lengths, lanes.fractions)
        interpolate(lanes.state, lanes.steps, lanes.stages, lanes.trial, lanes.fractions, lanes.between)
        form_weights(problem, lanes.between, lanes)
        for lane in range(lanes.held.size):
            following = lanes.counters[lane, NEXT_SAVE]
            if lanes.errors[lane] <= 1.0 and following < times.size and times[following] <= lanes.sums[1, lane]:
                keep(problem, lanes.between, lanes, members, lane)


@spliced
def choose_lengths(members, lanes, settings):
    """How far every lane goes in this round, if its error allows; sums[0] keeps it.

    A flow counts as stalled when the step falls under the spacing of floating-point numbers or `max_steps` are spent.
    """
    for lane in range(lanes.held.size):
        lanes.lengths[lane] = 0.0
        if lanes.held[lane] < 0:
            continue
        spent = lanes.counters[lane, ACCEPTED] + lanes.counters[lane, REJECTED] >= settings.max_steps
        # The last step may be as short as rounding asks; any other this short stands still.
        if (
            spent
            or lanes.clock[lane, STEP] < 4.0 * _EPSILON * lanes.clock[lane, TIME]
            or lanes.clock[lane, STEP] < 1e-200
        ):
            finish(lanes, members, lane, STALLED)
            continue
        lanes.lengths[lane] = lanes.sums[0, lane] = min(
            lanes.clock[lane, STEP], settings.times[-1] - lanes.clock[lane, TIME]
        )
    spread_lengths(lanes.lengths, lanes.steps)


@spliced
def judge(problem, members, lanes, settings):
    """Accept the step of each lane, or not, and save what it has passed; sums[1] holds where it leads."""
    end = settings.times[-1]
    scaled_errors(
        problem, lanes.state, lanes.steps, lanes.stages, lanes.trial, settings.rtol, settings.atol, lanes.register,
        lanes.errors,
    )  # fmt: skip
    largest_entries(problem, lanes.trial, lanes.register, lanes.sizes)
    for lane in range(lanes.held.size):
        if lanes.held[lane] < 0:
            lanes.errors[lane] = np.inf
            continue
        following = lanes.clock[lane, TIME] + lanes.sums[0, lane]
        lanes.sums[1, lane] = end if end - following <= 4.0 * _EPSILON * end else following
    save_between(problem, lanes, members, settings)
    for lane in range(lanes.held.size):
        lanes.lengths[lane] = 1.0 if lanes.errors[lane] <= 1.0 else 0.0
    spread_lengths(lanes.lengths, lanes.fractions)
    accept(lanes)
    for lane in range(lanes.held.size):
        if lanes.held[lane] >= 0:
            choose_next_step(members, lanes, settings, lane)


@spliced
def accept(lanes):
    """The trial, and its velocity, of the lanes that `fractions` names become state and first stage."""
    state, stages = lanes.state, lanes.stages
    accepted, stage = load(lanes.fractions, 0), stages.size // STAGES
    for at in range(0, stage, width(state)):
        store(state, at, choose(accepted, load(lanes.trial, at), load(state, at)))
        store(stages, at, choose(accepted, load(stages, (STAGES - 1) * stage + at), load(stages, at)))


@spliced
def choose_next_step(members, lanes, settings, lane):
    """What follows from the error of the step that was made: on, back, or an end.

    A flow counts as diverged when an entry exceeds its limit or is not a number.
    """
    error, step = lanes.errors[lane], lanes.sums[0, lane]
    limit = members.limits[lanes.held[lane]]
    if error <= 1.0:
        lanes.clock[lane, TIME] = lanes.sums[1, lane]
        lanes.counters[lane, ACCEPTED] += 1
        if not lanes.sizes[lane] <= limit:
            finish(lanes, members, lane, DIVERGED)
            return
        growth = 10.0
        if error > 0.0:
            growth = min(10.0, max(0.2, 0.9 * error**-0.17 * lanes.clock[lane, LAST_ERROR] ** 0.04))
        if lanes.counters[lane, JUST_REJECTED]:
            growth = min(growth, 1.0)
        lanes.counters[lane, JUST_REJECTED] = 0
        lanes.clock[lane, LAST_ERROR] = max(error, 1e-4)
        # A step cut short to land on the last time says nothing about the step that follows.
        lanes.clock[lane, STEP] = step * growth
        if lanes.counters[lane, NEXT_SAVE] == settings.times.size:
            finish(lanes, members, lane, COMPLETED)
        return
    lanes.counters[lane, REJECTED] += 1
    lanes.counters[lane, JUST_REJECTED] = 1
    lanes.clock[lane, STEP] = step * (max(0.2, 0.9 * error**-0.2) if np.isfinite(error) else 0.1)
    if not np.isfinite(error) and not lane_speed(lanes, lane) <= limit:
        finish(lanes, members, lane, DIVERGED)


@kernel
def lane_speed(lanes, lane):
    """Largest magnitude in the velocity that the step of this lane began with; NaN when one is not a number."""
    largest, count = 0.0, lane_count(lanes.state)
    for i in range(lanes.stages.shape[1]):
        speed = abs(entry_at(lanes.stages, i * count + lane))
        if np.isnan(speed):
            return speed
        largest = max(largest, speed)
    return largest


@spliced
def choose_equal_lengths(lanes, settings):
    """The equal steps between two saved times, no longer than the longest, that land on both; sums[0] counts them."""
    for lane in range(lanes.held.size):
        lanes.lengths[lane] = 0.0
        if lanes.held[lane] >= 0:
            span = settings.times[lanes.counters[lane, NEXT_SAVE]] - lanes.clock[lane, STEP]
            lanes.sums[0, lane] = max(1.0, np.ceil(span / settings.step * (1.0 - 1e-12)))
            lanes.lengths[lane] = span / lanes.sums[0, lane]
    spread_lengths(lanes.lengths, lanes.steps)


@spliced
def arrive(problem, members, lanes, settings):
    """Take over the result of one of the equal steps, and save it where it has reached a saved time."""
    times = settings.times
    for at in range(0, lanes.stages.size // STAGES, width(lanes.state)):
        store(lanes.state, at, load(lanes.trial, at))
    largest_entries(problem, lanes.state, lanes.register, lanes.sizes)
    formed = bool(0)
    for lane in range(lanes.held.size):
        if lanes.held[lane] < 0:
            continue
        lanes.counters[lane, ACCEPTED] += 1
        lanes.counters[lane, REJECTED] += 1
        lanes.clock[lane, TIME] = lanes.clock[lane, STEP] + lanes.lengths[lane] * lanes.counters[lane, REJECTED]
        if not lanes.sizes[lane] <= members.limits[lanes.held[lane]]:
            finish(lanes, members, lane, DIVERGED)
        elif lanes.counters[lane, REJECTED] == lanes.sums[0, lane]:
            lanes.clock[lane, TIME] = lanes.clock[lane, STEP] = times[lanes.counters[lane, NEXT_SAVE]]
            lanes.counters[lane, REJECTED] = 0
            formed = save_here(problem, members, lanes, settings, lane, formed)


@kernel
def save_here(problem, members, lanes, settings, lane, formed):
    """Save the state of a lane that has arrived at its next time; returns that the weights are formed."""
    times = settings.times
    if not formed:
        form_weights(problem, lanes.state, lanes)
    keep(problem, lanes.state, lanes, members, lane)
    while (
        lanes.counters[lane, NEXT_SAVE] < times.size
        and times[lanes.counters[lane, NEXT_SAVE]] == lanes.clock[lane, TIME]
    ):
        keep(problem, lanes.state, lanes, members, lane)
    if lanes.counters[lane, NEXT_SAVE] == times.size:
        finish(lanes, members, lane, COMPLETED)
    return True


@spliced
def update(problem, members, lanes, settings):
    """One update  y ← y + η y'(y)  of all matrices at once, exactly as a training loop would make it."""
    times, state = settings.times, lanes.state
    rate = spread_out(state, settings.step)
    for at in range(0, lanes.stages.size // STAGES, width(state)):
        store(state, at, fused(rate, load(lanes.stages, at), load(state, at)))
    largest_entries(problem, state, lanes.register, lanes.sizes)
    formed = bool(0)
    for lane in range(lanes.held.size):
        if lanes.held[lane] < 0:
            continue
        lanes.counters[lane, ACCEPTED] += 1
        lanes.clock[lane, TIME] = lanes.counters[lane, ACCEPTED]
        if not lanes.sizes[lane] <= members.limits[lanes.held[lane]]:
            finish(lanes, members, lane, DIVERGED)
        elif times[lanes.counters[lane, NEXT_SAVE]] == lanes.clock[lane, TIME]:
            formed = save_here(problem, members, lanes, settings, lane, formed)


@spliced
def prepare(problem, members, lanes, settings, starting, evaluation):
    """Bring `trial` to where the next velocity is to be taken."""
    if starting:
        if evaluation == 1:
            guess_steps(problem, lanes, settings)
        return
    if evaluation == (1 if settings.method == ADAPTIVE else 0):
        if settings.method == ADAPTIVE:
            choose_lengths(members, lanes, settings)
        elif settings.method != DESCENT:
            choose_equal_lengths(lanes, settings)
    if evaluation > 0:
        prepare_stage(settings.method == CLASSICAL, evaluation, lanes.state, lanes.steps, lanes.stages, lanes.trial)


@spliced
def conclude(problem, members, lanes, settings, starting):
    """What follows when all velocities of a round have been taken."""
    if starting:
        choose_first_steps(problem, lanes, settings)
    elif settings.method == ADAPTIVE:
        judge(problem, members, lanes, settings)
    elif settings.method == DESCENT:
        update(problem, members, lanes, settings)
    else:
        arrive(problem, members, lanes, settings)


@entry
def advance_lanes(problem, members, lanes, settings, budget):
    """Make at most `budget` rounds, of one step in every lane or one start; returns how many lanes were at work.

    There is one place that takes a velocity, and nothing else knows of it: compiling takes a fraction of the time.
    """
    at_work = 0
    for _ in range(budget):
        at_work, starting = take_up(problem, members, lanes, settings)
        if at_work == 0:
            return 0
        adaptive = settings.method == ADAPTIVE
        starting = starting > 0 and adaptive
        first = 1 if adaptive and not starting else 0
        last = 2 if starting else STAGES
        if settings.method == CLASSICAL:
            last = 5
        elif settings.method == DESCENT:
            last = 1
        for evaluation in range(first, last):
            prepare(problem, members, lanes, settings, starting, evaluation)
            if settings.method == CLASSICAL and evaluation == 4:
                break
            source = lanes.state if evaluation == 0 else lanes.trial
            velocity(problem, source, lanes.stages[1 if starting else evaluation], lanes.work)
        conclude(problem, members, lanes, settings, starting)
    return at_work
