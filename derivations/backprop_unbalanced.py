"""Exact courses of backprop beyond balanced modes: from rich to lazy, and λ-balanced networks as a Riccati equation."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import written_out
from sympy import (
    BlockMatrix,
    Eq,
    Function,
    Identity,
    MatrixSymbol,
    Rational,
    Symbol,
    ZeroMatrix,
    block_collapse,
    diff,
    symbols,
)

from linfa.theory.backprop import logistic_strength
from linfa.theory.riccati_equation import riccati_solution, riccati_velocity
from linfa.theory.unbalanced import lazy_strength, unbalanced_amplitudes, unbalanced_strength, unbalanced_velocity

t, s, a, b, u0, lam = symbols("t s a b u_0 lambda", positive=True)
i, h, o, n = symbols("i h o n", integer=True, positive=True)
W1, W2, T = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("T", o, i)
X, F = MatrixSymbol("X", n, n), MatrixSymbol("F", n, n)
G, Phi, Y0 = MatrixSymbol("G", n, n), MatrixSymbol("Phi", n, n), MatrixSymbol("Y_0", n, h)

MODE = "W1 = R diag(a) Vᵀ and W2 = U diag(b) Rᵀ in the task's modes"


@derivation(
    "backprop-unbalanced-mode",
    title="Unbalanced layers: u' = √(λ² + 4u²)(s − u)",
    entry="A3",
    assumptions=("two layers, whitened inputs", "aligned start: " + MODE, "gradient flow"),
    source="Saxe, McClelland & Ganguli 2013",
    result=lambda: (
        unbalanced_velocity(a * b, s, b**2 - a**2, xp=sympy),
        *unbalanced_amplitudes(a * b, b**2 - a**2, xp=sympy),
    ),
    claims=("backprop-unbalanced",),
)
def unbalanced_mode(result: tuple) -> Iterator[Step]:
    """If one layer starts larger than the other, the smaller one gets the error through a strong partner from the very
    beginning: the plateau disappears. What is conserved, λ, says how much of it."""
    velocity, lower, upper = result
    error = s - a * b
    yield Step(
        "In a mode, W1' = W2ᵀE and W2' = EW1ᵀ are two numbers, a of W1 and b of W2.",
        (equation("a'", b * error), equation("b'", error * a)),
    )
    balance = b**2 - a**2
    yield Step(
        "λ = b² − a² is conserved.",
        equation("lambda", balance),
        vanishes=(2 * b * error * a - 2 * a * b * error,),
    )
    yield Step(
        "The map u = ab moves by the sum of both squares times the error.",
        equation("u'", (a**2 + b**2) * error),
        vanishes=(a * error * a + b * b * error - (a**2 + b**2) * error,),
    )
    yield Step(
        "That sum of squares is √(λ² + 4u²), because (a² + b²)² = (b² − a²)² + 4a²b².",
        equation("u'", velocity),
        vanishes=((a**2 + b**2) ** 2 - balance**2 - 4 * (a * b) ** 2, _roots(velocity) - (a**2 + b**2) * error),
    )
    yield Step(
        "Sum and difference of the squares give both amplitudes back.",
        (equation("a", lower), equation("b", upper)),
        vanishes=(_roots(lower) - a, _roots(upper) - b),
    )


@derivation(
    "backprop-unbalanced-curve",
    title="The curve from rich to lazy in closed form",
    entry="A3",
    assumptions=(
        "u' = √(λ² + 4u²)(s − u) from u₀, here in the range 0 < u₀ < s; the formula holds beyond by continuation",
    ),
    source="derived here",
    result=lambda: unbalanced_strength(t, s, u0, lam, xp=sympy),
    claims=("backprop-unbalanced", "backprop-rich-and-lazy"),
)
def unbalanced_curve(result: object) -> Iterator[Step]:
    """One formula holds for all λ. At λ = 0 it is the logistic curve of rich learning; for large λ it is the
    exponential of lazy learning, in which the network is a linear model of fixed features."""
    # With u₀ = (λ/2) sinh θ and s = (λ/2) sinh φ all square roots become rational in e^θ and e^φ.
    p, q, x = symbols("p q x", positive=True)
    rational = {u0: lam * (p - 1 / p) / 4, s: lam * (q - 1 / q) / 4}
    cosh = lam * (q + 1 / q) / 2
    u = Function("u")
    yield Step("The mode equation.", equation("u'", unbalanced_velocity(Symbol("u"), s, lam, xp=sympy)))
    # Time enters through x = e^{−Rt} alone, with x' = −R x.
    root = sympy.sqrt(lam**2 + 4 * s**2)
    in_x = result.subs(sympy.exp(-2 * root * t), x**2).subs(sympy.exp(-root * t), x)
    curve = sympy.factor(_roots(in_x.subs(rational)))
    rate = sympy.factor(diff(curve, x) * (-cosh * x))
    ratio = sympy.factor(rate / (rational[s] - curve))
    yield Step(
        "Its solution: u'/(s − u), a rational function of e^{−Rt}, squares to λ² + 4u².",
        Eq(u(t), result, evaluate=False),
        vanishes=(sympy.numer(sympy.together(ratio**2 - lam**2 - 4 * curve**2)),),
    )
    start = rate.subs(x, 1)
    yield Step(
        "It starts at u₀ with the right sign of u', and ends at s.",
        Eq(u(0), u0, evaluate=False),
        vanishes=(
            curve.subs(x, 1) - rational[u0],
            start - lam * (p + 1 / p) / 2 * (rational[s] - rational[u0]),
            curve.subs(x, 0) - rational[s],
        ),
    )
    yield Step(
        "Without imbalance, where x = e^{−2st}, this is the logistic curve.",
        Eq(lam, 0, evaluate=False),
        vanishes=(in_x.subs(lam, 0) - logistic_strength(t, s, u0, xp=sympy).subs(sympy.exp(-2 * s * t), x),),
    )
    # With λ = 1/ε both roots are 1/ε to leading order.
    epsilon = Symbol("epsilon", positive=True)
    scaled = in_x.subs({root: 1 / epsilon, sympy.sqrt(lam**2 + 4 * u0**2): 1 / epsilon}).subs(lam, 1 / epsilon)
    limit = sympy.cancel(scaled).subs(epsilon, 0)
    exponential = lazy_strength(t, s, u0, lam, xp=sympy)
    yield Step(
        "For large λ, where R = λ and x = e^{−λt}, it is the exponential of a linear model.",
        exponential,
        vanishes=(limit - exponential.subs(sympy.exp(-lam * t), x),),
    )


def _roots(expression: object) -> object:
    """Square roots of perfect squares of positive symbols, taken."""
    return expression.replace(
        lambda e: e.is_Pow and e.exp == Rational(1, 2),
        lambda e: sympy.powdenest(sympy.sqrt(sympy.factor(e.base)), force=True),
    )


@derivation(
    "backprop-riccati",
    title="λ-balanced backprop is a matrix Riccati equation",
    entry="A5",
    assumptions=("two layers, whitened inputs, any sizes and ranks", "W2ᵀW2 − W1W1ᵀ = λ I"),
    source="Fukumizu 1998; Braun et al. 2022; Dominé et al. 2024",
    result=lambda: riccati_velocity(X, F),
    claims=("backprop-riccati",),
)
def riccati(result: object) -> Iterator[Step]:
    """Stack both layers into Y = [W1ᵀ; W2]. The square X = YYᵀ holds the map and what both layers represent, and
    balance lets it move by itself: no weights are left in its equation."""
    balance = Symbol("lambda", real=True)
    velocities = {W1: W2.T * (T - W2 * W1), W2: (T - W2 * W1) * W1.T}
    yield Step(
        "The learning rule, with E = T − W2W1.",
        tuple(equation(f"W_{k}'", v) for k, v in enumerate(velocities.values(), 1)),
    )
    blocks = [[W1.T * W1, W1.T * W2.T], [W2 * W1, W2 * W2.T]]
    flow = [[-balance / 2 * Identity(i), T.T], [T, balance / 2 * Identity(o)]]
    square, field = BlockMatrix(blocks), BlockMatrix(flow)
    yield Step("X = YYᵀ in blocks, and the field F.", (Eq(X, square, evaluate=False), Eq(F, field, evaluate=False)))
    # D = 0 is the balance that backprop conserves (A4); what is not yet equal must be a multiple of it.
    imbalance = W2.T * W2 - W1 * W1.T - balance * Identity(h)
    sandwich = [[-W1.T * imbalance * W1, ZeroMatrix(i, o)], [ZeroMatrix(o, i), W2 * imbalance * W2.T]]
    claimed = block_collapse(result.subs({X: square, F: field}))
    moved = [[flow_derivative(entry, velocities) for entry in row] for row in blocks]
    yield Step(
        "X moves as FX + XF − X², up to terms that hold the factor W2ᵀW2 − W1W1ᵀ − λI = 0.",
        equation("X'", result),
        vanishes=tuple(
            written_out(moved[row][column] - claimed.blocks[row, column] - sandwich[row][column])
            for row in range(2)
            for column in range(2)
        ),
    )


@derivation(
    "backprop-riccati-solution",
    title="Its solution needs no inverse of F: X = e^{Ft}Y₀(I + Y₀ᵀΦY₀)^{−1}Y₀ᵀe^{Ft}",
    entry="A5",
    assumptions=("X' = FX + XF − X², F = Fᵀ", "X(0) = Y₀Y₀ᵀ of any rank"),
    source="the integral form is derived here; the solution is Fukumizu 1998",
    result=lambda: riccati_solution(Y0, G, Phi, Identity(h)),
    claims=("backprop-riccati",),
)
def riccati_solved(result: object) -> Iterator[Step]:
    """Without its quadratic term the equation would be solved by exponentials on both sides. The quadratic term only
    adds a denominator, which collects what has grown so far."""
    velocities = {G: F * G, Phi: G.T * G}
    yield Step(
        "Let G = e^{Ft}, so that G' = FG, and Φ = ∫ e^{2Fs} ds, so that Φ' = GᵀG.",
        (equation("G'", F * G), equation("Phi'", G.T * G)),
    )
    moved = flow_derivative(result, velocities)
    yield Step(
        "The following X obeys X' = FX + XFᵀ − X², and Fᵀ = F: the Riccati equation.",
        Eq(X, result, evaluate=False),
        vanishes=(written_out(moved - F * result - result * F.T + result * result),),
    )
    yield Step(
        "At first G = I and Φ = 0, so it starts from Y₀Y₀ᵀ.",
        Y0 * Y0.T,
        vanishes=(result.subs({G: Identity(n), Phi: ZeroMatrix(n, n)}).doit() - Y0 * Y0.T,),
    )
