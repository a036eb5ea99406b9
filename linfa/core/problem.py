"""The arrays that describe one learning problem to the kernels, and how a state vector is laid out.

A state vector holds everything that belongs to one network, one piece after the other, each matrix C-contiguous:

    W_1 … W_L, then the feedback that learns;                what is integrated, padded to whole vector registers
    the feedback that is fixed, rates and decays, and what the kernels read of the task.

So networks that run side by side may differ in all of these, but not in shapes and rules. Feedback is numbered by the
hidden layer that receives it, 0 … L−2 (layer h = number + 1): along the chain it carries the signal of layer h + 1 and
replaces W_{h+1}ᵀ; directly it carries the output error.

Where the feedback to a layer is fixed and narrow, the layer moves within its columns alone: with F = Q or B,

    W_l(t) = W_l(0) + F A_l(t),   A_l' = c_l V_{l−1}ᵀ,   c_l = P S or S, the signal before F spreads it out,

and without weight decay the small A_l is integrated in place of W_l, which the kernels form when they need it. The
start W_l(0) is then among the fixed numbers.
"""

from typing import NamedTuple

import numpy as np

# How the signal travels to a hidden layer.
BACKPROP, FULL, LOW_RANK, SIGN = 0, 1, 2, 3
# How the matrices that carry it change. NORMATIVE, KOLEN_POLLACK and LOCAL are shared by the factors Q and P.
FIXED, KOLEN_POLLACK, NORMATIVE, MIRROR, OJA_ERROR, OJA_LABEL, LOCAL = 0, 1, 2, 3, 4, 5, 6
# Integrated numbers come in whole registers, of singles too.
REGISTER = 8
# A layer is factored where its feedback is at least this many times narrower than the layer.
_LEAST_NARROWING = 2


# Rows of the table: what there is one of for every layer, 0 … L, weight, from that of layer 1 on, or feedback.
WIDTH = 0  # of layers, input first
SOURCE, RANK, P_RULE = 1, 2, 3  # by feedback: size of the signal it carries, columns of Q, rule of P
FACTORED = 4  # by weight: whether A_l stands for W_l
AT_WEIGHT, AT_START, AT_KEPT = 5, 6, 7  # offsets of W_l or A_l and of W_l(0) in the state, of W_l in what is saved
AT_B, AT_Q, AT_P = 8, 9, 10  # in the state
AT_ACTIVITY, AT_SIGNAL, AT_SPREAD = 11, 12, 13  # in the work space, by layer
AT_COMPRESSED = 14  # by feedback
AT_TAIL = 15  # by layer 1 … L: the product W_L … W_{l+1}
AT_EFFECTIVE = 16  # by feedback: M ∘ sign(W)ᵀ
AT_FORMED = 17  # by weight: W_l, where A_l stands for it
AT_SCRATCH = 18  # two scratch matrices
_ROWS = 19


class Problem(NamedTuple):
    """What the kernels read that all networks side by side share: sizes, rules and offsets.

    One table and plain numbers: what has few fields is handed from kernel to kernel in no time.
    """

    depth: int
    table: np.ndarray  # (rows, L + 2), see above
    transport: int
    direct: bool
    b_rule: int
    q_rule: int
    decays: bool
    feedback_decays: bool
    whitened: bool
    n_root: int  # columns of S in Σx = S Sᵀ
    n_residual: int  # columns of R, with the part of <e eᵀ> that no linear map explains = R Rᵀ
    at_rate: int  # rates of B, Q and P, decays of W_1 … W_L, decays of the feedback
    at_target: int  # (o, i) Σyx Σx⁻¹
    at_sigma_x: int  # (i, i)
    at_input_root: int  # (i, k)
    at_residual_root: int  # (o, m)
    at_sigma_y: int  # (o, o)
    at_map_error: int  # in the work space
    at_explained: int
    n_dynamic: int
    n_state: int
    n_kept_weights: int
    n_kept: int
    n_work: int


