"""The right-hand side of every learning rule, in correlation form: no loop over samples, any depth.

With V_l = W_l … W_1 the map into layer l (V_0 = I), Δ = T − V_L the error of the map and

    E = Δ Σx = E[e xᵀ]                     error correlation, (o × i)
    D_l = E[δ_l xᵀ]                        signal of layer l, D_L = E, then by the rule of feedback
    W_l' = E[δ_l h_{l−1}ᵀ] − wd W_l = D_l V_{l−1}ᵀ − wd W_l

every rule needs products of small matrices alone.
"""

import numpy as np

from linfa.core.compile import entry, kernel
from linfa.core.matrices import (
    combine,
    copy_into,
    matrix,
    multiply,
    multiply_transposed_left,
    multiply_transposed_right,
    subtract_product,
)
from linfa.core.problem import (
    BACKPROP,
    FIXED,
    FULL,
    KOLEN_POLLACK,
    LOCAL,
    LOW_RANK,
    MIRROR,
    NORMATIVE,
    OJA_ERROR,
    OJA_LABEL,
    SIGN,
)


@kernel
def weight(problem, state, layer):
    """W_layer, layer = 1 … L, as a view into `state`."""
    widths = problem.widths
    return matrix(state, problem.at_weight[layer - 1], widths[layer], widths[layer - 1])


@kernel
def activity(problem, state, work, layer):
    """V_layer = W_layer … W_1, layer = 1 … L; the first is W_1 itself."""
    if layer == 1:
        return matrix(state, problem.at_weight[0], problem.widths[1], problem.widths[0])
    return matrix(work, problem.at_activity[layer], problem.widths[layer], problem.widths[0])


@kernel
def signal(problem, work, layer):
    """D_layer = E[δ_layer xᵀ], layer = 1 … L."""
    return matrix(work, problem.at_signal[layer], problem.widths[layer], problem.widths[0])


@kernel
def spread(problem, work, layer):
    """Y_layer with E[δ_layer δ_layerᵀ] = Y Yᵀ (only where a rule asks for it)."""
    columns = problem.residual_root.shape[1]
    columns += problem.widths[0] if problem.whitened else problem.input_root.shape[1]
    return matrix(work, problem.at_spread[layer], problem.widths[layer], columns)


@kernel
def propagate(problem, state, work):
    """V_1 … V_L, then Δ = T − V_L and E = Δ Σx, which is D_L."""
    depth = problem.widths.size - 1
    for layer in range(2, depth + 1):
        multiply(
            weight(problem, state, layer),
            activity(problem, state, work, layer - 1),
            activity(problem, state, work, layer),
        )
    n_out, n_in = problem.target.shape
    map_error = matrix(work, problem.at_map_error, n_out, n_in)
    combine(1.0, problem.target, -1.0, activity(problem, state, work, depth), map_error)
    error = signal(problem, work, depth)
    if problem.whitened:
        copy_into(map_error, error, 0)
    else:
        multiply(map_error, problem.sigma_x, error)


@kernel
def spread_output_error(problem, work):
    """Y_L = [Δ S, R]: with Σx = S Sᵀ and R Rᵀ the residual no linear map explains, E[e eᵀ] = Y_L Y_Lᵀ."""
    depth = problem.widths.size - 1
    n_out, n_in = problem.target.shape
    map_error = matrix(work, problem.at_map_error, n_out, n_in)
    out = spread(problem, work, depth)
    explained = n_in if problem.whitened else problem.input_root.shape[1]
    if problem.whitened:
        copy_into(map_error, out, 0)
    else:
        for row in range(n_out):
            for column in range(explained):
                total = 0.0
                for inner in range(n_in):
                    total += map_error[row, inner] * problem.input_root[inner, column]
                out[row, column] = total
    copy_into(problem.residual_root, out, explained)


@kernel
def sign_feedback(problem, state, work, h):
    """B = M ∘ sign(W_{h+2})ᵀ for feedback number h, M its fixed magnitudes."""
    receiver, source = problem.widths[h + 1], problem.sources[h]
    magnitude = matrix(state, problem.at_b[h], receiver, source)
    effective = matrix(work, problem.at_effective[h], receiver, source)
    forward = weight(problem, state, h + 2)
    for row in range(receiver):
        for column in range(source):
            effective[row, column] = magnitude[row, column] * np.sign(forward[column, row])
    return effective


