"""Every claim holds; a claim that is given a wrong prediction does not; the register refuses what makes no claim."""

from functools import cache

import numpy as np
import pytest

import linfa
from linfa import claims
from linfa.claims import register


@cache
def quick_check(name):
    """One small run serves every test that only reads it."""
    return claims.check(name, quick=True)


@pytest.mark.parametrize("name", claims.names())
def test_claim_holds(name):
    check = claims.check(name)
    assert check.holds, f"residual {check.residual:.2e} above {check.tolerance:.0e}"


@pytest.mark.parametrize("name", claims.names())
def test_quick_claim_holds(name):
    assert quick_check(name).holds


@pytest.mark.parametrize("name", claims.names())
def test_claim_says_how_exact_it_is_and_why(name):
    claim = claims.get(name)
    assert claim.accuracy in claims.ACCURACIES
    assert claim.reason
    assert claim.entry
    assert claim.function.__doc__


@pytest.mark.parametrize("name", claims.names())
def test_claim_fails_when_its_prediction_is_off(name):
    """A prediction shifted by ten tolerances of its own size must be noticed in every part."""
    check = quick_check(name)
    for k, part in enumerate(check.predicted):
        size = max(np.abs(part).max(), 0) or 1.0
        shifted = [*check.predicted]
        shifted[k] = part + 10 * check.tolerance * size
        assert register._residual(name, shifted, check.simulated) > check.tolerance


@pytest.mark.parametrize("name", claims.names())
def test_claim_compares_something_that_varies(name):
    """Both sides being all zero would hold whatever happened; at least one part must not be."""
    check = quick_check(name)
    assert any(np.abs(part).max() > 0 for part in check.simulated)


# One mutation of theory for each family: the claim that rests on it must fail.
MUTATIONS = {
    "backprop-logistic": ("linfa.claims.backprop", "logistic_strength", lambda f: lambda t, *a: f(1.01 * t, *a)),
    "backprop-depth": ("linfa.claims.backprop", "depth_strength", lambda f: lambda t, s, u, d: f(1.01 * t, s, u, d)),
    "backprop-soft-threshold": ("linfa.claims.backprop", "soft_threshold", lambda f: lambda s, wd: f(s, 2 * wd)),
    "backprop-drift": ("linfa.claims.conservation", "balancedness_drift", lambda f: lambda *a: -f(*a)),
    "fa-drift": ("linfa.claims.conservation", "feedback_balance_drift", lambda f: lambda *a: -f(*a)),
    "dfa-conservation": ("linfa.claims.conservation", "direct_carriers", lambda f: lambda m: [f(m)[0] * 2, *f(m)[1:]]),
    "fa-decay-shrinkage": (
        "linfa.theory.feedback_alignment",
        "decayed_error",
        lambda f: lambda s, g, a, b: f(s, g, b, a),
    ),
    "fa-half-time": ("linfa.theory.feedback_alignment", "half_time", lambda f: lambda s, g: f(s, g) * s ** (-1 / 3)),
    "fa-alignment": ("linfa.theory.feedback_alignment", "weight_alignment", lambda f: lambda a, o: f(a, o) ** 2),
    "low-rank-limit": ("linfa.claims.low_rank", "learned_map", lambda f: lambda task, b: f(task, b[:, ::-1])),
    "low-rank-modes": ("linfa.claims.low_rank", "projected_strength", lambda f: lambda t, s, g: f(t, s, 2 * g)),
    "kolen-pollack-difference": ("linfa.claims.learned_feedback", "decayed", lambda f: lambda x, wd, t: f(x, -wd, t)),
    "weight-mirror": ("linfa.claims.learned_feedback", "mirrored", lambda f: lambda t, b, w, r, d: f(t, b, w, d, r)),
    "backprop-max-rate": ("linfa.claims.stability", "backprop_max_rate", lambda f: lambda s, d=2: 1.01 * f(s, d)),
    "backprop-two-cycle": (
        "linfa.claims.stability",
        "backprop_two_cycle",
        lambda f: lambda s, r: tuple(1.001 * v for v in f(s, r)),
    ),
    "fa-max-rate": ("linfa.claims.stability", "feedback_alignment_max_rate", lambda f: lambda s, g: f(s, 2 * g)),
    "fa-error-spectrum": ("linfa.claims.stability", "error_spectrum", lambda f: lambda a, b, c: f(a, b, 2 * c)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_theory_is_refuted(name, monkeypatch):
    module, attribute, mutate = MUTATIONS[name]
    original = getattr(__import__(module, fromlist=[attribute]), attribute)
    monkeypatch.setattr(f"{module}.{attribute}", mutate(original))
    assert not claims.check(name, quick=True).holds


def test_fixed_points_of_learning_refute_backprop_without_its_law(monkeypatch):
    """Feedback alignment does not conserve balancedness: the negative control of A4."""
    from linfa.claims import conservation

    monkeypatch.setattr(conservation, "Backprop", lambda: linfa.FeedbackAlignment(seed=0))
    assert not claims.check("backprop-balancedness", quick=True).holds


def test_own_claim_in_ten_lines():
    @claims.claim("test-own-claim", title="a line", tolerance=1e-12)
    def own(slope=2.0):
        return slope * np.arange(3), np.array([0.0, 2.0, 4.0])

    try:
        assert claims.check("test-own-claim").holds
        assert not claims.check("test-own-claim", slope=2.1).holds
        with pytest.raises(ValueError, match="taken"):
            claims.claim("test-own-claim", title="again", tolerance=1.0)(own)
    finally:
        claims.forget("test-own-claim")
    assert "test-own-claim" not in claims.names()


def test_residual_is_relative_to_the_prediction_and_infinite_when_not_finite():
    one = np.array([100.0])
    assert register._residual("x", [one], [one + 1.0]) == pytest.approx(0.01)
    assert register._residual("x", [one], [np.array([np.nan])]) == np.inf
    assert register._residual("x", [np.zeros(1)], [np.full(1, 0.5)]) == 0.5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "Not Good", "title": "t", "tolerance": 1.0}, ValueError),
        ({"name": "", "title": "t", "tolerance": 1.0}, ValueError),
        ({"name": 3, "title": "t", "tolerance": 1.0}, TypeError),
        ({"name": "good", "title": "", "tolerance": 1.0}, TypeError),
        ({"name": "good", "title": "t", "tolerance": 0.0}, ValueError),
        ({"name": "good", "title": "t", "tolerance": "1"}, TypeError),
        ({"name": "good", "title": "t", "tolerance": 1.0, "accuracy": "roughly"}, ValueError),
    ],
)
def test_malformed_claims_are_refused(arguments, error):
    with pytest.raises(error):
        claims.claim(**arguments)


@pytest.mark.parametrize(
    "sides", [3.0, (1.0,), (1.0, 2.0, 3.0), ("a", "b"), ([1.0], [1.0, 2.0]), (np.ones(2), np.ones(3)), ([], [])]
)
def test_functions_that_return_no_two_sides_are_refused(sides):
    claims.claim("test-bad-sides", title="bad", tolerance=1.0)(lambda: sides)
    try:
        with pytest.raises((TypeError, ValueError), match="test-bad-sides"):
            claims.check("test-bad-sides")
    finally:
        claims.forget("test-bad-sides")


def test_unknown_names_and_knobs_name_the_nearest():
    with pytest.raises(ValueError, match="fa-conservation"):
        claims.check("fa-conservatoin")
    with pytest.raises(ValueError, match="gain"):
        claims.check("fa-modes", gian=2.0)
