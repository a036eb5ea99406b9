"""Feedback with one full matrix for each hidden layer: fixed, along the chain or direct, or learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from linfa._check import choice, integer, layer_widths, real_number, seed_value
from linfa.feedback.base import DRAWS, SIGNALS, Feedback, Resolved, only_in_samples, optional_decay, set_fields
from linfa.feedback.low_rank import LowRankFeedback
from linfa.feedback.matrices import carrier_shapes, draw_matrices, fitting, given_matrices


@dataclass(frozen=True, eq=False)
class FullFeedback(Feedback):
    """What feedback with one full matrix B for each hidden layer shares."""

    matrices: Sequence[np.ndarray] | None = None
    seed: int = 0
    scale: float = 1.0
    draw: str = "gaussian"

    direct: ClassVar[bool] = False

    def __post_init__(self) -> None:
        set_fields(
            self,
            matrices=given_matrices("matrices", self.matrices),
            seed=seed_value("seed", self.seed),
            scale=real_number("scale", self.scale, above=0.0),
            draw=choice("draw", self.draw, DRAWS),
        )

    def _full_matrices(self, widths: Sequence[int]) -> dict[str, list[np.ndarray]]:
        shapes = carrier_shapes(layer_widths(widths), self.direct)
        if self.matrices is not None:
            return {"b": fitting("matrices", self.matrices, shapes)}
        return {"b": draw_matrices(shapes, self.seed, self.scale, self.draw)}


@dataclass(frozen=True, eq=False)
class FeedbackAlignment(FullFeedback):
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
class DirectFeedback(FullFeedback):
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
        set_fields(self, signal=choice("signal", self.signal, SIGNALS[:3]))
        if self.rank is not None:
            set_fields(self, rank=integer("rank", self.rank, at_least=1))
            if self.matrices is not None:
                raise ValueError(f"rank is {self.rank} and matrices are given; rank is for drawn feedback")

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        only_in_samples("signal", self.signal, "error")
        if self.rank is None:
            return Resolved("full", direct=True, matrices=self._full_matrices(widths))
        return LowRankFeedback(rank=self.rank, seed=self.seed, scale=self.scale, draw=self.draw, direct=True).resolve(
            widths
        )


@dataclass(frozen=True, eq=False)
class KolenPollack(FullFeedback):
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
        set_fields(self, decay=optional_decay(self.decay), rate=real_number("rate", self.rate, above=0.0))

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        matrices = self._full_matrices(widths)
        return Resolved("full", matrices=matrices, b_rule="kolen-pollack", b_rate=self.rate, decay=self.decay)


@dataclass(frozen=True, eq=False)
class WeightMirror(FullFeedback):
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
        set_fields(
            self,
            rate=real_number("rate", self.rate, above=0.0),
            noise_variance=real_number("noise_variance", self.noise_variance, above=0.0),
            decay=optional_decay(self.decay),
        )

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and starting matrices for a network with these layer sizes."""
        rate = self.rate * self.noise_variance
        return Resolved("full", matrices=self._full_matrices(widths), b_rule="mirror", b_rate=rate, decay=self.decay)
