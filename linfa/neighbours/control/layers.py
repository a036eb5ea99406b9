"""The network that is controlled: layers, their response to pushes, and the Jacobian that feedback has to match."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linfa._check import choice, real_array, weight_matrices

NONLINEARITIES = ("linear", "tanh")


@dataclass(frozen=True)
class Layers:
    """Checked weights W_1 … W_L, with the nonlinearity of the hidden layers and that of the output."""

    weights: list[np.ndarray]
    nonlinearity: str
    output: str

    @property
    def sizes(self) -> list[int]:
        """Sizes n_1 … n_L of the layers, without the input."""
        return [len(w) for w in self.weights]

    @property
    def linear(self) -> bool:
        """Whether the output is a linear function of input and pushes."""
        return self.output == "linear" and (self.nonlinearity == "linear" or len(self.weights) == 1)

    def kind(self, layer: int) -> str:
        """Nonlinearity of a layer, 0 … L − 1."""
        return self.output if layer == len(self.weights) - 1 else self.nonlinearity

    def split(self, stacked: np.ndarray) -> list[np.ndarray]:
        """One array for each layer, from one whose last axis runs over all neurons."""
        return np.split(stacked, np.cumsum(self.sizes)[:-1], axis=-1)

    def respond(self, x: np.ndarray, pushes: Sequence[np.ndarray] | None = None) -> tuple[list, list]:
        """Potentials v_l = W_l r_{l−1} + c_l and activities r_l = φ(v_l) at rest under pushes c."""
        potentials, activities, below = [], [], x
        for layer, w in enumerate(self.weights):
            v = w @ below if pushes is None else w @ below + pushes[layer]
            below = rates(v, self.kind(layer))
            potentials.append(v)
            activities.append(below)
        return potentials, activities

    def slopes(self, activities: Sequence[np.ndarray]) -> list[np.ndarray]:
        """φ'(v_l) in every layer, from its activity."""
        return [1.0 - r * r if self.kind(k) == "tanh" else np.ones_like(r) for k, r in enumerate(activities)]


def rates(potentials: np.ndarray, kind: str) -> np.ndarray:
    """r = φ(v)."""
    return np.tanh(potentials) if kind == "tanh" else potentials.copy()


def backward_products(weights: Sequence[Any], slopes: Sequence[Any]) -> list[Any]:
    """Blocks of the Jacobian of the output, from the output down.

    J_L = D_L,   J_l = J_{l+1} W_{l+1} D_l,   D_l = diag φ'(v_l)

    Parameters
    ----------
    weights : sequence of matrices W_1 … W_L
    slopes : sequence of square matrices D_1 … D_L

    Returns
    -------
    list of matrices J_1 … J_L, (o, n_l)

    Notes
    -----
    Source: Meulemans et al. 2021.

    Examples
    --------
    >>> lower, upper = np.ones((2, 3)), np.array([[3.0, 4.0]])
    >>> [j.tolist() for j in backward_products([lower, upper], [np.eye(2), np.eye(1)])]
    [[[3.0, 4.0]], [[1.0]]]
    """
    blocks = [slopes[-1]]
    for w, slope in zip(reversed(weights[1:]), reversed(slopes[:-1]), strict=True):
        blocks.append(blocks[-1] @ w @ slope)
    return blocks[::-1]


def stacked_jacobian(layers: Layers, activities: Sequence[np.ndarray]) -> np.ndarray:
    """J = [J_1 … J_L] at these activities, (o, N)."""
    return np.hstack(backward_products(layers.weights, [np.diag(s) for s in layers.slopes(activities)]))


