"""Exact reduction: why a network of any width learns as one of the width of its subspaces.

Sizes are symbols throughout: the identities hold for matrices of any size.
"""

from collections.abc import Iterator

from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Identity, MatrixExpr, MatrixSymbol, ZeroMatrix, symbols

from linfa.reduction import lifted, projected

i, n1, n2, o, r = symbols("i n_1 n_2 o r", integer=True, positive=True)
k0, k1, k2 = symbols("k_0 k_1 k_2", integer=True, positive=True)
eta, wd, s = symbols("eta wd s", positive=True)
U0, U1, U2 = MatrixSymbol("U_0", i, k0), MatrixSymbol("U_1", n1, k1), MatrixSymbol("U_2", n2, k2)
w1, w2 = MatrixSymbol("w_1", k1, i), MatrixSymbol("w_2", o, k1)
q, b, P, E = MatrixSymbol("q", k1, r), MatrixSymbol("b", k1, o), MatrixSymbol("P", r, o), MatrixSymbol("E", o, i)
D1, D2 = MatrixSymbol("d_1", k1, k0), MatrixSymbol("d_2", k2, k0)
CLOSED = orthonormal(U0) | orthonormal(U1) | orthonormal(U2)


def _agrees(expression: MatrixExpr) -> MatrixExpr:
    """What is left of a difference once UᵀU = I is used."""
    return reduced(expression, CLOSED)


@derivation(
    "reduction-hidden",
    title="The hidden layer enters only through the span of W1's columns, W2's rows and Q's columns",
    entry="B2, any start",
    assumptions=(
        "two layers of any sizes, any data, weight decay",
        "U has orthonormal columns that span those of W1(0), of W2(0)ᵀ and of Q or B: at most i + o + r of them",
        "any rule but sign-symmetry, whose signs of single entries no rotation respects",
    ),
    source="derived here",
    result=lambda: tuple(lifted(*parts) for parts in ((w1, U1, None), (w2, None, U1), (q, U1, None), (b, U1, None))),
    claims=("reduction-hidden", "reduction-width"),
)
def hidden(result: tuple) -> Iterator[Step]:
    """A hidden layer of a hundred thousand units is driven through few directions. No signal ever leaves their span,
    so in an orthonormal basis of it the very same rule runs, with a hidden layer of i + o + r units: not approximately,
    and not on average over a random draw, but exactly, for every draw and every width."""
    lower, upper, factor, full = result
    yield Step(
        "Try matrices in the span: at the start they are, by the choice of U.",
        (equation("W_1", lower), equation("W_2", upper), equation("Q", factor), equation("B", full)),
    )
    yield Step(
        "The map is that of the small network, and so is the error E: the basis drops out.",
        equation("W", w2 * w1),
        vanishes=(_agrees(upper * lower - w2 * w1), _agrees(projected(lower, U1, None) - w1)),
    )
    carriers = (("backprop, W2ᵀ", upper.T, w2.T), ("low rank, Q P", factor * P, q * P), ("full, B", full, b))
    velocities = {w2: E * w1.T - wd * w2}
    for name, carrier, small in carriers:
        velocities[w1] = small * E - wd * w1
        yield Step(
            f"W1 learns by its rule ({name}) if w1 learns by the same rule with the small carrier.",
            equation("w_1'", velocities[w1]),
            vanishes=(_agrees(flow_derivative(lower, velocities) - (carrier * E - wd * lower)),),
        )
    yield Step(
        "So does W2: what it gets from below is W1 in the span.",
        equation("w_2'", velocities[w2]),
        vanishes=(_agrees(flow_derivative(upper, velocities) - (E * lower.T - wd * upper)),),
    )
    activity = {q: w1 * (P * E).T - wd * q}
    normative = {q: (w2.T - q * P) * P.T}
    yield Step(
        "Factors that learn stay in the span: Kolen–Pollack's Q follows the activity, the normative one W2ᵀ.",
        (equation("q'", activity[q]), equation("q'", normative[q])),
        vanishes=(
            _agrees(flow_derivative(factor, activity) - (lower * (P * E).T - wd * factor)),
            _agrees(flow_derivative(factor, normative) - (upper.T - factor * P) * P.T),
        ),
    )
    mirror, mutual = {b: s * w2.T - wd * b}, {b: w1 * E.T - wd * b}
    yield Step(
        "The weight mirror and full Kolen–Pollack feedback do too: they read W2ᵀ and W1.",
        (equation("b'", mirror[b]), equation("b'", mutual[b])),
        vanishes=(
            _agrees(flow_derivative(full, mirror) - (s * upper.T - wd * full)),
            _agrees(flow_derivative(full, mutual) - (lower * E.T - wd * full)),
        ),
    )
    yield Step(
        "And P, which lives at the output, sees Q and the hidden activity through their inner products alone.",
        (equation("Q^T W_1", q.T * w1), equation("W_2 Q", w2 * q), equation("Q^T Q", q.T * q)),
        vanishes=(
            _agrees(factor.T * lower - q.T * w1),
            _agrees(upper * factor - w2 * q),
            _agrees(factor.T * factor - q.T * q),
        ),
    )


