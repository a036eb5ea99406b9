"""Direct feedback in deep networks from zero weights: weak alignment, the law of the modes, gradients."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from sympy import MatrixSymbol, Symbol, diff, symbols

from linfa.theory import deep_direct as theory
from linfa.theory.chain_alignment import map_power

i, o = symbols("i o", integer=True, positive=True)
n1, n2, n3 = symbols("n_1 n_2 n_3", integer=True, positive=True)
a, s = symbols("a s", positive=True)
gains = symbols("g_1:4", positive=True)
E = MatrixSymbol("E", o, i)
SMALL = [MatrixSymbol("A_1", o, i), *(MatrixSymbol(f"A_{k}", o, o) for k in (2, 3, 4))]
FEEDBACK = [MatrixSymbol(f"F_{k}", n, o) for k, n in ((1, n1), (2, n2), (3, n3))]
GRAMS = [f.T * f for f in FEEDBACK]


@derivation(
    "dfa-weak-alignment",
    title="Direct feedback from zero weights: W_l = F_l A_l F_{l−1}ᵀ for ever",
    entry="B10",
    assumptions=("zero initial weights", "any data, any F_l", "shown for L = 4; every layer between repeats the third"),
    source="Refinetti, d'Ascoli, Ohana & Goldt 2021",
    result=lambda: tuple(theory.compressed_velocity(SMALL, GRAMS, E)),
    claims=("dfa-weak-alignment", "dfa-weak-alignment-online"),
)
def weak_alignment(result: tuple) -> Iterator[Step]:
    """However wide the hidden layers, direct feedback moves them in as few directions as there are outputs. The
    weights of a layer are the feedback to it and to the layer below, with a small matrix between."""
    weights = theory.expanded(SMALL, FEEDBACK)
    velocities = dict(zip(SMALL, result, strict=True))
    activity = theory.compressed_activity(SMALL, GRAMS)
    yield Step(
        "Try weights of this form; at zero weights they are, with A_l = 0.",
        tuple(equation(f"W_{k + 1}", w) for k, w in enumerate(weights)),
    )
    below, products = weights[0], []
    for f, w, z in zip(FEEDBACK, weights[1:], activity, strict=False):
        products.append(below - f * z)
        below = w * below
    yield Step(
        "What reaches hidden layer l is F_l Z_l with a small matrix Z_l; the map itself is Z_4.",
        tuple(equation(f"Z_{k + 1}", z) for k, z in enumerate(activity)),
        vanishes=(*products, below - activity[-1]),
    )
    inputs = [None, *(f * z for f, z in zip(FEEDBACK, activity, strict=False))]
    wanted = [FEEDBACK[0] * E]
    wanted += [f * E * v.T for f, v in zip(FEEDBACK[1:], inputs[1:], strict=False)]
    wanted.append(E * inputs[-1].T)
    yield Step(
        "With these velocities of the small matrices every layer follows the learning rule, F_l E times its input.",
        tuple(equation(f"A_{k + 1}'", v) for k, v in enumerate(result)),
        vanishes=tuple(flow_derivative(w, velocities) - v for w, v in zip(weights, wanted, strict=True)),
    )


def _modes() -> tuple:
    alphas, beta = theory.direct_coefficients(gains)
    return (*(alpha * a ** (2**k) for k, alpha in enumerate(alphas) if k), beta * a ** map_power(4))


@derivation(
    "dfa-modes",
    title="Each mode of deep DFA obeys a' = s − β aⁿ with n = 2^L − 1, as in a chain",
    entry="B10",
    assumptions=(
        "zero initial weights",
        "whitened inputs, any target T = U diag(s) Vᵀ",
        "F_lᵀF_l = g_l I",
        "shown for L = 4; every further layer repeats the last step",
    ),
    source="derived here",
    result=_modes,
    claims=("dfa-modes",),
)
def modes(result: tuple) -> Iterator[Step]:
    """Sending the error directly to every layer does not spare the upper layers the wait for the lower ones: the
    powers are those of feedback along the chain, and so are the times to learn, up to a factor."""
    second, third, fourth, strength = result
    g1, g2, g3 = gains
    yield Step(
        "In the modes, A_1 = U diag(a)Vᵀ and A_l = U diag(a_l)Uᵀ. What arrives in layer l is z_l.",
        (
            equation("a'", Symbol("e")),
            equation("a_l'", Symbol("e") * Symbol("z_{l-1}")),
            equation("z_l", Symbol("a_l") * Symbol("g_{l-1}") * Symbol("z_{l-1}")),
        ),
    )
    yield Step(
        "Dividing by a' removes time: da_l/da = z_{l−1}. The second layer is a parabola.",
        equation("a_2", second),
        vanishes=(diff(second, a) - a, second.subs(a, 0)),
    )
    arriving = second * g1 * a
    yield Step(
        "The third layer integrates what the second lets through.",
        equation("a_3", third),
        vanishes=(diff(third, a) - arriving, third.subs(a, 0)),
    )
    arriving = third * g2 * arriving
    yield Step(
        "And so the fourth.",
        equation("a_4", fourth),
        vanishes=(diff(fourth, a) - arriving, fourth.subs(a, 0)),
    )
    yield Step(
        "The map is what arrives at the output, with the power 15 = 2⁴ − 1.",
        equation("u", strength),
        vanishes=(fourth * g3 * arriving - strength, a * diff(strength, a) / strength - 15),
    )


@derivation(
    "dfa-gradient-alignment",
    title="Backprop would weigh a mode in layer l of deep DFA by aᵐ with m = 2^L − 2^l",
    entry="B10",
    assumptions=("as for the modes of deep DFA; shown for L = 4",),
    source="derived here",
    result=lambda: tuple(theory.carried_strength(a, layer, gains) for layer in (1, 2, 3)),
    claims=("dfa-gradient-alignment",),
)
def gradient_alignment(result: tuple) -> Iterator[Step]:
    """Direct feedback tells each layer the same error; backprop would tell it the error weighed by how much of each
    mode the layers above let through. The two agree where all modes are equally strong, and less in lower layers."""
    alphas, beta = theory.direct_coefficients(gains)
    amplitudes = [alpha * a ** (2**k) for k, alpha in enumerate(alphas)]
    yield Step(
        "In the modes, backprop's signal to layer l is F_l U diag(y_l e)Vᵀ: through all layers above, with the gains "
        "between them.",
        tuple(equation(f"a_{k + 1}", amplitude) for k, amplitude in enumerate(amplitudes)),
    )
    carried = amplitudes[3]
    through = [carried]
    for layer in (2, 1):
        carried = carried * gains[layer] * amplitudes[layer]
        through.insert(0, carried)
    yield Step(
        "Multiplied out, it is a power of the amplitude in the lowest layer.",
        tuple(equation(f"y_{k + 1}", y) for k, y in enumerate(result)),
        vanishes=tuple(y - wanted for y, wanted in zip(result, through, strict=True)),
    )
    arriving = [sympy.Integer(1) * a]
    for k in (1, 2):
        arriving.append(amplitudes[k] * gains[k - 1] * arriving[-1])
    yield Step(
        "With what arrives from below it makes the map, whatever the layer: y_l g_l z_l = β a^{15}.",
        equation("u", beta * a**15),
        vanishes=tuple(y * g * z - beta * a**15 for y, g, z in zip(result, gains, arriving, strict=True)),
    )
