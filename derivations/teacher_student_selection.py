"""What direct feedback selects: exchanged units, signs of ReLU students, and conditioning of deep linear networks."""

from collections.abc import Iterator
from itertools import product

import sympy
from linfa.derivations.chain import Step, derivation, equation
from sympy import Eq, Function, MatrixSymbol, Symbol, diag, pi, sqrt, symbols

from linfa.neighbours.teacher_student import deep
from linfa.neighbours.teacher_student.signs import learning_probability
from linfa.neighbours.teacher_student.solutions import exchange_gain
from linfa.theory.deep_direct import compressed_activity

t = Symbol("t", positive=True)
REFINETTI = "Refinetti, d'Ascoli, Ohana & Goldt 2021"


@derivation(
    "teacher-exchange",
    title="Matching large feedback with large teacher units makes F·v largest",
    entry="S4",
    assumptions=("v_i = s_i A_π(i) with free signs s and a permutation π; moduli of F and of A",),
    source="Hardy, Littlewood & Pólya 1934 (rearrangement); its role in DFA is " + REFINETTI,
    result=lambda: exchange_gain(*symbols("f_1 f_2 a_1 a_2", positive=True)),
    claims=("teacher-degeneracy-breaking",),
)
def exchange(result: object) -> Iterator[Step]:
    """All degenerate solutions have no error. What tells them apart under fixed feedback is how well v points along F,
    and two units that are matched crosswise can always do better."""
    f1, f2, a1, a2 = symbols("f_1 f_2 a_1 a_2", positive=True)
    ordered, crossed = f1 * a1 + f2 * a2, f1 * a2 + f2 * a1
    yield Step(
        "The best signs make every term of F·v positive. Two units then contribute one of these.",
        (equation("ordered", ordered), equation("crossed", crossed)),
    )
    yield Step(
        "Their difference is positive where the larger |F| takes the larger |A|; sorting pairs ends at the maximum.",
        Eq(Symbol("gain"), result, evaluate=False),
        vanishes=(sympy.expand(ordered - crossed - result),),
    )


@derivation(
    "teacher-relu-signs",
    title="The probability that random feedback has enough positive entries for a ReLU student",
    entry="S5",
    assumptions=(
        "all A > 0; a student learns if and only if M of the K entries of F are positive (found in simulations)",
        "independent entries, positive with probability p; shown for K = 4, M = 2",
    ),
    source=REFINETTI,
    result=lambda: learning_probability(4, 2, Symbol("p", positive=True)),
    claims=("teacher-relu-signs",),
)
def relu_signs(result: object) -> Iterator[Step]:
    """A unit of an erf student can flip its sign at no cost; a ReLU cannot. It must be lucky in the draw of its
    feedback, or have units to spare."""
    p = Symbol("p", positive=True)
    patterns = list(product((p, 1 - p), repeat=4))
    yield Step(
        "The sixteen sign patterns of F and their probabilities.", equation("P_all", sum(map(sympy.prod, patterns)))
    )
    enough = sum(sympy.prod(pattern) for pattern in patterns if pattern.count(p) >= 2)
    yield Step(
        "Those with at least two positive entries, counted by how many there are.",
        Eq(Symbol("P"), result, evaluate=False),
        vanishes=(sympy.expand(sum(map(sympy.prod, patterns)) - 1), sympy.expand(enough - result)),
    )


i, o = symbols("i o", integer=True, positive=True)
TARGET = MatrixSymbol("T", o, i)
FEEDBACK = [MatrixSymbol(f"F_{k + 1}", n, o) for k, n in enumerate(symbols("n_1:4", integer=True, positive=True))]
GRAMS = [f.T * f for f in FEEDBACK]


@derivation(
    "teacher-conditioning",
    title="Early in learning A_2 is the covariance of the targets, and every layer above squares it",
    entry="S6",
    assumptions=(
        "deep linear network, direct feedback, zero weights, whitened inputs",
        "leading order in t; shown for L = 4",
    ),
    source="derived here; that conditioning follows the errors' covariance is " + REFINETTI,
    result=lambda: tuple(deep.early_small(t, TARGET, GRAMS)),
    claims=("teacher-conditioning",),
)
def conditioning(result: tuple) -> Iterator[Step]:
    """As long as nothing is learned the error is the target itself, and the small matrices of weak alignment grow as
    powers of time, each fed by all below it."""
    yield Step(
        "From A_1' = E and A_{l+1}' = E Z_lᵀ with E = T: A_1 = t T.",
        (equation("A_1'", TARGET), equation("A_{l+1}'", TARGET * MatrixSymbol("Z_l", o, i).T)),
    )
    yield Step("The first layer.", equation("A_1", result[0]), vanishes=(result[0] - t * TARGET,))
    activity = compressed_activity(result, GRAMS)
    powers, ordinals = (2, 4, 8), ("second", "third", "fourth")
    for k, (power, ordinal) in enumerate(zip(powers, ordinals, strict=True), start=1):
        # A monomial t^n has n times itself, divided by t, as its derivative.
        yield Step(
            f"The {ordinal} grows as t^{power}.",
            equation(f"A_{k + 1}", result[k]),
            vanishes=(sympy.Integer(power) / t * result[k] - TARGET * activity[k - 1].T,),
        )


