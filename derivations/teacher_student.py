"""Online learning from a teacher: averages of erf and ReLU units, order parameters, and how learning starts."""

from collections.abc import Iterator
from functools import lru_cache

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Function, Matrix, Symbol, asin, diff, pi, sqrt, symbols

from linfa.neighbours.teacher_student import kernels
from linfa.neighbours.teacher_student.overlaps import relu_second
from linfa.neighbours.teacher_student.phases import early_growth, escape_rate

eta, t, noise = symbols("eta t sigma^2", positive=True)
# Entries of the covariance of fields a, b, c, d.
AA, BB, CC, DD = symbols("C_aa C_bb C_cc C_dd", positive=True)
AB, AC, AD, BC, BD, CD = symbols("C_ab C_ac C_ad C_bc C_bd C_cd", real=True)
SAAD = "Saad & Solla 1995"


def _covariance() -> Matrix:
    return Matrix([[AA, AB, AC, AD], [AB, BB, BC, BD], [AC, BC, CC, CD], [AD, BD, CD, DD]])


@derivation(
    "teacher-erf-pair",
    title="<g(a) g(b)> of erf units is an arcsine, because their slopes are Gaussian",
    entry="S2",
    assumptions=("a, b Gaussian with mean 0 and covariance C", "g(z) = erf(z/√2)"),
    source="Williams 1997; " + SAAD,
    result=lambda: (kernels.erf_second(AA, BB, AB, sympy), kernels.erf_slopes(AA, BB, AB, sympy)),
    claims=("teacher-erf-averages",),
)
def erf_pair(result: tuple) -> Iterator[Step]:
    """A unit whose slope is itself a Gaussian bump makes every average of slopes a Gaussian integral."""
    second, slopes = result
    z = Symbol("z", real=True)
    slope = sqrt(2 / pi) * sympy.exp(-(z**2) / 2)
    yield Step("The activation and its slope.", (equation("g", sympy.erf(z / sqrt(2))), equation("g'", slope)))
    yield Step("The slope is the derivative.", slope, vanishes=(diff(sympy.erf(z / sqrt(2)), z) - slope,))
    c = _covariance()[:2, :2]
    tilted = (c.inv() + sympy.eye(2)).det() * c.det()
    yield Step(
        "Two slopes multiply the density by (2/π) e^{−zᵀz/2}, which adds I to the inverse covariance: the integral is "
        "(2/π) |I + C|^{−1/2}.",
        Eq(Symbol("J_2"), slopes, evaluate=False),
        vanishes=(tilted - (sympy.eye(2) + c).det(), slopes**2 * (sympy.eye(2) + c).det() - 4 / pi**2, _sign(slopes)),
    )
    # In the angle of the arcsine, whose cosine is the root of the determinant over that of the product.
    sine = AB / sqrt((1 + AA) * (1 + BB))
    yield Step(
        "An average grows with a covariance by the average of both derivatives (Price): ∂<g g>/∂C_ab = <g' g'>. It "
        "vanishes at C_ab = 0.",
        Eq(Symbol("I_2"), second, evaluate=False),
        vanishes=(
            second - 2 / pi * asin(sine),
            second.subs(AB, 0),
            diff(second, AB) ** 2 - slopes**2,
            _sign(diff(second, AB)),
        ),
    )


def _sign(expression: sympy.Expr) -> sympy.Expr:
    """Zero where the expression is positive for weakly correlated fields of variance ½: fixes the sign of a root."""
    point = dict.fromkeys((AA, BB, CC, DD), sympy.Rational(1, 2)) | dict.fromkeys(
        (AB, AC, AD, BC, BD, CD), sympy.Rational(1, 10)
    )
    return sympy.sign(sympy.N(expression.subs(point))) - 1