R = MatrixSymbol("R", n2, n1)
small = MatrixSymbol("w", k2, k1)
v = MatrixSymbol("v", k1, k0)
OUTSIDE = {(R, U1): ZeroMatrix(n2, k1), (U2.T, R): ZeroMatrix(k2, n1), (U1.T, R.T): ZeroMatrix(k1, n2)}
OUTSIDE |= {(R.T, U2): ZeroMatrix(n1, k2)}


@derivation(
    "reduction-deep",
    title="In a deep network, what lies outside an invariant family of subspaces only decays",
    entry="A4, B10",
    assumptions=(
        "W(0) maps the subspace of the layer below into that of the layer, and its transpose back",
        "the feedback maps the subspace of its source into that of its receiver",
        "any data, any depth: one layer between two others is shown",
    ),
    source="derived here",
    result=lambda: (lifted(small, U2, U1), lifted(D2, U2, U0), lifted(v, U1, U0)),
    claims=("reduction-deep",),
)
def deep(result: tuple) -> Iterator[Step]:
    """In a deep network W(0) itself need not be small: a random orthogonal matrix has all directions. But signals that
    pass through it come from few directions and go to few, and only there it learns. The rest of the matrix is a
    bystander."""
    inside, signal, activity = result
    weight = inside + R
    both = CLOSED | OUTSIDE
    yield Step(
        "Split a layer: R vanishes on the subspace below and leads nowhere into the subspace of the layer.",
        (equation("W", weight), equation("D", signal), equation("V", activity)),
    )
    yield Step(
        "Activity from below stays in the subspaces as it goes up; the rest does not see it.",
        equation("W V", U2 * small * v * U0.T),
        vanishes=(reduced(weight * activity - U2 * small * v * U0.T, both),),
    )
    yield Step(
        "Signals stay in them as they go down.",
        equation("W^T D", U1 * small.T * D2 * U0.T),
        vanishes=(reduced(weight.T * signal - U1 * small.T * D2 * U0.T, both),),
    )
    velocities = {small: D2 * v.T - wd * small, R: -wd * R}
    yield Step(
        "So the layer follows its rule if the small matrix does, and the rest only decays: as e^{−wd t}.",
        (equation("w'", velocities[small]), equation("R'", velocities[R])),
        vanishes=(reduced(flow_derivative(weight, velocities) - (signal * activity.T - wd * weight), both),),
    )
    updated = {small: small + eta * velocities[small], R: (1 - eta * wd) * R}
    yield Step(
        "In descent likewise, to the last update: the rest shrinks by 1 − η wd.",
        (equation("w", updated[small]), equation("R", updated[R])),
        vanishes=(reduced(weight.subs(updated) - weight - eta * (signal * activity.T - wd * weight), both),),
    )


full_weight = MatrixSymbol("W", n2, n1)


@derivation(
    "reduction-orthogonal",
    title="Orthogonal deep weights close: what goes up through WᵀW = s² I comes back as it was",
    entry="A3",
    assumptions=("W(0) = s times a matrix with orthonormal columns (n_2 ≥ n_1)", "any depth, any data"),
    source="derived here",
    result=lambda: s**2 * Identity(n1),
    claims=("reduction-deep",),
)
def orthogonal(result: MatrixExpr) -> Iterator[Step]:
    """From generic deep weights the subspaces fill the layers: every pass up and down, WᵀW, makes new directions.
    Orthogonal weights make none."""
    gram = {(full_weight.T, full_weight): result}
    right = orthonormal(full_weight, s**2)
    yield Step("The weights of a layer at the start: they turn what comes, and scale it by s.", full_weight)
    yield Step(
        "Up and down again.",
        equation("W^T W", result),
        vanishes=(reduced(full_weight.T * full_weight - result, right),),
    )
    above = full_weight * U1
    yield Step(
        "Take W U1 into the subspace above. Going down from there returns to the span of U1: nothing new.",
        equation("W^T W U_1", result * U1),
        vanishes=(reduced(full_weight.T * above - s**2 * U1, gram),),
    )
    yield Step(
        "And W U1/s is an orthonormal basis already: the layer above needs as many dimensions.",
        equation("U_1^T W^T W U_1", s**2 * Identity(k1)),
        vanishes=(reduced(above.T * above - s**2 * Identity(k1), gram | CLOSED),),
    )


