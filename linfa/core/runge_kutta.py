"""Runge–Kutta integration of the learning flow: adaptive Dormand–Prince 5(4) with dense output, and fixed steps.

Source: Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19–26; continuous extension, starting step and step-size
control after Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I (1993), II.4–II.6.

The kernels work in slices: each call makes at most `budget` steps and leaves everything it needs to go on in its
arguments, so the caller can show progress or stop in between. How a run is sliced does not change a bit of it.
"""

import numpy as np

from linfa.core.compile import entry, kernel
from linfa.core.velocity import velocity

# What a slice reports.
RUNNING, COMPLETED, DIVERGED, STALLED = 0, 1, 2, 3
# Fixed-step methods.
RK4, DORMAND_PRINCE = 0, 1
# Entries of `clock` and `counters`.
TIME, STEP, LAST_ERROR = 0, 1, 2
NEXT_SAVE, ACCEPTED, REJECTED, STARTED, JUST_REJECTED = 0, 1, 2, 3, 4

STAGES = 7

A21 = 1 / 5
A31, A32 = 3 / 40, 9 / 40
A41, A42, A43 = 44 / 45, -56 / 15, 32 / 9
A51, A52, A53, A54 = 19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729
A61, A62, A63, A64, A65 = 9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656
B1, B3, B4, B5, B6 = 35 / 384, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84
# Difference between the fifth- and the fourth-order result.
E1, E3, E4, E5, E6, E7 = 71 / 57600, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40
# Fourth-order continuous extension.
D1, D3, D4 = -12715105075 / 11282082432, 87487479700 / 32700410799, -10690763975 / 1880347072
D5, D6, D7 = 701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423


@kernel
def copy_fixed(problem, state, trial):
    """Fixed feedback, which no step changes, must stand in both buffers."""
    for i in range(problem.n_dynamic, problem.n_state):
        trial[i] = state[i]


@kernel
def save_state(state, saved, counters):
    """saved[next] = the integrated entries of `state`, and count it."""
    row = counters[NEXT_SAVE]
    for i in range(saved.shape[1]):
        saved[row, i] = state[i]
    counters[NEXT_SAVE] = row + 1


@kernel
def dormand_prince_stages(problem, state, step, stages, trial, work):
    """Stages 2 … 7 of one step from `state`, whose velocity is stages[0]; `trial` ends as the fifth-order result."""
    n = problem.n_dynamic
    k1, k2, k3, k4, k5, k6, k7 = stages[0], stages[1], stages[2], stages[3], stages[4], stages[5], stages[6]
    for i in range(n):
        trial[i] = state[i] + step * A21 * k1[i]
    velocity(problem, trial, k2, work)
    for i in range(n):
        trial[i] = state[i] + step * (A31 * k1[i] + A32 * k2[i])
    velocity(problem, trial, k3, work)
    for i in range(n):
        trial[i] = state[i] + step * (A41 * k1[i] + A42 * k2[i] + A43 * k3[i])
    velocity(problem, trial, k4, work)
    for i in range(n):
        trial[i] = state[i] + step * (A51 * k1[i] + A52 * k2[i] + A53 * k3[i] + A54 * k4[i])
    velocity(problem, trial, k5, work)
    for i in range(n):
        trial[i] = state[i] + step * (A61 * k1[i] + A62 * k2[i] + A63 * k3[i] + A64 * k4[i] + A65 * k5[i])
    velocity(problem, trial, k6, work)
    for i in range(n):
        trial[i] = state[i] + step * (B1 * k1[i] + B3 * k3[i] + B4 * k4[i] + B5 * k5[i] + B6 * k6[i])
    velocity(problem, trial, k7, work)


@kernel
def scaled_error(problem, state, step, stages, trial, rtol, atol):
    """Root mean square of the estimated error over atol + rtol max(|y|, |y_new|); infinite when not finite."""
    n = problem.n_dynamic
    total = 0.0
    for i in range(n):
        estimate = step * (
            E1 * stages[0, i]
            + E3 * stages[2, i]
            + E4 * stages[3, i]
            + E5 * stages[4, i]
            + E6 * stages[5, i]
            + E7 * stages[6, i]
        )
        estimate /= atol + rtol * max(abs(state[i]), abs(trial[i]))
        total += estimate * estimate
    error = np.sqrt(total / n)
    return error if np.isfinite(error) else np.inf


