"""What fixed feedback conserves: in a chain, with direct feedback, under weight decay, neuron by neuron."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import reduced
from sympy import Eq, Identity, MatrixExpr, MatrixSymbol, diff, symbols

from linfa.metrics import feedback_balance
from linfa.theory.alignment_laws import feedback_balance_decay

i, h, o, r, n, m = symbols("i h o r n m", integer=True, positive=True)
d1, d2 = symbols("d_1 d_2", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E = MatrixSymbol("E", o, i)


def _next_layer(velocity: MatrixExpr) -> Eq:
    """W_{l+1}' = …, to be shown; SymPy prints a name with braces as it stands."""
    return Eq(MatrixSymbol("W_{l+1}'", *velocity.shape), velocity, evaluate=False)


@derivation(
    "fa-chain-conservation",
    title="In a deep chain every layer below the top conserves W_lW_lᵀ − B_{l+1}W_{l+1} − (B_{l+1}W_{l+1})ᵀ",
    entry="B1",
    assumptions=("any data, any depth", "fixed feedback along the chain, of any rank", "gradient flow"),
    source="Lillicrap et al. 2016 for two layers",
    result=lambda: feedback_balance(MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("B", h, m)),
    claims=("fa-chain-conservation",),
)
def chain_conservation(result: MatrixExpr) -> Iterator[Step]:
    """Two neighbours in a chain know nothing of the rest but the signal D that comes down to the upper one, and the
    map V that lies below the lower one. That is all the law of alignment needs."""
    lower, upper, back = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("B", h, m)
    signal, below = MatrixSymbol("D", m, i), MatrixSymbol("V", n, i)
    velocities = {lower: back * signal * below.T, upper: signal * (lower * below).T}
    yield Step(
        "The learning rule of the two, with D = E[δ_{l+1}xᵀ] and V = W_{l−1} ⋯ W_1 (B is B_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    yield Step(
        "What the feedback carries of the upper layer's change is the lower layer's change times W_lᵀ.",
        back * velocities[upper],
        vanishes=(back * velocities[upper] - velocities[lower] * lower.T,),
    )
    yield Step("So this does not move.", result, vanishes=(flow_derivative(result, velocities),))


@derivation(
    "dfa-conservation",
    title="Direct feedback conserves the same, with M_l = F_l F_{l+1}⁺ for the missing matrix of the chain",
    entry="B1",
    assumptions=("any data, any depth", "F_{l+1} of full column rank", "gradient flow"),
    source="derived here",
    result=lambda: feedback_balance(
        MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("F_l", h, o) * MatrixSymbol("F^+", o, m)
    ),
    claims=("dfa-conservation",),
)
def direct_conservation(result: MatrixExpr) -> Iterator[Step]:
    """Direct feedback skips the layers, but it can be read as a chain: undo what the upper layer got, and send what the
    lower one gets. At the last hidden layer the matrix is F_{L−1} itself."""
    lower, upper = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h)
    here, above, inverse = MatrixSymbol("F_l", h, o), MatrixSymbol("F", m, o), MatrixSymbol("F^+", o, m)
    below = MatrixSymbol("V", n, i)
    velocities = {lower: here * E * below.T, upper: above * E * (lower * below).T}
    undone = {(inverse, above): Identity(o), (above.T, inverse.T): Identity(o)}
    yield Step(
        "Both layers get the output error itself (F is F_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    carried = here * inverse * velocities[upper]
    yield Step(
        "F⁺F = I, so M_l = F_l F⁺ carries the upper layer's change to the lower one.",
        carried,
        vanishes=(reduced(carried - velocities[lower] * lower.T, undone),),
    )
    yield Step("So this does not move.", result, vanishes=(reduced(flow_derivative(result, velocities), undone),))


@derivation(
    "dfa-low-rank-conservation",
    title="Direct feedback F_l = Q_l P of low rank conserves it with M_l = Q_l Q_{l+1}⁺",
    entry="B1",
    assumptions=("any data, any depth", "one P for all layers, Q_{l+1} of full column rank", "gradient flow"),
    source="derived here",
    result=lambda: feedback_balance(
        MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h), MatrixSymbol("Q_l", h, r) * MatrixSymbol("Q^+", r, m)
    ),
    claims=("dfa-conservation",),
)
def direct_low_rank_conservation(result: MatrixExpr) -> Iterator[Step]:
    """F_{l+1} = Q_{l+1}P has no full column rank, yet nothing is lost: both layers hear the same r numbers."""
    lower, upper = MatrixSymbol("W_l", h, n), MatrixSymbol("W_{l+1}", m, h)
    here, above, inverse = MatrixSymbol("Q_l", h, r), MatrixSymbol("Q", m, r), MatrixSymbol("Q^+", r, m)
    p, below = MatrixSymbol("P", r, o), MatrixSymbol("V", n, i)
    velocities = {lower: here * p * E * below.T, upper: above * p * E * (lower * below).T}
    undone = {(inverse, above): Identity(r), (above.T, inverse.T): Identity(r)}
    yield Step(
        "Both layers get the compressed error PE (Q is Q_{l+1}).",
        (equation("W_l'", velocities[lower]), _next_layer(velocities[upper])),
    )
    yield Step("So this does not move.", result, vanishes=(reduced(flow_derivative(result, velocities), undone),))


