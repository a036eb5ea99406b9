"""Models and networks: known sizes, gradients against PyTorch and finite differences, the register, what is refused."""

import numpy as np
import pytest
from nn_checks import TorchTwin, assert_close, assert_slopes, batch, gradients, network, spread_out

import linfa
from linfa import nn
from linfa.nn import Pass
from linfa.nn.losses import one_hot
from linfa.presets import network_preset

CLASSES = 3
SMALL = (8, 8, 3)
# Every model at a size at which everything in it is still there: strides, shortcuts of both kinds, every dropout.
TINY = {
    "mlp": ("mlp", {"widths": (6, 5)}, (4, 4, 2)),
    "mlp-layer-norm": ("mlp", {"widths": (6, 5), "normalisation": "layer", "activation": "gelu"}, (7,)),
    "mlp-plain": ("mlp", {"widths": (6,), "normalisation": None, "activation": "tanh", "dropout": 0.3}, (7,)),
    "mlp-linear": ("mlp", {"widths": ()}, (4, 4, 2)),
    "conv4": ("conv4", {"widths": (3, 4, 5)}, SMALL),
    "conv4-norm": ("conv4", {"widths": (3, 4, 5), "normalisation": "batch", "readout": "mean"}, SMALL),
    "conv4-strides": ("conv4", {"widths": (3, 4), "strides": (1, 3), "kernel": 5}, SMALL),
    "vgg": ("vgg", {"widths": (3, 4, 5), "hidden": 6}, SMALL),
    "vgg-plain": ("vgg", {"widths": (3, 4), "depth": 1, "normalisation": None, "dropout": 0.0}, SMALL),
    "retina": ("retina", {"channels": 3, "kernel": 3, "hidden": 6}, (6, 6, 1)),
    "retina-nerve": ("retina", {"channels": 3, "kernel": 3, "hidden": 6, "bottleneck": 1}, (6, 6, 1)),
    "resnet18": ("resnet18", {"widths": (3, 4, 5)}, SMALL),
    "resnet18-plain": ("resnet18", {"widths": (3, 4), "normalisation": None}, SMALL),
    "resnet18-layer-norm": ("resnet18", {"widths": (3, 4), "normalisation": "layer", "blocks": 1}, SMALL),
    "resnet20": ("resnet20", {"widths": (3, 4), "blocks": 2}, SMALL),
    "vit": ("vit", {"width": 8, "depth": 3, "heads": 2}, SMALL),
    "vit-mean": ("vit", {"width": 8, "depth": 1, "heads": 4, "class_token": False, "mlp_ratio": 1.5}, SMALL),
    "vit-6": ("vit-6", {"width": 8, "depth": 2, "heads": 2}, SMALL),
    "vit-small": ("vit-small", {"width": 8, "depth": 2, "heads": 2}, SMALL),
}  # fmt: skip
every_model = pytest.mark.parametrize("name", TINY)


def made(name, feedback=None, **options):
    called, defaults, shape = TINY[name]
    net = network(nn.model(called, shape, CLASSES, **(defaults | options)), shape, feedback=feedback)
    return spread_out(net), batch(shape, 6, CLASSES)


def weights_of(name, shape, classes=10, **options):
    return sum(p.value.size for p in nn.Network(nn.model(name, shape, classes, **options), shape).weights)


def torch():
    return pytest.importorskip("torch", reason="PyTorch is the reference here and is not installed")


# Sizes


@pytest.mark.parametrize(
    ("name", "options", "classes", "weights"),
    [
        ("resnet18", {}, 10, 11_173_962),
        ("resnet18", {}, 100, 11_220_132),
        ("resnet20", {}, 10, 269_722),
        ("resnet20", {"shortcut": "projection"}, 10, 272_474),
        ("mlp", {"normalisation": None}, 10, 2_103_818),
    ],
)
def test_known_networks_have_their_number_of_weights(name, options, classes, weights):
    assert weights_of(name, (32, 32, 3), classes, **options) == weights


