"""Where learning starts and how it goes, in the order parameters: overlaps of student and teacher, and errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from linfa._check import choice, integer, matching, read_only, real_array, real_number, seed_value, symmetric
from linfa._random import stream
from linfa.metrics import NORM_FLOOR
from linfa.neighbours.teacher_student.kernels import ERF, LINEAR, RELU, erf_second

ACTIVATIONS = {"linear": LINEAR, "erf": ERF, "relu": RELU}


def relu_second(size: Any, cosine: Any, xp: ModuleType = np) -> Any:
    """<g(a) g(b)> = (s/2π) (√(1 − ρ²) + ρ (π/2 + asin ρ)) for g(z) = max(z, 0).

    Parameters
    ----------
    size : s = √(C_aa C_bb)
    cosine : ρ = C_ab/s, in [−1, 1]
    xp : namespace of `asin`, `sqrt` and `pi`

    Notes
    -----
    Numbers, arrays or symbols. Source: Cho & Saul 2009, the arc-cosine kernel of degree 1.

    Examples
    --------
    >>> float(relu_second(1.0, 1.0))
    0.5
    """
    return size / (2 * xp.pi) * (xp.sqrt(1 - cosine**2) + cosine * (xp.pi / 2 + xp.asin(cosine)))


def second_moments(covariance: np.ndarray, activation: str) -> np.ndarray:
    """<g(a) g(b)> for all pairs of Gaussian fields with this covariance, (..., S, S) for (..., S, S).

    Examples
    --------
    >>> second_moments(np.eye(2), "relu").round(4).tolist()
    [[0.5, 0.1592], [0.1592, 0.5]]
    """
    if activation == "linear":
        return covariance
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    rows, columns = variances[..., :, None], variances[..., None, :]
    if activation == "erf":
        return erf_second(rows, columns, covariance)
    size = np.sqrt(np.maximum(rows, 0.0) * np.maximum(columns, 0.0))
    # A field of no variance is 0, and so is its product with any other; rounding may carry a cosine over ±1.
    cosine = np.clip(covariance / np.where(size > 0, size, 1.0), -1.0, 1.0)
    return relu_second(size, cosine)


def generalisation_error(
    r: np.ndarray, q: np.ndarray, upper: np.ndarray, teacher: np.ndarray, head: np.ndarray, activation: str = "erf"
) -> np.ndarray | float:
    """ε_g = ½ E[(Σ A_m g(ν_m) − Σ v_i g(λ_i))²], without label noise: ½ Σ_ab c_a c_b <g_a g_b> with c = (−v, A).

    Parameters
    ----------
    r, q, upper : arrays (..., K, M), (..., K, K), (..., K)
        R, Q and v.
    teacher, head : arrays (M, M), (M,), or with the same leading axes
        T and A.
    activation : {"erf", "linear", "relu"}

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit or the activation is unknown.

    Notes
    -----
    The terms cancel where student equals teacher: below about 1e-15 of ½ E[y²] the error is rounding.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> float(generalisation_error(0 * one, 0 * one, np.ones(1), one, np.ones(1), "linear"))
    0.5
    """
    choice("activation", activation, ACTIVATIONS)
    r, q, upper, teacher, head = (np.asarray(x, dtype=float) for x in (r, q, upper, teacher, head))
    units, modes = upper.shape[-1], head.shape[-1]
    matching("r", r, (units, modes))
    matching("q", q, (units, units))
    matching("teacher", teacher, (modes, modes))
    lead = np.broadcast_shapes(r.shape[:-2], teacher.shape[:-2])
    covariance = np.empty((*lead, units + modes, units + modes))
    covariance[..., :units, :units], covariance[..., units:, units:] = q, teacher
    covariance[..., :units, units:], covariance[..., units:, :units] = r, r.mT
    output = np.concatenate([-upper, np.broadcast_to(head, (*lead, modes))], axis=-1)
    # What rounding leaves of a vanishing error may have either sign.
    return np.maximum(
        0.5 * np.einsum("...a,...ab,...b->...", output, second_moments(covariance, activation), output), 0
    )


@dataclass(frozen=True, eq=False)
class Start:
    """A student and its teacher before learning, as far as it matters: overlaps and second layers.

    Fields of a sample x ~ N(0, I_N) are λ = W x and ν = W̃ x, so weights of order 1/√N make fields of order 1; the
    w of the literature is √N W.

    Parameters
    ----------
    r, q, teacher : arrays (K, M), (K, K), (M, M)
        R = W W̃ᵀ, Q = W Wᵀ and T = W̃ W̃ᵀ.
    upper, head : arrays (K,), (M,)
        Second layers: v of the student, A of the teacher.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, or no weights have these overlaps.

    Examples
    --------
    >>> start = Start.draw(units=2, head=[1.0, 1.0], inputs=500, scale=0.01, seed=0)
    >>> start.r.shape, start.covariance.shape
    ((2, 2), (4, 4))
    """

    r: np.ndarray
    q: np.ndarray
    upper: np.ndarray
    teacher: np.ndarray
    head: np.ndarray

    def __post_init__(self) -> None:
        checked = {name: real_array(name, getattr(self, name), n) for name, n in _AXES.items()}
        units, modes = len(checked["upper"]), len(checked["head"])
        for name, shape in (("r", (units, modes)), ("q", (units, units)), ("teacher", (modes, modes))):
            matching(name, checked[name], shape)
        for name in ("q", "teacher"):
            checked[name] = symmetric(name, checked[name])
        for name, value in checked.items():
            object.__setattr__(self, name, read_only(value))
        symmetric("[[q, r], [r.T, teacher]]", self.covariance)

    @property
    def units(self) -> int:
        """K, the student's hidden units."""
        return len(self.upper)

    @property
    def modes(self) -> int:
        """M, the teacher's hidden units."""
        return len(self.head)

    @property
    def covariance(self) -> np.ndarray:
        """C = [[Q, R], [Rᵀ, T]] of all fields, (K + M, K + M)."""
        return np.block([[self.q, self.r], [self.r.T, self.teacher]])

    @classmethod
    def from_networks(cls, student: Sequence[np.ndarray], teacher: Sequence[np.ndarray]) -> "Start":
        """Overlaps of two networks [W (K × N), v (1 × K)] and [W̃ (M × N), A (1 × M)], as `linfa.initial_weights` makes.

        Raises
        ------
        ValueError, TypeError
            If a network has not two layers and one output, or the inputs differ.

        Examples
        --------
        >>> import linfa
        >>> Start.from_networks(linfa.initial_weights((9, 3, 1)), linfa.initial_weights((9, 2, 1), scale=0.3)).modes
        2
        """
        (lower, upper), (taught, head) = _two_layers("student", student), _two_layers("teacher", teacher)
        if lower.shape[1] != taught.shape[1]:
            raise ValueError(f"student has {lower.shape[1]} inputs; it must have {taught.shape[1]}, as teacher has")
        return cls(lower @ taught.T, lower @ lower.T, upper[0], taught @ taught.T, head[0])

    @classmethod
    def draw(cls, units: int, head: Sequence[float], inputs: int, scale: float = 1e-2, seed: int = 0) -> "Start":
        """Random weights: of the teacher N(0, 1/N), of the student N(0, scale²/N) below and N(0, scale²) above.

        Parameters
        ----------
        units : int
            K.
        head : array (M,)
            A, the teacher's second layer.
        inputs : int
            N ≥ K + M.
        scale : float
            ≥ 0.
        seed : int

        Raises
        ------
        ValueError, TypeError
            If an argument is not of this form.
        """
        units, head = integer("units", units, at_least=1), real_array("head", head, 1)
        inputs, scale = integer("inputs", inputs, at_least=units + len(head)), real_number("scale", scale, at_least=0.0)
        seed = seed_value("seed", seed)
        taught = stream(seed, "task").standard_normal((len(head), inputs)) / np.sqrt(inputs)
        generator = stream(seed, "weights")
        lower = scale / np.sqrt(inputs) * generator.standard_normal((units, inputs))
        upper = scale * generator.standard_normal(units)
        return cls(lower @ taught.T, lower @ lower.T, upper, taught @ taught.T, head)