@derivation(
    "teacher-erf-third",
    title="<g'(a) b g(c)>: the pull of an error on a field, by parts",
    entry="S2",
    assumptions=("a, b, c Gaussian with mean 0 and covariance C", "g(z) = erf(z/√2), so that g''(z) = −z g'(z)"),
    source=SAAD,
    result=lambda: kernels.erf_third(AA, CC, AB, AC, BC, sympy),
    claims=("teacher-erf-averages",),
)
def erf_third(result: object) -> Iterator[Step]:
    """A bare Gaussian field in an average turns into derivatives of everything else: nothing new has to be
    integrated."""
    slopes = kernels.erf_slopes(AA, CC, AC, sympy)
    z = Symbol("z", real=True)
    bump = sympy.exp(-(z**2) / 2)
    x, pull = symbols("X I_3")
    yield Step(
        "Stein's identity: <b f> = Σ_k C_bk <∂f/∂z_k>, for a product f = g'(a) g(c).",
        Eq(Symbol("I_3"), AB * Function("E")(Symbol("g''_a g_c")) + BC * Function("E")(Symbol("g'_a g'_c"))),
    )
    yield Step(
        "The slope's own derivative is −z g'.", Eq(Symbol("g''"), -z * bump), vanishes=(diff(bump, z) + z * bump,)
    )
    own = sympy.solve(Eq(x, -AA * x + AC * slopes), x)[0]
    yield Step(
        "With b = a the identity closes on itself: X = <a g'(a) g(c)> = −C_aa X + C_ac <g'_a g'_c>.",
        Eq(x, own, evaluate=False),
        vanishes=(own * (1 + AA) - AC * slopes,),
    )
    yield Step(
        "So <g''_a g_c> = −X, and any field b is done.",
        Eq(pull, result, evaluate=False),
        vanishes=(result - (-AB * own + BC * slopes),),
    )


@lru_cache(maxsize=1)
def _tilted() -> tuple:
    """C_(ab); what vanishes by Woodbury's identity; |I + C_(ab)|, and times this the tilted covariance of c, d."""
    c = _covariance()
    bumped, seen = c[:2, :2], c[2:, :2]
    precision, inner = bumped.inv(), sympy.eye(2) + bumped
    change = -precision + precision * (precision + sympy.eye(2)).inv() * precision + inner.inv()
    weight = sympy.expand(inner.det())
    tilted = (weight * c[2:, 2:] - seen * inner.adjugate() * seen.T).applyfunc(sympy.expand)
    return bumped, tuple(sympy.cancel(entry) for entry in change), weight, tilted


@derivation(
    "teacher-erf-fourth",
    title="<g'(a) g'(b) g(c) g(d)>: two slopes tilt the Gaussian, two units see the tilted one",
    entry="S2",
    assumptions=("a, b, c, d Gaussian with mean 0 and covariance C", "g(z) = erf(z/√2)"),
    source=SAAD,
    result=lambda: kernels.erf_fourth(AA, BB, CC, DD, AB, AC, AD, BC, BD, CD, sympy),
    claims=("teacher-erf-averages",),
)
def erf_fourth(result: object) -> Iterator[Step]:
    """The noise of single samples needs four factors. Two of them are Gaussian bumps, and a Gaussian times bumps is a
    Gaussian again, with less variance along a and b."""
    bumped, change, weight, tilted = _tilted()
    yield Step(
        "Given a and b, c and d have the mean M (a, b)ᵀ with M = C_(cd)(ab) C_(ab)⁻¹. The bumps turn the covariance of "
        "a and b from C_(ab) into (C_(ab)⁻¹ + I)⁻¹.",
        equation("C_ab", bumped),
    )
    yield Step(
        "So c and d have the covariance C_(cd) − C_(cd)(ab) (I + C_(ab))⁻¹ C_(ab)(cd) under the bumps.",
        equation("change", -(sympy.eye(2) + bumped).inv()),
        vanishes=change,
    )
    slopes = kernels.erf_slopes(AA, BB, AB, sympy)
    found, wanted = sympy.fraction(sympy.sin(result / slopes * pi / 2) ** 2), tilted[0, 1] ** 2
    lengths = (weight + tilted[0, 0]) * (weight + tilted[1, 1])
    yield Step(
        "The bumps weigh (2/π) |I + C_(ab)|^{−1/2}; g_c g_d average to the arcsine of a pair in the tilted Gaussian.",
        Eq(Symbol("I_4"), result, evaluate=False),
        vanishes=(found[0] * lengths - found[1] * wanted, _sign(result)),
    )


