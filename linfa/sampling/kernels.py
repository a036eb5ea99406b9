"""Descent on batches of samples, with the velocities of the learning flow.

A batch is a whitened task whose inputs are its samples. With X̂ = [x_1 … x_n]ᵀ/√n, Ŷ likewise and U = W_1 X̂ᵀ in place
of W_1, the error correlation of the target Ŷᵀ is that of the batch, in these coordinates:

    Δ = Ŷᵀ − W_L … W_2 U = [e_1 … e_n]/√n,   <e xᵀ> = Δ X̂,   <e eᵀ> = Δ Δᵀ,   <δ_l h_{l−1}ᵀ> = D_l V_{l−1}ᵀ

so every rule reads there what it reads of the population, and the velocity U' of the first layer means W_1' = U' X̂.
"""

import numpy as np

from linfa.core.compile import entry, kernel
from linfa.core.velocity import velocity


@kernel
def take_batch(problem, state, lower, inputs, labels):
    """Write one batch into the state as the task: U, its target and, where a rule asks for it, its Σy."""
    batch, outputs = labels.shape
    np.dot(lower, inputs.T, state[: len(lower) * batch].reshape(len(lower), batch))
    target = state[problem.at_target : problem.at_target + outputs * batch].reshape(outputs, batch)
    target[:] = labels.T
    if problem.at_sigma_y > 0:
        spread = state[problem.at_sigma_y : problem.at_sigma_y + outputs * outputs].reshape(outputs, outputs)
        np.dot(labels.T, labels, spread)


@kernel
def keep(state, lower, batch, row):
    """Save W_1, the other weights and the feedback that learns, one after the other."""
    for at in range(lower.shape[0]):
        for column in range(lower.shape[1]):
            row[at * lower.shape[1] + column] = lower[at, column]
    first = lower.shape[0] * batch
    for k in range(row.size - lower.size):
        row[lower.size + k] = state[first + k]


@kernel
def largest_of(row):
    """Largest magnitude; NaN when an entry is not a number."""
    largest = 0.0
    for value in row:
        if np.isnan(value):
            return value
        largest = max(largest, abs(value))
    return largest


@entry
def descend_batches(
    problem, state, change, work, lower, moved, inputs, labels, rate, decay, limit, times, saved, clock
):  # fmt: skip
    """One update for each batch, all matrices from the same state; returns whether the run goes on.

        W_1 ← W_1 + η (U' X̂ − wd W_1),    y ← y + η y'   for all else that learns

    It ends when all times have been saved, or when an entry exceeds the limit or is not a number.

    Arrays: state (n_state,), change (n_dynamic,), work (n_work,) of the problem on samples, whose state begins with U
    and whose first layer does not decay; lower (h, i) is W_1 and moved (h, i) room for its velocity; inputs
    (batches, batch, i) and labels (batches, batch, o) hold X̂ and Ŷ; times (T,) are numbers of updates, saved (T, n)
    what was held then, clock counts the updates that were made and the times that were saved.
    """
    units, batch = lower.shape[0], inputs.shape[1]
    row = np.empty(saved.shape[1])
    keep(state, lower, batch, row)
    for k in range(len(inputs) + 1):
        while clock[1] < len(times) and times[clock[1]] == clock[0]:
            saved[clock[1]] = row
            clock[1] += 1
        if clock[1] == len(times):
            return False
        if k == len(inputs):
            break
        take_batch(problem, state, lower, inputs[k], labels[k])
        velocity(problem, state, change, work)
        np.dot(change[: units * batch].reshape(units, batch), inputs[k], moved)
        lower *= 1.0 - rate * decay
        lower += rate * moved
        for n in range(units * batch, change.size):
            state[n] += rate * change[n]
        clock[0] += 1
        keep(state, lower, batch, row)
        if not largest_of(row) <= limit:
            return False
    return True
