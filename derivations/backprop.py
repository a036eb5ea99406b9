"""How fast backprop learns each mode: from the matrix flow to closed times."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Derivative, Eq, Function, Symbol, diff, symbols

from linfa.theory.backprop import depth_time, depth_velocity, logistic_strength

t, s, d, u0, u, L = symbols("t s d u_0 u L", positive=True)
a, c, q = symbols("a c q", positive=True)


@derivation(
    "backprop-logistic",
    title="A balanced mode of two layers rises on a logistic curve",
    entry="A1",
    assumptions=(
        "aligned, balanced start: W1 = R diag(a) Vᵀ, W2 = U diag(a) Rᵀ with orthonormal R",
        "Σx = V diag(d) Vᵀ commutes with ΣyxᵀΣyx; whitened inputs are d = 1",
        "gradient flow with unit time constant",
    ),
    source="Saxe, McClelland & Ganguli 2013",
    result=lambda: logistic_strength(t, s, u0, d, xp=sympy),
    claims=("backprop-logistic", "backprop-logistic-correlated"),
)
def logistic(result: object) -> Iterator[Step]:
    """In the basis of the task's modes the matrices stay diagonal, so each mode learns on its own. It starts slowly,
    because a small strength u passes little error back: that is the plateau."""
    b = Symbol("b", positive=True)
    velocity_a = b * (s - a * b * d)
    velocity_b = (s - a * b * d) * a
    yield Step(
        "In the modes, W1' = W2ᵀ E and W2' = E W1ᵀ become one pair of numbers a (of W1) and b (of W2) for each mode.",
        (equation("a'", velocity_a), equation("b'", velocity_b)),
    )
    yield Step(
        "b² − a² does not move, so a balanced start a = b stays balanced.",
        Eq(Derivative(b**2 - a**2, t), 0, evaluate=False),
        vanishes=(2 * b * velocity_b - 2 * a * velocity_a,),
    )
    velocity_u = 2 * u * (s - d * u)
    yield Step(
        "The strength of the map is u = ab = a². It obeys a logistic equation.",
        equation("u'", velocity_u),
        vanishes=((a * velocity_b + b * velocity_a).subs(b, a) - velocity_u.subs(u, a**2),),
    )
    yield Step(
        "Its solution, verified by differentiation.",
        Eq(Function("u")(t), result, evaluate=False),
        vanishes=(diff(result, t) - velocity_u.subs(u, result),),
    )
    yield Step(
        "It starts at u₀ and ends at the strength of the best map.",
        Eq(Function("u")(0), u0, evaluate=False),
        vanishes=(result.subs(t, 0) - u0, sympy.limit(result, t, sympy.oo) - s / d),
    )


@derivation(
    "backprop-depth",
    title="L balanced layers: u' = L u^{2−2/L}(s − u)",
    entry="A2",
    assumptions=(
        "whitened inputs",
        "aligned, balanced start: every layer has the same amplitude c = u^{1/L} in a mode",
    ),
    source="Saxe, McClelland & Ganguli 2013",
    result=lambda: depth_velocity(u, s, L),
    claims=("backprop-depth",),
)
def depth(result: object) -> Iterator[Step]:
    """Depth slows the start: each of the L layers must wait for all the others."""
    velocity_c = c ** (L - 1) * (s - c**L)
    yield Step(
        "Gradient flow of one layer: the error of the mode times the product of the L − 1 other amplitudes.",
        equation("c'", velocity_c),
    )
    yield Step(
        "The strength of the map is u = c^L, so u' = L c^{L−1} c'.",
        equation("u'", result),
        vanishes=(L * c ** (L - 1) * velocity_c - result.subs(u, c**L),),
    )


def _times(number: int) -> None:
    @derivation(
        f"backprop-time-depth-{number}",
        title=f"Closed time to a strength in {number} layers",
        entry="A2",
        assumptions=("as for the mode equation of depth L", "0 < u < s"),
        source="Saxe, McClelland & Ganguli 2013" if number == 2 else "by partial fractions",
        result=lambda: depth_time(u, s, number, xp=sympy),
        claims=("backprop-closed-times",),
    )
    def time(result: object) -> Iterator[Step]:
        """Time as a function of strength is an integral of the mode equation. It is verified by differentiation, which
        is far surer than asking for the integral."""
        velocity = depth_velocity(u, s, sympy.Integer(number))
        yield Step("The mode equation.", equation("u'", velocity))
        words, shown = "dt/du is one over the velocity.", result
        if number == 3:
            # In the cube roots c and q the formula is legible.
            words, shown = "dt/du is one over the velocity. With c³ = u and q³ = s:", result.subs({u: c**3, s: q**3})
        yield Step(
            words,
            Eq(Function("t")(u), shown, evaluate=False),
            vanishes=((diff(result, u) * velocity - 1).subs({u: a ** (2 * number), s: d ** (2 * number)}),),
        )


for _number in (2, 3, 4):
    _times(_number)
