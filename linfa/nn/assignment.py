"""Which carrier each layer gets: the rules of `linfa.feedback`, given to the weights of a network."""

import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from linfa.feedback import (
    Backprop,
    DirectFeedback,
    Feedback,
    FeedbackAlignment,
    KolenPollack,
    LowRankFeedback,
    SignSymmetry,
    WeightMirror,
)
from linfa.nn.carriers import Carrier, Direct, Full, LowRank, Sign, Start, Transpose, drawn_factors, drawn_full
from linfa.nn.maps import WeightMap

FeedbackChoice = Feedback | Mapping[str, Feedback]


def assign(feedback: FeedbackChoice, maps: Sequence[WeightMap], classes: int, obstacle: str | None) -> None:
    """Give every map that sends an error its carrier.

    Parameters
    ----------
    feedback : Feedback, or mapping of str to Feedback
        One rule for all; or rules by the names of layers, with ``*`` for any text, the first match counting. Layers
        that nothing matches use backprop.
    maps : list of WeightMap
        All of the network, in forward order.
    classes : int
        Outputs of the network.
    obstacle : str or None
        Why direct feedback cannot reach the layers of this network.

    Raises
    ------
    ValueError, TypeError
        If a name matches no layer, a rank is above every layer's, given matrices do not fit, or a rule cannot serve.
    """
    sending = [m for m in maps if m.sends]
    for position, rule, chosen in _groups(feedback, sending):
        _assign(rule, [(k, sending[k]) for k in chosen], maps, classes, obstacle, position)
    for m in sending:
        for parameter in m.carrier.parameters:
            parameter.name = f"{m.name}.{parameter.name}"


def _groups(feedback: FeedbackChoice, sending: list[WeightMap]) -> list[tuple[str, Feedback, list[int]]]:
    """(what it was asked for by, rule, positions among the sending maps)."""
    if isinstance(feedback, Feedback):
        return [("feedback", feedback, list(range(len(sending))))]
    if not isinstance(feedback, Mapping):
        raise TypeError(f"feedback is {feedback!r}; it must be a rule of linfa.feedback, or a dictionary of them")
    taken: set[int] = set()
    groups = []
    for pattern, rule in feedback.items():
        if not isinstance(pattern, str):
            raise TypeError(f"feedback has the key {pattern!r}; its keys must be names of layers, such as 'dense2'")
        if not isinstance(rule, Feedback):
            raise TypeError(f"feedback[{pattern!r}] is {rule!r}; it must be a rule of linfa.feedback")
        matched = [k for k, m in enumerate(sending) if fnmatchcase(m.name, pattern)]
        if not matched:
            names = ", ".join(m.name for m in sending) or "none"
            raise ValueError(f"feedback[{pattern!r}] matches no layer that sends an error down; these do: {names}")
        chosen = [k for k in matched if k not in taken]
        taken.update(chosen)
        groups.append((f"feedback[{pattern!r}]", rule, chosen))
    return groups


def _assign(
    rule: Feedback,
    chosen: list[tuple[int, WeightMap]],
    maps: Sequence[WeightMap],
    classes: int,
    obstacle: str | None,
    asked: str,
) -> None:
    direct = rule.direct if isinstance(rule, (DirectFeedback, LowRankFeedback)) else False
    if direct and obstacle:
        raise ValueError(f"{asked} is direct, which serves MLPs and plain convolutional networks: {obstacle}")
    if direct and rule.signal == "below-output" and len(maps[-1].input_shape) != 1:
        raise ValueError(
            f"{asked} carries what lies below the output, for which the last layer with weights must be dense, on one "
            f"row for each sample; {maps[-1].name} gets {maps[-1].input_shape}"
        )
    starts = [_start(m, k, maps, classes, rule, direct) for k, m in chosen]
    signal = rule.signal if direct else ""
    if isinstance(rule, DirectFeedback) and rule.rank is not None:
        rule = LowRankFeedback(rank=rule.rank, seed=rule.seed, scale=rule.scale, draw=rule.draw, direct=True)
    made = _low_rank(rule, starts, chosen, asked) if isinstance(rule, LowRankFeedback) else _full(rule, starts, asked)
    for (_, m), carrier in zip(chosen, made, strict=True):
        if direct:
            carrier = Direct(carrier, "error" if signal == "below-output" and m.is_output else signal)
        m.carrier = carrier
        for parameter in carrier.parameters:
            factor = parameter.role.removeprefix("feedback-")
            parameter.rate = getattr(rule, f"{factor}_rate", getattr(rule, "rate", 1.0))
            parameter.decay = _decay(rule, factor)


def _decay(rule: Feedback, factor: str) -> float | None:
    """The rule's own decay of one factor; None: the run's, which is what Kolen–Pollack needs."""
    learned = {"q": getattr(rule, "q", ""), "p": getattr(rule, "p", "")}.get(factor, "kolen-pollack")
    if learned in ("kolen-pollack", "local"):
        return rule.decay
    return 0.0


def _start(m: WeightMap, k: int, maps: Sequence[WeightMap], classes: int, rule: Feedback, direct: bool) -> Start:
    weight = m.weight.matrix
    if not direct:
        return Start(m.receiving, m.source, m.deviation, weight, k, weight.dtype, m.channels)
    receiving = int(np.prod(m.input_shape))
    source = maps[-1].receiving if rule.signal == "below-output" else classes
    if m is maps[-1]:
        # The output layer itself is always fed by the error.
        source = classes
    # One unit of the layer above hears `source` errors: the gain of a dense output layer.
    return Start(receiving, source, maps[-1].deviation, None, k, weight.dtype, receiving)


