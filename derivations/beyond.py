"""Beyond the literature: deep chains, correlated inputs, finite learning rates, slow subspaces."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Integral, Rational, Symbol, diff, symbols

from linfa.theory.chain_alignment import amplitude_coefficients, map_power, paired_root
from linfa.theory.feedback_alignment import map_strength, mode_amplitude_end
from linfa.theory.finite_rate import end_shift, modified_velocity, upper_amplitude
from linfa.theory.slow_subspace import turn_coefficient

a, m, s, g, d, z, eta, theta = symbols("a m s g d z eta theta", positive=True)
g2, g3, g4 = symbols("g_2 g_3 g_4", positive=True)


def _chain_result() -> tuple:
    alphas, beta = amplitude_coefficients([g2, g3, g4])
    return (*(alpha * a ** (2**k) for k, alpha in enumerate(alphas) if k), beta * a ** map_power(4))


@derivation(
    "fa-chain-modes",
    title="Deep feedback alignment from zero: layer l carries a^{2^{l−1}}, the map aⁿ with n = 2^L − 1",
    entry="B4, any depth",
    assumptions=(
        "zero initial weights",
        "whitened inputs, any target T = U diag(s) Vᵀ",
        "feedback along the chain with B_lᵀ B_l = g_l I (layers narrow, or stay, towards the output)",
        "shown for L = 4; every further layer repeats the last step",
    ),
    source="new",
    result=_chain_result,
    claims=("fa-chain-modes", "fa-chain-half-time", "fa-chain-alignment"),
)
def chain_modes(result: tuple) -> Iterator[Step]:
    """Why does feedback alignment get worse with depth? From zero weights each layer squares the spectrum of the layer
    below, so that the first modes to be learned dominate the upper layers: their effective rank, and their alignment
    with the feedback, fall from layer to layer. The time to learn a mode of strength s goes as s^{−(1 − 1/n)}."""
    second, third, fourth, strength = result
    # Gains of the products K_l = B_{l+1} … B_L, with K_lᵀ K_l = γ_l I.
    tail1, tail2, tail3 = g2 * g3 * g4, g3 * g4, g4
    yield Step(
        "With K_l = B_{l+1} … B_L and γ_l = g_{l+1} … g_L, the weights stay W_1 = K_1 U diag(a_1) Vᵀ and "
        "W_l = K_l U diag(a_l) Uᵀ K_{l−1}ᵀ. A mode that lacks e in the map moves as follows; v_l is the strength "
        "with which it arrives in layer l.",
        (
            equation("a_1'", Symbol("e")),
            equation("a_l'", Symbol("e") * Symbol("v_{l-1}")),
            equation("v_l", Symbol("a_l") * Symbol("gamma_{l-1}") * Symbol("v_{l-1}")),
        ),
    )
    arriving1 = a
    yield Step(
        "Dividing by a_1' = e removes time: da_l/da_1 = v_{l−1}. From zero, the second layer is a parabola.",
        equation("a_2", second),
        vanishes=(diff(second, a) - arriving1, second.subs(a, 0)),
    )
    arriving2 = second * tail1 * arriving1
    yield Step(
        "The third layer integrates what arrives through the second.",
        equation("a_3", third),
        vanishes=(diff(third, a) - arriving2, third.subs(a, 0)),
    )
    arriving3 = third * tail2 * arriving2
    yield Step(
        "And so on: the power doubles with every layer.",
        equation("a_4", fourth),
        vanishes=(diff(fourth, a) - arriving3, fourth.subs(a, 0)),
    )
    yield Step(
        "The map's strength is the product of all, a power 1 + 2 + 4 + 8 = 15 of the lowest amplitude.",
        equation("u", strength),
        vanishes=(strength - fourth * tail3 * arriving3,),
    )


@derivation(
    "fa-chain-rise-time",
    title="The rise time of a deep chain in elementary functions",
    entry="B4, any depth",
    assumptions=("a' = s − β aⁿ with n = 2^L − 1, an odd number", "0 ≤ z = a/a* < 1"),
    source="new; the sum over roots is a classical partial fraction",
    result=lambda: paired_root(z, theta, xp=sympy),
    claims=("fa-chain-modes", "fa-chain-half-time"),
)
def chain_rise(result: object) -> Iterator[Step]:
    """With z = a/a* and time in units of a*/s all modes obey z' = 1 − zⁿ, so the time to reach z is ∫ dz/(1 − zⁿ)."""
    n = Symbol("n", positive=True)
    polynomial = 1 - z**n
    total = n - z * diff(polynomial, z) / polynomial
    yield Step("The scaled equation.", equation("z'", polynomial))
    yield Step(
        "Over all roots ω of yⁿ = 1, Σ = Σ_ω 1/(1 − zω) = n − z P'/P for P = Π(1 − zω) = 1 − zⁿ, which is n/(1 − zⁿ).",
        equation("Sigma", n / polynomial),
        vanishes=(total - n / polynomial,),
    )
    pair = 2 * (1 - z * sympy.cos(theta)) / (1 - 2 * z * sympy.cos(theta) + z**2)
    root = sympy.cos(theta) + sympy.I * sympy.sin(theta)
    conjugate = sympy.cos(theta) - sympy.I * sympy.sin(theta)
    yield Step(
        "The root 1 gives 1/(1 − z), and the others come in pairs at angles ±θ.",
        pair,
        vanishes=(1 / (1 - z * root) + 1 / (1 - z * conjugate) - pair,),
    )
    yield Step(
        "Each pair has an elementary integral that vanishes at z = 0; with −ln(1 − z) they add up to n times the time.",
        result,
        vanishes=(diff(result, z) - pair, result.subs(z, 0)),
    )


