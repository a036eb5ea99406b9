"""One mode of feedback alignment from any start: a cubic flow on a line, its ends, its times, its slow places."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Expr, Symbol, diff, symbols

from linfa.theory import scalar_alignment as theory

a, w, s, b, c, k, u, x, g = symbols("a w s b c k u x g", positive=True)
a0, r1, r2 = symbols("a_0 r_1 r_2", positive=True)


def _along(expression: Expr, velocities: dict) -> Expr:
    """d/dt of an expression whose symbols move with the given velocities."""
    return sum(diff(expression, symbol) * velocity for symbol, velocity in velocities.items())


@derivation(
    "fa-scalar-flow",
    title="One mode of FA is a cubic flow: a' = b s + (c a − a³)/2",
    entry="B3",
    assumptions=("one input, one hidden unit, one output; or one mode, with b = √g", "any start"),
    source="Baldi, Sadowski & Lu 2018; the flow in this form is derived here",
    result=lambda: theory.scalar_velocity(a, s, b, c),
    claims=("fa-scalar-ends", "fa-scalar-time"),
)
def flow(result: Expr) -> Iterator[Step]:
    """Two weights move along a parabola that the start has chosen. On it a single number is left, and a cubic with a
    negative leading coefficient always comes to rest: scalar feedback alignment always converges to zero error."""
    error = s - w * a
    velocities = {a: b * error, w: error * a}
    balance = theory.scalar_balance(a, w, b)
    yield Step(
        "The learning rule: the lower weight gets the error through b instead of w.",
        (equation("a'", velocities[a]), equation("w'", velocities[w])),
    )
    yield Step(
        "The parabola a² − 2bw = c does not move.",
        equation("c", balance),
        vanishes=(_along(balance, velocities),),
    )
    yield Step(
        "With w = (a² − c)/(2b) the lower weight moves on its own.",
        equation("a'", result),
        vanishes=(result.subs(c, balance) - velocities[a],),
    )
    rate = theory.relaxation_rate(a, c)
    yield Step(
        "Where it rests the error is zero, since a' = b e. Errors there decay at the rate (3a² − c)/2 = a² + bw: "
        "stable where this is positive.",
        equation("lambda", rate),
        vanishes=(diff(result, a) + rate, rate.subs(c, balance) - (a**2 + b * w)),
    )


@derivation(
    "fa-scalar-threshold",
    title="Three zero-error points exist above c = 3(b s)^{2/3}, one below",
    entry="B3",
    assumptions=("scalar feedback alignment, b s > 0",),
    source="derived here",
    result=lambda: theory.critical_balance(s, b, xp=sympy),
    claims=("fa-scalar-threshold",),
)
def threshold(result: Expr) -> Iterator[Step]:
    """Above this balance a network that starts against its feedback may end there: zero error, and a weight of the
    wrong sign for ever."""
    cubic = a**3 - c * a - 2 * b * s
    yield Step("The points of zero error are the roots of a cubic.", Eq(cubic, 0))
    discriminant = 4 * (c**3 - 27 * b**2 * s**2)
    yield Step(
        "It has three real roots exactly where its discriminant is positive.",
        Eq(Symbol("D"), discriminant),
        vanishes=(sympy.discriminant(cubic, a) - discriminant,),
    )
    yield Step(
        "The discriminant grows with c and vanishes at the critical balance.",
        equation("c_*", result),
        vanishes=(discriminant.subs(c, result),),
    )
    double = -sympy.cbrt(b * s)
    yield Step(
        "There two roots have merged at −(bs)^{1/3}, and the third is at 2(bs)^{1/3}.",
        equation("a_*", double),
        vanishes=tuple(cubic.subs({c: result}).subs(a, root) for root in (double, -2 * double)),
    )


@derivation(
    "fa-scalar-time",
    title="The time to any value is a sum of three logarithms",
    entry="B3",
    assumptions=("scalar feedback alignment", "three different zero-error points; complex ones come in a pair"),
    source="derived here",
    result=lambda: theory.relaxation_time(a, a0, (r1, r2, -r1 - r2), xp=sympy),
    claims=("fa-scalar-time",),
)
def time(result: Expr) -> Iterator[Step]:
    """Partial fractions turn the cubic flow into logarithms. The three roots add up to zero, so two of them stand for
    the balance and the strength of the task."""
    r3 = -r1 - r2
    balance, drive = -(r1 * r2 + r1 * r3 + r2 * r3), r1 * r2 * r3 / 2
    velocity = theory.scalar_velocity(a, drive, 1, balance)
    yield Step(
        "The roots fix the flow: bs is half their product, and c is minus the sum of their products in pairs.",
        equation("a'", velocity),
    )
    yield Step(
        "In factors.",
        equation("a'", -(a - r1) * (a - r2) * (a - r3) / 2),
        vanishes=(velocity + (a - r1) * (a - r2) * (a - r3) / 2,),
    )
    yield Step(
        "The time to reach a has the derivative 1/a', and is zero at the start.",
        equation("t", result),
        vanishes=(diff(result, a) * velocity - 1, result.subs(a, a0)),
    )


@derivation(
    "fa-scalar-zero",
    title="From zero weights the map obeys u' = (3/2)(2bu)^{2/3}(s − u): no plateau",
    entry="B3",
    assumptions=("scalar feedback alignment with a(0) = w(0) = 0, so c = 0",),
    source="derived here",
    result=lambda: theory.map_velocity(u, s, b, xp=sympy),
    claims=("fa-scalar-zero",),
)
def zero(result: Expr) -> Iterator[Step]:
    """Backprop has u' = 2u(s − u), to which zero is a point of rest. Under feedback alignment u grows as t³ from zero:
    the power 2/3 makes all the difference."""
    velocity = theory.scalar_velocity(a, s, b, 0)
    upper = theory.upper_weight(a, b, 0)
    yield Step(
        "On the parabola through zero.",
        (equation("a'", velocity), equation("w", upper), equation("u", a * upper)),
    )
    yield Step(
        "The map u = wa = a³/(2b) moves as follows.",
        equation("u'", result),
        vanishes=(diff(a * upper, a) * velocity - result.subs(u, a * upper),),
    )
    end = sympy.cbrt(2 * b * s)
    ends = (end, sympy.cbrt(s**2 / (2 * b)))
    yield Step(
        "It ends where a = (2bs)^{1/3} and w = (s²/2b)^{1/3}.",
        (equation("a^*", ends[0]), equation("w^*", ends[1])),
        vanishes=(velocity.subs(a, end), upper.subs(a, end) - ends[1], result.subs(u, ends[0] * ends[1])),
    )


@derivation(
    "fa-scalar-lazy",
    title="With large upper weights all modes relax at |c|/2, faster by 12(bs)²/|c|³ of it",
    entry="B3",
    assumptions=("scalar feedback alignment", "−c = k, large against the square of the end point"),
    source="derived here",
    result=lambda: theory.lazy_excess(s, b, -k),
    claims=("fa-scalar-lazy",),
)
def lazy(result: Expr) -> Iterator[Step]:
    """The lazy regime: the upper weight 2bw(0) ≈ k hardly moves, and the order of learning forgets which modes are
    strong."""
    drive = a * (k + a**2) / (2 * b)
    yield Step(
        "The end point a solves the cubic, which is easier to read as the strength that belongs to it.", Eq(s, drive)
    )
    yield Step(
        "The end point is a zero of the flow.",
        equation("a'", theory.scalar_velocity(a, s, b, -k)),
        vanishes=(theory.scalar_velocity(a, drive, b, -k),),
    )
    excess = theory.relaxation_rate(a, -k) / (k / 2) - 1
    yield Step(
        "Errors decay there at the rate k/2, up to a relative excess.",
        equation("delta", excess),
        vanishes=(excess - 3 * a**2 / k,),
    )
    ratio = result.subs(s, drive) / excess
    yield Step(
        "In the strength of the mode it is the result, as a²/k goes to zero.",
        equation("delta", result),
        vanishes=(sympy.limit(sympy.simplify(ratio.subs(a, x * sympy.sqrt(k))), x, 0) - 1,),
    )


@derivation(
    "fa-scalar-delay",
    title="Just below the critical balance a start against the feedback loses the time π√(2/(μ√(3c)))",
    entry="B3",
    assumptions=("scalar feedback alignment", "μ = bs − (c/3)^{3/2} > 0 small", "start below −√(c/3)"),
    source="derived here; the passage of a bottleneck is Strogatz 1994",
    result=lambda: theory.ghost_delay(k, c, xp=sympy),
    claims=("fa-scalar-delay",),
)
def delay(result: Expr) -> Iterator[Step]:
    """Where two points of zero error have just vanished, their ghost still holds the weights: a plateau that has
    nothing to do with a saddle."""
    place = -sympy.sqrt(c / 3)
    velocity = theory.scalar_velocity(a, s, b, c)
    yield Step("The flow of scalar alignment.", equation("a'", velocity))
    yield Step(
        "It is slowest at −√(c/3), where a' = μ, and curves upwards by √(3c).",
        equation("mu", b * s - sympy.sqrt(c / 3) ** 3),
        vanishes=(
            diff(velocity, a).subs(a, place),
            velocity.subs(a, place) - (b * s - sympy.sqrt(c / 3) ** 3),
            diff(velocity, a, 2).subs(a, place) - sympy.sqrt(3 * c),
        ),
    )
    curvature = sympy.sqrt(3 * c)
    passage = sympy.sqrt(2 / (k * curvature)) * sympy.atan(x * sympy.sqrt(curvature / (2 * k)))
    yield Step(
        "Nearby, with x the distance, x' = μ + √(3c) x²/2 (k stands for μ). Its time is an arcus tangens.",
        equation("t", passage),
        vanishes=(diff(passage, x) * (k + curvature * x**2 / 2) - 1,),
    )
    yield Step(
        "From far below to far above the arcus tangens grows by π.",
        equation("t_{delay}", result),
        vanishes=(result - 2 * sympy.limit(passage, x, sympy.oo),),
    )


@derivation(
    "fa-scalar-chain",
    title="A chain of single units is a flow on a line whose polynomial has odd degree 2^L − 1: it converges",
    entry="B3",
    assumptions=("one unit in each layer", "feedback along the chain, none of it zero", "shown for L = 4"),
    source="Baldi, Sadowski & Lu 2018; derived here in this form",
    result=lambda: theory.scalar_chain_velocity(a, s, symbols("b_2:5", positive=True), symbols("c_1:4", positive=True)),
    claims=("fa-scalar-chain",),
)
def chain(result: Expr) -> Iterator[Step]:
    """Each layer is tied to the one below by a parabola of its own. In the end all hangs on the lowest weight."""
    layers, back, held = (
        symbols("a_1:5", positive=True),
        symbols("b_2:5", positive=True),
        symbols("c_1:4", positive=True),
    )
    product = sympy.prod(layers)
    signal = s - product
    velocities = {}
    for depth in range(3, -1, -1):
        velocities[layers[depth]] = signal * sympy.prod(layers[:depth])
        if depth:
            signal = signal * back[depth - 1]
    yield Step(
        "Each layer multiplies what arrives from below by the error that the feedback brings from above.",
        tuple(equation(f"a_{n + 1}'", velocities[layer]) for n, layer in enumerate(layers)),
    )
    balances = [theory.scalar_balance(layers[n], layers[n + 1], back[n]) for n in range(3)]
    yield Step(
        "In every layer a_l² − 2 b_{l+1} a_{l+1} does not move.",
        tuple(equation(f"c_{n + 1}", balance) for n, balance in enumerate(balances)),
        vanishes=tuple(_along(balance, velocities) for balance in balances),
    )
    yield Step(
        "So the upper layers are functions of the lowest, which moves on its own.",
        equation("a_1'", result),
        vanishes=(result.subs(dict(zip(held, balances, strict=True))).subs(a, layers[0]) - velocities[layers[0]],),
    )
    leading = sympy.Poly(sympy.expand(result), a).coeff_monomial(a**15)
    expected = -(back[0] * back[1] * back[2]) / (2**11 * back[0] ** 7 * back[1] ** 3 * back[2])
    yield Step(
        "The degree is 15 = 2⁴ − 1. Every b occurs with an even power in the leading coefficient, so that it is "
        "negative whatever the signs of the feedback.",
        Eq(Symbol("kappa"), expected),
        vanishes=(leading - expected, sympy.Integer(sympy.Poly(sympy.expand(result), a).degree() - 15)),
    )


@derivation(
    "fa-opposed-start",
    title="From W2 = −κBᵀ a mode's error rises to s + (2/3)gκ√(2κ/3) and then falls to zero",
    entry="B7",
    assumptions=("W1(0) = 0, W2(0) = −κBᵀ, κ > 0", "whitened inputs", "BᵀB = g I", "any target T = U diag(s) Vᵀ"),
    source="derived here",
    result=lambda: theory.opposed_peak(s, g, k, xp=sympy),
    claims=("fa-opposed-start",),
)
def opposed(result: Expr) -> Iterator[Step]:
    """The worst start for feedback alignment teaches W1 the wrong way. But growing W1 turns W2: the rise of the loss
    is a transient, and every mode converges."""
    m = Symbol("m")
    yield Step(
        "In the modes, W1 = B U diag(a) Vᵀ and W2 = U diag(m) Uᵀ Bᵀ with m(0) = −κ (here k).",
        (equation("a'", s - g * m * a), equation("m'", (s - g * m * a) * a)),
    )
    upper = a**2 / 2 - k
    error = s - g * upper * a
    yield Step(
        "Dividing, dm/da = a, so m = a²/2 − κ and one equation is left.",
        equation("e", error),
        vanishes=(diff(upper, a) - a, upper.subs(a, 0) + k),
    )
    root = sympy.sqrt(g)
    yield Step(
        "It is scalar feedback alignment with b = √g, the lower weight √g a, and the balance c = 2gκ.",
        equation("a'", error),
        vanishes=(root * error - theory.scalar_velocity(root * a, s, root, 2 * g * k),),
    )
    peak = sympy.sqrt(2 * k / 3)
    yield Step(
        "The error is largest where de/da = 0, at a² = 2κ/3. Beyond, it falls: a moves on until it is zero.",
        equation("e_{max}", result),
        vanishes=(diff(error, a).subs(a, peak), error.subs(a, peak) - result),
    )