def _modes() -> list[sympy.Matrix]:
    """A_1 … A_4 for two targets in the basis of their covariance diag(1, κ), feedback with F_lᵀF_l = I."""
    spread = Symbol("kappa", positive=True)
    return deep.early_small(t, diag(1, sqrt(spread)), [sympy.eye(2)] * 3)


@derivation(
    "teacher-condition-number",
    title="cond(A_l) = κ^{2^{l−2}}: correlated targets make upper layers ill-conditioned",
    entry="S6",
    assumptions=("as before, F_lᵀF_l ∝ I; two modes with variances in the ratio κ; layers 2, 3 and 4",),
    source="derived here",
    result=lambda: tuple(deep.early_condition(Symbol("kappa", positive=True), layer) for layer in (2, 3, 4)),
    claims=("teacher-conditioning",),
)
def condition_number(result: tuple) -> Iterator[Step]:
    """A modest correlation of targets is squared by each layer, as each learns from what the one below lets through."""
    small = _modes()
    yield Step(
        "In the modes of the targets the small matrices are diagonal.",
        tuple(equation(f"A_{k + 1}", a) for k, a in enumerate(small)),
    )
    ratios = [sympy.simplify(a[1, 1] / a[0, 0]) for a in small[1:]]
    yield Step(
        "The ratios of their entries.",
        tuple(Eq(Symbol(f"cond_{k}"), r, evaluate=False) for k, r in zip((2, 3, 4), result, strict=True)),
        vanishes=(*(a[0, 1] for a in small), *(r - found for r, found in zip(result, ratios, strict=True))),
    )


R, X = symbols("r x", positive=True)


def _first(a: sympy.Expr, b: sympy.Expr, c: sympy.Expr) -> sympy.Expr:
    """The integrand of Carlson's R_F over x from 0 to ∞."""
    return 1 / (2 * sqrt((X + a) * (X + b) * (X + c)))


def _third(a: sympy.Expr, b: sympy.Expr, c: sympy.Expr, d: sympy.Expr) -> sympy.Expr:
    """That of R_J."""
    return 3 / (2 * (X + d) * sqrt((X + a) * (X + b) * (X + c)))


@derivation(
    "teacher-gradient-alignment",
    title="Mean cosine of DFA's and backprop's signals: falls with the targets' correlation, and comes back",
    entry="S6",
    assumptions=(
        "early, zero weights, F_lᵀF_l ∝ I, so that backprop carries Σⁿ e where direct feedback carries e",
        "two targets, covariance Σ of eigenvalues 1 and r; e Gaussian with covariance Σ; shown for L = 3, l = 1, n = 3",
    ),
    source="derived here",
    result=lambda: deep.mean_cosine(R, deep.carried_power(1, 3), _first, _third, xp=sympy),
    claims=("teacher-gradient-alignment",),
)
def gradient_alignment(result: object) -> Iterator[Step]:
    """Ill-conditioned small matrices turn an error away from itself, unless the errors lie along one direction anyway.
    Between independent and identical targets there is a worst case."""
    r, x, power = R, X, 3
    small = _modes()
    passed = (small[1] * small[2]).subs(Symbol("kappa", positive=True), r)
    yield Step(
        "Backprop's signal to the first layer of three is F_1 A_2ᵀ A_3ᵀ e.",
        equation("carried", passed),
    )
    yield Step(
        "That is the third power of Σ.",
        equation("n", sympy.Integer(power)),
        vanishes=(passed[1, 1] / passed[0, 0] - r**power, passed[0, 1]),
    )
    # e = (cos θ, √r sin θ) times a length, and x = tan² θ.
    cosine = (1 + r ** (power + 1) * x) / sqrt((1 + r ** (2 * power + 1) * x) * (1 + r * x))
    inner, lengths = 1 + r**power * r * x, (1 + r ** (2 * power) * r * x, 1 + r * x)
    yield Step(
        "With e = (cos θ, √r sin θ)|ξ| and x = tan²θ the cosine of Σⁿe and e is this; θ is uniform.",
        Eq(Symbol("cosine"), cosine, evaluate=False),
        vanishes=(sympy.expand(cosine**2 * lengths[0] * lengths[1] - inner**2),),
    )
    density = 1 / (pi * sqrt(x) * (1 + x))
    named = deep.mean_cosine(r, power, Function("R_F"), Function("R_J"), xp=sympy)
    yield Step(
        "The mean over θ is ∫ cosine dx/(π √x (1 + x)). Carlson's R_F and R_J are integrals over x as well, and the "
        "integrands agree.",
        Eq(Symbol("mean"), named, evaluate=False),
        vanishes=(sympy.simplify(result / (density * cosine)) - 1,),
    )
