"""Closed forms of feedback alignment: what they refuse, where they meet, and that wrong ones are noticed."""

import numpy as np
import pytest

from linfa import LinearTask, claims
from linfa.theory import alignment_laws, decay_limits, deep_direct, leakage, scalar_alignment, wide_limit, zero_start
from linfa.theory.feedback_alignment import (
    decayed_error,
    gradient_alignment,
    mode_amplitude,
    rise_time,
    weight_alignment,
)
from linfa.theory.low_rank import learned_map

REFUSALS = {
    "feedback": lambda: scalar_alignment.upper_weight(1.0, 0.0, 0.0),
    "balance": lambda: scalar_alignment.lazy_excess(1.0, 1.0, 2.0),
    "gap": lambda: scalar_alignment.ghost_delay(0.0, 1.0),
    "opposition": lambda: scalar_alignment.opposed_peak(1.0, 1.0, -1.0),
    "roots": lambda: scalar_alignment.relaxation_time(0.5, 0.0, [1.0, 2.0]),
    "roots holds": lambda: scalar_alignment.relaxation_time(0.5, 0.0, [1.0, 1.0, -2.0]),
    "balances": lambda: scalar_alignment.scalar_chain(1.0, [1.0, 1.0], [0.0]),
    "gain": lambda: alignment_laws.loss_rate(np.ones((2, 2)), np.ones((2, 2)), -1.0),
    "real": lambda: alignment_laws.descent_limit(0.0, 1.0),
    "t is": lambda: zero_start.early_strength(-1.0, 1.0, 1.0),
    "s is": lambda: zero_start.late_error(1.0, 0.0, 1.0),
    "t goes": lambda: deep_direct.compressed_flow(LinearTask(np.eye(2)), [np.eye(2)], [1.0, 0.5]),
    r"feedback\[0\]": lambda: deep_direct.compressed_flow(LinearTask(np.eye(2)), [np.ones((4, 3))], [1.0]),
    "small": lambda: deep_direct.expanded([np.eye(2)], [np.eye(2)]),
    "gains is empty": lambda: deep_direct.direct_coefficients([]),
    r"gains\[1\]": lambda: deep_direct.direct_coefficients([1.0, -1.0]),
    "layer": lambda: deep_direct.carried_strength(1.0, 2, [1.0]),
    "t is an array": lambda: leakage.leaking_error([-1.0], np.eye(2), np.eye(2)),
    "lower": lambda: leakage.leaking_error([0.0], np.eye(2), np.ones((3, 4))),
    "target": lambda: leakage.bottleneck_loss(np.array([[1.0, 0.0], [0.0, 0.0]]), np.ones((1, 2))),
    "feedback is": lambda: leakage.bottleneck_loss(np.eye(2), np.ones((1, 3))),
    "decay_lower": lambda: decay_limits.decayed_target(np.eye(2), np.eye(2), 0.0, 1.0),
    "decay_upper": lambda: decay_limits.weak_strength(1.0, 1.0, 1.0, -1.0),
    "richness": lambda: wide_limit.backprop_output(1.0, 1.0, 0.0),
    "correlation": lambda: wide_limit.alignment_cosine(1.0, 1.5),
    r"1 \+ correlation": lambda: wide_limit.alignment_end(1.0, 1.0, -1.0),
    "neurons": lambda: wide_limit.end_spread(1.0, 1.0, 0.0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_outside_its_assumptions_a_closed_form_refuses(name):
    with pytest.raises(ValueError, match=name):
        REFUSALS[name]()


def test_scalar_time_is_the_rise_time_of_a_mode_at_zero_balance():
    z, s, b = np.linspace(0.0, 0.95, 12), 1.7, 0.6
    end = np.cbrt(2 * b * s)
    time = scalar_alignment.relaxation_time(z * end, 0.0, scalar_alignment.zero_error_points(s, b, 0.0))
    np.testing.assert_allclose(time.imag, 0.0, atol=1e-14)
    np.testing.assert_allclose(time.real, end / (b * s) * rise_time(z), atol=1e-13)


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 1.0])
def test_end_of_the_wide_limit_is_the_end_of_scalar_alignment(correlation):
    end = wide_limit.alignment_end(1.2, 0.8, correlation)
    assert end == pytest.approx(scalar_alignment.end_point(0.0, 1.2 * 0.8, 1.0, -2 * (1 + correlation)), rel=1e-12)
    assert wide_limit.alignment_output(end, 0.8, correlation) == pytest.approx(1.2, rel=1e-12)


