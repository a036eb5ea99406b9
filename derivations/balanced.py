"""Balanced predictive coding: feedback filters noise, delay makes it ring, disorder adds fluctuations of its own."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Expr, Function, Symbol, cos, diff, exp, sin, symbols

from linfa.neighbours.balanced import closed_forms as theory

B, r, d, tau, omega, y, l = symbols("B r d tau omega y l", positive=True)
sigma, g, b, m, x, s, dt = symbols("sigma g b m x s dt", positive=True)
tn = Symbol("t_n", positive=True)
KADMON = "Kadmon, Timcheck & Ganguli 2020"
MANY = "many neurons: fluctuations of order 1/√N, linear in the read-out"


def left_over(parts: dict[Expr, Expr], a: Expr) -> Expr:
    """c(0) − (a² − 1)/a ∫₀^∞ e^{−aτ} c(τ) dτ: what feedback without delay leaves of c = Σ coefficient e^{−rate τ}.

    `parts` holds the coefficients by rate; each integral is 1/(a + rate).
    """
    return sum(coefficient * (1 - (a**2 - 1) / (a * (a + rate))) for rate, coefficient in parts.items())


def lorentzian(rate: Expr) -> tuple[Expr, Expr]:
    """What vanishes if 2∫₀^∞ e^{−rτ} cos ωτ dτ = 2r/(r² + ω²): by its antiderivative, which is zero at infinity."""
    primitive = 2 * exp(-rate * tau) * (omega * sin(omega * tau) - rate * cos(omega * tau)) / (rate**2 + omega**2)
    whole = -primitive.subs(tau, 0)
    return diff(primitive, tau) - 2 * exp(-rate * tau) * cos(omega * tau), whole - 2 * rate / (rate**2 + omega**2)


@derivation(
    "balanced-filter",
    title="Feedback without delay leaves (ar + 1)/(a(a + r)) of noise that decays at the rate r",
    entry="F3",
    assumptions=(MANY, "no delay"),
    source=f"{KADMON}; the closed form is derived here",
    result=lambda: theory.filtered_variance(B, r),
    claims=("balanced-fluctuations", "balanced-hermite"),
)
def filtering(result: Expr) -> Iterator[Step]:
    """Each neuron's noise moves the read-out by a little; the read-out drives all neurons against it. Noise in a tanh
    neuron is a sum of Hermite components, the n-th of which decays at the rate n."""
    a = 1 + B
    transfer = (1 + sympy.I * omega) / (1 + sympy.I * omega + B)
    yield Step(
        "A read-out x̂ pushes every field by −b x̂, low-passed, and so the read-out by −B x̂/(1 + iω), B = b u.",
        Eq(Symbol("xhat"), Symbol("zeta") - B / (1 + sympy.I * omega) * Symbol("xhat")),
    )
    yield Step(
        "Solved for x̂, the noise ζ is filtered by T.",
        equation("T", transfer),
        vanishes=(transfer - (1 - B / (1 + sympy.I * omega) * transfer),),
    )
    power = (1 + omega**2) / (a**2 + omega**2)
    squared = sympy.expand_complex(transfer * sympy.conjugate(transfer))
    yield Step(
        "Its power falls short of 1 by a Lorentzian.",
        equation("|T|^2", power),
        vanishes=(squared - power, power - 1 + (a**2 - 1) / (a**2 + omega**2)),
    )
    yield Step(
        "That Lorentzian is the spectrum of an exponential, so that the rest is an integral over time.",
        Eq(Symbol("Nvar"), Symbol("c_0") - (a**2 - 1) / a * sympy.Integral(exp(-a * tau) * Function("c")(tau), tau)),
        vanishes=lorentzian(a),
    )
    yield Step(
        "For a component that decays at the rate r it is elementary.",
        equation("J", result),
        vanishes=(left_over({r: 1}, a) - result,),
    )


@derivation(
    "balanced-delay",
    title="With delay the variance is ½(1 + B sin(ld)/l)/(1 + B cos(ld)), l² = B² − 1",
    entry="F4",
    assumptions=(MANY, "linear φ, white noise", "below the Hopf boundary"),
    source="Küchler & Mensch 1992; the form of K(τ) is derived here",
    result=lambda: (
        theory.delay_variance(sympy.sqrt(1 + l**2), d, xp=sympy),
        theory.delay_autocovariance(sympy.sqrt(1 + l**2), d, tau, xp=sympy),
    ),
    claims=("balanced-delay", "balanced-delay-integral", "balanced-shared"),
)
def delayed(result: tuple) -> Iterator[Step]:
    """A delay equation has infinitely many modes, and yet its autocovariance up to the delay is a sine: there the
    equation closes on itself, because an autocovariance is even."""
    variance, covariance = result
    gain = sympy.sqrt(1 + l**2)
    K = Function("K")
    yield Step(
        "Multiply y'(t + τ) = −y(t + τ) − B y(t + τ − d) + ξ by y(t) and average; K is even, so for τ ≤ d:",
        Eq(diff(K(tau), tau), -K(tau) - B * K(d - tau), evaluate=False),
    )
    yield Step(
        "A sum of sines with l² = B² − 1 solves it.",
        equation("K", covariance),
        vanishes=(sympy.expand_trig(diff(covariance, tau) + covariance + gain * covariance.subs(tau, d - tau)),),
    )
    yield Step(
        "Its size is set by the noise: E[y²] stands still where 2E[y y'] + 1 = 0, so that K'(0⁺) = −½.",
        Eq(Symbol("K'(0)"), sympy.Rational(-1, 2)),
        vanishes=(diff(covariance, tau).subs(tau, 0) + sympy.Rational(1, 2),),
    )
    yield Step(
        "The variance is K at 0.",
        equation("K_0", variance),
        vanishes=(covariance.subs(tau, 0) - variance,),
    )


@derivation(
    "balanced-delay-integral",
    title="What delayed feedback leaves of noise that decays at the rate r, in closed form",
    entry="F3",
    assumptions=(MANY, "below the Hopf boundary"),
    source="derived here",
    result=lambda: theory.filtered_variance_delayed(sympy.sqrt(1 + l**2), r, d, xp=sympy),
    claims=("balanced-delay-integral", "balanced-delay"),
)
def delay_integral(result: Expr) -> Iterator[Step]:
    """The integral over frequencies is a Laplace transform of K, which the delay equation gives."""
    gain = sympy.sqrt(1 + l**2)
    k, start, part = symbols("k K_0 P")
    yield Step(
        "Noise that decays at the rate r, filtered by feedback.",
        equation("J", sympy.Integral(2 * r / (r**2 + omega**2) * Function("T")(omega) ** 2, omega) / (2 * sympy.pi)),
    )
    yield Step(
        "The spectrum of e^{−rτ} times 1 + ω² is a constant and a Lorentzian; both over |1 + iω + B e^{−iωd}|².",
        2 * r * (1 + omega**2) / (r**2 + omega**2),
        vanishes=(2 * r * (1 + omega**2) / (r**2 + omega**2) - 2 * r - 2 * r * (1 - r**2) / (r**2 + omega**2),),
    )
    yield Step(
        "The integral of a Lorentzian 2r/(r² + ω²) over the spectrum of K is 2∫K e^{−rτ} dτ = 2k(r).",
        equation("J", 2 * r * start + 2 * (1 - r**2) * k),
        vanishes=lorentzian(r),
    )
    transform = (start - B * part) / (1 + r + B * exp(-r * d))
    yield Step(
        "Transformed, K' = −K − B K(τ − d) reads rk − K₀ = −k − B(P + e^{−rd}k), P being the part before the delay.",
        equation("k", transform),
        vanishes=(r * transform - start + transform + B * (part + exp(-r * d) * transform),),
    )
    held = Symbol("D", positive=True)
    sines = theory.delay_autocovariance(gain, held, tau, xp=sympy)
    carried = (result - 2 * r * theory.delay_variance(gain, d, xp=sympy)) / (2 * (1 - r**2))
    of_part = (theory.delay_variance(gain, d, xp=sympy) - carried * (1 + r + gain * exp(-r * d))) / gain
    yield Step(
        "P(d) = ∫₀ᵈ K(s) e^{−r(d−s)} ds, integrated by parts twice, as K'' = −l²K.",
        Eq(Symbol("P"), sympy.Integral(Function("K")(s) * exp(-r * (d - s)), (s, 0, d))),
        vanishes=(diff(sines, tau, 2) + l**2 * sines,),
    )
    ends = (r * sines - diff(sines, tau)).subs(held, d)
    expected = (ends.subs(tau, d) - ends.subs(tau, 0) * exp(-r * d)) / (r**2 + l**2)
    yield Step(
        "What remains are values at both ends, [rK − K'](d) − [rK − K'](0) e^{−rd}, over r² + l².",
        equation("J", result),
        vanishes=(sympy.expand_trig(of_part - expected),),
    )


@derivation(
    "balanced-hopf",
    title="The Hopf boundary by its angle y = ωd: B = −1/cos y, ω = −tan y, d = −y/tan y",
    entry="F4",
    assumptions=("linear in the perturbation", "π/2 < y < π"),
    source=f"{KADMON}; by the angle derived here",
    result=lambda: theory.hopf_point(y, xp=sympy),
    claims=("balanced-hopf", "balanced-hopf-boundary"),
)
def hopf(result: tuple) -> Iterator[Step]:
    """A perturbation e^{λt} of the balanced state neither grows nor shrinks where λ = iω."""
    gain, frequency, delay = result
    yield Step(
        "Along w the perturbation obeys δh' = −δh − B δh(t − d).",
        Eq(1 + sympy.I * omega + B * exp(-sympy.I * omega * d), 0),
    )
    yield Step(
        "The real part gives the loop gain.",
        equation("B_c", gain),
        vanishes=(1 + gain * cos(y),),
    )
    yield Step(
        "The imaginary part gives the frequency.",
        equation("omega_c", frequency),
        vanishes=(frequency - gain * sin(y), sympy.trigsimp(gain**2 - 1 - frequency**2)),
    )
    yield Step(
        "The delay is the angle over the frequency.",
        equation("d", delay),
        vanishes=(delay * frequency - y,),
    )


@derivation(
    "balanced-optimum",
    title="The best balance with a short delay is at y = cos y, y = Bd, whatever the noise",
    entry="F4",
    assumptions=("linear φ, white noise", "d → 0 at fixed y = B d < π/2"),
    source=KADMON,
    result=lambda: theory.small_delay_variance(y, xp=sympy),
    claims=("balanced-optimum", "balanced-optimum-simulated"),
)
def optimum(result: Expr) -> Iterator[Step]:
    """More balance cancels more noise, and rings more: the two meet at Dottie's number."""
    wave = sympy.sqrt(y**2 - d**2)
    scaled = (1 + y * sin(wave) / wave) / (2 * (d + y * cos(wave)))
    exact = theory.delay_variance(y / d, d, xp=sympy) / d
    yield Step("The variance with delay, in units of σ²d, at the loop gain y/d.", exact)
    w = Symbol("w", positive=True)
    turned = exact.subs(sympy.sqrt(y**2 / d**2 - 1), w / d).subs(sympy.sqrt(-1 + y**2 / d**2), w / d)
    yield Step(
        "The wave number is l = w/d with w² = y² − d².",
        scaled,
        vanishes=(turned - (1 + y * sin(w) / w) / (2 * (d + y * cos(w))),),
    )
    yield Step(
        "At d = 0 it has a finite limit.",
        equation("v", result),
        vanishes=(scaled.subs(d, 0) - result,),
    )
    yield Step(
        "Its slope vanishes where y = cos y and nowhere else before the Hopf boundary.",
        Eq(y, cos(y), evaluate=False),
        vanishes=(diff(result, y) - (1 + sin(y)) * (y - cos(y)) / (2 * y**2 * cos(y) ** 2),),
    )


