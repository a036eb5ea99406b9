"""Learning in stages and from noise: half-times, sparse solutions, silent alignment, noisy teachers, regression."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, expand_matrix, flow_derivative
from sympy import Eq, Function, Identity, MatrixSymbol, Symbol, diff, exp, sqrt, symbols

from linfa.theory.backprop import depth_time
from linfa.theory.generalisation import input_overlap, noisy_strength, output_overlap
from linfa.theory.incremental import diagonal_weights, early_half_time
from linfa.theory.regression import best_stopping_time, lms_limit, lms_max_rate, lms_step, mode_risk, online_velocity
from linfa.theory.tangent_kernel import early_kernel_cosine, silent_kernel

t, s, A, eta, alpha, epsilon = symbols("t s A eta alpha epsilon", positive=True)


def _half_time(depth: int) -> None:
    @derivation(
        f"backprop-half-time-depth-{depth}",
        title=f"From ε → 0, {depth} layers are half way after {'ln(s/ε²)/2s' if depth == 2 else 'ε^{2−L}/((L−2)s)'}",
        entry="A10",
        assumptions=("whitened inputs, aligned and balanced layers of amplitude ε", "leading order as ε → 0"),
        source="Saxe, McClelland & Ganguli 2013",
        result=lambda: early_half_time(s, epsilon, depth, xp=sympy),
        claims=("backprop-half-time-order",),
    )
    def half_time(result: object) -> Iterator[Step]:
        """Small weights make a long plateau. Two layers leave it exponentially, deeper networks as a power of time: the
        more layers must wait for each other, the longer it takes."""
        c, q = symbols("c q", positive=True)
        velocity = c ** (depth - 1) * (q**depth - c**depth)
        yield Step("The amplitude c of a layer in a mode of strength s = q^L.", equation("c'", velocity))
        # In the amplitudes c and q, closed times have no roots of symbols.
        closed = depth_time(c**depth, q**depth, depth, xp=sympy)
        yield Step(
            "The closed time of the mode equation, verified by differentiation.",
            Eq(Function("t")(c), closed, evaluate=False),
            vanishes=(diff(closed, c) * velocity - 1,),
        )
        start = closed.subs(c, epsilon)
        leading = result.subs(s, q**depth)
        if depth == 2:
            half = closed.subs(c, q / sqrt(2))
            gap = sympy.log(1 - epsilon**2 / s) / (2 * s)
            yield Step(
                "From ε to half strength it is the leading order plus a gap that vanishes as ε².",
                Eq(Symbol("t_half"), result + gap, evaluate=False),
                vanishes=(exp(sympy.expand(2 * q**2 * (half - start - leading - gap.subs(s, q**2)))) - 1,),
            )
        else:
            yield Step(
                "As ε → 0 only the power of ε in it grows without bound; all the rest tends to a constant.",
                Eq(Symbol("t_half"), result, evaluate=False),
                vanishes=(sympy.expand(epsilon ** (depth - 2) * (-start - leading)).subs(epsilon, 0),),
            )


for _depth in (2, 3, 4):
    _half_time(_depth)


@derivation(
    "diagonal-network",
    title="A diagonal network w = u² − v² learns w = 2α² sinh(−4z)",
    entry="A10",
    assumptions=("flow of ½|Xw − y|² in u and v", "u₀ = v₀ = α in every entry"),
    source="Woodworth et al. 2020",
    result=lambda: diagonal_weights(Symbol("z", real=True), alpha, xp=sympy),
    claims=("diagonal-network", "diagonal-network-sparse"),
)
def diagonal(result: object) -> Iterator[Step]:
    """The same problem, the same loss, but a map written as a difference of squares: small starts now prefer sparse
    solutions, though nothing in the loss asks for them."""
    z, g = symbols("z g", real=True)
    u, v, w = (Symbol(name, positive=True) for name in "uvw")
    yield Step(
        "With g = Xᵀ(Xw − y), each entry of u and v moves by itself.",
        (equation("u'", -2 * u * g), equation("v'", 2 * v * g)),
    )
    lower, upper = alpha * exp(-2 * z), alpha * exp(2 * z)
    yield Step(
        "With z' = g this is solved by exponentials, which start at α.",
        (Eq(u, lower, evaluate=False), Eq(v, upper, evaluate=False)),
        vanishes=(
            diff(lower, z) * g + 2 * lower * g,
            diff(upper, z) * g - 2 * upper * g,
            lower.subs(z, 0) - alpha,
            upper.subs(z, 0) - alpha,
        ),
    )
    yield Step(
        "The map is the difference of their squares.",
        Eq(w, result, evaluate=False),
        vanishes=((result - lower**2 + upper**2).rewrite(exp),),
    )
    yield Step(
        "So it moves as w' = −4 √(w² + 4α⁴) g: entries that are large learn fast, those below α² hardly.",
        equation("w'", -4 * sqrt(w**2 + 4 * alpha**4) * g),
        vanishes=(
            (diff(result, z) ** 2 - 16 * (result**2 + 4 * alpha**4)).rewrite(exp),
            diff(result, z).subs(z, 0) + 8 * alpha**2,
        ),
    )


@derivation(
    "silent-alignment",
    title="From small weights the tangent kernel has its final shape I + vvᵀ before the loss falls",
    entry="A11",
    assumptions=(
        "two layers, one output, whitened inputs",
        "weights ε → 0 at the start",
        "shown for two inputs and hidden units",
    ),
    source="Atanasov, Bordelon & Pehlevan 2021",
    result=lambda: silent_kernel(sympy.Matrix([symbols("b_1 b_2", positive=True)]), xp=sympy),
    claims=("silent-alignment", "silent-alignment-fails"),
)
def silent(result: object) -> Iterator[Step]:
    """While the error is still that of an empty network, the weights already turn; afterwards they only grow. Such a
    network is a kernel machine whose kernel has been learned, silently."""
    size, angle = symbols("g theta", positive=True)
    beta = sympy.Matrix([symbols("b_1 b_2", positive=True)])
    norm = sqrt((beta * beta.T)[0, 0])
    direction, hidden = beta.T / norm, sympy.Matrix([sympy.cos(angle), sympy.sin(angle)])
    lower, upper = size * hidden * direction.T, size * hidden.T
    w1, w2, row = MatrixSymbol("W_1", 2, 2), MatrixSymbol("W_2", 1, 2), MatrixSymbol("beta", 1, 2)
    yield Step(
        "While W2W1 is small, the error is β: backprop is linear.",
        (equation("W_1'", w2.T * row), equation("W_2'", row * w1.T)),
    )
    yield Step(
        "Its only growing solutions are W1 = g r vᵀ, W2 = g rᵀ with v along β, any unit vector r, and g' = |β| g; from "
        "ε → 0 they outgrow all else.",
        (Eq(Symbol("W_1"), lower, evaluate=False), Eq(Symbol("W_2"), upper, evaluate=False)),
        vanishes=(*(upper.T * beta - norm * lower), *(beta * lower.T - norm * upper)),
    )
    left = sympy.Symbol("e", real=True)
    yield Step(
        "They stay of this form to the end, as an error e vᵀ along v keeps them in it.",
        equation("g'", left * size),
        vanishes=(*(upper.T * left * direction.T - left * lower), *(left * direction.T * lower.T - left * upper)),
    )
    kernel = (upper * upper.T)[0, 0] * sympy.eye(2) + lower.T * lower
    yield Step(
        "Their tangent kernel W2W2ᵀ I + W1ᵀW1 is g²(I + vvᵀ): its shape never changes.",
        Eq(Symbol("K"), size**2 * (sympy.eye(2) + direction * direction.T), evaluate=False),
        vanishes=tuple(kernel - size**2 * (sympy.eye(2) + direction * direction.T)),
    )
    yield Step(
        "The map is learned at g² = |β|.",
        Eq(Symbol("K"), result, evaluate=False),
        vanishes=(*(upper * lower - beta).subs(size, sqrt(norm)), *(kernel.subs(size, sqrt(norm)) - result)),
    )


@derivation(
    "silent-alignment-fails",
    title="With correlated inputs the early kernel points along Σyx, and must turn",
    entry="A11",
    assumptions=("two layers, one output, any Σx", "weights → 0 at the start"),
    source="derived here",
    result=lambda: early_kernel_cosine(Symbol("c", positive=True), Symbol("i", positive=True)),
    claims=("silent-alignment-fails",),
)
def silent_fails(result: object) -> Iterator[Step]:
    """The plateau grows what the gradient at zero asks for, the end is what least squares ask for. Only for whitened
    inputs are these the same."""
    c, i = symbols("c i", positive=True)
    omega, v_end = MatrixSymbol("omega", 2, 1), MatrixSymbol("v", 2, 1)
    yield Step(
        "On the plateau E = Σyx, so W1 grows along ω ∝ Σyxᵀ and the kernel is ∝ I + ωωᵀ. At the end W = ΣyxΣx⁻¹, along "
        "v, and it is ∝ I + vvᵀ.",
        (equation("K_early", Identity(2) + omega * omega.T), equation("K_end", Identity(2) + v_end * v_end.T)),
    )
    # In the plane of ω and v; each of the other i − 2 directions adds 1 to all products.
    early, late = sympy.Matrix([1, 0]), sympy.Matrix([c, sqrt(1 - c**2)])
    kernels = [sympy.eye(2) + x * x.T for x in (early, late)]
    inner = (kernels[0] * kernels[1]).trace() + i - 2
    norms = [(k * k).trace() + i - 2 for k in kernels]
    yield Step(
        "Both have the squared norm i + 3, and their product is i + 2 + c².",
        Eq(Symbol("product"), inner, evaluate=False),
        vanishes=(norms[0] - (i + 3), norms[1] - (i + 3), inner - (i + 2 + c**2)),
    )
    yield Step(
        "So this is the cosine between them, which is 1 for c = 1 alone.",
        result,
        vanishes=(result * norms[0] - inner, result.subs(c, 1) - 1),
    )


@derivation(
    "noisy-teacher",
    title="Where a teacher's mode is seen through noise, and how much of it",
    entry="A12",
    assumptions=(
        "Σ̂ = s u vᵀ + N with independent entries of variance 1/inputs; A = outputs/inputs",
        "both sizes large; s > A^{1/4}; several modes do not disturb each other",
    ),
    source="Benaych-Georges & Nadakuditi 2012; Lampinen & Ganguli 2019",
    result=lambda: (noisy_strength(s, A, xp=sympy), output_overlap(s, A), input_overlap(s, A)),
    claims=("noisy-teacher-modes",),
)
def noisy_teacher(result: tuple) -> Iterator[Step]:
    """Noise lifts singular values and turns their vectors. A mode weaker than A^{1/4} is lost in the noise altogether:
    no learning rule can find it."""
    strength, left, right = result
    w, p, q = symbols("w p q", positive=True)
    yield Step(
        "Let p and q be the mean diagonal entries of the resolvent 1/(w − H), H = [[0, N], [Nᵀ, 0]], on outputs and "
        "inputs. For large independent entries they close on themselves.",
        (Eq(p, 1 / (w - q), evaluate=False), Eq(q, 1 / (w - A * p), evaluate=False)),
    )
    at = {p: (1 + 1 / s**2) / strength, q: (1 + A / s**2) / strength}
    yield Step(
        "The mode s u vᵀ adds a pole where s² p q = 1. Then w p = 1 + pq and w q = 1 + A pq give its place w.",
        Eq(w, strength, evaluate=False),
        vanishes=(
            (p * (strength - q) - 1).subs(at),
            (q * (strength - A * p) - 1).subs(at),
            (s**2 * p * q - 1).subs(at),
        ),
    )
    share = 1 - A * p**2 * q**2
    slope_p, slope_q = -(p**2) * (1 + q**2) / share, -(q**2) * (1 + A * p**2) / share
    yield Step(
        "How p and q change with w.",
        (equation("p'", slope_p), equation("q'", slope_q)),
        vanishes=(slope_p + p**2 * (1 - slope_q), slope_q + q**2 * (1 - A * slope_p)),
    )
    residue = s**2 * (slope_p * q + p * slope_q)
    yield Step(
        "The residues of p/(1 − s²pq) and q/(1 − s²pq) at the pole are half the squared overlaps.",
        (Eq(Symbol("overlap_out"), left, evaluate=False), Eq(Symbol("overlap_in"), right, evaluate=False)),
        vanishes=((left + 2 * p / residue).subs(at), (right + 2 * q / residue).subs(at)),
    )
    yield Step(
        "At s = A^{1/4} both overlaps vanish, and the singular value is the edge 1 + √A of the noise.",
        Eq(s**4, A, evaluate=False),
        vanishes=(left.subs(A, s**4), right.subs(A, s**4), strength.subs(A, s**4) - (1 + s**2)),
    )


K, M, N = symbols("K M N", integer=True, positive=True)
lam, weight, noise, n, d = symbols("lambda w_0^2 sigma^2 n d", positive=True)


@derivation(
    "regression-risk",
    title="Gradient flow learns the teacher first and the noise later",
    entry="A13",
    assumptions=("flow of |Xw − y|²/(2n) from w = 0", "labels y = Xw* + ξ; w*, ξ independent with variances w₀², σ²"),
    source="Advani, Saxe & Sompolinsky 2020",
    result=lambda: mode_risk(t, lam, weight, noise, n, xp=sympy),
    claims=("regression-risk",),
)
def risk(result: object) -> Iterator[Step]:
    """Along an eigenvector of XᵀX/n the error decays on its own clock, and collects label noise on the way."""
    gap, teacher, nu = symbols("Delta w^* nu", real=True)
    yield Step(
        "The error Δ = w − w* along an eigenvector of eigenvalue λ, where ν is the component of Xᵀξ/n.",
        equation("Delta'", nu - lam * gap),
    )
    found = -teacher * exp(-lam * t) + nu * (1 - exp(-lam * t)) / lam
    yield Step(
        "From w = 0 this is its solution.",
        Eq(Function("Delta")(t), found, evaluate=False),
        vanishes=(diff(found, t) - nu + lam * found, found.subs(t, 0) + teacher),
    )
    square = sympy.Poly(sympy.expand(found**2), teacher, nu)
    mean = square.coeff_monomial(teacher**2) * weight + square.coeff_monomial(nu**2) * lam * noise / n
    yield Step(
        "In the mean w*² is w₀², ν² is λσ²/n, and their product nothing.",
        result,
        vanishes=(mean - result,),
    )


@derivation(
    "regression-early-stopping",
    title="The best time to stop, and why it is worth a ridge penalty",
    entry="A13",
    assumptions=("one mode of gradient flow regression from zero",),
    source="derived here; early stopping as ridge is Ali, Kolter & Tibshirani 2019",
    result=lambda: best_stopping_time(lam, weight, noise, n, xp=sympy),
    claims=("regression-early-stopping",),
)
def stopping(result: object) -> Iterator[Step]:
    """Stopping early and penalising large weights do the same to a mode: they learn a fraction of it."""
    error = mode_risk(t, lam, weight, noise, n, xp=sympy)
    yield Step("The mean squared error of the mode.", error)
    at_end = exp(-lam * result)
    kept = noise / (noise + n * lam * weight)
    yield Step(
        "Its derivative vanishes where e^{−λt} = σ²/(σ² + nλw₀²).",
        Eq(Symbol("t_best"), result, evaluate=False),
        vanishes=(at_end - kept, diff(error, t).subs(exp(-lam * t), kept).subs(exp(-2 * lam * t), kept**2)),
    )
    yield Step(
        "There it is w₀²σ²/(nλw₀² + σ²), the error of the best ridge regression.",
        weight * noise / (n * lam * weight + noise),
        vanishes=(error.subs(t, result) - weight * noise / (n * lam * weight + noise),),
    )


@derivation(
    "lms-mean-square",
    title="Online regression: noise floor, and the largest rate 2/(d + 2)",
    entry="A13",
    assumptions=("one fresh sample x ~ N(0, I_d) for each update", "labels with independent noise of variance σ²"),
    source="Widrow & Hoff 1960; Feuer & Weinstein 1985",
    result=lambda: (lms_step(Symbol("m"), eta, d, noise), lms_limit(eta, d, noise), lms_max_rate(d)),
    claims=("lms-mean-square",),
)
def lms(result: tuple) -> Iterator[Step]:
    """With fresh samples there is nothing to overfit; noise enters through the step size instead."""
    step, limit, top = result
    m, x = Symbol("m"), Symbol("x", real=True)
    gap, sample = MatrixSymbol("Delta", N, 1), MatrixSymbol("x", N, 1)
    yield Step(
        "One update of the error Δ = w − w*, with the label noise ξ.",
        equation("Delta_next", gap - eta * sample * sample.T * gap + eta * Symbol("xi") * sample),
    )
    density = exp(-(x**2) / 2) / sqrt(2 * sympy.pi)
    second, fourth = (sympy.integrate(x**k * density, (x, -sympy.oo, sympy.oo)) for k in (2, 4))
    carried = fourth + (d - 1) * second**2
    yield Step(
        "With the first axis along Δ, the mean of |x|² x₁² is that of x₁⁴ plus d − 1 times that of x₂² x₁²: d + 2.",
        carried,
        vanishes=(carried - (d + 2),),
    )
    yield Step(
        "Squaring and averaging: E|Δ|² = m loses 2ηm and gains η²((d + 2) m + d σ²).",
        Eq(Symbol("m_next"), step, evaluate=False),
        vanishes=(m - 2 * eta * second * m + eta**2 * (carried * m + d * noise) - step,),
    )
    yield Step("It comes to rest here.", Eq(Symbol("m_end"), limit), vanishes=(step.subs(m, limit) - limit,))
    yield Step(
        "As long as the factor of m is below 1: it reaches 1 at the largest rate.",
        Eq(Symbol("eta_max"), top),
        vanishes=(diff(step, m).subs(eta, top) - 1,),
    )


R, Q, T = MatrixSymbol("R", K, M), MatrixSymbol("Q", K, K), MatrixSymbol("T", M, M)
v, head, F = MatrixSymbol("v", K, 1), MatrixSymbol("A", M, 1), MatrixSymbol("F", K, 1)
W, V = MatrixSymbol("W", K, N), MatrixSymbol("V", M, N)


@derivation(
    "online-order-parameters",
    title="Online learning in the overlaps of student and teacher, backprop or fixed feedback",
    entry="A13",
    assumptions=(
        "linear student W, v and teacher V, A; one output; fresh samples x ~ N(0, I_N), N → ∞",
        "steps η/√N in W and η/N in v; t = steps/N; F = v is backprop",
    ),
    source="Saad & Solla 1995; Goldt et al. 2019; Refinetti et al. 2021",
    result=lambda: tuple(expand_matrix(x) for x in online_velocity(R, Q, v, T, head, eta, noise, F)),
    claims=("online-order-parameters",),
)
def online(result: tuple) -> Iterator[Step]:
    """Millions of weights, but their mean behaviour depends on a handful of overlaps. The noise of single samples
    leaves one trace: a term of second order in the rate, which feeds the student's norm."""
    sample = MatrixSymbol("x", N, 1)
    yield Step(
        "One sample changes W by (η/√N) F e xᵀ and v by (η/N) λ e, with e = (AᵀV − vᵀW) x/√N + ζ and λ = Wx/√N.",
        (
            equation("dW", eta / sqrt(N) * Symbol("e") * F * sample.T),
            equation("dv", eta / N * Symbol("e") * W * sample / sqrt(N)),
        ),
    )
    pull = head.T * V - v.T * W
    velocities = {W: eta * F * pull, v: eta * W * pull.T / N}
    yield Step(
        "As E[xxᵀ] = I, in the time t = steps/N they move on average as follows.",
        (equation("W'", velocities[W]), equation("v'", velocities[v])),
    )
    overlaps = {R: W * V.T / N, Q: W * W.T / N, T: V * V.T / N}
    in_weights = [expression.subs(overlaps) for expression in result]
    yield Step(
        "R = WVᵀ/N is linear in W, so it moves by that average; so does v.",
        (equation("R'", result[0]), equation("v'", result[2])),
        vanishes=(
            flow_derivative(W * V.T / N, velocities) - in_weights[0],
            velocities[v] - in_weights[2],
        ),
    )
    cross = v.T * W * V.T * head / N
    squared = head.T * V * V.T * head / N - 2 * cross + v.T * W * W.T * v / N
    yield Step(
        "The mean squared error without label noise is |AᵀV − vᵀW|²/N; vᵀWVᵀA is a number, equal to its transpose.",
        squared,
        vanishes=(pull * pull.T / N - squared - (cross - cross.T),),
    )
    fluctuation = eta**2 * (F * squared * F.T + noise * F * F.T)
    yield Step(
        "Q = WWᵀ/N is quadratic: |x|²/N → 1 adds η² E[e²] FFᵀ, with E[e²] = |AᵀV − vᵀW|²/N + σ².",
        equation("Q'", result[1]),
        vanishes=(flow_derivative(W * W.T / N, velocities) + fluctuation - in_weights[1],),
    )
