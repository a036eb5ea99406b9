"""Deep feedback control: where it rests, what it learns, when it is stable (D1 to D4)."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, expand_matrix
from linfa.derivations.relations import reduced
from sympy import Eq, Identity, MatrixExpr, MatrixSymbol, Symbol, ZeroMatrix, diff, symbols

from linfa.neighbours import control as theory

i, n, m, o, N = symbols("i n m o N", integer=True, positive=True)
alpha, kp, a, e, s = symbols("alpha k_p a e s", positive=True)
tv, tu, T, g = symbols("tau_v tau_u T g", positive=True)
J, Q = MatrixSymbol("J", o, N), MatrixSymbol("Q", N, o)
u, delta = MatrixSymbol("u", o, 1), MatrixSymbol("delta", o, 1)
SOURCE = "Meulemans et al. 2021"


@derivation(
    "control-steady-state",
    title="Control rests where (J Q + a I) u = δ and leaves the error a u, a = α/(1 + α k_p)",
    entry="D1",
    assumptions=("linear layers (nonlinear ones to first order in δ)", "α > 0; α = 0 is the limit"),
    source=SOURCE,
    result=lambda: (theory.effective_leak(alpha, kp), theory.control_balance(J, Q, a, u, delta)),
    claims=("control-steady-state", "control-leaky-control"),
)
def steady_state(result: tuple) -> Iterator[Step]:
    """The controller pushes all neurons until it has nothing to say any more. What it says then is a linear readout of
    what the network lacked, and that is the signal that every layer learns from."""
    leak, balance = result
    v, w, r, q, push, y = symbols("v w r q u y")
    integral = Symbol("u_int")
    yield Step(
        "The dynamics, here of one neuron and one output: its potential v hears the layer below and the controller, "
        "which integrates the error of the output r_L and adds a part in proportion to it; y is the target.",
        (
            equation("v'", (-v + w * r + q * push) / tv),
            equation("u", integral + kp * e),
            equation("u_int'", (e - alpha * integral) / tu),
            equation("e", y - Symbol("r_L")),
        ),
    )
    yield Step(
        "At rest u_int = e/α, so that u = e/α + k_p e: the error is a u.",
        Eq(a, leak, evaluate=False),
        vanishes=(leak * (e / alpha + kp * e) - e,),
    )
    yield Step(
        "If the leak acts on u itself, rest is e = α u; proportional control changes nothing.",
        Eq(a, alpha, evaluate=False),
        vanishes=(leak.subs(kp, 0) - alpha,),
    )
    W1, W2, W3 = MatrixSymbol("W_1", n, i), MatrixSymbol("W_2", m, n), MatrixSymbol("W_3", o, m)
    Q1, Q2, Q3 = MatrixSymbol("Q_1", n, o), MatrixSymbol("Q_2", m, o), MatrixSymbol("Q_3", o, o)
    x = MatrixSymbol("x", i, 1)
    controlled = W3 * (W2 * (W1 * x + Q1 * u) + Q2 * u) + Q3 * u
    blocks = theory.backward_products([W1, W2, W3], [Identity(n), Identity(m), Identity(o)])
    pushed = blocks[0] * Q1 * u + blocks[1] * Q2 * u + blocks[2] * Q3 * u
    yield Step(
        "A push on any layer arrives at the output through the layers above it (three layers): J_l = W_L ⋯ W_{l+1}.",
        tuple(blocks[:2]),
        vanishes=(controlled - W3 * W2 * W1 * x - pushed,),
    )
    yield Step(
        "So the output has moved by J Q u, which is δ less the error a u that is left.",
        Eq(balance, ZeroMatrix(o, 1), evaluate=False),
        vanishes=(balance - (J * Q * u - (delta - a * u)),),
    )


@derivation(
    "control-gauss-newton",
    title="With Q = Jᵀ control pushes with s/(s² + a) along each mode of J: Gauss–Newton, damped by its leak",
    entry="D2",
    assumptions=("linear layers, or small δ", "J of full row rank", "the loop is stable"),
    source=SOURCE,
    result=lambda: (theory.damped_gain(s, a), theory.damping_error(s, a)),
    claims=("control-gauss-newton", "control-any-feedback"),
)
def gauss_newton(result: tuple) -> Iterator[Step]:
    """Of all pushes that bring the output to its target control takes, with the right feedback, the smallest. Nobody
    has to invert a matrix for that: the loop does it by coming to rest."""
    gain, lacking = result
    K, G, M = MatrixSymbol("K", o, o), MatrixSymbol("G", o, o), MatrixSymbol("M", o, o)
    yield Step(
        "At rest the push is Q u with (J Q + a I) u = δ; now Q = Jᵀ.", J.T * (J * J.T + a * Identity(o)).I * delta
    )
    yield Step(
        "Push Jᵀ through: Jᵀ(JJᵀ + aI) = (JᵀJ + aI)Jᵀ, so it solves the damped normal equations.",
        (J.T * J + a * Identity(N)).I * J.T * delta,
        vanishes=(J.T * (J * J.T + a * Identity(o)) - (J.T * J + a * Identity(N)) * J.T,),
    )
    yield Step(
        "Along a mode of J with singular value s this is a factor s/(s² + a).",
        gain,
        vanishes=((s**2 + a) * gain - s,),
    )
    floor, above = symbols("s_min d", positive=True)
    yield Step(
        "The pseudo-inverse has 1/s. What is lacking, relative to it, shrinks with the leak and is largest for the "
        "smallest singular value.",
        lacking,
        vanishes=(
            1 - s * gain - lacking,
            lacking.subs(s, floor)
            - lacking.subs(s, floor + above)
            - a * above * (2 * floor + above) / ((floor**2 + a) * ((floor + above) ** 2 + a)),
        ),
    )
    known = {(J, J.T, K): Identity(o), (J, J.T, M, G): Identity(o), (J, Q, G): Identity(o)}
    yield Step(
        "Without a leak it is J⁺δ, not for Q = Jᵀ alone but for every Q = JᵀM. K and G are the inverses of JJᵀ and JQ.",
        J.T * K * delta,
        vanishes=(reduced(J.T * K * J * J.T * M * G * delta - J.T * K * delta, known), gain.subs(a, 0) * s - 1),
    )
    yield Step(
        "Any other Q reaches the target as well, JQGδ = δ. In the row space of J it pushes the same, J⁺δ; all it adds "
        "lies outside and has no effect.",
        J.T * K * J * Q * G * delta,
        vanishes=(
            reduced(J * Q * G * delta - delta, known),
            reduced(J.T * K * J * Q * G * delta - J.T * K * delta, known),
        ),
    )


def _layers() -> tuple[list[MatrixExpr], list[MatrixExpr], dict, tuple]:
    """Blocks of J and activities of two layers, what rᵀr is, and the two values."""
    blocks = [MatrixSymbol("J_1", o, n), MatrixSymbol("J_2", o, m)]
    below = [MatrixSymbol("r_0", i, 1), MatrixSymbol("r_1", n, 1)]
    squares = symbols("rho_0 rho_1", positive=True)
    known = {(r.T, r): value * Identity(1) for r, value in zip(below, squares, strict=True)}
    return blocks, below, known, squares


@derivation(
    "control-minimum-norm-update",
    title="The shortest update that moves the output by δ is J_lᵀ y r_{l−1}ᵀ with Σ|r_{l−1}|²J_lJ_lᵀ y = δ",
    entry="D3",
    assumptions=("one sample", "first order in the update", "shown for two layers; more add up alike"),
    source=SOURCE,
    result=lambda: tuple(theory.shared_updates(_layers()[0], MatrixSymbol("y", o, 1), _layers()[1])),
    claims=("control-minimum-norm-update",),
)
def minimum_norm(result: tuple) -> Iterator[Step]:
    """One sample fixes o numbers; there are many more weights. Of all updates that do the job the shortest disturbs
    least what was learned before."""
    blocks, below, known, squares = _layers()
    y = MatrixSymbol("y", o, 1)
    others = [MatrixSymbol("N_1", n, i), MatrixSymbol("N_2", m, n)]
    changes = [MatrixSymbol("Delta W_1", n, i), MatrixSymbol("Delta W_2", m, n)]
    moved = sum((j * w * r for j, w, r in zip(blocks, changes, below, strict=True)), ZeroMatrix(o, 1))
    yield Step("To first order the output moves by this, which is to be δ.", Eq(moved.doit(), delta, evaluate=False))
    kernel = squares[0] * blocks[0] * blocks[0].T + squares[1] * blocks[1] * blocks[1].T
    done = blocks[0] * result[0] * below[0] + blocks[1] * result[1] * below[1]
    yield Step(
        "Try J_lᵀ y r_{l−1}ᵀ. With rᵀr = |r|² (ρ_0, ρ_1) the output moves by K y, so that y = K⁻¹δ does it.",
        (*result, Eq(MatrixSymbol("K", o, o), kernel, evaluate=False)),
        vanishes=(reduced(done - kernel * y, known),),
    )
    silent = {(blocks[1], others[1], below[1]): -blocks[0] * others[0] * below[0]}
    inner = [
        reduced(r.T * w.T * other * r / value, known)
        for r, w, other, value in zip(below, result, others, squares, strict=True)
    ]
    yield Step(
        "Any other solution differs by N_1, N_2 that do not move the output, J_1N_1r_0 + J_2N_2r_1 = 0. The inner "
        "product <ΔW_l, N_l> is yᵀJ_lN_lr_{l−1}; their sum vanishes, so that N only adds to the length.",
        y.T * blocks[0] * others[0] * below[0] + y.T * blocks[1] * others[1] * below[1],
        vanishes=(reduced(inner[0] + inner[1], silent),),
    )


@derivation(
    "control-parallel-updates",
    title="Control teaches the minimum-norm update if all |r_{l−1}| are equal and Q = JᵀM",
    entry="D3",
    assumptions=("one sample, weak nudge, no leak", "condition 1: equal |r_{l−1}|", "condition 2: Col(Q) = Row(J)"),
    source=SOURCE,
    result=lambda: tuple(
        theory.pushed_updates(
            [j.T * MatrixSymbol("M", o, o) * u / Symbol("rho", positive=True) for j in _layers()[0]], _layers()[1]
        )
    ),
    claims=("control-parallel-updates",),
)
def parallel(result: tuple) -> Iterator[Step]:
    """The controller knows nothing of weights; it finds the smallest push on neurons. That the two agree asks for two
    conditions, one on activities and one on feedback."""
    blocks, below, known, squares = _layers()
    rho, M = Symbol("rho", positive=True), MatrixSymbol("M", o, o)
    equal = {key: value.subs(dict.fromkeys(squares, rho)) for key, value in known.items()}
    taught = theory.pushed_updates([j.T * M * u for j in blocks], below)
    yield Step("Control with Q_l = J_lᵀM teaches this.", tuple(taught))
    gain = blocks[0] * blocks[0].T + blocks[1] * blocks[1].T
    yield Step("Without leak it rests where J Q u = δ.", Eq(gain * M * u, delta, evaluate=False))
    yield Step(
        "Divided by ρ, the common |r|², it has the form J_lᵀ y r_{l−1}ᵀ of the shortest update, with y = M u/ρ.",
        result,
        vanishes=tuple(found - change / rho for found, change in zip(result, taught, strict=True)),
    )
    moved = blocks[0] * result[0] * below[0] + blocks[1] * result[1] * below[1]
    yield Step(
        "And it moves the output by δ, as the shortest one does: (Σρ J_lJ_lᵀ) M u/ρ = δ.",
        moved,
        vanishes=(reduced(moved - gain * M * u, equal),),
    )


def _blocks(leak: str) -> tuple[sympy.ImmutableMatrix, ...]:
    """The loop of two neurons in a chain, the lower one saturating."""
    w, q1, q2, v = symbols("w q_1 q_2 v_1", positive=True)
    slope = diff(sympy.tanh(v), v)
    chain = sympy.Matrix([[0, 0], [w * slope, 0]])
    found = theory.loop_blocks(
        chain, sympy.Matrix([q1, q2]), sympy.Matrix([[0, 1]]), (sympy.eye(2), sympy.eye(1)), tv, tu, alpha, kp, leak
    )
    return tuple(block.as_immutable() for block in found)


@derivation(
    "control-trajectory",
    title="Around rest, potentials and integral move as z' = A z, so z(t) = e^{At} z(0)",
    entry="D4",
    assumptions=("shown for a saturating neuron, a linear output and one controller", "exact for linear layers"),
    source="derived here from the dynamics of " + SOURCE,
    result=lambda: _blocks("integral"),
    claims=("control-trajectory", "control-critical-gain"),
)
def loop(result: tuple) -> Iterator[Step]:
    """Control is a loop with delays: what is pushed below reaches the output later. Everything about its stability is
    in one matrix."""
    w, q1, q2, v1, v2, integral, x, goal = symbols("w q_1 q_2 v_1 v_2 u_int x y", positive=True)
    error = goal - v2
    control = integral + kp * error
    first = (-v1 + x + q1 * control) / tv
    second = (-v2 + w * sympy.tanh(v1) + q2 * control) / tv
    yield Step(
        "Two neurons in a chain, the lower one saturating, and their controller; x is the input, y the target.",
        (equation("v_1'", first), equation("v_2'", second), equation("u_int'", (error - alpha * integral) / tu)),
    )
    state, velocity = sympy.Matrix([v1, v2]), sympy.Matrix([first, second])
    yield Step(
        "Derivatives of the potentials' velocities: Ŵ carries a deviation up by one layer, times the slope below it.",
        (result[0], result[1]),
        vanishes=(
            result[0] - velocity.jacobian(state),
            result[1] - velocity.jacobian([integral]),
        ),
    )
    heard = sympy.Matrix([(error - alpha * integral) / tu])
    yield Step(
        "And of the controller's.",
        (result[2], result[3]),
        vanishes=(result[2] - heard.jacobian(state), result[3] - heard.jacobian([integral])),
    )
    leaky, variant = sympy.Matrix([(error - alpha * control) / tu]), _blocks("control")
    yield Step(
        "Where the leak acts on the whole control, −S becomes −(1 − αk_p)S, and nothing else changes.",
        variant[2],
        vanishes=(
            variant[2] - leaky.jacobian(state),
            variant[3] - leaky.jacobian([integral]),
            variant[0] - result[0],
            variant[1] - result[1],
        ),
    )


@derivation(
    "control-fast-network",
    title="A network much faster than its controller leaves u_int' = −[(I + k_p JQ)⁻¹JQ + αI]u_int/τ_u + …",
    entry="D4",
    assumptions=("τ_v/τ_u → 0: potentials are always at rest",),
    source=SOURCE + " without proportional control; with it derived here",
    result=lambda: theory.fast_loop(MatrixSymbol("G", o, o), MatrixSymbol("D", o, o), Identity(o), alpha, tu),
    claims=("control-fast-network",),
)
def fast(result: MatrixExpr) -> Iterator[Step]:
    """If control is slow there is nothing to swing: stability is a statement about the eigenvalues of J Q alone."""
    G, D, w = MatrixSymbol("G", o, o), MatrixSymbol("D", o, o), MatrixSymbol("u_int", o, 1)
    # D (I + k_p G) = (I + k_p G) D = I.
    known = {(G, D): (Identity(o) - D) / kp}
    yield Step("The output follows at once, e = δ − G(u_int + k_p e) with G = J Q.", G * (w + kp * delta))
    error = D * (delta - G * w)
    yield Step(
        "Solved for e, with D the inverse of I + k_pG.",
        Eq(MatrixSymbol("e", o, 1), error, evaluate=False),
        vanishes=(reduced(error - delta + G * (w + kp * error), known),),
    )
    velocity = (error - alpha * w) / tu
    yield Step(
        "What is left is the controller's own equation; this is what multiplies u_int in it.",
        result,
        vanishes=(expand_matrix(velocity - D * delta / tu - result * w),),
    )
    yield Step(
        "Without proportional control D = I: stable if all eigenvalues of JQ + αI have positive real parts.",
        -(G + alpha * Identity(o)) / tu,
        vanishes=(result.subs(D, Identity(o)).doit() + (G + alpha * Identity(o)) / tu,),
    )


z = Symbol("z")


@derivation(
    "control-two-layer-gain",
    title="Two layers under Q = sJᵀ start to swing at s_c = 2(T + α)²/[T(g − 1) − α], T = τ_u/τ_v",
    entry="D4",
    assumptions=("linear output, so that J₂ = I", "integral control", "g: strongest eigenvalue of J₁J₁ᵀ"),
    source="derived here",
    result=lambda: (
        theory.two_layer_critical_gain(g, T, alpha),
        theory.two_layer_polynomial(z, s, g, T, alpha, kp),
    ),
    claims=("control-two-layer-gain", "control-critical-gain"),
)
def two_layers(result: tuple) -> Iterator[Step]:
    """A push on the output acts at once, a push below it late. Late pushes make a loop swing, and the stronger the
    upper layer the more of the work the late ones do."""
    critical, polynomial = result
    w = sympy.sqrt(g)
    matrix = sympy.Matrix(
        [
            [-1, -kp * s * w, s * w],
            [w, -1 - kp * s, s],
            [0, -1 / T, -alpha / T],
        ]
    )
    yield Step(
        "J₁J₁ᵀ and J₂J₂ᵀ = I have common eigenvectors, so the loop falls into modes: a hidden amplitude, an output "
        "and an integral, times in units of τ_v.",
        matrix,
    )
    characteristic = (z * sympy.eye(3) - matrix).det()
    yield Step(
        "Its rates z are the roots of a cubic.",
        Eq(polynomial, 0, evaluate=False),
        vanishes=(T * characteristic - polynomial,),
    )
    plain = sympy.Poly(sympy.expand(theory.two_layer_polynomial(z, s, g, T, alpha, 0)), z)
    c3, c2, c1, c0 = plain.all_coeffs()
    yield Step(
        "For integral control alone all coefficients c₀ … c₃ are positive, so that (Routh and Hurwitz) it is stable "
        "while c₂c₁ > c₃c₀. This margin is linear in s and positive at s = 0.",
        c2 * c1 - c3 * c0,
        vanishes=(
            sympy.expand(polynomial.subs(kp, 0) - plain.as_expr()),
            diff(sympy.expand(c2 * c1 - c3 * c0), s, 2),
            (c2 * c1 - c3 * c0).subs(s, 0) - 2 * (T + alpha) ** 2,
        ),
    )
    yield Step(
        "It vanishes at s_c; where T(g − 1) ≤ α it never does.",
        Eq(Symbol("s_c"), critical, evaluate=False),
        vanishes=((c2 * c1 - c3 * c0).subs(s, critical),),
    )
    yield Step(
        "There a pair of rates is imaginary, z² = −c₁/c₃: control swings. Without leak s_c τ_v/τ_u = 2/(g − 1).",
        Eq(Symbol("omega") ** 2, c1 / c3, evaluate=False),
        vanishes=(
            (c3 * z**3 + c2 * z**2 + c1 * z + c0).subs(z, sympy.I * sympy.sqrt(c1 / c3)).subs(s, critical),
            critical.subs(alpha, 0) / T - 2 / (g - 1),
        ),
    )