class _Offsets:
    """Hands out consecutive ranges of a flat buffer."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, *shape: int) -> int:
        start = self.used
        self.used += int(np.prod(shape))
        return start


def build_problem(
    widths: tuple[int, ...],
    *,
    whitened: bool,
    n_root: int,
    n_residual: int,
    transport: int,
    direct: bool,
    ranks: tuple[int, ...],
    b_rule: int,
    q_rule: int,
    p_rules: tuple[int, ...],
    decays: bool,
    feedback_decays: bool,
    factor: bool = True,
) -> Problem:
    """Lay out state and work space for the given sizes and rules; arguments are those of `Problem`.

    `factor` is False where every weight is to stand in the state itself. Nothing is checked here: the caller has.
    """
    depth = len(widths) - 1
    n_in, n_out = widths[0], widths[-1]
    sources = tuple(n_out if direct else widths[h + 2] for h in range(depth - 1))
    inner = sources if transport == FULL else ranks
    fixed = (transport == FULL and b_rule == FIXED) or (transport == LOW_RANK and q_rule == FIXED)
    factored = [
        factor and fixed and not decays and _LEAST_NARROWING * inner[h] <= widths[h + 1] for h in range(depth - 1)
    ] + [False]

    state = _Offsets()
    at_weight = [
        state.take(inner[layer] if factored[layer] else widths[layer + 1], widths[layer]) for layer in range(depth)
    ]
    n_weights = state.used
    at_b, at_q, at_p = ([0] * (depth - 1) for _ in range(3))
    # What learns goes first, so that the integrated entries are contiguous.
    for learning in (True, False):
        for h in range(depth - 1):
            if transport in (FULL, SIGN) and (b_rule != FIXED) == learning:
                at_b[h] = state.take(widths[h + 1], sources[h])
            if transport == LOW_RANK and (q_rule != FIXED) == learning:
                at_q[h] = state.take(widths[h + 1], ranks[h])
            if transport == LOW_RANK and (p_rules[h] != FIXED) == learning:
                at_p[h] = state.take(ranks[h], sources[h])
        if learning:
            n_dynamic = state.used
            state.take(-n_dynamic % REGISTER)
    at_start = [state.take(widths[k + 1], widths[k]) if factored[k] else 0 for k in range(depth)]
    at_rate = state.take(3 + depth + depth - 1)
    needs_spread = OJA_ERROR in p_rules
    at_target = state.take(n_out, n_in)
    at_sigma_x = 0 if whitened else state.take(n_in, n_in)
    at_input_root = state.take(n_in, n_root) if needs_spread and not whitened else 0
    at_residual_root = state.take(n_out, n_residual) if needs_spread else 0
    at_sigma_y = state.take(n_out, n_out) if OJA_LABEL in p_rules else 0

    kept = _Offsets()
    at_kept = [kept.take(widths[k + 1], widths[k]) for k in range(depth)]
    n_kept = kept.used + n_dynamic - n_weights

    work = _Offsets()
    n_spread = n_root + n_residual
    at_activity = [0, 0] + [work.take(widths[layer], n_in) for layer in range(2, depth + 1)]
    at_map_error = work.take(n_out, n_in)
    at_explained = work.take(n_out, n_root) if needs_spread and not whitened else 0
    at_signal = [0] + [work.take(widths[layer], n_in) for layer in range(1, depth)]
    at_signal.append(at_map_error if whitened else work.take(n_out, n_in))
    at_compressed = [work.take(rank, max(n_in, n_spread)) for rank in ranks] or [0]
    at_spread = [0] * (depth + 1)
    if needs_spread:
        at_spread = [0] + [work.take(widths[layer], n_spread) for layer in range(1, depth + 1)]
    at_tail = [0] * (depth + 1)
    if direct and NORMATIVE in (q_rule, *p_rules):
        at_tail = [0] + [work.take(n_out, widths[layer]) for layer in range(1, depth + 1)]
    at_effective = [0] * max(depth - 1, 1)
    if transport == SIGN:
        at_effective = [work.take(widths[h + 1], widths[h + 2]) for h in range(depth - 1)]
    at_formed = [work.take(widths[k + 1], widths[k]) if factored[k] else 0 for k in range(depth)]
    rank = max(ranks, default=0)
    longest = max(max(widths), n_spread)
    at_scratch = [work.take(rank, longest), work.take(rank, longest)]

    table = np.zeros((_ROWS, depth + 2), dtype=np.int64)
    for row, values in (
        (WIDTH, widths),
        (SOURCE, sources),
        (RANK, ranks),
        (P_RULE, p_rules),
        (FACTORED, factored),
        (AT_WEIGHT, at_weight),
        (AT_START, at_start),
        (AT_KEPT, at_kept),
        (AT_B, at_b),
        (AT_Q, at_q),
        (AT_P, at_p),
        (AT_ACTIVITY, at_activity),
        (AT_SIGNAL, at_signal),
        (AT_SPREAD, at_spread),
        (AT_COMPRESSED, at_compressed),
        (AT_TAIL, at_tail),
        (AT_EFFECTIVE, at_effective),
        (AT_FORMED, at_formed),
        (AT_SCRATCH, at_scratch),
    ):
        table[row, : len(values)] = values
    return Problem(
        depth=depth,
        table=table,
        transport=transport,
        direct=direct,
        b_rule=b_rule,
        q_rule=q_rule,
        decays=decays,
        feedback_decays=feedback_decays,
        whitened=whitened,
        n_root=n_root,
        n_residual=n_residual,
        at_rate=at_rate,
        at_target=at_target,
        at_sigma_x=at_sigma_x,
        at_input_root=at_input_root,
        at_residual_root=at_residual_root,
        at_sigma_y=at_sigma_y,
        at_map_error=at_map_error,
        at_explained=at_explained,
        n_dynamic=n_dynamic,
        n_state=state.used,
        n_kept_weights=kept.used,
        n_kept=n_kept,
        n_work=max(work.used, 1),
    )
