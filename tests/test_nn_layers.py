"""Layers: gradients against finite differences and PyTorch, running averages, dropped units, and what is refused."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nn_checks import IMAGE, TorchTwin, assert_close, assert_slopes, batch, gradients, network, spread_out

from linfa import nn
from linfa.nn import Pass

CLASSES = 3
TOKENS = (5, 8)


def on_images(*layers):
    """What is to be tested above a layer that learns, so that its way back is seen."""
    return lambda: ([nn.Dense(4), *[make() for make in layers], nn.Flatten(), nn.Dense(CLASSES)], IMAGE)


def on_tokens(*layers):
    return lambda: ([nn.Dense(8), *[make() for make in layers], nn.Flatten(), nn.Dense(CLASSES)], TOKENS)


def on_rows(*layers):
    return lambda: ([nn.Dense(6), *[make() for make in layers], nn.Dense(CLASSES)], (7,))


CASES = {
    "dense": on_rows(lambda: nn.Dense(5, initial="glorot-normal")),
    "dense-without-bias": on_rows(lambda: nn.Dense(5, bias=False)),
    "dense-on-positions": on_images(lambda: nn.Dense(5, initial="he-normal")),
    "conv": on_images(lambda: nn.Conv2d(5)),
    "conv-stride": on_images(lambda: nn.Conv2d(5, 3, stride=2)),
    "conv-even": on_images(lambda: nn.Conv2d(5, 2, stride=3, padding=1)),
    "conv-wide-padding": on_images(lambda: nn.Conv2d(2, 2, padding=4)),
    "conv-1-stride-2": on_images(lambda: nn.Conv2d(5, 1, stride=2, padding=0, bias=False)),
    "conv-1": on_images(lambda: nn.Conv2d(5, 1)),
    "conv-whole-image": on_images(lambda: nn.Conv2d(5, 6, padding=0)),
    "batch-norm": on_rows(nn.BatchNorm),
    "batch-norm-images": on_images(nn.BatchNorm),
    "layer-norm": on_rows(nn.LayerNorm),
    "layer-norm-images": on_images(nn.LayerNorm),
    "relu": on_rows(nn.ReLU),
    "gelu": on_rows(nn.GELU),
    "tanh": on_rows(nn.Tanh),
    "identity": on_rows(nn.Identity),
    "dropout": on_rows(lambda: nn.Dropout(0.4)),
    "max-pool": on_images(lambda: nn.MaxPool(2)),
    "max-pool-overlap": on_images(lambda: nn.MaxPool(3, 2)),
    "average-pool": on_images(lambda: nn.AveragePool(2)),
    "average-pool-overlap": on_images(lambda: nn.AveragePool(4, 1)),
    "global-pool": lambda: ([nn.Conv2d(4), nn.GlobalAveragePool(), nn.Dense(CLASSES)], IMAGE),
    "subsample": on_images(lambda: nn.Subsample(2, 7)),
    "subsample-same": on_images(lambda: nn.Subsample(5, 4)),
    "attention": on_tokens(lambda: nn.SelfAttention(2)),
    "attention-one-head": on_tokens(lambda: nn.SelfAttention(1)),
    "attention-dropout": on_tokens(lambda: nn.SelfAttention(4, dropout=0.3, attention_dropout=0.3)),
    "first-token": lambda: ([nn.Dense(4), nn.TokenPool("first"), nn.Dense(CLASSES)], TOKENS),
    "mean-token": lambda: ([nn.Dense(4), nn.TokenPool("mean"), nn.Dense(CLASSES)], TOKENS),
    "patches": lambda: ([nn.Dense(4), nn.PatchEmbedding(3, 8), nn.TokenPool(), nn.Dense(CLASSES)], IMAGE),
    "patches-first": lambda: (
        [nn.PatchEmbedding(2, 8, class_token=False), nn.TokenPool("mean"), nn.Dense(CLASSES)],
        IMAGE,
    ),
    "residual": on_rows(lambda: nn.Residual([nn.Dense(4), nn.Tanh(), nn.Dense(6)])),
    "residual-shortcut": on_images(
        lambda: nn.Residual([nn.Conv2d(5, stride=2), nn.BatchNorm(), nn.Tanh()], [nn.Conv2d(5, 1, stride=2)])
    ),
    "residual-dropped": on_rows(lambda: nn.Residual([nn.Dense(6)], drop_path=0.5)),
    "residual-empty": on_rows(lambda: nn.Residual([])),
    "residual-nested": on_rows(lambda: nn.Residual([nn.Residual([nn.Dense(6)]), nn.GELU()], [nn.Dense(6)])),
    "residual-first": lambda: ([nn.Residual([nn.Dense(7)]), nn.Dense(CLASSES)], (7,)),
    "residual-first-shortcut": lambda: ([nn.Residual([nn.Tanh()], [nn.Dense(7)]), nn.Dense(CLASSES)], (7,)),
    "residual-nothing-below": lambda: ([nn.Residual([nn.Tanh()]), nn.Dense(4), nn.Dense(CLASSES)], (7,)),
    "attention-first": lambda: ([nn.SelfAttention(2), nn.TokenPool("mean"), nn.Dense(CLASSES)], TOKENS),
    "sequential": on_rows(lambda: nn.Sequential([nn.Dense(4), nn.Sequential([nn.Tanh(), nn.Dense(5)])])),
    "sequential-empty": on_rows(lambda: nn.Sequential([])),
    "norm-first": lambda: ([nn.BatchNorm(), nn.Dense(5), nn.LayerNorm(), nn.Dense(CLASSES)], (7,)),
    "no-hidden-layer": lambda: ([nn.Dense(CLASSES)], (7,)),
    "ends-without-weights": lambda: ([nn.Dense(CLASSES), nn.Tanh()], (7,)),
}
KINKED = ("relu", "max-pool", "max-pool-overlap")
every_case = pytest.mark.parametrize("name", CASES)


def made(name, **options):
    layers, shape = CASES[name]()
    return spread_out(network(layers, shape, **options)), batch(shape, classes=CLASSES)


@every_case
def test_gradients_are_finite_differences_of_the_loss(name):
    net, (x, labels) = made(name)
    assert_slopes(net, x, labels, step=1e-6 if name in KINKED else 1e-4)


@every_case
def test_outputs_and_gradients_are_those_of_pytorch(name):
    pytest.importorskip("torch", reason="PyTorch is the reference here and is not installed")
    net, (x, labels) = made(name)
    twin = TorchTwin(net)
    loss, output = net.learn(x, labels, Pass(step=3))
    found = {p.name: p.gradient for p in net.weights}
    wanted = twin.gradients(x, labels)
    reference, out = twin.loss(x, labels)
    # Sums of at most some hundred terms, in another order.
    assert loss == pytest.approx(float(reference.detach()), rel=1e-12)
    np.testing.assert_allclose(output, out.detach().numpy(), rtol=0, atol=1e-12 * np.abs(output).max())
    assert_close(found, wanted, 1e-10)


@pytest.mark.parametrize("name", CASES)
def test_single_precision_equals_double_to_its_precision(name):
    double, (x, labels) = made(name)
    single, _ = made(name, dtype="float32")
    for p, q in zip(single.weights, double.weights, strict=True):
        p.value[...] = q.value
    found, wanted = (gradients(net, x, labels, step=3) for net in (single, double))
    assert {g.dtype for g in found.values()} == {np.dtype("float32")}
    # eps is 1.2e-7; sums of hundreds of terms and the divisions of normalisation take two digits.
    assert_close(found, wanted, 3e-5)


@every_case
def test_one_sample_alone_goes_through(name):
    net, (x, labels) = made(name)
    if any(isinstance(layer, nn.BatchNorm) for layer in net.layers) and x.ndim == 2:
        with pytest.raises(ValueError, match="norm1 gets 1 row; the statistics of a batch need at least 2"):
            gradients(net, x[:1], labels[:1])
        return
    assert all(np.isfinite(g).all() for g in gradients(net, x[:1], labels[:1]).values())


@every_case
def test_evaluation_does_not_depend_on_the_batch_and_keeps_nothing(name):
    net, (x, labels) = made(name)
    gradients(net, x, labels)
    together = net.forward(x)
    # Products of matrices sum in another order for another number of rows.
    np.testing.assert_allclose(np.concatenate([net.forward(x[k : k + 1]) for k in range(len(x))]), together, atol=1e-12)
    if name != "identity":
        with pytest.raises(RuntimeError, match="backward came before a forward pass that keeps its inputs"):
            net.backward(np.ones_like(together), Pass())


@every_case
def test_the_same_seed_gives_the_same_bits(name):
    first, second, other = (gradients(made(name)[0], *made(name)[1], step=2, seed=s) for s in (5, 5, 6))
    assert all((first[key] == second[key]).all() for key in first)
    if "drop" in name:
        assert any((first[key] != other[key]).any() for key in first)


@pytest.mark.parametrize(
    ("layers", "sending"),
    [
        (lambda: [nn.Dense(7), nn.Dense(7)], [False, True]),
        (lambda: [nn.BatchNorm(), nn.Dense(7)], [True]),
        (lambda: [nn.Residual([nn.Dense(7), nn.Dense(7)], [nn.Dense(7), nn.Dense(7)])], [False, True, False, True]),
        (lambda: [nn.Residual([nn.Tanh()], [nn.Dense(7)]), nn.Dense(7)], [False, True]),
        (lambda: [nn.Residual([nn.Dense(7)]), nn.Residual([nn.Dense(7)])], [False, True]),
        (lambda: [nn.LayerNorm(), nn.Residual([nn.Dense(7)], [nn.Dense(7)])], [True, True]),
        (lambda: [nn.Residual([nn.Tanh()]), nn.Dropout(0.1), nn.Dense(7)], [False]),
    ],
)
def test_errors_are_sent_only_where_something_below_learns(layers, sending):
    net = network([*layers(), nn.Dense(CLASSES)], (7,))
    assert [m.sends for m in net.maps] == [*sending, True]


# Convolution


@given(
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 5),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=60, deadline=None)
@example(sides=(8, 5), kernel=3, stride=2, padding=0, channels=(2, 3))  # positions at the border that no window reaches
@example(sides=(3, 3), kernel=2, stride=1, padding=5, channels=(1, 1))  # windows that see nothing but padding
def test_any_convolution_is_that_of_pytorch(sides, kernel, stride, padding, channels):
    pytest.importorskip("torch", reason="PyTorch is the reference here and is not installed")
    shape = (*sides, channels[0])
    layers = [nn.Dense(channels[0]), nn.Conv2d(channels[1], kernel, stride=stride, padding=padding)]
    layers += [nn.Flatten(), nn.Dense(CLASSES)]
    if min(sides) + 2 * padding < kernel:
        with pytest.raises(ValueError, match=f"conv1 has a kernel of {kernel}, more than the image"):
            network(layers, shape)
        return
    net, (x, labels) = network(layers, shape), batch(shape, 3, CLASSES)
    # Sums of at most some hundred terms, in another order.
    assert_close(gradients(net, x, labels), TorchTwin(net).gradients(x, labels), 1e-12)


@given(
    side=st.integers(3, 9), kernel=st.integers(1, 3), padding=st.integers(0, 2), sent=st.integers(1, 3),
    arriving=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_the_turned_kernel_scatters_what_folding_does(side, kernel, padding, sent, arriving):
    padding = min(padding, kernel - 1)
    conv = nn.Conv2d(sent, kernel, padding=padding)
    net = network([nn.Dense(arriving), conv, nn.Flatten(), nn.Dense(2)], (side, side, 2))
    generator = np.random.default_rng(side)
    rows = generator.standard_normal((4, conv.tall, conv.wide, sent))
    spread = net.maps[1].weight.matrix
    shape = (4, side, side, arriving)
    folded = nn.backend.fold(rows.reshape(-1, sent) @ spread, shape, kernel, 1, padding)
    # Some tens of terms in another order.
    np.testing.assert_allclose(conv._transposed(rows, spread, shape), folded, atol=1e-13)


def test_many_images_go_in_pieces_with_the_same_outcome(monkeypatch):
    net, (x, labels) = made("conv-stride")
    whole = gradients(net, x, labels)
    monkeypatch.setattr(nn.backend, "_CHUNK_ENTRIES", 1)
    # Sums over five pieces instead of one.
    assert_close(gradients(net, x, labels), whole, 1e-13)


# Normalisation


@pytest.mark.parametrize("shape", [(7,), IMAGE])
def test_running_averages_and_evaluation_are_those_of_pytorch(shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the reference here and is not installed")
    layer = nn.BatchNorm(momentum=0.3, epsilon=1e-3)
    net = spread_out(network([layer, nn.Flatten(), nn.Dense(CLASSES)], shape))
    twin = torch.nn.BatchNorm1d(shape[-1], eps=1e-3, momentum=0.3).double()
    twin.weight.data, twin.bias.data = torch.tensor(layer.gain.value), torch.tensor(layer.shift.value)
    for seed in range(4):
        x, labels = batch(shape, classes=CLASSES, seed=seed)
        net.learn(2 * x + 1, labels, Pass())
        twin(torch.tensor(2 * x + 1).reshape(-1, shape[-1]))
    # A handful of averages of at most 180 numbers.
    np.testing.assert_allclose(layer.buffers["mean"], twin.running_mean.numpy(), rtol=1e-13)
    np.testing.assert_allclose(layer.buffers["variance"], twin.running_var.numpy(), rtol=1e-13)
    twin.eval()
    wanted = twin(torch.tensor(x).reshape(-1, shape[-1])).detach().numpy().reshape(x.shape)
    np.testing.assert_allclose(layer.forward(x, Pass("evaluate")), wanted, atol=1e-13)


def test_a_probe_computes_as_training_does_and_moves_nothing():
    layers = [nn.Dense(6), nn.BatchNorm(), nn.Dropout(0.5), nn.Dense(CLASSES)]
    net, (x, labels) = network(layers, (7,)), batch((7,))
    before = {name: array.copy() for name, array in net.state().items()}
    probed = gradients(net, x, labels, mode="probe")
    assert all((before[name] == array).all() for name, array in net.state().items())
    without = network([nn.Dense(6), nn.BatchNorm(), nn.Dense(CLASSES)], (7,))
    trained = gradients(without, x, labels)
    assert all((probed[name] == trained[name]).all() for name in trained)
    assert (before["norm1.mean"] == 0).all()
    assert (without.state()["norm1.mean"] != 0).all()


@pytest.mark.parametrize("layer", [nn.BatchNorm, nn.LayerNorm])
def test_normalised_activity_has_no_mean_and_unit_spread(layer):
    normal = layer(epsilon=1e-12)
    network([normal, nn.Dense(2)], (50,))
    out = normal.forward(3 * batch((50,), 40)[0] + 5, Pass())
    axis = 0 if layer is nn.BatchNorm else 1
    # ε shifts the spread by 1e-12; the rest is rounding.
    np.testing.assert_allclose(out.mean(axis), 0, atol=1e-13)
    np.testing.assert_allclose(out.std(axis), 1, atol=1e-12)


# Chance


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    layer = nn.Dropout(0.3)
    network([layer, nn.Dense(2)], (1000,))
    x = np.ones((400, 1000))
    out = layer.forward(x, Pass(seed=3))
    # 400,000 draws know a rate of 0.3 to 0.0007; five times that.
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.0036)
    assert set(np.unique(out)) == {0.0, 1 / 0.7}
    assert (layer.forward(x, Pass("evaluate")) == 1).all()
    assert (layer.forward(x, Pass("probe")) == 1).all()


def test_masks_depend_on_seed_step_and_layer_alone():
    def masks(**options):
        layers = [nn.Dropout(0.5), nn.Dropout(0.5)]
        network([*layers, nn.Dense(2)], (64,))
        return [layer.forward(np.ones((8, 64)), Pass(**options)) for layer in layers]

    first, second = masks(seed=1, step=4)
    assert (first != second).any()
    for kept, again in zip((first, second), masks(seed=1, step=4), strict=True):
        assert (kept == again).all()
    assert all((first != masks(**o)[0]).any() for o in ({"seed": 2, "step": 4}, {"seed": 1, "step": 5}))


def test_a_dropped_path_leaves_out_whole_samples_and_keeps_the_mean():
    body = nn.Dense(6, bias=False)
    block = nn.Residual([body], drop_path=0.25)
    network([block, nn.Dense(2)], (6,))
    x = np.ones((4000, 6))
    added = block.forward(x, Pass()) - x
    whole = x @ body.map.weight.value.T / 0.75
    dropped = (added == 0).all(1)
    # Left out or whole, up to the rounding of x + body − x.
    np.testing.assert_allclose(added[~dropped], whole[~dropped], atol=1e-14)
    # 4,000 draws know a rate of 0.25 to 0.007; five times that.
    assert dropped.mean() == pytest.approx(0.25, abs=0.035)


# What is refused


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.Dense(0), ValueError, "units is 0; it must be at least 1"),
        (lambda: nn.Dense(-3), ValueError, "units is -3"),
        (lambda: nn.Dense(2.0), TypeError, "units is 2.0; it must be an integer"),
        (lambda: nn.Dense(True), TypeError, "units is True; it must be an integer"),
        (lambda: nn.Dense(3, bias=1), TypeError, "bias is 1; it must be True or False"),
        (lambda: nn.Dense(3, initial="he-norm"), ValueError, "initial is 'he-norm'.*did you mean 'he-normal'"),
        (lambda: nn.Conv2d(3, 0), ValueError, "kernel is 0"),
        (lambda: nn.Conv2d(3, stride=0), ValueError, "stride is 0"),
        (lambda: nn.Conv2d(3, padding=-1), ValueError, "padding is -1; it must be at least 0"),
        (lambda: nn.BatchNorm(momentum=0.0), ValueError, "momentum is 0; it must be above 0"),
        (lambda: nn.BatchNorm(momentum=1.5), ValueError, "momentum is 1.5; it must be at most 1"),
        (lambda: nn.LayerNorm(epsilon=0), ValueError, "epsilon is 0; it must be above 0"),
        (lambda: nn.Dropout(1.0), ValueError, "rate is 1; it must be below 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "rate is -0.1; it must be at least 0"),
        (lambda: nn.Dropout(float("nan")), ValueError, "rate is nan; it must be finite"),
        (lambda: nn.Residual([], drop_path=1), ValueError, "drop_path is 1; it must be below 1"),
        (lambda: nn.Residual(nn.Dense(3)), TypeError, "layers is Dense; it must be a list of layers"),
        (lambda: nn.MaxPool(0), ValueError, "size is 0"),
        (lambda: nn.MaxPool(16), ValueError, "size is 16; it must be at most 15"),
        (lambda: nn.Subsample(0, 3), ValueError, "stride is 0"),
        (lambda: nn.SelfAttention(0), ValueError, "heads is 0"),
        (lambda: nn.SelfAttention(1, dropout=1.0), ValueError, "dropout is 1; it must be below 1"),
        (lambda: nn.SelfAttention(1, attention_dropout=2.0), ValueError, "attention_dropout is 2; it must be below"),
        (lambda: nn.PatchEmbedding(0, 4), ValueError, "size is 0"),
        (lambda: nn.TokenPool("last"), ValueError, "which is 'last'; it must be one of first, mean"),
        (lambda: nn.Sequential([nn.Dense(3), "relu"]), TypeError, r"layers\[1\] is 'relu'; it must be a layer"),
        (lambda: nn.Sequential([nn.Dense]), TypeError, r"layers\[0\] is <class.*Dense'>; it must be a layer"),
        (lambda: nn.CrossEntropy(1.5), ValueError, "label_smoothing is 1.5; it must be at most 1"),
        (lambda: Pass("test"), ValueError, "mode is 'test'; it must be one of train, probe, evaluate"),
    ],
)
def test_a_layer_refuses_what_makes_no_sense(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("layers", "shape", "words"),
    [
        (lambda: [nn.Conv2d(3)], (8,), r"conv1 gets samples of shape \(8,\); a convolution takes"),
        (lambda: [nn.Conv2d(3, 9, padding=0)], IMAGE, "conv1 has a kernel of 9, more than the image"),
        (lambda: [nn.MaxPool(2)], (8,), r"pool1 gets samples of shape \(8,\); pooling takes"),
        (lambda: [nn.AveragePool(7)], IMAGE, r"pool1 has windows of 7, more than the image \(6, 6\)"),
        (lambda: [nn.GlobalAveragePool()], (8,), "pool1 gets samples.*there must be positions"),
        (lambda: [nn.Subsample(2, 2)], IMAGE, "subsample1 gets samples.*with at most 2 channels"),
        (lambda: [nn.SelfAttention(3)], TOKENS, "heads is 3; it must divide the width of a token, 8"),
        (lambda: [nn.SelfAttention(1)], IMAGE, "attention1 gets samples.*attention takes"),
        (lambda: [nn.PatchEmbedding(4, 8)], IMAGE, "patches1 gets samples.*multiples of the patch's 4"),
        (lambda: [nn.PatchEmbedding(4, 8)], (16,), "patches1 gets samples"),
        (lambda: [nn.TokenPool()], IMAGE, "pool1 gets samples.*it takes"),
        (lambda: [nn.Residual([nn.Dense(4)])], IMAGE, r"block1: its body makes \(6, 6, 4\).*its input \(6, 6, 3\)"),
        (lambda: [nn.Residual([], [nn.Dense(4)])], IMAGE, r"block1: its body.*its shortcut \(6, 6, 4\)"),
        (lambda: [nn.Conv2d(3)], IMAGE, r"the network makes \(6, 6, 3\) of a sample"),
    ],
)
def test_layers_refuse_samples_that_do_not_fit(layers, shape, words):
    with pytest.raises(ValueError, match=words):
        nn.Network([*layers(), *([] if "the network" in words else [nn.Flatten(), nn.Dense(2)])], shape)


def test_one_layer_in_two_places_is_refused():
    layer = nn.Dense(7)
    for layers in ([layer, layer], [layer, nn.Residual([layer])], [nn.Residual([layer], [layer])]):
        with pytest.raises(ValueError, match="layers holds one layer twice"):
            nn.Network([*layers, nn.Dense(2)], (7,))
    nn.Network([layer, nn.Dense(2)], (7,))
    with pytest.raises(ValueError, match="part of a network already"):
        nn.Network([layer], (7,))
