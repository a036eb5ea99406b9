"""Rules of feedback in networks: their identities, the linear theory, ranks, learned feedback, and what is refused."""

import warnings

import numpy as np
import pytest
from nn_checks import batch, descend, gradients, network

import linfa
from linfa import nn
from linfa.nn import Pass
from linfa.nn.carriers import balanced_factors, oja_descent
from linfa.presets import NETWORK_PRESETS, network_preset

CLASSES = 4
ROWS = (6,)
IMAGE = (6, 6, 2)


def dense_layers():
    return [nn.Dense(8), nn.Tanh(), nn.Dense(7), nn.ReLU(), nn.Dense(CLASSES)]


def conv_layers():
    layers = [nn.Conv2d(5), nn.Tanh(), nn.Conv2d(6, stride=2), nn.ReLU(), nn.Conv2d(4, 2, padding=0)]
    return [*layers, nn.MaxPool(2, 1), nn.Flatten(), nn.Dense(CLASSES)]


def attention_layers():
    block = nn.Residual([nn.LayerNorm(), nn.SelfAttention(2)])
    dense = nn.Residual([nn.LayerNorm(), nn.Dense(10), nn.GELU(), nn.Dense(8)])
    return [nn.PatchEmbedding(3, 8), block, dense, nn.TokenPool(), nn.Dense(CLASSES)]


def residual_layers():
    block = nn.Residual([nn.Conv2d(6, stride=2), nn.BatchNorm(), nn.ReLU()], [nn.Conv2d(6, 1, stride=2)])
    return [nn.Conv2d(4), nn.BatchNorm(), block, nn.GlobalAveragePool(), nn.Dense(CLASSES)]


KINDS = {
    "dense": (dense_layers, ROWS),
    "conv": (conv_layers, IMAGE),
    "attention": (attention_layers, IMAGE),
    "residual": (residual_layers, IMAGE),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind, feedback=None, samples=5, **options):
    """A network of this kind, and a batch for it."""
    layers, shape = KINDS[kind]
    return network(layers(), shape, feedback=feedback, **options), batch(shape, samples, CLASSES)


def transposes(net):
    """Wᵀ of every map that sends an error, (fan × out)."""
    return [m.weight.matrix.T.copy() for m in net.maps if m.sends]