@derivation(
    "balanced-coloured",
    title="Noise of correlation time t_n is cancelled to σ²/(2a(1 + a t_n)): as 1/b², once feedback is faster than it",
    entry="F2",
    assumptions=(MANY, "linear φ, no delay", "t_n η' = −η + σ ξ, t_n ≠ 1"),
    source=f"{KADMON}; in these units derived here",
    result=lambda: theory.coloured_variance(B, sigma, tn),
    claims=("balanced-coloured",),
)
def coloured(result: Expr) -> Iterator[Step]:
    """White noise cannot be cancelled before it has done its harm; slow noise can."""
    a = 1 + B
    variance = sigma**2 / (2 * (1 + tn))
    rho = (exp(-tau) - tn * exp(-tau / tn)) / (1 - tn)
    yield Step(
        "The field filters white noise twice, with the time constants 1 and t_n.",
        sigma**2 / ((1 + omega**2) * (1 + tn**2 * omega**2)),
    )
    spectrum = sympy.together(2 * variance * (1 / (1 + omega**2) - tn**2 / (1 + tn**2 * omega**2)) / (1 - tn))
    yield Step(
        "Two exponentials have this spectrum, 2∫e^{−τ/t} cos ωτ dτ being 2t/(1 + t²ω²).",
        equation("c", variance * rho),
        vanishes=(
            sigma**2 / ((1 + omega**2) * (1 + tn**2 * omega**2)) - spectrum,
            diff(rho, tau).subs(tau, 0),
        ),
    )
    yield Step(
        "Feedback leaves c(0) less the integral over e^{−aτ}.",
        equation("Nvar", result),
        vanishes=(left_over({1: variance / (1 - tn), 1 / tn: -variance * tn / (1 - tn)}, a) - result,),
    )