@derivation(
    "fa-modes-correlated",
    title="Correlated inputs that share the task's modes act as a gain g d",
    entry="B4, Σx ≠ I",
    assumptions=("Σx = V diag(d) Vᵀ and Σyx = U diag(s) Vᵀ", "zero initial weights, BᵀB = g I"),
    source="new",
    result=lambda: mode_amplitude_end(s, g * d, xp=sympy),
    claims=("fa-modes-correlated",),
)
def correlated(result: object) -> Iterator[Step]:
    """Inputs of variance d along a mode carry its error back d times as strongly once it is being learned; nothing else
    changes, so the closed form of whitened inputs serves with another gain."""
    velocity = s - d * map_strength(a, g)
    yield Step("In the modes E = Σyx − W Σx becomes e = s − d u, with u = g a³/2 as before.", equation("a'", velocity))
    yield Step(
        "This is the equation of whitened inputs with gain g d.",
        equation("a'", s - map_strength(a, g * d)),
        vanishes=(velocity - (s - map_strength(a, g * d)),),
    )
    yield Step(
        "It ends where the map has the strength s/d of the best one.",
        equation("a^*", result),
        vanishes=(map_strength(result, g) - s / d, velocity.subs(a, result)),
    )


@derivation(
    "fa-modified-flow",
    title="Descent at rate η follows a flow that is faster, and whose W2 lags behind",
    entry="B4, η > 0",
    assumptions=("FA from zero weights, BᵀB = g I, whitened inputs", "first order in the learning rate η"),
    source="new; the modified equation of the Euler method is in Hairer, Lubich & Wanner 2006",
    result=lambda: modified_velocity(a, m, s, g, eta),
    claims=("fa-finite-rate",),
)
def modified_flow(result: tuple) -> Iterator[Step]:
    """A step of descent is not a point on the flow, but up to second order it is a point on a neighbouring flow."""
    error = s - g * m * a
    flow = (error, error * a)
    acceleration = tuple(diff(f, a) * flow[0] + diff(f, m) * flow[1] for f in flow)
    yield Step(
        "The flow of one mode: a of W1, m of W2, e = s − g m a.",
        (equation("a'", Symbol("e")), equation("m'", Symbol("e") * a)),
    )
    yield Step(
        "One Euler step makes x + ηf. A flow f̃ makes x + ηf̃ + (η²/2)(∂f/∂x) f + …, so f̃ must be f − (η/2)(∂f/∂x) f.",
        (equation("a'", result[0]), equation("m'", result[1])),
        vanishes=tuple(r - (f - eta * second / 2) for r, f, second in zip(result, flow, acceleration, strict=True)),
    )


