"""Thresholds of low-rank tensor decomposition: the curve of all fixed points, and where it bends."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from linfa.derivations.tensor import MODEL, A, delta, m, m1, m2, m3, mu, n1, n2, n3, p, precisions, s, t, v, v2, v3, y
from sympy import Eq, Expr, Rational, Symbol, diff, sqrt, symbols

from linfa.neighbours.tensor import closed_forms as theory


@derivation(
    "tensor-fixed-point-curve",
    title="All fixed points of state evolution lie on one curve, Δ(t) = Π n_a m_a/t with n_a A_a m_a = t",
    entry="2.4",
    assumptions=(*MODEL, "order 3 shown; any order, shape and priors"),
    source="derived here",
    result=lambda: theory.noise_on_branch(t, [m1, m2, m3], [n1, n2, n3]),
    claims=("tensor-rademacher-thresholds", "tensor-shape-thresholds", "tensor-bernoulli-bistability"),
)
def fixed_point_curve(result: Expr) -> Iterator[Step]:
    """A fixed point is a solution of p coupled equations. They come apart once one number, which all modes share, is
    given: then thresholds are the extremes of a curve."""
    yield Step("State evolution at rest.", tuple(Eq(Symbol(f"A_{a}"), q) for a, q in enumerate(precisions(), 1)))
    modes = list(zip(precisions(), (n1, n2, n3), (m1, m2, m3), strict=True))
    yield Step(
        "What a mode knows times what it is told is the same for all modes, t = Π n_a m_a/Δ. As A g(A) grows with A, "
        "each mode has one answer to a given t.",
        Eq(t, n1 * n2 * n3 * m1 * m2 * m3 / delta),
        vanishes=tuple(q * r * o - n1 * n2 * n3 * m1 * m2 * m3 / delta for q, r, o in modes),
    )
    yield Step(
        "Read the other way round, t gives the noise.",
        equation("Delta", result),
        vanishes=tuple(
            q.subs(delta, result) * r * o - t for q, r, o in zip(precisions(), (n1, n2, n3), (m1, m2, m3), strict=True)
        ),
    )


@derivation(
    "tensor-gaussian-branch",
    title="Cube with factors N(0, 1): m = (1 + √(1−4Δ))/2 up to Δ = 1/4, and its free entropy",
    entry="T1",
    assumptions=(*MODEL, "factors N(0, 1), all modes alike"),
    source="spherical p-spin model; any order: derived here",
    result=lambda: (
        theory.gaussian_fixed_point(delta, xp=sympy),
        theory.gaussian_dynamical(p + 2),
        theory.gaussian_free_entropy(m, xp=sympy),
    ),
    claims=("tensor-gaussian-branch", "tensor-gaussian-thresholds"),
)
def gaussian_branch(result: tuple) -> Iterator[Step]:
    """Without a mean, zero is always a fixed point. Another one, far away, appears when the noise falls below a
    threshold: no small step leads there."""
    overlap, edge, entropy = result
    yield Step("State evolution at order p: with A = m^{p−1}/Δ.", Eq(m, theory.gaussian_overlap(A)))
    noise = m ** (p - 1) / (m / (1 - m))
    yield Step(
        "At rest A = m/(1 − m), so that Δ = m^{p−2}(1 − m).",
        equation("Delta", noise),
        vanishes=(theory.gaussian_overlap(m / (1 - m)) - m, noise - m ** (p - 2) * (1 - m)),
    )
    yield Step(
        "For p = 3 a quadratic, whose larger root is the informed one: it goes to 1 as the noise goes.",
        equation("m", overlap),
        vanishes=(overlap * (1 - overlap) - delta, sympy.limit(overlap, delta, 0) - 1),
    )
    top = p / (p + 1)
    yield Step(
        "Δ is largest at m = (p − 2)/(p − 1) (p + 2 in place of p from here): beyond, only zero is left.",
        equation("Delta_dyn", edge),
        vanishes=(
            diff(m**p * (1 - m), m).subs(m, top),
            sympy.powsimp(sympy.expand_power_base((m**p * (1 - m)).subs(m, top), force=True)) - edge,
        ),
    )
    gain = A / (1 + A)
    value = theory.free_entropy_of([gain] * 3, [theory.gaussian_evidence(A, xp=sympy)] * 3, gain**2 / A, [1, 1, 1])
    yield Step(
        "The free entropy there, with m = A/(1 + A); where it is zero, both fixed points are as likely.",
        equation("F", entropy),
        vanishes=((value - entropy).subs(m, 1 - 1 / (1 + A)),),
    )


@derivation(
    "tensor-gaussian-thresholds",
    title="Cube with factors N(μ, 1): spinodals y = (1 ∓ √(1−8μ²))/4 of Δ(y), meeting at μ = 1/√8, Δ = 27/64",
    entry="T2",
    assumptions=(*MODEL, "factors N(μ, 1), all modes alike"),
    source="Kadmon & Ganguli 2018",
    result=lambda: (theory.gaussian_noise(y, mu), *theory.gaussian_spinodals(mu, xp=sympy)),
    claims=("tensor-gaussian-thresholds", "tensor-tricritical"),
)
def gaussian_thresholds(result: tuple) -> Iterator[Step]:
    """A mean is a start: message passing climbs from it on its own, if the noise allows. With a large mean there is
    nothing to climb over."""
    noise, low, high = result
    yield Step("State evolution, A = m²/Δ.", Eq(m, theory.gaussian_overlap(A, mu)))
    gain = A / (1 + A)
    yield Step(
        "With y = A/(1 + A) the fixed points are m = μ² + y, at the noise m²/A.",
        equation("Delta", noise),
        vanishes=((mu**2 + gain) ** 2 / A - noise.subs(y, gain),),
    )
    slope = -(mu**2 + y) * (2 * y**2 - y + mu**2) / y**2
    yield Step(
        "Branches end where Δ(y) is stationary: at the roots of 2y² − y + μ².",
        (equation("y_-", low), equation("y_+", high)),
        vanishes=(
            diff(noise, y) - slope,
            *(2 * root**2 - root + mu**2 for root in (low, high)),
            (high - low) - sqrt(1 - 8 * mu**2) / 2,
        ),
    )
    other = 1 - 2 * mu**2 - 2 * y
    z = Symbol("Y", positive=True)
    gap = (mu**2 + z) ** 2 * (1 - z) - noise * z
    yield Step(
        "At the noise of a spinodal y the cubic for fixed points has y twice, and once 1 − 2μ² − 2y: there the "
        "estimate jumps.",
        Eq(Symbol("Y"), other),
        vanishes=tuple(
            sympy.expand(sympy.radsimp((gap + (z - y) ** 2 * (z - other)).subs(y, root))) for root in (low, high)
        ),
    )
    meeting = 1 / sqrt(8)
    yield Step(
        "Both spinodals meet where 8μ² = 1; the hard phase ends there.",
        Eq(Symbol("Delta"), Rational(27, 64)),
        vanishes=(
            (high - low).subs(mu, meeting),
            noise.subs({mu: meeting, y: low.subs(mu, meeting)}) - Rational(27, 64),
        ),
    )


@derivation(
    "tensor-continuous-transition",
    title="One mode with a mean: Δ_c = n_1 μ_1² v_2 v_3 √(n_2 n_3), where the other overlaps vanish linearly",
    entry="T3, T8",
    assumptions=(*MODEL, "modes 2 and 3 are N(0, v); any other modes have a mean", "for a matrix: no other modes"),
    source="Kadmon & Ganguli 2018; the slopes are derived here",
    result=lambda: (
        theory.continuous_transition(s, [v2, v3], [n2, n3], xp=sympy),
        *theory.continuous_overlaps(t, [v2, v3], [n2, n3], xp=sympy),
    ),
    claims=("tensor-continuous-transition", "tensor-continuous-amp", "tensor-matrix-transition"),
)
def continuous(result: tuple) -> Iterator[Step]:
    """Where one mode is known in part, the tensor is a noisy matrix for the two others. t is 1 − Δ/Δ_c here, and q² the
    strength that the modes share."""
    q, w2, w3 = symbols("q w_2 w_3", positive=True)
    # Roots of the sizes keep every expression rational.
    critical, second, third = (part.subs({n2: w2**2, n3: w3**2}) for part in result)
    overlaps = [v_ * q / w * (1 - q / (2 * w)) for v_, w in ((v2, w2), (v3, w3))]
    yield Step("State evolution of a mode without a mean, at A = q²/(n m).", Eq(m, theory.gaussian_overlap(A, 0, v)))
    gaps = [
        theory.gaussian_overlap(q**2 / (w**2 * o), 0, v_) - o
        for o, v_, w in zip(overlaps, (v2, v3), (w2, w3), strict=True)
    ]
    yield Step(
        "For small q its overlap, up to terms of order q³; w is √n.",
        tuple(Eq(name, o) for name, o in zip((m2, m3), overlaps, strict=True)),
        vanishes=tuple(sympy.cancel(gap / q**2).subs(q, 0) for gap in gaps),
    )
    noise = sympy.cancel(s * w2**2 * w3**2 * overlaps[0] * overlaps[1] / q**2)
    yield Step(
        "The noise on the curve of fixed points; a mode with a mean changes by q² only. Its end is the transition.",
        equation("Delta_c", critical),
        vanishes=(noise.subs(q, 0) - critical,),
    )
    distance = sympy.cancel(1 - noise / noise.subs(q, 0))
    yield Step(
        "Below it the overlaps grow in proportion to the distance 1 − Δ/Δ_c.",
        (equation("m_2", second), equation("m_3", third)),
        vanishes=tuple(
            sympy.cancel(o / distance).subs(q, 0) - grown / t
            for o, grown in zip(overlaps, (second, third), strict=True)
        ),
    )
