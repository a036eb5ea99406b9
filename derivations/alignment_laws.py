"""What aligns under fixed feedback from zero weights: weights with feedback, and signals with the gradient."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Identity, MatrixExpr, MatrixSymbol, ZeroMatrix, symbols

from linfa.theory import alignment_laws as theory

i, h, o, r = symbols("i h o r", integer=True, positive=True)
g = symbols("g", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E, A, K = MatrixSymbol("E", o, i), MatrixSymbol("A", o, i), MatrixSymbol("K", o, o)
# M of W2 = M Bᵀ: its symmetric part is A Aᵀ/2, its antisymmetric part is whatever it is.
M = A * A.T / 2 + K - K.T


@derivation(
    "fa-pseudo-inverse",
    title="From zero weights W2 aligns with the pseudo-inverse of B: <W2, B⁺> = |A|²/2",
    entry="B2",
    assumptions=("zero initial weights", "any data", "B of full column rank"),
    source="Lillicrap et al. 2016 in part; derived here",
    result=lambda: A * A.T,
    claims=("fa-alignment-theorem",),
)
def pseudo_inverse(result: MatrixExpr) -> Iterator[Step]:
    """Feedback alignment has been said to make the forward weights approach the pseudo-inverse of the feedback. What is
    exact is the sign: their inner product is never negative."""
    inverse = MatrixSymbol("B^+", o, h)
    yield Step("From zero weights W2 = MBᵀ, where M has the symmetric part AAᵀ/2 and some antisymmetric one.", M)
    overlap = M * B.T * inverse.T
    undone = {(inverse, B): Identity(o), (B.T, inverse.T): Identity(o)}
    yield Step(
        "B⁺B = I leaves M of the product of W2 with B⁺.",
        overlap,
        vanishes=(reduced(overlap - M, undone),),
    )
    yield Step(
        "Twice its symmetric part is AAᵀ; half the trace of that is the inner product.",
        result,
        vanishes=(reduced(overlap + overlap.T - result, undone),),
    )


@derivation(
    "fa-loss-rate",
    title="From zero weights the loss can only fall: dL/dt = −(g/2)|AᵀE|² − g|EAᵀ|²",
    entry="B2",
    assumptions=("zero initial weights", "BᵀB = g I", "any data"),
    source="derived here",
    result=lambda: theory.loss_rate(E, A, g),
    claims=("fa-loss-rate",),
)
def loss_rate(result: tuple) -> Iterator[Step]:
    """Feedback alignment does not follow the gradient, so its loss might rise. From zero weights it does not."""
    first, second = result
    lower, upper = B * A, M * B.T
    velocities = {W1: B * E, W2: E * W1.T}
    change = flow_derivative(W2 * W1, velocities)
    yield Step("From zero weights W1 = BA and W2 = MBᵀ, where M has the symmetric part AAᵀ/2.", (lower, upper))
    yield Step(
        "The map changes by E W1ᵀW1 + W2BE, and −dL/dt is the inner product of this change with E.",
        change,
        vanishes=(change - E * W1.T * W1 - W2 * B * E,),
    )
    gain = orthonormal(B, g)
    taught = E * lower.T * lower * E.T
    yield Step(
        "The upper layer's part is the trace of E W1ᵀW1 Eᵀ; twice this is the second result.",
        second,
        vanishes=(reduced(2 * taught - second, gain),),
    )
    aligned = (B * E).T * upper.T * E
    yield Step(
        "The lower layer's part is <BE, W2ᵀE>. Twice its trace is that of the matrix and its transpose, in which the "
        "antisymmetric part of M cancels: the first result.",
        first,
        vanishes=(reduced(aligned + aligned.T - first, gain),),
    )


@derivation(
    "fa-alignment",
    title="The cosine of W2 and Bᵀ is √(PR/o): alignment is the task's participation ratio",
    entry="B4",
    assumptions=("zero initial weights", "whitened inputs, so that M is symmetric", "BᵀB = g I"),
    source="derived here",
    result=lambda: theory.alignment_of_moments(*symbols("p q o", positive=True), xp=sympy),
    claims=("fa-alignment",),
)
def alignment(result: sympy.Expr) -> Iterator[Step]:
    """Why does the angle between weights and feedback stop at some 40 or 60 degrees? Because the task has fewer strong
    modes than outputs: alignment is capped by the effective dimension of the task."""
    first, second, outputs = symbols("p q o", positive=True)
    gain = orthonormal(B, g)
    upper = A * A.T * B.T / 2
    yield Step("From zero weights W2 = ½AAᵀBᵀ.", upper)
    yield Step(
        "Its product with B is (g/2)AAᵀ, with itself (g/4)(AAᵀ)²; that of Bᵀ with itself is g I.",
        (upper * B, upper * upper.T),
        vanishes=(
            reduced(upper * B - g * A * A.T / 2, gain),
            reduced(upper * upper.T - g * A * A.T * A * A.T / 4, gain),
            reduced(B.T * B - g * Identity(o), gain),
        ),
    )
    yield Step(
        "So the inner product is (g/2)p and the norms are √(gq)/2 and √(go), with p = tr AAᵀ = Σa² and "
        "q = tr(AAᵀ)² = Σa⁴. The square of the cosine is PR/o with the participation ratio PR = p²/q.",
        equation("cos", result),
        vanishes=(g * first / 2 / sympy.sqrt(g * second / 4 * g * outputs) - result,),
    )


@derivation(
    "fa-gradient-alignment",
    title="The cosine of FA's signal and backprop's is Σa²e²/√(Σa⁴e² Σe²)",
    entry="B4",
    assumptions=("zero initial weights", "whitened inputs", "BᵀB = g I"),
    source="derived here",
    result=lambda: theory.gradient_alignment_of_moments(*symbols("p q epsilon", positive=True), xp=sympy),
    claims=("fa-alignment",),
)
def gradient_alignment(result: sympy.Expr) -> Iterator[Step]:
    """The error weighs the modes: what is already learned no longer counts, so that the cosine changes as learning goes
    from mode to mode."""
    first, second, energy = symbols("p q epsilon", positive=True)
    gain = orthonormal(B, g)
    signal, gradient = B * E, (A * A.T * B.T / 2).T * E
    yield Step("From zero weights W2 = ½AAᵀBᵀ; the two signals are BE and W2ᵀE.", (signal, gradient))
    yield Step(
        "Their products with each other and with themselves.",
        (signal.T * gradient, gradient.T * gradient),
        vanishes=(
            reduced(signal.T * gradient - g * E.T * A * A.T * E / 2, gain),
            reduced(gradient.T * gradient - g * E.T * A * A.T * A * A.T * E / 4, gain),
            reduced(signal.T * signal - g * E.T * E, gain),
        ),
    )
    yield Step(
        "In the modes the traces are p = Σa²e², q = Σa⁴e² and ε = Σe².",
        equation("cos", result),
        vanishes=(g * first / 2 / sympy.sqrt(g * second / 4 * g * energy) - result,),
    )


@derivation(
    "low-rank-credit",
    title="Credit under low-rank feedback: what P sees is assigned rightly, the rest has no sign",
    entry="B5 iv",
    assumptions=("zero initial weights", "any data", "QᵀQ = g I, PPᵀ = I"),
    source="derived here; the question is Hanut & Kadmon 2025",
    result=lambda: theory.credit_matrices(
        E, MatrixSymbol("A", r, i), MatrixSymbol("M", o, r), MatrixSymbol("P", r, o), g
    ),
    claims=("low-rank-credit",),
)
def credit(result: tuple) -> Iterator[Step]:
    """Does a hidden layer that learns from r numbers learn what backprop would teach it? In part: the part of the error
    that P sees is credited as in feedback alignment. The other part gets through W2 but not through the feedback."""
    right, wrong = result
    small, p, q = MatrixSymbol("A", r, i), MatrixSymbol("P", r, o), MatrixSymbol("Q", h, r)
    twist, unseen = MatrixSymbol("K", r, r), MatrixSymbol("N", o, r)
    seen = small * small.T / 2 + twist - twist.T
    upper = p.T * seen + unseen
    known = (
        orthonormal(q, g) | {(p, p.T): Identity(r)} | {(p, unseen): ZeroMatrix(r, r), (unseen.T, p.T): ZeroMatrix(r, r)}
    )
    yield Step(
        "From zero weights W1 = QA and W2 = MQᵀ with A' = PE, M' = EAᵀ. So PM has the symmetric part AAᵀ/2, and "
        "M = PᵀPM + N with PN = 0.",
        equation("M", upper),
    )
    teaching = (q * p * E).T * (upper * q.T).T * E
    right, wrong = (part.subs(MatrixSymbol("M", o, r), upper) for part in (right, wrong))
    yield Step(
        "Twice <BE, W2ᵀE> is the trace of this matrix and its transpose.",
        teaching,
        vanishes=(reduced(teaching - g * (p * E).T * upper.T * E, known),),
    )
    yield Step(
        "The part within the rows of P is positive semidefinite; the rest is a product of what P does not see, of W2 "
        "and of the error.",
        result,
        vanishes=(reduced(teaching + teaching.T - right - (wrong + wrong.T) / 2, known),),
    )
