"""Balanced networks at strong balance, with random couplings, in discrete time."""

from collections.abc import Iterator

import sympy
from linfa.derivations.balanced import KADMON, MANY, B, b, dt, g, left_over, m, r, sigma, tau
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Expr, Function, Symbol, diff, exp, symbols

from linfa.neighbours.balanced import closed_forms as theory


@derivation(
    "balanced-strong-balance",
    title="At strong balance white noise is cancelled to σ²E[φ'²]/(2b E[φ'])",
    entry="F3",
    assumptions=(MANY, "no delay, w = ±1"),
    source=KADMON,
    result=lambda: theory.noise_limit(b, sigma, *symbols("u v", positive=True)),
    claims=("balanced-strong-balance", "balanced-hermite"),
)
def strong_balance(result: Expr) -> Iterator[Step]:
    """Every Hermite component ends up with its own rate of decay: the cusp of c(τ) is all that matters."""
    a = Symbol("a", positive=True)
    slope, square = symbols("u v", positive=True)
    leaves = theory.filtered_variance(a - 1, r)
    yield Step("The n-th component, r = n, with power c_n²: what feedback leaves of it.", leaves)
    yield Step(
        "For large a it is n/a.",
        Eq(Symbol("J"), r / a),
        vanishes=(sympy.limit(a * leaves, a, sympy.oo) - r,),
    )
    z = Symbol("z", real=True)
    weighed = [sympy.hermite(k, z / sympy.sqrt(2)) / sympy.sqrt(2) ** k * exp(-(z**2) / 2) for k in range(6)]
    yield Step(
        "By parts, as (He_n e^{−z²/2})' = −He_{n+1} e^{−z²/2}: φ' has the coefficients √(n+1) c_{n+1}/√q, and their "
        "squares add up to E φ'² = Σ n c_n²/q.",
        Eq(Symbol("S"), sigma**2 / 2 * square),
        vanishes=tuple(diff(weighed[k], z) + weighed[k + 1] for k in range(5)),
    )
    yield Step(
        "With q = σ²/2 and a → b u this is the limit.",
        equation("Nvar", result),
        vanishes=(sigma**2 / 2 * square / (b * slope) - result,),
    )


@derivation(
    "balanced-chaos-suppressed",
    title="At strong balance activity that is smooth in time is cancelled to [c(0) − c''(0)]/B²",
    entry="F2",
    assumptions=(MANY, "no delay", "c even and smooth at 0: chaos, or coloured noise"),
    source=KADMON,
    result=lambda: theory.smooth_limit(B, *symbols("c_0 c_2", real=True)),
    claims=("balanced-chaos-suppressed", "balanced-chaos"),
)
def suppressed(result: Expr) -> Iterator[Step]:
    """Feedback follows what moves slowly. Expand c around 0: the window e^{−aτ} sees no more of it."""
    a = Symbol("a", positive=True)
    start, second, fourth = symbols("c_0 c_2 c_4", real=True)
    c = start + second * tau**2 / 2 + fourth * tau**4 / 24
    seen = sympy.integrate(sympy.expand(exp(-a * tau) * c), (tau, 0, sympy.oo))
    smooth = sympy.integrate(sympy.expand(exp(-a * tau) * (c - diff(c, tau, 2))), (tau, 0, sympy.oo)) / a
    yield Step("What feedback leaves.", Eq(Symbol("Nvar"), start - (a**2 - 1) / a * Symbol("I")))
    yield Step(
        "Integrated by parts twice, c'(0) = 0: no difference of large numbers is left.",
        Eq(Symbol("Nvar"), sympy.Integral(exp(-a * tau) * (Function("c")(tau) - Symbol("c''")), tau) / a),
        vanishes=(start - (a**2 - 1) / a * seen - smooth,),
    )
    leading = sympy.limit(a**2 * smooth, a, sympy.oo)
    yield Step(
        "For large a only the values at 0 remain.",
        equation("Nvar", result),
        vanishes=(leading / B**2 - result,),
    )


