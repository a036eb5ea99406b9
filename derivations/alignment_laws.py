"""Laws of fixed feedback for matrices of any size: what is conserved, what decays, what aligns, what is left over."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Eq, Identity, MatrixExpr, MatrixSymbol, Symbol, ZeroMatrix, diff, symbols

from linfa.metrics import feedback_balance
from linfa.theory import alignment_laws as theory
from linfa.theory.feedback_alignment import map_strength, mode_amplitude_end, rise_time
from linfa.theory.leakage import leaked, unlearned_energy
from linfa.theory.stability import feedback_alignment_late_rate, feedback_alignment_max_rate
from linfa.theory.zero_start import early_correction, early_strength, late_error

i, h, o, r, n, m = symbols("i h o r n m", integer=True, positive=True)
g, s, t, z, d1, d2 = symbols("g s t z d_1 d_2", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E, T = MatrixSymbol("E", o, i), MatrixSymbol("T", o, i)
A, K = MatrixSymbol("A", o, i), MatrixSymbol("K", o, o)
# M of W2 = M Bᵀ: its symmetric part is A Aᵀ/2, its antisymmetric part is whatever it is.
M = A * A.T / 2 + K - K.T


def _next_layer(velocity: MatrixExpr) -> Eq:
    """W_{l+1}' = …, to be shown; SymPy prints a name with braces as it stands."""
    return Eq(MatrixSymbol("W_{l+1}'", *velocity.shape), velocity, evaluate=False)


@derivation(
    "fa-chain-conservation",
    title="In a deep chain every layer below the top conserves W_lW_lᵀ − B_{l+1}W_{l+1} − (B_{l+1}W_{l+1})ᵀ",
    entry="B1",
    assumptions=("any data, any depth", "fixed feedback along the chain, of any rank", "gradient flow"),
    source="Lillicrap et al. 2016 for two layers",
    result=lambda: feedback_balance(MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("B", h, m)),
    claims=("fa-chain-conservation",),
)
def chain_conservation(result: MatrixExpr) -> Iterator[Step]:
    """Two neighbours in a chain know nothing of the rest but the signal D that comes down to the upper one, and the
    map V that lies below the lower one. That is all the law of alignment needs."""
    lower, upper, back = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("B", h, m)
    signal, below = MatrixSymbol("D", m, i), MatrixSymbol("V", n, i)
    velocities = {lower: back * signal * below.T, upper: signal * (lower * below).T}
    yield Step(
        "The learning rule of the two, with D = E[δ_{l+1}xᵀ] and V = W_{l−1} ⋯ W_1 (B is B_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    yield Step(
        "What the feedback carries of the upper layer's change is the lower layer's change times W_lᵀ.",
        back * velocities[upper],
        vanishes=(back * velocities[upper] - velocities[lower] * lower.T,),
    )
    yield Step("So this does not move.", result, vanishes=(flow_derivative(result, velocities),))