@pytest.mark.parametrize(
    ("name", "width", "depth", "hidden"), [("vit", 384, 8, 768), ("vit-6", 384, 6, 384), ("vit-small", 128, 4, 256)]
)
def test_transformers_have_the_weights_of_their_parts(name, width, depth, hidden):
    embedding = (4 * 4 * 3 + 1) * width + (64 + 1) * width + width
    attention = (width + 1) * 3 * width + (width + 1) * width
    dense = (width + 1) * hidden + (hidden + 1) * width
    blocks = depth * (attention + dense + 2 * 2 * width)
    assert weights_of(name, (32, 32, 3)) == embedding + blocks + 2 * width + (width + 1) * 10


@pytest.mark.slow
def test_the_published_retina_and_vgg_have_their_shapes():
    net = nn.Network(nn.model("retina", (32, 32, 1), 10), (32, 32, 1))
    assert [m.weight.value.shape for m in net.maps] == [
        (32, 9, 9, 1), *[(32, 9, 9, 32)] * 4, (1024, 32768), (10, 1024)
    ]  # fmt: skip
    net = nn.Network(nn.model("vgg", (32, 32, 3), 10), (32, 32, 3))
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    shapes = [(out, 3, 3, into) for out, into in zip(widths, [3, *widths], strict=False)]
    assert [m.weight.value.shape for m in net.maps] == [*shapes, (256, 512), (10, 256)]
    # Maximum after each block but the last.
    assert [m.input_shape[0] for m in net.maps[:8]] == [32, 32, 16, 16, 8, 8, 4, 4]


def test_a_residual_network_halves_the_image_at_every_stage_but_the_first():
    net = nn.Network(nn.model("resnet18", (32, 32, 3), 10, widths=(2, 3, 4, 5)), (32, 32, 3))
    assert [m.input_shape[0] for m in net.maps if m.name.endswith(".conv2")] == [32, 32, 16, 16, 8, 8, 4, 4]
    assert [m.name for m in net.maps if "shortcut" in m.name] == [f"block{k}.shortcut.conv1" for k in (3, 5, 7)]


# Gradients


@every_model
def test_gradients_are_those_of_pytorch(name):
    torch()
    net, (x, labels) = made(name)
    loss, output = net.learn(x, labels, Pass(step=2))
    found = {p.name: p.gradient for p in net.weights}
    twin = TorchTwin(net)
    reference, out = twin.loss(x, labels)
    assert loss == pytest.approx(float(reference.detach()), rel=1e-11)
    np.testing.assert_allclose(output, out.detach().numpy(), rtol=0, atol=1e-11 * np.abs(output).max())
    reference.backward()
    assert_close(found, {key: p.grad.numpy() for key, p in twin.parameters.items()}, 1e-10)


@every_model
def test_gradients_are_finite_differences(name):
    smooth = {} if TINY[name][0].startswith(("retina", "vit")) else {"activation": "tanh"}
    net, (x, labels) = made(name, **smooth)
    kinked = TINY[name][0] in ("retina", "vgg")
    # Normalisation over few numbers bends sharply: a step between that of smooth and that of kinked layers.
    assert_slopes(net, x, labels, step=1e-6 if kinked else 1e-5)