@derivation(
    "balanced-shared",
    title="Noise on the stimulus is represented, not averaged: variance B²s²/(2a)",
    entry="F3",
    assumptions=("small noise", "no delay"),
    source=KADMON,
    result=lambda: theory.shared_variance(B, s, 0, xp=sympy),
    claims=("balanced-shared",),
)
def shared(result: Expr) -> Iterator[Step]:
    """To the network, noise that all neurons share is signal."""
    variance = Symbol("v", positive=True)
    yield Step(
        "The common field moves the read-out by B times itself: y' = −y + B (s ξ − y).",
        Eq(diff(Function("y")(tau), tau), -Function("y")(tau) + B * (s * Function("xi")(tau) - Function("y")(tau))),
    )
    balance = -2 * (1 + B) * variance + B**2 * s**2
    yield Step(
        "Its variance stands still where −2a v + B²s² = 0.",
        equation("v", result),
        vanishes=(balance.subs(variance, result),),
    )


@derivation(
    "balanced-stimulus",
    title="A moving stimulus is read out with the gain B/(1 + iω + B e^{−iωd})",
    entry="F1",
    assumptions=("small modulation",),
    source=KADMON,
    result=lambda: theory.closed_loop(omega, B, d, xp=sympy),
    claims=("balanced-stimulus",),
)
def stimulus(result: Expr) -> Iterator[Step]:
    """The input comes at once, the feedback that cancels it after a delay."""
    answer = Function("xhat")
    yield Step(
        "The read-out is u times the common field, which low-passes the error.",
        Eq(diff(answer(tau), tau), -answer(tau) + B * (Function("x")(tau) - answer(tau - d))),
    )
    yield Step(
        "For x = e^{iωt} and x̂ = H e^{iωt} this is algebra.",
        equation("H", result),
        vanishes=(sympy.I * omega * result + result - B * (1 - result * exp(-sympy.I * omega * d)),),
    )


