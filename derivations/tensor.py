"""Low-rank tensor decomposition: denoisers, state evolution, and what least squares loses."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Expr, Function, Integer, Symbol, diff, exp, log, sqrt, symbols

from linfa.neighbours.tensor import closed_forms as theory

A, B, v, delta, t, m, n, y, z = symbols("A B v Delta t m n y z", positive=True)
m1, m2, m3, n1, n2, n3, v2, v3, s = symbols("m_1 m_2 m_3 n_1 n_2 n_3 v_2 v_3 s", positive=True)
p, N = symbols("p N", positive=True)
mu, x = symbols("mu x", real=True)
rho = Symbol("rho", positive=True)

EVIDENCES = symbols("psi_1 psi_2 psi_3")
MODEL = (
    "Y = N^{−(p−1)/2} x_1 ⊗ … ⊗ x_p + √Δ ε, N → ∞ at fixed shape",
    "Bayes estimate: prior and noise are known",
)


@derivation(
    "tensor-gaussian-denoiser",
    title="Factors N(μ, v): f = (B + μ/v)/(A + 1/v), g = μ² + v²A/(1 + vA), ψ = ½[(μ² + v)A − log(1 + vA)]",
    entry="2.2, 2.3",
    assumptions=("rows of the factor are N(μ, v)", "a field B = Ax + √A z with z ~ N(0, 1)"),
    source="Lesieur et al. 2017; Kadmon & Ganguli 2018",
    result=lambda: (
        theory.gaussian_estimate(A, B, mu, v),
        theory.gaussian_overlap(A, mu, v),
        theory.gaussian_evidence(A, mu, v, xp=sympy),
    ),
    claims=("tensor-amp-gaussian", "tensor-gaussian-branch", "tensor-amp-rank"),
)
def gaussian_denoiser(result: tuple) -> Iterator[Step]:
    """What a mode learns about one of its entries is a number B, the entry times A plus noise of variance A. The rest
    is Bayes' rule."""
    estimate, overlap, evidence = result
    weight = exp(-((x - mu) ** 2) / (2 * v) - A * x**2 / 2 + B * x)
    yield Step("Prior times likelihood.", Eq(Function("P")(x), weight, evaluate=False))
    yield Step(
        "It is a Gaussian: its mean is where the exponent is stationary.",
        equation("f", estimate),
        vanishes=(diff(log(weight), x).subs(x, estimate), diff(log(weight), x, 2) + A + 1 / v),
    )
    # B = A x + √A z with x = μ + √v w, and w, z independent: E[w²] = E[z²] = 1.
    w, noise = symbols("w zeta", real=True)
    truth = mu + sqrt(v) * w
    averaged = sympy.expand(truth * estimate.subs(B, A * truth + sqrt(A) * noise))
    yield Step(
        "Averaged over x = μ + √v w and the noise ζ, f x is the overlap.",
        equation("g", overlap),
        vanishes=(_unit_average(averaged, w, noise) - overlap,),
    )
    # log ∫ P(x) e^{...} dx = (B + μ/v)²/(2(A + 1/v)) − μ²/(2v) − ½ log(1 + vA).
    value = (B + mu / v) ** 2 / (2 * (A + 1 / v)) - mu**2 / (2 * v)
    averaged = sympy.expand(value.subs(B, A * truth + sqrt(A) * noise))
    yield Step(
        "The logarithm of the integral is the square completed, and averaged it is the evidence.",
        equation("psi", evidence),
        vanishes=(
            diff(value, B) - theory.gaussian_estimate(A, B, mu, v),
            _unit_average(averaged, w, noise) - log(1 + v * A) / 2 - evidence,
        ),
    )
    yield Step(
        "Its slope is half the overlap, as for every prior.",
        Eq(Symbol("psi'"), overlap / 2),
        vanishes=(diff(evidence, A) - overlap / 2,),
    )


