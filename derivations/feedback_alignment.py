"""Feedback alignment from zero weights: an exact solution for any target."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from sympy import Eq, Function, MatrixSymbol, Rational, Symbol, diff, symbols

from linfa.theory.feedback_alignment import half_time, map_strength, mode_amplitude_end, rise_time

s, g, z, a = symbols("s g z a", positive=True)
i, h, o = symbols("i h o", integer=True, positive=True)


@derivation(
    "fa-zero-start",
    title="From zero weights, W1 = BA and W2 = MBᵀ with M + Mᵀ = AAᵀ",
    entry="B2",
    assumptions=("W1(0) = 0, W2(0) = 0", "any data, any fixed B of any rank"),
    source="Lillicrap et al. 2016 in part; the rest derived here",
    result=lambda: MatrixSymbol("A", o, i) * MatrixSymbol("A", o, i).T,
    claims=("fa-zero-start-small", "fa-alignment-theorem"),
)
def zero_start(result: object) -> Iterator[Step]:
    """Whatever the hidden layer's size, everything happens in matrices as small as the error. The symmetric part of M
    is never negative: that is the alignment theorem."""
    A, M, B = MatrixSymbol("A", o, i), MatrixSymbol("M", o, o), MatrixSymbol("B", h, o)
    E = MatrixSymbol("E", o, i)
    velocities = {A: E, M: E * A.T}
    yield Step(
        "Let A collect the error and M what the upper layer makes of it.",
        (
            equation("A'", E),
            equation("M'", E * A.T),
        ),
    )
    yield Step(
        "Then W1 = BA and W2 = MBᵀ solve the learning rule W1' = BE, W2' = E W1ᵀ.",
        (B * A, M * B.T),
        vanishes=(
            flow_derivative(B * A, velocities) - B * E,
            flow_derivative(M * B.T, velocities) - E * (B * A).T,
        ),
    )
    yield Step(
        "M + Mᵀ and AAᵀ start from zero and move together, so they are equal for ever.",
        result,
        vanishes=(flow_derivative(M + M.T, velocities) - flow_derivative(result, velocities),),
    )


@derivation(
    "fa-modes",
    title="Each mode of FA obeys a' = s − g a³/2 and rises in the time (a*/s) τ(a/a*)",
    entry="B4",
    assumptions=("zero initial weights", "whitened inputs", "BᵀB = g I", "any target T = U diag(s) Vᵀ"),
    source="derived here",
    result=lambda: rise_time(z, xp=sympy),
    claims=("fa-modes", "fa-effective-rank"),
)
def modes(result: object) -> Iterator[Step]:
    """Unlike backprop, feedback alignment has no plateau at small weights: the error reaches W1 at once."""
    lower, upper = a, a**2 / 2
    error = s - map_strength(a, g)
    yield Step(
        "In the modes, W1 = B U diag(a) Vᵀ and W2 = U diag(m) Uᵀ Bᵀ, the learning rule reads a' = e, m' = e a with "
        "e = s − g m a.",
        (equation("a'", Symbol("e")), equation("m'", Symbol("e") * a)),
    )
    yield Step(
        "So m = a²/2 from zero on, and the map has the strength g m a = g a³/2.",
        equation("u", map_strength(a, g)),
        vanishes=(diff(upper, a) * error - error * lower, g * upper * lower - map_strength(a, g)),
    )
    end = mode_amplitude_end(s, g, xp=sympy)
    yield Step(
        "The mode is learned at a*, where the error vanishes.",
        equation("a^*", end),
        vanishes=(s - map_strength(end, g),),
    )
    yield Step(
        "Scaled by a*, with z = a/a* and time in units of a*/s, all modes rise alike.",
        equation("z'", 1 - z**3),
        vanishes=(error.subs(a, z * end) / s - (1 - z**3),),
    )
    yield Step(
        "The time to reach z is τ(z), verified by differentiation.",
        Eq(Function("tau")(z), result, evaluate=False),
        vanishes=(diff(result, z) * (1 - z**3) - 1, result.subs(z, 0)),
    )


@derivation(
    "fa-half-time",
    title="The half-time of a mode is 0.9377 (2/(g s²))^{1/3}: strong modes lead by s^{−2/3} alone",
    entry="B4",
    assumptions=("as for the modes of FA from zero weights",),
    source="derived here",
    result=lambda: half_time(s, g, xp=sympy),
    claims=("fa-half-time",),
)
def half(result: object) -> Iterator[Step]:
    """Backprop learns a mode in a time ∝ 1/s that grows with the logarithm of the initial weights. Feedback alignment
    needs a time ∝ s^{−2/3} from zero: it tells strong modes from weak ones less sharply, so its rank rises smoothly."""
    end = mode_amplitude_end(s, g, xp=sympy)
    at_half = 1 / sympy.cbrt(2)
    yield Step("A mode reaches the fraction z of its end a* after the time (a*/s) τ(z).", equation("a^*", end))
    yield Step(
        "The map has half its strength where (a/a*)³ = 1/2.",
        Eq(z, at_half),
        vanishes=(map_strength(at_half * end, g) - s / 2,),
    )
    yield Step(
        "The time is (a*/s) τ(2^{−1/3}), by the rise time of a mode.",
        equation("t_{1/2}", result),
        vanishes=(result - end / s * rise_time(at_half, xp=sympy),),
    )
    yield Step(
        "It scales as the −2/3 power of the strength and the −1/3 power of the gain.",
        Eq(Symbol("t_{1/2}") * s ** Rational(2, 3) * g ** Rational(1, 3), Symbol("const")),
        vanishes=(diff(sympy.log(result), s) * s + Rational(2, 3), diff(sympy.log(result), g) * g + Rational(1, 3)),
    )
