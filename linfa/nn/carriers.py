"""How the error passes back through the weights of one layer: every rule of `linfa.feedback`, for nonlinear networks.

An affine map a = W h + b on rows h sends ∂loss/∂h = Bᵀ-product of ∂loss/∂a: rows E (M × out) become rows
E Bᵀ (M × fan), with B = Wᵀ (fan × out) for backprop. Everything here is in terms of such flattened matrices, so that
dense layers, convolutions and projections of attention share one set of rules. In the errors' sign, ∂loss/∂a = −δ,
and with G = ∂loss/∂W = −<δ hᵀ>:

    Kolen–Pollack, full     gradient of B:  Gᵀ
    Kolen–Pollack, Q        gradient of Q:  Gᵀ Pᵀ                        dQ = <h (P δ)ᵀ>
    local, P                gradient of P:  Qᵀ Gᵀ                        dP = <(Qᵀ h) δᵀ>
    normative               gradients of Q, P:  −D Pᵀ, −Qᵀ D             D = Wᵀ − Q P
    Oja, P                  gradient of P:  −P C (I − Pᵀ P)              C the second moment of the errors
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from linfa._random import orthonormal_columns, stream
from linfa.feedback import SignSymmetry, WeightMirror
from linfa.nn.backend import like, namespace
from linfa.nn.layer import Pass
from linfa.nn.parameters import Array, Parameter

# Below this, errors have no spread to be scaled by.
_SPREAD_FLOOR = 1e-8


@dataclass(frozen=True)
class Start:
    """What the starting matrices of one carrier are drawn from.

    `receiving` and `source` are the sizes of B (receiving × source); `deviation` that of the initial weights which B
    replaces; `weight` those weights, (source × receiving), None for direct feedback.
    """

    receiving: int
    source: int
    deviation: float
    weight: np.ndarray | None
    index: int  # number of the carrier in the network
    dtype: np.dtype
    channels: int  # receiving channels: what a kernel's factor may at most have rank of

    @property
    def largest_rank(self) -> int:
        """Rank that B can have; for kernels, of its channels."""
        return min(self.channels, self.source)


class Carrier(ABC):
    """Feedback through one layer's weights.

    Attributes
    ----------
    parameters : list of Parameter
        What the rule learns.
    buffers : dict of array
        What is fixed.
    direct : bool
        Whether the network's output error comes in, instead of the error of the layer above.
    """

    name = "carrier"
    direct = False

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.buffers: dict[str, Array] = {}

    def compress(self, error: Array) -> Array:
        """Rows of error (M × source) as the rows that are sent (M × r); unchanged where there is no bottleneck."""
        return error

    @abstractmethod
    def spread(self, weight: Array, way: Pass) -> Array:
        """The matrix (r × receiving) that spreads what `compress` sends."""

    def learn(  # noqa: B027 - fixed feedback learns nothing
        self, weight: Array | None, gradient: Array, error: Array, samples: int, way: Pass
    ) -> None:
        """Set the gradients of `parameters`.

        `weight` (source × receiving) is W, `gradient` the G of the module's head, of the same shape, `error` the rows
        (M × source) of ∂loss/∂a, where the loss is a mean over this many samples.
        """

    def refresh(self, weight: Array, rate: float, decay: float, way: Pass) -> None:  # noqa: B027
        """What the rule does of itself after an update of the weights."""

    def matrix(self, weight: Array | None, way: Pass) -> Array:
        """B, (receiving × source)."""
        return self.spread(weight, way).T

    def operations(self, rows: int, receiving: int, source: int) -> dict[str, int]:
        """Multiply-adds, counted as two operations, of sending `rows` errors and of learning the feedback."""
        return {"signal": 2 * rows * receiving * source, "feedback": 0}


class Transpose(Carrier):
    """Backprop: B = Wᵀ."""

    name = "backprop"

    def spread(self, weight: Array, way: Pass) -> Array:
        return weight


class Full(Carrier):
    """A matrix B of its own, fixed or learned. It is kept as Bᵀ, in the shape of the weights which it replaces."""

    name = "full"
    index = 0  # number of the carrier in the network

    def __init__(self, matrix: np.ndarray, *, learns: bool = False, mirror: WeightMirror | None = None) -> None:
        super().__init__()
        self.learns = learns
        self.mirror = mirror
        if learns:
            self.parameters.append(Parameter("b", matrix, "feedback-b"))
        else:
            self.buffers["b"] = matrix

    def spread(self, weight: Array | None, way: Pass) -> Array:
        return self.parameters[0].value if self.learns else self.buffers["b"]

    def learn(self, weight: Array | None, gradient: Array, error: Array, samples: int, way: Pass) -> None:
        if self.learns:
            self.parameters[0].gradient = gradient

    def refresh(self, weight: Array, rate: float, decay: float, way: Pass) -> None:
        """Weight mirror: B ← B + rate (mirror.rate <ξ (W ξ)ᵀ> − decay B), with fresh noise ξ, as many as rows of W."""
        if self.mirror is None:
            return
        generator = stream(self.mirror.seed, "noise", self.index, way.step)
        b = self.buffers["b"]
        samples = max(weight.shape)
        noise = generator.standard_normal((samples, weight.shape[1]), dtype=np.float32)
        noise = like(np.sqrt(self.mirror.noise_variance) * noise, b)
        seen = (noise @ weight.T).T @ noise / samples
        decay = decay if self.mirror.decay is None else self.mirror.decay
        b += b.dtype.type(rate) * (b.dtype.type(self.mirror.rate) * seen - b.dtype.type(decay) * b)


class Sign(Carrier):
    """Signs of the weights, with magnitudes M: B = M ∘ sign(W)ᵀ."""

    name = "sign"

    def __init__(self, feedback: SignSymmetry, start: Start) -> None:
        super().__init__()
        self.feedback, self.index = feedback, start.index
        self.scale = start.deviation if feedback.scale is None else feedback.scale
        if feedback.magnitude == "fixed":
            self.buffers["magnitude"] = self._magnitude((start.source, start.receiving)).astype(start.dtype)

    def _magnitude(self, shape: tuple[int, int], *keys: int) -> np.ndarray:
        return self.scale * np.abs(stream(self.feedback.seed, "feedback", 3, self.index, *keys).standard_normal(shape))

    def spread(self, weight: Array, way: Pass) -> Array:
        signs = namespace(weight).sign(weight)
        if self.feedback.magnitude == "uniform":
            return signs * weight.dtype.type(self.scale)
        if self.feedback.magnitude == "fixed":
            return signs * self.buffers["magnitude"]
        return signs * like(self._magnitude(weight.shape, way.step), weight)


class LowRank(Carrier):
    """B = Q P, Q (receiving × r), P (r × source), each fixed or learned by a rule of its own."""

    name = "low-rank"

    def __init__(self, q: np.ndarray, p: np.ndarray, q_rule: str, p_rule: str, p_scaling: str = "plain") -> None:
        super().__init__()
        self.q_rule, self.p_rule, self.p_scaling = q_rule, p_rule, p_scaling
        for name, value, rule in (("q", q, q_rule), ("p", p, p_rule)):
            if rule == "fixed":
                self.buffers[name] = value
            else:
                self.parameters.append(Parameter(name, value, f"feedback-{name}"))

    def _factor(self, name: str) -> Array:
        if name in self.buffers:
            return self.buffers[name]
        return next(p.value for p in self.parameters if p.role == f"feedback-{name}")

    @property
    def q(self) -> Array:
        """Q, (receiving × r)."""
        return self._factor("q")

    @property
    def p(self) -> Array:
        """P, (r × source)."""
        return self._factor("p")

    def compress(self, error: Array) -> Array:
        return error @ self.p.T

    def spread(self, weight: Array | None, way: Pass) -> Array:
        return self.q.T

    def matrix(self, weight: Array | None, way: Pass) -> Array:
        return self.q @ self.p

    def learn(self, weight: Array | None, gradient: Array, error: Array, samples: int, way: Pass) -> None:
        q, p = self.q, self.p
        for parameter in self.parameters:
            if parameter.role == "feedback-q":
                if self.q_rule == "kolen-pollack":
                    parameter.gradient = gradient.T @ p.T
                else:
                    parameter.gradient = q @ (p @ p.T) - weight.T @ p.T
            elif self.p_rule == "local":
                parameter.gradient = q.T @ gradient.T
            elif self.p_rule == "normative":
                parameter.gradient = (q.T @ q) @ p - q.T @ weight.T
            else:
                # Oja's rule sees the errors of single samples, not their share in the mean.
                seen = _targets(way) if self.p_rule == "oja-label" else error * error.dtype.type(samples)
                parameter.gradient = oja_descent(p, seen, self.p_scaling)

    def refactor(self, weight: Array) -> None:
        """Set Q P to the best rank-r fit of Wᵀ, balanced (Eckart & Young 1936): P = √S Uᵀ, Q = V √S from W = U S Vᵀ."""
        q, p = balanced_factors(weight, self.p.shape[0])
        self.q[...], self.p[...] = q, p

    def operations(self, rows: int, receiving: int, source: int) -> dict[str, int]:
        r = self.p.shape[0]
        product = 2 * r * receiving * source
        feedback = 0
        if self.q_rule != "fixed":
            feedback += product + (2 * r * r * (receiving + source) if self.q_rule == "normative" else 0)
        if self.p_rule in ("local", "normative"):
            feedback += product + (2 * r * r * (receiving + source) if self.p_rule == "normative" else 0)
        elif self.p_rule.startswith("oja"):
            feedback += 2 * source * source * (rows + r) + 4 * r * r * source
        return {"signal": 2 * rows * r * (receiving + source), "feedback": feedback}


def _targets(way: Pass) -> Array:
    if way.targets is None:
        raise RuntimeError("this feedback reads the targets, which the pass does not hold; go through Network.learn")
    return way.targets


def oja_descent(p: Array, seen: Array, scaling: str) -> Array:
    """What Oja's rule descends, −P C (I − Pᵀ P), for rows `seen` (M × source) of errors or labels.

    ``scaling`` fixes the second moment C: ``"plain"``: the mean <e eᵀ>, as in the linear theory; ``"batch-deviation"``:
    the sum over centred rows divided by the largest standard deviation of any unit, as published for RAF;
    ``"unit-deviation"``: each unit by its own, as published for direct RAF (Hanut & Kadmon 2025).

    To the deviation 1e-8 is added in every layer, as published for dense ones; the published program adds 1e-6 in
    convolutions, which differs only where errors hardly spread by more than that.
    """
    if scaling == "plain":
        moment = seen.T @ seen / len(seen)
    else:
        centred = seen - seen.mean(0)
        deviation = seen.std(0)
        if scaling == "batch-deviation":
            deviation = deviation.max()
        centred = centred / (deviation + seen.dtype.type(_SPREAD_FLOOR))
        moment = centred.T @ centred
    pulled = p @ moment
    return (pulled @ p.T) @ p - pulled


def balanced_factors(weight: Array, rank: int) -> tuple[Array, Array]:
    """Q (in × r) and P (r × out) of the best rank-r fit Q P to Wᵀ, each with half of every singular value."""
    xp = namespace(weight)
    left, values, right = xp.linalg.svd(weight, full_matrices=False)
    root = xp.sqrt(values[:rank])
    return right[:rank].T * root, root[:, None] * left[:, :rank].T


def drawn_full(start: Start, seed: int, scale: float, draw: str) -> np.ndarray:
    """A start for full feedback, as Bᵀ (source × receiving), with the spread of the weights it replaces."""
    generator = stream(seed, "feedback", 0, start.index)
    if draw == "orthonormal":
        tall = max(start.receiving, start.source), min(start.receiving, start.source)
        matrix = orthonormal_columns(generator, *tall) * np.sqrt(tall[0])
        matrix = matrix.T if start.source < start.receiving else matrix
    elif draw == "svd":
        raise ValueError("draw is 'svd', which factors the weights; it is for low-rank feedback")
    else:
        matrix = generator.standard_normal((start.source, start.receiving))
    return (scale * start.deviation * matrix).astype(start.dtype)


def drawn_factors(start: Start, rank: int, seed: int, scale: float, draw: str) -> tuple[np.ndarray, np.ndarray]:
    """Starts for Q (receiving × r) and P (r × source).

    ``"gaussian"`` and ``"orthonormal"`` have the Frobenius norm that full feedback would have, so that rank is not
    confounded with gain: E|Q P|² = receiving · source · deviation². ``"svd"`` fits the initial weights.
    """
    if draw == "svd":
        if start.weight is None:
            raise ValueError("draw is 'svd', which factors the weights; direct feedback replaces none")
        q, p = balanced_factors(np.asarray(start.weight, np.float64), rank)
        return (scale * q).astype(start.dtype), p.astype(start.dtype)
    # Direct feedback compresses one and the same error: all layers start from the same P.
    number = start.index if start.weight is not None else 0
    for_q, for_p = stream(seed, "feedback", 1, start.index), stream(seed, "feedback", 2, number)
    gain = scale * start.deviation
    if draw == "orthonormal":
        # P has r orthonormal rows, so |Q P| = |Q|.
        p = orthonormal_columns(for_p, start.source, rank).T
        spread = np.sqrt(start.source / rank)
        if start.receiving >= rank:
            q = orthonormal_columns(for_q, start.receiving, rank) * np.sqrt(start.receiving)
        else:
            q = for_q.standard_normal((start.receiving, rank))
        return (gain * spread * q).astype(start.dtype), p.astype(start.dtype)
    each = np.sqrt(gain) / rank**0.25
    q = each * for_q.standard_normal((start.receiving, rank))
    p = each * for_p.standard_normal((rank, start.source))
    return q.astype(start.dtype), p.astype(start.dtype)


class Direct(Carrier):
    """What direct feedback adds to `Full` and `LowRank`: it carries a signal from the output to this layer's input."""

    direct = True

    def __init__(self, inner: Full | LowRank, signal: str) -> None:
        super().__init__()
        self.inner, self.signal = inner, signal
        self.name = f"direct {inner.name}"
        # One list and one dictionary, so that what the inner rule learns is this carrier's.
        self.parameters, self.buffers = inner.parameters, inner.buffers

    def carried(self, way: Pass) -> Array:
        """Rows (N × source) that are sent, as gradients: ∂loss/∂output, its sign, the targets, or what lies below."""
        error = way.output_error
        if error is None:
            raise RuntimeError("direct feedback needs the network's output error; go back through Network.backward")
        if self.signal == "error":
            return error
        # Signs and targets stand for the error of one sample; like the error they are averaged over the batch.
        share = error.dtype.type(1.0 / len(error))
        if self.signal == "sign":
            return namespace(error).sign(error) * share
        if self.signal == "target":
            # δ = −F y, so ∂loss/∂h = F y.
            return _targets(way) * share
        return way.below_output

    def compress(self, error: Array) -> Array:
        return self.inner.compress(error)

    def spread(self, weight: Array | None, way: Pass) -> Array:
        return self.inner.spread(weight, way)

    def learn(self, weight: Array | None, gradient: Array, error: Array, samples: int, way: Pass) -> None:
        self.inner.learn(weight, gradient, error, samples, way)

    def matrix(self, weight: Array | None, way: Pass) -> Array:
        return self.inner.matrix(weight, way)

    def operations(self, rows: int, receiving: int, source: int) -> dict[str, int]:
        return self.inner.operations(rows, receiving, source)
