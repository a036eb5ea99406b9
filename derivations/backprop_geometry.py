"""The geometry of backprop's loss: tangent kernel, curvature and the rates it allows, weight decay as a penalty."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, expand_matrix, flow_derivative
from sympy import Eq, Function, Identity, MatrixSymbol, Rational, Symbol, diff, symbols

from linfa.theory.backprop import logistic_strength, soft_threshold
from linfa.theory.end_to_end import minimum_sharpness, pair_curvature
from linfa.theory.stability import backprop_max_rate, backprop_two_cycle
from linfa.theory.tangent_kernel import error_velocity

t, s, a, b, u0, wd, eta = symbols("t s a b u_0 wd eta", positive=True)
L, j = symbols("L j", integer=True, positive=True)
i, h, o = symbols("i h o", integer=True, positive=True)
W1, W2 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h)
E, Sigma = MatrixSymbol("E", o, i), MatrixSymbol("Sigma_x", i, i)
# A network of three layers.
V1, V2, V3 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", h, h), MatrixSymbol("W_3", o, h)


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