@derivation(
    "teacher-relu-average",
    title="<g(a) g(b)> of ReLU units: the arc-cosine kernel, by differentiating twice",
    entry="S5",
    assumptions=("a, b Gaussian with mean 0, s² = C_aa C_bb, C_ab = s ρ", "g(z) = max(z, 0)"),
    source="Cho & Saul 2009",
    result=lambda: relu_second(Symbol("s", positive=True), Symbol("rho", real=True), xp=sympy),
    claims=("teacher-relu-average",),
)
def relu_average(result: object) -> Iterator[Step]:
    """ReLU units are kinked, but two derivatives with respect to the covariance leave nothing but a density at a
    point."""
    s, rho = Symbol("s", positive=True), Symbol("rho", real=True)
    density = 1 / (2 * pi * s * sqrt(1 - rho**2))
    yield Step(
        "By Price, ∂²<g g>/∂C_ab² = <g''(a) g''(b)>, the density of (a, b) at the origin, as g'' is a delta function.",
        Eq(Symbol("density"), density, evaluate=False),
    )
    slopes = (pi / 2 + asin(rho)) / (2 * pi)
    yield Step(
        "Integrated once from ρ = −1, where a and b are never positive together: the probability that both are.",
        Eq(Function("E")(Symbol("g'_a g'_b")), slopes, evaluate=False),
        vanishes=(diff(slopes, rho) / s - density, slopes.subs(rho, -1)),
    )
    yield Step(
        "And once more.",
        Eq(Function("E")(Symbol("g_a g_b")), result, evaluate=False),
        vanishes=(diff(result, rho) / s - slopes, result.subs(rho, -1)),
    )


UNITS, MODES = 2, 1
FIELDS = UNITS + MODES
CARRIER, UPPER = symbols("F_1:3", real=True), symbols("v_1:3", real=True)
HEAD = Symbol("A", real=True)


def _averages() -> tuple:
    """Symbols for every average: second, slopes, third and fourth, with the symmetries that they have."""

    def named(name: str, *index: int) -> Symbol:
        return Symbol(name + "_" + "".join(str(i + 1) for i in index), real=True)

    second = {(i, a): named("I2", *sorted((i, a))) for i in range(UNITS) for a in range(FIELDS)}
    slopes = {(i, k): named("J2", *sorted((i, k))) for i in range(UNITS) for k in range(UNITS)}
    third = {(i, b, a): named("I3", i, b, a) for i in range(UNITS) for b in range(FIELDS) for a in range(FIELDS)}
    fourth = {
        (i, k, a, b): named("I4", *sorted((i, k)), *sorted((a, b)))
        for i in range(UNITS)
        for k in range(UNITS)
        for a in range(FIELDS)
        for b in range(FIELDS)
    }
    return second, slopes, third, fourth


def _velocity() -> tuple:
    dr, dq, dv = sympy.zeros(UNITS, MODES), sympy.zeros(UNITS, UNITS), sympy.zeros(UNITS, 1)
    output = (*(-v for v in UPPER), HEAD)
    kernels.averaged_velocity(*_averages(), output, CARRIER, eta, noise, dr, dq, dv)
    return tuple(m.as_immutable() for m in (dr, dq, dv))


@derivation(
    "teacher-order-parameters",
    title="Equations of the order parameters: what one sample does, averaged",
    entry="S2",
    assumptions=(
        "one output, fresh samples x ~ N(0, I_N), N → ∞, t = samples/N",
        "shown for two units of the student and one of the teacher; F = v is backprop",
    ),
    source=SAAD + "; Goldt et al. 2019; Refinetti et al. 2021",
    result=_velocity,
    claims=("teacher-erf-dynamics", "teacher-erf-weights"),
)
def order_parameters(result: tuple) -> Iterator[Step]:
    """The fields of a fresh sample depend on the weights through their overlaps alone, so the overlaps' mean velocity
    is a function of the overlaps. The activation enters by four kinds of Gaussian averages."""
    second, slopes, third, fourth = _averages()
    g, p, z = symbols("g_1:4", real=True), symbols("p_1:3", real=True), symbols("z_1:4", real=True)
    zeta = Symbol("zeta", real=True)
    output = (*(-v for v in UPPER), HEAD)
    error = sum(c * value for c, value in zip(output, g, strict=True)) + zeta
    carried = [eta * f * slope * error for f, slope in zip(CARRIER, p, strict=True)]
    yield Step(
        "For a sample with fields z, values g and slopes p, w_i moves by (1/N) c_i x with c_i = η F_i p_i e.",
        (equation("e", error), equation("c_1", carried[0])),
    )
    moved = [[carried[i] * z[UNITS + n] for n in range(MODES)] for i in range(UNITS)]

    def averaged(expression: sympy.Expr) -> sympy.Expr:
        """Every monomial in values, slopes, fields and label noise replaced by its average."""
        total = 0
        for powers, factor in sympy.Poly(sympy.expand(expression), *g, *p, *z, zeta).terms():
            chosen = [k for k, power in enumerate(powers) for _ in range(power)]
            values, own = [k for k in chosen if k < 3], [k - 3 for k in chosen if 3 <= k < 5]
            bare, labels = [k - 5 for k in chosen if 5 <= k < 8], powers[-1]
            if labels == 1:
                continue
            if labels == 2:
                mean = noise * slopes[tuple(own)]
            elif bare:
                mean = third[own[0], bare[0], values[0]]
            else:
                mean = fourth[(*own, *values)] if own else second[tuple(values)]
            total += factor * mean
        return total

    yield Step(
        "R moves by c_i ν_n/N a sample, N samples make a unit of time: averages of three factors.",
        tuple(equation(f"R_{i + 1}'", result[0][i, 0]) for i in range(UNITS)),
        vanishes=tuple(averaged(moved[i][0]) - result[0][i, 0] for i in range(UNITS)),
    )
    yield Step(
        "v moves by η g_i e/N: pairs.",
        tuple(equation(f"v_{i + 1}'", result[2][i, 0]) for i in range(UNITS)),
        vanishes=tuple(averaged(eta * g[i] * error) - result[2][i, 0] for i in range(UNITS)),
    )
    change = [
        [carried[i] * z[k] + carried[k] * z[i] + carried[i] * carried[k] for k in range(UNITS)] for i in range(UNITS)
    ]
    yield Step(
        "Q moves by (c_i λ_k + c_k λ_i)/N + c_i c_k |x|²/N², and |x|²/N → 1: the noise of single samples stays, of "
        "order η², with four factors; the labels' noise adds σ² to it.",
        equation("Q_12'", result[1][0, 1]),
        vanishes=tuple(averaged(change[i][k]) - result[1][i, k] for i in range(UNITS) for k in range(UNITS)),
    )


