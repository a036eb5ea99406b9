"""The inner loops of message passing: messages between modes, and posterior means of finitely many states."""

import numpy as np

from linfa.core.compile import entry, kernel


@entry
def discrete_posterior(precision, fields, states, log_weights, means, log_evidence, covariance):
    """Mean and evidence of P(x) exp(−xᵀA x/2 + Bᵀx) for each row B of `fields`; the covariances are summed over rows.

    Arrays: A (r, r), fields (N, r), states (K, r), log_weights (K,); written: means (N, r), log_evidence (N,),
    covariance (r, r).
    """
    count, rank = states.shape
    constant = np.empty(count)
    for k in range(count):
        square = 0.0
        for i in range(rank):
            for j in range(rank):
                square += states[k, i] * precision[i, j] * states[k, j]
        constant[k] = log_weights[k] - 0.5 * square
    weights = np.empty(count)
    covariance[:] = 0.0
    for n in range(len(fields)):
        largest = -np.inf
        for k in range(count):
            exponent = constant[k]
            for i in range(rank):
                exponent += fields[n, i] * states[k, i]
            weights[k] = exponent
            largest = max(largest, exponent)
        total = 0.0
        for k in range(count):
            weights[k] = np.exp(weights[k] - largest)
            total += weights[k]
        log_evidence[n] = largest + np.log(total)
        for i in range(rank):
            mean = 0.0
            for k in range(count):
                mean += weights[k] * states[k, i]
            means[n, i] = mean / total
        for k in range(count):
            share = weights[k] / total
            for i in range(rank):
                for j in range(rank):
                    covariance[i, j] += share * (states[k, i] - means[n, i]) * (states[k, j] - means[n, j])


@entry
def messages(mode, offsets, factors, used, spreads, known, size, delta, precision, fields):
    """Precision A of one mode, and what the others only repeat taken out of its fields B.

        A = (1/Δ) ∘_{b≠a} x_bᵀx_b/N,   B ← B − Σ_{b≠a} x_a⁽ᵇ⁾ [S_b ∘_{c≠a,b} x_cᵀx_c⁽ᵇ⁾/N]ᵀ/Δ

    Arrays: the factors of all modes one below the other in `factors` (Σ N_a, r), mode a from row offsets[a] on;
    used (p, Σ N_a, r), all factors as the last update of each mode saw them; spreads S (p, r, r); known (p,), which
    modes take part in the second sum; precision (r, r) and fields (N_a, r) are written.
    """
    modes, rank = len(offsets) - 1, factors.shape[1]
    response = np.empty((rank, rank))
    precision[:] = 1.0 / delta
    for b in range(modes):
        if b == mode:
            continue
        _overlap_into(precision, factors, factors, offsets[b], offsets[b + 1], size)
        if not known[b]:
            continue
        for i in range(rank):
            for j in range(rank):
                response[i, j] = spreads[b, i, j] / delta
        for c in range(modes):
            if c not in (mode, b):
                _overlap_into(response, factors, used[b], offsets[c], offsets[c + 1], size)
        seen = used[b, offsets[mode] : offsets[mode + 1]]
        for n in range(len(fields)):
            for i in range(rank):
                for j in range(rank):
                    fields[n, i] -= seen[n, j] * response[i, j]


@kernel
def _overlap_into(product, left, right, first, last, size):
    """Multiply each entry of `product` (r, r) by that of xᵀz/N over the rows from first to last."""
    rank = product.shape[0]
    for i in range(rank):
        for j in range(rank):
            total = 0.0
            for n in range(first, last):
                total += left[n, i] * right[n, j]
            product[i, j] *= total / size


@entry
def settle(estimate, damping, factor, kept):
    """Keep a share of the old factor, x ← (1 − d) f + d x, into `kept`; returns the squared length of the change."""
    moved = 0.0
    for n in range(len(estimate)):
        for i in range(estimate.shape[1]):
            change = (1.0 - damping) * (estimate[n, i] - factor[n, i])
            kept[n, i] = factor[n, i] + change
            moved += change * change
    return moved
