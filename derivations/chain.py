"""A derivation: a chain of steps from a learning rule to a result, each checked by SymPy.

A step shows an expression and says why it follows; what makes it true is an expression that must vanish. The result at
the end is the function of `linfa.theory` itself, called with SymPy's names, so that what is proved is what is computed.
A derivation proves nothing unless its checks fail for a wrong result: `mutations` makes wrong ones.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import sympy
from sympy import Basic, Eq, Expr, MatrixBase, MatrixExpr, ZeroMatrix
from sympy.matrices.expressions import MatAdd, MatMul, Transpose


@dataclass(frozen=True)
class Step:
    """One line of a derivation.

    Attributes
    ----------
    words : str
        What is done, and why it may be done.
    shows : Basic, or a sequence of them
        The equation or expression to look at.
    vanishes : tuple
        Scalars, matrices or matrix expressions that must be zero for the step to hold. Empty for what is given: the
        learning rule, a definition, an ansatz that a later step verifies.
    """

    words: str
    shows: Basic | tuple[Basic, ...]
    vanishes: tuple = ()

    @property
    def given(self) -> bool:
        """Whether the step is a starting point, not a conclusion."""
        return not self.vanishes


@dataclass(frozen=True)
class Derivation:
    """A result with its proof; see `derivation`."""

    name: str
    title: str
    entry: str
    assumptions: tuple[str, ...]
    source: str
    result: Callable[[], object]
    steps: Callable[[object], Iterable[Step]]
    claims: tuple[str, ...]

    @property
    def introduction(self) -> str:
        """What the derivation is about, in words."""
        return " ".join((self.steps.__doc__ or "").split())

    def chain(self, result: object = None) -> list[Step]:
        """The steps, for the result of theory or for another one."""
        return list(self.steps(self.result() if result is None else result))

    def failures(self, result: object = None) -> list[Step]:
        """The steps whose checks do not vanish: none, if the result is right."""
        return [step for step in self.chain(result) if not all(is_zero(_fixed(part)) for part in step.vanishes)]


_REGISTER: dict[str, Derivation] = {}


def derivation(
    name: str,
    *,
    title: str,
    entry: str,
    assumptions: tuple[str, ...],
    source: str,
    result: Callable[[], object],
    claims: tuple[str, ...] = (),
) -> Callable[[Callable[[object], Iterable[Step]]], Callable[[object], Iterable[Step]]]:
    """Register a generator of steps as a derivation.

    Parameters
    ----------
    name, title, entry : str
        How it is called, what it shows, and the entry of the theory (A1, B4, …).
    assumptions : tuple of str
    source : str
        Whose result it is.
    result : callable
        Returns the result to be proved, from `linfa.theory` with ``xp=sympy`` where it is a closed form: an
        expression, a matrix expression, or a tuple of them.
    claims : tuple of str
        The claims that hold this result against simulation.

    Returns
    -------
    decorator
        For a function that takes the result and yields `Step`s; its docstring introduces the derivation.
    """

    def register(steps: Callable[[object], Iterable[Step]]) -> Callable[[object], Iterable[Step]]:
        if name in _REGISTER:
            raise ValueError(f"name is {name!r}, which is taken by another derivation")
        _REGISTER[name] = Derivation(name, title, entry, assumptions, source, result, steps, claims)
        return steps

    return register


def equation(name: str, value: Expr | MatrixExpr) -> Eq:
    """``name = value`` to be shown, with a name of the kind of its value; primes mark time derivatives.

    Examples
    --------
    >>> sympy.latex(equation("W_1'", sympy.Symbol("e")))
    "{W}'_{1} = e"
    """
    if name.endswith("'"):
        base, underscore, index = name[:-1].partition("_")
        name = f"{base}prime{underscore}{index}"
    left = sympy.MatrixSymbol(name, *value.shape) if isinstance(value, MatrixExpr) else sympy.Symbol(name)
    return Eq(left, value, evaluate=False)


@lru_cache(maxsize=4096)
def is_zero(expression: object) -> bool:
    """Whether an expression is proved to vanish. A number that is not small at a random point refutes it at once.

    Matrix expressions of symbolic size are expanded; explicit matrices are checked entry by entry; scalars are
    simplified until they are zero.
    """
    # Explicit matrices first: the immutable ones are matrix expressions too.
    if isinstance(expression, MatrixBase):
        return all(is_zero(entry) for entry in expression)
    if isinstance(expression, MatrixExpr):
        return isinstance(expand_matrix(expression), ZeroMatrix)
    expression = sympy.sympify(expression)
    if expression == 0:
        return True
    if _refuted(expression):
        return False
    attempts = (
        sympy.expand,
        sympy.simplify,
        lambda e: sympy.simplify(sympy.expand_log(sympy.powdenest(e, force=True), force=True)),
        lambda e: sympy.radsimp(sympy.together(e)),
        lambda e: sympy.simplify(e.rewrite(sympy.exp)),
    )
    return any(attempt(expression) == 0 for attempt in attempts)


def _fixed(expression: object) -> object:
    """The same expression in a form that can be remembered: SymPy's mutable matrices cannot."""
    return expression.as_immutable() if isinstance(expression, MatrixBase) else expression


