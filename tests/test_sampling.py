"""Descent on samples: against full batches, an independent rule per sample, and exact theory of online regression."""

import itertools

import numpy as np
import oracle
import pytest
from threadpoolctl import threadpool_limits

import linfa
from linfa.sampling import draw_samples, stochastic
from linfa.simulation import DivergenceWarning
from linfa.theory.regression import lms_step

GENERATOR = np.random.default_rng(11)
X = GENERATOR.standard_normal((6, 5)) @ np.diag([1.5, 1.2, 1.0, 0.7, 0.5])
Y = X @ GENERATOR.standard_normal((5, 4)) * 0.6 + 0.3 * GENERATOR.standard_normal((6, 4))
DEEP = (5, 6, 7, 4)
RULES = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(seed=1),
    "dfa": linfa.DirectFeedback(seed=1),
    "kolen-pollack": linfa.KolenPollack(seed=1, rate=0.7, decay=0.3),
    "mirror": linfa.WeightMirror(seed=1, rate=0.5, noise_variance=0.4, decay=0.2),
    "sign": linfa.SignSymmetry("fixed", seed=1),
} | {
    f"{'direct-' if direct else ''}q-{q}-p-{p}": linfa.LowRankFeedback(
        rank=2, q=q, p=p, q_rate=0.8, p_rate=0.6, seed=1, direct=direct
    )
    for direct, q, p in [
        (False, "fixed", "fixed"),
        (False, "kolen-pollack", "oja-label"),
        (True, "kolen-pollack", "oja-error"),
        (False, "fixed", "oja-error"),
        (False, "normative", "normative"),
        (True, "normative", "normative"),
        (False, "local", "local"),
    ]
}


def start(widths=DEEP, scale=0.5, seed=2):
    return linfa.initial_weights(widths, "gaussian", scale, seed)


def everything(run, k=-1):
    """All matrices of a run at one time, as one vector."""
    matrices = [w[k] for w in run.weights] + [m[k] for ms in run.feedback_weights.values() for m in ms]
    return np.concatenate([m.ravel() for m in matrices])


def by_samples(feedback, weights, batches, rate, decay):
    """Plain descent of the independent per-sample rule on one batch after the other."""
    resolved = feedback.resolve((weights[0].shape[1], *(len(w) for w in weights)))
    carried = {key: list(ms) for key, ms in (resolved.matrices or {}).items()}
    own = [decay if resolved.decay is None else resolved.decay] * (len(weights) - 1)
    rule = resolved.b_rule if resolved.b_rule != "fixed" else resolved.transport
    for x, y in batches:
        velocity = oracle.SampleRule(
            x, y, rule=rule, direct=resolved.direct, q=resolved.q_rule, p=resolved.p_rules,
            rates=(resolved.b_rate, resolved.q_rate, resolved.p_rate), decay=[decay] * len(weights), feedback_decay=own,
        )  # fmt: skip
        d_weights, d_carried = velocity(weights, carried)
        weights = [w + rate * d for w, d in zip(weights, d_weights, strict=True)]
        carried = {k: [m + rate * d for m, d in zip(carried[k], d_carried[k], strict=True)] for k in carried}
    return oracle.pack(weights, carried)


@pytest.mark.parametrize("name", RULES)
def test_a_batch_of_everything_is_full_batch_descent(name):
    updates = [0, 1, 30]
    full = linfa.simulate(
        linfa.LinearTask.from_data(X, Y), start(), RULES[name], updates, learning_rate=0.02, weight_decay=0.05
    )
    run = stochastic((X, Y), start(), RULES[name], updates, learning_rate=0.02, batch=len(X), weight_decay=0.05)
    for k in range(3):
        expected = everything(full, k)
        # Sums over samples in another order, 30 times.
        assert np.abs(everything(run, k) - expected).max() < 1e-12 * np.abs(expected).max()
    assert np.array_equal(run.t, full.t)
    assert np.allclose(run.loss, full.loss, rtol=1e-11)


