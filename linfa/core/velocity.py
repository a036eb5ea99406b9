"""The right-hand side of every learning rule, in correlation form: no loop over samples, any depth.

With V_l = W_l … W_1 the map into layer l (V_0 = I), Δ = T − V_L the error of the map and

    E = Δ Σx = E[e xᵀ]                     error correlation, (o × i)
    D_l = E[δ_l xᵀ]                        signal of layer l, D_L = E, then by the rule of feedback
    W_l' = E[δ_l h_{l−1}ᵀ] − wd W_l = D_l V_{l−1}ᵀ − wd W_l

every rule needs products of small matrices alone.
"""

from linfa.core.compile import entry, inlined, kernel, spliced
from linfa.core.matrices import (
    add_product,
    column_count,
    combine,
    copy_into,
    matrix,
    multiply,
    multiply_transposed_left,
    multiply_transposed_right,
    number,
    row_count,
    scale,
    subtract_product,
    transpose_into,
    with_signs,
)
from linfa.core.problem import (
    AT_ACTIVITY,
    AT_B,
    AT_COMPRESSED,
    AT_EFFECTIVE,
    AT_FORMED,
    AT_P,
    AT_Q,
    AT_SCRATCH,
    AT_SIGNAL,
    AT_SPREAD,
    AT_START,
    AT_TAIL,
    AT_WEIGHT,
    BACKPROP,
    FACTORED,
    FIXED,
    FULL,
    KOLEN_POLLACK,
    LOCAL,
    LOW_RANK,
    MIRROR,
    NORMATIVE,
    OJA_ERROR,
    OJA_LABEL,
    P_RULE,
    RANK,
    SIGN,
    SOURCE,
    WIDTH,
)  # fmt: skip  # isort: skip
from linfa.core.vector import negative, stands_alone


@inlined
def weight(problem, state, work, layer):
    """W_layer, layer = 1 … L."""
    rows, columns = problem.table[WIDTH, layer], problem.table[WIDTH, layer - 1]
    if problem.table[FACTORED, layer - 1]:
        return matrix(work, problem.table[AT_FORMED, layer - 1], rows, columns)
    return matrix(state, problem.table[AT_WEIGHT, layer - 1], rows, columns)


@inlined
def spreader(problem, state, h):
    """F = Q or B of feedback number h, (receiver, inner): the columns that its layer moves within."""
    if problem.transport == FULL:
        return matrix(state, problem.table[AT_B, h], problem.table[WIDTH, h + 1], problem.table[SOURCE, h])
    return matrix(state, problem.table[AT_Q, h], problem.table[WIDTH, h + 1], problem.table[RANK, h])


@kernel
def form_weight(problem, moving, state, layer, out):
    """out = W_layer(0) + F A, where A, among the integrated numbers `moving`, stands for the weight."""
    rows, columns = problem.table[WIDTH, layer], problem.table[WIDTH, layer - 1]
    factor = spreader(problem, state, layer - 1)
    moved = matrix(moving, problem.table[AT_WEIGHT, layer - 1], column_count(factor), columns)
    add_product(matrix(state, problem.table[AT_START, layer - 1], rows, columns), factor, moved, out)


@inlined
def decay_rate(problem, state, layer):
    """wd of W_layer."""
    return number(state, problem.at_rate + 2 + layer)


@inlined
def feedback_decay_rate(problem, state, h):
    """wd of feedback number h."""
    return number(state, problem.at_rate + 3 + problem.depth + h)


@inlined
def activity(problem, state, work, layer):
    """V_layer = W_layer … W_1, layer = 1 … L; the first is W_1 itself."""
    if layer == 1:
        return weight(problem, state, work, 1)
    return matrix(work, problem.table[AT_ACTIVITY, layer], problem.table[WIDTH, layer], problem.table[WIDTH, 0])


@inlined
def signal(problem, work, layer):
    """D_layer = E[δ_layer xᵀ], layer = 1 … L."""
    return matrix(work, problem.table[AT_SIGNAL, layer], problem.table[WIDTH, layer], problem.table[WIDTH, 0])


