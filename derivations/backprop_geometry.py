"""The geometry of backprop: unbalanced modes, tangent kernel, Riccati flow, curvature, decay, end-to-end flow."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, expand_matrix, flow_derivative
from sympy import (
    BlockMatrix,
    Eq,
    Function,
    Identity,
    MatMul,
    MatPow,
    MatrixExpr,
    MatrixSymbol,
    Rational,
    Sum,
    Symbol,
    ZeroMatrix,
    block_collapse,
    diff,
    symbols,
)

from linfa.theory.backprop import logistic_strength, soft_threshold
from linfa.theory.end_to_end import (
    end_to_end_velocity,
    minimum_sharpness,
    pair_curvature,
    single_output_velocity,
    singular_value_velocity,
)
from linfa.theory.riccati_equation import riccati_solution, riccati_velocity
from linfa.theory.stability import backprop_max_rate, backprop_two_cycle
from linfa.theory.tangent_kernel import error_velocity
from linfa.theory.unbalanced import lazy_strength, unbalanced_amplitudes, unbalanced_strength, unbalanced_velocity

t, s, a, b, c, u0, wd, eta = symbols("t s a b c u_0 wd eta", positive=True)
L, j = symbols("L j", integer=True, positive=True)
lam = Symbol("lambda", positive=True)
i, h, o = symbols("i h o", integer=True, positive=True)
W1, W2 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h)
E, T = MatrixSymbol("E", o, i), MatrixSymbol("T", o, i)
# A network of three layers, and what its map moves by.
N, M = MatrixSymbol("N", o, o), MatrixSymbol("M", i, i)
V1, V2, V3 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", h, h), MatrixSymbol("W_3", o, h)
Grad = MatrixSymbol("G", o, i)

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


def _written_out(expression: MatrixExpr) -> MatrixExpr:
    """Squares of products as products, which alone cancel against each other."""
    expanded = expand_matrix(expression)
    return expanded.replace(
        lambda e: isinstance(e, MatPow) and e.exp.is_Integer and e.exp > 1, lambda e: MatMul(*[e.base] * int(e.exp))
    )


Sigma = MatrixSymbol("Sigma_x", i, i)


@derivation(
    "tangent-kernel",
    title="The error decays as E' = −(W2W2ᵀE + EW1ᵀW1)Σx",
    entry="A6",
    assumptions=("any data, any layer sizes", "gradient flow"),
    source="Jacot, Gabriel & Hongler 2018 in general; Braun et al. 2022 for this network",
    result=lambda: error_velocity(E, W1, W2, Sigma),
    claims=("tangent-kernel-operator", "backprop-error-decay", "fa-error-spectrum"),
)
def kernel(result: object) -> Iterator[Step]:
    """The weights decide how fast errors fall, and in which directions. For whitened inputs the operator is a sum of
    one acting from the left and one from the right, so that its eigenvalues are sums of theirs."""
    yield Step("The learning rule.", (equation("W_1'", W2.T * E), equation("W_2'", E * W1.T)))
    gap = MatrixSymbol("S_yx", o, i) - W2 * W1 * Sigma
    yield Step("The error correlation.", Eq(E, gap, evaluate=False))
    yield Step(
        "By the product rule each layer lets the error decay, one from either side.",
        equation("E'", result),
        vanishes=(flow_derivative(gap, {W1: W2.T * E, W2: E * W1.T}) - result,),
    )
    x, y = MatrixSymbol("x", i, 1), MatrixSymbol("y", o, 1)
    mu, nu = symbols("mu nu", positive=True)
    # In whitened inputs, on eigenvectors W2W2ᵀ y = μ y and W1ᵀW1 x = ν x.
    on_pair = expand_matrix(result.subs(Sigma, Identity(i)).subs(E, y * x.T))
    yield Step(
        "For whitened inputs, eigenvectors W2W2ᵀ y = μ y and W1ᵀW1 x = ν x make an eigenmatrix y xᵀ with rate μ + ν.",
        -(mu + nu) * y * x.T,
        vanishes=(on_pair + W2 * W2.T * y * x.T + y * x.T * W1.T * W1,),
    )


n = Symbol("n", integer=True, positive=True)
X, F = MatrixSymbol("X", n, n), MatrixSymbol("F", n, n)


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
            _written_out(moved[row][column] - claimed.blocks[row, column] - sandwich[row][column])
            for row in range(2)
            for column in range(2)
        ),
    )


G, Phi, Y0 = MatrixSymbol("G", n, n), MatrixSymbol("Phi", n, n), MatrixSymbol("Y_0", n, h)


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
        vanishes=(_written_out(moved - F * result - result * F.T + result * result),),
    )
    yield Step(
        "At first G = I and Φ = 0, so it starts from Y₀Y₀ᵀ.",
        Y0 * Y0.T,
        vanishes=(result.subs({G: Identity(n), Phi: ZeroMatrix(n, n)}).doit() - Y0 * Y0.T,),
    )


@derivation(
    "backprop-sharpness",
    title="The curvature of balanced minima, and the largest learning rate 2/(L s₁^{2−2/L})",
    entry="A7",
    assumptions=("whitened inputs, zero error", "balanced layers: every layer has the amplitude s^{1/L} in each mode"),
    source="Mulayoff & Michaeli 2020; the full spectrum is derived here",
    result=lambda: (pair_curvature(a, b, 3), backprop_max_rate(s, L)),
    claims=("backprop-curvature", "backprop-max-rate"),
)
def sharpness(result: tuple) -> Iterator[Step]:
    """How sharp is a minimum? Depth makes it sharper in strong modes; descent above 2/sharpness cannot stay."""
    curvature, rate = result
    d1, d2, d3 = MatrixSymbol("dW_1", h, i), MatrixSymbol("dW_2", h, h), MatrixSymbol("dW_3", o, h)
    yield Step(
        "At zero error the loss is ½‖dW‖² to second order, where dW sums the changes of all layers; here for L = 3.",
        equation("dW", V3 * V2 * d1 + V3 * d2 * V1 + d3 * V2 * V1),
    )
    # The loss in one pair of modes: a change of layer l is carried up by mode j and down by mode k.
    x = symbols("x_1:4")
    carried = [a ** Rational(3 - l, 3) * b ** Rational(l - 1, 3) for l in (1, 2, 3)]
    loss = sum(weight * step for weight, step in zip(carried, x, strict=True)) ** 2 / 2
    hessian = sympy.Matrix(3, 3, lambda m, k: diff(loss, x[m], x[k]))
    vector = sympy.Matrix(carried)
    yield Step(
        "Seen in a left mode j and a right mode k, layer l carries c_l = s_j^{(L−l)/L} s_k^{(l−1)/L}. The Hessian c cᵀ "
        "has the one non-zero eigenvalue Σ c_l²; here for L = 3.",
        Eq(Symbol("kappa"), curvature, evaluate=False),
        vanishes=tuple(hessian * vector - curvature * vector),
    )
    yield Step(
        "For j ≠ k it is a geometric sum.",
        Eq(Symbol("kappa_jk"), (a**2 - b**2) / (a ** Rational(2, 3) - b ** Rational(2, 3)), evaluate=False),
        vanishes=(curvature * (a ** Rational(2, 3) - b ** Rational(2, 3)) - (a**2 - b**2),),
    )
    term = s ** (2 * (L - j) / L) * s ** (2 * (j - 1) / L)
    top = s ** (2 - 2 / L)
    yield Step(
        "On the strongest mode with itself all L terms are equal: the sharpness is L s^{2−2/L}, here for any L.",
        Eq(Symbol("kappa_1"), L * top, evaluate=False),
        vanishes=(term - top, curvature.subs(b, a) - (L * top).subs({L: 3, s: a})),
    )
    yield Step(
        "Descent multiplies a small error by 1 − ηκ, which has size 1 at η = 2/κ.",
        Eq(Symbol("eta_max"), rate, evaluate=False),
        vanishes=(1 - rate * L * top + 1,),
    )


@derivation(
    "backprop-unbalanced-sharpness",
    title="Imbalance sharpens minima: ‖W1‖² + ‖W2‖² ≥ 2 s₁",
    entry="A7",
    assumptions=("two layers, whitened inputs, zero error", "spectral norms a of W1 and b of W2"),
    source="Mulayoff & Michaeli 2020",
    result=lambda: minimum_sharpness(a, b),
    claims=("backprop-unbalanced-sharpness",),
)
def unbalanced_minimum(result: object) -> Iterator[Step]:
    """All ways to split a map between two layers have zero loss; the balanced ones are the flattest."""
    yield Step(
        "At zero error the Hessian's non-zero eigenvalues are the rates of the tangent kernel, sums of eigenvalues of "
        "W1ᵀW1 and W2W2ᵀ: the largest are a² and b².",
        Eq(Symbol("kappa"), a**2 + b**2, evaluate=False),
    )
    yield Step(
        "Their sum exceeds 2ab by a square, and ab ≥ ‖W2W1‖₂ = s₁. The flattest minimum has a = b and ab = s₁.",
        Eq(Symbol("kappa"), result, evaluate=False),
        vanishes=(result - 2 * a * b - (a - b) ** 2,),
    )


@derivation(
    "backprop-two-cycle",
    title="Above the largest rate a balanced mode swings between two amplitudes with ab = 1/η",
    entry="A7",
    assumptions=("two balanced layers, whitened inputs", "descent with ηs > 1"),
    source="derived here; the period doubling is Chizat 2024 and Kamber 2025 for related models",
    result=lambda: backprop_two_cycle(s, eta, xp=sympy),
    claims=("backprop-two-cycle",),
)
def two_cycle(result: tuple) -> Iterator[Step]:
    """Backprop that learns too fast does not diverge. It overshoots to and fro, in a cycle that is known exactly."""
    high, low = result
    yield Step("Descent of a balanced mode.", Eq(Symbol("a_next"), a + eta * a * (s - a**2), evaluate=False))

    def update(x: object) -> object:
        return x + eta * x * (s - x**2)

    yield Step(
        "Adding and subtracting b = f(a) and a = f(b) gives a² + b² = s + 1/η and ab = 1/η.",
        (Eq(Symbol("a"), high, evaluate=False), Eq(Symbol("b"), low, evaluate=False)),
        vanishes=(sympy.expand(high * low) - 1 / eta, sympy.expand(high**2 + low**2) - s - 1 / eta),
    )
    yield Step(
        "Each is mapped to the other.",
        (Eq(Function("f")(Symbol("a")), Symbol("b")), Eq(Function("f")(Symbol("b")), Symbol("a"))),
        vanishes=(sympy.expand(update(high) - low), sympy.expand(update(low) - high)),
    )
    yield Step(
        "The cycle is born at the largest rate, where both are √s.",
        Eq(eta * s, 1, evaluate=False),
        vanishes=(high.subs(eta, 1 / s) - sympy.sqrt(s), low.subs(eta, 1 / s) - sympy.sqrt(s)),
    )


@derivation(
    "backprop-soft-threshold",
    title="Weight decay lowers each mode by wd, and removes those below it",
    entry="A8",
    assumptions=("two layers, whitened inputs", "generic start, hidden units enough for the modes that stay"),
    source="Srebro, Rennie & Jaakkola 2004",
    result=lambda: soft_threshold(s, wd, xp=sympy),
    claims=("backprop-soft-threshold", "backprop-decay-logistic", "backprop-decay-balances"),
)
def threshold(result: object) -> Iterator[Step]:
    """A penalty on the weights of a linear network is a penalty on the sum of the map's singular values: it prefers low
    rank."""
    u, x = symbols("u x", positive=True)
    yield Step(
        "Backprop with weight decay, in one mode.",
        (equation("a'", b * (s - a * b) - wd * a), equation("b'", a * (s - a * b) - wd * b)),
    )
    rest_a, rest_b = b * (s - a * b) - wd * a, a * (s - a * b) - wd * b
    yield Step(
        "At rest a a' − b b' = −wd (a² − b²) vanishes, so the layers are balanced.",
        Eq(a**2, b**2, evaluate=False),
        vanishes=(a * rest_a - b * rest_b + wd * (a**2 - b**2),),
    )
    yield Step(
        "With equal layers the decay costs wd u for a mode of strength u = ab. Unequal ones cost more, by a square.",
        wd * (a**2 + b**2) / 2,
        vanishes=(wd * (a**2 + b**2) / 2 - wd * a * b - wd * (a - b) ** 2 / 2,),
    )
    velocity = 2 * u * (s - wd - u)
    yield Step(
        "The strength of a balanced mode is logistic, with s lowered by the decay.",
        equation("u'", velocity),
        vanishes=(
            (b * rest_a + a * rest_b).subs(b, a) - velocity.subs(u, a**2),
            diff(logistic_strength(t, s - wd, u0, xp=sympy), t)
            - velocity.subs(u, logistic_strength(t, s - wd, u0, xp=sympy)),
        ),
    )
    slope = u - s + wd
    yield Step(
        "It minimises ½(s − u)² + wd u over u ≥ 0.",
        diff((s - u) ** 2 / 2 + wd * u, u),
        vanishes=(diff((s - u) ** 2 / 2 + wd * u, u) - slope,),
    )
    # Above threshold s = wd + x, below it wd = s + x.
    above, below = result.subs(s, wd + x), result.subs(wd, s + x)
    yield Step(
        "Above the threshold it ends where the slope is zero; below, at zero, where the slope wd − s is positive.",
        result,
        vanishes=(slope.subs({u: above, s: wd + x}), above - x, below, slope.subs(u, 0).subs(wd, s + x) - x),
    )


@derivation(
    "end-to-end-velocity",
    title="What a balanced network does to its map: W' = −Σ (WWᵀ)^{(L−j)/L} G (WᵀW)^{(j−1)/L}",
    entry="A9",
    assumptions=(
        "any differentiable loss of the map, G its gradient",
        "balanced layers, of any sizes",
        "shown for L = 3",
    ),
    source="Arora, Cohen & Hazan 2018",
    result=lambda: end_to_end_velocity(N, M, Grad, 3),
    claims=("end-to-end-velocity",),
)
def end_to_end(result: object) -> Iterator[Step]:
    """The layers can be forgotten: the map alone decides how it moves. Depth acts as a preconditioner that lets what is
    already large learn faster."""
    velocities = {V1: -V2.T * V3.T * Grad, V2: -V3.T * Grad * V1.T, V3: -Grad * V1.T * V2.T}
    yield Step(
        "Backprop in three layers of any loss.",
        tuple(equation(f"W_{k}'", v) for k, v in enumerate(velocities.values(), 1)),
    )
    moved = flow_derivative(V3 * V2 * V1, velocities)
    upper, lower = V3 * V2 * V2.T * V3.T, V1.T * V2.T * V2 * V1
    yield Step(
        "By the product rule, the map moves by the gradient between the layers above and those below.",
        moved,
        vanishes=(moved + upper * Grad + V3 * V3.T * Grad * V1.T * V1 + Grad * lower,),
    )
    # D1 = D2 = 0 is the balance that backprop conserves (A4).
    first, second = V2.T * V2 - V1 * V1.T, V3.T * V3 - V2 * V2.T
    outer, inner = V3 * V3.T, V1.T * V1
    yield Step(
        "With D1 = W2ᵀW2 − W1W1ᵀ = 0 and D2 = W3ᵀW3 − W2W2ᵀ = 0, N = W3W3ᵀ is the cube root of WWᵀ.",
        Eq(N, outer, evaluate=False),
        vanishes=(
            _written_out(outer * outer - upper - V3 * second * V3.T),
            V3 * V2 * V1 * V1.T * V2.T * V3.T
            - V3 * (V3.T * V3 - second) * (V3.T * V3 - second) * V3.T
            + V3 * V2 * first * V2.T * V3.T,
        ),
    )
    yield Step(
        "Likewise M = W1ᵀW1 is that of WᵀW.",
        Eq(M, inner, evaluate=False),
        vanishes=(
            _written_out(inner * inner - lower + V1.T * first * V1),
            V1.T * V2.T * V3.T * V3 * V2 * V1
            - V1.T * (V1 * V1.T + first) * (V1 * V1.T + first) * V1
            - V1.T * V2.T * second * V2 * V1,
        ),
    )
    yield Step(
        "In these roots the map moves by itself.",
        equation("W'", result),
        vanishes=(
            _written_out(
                result.subs({N: outer, M: inner}) - moved + V3 * second * V3.T * Grad - Grad * V1.T * first * V1
            ),
        ),
    )


@derivation(
    "singular-value-velocity",
    title="Singular values of the map learn at the rate L σ^{2−2/L}",
    entry="A9",
    assumptions=(
        "balanced layers, any depth and differentiable loss",
        "a simple singular value σ > 0 with vectors u, v",
    ),
    source="Arora, Cohen, Hu & Luo 2019",
    result=lambda: singular_value_velocity(s, Symbol("g", real=True), L),
    claims=("singular-value-dynamics",),
)
def singular_value(result: object) -> Iterator[Step]:
    """Depth makes the strong singular values faster and the weak ones slower: the implicit preference for low rank."""
    slope = Symbol("g", real=True)
    term = -(s ** (2 * (L - j) / L)) * slope * s ** (2 * (j - 1) / L)
    yield Step(
        "A simple singular value moves by σ' = uᵀW'v, and W' = −Σ_j (WWᵀ)^{(L−j)/L} G (WᵀW)^{(j−1)/L}. With g = uᵀGv, "
        "the j-th term of it is as follows.",
        equation("sigma_j'", term),
    )
    same = -(s ** (2 - 2 / L)) * slope
    yield Step("All L terms are the same.", same, vanishes=(sympy.powsimp(term) - same,))
    yield Step(
        "So they add up to L times one.",
        equation("sigma'", result),
        vanishes=(Sum(same, (j, 1, L)).doit() - result,),
    )


@derivation(
    "single-output-velocity",
    title="With one output, depth amplifies the gradient along the map L-fold",
    entry="A9",
    assumptions=("balanced layers, any depth and differentiable loss", "one output, w ≠ 0"),
    source="Arora, Cohen & Hazan 2018",
    result=lambda: single_output_velocity(
        sympy.Matrix([[s, 0]]), sympy.Matrix([symbols("g_1 g_2", real=True)]), L, xp=sympy
    ),
    claims=("end-to-end-velocity",),
)
def single_output(result: object) -> Iterator[Step]:
    """Axes are chosen so that the first points along w; the second stands for all others."""
    along, across = symbols("g_1 g_2", real=True)
    left = s ** (2 * (L - j) / L)
    right, row = s ** (2 * (j - 1) / L), MatrixSymbol("w", 1, 2)
    yield Step(
        "w = (σ, 0) and G = (g₁, g₂). WWᵀ = σ² is a number; (WᵀW)^p is σ^{2p} on the first axis and nothing on the "
        "others, except for p = 0, which is the identity.",
        (Eq(row * row.T, sympy.Matrix([[s**2]]), evaluate=False), Eq(row.T * row, sympy.diag(s**2, 0), evaluate=False)),
    )
    yield Step(
        "Along w all terms j = 1 … L are the same, and contribute L times.",
        Eq(Symbol("w_1'"), result[0, 0], evaluate=False),
        vanishes=(sympy.powsimp(left * right) - s ** (2 - 2 / L), result[0, 0] + L * s ** (2 - 2 / L) * along),
    )
    yield Step(
        "Across w only the term j = 1 is left.",
        Eq(Symbol("w_2'"), result[0, 1], evaluate=False),
        vanishes=(result[0, 1] + left.subs(j, 1) * across,),
    )