@kernel
def send_back(problem, state, work, h, source_signal, out):
    """out = B S: the signal S handed to hidden layer h + 1 through feedback number h."""
    receiver, source = problem.widths[h + 1], problem.sources[h]
    if problem.transport == BACKPROP:
        multiply_transposed_left(weight(problem, state, h + 2), source_signal, out)
    elif problem.transport == FULL:
        multiply(matrix(state, problem.at_b[h], receiver, source), source_signal, out)
    elif problem.transport == SIGN:
        multiply(matrix(work, problem.at_effective[h], receiver, source), source_signal, out)
    else:
        rank = problem.ranks[h]
        compressed = matrix(work, problem.at_scratch[0], rank, source_signal.shape[1])
        multiply(matrix(state, problem.at_p[h], rank, source), source_signal, compressed)
        multiply(matrix(state, problem.at_q[h], receiver, rank), compressed, out)


@kernel
def backward(problem, state, work):
    """D_l (and Y_l where needed) for every layer, from the output down."""
    depth = problem.widths.size - 1
    needs_spread = False
    for h in range(depth - 1):
        needs_spread |= problem.p_rules[h] == OJA_ERROR
    if needs_spread:
        spread_output_error(problem, work)
    for h in range(depth - 2, -1, -1):
        above = depth if problem.direct else h + 2
        if problem.transport == SIGN:
            sign_feedback(problem, state, work, h)
        send_back(problem, state, work, h, signal(problem, work, above), signal(problem, work, h + 1))
        # The spread of layer h + 1 is read by the feedback below it; directly carried, only the output's is read.
        if needs_spread and not problem.direct and h > 0:
            send_back(problem, state, work, h, spread(problem, work, above), spread(problem, work, h + 1))


@kernel
def weight_velocity(problem, state, work, out):
    """W_l' = D_l V_{l−1}ᵀ − wd_l W_l."""
    depth = problem.widths.size - 1
    for layer in range(1, depth + 1):
        change = weight(problem, out, layer)
        if layer == 1:
            copy_into(signal(problem, work, 1), change, 0)
        else:
            below = activity(problem, state, work, layer - 1)
            multiply_transposed_right(signal(problem, work, layer), below, change)
        decay = problem.decay[layer - 1]
        if decay != 0.0:
            combine(1.0, change, -decay, weight(problem, state, layer), change)


@kernel
def full_feedback_velocity(problem, state, work, out, h):
    """Kolen–Pollack  B' = V Sᵀ − wd B;  weight mirror  B' = rate W_{h+2}ᵀ − wd B."""
    receiver, source = problem.widths[h + 1], problem.sources[h]
    feedback = matrix(state, problem.at_b[h], receiver, source)
    change = matrix(out, problem.at_b[h], receiver, source)
    if problem.b_rule == KOLEN_POLLACK:
        above = signal(problem, work, h + 2)
        multiply_transposed_right(activity(problem, state, work, h + 1), above, change)
        combine(problem.b_rate, change, -problem.feedback_decay[h], feedback, change)
    elif problem.b_rule == MIRROR:
        forward = weight(problem, state, h + 2)
        for row in range(receiver):
            for column in range(source):
                change[row, column] = (
                    problem.b_rate * forward[column, row] - problem.feedback_decay[h] * feedback[row, column]
                )


@kernel
def tails(problem, state, work):
    """C_l = W_L … W_{l+1} for l = L−1 … 1: the product that direct feedback to layer l stands for."""
    depth = problem.widths.size - 1
    n_out = problem.widths[depth]
    for layer in range(depth - 1, 0, -1):
        tail = matrix(work, problem.at_tail[layer], n_out, problem.widths[layer])
        if layer == depth - 1:
            copy_into(weight(problem, state, depth), tail, 0)
        else:
            above = matrix(work, problem.at_tail[layer + 1], n_out, problem.widths[layer + 1])
            multiply(above, weight(problem, state, layer + 1), tail)


@kernel
def replaced(problem, state, work, h):
    """The forward matrix C (source × receiver) whose transpose feedback number h replaces."""
    if problem.direct:
        return matrix(work, problem.at_tail[h + 1], problem.widths[problem.widths.size - 1], problem.widths[h + 1])
    return weight(problem, state, h + 2)


