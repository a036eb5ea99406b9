"""How the error comes back: one vocabulary of feedback rules.

Feedback number h = 0 … L−2 sends a signal to hidden layer h + 1. Along the chain it carries the signal of the layer
above and replaces W_{h+2}ᵀ (B_l with l = h + 2 in the literature); *direct* feedback carries the output error itself.
Low-rank feedback is B = Q P, Q (hidden × r), P (r × source): P compresses the error to r numbers, Q spreads them out.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from linfa._check import choice, flag, integer, layer_widths, read_only, real_array, real_number, seed_value
from linfa._random import orthonormal_columns, stream

Q_RULES = ("fixed", "kolen-pollack", "local", "normative")
P_RULES = ("fixed", "oja-error", "oja-label", "local", "normative")
DRAWS = ("gaussian", "orthonormal", "svd")
# What direct feedback carries: the output error, its sign, the one-hot target, or what the output layer sends down.
SIGNALS = ("error", "sign", "target", "below-output")
P_SCALINGS = ("plain", "batch-deviation", "unit-deviation")


@dataclass(frozen=True)
class Resolved:
    """Feedback for given layer sizes: the rule in every layer, and the matrices it starts from."""

    transport: str  # backprop | full | low-rank | sign
    direct: bool = False
    matrices: dict[str, list[np.ndarray]] | None = None  # "b" or "q" and "p", one matrix for each hidden layer
    b_rule: str = "fixed"  # fixed | kolen-pollack | mirror
    q_rule: str = "fixed"
    p_rules: tuple[str, ...] = ()
    b_rate: float = 1.0
    q_rate: float = 1.0
    p_rate: float = 1.0
    decay: float | None = None  # None: the weight decay of the layer whose weights the feedback replaces

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank r of each low-rank feedback; empty for the others."""
        return tuple(q.shape[1] for q in (self.matrices or {}).get("q", ()))


class Feedback(ABC):
    """Base class of the feedback rules; see the subclasses."""

    name: ClassVar[str]

    @abstractmethod
    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""

    def to_dict(self) -> dict:
        """Plain numbers, text and lists from which `feedback_from_dict` makes an equal rule."""
        plain: dict = {"class": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
                value = [matrix.tolist() for matrix in value]
            plain[field.name] = list(value) if isinstance(value, tuple) else value
        return plain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feedback) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(type(self).__name__)