def quiet(kind, feedback, **options):
    """`made`, where ranks are capped and that is not the matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return made(kind, feedback, **options)


def of_weights(found, wanted):
    return {name: found[name] for name in wanted}


# Identities


@every_kind
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_alignment_with_transposed_weights_is_backprop_bit_for_bit(kind, dtype):
    net, (x, labels) = made(kind, dtype=dtype)
    wanted = gradients(net, x, labels)
    twin, _ = made(kind, linfa.FeedbackAlignment(transposes(net)), dtype=dtype)
    assert {m.carrier.name for m in twin.maps if m.sends} == {"full"}
    found = gradients(twin, x, labels)
    assert all((found[name] == wanted[name]).all() for name in wanted)


@every_kind
def test_drawn_feedback_is_not_backprop_unless_the_reference_is_asked_for(kind):
    net, (x, labels) = made(kind)
    wanted = gradients(net, x, labels)
    twin, _ = made(kind, linfa.FeedbackAlignment(seed=1))
    found, exact = gradients(twin, x, labels), gradients(twin, x, labels, exact=True)
    # The output layer learns from its own error, whatever comes back below it.
    last = net.maps[-1].weight.name
    assert (found[last] == wanted[last]).all()
    assert all((exact[name] == wanted[name]).all() for name in wanted)
    hidden = [m.weight.name for m in net.maps[:-1]]
    assert all(np.abs(found[name] - wanted[name]).max() > 1e-3 * np.abs(wanted[name]).max() for name in hidden)


@every_kind
def test_factors_of_the_transposed_weights_are_backprop_to_rounding(kind):
    net, (x, labels) = made(kind)
    factors = [balanced_factors(w.T, min(w.shape)) for w in transposes(net)]
    rule = linfa.LowRankFeedback(q_matrices=[q for q, _ in factors], p_matrices=[p for _, p in factors])
    twin, _ = made(kind, rule)
    found, wanted = (gradients(n, x, labels) for n in (twin, net))
    for name in wanted:
        # Two products of some tens of terms instead of one, through four layers.
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12, err_msg=name)


@every_kind
def test_what_a_carrier_calls_b_is_what_it_sends(kind):
    generator = np.random.default_rng(0)
    names = ["backprop", "fa", "kolen-pollack", "mirror", "usf", "frsf", "brsf"]
    rules = [network_preset(name) for name in names] + [linfa.LowRankFeedback(rank=2, q="kolen-pollack", p="local")]
    for rule in rules:
        net, _ = quiet(kind, rule)
        way = Pass(step=3)
        for m in (m for m in net.maps if m.sends):
            error = generator.standard_normal((9, m.source))
            sent, spread = m.signal(error, way)
            b = m.carrier.matrix(m.weight.matrix, way)
            assert b.shape == (m.receiving, m.source)
            # Two sums of at most some tens of terms.
            np.testing.assert_allclose(sent @ spread, error @ b.T, atol=1e-13)


def test_direct_feedback_is_chain_feedback_where_there_is_one_hidden_layer():
    b = np.random.default_rng(1).standard_normal((7, CLASSES))
    q, p = np.random.default_rng(2).standard_normal((7, 2)), np.random.default_rng(3).standard_normal((2, CLASSES))
    factors = {"q_matrices": [q], "p_matrices": [p], "q": "kolen-pollack", "p": "oja-label"}
    pairs = [
        (linfa.FeedbackAlignment([b]), linfa.DirectFeedback([b])),
        (linfa.LowRankFeedback(**factors), linfa.LowRankFeedback(**factors, direct=True)),
    ]
    x, labels = batch(ROWS, classes=CLASSES)
    for chain, direct in pairs:
        found = []
        for rule in (chain, direct):
            net = network([nn.Dense(7), nn.BatchNorm(), nn.ReLU(), nn.Dense(CLASSES)], ROWS, feedback=rule)
            found.append(gradients(net, x, labels))
        assert found[0].keys() == found[1].keys()
        assert all((found[0][name] == found[1][name]).all() for name in found[0])


# The linear theory

WIDTHS = (5, 7, 6, 4)
STEPS, RATE, DECAY = 30, 0.05, 0.01


def linear_problem(widths=WIDTHS):
    generator = np.random.default_rng(0)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [0.4 * generator.standard_normal(shape) for shape in shapes]
    x = generator.standard_normal((40, widths[0]))
    y = x @ generator.standard_normal((widths[0], widths[-1])) + 0.5 * generator.standard_normal((40, widths[-1]))
    return x, y, weights


def matrices(sizes, seed):
    generator = np.random.default_rng(seed)
    return [0.3 * generator.standard_normal(size) for size in sizes]


CHAIN, DIRECT, RANKS = [(7, 6), (6, 4)], [(7, 4), (6, 4)], (3, 2)
FACTORS = {
    "q_matrices": matrices([(7, 3), (6, 2)], 1),
    "p_matrices": matrices([(3, 6), (2, 4)], 2),
}
DIRECT_FACTORS = {"q_matrices": matrices([(7, 2), (6, 2)], 1), "p_matrices": matrices([(2, 4)], 2), "direct": True}
LINEAR = {
    "backprop": linfa.Backprop(),
    "fa": linfa.FeedbackAlignment(matrices(CHAIN, 1)),
    "dfa": linfa.DirectFeedback(matrices(DIRECT, 1)),
    "fixed": linfa.LowRankFeedback(**FACTORS),
    "kolen-pollack": linfa.KolenPollack(matrices(CHAIN, 1)),
    "kolen-pollack-own": linfa.KolenPollack(matrices(CHAIN, 1), decay=0.2, rate=0.5),
    "kolen-pollack-q": linfa.LowRankFeedback(**FACTORS, q="kolen-pollack", q_rate=0.7),
    "raf": linfa.LowRankFeedback(**FACTORS, q="kolen-pollack", p="oja-label", p_rate=0.2),
    "raf-error": linfa.LowRankFeedback(**FACTORS, q="kolen-pollack", p="oja-error", decay=0.3),
    "draf": linfa.LowRankFeedback(**DIRECT_FACTORS, q="kolen-pollack", p="oja-label", p_rate=0.2),
    "draf-error": linfa.LowRankFeedback(**DIRECT_FACTORS, q="kolen-pollack", p="oja-error"),
    "direct-fixed": linfa.LowRankFeedback(**DIRECT_FACTORS),
    "direct-local": linfa.LowRankFeedback(**DIRECT_FACTORS, q="local", p="local"),
    "normative": linfa.LowRankFeedback(**FACTORS, q="normative", p="normative", q_rate=2.0, p_rate=3.0),
    "local": linfa.LowRankFeedback(**FACTORS, q="local", p="local"),
    "local-own": linfa.LowRankFeedback(**FACTORS, q="local", p="local", decay=0.1, q_rate=0.5, p_rate=0.25),
    "usf": linfa.SignSymmetry(scale=0.2),
    "frsf": linfa.SignSymmetry("fixed", scale=0.2, seed=3),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("hidden", [2, 1])
def test_a_linear_network_descends_as_the_linear_theory_says(name, hidden):
    rule = LINEAR[name]
    widths = WIDTHS if hidden == 2 else WIDTHS[1:]
    if hidden == 1:
        plain = rule.to_dict() | {
            key: value[-1:] for key, value in rule.to_dict().items() if key.endswith("matrices") and value is not None
        }
        rule = linfa.feedback.feedback_from_dict(plain)
    x, y, weights = linear_problem(widths)
    layers = [nn.Dense(n, bias=False) for n in widths[1:]]
    interleaved = [part for layer in layers for part in (layer, nn.Identity())]
    net = network(interleaved, (widths[0],), feedback=rule, loss=nn.SquaredError())
    for layer, w in zip(layers, weights, strict=True):
        layer.map.weight.value[...] = w
    if name == "frsf":
        # The two draw their magnitudes in other shapes.
        for m, magnitude in zip(net.maps[1:], rule.resolve(widths).matrices["b"], strict=True):
            m.carrier.buffers["magnitude"][...] = magnitude.T
    task = linfa.LinearTask.from_data(x, y)
    run = linfa.simulate(task, weights, rule, [0, STEPS], learning_rate=RATE, weight_decay=DECAY)
    start, _ = net.learn(x, y, Pass(mode="probe"))
    descend(net, x, y, RATE, DECAY, STEPS)
    end, _ = net.learn(x, y, Pass(mode="probe"))
    assert run.loss == pytest.approx([start, end], rel=1e-11)
    assert np.abs(run.weights[0][1] - weights[0]).max() > 0.05
    # Thirty updates, each of sums over 40 samples here and over correlations there; descent amplifies their rounding.
    for layer, w in zip(layers, run.weights, strict=True):
        np.testing.assert_allclose(layer.map.weight.value, w[1], rtol=0, atol=1e-11)
    if name in ("usf", "frsf"):
        return
    for key, finals in run.feedback_weights.items():
        for m, final in zip(net.maps[1:], finals, strict=True):
            arrays = {p.role.removeprefix("feedback-"): p.value for p in m.carrier.parameters} | m.carrier.buffers
            wanted = final[1].T if key == "b" else final[1]
            np.testing.assert_allclose(arrays[key], wanted, rtol=0, atol=1e-11)


def test_each_hidden_relu_has_a_law_that_drifts_by_the_square_of_its_step():
    b = np.random.default_rng(4).standard_normal((9, 3))
    layers = [nn.Dense(9, bias=False), nn.ReLU(), nn.Dense(3, bias=False)]
    net = network(layers, ROWS, feedback=linfa.FeedbackAlignment([b]))
    x, labels = batch(ROWS, 20, 3)
    below, above = (m.weight.value for m in net.maps)

    def law():
        # |w_i|² − 2 (B W_2)_ii stays in the flow of two layers under feedback alignment, for every unit i.
        return (below**2).sum(1) - 2 * np.einsum("ij,ji->i", b, above)

    for _ in range(10):
        before, start = law(), below.copy()
        descend(net, x, labels, 0.3)
        step = ((below - start) ** 2).sum(1)
        assert step.max() > 1e-6
        # Differences of numbers of order 10.
        np.testing.assert_allclose(law() - before, step, atol=1e-13)


# Ranks


@every_kind
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("rule", ["fixed", "kolen-pollack", "raf", "normative", "local"])
def test_the_signal_that_feedback_sends_has_at_most_its_rank(kind, rank, rule):
    net, (x, labels) = quiet(kind, network_preset(rule, rank=rank), samples=12)
    for m in net.maps:
        m.record = True
    net.learn(x, labels, Pass())
    surpassed = []
    for m in (m for m in net.maps if m.sends):
        error = m.seen["error"]
        sent, spread = m.signal(error, Pass())
        allowed = rank * m.rank_factor
        values = np.linalg.svd(sent @ spread, compute_uv=False)
        # Beyond the rank there is rounding alone.
        assert (values[allowed:] < 1e-13 * values[0]).all()
        exact = np.linalg.svd(error @ m.weight.matrix, compute_uv=False)
        surpassed.append(exact[allowed] > 1e-6 * exact[0])
    # What the output sends at least is cut by the rank; without a nonlinearity between, layers below see that alone.
    assert surpassed[-1]


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("rule", ["dfa", "draf"])
def test_direct_feedback_of_a_rank_delivers_that_rank(kind, rule):
    net, (x, labels) = made(kind, network_preset(rule, rank=2), samples=12)
    for m in net.maps:
        m.record = True
    net.learn(x, labels, Pass())
    for m in (m for m in net.maps if m.sends):
        arrived = m.deliver(m.seen["input"], Pass(output_error=net.maps[-1].seen["error"], learn=False))
        values = np.linalg.svd(arrived.reshape(12, -1), compute_uv=False)
        assert values[1] > 1e-6 * values[0]
        assert values[2] < 1e-13 * values[0]


@pytest.mark.parametrize("rule", ["backprop", "fa", "dfa"])
def test_errors_of_a_linear_classifier_have_rank_below_the_classes(rule):
    def ranks(activation):
        layers = [nn.Dense(9), activation(), nn.Dense(8), activation(), nn.Dense(CLASSES)]
        net = network(layers, ROWS, feedback=network_preset(rule))
        for m in net.maps:
            m.record = True
        net.learn(*batch(ROWS, 30, CLASSES), Pass())
        # Rounding stands 1e-12 below the largest singular value; what is there stands far above it.
        return [np.linalg.matrix_rank(m.seen["error"], rtol=1e-10) for m in net.maps]

    assert ranks(nn.Identity) == [CLASSES - 1] * 3
    # The masks of ReLU raise the rank of every error but the output's.
    bent = ranks(nn.ReLU)
    assert bent[2] == CLASSES - 1
    assert min(bent[:2]) > CLASSES


def test_a_rank_is_capped_layer_by_layer_and_that_is_said():
    with pytest.warns(UserWarning, match="rank 5 is capped where layers are smaller: dense3 4") as caught:
        net, _ = made("dense", linfa.LowRankFeedback(rank=5))
    assert [m.carrier.p.shape[0] for m in net.maps[1:]] == [5, 4]
    assert [str(w.message) for w in caught] == net.notes
    with pytest.warns(UserWarning, match="rank 3 is capped.*block1.attention1.qkv 8"):
        net, _ = made("attention", linfa.LowRankFeedback(rank=3))
    assert {m.name: m.carrier.p.shape[0] for m in net.maps if m.sends} == {
        "block1.attention1.qkv": 8,  # three maps in one: 9, of a width of 8
        "block1.attention1.projection": 3,
        "block2.dense1": 3,
        "block2.dense2": 3,
        "dense1": 3,
    }


def test_kernels_are_capped_at_their_channels_and_given_ones_at_their_shape():
    with pytest.warns(UserWarning, match="rank 5 is capped.*: conv3 4, dense1 4"):
        net, _ = made("conv", linfa.LowRankFeedback(rank=5, draw="svd"))
    assert [m.carrier.q.shape for m in net.maps[1:]] == [(45, 5), (24, 4), (4, 4)]
    given = {"conv2": linfa.LowRankFeedback(q_matrices=[np.ones((45, 6))], p_matrices=[np.ones((6, 6))])}
    assert made("conv", given)[0].maps[1].carrier.p.shape == (6, 6)


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        (linfa.LowRankFeedback(rank=8), "feedback: rank is 8; feedback to these layers has rank 7 at most"),
        ({"dense3": linfa.LowRankFeedback(rank=5)}, r"feedback\['dense3'\]: rank is 5.*has rank 4 at most"),
        (linfa.LowRankFeedback(rank=(2, 5)), "rank 5 is above what feedback to dense3 can have, 4"),
        (linfa.LowRankFeedback(rank=(2, 2, 2)), "rank has 3 entries; 2 layers take one each"),
        (linfa.DirectFeedback(rank=5), "rank is 5; feedback to these layers has rank 4 at most"),
        (
            {"dense3": linfa.LowRankFeedback(q_matrices=[np.ones((7, 5))], p_matrices=[np.ones((5, 4))])},
            r"q_matrices has 5 columns for dense3; feedback of shape \(7, 4\) has rank 4 at most",
        ),
    ],
)
def test_a_rank_above_what_is_asked_for_is_refused(feedback, words):
    with pytest.raises(ValueError, match=words):
        made("dense", feedback)


# Learned feedback


@every_kind
@pytest.mark.parametrize("own", [None, 0.3])
def test_kolen_pollack_closes_the_gap_to_the_weights_exactly(kind, own):
    net, (x, labels) = made(kind, linfa.KolenPollack(seed=2))
    sending = [m for m in net.maps if m.sends]
    gaps = [m.weight.matrix - m.carrier.parameters[0].value for m in sending]
    for m in sending:
        m.carrier.parameters[0].decay = own
    decay = 0.3 if own is None else own
    descend(net, x, labels, 0.1, decay, steps=25)
    for m, gap in zip(sending, gaps, strict=True):
        # Twenty-five roundings of weights of order 1.
        now = m.weight.matrix - m.carrier.parameters[0].value
        np.testing.assert_allclose(now, (1 - 0.1 * decay) ** 25 * gap, atol=1e-14)
        assert np.abs(gap).max() > 0.1


@every_kind
def test_normative_feedback_finds_the_best_fit_of_the_weights(kind):
    net, (x, labels) = quiet(kind, linfa.LowRankFeedback(rank=2, q="normative", p="normative", draw="svd"))
    assert all(p.decay == 0.0 for p in net.feedback_parameters)
    for m in (m for m in net.maps if m.sends):
        gap = m.weight.matrix.T - m.carrier.matrix(m.weight.matrix, Pass())
        values = np.linalg.svd(m.weight.matrix, compute_uv=False)
        # Eckart and Young: what is missing is the rest of the spectrum.
        assert np.linalg.norm(gap) == pytest.approx(np.linalg.norm(values[2 * m.rank_factor :]), rel=1e-12, abs=1e-14)
    net.learn(x, labels, Pass())
    # At the best fit nothing pulls.
    assert max(np.abs(p.gradient).max() for p in net.feedback_parameters) < 1e-13
    for m in net.maps:
        m.weight.value *= 1.5
    net.learn(x, labels, Pass())
    assert max(np.abs(p.gradient).max() for p in net.feedback_parameters) > 0.01
    net.refactor()
    net.learn(x, labels, Pass())
    assert max(np.abs(p.gradient).max() for p in net.feedback_parameters) < 1e-13


@every_kind
def test_what_normative_feedback_descends_is_the_misfit_of_its_factors(kind):
    net, (x, labels) = quiet(kind, linfa.LowRankFeedback(rank=2, q="normative", p="normative", seed=3))
    net.learn(x, labels, Pass())
    generator = np.random.default_rng(0)
    for m in (m for m in net.maps if m.sends):
        for p in m.carrier.parameters:
            direction = generator.standard_normal(p.value.shape)
            losses = []
            for sign in (1, -1):
                p.value += sign * 1e-5 * direction
                losses.append(0.5 * np.sum((m.weight.matrix.T - m.carrier.q @ m.carrier.p) ** 2))
                p.value -= sign * 1e-5 * direction
            # ½|Wᵀ − Q P|² is of the second degree in each factor: central differences are exact up to eps/step.
            assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(float((p.gradient * direction).sum()), rel=1e-7)


@every_kind
def test_learned_factors_receive_the_weights_gradient_through_the_other(kind):
    net, (x, labels) = quiet(kind, linfa.LowRankFeedback(rank=2, q="local", p="local", seed=3))
    net.learn(x, labels, Pass())
    for m in (m for m in net.maps if m.sends):
        gradient = m.weight.gradient.reshape(m.weight.matrix.shape)
        by_role = {p.role: p for p in m.carrier.parameters}
        assert all(p.decay is None for p in by_role.values())
        # The same two products.
        np.testing.assert_allclose(by_role["feedback-q"].gradient, gradient.T @ m.carrier.p.T, atol=1e-15)
        np.testing.assert_allclose(by_role["feedback-p"].gradient, m.carrier.q.T @ gradient.T, atol=1e-15)


@pytest.mark.parametrize("scaling", ["plain", "batch-deviation", "unit-deviation"])
def test_oja_finds_the_leading_eigenspace(scaling):
    generator = np.random.default_rng(0)
    errors = generator.standard_normal((200, 6)) * [3.0, 2.0, 1.0, 0.5, 0.4, 0.3] @ generator.standard_normal((6, 6))
    centred = errors - errors.mean(0)
    deviation = {"plain": 1.0, "batch-deviation": errors.std(0).max(), "unit-deviation": errors.std(0)}[scaling]
    moment = errors.T @ errors / 200 if scaling == "plain" else (centred / deviation).T @ (centred / deviation)
    values, vectors = np.linalg.eigh(moment)
    p = 0.3 * generator.standard_normal((2, 6))
    for _ in range(2000):
        p -= 0.1 / values[-1] * oja_descent(p, errors, scaling)
    # The slowest mode shrinks by 1 − 0.1 (λ₂ − λ₃)/λ₁ an update: below 1e-10 after 2,000.
    assert (1 - 0.1 * (values[-2] - values[-3]) / values[-1]) ** 2000 < 1e-10
    np.testing.assert_allclose(p @ p.T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(p.T @ p, vectors[:, -2:] @ vectors[:, -2:].T, atol=1e-7)


@every_kind
def test_oja_sees_labels_at_the_output_and_errors_of_single_samples_below(kind):
    net, (x, labels) = quiet(kind, network_preset("raf", rank=2), samples=9)
    for m in net.maps:
        m.record = True
    net.learn(x, labels, Pass())
    for m in (m for m in net.maps if m.sends):
        seen = np.eye(CLASSES)[labels] if m.is_output else m.seen["error"] * 9
        gradient = next(p.gradient for p in m.carrier.parameters if p.role == "feedback-p")
        wanted = oja_descent(m.carrier.p, seen, "batch-deviation")
        assert (gradient == wanted).all()
        twice = oja_descent(m.carrier.p, 2 * seen, "batch-deviation")
        # Scaled errors have no size, but for the floor under their spread.
        np.testing.assert_allclose(twice, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_a_batch_without_spread_gives_oja_nothing_to_follow():
    p = np.eye(2, 5)
    for scaling in ("batch-deviation", "unit-deviation"):
        assert (oja_descent(p, np.ones((4, 5)), scaling) == 0).all()


@every_kind
def test_a_weight_mirror_sees_its_weights_on_the_mean_over_its_noise(kind):
    rule = linfa.WeightMirror(seed=1, rate=0.5, noise_variance=0.04)
    net, _ = made(kind, rule)
    sending = [m for m in net.maps if m.sends]
    for m in sending:
        m.carrier.buffers["b"][...] = 0
    refreshes = 600
    for step in range(refreshes):
        net.refresh(1.0 / refreshes, 0.0, Pass(step=step))
    for m in sending:
        b, wanted = m.carrier.buffers["b"], 0.5 * 0.04 * m.weight.matrix
        # Of n noisy samples an entry has the deviation |w| c/√n, |w| the row's norm; five of them.
        samples = refreshes * max(m.weight.matrix.shape)
        known = 5 * 0.02 * np.sqrt(2 * (m.weight.matrix**2).sum(1) / samples)
        assert (np.abs(b - wanted) < known[:, None]).all()
        assert np.abs(wanted).max() > 3 * known.max()


def test_a_weight_mirror_with_decay_settles_along_the_weights():
    net, _ = made("dense", linfa.WeightMirror(seed=1, rate=2.0, decay=4.0))
    start = [linfa.metrics.cosine(m.carrier.buffers["b"], m.weight.value) for m in net.maps[1:]]
    for step in range(1500):
        net.refresh(0.005, 0.7, Pass(step=step))
    for m, before in zip(net.maps[1:], start, strict=True):
        b = m.carrier.buffers["b"]
        # A moving average over 2/(0.005·4) refreshes of eight samples each knows its mean to some per cent.
        assert before < 0.6
        assert linfa.metrics.cosine(b, m.weight.value) > 0.97
        assert np.vdot(b, m.weight.value) / np.vdot(m.weight.value, m.weight.value) == pytest.approx(0.5, rel=0.1)


@every_kind
def test_sign_symmetry_has_the_signs_of_the_weights_and_its_magnitudes(kind):
    for magnitude in ("uniform", "fixed", "redrawn"):
        net, _ = made(kind, linfa.SignSymmetry(magnitude, seed=4))
        for m in (m for m in net.maps if m.sends):
            b = [m.carrier.matrix(m.weight.matrix, Pass(step=step)) for step in (0, 0, 1)]
            assert (np.sign(b[0]) == np.sign(m.weight.matrix.T)).all()
            assert (b[0] == b[1]).all()
            assert (b[0] == b[2]).all() == (magnitude != "redrawn")
            if magnitude == "uniform":
                assert np.unique(np.abs(b[0])).tolist() == [m.deviation]
            else:
                # The root mean square of |N(0, c²)|, known to 1/√(2 n); five times that.
                spread = 5 / np.sqrt(2 * b[0].size)
                assert np.sqrt((b[0] ** 2).mean()) == pytest.approx(m.deviation, rel=spread)
            m.weight.value *= -1
            assert (m.carrier.matrix(m.weight.matrix, Pass()) == -b[0]).all()


# What direct feedback carries


def direct_signals(rule):
    """(what arrives at each hidden layer, F or (Q, P) by layer, output error, targets) of the dense network."""
    net, (x, labels) = made("dense", rule)
    for m in net.maps:
        m.record = True
    net.learn(x, labels, Pass())
    error = net.maps[-1].seen["error"]
    way = Pass(output_error=error, targets=net.targets(labels), learn=False)
    net.body.list[-1].backward(error, way)
    direct = [m for m in net.maps if m.carrier.direct]
    return net, [m.deliver(m.seen["input"], way) for m in direct], error, way


def test_signs_and_targets_are_carried_as_means_over_the_batch():
    net, arrived, error, _ = direct_signals(linfa.DirectFeedback(seed=1, signal="sign"))
    for m, signal in zip(net.maps[1:], arrived, strict=True):
        f = m.carrier.matrix(None, Pass())
        # Products of four terms.
        np.testing.assert_allclose(signal, np.sign(error) / 5 @ f.T, atol=1e-15)
    net, arrived, _, way = direct_signals(linfa.DirectFeedback(seed=1, signal="target"))
    for m, signal in zip(net.maps[1:], arrived, strict=True):
        np.testing.assert_allclose(signal, way.targets / 5 @ m.carrier.matrix(None, Pass()).T, atol=1e-15)
    assert (arrived[0] != 0).all()
    net, arrived, error, _ = direct_signals(linfa.DirectFeedback(seed=1, signal="sign", rank=2))
    assert [m.carrier.matrix(None, Pass()).shape for m in net.maps[1:]] == [(8, 4), (7, 4)]
    for m, signal in zip(net.maps[1:], arrived, strict=True):
        np.testing.assert_allclose(signal, np.sign(error) / 5 @ m.carrier.matrix(None, Pass()).T, atol=1e-15)


def test_what_the_output_layer_sends_is_carried_further_down():
    rule = linfa.LowRankFeedback(rank=3, q="kolen-pollack", p="oja-error", direct=True, signal="below-output", seed=2)
    net, arrived, error, way = direct_signals(rule)
    below, output = (m.carrier for m in net.maps[1:])
    g = error @ (output.inner.q @ output.inner.p).T
    # Products of at most eight terms.
    np.testing.assert_allclose(way.below_output, g, atol=1e-15)
    np.testing.assert_allclose(arrived[1], g, atol=1e-15)
    np.testing.assert_allclose(arrived[0], g @ (below.inner.q @ below.inner.p).T, atol=1e-15)
    assert below.inner.p.shape == (3, 7)
    # With backprop at the output it is the exact error of the layer below.
    mixed = {"dense3": linfa.Backprop(), "*": rule}
    net, arrived, error, way = direct_signals(mixed)
    np.testing.assert_allclose(way.below_output, error @ net.maps[-1].weight.value, atol=1e-15)


def test_low_rank_direct_feedback_starts_from_one_p_as_the_linear_theory_has_it():
    for kind in ("dense", "conv"):
        for draw in ("gaussian", "orthonormal"):
            net, _ = made(kind, linfa.LowRankFeedback(rank=3, direct=True, draw=draw))
            first, *others = [m.carrier.inner for m in net.maps if m.sends]
            assert all((first.p == other.p).all() for other in others)
            assert all((first.q[:4] != other.q[:4]).any() for other in others)


def test_direct_feedback_reaches_every_layer_of_a_convolutional_network():
    net, (x, labels) = made("conv", linfa.DirectFeedback(seed=3))
    found = gradients(net, x, labels)
    error = net.loss(net.forward(x, Pass()), net.targets(labels))[1]
    # The last convolution hears the output through its own F, then the way of pooling and flattening, exactly.
    arrived = (error @ net.maps[-1].carrier.matrix(None, Pass()).T).reshape(5, 1, 1, 4)
    pool = net.body.list[-3]
    conv, below = net.maps[2], net.body.list[:4]
    h = x
    for layer in below:
        h = layer.forward(h, Pass())
    rows = nn.backend.patches(h, 2, 1, 0)
    wanted = pool.backward(arrived, Pass()).reshape(-1, 4).T @ rows
    # Sums of twenty terms.
    np.testing.assert_allclose(found[conv.weight.name].reshape(4, -1), wanted, atol=1e-14)
    assert {m.carrier.matrix(None, Pass()).shape for m in net.maps[1:]} == {(180, 4), (54, 4), (4, 4)}


# Signals that are cut, passes that do not learn


def test_what_follows_the_output_layer_is_passed_before_its_error_is_carried():
    rule = linfa.LowRankFeedback(rank=2, direct=True, signal="below-output", seed=2)
    layers = [nn.Dense(6), nn.Dense(5), nn.Dense(CLASSES), nn.Tanh()]
    net = network(layers, ROWS, feedback={"dense3": linfa.Backprop(), "*": rule})
    x, labels = batch(ROWS, classes=CLASSES)
    way = Pass()
    _, output = net.learn(x, labels, way)
    error = net.loss(output, net.targets(labels))[1] * (1 - output**2)
    # Products of four terms.
    np.testing.assert_allclose(way.below_output, error @ net.maps[-1].weight.value, atol=1e-15)
    carried = way.below_output @ net.maps[1].carrier.matrix(None, way).T
    np.testing.assert_allclose(net.maps[0].weight.gradient, carried.T @ x, atol=1e-14)


def test_what_lies_below_the_output_must_be_one_row():
    rule = linfa.LowRankFeedback(rank=2, direct=True, signal="below-output")
    for layers in (
        [nn.Conv2d(4), nn.Conv2d(CLASSES), nn.GlobalAveragePool()],
        [nn.Dense(4), nn.Dense(3), nn.Flatten()],
    ):
        with pytest.raises(ValueError, match="the last layer with weights must be dense, on one row for each sample"):
            network(layers, IMAGE, feedback=rule)


@every_kind
def test_signals_are_cut_to_what_the_pass_allows_but_the_reference_is_not(kind):
    net, (x, labels) = made(kind)
    free = gradients(net, x, labels)
    loose = gradients(net, x, labels, clip_signal=1e6)
    tight = gradients(net, x, labels, clip_signal=1e-9)
    exact = gradients(net, x, labels, clip_signal=1e-9, exact=True)
    last, first = net.maps[-1].weight.name, net.maps[0].weight.name
    assert all((free[name] == loose[name]).all() and (free[name] == exact[name]).all() for name in free)
    assert (tight[last] == free[last]).all()
    assert np.abs(tight[first]).max() < 1e-5 * np.abs(free[first]).max()


def test_the_limit_of_a_signal_is_one_samples():
    net, (x, labels) = made("dense")
    net.learn(x, labels, Pass())
    m = net.maps[-1]
    error = net.loss(net.forward(x, Pass()), net.targets(labels))[1]
    for limit in (0.05, 0.2):
        back = net.body.list[-1].backward(error, Pass(clip_signal=limit))
        wanted = np.clip(5 * error @ m.weight.value, -limit, limit) / 5
        # A division and a product by five.
        np.testing.assert_allclose(back, wanted, rtol=1e-14)
        assert np.abs(5 * back).max() == pytest.approx(limit, rel=1e-15)


@every_kind
def test_a_pass_that_does_not_learn_leaves_the_feedback_alone(kind):
    net, (x, labels) = quiet(kind, network_preset("raf", rank=2))
    net.learn(x, labels, Pass(learn=False))
    assert all(p.gradient is None for p in net.feedback_parameters)
    net.learn(x, labels, Pass(exact=True))
    assert all(p.gradient is None for p in net.feedback_parameters)
    net.learn(x, labels, Pass())
    assert all(np.isfinite(p.gradient).all() for p in net.feedback_parameters)


# Which layer gets which rule


def test_rules_go_by_names_and_the_first_match_counts():
    feedback = {
        "block1.*": linfa.LowRankFeedback(rank=2, q="kolen-pollack"),
        "*.dense?": linfa.FeedbackAlignment(seed=3),
    }
    net, _ = made("attention", feedback)
    assert [(m.name, m.carrier.name) for m in net.maps] == [
        ("patches1.conv", "backprop"),
        ("block1.attention1.qkv", "low-rank"),
        ("block1.attention1.projection", "low-rank"),
        ("block2.dense1", "full"),
        ("block2.dense2", "full"),
        ("dense1", "backprop"),
    ]
    feedback = {"dense2": linfa.Backprop(), "dense*": linfa.DirectFeedback(seed=1)}
    net, _ = made("dense", feedback)
    assert [m.carrier.name for m in net.maps] == ["backprop", "backprop", "direct full"]


def test_one_layer_constrained_draws_what_it_draws_when_all_are():
    rule = linfa.LowRankFeedback(rank=2, seed=6)
    together, alone = made("dense", rule)[0], made("dense", {"dense3": rule})[0]
    assert (together.maps[2].carrier.q == alone.maps[2].carrier.q).all()
    assert (together.maps[1].carrier.q[:7] != together.maps[2].carrier.q).any()


@pytest.mark.parametrize("draw", ["gaussian", "orthonormal"])
@pytest.mark.parametrize("rank", [1, 3, 20])
def test_low_rank_feedback_has_the_gain_of_the_weights_it_replaces(draw, rank):
    squares = []
    for seed in range(1 if draw == "orthonormal" else 20):
        rule = linfa.LowRankFeedback(rank=rank, draw=draw, seed=seed)
        net = network([nn.Dense(300), nn.Dense(200), nn.Dense(2)], (4,), feedback={"dense2": rule})
        squares.append((net.maps[1].carrier.matrix(None, Pass()) ** 2).mean())
    m = net.maps[1]
    # Exact for orthonormal factors; else known to √(2/200 + 2/300)/√20 = 3 % at rank 1; three times that.
    tolerance = 1e-12 if draw == "orthonormal" else 0.09
    assert np.mean(squares) == pytest.approx(m.deviation**2, rel=tolerance)


def test_full_feedback_is_drawn_with_the_spread_of_the_weights():
    layers = [nn.Dense(300, initial="he-normal"), nn.Dense(200, initial="glorot-normal"), nn.Dense(2)]
    m = network(layers, (4,), feedback=linfa.FeedbackAlignment(seed=1)).maps[1]
    # 60,000 entries know their spread to 0.3 %; five times that.
    assert m.carrier.buffers["b"].std() == pytest.approx(m.deviation, rel=0.015)
    assert m.weight.value.std() == pytest.approx(m.deviation, rel=0.015)
    assert abs(linfa.metrics.cosine(m.carrier.buffers["b"], m.weight.value)) < 5 / np.sqrt(60_000)


@pytest.mark.parametrize("name", NETWORK_PRESETS)
def test_every_preset_teaches_a_small_network(name):
    rank = 3 if name in ("fixed", "raf", "draf", "normative", "local") else None
    layers = [nn.Dense(40), nn.BatchNorm(), nn.ReLU(), nn.Dense(30), nn.BatchNorm(), nn.ReLU(), nn.Dense(CLASSES)]
    net = network(layers, ROWS, feedback=network_preset(name, rank=rank, seed=1))
    x, labels = batch(ROWS, 60, CLASSES)
    first = net.learn(x, labels, Pass())[0]
    for step in range(60):
        net.learn(x, labels, Pass(step=step))
        for p in net.parameters:
            # Oja's published scaling sums over the batch: a rate for that.
            p.value -= (1e-3 if p.role == "feedback-p" else 0.1) * p.gradient
        net.refresh(0.1, 0.0, Pass(step=step))
    assert net.learn(x, labels, Pass())[0] < 0.7 * first


# State


@every_kind
@pytest.mark.parametrize("name", ["fa", "kolen-pollack", "raf", "frsf", "mirror"])
def test_a_restored_network_goes_on_with_the_same_bits(kind, name):
    rank = 2 if name == "raf" else None
    net, (x, labels) = quiet(kind, network_preset(name, rank=rank, seed=1))
    descend(net, x, labels, 0.01, steps=2)
    other, _ = quiet(kind, network_preset(name, rank=rank, seed=9), seed=9)
    assert any((a != b).any() for a, b in zip(net.state().values(), other.state().values(), strict=True))
    other.load_state({key: array.copy() for key, array in net.state().items()})
    # Noise and magnitudes that a rule draws while it runs are a function of its own seed.
    for n in (net, other):
        descend(n, x, labels, 0.01, steps=2)
    assert all((net.state()[key] == other.state()[key]).all() for key in net.state())


def test_the_state_of_another_network_is_refused():
    net, _ = made("dense", linfa.FeedbackAlignment())
    state = net.state()
    with pytest.raises(ValueError, match=r"the state lacks 'dense2\.b'"):
        net.load_state({key: array for key, array in state.items() if key != "dense2.b"})
    with pytest.raises(ValueError, match=r"the state has 'dense9\.weight'"):
        net.load_state(state | {"dense9.weight": np.ones(3)})
    with pytest.raises(ValueError, match=r"dense1.weight in the state is float64 \(2, 2\); here it is float64"):
        net.load_state(state | {"dense1.weight": np.ones((2, 2))})
    with pytest.raises(ValueError, match=r"dense1\.weight in the state is float32"):
        net.load_state(state | {"dense1.weight": np.ones((8, 6), np.float32)})
    assert all((net.state()[key] == state[key]).all() for key in state)


# What is refused


@pytest.mark.parametrize(
    ("kind", "feedback", "error", "words"),
    [
        ("dense", "fa", TypeError, "feedback is 'fa'; it must be a rule of linfa.feedback"),
        ("dense", linfa.FeedbackAlignment, TypeError, "it must be a rule of linfa.feedback"),
        ("dense", {"dense2": "fa"}, TypeError, r"feedback\['dense2'\] is 'fa'"),
        ("dense", {2: linfa.Backprop()}, TypeError, "feedback has the key 2; its keys must be names"),
        ("dense", {"dense1": linfa.FeedbackAlignment()}, ValueError, "'dense1'.*matches no layer.*dense2, dense3"),
        ("dense", {"conv*": linfa.FeedbackAlignment()}, ValueError, "matches no layer that sends an error down"),
        ("dense", linfa.FeedbackAlignment([np.ones((8, 7))]), ValueError, "matrices has 1 matrices; 2 layers take"),
        (
            "dense",
            linfa.FeedbackAlignment([np.ones((8, 7)), np.ones((4, 7))]),
            ValueError,
            r"matrices\[1\] is \(4, 7\); it must be \(7, 4\)",
        ),
        ("dense", linfa.FeedbackAlignment(draw="svd"), ValueError, "draw is 'svd'.*low-rank feedback"),
        ("dense", linfa.LowRankFeedback(rank=2, direct=True, draw="svd"), ValueError, "direct feedback replaces none"),
        (
            "dense",
            linfa.LowRankFeedback(rank=2, direct=True, q="normative", p="normative"),
            ValueError,
            "direct and normative",
        ),
        (
            "dense",
            linfa.LowRankFeedback(rank=2, direct=True, signal="below-output", p="oja-label"),
            ValueError,
            "p must be 'oja-error'",
        ),
        (
            "dense",
            linfa.LowRankFeedback(rank=2, q_matrices=[np.ones((8, 3)), np.ones((7, 2))]),
            ValueError,
            r"q_matrices\[0\] is \(8, 3\); it must be \(8, 2\)",
        ),
        ("residual", linfa.DirectFeedback(), ValueError, "feedback is direct.*block1 is Residual"),
        ("attention", network_preset("draf", rank=2), ValueError, "feedback is direct.*block1 is Residual"),
    ],
)
def test_feedback_that_does_not_fit_is_refused(kind, feedback, error, words):
    with pytest.raises(error, match=words):
        made(kind, feedback)


def test_attention_alone_hinders_direct_feedback_too():
    with pytest.raises(ValueError, match="attention1 is SelfAttention"):
        network([nn.SelfAttention(2), nn.TokenPool(), nn.Dense(2)], (3, 4), feedback=linfa.DirectFeedback())


def test_rules_that_read_the_targets_or_the_output_say_what_they_miss():
    for name in ("drtp", "draf", "raf"):
        net, (x, labels) = made("dense", network_preset(name, rank=None if name == "drtp" else 2))
        error = net.loss(net.forward(x, Pass()), net.targets(labels))[1]
        with pytest.raises(RuntimeError, match="reads the targets, which the pass does not hold"):
            net.backward(error, Pass())
    net, (x, labels) = made("dense", linfa.DirectFeedback())
    error = net.loss(net.forward(x, Pass()), net.targets(labels))[1]
    with pytest.raises(RuntimeError, match="needs the network's output error"):
        net.body.backward(error, Pass())


def test_a_network_of_one_layer_takes_any_rule_and_needs_none():
    x, labels = batch(ROWS, 6, 3)
    reference = gradients(network([nn.Dense(3)], ROWS), x, labels)
    for name in NETWORK_PRESETS:
        rank = 2 if name in ("fixed", "raf", "draf", "normative", "local") else None
        net = network([nn.Dense(3)], ROWS, feedback=network_preset(name, rank=rank))
        found = gradients(net, x, labels)
        assert all((found[key] == reference[key]).all() for key in found)
    with pytest.raises(ValueError, match="these do: none"):
        network([nn.Dense(3)], ROWS, feedback={"dense1": linfa.FeedbackAlignment()})