def _updated() -> tuple:
    q, r, fields, carried = _symbols_of_update()
    kernels.add_update(q, r, fields, carried, Symbol("x^2", positive=True))
    return r.as_immutable(), q.as_immutable()


def _symbols_of_update() -> tuple:
    q = Matrix(2, 2, lambda i, k: Symbol(f"Q_{min(i, k) + 1}{max(i, k) + 1}", real=True))
    r = Matrix(2, 1, symbols("R_1:3", real=True))
    return q, r, symbols("lambda_1 lambda_2 nu", real=True), symbols("c_1:3", real=True)


@derivation(
    "teacher-overlap-update",
    title="One sample changes the overlaps through its fields and its length alone",
    entry="S1",
    assumptions=("any x, any weights, any N (shown for three inputs, two units and one teacher unit)",),
    source="Saad & Solla 1995; the simulation in overlaps is derived here",
    result=_updated,
    claims=("teacher-overlap-update", "teacher-overlap-law"),
)
def overlap_update(result: tuple) -> Iterator[Step]:
    """Order parameters are no approximation: together with Gaussian fields and a χ² they are the whole learner, at any
    number of inputs."""
    w = Matrix(2, 3, lambda i, n: Symbol(f"W_{i + 1}{n + 1}", real=True))
    taught, x = Matrix(1, 3, symbols("u_1:4", real=True)), Matrix(3, 1, symbols("x_1:4", real=True))
    q, r, fields, carried = _symbols_of_update()
    c = Matrix(2, 1, carried)
    known = {q[i, k]: (w * w.T)[i, k] for i in range(2) for k in range(i, 2)}
    known |= {r[i, 0]: (w * taught.T)[i, 0] for i in range(2)}
    known |= {fields[i]: (w * x)[i, 0] for i in range(2)} | {fields[2]: (taught * x)[0, 0]}
    known |= {Symbol("x^2", positive=True): (x.T * x)[0, 0]}
    after = w + c * x.T
    yield Step("The rows of W move along x, by an amount that depends on its fields.", equation("W_after", after))
    yield Step(
        "Multiplied out, W Wᵀ and W W̃ᵀ have changed by products of c, the fields and |x|².",
        (equation("R_after", result[0]), equation("Q_after", result[1])),
        vanishes=(
            *(sympy.expand(e) for e in after * taught.T - result[0].subs(known)),
            *(sympy.expand(e) for e in after * after.T - result[1].subs(known)),
        ),
    )


T = Matrix(2, 2, [Symbol("T_11", positive=True), *[Symbol("T_12", real=True)] * 2, Symbol("T_22", positive=True)])
A = Matrix(2, 1, symbols("A_1:3", real=True))
F = Matrix(2, 1, CARRIER)
SQUARE = Symbol("E[y^2]", positive=True)