@inlined
def spread(problem, work, layer):
    """Y_layer with E[δ_layer δ_layerᵀ] = Y Yᵀ (only where a rule asks for it)."""
    columns = problem.n_root + problem.n_residual
    return matrix(work, problem.table[AT_SPREAD, layer], problem.table[WIDTH, layer], columns)


@spliced
def propagate(problem, state, work):
    """V_1 … V_L, then Δ = T − V_L and E = Δ Σx, which is D_L."""
    depth = problem.depth
    for layer in range(1, depth):
        if problem.table[FACTORED, layer - 1]:
            form_weight(problem, state, state, layer, weight(problem, state, work, layer))
    for layer in range(2, depth + 1):
        multiply(
            weight(problem, state, work, layer),
            activity(problem, state, work, layer - 1),
            activity(problem, state, work, layer),
        )
    n_out, n_in = problem.table[WIDTH, depth], problem.table[WIDTH, 0]
    map_error = matrix(work, problem.at_map_error, n_out, n_in)
    target = matrix(state, problem.at_target, n_out, n_in)
    combine(1.0, target, -1.0, activity(problem, state, work, depth), map_error)
    if not problem.whitened:
        # Of whitened inputs the error of the map is the error correlation, and stands in its place.
        multiply(map_error, matrix(state, problem.at_sigma_x, n_in, n_in), signal(problem, work, depth))


@spliced
def spread_output_error(problem, state, work):
    """Y_L = [Δ S, R]: with Σx = S Sᵀ and R Rᵀ the residual no linear map explains, E[e eᵀ] = Y_L Y_Lᵀ."""
    depth = problem.depth
    n_out, n_in = problem.table[WIDTH, depth], problem.table[WIDTH, 0]
    map_error = matrix(work, problem.at_map_error, n_out, n_in)
    out = spread(problem, work, depth)
    if problem.whitened:
        copy_into(map_error, out, 0)
    else:
        explained = matrix(work, problem.at_explained, n_out, problem.n_root)
        multiply(map_error, matrix(state, problem.at_input_root, n_in, problem.n_root), explained)
        copy_into(explained, out, 0)
    copy_into(matrix(state, problem.at_residual_root, n_out, problem.n_residual), out, problem.n_root)


@spliced
def sign_feedback(problem, state, work, h):
    """B = M ∘ sign(W_{h+2})ᵀ for feedback number h, M its fixed magnitudes."""
    receiver, source = problem.table[WIDTH, h + 1], problem.table[SOURCE, h]
    magnitude = matrix(state, problem.table[AT_B, h], receiver, source)
    with_signs(
        magnitude, weight(problem, state, work, h + 2), matrix(work, problem.table[AT_EFFECTIVE, h], receiver, source)
    )


@kernel
def compress(problem, state, work, h, source_signal):
    """c = P S: the signal S as feedback number h carries it, before Q spreads it out."""
    rank, source = problem.table[RANK, h], problem.table[SOURCE, h]
    compressed = matrix(work, problem.table[AT_COMPRESSED, h], rank, column_count(source_signal))
    multiply(matrix(state, problem.table[AT_P, h], rank, source), source_signal, compressed)
    return compressed


@kernel
def send_back(problem, state, work, h, source_signal, out):
    """out = B S: the signal S handed to hidden layer h + 1 through feedback number h."""
    receiver, source = problem.table[WIDTH, h + 1], problem.table[SOURCE, h]
    if problem.transport == BACKPROP:
        multiply_transposed_left(weight(problem, state, work, h + 2), source_signal, out)
    elif problem.transport == FULL:
        multiply(matrix(state, problem.table[AT_B, h], receiver, source), source_signal, out)
    elif problem.transport == SIGN:
        multiply(matrix(work, problem.table[AT_EFFECTIVE, h], receiver, source), source_signal, out)
    else:
        compressed = compress(problem, state, work, h, source_signal)
        multiply(matrix(state, problem.table[AT_Q, h], receiver, problem.table[RANK, h]), compressed, out)


