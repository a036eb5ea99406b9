"""Theory of low-rank and learned feedback: Jacobians of every rule, refusals, claims that notice wrong theory."""

import numpy as np
import pytest

import linfa
from linfa import claims
from linfa.theory import finite_start, fixed_points, local_rule, low_rank, oja, reduced_modes, sketch
from linfa.theory.jacobian import LearningFlow, spectrum_of

RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=1),
    "dfa": linfa.DirectFeedback(seed=1),
    "kolen-pollack": linfa.KolenPollack(seed=1),
    "mirror": linfa.WeightMirror(seed=1),
    "sign": linfa.SignSymmetry(seed=1),
    "raf": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error", seed=1),
    "draf": linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-label", direct=True, seed=1),
    "normative": linfa.LowRankFeedback(rank=2, q="normative", p="normative", seed=1),
    "direct normative": linfa.LowRankFeedback(rank=2, q="normative", p="normative", direct=True, seed=1),
    "local": linfa.LowRankFeedback(rank=2, q="local", p="local", seed=1),
}


def _flow(name, widths=(4, 5, 4, 3)):
    generator = np.random.default_rng(0)
    root = generator.standard_normal((4, 8)) / 2
    task = linfa.LinearTask(generator.standard_normal((3, 4)), root @ root.T)
    return LearningFlow(task, linfa.initial_weights(widths, scale=0.5, seed=2), RULES[name], 0.1)


@pytest.mark.parametrize("name", RULES)
def test_jacobian_is_the_derivative_of_the_velocity(name):
    """Along a random direction, against five points at a small step; deep, correlated inputs."""
    flow = _flow(name)
    direction = np.random.default_rng(3).standard_normal(flow.state.size)
    step = 1e-4
    five = ((1, 8), (-1, -8), (2, -1), (-2, 1))
    slope = sum(c * flow.velocity(flow.state + k * step * direction) for k, c in five) / (12 * step)
    np.testing.assert_allclose(flow.jacobian() @ direction, slope, rtol=0, atol=1e-9 * np.abs(slope).max())


@pytest.mark.parametrize("name", RULES)
def test_velocity_is_that_of_the_simulation(name):
    flow = _flow(name)
    generator = np.random.default_rng(0)
    root = generator.standard_normal((4, 8)) / 2
    task = linfa.LinearTask(generator.standard_normal((3, 4)), root @ root.T)
    weights = linfa.initial_weights((4, 5, 4, 3), scale=0.5, seed=2)
    run = linfa.simulate(task, weights, RULES[name], [0, 1], learning_rate=1e-3, weight_decay=0.1)
    for k, change in enumerate(flow.matrices(flow.velocity())["w"]):
        np.testing.assert_allclose(np.diff(run.weights[k], axis=0)[0] / 1e-3, change, atol=1e-12)
    later = LearningFlow.at(run)
    np.testing.assert_allclose(later.state, flow.state + 1e-3 * flow.velocity(), atol=1e-14)
    assert all(np.array_equal(a, b) for a, b in zip(later.matrices()["w"], [w[-1] for w in run.weights], strict=True))


def test_spectrum_of_a_jordan_block_is_averaged():
    block = np.eye(3) + np.diag([1.0, 1.0], 1)
    turned = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0]
    scattered = turned @ block @ turned.T
    assert np.abs(spectrum_of(scattered) - 1.0).max() > 1e-8
    np.testing.assert_allclose(spectrum_of(scattered, merge=1e-3), np.ones(3), atol=1e-14)


def test_fixed_point_is_found_nearby_or_refused():
    task = linfa.LinearTask(np.diag([2.0, 1.0]))
    flow = LearningFlow(task, linfa.initial_weights((2, 3, 2), scale=0.5, seed=1), linfa.Backprop())
    found = flow.fixed_point()
    assert np.abs(flow.velocity(found)).max() < 1e-11
    with pytest.raises(ValueError, match="within 1 steps"):
        flow.fixed_point(steps=1)


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (sketch.sketch_kappa, ([1.0, 2.0], 3), "rank"),
        (sketch.sketch_kappa, ([1.0, 0.0], 1), "strengths"),
        (sketch.sketch_loss_bound, ([1.0, 2.0], 1), "rank"),
        (sketch.recovery, (1.0, -1.0), "kappa"),
        (finite_start.mean_recovery, (3, 2, 4, 5), "modes"),
        (finite_start.mean_recovery, (1, 2, 6, 5), "hidden"),
        (local_rule.local_amplitude, (1.0, 0.3), "s"),
        (local_rule.local_amplitude, (1.0, 0.0), "decay"),
        (local_rule.local_threshold, (-1.0,), "decay"),
        (local_rule.local_characteristic, (1.0, 2.0, 0.0), "decay"),
        (oja.oja_projector, (np.eye(2), np.array([[1.0, 2.0], [0.0, 1.0]]), 1.0, [1.0]), "correlation"),
        (oja.oja_projector, (np.eye(2), np.eye(2), -1.0, [1.0]), "rate"),
        (oja.oja_projector, (np.eye(2), np.eye(2), 1.0, [1.0, 0.5]), "t"),
        (oja.escape_threshold, (0.0, 1.0), "candidate"),
        (oja.escape_rate, (-1.0, 1.0, 1.0), "rate"),
        (oja.deflated_modes, ([1.0, -1.0], 1, 1.0), "strengths"),
        (reduced_modes.undriven_amplitude, (1.0, 0.1, 0.0, 1.0), "lower"),
        (reduced_modes.mode_trajectory, ([1.0], np.ones((3, 2)), [2.0, 1.0], 1), "start"),
        (fixed_points.backprop_escape_rate, (np.array([2.0, 1.0]), 2), "rank"),
        (fixed_points.learned_top_modes, (linfa.LinearTask(np.eye(2)), 2, 1), "hidden"),
        (fixed_points.learned_top_modes, (linfa.LinearTask(np.eye(2), 2 * np.eye(2)), 1, 2), "task"),
    ],
)
def test_parameters_outside_the_assumptions_are_refused(function, arguments, named):
    with pytest.raises(ValueError, match=rf"^{named}\b"):
        function(*arguments)


