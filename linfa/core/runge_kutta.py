"""Runge–Kutta steps of the learning flow: Dormand–Prince 5(4) with error estimate and dense output, and the classical.

Source: Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19–26; continuous extension and starting step after Hairer,
Nørsett & Wanner, Solving Ordinary Differential Equations I (1993), II.4–II.6.

State, stages and trial are those of one network, (numbers,), or of several side by side, (numbers, lanes); the loops
go through them a register at a time. `steps` holds one register of step lengths: one a lane, or one length throughout.
"""

import numpy as np

from linfa.core.compile import kernel, spliced
from linfa.core.vector import choose, fused, larger, load, magnitude, negative, spread_out, stands_alone, store, width

STAGES = 7

_A2 = (1 / 5,)
_A3 = (3 / 40, 9 / 40)
_A4 = (44 / 45, -56 / 15, 32 / 9)
_A5 = (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729)
_A6 = (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656)
_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
# Difference between the fifth- and the fourth-order result.
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Fourth-order continuous extension.
_D = (
    -12715105075 / 11282082432, 0.0, 87487479700 / 32700410799, -10690763975 / 1880347072,
    701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
)  # fmt: skip
# The classical method.
_EULER, _HALF, _SECOND_HALF, _WHOLE = (1.0,), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)
_SIXTHS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


@kernel
def lane_count(state):
    """How many networks stand side by side."""
    return 1 if state.ndim == 1 else width(state)


@kernel
def by_lane(register, out):
    """A register of sums as one sum a lane: of one network's, all are added up."""
    stands_alone()
    if out.size == 1:
        total = 0.0
        for place in range(register.size):
            total += register[place]
        out[0] = total
    else:
        for lane in range(out.size):
            out[lane] = register[lane]


@kernel
def weighted(stages, at, row):
    """Σ_j row_j k_j at one place: a register."""
    total = spread_out(stages, 0.0)
    stage = stages.size // STAGES
    for j in range(len(row)):
        if row[j] != 0.0:
            total = fused(spread_out(stages, row[j]), load(stages, j * stage + at), total)
    return total