@spliced
def backward(problem, state, work):
    """D_l (and Y_l where needed) for every layer, from the output down."""
    depth = problem.depth
    needs_spread = False
    for h in range(depth - 1):
        needs_spread |= problem.table[P_RULE, h] == OJA_ERROR
    if needs_spread:
        spread_output_error(problem, state, work)
    for h in range(depth - 2, -1, -1):
        above = depth if problem.direct else h + 2
        # What layer h + 1 gets is read by the feedback below it; directly carried, only the output's is read.
        read_below = not problem.direct and h > 0
        if problem.transport == SIGN:
            sign_feedback(problem, state, work, h)
        if needs_spread and read_below:
            send_back(problem, state, work, h, spread(problem, work, above), spread(problem, work, h + 1))
        if read_below or not problem.table[FACTORED, h]:
            send_back(problem, state, work, h, signal(problem, work, above), signal(problem, work, h + 1))
        elif problem.transport == LOW_RANK:
            compress(problem, state, work, h, signal(problem, work, above))


@spliced
def weight_velocity(problem, state, work, out):
    """W_l' = D_l V_{l−1}ᵀ − wd_l W_l, or A_l' = c_l V_{l−1}ᵀ."""
    depth = problem.depth
    for layer in range(1, depth + 1):
        sent, rows = signal(problem, work, layer), problem.table[WIDTH, layer]
        if problem.table[FACTORED, layer - 1]:
            if problem.transport == FULL:
                sent = signal(problem, work, depth if problem.direct else layer + 1)
            else:
                sent = matrix(
                    work,
                    problem.table[AT_COMPRESSED, layer - 1],
                    problem.table[RANK, layer - 1],
                    problem.table[WIDTH, 0],
                )
            rows = row_count(sent)
        change = matrix(out, problem.table[AT_WEIGHT, layer - 1], rows, problem.table[WIDTH, layer - 1])
        if layer == 1:
            copy_into(sent, change, 0)
        else:
            multiply_transposed_right(sent, activity(problem, state, work, layer - 1), change)
        if problem.decays:
            decay = decay_rate(problem, state, layer)
            combine(1.0, change, negative(decay), weight(problem, state, work, layer), change)


@spliced
def full_feedback_velocity(problem, state, work, out, h):
    """Kolen–Pollack  B' = V Sᵀ − wd B;  weight mirror  B' = rate W_{h+2}ᵀ − wd B."""
    receiver, source = problem.table[WIDTH, h + 1], problem.table[SOURCE, h]
    feedback = matrix(state, problem.table[AT_B, h], receiver, source)
    change = matrix(out, problem.table[AT_B, h], receiver, source)
    if problem.b_rule == KOLEN_POLLACK:
        above = signal(problem, work, h + 2)
        multiply_transposed_right(activity(problem, state, work, h + 1), above, change)
    elif problem.b_rule == MIRROR:
        transpose_into(weight(problem, state, work, h + 2), change)
    rate, decay = number(state, problem.at_rate), feedback_decay_rate(problem, state, h)
    combine(rate, change, negative(decay), feedback, change)


@spliced
def tails(problem, state, work):
    """C_l = W_L … W_{l+1} for l = L−1 … 1: the product that direct feedback to layer l stands for."""
    depth = problem.depth
    n_out = problem.table[WIDTH, depth]
    for layer in range(depth - 1, 0, -1):
        tail = matrix(work, problem.table[AT_TAIL, layer], n_out, problem.table[WIDTH, layer])
        if layer == depth - 1:
            copy_into(weight(problem, state, work, depth), tail, 0)
        else:
            above = matrix(work, problem.table[AT_TAIL, layer + 1], n_out, problem.table[WIDTH, layer + 1])
            multiply(above, weight(problem, state, work, layer + 1), tail)


@inlined
def replaced(problem, state, work, h):
    """The forward matrix C (source × receiver) whose transpose feedback number h replaces."""
    if problem.direct:
        return matrix(
            work, problem.table[AT_TAIL, h + 1], problem.table[WIDTH, problem.depth], problem.table[WIDTH, h + 1]
        )
    return weight(problem, state, work, h + 2)