@kernel
def q_velocity(problem, state, work, out, h):
    """Kolen–Pollack (= local)  Q' = rate V (P S)ᵀ − wd Q;  normative  Q' = rate (Cᵀ − Q P) Pᵀ."""
    receiver, source, rank = problem.widths[h + 1], problem.sources[h], problem.ranks[h]
    q = matrix(state, problem.at_q[h], receiver, rank)
    p = matrix(state, problem.at_p[h], rank, source)
    change = matrix(out, problem.at_q[h], receiver, rank)
    if problem.q_rule == KOLEN_POLLACK:
        above = signal(problem, work, problem.widths.size - 1 if problem.direct else h + 2)
        compressed = matrix(work, problem.at_scratch[0], rank, problem.widths[0])
        multiply(p, above, compressed)
        multiply_transposed_right(activity(problem, state, work, h + 1), compressed, change)
        combine(problem.q_rate, change, -problem.feedback_decay[h], q, change)
    else:
        gram = matrix(work, problem.at_scratch[0], rank, rank)
        transported = matrix(work, problem.at_scratch[1], rank, receiver)
        multiply_transposed_right(p, p, gram)
        multiply(p, replaced(problem, state, work, h), transported)
        for row in range(receiver):
            for column in range(rank):
                change[row, column] = transported[column, row]
        subtract_product(q, gram, change)
        for row in range(receiver):
            for column in range(rank):
                change[row, column] *= problem.q_rate


@kernel
def p_velocity(problem, state, work, out, h):
    """Local  P' = rate Qᵀ V Sᵀ − wd P;  normative  P' = rate Qᵀ (Cᵀ − Q P);  Oja  P' = rate P C (I − Pᵀ P)."""
    receiver, source, rank = problem.widths[h + 1], problem.sources[h], problem.ranks[h]
    rule = problem.p_rules[h]
    q = matrix(state, problem.at_q[h], receiver, rank)
    p = matrix(state, problem.at_p[h], rank, source)
    change = matrix(out, problem.at_p[h], rank, source)
    above_layer = problem.widths.size - 1 if problem.direct else h + 2
    gram = matrix(work, problem.at_scratch[0], rank, rank)
    if rule == LOCAL:
        spread_out = matrix(work, problem.at_scratch[1], rank, problem.widths[0])
        multiply_transposed_left(q, activity(problem, state, work, h + 1), spread_out)
        multiply_transposed_right(spread_out, signal(problem, work, above_layer), change)
        combine(problem.p_rate, change, -problem.feedback_decay[h], p, change)
        return
    if rule == NORMATIVE:
        multiply_transposed_left(q, q, gram)
        forward = replaced(problem, state, work, h)
        transposed = matrix(work, problem.at_scratch[1], rank, receiver)
        for row in range(receiver):
            for column in range(rank):
                transposed[column, row] = q[row, column]
        multiply_transposed_right(transposed, forward, change)
        subtract_product(gram, p, change)
    else:
        if rule == OJA_LABEL:
            multiply(p, problem.sigma_y, change)
        else:
            errors = spread(problem, work, above_layer)
            projected = matrix(work, problem.at_scratch[1], rank, errors.shape[1])
            multiply(p, errors, projected)
            multiply_transposed_right(projected, errors, change)
        multiply_transposed_right(change, p, gram)
        subtract_product(gram, p, change)
    for row in range(rank):
        for column in range(source):
            change[row, column] *= problem.p_rate


@entry
def velocity(problem, state, out, work):
    """Write the time derivative of the first `n_dynamic` entries of `state` into `out`."""
    propagate(problem, state, work)
    backward(problem, state, work)
    weight_velocity(problem, state, work, out)
    depth = problem.widths.size - 1
    if problem.transport == FULL and problem.b_rule != FIXED:
        for h in range(depth - 1):
            full_feedback_velocity(problem, state, work, out, h)
    if problem.transport == LOW_RANK:
        normative = problem.q_rule == NORMATIVE
        for h in range(depth - 1):
            normative |= problem.p_rules[h] == NORMATIVE
        if problem.direct and normative:
            tails(problem, state, work)
        for h in range(depth - 1):
            if problem.q_rule != FIXED:
                q_velocity(problem, state, work, out, h)
            if problem.p_rules[h] != FIXED:
                p_velocity(problem, state, work, out, h)