@every_model
def test_evaluation_is_that_of_pytorch(name):
    torch()
    net, (x, labels) = made(name)
    for step in range(2):
        net.learn(x, labels, Pass(step=step))
    # A probe leaves no masks behind for the reference to see.
    net.forward(x, Pass("probe"))
    twin = TorchTwin(net)
    wanted = twin.run(net.body, twin.torch.tensor(x), "evaluate").detach().numpy()
    np.testing.assert_allclose(net.forward(x), wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def kernels(net):
    """Weights in forward order as PyTorch has them: channels before positions."""
    return [p.value.transpose(0, 3, 1, 2) if p.value.ndim == 4 else p.value for p in net.weights]


def test_the_residual_network_is_the_textbooks():
    t = torch()

    class Block(t.nn.Module):
        def __init__(self, into, out, stride):
            super().__init__()
            self.conv1, self.norm1 = t.nn.Conv2d(into, out, 3, stride, 1, bias=False), t.nn.BatchNorm2d(out)
            self.conv2, self.norm2 = t.nn.Conv2d(out, out, 3, 1, 1, bias=False), t.nn.BatchNorm2d(out)
            self.short = None
            if stride != 1 or into != out:
                self.short = t.nn.Sequential(t.nn.Conv2d(into, out, 1, stride, bias=False), t.nn.BatchNorm2d(out))

        def forward(self, x):
            made = self.norm2(self.conv2(t.relu(self.norm1(self.conv1(x)))))
            return t.relu(made + (x if self.short is None else self.short(x)))

    widths, parts = (3, 4, 5), [t.nn.Conv2d(3, 3, 3, 1, 1, bias=False), t.nn.BatchNorm2d(3), t.nn.ReLU()]
    for stage, (into, out) in enumerate(zip((3, *widths), widths, strict=False)):
        parts += [Block(into, out, 2 if stage else 1), Block(out, out, 1)]
    twin = t.nn.Sequential(*parts, t.nn.AdaptiveAvgPool2d(1), t.nn.Flatten(), t.nn.Linear(5, CLASSES)).double()
    net, (x, labels) = made("resnet18")
    with t.no_grad():
        for p, value in zip(twin.parameters(), kernels(net), strict=True):
            p.copy_(t.tensor(value))
    loss, _ = net.learn(x, labels, Pass())
    reference = t.nn.functional.cross_entropy(twin(t.tensor(x.transpose(0, 3, 1, 2))), t.tensor(labels))
    reference.backward()
    assert loss == pytest.approx(float(reference.detach()), rel=1e-11)
    for p, q in zip(net.weights, twin.parameters(), strict=True):
        wanted = q.grad.numpy()
        found = p.gradient.transpose(0, 3, 1, 2) if p.value.ndim == 4 else p.gradient
        # Sums of hundreds of terms in another order, divided by spreads of small batches.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * max(1.0, np.abs(wanted).max()), err_msg=p.name)


def test_the_transformer_is_pytorchs_encoder():
    t = torch()
    net, (x, _) = made("vit", dropout=0.0, attention_dropout=0.0, drop_path=0.0)
    layer = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0, "activation": "gelu", "norm_first": True}
    blocks = [t.nn.TransformerEncoderLayer(**layer, layer_norm_eps=1e-6, batch_first=True).double() for _ in range(3)]
    state = {p.name: t.tensor(p.value) for p in net.weights}
    names = {
        "norm1": "norm1", "self_attn.in_proj_": "attention1.qkv.", "self_attn.out_proj": "attention1.projection",
        "linear1": "dense1", "linear2": "dense2", "norm2": "norm1",
    }  # fmt: skip
    for k, block in enumerate(blocks):
        for theirs, value in block.named_parameters():
            part = next(start for start in names if theirs.startswith(start))
            number = 2 * k + 1 + (part in ("linear1", "linear2", "norm2"))
            kind = theirs.removeprefix(part).lstrip(".")
            if "norm" in part:
                kind = {"weight": "gain", "bias": "shift"}[kind]
            ours = f"block{number}.{names[part].rstrip('.')}.{kind}"
            value.data = state[ours]
    patches = t.tensor(x).reshape(6, 2, 4, 2, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(6, 4, 48)
    tokens = patches @ state["patches1.conv.weight"].reshape(8, 48).T + state["patches1.conv.bias"]
    first = state["patches1.token"].expand(6, 1, 8)
    tokens = t.cat([first, tokens], 1) + state["patches1.position"]
    for block in blocks:
        tokens = block(tokens)
    last = t.nn.functional.layer_norm(tokens, (8,), state["norm1.gain"], state["norm1.shift"], 1e-6)[:, 0]
    wanted = (last @ state["dense1.weight"].T + state["dense1.bias"]).detach().numpy()
    # Softmax and normalisation through three blocks.
    np.testing.assert_allclose(net.forward(x), wanted, rtol=0, atol=1e-12)


# Chance and names


def test_dropout_is_where_the_models_have_it():
    def rates(name, **options):
        net = nn.Network(nn.model(name, SMALL, 10, **options), SMALL)
        return [layer.rate for layer in net.layers if isinstance(layer, nn.Dropout)]

    assert rates("mlp", widths=(4, 4), dropout=0.2) == [0.2, 0.2]
    assert rates("mlp", widths=(4, 4)) == []
    assert rates("vgg", widths=(2, 2), hidden=3) == [0.4]
    assert rates("retina", channels=2, kernel=3, hidden=3) == [0.5]
    assert rates("vit", width=8, depth=2) == [0.1] * 5
    net = nn.Network(nn.model("vit", SMALL, 10, width=8, depth=5), SMALL)
    paths = [layer.drop_path for layer in net.layers if isinstance(layer, nn.Residual)]
    assert paths == pytest.approx(np.repeat([0.0, 0.025, 0.05, 0.075, 0.1], 2))
    assert all(layer.rates == (0.1, 0.1) for layer in net.layers if isinstance(layer, nn.SelfAttention))
    alone = nn.model("vit", SMALL, 10, width=8, depth=1)
    assert [layer.drop_path for layer in alone if isinstance(layer, nn.Residual)] == [0.0, 0.0]


def test_a_bias_before_batch_norm_is_left_out():
    for name, options in (("mlp", {"widths": (4,)}), ("vgg", {"widths": (2,)}), ("resnet18", {"widths": (2, 3)})):
        for normalisation, biased in (("batch", False), ("layer", True), (None, True)):
            net = nn.Network(nn.model(name, SMALL, 10, normalisation=normalisation, **options), SMALL)
            hidden = [m for m in net.maps if "conv" in m.name or (name == "mlp" and not m.is_output)]
            assert {m.bias is not None for m in hidden} == {biased}
            assert net.maps[-1].bias is not None


@every_model
def test_initial_weights_depend_on_the_seed_alone(name):
    called, options, shape = TINY[name]

    def weights(seed, feedback=None):
        net = nn.Network(nn.model(called, shape, CLASSES, **options), shape, seed=seed, feedback=feedback)
        return [p.value for p in net.weights]

    drawn = weights(3)
    for same in (weights(3), weights(3, linfa.FeedbackAlignment(seed=3))):
        assert all((a == b).all() for a, b in zip(drawn, same, strict=True))
    assert all((a != b).any() for a, b in zip(drawn, weights(4), strict=True) if a.ndim > 1)


@pytest.mark.parametrize(
    ("initial", "deviation"),
    [("kaiming-uniform", 1 / np.sqrt(3 * 90)), ("he-normal", np.sqrt(2 / 90)), ("glorot-normal", np.sqrt(2 / 990)),
     ("small-normal", 0.02)],
)  # fmt: skip
def test_initial_weights_have_their_spread(initial, deviation):
    for layer, shape in ((nn.Dense(900, initial=initial), (90,)), (nn.Conv2d(100, 3, initial=initial), (4, 4, 10))):
        net = nn.Network([layer, nn.Flatten(), nn.Dense(2)], shape)
        value, m = net.maps[0].weight.value, net.maps[0]
        assert m.deviation == pytest.approx(deviation, rel=1e-12)
        # A kernel's units send to as many positions as it is large.
        spread = 5 / np.sqrt(2 * value.size)
        assert value.std() == pytest.approx(deviation, rel=spread)
        assert abs(value.mean()) < 5 * deviation / np.sqrt(value.size)
        if initial == "kaiming-uniform":
            assert np.abs(value).max() <= np.sqrt(3) * deviation
            assert (m.bias.value != 0).any()
        else:
            assert (m.bias.value == 0).all()


@every_model
@pytest.mark.filterwarnings("ignore:rank 2 is capped")
def test_every_model_learns_under_rules_of_all_kinds(name):
    for rule in ("fa", "kolen-pollack", "usf", "raf", "normative", "local"):
        rank = 2 if rule in ("raf", "normative", "local") else None
        feedback = network_preset(rule, rank=rank) if name != "mlp-linear" else None
        net, (x, labels) = made(name, feedback)
        found = gradients(net, x, labels)
        assert all(np.isfinite(g).all() for g in found.values())
        assert np.abs(found[net.maps[0].weight.name]).max() > 0


def test_one_layer_of_the_retina_can_be_constrained_alone():
    rule = linfa.LowRankFeedback(rank=1, q="kolen-pollack", p="oja-error")
    net, _ = made("retina", {"conv3": rule})
    assert [m.name for m in net.maps if m.carrier.name == "low-rank"] == ["conv3"]
    assert net.maps[2].carrier.q.shape == (27, 1)


# The register


def test_the_register_lists_models_with_their_options():
    assert list(nn.MODELS) == [
        "mlp", "conv4", "vgg", "retina", "resnet18", "resnet20", "vit", "vit-6", "vit-small"
    ]  # fmt: skip
    assert all(entry.about for entry in nn.MODELS.values())
    assert {name: TINY[key][0] for key, (name, *_) in TINY.items()}.keys() == nn.MODELS.keys()
    assert nn.MODELS["resnet20"].options["widths"] == (16, 32, 64)
    assert nn.MODELS["resnet18"].options["widths"] == (64, 128, 256, 512)
    assert nn.MODELS["vit-6"].options["mlp_ratio"] == 1.0
    assert "classes" not in nn.MODELS["mlp"].options
    for name, entry in nn.MODELS.items():
        shape = SMALL if name != "vgg" else (16, 16, 3)
        assert all(isinstance(layer, nn.Layer) for layer in nn.model(name, shape, 4, **entry.options))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.model("resnet-18", SMALL, 10), ValueError, "model is 'resnet-18'.*did you mean 'resnet18'"),
        (lambda: nn.model(None, SMALL, 10), TypeError, "model is None; it must be one of mlp"),
        (lambda: nn.model("mlp", SMALL, 10, width=(3,)), ValueError, "takes no 'width'.*did you mean 'widths'"),
        (lambda: nn.model("mlp", SMALL, 10, classes=3), TypeError, "classes"),
        (lambda: nn.model("conv4", (64,), 10), ValueError, r"input_shape is \(64,\); model 'conv4' takes images"),
        (lambda: nn.model("mlp", 64, 10), TypeError, "input_shape is 64; it must be a list of sizes"),
        (lambda: nn.model("mlp", (0,), 10), ValueError, r"input_shape\[0\] is 0"),
        (lambda: nn.model("mlp", SMALL, 0), ValueError, "classes is 0; it must be at least 1"),
        (lambda: nn.model("mlp", SMALL, 10.0), TypeError, "classes is 10.0; it must be an integer"),
        (lambda: nn.mlp(10, 512), TypeError, "widths is 512; it must be a list of sizes"),
        (lambda: nn.mlp(10, (512, -1)), ValueError, r"widths\[1\] is -1"),
        (lambda: nn.mlp(10, "512"), TypeError, "widths is '512'"),
        (
            lambda: nn.mlp(10, normalisation="group"),
            ValueError,
            "normalisation is 'group'; it must be one of batch",
        ),
        (lambda: nn.mlp(10, activation="relv"), ValueError, "activation is 'relv'.*did you mean 'relu'"),
        (lambda: nn.mlp(10, dropout=1.0), ValueError, "dropout is 1; it must be below 1"),
        (lambda: nn.conv4(10, ()), ValueError, "widths is empty; it must hold at least one size"),
        (lambda: nn.conv4(10, (3, 4)), ValueError, "strides has 3 entries; it must have 2"),
        (lambda: nn.conv4(10, readout="max"), ValueError, "readout is 'max'; it must be one of flatten, mean"),
        (lambda: nn.conv4(10, kernel=0), ValueError, "kernel is 0"),
        (lambda: nn.vgg(10, depth=0), ValueError, "depth is 0"),
        (lambda: nn.vgg(10, hidden=0), ValueError, "units is 0"),
        (lambda: nn.vgg(10, dropout=float("nan")), ValueError, "dropout is nan; it must be finite"),
        (lambda: nn.retina(10, 0), ValueError, "channels is 0"),
        (lambda: nn.retina(10, retina_layers=0), ValueError, "retina_layers is 0"),
        (lambda: nn.retina(10, bottleneck=0), ValueError, "bottleneck is 0"),
        (lambda: nn.resnet(10, shortcut="none"), ValueError, "shortcut is 'none'; it must be one of projection, pad"),
        (lambda: nn.resnet(10, blocks=0), ValueError, "blocks is 0"),
        (lambda: nn.vit(10, 100, heads=0), ValueError, "heads is 0"),
        (lambda: nn.vit(10, depth=0), ValueError, "depth is 0"),
        (lambda: nn.vit(10, mlp_ratio=0), ValueError, "mlp_ratio is 0; it must be above 0"),
        (lambda: nn.vit(10, 2, mlp_ratio=0.1), ValueError, "mlp_ratio is 0.1, which leaves no hidden unit"),
        (lambda: nn.vit(10, class_token=1), TypeError, "class_token is 1; it must be True or False"),
        (lambda: nn.vit(10, drop_path=1.0), ValueError, "drop_path is 1; it must be below 1"),
        (lambda: nn.vit(10, initial="zero"), ValueError, "initial is 'zero'"),
        (lambda: nn.Network(nn.vit(10, 100, heads=8), (32, 32, 3)), ValueError, "heads is 8; it must divide"),
        (lambda: nn.Network(nn.vit(10, 8, heads=2), (10, 10, 3)), ValueError, "multiples of the patch's 4"),
        (lambda: nn.Network(nn.vgg(10), (4, 4, 3)), ValueError, "pool3 has windows of 2, more than the image"),
    ],
)
def test_a_model_refuses_what_makes_no_sense(call, error, words):
    with pytest.raises(error, match=words):
        call()