@pytest.mark.parametrize("name", RULES)
def test_an_epoch_shows_every_sample_once_in_some_order(name):
    x, y = X[:3], Y[:3]
    run = stochastic((x, y), start(), RULES[name], [3], learning_rate=0.05, weight_decay=0.02, seed=4)
    orders = [
        by_samples(RULES[name], start(), [(x[[k]], y[[k]]) for k in order], 0.05, 0.02)
        for order in itertools.permutations(range(3))
    ]
    gaps = [np.abs(everything(run) - expected).max() for expected in orders]
    # One order to rounding; the others are as far as one sample's update is from another's.
    assert min(gaps) < 1e-13
    assert sorted(gaps)[1] > 1e-6


def test_batches_go_on_into_the_next_epoch():
    run = stochastic((X[:3], Y[:3]), start(), RULES["fa"], [3], learning_rate=0.05, batch=2, seed=4)
    found = []
    for first, second in itertools.product(itertools.permutations(range(3)), repeat=2):
        order = [*first, *second]
        batches = [(X[order[k : k + 2]], Y[order[k : k + 2]]) for k in (0, 2, 4)]
        found.append(np.abs(everything(run) - by_samples(RULES["fa"], start(), batches, 0.05, 0.0)).max())
    assert min(found) < 1e-13


def test_orders_differ_between_epochs_and_seeds():
    losses = [
        stochastic((X, Y), start(), RULES["backprop"], [6, 12], learning_rate=0.05, seed=seed).loss for seed in range(4)
    ]
    assert len({loss[0] for loss in losses}) == 4


def test_online_regression_follows_its_exact_mean_and_mean_square():
    inputs, rate, noise, runs, updates = 4, 0.1, 0.5, 400, np.array([0, 1, 5, 20, 80])
    target = np.array([[1.0, -0.5, 0.25, 2.0]])
    task, weights = linfa.LinearTask(target), [np.zeros((1, inputs))]
    maps = np.stack([
        stochastic(task, weights, linfa.Backprop(), updates, learning_rate=rate, noise=noise, seed=seed).map
        for seed in range(runs)
    ])  # fmt: skip
    # The mean is full-batch descent: the weights do not depend on the next sample.
    full = linfa.simulate(task, weights, linfa.Backprop(), updates, learning_rate=rate).map
    error = maps.std(0, ddof=1) / np.sqrt(runs)
    # 16 numbers within 4 standard errors: by chance one run of this test in a thousand would fail; the seeds are fixed.
    assert (np.abs(maps.mean(0) - full)[1:] < 4 * error[1:]).all()
    squares = np.square(maps - target).sum((-2, -1))
    expected = [np.square(target).sum()]
    for _ in range(updates[-1]):
        expected.append(lms_step(expected[-1], rate, inputs, noise**2))
    gap = np.abs(squares.mean(0) - np.array(expected)[updates])
    assert (gap[1:] < 4 * squares.std(0, ddof=1)[1:] / np.sqrt(runs)).all()
    # Noise on the labels is what is left, far above what the clean task leaves.
    assert expected[-1] > 10 * np.square(target).sum() * (1 - 2 * rate + rate**2 * (inputs + 2)) ** 80


def test_small_rates_follow_full_batch_descent_on_average():
    task = linfa.LinearTask.from_modes([2.0, 1.0], inputs=4, outputs=3)
    weights, feedback = start((4, 5, 3), 0.3), linfa.FeedbackAlignment(seed=3)
    updates, runs = [0, 200, 600, 1500], 60
    full = linfa.simulate(task, weights, feedback, updates, learning_rate=2e-3)
    losses = np.stack([
        stochastic(task, weights, feedback, updates, learning_rate=2e-3, batch=4, seed=seed).loss
        for seed in range(runs)
    ])  # fmt: skip
    error = losses.std(0, ddof=1) / np.sqrt(runs)
    assert losses[0, 0] == full.loss[0]
    # What fluctuations add on average is of order η/batch of the loss, here 5e-4.
    assert (np.abs(losses.mean(0) - full.loss)[1:] < 4 * error[1:] + 2e-3 * full.loss[0]).all()
    assert full.loss[-1] < 0.3 * full.loss[0]