@derivation(
    "dfa-conservation",
    title="Direct feedback conserves the same, with M_l = F_l F_{l+1}⁺ for the missing matrix of the chain",
    entry="B1",
    assumptions=("any data, any depth", "F_{l+1} of full column rank", "gradient flow"),
    source="derived here",
    result=lambda: feedback_balance(
        MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("F_l", h, o) * MatrixSymbol("F^+", o, m)
    ),
    claims=("dfa-conservation",),
)
def direct_conservation(result: MatrixExpr) -> Iterator[Step]:
    """Direct feedback skips the layers, but it can be read as a chain: undo what the upper layer got, and send what the
    lower one gets. At the last hidden layer the matrix is F_{L−1} itself."""
    lower, upper = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h)
    here, above, inverse = MatrixSymbol("F_l", h, o), MatrixSymbol("F", m, o), MatrixSymbol("F^+", o, m)
    below = MatrixSymbol("V", n, i)
    velocities = {lower: here * E * below.T, upper: above * E * (lower * below).T}
    undone = {(inverse, above): Identity(o), (above.T, inverse.T): Identity(o)}
    yield Step(
        "Both layers get the output error itself (F is F_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    carried = here * inverse * velocities[upper]
    yield Step(
        "F⁺F = I, so M_l = F_l F⁺ carries the upper layer's change to the lower one.",
        carried,
        vanishes=(reduced(carried - velocities[lower] * lower.T, undone),),
    )
    yield Step("So this does not move.", result, vanishes=(reduced(flow_derivative(result, velocities), undone),))


@derivation(
    "dfa-low-rank-conservation",
    title="Direct feedback F_l = Q_l P of low rank conserves it with M_l = Q_l Q_{l+1}⁺",
    entry="B1",
    assumptions=("any data, any depth", "one P for all layers, Q_{l+1} of full column rank", "gradient flow"),
    source="derived here",
    result=lambda: feedback_balance(
        MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("Q_l", h, r) * MatrixSymbol("Q^+", r, m)
    ),
    claims=("dfa-conservation",),
)
def direct_low_rank_conservation(result: MatrixExpr) -> Iterator[Step]:
    """F_{l+1} = Q_{l+1}P has no full column rank, yet nothing is lost: both layers hear the same r numbers."""
    lower, upper = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h)
    here, above, inverse = MatrixSymbol("Q_l", h, r), MatrixSymbol("Q", m, r), MatrixSymbol("Q^+", r, m)
    p, below = MatrixSymbol("P", r, o), MatrixSymbol("V", n, i)
    velocities = {lower: here * p * E * below.T, upper: above * p * E * (lower * below).T}
    undone = {(inverse, above): Identity(r), (above.T, inverse.T): Identity(r)}
    yield Step(
        "Both layers get the compressed error PE (Q is Q_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    yield Step("So this does not move.", result, vanishes=(reduced(flow_derivative(result, velocities), undone),))


@derivation(
    "fa-conservation-decay",
    title="Weight decay moves the conserved quantity by −2 wd1 W1W1ᵀ + wd2(BW2 + (BW2)ᵀ)",
    entry="B1",
    assumptions=("any data, any fixed B", "gradient flow with weight decay wd1, wd2 (here d_1, d_2)"),
    source="derived here",
    result=lambda: theory.feedback_balance_decay(W1, W2, B, d1, d2),
    claims=("fa-conservation-decay", "fa-decay-balance"),
)
def conservation_decay(result: MatrixExpr) -> Iterator[Step]:
    """What was conserved decays, and it is no longer the start that decides about alignment: where learning rests, BW2
    must be W1W1ᵀ in its symmetric part, up to a factor."""
    velocities = {W1: B * E - d1 * W1, W2: E * W1.T - d2 * W2}
    yield Step("The learning rule with decay.", (equation("W_1'", velocities[W1]), equation("W_2'", velocities[W2])))
    moved = flow_derivative(feedback_balance(W1, W2, B), velocities)
    yield Step("All that learning itself does cancels; what decay does is left.", result, vanishes=(moved - result,))
    error = MatrixSymbol("E", o, i)
    rest = {W1: B * error / d1, W2: error * error.T * B.T / (d1 * d2)}
    yield Step(
        "At a fixed point W1 = BE/wd1, W2 = E W1ᵀ/wd2, and it vanishes: alignment is forced.",
        Eq(2 * d1 * W1 * W1.T, d2 * (B * W2 + W2.T * B.T), evaluate=False),
        vanishes=(result.subs(rest),),
    )


def _neurons() -> tuple[sympy.Matrix, ...]:
    """Two inputs, three neurons, two outputs: enough for a diagonal and what is off it."""
    lower = sympy.Matrix(3, 2, symbols("w_11 w_12 w_21 w_22 w_31 w_32"))
    upper = sympy.Matrix(2, 3, symbols("v_11 v_12 v_13 v_21 v_22 v_23"))
    return lower, upper, sympy.Matrix(3, 2, symbols("b_11 b_12 b_21 b_22 b_31 b_32"))


@derivation(
    "fa-neuron-conservation",
    title="Neurons with ReLU conserve |w_i|² − 2<B_i, W_{2,:i}>, each for itself",
    entry="B1",
    assumptions=(
        "positively homogeneous units: slope m_i of unit i in a sample, output m_i times its input",
        "any fixed feedback, any data (shown for one sample, three neurons; samples add up)",
    ),
    source="Robertson & Koyejo 2024; derived here",
    result=lambda: tuple(feedback_balance(*_neurons()).diagonal()),
    claims=("relu-neuron-balance",),
)
def neuron_conservation(result: tuple) -> Iterator[Step]:
    """A threshold breaks the law of alignment for pairs of neurons, which are not active in the same samples, but not
    for a single one: a neuron is always as active as itself."""
    lower, upper, back = _neurons()
    slopes = sympy.diag(*symbols("m_1:4"))
    x, e = sympy.Matrix(symbols("x_1 x_2")), sympy.Matrix(symbols("e_1 e_2"))
    change_lower = slopes * back * e * x.T
    change_upper = e * (slopes * lower * x).T
    gate, sample = MatrixSymbol("D", h, h), MatrixSymbol("e x^T", o, i)
    yield Step(
        "One sample: the slopes m_i gate the feedback, and the output of a unit is m_i times its input, D = diag(m).",
        (equation("W_1'", gate * B * sample), equation("W_2'", sample * W1.T * gate)),
    )
    velocities = dict(zip(lower, change_lower, strict=True)) | dict(zip(upper, change_upper, strict=True))

    def moved(expression: sympy.Expr) -> sympy.Expr:
        return sum(diff(expression, symbol) * velocity for symbol, velocity in velocities.items())

    alone = tuple(sum(lower[k, j] ** 2 for j in range(2)) for k in range(3))
    yield Step(
        "Without feedback the quantity of a neuron is the square of its incoming weights.",
        alone,
        vanishes=tuple(held.subs(dict.fromkeys(back, 0)) - size for held, size in zip(result, alone, strict=True)),
    )
    crossed = moved(feedback_balance(lower, upper, back)[0, 1])
    yield Step(
        "Between two neurons i and k the same combination moves in proportion to m_i − m_k.",
        sympy.factor(crossed),
        vanishes=(crossed.subs(slopes[0, 0], slopes[1, 1]),),
    )
    yield Step(
        "For a single neuron the two slopes are one and the same, and it does not move.",
        result,
        vanishes=tuple(moved(entry) for entry in result),
    )


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
    "fa-early-growth",
    title="Soon after a start from zero the map has (g/2)s³t³(1 − (3/8)g s²t³) of a mode",
    entry="B4",
    assumptions=("zero initial weights", "whitened inputs", "BᵀB = g I"),
    source="derived here",
    result=lambda: (early_strength(t, s, g), early_correction(s, g)),
    claims=("fa-early-growth", "fa-effective-rank-start"),
)
def early_growth(result: tuple) -> Iterator[Step]:
    """Modes grow with the cube of their strength at first, so that the map's rank is born small: it is the effective
    rank of the cubed spectrum."""
    leading, correction = result
    a = s * t - g * s**3 * t**4 / 8
    yield Step("Each mode obeys a' = s − g a³/2 from zero.", equation("a'", s - map_strength(Symbol("a"), g)))
    gap = sympy.Poly(sympy.expand(diff(a, t) - s + map_strength(a, g)), t)
    yield Step(
        "The series a = s t − g s³t⁴/8 solves it up to terms of sixth order.",
        equation("a", a),
        vanishes=tuple(gap.coeff_monomial(t**k) for k in range(6)),
    )
    gap = sympy.Poly(sympy.expand(map_strength(a, g) - leading * (1 + correction * t**3)), t)
    yield Step(
        "The map has the strength g a³/2, which is known up to ninth order.",
        equation("u", leading * (1 + correction * t**3)),
        vanishes=tuple(gap.coeff_monomial(t**k) for k in range(9)),
    )