# Networks and losses


def plain(**options):
    return nn.Network([nn.Dense(5), nn.ReLU(), nn.Dense(3)], (4,), **options)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.Network([], (4,)), ValueError, "layers holds nothing with weights"),
        (lambda: nn.Network([nn.ReLU()], (4,)), ValueError, "layers holds nothing with weights"),
        (lambda: nn.Network(nn.Dense(3), (4,)), TypeError, "layers is Dense; it must be a list of layers"),
        (lambda: nn.Network([nn.Dense(3)], 4), TypeError, "input_shape is 4; it must be a tuple of sizes"),
        (lambda: nn.Network([nn.Dense(3)], ()), ValueError, "input_shape is empty"),
        (lambda: nn.Network([nn.Dense(3)], (4, 0)), ValueError, r"input_shape\[1\] is 0"),
        (lambda: plain(dtype="float16"), ValueError, "dtype is 'float16'; it must be one of float32, float64"),
        (lambda: plain(seed=-1), ValueError, "seed is -1"),
        (lambda: plain(loss="mse"), TypeError, "loss is 'mse'; it must be a Loss"),
        (lambda: plain(feedback="fa"), TypeError, "feedback is 'fa'; it must be a rule"),
        (lambda: plain().forward(np.ones((2, 5))), ValueError, r"x is \(2, 5\); it must be \(samples, 4\)"),
        (lambda: plain().forward(np.ones(4)), ValueError, r"x is \(4,\); it must be \(samples, 4\)"),
        (lambda: plain().forward(np.ones((0, 4))), ValueError, "at least one sample"),
        (lambda: plain().forward([[1.0] * 4]), TypeError, "x is list; it must be an array"),
        (lambda: plain().forward(np.full((2, 4), "a")), TypeError, "x holds <U1; it must hold real numbers"),
        (lambda: plain().forward(np.ones((2, 4)) > 0), TypeError, "x holds bool; it must hold real numbers"),
        (lambda: plain().forward(np.ones((2, 4)) * 1j), TypeError, "x holds complex128; it must hold real numbers"),
        (lambda: plain().forward(np.full((2, 4), np.nan)), ValueError, "x holds NaN or infinity"),
        (lambda: plain().forward(np.full((2, 4), 1e300)), ValueError, "x holds NaN or infinity"),
        (lambda: learn([0, 3]), ValueError, "labels go from 0 to 3; they must be 0 … 2"),
        (lambda: learn([-1, 0]), ValueError, "labels go from -1 to 0"),
        (lambda: learn([0.0, 1.0]), TypeError, "labels holds float64; it must hold integers, 0 … 2"),
        (lambda: learn([True, False]), TypeError, "labels holds bool; it must hold integers"),
        (lambda: learn(["cat", "dog"]), TypeError, "labels holds <U3; it must hold integers"),
        (lambda: learn([0]), ValueError, "labels has 1 entries; it must have 2, as x has"),
        (lambda: learn(np.zeros((2, 1, 1), int)), ValueError, r"labels has 3 dimensions; it must be \(samples,\)"),
        (lambda: learn(1), ValueError, "labels has 0 dimensions"),
        (lambda: learn(np.ones((2, 4))), ValueError, r"labels is \(2, 4\); targets must be \(samples, 3\)"),
        (lambda: learn(np.full((2, 3), np.nan)), ValueError, "labels holds NaN or infinity"),
        (lambda: learn(np.full((2, 3), "a")), TypeError, "labels holds <U1; targets must be real numbers"),
        (lambda: learn(np.ones((1, 3))), ValueError, "labels has 1 entries; it must have 2"),
    ],
)
def test_a_network_refuses_what_makes_no_sense(call, error, words):
    with pytest.raises(error, match=words):
        call()


