"""Products of matrices that are known: orthonormal columns, inverses, fixed points."""

from collections.abc import Mapping

from linfa.derivations.chain import expand_matrix
from sympy import Identity, MatrixExpr, ZeroMatrix
from sympy.matrices.expressions import MatAdd, MatMul, MatPow


def reduced(expression: MatrixExpr, relations: Mapping[tuple[MatrixExpr, ...], MatrixExpr]) -> MatrixExpr:
    """A matrix expression multiplied out, with every known product of neighbours replaced until none is left.

    Parameters
    ----------
    expression : MatrixExpr
        Matrices of symbolic size.
    relations : mapping from a tuple of factors to what their product is
        ``{(Q.T, Q): g * Identity(r)}`` says QᵀQ = g I.

    Examples
    --------
    >>> from sympy import Identity, MatrixSymbol, symbols
    >>> h, r = symbols("h r", integer=True)
    >>> q = MatrixSymbol("Q", h, r)
    >>> reduced(q * q.T * q - q, {(q.T, q): Identity(r)})
    0
    """
    previous = None
    while expression != previous:
        previous = expression
        expression = expand_matrix(expression)
        terms = expression.args if isinstance(expression, MatAdd) else (expression,)
        expression = MatAdd(*(_replaced(term, relations) for term in terms)).doit()
    return expression


def _replaced(term: MatrixExpr, relations: Mapping[tuple[MatrixExpr, ...], MatrixExpr]) -> MatrixExpr:
    """One product, with the first known run of factors that it contains replaced."""
    if not isinstance(term, (MatMul, MatPow)):
        return term
    scalar, matrices = term.as_coeff_matrices() if isinstance(term, MatMul) else (1, [term])
    factors = []
    for factor in matrices:
        power = isinstance(factor, MatPow) and factor.exp.is_Integer and factor.exp > 0
        factors += [factor.base] * int(factor.exp) if power else [factor]
    for run, value in relations.items():
        for k in range(len(factors) - len(run) + 1):
            if tuple(factors[k : k + len(run)]) == run:
                if isinstance(value, ZeroMatrix):
                    return ZeroMatrix(*term.shape)
                return MatMul(scalar, *factors[:k], value, *factors[k + len(run) :])
    return term


def written_out(expression: MatrixExpr) -> MatrixExpr:
    """Squares of products as products, which alone cancel against each other."""
    expanded = expand_matrix(expression)
    return expanded.replace(
        lambda e: isinstance(e, MatPow) and e.exp.is_Integer and e.exp > 1, lambda e: MatMul(*[e.base] * int(e.exp))
    )


def orthonormal(columns: MatrixExpr, gain: object = 1) -> dict[tuple[MatrixExpr, ...], MatrixExpr]:
    """The relation MᵀM = gain · I, to be used with `reduced`."""
    return {(columns.T, columns): gain * Identity(columns.shape[1])}
