"""The core against SciPy's DOP853 on an independent, sample-by-sample right-hand side: every rule, several depths."""

import itertools

import numpy as np
import oracle
import pytest
from scipy.integrate import solve_ivp

import linfa

Q_RULES = ("fixed", "kolen-pollack", "normative")
P_RULES = ("fixed", "oja-error", "oja-label", "local", "normative")
WIDTHS = {2: (5, 7, 4), 3: (5, 6, 7, 4), 5: (5, 6, 4, 6, 5, 4)}


def data(whitened):
    """Samples with noise on the labels, so that the part no linear map explains enters the Oja rules."""
    generator = np.random.default_rng(5)
    x = generator.standard_normal((40, 5)) @ np.diag([1.5, 1.2, 1.0, 0.7, 0.5])
    if whitened:
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        x = x @ vectors / np.sqrt(values)
    y = x @ generator.standard_normal((5, 4)) * 0.6 + 0.3 * generator.standard_normal((40, 4))
    return x, y


def rules():
    yield "backprop", linfa.Backprop()
    yield "fa", linfa.FeedbackAlignment(seed=1)
    yield "dfa", linfa.DirectFeedback(seed=1)
    yield "dfa-rank-2", linfa.DirectFeedback(seed=1, rank=2)
    yield "kolen-pollack", linfa.KolenPollack(seed=1, rate=0.7)
    yield "kolen-pollack-own-decay", linfa.KolenPollack(seed=1, decay=0.3)
    yield "mirror", linfa.WeightMirror(seed=1, rate=0.5, noise_variance=0.4, decay=0.2)
    for direct, q, p in itertools.product((False, True), Q_RULES, P_RULES):
        name = f"{'direct-' if direct else ''}q-{q}-p-{p}"
        yield name, linfa.LowRankFeedback(rank=2, q=q, p=p, q_rate=0.8, p_rate=0.6, seed=1, direct=direct)


CASES = dict(rules())


def reference(task_data, weights, feedback, times, decay):
    """DOP853 at rtol 1e-11 from the same start, on the sample rule."""
    x, y = task_data
    resolved = feedback.resolve((weights[0].shape[1], *(len(w) for w in weights)))
    start = {key: list(ms) for key, ms in (resolved.matrices or {}).items()}
    rule = resolved.b_rule if resolved.b_rule != "fixed" else resolved.transport
    own = [decay] * (len(weights) - 1) if resolved.decay is None else [resolved.decay] * (len(weights) - 1)
    velocity = oracle.SampleRule(
        x, y, rule=rule, direct=resolved.direct, q=resolved.q_rule, p=resolved.p_rules,
        rates=(resolved.b_rate, resolved.q_rate, resolved.p_rate), decay=[decay] * len(weights), feedback_decay=own,
    )  # fmt: skip

    def flat(_, vector):
        return oracle.pack(*velocity(*oracle.unpack(vector, weights, start)))

    solution = solve_ivp(flat, (0, times[-1]), oracle.pack(weights, start), "DOP853", times, rtol=1e-11, atol=1e-13)
    assert solution.success
    return solution.y.T, start


def states(run):
    """Everything a run holds, as one vector for each time."""
    flat = [w.reshape(len(run.t), -1) for w in run.weights]
    flat += [m.reshape(len(run.t), -1) for ms in run.feedback_weights.values() for m in ms]
    return np.concatenate(flat, axis=1)


@pytest.mark.parametrize("whitened", [True, False], ids=["whitened", "correlated"])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("name", CASES)
def test_flow_equals_dop853_on_samples(name, depth, whitened):
    samples = data(whitened)
    task = linfa.LinearTask.from_data(*samples)
    weights = linfa.initial_weights(WIDTHS[depth], "gaussian", 0.5, seed=2)
    times = np.array([0.0, 0.3, 1.1, 2.0])
    run = linfa.simulate(task, weights, CASES[name], times, weight_decay=0.05, rtol=1e-12, atol=1e-13)
    expected, _ = reference(samples, weights, CASES[name], times, 0.05)
    # Both integrators are asked for 1e-11 or better; over a horizon of 2 neither loses more than a factor 100.
    assert np.abs(states(run) - expected).max() < 1e-8 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("magnitude", ["uniform", "fixed"])
@pytest.mark.parametrize("depth", [2, 3])
def test_sign_symmetry_equals_dop853_between_sign_changes(depth, magnitude):
    samples = data(whitened=True)
    task = linfa.LinearTask.from_data(*samples)
    weights = linfa.initial_weights(WIDTHS[depth], "gaussian", 0.5, seed=2)
    # Push every weight that feedback reads away from zero: no sign changes over the short horizon.
    weights = [weights[0], *(w + 0.5 * np.sign(w) for w in weights[1:])]
    feedback = linfa.SignSymmetry(magnitude, scale=0.3, seed=4)
    times = np.array([0.0, 0.01, 0.02])
    run = linfa.simulate(task, weights, feedback, times, rtol=1e-12, atol=1e-13)
    signs = [np.sign(w) for w in run.weights[1:]]
    assert all((s == s[:1]).all() for s in signs)
    expected, _ = reference(samples, weights, feedback, times, 0.0)
    assert np.abs(states(run) - expected).max() < 1e-8


def test_whitened_task_from_whitened_samples_is_recognised_only_when_exact():
    # Samples whitened in floating point give Σx = I up to rounding: handled as general Σx, with the same result.
    task = linfa.LinearTask.from_data(*data(whitened=True))
    assert np.abs(task.sigma_x - np.eye(5)).max() < 1e-12
    exact = linfa.LinearTask(task.sigma_yx, None, task.sigma_y)
    weights = linfa.initial_weights((5, 7, 4), scale=0.5, seed=2)
    feedback = linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="oja-error")
    runs = [linfa.simulate(k, weights, feedback, [2.0], rtol=1e-12, atol=1e-13) for k in (task, exact)]
    assert np.abs(states(runs[0]) - states(runs[1])).max() < 1e-10
