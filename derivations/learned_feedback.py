"""Feedback that learns: how it comes to agree with the weights, and what it conserves until then."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, expand_matrix, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Eq, Function, MatrixSymbol, Symbol, ZeroMatrix, diff, symbols

from linfa.metrics import balancedness, feedback_balance
from linfa.theory.conservation import decayed, mirrored
from linfa.theory.tracking import kolen_pollack_balance, kolen_pollack_drift, tracking_velocity

i, h, o, r = symbols("i h o r", integer=True, positive=True)
wd, t, eta = symbols("wd t eta", positive=True)
W1, W2, B = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("B", h, o)
E, Q, P = MatrixSymbol("E", o, i), MatrixSymbol("Q", h, r), MatrixSymbol("P", r, o)


@derivation(
    "kolen-pollack-difference",
    title="Kolen–Pollack: B − W2ᵀ shrinks as e^{−wd t}",
    entry="B9",
    assumptions=("any data, any layer sizes", "the same weight decay wd on W2 and on B", "gradient flow"),
    source="Kolen & Pollack 1994; Akrout et al. 2019",
    result=lambda: decayed(Symbol("d_0", positive=True), wd, t, xp=sympy),
    claims=("kolen-pollack-difference", "kolen-pollack-descent"),
)
def difference(result: object) -> Iterator[Step]:
    """Feedback need not copy the weights to agree with them. It suffices that both receive the same changes and forget
    at the same rate: whatever they disagreed on at the start is forgotten."""
    velocities = {B: W1 * E.T - wd * B, W2: E * W1.T - wd * W2}
    yield Step(
        "The learning rule: B receives the change of W2, transposed, and decays alike.",
        (equation("W_2'", E * W1.T - wd * W2), equation("B'", W1 * E.T - wd * B)),
    )
    gap = B - W2.T
    yield Step(
        "In the difference everything that is learned cancels.",
        -wd * gap,
        vanishes=(flow_derivative(gap, velocities) + wd * gap,),
    )
    yield Step(
        "So every entry of it decays exponentially from its start d₀, and stands still without decay.",
        Eq(Function("d")(t), result, evaluate=False),
        vanishes=(diff(result, t) + wd * result, result.subs(t, 0) - Symbol("d_0", positive=True)),
    )


@derivation(
    "kolen-pollack-balance",
    title="Kolen–Pollack without decay conserves W1W1ᵀ − W2ᵀW2 − DW2 − (DW2)ᵀ, D = B − W2ᵀ",
    entry="B9",
    assumptions=("any data, any layer sizes", "no weight decay", "gradient flow"),
    source="derived here",
    result=lambda: kolen_pollack_balance(W1, W2, B),
    claims=("kolen-pollack-balance",),
)
def balance(result: object) -> Iterator[Step]:
    """The law of alignment and the law of balancedness are two ends of one law: it is the former for feedback that
    never agrees with the weights, and the latter for feedback that always does."""
    velocities = {W1: B * E, W2: E * W1.T, B: W1 * E.T}
    yield Step(
        "The learning rule without decay.",
        (
            equation("W_1'", B * E),
            equation("W_2'", E * W1.T),
            equation("B'", W1 * E.T),
        ),
    )
    yield Step(
        "D = B − W2ᵀ stands still.",
        equation("D'", ZeroMatrix(h, o)),
        vanishes=(flow_derivative(B - W2.T, velocities),),
    )
    D = B - W2.T
    yield Step(
        "In terms of B the quantity is W1W1ᵀ − BW2 − (BW2)ᵀ + W2ᵀW2.",
        result,
        vanishes=(result - (W1 * W1.T - W2.T * W2 - D * W2 - (D * W2).T),),
    )
    yield Step(
        "Its derivative vanishes: B W2' = W1' W1ᵀ as under fixed feedback, and B' W2 = (W2ᵀ W2')ᵀ.",
        equation("C'", ZeroMatrix(h, h)),
        vanishes=(flow_derivative(result, velocities),),
    )
    yield Step(
        "With D = 0 it is balancedness, up to its sign; at W2ᵀW2 ≪ BW2 it is the law of fixed feedback.",
        (-balancedness(W1, W2), feedback_balance(W1, W2, B)),
        vanishes=(result.subs(B, W2.T).doit() + balancedness(W1, W2), result - W2.T * W2 - feedback_balance(W1, W2, B)),
    )


@derivation(
    "kolen-pollack-drift",
    title="In descent this law drifts by η²(G1G1ᵀ − G2ᵀG2) in each update",
    entry="B9",
    assumptions=("any data, any layer sizes, no decay", "descent: all matrices updated from the same state"),
    source="derived here",
    result=lambda: kolen_pollack_drift(eta, MatrixSymbol("G_1", h, i), MatrixSymbol("G_2", o, h)),
    claims=("kolen-pollack-drift",),
)
def drift(result: object) -> Iterator[Step]:
    """A finite learning rate breaks the law by a known amount, whose sign is that of the gradients' imbalance."""
    G1, G2 = MatrixSymbol("G_1", h, i), MatrixSymbol("G_2", o, h)
    yield Step(
        "One update; that of B is that of W2, transposed.",
        (
            equation("G_1", B * E),
            equation("G_2", E * W1.T),
            equation("G_B", G2.T),
        ),
    )
    directions = {G1: B * E, G2: E * W1.T}
    change = expand_matrix(
        kolen_pollack_balance(W1 + eta * G1, W2 + eta * G2, B + eta * G2.T) - kolen_pollack_balance(W1, W2, B)
    )
    yield Step("The change, multiplied out; its first order cancels.", change)
    yield Step(
        "Only the second order is left, and nothing in it refers to B.",
        result,
        vanishes=((change - result).subs(directions),),
    )


