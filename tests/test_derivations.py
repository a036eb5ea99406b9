"""Every derivation is proved step by step, and every wrong result is refuted."""

import pytest
import sympy
from linfa.derivations import chain

from linfa import claims, derivations


@pytest.mark.parametrize("name", derivations.names())
def test_every_step_is_proved(name):
    found = derivations.get(name)
    assert [step.words for step in found.failures()] == []


@pytest.mark.parametrize("name", derivations.names())
def test_mutation_is_refuted(name):
    """Each sign, factor and exponent of the result, changed one at a time, must break the proof."""
    found = derivations.get(name)
    wrong = list(derivations.mutations(found.result()))
    assert wrong
    survivors = [what for what, result in wrong if not found.failures(result)]
    assert survivors == []


@pytest.mark.parametrize("name", derivations.names())
def test_derivation_reads_as_a_lecture(name):
    found = derivations.get(name)
    steps = found.chain()
    assert found.introduction
    assert found.assumptions
    assert found.source
    assert steps[0].given, "a derivation starts from what is given: the learning rule, or the loss"
    assert not steps[-1].given, "the last step is a conclusion, so it must be checked"
    assert all(step.words.endswith((".", ":")) for step in steps)
    assert set(found.claims) <= set(claims.names())


def test_zero_is_proved_not_guessed():
    x = sympy.Symbol("x", positive=True)
    assert chain.is_zero(sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1)
    assert not chain.is_zero(x - x * (1 + sympy.Rational(1, 10**9)))
    assert chain.is_zero(sympy.zeros(2, 2).as_immutable())
    assert not chain.is_zero(sympy.ImmutableMatrix([[0, x]]))
    a = sympy.MatrixSymbol("A", 3, 3)
    assert chain.is_zero((a + a.T) * a - a * a - a.T * a)
    assert not chain.is_zero(a * a.T - a.T * a)


def test_flow_derivative_obeys_the_product_rule():
    n = sympy.Symbol("n", integer=True)
    a, da = sympy.MatrixSymbol("A", n, n), sympy.MatrixSymbol("C", n, n)
    moved = chain.flow_derivative(a * a.T + 3 * a, {a: da})
    assert chain.is_zero(moved - da * a.T - a * da.T - 3 * da)


def test_claim_without_a_derivation_is_said_to_have_none():
    with pytest.raises(ValueError, match=r"published-loop.*no derivation of its own"):
        derivations.get("published-loop")


def test_unknown_derivation_names_the_nearest():
    with pytest.raises(ValueError, match="fa-modes"):
        derivations.get("fa-mode")