def test_the_same_seed_gives_the_same_bits_however_often_a_run_is_saved():
    task = linfa.LinearTask.from_data(X, Y)
    for data in (task, (X, Y)):
        often = stochastic(data, start(), RULES["dfa"], range(0, 7001, 7), learning_rate=0.01, noise=0.1, seed=3)
        once = stochastic(data, start(), RULES["dfa"], [4900], learning_rate=0.01, noise=0.1, seed=3)
        assert np.array_equal(everything(often, 700), everything(once))
        other = stochastic(data, start(), RULES["dfa"], [4900], learning_rate=0.01, noise=0.1, seed=4)
        assert not np.array_equal(everything(other), everything(once))


def test_the_bits_do_not_depend_on_the_threads_of_blas():
    # Large enough that BLAS would share its products among threads.
    x = np.random.default_rng(3).standard_normal((300, 200))
    weights, runs = start((200, 150, 40), 0.3), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            runs.append(stochastic((x, x[:, :40]), weights, RULES["fa"], [20], learning_rate=0.01, batch=100))
    assert np.array_equal(everything(runs[0]), everything(runs[1]))


def test_noise_is_drawn_anew_at_every_use():
    rate, noise, updates = 0.5, 0.3, 20_000
    run = stochastic(
        ([[1.0]], [[0.0]]), [np.zeros((1, 1))], linfa.Backprop(), range(updates), learning_rate=rate, noise=noise
    )
    w = run.weights[0][:, 0, 0]
    # w ← (1 − η) w + η ζ: an autoregression with these moments; 20,000 terms estimate each to about 2 %.
    assert w[100:].var() == pytest.approx(noise**2 * rate / (2 - rate), rel=0.08)
    assert np.corrcoef(w[100:-1], w[101:])[0, 1] == pytest.approx(1 - rate, abs=0.03)
    clean = stochastic(([[1.0]], [[0.0]]), [np.zeros((1, 1))], linfa.Backprop(), [5], learning_rate=rate, noise=0.0)
    assert clean.weights[0][0, 0, 0] == 0.0


@pytest.mark.parametrize("whitened", [True, False])
def test_samples_have_the_correlations_of_the_task(whitened):
    task = linfa.LinearTask.from_data(X[:, :3], Y, whiten=whitened)
    x, y = draw_samples(task, 40_000, noise=0.4, seed=1)
    n = len(x)
    sigma_y = task.sigma_y + 0.4**2 * np.eye(4)
    # Entries of a second moment of Gaussians have standard deviation √((Σii Σjj + Σij²)/n); 5 of them for 37 entries.
    for left, right, expected, sizes in (
        (x, x, task.sigma_x, (task.sigma_x, task.sigma_x)),
        (y, x, task.sigma_yx, (sigma_y, task.sigma_x)),
        (y, y, sigma_y, (sigma_y, sigma_y)),
    ):
        spread = np.sqrt((np.outer(np.diag(sizes[0]), np.diag(sizes[1])) + expected**2) / n)
        assert (np.abs(left.T @ right / n - expected) < 5 * spread).all()
    assert not np.array_equal(draw_samples(task, 5, seed=2)[0], draw_samples(task, 5, seed=3)[0])
    assert np.array_equal(draw_samples(task, 5, seed=2)[0], draw_samples(task, 5, seed=2)[0])


def test_fresh_samples_are_not_those_of_a_data_set_of_the_same_seed():
    task = linfa.LinearTask(np.eye(3))
    x, y = draw_samples(task, 1, seed=0)
    run = stochastic(task, [np.zeros((3, 3))], linfa.Backprop(), [1], learning_rate=1.0, seed=0)
    assert not np.allclose(run.map[0], y.T @ x)


def test_a_data_set_is_learned_by_heart_and_the_task_is_not():
    task = linfa.LinearTask.from_modes([2.0, 1.0], inputs=8, outputs=3)
    samples = draw_samples(task, 5, noise=0.5)
    run = stochastic(samples, start((8, 9, 3), 0.3), linfa.Backprop(), [0, 6000], learning_rate=0.02)
    assert run.loss[-1] < 1e-6 * run.loss[0]
    assert task.loss(run.map)[-1] > 0.1
    assert run.settings["samples"] == 5


