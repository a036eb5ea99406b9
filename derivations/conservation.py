"""What learning conserves: balancedness under backprop, the law of alignment under fixed feedback.

All identities hold for matrices of any size: sizes are symbols throughout.
"""

from collections.abc import Iterator

from linfa.derivations.chain import Step, derivation, equation, expand_matrix, flow_derivative
from sympy import MatrixSymbol, Symbol, ZeroMatrix, symbols

from linfa.metrics import balancedness, feedback_balance
from linfa.theory.conservation import balancedness_drift, feedback_balance_drift

i, h, o = symbols("i h o", integer=True, positive=True)
eta = Symbol("eta", positive=True)
W1, W2 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h)
E, B = MatrixSymbol("E", o, i), MatrixSymbol("B", h, o)
G1, G2 = MatrixSymbol("G_1", h, i), MatrixSymbol("G_2", o, h)


@derivation(
    "backprop-balancedness",
    title="Backprop conserves W2ᵀW2 − W1W1ᵀ",
    entry="A4",
    assumptions=("any data: only the error correlation E enters", "any layer sizes", "gradient flow, equal rates"),
    source="Fukumizu 1998; Saxe, McClelland & Ganguli 2013; Arora, Cohen & Hazan 2018; Du, Hu & Lee 2018",
    result=lambda: balancedness(W1, W2),
    claims=("backprop-balancedness", "backprop-balancedness-decay"),
)
def backprop_balancedness(result: object) -> Iterator[Step]:
    """Two layers that learn from one and the same error learn equally much: how unequal they started is remembered for
    ever. In a deep network the same holds for every pair of neighbours, with E replaced by what reaches the pair."""
    velocities = {W1: W2.T * E, W2: E * W1.T}
    yield Step(
        "The learning rule: each layer follows the gradient of the loss.",
        (equation("W_1'", W2.T * E), equation("W_2'", E * W1.T)),
    )
    yield Step("The quantity that will turn out to be conserved.", result)
    upper, lower = W2.T * velocities[W2], velocities[W1] * W1.T
    yield Step(
        "What the upper layer gains, W2ᵀ W2', is what the lower layer gains, W1' W1ᵀ: both are W2ᵀ E W1ᵀ.",
        upper,
        vanishes=(upper - lower,),
    )
    yield Step(
        "By the product rule the derivative collects these terms with opposite signs, and vanishes.",
        ZeroMatrix(h, h),
        vanishes=(flow_derivative(result, velocities),),
    )


@derivation(
    "backprop-drift",
    title="A finite learning rate lets balancedness drift by η²(G2ᵀG2 − G1G1ᵀ) in each update",
    entry="A4",
    assumptions=("any data, any layer sizes", "descent: W ← W + η G with both gradients taken before the update"),
    source="Arora, Cohen & Hazan 2018; Du, Hu & Lee 2018",
    result=lambda: balancedness_drift(eta, G1, G2),
    claims=("backprop-drift",),
)
def backprop_drift(result: object) -> Iterator[Step]:
    """The law of the flow is broken in descent by an amount that is known exactly: the best test a simulator can have,
    as nothing in it is approximate."""
    yield Step(
        "One update, with the update directions of backprop.",
        (equation("G_1", W2.T * E), equation("G_2", E * W1.T)),
    )
    directions = {G1: W2.T * E, G2: E * W1.T}
    change = balancedness(W1 + eta * G1, W2 + eta * G2) - balancedness(W1, W2)
    change = expand_matrix(change)
    yield Step("The change of W2ᵀW2 − W1W1ᵀ, multiplied out.", change)
    first_order = eta * (W2.T * G2 + G2.T * W2 - W1 * G1.T - G1 * W1.T)
    yield Step(
        "The terms of first order cancel, because W2ᵀ G2 = G1 W1ᵀ: this is the law of the flow.",
        first_order,
        vanishes=(first_order.subs(directions),),
    )
    yield Step("What is left is of second order.", result, vanishes=((change - result).subs(directions),))


@derivation(
    "fa-conservation",
    title="Feedback alignment conserves W1W1ᵀ − BW2 − (BW2)ᵀ",
    entry="B1",
    assumptions=("any data", "any fixed B, of any rank, low-rank Q P included", "gradient flow"),
    source="Lillicrap, Cownden, Tweed & Akerman 2016",
    result=lambda: feedback_balance(W1, W2, B),
    claims=("fa-conservation", "fa-chain-conservation", "dfa-conservation", "fa-alignment-needs-decay"),
)
def alignment_conservation(result: object) -> Iterator[Step]:
    """Why do the forward weights turn towards the feedback at all? Because a quantity is conserved: as W1 grows, the
    symmetric part of B W2 must grow with it. For deep chains and direct feedback the same algebra holds for each pair
    of neighbours, with the matrix that carries the signal down in place of B."""
    velocities = {W1: B * E, W2: E * W1.T}
    yield Step(
        "The learning rule: the lower layer gets the error through B instead of W2ᵀ.",
        (equation("W_1'", B * E), equation("W_2'", E * W1.T)),
    )
    yield Step(
        "What the feedback carries of the upper layer's change, B W2', is the lower layer's gain W1' W1ᵀ.",
        B * velocities[W2],
        vanishes=(B * velocities[W2] - velocities[W1] * W1.T,),
    )
    yield Step(
        "So the following combination does not move: its derivative vanishes.",
        result,
        vanishes=(flow_derivative(result, velocities),),
    )


@derivation(
    "fa-drift",
    title="In descent the law of alignment drifts by η² G1G1ᵀ, which is never negative",
    entry="B1",
    assumptions=("any data, any fixed B", "descent: W ← W + η G with both directions taken before the update"),
    source="derived here; the flow is Lillicrap et al. 2016",
    result=lambda: feedback_balance_drift(eta, G1),
    claims=("fa-drift",),
)
def alignment_drift(result: object) -> Iterator[Step]:
    """A finite learning rate can only ever add to W1W1ᵀ − BW2 − (BW2)ᵀ, so it always erodes alignment."""
    yield Step(
        "One update, with the directions of feedback alignment.",
        (equation("G_1", B * E), equation("G_2", E * W1.T)),
    )
    directions = {G1: B * E, G2: E * W1.T}
    change = expand_matrix(feedback_balance(W1 + eta * G1, W2 + eta * G2, B) - feedback_balance(W1, W2, B))
    first_order = eta * (G1 * W1.T + W1 * G1.T - B * G2 - G2.T * B.T)
    yield Step(
        "The terms of first order cancel, because B G2 = G1 W1ᵀ.", first_order, vanishes=(first_order.subs(directions),)
    )
    yield Step(
        "What is left is a matrix times its transpose: positive semidefinite.",
        result,
        vanishes=((change - result).subs(directions),),
    )