@kernel
def interpolate(problem, state, step, stages, trial, theta, out):
    """State at the fraction theta of the step from `state` to `trial`, to fourth order; fixed entries are copied."""
    for i in range(problem.n_dynamic):
        change = trial[i] - state[i]
        start = step * stages[0, i] - change
        end = change - step * stages[6, i] - start
        bump = step * (
            D1 * stages[0, i]
            + D3 * stages[2, i]
            + D4 * stages[3, i]
            + D5 * stages[4, i]
            + D6 * stages[5, i]
            + D7 * stages[6, i]
        )
        inner = start + theta * (end + (1.0 - theta) * bump)
        out[i] = state[i] + theta * (change + (1.0 - theta) * inner)


@kernel
def largest_entry(state, n):
    """Largest magnitude among the first n entries; NaN when one of them is NaN."""
    largest = 0.0
    for i in range(n):
        size = abs(state[i])
        if np.isnan(size):
            return size
        largest = max(largest, size)
    return largest


@kernel
def starting_step(problem, state, stages, trial, work, rtol, atol):
    """First step from the sizes of state, velocity and their change over a small Euler step (Hairer et al., II.4)."""
    n = problem.n_dynamic
    size = speed = 0.0
    for i in range(n):
        scale = atol + rtol * abs(state[i])
        size += (state[i] / scale) ** 2
        speed += (stages[0, i] / scale) ** 2
    size, speed = np.sqrt(size / n), np.sqrt(speed / n)
    first = 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed
    for i in range(n):
        trial[i] = state[i] + first * stages[0, i]
    velocity(problem, trial, stages[1], work)
    bend = 0.0
    for i in range(n):
        bend += ((stages[1, i] - stages[0, i]) / (atol + rtol * abs(state[i]))) ** 2
    bend = np.sqrt(bend / n) / first
    fastest = max(speed, bend)
    second = max(1e-6, first * 1e-3) if fastest <= 1e-15 else (0.01 / fastest) ** 0.2
    step = min(100.0 * first, second)
    return step if np.isfinite(step) and step > 0.0 else 1e-6


@entry
def integrate_adaptive(
    problem, state, stages, trial, work, times, saved, clock, counters, rtol, atol, limit, max_steps, budget
):
    """Advance `state` by at most `budget` steps, writing saved[k] whenever times[k] is passed.

    `clock` is (time, step, last error), `counters` (next save, accepted, rejected, started,
    whether the last step was rejected). The flow counts as
    diverged when an entry exceeds `limit` or is not a number, as stalled when the step falls under the spacing of
    floating-point numbers or `max_steps` are spent.
    """
    n = problem.n_dynamic
    if counters[STARTED] == 0:
        copy_fixed(problem, state, trial)
        while counters[NEXT_SAVE] < times.size and times[counters[NEXT_SAVE]] <= clock[TIME]:
            save_state(state, saved, counters)
        velocity(problem, state, stages[0], work)
        clock[STEP] = starting_step(problem, state, stages, trial, work, rtol, atol)
        clock[LAST_ERROR] = 1e-4
        counters[STARTED] = 1
    for _ in range(budget):
        if counters[NEXT_SAVE] >= times.size:
            return COMPLETED
        now = clock[TIME]
        if counters[ACCEPTED] + counters[REJECTED] >= max_steps:
            return STALLED
        step = min(clock[STEP], times[-1] - now)
        # The last step may be as short as rounding asks; any other this short stands still.
        if clock[STEP] < 4.0 * np.finfo(np.float64).eps * now or clock[STEP] < 1e-200:
            return STALLED
        dormand_prince_stages(problem, state, step, stages, trial, work)
        error = scaled_error(problem, state, step, stages, trial, rtol, atol)
        if error <= 1.0:
            following = now + step
            if times[-1] - following <= 4.0 * np.finfo(np.float64).eps * times[-1]:
                following = times[-1]
            while counters[NEXT_SAVE] < times.size and times[counters[NEXT_SAVE]] <= following:
                target = times[counters[NEXT_SAVE]]
                if target == following:
                    save_state(trial, saved, counters)
                else:
                    row = saved[counters[NEXT_SAVE]]
                    interpolate(problem, state, step, stages, trial, (target - now) / step, row)
                    counters[NEXT_SAVE] += 1
            for i in range(n):
                state[i] = trial[i]
                stages[0, i] = stages[6, i]
            clock[TIME] = following
            counters[ACCEPTED] += 1
            if not largest_entry(state, n) <= limit:
                return DIVERGED
            growth = 10.0
            if error > 0.0:
                growth = min(10.0, max(0.2, 0.9 * error**-0.17 * clock[LAST_ERROR] ** 0.04))
            if counters[JUST_REJECTED]:
                growth = min(growth, 1.0)
            counters[JUST_REJECTED] = 0
            clock[LAST_ERROR] = max(error, 1e-4)
            # A step cut short to land on the last time says nothing about the step that follows.
            clock[STEP] = step * growth
        else:
            counters[REJECTED] += 1
            counters[JUST_REJECTED] = 1
            clock[STEP] = step * (max(0.2, 0.9 * error**-0.2) if np.isfinite(error) else 0.1)
            if not np.isfinite(error) and not largest_entry(stages[0], n) <= limit:
                return DIVERGED
    return RUNNING if counters[NEXT_SAVE] < times.size else COMPLETED