@kernel
def advance(state, steps, stages, row, out):
    """out = y + h Σ_j row_j k_j."""
    step = load(steps, 0)
    for at in range(0, stages.size // STAGES, width(state)):
        store(out, at, fused(step, weighted(stages, at, row), load(state, at)))


@spliced
def prepare_stage(classical, stage, state, steps, stages, trial):
    """Where stage 1, 2, … of a step from `state` takes its velocity, into `trial`; behind the last, the result.

    stages[0] holds the velocity at `state`. Of Dormand–Prince the last stage is taken at the result, and stands for the
    first of the step that follows.
    """
    if classical:
        if stage == 1:
            advance(state, steps, stages, _HALF, trial)
        elif stage == 2:
            advance(state, steps, stages, _SECOND_HALF, trial)
        elif stage == 3:
            advance(state, steps, stages, _WHOLE, trial)
        else:
            advance(state, steps, stages, _SIXTHS, trial)
    elif stage == 1:
        advance(state, steps, stages, _A2, trial)
    elif stage == 2:
        advance(state, steps, stages, _A3, trial)
    elif stage == 3:
        advance(state, steps, stages, _A4, trial)
    elif stage == 4:
        advance(state, steps, stages, _A5, trial)
    elif stage == 5:
        advance(state, steps, stages, _A6, trial)
    else:
        advance(state, steps, stages, _B, trial)


@kernel
def scaled_errors(problem, state, steps, stages, trial, rtol, atol, register, errors):
    """Root mean square of the estimated error over atol + rtol max(|y|, |y_new|), by lane; infinite if not finite."""
    step, relative, absolute = load(steps, 0), spread_out(state, rtol), spread_out(state, atol)
    total = spread_out(state, 0.0)
    for at in range(0, stages.size // STAGES, width(state)):
        size = larger(magnitude(load(state, at)), magnitude(load(trial, at)))
        error = step * weighted(stages, at, _E) / fused(relative, size, absolute)
        total = fused(error, error, total)
    store(register, 0, total)
    by_lane(register, errors)
    for lane in range(errors.size):
        error = np.sqrt(errors[lane] / problem.n_dynamic)
        errors[lane] = error if np.isfinite(error) else np.inf


@kernel
def largest_entries(problem, state, register, sizes):
    """Largest magnitude among what is integrated, by lane; NaN where an entry is not finite."""
    largest = broken = spread_out(state, 0.0)
    for at in range(0, problem.n_dynamic * lane_count(state), width(state)):
        value = load(state, at)
        largest = larger(magnitude(value), largest)
        # Nothing but NaN and infinity leaves anything here.
        broken = broken + (value - value)
    if sizes.size == 1:
        store(register, 0, largest)
        sizes[0] = 0.0
        for place in range(register.size):
            sizes[0] = max(sizes[0], register[place])
        store(register, 0, broken)
        for place in range(register.size):
            sizes[0] += register[place]
    else:
        store(register, 0, largest + broken)
        by_lane(register, sizes)


@kernel
def interpolate(state, steps, stages, trial, fractions, out):
    """State at these fractions of the step from `state` to `trial`, to fourth order; fractions hold one register."""
    stands_alone()
    step, theta, one = load(steps, 0), load(fractions, 0), spread_out(state, 1.0)
    last = (STAGES - 1) * (stages.size // STAGES)
    for at in range(0, stages.size // STAGES, width(state)):
        first, end = load(state, at), load(trial, at)
        change = end - first
        early = fused(step, load(stages, at), negative(change))
        late = change - fused(step, load(stages, last + at), early)
        bump = step * weighted(stages, at, _D)
        inner = fused(theta, fused(one - theta, bump, late), early)
        # All the way there is no rounding.
        store(out, at, choose(one - theta, fused(theta, fused(one - theta, inner, change), first), end))


@spliced
def first_guess(problem, state, steps, stages, trial, rtol, atol, register, sums, lengths):
    """Lengths of a small Euler step from the sizes of state and velocity, which is stages[0]; `trial` where it leads.

    Hairer et al., II.4. `sums` (3, lanes) and `lengths` (lanes,) are for `starting_steps` to read.
    """
    n = problem.n_dynamic
    relative, absolute = spread_out(state, rtol), spread_out(state, atol)
    size = speed = spread_out(state, 0.0)
    for at in range(0, stages.size // STAGES, width(state)):
        value = load(state, at)
        tolerance = fused(relative, magnitude(value), absolute)
        value, change = value / tolerance, load(stages, at) / tolerance
        size, speed = fused(value, value, size), fused(change, change, speed)
    store(register, 0, size)
    by_lane(register, sums[0])
    store(register, 0, speed)
    by_lane(register, sums[1])
    for lane in range(lengths.size):
        root, rate = np.sqrt(sums[0, lane] / n), np.sqrt(sums[1, lane] / n)
        lengths[lane] = 1e-6 if root < 1e-5 or rate < 1e-5 else 0.01 * root / rate
        sums[1, lane] = rate
    spread_lengths(lengths, steps)
    advance(state, steps, stages, _EULER, trial)


@spliced
def starting_steps(problem, state, stages, rtol, atol, register, sums, lengths):
    """First steps, from how the velocity changes over that Euler step: stages[1] is the one at its end."""
    flat = stages.size // STAGES
    relative, absolute = spread_out(state, rtol), spread_out(state, atol)
    bend = spread_out(state, 0.0)
    for at in range(0, flat, width(state)):
        change = load(stages, flat + at) - load(stages, at)
        change = change / fused(relative, magnitude(load(state, at)), absolute)
        bend = fused(change, change, bend)
    store(register, 0, bend)
    by_lane(register, sums[2])
    for lane in range(lengths.size):
        first = lengths[lane]
        fastest = max(sums[1, lane], np.sqrt(sums[2, lane] / problem.n_dynamic) / first)
        second = max(1e-6, first * 1e-3) if fastest <= 1e-15 else (0.01 / fastest) ** 0.2
        step = min(100.0 * first, second)
        lengths[lane] = step if np.isfinite(step) and step > 0.0 else 1e-6


@kernel
def spread_lengths(lengths, register):
    """One length a lane, or one network's throughout, as a register."""
    stands_alone()
    for place in range(register.size):
        register[place] = lengths[place if lengths.size > 1 else 0]