@spliced
def q_velocity(problem, state, work, out, h):
    """Kolen–Pollack (= local)  Q' = rate V (P S)ᵀ − wd Q;  normative  Q' = rate (Cᵀ − Q P) Pᵀ."""
    receiver, source, rank = problem.table[WIDTH, h + 1], problem.table[SOURCE, h], problem.table[RANK, h]
    q = matrix(state, problem.table[AT_Q, h], receiver, rank)
    p = matrix(state, problem.table[AT_P, h], rank, source)
    change = matrix(out, problem.table[AT_Q, h], receiver, rank)
    q_rate = number(state, problem.at_rate + 1)
    if problem.q_rule == KOLEN_POLLACK:
        compressed = matrix(work, problem.table[AT_COMPRESSED, h], rank, problem.table[WIDTH, 0])
        multiply_transposed_right(activity(problem, state, work, h + 1), compressed, change)
        combine(q_rate, change, negative(feedback_decay_rate(problem, state, h)), q, change)
    else:
        gram = matrix(work, problem.table[AT_SCRATCH, 0], rank, rank)
        transported = matrix(work, problem.table[AT_SCRATCH, 1], rank, receiver)
        multiply_transposed_right(p, p, gram)
        multiply(p, replaced(problem, state, work, h), transported)
        transpose_into(transported, change)
        subtract_product(q, gram, change)
        scale(q_rate, change)


@spliced
def p_velocity(problem, state, work, out, h):
    """Local  P' = rate Qᵀ V Sᵀ − wd P;  normative  P' = rate Qᵀ (Cᵀ − Q P);  Oja  P' = rate P C (I − Pᵀ P)."""
    receiver, source, rank = problem.table[WIDTH, h + 1], problem.table[SOURCE, h], problem.table[RANK, h]
    rule = problem.table[P_RULE, h]
    q = matrix(state, problem.table[AT_Q, h], receiver, rank)
    p = matrix(state, problem.table[AT_P, h], rank, source)
    change = matrix(out, problem.table[AT_P, h], rank, source)
    above_layer = problem.depth if problem.direct else h + 2
    gram = matrix(work, problem.table[AT_SCRATCH, 0], rank, rank)
    p_rate = number(state, problem.at_rate + 2)
    if rule == LOCAL:
        spread_out = matrix(work, problem.table[AT_SCRATCH, 1], rank, problem.table[WIDTH, 0])
        multiply_transposed_left(q, activity(problem, state, work, h + 1), spread_out)
        multiply_transposed_right(spread_out, signal(problem, work, above_layer), change)
        combine(p_rate, change, negative(feedback_decay_rate(problem, state, h)), p, change)
        return
    if rule == NORMATIVE:
        multiply_transposed_left(q, q, gram)
        forward = replaced(problem, state, work, h)
        transposed = matrix(work, problem.table[AT_SCRATCH, 1], rank, receiver)
        transpose_into(q, transposed)
        multiply_transposed_right(transposed, forward, change)
        subtract_product(gram, p, change)
    else:
        if rule == OJA_LABEL:
            multiply(p, matrix(state, problem.at_sigma_y, source, source), change)
        else:
            errors = spread(problem, work, above_layer)
            projected = matrix(work, problem.table[AT_SCRATCH, 1], rank, column_count(errors))
            multiply(p, errors, projected)
            multiply_transposed_right(projected, errors, change)
        multiply_transposed_right(change, p, gram)
        subtract_product(gram, p, change)
    scale(p_rate, change)


@entry
def velocity(problem, state, out, work):
    """Write the time derivative of the first `n_dynamic` entries of `state` into `out`."""
    stands_alone()
    propagate(problem, state, work)
    backward(problem, state, work)
    weight_velocity(problem, state, work, out)
    depth = problem.depth
    if problem.transport == FULL and problem.b_rule != FIXED:
        for h in range(depth - 1):
            full_feedback_velocity(problem, state, work, out, h)
    if problem.transport == LOW_RANK:
        normative = problem.q_rule == NORMATIVE
        for h in range(depth - 1):
            normative |= problem.table[P_RULE, h] == NORMATIVE
        if problem.direct and normative:
            tails(problem, state, work)
        for h in range(depth - 1):
            if problem.q_rule != FIXED:
                q_velocity(problem, state, work, out, h)
            if problem.table[P_RULE, h] != FIXED:
                p_velocity(problem, state, work, out, h)
