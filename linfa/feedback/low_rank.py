"""Feedback of low rank, B = Q P: each factor fixed or learned by a rule of its own."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from linfa._check import choice, flag, integer, layer_widths, real_number, seed_value
from linfa._random import orthonormal_columns, stream
from linfa.feedback.base import (
    DRAWS,
    P_RULES,
    P_SCALINGS,
    Q_RULES,
    Feedback,
    Resolved,
    only_in_samples,
    optional_decay,
    set_fields,
)
from linfa.feedback.matrices import carrier_shapes, draw_matrices, fitting, given_matrices


@dataclass(frozen=True, eq=False)
class LowRankFeedback(Feedback):
    """Feedback B = Q P of rank r, W1' = Q P E; each factor fixed or learned by a rule of its own.

    With Ω = E[h eᵀ] (h the activity of the receiving layer, e the signal carried), C the forward matrix whose
    transpose B replaces (W_l along the chain; W_L … W_{l+1} for direct feedback to layer l), and
    wd the decay:

    ===============  ==========================================================
    ``q``            Q' =
    ===============  ==========================================================
    fixed            0
    kolen-pollack    q_rate Ω Pᵀ − wd Q  (``local`` is another name for it)
    normative        q_rate (Cᵀ − Q P) Pᵀ
    ===============  ==========================================================

    ===============  ==========================================================
    ``p``            P' =
    ===============  ==========================================================
    fixed            0
    oja-error        p_rate P S (I − Pᵀ P),  S = E[e eᵀ]
    oja-label        the same with S = Σy for what carries the output error,
                     S = E[e eᵀ] in the layers below
    local            p_rate Qᵀ Ω − wd P
    normative        p_rate Qᵀ (Cᵀ − Q P)
    ===============  ==========================================================

    Parameters
    ----------
    rank : int or sequence of int, optional
        r, for all layers (capped, with a warning, where a layer is smaller) or one for each hidden layer (never
        capped). Not needed when matrices are given.
    q, p : str
        The rules.
    q_rate, p_rate : float
        Speeds of Q and P relative to the weights.
    decay : float, optional
        wd of Kolen–Pollack and local factors; None takes that of the weights which B replaces.
    seed, scale, draw
        Start of what is not given: Q with entries N(0, scale²/hidden) or scale times orthonormal columns, P with
        orthonormal rows.
    direct : bool
        Carry the output error to every hidden layer, each with a Q of its own; all start from one P.
    signal : {"error", "below-output"}
        What direct feedback carries: the output error, or what the output layer sends down (both have been called
        direct RAF). The latter is for nonlinear networks.
    p_scaling : {"plain", "batch-deviation", "unit-deviation"}
        How Oja's rule weighs a batch: S as above, or errors centred and divided by the largest deviation of a unit, or
        by each unit's own, as published for RAF and its direct variant. Nonlinear networks only, but for ``"plain"``.
    q_matrices, p_matrices : list of array (hidden, r), (r, source), optional
        The start itself. With direct feedback a single P serves all layers.

    Raises
    ------
    ValueError, TypeError
        If a rule is unknown, the rank is 0 or above every layer, decay is given to rules without one, or, later,
        matrices do not fit the network.

    Notes
    -----
    Without Σy the labels' correlation is what the inputs explain of it, Σyx Σx⁻¹ Σyxᵀ.
    Sources: Hanut & Kadmon 2025 (RAF and LDFA); Kolen & Pollack 1994; Oja 1989.

    Examples
    --------
    >>> feedback = LowRankFeedback(rank=2, q="kolen-pollack", p="oja-label")
    >>> [m.shape for m in feedback.resolve((6, 8, 4)).matrices["p"]]
    [(2, 4)]
    """

    rank: int | Sequence[int] | None = None
    q: str = "fixed"
    p: str = "fixed"
    q_rate: float = 1.0
    p_rate: float = 1.0
    decay: float | None = None
    seed: int = 0
    scale: float = 1.0
    draw: str = "gaussian"
    direct: bool = False
    signal: str = "error"
    p_scaling: str = "plain"
    q_matrices: Sequence[np.ndarray] | None = None
    p_matrices: Sequence[np.ndarray] | None = None

    name: ClassVar[str] = "low-rank"

    def __post_init__(self) -> None:
        set_fields(
            self,
            q=choice("q", self.q, Q_RULES),
            p=choice("p", self.p, P_RULES),
            q_rate=real_number("q_rate", self.q_rate, above=0.0),
            p_rate=real_number("p_rate", self.p_rate, above=0.0),
            decay=optional_decay(self.decay),
            seed=seed_value("seed", self.seed),
            scale=real_number("scale", self.scale, above=0.0),
            draw=choice("draw", self.draw, DRAWS),
            direct=flag("direct", self.direct),
            signal=choice("signal", self.signal, ("error", "below-output")),
            p_scaling=choice("p_scaling", self.p_scaling, P_SCALINGS),
            q_matrices=given_matrices("q_matrices", self.q_matrices),
            p_matrices=given_matrices("p_matrices", self.p_matrices),
        )
        if self.rank is not None:
            if isinstance(self.rank, (list, tuple)):
                set_fields(self, rank=tuple(integer(f"rank[{k}]", r, at_least=1) for k, r in enumerate(self.rank)))
            else:
                set_fields(self, rank=integer("rank", self.rank, at_least=1))
        elif self.q_matrices is None or self.p_matrices is None:
            raise ValueError("rank is not given; it is needed to draw what q_matrices and p_matrices do not give")
        elif not self.q_matrices or not self.p_matrices:
            raise ValueError("q_matrices or p_matrices is empty; each must hold one matrix per hidden layer")
        if self.signal != "error" and not self.direct:
            raise ValueError(f"signal is {self.signal!r}, which direct feedback carries; direct is False")
        if self.decay is not None and self.q not in ("kolen-pollack", "local") and self.p != "local":
            raise ValueError(f"decay is {self.decay:g}; the rules q={self.q!r} and p={self.p!r} have no decay term")

    def _layer_ranks(self, shapes: list[tuple[int, int]]) -> list[int]:
        limits = [min(shape) for shape in shapes]
        if isinstance(self.rank, tuple):
            if len(self.rank) != len(limits):
                raise ValueError(f"rank has {len(self.rank)} entries; this network has {len(limits)} hidden layers")
            for h, (r, limit) in enumerate(zip(self.rank, limits, strict=True)):
                if r > limit:
                    raise ValueError(f"rank[{h}] is {r}; feedback of shape {shapes[h]} has rank {limit} at most")
            return list(self.rank)
        if limits and self.rank > max(limits):
            raise ValueError(f"rank is {self.rank}; feedback of shapes {shapes} has rank {max(limits)} at most")
        capped = [min(self.rank, limit) for limit in limits]
        if any(r < self.rank for r in capped):
            warnings.warn(f"rank {self.rank} is capped to {capped} in the hidden layers", UserWarning, stacklevel=4)
        return capped

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        only_in_samples("signal", self.signal, "error")
        only_in_samples("p_scaling", self.p_scaling, "plain")
        shapes = carrier_shapes(layer_widths(widths), self.direct)
        given_q, given_p = self.q_matrices, self.p_matrices
        if given_p is not None and self.direct and len(given_p) == 1:
            given_p = given_p * len(shapes)
        for name, given in (("q_matrices", given_q), ("p_matrices", given_p)):
            if given is not None and len(given) != len(shapes):
                raise ValueError(f"{name} has {len(given)} matrices; this network takes {len(shapes)}")
        if self.rank is not None:
            ranks = self._layer_ranks(shapes)
        else:
            ranks = [q.shape[1] for q in given_q]
            for h, (r, shape) in enumerate(zip(ranks, shapes, strict=True)):
                if r > min(shape):
                    raise ValueError(
                        f"q_matrices[{h}] has {r} columns; feedback of shape {shape} has rank {min(shape)} at most"
                    )
        q_shapes = [(shape[0], r) for shape, r in zip(shapes, ranks, strict=True)]
        p_shapes = [(r, shape[1]) for shape, r in zip(shapes, ranks, strict=True)]
        if given_q is not None:
            q_matrices = fitting("q_matrices", given_q, q_shapes)
        else:
            q_matrices = draw_matrices(q_shapes, self.seed, self.scale, self.draw, factor=1)
        if given_p is not None:
            p_matrices = fitting("p_matrices", given_p, p_shapes)
        else:
            # Direct feedback compresses one and the same error: all layers start from the same P.
            p_matrices = [
                orthonormal_columns(stream(self.seed, "feedback", 2, 0 if self.direct else h), size, r).T
                for h, (r, size) in enumerate(p_shapes)
            ]
        last = len(shapes) - 1
        p_rules = tuple(
            "oja-error" if self.p == "oja-label" and not self.direct and h < last else self.p
            for h in range(len(shapes))
        )
        return Resolved(
            "low-rank",
            direct=self.direct,
            matrices={"q": q_matrices, "p": p_matrices},
            q_rule="kolen-pollack" if self.q == "local" else self.q,
            p_rules=p_rules,
            q_rate=self.q_rate,
            p_rate=self.p_rate,
            decay=self.decay,
        )
