"""Learning by feedback control: the error of a sample, feedback weights from noise, the cost of control (D5 to D7)."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import reduced
from sympy import Eq, Function, Identity, MatrixExpr, MatrixSymbol, Symbol, ZeroMatrix, diff, symbols

from linfa.neighbours import control as theory
from linfa.theory.conservation import decayed

i, n, o, N = symbols("i n o N", integer=True, positive=True)
a, eta, t = symbols("a eta t", positive=True)
alpha, beta, sigma, tu, te = symbols("alpha beta sigma tau_u tau_e", positive=True)
J, Q = MatrixSymbol("J", o, N), MatrixSymbol("Q", N, o)
u = MatrixSymbol("u", o, 1)
SOURCE = "Meulemans et al. 2021"


def _two_layers() -> tuple:
    """Weights, feedback, activities of two linear layers, what rᵀr is, and normalised updates."""
    weights = MatrixSymbol("W_1", n, i), MatrixSymbol("W_2", o, n)
    feedback = MatrixSymbol("Q_1", n, o), MatrixSymbol("Q_2", o, o)
    below = MatrixSymbol("r_0", i, 1), MatrixSymbol("r_1", n, 1)
    squares = symbols("rho_0 rho_1", positive=True)
    known = {(r.T, r): value * Identity(1) for r, value in zip(below, squares, strict=True)}
    updates = theory.pushed_updates([q * u for q in feedback], below, squares)
    return weights, feedback, below, known, updates


@derivation(
    "control-error-flow",
    title="Under normalised updates the error of one sample decays as e^{−t}, whatever the weights are",
    entry="D5",
    assumptions=("one sample", "linear layers (shown for two)", "any Q with JQ invertible, no leak", "weak nudge"),
    source=SOURCE + "; the law of descent derived here",
    result=lambda: decayed(Symbol("delta_0", positive=True), 1, t, xp=sympy),
    claims=("control-error-flow", "control-error-descent"),
)
def error_flow(result: object) -> Iterator[Step]:
    """Gradient descent runs fast where the landscape is steep and creeps where it is flat. A Gauss–Newton step does
    not see the landscape: the output walks straight to its target."""
    weights, feedback, below, known, updates = _two_layers()
    upper = weights[1]
    yield Step(
        "Both layers learn the push that they got, from the activity of the free network; ρ_l = |r_l|².",
        (equation("W_1'", updates[0]), equation("W_2'", updates[1])),
    )
    moved = upper * updates[0] * below[0] + updates[1] * below[1]
    pushed = upper * feedback[0] * u + feedback[1] * u
    yield Step(
        "The output moves by what the pushes do to it, J Q u, as r_{l−1}ᵀr_{l−1} cancels: where control rests, by δ.",
        pushed,
        vanishes=(reduced(moved - pushed, known),),
    )
    after = (upper + eta * updates[1]) * (below[1] + eta * updates[0] * below[0])
    mixed = updates[1] * feedback[0] * u
    yield Step(
        "A finite rate η adds what both changes do together; it is of second order in the error, so that the factor of "
        "an update ends at 1 − η.",
        eta**2 * mixed,
        vanishes=(reduced(after - upper * below[1] - eta * pushed - eta**2 * mixed, known),),
    )
    yield Step(
        "In the flow δ' = −δ, with the same time constant for every network.",
        Eq(Function("delta")(t), result, evaluate=False),
        vanishes=(diff(result, t) + result, result.subs(t, 0) - Symbol("delta_0", positive=True)),
    )


@derivation(
    "control-one-update",
    title="One normalised update at rate 1 makes the controlled state that of the free network",
    entry="D5",
    assumptions=("one sample, any nonlinearity, any Q", "r: activities under control"),
    source="derived here",
    result=lambda: tuple(_two_layers()[4]),
    claims=("control-one-update",),
)
def one_update(result: tuple) -> Iterator[Step]:
    """Control shows each layer what it should have done. With the activity that the layer hears in that very state, one
    update is enough to do it without help."""
    weights, feedback, below, known, _ = _two_layers()
    yield Step(
        "Under control each layer is at its own drive and the push; r_0 is the input.",
        tuple(
            equation(f"v_{k + 1}", w * r + q * u)
            for k, (w, r, q) in enumerate(zip(weights, below, feedback, strict=True))
        ),
    )
    for k, (w, r, q, change) in enumerate(zip(weights, below, feedback, result, strict=True)):
        yield Step(
            f"After the update layer {k + 1} reaches v_{k + 1} from r_{k} alone"
            + (", so that the layer above hears what it heard under control." if k == 0 else ", and so on upwards."),
            change,
            vanishes=(reduced((w + change) * r - w * r - q * u, known),),
        )


E, S, M = MatrixSymbol("E", N, o), MatrixSymbol("S", o, o), MatrixSymbol("M", o, o)


@derivation(
    "control-noise-moments",
    title="Noise on all neurons makes control say E = E[ε uᵀ] = −σJᵀ(τ_u/τ_e I + Mᵀ)⁻¹, M = JQ + αI",
    entry="D6",
    assumptions=("fast network, integral control", "ε: Ornstein–Uhlenbeck, unit variance, time τ_e", "target r_L⁻"),
    source="derived here from the rule of " + SOURCE,
    result=lambda: (
        theory.cross_balance(J, M, E, tu, te, sigma),
        theory.control_covariance_balance(J, M, E, S, sigma),
    ),
    claims=("control-noise-moments", "control-noise-fast-network"),
)
def moments(result: tuple) -> Iterator[Step]:
    """Asked to hold the output still, the controller works against the noise of every neuron in the measure in which it
    reaches the output. That measure is J, and so the noise tells feedback about the network above."""
    eps = MatrixSymbol("epsilon", N, 1)
    velocities = {eps: -eps / te, u: -(M * u + sigma * J * eps) / tu}
    yield Step(
        "The output is off by J(Q u + σε), which control integrates; the noise forgets (and is stirred by white noise "
        "that u does not know).",
        (equation("epsilon'", velocities[eps]), equation("u'", velocities[u])),
    )
    means = {(eps, eps.T): Identity(N), (eps, u.T): E, (u, eps.T): E.T, (u, u.T): S}
    yield Step(
        "The mean of ε uᵀ moves like this, with E[ε εᵀ] = I.",
        Eq(MatrixSymbol("tau_u E'", N, o), result[0], evaluate=False),
        vanishes=(reduced(tu * flow_derivative(eps * u.T, velocities), means) - result[0],),
    )
    yield Step(
        "And that of u uᵀ.",
        Eq(MatrixSymbol("tau_u S'", o, o), result[1], evaluate=False),
        vanishes=(reduced(tu * flow_derivative(u * u.T, velocities), means) - result[1],),
    )
    R = MatrixSymbol("R", o, o)
    solved = -sigma * J.T * R
    yield Step(
        "At rest, with R the inverse of τ_u/τ_e I + Mᵀ: all of it is in the row space of J.",
        Eq(E, solved, evaluate=False),
        vanishes=(reduced(result[0].subs(E, solved), {(R, M.T): Identity(o) - tu / te * R}),),
    )


@derivation(
    "control-feedback-learning",
    title="On average Q' = −(QS + σE)/σ² − βQ, which rests in the row space of J alone",
    entry="D6",
    assumptions=("Q moves little while noise and control forget", "S/σ² + βI invertible"),
    source=SOURCE + "; the average derived here",
    result=lambda: theory.feedback_velocity(Q, E, S, sigma, beta),
    claims=("control-feedback-learning", "control-feedback-rest"),
)
def feedback_learning(result: MatrixExpr) -> Iterator[Step]:
    """An anti-Hebbian rule between what a neuron does and what control says. Whatever Q has outside the row space of J
    costs activity and earns nothing, so it is forgotten."""
    eps, R, V = MatrixSymbol("epsilon", N, 1), MatrixSymbol("R", o, o), MatrixSymbol("V", o, o)
    local = -(Q * u + sigma * eps) * u.T / sigma**2 - beta * Q
    yield Step("The rule, with the activity v = Q u + σε that feedback and noise cause.", equation("Q'", local))
    means = {(eps, u.T): E, (u, u.T): S}
    yield Step("Its mean over the noise.", equation("Q'", result), vanishes=(reduced(local, means) - result,))
    inside, outside = J.T * MatrixSymbol("K", o, o), MatrixSymbol("Q_o", N, o)
    solved = {E: -sigma * J.T * R}
    moved = result.subs(solved).subs(Q, inside + outside).doit()
    still = result.subs(solved).subs(Q, inside).doit()
    yield Step(
        "With E = −σJᵀR the part outside, for which J Q_o = 0, only decays; R, S and M do not know of it.",
        equation("Q_o'", -outside * (S / sigma**2 + beta * Identity(o))),
        vanishes=(moved - still + outside * (S / sigma**2 + beta * Identity(o)),),
    )
    rest = J.T * R * V
    yield Step(
        "With V the inverse of S/σ² + βI, rest is Q = JᵀRV: condition 2 holds.",
        Eq(Q, rest, evaluate=False),
        vanishes=(reduced(result.subs(solved).subs(Q, rest).doit(), {(V, S): sigma**2 * (Identity(o) - beta * V)}),),
    )


k, g, m, m0 = symbols("k g m m_0", positive=True)


@derivation(
    "control-row-space",
    title="Each mode's loop m = gk + α grows as τ_u m²/2 + τ_e m³/3 = gατ_e t, and e^{−m/α} is left outside",
    entry="D6",
    assumptions=("averaged learning without decay", "JQ(0) symmetric and commuting with JJᵀ (any Q outside)", "α > 0"),
    source="derived here",
    result=lambda: (
        theory.mode_velocity(k, g, alpha, beta, tu, te),
        theory.mode_loop_time(m, m0, g, alpha, tu, te),
        theory.outside_part(m, m0, alpha, xp=sympy),
    ),
    claims=("control-row-space", "control-feedback-rest"),
)
def row_space(result: tuple) -> Iterator[Step]:
    """How fast does feedback find the row space of J? As fast as its leak lets it grow inside: the two are tied by a
    conserved quantity."""
    velocity, time, left = result
    loop = Symbol("m", positive=True)
    cross = -sigma * te / (tu + te * loop)
    variance = sigma**2 * g * te / (loop * (tu + te * loop))
    yield Step(
        "Along an eigenvector of JJᵀ, eigenvalue g: Q = kJᵀ, E = cJᵀ, S = v, and the loop is m = gk + α.",
        (Eq(m, g * k + alpha, evaluate=False), equation("Q'", theory.feedback_velocity(Q, E, S, sigma, beta))),
    )
    one = sympy.Matrix([[1]])
    root = sympy.Matrix([[sympy.sqrt(g)]])
    yield Step(
        "The moments are at rest for these.",
        (equation("c", cross), equation("v", variance)),
        vanishes=(
            theory.cross_balance(root, loop * one, cross * root, tu, te, sigma),
            theory.control_covariance_balance(root, loop * one, cross * root, variance * one, sigma),
        ),
    )
    driven = theory.feedback_velocity(k * one, cross * one, variance * one, sigma, beta)[0]
    yield Step(
        "Inserted, almost everything cancels: only the leak drives k.",
        equation("k'", velocity),
        vanishes=((driven - velocity).subs(loop, g * k + alpha),),
    )
    growth = g * velocity.subs(beta, 0).subs(k, (loop - alpha) / g)
    yield Step(
        "Without decay m' = g k' = gατ_e/[m(τ_u + τ_e m)], separated and integrated.",
        Eq(t, time, evaluate=False),
        vanishes=(diff(time, m) * growth - 1, time.subs(m, m0)),
    )
    yield Step(
        "Outside Q decays at the rate v/σ² = m'/α, so that log Q⊥ + m/α stands still.",
        Eq(Symbol("Q_perp") / Symbol("Q_perp(0)"), left, evaluate=False),
        vanishes=(diff(left, m) * growth + left * variance / sigma**2, left.subs(m, m0) - 1),
    )


@derivation(
    "control-cost-gradient",
    title="The cost of control H = ½|Qu|² has the gradient −[uᵀQᵀQ(JQ + aI)⁻¹J]ᵀrᵀ, and −(Qu)rᵀ where Q = JᵀM",
    entry="D7",
    assumptions=("J and r under control", "Q stands still while W moves", "the local rule: no leak, Col(Q) = Row(J)"),
    source="Meulemans et al. 2022; with a leak derived here",
    result=lambda: theory.cost_row(u, Q, MatrixSymbol("G", o, o), J),
    claims=("control-cost-gradient", "control-local-rule", "control-cost-descent"),
)
def cost_gradient(result: MatrixExpr) -> Iterator[Step]:
    """Strong control pins the output to its target, so that there is no loss left to descend. There is effort, though:
    a network that needs no help, u = 0, has learned, as δ = (JQ + aI)u."""
    G, c, du = MatrixSymbol("G", o, o), MatrixSymbol("c", N, 1), MatrixSymbol("du", o, 1)
    known = {(J, Q, G): Identity(o) - a * G, (G, J, Q): Identity(o) - a * G}
    yield Step(
        "Let the weights change a little: the neurons get c_l = dW_l r_{l−1} more, and control answers with du so that "
        "e = a u stays true.",
        Eq(J * (Q * du + c) + a * du, ZeroMatrix(o, 1), evaluate=False),
    )
    answer = -G * J * c
    yield Step(
        "Solved for the answer, with G the inverse of JQ + aI.",
        Eq(du, answer, evaluate=False),
        vanishes=(reduced(J * (Q * answer + c) + a * answer, known),),
    )
    yield Step(
        "So dH = uᵀQᵀQ du = −(row)·c, and the block of layer l times r_{l−1} is the gradient.",
        result,
        vanishes=(reduced(u.T * Q.T * Q * answer + result * c, known),),
    )
    K = MatrixSymbol("M", o, o)
    aligned = result.subs(Q, J.T * K).doit()
    yield Step(
        "Without leak and with Q = JᵀM the row is (Qu)ᵀ itself, as JJᵀM G = I: each layer's own push times its own "
        "input descends the cost.",
        (u.T * K.T * J),
        vanishes=(reduced(aligned - u.T * K.T * J, {(J, J.T, K, G): Identity(o)}),),
    )