def _unit_average(polynomial: Expr, *numbers: Symbol) -> Expr:
    """Average of a polynomial of degree 2 at most in each of independent numbers of mean 0 and variance 1."""
    found = polynomial
    for number in numbers:
        powers = sympy.Poly(sympy.expand(found), number)
        found = powers.coeff_monomial(1) + powers.coeff_monomial(number**2)
    return sympy.simplify(found)


@derivation(
    "tensor-discrete-denoisers",
    title="Signs: f = tanh B. Zeros and ones: f = 1/(1 + e^{A/2 − B}(1 − ρ)/ρ). Their slope in B is their variance",
    entry="2.2",
    assumptions=("signs with probability ½ each, or ones with probability ρ",),
    source="Lesieur et al. 2017; Kadmon & Ganguli 2018",
    result=lambda: (theory.rademacher_estimate(B, xp=sympy), theory.bernoulli_estimate(A, B, rho, xp=sympy)),
    claims=("tensor-amp-rademacher", "tensor-amp-bernoulli", "tensor-nishimori"),
)
def discrete_denoisers(result: tuple) -> Iterator[Step]:
    """Where an entry is one of a few values, the posterior mean is a sum over them."""
    signs, ones = result
    up, down = exp(-A / 2 + B), exp(-A / 2 - B)
    yield Step("Weights of the states +1 and −1, of 1 and 0.", (up, down, rho * exp(-A / 2 + B), 1 - rho))
    yield Step(
        "For signs the factor e^{−A/2} is common to both.",
        equation("f", signs),
        vanishes=((up - down) / (up + down) - signs.rewrite(exp),),
    )
    yield Step(
        "For zeros and ones it is not.",
        equation("f", ones),
        vanishes=(rho * up / (rho * up + 1 - rho) - ones,),
    )
    yield Step(
        "The posterior variance, which the Onsager term needs, is the slope: 1 − f² and f(1 − f).",
        (1 - signs**2, ones * (1 - ones)),
        vanishes=((diff(signs, B) - (1 - signs**2)).rewrite(exp), diff(ones, B) - ones * (1 - ones)),
    )


def precisions() -> tuple[Expr, Expr, Expr]:
    """A_a = (1/Δ) Π_{b≠a} n_b m_b."""
    return n2 * n3 * m2 * m3 / delta, n1 * n3 * m1 * m3 / delta, n1 * n2 * m1 * m2 / delta


@derivation(
    "tensor-free-entropy",
    title="The free entropy is stationary exactly where state evolution rests",
    entry="2.3",
    assumptions=(*MODEL, "ψ' = g/2, as integration by parts over the noise gives", "order 3, any shape and priors"),
    source="Lesieur et al. 2017; Kadmon & Ganguli 2018",
    result=lambda: theory.free_entropy_of([m1, m2, m3], EVIDENCES, delta, [n1, n2, n3]),
    claims=("tensor-free-entropy",),
)
def free_entropy(result: Expr) -> Iterator[Step]:
    """Between several fixed points of state evolution the free entropy decides which is the best estimate."""
    lent, ratios, overlaps = precisions(), (n1, n2, n3), (m1, m2, m3)
    names = symbols("A_1 A_2 A_3")
    yield Step(
        "The precision that the others lend to a mode, on which its evidence ψ depends with the slope g/2.",
        tuple(Eq(name, value) for name, value in zip(names, lent, strict=True)),
    )
    parts = zip(ratios, EVIDENCES, lent, overlaps, strict=True)
    written = n1 * n2 * n3 * m1 * m2 * m3 / (2 * delta) + sum(r * (e - q * o / 2) for r, e, q, o in parts)
    yield Step(
        "The free entropy: n_a A_a m_a is the same product for all modes.",
        equation("F", result),
        vanishes=(written - result,),
    )
    gains = symbols("g_1 g_2 g_3", positive=True)
    gaps = []
    for a, overlap in enumerate(overlaps):
        slope = diff(result, overlap)
        expected = Integer(0)
        for b in range(3):
            moved = diff(lent[b], overlap)
            slope += diff(result, EVIDENCES[b]) * gains[b] / 2 * moved
            if b != a:
                expected += ratios[b] * (gains[b] - overlaps[b]) * moved / 2
        gaps.append(slope - expected)
    yield Step(
        "By the chain rule its slope in m_a is a sum of the n_b (g_b − m_b) of the other modes, with positive weights: "
        "all slopes are zero where every m_b is g_b(A_b), and, as the three sums are independent, only there.",
        tuple(Eq(g, o) for g, o in zip(gains, overlaps, strict=True)),
        vanishes=tuple(gaps),
    )