@derivation(
    "weight-mirror",
    title="The weight mirror: B(t) = e^{−wd t}B(0) + (1 − e^{−wd t})(rate/wd)Wᵀ",
    entry="B9",
    assumptions=("weights that stand still while noise is mirrored", "white noise ξ of variance ν, y = Wξ"),
    source="Akrout et al. 2019",
    result=lambda: mirrored(
        t,
        sympy.Matrix([[Symbol("b_0", positive=True)]]),
        sympy.Matrix([[Symbol("w", positive=True)]]),
        Symbol("eta", positive=True) * Symbol("nu", positive=True),
        wd,
        xp=sympy,
    ),
    claims=("weight-mirror",),
)
def mirror(result: object) -> Iterator[Step]:
    """Noise sent through the weights comes out correlated with itself through Wᵀ. Hebbian feedback picks that up."""
    w, b0, nu = symbols("w b_0 nu", positive=True)
    noise, weight = MatrixSymbol("Xi", h, h), MatrixSymbol("W", o, h)
    yield Step(
        "The learning rule: Hebbian between noise and response, C = <ξyᵀ>, with decay.",
        equation("B'", eta * MatrixSymbol("C_{xi y}", h, o) - wd * B),
    )
    yield Step(
        "The noise has <ξξᵀ> = νI, so <ξyᵀ> = <ξξᵀ>Wᵀ = νWᵀ.",
        nu * weight.T,
        vanishes=(reduced(noise * weight.T - nu * weight.T, {(noise,): nu * sympy.Identity(h)}),),
    )
    rate = eta * nu * w
    yield Step(
        "Every entry b relaxes towards ην w/wd; verified by differentiation.",
        Eq(Function("b")(t), result[0], evaluate=False),
        vanishes=(diff(result[0], t) - (rate - wd * result[0]), result[0].subs(t, 0) - b0),
    )


@derivation(
    "kolen-pollack-low-rank",
    title="Learning Q alone: Q − W2ᵀPᵀ shrinks as e^{−wd t}, and backprop of the projected error is reached",
    entry="B17",
    assumptions=("any data", "P fixed, with orthonormal rows", "the same decay wd on Q and on W2"),
    source="derived here",
    result=lambda: tracking_velocity(Q - W2.T * P.T, W2, ZeroMatrix(r, o), wd).doit(),
    claims=("kolen-pollack-low-rank", "kolen-pollack-low-rank-limit"),
)
def low_rank(result: object) -> Iterator[Step]:
    """Of its two factors only Q needs to know the weights, and it learns them as full feedback would. What it cannot
    learn is where to look: that is P."""
    velocities = {Q: W1 * E.T * P.T - wd * Q, W2: E * W1.T - wd * W2}
    yield Step(
        "The learning rule: Hebbian between activity and the compressed error Pe, with decay.",
        (equation("Q'", W1 * E.T * P.T - wd * Q), equation("W_2'", E * W1.T - wd * W2)),
    )
    gap = Q - W2.T * P.T
    yield Step(
        "The difference to what backprop would send through P decays, for any error.",
        result,
        vanishes=(flow_derivative(gap, velocities) - result,),
    )
    known = orthonormal(P.T)
    yield Step(
        "Where it has vanished, W1' = W2ᵀ PᵀP E: backprop of the error projected on the rows of P.",
        W2.T * P.T * P * E,
        vanishes=(
            (Q * P * E).subs(Q, W2.T * P.T) - W2.T * P.T * P * E,
            reduced(P.T * P * P.T * P - P.T * P, known),
        ),
    )
    yield Step(
        "An error that P does not see, P E = 0, still exerts no force: the points of rest are those of fixed feedback.",
        equation("W_1'", ZeroMatrix(h, i)),
        vanishes=(reduced(W2.T * P.T * P * E, {(P, E): ZeroMatrix(r, i)}),),
    )
