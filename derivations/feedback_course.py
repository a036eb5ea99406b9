"""The course of the error under fixed feedback: how it starts, how fast it ends, at which rates, what is left over."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import reduced
from sympy import Eq, Identity, MatrixExpr, MatrixSymbol, Symbol, ZeroMatrix, diff, symbols

from linfa.theory.alignment_laws import descent_limit, error_velocity
from linfa.theory.feedback_alignment import map_strength, mode_amplitude_end, rise_time
from linfa.theory.leakage import leaked, unlearned_energy
from linfa.theory.stability import feedback_alignment_late_rate, feedback_alignment_max_rate
from linfa.theory.zero_start import early_correction, early_strength, late_error

i, h, o, r, n = symbols("i h o r n", integer=True, positive=True)
g, s, t, z = symbols("g s t z", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E, T = MatrixSymbol("E", o, i), MatrixSymbol("T", o, i)


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
        vanishes=(reduced(error_velocity(E, W1, W2, back) + E * W1.T * W1, {(p, E): ZeroMatrix(r, i)}),),
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
    result=lambda: error_velocity(E, W1, W2, B),
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
    limit = descent_limit(x, y)
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
