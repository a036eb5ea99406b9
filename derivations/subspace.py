"""Feedback that chooses what to listen to: the loss, Oja's rule, and the channel that falls silent."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import orthonormal, reduced
from sympy import Eq, Function, Identity, MatrixSymbol, Symbol, diff, symbols

from linfa.theory.oja import escape_rate, escape_threshold, grown_projector, signal_velocity
from linfa.theory.reduced_modes import mode_velocity, undriven_amplitude
from linfa.theory.tracking import loss_fall, tracking_velocity

i, h, o, r = symbols("i h o r", integer=True, positive=True)
wd, t, eta = symbols("wd t eta", positive=True)
W1, W2, T = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", o, h), MatrixSymbol("T", o, i)
E, Q, P = MatrixSymbol("E", o, i), MatrixSymbol("Q", h, r), MatrixSymbol("P", r, o)


@derivation(
    "projected-backprop-loss",
    title="With tracking feedback the loss falls at |E W1ᵀ|² + tr(W2W2ᵀ PᵀP EEᵀ)",
    entry="B18",
    assumptions=("any data", "Q = W2ᵀPᵀ", "no decay"),
    source="derived here",
    result=lambda: loss_fall(E, W1, W2, P),
    claims=("projected-backprop-loss", "projected-backprop-sign"),
)
def loss(result: object) -> Iterator[Step]:
    """Projecting the error before it is sent back can do harm: what the first layer then does for the projected error
    may hurt the rest of it. It cannot where P listens to whole principal components of the error."""
    velocities = {W1: Q * P * E, W2: E * W1.T}
    yield Step(
        "The learning rule. The loss ½ tr(ΔΣΔᵀ), Δ = T − W2W1, changes at the rate −tr((W2W1)' Eᵀ), as E = ΔΣ.",
        (
            equation("W_1'", Q * P * E),
            equation("W_2'", E * W1.T),
        ),
    )
    moved = flow_derivative(W2 * W1, velocities)
    yield Step(
        "With Q = W2ᵀPᵀ the matrix under the trace is this.",
        result,
        vanishes=(result + (moved * E.T).subs(Q, W2.T * P.T),),
    )
    S, D = MatrixSymbol("S", o, o), P.T * P
    known = orthonormal(P.T) | {(S, P.T, P): D * S}
    yield Step(
        "If PᵀP commutes with S = EEᵀ, then PᵀP S = PᵀP S PᵀP, and the last trace is that of a square, |W2ᵀPᵀP E|².",
        Eq(D * S, D * S * D, evaluate=False),
        vanishes=(reduced(D * S * D - D * S, known),),
    )
    above = E * W1.T
    yield Step(
        "The first trace is minus that of a square in any case. So the loss falls, unless P cuts a component in two.",
        -above * above.T,
        vanishes=(result + above * above.T + W2 * W2.T * D * E * E.T,),
    )


@derivation(
    "tracking-lag",
    title="Where P moves, Q lags: (Q − W2ᵀPᵀ)' = −wd (Q − W2ᵀPᵀ) − W2ᵀP'ᵀ",
    entry="B18",
    assumptions=("any data", "any rule for P", "the same decay wd on Q and on W2"),
    source="derived here",
    result=lambda: tracking_velocity(Q - W2.T * P.T, W2, MatrixSymbol("P'", r, o), wd),
    claims=("tracking-lag",),
)
def lag(result: object) -> Iterator[Step]:
    """Agreement of feedback and weights rests on both forgetting together. A channel that turns must be relearned, and
    decay is the only thing that lets go of what it was."""
    turning = MatrixSymbol("P'", r, o)
    velocities = {Q: W1 * E.T * P.T - wd * Q, W2: E * W1.T - wd * W2, P: turning}
    yield Step(
        "The learning rule, and some motion of P.",
        (
            equation("Q'", W1 * E.T * P.T - wd * Q),
            equation("W_2'", E * W1.T - wd * W2),
        ),
    )
    gap = Q - W2.T * P.T
    yield Step(
        "By the product rule the motion of P is left over.",
        result,
        vanishes=(flow_derivative(gap, velocities) - result,),
    )
    steady = -W2.T * turning.T / wd
    yield Step(
        "For a steady motion the lag settles at −W2ᵀP'ᵀ/wd: slow forgetting means a long lag.",
        steady,
        vanishes=(reduced(tracking_velocity(steady, W2, turning, wd), {}),),
    )


@derivation(
    "oja-projector",
    title="Oja's rule solved: PᵀP = Fᵀ(I − P₀P₀ᵀ + FFᵀ)⁻¹F with F = P₀ e^{ηSt}",
    entry="B19",
    assumptions=("a constant correlation S: that of the labels", "any start P₀"),
    source="Yan, Helmke & Moore 1994 for the solution; Oja 1989 for the rule",
    result=lambda: grown_projector(MatrixSymbol("F", r, o), MatrixSymbol("K", r, r)),
    claims=("oja-projector", "oja-label-limit"),
)
def oja(result: object) -> Iterator[Step]:
    """Each row of P is a little power iteration. The rule's second term keeps the rows from growing, so that all that
    remains is the subspace, and that turns to the strongest components of S."""
    F, K, S = MatrixSymbol("F", r, o), MatrixSymbol("K", r, r), MatrixSymbol("S", o, o)
    symmetric = {(S.T,): S, (K.T,): K}
    yield Step("The learning rule, with symmetric S.", equation("P'", eta * P * S * (Identity(o) - P.T * P)))
    X = MatrixSymbol("X", o, o)
    riccati = eta * (S * X + X * S - 2 * X * S * X)
    moved = flow_derivative(P.T * P, {P: eta * P * S * (Identity(o) - P.T * P)})
    yield Step(
        "X = PᵀP obeys an equation of its own, of Riccati's kind.",
        equation("X'", riccati),
        vanishes=(reduced(moved - riccati.subs(X, P.T * P), symmetric),),
    )
    growing = {F: eta * F * S}
    growing[K] = -K * flow_derivative(F * F.T, growing) * K
    yield Step(
        "Let F = P₀ e^{ηSt} and K = (I − P₀P₀ᵀ + FFᵀ)⁻¹, so that F' = ηFS and K' = −K(FFᵀ)'K.",
        (equation("F'", growing[F]), equation("K'", growing[K])),
    )
    yield Step(
        "FᵀKF solves it; at the start F = P₀ and K = I give P₀ᵀP₀.",
        result,
        vanishes=(
            reduced(flow_derivative(result, growing) - riccati.subs(X, result), symmetric),
            reduced(result - F.T * F, {(K,): Identity(r)}),
        ),
    )
    ratio, top, low = Function("y")(t), Symbol("s_1", positive=True), Symbol("s_2", positive=True)
    found = sympy.exp(eta * low * t) / sympy.exp(eta * top * t)
    yield Step(
        "The ratio of two components of F falls as e^{−η(λ₁ − λ₂)t}: the subspace turns to the top of S.",
        Eq(ratio, sympy.exp(-eta * (top - low) * t)),
        vanishes=(diff(found, t) + eta * (top - low) * found,),
    )


@derivation(
    "oja-escape",
    title="A channel leaves a learned mode for another just where η s_j² > σ₂²",
    entry="B20",
    assumptions=(
        "whitened inputs, no decay, Q = W2ᵀPᵀ",
        "P on a learned mode, v the input side of an unlearned one: W1 v = 0, EᵀE v = s² v",
    ),
    source="derived here",
    result=lambda: (
        signal_velocity(MatrixSymbol("Z", r, i), E, W1, P * W2 * Q, eta),
        escape_rate(eta, *symbols("s sigma_2", positive=True)),
        escape_threshold(*symbols("s sigma_2", positive=True)),
    ),
    claims=("oja-escape-rate", "oja-escape", "oja-deflation"),
)
def escape(result: object) -> Iterator[Step]:
    """Oja's rule on the error looks for the largest error that is left. But a channel that has learned its mode hears
    nothing, and the rule multiplies what it hears. Whether it ever leaves is a race between the speed of P and that of
    the weights, which silence the channel."""
    velocity, rate, threshold = result
    s, sigma = symbols("s sigma_2", positive=True)
    Z = MatrixSymbol("Z", r, i)
    rules = {W1: Q * P * E, W2: E * W1.T}
    moved = -flow_derivative(W2 * W1, rules)
    turning = eta * P * (E * E.T) * (Identity(o) - P.T * P)
    yield Step(
        "The learning rules. All that the feedback hears is Z = P E.",
        (
            equation("W_1'", Q * P * E),
            equation("W_2'", E * W1.T),
            equation("P'", turning),
            Eq(Z, P * E, evaluate=False),
        ),
    )
    yield Step(
        "With E' = −(W2W1)' this obeys, exactly and for any Q:",
        equation("Z'", velocity),
        vanishes=(reduced(flow_derivative(P * E, {P: turning, E: moved}) - velocity.subs(Z, P * E), {}),),
    )
    v, y = MatrixSymbol("v", i, 1), Symbol("y")
    linear = velocity.subs(Z.T * Z, sympy.ZeroMatrix(i, i))
    known = {(W1, v): sympy.ZeroMatrix(h, 1), (E.T, E, v): s**2 * v, (P, W2, Q): sigma**2 * Identity(r)}
    yield Step(
        "To first order in a small Z, the part Z v along the unlearned mode grows or dies at one rate; P W2 Q is σ₂² "
        "where Q = W2ᵀPᵀ and the channel sits on a mode of W2 with the singular value σ₂.",
        equation("y'", rate * y),
        vanishes=(reduced(linear * v - rate * (Z * v), known),),
    )
    yield Step(
        "The rate is zero at this η. For balanced weights σ₂² is the strength of the learned mode: η* = s_i/s_j².",
        equation("eta^*", threshold),
        vanishes=(rate.subs(eta, threshold), threshold * s**2 - sigma**2),
    )


_RULES = ("fixed", "kolen-pollack", "normative"), ("fixed", "oja-error", "oja-label", "local", "normative")
a, w, q, p, s = symbols("a w q p s", positive=True)


def _all_modes() -> tuple:
    """a', w', then q' of every learned rule of Q and p' of every learned rule of P."""
    first = mode_velocity(a, w, q, p, s, decay=wd)[:2]
    of_q = [mode_velocity(a, w, q, p, s, q_rule=rule, q_rate=eta, decay=wd)[2] for rule in _RULES[0][1:]]
    of_p = [mode_velocity(a, w, q, p, s, p_rule=rule, p_rate=eta, decay=wd)[3] for rule in _RULES[1][1:]]
    return (*first, *of_q, *of_p)


@derivation(
    "reduced-modes",
    title="Aligned channels: every rule of low-rank feedback is four numbers for each mode",
    entry="B22",
    assumptions=(
        "whitened inputs",
        "start W1 = H diag(a) Vᵀ, W2 = U diag(w) Hᵀ, Q = H_r diag(q), P = diag(p) U_rᵀ with orthonormal H, U, V",
    ),
    source="derived here",
    result=_all_modes,
    claims=("reduced-modes",),
)
def reduced_modes(result: object) -> Iterator[Step]:
    """Every rule commutes with rotations of inputs, outputs and hidden units. In the frame of the task's modes all
    matrices are then diagonal, and stay so. Two modes and one channel show all there is; more only repeat it."""
    b, x, z = symbols("b x z", positive=True)
    E0, H = MatrixSymbol("E_0", o, i), MatrixSymbol("H", h, h)
    O, D, S = MatrixSymbol("Omega", h, o), MatrixSymbol("D", h, o), MatrixSymbol("S", o, o)
    U, V, A = MatrixSymbol("U", o, o), MatrixSymbol("V", i, i), MatrixSymbol("A", h, i)
    yield Step(
        "The learning rules, with Ω = W1Eᵀ, D = W2ᵀ − QP, and S the correlation of the error or of the labels.",
        (
            equation("W_1'", Q * P * E - wd * W1),
            equation("W_2'", E * W1.T - wd * W2),
            equation("Q'", eta * O * P.T - wd * Q),
            equation("Q'", eta * D * P.T),
            equation("P'", eta * P * S * (Identity(o) - P.T * P)),
            equation("P'", eta * Q.T * O - wd * P),
            equation("P'", eta * Q.T * D),
        ),
    )
    known = orthonormal(U) | orthonormal(V) | orthonormal(H)
    turned = {"W1": H * A * V.T, "E": U * E0 * V.T, "Q": H * Q, "P": P * U.T}
    yield Step(
        "Rotated matrices have rotated products: H Q · P Uᵀ · U E₀ Vᵀ = H (Q P E₀) Vᵀ, and so for every rule.",
        H * Q * P * E0 * V.T,
        vanishes=(
            reduced(turned["Q"] * turned["P"] * turned["E"] - H * Q * P * E0 * V.T, known),
            reduced(turned["W1"] * turned["E"].T * turned["P"].T - H * A * E0.T * P.T, known),
            reduced(turned["Q"].T * turned["W1"] * turned["E"].T - Q.T * A * E0.T * U.T, known),
        ),
    )
    # A first mode (a, w, s) with a channel (q, p) and a second (b, x, z) without.
    first, upper = sympy.diag(a, b), sympy.diag(w, x)
    spread, heard = sympy.Matrix([q, 0]), sympy.Matrix([[p, 0]])
    error = sympy.diag(s, z) - upper * first
    hebbian, gap, one = first * error.T, upper.T - spread * heard, sympy.eye(2)
    turning = [eta * heard * S * (one - heard.T * heard) for S in (error * error.T, sympy.diag(s, z) ** 2)]
    of_q = [eta * hebbian * heard.T - wd * spread, eta * gap * heard.T]
    of_p = [*turning, eta * spread.T * hebbian - wd * heard, eta * spread.T * gap]
    silent = {a: b, w: x, q: 0, p: 0, s: z}
    lower_velocity = sympy.diag(result[0], result[0].subs(silent, simultaneous=True))
    upper_velocity = sympy.diag(result[1], result[1].subs(silent, simultaneous=True))
    yield Step(
        "In that frame W1' and W2' are diagonal. The second mode has no channel: its a decays, its w alone learns.",
        (equation("a'", result[0]), equation("w'", result[1])),
        vanishes=(
            *(spread * heard * error - wd * first - lower_velocity),
            *(error * first.T - wd * upper - upper_velocity),
        ),
    )
    yield Step(
        "Q' and P' of every rule point along the channel's own mode alone.",
        tuple(equation(f"{name}'", value) for name, value in zip("qqpppp", result[2:], strict=True)),
        vanishes=(
            *(e for m, value in zip(of_q, result[2:4], strict=True) for e in m - sympy.Matrix([value, 0])),
            *(e for m, value in zip(of_p, result[4:], strict=True) for e in m - sympy.Matrix([[value, 0]])),
        ),
    )
    backprop = result[0].subs(q, w / p)
    yield Step(
        "Where q p = w this is backprop, a' = w e − wd a.",
        Eq(q * p, w),
        vanishes=(backprop - (w * (s - a * w) - wd * a),),
    )


@derivation(
    "undriven-mode",
    title="A mode without a channel leaks in at the rate a² of its frozen start",
    entry="B22",
    assumptions=("whitened inputs, aligned start", "no channel carries the mode, no decay"),
    source="derived here",
    result=lambda: undriven_amplitude(t, Symbol("w_0", positive=True), a, s, xp=sympy),
    claims=("undriven-mode",),
)
def undriven(result: object) -> Iterator[Step]:
    """Feedback of low rank is never quite blind to the other modes: whatever random start their first-layer weights
    had, the upper layer reads it. From a start of size σ that takes a time ∝ 1/σ²."""
    yield Step(
        "Without a channel a' = 0, and w' = a (s − a w): a linear equation.",
        (equation("a'", 0), equation("w'", a * (s - a * w))),
    )
    yield Step(
        "Its solution, verified by differentiation; it starts at w₀.",
        Eq(Function("w")(t), result, evaluate=False),
        vanishes=(diff(result, t) - a * (s - a * result), result.subs(t, 0) - Symbol("w_0", positive=True)),
    )
    yield Step(
        "In the end a w = s: the mode is learned after all, however late.",
        Eq(a * w, s),
        vanishes=(sympy.limit(a * result, t, sympy.oo) - s,),
    )
