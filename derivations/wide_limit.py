"""Wide networks with a scalar output: averages over neurons turn learning into one number."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from linfa.derivations.weight_decay import triple_angle
from sympy import Eq, Expr, Function, Symbol, diff, symbols

from linfa.theory import wide_limit as theory
from linfa.theory.scalar_alignment import scalar_velocity

t, y, gamma, u, x, f = symbols("t y gamma u x f", positive=True)
rho = Symbol("rho", positive=True)
a0, w0, zeta = symbols("a_0 w_0 zeta")


def gaussian_mean(expression: Expr) -> Expr:
    """Average of a polynomial in independent standard normal numbers a_0, w_0, ζ: x^{2k} has the mean (2k − 1)!!."""
    total = sympy.Integer(0)
    for powers, coefficient in sympy.Poly(sympy.expand(expression), a0, w0, zeta).terms():
        if all(k % 2 == 0 for k in powers):
            total += coefficient * sympy.prod([sympy.factorial2(k - 1) for k in powers if k])
    return total


def _neuron() -> tuple[Expr, Expr, Expr]:
    """a, w and z of a neuron that has been taught u."""
    z = rho * w0 + sympy.sqrt(1 - rho**2) * zeta
    return a0 + u * z, w0 + u * a0 + u**2 * z / 2, z


@derivation(
    "wide-limit-alignment",
    title="Wide FA: output ((1 + ρ)u + u³/2)/γ, kernel 1 + u², and the cosine of weights and feedback",
    entry="B11",
    assumptions=(
        "infinitely many neurons, scalar output, whitened inputs",
        "a, w of variance 1 at the start, feedback z = ρ w(0) + √(1 − ρ²) ζ, Gaussian",
        "richness γ: f = <wa>/γ",
    ),
    source="Bordelon & Pehlevan 2022; the cosine is derived here",
    result=lambda: (
        theory.alignment_output(u, gamma, rho),
        theory.alignment_kernel(u),
        theory.alignment_cosine(u, rho, xp=sympy),
    ),
    claims=("wide-limit-alignment", "wide-limit-finite"),
)
def alignment(result: tuple) -> Iterator[Step]:
    """All neurons are taught the same number u = γ∫Δ dt; they differ in where they started. Averages over Gaussian
    starts are all that is left of the network."""
    a, w, z = _neuron()
    output, kernel, cosine = result
    yield Step(
        "The learning rule, with u' = γΔ as the clock.",
        (Eq(symbols("da/du"), symbols("z")), Eq(symbols("dw/du"), symbols("a"))),
    )
    yield Step(
        "Its solution for one neuron.",
        (equation("a", a), equation("w", w)),
        vanishes=(diff(a, u) - z, diff(w, u) - a, a.subs(u, 0) - a0, w.subs(u, 0) - w0),
    )
    yield Step(
        "The output is the mean of wa over neurons, divided by γ.",
        equation("f", output),
        vanishes=(gaussian_mean(w * a) / gamma - output,),
    )
    yield Step(
        "The kernel is the mean of a².",
        equation("H", kernel),
        vanishes=(gaussian_mean(a**2) - kernel,),
    )
    sizes = gaussian_mean(w**2) * gaussian_mean(z**2)
    yield Step(
        "The cosine compares w with the feedback: from ρ it rises with u.",
        equation("cos", cosine),
        vanishes=(gaussian_mean(w * z) / sympy.sqrt(sympy.expand(sizes)) - cosine,),
    )


@derivation(
    "wide-limit-end",
    title="Wide FA ends at the root of (1 + ρ)u + u³/2 = γy: less aligned feedback makes richer features",
    entry="B11",
    assumptions=("as for wide FA", "ρ > −1"),
    source="Bordelon & Pehlevan 2022; the closed form is derived here",
    result=lambda: theory.alignment_end(y, gamma, rho, xp=sympy),
    claims=("wide-limit-alignment", "wide-limit-spread"),
)
def end(result: Expr) -> Iterator[Step]:
    """The flow of u is the cubic of scalar feedback alignment, so that its time course is known in closed form too."""
    velocity = gamma * (y - theory.alignment_output(u, gamma, rho))
    yield Step("What the neurons are taught goes on until the error is zero.", equation("u'", velocity))
    yield Step(
        "This is scalar feedback alignment with bs = γy and the balance c = −2(1 + ρ).",
        equation("u'", scalar_velocity(u, gamma * y, 1, -2 * (1 + rho))),
        vanishes=(velocity - scalar_velocity(u, gamma * y, 1, -2 * (1 + rho)),),
    )
    yield Step(
        "The end solves a cubic, by the triple angle of the hyperbolic sine.",
        equation("u^*", result),
        vanishes=(triple_angle((1 + rho) * result + result**3 / 2 - gamma * y),),
    )
    slope = -u / (1 + rho + 3 * u**2 / 2)
    drive = (1 + rho) * u + u**3 / 2
    yield Step(
        "Along the root, du/dρ is negative: it falls with the correlation of the feedback.",
        Eq(symbols("du/drho"), slope),
        vanishes=(diff(drive, u) * slope + diff(drive, rho),),
    )


@derivation(
    "wide-limit-backprop",
    title="Wide backprop: Δ' = −2HΔ with H = √(1 + γ²f²), solved in closed form",
    entry="B11",
    assumptions=(
        "infinitely many neurons, scalar output, whitened inputs",
        "a, w independent, of variance 1 at the start",
        "richness γ: f = <wa>/γ",
    ),
    source="Bordelon & Pehlevan 2022 for the equation; its solution is derived here",
    result=lambda: theory.backprop_output(t, y, gamma, xp=sympy),
    claims=("wide-limit-backprop",),
)
def backprop(result: Expr) -> Iterator[Step]:
    """The kernel grows with the output and nothing else: features move as far as the task asks for. The hyperbolic
    substitution γf = sinh θ makes the flow rational."""
    kernel = theory.kernel(f, gamma, xp=sympy)
    growth = Symbol("H")
    yield Step(
        "With H = <a²> = <w²> the learning rule a' = γΔw, w' = γΔa gives f' = 2HΔ and H' = 2γ²fΔ.",
        (equation("f'", 2 * growth * (y - f)), equation("H'", 2 * gamma**2 * f * (y - f))),
    )
    yield Step(
        "So H dH = γ²f df, and H² = 1 + γ²f² from f = 0, H = 1.",
        equation("H", kernel),
        vanishes=(kernel * diff(kernel, f) - gamma**2 * f, kernel.subs(f, 0) - 1),
    )
    lifted = (x - 1 / x) / (2 * gamma)
    velocity = 1 + 2 * gamma * y * x - x**2
    yield Step(
        "With γf = (x − 1/x)/2 the root is drawn, H = (x + 1/x)/2, and the flow becomes a Riccati equation.",
        equation("x'", velocity),
        vanishes=(
            kernel.subs(f, lifted) ** 2 - (x + 1 / x) ** 2 / 4,
            diff(lifted, x) * velocity - (x + 1 / x) * (y - lifted),
        ),
    )
    lift = theory.backprop_lift(t, y, gamma, xp=sympy)
    yield Step(
        "Its solution between its two points of rest, verified by differentiation.",
        Eq(Function("x")(t), lift, evaluate=False),
        vanishes=(diff(lift, t) - velocity.subs(x, lift), lift.subs(t, 0) - 1),
    )
    yield Step(
        "The output starts at zero and ends at y.",
        equation("f", lifted),
        vanishes=(
            result - lifted.subs(x, lift),
            result.subs(t, 0),
            lifted.subs(x, gamma * y + sympy.sqrt(1 + gamma**2 * y**2)) - y,
        ),
    )


@derivation(
    "wide-limit-spread",
    title="Networks of N neurons end within √(v/N)/(1 + ρ + 3u²/2) of the wide limit",
    entry="B11",
    assumptions=("as for wide FA", "N neurons drawn at random, leading order in 1/√N"),
    source="derived here",
    result=lambda: theory.neuron_variance(u, rho),
    claims=("wide-limit-spread", "wide-limit-rate"),
)
def spread(result: Expr) -> Iterator[Step]:
    """Sampling error with its prefactor: at a given u the output of N neurons is an average of N independent
    numbers."""
    a, w, _ = _neuron()
    yield Step("A neuron that has been taught u contributes wa to γf.", Eq(symbols("xi"), w * a))
    mean = gaussian_mean(w * a)
    yield Step(
        "Its mean over neurons, and the slope by which a gap in it moves the end.",
        mean,
        vanishes=(mean - (1 + rho) * u - u**3 / 2, diff(mean, u) - (1 + rho + 3 * u**2 / 2)),
    )
    yield Step(
        "Its variance v over neurons; an average of N has the variance v/N.",
        equation("v", result),
        vanishes=(sympy.expand(gaussian_mean((w * a) ** 2) - mean**2) - result,),
    )