@derivation(
    "teacher-align-phase",
    title="From zero weights DFA moves every unit along its own F_i times one direction: align first",
    entry="S3",
    assumptions=("erf units, weights zero at the start", "leading order in t; two units of student and teacher"),
    source="derived here; the phases are those of Refinetti et al. 2021",
    result=lambda: tuple(m.as_immutable() for m in early_growth(t, F, T, A, eta, SQUARE, xp=sympy)),
    claims=("teacher-align-phase", "teacher-align-then-memorise"),
)
def align_phase(result: tuple) -> Iterator[Step]:
    """A student of zeros makes no output, so its error is the label. All units see the same label; what differs is the
    feedback through which they see it."""
    r, q, v = result
    none = sympy.Integer(0)
    yield Step(
        "At zero weights e = y, all λ = 0, and only averages with teacher fields are left.",
        equation("c", Matrix([0, 0, A[0], A[1]])),
    )
    pull = [
        sum(A[m] * kernels.erf_third(none, T[m, m], none, none, T[n, m], sympy) for m in range(2)) for n in range(2)
    ]
    yield Step(
        "R' = η F_i Σ_m A_m <g'(0) ν_n g_m> = η (2/π) F_i (T u)_n, the same n-direction for all i.",
        equation("R", r),
        vanishes=tuple(r[i, n] - eta * t * F[i] * pull[n] for i in range(2) for n in range(2)),
    )
    slope = kernels.erf_slopes(none, none, none, sympy)
    squared = [
        [kernels.erf_fourth(none, none, T[a, a], T[b, b], *[none] * 5, T[a, b], sympy) for a in range(2)]
        for b in range(2)
    ]
    pairs = [[kernels.erf_second(T[a, a], T[b, b], T[a, b], sympy) for a in range(2)] for b in range(2)]
    yield Step(
        "Q' keeps the fluctuations alone, η² F_i F_k (2/π) E[y²], as <g' g' g g> = (2/π) <g g> at λ = 0.",
        equation("Q", q),
        vanishes=(
            *(squared[a][b] - slope * pairs[a][b] for a in range(2) for b in range(2)),
            *(q[i, k] - eta**2 * t * F[i] * F[k] * slope * SQUARE for i in range(2) for k in range(2)),
        ),
    )
    # <g_i g_m> to first order in R, where Q is small.
    weak = Symbol("R", real=True)
    response = [diff(kernels.erf_second(none, T[m, m], weak, sympy), weak).subs(weak, 0) for m in range(2)]
    growth = [sum(A[m] * response[m] * r[i, m] for m in range(2)) * eta for i in range(2)]
    yield Step(
        "v' = η Σ_m A_m <g_i g_m> with <g_i g_m> = (2/π) R_im/√(1 + T_mm): v grows along F, so cos(v, F) = 1.",
        equation("v", v),
        vanishes=(*(diff(v[i], t) - growth[i] for i in range(2)), v[0] * F[1] - v[1] * F[0], v[0].subs(t, 0)),
    )


@derivation(
    "teacher-backprop-escape",
    title="Backprop leaves small weights exponentially, at the rate (2η/π)√(uᵀTu)",
    entry="S2",
    assumptions=(
        "erf units, all weights small: first order",
        "two units of the teacher; every unit of the student alike",
    ),
    source="derived here",
    result=lambda: escape_rate(T, A, eta, xp=sympy),
    claims=("teacher-backprop-escape",),
)
def backprop_escape(result: object) -> Iterator[Step]:
    """Backprop multiplies the lower layer's signal by v, which is small at first: each layer waits for the other. Fixed
    feedback does not wait."""
    none, weak = sympy.Integer(0), Symbol("R", real=True)
    v, p = symbols("v p", real=True)
    response = [diff(kernels.erf_second(none, T[m, m], weak, sympy), weak).subs(weak, 0) for m in range(2)]
    pull = [
        sum(A[m] * kernels.erf_third(none, T[m, m], none, none, T[n, m], sympy) for m in range(2)) for n in range(2)
    ]
    strength = sympy.expand(sum(A[n] * response[n] * pull[n] for n in range(2)))
    yield Step(
        "To first order, with p_i = Σ_m A_m <g_i g_m> ∝ u·R_i: v_i' = η p_i, R_in' = η v_i Σ_m A_m <g'(0) ν_n g_m>.",
        (equation("v'", eta * p), equation("p'", eta * Symbol("k") * v)),
    )
    yield Step(
        "So v'' = γ² v with γ² = η² (2/π)² uᵀT u.",
        Eq(Symbol("gamma"), result, evaluate=False),
        vanishes=(sympy.expand(result**2 - eta**2 * strength), sympy.sign(result.subs(_point())) - 1),
    )


def _point() -> dict:
    return {A[0]: 1, A[1]: sympy.Rational(1, 2), T[0, 0]: 1, T[1, 1]: 1, T[0, 1]: 0, eta: 1}