def test_less_aligned_feedback_makes_richer_features():
    ends = [wide_limit.alignment_end(1.0, 1.5, correlation) for correlation in (-0.9, 0.0, 0.5, 1.0)]
    assert (np.diff(ends) < 0).all()


def test_moments_give_the_alignment_of_the_modes():
    a = mode_amplitude(np.array([0.5, 2.0]), np.array([3.0, 1.0, 0.4]), 1.3)
    error = np.array([3.0, 1.0, 0.4]) - 0.65 * a**3
    np.testing.assert_allclose(
        alignment_laws.alignment_of_moments((a**2).sum(1), (a**4).sum(1), 5), weight_alignment(a, 5), rtol=1e-14
    )
    moments = (a**2 * error**2).sum(1), (a**4 * error**2).sum(1), (error**2).sum(1)
    np.testing.assert_allclose(
        alignment_laws.gradient_alignment_of_moments(*moments), gradient_alignment(a, error), rtol=1e-14
    )
    np.testing.assert_allclose(
        deep_direct.direct_gradient_alignment(a, error, 1, 2), gradient_alignment(a, error), rtol=1e-14
    )


def test_two_layers_of_direct_feedback_are_feedback_alignment():
    t, s = np.linspace(0.0, 4.0, 9), np.array([2.0, 0.7])
    np.testing.assert_allclose(deep_direct.direct_amplitude(t, s, [1.4]), mode_amplitude(t, s, 1.4), atol=1e-14)


@pytest.mark.parametrize("hidden", [1, 2, 3, 4])
def test_bottleneck_is_the_limit_of_low_rank(hidden):
    generator = np.random.default_rng(hidden)
    task = LinearTask(generator.standard_normal((4, 6)))
    feedback = generator.standard_normal((hidden, 4))
    left = task.target - learned_map(task, feedback)
    assert leakage.bottleneck_loss(task.target, feedback) == pytest.approx(np.square(left).sum() / 2, abs=1e-12)


def test_limits_of_decay_meet_its_closed_form():
    assert decay_limits.strong_error(1e9, 1.3, 0.4, 0.2) == pytest.approx(decayed_error(1e9, 1.3, 0.4, 0.2), rel=1e-5)
    weak = 1e-3
    lacking = decayed_error(weak, 1.3, 0.4, 0.2)
    assert decay_limits.weak_strength(weak, 1.3, 0.4, 0.2) == pytest.approx(weak - lacking, rel=1e-3)


def test_ends_above_the_critical_balance_depend_on_the_side_of_the_start():
    balance = 2 * scalar_alignment.critical_balance(1.0, 1.0)
    roots = scalar_alignment.zero_error_points(1.0, 1.0, balance).real
    assert scalar_alignment.end_point(roots[1] + 0.1, 1.0, 1.0, balance) == pytest.approx(roots[0])
    assert scalar_alignment.end_point(roots[1] - 0.1, 1.0, 1.0, balance) == pytest.approx(roots[2])
    assert scalar_alignment.upper_weight(roots[2], 1.0, balance) < 0
    assert scalar_alignment.relaxation_rate(roots[1], balance) < 0