@derivation(
    "fa-late-error",
    title="Late in learning a mode lacks 3√3 e^{π/(2√3)} s e^{−λt} with λ = (3/2)(4 g s²)^{1/3}",
    entry="B4",
    assumptions=("zero initial weights", "whitened inputs", "BᵀB = g I"),
    source="derived here",
    result=lambda: late_error(t, s, g, xp=sympy),
    claims=("fa-late-error",),
)
def late(result: sympy.Expr) -> Iterator[Step]:
    """The closed rise time knows not only how fast the last error goes, but how much of it there is."""
    end = mode_amplitude_end(s, g, xp=sympy)
    regular = sympy.expand(3 * rise_time(z, xp=sympy) + sympy.log(1 - z))
    yield Step("A mode reaches the fraction z of its end a* after the time (a*/s) τ(z).", rise_time(z, xp=sympy))
    constant = sympy.log(3) / 2 + sympy.pi / (2 * sympy.sqrt(3))
    yield Step(
        "As z goes to 1, 3τ(z) + ln(1 − z) has a limit, so that 1 − z goes as e^{−3τ} times a constant.",
        constant,
        vanishes=(regular.subs(z, 1) - constant,),
    )
    yield Step(
        "The rate is 3s/a*.",
        equation("lambda", feedback_alignment_late_rate(s, g, xp=sympy)),
        vanishes=(feedback_alignment_late_rate(s, g, xp=sympy) - 3 * s / end,),
    )
    missing = diff(map_strength(z * end, g), z).subs(z, 1) * sympy.exp(constant - 3 * t * s / end)
    yield Step(
        "The map lacks s(1 − z³), near the end 3s(1 − z).",
        equation("e", result),
        vanishes=(missing - result,),
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


@derivation(
    "low-rank-leak",
    title="After the plateau the error leaks away as E(t₀) exp(−W1ᵀW1 (t − t₀))",
    entry="B5 v",
    assumptions=("whitened inputs", "feedback QP, and PE = 0 at t₀: the feedback is silent"),
    source="derived here",
    result=lambda: leaked(t, Symbol("e_0", positive=True), Symbol("kappa", positive=True), xp=sympy),
    claims=("low-rank-leak", "low-rank-slow-rates"),
)
def leak(result: sympy.Expr) -> Iterator[Step]:
    """The plateau of low-rank feedback is no end. The upper layer still reads the random features that the feedback
    cannot touch, and where they are small it does so slowly."""
    q, p = MatrixSymbol("Q", h, r), MatrixSymbol("P", r, o)
    back = q * p
    velocities = {W1: back * E, W2: E * W1.T}
    moving = flow_derivative(T - W2 * W1, velocities)
    yield Step(
        "The learning rule.", (equation("W_1'", velocities[W1]), equation("W_2'", velocities[W2]), Eq(E, T - W2 * W1))
    )
    silent = -p * W2 * q * p * E - p * E * W1.T * W1
    yield Step(
        "Each term in the velocity of PE contains PE: once it is zero it stays zero.",
        silent,
        vanishes=(p * moving - silent,),
    )
    yield Step(
        "Then W1 stands still and the error's velocity is −E W1ᵀW1.",
        -E * W1.T * W1,
        vanishes=(reduced(theory.error_velocity(E, W1, W2, back) + E * W1.T * W1, {(p, E): ZeroMatrix(r, i)}),),
    )
    start, rate = Symbol("e_0", positive=True), Symbol("kappa", positive=True)
    yield Step(
        "Along an eigenvector of W1ᵀW1 with the eigenvalue κ this is an exponential.",
        equation("e", result),
        vanishes=(diff(result, t) + rate * result, result.subs(t, 0) - start),
    )


@derivation(
    "fa-error-operator",
    title="The error obeys E' = −(W2BE + E W1ᵀW1), with the spectrum λ_j(W1ᵀW1) + μ_k(W2B)",
    entry="B7",
    assumptions=("whitened inputs", "any B; backprop is B = W2ᵀ"),
    source="derived here",
    result=lambda: theory.error_velocity(E, W1, W2, B),
    claims=("fa-error-spectrum",),
)
def error_operator(result: MatrixExpr) -> Iterator[Step]:
    """A linear operator of the error, at any weights. The upper layer always helps; the lower one does where W2 and B
    agree, and errors grow only where W2B has an eigenvalue left of zero by more than W1ᵀW1 makes good."""
    velocities = {W1: B * E, W2: E * W1.T}
    yield Step(
        "The learning rule and the error.",
        (equation("W_1'", velocities[W1]), equation("W_2'", velocities[W2]), Eq(E, T - W2 * W1)),
    )
    yield Step(
        "The error's own velocity.",
        equation("E'", result),
        vanishes=(flow_derivative(T - W2 * W1, velocities) - result,),
    )
    left, right = MatrixSymbol("p", o, 1), MatrixSymbol("q", i, 1)
    rate, mu = symbols("lambda mu")
    known = {(W2, B, left): mu * left, (right.T, W1.T, W1): rate * right.T}
    alone = result.subs(E, left * right.T)
    yield Step(
        "On a product of eigenvectors p of W2B and q of W1ᵀW1 it is a number, −(λ + μ): a Kronecker sum.",
        alone,
        vanishes=(reduced(alone + (rate + mu) * left * right.T, known),),
    )


@derivation(
    "fa-max-rate",
    title="FA's largest learning rate at its solution from zero weights is 2/((3/2)(4 g s₁²)^{1/3})",
    entry="B7",
    assumptions=("near the solution reached from zero weights", "whitened inputs", "BᵀB = g I"),
    source="derived here",
    result=lambda: feedback_alignment_max_rate(s, g, xp=sympy),
    claims=("fa-max-rate", "fa-max-rate-converges"),
)
def max_rate(result: sympy.Expr) -> Iterator[Step]:
    """Descent multiplies an error that decays as e^{−zt} by 1 − ηz. For complex z rate and turning both count."""
    x, y, rate = symbols("x y eta", positive=True)
    limit = theory.descent_limit(x, y)
    size = (1 - rate * x) ** 2 + (rate * y) ** 2
    yield Step("The square of |1 − ηz| for z = x + iy.", size)
    yield Step(
        "It is a parabola in η, equal to 1 at zero and at the limit 2x/(x² + y²): smaller between, larger beyond.",
        equation("eta_*", limit),
        vanishes=(size.subs(rate, 0) - 1, size.subs(rate, limit) - 1),
    )
    end = mode_amplitude_end(s, g, xp=sympy)
    lower, upper = g * end**2, g * end**2 / 2
    yield Step(
        "At the solution W1ᵀW1 has the eigenvalues g a*² and W2B the eigenvalues g a*²/2. The largest sum is that of "
        "the strongest mode.",
        Eq(Symbol("z"), lower + upper),
        vanishes=(lower + upper - feedback_alignment_late_rate(s, g, xp=sympy),),
    )
    yield Step(
        "So the largest learning rate is set by the strongest mode.",
        equation("eta_{max}", result),
        vanishes=(limit.subs({x: lower + upper, y: 0}) - result,),
    )


@derivation(
    "fa-bottleneck",
    title="Too few hidden units leave T(I − Π)Tᵀ = Nᵀ(N(TTᵀ)⁻¹Nᵀ)⁻¹N of the target",
    entry="B6",
    assumptions=("zero initial weights", "whitened inputs", "T of full row rank", "the rows of N span what B misses"),
    source="derived here; Garg & Vempala 2022 for the separation",
    result=lambda: unlearned_energy(MatrixSymbol("N", n, o), MatrixSymbol("K", n, n)),
    claims=("fa-bottleneck",),
)
def bottleneck(result: MatrixExpr) -> Iterator[Step]:
    """With fewer hidden units than outputs the feedback is blind to some output directions. What is lost there is a
    harmonic mean of the modes' energies, not the weakest modes alone."""
    unseen, inner = MatrixSymbol("N", n, o), MatrixSymbol("K", n, n)
    energy, inverse, middle = MatrixSymbol("X", o, o), MatrixSymbol("Y", o, o), MatrixSymbol("G", h, h)
    left = energy - energy * B.T * middle * B * energy
    known = {
        (B, energy, B.T, middle): Identity(h),
        (middle, B, energy, B.T): Identity(h),
        (unseen, inverse, unseen.T, inner): Identity(n),
        (inverse, energy): Identity(o),
        (B, unseen.T): ZeroMatrix(h, n),
        (unseen, B.T): ZeroMatrix(n, h),
    }
    yield Step(
        "With X = TTᵀ and G = (BXBᵀ)⁻¹ the projector on the rows of BT leaves T(I − Π)Tᵀ = X − XBᵀGBX.",
        left,
    )
    yield Step(
        "This matrix R satisfies BR = 0 and N X⁻¹R = N, since NBᵀ = 0 (Y stands for X⁻¹).",
        (
            Eq(B * MatrixSymbol("R", o, o), ZeroMatrix(h, o), evaluate=False),
            Eq(unseen * inverse * MatrixSymbol("R", o, o), unseen, evaluate=False),
        ),
        vanishes=(reduced(B * left, known), reduced(unseen * inverse * left - unseen, known)),
    )
    yield Step(
        "By BR = 0 and symmetry R = NᵀZN for some Z, which the second equation fixes. NᵀKN with K = (N X⁻¹Nᵀ)⁻¹ "
        "satisfies both, so it is R.",
        result,
        vanishes=(reduced(B * result, known), reduced(unseen * inverse * result - unseen, known)),
    )
