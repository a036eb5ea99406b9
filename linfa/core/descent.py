"""Gradient descent: explicit Euler steps of the learning flow, exactly as a training loop would make them."""

from linfa.core.compile import entry
from linfa.core.runge_kutta import ACCEPTED, COMPLETED, DIVERGED, NEXT_SAVE, RUNNING, TIME, largest_entry, save_state
from linfa.core.velocity import velocity


@entry
def descend(problem, state, change, work, updates, saved, clock, counters, learning_rate, limit, budget):
    """Make at most `budget` updates  y ← y + η y'(y),  writing saved[k] after updates[k] of them.

    All matrices are updated at once, from the same state. `clock[TIME]` and counters[ACCEPTED] count the updates
    made. The run counts as diverged when an entry exceeds `limit` or is not a number.
    """
    n = problem.n_dynamic
    for _ in range(budget + 1):
        while counters[NEXT_SAVE] < updates.size and updates[counters[NEXT_SAVE]] == counters[ACCEPTED]:
            save_state(state, saved, counters)
        if counters[NEXT_SAVE] >= updates.size:
            return COMPLETED
        velocity(problem, state, change, work)
        for i in range(n):
            state[i] += learning_rate * change[i]
        counters[ACCEPTED] += 1
        clock[TIME] = counters[ACCEPTED]
        if not largest_entry(state, n) <= limit:
            return DIVERGED
    return RUNNING