@derivation(
    "balanced-disorder-linear",
    title="Linear networks with couplings g G: N var = σ²(ak + 1)/(2k a(a + k)), k = √(1 − g²)",
    entry="F5",
    assumptions=(MANY, "linear φ, g < 1, white noise", "no delay"),
    source=f"{KADMON}; simplified here",
    result=lambda: theory.linear_variance(B, sigma, Symbol("g", positive=True), xp=sympy),
    claims=("balanced-disorder-linear",),
)
def linear(result: Expr) -> Iterator[Step]:
    """Random couplings make fluctuations larger and slower; feedback does the rest as without them. For linear neurons
    the dynamic mean-field theory is solved by an exponential."""
    a, k = 1 + B, sympy.sqrt(1 - g**2)
    frozen = g**2 * m**2 / (1 - g**2)
    covariance = frozen + sigma**2 / (2 * k) * exp(-k * tau)
    delta = Function("Delta")(tau)
    yield Step(
        "Fields have the autocovariance Δ around w m; C(Δ) = m² + Δ.",
        (Eq(diff(delta, tau, 2), delta - g**2 * (m**2 + delta)), Eq(Symbol("Delta'(0)"), -(sigma**2) / 2)),
    )
    yield Step(
        "A frozen part and an exponential solve it.",
        equation("Delta", covariance),
        vanishes=(
            diff(covariance, tau, 2) - covariance + g**2 * (m**2 + covariance),
            diff(covariance, tau).subs(tau, 0) + sigma**2 / 2,
        ),
    )
    height = -(tau**2) / 2 + g**2 * (m**2 * tau + tau**2 / 2)
    yield Step(
        "Energy is conserved along it: V(Δ₀) + σ⁴/8 = V(Δ_∞), V = −Δ²/2 + g²∫C, which fixes Δ₀ for any φ.",
        Eq(Symbol("V_0") + sigma**4 / 8, Symbol("V_oo")),
        vanishes=(
            diff(covariance, tau) ** 2 / 2 + height.subs(tau, covariance) - height.subs(tau, frozen),
            height.subs(tau, covariance.subs(tau, 0)) + sigma**4 / 8 - height.subs(tau, frozen),
        ),
    )
    yield Step(
        "Feedback filters the exponential of rate k.",
        equation("Nvar", result),
        vanishes=(left_over({k: sigma**2 / (2 * k)}, a) - result,),
    )
    yield Step(
        "The same as a fraction that is 0/0 at g = b = 0.",
        sigma**2 * (g**2 * a + (a**2 - 1) * k) / (2 * k * a * (a**2 - k**2)),
        vanishes=(sigma**2 * (g**2 * a + (a**2 - 1) * k) / (2 * k * a * (a**2 - k**2)) - result,),
    )


@derivation(
    "balanced-frozen-linear",
    title="Between linear networks the mean of x̂ scatters with variance g²m²/((1 − g²)(1 + b)²N)",
    entry="F5",
    assumptions=(MANY, "linear φ, g < 1"),
    source=KADMON,
    result=lambda: theory.quenched_linear_variance(b, Symbol("x", positive=True), g),
    claims=("balanced-frozen-linear",),
)
def frozen_linear(result: Expr) -> Iterator[Step]:
    """Couplings that stay as they are leave each neuron with an offset, and the read-out with their mean."""
    x, q = symbols("x q", positive=True)
    field = b * x / (1 + b)
    yield Step("Offsets have the variance q that they cause themselves.", Eq(q, g**2 * (m**2 + q), evaluate=False))
    offsets = g**2 * m**2 / (1 - g**2)
    yield Step(
        "Solved for q; the field is m = b (x − m).",
        (equation("q", offsets), equation("m", field)),
        vanishes=(g**2 * (m**2 + offsets) - offsets, b * (x - field) - field),
    )
    yield Step(
        "Their mean over N neurons moves x̂, and feedback divides it by 1 + b.",
        equation("Nvar", result),
        vanishes=(offsets.subs(m, field) / (1 + b) ** 2 - result,),
    )