# One mutation of theory for each family: the claim that rests on it must fail.
MUTATIONS = {
    "fa-zero-start-small": ("linfa.claims.zero_start", "expanded", lambda f: lambda a, b: [1.001 * w for w in f(a, b)]),
    "fa-early-growth": ("linfa.claims.zero_start", "early_correction", lambda f: lambda s, g: 1.001 * f(s, g)),
    "fa-late-error": ("linfa.claims.zero_start", "late_error", lambda f: lambda t, s, g: f(1.001 * t, s, g)),
    "fa-wide-feedback": ("linfa.claims.zero_start", "low_rank_weights", lambda f: lambda *a: f(*a[:-1], 1.1)),
    "fa-scalar-time": ("linfa.theory.scalar_alignment", "relaxation_time", lambda f: lambda *a: 1.001 * f(*a)),
    "fa-scalar-ends": ("linfa.theory.scalar_alignment", "relaxation_rate", lambda f: lambda a, c: f(a, 1.01 * c)),
    "fa-scalar-threshold": ("linfa.theory.scalar_alignment", "critical_balance", lambda f: lambda s, b: 1.1 * f(s, b)),
    "fa-scalar-zero": ("linfa.theory.scalar_alignment", "map_velocity", lambda f: lambda u, s, b: 2 / 3 * f(u, s, b)),
    "fa-scalar-lazy": ("linfa.theory.scalar_alignment", "lazy_excess", lambda f: lambda s, b, c: 1.01 * f(s, b, c)),
    "fa-scalar-delay": ("linfa.theory.scalar_alignment", "ghost_delay", lambda f: lambda m, c: 1.01 * f(m, c)),
    "fa-scalar-chain": ("linfa.theory.scalar_alignment", "scalar_chain_end", lambda f: lambda *a: 1.001 * f(*a)),
    "fa-opposed-start": ("linfa.theory.scalar_alignment", "opposed_peak", lambda f: lambda s, g, k: f(s, 1.001 * g, k)),
    "low-rank-credit": ("linfa.claims.plateau", "credit", lambda f: lambda *a: (f(*a)[0], 1.001 * f(*a)[1])),
    "low-rank-leak": ("linfa.claims.plateau", "leaking_error", lambda f: lambda t, e, w: f(t, e, 1.001 * w)),
    "low-rank-slow-rates": ("linfa.claims.plateau", "slow_rates", lambda f: lambda *a: 1.1 * f(*a)),
    "fa-bottleneck": ("linfa.claims.plateau", "bottleneck_loss", lambda f: lambda t, b: 1.001 * f(t, b)),
    "fa-decay-balance": (
        "linfa.claims.plateau",
        "feedback_balance_decay",
        lambda f: lambda w, u, b, x, y: f(w, u, b, y, x),
    ),
    "fa-decay-limit": ("linfa.claims.plateau", "learned_map", lambda f: lambda task, b: 1.01 * f(task, b)),
    "fa-decay-regimes": ("linfa.claims.plateau", "weak_strength", lambda f: lambda s, g, x, y: f(s, g, y, x)),
    "dfa-weak-alignment": ("linfa.claims.deep_direct", "compressed_flow", lambda f: lambda k, b, t: f(k, b, 1.001 * t)),
    "dfa-modes": ("linfa.theory.deep_direct", "direct_coefficients", lambda f: lambda g: ([*f(g)[0]], 1.001 * f(g)[1])),
    "dfa-gradient-alignment": (
        "linfa.claims.deep_direct",
        "direct_gradient_alignment",
        lambda f: lambda a, e, layer, depth: f(a, e, layer, depth + 1),
    ),
    "wide-limit-backprop": ("linfa.theory.wide_limit", "kernel", lambda f: lambda u, g: f(u, 1.2 * g)),
    "wide-limit-alignment": ("linfa.theory.wide_limit", "alignment_cosine", lambda f: lambda u, c: f(1.1 * u, c)),
    "wide-limit-finite": ("linfa.theory.wide_limit", "finite_end", lambda f: lambda *a: 1.001 * f(*a)),
    "wide-limit-spread": ("linfa.theory.wide_limit", "end_spread", lambda f: lambda *a: 1.3 * f(*a)),
    "wide-limit-rate": ("linfa.theory.wide_limit", "alignment_end", lambda f: lambda *a: 1.1 * f(*a)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_theory_is_refuted(name, monkeypatch):
    module, attribute, mutate = MUTATIONS[name]
    original = getattr(__import__(module, fromlist=[attribute]), attribute)
    monkeypatch.setattr(f"{module}.{attribute}", mutate(original))
    assert not claims.check(name, quick=True).holds
