"""Fixed low-rank feedback: where learning is confined, what is learned, how fast, and how much of it by chance."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Eq, Identity, MatrixSymbol, Symbol, diff, symbols

from linfa.theory.feedback_alignment import map_strength
from linfa.theory.finite_start import frozen_part, mean_recovery
from linfa.theory.fixed_points import projected_target
from linfa.theory.sketch import recovery

i, h, o, r, d, n = symbols("i h o r d n", integer=True, positive=True)
g = Symbol("g", positive=True)
Q, P = MatrixSymbol("Q", h, r), MatrixSymbol("P", r, o)
W1, W2, T = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("T", o, i)
E = MatrixSymbol("E", o, i)


@derivation(
    "low-rank-confinement",
    title="Feedback QP moves W1 within the columns of Q alone",
    entry="B5 i",
    assumptions=("any data: only the error correlation E enters", "any start", "linear hidden units, no decay"),
    source="derived here",
    result=lambda: frozen_part(W1, Q, MatrixSymbol("Q^+", r, h)),
    claims=("low-rank-confinement",),
)
def confinement(result: object) -> Iterator[Step]:
    """Feedback of rank r has r numbers to say. Whatever it says reaches the hidden layer through the columns of Q, so
    all other combinations of hidden units keep the input weights that they were born with."""
    inverse = MatrixSymbol("Q^+", r, h)
    yield Step("The learning rule of the first layer.", equation("W_1'", Q * P * E))
    pseudo = {(Q, inverse, Q): Q}
    outside = Q - Q * inverse * Q
    yield Step(
        "The projector I − QQ⁺ removes what lies in the columns of Q, since QQ⁺Q = Q.",
        Eq(Q * inverse * Q, Q, evaluate=False),
        vanishes=(reduced(outside, pseudo),),
    )
    yield Step(
        "So this part of W1 stands still, for any data and at any time.",
        result,
        vanishes=(reduced(flow_derivative(result, {W1: Q * P * E}), pseudo),),
    )


@derivation(
    "low-rank-fixed-point",
    title="Learning rests exactly where W2W1 = T Π_row(W1) and row(PT) lies in row(W1)",
    entry="B13",
    assumptions=(
        "whitened inputs",
        "Q of full column rank, so that QPE = 0 is PE = 0",
        "W1 of full row rank; otherwise take a basis of its rows",
    ),
    source="derived here",
    result=lambda: projected_target(T, W1, MatrixSymbol("K", h, h)),
    claims=("low-rank-fixed-point",),
)
def fixed_point(result: object) -> Iterator[Step]:
    """Low-rank feedback is content as soon as the r numbers that it transmits are zero: o − r directions of the error
    exert no force on the first layer. That is why its fixed points form a continuum, most of them no good."""
    K = MatrixSymbol("K", h, h)
    known = {(W1, W1.T, K): Identity(h), (K, W1, W1.T): Identity(h)}
    yield Step(
        "At rest both velocities are zero: P E = 0 and E W1ᵀ = 0, with E = T − W2W1.",
        (Eq(P * E, sympy.ZeroMatrix(r, i), evaluate=False), Eq(E * W1.T, sympy.ZeroMatrix(o, h), evaluate=False)),
    )
    yield Step("Let K be the inverse of W1W1ᵀ, so that W1ᵀKW1 = Π projects on the row space of W1.", W1.T * K * W1)
    yield Step(
        "E W1ᵀ = 0 says T W1ᵀ = W2 W1 W1ᵀ. Multiplied by K W1 this is W2W1 = T Π.",
        Eq(W2 * W1, result, evaluate=False),
        vanishes=(reduced(W2 * W1 * W1.T * K * W1 - W2 * W1, known), reduced(result * W1.T - T * W1.T, known)),
    )
    error = T - result
    inside = P * T - P * T * W1.T * K * W1
    yield Step(
        "Then P E = PT − PTΠ, which vanishes just where the rows of PT lie in the row space of W1.",
        inside,
        vanishes=(reduced(P * error - inside, known),),
    )
    C = MatrixSymbol("C", r, h)
    yield Step(
        "Conversely, with W2W1 = TΠ and PT = CW1 for some C, both velocities are zero.",
        Eq(P * T, C * W1, evaluate=False),
        vanishes=(
            reduced(error * W1.T, known),
            reduced(reduced(P * error, {(P, T): C * W1}), known),
        ),
    )


@derivation(
    "low-rank-limit",
    title="From zero weights, fixed feedback learns T Π_row(PT)",
    entry="B5 ii",
    assumptions=(
        "whitened inputs, W1(0) = 0, any W2(0)",
        "Q of full column rank and PT of full row rank (r ≤ d, generic P)",
        "the flow converges",
    ),
    source="derived here",
    result=lambda: projected_target(T, MatrixSymbol("R", r, i), MatrixSymbol("K", r, r)),
    claims=("low-rank-limit", "kolen-pollack-low-rank-limit"),
)
def limit(result: object) -> Iterator[Step]:
    """Which function does a network learn when its error is squeezed through r numbers? The target, seen through a
    projector on r input directions. They are a random mixture if P is random: fixed feedback of low rank learns less
    than it could, and never knows."""
    R, K, G = MatrixSymbol("R", r, i), MatrixSymbol("K", r, r), MatrixSymbol("G", r, r)
    grown = Identity(r) - P * W2 * Q * G
    error = T - W2 * (Q * G * R)
    seen = {(P, T): R}
    yield Step(
        "The learning rule, with R = PT for what the feedback sees of the target.",
        (equation("W_1'", Q * P * E), equation("W_2'", E * W1.T), Eq(R, P * T, evaluate=False)),
    )
    yield Step(
        "From zero, W1 = Q G R for a small matrix G (r × r) that obeys G' = I − P W2 Q G.",
        Q * G * R,
        vanishes=(reduced(flow_derivative(Q * G * R, {G: grown}) - Q * P * error, seen),),
    )
    known = {(R, R.T, K): Identity(r), (K, R, R.T): Identity(r)}
    inverse = MatrixSymbol("N", r, r)
    rest = P * W2 * Q
    yield Step(
        "At rest G' = 0, so N = P W2 Q inverts G: G is invertible, and the rows of W1 span just those of R.",
        Eq(rest, inverse, evaluate=False),
        vanishes=(reduced(grown.subs(rest, inverse), {(inverse, G): Identity(r), (P, W2, Q): inverse}),),
    )
    yield Step(
        "W2' = 0 reads E RᵀGᵀQᵀ = 0, hence E Rᵀ = 0: the map agrees with T on the rows of R. With K the inverse of RRᵀ "
        "the only such map with rows in row(R) is this.",
        result,
        vanishes=(
            reduced((T - result) * R.T, known),
            reduced(W2 * Q * G * R * R.T * K * R - W2 * Q * G * R, known),
        ),
    )
    yield Step(
        "It is at rest: the feedback P E = R − PT RᵀKR is silent.",
        Eq(P * E, sympy.ZeroMatrix(r, i), evaluate=False),
        vanishes=(reduced(reduced(P * (T - result), seen), known),),
    )


@derivation(
    "low-rank-modes",
    title="The projector opens mode by mode: W2W1 = T V diag(g a³/(2s)) Vᵀ with a' = s − g a³/2",
    entry="B5 iii",
    assumptions=(
        "zero initial weights, whitened inputs",
        "QᵀQ = g I and P Pᵀ = I",
        "PT = U diag(s) Vᵀ: strengths and modes are those of PT, not of T",
    ),
    source="derived here",
    result=lambda: map_strength(Symbol("a", positive=True), g) / Symbol("s", positive=True),
    claims=("low-rank-modes", "low-rank-trajectory"),
)
def modes(result: object) -> Iterator[Step]:
    """The part of the map outside the rows of P is not steered by the feedback, yet it is learned along with the rest,
    and just as fast: the whole map is the target seen through one projector that opens."""
    V, H = MatrixSymbol("V", i, r), MatrixSymbol("H", h, r)
    U, S = MatrixSymbol("U", r, r), MatrixSymbol("S", r, r)
    A, N = MatrixSymbol("A", r, r), MatrixSymbol("N", r, r)
    known = orthonormal(V) | orthonormal(H, g) | orthonormal(U) | {(P, T, V): U * S, (P, T): U * S * V.T}
    lower, upper = H * A * V.T, T * V * N * H.T
    error = T - upper * lower
    yield Step(
        "The learning rule W1' = QPE, W2' = E W1ᵀ; let H = QU, so that HᵀH = g I and Q P = H Uᵀ P.",
        (equation("W_1'", Q * P * E), equation("W_2'", E * W1.T)),
    )
    # H Uᵀ stands for Q: QU = H with orthogonal U.
    lower_velocity = S - g * S * N * A
    upper_velocity = A - g * N * A * A
    yield Step(
        "W1 = H A Vᵀ and W2 = T V N Hᵀ with diagonal A, N solve it, if A' = S − g S N A and N' = A − g N A². Nothing "
        "in T V needs to lie in the rows of P.",
        (lower, upper),
        vanishes=(
            reduced(H * lower_velocity * V.T - H * U.T * P * error, known),
            reduced(T * V * upper_velocity * H.T - error * lower.T, known | {(A.T,): A}),
        ),
    )
    a, s = Symbol("a", positive=True), Symbol("s", positive=True)
    share = a**2 / (2 * s)
    velocity_a = s - g * s * share * a
    yield Step(
        "Entry by entry, N = a²/(2s) follows from zero on: its derivative is a − g N a².",
        equation("N", share),
        vanishes=(diff(share, a) * velocity_a - (a - g * share * a**2),),
    )
    yield Step(
        "So a' = s − g a³/2, as in full feedback with the strengths of PT.",
        equation("a'", s - map_strength(a, g)),
        vanishes=(velocity_a - (s - map_strength(a, g)),),
    )
    yield Step(
        "The map is T V (g N A) Vᵀ: mode k of the projector is open by this fraction, which ends at 1 where a' = 0.",
        result,
        vanishes=(g * share * a - result, result.subs(s, map_strength(a, g)) - 1),
    )


@derivation(
    "sketch-recovery",
    title="A mode is recovered by s²/(s² + κ), the same κ for all modes on average",
    entry="B14",
    assumptions=(
        "the limit T Π_row(PT) of small weights",
        "for the average: Gaussian P, and no mode that holds most of the strength",
    ),
    source="derived here; the argument is that of ridge regression on random features",
    result=lambda: recovery(Symbol("s", positive=True), Symbol("kappa", positive=True)),
    claims=("sketch-trace", "sketch-mean"),
)
def sketch(result: object) -> Iterator[Step]:
    """A random P of rank r < d is a random sketch of the task. It recovers strong modes better than weak ones, though
    nothing in it knows which are strong: they simply shout louder."""
    s, c, kappa = symbols("s c kappa", positive=True)
    column, N, K = MatrixSymbol("g", r, 1), MatrixSymbol("N", r, r), MatrixSymbol("K", r, r)
    yield Step(
        "Learning ends at T Π, so mode v is recovered by vᵀΠv. With PT = Σ s_j g_j v_jᵀ, g_j = P u_j, this is "
        "s² gᵀ(s² ggᵀ + N)⁻¹ g, where N is the sum of s_j² g_jg_jᵀ over the other modes.",
        s**2 * column * column.T + N,
    )
    known = {(N, K): Identity(r), (K, N): Identity(r), (column.T, K, column): c * Identity(1)}
    full = s**2 * column * column.T + N
    yield Step(
        "Let K = N⁻¹ and c = gᵀKg. Then Kg/(1 + s²c) solves (s² ggᵀ + N) x = g (Sherman and Morrison).",
        K * column / (1 + s**2 * c),
        vanishes=(reduced(full * K * column - (1 + s**2 * c) * column, known),),
    )
    yield Step(
        "So the mode is recovered by s² gᵀx = s²c/(1 + s²c), exactly; with κ = 1/c this is the formula.",
        result,
        vanishes=(s**2 * c / (1 + s**2 * c) - result.subs(kappa, 1 / c),),
    )
    yield Step(
        "For many random modes every c is close to one and the same number. All parts add up to tr Π = r, which fixes "
        "κ; for d equal modes the sum d·s²/(s² + κ) gives κ = s²(d − r)/r.",
        Eq(kappa, s**2 * (d - r) / r),
        vanishes=(d * result.subs(kappa, s**2 * (d - r) / r) - r,),
    )
    yield Step(
        "The loss left over is ½ Σ s² (1 − recovery), and s² (1 − recovery) = κ · recovery: ½ κ r in total.",
        equation("L", kappa * r / 2),
        vanishes=(s**2 * (1 - result) - kappa * result,),
    )


@derivation(
    "finite-start-mean",
    title="Frozen random features add (d − r)(h − r)/(i − r) modes on average",
    entry="B15",
    assumptions=(
        "isotropic random W1(0), h ≤ i and r ≤ d",
        "the end map T Π of fixed feedback, with Π on the rows of (I − QQ⁺)W1(0) and of PT",
    ),
    source="derived here",
    result=lambda: mean_recovery(*symbols("r d h i", positive=True)),
    claims=("finite-start", "finite-start-mean"),
)
def finite_start(result: object) -> Iterator[Step]:
    """Random input weights that the feedback never touches are still features, and the upper layer learns to read
    them. They add random input directions to the r that the feedback has chosen."""
    rank, number, hidden, inputs = symbols("r d h i", positive=True)
    F, C = MatrixSymbol("F", n, i), MatrixSymbol("C", n, h)
    yield Step(
        "Given: the first layer never moves in F = C W1 with CQ = 0, and the network rests where E W1ᵀ = 0 and PE = 0.",
        (Eq(F, C * W1, evaluate=False), equation("W_1'", Q * P * E)),
    )
    yield Step(
        "The rows of F are the same as at the start, and E Fᵀ = 0: the map is right on the h − r frozen features too. "
        "With the r rows of PT they are h, all that W1 has.",
        Eq(E * F.T, sympy.ZeroMatrix(o, n), evaluate=False),
        vanishes=(
            reduced(flow_derivative(C * W1, {W1: Q * P * E}), {(C, Q): sympy.ZeroMatrix(n, r)}),
            reduced(E * (C * W1).T, {(E, W1.T): sympy.ZeroMatrix(o, h)}),
        ),
    )
    share = Symbol("x", positive=True)
    yield Step(
        "Outside row(PT), of dimension i − r, the h − r frozen rows span an isotropic random subspace. Its mean "
        "projector is x times the identity there; the trace gives x.",
        Eq(share * (inputs - rank), hidden - rank),
    )
    found = (hidden - rank) / (inputs - rank)
    yield Step(
        "Of the trace of Π over the d modes, r comes from row(PT), which lies among the modes, and x from each of the "
        "d − r directions that are left.",
        result,
        vanishes=(
            (share * (inputs - rank) - (hidden - rank)).subs(share, found),
            rank + (number - rank) * found - number * result,
        ),
    )
    yield Step(
        "As many hidden units as inputs, or as many channels as modes, and everything is learned.",
        (Eq(hidden, inputs), Eq(rank, number)),
        vanishes=(result.subs(hidden, inputs) - 1, result.subs(rank, number) - 1),
    )


@derivation(
    "spurious-escape",
    title="Backprop leaves a point that lacks a mode at the rate s; fixed feedback does not leave it",
    entry="B16",
    assumptions=(
        "whitened inputs; at the point W2ᵀE = 0, E W1ᵀ = 0 and E v = s u for an unlearned mode",
        "a hidden direction k to spare: W2 k = 0, W1ᵀ k = 0",
        "for fixed feedback: its channels are occupied, B E = 0",
    ),
    source="derived here",
    result=lambda: Symbol("s", positive=True),
    claims=("spurious-escape", "spurious-growth"),
)
def spurious(result: object) -> Iterator[Step]:
    """Points where some modes are learned and the rest is not are saddles for backprop, which leaves them
    exponentially. Under fixed feedback the first layer never hears of the missing mode, so the same points are neutral:
    neither left nor attracting."""
    s = Symbol("s", positive=True)
    u, v, k = MatrixSymbol("u", o, 1), MatrixSymbol("v", i, 1), MatrixSymbol("k", h, 1)
    B = MatrixSymbol("B", h, o)
    X, Y, D = MatrixSymbol("X", h, i), MatrixSymbol("Y", o, h), MatrixSymbol("dE", o, i)
    zero = sympy.ZeroMatrix
    known = {
        (E, v): s * u,
        (u.T, E): s * v.T,
        (W2, k): zero(o, 1),
        (k.T, W1): zero(1, i),
        (v.T, v): Identity(1),
        (u.T, u): Identity(1),
        (k.T, k): Identity(1),
        (v.T, W1.T): zero(1, h),
        (B, E): zero(h, i),
    }
    move1, move2 = k * v.T, u * k.T
    error = -(move2 * W1 + W2 * move1)
    yield Step(
        "Backprop near the point, to first order in the changes X of W1 and Y of W2.",
        (
            equation("X'", Y.T * E + W2.T * D),
            equation("Y'", E * X.T + D * W1.T),
            equation("dE", -Y * W1 - W2 * X),
        ),
    )
    yield Step(
        "Let a spare hidden unit k begin to carry the missing mode: X = k vᵀ, Y = u kᵀ. The map does not change yet.",
        (move1, move2),
        vanishes=(reduced(error, known),),
    )
    yield Step(
        "Both layers then grow in proportion to themselves: an eigenvector, with the strength of the mode as its rate.",
        equation("lambda", result),
        vanishes=(
            reduced(move2.T * E + W2.T * error - result * move1, known),
            reduced(E * move1.T + error * W1.T - result * move2, known),
        ),
    )
    yield Step(
        "Fixed feedback has B in place of (W2 + Y)ᵀ: the term YᵀE is missing, the first layer stands still, and the "
        "upper one grows at a constant speed at most. The eigenvalue is 0.",
        equation("X'", sympy.ZeroMatrix(h, i)),
        vanishes=(reduced(B * E + B * error, known),),
    )