def test_a_run_is_saved_with_how_it_was_made(tmp_path):
    run = stochastic((X, Y), start(), RULES["q-local-p-local"], [0, 5], learning_rate=0.02, batch=2, noise=0.1, seed=7)
    assert {key: run.settings[key] for key in ("method", "batch", "noise", "samples", "seed", "learning_rate")} == {
        "method": "stochastic descent", "batch": 2, "noise": 0.1, "samples": 6, "seed": 7, "learning_rate": 0.02,
    }  # fmt: skip
    again = linfa.Trajectory.load(run.save(tmp_path / "run.nc"))
    assert np.array_equal(everything(again), everything(run))
    assert again.settings == run.settings


def test_progress_is_reported():
    seen = []
    stochastic((X, Y), start(), RULES["fa"], [20_000], learning_rate=0.02, progress=seen.append)
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("updates", [[0, 100, 100_000], [100_000]])
def test_divergence_is_said_and_what_there_is_handed_back(updates):
    with pytest.warns(DivergenceWarning, match=r"the run diverged: noticed at update \d+"):
        run = stochastic((X, Y), start(), RULES["backprop"], updates, learning_rate=3.0)
    assert run.status == "diverged"
    assert 0 < run.stopped_at < 100
    assert run.t.tolist() == [0.0]
    assert np.array_equal(run.weights[0][0], start()[0])


TASK = linfa.LinearTask(np.diag([2.0, 1.0]))
SMALL = linfa.initial_weights((2, 3, 2), scale=0.1)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"data": X}, TypeError, r"data is ndarray; it must be a LinearTask, or a pair \(x, y\) of samples"),
        ({"data": (X, Y, Y)}, TypeError, "data is tuple"),
        ({"data": (X, Y[:3])}, ValueError, "y has 3 samples; it must have 6, as x has"),
        ({"data": (X, Y)}, ValueError, r"weights\[0\] is \(3, 2\); it must be \(hidden, 5\)"),
        ({"data": (X * np.nan, Y)}, ValueError, "x holds nan"),
        ({"t": [0.5]}, ValueError, "in descent it counts updates, integers"),
        ({"t": [3, 1]}, ValueError, "it must ascend"),
        ({"learning_rate": None}, TypeError, "learning_rate is None; descent on samples needs a number"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate is 0; it must be above 0"),
        ({"batch": 0}, ValueError, "batch is 0; it must be at least 1"),
        ({"batch": 2.0}, TypeError, "batch is 2.0; it must be an integer"),
        ({"data": (np.eye(2), np.eye(2)), "batch": 3}, ValueError, "batch is 3; it must be at most 2, the number of"),
        ({"noise": -1.0}, ValueError, "noise is -1; it must be at least 0"),
        ({"noise": np.nan}, ValueError, "noise is nan; it must be finite"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay holds -1"),
        ({"feedback": "fa"}, TypeError, "feedback is str; it must be a rule"),
        ({"weights": [np.eye(3)]}, ValueError, r"weights\[0\] is \(3, 3\)"),
    ],
)
def test_bad_input_is_refused(change, kind, message):
    arguments = {"data": TASK, "weights": SMALL, "feedback": linfa.Backprop(), "t": [1], "learning_rate": 0.1} | change
    with pytest.raises(kind, match=message):
        stochastic(**arguments)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"task": X}, TypeError, "task is ndarray; it must be a LinearTask"),
        ({"count": 0}, ValueError, "count is 0; it must be at least 1"),
        ({"noise": "much"}, TypeError, "noise is 'much'; it must be a number"),
        ({"seed": 1.5}, TypeError, "seed is 1.5; it must be a non-negative integer"),
    ],
)
def test_bad_input_of_samples_is_refused(change, kind, message):
    with pytest.raises(kind, match=message):
        draw_samples(**({"task": TASK, "count": 3} | change))