def test_flow_refuses_what_has_no_answer():
    task, weights = linfa.LinearTask(np.eye(2)), linfa.initial_weights((2, 3, 2), kind="zero")
    with pytest.raises(ValueError, match="sign-symmetry"):
        LearningFlow(task, weights, linfa.SignSymmetry()).jacobian()
    flow = LearningFlow(task, weights, linfa.Backprop())
    with pytest.raises(ValueError, match=r"^state"):
        flow.velocity(np.zeros(3))
    many = linfa.ensemble(task, [np.stack([w, w]) for w in weights], linfa.Backprop(), [1.0])
    with pytest.raises(ValueError, match=r"^run"):
        LearningFlow.at(many)
    with pytest.raises(ValueError, match=r"^jacobian"):
        spectrum_of(np.ones((2, 3)))


def test_projector_formula_is_the_projector_by_singular_values():
    generator = np.random.default_rng(5)
    target, rows = generator.standard_normal((4, 6)), generator.standard_normal((3, 6))
    np.testing.assert_allclose(
        fixed_points.projected_target(target, rows, np.linalg.inv(rows @ rows.T)),
        target @ low_rank.row_projector(rows),
        atol=1e-13,
    )


def test_kappa_solves_its_equation():
    strengths = np.array([5.0, 1.0, 0.3, 0.01])
    for rank in (1, 2, 3):
        assert sketch.sketch_recovery(strengths, rank).sum() == pytest.approx(rank, abs=1e-12)
    assert sketch.sketch_kappa(strengths, 4) == 0.0


# One wrong theory for each claim that rests on a formula: the claim must fail.
MUTATIONS = {
    "low-rank-fixed-point": ("low_rank_fixed_points", "row_projector", lambda f: lambda a: f(a[:-1])),
    "kolen-pollack-low-rank-limit": ("low_rank_fixed_points", "learned_map", lambda f: lambda t, b: f(t, b[:, ::-1])),
    "finite-start": ("low_rank_fixed_points", "learned_map", lambda f: lambda t, b, w: f(t, b)),
    "finite-start-mean": ("low_rank_fixed_points", "mean_recovery", lambda f: lambda r, d, h, i: f(r, d, h, i + 2)),
    "spurious-escape": ("low_rank_fixed_points", "backprop_escape_rate", lambda f: lambda s, r: f(s, r - 1)),
    "spurious-growth": ("low_rank_fixed_points", "backprop_escape_rate", lambda f: lambda s, r: 1.001 * f(s, r)),
    "sketch-mean": ("sketch", "sketch_recovery", lambda f: lambda s, r: np.full(len(s), r / len(s))),
    "sketch-best": ("sketch", "eckart_young_loss", lambda f: lambda s, r: f(s, r + 1)),
    "sketch-bounds": ("sketch", "sketch_loss_bound", lambda f: lambda s, r: 0.5 * f(s, r)),
    "kolen-pollack-balance": ("tracking", "kolen_pollack_balance", lambda f: lambda a, w, b: f(a, 2 * w, b)),
    "kolen-pollack-drift": ("tracking", "kolen_pollack_drift", lambda f: lambda *a: -f(*a)),
    "projected-backprop-loss": ("tracking", "loss_fall", lambda f: lambda e, a, w, p: f(e, a, w, p[:1])),
    "tracking-lag": ("tracking", "tracking_velocity", lambda f: lambda d, w, v, wd: f(d, w, 0 * v, wd)),
    "oja-projector": ("subspace", "oja_projector", lambda f: lambda p, s, r, t: f(p, s, 2 * r, t)),
    "oja-deflation": ("subspace", "deflated_modes", lambda f: lambda s, r, rate: f(s, r, rate / 2)),
    "oja-escape-rate": ("subspace", "escape_rate", lambda f: lambda r, s, u: f(r, s, u**2)),
    "oja-escape": ("subspace", "escape_threshold", lambda f: lambda s, u: 2 * f(s, u)),
    "reduced-modes": ("subspace", "mode_trajectory", lambda f: lambda *a, **k: f(*a, **(k | {"decay": 0.0}))),
    "undriven-mode": ("subspace", "undriven_amplitude", lambda f: lambda t, w, a, s: f(2 * t, w, a, s)),
    "local-gain": ("local_rule", "local_gains", lambda f: lambda d, q, p: f(-d, q, p)),
    "local-fixed-point": ("local_rule", "local_amplitude", lambda f: lambda s, wd: s - f(s, wd)),
    "local-threshold": ("local_rule", "local_threshold", lambda f: lambda wd: 1.05 * f(wd)),
    "local-spectrum": ("local_rule", "local_characteristic", lambda f: lambda a, s, wd: f(a, s, 2 * wd)),
    "published-fixed": ("published_experiment", "frozen_recovery", lambda f: lambda *a: f(*a[:4], a[4] // 2, *a[5:])),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_wrong_theory_is_noticed(name, monkeypatch):
    module, attribute, mutate = MUTATIONS[name]
    module = __import__(f"linfa.claims.{module}", fromlist=[attribute])
    monkeypatch.setattr(module, attribute, mutate(getattr(module, attribute)))
    assert not claims.check(name, quick=True).holds