def _set(instance: Feedback, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def _given_matrices(name: str, value: object) -> tuple[np.ndarray, ...] | None:
    """A list of matrices as read-only arrays, or None."""
    if value is None:
        return None
    if isinstance(value, (str, bytes, np.ndarray)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {type(value).__name__}; it must be a list of matrices, one for each hidden layer")
    return tuple(read_only(real_array(f"{name}[{k}]", matrix, 2)) for k, matrix in enumerate(value))


def _fit(name: str, matrices: tuple[np.ndarray, ...], shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    """The given matrices, if they have the shapes that the network asks for."""
    if len(matrices) != len(shapes):
        raise ValueError(f"{name} has {len(matrices)} matrices; this network takes {len(shapes)}, one per hidden layer")
    for k, (matrix, shape) in enumerate(zip(matrices, shapes, strict=True)):
        if matrix.shape != shape:
            raise ValueError(f"{name}[{k}] is {matrix.shape}; it must be {shape} (receiving layer × what it carries)")
    return list(matrices)


def _shapes(widths: tuple[int, ...], direct: bool) -> list[tuple[int, int]]:
    """(receiving layer, what is carried) for each hidden layer."""
    return [(widths[h + 1], widths[-1] if direct else widths[h + 2]) for h in range(len(widths) - 2)]


def _draw(
    shapes: list[tuple[int, int]], seed: int, scale: float, draw: str, factor: int = 0, name: str = "draw"
) -> list[np.ndarray]:
    """Matrices with entries N(0, scale²/rows), or scale times orthonormal columns: Mᵀ M ≈ or = scale² I."""
    if draw == "svd":
        raise ValueError(f"{name} is 'svd', which factors weights; in the linear theory give q_matrices and p_matrices")
    drawn = []
    for h, (rows, columns) in enumerate(shapes):
        generator = stream(seed, "feedback", factor, h)
        if draw == "orthonormal":
            if rows < columns:
                raise ValueError(
                    f"{name} is 'orthonormal'; feedback to {rows} units cannot have {columns} orthonormal columns"
                )
            drawn.append(scale * orthonormal_columns(generator, rows, columns))
        else:
            drawn.append(scale / np.sqrt(rows) * generator.standard_normal((rows, columns)))
    return drawn


def _only_in_samples(name: str, value: str, linear: str) -> None:
    """Refuse, in the linear theory, what is no linear function of the error correlation."""
    if value != linear:
        raise ValueError(f"{name} is {value!r}, which has no form in the linear theory; it must be {linear!r} here")


def _optional_decay(value: object) -> float | None:
    return None if value is None else real_number("decay", value, at_least=0.0)


@dataclass(frozen=True, eq=False)
class Backprop(Feedback):
    """The exact gradient: feedback through the transposed weights, W1' = W2ᵀ E.

    Examples
    --------
    >>> Backprop().name
    'backprop'
    """

    name: ClassVar[str] = "backprop"

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules for a network with these layer sizes; backprop has no matrices of its own."""
        layer_widths(widths)
        return Resolved("backprop")


@dataclass(frozen=True, eq=False)
class _FullFeedback(Feedback):
    """What feedback with one full matrix B for each hidden layer shares."""

    matrices: Sequence[np.ndarray] | None = None
    seed: int = 0
    scale: float = 1.0
    draw: str = "gaussian"

    direct: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _set(
            self,
            matrices=_given_matrices("matrices", self.matrices),
            seed=seed_value("seed", self.seed),
            scale=real_number("scale", self.scale, above=0.0),
            draw=choice("draw", self.draw, DRAWS),
        )

    def _full_matrices(self, widths: Sequence[int]) -> dict[str, list[np.ndarray]]:
        shapes = _shapes(layer_widths(widths), self.direct)
        if self.matrices is not None:
            return {"b": _fit("matrices", self.matrices, shapes)}
        return {"b": _draw(shapes, self.seed, self.scale, self.draw)}


@dataclass(frozen=True, eq=False)
class FeedbackAlignment(_FullFeedback):
    """Fixed random feedback along the chain, W1' = B E (Lillicrap et al. 2016).

    Parameters
    ----------
    matrices : list of array (n_{l−1}, n_l), optional
        [B_2, …, B_L], B_l replaces W_lᵀ. Drawn when not given.
    seed, scale : int, float
        Drawn entries are N(0, scale²/hidden), hidden = n_{l−1}, so that BᵀB ≈ scale² I for a wide hidden layer.
    draw : {"gaussian", "orthonormal"}
        ``"orthonormal"`` draws B with BᵀB = scale² I exactly (needs n_{l−1} ≥ n_l): the case with closed forms (B4).

    Raises
    ------
    ValueError, TypeError
        If a matrix is not finite, or later, when it does not fit the network.

    Examples
    --------
    >>> FeedbackAlignment(seed=3).resolve((4, 8, 2)).matrices["b"][0].shape
    (8, 2)
    """

    name: ClassVar[str] = "fa"

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        return Resolved("full", matrices=self._full_matrices(widths))


@dataclass(frozen=True, eq=False)
class DirectFeedback(_FullFeedback):
    """Fixed random feedback from the output to every hidden layer, W_l' = F_l E V_{l−1}ᵀ (Nøkland 2016).

    Parameters
    ----------
    matrices : list of array (n_l, o), optional
        [F_1, …, F_{L−1}]. Drawn when not given.
    seed, scale, draw
        As in `FeedbackAlignment`.
    rank : int, optional
        Draw F_l = Q_l P of this rank instead, with one P for all layers.
    signal : {"error", "sign", "target"}
        What is carried. ``"sign"`` (sDFA) and ``"target"`` (DRTP, the one-hot labels; Frenkel et al. 2021) are for
        nonlinear networks.

    Examples
    --------
    >>> [f.shape for f in DirectFeedback(seed=0).resolve((4, 8, 6, 2)).matrices["b"]]
    [(8, 2), (6, 2)]
    """

    rank: int | None = None
    signal: str = "error"

    name: ClassVar[str] = "dfa"
    direct: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(self, signal=choice("signal", self.signal, SIGNALS[:3]))
        if self.rank is not None:
            _set(self, rank=integer("rank", self.rank, at_least=1))
            if self.matrices is not None:
                raise ValueError(f"rank is {self.rank} and matrices are given; rank is for drawn feedback")

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        _only_in_samples("signal", self.signal, "error")
        if self.rank is None:
            return Resolved("full", direct=True, matrices=self._full_matrices(widths))
        return LowRankFeedback(rank=self.rank, seed=self.seed, scale=self.scale, draw=self.draw, direct=True).resolve(
            widths
        )


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
        _set(
            self,
            q=choice("q", self.q, Q_RULES),
            p=choice("p", self.p, P_RULES),
            q_rate=real_number("q_rate", self.q_rate, above=0.0),
            p_rate=real_number("p_rate", self.p_rate, above=0.0),
            decay=_optional_decay(self.decay),
            seed=seed_value("seed", self.seed),
            scale=real_number("scale", self.scale, above=0.0),
            draw=choice("draw", self.draw, DRAWS),
            direct=flag("direct", self.direct),
            signal=choice("signal", self.signal, ("error", "below-output")),
            p_scaling=choice("p_scaling", self.p_scaling, P_SCALINGS),
            q_matrices=_given_matrices("q_matrices", self.q_matrices),
            p_matrices=_given_matrices("p_matrices", self.p_matrices),
        )
        if self.rank is not None:
            if isinstance(self.rank, (list, tuple)):
                _set(self, rank=tuple(integer(f"rank[{k}]", r, at_least=1) for k, r in enumerate(self.rank)))
            else:
                _set(self, rank=integer("rank", self.rank, at_least=1))
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
        _only_in_samples("signal", self.signal, "error")
        _only_in_samples("p_scaling", self.p_scaling, "plain")
        shapes = _shapes(layer_widths(widths), self.direct)
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
            q_matrices = _fit("q_matrices", given_q, q_shapes)
        else:
            q_matrices = _draw(q_shapes, self.seed, self.scale, self.draw, factor=1)
        if given_p is not None:
            p_matrices = _fit("p_matrices", given_p, p_shapes)
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


@dataclass(frozen=True, eq=False)
class KolenPollack(_FullFeedback):
    """Full feedback that receives the weights' own update, transposed: B' = rate Ω − wd B (Kolen & Pollack 1994).

    With rate 1 and the weights' decay, W_l − B_lᵀ shrinks as e^{−wd t}, in descent by (1 − η wd) an update (B9).

    Parameters
    ----------
    matrices, seed, scale, draw
        The start, as in `FeedbackAlignment`.
    decay : float, optional
        wd of the feedback; None takes that of the weights which it replaces.
    rate : float
        Speed relative to the weights.

    Examples
    --------
    >>> KolenPollack(decay=0.1).resolve((3, 4, 2)).b_rule
    'kolen-pollack'
    """

    decay: float | None = None
    rate: float = 1.0

    name: ClassVar[str] = "kolen-pollack"

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(self, decay=_optional_decay(self.decay), rate=real_number("rate", self.rate, above=0.0))

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        matrices = self._full_matrices(widths)
        return Resolved("full", matrices=matrices, b_rule="kolen-pollack", b_rate=self.rate, decay=self.decay)


@dataclass(frozen=True, eq=False)
class WeightMirror(_FullFeedback):
    """Full feedback that learns the forward weights from noise, B' = rate·variance W_lᵀ − wd B (Akrout et al. 2019).

    The mean over the noise ξ of rate <ξ (W ξ)ᵀ> is integrated: mirroring runs all the time, beside learning.

    Parameters
    ----------
    matrices, seed, scale, draw
        The start, as in `FeedbackAlignment`.
    rate : float
        Speed of the mirror relative to the weights.
    noise_variance : float
        Variance of the noise.
    decay : float, optional
        wd of the feedback; None takes that of the weights which it replaces.

    Examples
    --------
    >>> WeightMirror(rate=2.0, noise_variance=0.5, decay=1.0).resolve((3, 4, 2)).b_rate
    1.0
    """

    rate: float = 1.0
    noise_variance: float = 1.0
    decay: float | None = None

    name: ClassVar[str] = "mirror"

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(
            self,
            rate=real_number("rate", self.rate, above=0.0),
            noise_variance=real_number("noise_variance", self.noise_variance, above=0.0),
            decay=_optional_decay(self.decay),
        )

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        rate = self.rate * self.noise_variance
        return Resolved("full", matrices=self._full_matrices(widths), b_rule="mirror", b_rate=rate, decay=self.decay)


@dataclass(frozen=True, eq=False)
class SignSymmetry(Feedback):
    """Feedback with the signs of the forward weights, B_l = M_l ∘ sign(W_l)ᵀ (Liao et al. 2016; Moskovitz et al. 2018).

    Parameters
    ----------
    magnitude : {"uniform", "fixed", "redrawn"}
        ``"uniform"``: M_l = c_l everywhere (uSF). ``"fixed"``: M_l drawn once, |N(0, c_l²)| (frSF). ``"redrawn"``:
        drawn in every step (brSF), in nonlinear networks only.
    scale : float, optional
        c_l; None takes √(2/(n_{l−1} + n_l)), the Glorot standard deviation of that layer, or in nonlinear networks the
        standard deviation of its initial weights.
    seed : int
        Seed of M_l.

    Notes
    -----
    The right-hand side jumps where a weight changes sign. The integrator crosses jumps by short steps, at reduced
    order; where weights are pushed back to zero from both sides it stops and says so.

    Examples
    --------
    >>> SignSymmetry(scale=0.5).resolve((3, 2, 2)).matrices["b"][0].tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    magnitude: str = "uniform"
    scale: float | None = None
    seed: int = 0

    name: ClassVar[str] = "sign-symmetry"

    def __post_init__(self) -> None:
        scale = None if self.scale is None else real_number("scale", self.scale, above=0.0)
        magnitude = choice("magnitude", self.magnitude, ("uniform", "fixed", "redrawn"))
        _set(self, magnitude=magnitude, scale=scale, seed=seed_value("seed", self.seed))

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and magnitudes for a network with these layer sizes."""
        if self.magnitude == "redrawn":
            raise ValueError("magnitude is 'redrawn', which has no flow; 'uniform' is its mean")
        magnitudes = []
        for h, (rows, columns) in enumerate(_shapes(layer_widths(widths), direct=False)):
            size = np.sqrt(2.0 / (rows + columns)) if self.scale is None else self.scale
            if self.magnitude == "uniform":
                magnitudes.append(np.full((rows, columns), float(size)))
            else:
                magnitudes.append(size * np.abs(stream(self.seed, "feedback", 3, h).standard_normal((rows, columns))))
        return Resolved("sign", matrices={"b": magnitudes})


_CLASSES = (
    Backprop,
    FeedbackAlignment,
    DirectFeedback,
    LowRankFeedback,
    KolenPollack,
    WeightMirror,
    SignSymmetry,
)


def feedback_from_dict(plain: dict) -> Feedback:
    """The rule that `Feedback.to_dict` described.

    Raises
    ------
    ValueError
        If the dictionary names no known class.

    Examples
    --------
    >>> feedback_from_dict(FeedbackAlignment(seed=4).to_dict()).seed
    4
    """
    if not isinstance(plain, dict):
        raise TypeError(f"plain is {type(plain).__name__}; it must be the dictionary that to_dict() returns")
    arguments = dict(plain)
    classes = {c.__name__: c for c in _CLASSES}
    name = choice("class", arguments.pop("class", None), classes)
    return classes[name](**arguments)