def learn(labels):
    return plain().learn(np.ones((2, 4), np.float32), labels, Pass())


def test_samples_of_another_precision_are_taken_in_the_networks():
    net = plain()
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    wanted = net.learn(x, [0, 1, 2], Pass())[1]
    assert wanted.dtype == np.float32
    for same in (x.astype(np.float64), np.asfortranarray(x)):
        assert (net.learn(same, np.array([0, 1, 2], np.uint8), Pass())[1] == wanted).all()
    whole = net.forward(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert (whole == net.forward(np.arange(12.0).reshape(3, 4))).all()


def test_real_targets_stand_for_labels():
    net = network([nn.Dense(3)], (4,))
    x, labels = batch((4,), 6)
    found = gradients(net, x, one_hot(labels, 3, np.float64))
    wanted = gradients(net, x, labels)
    assert all((found[name] == wanted[name]).all() for name in wanted)


def test_one_class_leaves_nothing_to_learn():
    net, (x, _) = network([nn.Dense(5), nn.Tanh(), nn.Dense(1)], (4,)), batch((4,))
    loss, output = net.learn(x, np.zeros(5, int), Pass())
    assert loss == 0.0
    assert output.shape == (5, 1)
    assert all((p.gradient == 0).all() for p in net.weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_that_of_pytorch(smoothing):
    t = torch()
    generator = np.random.default_rng(0)
    output, labels = 30 * generator.standard_normal((7, 4)), generator.integers(0, 4, 7)
    loss, error = nn.CrossEntropy(smoothing)(output, one_hot(labels, 4, np.float64))
    given = t.tensor(output, requires_grad=True)
    reference = t.nn.functional.cross_entropy(given, t.tensor(labels), label_smoothing=smoothing)
    reference.backward()
    # Sums of four exponentials.
    assert loss == pytest.approx(float(reference.detach()), rel=1e-13)
    np.testing.assert_allclose(error, given.grad.numpy(), rtol=0, atol=1e-15)
    np.testing.assert_allclose(error.sum(1), 0, atol=1e-15)


def test_losses_keep_their_value_where_exponentials_overflow():
    output, targets = np.array([[1e4, 0.0], [-1e4, 0.0]], np.float32), np.eye(2, dtype=np.float32)
    loss, error = nn.CrossEntropy()(output, targets)
    assert loss == 0.0
    assert np.isfinite(error).all()
    loss, error = nn.CrossEntropy()(output, targets[::-1].copy())
    assert loss == 1e4
    assert np.abs(error).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_squared_error_is_half_the_mean_of_squares():
    output, targets = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[0.0, 2.0], [1.0, 1.0]])
    loss, error = nn.SquaredError()(output, targets)
    assert loss == (1 + 1 + 4) / 4
    assert error.tolist() == [[0.5, 0.0], [-0.5, -1.0]]


def test_what_a_pass_left_can_be_released():
    net, (x, labels) = made("resnet18")
    net.learn(x, labels, Pass())
    net.body.release()
    assert all(layer._kept is None for layer in net.layers)
    with pytest.raises(RuntimeError, match="backward came before a forward pass"):
        net.backward(np.ones((6, CLASSES)), Pass())