@derivation(
    "tensor-bayes-error",
    title="The Bayes estimate of a tensor of rank 1 misses 1 − Π m_a/E[x_a²] of its square",
    entry="2.3",
    assumptions=(*MODEL, "x̂ᵀx = |x̂|² on average: an estimate that is a posterior mean"),
    source="Kadmon & Ganguli 2018",
    result=lambda: theory.bayes_error([m1, m2, m3], [v, v2, v3]),
    claims=("tensor-amp-gaussian", "tensor-amp-components", "tensor-nishimori"),
)
def bayes_error(result: Expr) -> Iterator[Step]:
    """Squares and products of tensors of rank 1 are products over modes."""
    square, product = v * v2 * v3, m1 * m2 * m3
    yield Step("Squares and product of estimate and truth, over N.", (product, square))
    yield Step(
        "The squared difference, over the square of the truth.",
        equation("epsilon", result),
        vanishes=((product - 2 * product + square) / square - result,),
    )


@derivation(
    "tensor-als",
    title="Least squares: cos² are the overlaps for N(0, 1), λ/√N = √P(Σ1/m_a − p + 1), error 1 + ℓ² − 2ℓ√P",
    entry="2.5",
    assumptions=(
        *MODEL[:1],
        "a spike of size √N, order 3 shown",
        "the fixed point near it",
    ),
    source="cubic case known; any shape and the cavity argument: derived here",
    result=lambda: (theory.als_weight([m1, m2, m3], xp=sympy), theory.als_error([m1, m2, m3], xp=sympy)),
    claims=("tensor-als", "tensor-amp-against-als"),
)
def least_squares(result: tuple) -> Iterator[Step]:
    """At the best approximation λ u_1 ⊗ u_2 ⊗ u_3 each factor is the tensor applied to the others. What it gave to them
    comes back, so that of λ only k_a multiplies what is new to mode a: the spike and fresh noise."""
    weight, error = result
    ratios = (n1, n2, n3)
    cosines = [sqrt(o) for o in (m1, m2, m3)]
    total = m1 * m2 * m3
    k = [sqrt(total) / o for o in (m1, m2, m3)]
    noises = [total * (1 - o) / o**2 for o in (m1, m2, m3)]
    fresh = symbols("k_1 k_2 k_3")
    yield Step(
        "In units of √N: k_a u_a is the spike times the other modes' cosines, plus noise of squared length Δ n_a.",
        (Eq(fresh[0] * cosines[0], cosines[1] * cosines[2]), Eq(fresh[0] ** 2, m2 * m3 + delta * n1)),
    )
    yield Step(
        "The first gives k_a = √P/m_a with P = m_1 m_2 m_3, the second then Δ n_a = P (1 − m_a)/m_a².",
        tuple(Eq(delta * r, d) for r, d in zip(ratios, noises, strict=True)),
        vanishes=tuple(
            part
            for a in range(3)
            for part in (
                k[a] * cosines[a] - sympy.prod(c for b, c in enumerate(cosines) if b != a),
                k[a] ** 2 - total / (m1, m2, m3)[a] - noises[a],
            )
        ),
    )
    yield Step(
        "These are the fixed points of state evolution for N(0, 1), where Π n_a = 1 makes A_a = P/(Δ n_a m_a).",
        Eq(m, theory.gaussian_overlap(A)),
        vanishes=tuple(theory.gaussian_overlap(total / (d * o)) - o for d, o in zip(noises, (m1, m2, m3), strict=True)),
    )
    sums = [k[a] + sum(noises[b] / k[b] for b in range(3) if b != a) for a in range(3)]
    yield Step(
        "A change of mode a moves mode b by 1/k_b, and what comes back to a through all N_b rows of the noise adds "
        "Δ n_b/k_b to λ; the sum is the same from every mode.",
        equation("ell", weight),
        vanishes=tuple(total_ - weight for total_ in sums),
    )
    yield Step(
        "The error: |T̂|² = ℓ², T̂·T = ℓ √P, in units of the spike's square. For a cube 1 + m(3 − 2m)(3 − 4m).",
        equation("epsilon", error),
        vanishes=(
            1 + sums[0] ** 2 - 2 * sums[0] * sqrt(total) - error,
            error.subs({m1: m, m2: m, m3: m}) - (1 + m * (3 - 2 * m) * (3 - 4 * m)),
            weight.subs({m1: m, m2: m, m3: m}) ** 2 - m * (3 - 2 * m) ** 2,
        ),
    )