@derivation(
    "balanced-scaling",
    title="With balance N^χ the deviation falls as N^{−(1+χ)/2} and the bias as N^{−χ}",
    entry="F3",
    assumptions=("strong balance, white noise", "no delay"),
    source=KADMON,
    result=lambda: theory.error_exponents(Symbol("chi", positive=True)),
    claims=("balanced-scaling", "balanced-superclassical"),
)
def scaling(result: tuple) -> Iterator[Step]:
    """Averaging over neurons gives 1/√N; balance that grows with the network gives up to as much again."""
    n, chi = symbols("N chi", positive=True)
    balance = n**chi
    slope, square = symbols("u v", positive=True)
    deviation = sympy.sqrt(theory.noise_limit(balance, sigma, slope, square) / n)
    yield Step("Noise is cancelled as 1/b, and averaged over N neurons.", equation("deviation", deviation))
    yield Step(
        "Its logarithmic slope in N.",
        equation("p", result[0]),
        vanishes=(sympy.simplify(n * diff(sympy.log(deviation), n)) - result[0],),
    )
    yield Step(
        "The bias is m/b, where m has a limit; at χ = 1 both fall as 1/N.",
        equation("q", result[1]),
        vanishes=(sympy.simplify(n * diff(sympy.log(m / balance), n)) - result[1],),
    )