_AXES = {"r": 2, "q": 2, "upper": 1, "teacher": 2, "head": 1}


def _two_layers(name: str, network: object) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(network, (str, bytes, np.ndarray)) or not isinstance(network, Sequence):
        raise TypeError(f"{name} is {type(network).__name__}; it must be a list of two matrices, first layer first")
    if len(network) != 2:
        raise ValueError(f"{name} has {len(network)} matrices; it must have two, first layer first")
    lower, upper = (real_array(f"{name}[{k}]", w, 2) for k, w in enumerate(network))
    if upper.shape != (1, len(lower)):
        raise ValueError(f"{name}[1] is {upper.shape}; it must be (1, {len(lower)}), one output of the units below")
    return lower, upper


@dataclass(frozen=True, eq=False)
class OrderParameters:
    """The course of learning, from the equations (`ode`) or from samples (`simulate`, `ensemble`): the same type.

    An ensemble has a leading member axis on every array but `t` and `head`.

    Attributes
    ----------
    t : array (T,)
        Time, samples/N.
    r, q, upper : arrays (T, K, M), (T, K, K), (T, K)
        R, Q and v.
    teacher, head : arrays (M, M), (M,)
        T and A.
    feedback : array (K,) or None
        F; None for backprop.
    activation : str
    status : str
        "completed", or "diverged" or "stalled"; the arrays then end before that (NaN in an ensemble).
    """

    t: np.ndarray
    r: np.ndarray
    q: np.ndarray
    upper: np.ndarray
    teacher: np.ndarray
    head: np.ndarray
    feedback: np.ndarray | None
    activation: str
    status: str = "completed"

    def __repr__(self) -> str:
        who = f"{self.members} members, " if self.members is not None else ""
        rule = "backprop" if self.feedback is None else "fixed feedback"
        sizes = f"K = {self.upper.shape[-1]}, M = {len(self.head)}"
        return f"<OrderParameters: {self.activation}, {sizes}, {rule}, {who}{len(self.t)} times, {self.status}>"

    @property
    def members(self) -> int | None:
        """Number of members of an ensemble; None for a single course."""
        return len(self.upper) if self.upper.ndim == 3 else None

    @property
    def error(self) -> np.ndarray:
        """Generalisation error ε_g over time, (T,) or (members, T); see `generalisation_error`."""
        teacher = self.teacher[:, None] if self.members is not None else self.teacher
        return generalisation_error(self.r, self.q, self.upper, teacher, self.head, self.activation)

    @property
    def alignment(self) -> np.ndarray:
        """cos(v, F) over time, the alignment of the second layer with the feedback: 1 for backprop, NaN where v = 0."""
        if self.feedback is None:
            return np.where(np.isfinite(self.upper).all(-1), 1.0, np.nan)
        carrier = self.feedback[..., None, :]
        norms = np.linalg.norm(self.upper, axis=-1) * np.linalg.norm(carrier, axis=-1)
        good = norms > NORM_FLOOR
        cosine = (self.upper * carrier).sum(-1) / np.where(good, norms, 1.0)
        return np.where(good, np.clip(cosine, -1.0, 1.0), np.nan)

    @property
    def match(self) -> np.ndarray:
        """R_in/√(Q_ii T_nn), the cosine of student unit i and teacher unit n over time; NaN where one has no weight."""
        taught = np.sqrt(np.diagonal(self.teacher, axis1=-2, axis2=-1))[..., None, None, :]
        norms = np.sqrt(np.maximum(np.diagonal(self.q, axis1=-2, axis2=-1), 0.0))[..., :, None] * taught
        good = norms > NORM_FLOOR
        return np.where(good, np.clip(self.r / np.where(good, norms, 1.0), -1.0, 1.0), np.nan)

    def member(self, index: int) -> "OrderParameters":
        """One member of an ensemble as a single course, without the times after it stopped.

        Raises
        ------
        ValueError, TypeError
            If this is no ensemble or has no such member.
        """
        if self.members is None:
            raise ValueError("a single course has no members")
        index = integer("index", index, at_least=0, at_most=self.members - 1)
        kept = np.isfinite(self.upper[index]).all(-1)
        carrier = None if self.feedback is None else self.feedback[index]
        parts = (self.r[index][kept], self.q[index][kept], self.upper[index][kept])
        status = "completed" if kept.all() else "diverged"
        return OrderParameters(self.t[kept], *parts, self.teacher[index], self.head, carrier, self.activation, status)

    def statistics(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean over the members of an ensemble and its standard error, for "error", "alignment", "r", "q" or "upper".

        Raises
        ------
        ValueError, TypeError
            If this is no ensemble of two or more, or the name is another.
        """
        choice("name", name, ("error", "alignment", "match", "r", "q", "upper"))
        if self.members is None or self.members < 2:
            raise ValueError(f"members is {self.members}; a standard error needs an ensemble of at least 2")
        values = getattr(self, name)
        return values.mean(0), values.std(0, ddof=1) / np.sqrt(self.members)