def _refuted(expression: Expr) -> bool:
    """Whether the expression is clearly not zero at one of a few random points of its symbols' domains."""
    import random

    generator = random.Random(7)
    symbols = sorted(expression.free_symbols, key=str)
    for _ in range(3):
        point = {}
        for symbol in symbols:
            if symbol.is_integer:
                point[symbol] = sympy.Integer(generator.randint(3, 9))
            else:
                point[symbol] = sympy.Rational(generator.randint(20, 90), 97)
        value = expression.subs(point)
        if value.has(sympy.Derivative, sympy.Integral, sympy.Function("f").func) and not value.is_number:
            return False
        try:
            number = complex(sympy.N(value, 40))
        except (TypeError, ValueError):
            return False
        if number == number and abs(number) > 1e-20:
            return True
    return False


def expand_matrix(expression: MatrixExpr) -> MatrixExpr:
    """A matrix expression multiplied out, as a sum of products; the zero matrix if everything cancels."""
    previous = None
    while expression != previous:
        previous, expression = expression, expression.expand().doit()
    return expression


def flow_derivative(expression: MatrixExpr, velocities: dict) -> MatrixExpr:
    """d/dt of a matrix expression when its symbols move with the given velocities, by the product rule.

    Symbols without a velocity stand still. Sums, products, transposes and inverses are understood.
    """
    if expression in velocities:
        return velocities[expression]
    if isinstance(expression, MatAdd):
        return MatAdd(*(flow_derivative(term, velocities) for term in expression.args)).doit()
    if isinstance(expression, Transpose):
        return flow_derivative(expression.arg, velocities).T
    if isinstance(expression, sympy.matrices.expressions.Inverse):
        inner = flow_derivative(expression.arg, velocities)
        return -expression * inner * expression
    if isinstance(expression, MatMul):
        terms = []
        for k, factor in enumerate(expression.args):
            if isinstance(factor, MatrixExpr):
                moved = flow_derivative(factor, velocities)
                if not isinstance(moved, ZeroMatrix):
                    terms.append(MatMul(*expression.args[:k], moved, *expression.args[k + 1 :]))
        return MatAdd(*terms).doit() if terms else ZeroMatrix(*expression.shape)
    return ZeroMatrix(*expression.shape)


def mutations(result: object) -> Iterator[tuple[str, object]]:
    """Results that differ from a right one by a sign, a factor or an exponent: each must be refuted.

    Yields (what was changed, the wrong result). Changes that leave the value as it is are left out.
    """
    if isinstance(result, tuple):
        for k, part in enumerate(result):
            for what, wrong in mutations(part):
                yield f"part {k}: {what}", (*result[:k], wrong, *result[k + 1 :])
        return
    if isinstance(result, MatrixBase):
        for k, entry in enumerate(result):
            for what, wrong in _scalar_mutations(entry):
                changed = result.as_mutable()
                changed[k] = wrong
                yield f"entry {k}: {what}", changed.as_immutable()
        return
    if isinstance(result, MatrixExpr):
        yield from _matrix_mutations(result)
        return
    yield from _scalar_mutations(sympy.sympify(result))


def _matrix_mutations(result: MatrixExpr) -> Iterator[tuple[str, MatrixExpr]]:
    terms = result.args if isinstance(result, MatAdd) else (result,)
    for k, term in enumerate(terms):
        others = [*terms[:k], *terms[k + 1 :]]
        yield f"sign of {term}", MatAdd(*others, -term).doit() if others else -term
        yield f"factor 2 in {term}", MatAdd(*others, 2 * term).doit() if others else 2 * term


def _scalar_mutations(result: Expr) -> Iterator[tuple[str, Expr]]:
    seen = set()
    for what, wrong in _scalar_candidates(result):
        if wrong not in seen and _refuted(wrong - result):
            seen.add(wrong)
            yield what, wrong


def _scalar_candidates(result: Expr) -> Iterator[tuple[str, Expr]]:
    yield "sign", -result
    yield "factor 2", 2 * result
    for node in sympy.preorder_traversal(result):
        if isinstance(node, sympy.Add):
            for k, term in enumerate(node.args):
                changed = sympy.Add(*node.args[:k], -term, *node.args[k + 1 :])
                yield f"sign of {term}", result.xreplace({node: changed})
        elif isinstance(node, sympy.Pow) and node.exp.is_number:
            yield f"exponent of {node}", result.xreplace({node: node.base ** (node.exp + 1)})
        elif isinstance(node, sympy.Mul) and node.args[0].is_Rational:
            yield f"factor {node.args[0]}", result.xreplace({node: 2 * node})
