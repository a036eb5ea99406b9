"""Online learning, one fresh sample at a time: a linear student of a linear teacher, backprop or fixed feedback.

Samples are drawn by the caller in blocks, from a generator of its own: the kernel has no randomness, so that the same
blocks give the same bits.
"""

import numpy as np

from linfa.core.compile import entry


@entry
def learn_online(lower, upper, feedback, follows, teacher_lower, teacher_upper, inputs, label_noise, rate):
    """One update of the student for each row x of `inputs`, in place; both layers from the same state.

        λ = W x/√N,   ν = W̃ x/√N,   e = Aᵀν + ζ − vᵀλ
        W ← W + (η/√N) F e xᵀ,   v ← v + (η/N) λ e,   F = v where the feedback follows the weights (backprop)

    Arrays: W (K, N), v (K,), F (K,), W̃ (M, N), A (M,), inputs (steps, N), label_noise (steps,) with entries ζ.
    """
    units, size = lower.shape
    root = np.sqrt(size)
    fields = np.empty(units)
    for step in range(len(inputs)):
        x = inputs[step]
        error = label_noise[step]
        for m in range(len(teacher_upper)):
            total = 0.0
            for n in range(size):
                total += teacher_lower[m, n] * x[n]
            error += teacher_upper[m] * total / root
        for k in range(units):
            total = 0.0
            for n in range(size):
                total += lower[k, n] * x[n]
            fields[k] = total / root
            error -= upper[k] * fields[k]
        for k in range(units):
            carried = (upper[k] if follows else feedback[k]) * error * rate / root
            for n in range(size):
                lower[k, n] += carried * x[n]
        for k in range(units):
            upper[k] += rate / size * fields[k] * error


@entry
def least_mean_squares(errors, inputs, label_noise, rate, squares):
    """Online regression of many replicas; `errors` (replicas, d) holds Δ = w − w*, changed in place.

        Δ ← Δ − η x (xᵀΔ − ξ),    squares[step] = mean over replicas of |Δ|² after the step

    Arrays: inputs (steps, replicas, d), label_noise (steps, replicas) with entries ξ, squares (steps,).
    """
    replicas, size = errors.shape
    for step in range(len(inputs)):
        total = 0.0
        for r in range(replicas):
            x = inputs[step, r]
            gap = -label_noise[step, r]
            for k in range(size):
                gap += x[k] * errors[r, k]
            for k in range(size):
                errors[r, k] -= rate * gap * x[k]
                total += errors[r, k] ** 2
        squares[step] = total / replicas
