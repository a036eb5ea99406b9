"""Feedback alignment with weight decay: fixed point, laws for strong and weak modes, limit without decay."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Expr, MatrixExpr, MatrixSymbol, diff, symbols

from linfa.theory.decay_limits import decayed_target, strong_error, weak_strength
from linfa.theory.feedback_alignment import decayed_error

i, h, o = symbols("i h o", integer=True, positive=True)
s, g, e, d1, d2, theta, k = symbols("s g e d_1 d_2 theta k", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E = MatrixSymbol("E", o, i)


def triple_angle(expression: Expr) -> Expr:
    """4 sinh³x = sinh 3x − 3 sinh x, applied wherever a cube stands."""

    def cube(power: Expr) -> Expr:
        x = power.base.args[0]
        return (sympy.sinh(3 * x) - 3 * sympy.sinh(x)) / 4

    return sympy.expand(expression).replace(
        lambda p: p.is_Pow and isinstance(p.base, sympy.sinh) and p.exp == 3,
        cube,
    )


@derivation(
    "fa-decay-fixed-point",
    title="With weight decay FA rests where T = E + E EᵀBᵀB E/(wd1² wd2)",
    entry="B8",
    assumptions=("whitened inputs", "any B, low rank included", "weight decay wd1, wd2 > 0 (here d_1, d_2)"),
    source="derived here",
    result=lambda: decayed_target(E, B, d1, d2),
    claims=("fa-decay-fixed-point",),
)
def fixed_point(result: MatrixExpr) -> Iterator[Step]:
    """Decay makes the end independent of the start: what the network lacks is fixed by the task, the feedback and the
    decay alone."""
    yield Step(
        "The learning rule with decay.",
        (equation("W_1'", B * E - d1 * W1), equation("W_2'", E * W1.T - d2 * W2)),
    )
    lower = B * E / d1
    upper = E * E.T * B.T / (d1 * d2)
    yield Step(
        "Where both stand still, the weights are functions of the error.",
        (equation("W_1", lower), equation("W_2", upper)),
        vanishes=(B * E - d1 * lower, E * lower.T - d2 * upper),
    )
    yield Step(
        "The target is the map plus what it lacks: a matrix cubic for E.",
        equation("T", result),
        vanishes=(E + upper * lower - result,),
    )


@derivation(
    "fa-decay-shrinkage",
    title="With BᵀB = g I each mode lacks the one real root of e + k e³ = s, k = g/(wd1² wd2)",
    entry="B8",
    assumptions=("whitened inputs", "BᵀB = g I", "weight decay wd1, wd2 > 0 (here d_1, d_2)"),
    source="derived here",
    result=lambda: decayed_error(s, g, d1, d2, xp=sympy),
    claims=("fa-decay-shrinkage",),
)
def shrinkage(result: Expr) -> Iterator[Step]:
    """Backprop with decay cuts weak modes off; feedback alignment shrinks all of them smoothly."""
    cube = g / (d1**2 * d2)
    yield Step("In the modes of T the matrix cubic is a cubic for each.", Eq(e + cube * e**3, s))
    yield Step(
        "Its left side grows with e, so there is one real root.",
        diff(e + cube * e**3, e),
        vanishes=(diff(e + cube * e**3, e) - (1 + 3 * cube * e**2),),
    )
    yield Step(
        "With e = 2 sinh θ/√(3k) the cubic becomes the formula of the triple angle, 4 sinh³θ + 3 sinh θ = sinh 3θ.",
        equation("e", result),
        vanishes=(triple_angle(result + cube * result**3 - s),),
    )


@derivation(
    "fa-decay-regimes",
    title="Strong modes lack (wd1² wd2 s/g)^{1/3}, of weak ones the map has g s³/(wd1² wd2)",
    entry="B8",
    assumptions=("as for the shrinkage by weight decay",),
    source="derived here",
    result=lambda: (strong_error(s, g, d1, d2, xp=sympy), weak_strength(s, g, d1, d2)),
    claims=("fa-decay-regimes",),
)
def regimes(result: tuple) -> Iterator[Step]:
    """Two limits of one cubic: a cube root where the cube dominates, a cube where it is small. Parametrised by
    the error itself they need no root."""
    strong, weak = result
    cube = g / (d1**2 * d2)
    strength = e + cube * e**3
    yield Step("A mode that lacks e has this strength; its map has s − e = k e³.", equation("s", strength))
    yield Step(
        "For strong modes, e → ∞, the error over the result goes to 1.",
        equation("e", strong),
        vanishes=(sympy.limit(sympy.simplify((strong.subs(s, strength) / e) ** 3), e, sympy.oo) - 1,),
    )
    yield Step(
        "For weak modes, e → 0, the map over the result goes to 1.",
        equation("u", weak),
        vanishes=(sympy.limit(sympy.simplify(weak.subs(s, strength) / (cube * e**3)), e, 0) - 1,),
    )


@derivation(
    "fa-decay-limit",
    title="The rows of W1 are rows of BT at every decay; as decay goes to zero the map is T Π_row(BT), from any start",
    entry="B8",
    assumptions=("whitened inputs", "any B, low rank included", "weight decay wd1, wd2 > 0 (here d_1, d_2)"),
    source="derived here",
    result=lambda: B * MatrixSymbol("T", o, i),
    claims=("fa-decay-limit",),
)
def limit(result: MatrixExpr) -> Iterator[Step]:
    """Without decay the end depends on the start, with decay it does not. A little decay therefore selects, among all
    ends, the one that zero weights would have reached."""
    target = MatrixSymbol("T", o, i)
    lower = B * E / d1
    upper = E * E.T * B.T / (d1 * d2)
    yield Step(
        "At the fixed point W1 = BE/wd1 and W2 = E W1ᵀ/wd2, where E = T − W2W1.",
        (equation("W_1", lower), equation("W_2", upper)),
    )
    left = d1 * W1 + B * W2 * W1
    yield Step(
        "So (wd1 I + BW2) W1 = BT. The symmetric part of BW2 is never negative there, so the bracket can be inverted: "
        "the rows of W1 are combinations of those of BT.",
        Eq(left, B * target, evaluate=False),
        vanishes=(left.subs({W1: lower, W2: upper}) - result.subs(target, E + upper * lower),),
    )
    yield Step(
        "As the decay goes to zero at bounded weights, E W1ᵀ = wd2 W2 and BE = wd1 W1 do too: what is lacking is "
        "orthogonal to all rows of W1, and the map is the target on row(BT).",
        (Eq(E * W1.T, d2 * W2, evaluate=False), Eq(B * E, d1 * W1, evaluate=False)),
        vanishes=(
            E * lower.T - d2 * upper,
            B * E - d1 * lower,
            (left - result).subs({W1: lower, W2: upper}).subs(target, E + upper * lower),
        ),
    )