@derivation(
    "balanced-frozen",
    title="Between networks with frozen activity x̂ scatters with the sums of φ and of φ² together",
    entry="M2",
    assumptions=("σ = 0, below the onset of chaos", "fluctuations of order 1/√N, linear in each other"),
    source="derived here",
    result=lambda: theory.frozen_variance_between(
        *symbols("A_11 A_21 A_12 A_22", positive=True), symbols("v_1 v_12 v_2", positive=True)
    ),
    claims=("balanced-frozen",),
)
def frozen(result: Expr) -> Iterator[Step]:
    """Two sums over neurons are random: S₁ of wφ sets the common field, S₂ of φ² the size of the random one. Each moves
    the other."""
    gain, cross, other, own = symbols("A_11 A_21 A_12 A_22", positive=True)
    first, mixed, second = symbols("v_1 v_12 v_2", positive=True)
    zeta = sympy.Matrix(symbols("zeta_1 zeta_2"))
    loop = sympy.Matrix([[1 + gain, -other], [cross, 1 - own]])
    sums, moved = loop.solve(zeta), sympy.Matrix(symbols("S_1 S_2"))
    yield Step(
        "δm = −b δS₁ and δq = g² δS₂ put into the averages.",
        tuple(Eq(left, right, evaluate=False) for left, right in zip(loop * moved, zeta, strict=True)),
    )
    yield Step(
        "Solved for δS₁.",
        equation("S_1", sums[0]),
        vanishes=tuple(loop * sums - zeta),
    )
    parts = [sympy.diff(sums[0], z) for z in zeta]
    yield Step(
        "Its variance from those of ζ, which are the variances of φ, φ² and their covariance.",
        equation("Nvar", result),
        vanishes=(parts[0] ** 2 * first + 2 * parts[0] * parts[1] * mixed + parts[1] ** 2 * second - result,),
    )


@derivation(
    "balanced-chaos-onset",
    title="A frozen state has the Lyapunov exponent g√(E φ'²) − 1: chaos begins where g²E φ'² = 1",
    entry="F1",
    assumptions=("infinitely many neurons", "frozen activity, no delay"),
    source="Sompolinsky, Crisanti & Sommers 1988",
    result=lambda: theory.frozen_exponent(g, Symbol("v", positive=True), xp=sympy),
    claims=("balanced-chaos-onset", "balanced-lyapunov"),
)
def onset(result: Expr) -> Iterator[Step]:
    """Two copies of a network that start a little apart: does their distance grow? Random couplings carry on the mean
    square of what each neuron passes on; the common feedback is one direction among N."""
    square, t, u = symbols("v t u", positive=True)
    moved = exp(result * (t + u))
    distance = Function("F")(t, u)
    yield Step(
        "The covariance F(t, t') of the distance obeys (∂ + 1)(∂' + 1) F = g² E[φ'φ'] F.",
        Eq(diff(distance, t, u) + diff(distance, t) + diff(distance, u) + distance, g**2 * square * distance),
    )
    yield Step(
        "In F = e^{λ(t+t')} ψ(t − t') this is −ψ'' − g²E[φ'φ'] ψ = −(1 + λ)² ψ; a frozen state's E[φ'φ'] is constant, "
        "and so is ψ.",
        equation("lambda", result),
        vanishes=(
            diff(moved, t, u) + diff(moved, t) + diff(moved, u) + moved - g**2 * square * moved,
            result.subs(g, 1 / sympy.sqrt(square)),
        ),
    )


@derivation(
    "balanced-euler",
    title="The exponential Euler scheme gives σ²/(2a(1 − B tanh(dt/2))): feedback lags by half a step",
    entry="F3",
    assumptions=("linear φ, no delay", "B tanh(dt/2) < 1, or the scheme is unstable"),
    source="derived here",
    result=lambda: theory.euler_variance(B, sigma, dt, xp=sympy),
    claims=("balanced-euler",),
)
def euler(result: Expr) -> Iterator[Step]:
    """What a simulation gives is the theory of its scheme."""
    kept = exp(-dt)
    carried = kept - (1 - kept) * B
    yield Step(
        "One step of the read-out, with noise exact for the leak.",
        Eq(Symbol("y_1"), carried * Symbol("y_0") + sigma * sympy.sqrt((1 - kept**2) / 2) * Symbol("n")),
    )
    yield Step(
        "The variance that a step leaves as it is.",
        equation("Nvar", result),
        vanishes=((carried**2 * result + sigma**2 * (1 - kept**2) / 2 - result).rewrite(exp),),
    )
    yield Step(
        "For short steps its excess is that of B dt/2.",
        Eq(Symbol("ratio"), 1 / (1 - B * dt / 2)),
        vanishes=(sympy.series(result * 2 * (1 + B) / sigma**2 - 1 / (1 - B * dt / 2), dt, 0, 3).removeO(),),
    )