def _full(rule: Feedback, starts: list[Start], asked: str) -> list[Carrier]:
    if isinstance(rule, Backprop):
        return [Transpose() for _ in starts]
    if isinstance(rule, SignSymmetry):
        return [Sign(rule, start) for start in starts]
    if not isinstance(rule, (FeedbackAlignment, DirectFeedback, KolenPollack, WeightMirror)):
        raise TypeError(f"{asked} is {type(rule).__name__}, which nonlinear networks do not know")
    if rule.matrices is not None:
        given = _fit("matrices", rule.matrices, [(s.receiving, s.source) for s in starts])
        matrices = [np.array(b.T, s.dtype, order="C") for b, s in zip(given, starts, strict=True)]
    else:
        matrices = [drawn_full(start, rule.seed, rule.scale, rule.draw) for start in starts]
    mirror = rule if isinstance(rule, WeightMirror) else None
    made = [Full(b, learns=isinstance(rule, KolenPollack), mirror=mirror) for b in matrices]
    for carrier, start in zip(made, starts, strict=True):
        carrier.index = start.index
    return made


def _fit(name: str, given: Sequence[np.ndarray], shapes: list[tuple[int, int]]) -> Sequence[np.ndarray]:
    if len(given) != len(shapes):
        raise ValueError(f"{name} has {len(given)} matrices; {len(shapes)} layers take one each")
    for k, (matrix, shape) in enumerate(zip(given, shapes, strict=True)):
        if matrix.shape != shape:
            raise ValueError(f"{name}[{k}] is {matrix.shape}; it must be {shape} (receiving × what it carries)")
    return given


def _low_rank(
    rule: LowRankFeedback, starts: list[Start], chosen: list[tuple[int, WeightMap]], asked: str
) -> list[Carrier]:
    if rule.direct and "normative" in (rule.q, rule.p):
        raise ValueError(
            f"{asked} is direct and normative; in a nonlinear network there is no product of weights to fit"
        )
    if rule.direct and rule.signal == "below-output" and rule.p == "oja-label":
        raise ValueError(f"{asked} has p='oja-label', but carries what lies below the output: p must be 'oja-error'")
    q_given, p_given = rule.q_matrices, rule.p_matrices
    if p_given is not None and rule.direct and len(p_given) == 1:
        p_given = p_given * len(starts)
    ranks = _ranks(rule, starts, chosen, asked)
    if q_given is not None:
        _fit("q_matrices", q_given, [(s.receiving, r) for s, r in zip(starts, ranks, strict=True)])
    if p_given is not None:
        _fit("p_matrices", p_given, [(r, s.source) for s, r in zip(starts, ranks, strict=True)])
    made: list[Carrier] = []
    for k, ((_, m), start, rank) in enumerate(zip(chosen, starts, ranks, strict=True)):
        if q_given is None or p_given is None:
            q, p = drawn_factors(start, rank, rule.seed, rule.scale, rule.draw)
        q = q if q_given is None else q_given[k].astype(start.dtype)
        p = p if p_given is None else p_given[k].astype(start.dtype)
        q_rule = "kolen-pollack" if rule.q == "local" else rule.q
        p_rule = rule.p
        if p_rule == "oja-label" and not rule.direct and not m.is_output:
            p_rule = "oja-error"
        made.append(LowRank(np.array(q, order="C"), np.array(p, order="C"), q_rule, p_rule, rule.p_scaling))
    return made


def _ranks(rule: LowRankFeedback, starts: list[Start], chosen: list[tuple[int, WeightMap]], asked: str) -> list[int]:
    limits = [start.largest_rank for start in starts]
    factors = [m.rank_factor for _, m in chosen]
    if rule.rank is None:
        ranks = [q.shape[1] for q in rule.q_matrices]
        if len(ranks) != len(limits):
            raise ValueError(f"q_matrices has {len(ranks)} matrices; {len(limits)} layers take one each")
        for (_, m), r, start in zip(chosen, ranks, starts, strict=True):
            # Given kernels may have the rank of any matrix of their shape.
            if r > min(start.receiving, start.source):
                raise ValueError(
                    f"{asked}: q_matrices has {r} columns for {m.name}; feedback of shape "
                    f"({start.receiving}, {start.source}) has rank {min(start.receiving, start.source)} at most"
                )
        return ranks
    if isinstance(rule.rank, tuple):
        if len(rule.rank) != len(limits):
            raise ValueError(f"{asked}: rank has {len(rule.rank)} entries; {len(limits)} layers take one each")
        for (_, m), r, limit in zip(chosen, rule.rank, limits, strict=True):
            if r > limit:
                raise ValueError(f"{asked}: rank {r} is above what feedback to {m.name} can have, {limit}")
        return list(rule.rank)
    if limits and rule.rank > max(limits):
        raise ValueError(f"{asked}: rank is {rule.rank}; feedback to these layers has rank {max(limits)} at most")
    ranks = [min(rule.rank * factor, limit) for factor, limit in zip(factors, limits, strict=True)]
    capped = [m.name for (_, m), r, f in zip(chosen, ranks, factors, strict=True) if r < rule.rank * f]
    if capped:
        few = ", ".join(f"{m.name} {r}" for (_, m), r in zip(chosen, ranks, strict=True) if m.name in capped)
        warnings.warn(f"rank {rule.rank} is capped where layers are smaller: {few}", UserWarning, stacklevel=5)
    return ranks
