"""Probes: every number against its definition, and no trace in the network that is probed."""

import numpy as np
import pytest

import linfa
from linfa import metrics, nn
from linfa.nn.alignment import error_alignment, matrix_cosine
from linfa.nn.layer import Pass
from linfa.nn.probes import DEFAULT, Probes, probe_batch
from linfa.nn.spectra import RANKS
from linfa.nn.vocabulary import QUANTITIES, WHOLE
from linfa.presets import network_preset

# A spectrum through a Gram matrix is exact to eps·σ₁²/σ²; matrices here have condition numbers below 1e3.
TOLERANCE = 1e-10
ALL = tuple(QUANTITIES)


def rng(seed=0):
    return np.random.default_rng(seed)


def mlp(feedback=None, *, sizes=(9, 7), classes=4, inputs=6, dtype="float64", seed=3, activation=nn.Tanh, extra=()):
    layers = []
    for units in sizes:
        layers += [nn.Dense(units), *(make() for make in extra), activation()]
    return nn.Network([*layers, nn.Dense(classes)], (inputs,), feedback=feedback, dtype=dtype, seed=seed)


def convnet(feedback=None, dtype="float64"):
    layers = [nn.Conv2d(5, 3), nn.Tanh(), nn.Conv2d(4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Dense(3)]
    return nn.Network(layers, (6, 6, 2), feedback=feedback, dtype=dtype, seed=1)


def batch(network, samples=12, seed=5):
    x = rng(seed).standard_normal((samples, *network.input_shape))
    return x, np.arange(samples) % network.classes


def probed(network, samples=12, change=None, **options):
    """What is measured around one change of the weights."""
    options = {"quantities": ALL} | options
    probes = Probes(network, *batch(network, samples), **options)
    probes.before(0)
    for m in network.maps:
        if change is not None:
            m.weight.value += change(m)
    return probes.after(0)


def descend(network, x, labels, step, rate=0.05):
    network.learn(x, labels, Pass("train", step=step, seed=network.seed))
    for p in network.parameters:
        p.value -= p.value.dtype.type(rate) * p.gradient
    network.refresh(rate, 1e-3, Pass("train", step=step))


def all_ranks(matrix):
    found = metrics.ranks(matrix)
    return {name: found[name] for name in RANKS}


def agree(measured, layer, wanted, prefix=""):
    for name, value in wanted.items():
        np.testing.assert_allclose(measured[prefix + name][layer], value, rtol=TOLERANCE, err_msg=prefix + name)


# Numbers against definitions


@pytest.mark.parametrize("samples", [5, 40], ids=["fewer samples than units", "more samples than units"])
def test_a_dense_network_against_its_equations(samples):
    network = mlp(linfa.FeedbackAlignment(seed=1))
    (w1, w2, w3), (b1, b2, b3) = ([getattr(m, n).value for m in network.maps] for n in ("weight", "bias"))
    f2, f3 = (network.maps[k].carrier.matrix(None, Pass()) for k in (1, 2))
    x, labels = batch(network, samples)
    h1 = np.tanh(x @ w1.T + b1)
    h2 = np.tanh(h1 @ w2.T + b2)
    out = h2 @ w3.T + b3
    e = np.exp(out) / np.exp(out).sum(1, keepdims=True) - np.eye(4)[labels]
    rule2, true2 = (e @ b.T * (1 - h2**2) for b in (f3, w3.T))
    rule1, true1 = (d @ b.T * (1 - h1**2) for d, b in ((rule2, f2), (true2, w2.T)))
    change = 1e-3 * rng(2).standard_normal((9, 6))
    measured = probed(network, samples, lambda m: change if m is network.maps[0] else 0.0)
    inputs, weights = (x, h1, h2), (w1 - change, w2, w3)
    for k, (rule, true, h) in enumerate(zip((rule1, rule2, e), (true1, true2, e), inputs, strict=True)):
        gradient, reference = rule.T @ h / samples, true.T @ h / samples
        agree(measured, k, all_ranks(rule), "error_")
        agree(measured, k, all_ranks(gradient), "gradient_")
        agree(measured, k, all_ranks(h), "activation_")
        lengths = [np.linalg.norm(v) / np.sqrt(samples) for v in (*inputs, out)]
        wanted = {
            "weight_norm": np.linalg.norm(weights[k]),
            "chance_alignment": metrics.chance_band(weights[k].shape),
            "sample_gradient_alignment": metrics.sample_cosine(rule, true),
            "matrix_gradient_alignment": metrics.cosine(rule, true),
            "update_alignment": metrics.cosine(gradient, reference),
            "reference_norm": np.sqrt((true**2).sum(1).mean()),
            "error_norm": np.sqrt((rule**2).sum(1).mean()),
            "gradient_norm": np.linalg.norm(gradient),
            "activation_norm": lengths[k],
            "growth": lengths[k + 1] / lengths[k],
        }
        agree(measured, k, wanted)
    for k, w, f in ((1, w2, f2), (2, w3, f3)):
        agree(measured, k, {"weight_alignment": metrics.cosine(w, f.T), "norm_ratio": metrics.norm_ratio(f, w)})
    assert np.isnan(measured["weight_alignment"][0])
    agree(measured, 0, {"norm": np.linalg.norm(change)} | all_ranks(change), "update_")
    assert measured["update_norm"][1] == 0
    assert measured["update_effective_rank"][1] == 0


def test_a_sample_of_a_convolution_is_all_positions_of_an_image():
    network = convnet(linfa.FeedbackAlignment(seed=1))
    x, labels = batch(network)
    found = []
    for exact in (False, True):
        for m in network.maps:
            m.record = True
        way = Pass("probe", learn=False, exact=exact)
        network.learn(x, labels, way)
        found.append([(m.seen["error"].copy(), m.weight.gradient.copy()) for m in network.maps])
        for m in network.maps:
            m.record = False
    measured = probed(network)
    for k, ((rule, gradient), (true, reference)) in enumerate(zip(*found, strict=True)):
        positions = network.maps[k].positions
        assert rule.shape == (12 * positions, network.maps[k].source)
        whole = metrics.sample_cosine(rule.reshape(12, -1), true.reshape(12, -1))
        flat = [g.reshape(len(g), -1) for g in (gradient, reference)]
        agree(measured, k, all_ranks(rule), "error_")
        agree(measured, k, all_ranks(flat[0]), "gradient_")
        agree(measured, k, {"sample_gradient_alignment": whole, "update_alignment": metrics.cosine(*flat)})
    agree(measured, 0, all_ranks(x.reshape(-1, 2)), "activation_")


def test_single_precision_measures_what_double_does():
    """Weights drawn alike; sums of errors and spectra run in double, so only the passes round."""
    double, single = (probed(mlp(linfa.FeedbackAlignment(seed=1), dtype=d)) for d in ("float64", "float32"))
    for name in double:
        if not name.startswith(("update", "trajectory", "whole")):
            # float32 has 24 bits; three layers and batch-long sums lose a factor of a hundred.
            np.testing.assert_allclose(single[name], double[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_alignment_is_signed_and_leaves_out_samples_without_error():
    a = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
    found = error_alignment(-a, a, 3, floor=0.0)
    assert found["sample_gradient_alignment"] == pytest.approx(-1.0)
    assert found["matrix_gradient_alignment"] == pytest.approx(-1.0)
    assert np.isnan(matrix_cosine(np.zeros((2, 2)), np.eye(2)))


# Identities


def test_under_backprop_every_alignment_is_one():
    measured = probed(mlp())
    for name in ("sample_gradient_alignment", "matrix_gradient_alignment", "update_alignment"):
        np.testing.assert_allclose(measured[name], 1.0, rtol=1e-14)
    assert np.isnan(measured["weight_alignment"]).all()
    assert np.isnan(measured["norm_ratio"]).all()
    np.testing.assert_allclose(measured["error_norm"], measured["reference_norm"], rtol=1e-14)


def test_feedback_equal_to_the_weights_is_backprop():
    plain = mlp()
    given = linfa.FeedbackAlignment([m.weight.matrix.T.copy() for m in plain.maps[1:]])
    measured = probed(mlp(given))
    for name in ("weight_alignment", "norm_ratio"):
        np.testing.assert_allclose(measured[name][1:], 1.0, rtol=1e-14)
    for name in ("sample_gradient_alignment", "update_alignment"):
        np.testing.assert_allclose(measured[name], 1.0, rtol=1e-14)
    assert np.array_equal(measured["error_effective_rank"], probed(mlp())["error_effective_rank"])


def test_kolen_pollack_aligns():
    network = mlp(linfa.KolenPollack(seed=1))
    start = probed(network)
    x, labels = batch(network)
    for step in range(800):
        network.learn(x, labels, Pass("train", step=step))
        for p in network.parameters:
            # Equal decay of W and B: their difference shrinks by 0.99 an update, to 3e-4 of its start.
            p.value -= 0.5 * p.gradient + 0.01 * p.value
    end = probed(network)
    assert (np.abs(start["weight_alignment"][1:]) < 0.5).all()
    assert (end["weight_alignment"][1:] > 0.99).all()
    assert (end["sample_gradient_alignment"] > 0.99).all()


@pytest.mark.parametrize("rank", [1, 2])
def test_errors_of_a_linear_network_have_the_rank_of_their_feedback(rank):
    rule = linfa.LowRankFeedback(rank=rank, seed=1)
    measured = probed(mlp(rule, activation=nn.Identity), samples=30)
    for name in RANKS:
        # Rounding of the errors themselves is some eps; √eps of it is far below.
        assert (measured[f"error_{name}"][:2] <= rank + 1e-7).all(), name
    assert measured["error_effective_rank"][2] > rank


@pytest.mark.parametrize("name", ["backprop", "fa", "dfa"])
def test_errors_of_a_linear_softmax_network_have_at_most_classes_minus_one(name):
    measured = probed(mlp(network_preset(name, seed=1), activation=nn.Identity), samples=30)
    assert (measured["error_effective_rank"] <= 3 + 1e-7).all()
    assert (measured["error_effective_rank"] > 1.5).all()


def test_direct_feedback_replaces_no_weights():
    measured = probed(mlp(linfa.DirectFeedback(seed=1)))
    assert np.isnan(measured["weight_alignment"]).all()
    assert np.isnan(measured["norm_ratio"]).all()
    assert np.isfinite(measured["sample_gradient_alignment"]).all()


def test_no_error_has_no_direction():
    network = nn.Network([nn.Dense(5), nn.Tanh(), nn.Dense(2)], (3,), loss=nn.SquaredError(), dtype="float64",
                         feedback=linfa.FeedbackAlignment(seed=1))  # fmt: skip
    x = rng().standard_normal((8, 3))
    probes = Probes(network, x, network.forward(x), quantities=["alignment", "error"])
    probes.before(0)
    measured = probes.after(0)
    assert (measured["reference_norm"] < 1e-15).all()
    assert (measured["error_norm"] < 1e-15).all()
    assert np.isnan(measured["sample_gradient_alignment"]).all()
    assert np.isnan(measured["update_alignment"]).all()


def test_the_floor_is_the_users_to_set():
    network = mlp(linfa.FeedbackAlignment(seed=1))
    measured = probed(network, floor=1e3)
    for name in ("sample_gradient_alignment", "matrix_gradient_alignment", "update_alignment"):
        assert np.isnan(measured[name]).all()
    assert (measured["reference_norm"] > 0).all()


def test_a_clipped_signal_is_measured_against_the_whole_one():
    measured = probed(mlp(), clip_signal=1e-2)
    assert (measured["matrix_gradient_alignment"][:2] < 1 - 1e-6).all()
    assert measured["error_norm"][0] < measured["reference_norm"][0]


# No trace


RULES = ["backprop", "fa", "dfa", "kolen-pollack", "raf", "normative", "local", "mirror", "frsf", "brsf", "drtp"]


@pytest.mark.parametrize("name", RULES)
def test_training_with_probes_gives_the_same_bits(name):
    rank = 3 if name in ("raf", "normative", "local") else None
    states = []
    for probing in (False, True):
        network = mlp(
            network_preset(name, rank, 1), dtype="float32", extra=(nn.BatchNorm, lambda: nn.Dropout(0.3)), classes=4
        )
        probes = Probes(network, *batch(network, seed=9), quantities=ALL)
        for step in range(6):
            x, labels = batch(network, seed=step)
            if probing:
                probes.before(step)
            descend(network, x.astype(np.float32), labels, step)
            if probing:
                probes.after(step)
        states.append(network.state())
    assert all(np.array_equal(a, states[1][key]) for key, a in states[0].items())


def test_gradients_and_what_layers_keep_stay_while_an_update_is_under_way():
    network = mlp(linfa.KolenPollack(seed=1), extra=(nn.BatchNorm, lambda: nn.Dropout(0.3)))
    x, labels = batch(network)
    network.learn(x, labels, Pass("train"))
    gradients = [p.gradient for p in network.parameters]
    copies = [g.copy() for g in gradients]
    kept = [layer._kept for layer in network.layers]
    buffers = {name: array.copy() for name, array in network.state().items()}
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002 - what must not be touched
    probes = Probes(network, *batch(network, seed=9), quantities=ALL)
    probes.before(0)
    assert all(p.gradient is g for p, g in zip(network.parameters, gradients, strict=True))
    assert all(np.array_equal(g, c) for g, c in zip(gradients, copies, strict=True))
    assert all(layer._kept is k for layer, k in zip(network.layers, kept, strict=True))
    assert all(not m.record and m.seen == {} for m in network.maps)
    assert all(np.array_equal(a, buffers[key]) for key, a in network.state().items())
    assert np.array_equal(np.random.get_state()[1], drawn)  # noqa: NPY002


def test_a_pass_that_fails_leaves_no_trace_either(monkeypatch):
    network = mlp(linfa.FeedbackAlignment(seed=1))
    x, labels = batch(network)
    network.learn(x, labels, Pass("train"))
    gradients = [p.gradient for p in network.parameters]
    probes = Probes(network, x, labels)

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(nn.Tanh, "backward", broken)
    with pytest.raises(KeyboardInterrupt):
        probes.before(0)
    assert all(p.gradient is g for p, g in zip(network.parameters, gradients, strict=True))
    assert not any(m.record for m in network.maps)


def test_the_samples_are_copied():
    network = mlp(linfa.FeedbackAlignment(seed=1))
    x, labels = batch(network)
    probes = Probes(network, x, labels, quantities=["error"])
    probes.before(0)
    first = probes.after(0)
    x[...] = 0.0
    labels[...] = 0
    probes.before(1)
    assert np.array_equal(probes.after(1)["error_effective_rank"], first["error_effective_rank"])


# The path of the updates


def test_the_rank_of_the_trajectory_is_that_of_the_updates_as_rows():
    network = mlp(linfa.FeedbackAlignment(seed=1))
    probes = Probes(network, *batch(network), quantities=["trajectory"], trajectory_rows=5, trajectory_entries=None)
    x, labels = batch(network, 30, seed=8)
    rows = []
    for step in range(8):
        old = [m.weight.value.copy() for m in network.maps]
        probes.before(step)
        descend(network, x[3 * step : 3 * step + 12], labels[3 * step : 3 * step + 12], step)
        measured = probes.after(step)
        rows.append([(m.weight.value - w).ravel() for m, w in zip(network.maps, old, strict=True)])
        latest = rows[-5:]
        for k in range(3):
            agree(measured, k, all_ranks(np.array([row[k] for row in latest])), "trajectory_")
        together = all_ranks(np.array([np.concatenate(row) for row in latest]))
        for name, value in together.items():
            np.testing.assert_allclose(measured[f"whole_trajectory_{name}"], value, rtol=TOLERANCE)


def test_probes_resume_with_the_same_bits():
    def start():
        network = mlp(linfa.FeedbackAlignment(seed=1), dtype="float32")
        probes = Probes(network, *batch(network), trajectory_rows=3, trajectory_entries=20)
        return network, probes

    def go(network, probes, steps):
        for step in steps:
            x, labels = batch(network, seed=step)
            probes.before(step)
            descend(network, x.astype(np.float32), labels, step)
            measured = probes.after(step)
        return measured

    network, probes = start()
    go(network, probes, range(5))
    weights, state = ({name: a.copy() for name, a in of.state().items()} for of in (network, probes))
    straight = go(network, probes, range(5, 8))
    later, resumed = start()
    later.load_state(weights)
    resumed.load_state(state)
    after = go(later, resumed, range(5, 8))
    assert straight.keys() == after.keys()
    assert all(np.array_equal(a, after[name], equal_nan=True) for name, a in straight.items())


def test_a_state_of_other_probes_is_refused():
    probes = Probes(mlp(), *batch(mlp()), trajectory_rows=3)
    with pytest.raises(ValueError, match=r"lacks 'dense1\.gram'"):
        probes.load_state({})
    with pytest.raises(ValueError, match=r"has 'dense4\.rows'"):
        probes.load_state(probes.state() | {"dense4.rows": np.zeros((0, 3))})
    wide = Probes(mlp(sizes=(10, 7)), *batch(mlp()), trajectory_rows=3)
    with pytest.raises(ValueError, match="does not fit dense1: rows is float64"):
        probes.load_state(wide.state())
    bad = probes.state() | {"dense1.gram": np.zeros((2, 2))}
    with pytest.raises(ValueError, match="gram is"):
        probes.load_state(bad)
    assert Probes(mlp(), *batch(mlp()), quantities=["error"]).state() == {}


# What is asked for


def test_everything_named_is_measured_layer_by_layer():
    network = mlp(linfa.FeedbackAlignment(seed=1))
    probes = Probes(network, *batch(network), quantities=ALL)
    probes.before(0)
    measured = probes.after(0)
    assert sorted(measured) == sorted(probes.names)
    assert probes.layers == ["dense1", "dense2", "dense3"]
    for name, array in measured.items():
        assert array.dtype == np.float64, name
        assert array.shape == (() if name in WHOLE else (3,)), name


def test_what_is_not_asked_for_is_not_measured():
    for group, names in QUANTITIES.items():
        assert sorted(probed(mlp(), quantities=[group])) == sorted(names)
    assert set(DEFAULT) == set(ALL) - {"update"}


def test_after_needs_a_before_of_the_same_step():
    probes = Probes(mlp(), *batch(mlp()))
    with pytest.raises(RuntimeError, match="not called"):
        probes.after(0)
    probes.before(3)
    with pytest.raises(RuntimeError, match="with step 3"):
        probes.after(4)
    probes.after(3)
    with pytest.raises(RuntimeError, match="not called"):
        probes.after(3)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"x": np.zeros((12, 5))}, ValueError, r"x is \(12, 5\)"),
        ({"x": np.zeros((1, 6)), "labels": [0]}, ValueError, "at least 2"),
        ({"x": np.full((12, 6), np.nan)}, ValueError, "NaN"),
        ({"x": np.array([["a"] * 6] * 12)}, TypeError, "x holds"),
        ({"labels": np.arange(11) % 4}, ValueError, "labels has 11 entries"),
        ({"labels": np.full(12, 4)}, ValueError, "labels go from 4"),
        ({"quantities": ["errors"]}, ValueError, "did you mean 'error'"),
        ({"quantities": "error"}, TypeError, "list"),
        ({"quantities": []}, ValueError, "empty"),
        ({"trajectory_rows": 1}, ValueError, "trajectory_rows is 1"),
        ({"trajectory_rows": 2.0}, TypeError, "trajectory_rows"),
        ({"trajectory_entries": 10}, ValueError, "trajectory_entries is 10"),
        ({"floor": -1.0}, ValueError, "floor"),
        ({"clip_signal": 0.0}, ValueError, "clip_signal"),
        ({"seed": -1}, ValueError, "seed"),
        ({"network": "mlp"}, TypeError, "Network"),
    ],
)
def test_bad_arguments_are_named(options, error, words):
    network = mlp()
    x, labels = batch(network)
    arguments = {"network": network, "x": x, "labels": labels} | options
    with pytest.raises(error, match=words):
        Probes(**arguments)