B1, B2 = MatrixSymbol("B_1", n1, n2), MatrixSymbol("B_2", n2, o)
F1, F2 = MatrixSymbol("F_1", n1, o), MatrixSymbol("F_2", n2, o)
A1, A2, A3 = MatrixSymbol("A_1", o, i), MatrixSymbol("A_2", o, o), MatrixSymbol("A_3", o, o)


@derivation(
    "reduction-zero",
    title="From zero weights every layer lives in the columns of what carries the error to it",
    entry="B2, B10",
    assumptions=("zero initial weights, fixed feedback", "any data", "shown for three layers"),
    source="derived here; for direct feedback Refinetti, d'Ascoli, Ohana & Goldt 2021",
    result=lambda: tuple(
        (lifted(A1, f1, None), lifted(A2, f2, f1), lifted(A3, None, f2)) for f1, f2 in ((B1 * B2, B2), (F1, F2))
    ),
    claims=("reduction-deep",),
)
def from_zero(result: tuple) -> Iterator[Step]:
    """Without initial weights the feedback alone says which directions there are: as many as outputs, or as the rank.
    The state shrinks to blocks of that size, whatever the layers measure."""
    for name, (f1, f2), (lower, middle, upper) in (
        ("along the chain", (B1 * B2, B2), result[0]),
        ("directly", (F1, F2), result[1]),
    ):
        yield Step(
            f"With feedback {name}, try weights between the columns of the carriers; at zero they are.",
            (equation("W_1", lower), equation("W_2", middle), equation("W_3", upper)),
        )
        velocities = {A1: E, A2: E * A1.T, A3: E * (A2 * f1.T * f1 * A1).T}
        yield Step(
            "Small matrices that see outputs alone make all three layers follow their rules.",
            tuple(equation(f"A_{k}'", velocities[a]) for k, a in enumerate((A1, A2, A3), 1)),
            vanishes=(
                reduced(flow_derivative(lower, velocities) - f1 * E, {}),
                reduced(flow_derivative(middle, velocities) - f2 * E * lower.T, {}),
                reduced(flow_derivative(upper, velocities) - E * (middle * lower).T, {}),
            ),
        )


w1in = MatrixSymbol("w_1", n1, k0)
t_small = MatrixSymbol("t", o, k0)
Sigma, sigma = MatrixSymbol("Sigma", i, i), MatrixSymbol("sigma", k0, k0)
W2, Bw = MatrixSymbol("W_2", o, n1), MatrixSymbol("B", n1, o)


@derivation(
    "reduction-inputs",
    title="Input directions that neither the task nor the weights use drop out",
    entry="B2",
    assumptions=(
        "the task's input modes lie in the span of U_0, Σx maps it into itself, W1(0)ᵀ leads into it",
        "from zero weights; with others what W1 has outside the span is a bystander, as in any layer",
    ),
    source="derived here",
    result=lambda: (lifted(t_small, None, U0), lifted(w1in, None, U0)),
    claims=("reduction-inputs",),
)
def inputs(result: tuple) -> Iterator[Step]:
    """A network with a thousand inputs and ten outputs is asked about ten directions of its inputs, where these are
    uncorrelated: from zero or orthogonal weights it never looks at others."""
    target, lower = result
    closes = CLOSED | {(Sigma, U0): U0 * sigma, (U0.T, Sigma): sigma * U0.T}
    yield Step(
        "Target and first layer in the span, and what Σx makes of it.",
        (equation("T", target), equation("W_1", lower), equation("Sigma U_0", U0 * sigma)),
    )
    error = (target - W2 * lower) * Sigma
    smaller = (t_small - W2 * w1in) * sigma
    yield Step(
        "The error correlation has its rows in the span.",
        equation("E", smaller * U0.T),
        vanishes=(reduced(error - smaller * U0.T, closes),),
    )
    velocities = {w1in: Bw * smaller, W2: smaller * w1in.T}
    yield Step(
        "So has everything that the first layer learns, and the second learns what it would have.",
        (equation("w_1'", velocities[w1in]), equation("W_2'", velocities[W2])),
        vanishes=(
            reduced(flow_derivative(lower, velocities) - Bw * error, closes),
            reduced(velocities[W2] - error * lower.T, closes),
        ),
    )