@kernel
def rk4_step(problem, state, step, stages, trial, work):
    """Classical fourth-order step; `trial` ends as the result."""
    n = problem.n_dynamic
    velocity(problem, state, stages[0], work)
    for i in range(n):
        trial[i] = state[i] + 0.5 * step * stages[0, i]
    velocity(problem, trial, stages[1], work)
    for i in range(n):
        trial[i] = state[i] + 0.5 * step * stages[1, i]
    velocity(problem, trial, stages[2], work)
    for i in range(n):
        trial[i] = state[i] + step * stages[2, i]
    velocity(problem, trial, stages[3], work)
    for i in range(n):
        trial[i] = state[i] + step / 6.0 * (stages[0, i] + 2.0 * (stages[1, i] + stages[2, i]) + stages[3, i])


@entry
def integrate_fixed(
    problem, state, stages, trial, work, times, saved, clock, counters, method, longest_step, limit, budget
):
    """Advance by equal steps, no longer than `longest_step`, that land on every requested time.

    Between two requested times every step has the same length; `clock` and `counters` are as in
    `integrate_adaptive`, with the steps already made since the last requested time in counters[REJECTED].
    """
    n = problem.n_dynamic
    if counters[STARTED] == 0:
        copy_fixed(problem, state, trial)
        while counters[NEXT_SAVE] < times.size and times[counters[NEXT_SAVE]] <= clock[TIME]:
            save_state(state, saved, counters)
        counters[STARTED] = 1
    for _ in range(budget):
        if counters[NEXT_SAVE] >= times.size:
            return COMPLETED
        following = times[counters[NEXT_SAVE]]
        # clock[STEP] holds the requested time left behind, so that all steps of an interval are equal.
        span = following - clock[STEP]
        steps = max(1, int(np.ceil(span / longest_step * (1.0 - 1e-12))))
        step = span / steps
        if method == RK4:
            rk4_step(problem, state, step, stages, trial, work)
        else:
            velocity(problem, state, stages[0], work)
            dormand_prince_stages(problem, state, step, stages, trial, work)
        for i in range(n):
            state[i] = trial[i]
        counters[ACCEPTED] += 1
        counters[REJECTED] += 1
        clock[TIME] = clock[STEP] + step * counters[REJECTED]
        if not largest_entry(state, n) <= limit:
            return DIVERGED
        if counters[REJECTED] == steps:
            clock[TIME] = clock[STEP] = following
            save_state(state, saved, counters)
            counters[REJECTED] = 0
    return RUNNING if counters[NEXT_SAVE] < times.size else COMPLETED