# The batch


def test_the_batch_is_balanced_and_in_order():
    labels = rng().integers(0, 7, 500)
    images = np.arange(500)
    chosen, classes = probe_batch(images, labels, 100, seed=1)
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(classes, labels[chosen])
    counts = np.bincount(classes)
    assert counts.max() - counts.min() == 1
    assert counts.sum() == 100
    assert np.array_equal(chosen, probe_batch(images, labels, 100, seed=1)[0])
    assert not np.array_equal(chosen, probe_batch(images, labels, 100, seed=2)[0])


def test_small_classes_give_all_they_have():
    labels = np.array([0] * 2 + [1] * 50 + [2] * 50)
    counts = np.bincount(probe_batch(labels, labels, 21)[1])
    assert counts[0] == 2
    assert sorted(counts[1:]) == [9, 10]
    assert len(probe_batch(labels, labels, 102)[0]) == 102


def test_which_classes_give_one_more_is_drawn():
    labels = np.repeat(np.arange(10), 5)
    firsts = {tuple(probe_batch(labels, labels, 3, seed=s)[1]) for s in range(10)}
    assert len(firsts) > 3
    assert all(len(set(f)) == 3 for f in firsts)


@pytest.mark.parametrize(
    ("labels", "count", "error", "words"),
    [
        ([0, 1, 2], 4, ValueError, "at most 3"),
        ([0, 1], 1, ValueError, "labels has 2"),
        ([0.0, 1.0, 2.0], 1, TypeError, "integer"),
        ([0, 1, 2], 0, ValueError, "count is 0"),
        ([0, 1, 2], 1.0, TypeError, "count"),
    ],
)
def test_a_bad_batch_is_named(labels, count, error, words):
    with pytest.raises(error, match=words):
        probe_batch(np.zeros((3, 2)), labels, count)