@derivation(
    "tensor-spectral-start",
    title="Leading singular vector of an unfolding: cos² = (1 − Δ²N^{p−2})/(1 + Δ n_a), zero from Δ = N^{1−p/2}",
    entry="T6, T8",
    assumptions=("a spike of size √N in noise of variance Δ, N → ∞", "unfolding along mode a: N_a × N^p/N_a"),
    source="Baik, Ben Arous & Péché 2005; Benaych-Georges & Nadakuditi 2012",
    result=lambda: theory.spectral_overlap(delta, N, n, order=p),
    claims=("tensor-spectral-start", "tensor-matrix-transition", "tensor-start-success"),
)
def spectral_start(result: Expr) -> Iterator[Step]:
    """A singular vector is the best approximation of rank 1 of a matrix, so the argument for least squares holds with
    two modes, of which one is long."""
    rows, columns = delta * n, delta * N ** (p - 2) / n
    yield Step(
        "Noise per mode, over the square of the spike: Δ N_a/N and Δ M/N with M = N^p/N_a columns.",
        (rows, columns),
    )
    right = (1 - rows * columns) / (1 + columns)
    left = (1 - rows * columns) / (1 + rows)
    yield Step(
        "As for least squares, P (1 − m)/m² is the noise of a mode, with P the product of both cos².",
        (equation("m_a", result), equation("m_rest", right)),
        vanishes=(
            right * (1 - result) / result - rows,
            result * (1 - right) / right - columns,
            result - left,
        ),
    )
    yield Step(
        "It is zero where the product of both noises is 1, whatever the shape.",
        Eq(delta, N ** (1 - p / 2)),
        vanishes=(sympy.simplify(result.subs(delta, N ** (1 - p / 2))),),
    )


@derivation(
    "tensor-norm-mode",
    title="Parallel message passing multiplies a common error of all norms by d − (1 − d)(p − 1)",
    entry="2.2",
    assumptions=("factors N(0, v), Δ → 0", "parallel schedule with damping d"),
    source="derived here",
    result=lambda: theory.norm_multiplier(p, Symbol("d", positive=True)),
    claims=("tensor-norm-mode",),
)
def norm_mode(result: Expr) -> Iterator[Step]:
    """Directions are right and lengths are not: each mode makes up for what all the others lack, at once."""
    d, alpha = symbols("d alpha", positive=True)
    field, precision = alpha ** (p - 1), alpha ** (2 * (p - 1))
    yield Step(
        "With every estimate α times the truth, at little noise: field and precision, over their size at α = 1.",
        (field, precision),
    )
    estimate = field / precision
    moved = d * alpha + (1 - d) * estimate
    yield Step(
        "The posterior mean is their ratio; of it a share 1 − d is taken.",
        Eq(Symbol("alpha'"), moved),
        vanishes=(sympy.powsimp(estimate) - alpha ** (1 - p), sympy.simplify(moved.subs(alpha, 1) - 1)),
    )
    yield Step(
        "Its slope at α = 1. Undamped, −(p − 1): an error of all norms oscillates and grows.",
        equation("mu", result),
        vanishes=(diff(moved, alpha).subs(alpha, 1) - result,),
    )