@derivation(
    "fa-conservation-decay",
    title="Weight decay moves the conserved quantity by −2 wd1 W1W1ᵀ + wd2(BW2 + (BW2)ᵀ)",
    entry="B1",
    assumptions=("any data, any fixed B", "gradient flow with weight decay wd1, wd2 (here d_1, d_2)"),
    source="derived here",
    result=lambda: feedback_balance_decay(W1, W2, B, d1, d2),
    claims=("fa-conservation-decay", "fa-decay-balance"),
)
def conservation_decay(result: MatrixExpr) -> Iterator[Step]:
    """What was conserved decays, and it is no longer the start that decides about alignment: where learning rests, BW2
    must be W1W1ᵀ in its symmetric part, up to a factor."""
    velocities = {W1: B * E - d1 * W1, W2: E * W1.T - d2 * W2}
    yield Step("The learning rule with decay.", (equation("W_1'", velocities[W1]), equation("W_2'", velocities[W2])))
    moved = flow_derivative(feedback_balance(W1, W2, B), velocities)
    yield Step("All that learning itself does cancels; what decay does is left.", result, vanishes=(moved - result,))
    error = MatrixSymbol("E", o, i)
    rest = {W1: B * error / d1, W2: error * error.T * B.T / (d1 * d2)}
    yield Step(
        "At a fixed point W1 = BE/wd1, W2 = E W1ᵀ/wd2, and it vanishes: alignment is forced.",
        Eq(2 * d1 * W1 * W1.T, d2 * (B * W2 + W2.T * B.T), evaluate=False),
        vanishes=(result.subs(rest),),
    )


def _neurons() -> tuple[sympy.Matrix, ...]:
    """Two inputs, three neurons, two outputs: enough for a diagonal and what is off it."""
    lower = sympy.Matrix(3, 2, symbols("w_11 w_12 w_21 w_22 w_31 w_32"))
    upper = sympy.Matrix(2, 3, symbols("v_11 v_12 v_13 v_21 v_22 v_23"))
    return lower, upper, sympy.Matrix(3, 2, symbols("b_11 b_12 b_21 b_22 b_31 b_32"))


@derivation(
    "fa-neuron-conservation",
    title="Neurons with ReLU conserve |w_i|² − 2<B_i, W_{2,:i}>, each for itself",
    entry="B1",
    assumptions=(
        "positively homogeneous units: slope m_i of unit i in a sample, output m_i times its input",
        "any fixed feedback, any data (shown for one sample, three neurons; samples add up)",
    ),
    source="Robertson & Koyejo 2024; derived here",
    result=lambda: tuple(feedback_balance(*_neurons()).diagonal()),
    claims=("relu-neuron-balance",),
)
def neuron_conservation(result: tuple) -> Iterator[Step]:
    """A threshold breaks the law of alignment for pairs of neurons, which are not active in the same samples, but not
    for a single one: a neuron is always as active as itself."""
    lower, upper, back = _neurons()
    slopes = sympy.diag(*symbols("m_1:4"))
    x, e = sympy.Matrix(symbols("x_1 x_2")), sympy.Matrix(symbols("e_1 e_2"))
    change_lower = slopes * back * e * x.T
    change_upper = e * (slopes * lower * x).T
    gate, sample = MatrixSymbol("D", h, h), MatrixSymbol("e x^T", o, i)
    yield Step(
        "One sample: the slopes m_i gate the feedback, and the output of a unit is m_i times its input, D = diag(m).",
        (equation("W_1'", gate * B * sample), equation("W_2'", sample * W1.T * gate)),
    )
    velocities = dict(zip(lower, change_lower, strict=True)) | dict(zip(upper, change_upper, strict=True))

    def moved(expression: sympy.Expr) -> sympy.Expr:
        return sum(diff(expression, symbol) * velocity for symbol, velocity in velocities.items())

    alone = tuple(sum(lower[k, j] ** 2 for j in range(2)) for k in range(3))
    yield Step(
        "Without feedback the quantity of a neuron is the square of its incoming weights.",
        alone,
        vanishes=tuple(held.subs(dict.fromkeys(back, 0)) - size for held, size in zip(result, alone, strict=True)),
    )
    crossed = moved(feedback_balance(lower, upper, back)[0, 1])
    yield Step(
        "Between two neurons i and k the same combination moves in proportion to m_i − m_k.",
        sympy.factor(crossed),
        vanishes=(crossed.subs(slopes[0, 0], slopes[1, 1]),),
    )
    yield Step(
        "For a single neuron the two slopes are one and the same, and it does not move.",
        result,
        vanishes=tuple(moved(entry) for entry in result),
    )
