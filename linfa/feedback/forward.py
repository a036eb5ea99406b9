"""Feedback made of the forward weights themselves: backprop, and their signs alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from linfa._check import choice, layer_widths, real_number, seed_value
from linfa._random import stream
from linfa.feedback.base import Feedback, Resolved, set_fields
from linfa.feedback.matrices import carrier_shapes


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
        set_fields(self, magnitude=magnitude, scale=scale, seed=seed_value("seed", self.seed))

    def resolve(self, widths: Sequence[int]) -> Resolved:
        """Rules and magnitudes for a network with these layer sizes."""
        if self.magnitude == "redrawn":
            raise ValueError("magnitude is 'redrawn', which has no flow; 'uniform' is its mean")
        magnitudes = []
        for h, (rows, columns) in enumerate(carrier_shapes(layer_widths(widths), direct=False)):
            size = np.sqrt(2.0 / (rows + columns)) if self.scale is None else self.scale
            if self.magnitude == "uniform":
                magnitudes.append(np.full((rows, columns), float(size)))
            else:
                magnitudes.append(size * np.abs(stream(self.seed, "feedback", 3, h).standard_normal((rows, columns))))
        return Resolved("sign", matrices={"b": magnitudes})
