"""The arrays that describe one learning problem to the kernels, and how a state vector is laid out.

A state vector holds all matrices of a run, one after the other, each C-contiguous:

    W_1 … W_L, then the feedback that learns, then the feedback that is fixed.

Only the first `n_dynamic` entries are integrated. Feedback is numbered by the hidden layer that receives it,
0 … L−2 (layer h = number + 1): along the chain it carries the signal of layer h + 1 and replaces W_{h+1}ᵀ;
directly it carries the output error.
"""

from typing import NamedTuple

import numpy as np

# How the signal travels to a hidden layer.
BACKPROP, FULL, LOW_RANK, SIGN = 0, 1, 2, 3
# How the matrices that carry it change. NORMATIVE, KOLEN_POLLACK and LOCAL are shared by the factors Q and P.
FIXED, KOLEN_POLLACK, NORMATIVE, MIRROR, OJA_ERROR, OJA_LABEL, LOCAL = 0, 1, 2, 3, 4, 5, 6


class Problem(NamedTuple):
    """What the kernels read: sizes, rules, rates, correlations and offsets. Plain integers, floats and arrays."""

    widths: np.ndarray  # (L+1,) layer sizes, input first
    transport: int
    direct: bool
    b_rule: int
    q_rule: int
    p_rules: np.ndarray  # (L-1,)
    ranks: np.ndarray  # (L-1,) columns of Q
    sources: np.ndarray  # (L-1,) size of the signal that the feedback carries
    b_rate: float
    q_rate: float
    p_rate: float
    decay: np.ndarray  # (L,) of the weights
    feedback_decay: np.ndarray  # (L-1,)
    whitened: bool
    target: np.ndarray  # (o, i) Σyx Σx⁻¹
    sigma_x: np.ndarray  # (i, i)
    input_root: np.ndarray  # (i, k) with Σx = S Sᵀ
    residual_root: np.ndarray  # (o, m) with the part of <e eᵀ> that no linear map explains = R Rᵀ
    sigma_y: np.ndarray  # (o, o)
    at_weight: np.ndarray  # offsets into the state
    at_b: np.ndarray
    at_q: np.ndarray
    at_p: np.ndarray
    n_dynamic: int
    n_state: int
    at_activity: np.ndarray  # offsets into the work space, by layer 0 … L
    at_signal: np.ndarray
    at_spread: np.ndarray
    at_tail: np.ndarray  # by layer 1 … L: the product W_L … W_{l+1}
    at_effective: np.ndarray  # by feedback: M ∘ sign(W)ᵀ
    at_map_error: int
    at_scratch: np.ndarray  # three scratch matrices
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
    target: np.ndarray,
    sigma_x: np.ndarray | None,
    input_root: np.ndarray,
    residual_root: np.ndarray,
    sigma_y: np.ndarray,
    transport: int,
    direct: bool,
    ranks: tuple[int, ...],
    b_rule: int,
    q_rule: int,
    p_rules: tuple[int, ...],
    b_rate: float,
    q_rate: float,
    p_rate: float,
    decay: np.ndarray,
    feedback_decay: np.ndarray,
) -> Problem:
    """Lay out state and work space for the given sizes and rules.

    Arguments are those of `Problem`; ``sigma_x=None`` stands for whitened inputs. Nothing is checked here: the
    caller has.
    """
    depth = len(widths) - 1
    n_in, n_out = widths[0], widths[-1]
    sources = tuple(n_out if direct else widths[h + 2] for h in range(depth - 1))
    fixed_input = np.empty((1, 1)) if sigma_x is None else sigma_x

    state = _Offsets()
    at_weight = [state.take(widths[layer + 1], widths[layer]) for layer in range(depth)]
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

    work = _Offsets()
    n_spread = (n_in if sigma_x is None else input_root.shape[1]) + residual_root.shape[1]
    needs_spread = OJA_ERROR in p_rules
    at_activity = [0, 0] + [work.take(widths[layer], n_in) for layer in range(2, depth + 1)]
    at_map_error = work.take(n_out, n_in)
    at_signal = [0] + [work.take(widths[layer], n_in) for layer in range(1, depth + 1)]
    at_spread = [0] * (depth + 1)
    if needs_spread:
        at_spread = [0] + [work.take(widths[layer], n_spread) for layer in range(1, depth + 1)]
    at_tail = [0] * (depth + 1)
    if direct and NORMATIVE in (q_rule, *p_rules):
        at_tail = [0] + [work.take(n_out, widths[layer]) for layer in range(1, depth + 1)]
    at_effective = [0] * max(depth - 1, 1)
    if transport == SIGN:
        at_effective = [work.take(widths[h + 1], widths[h + 2]) for h in range(depth - 1)]
    rank = max(ranks, default=0)
    longest = max(max(widths), n_spread)
    at_scratch = [work.take(rank, longest), work.take(rank, longest), work.take(rank, longest)]

    def integers(values: list[int] | tuple[int, ...]) -> np.ndarray:
        return np.array(values, dtype=np.int64)

    def floats(values: np.ndarray) -> np.ndarray:
        # A copy: read-only arrays are another type to Numba, and would have every kernel compiled again.
        return np.array(values, dtype=np.float64, order="C")

    return Problem(
        widths=integers(widths),
        transport=transport,
        direct=direct,
        b_rule=b_rule,
        q_rule=q_rule,
        p_rules=integers(p_rules),
        ranks=integers(ranks),
        sources=integers(sources),
        b_rate=float(b_rate),
        q_rate=float(q_rate),
        p_rate=float(p_rate),
        decay=floats(decay),
        feedback_decay=floats(feedback_decay),
        whitened=sigma_x is None,
        target=floats(target),
        sigma_x=floats(fixed_input),
        input_root=floats(input_root),
        residual_root=floats(residual_root),
        sigma_y=floats(sigma_y),
        at_weight=integers(at_weight),
        at_b=integers(at_b),
        at_q=integers(at_q),
        at_p=integers(at_p),
        n_dynamic=n_dynamic,
        n_state=state.used,
        at_activity=integers(at_activity),
        at_signal=integers(at_signal),
        at_spread=integers(at_spread),
        at_tail=integers(at_tail),
        at_effective=integers(at_effective),
        at_map_error=at_map_error,
        at_scratch=integers(at_scratch),
        n_work=max(work.used, 1),
    )
