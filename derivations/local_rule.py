"""The local rule: gains that grow exponentially, and a hard cut-off of weak modes."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Derivative, Eq, Symbol, diff, symbols

from linfa.theory.local_rule import local_amplitude, local_characteristic, local_gains, local_threshold
from linfa.theory.reduced_modes import mode_velocity

a, w, q, p, s, wd = symbols("sigma_1 sigma_2 q p s wd", positive=True)


def _velocity(decay: object) -> tuple:
    return mode_velocity(a, w, q, p, s, q_rule="local", p_rule="local", decay=decay)


def _rule(decay: object) -> tuple:
    names = ("sigma_1'", "sigma_2'", "q'", "p'")
    return tuple(equation(name, value) for name, value in zip(names, _velocity(decay), strict=True))


@derivation(
    "local-gain",
    title="Without decay the feedback's gain grows exponentially in that of W2",
    entry="B21",
    assumptions=("whitened inputs", "channel and mode aligned", "no decay"),
    source="derived here; rule of Hanut & Kadmon 2025",
    result=lambda: local_gains(*symbols("D q_0 p_0", positive=True), xp=sympy),
    claims=("local-gain",),
)
def gain(result: object) -> Iterator[Step]:
    """Each factor of the feedback sees the other: a product of Hebbian rules that feed on one another. Strong modes,
    which grow first, take most of the feedback."""
    D, q0, p0 = symbols("D q_0 p_0", positive=True)
    yield Step("The learning rule in one mode, with e = s − σ₁σ₂.", _rule(0))
    _, upper, of_q, of_p = _velocity(0)
    yield Step(
        "q' = p σ₂' and p' = q σ₂': measured by D = σ₂(t) − σ₂(0) instead of time, dq/dD = p and dp/dD = q.",
        (Eq(Derivative(Symbol("q"), D), p, evaluate=False), Eq(Derivative(Symbol("p"), D), q, evaluate=False)),
        vanishes=(of_q - p * upper, of_p - q * upper),
    )
    yield Step(
        "The solution through q₀, p₀, verified by differentiation.",
        (Eq(q, result[0]), Eq(p, result[1])),
        vanishes=(
            diff(result[0], D) - result[1],
            diff(result[1], D) - result[0],
            result[0].subs(D, 0) - q0,
            result[1].subs(D, 0) - p0,
        ),
    )
    yield Step(
        "q² − p² is conserved.",
        Eq(q**2 - p**2, q0**2 - p0**2),
        vanishes=(result[0] ** 2 - result[1] ** 2 - q0**2 + p0**2,),
    )


@derivation(
    "local-fixed-point",
    title="With decay a captured mode ends at σ₂ = 1, qp = σ₁², σ₁(s − σ₁) = wd",
    entry="B21",
    assumptions=("whitened inputs", "channel and mode aligned", "the same decay wd on W1, W2, Q and P", "s ≥ 2√wd"),
    source="derived here",
    result=lambda: (local_amplitude(s, wd, xp=sympy), local_threshold(wd, xp=sympy)),
    claims=("local-fixed-point", "local-threshold"),
)
def fixed(result: object) -> Iterator[Step]:
    """Decay makes the local rule choose: a mode is either learned, up to a known shrinkage, or not at all."""
    amplitude, threshold = result
    lower, upper, of_q, of_p = _velocity(wd)
    yield Step("The learning rule in one mode, with e = s − σ₁σ₂.", _rule(wd))
    yield Step(
        "At rest σ₁ e p = wd q and σ₁ e q = wd p, so p² = q² and σ₁ e = wd; then σ₂' = 0 says σ₂ = 1.",
        (Eq(q, p), Eq(w, 1)),
        vanishes=(of_q * q - of_p * p + wd * (q**2 - p**2), (of_q - of_p) + (a * (s - a * w) + wd) * (q - p)),
    )
    at_rest = {w: 1, q: a, p: a, wd: a * (s - a)}
    yield Step(
        "Then e = s − σ₁, and σ₁' = 0 with wd = σ₁ e says q p = σ₁². With wd = σ₁(s − σ₁) all four rest.",
        Eq(a * (s - a), wd),
        vanishes=tuple(v.subs(at_rest, simultaneous=True) for v in (lower, upper, of_q, of_p)),
    )
    yield Step(
        "The larger root of this equation; its sum with the smaller one is s, its excess over s/2 is a root.",
        Eq(a, amplitude),
        vanishes=(amplitude * (s - amplitude) - wd, (2 * amplitude - s) - sympy.sqrt(s**2 - 4 * wd)),
    )
    yield Step(
        "The two roots meet at s = 2√wd; a weaker mode has no fixed point but zero.",
        Eq(s, threshold),
        vanishes=(threshold**2 - 4 * wd, amplitude.subs(s, threshold) - threshold / 2, threshold - 2 * sympy.sqrt(wd)),
    )


@derivation(
    "local-stability",
    title="Of the two fixed points of a mode the larger is stable, the smaller a saddle",
    entry="B21",
    assumptions=("whitened inputs", "channel and mode aligned", "at a fixed point σ₂ = 1, q = p = σ₁"),
    source="derived here",
    result=lambda: local_characteristic(a, s, a * (s - a)),
    claims=("local-spectrum",),
)
def stability(result: object) -> Iterator[Step]:
    """Capture needs a start above the saddle: the smaller fixed point separates the modes that are kept from those
    that are pruned, even where both outcomes are possible."""
    rate = Symbol("mu")
    yield Step("The learning rule in one mode, with e = s − σ₁σ₂.", _rule(wd))
    full = sympy.Matrix(_velocity(wd))
    at_rest = {w: 1, q: a, p: a, wd: a * (s - a)}
    jacobian = full.jacobian([a, w, q, p]).subs(at_rest, simultaneous=True)
    skew = sympy.Matrix([0, 0, 1, -1])
    yield Step(
        "q − p decays by itself, at the rate 2 wd.",
        -2 * wd * (q - p),
        vanishes=tuple(skew.T * jacobian + 2 * a * (s - a) * skew.T),
    )
    even = sympy.Matrix([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    small = (jacobian * even)[:3, :]
    polynomial = rate**3 + result[0] * rate**2 + result[1] * rate + result[2]
    yield Step(
        "With q = p three numbers are left. Their rates are the roots of this polynomial.",
        polynomial,
        vanishes=(sympy.expand((rate * sympy.eye(3) - small).det() - polynomial),),
    )
    excess, decay = symbols("delta wd", positive=True)
    # At a fixed point wd = σ₁(s − σ₁), so that δ = σ₁(2σ₁ − s) is σ₁² − wd: s drops out of the coefficients.
    first, second, third = (sympy.expand(c.subs(s, a + decay / a)) for c in result)
    margin = 2 * decay * ((a**2 + decay) * (3 * a**2 + decay + excess) + a**2 * excess)
    yield Step(
        "Above the middle, where δ = σ₁(2σ₁ − s) > 0, all three coefficients are positive, and so is this, c₂c₁ − c₀: "
        "stable by Routh and Hurwitz. Below, c₀ = 2 wd² δ is negative, so one rate is positive.",
        equation("c_2 c_1 - c_0", margin),
        vanishes=(
            (third - 2 * decay**2 * excess).subs(excess, a**2 - decay),
            (first * second - third - margin).subs(excess, a**2 - decay),
        ),
    )