@derivation(
    "fa-upper-lag",
    title="In descent W2 lags: m = a²/2 − (η/2)(s a − g a⁴/8)",
    entry="B4, η > 0",
    assumptions=("the modified flow, first order in η",),
    source="new",
    result=lambda: upper_amplitude(a, s, g, eta),
    claims=("fa-finite-rate",),
)
def upper_lag(result: object) -> Iterator[Step]:
    """The law m = a²/2 of the flow is what aligns W2 with the feedback. Descent pays a part of it."""
    velocity = modified_velocity(a, m, s, g, eta)
    yield Step("The modified flow.", (equation("a'", velocity[0]), equation("m'", velocity[1])))
    slope = (velocity[1] / velocity[0]).subs(m, result)
    gap = slope - diff(result, a)
    yield Step(
        "dm/da = m'/a', and to first order in η this is solved by the following, from zero.",
        Eq(m, result),
        vanishes=(gap.subs(eta, 0), diff(gap, eta).subs(eta, 0), result.subs(a, 0)),
    )


@derivation(
    "fa-end-shift",
    title="Descent ends with a = a* + η s/4",
    entry="B4, η > 0",
    assumptions=("the modified flow, first order in η",),
    source="new",
    result=lambda: end_shift(s, eta),
    claims=("fa-finite-rate", "fa-finite-rate-order"),
)
def shifted_end(result: object) -> Iterator[Step]:
    """The error still goes to zero; since W2 has lagged behind, W1 must make up for it."""
    end = Symbol("A", positive=True)
    strength = map_strength(end, g)
    yield Step("At the end of descent the map has its strength: g m a = s.", Eq(g * m * a, s))
    with_lag = g * upper_amplitude(a, s, g, eta) * a - s
    moved = with_lag.subs(a, end + result).subs(s, strength)
    yield Step(
        "With the lag of m, and s = g a*³/2, the condition holds to first order in η at the shifted amplitude.",
        equation("a", Symbol("a^*") + result),
        vanishes=(sympy.expand(diff(moved, eta).subs(eta, 0)), moved.subs(eta, 0)),
    )


@derivation(
    "oja-error-slow-turn",
    title="A slow Oja P turns once, by ¾ η a* for each mode, and freezes",
    entry="B19, slow P",
    assumptions=(
        "whitened inputs, zero initial weights, fixed Q with QᵀQ = g I, P(0) P(0)ᵀ = I",
        "P' = η P E Eᵀ (I − PᵀP), to first order in η",
    ),
    source="new",
    result=lambda: turn_coefficient(s, g, xp=sympy),
    claims=("oja-error-slow-turn",),
)
def slow_turn(result: object) -> Iterator[Step]:
    """Oja's rule on the error is to turn P towards what is not learned yet. But learning silences exactly the signal
    P E that drives P. In the limit of a slow P the race is lost at once, and how far P got is a closed form."""
    end = mode_amplitude_end(s, g, xp=sympy)
    yield Step(
        "With P standing still, P E = U_p diag(s (1 − f)) V_pᵀ and E = T (I − V_p diag(f) V_pᵀ) with f = z³, so a mode "
        "drives P by s (1 − f)² along the rows of V_pᵀ Tᵀ (I − PᵀP).",
        equation("drive", s * (1 - z**3) ** 2),
    )
    velocity = (s - map_strength(z * end, g)) / end
    yield Step(
        "The mode rises as z' = (s/a*)(1 − z³), so dt = (a*/s) dz/(1 − z³).",
        equation("z'", s / Symbol("a^*") * (1 - z**3)),
        vanishes=(velocity - s / end * (1 - z**3),),
    )
    integrand = sympy.cancel(s * (1 - z**3) ** 2 / ((1 - z**3) * s)) * end
    yield Step(
        "Over all times a mode drives P by a finite amount: a* ∫₀¹ (1 − z³) dz = ¾ a*.",
        Eq(Integral(Symbol("a^*") * (1 - z**3), (z, 0, 1)), result, evaluate=False),
        vanishes=(sympy.integrate(sympy.expand(integrand), (z, 0, 1)) - result, Rational(3, 4) * end - result),
    )