def jacobian(weights: object, x: object, *, nonlinearity: str = "linear", output: str = "linear") -> np.ndarray:
    """J = ∂r_L/∂(v_1 … v_L): what a push on each neuron does to the output of the free network.

    J_L = diag φ'(v_L),   J_l = J_{l+1} W_{l+1} diag φ'(v_l)

    Parameters
    ----------
    weights : list of array (n_l, n_{l−1})
        W_1 … W_L, first layer first.
    x : array (i,)
        Input; a linear network has the same Jacobian for all.
    nonlinearity, output : {"linear", "tanh"}
        φ of the hidden layers, and of the output.

    Returns
    -------
    array (o, N)
        N = n_1 + … + n_L; its transpose is the feedback Q that makes control a Gauss–Newton step.

    Raises
    ------
    ValueError, TypeError
        If the weights do not chain, x does not fit, or a name is unknown.

    Notes
    -----
    Source: Meulemans et al. 2021.

    Examples
    --------
    >>> jacobian([np.ones((2, 3)), [[3.0, 4.0]]], np.zeros(3)).tolist()
    [[3.0, 4.0, 1.0]]
    """
    layers = checked_layers(weights, nonlinearity, output)
    with np.errstate(over="ignore", invalid="ignore"):
        found = stacked_jacobian(layers, layers.respond(fitting("x", x, layers.weights[0].shape[1]))[1])
    return finite("the Jacobian", found)


def feed_forward(
    weights: object, x: object, *, nonlinearity: str = "linear", output: str = "linear"
) -> list[np.ndarray]:
    """Activities r_1 … r_L of the network that is left to itself.

    Parameters
    ----------
    weights, x, nonlinearity, output
        As in `jacobian`.

    Returns
    -------
    list of array (n_l,)

    Raises
    ------
    ValueError, TypeError
        As in `jacobian`.

    Examples
    --------
    >>> [r.tolist() for r in feed_forward([[[2.0]], [[3.0]]], [1.0])]
    [[2.0], [6.0]]
    """
    layers = checked_layers(weights, nonlinearity, output)
    with np.errstate(over="ignore", invalid="ignore"):
        activity = layers.respond(fitting("x", x, layers.weights[0].shape[1]))[1]
    finite("activities", np.concatenate(activity))
    return activity


def checked_layers(weights: object, nonlinearity: str, output: str) -> Layers:
    """The layers, if weights chain and both names are known."""
    return Layers(
        weight_matrices(weights),
        choice("nonlinearity", nonlinearity, NONLINEARITIES),
        choice("output", output, NONLINEARITIES),
    )


def fitting(name: str, value: object, size: int) -> np.ndarray:
    """`value` as a vector of this length."""
    vector = real_array(name, value, 1)
    if len(vector) != size:
        raise ValueError(f"{name} has {len(vector)} entries; it must have {size} to fit the weights")
    return vector


def finite(what: str, array: np.ndarray) -> np.ndarray:
    """The array, if nothing in it has left the range of floating point."""
    if not np.isfinite(array).all():
        raise ValueError(f"weights give {what} beyond the range of floating point; they must be smaller")
    return array


def stacked_feedback(layers: Layers, q: object, name: str = "q") -> np.ndarray:
    """Q as one matrix (N, o), from one or from a list of one (n_l, o) for each layer."""
    sizes = layers.sizes
    outputs = sizes[-1]
    if isinstance(q, (list, tuple)) and all(np.ndim(part) == 2 for part in q):
        if len(q) != len(sizes):
            raise ValueError(f"{name} has {len(q)} matrices; it must have {len(sizes)}, one for each layer")
        parts = [real_array(f"{name}[{k}]", part, 2) for k, part in enumerate(q)]
        for k, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            if part.shape != (size, outputs):
                raise ValueError(f"{name}[{k}] is {part.shape}; it must be {(size, outputs)} (layer × outputs)")
        return np.vstack(parts)
    stacked = real_array(name, q, 2)
    if stacked.shape != (sum(sizes), outputs):
        raise ValueError(
            f"{name} is {stacked.shape}; it must be {(sum(sizes), outputs)} (neurons of all layers × outputs), or a "
            f"list of one matrix for each layer"
        )
    return stacked
