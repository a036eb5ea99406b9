"""What depth does to the map: the flow of a balanced network without its layers."""

from collections.abc import Iterator

import sympy
from linfa.derivations.chain import Step, derivation, equation, flow_derivative
from linfa.derivations.relations import written_out
from sympy import Eq, MatrixSymbol, Sum, Symbol, symbols

from linfa.theory.end_to_end import end_to_end_velocity, single_output_velocity, singular_value_velocity

s = Symbol("s", positive=True)
L, j = symbols("L j", integer=True, positive=True)
i, h, o = symbols("i h o", integer=True, positive=True)
# A network of three layers, the gradient of its loss by its map, and what the map moves by.
V1, V2, V3 = MatrixSymbol("W_1", h, i), MatrixSymbol("W_2", h, h), MatrixSymbol("W_3", o, h)
Grad = MatrixSymbol("G", o, i)
N, M = MatrixSymbol("N", o, o), MatrixSymbol("M", i, i)


@derivation(
    "end-to-end-velocity",
    title="What a balanced network does to its map: W' = −Σ (WWᵀ)^{(L−j)/L} G (WᵀW)^{(j−1)/L}",
    entry="A9",
    assumptions=(
        "any differentiable loss of the map, G its gradient",
        "balanced layers, of any sizes",
        "shown for L = 3",
    ),
    source="Arora, Cohen & Hazan 2018",
    result=lambda: end_to_end_velocity(N, M, Grad, 3),
    claims=("end-to-end-velocity",),
)
def end_to_end(result: object) -> Iterator[Step]:
    """The layers can be forgotten: the map alone decides how it moves. Depth acts as a preconditioner that lets what is
    already large learn faster."""
    velocities = {V1: -V2.T * V3.T * Grad, V2: -V3.T * Grad * V1.T, V3: -Grad * V1.T * V2.T}
    yield Step(
        "Backprop in three layers of any loss.",
        tuple(equation(f"W_{k}'", v) for k, v in enumerate(velocities.values(), 1)),
    )
    moved = flow_derivative(V3 * V2 * V1, velocities)
    upper, lower = V3 * V2 * V2.T * V3.T, V1.T * V2.T * V2 * V1
    yield Step(
        "By the product rule, the map moves by the gradient between the layers above and those below.",
        moved,
        vanishes=(moved + upper * Grad + V3 * V3.T * Grad * V1.T * V1 + Grad * lower,),
    )
    # D1 = D2 = 0 is the balance that backprop conserves (A4).
    first, second = V2.T * V2 - V1 * V1.T, V3.T * V3 - V2 * V2.T
    outer, inner = V3 * V3.T, V1.T * V1
    yield Step(
        "With D1 = W2ᵀW2 − W1W1ᵀ = 0 and D2 = W3ᵀW3 − W2W2ᵀ = 0, N = W3W3ᵀ is the cube root of WWᵀ.",
        Eq(N, outer, evaluate=False),
        vanishes=(
            written_out(outer * outer - upper - V3 * second * V3.T),
            V3 * V2 * V1 * V1.T * V2.T * V3.T
            - V3 * (V3.T * V3 - second) * (V3.T * V3 - second) * V3.T
            + V3 * V2 * first * V2.T * V3.T,
        ),
    )
    yield Step(
        "Likewise M = W1ᵀW1 is that of WᵀW.",
        Eq(M, inner, evaluate=False),
        vanishes=(
            written_out(inner * inner - lower + V1.T * first * V1),
            V1.T * V2.T * V3.T * V3 * V2 * V1
            - V1.T * (V1 * V1.T + first) * (V1 * V1.T + first) * V1
            - V1.T * V2.T * second * V2 * V1,
        ),
    )
    yield Step(
        "In these roots the map moves by itself.",
        equation("W'", result),
        vanishes=(
            written_out(
                result.subs({N: outer, M: inner}) - moved + V3 * second * V3.T * Grad - Grad * V1.T * first * V1
            ),
        ),
    )


@derivation(
    "singular-value-velocity",
    title="Singular values of the map learn at the rate L σ^{2−2/L}",
    entry="A9",
    assumptions=(
        "balanced layers, any depth and differentiable loss",
        "a simple singular value σ > 0 with vectors u, v",
    ),
    source="Arora, Cohen, Hu & Luo 2019",
    result=lambda: singular_value_velocity(s, Symbol("g", real=True), L),
    claims=("singular-value-dynamics",),
)
def singular_value(result: object) -> Iterator[Step]:
    """Depth makes the strong singular values faster and the weak ones slower: the implicit preference for low rank."""
    slope = Symbol("g", real=True)
    term = -(s ** (2 * (L - j) / L)) * slope * s ** (2 * (j - 1) / L)
    yield Step(
        "A simple singular value moves by σ' = uᵀW'v, and W' = −Σ_j (WWᵀ)^{(L−j)/L} G (WᵀW)^{(j−1)/L}. With g = uᵀGv, "
        "the j-th term of it is as follows.",
        equation("sigma_j'", term),
    )
    same = -(s ** (2 - 2 / L)) * slope
    yield Step("All L terms are the same.", same, vanishes=(sympy.powsimp(term) - same,))
    yield Step(
        "So they add up to L times one.",
        equation("sigma'", result),
        vanishes=(Sum(same, (j, 1, L)).doit() - result,),
    )


@derivation(
    "single-output-velocity",
    title="With one output, depth amplifies the gradient along the map L-fold",
    entry="A9",
    assumptions=("balanced layers, any depth and differentiable loss", "one output, w ≠ 0"),
    source="Arora, Cohen & Hazan 2018",
    result=lambda: single_output_velocity(
        sympy.Matrix([[s, 0]]), sympy.Matrix([symbols("g_1 g_2", real=True)]), L, xp=sympy
    ),
    claims=("end-to-end-velocity",),
)
def single_output(result: object) -> Iterator[Step]:
    """Axes are chosen so that the first points along w; the second stands for all others."""
    along, across = symbols("g_1 g_2", real=True)
    left = s ** (2 * (L - j) / L)
    right, row = s ** (2 * (j - 1) / L), MatrixSymbol("w", 1, 2)
    yield Step(
        "w = (σ, 0) and G = (g₁, g₂). WWᵀ = σ² is a number; (WᵀW)^p is σ^{2p} on the first axis and nothing on the "
        "others, except for p = 0, which is the identity.",
        (Eq(row * row.T, sympy.Matrix([[s**2]]), evaluate=False), Eq(row.T * row, sympy.diag(s**2, 0), evaluate=False)),
    )
    yield Step(
        "Along w all terms j = 1 … L are the same, and contribute L times.",
        Eq(Symbol("w_1'"), result[0, 0], evaluate=False),
        vanishes=(sympy.powsimp(left * right) - s ** (2 - 2 / L), result[0, 0] + L * s ** (2 - 2 / L) * along),
    )
    yield Step(
        "Across w only the term j = 1 is left.",
        Eq(Symbol("w_2'"), result[0, 1], evaluate=False),
        vanishes=(result[0, 1] + left.subs(j, 1) * across,),
    )
