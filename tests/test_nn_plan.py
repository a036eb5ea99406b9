"""Plans: what names and numbers become, what a file holds, and what is refused before any work."""

import json
import subprocess
import sys

import numpy as np
import pytest
from training_runs import IMAGE, plan, write_set

import linfa
from linfa import nn
from linfa.nn.plan import OPTIMISERS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "small.npz")


EVERY_ENTRY = {
    "data": "digits",
    "root": "somewhere",
    "classes": 4,
    "grayscale": True,
    "validation": 0.25,
    "model": "conv4",
    "model_options": {"widths": [2, 4], "strides": [2, 2]},
    "feedback": "raf",
    "rank": [2, 3],
    "layers": ["conv2", "dense*"],
    "others": "fa",
    "feedback_options": {"draw": "orthonormal"},
    "optimiser": "sgd",
    "optimiser_options": {"momentum": 0.5, "nesterov": True},
    "rate": 0.02,
    "auxiliary_rate": None,
    "weight_decay": 0.03,
    "clamp": 0.5,
    "feedback_rate": 0.04,
    "feedback_decay": 0.05,
    "schedule": "cosine",
    "warm_up": 1.5,
    "factor": None,
    "epochs": 3,
    "batch": 20,
    "flip": True,
    "crop": 1,
    "rotation": 5.0,
    "cutout": 2,
    "loss": "squared-error",
    "clip_signal": 2.0,
    "refactor_every": 0.0,
    "probe_every": 7,
    "checkpoint_every": 9,
    "threads": 1,
    "seed": 11,
    "precision": "float64",
    "device": "cpu",
}


def test_every_entry_reaches_what_it_is_for():
    made = nn.Plan.from_dict(EVERY_ENTRY)
    assert made.to_dict() == EVERY_ENTRY
    assert nn.Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    trainer = made.trainer()
    network, dataset = trainer.network, trainer.dataset
    # 144 or so images of each of ten digits, four of them, a quarter held out.
    whole = nn.data.load("digits", classes=4)
    assert dataset.classes == 4
    assert len(dataset.test_labels) == round(0.25 * len(whole.train_labels))
    assert (network.dtype, network.seed, trainer.seed) == (np.float64, 11, 11)
    assert isinstance(network.loss, nn.SquaredError)
    assert [m.source for m in network.maps] == [2, 4, 4]
    assert [m.carrier.p.shape[0] for m in network.maps[1:]] == [2, 3]
    assert network.maps[1].carrier.q_rule == "kolen-pollack"
    treatments = {name: given.treatment for name, given in trainer.descent.assigned.items()}
    assert treatments["conv2.weight"] == nn.Treatment(nn.SGD(momentum=0.5, nesterov=True), 0.02, 0.03, 0.5)
    assert treatments["conv2.q"] == nn.Treatment(nn.AdamW(), 0.04, 0.05, 0.5)
    assert trainer.descent.recipe.schedule == nn.WarmUpCosine(3, 1.5)
    assert trainer._loader._augment == nn.Augmentation(flip=True, crop=1, rotation=5.0, cutout=2)
    assert (trainer.batch, trainer.epochs, trainer.clip_signal) == (20, 3, 2.0)
    assert (trainer.probe_every, trainer.checkpoint_every, trainer.threads) == (7, 9, 1)
    assert trainer._refactor_after == 0
    assert nn.Plan.from_dict(EVERY_ENTRY) == made
    assert set(EVERY_ENTRY) == set(nn.Plan().to_dict())


def test_gray_images_are_made_of_colours(tmp_path):
    colours = write_set(tmp_path / "colours.npz", shape=(6, 6, 3))
    assert plan(colours).trainer().network.input_shape == (6, 6, 3)
    assert plan(colours, grayscale=True).trainer().network.input_shape == (6, 6, 1)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_has_a_usual_rate_at_which_it_learns(data, name):
    trainer = plan(data, optimiser=name, epochs=15, model_options={"widths": [16, 16]}).trainer()
    assert trainer.run().test_accuracy[-1] > 0.8


def test_what_muon_leaves_to_adamw_has_a_rate_of_its_own(data, tmp_path):
    (tmp_path / "run.toml").write_text('optimiser = "muon"\nrate = 0.02\nauxiliary_rate = 1e-3\nclamp = 0.5')
    entries = nn.Plan.from_toml(tmp_path / "run.toml")
    published = nn.AdamW(betas=(0.9, 0.95), epsilon=1e-10)
    for given, rate in ((entries, 1e-3), ({"optimiser": "muon", "clamp": 0.5}, 3e-4)):
        assigned = plan(data, feedback="raf", rank=2, **given).trainer().descent.assigned
        assert assigned["dense2.weight"].treatment == nn.Treatment(nn.Muon(), 0.02, 0.01, 0.5)
        for name in ("dense1.weight", "norm2.gain", "dense3.weight", "dense2.q", "dense2.p"):
            assert assigned[name].treatment == nn.Treatment(published, rate, 0.0, 0.5), name
    # Factors with an optimiser of their own keep it.
    assigned = plan(data, feedback="raf", rank=2, feedback_rate=0.1, **entries).trainer().descent.assigned
    assert assigned["dense2.q"].treatment.rate == 0.1
    assert assigned["dense3.weight"].treatment.rate == 1e-3


def test_what_layers_leaves_out_gets_the_others(data):
    trainer = plan(data, feedback="raf", rank=2, layers=["dense3"], others="fa").trainer()
    assert [m.carrier.name for m in trainer.network.maps[1:]] == ["full", "low-rank"]
    trainer = plan(data, feedback="raf", rank=2, layers=["dense*"]).trainer()
    assert [m.carrier.name for m in trainer.network.maps[1:]] == ["low-rank", "low-rank"]


def test_a_rank_that_some_layers_cannot_have_is_capped_and_said(data):
    with pytest.warns(UserWarning, match="rank 5 is capped where layers are smaller: dense3 3"):
        network = plan(data, feedback="normative", rank=5).trainer().network
    assert [m.carrier.p.shape[0] for m in network.maps[1:]] == [5, 3]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"rank": 9}, "rank is 9; feedback to these layers has rank 8 at most"),
        ({"rank": 5, "layers": ["dense3"]}, r"feedback\['dense3'\]: rank is 5; .* rank 3 at most"),
        ({"rank": [4, 4]}, "rank 4 is above what feedback to dense3 can have, 3"),
        ({"rank": [2]}, "rank has 1 entries; 2 layers take one each"),
        ({"rank": 2, "layers": ["dense7"]}, r"'dense7'\] matches no layer .*: dense2, dense3"),
        ({"rank": 2, "layers": ["dense1"]}, "matches no layer that sends an error down"),
    ],
)
def test_ranks_and_layers_that_the_network_does_not_have(data, entries, message):
    with pytest.raises(ValueError, match=message):
        plan(data, feedback="normative", **entries).trainer()


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ({"modle": "mlp"}, ValueError, "no entry 'modle' .did you mean 'model'"),
        ({"data": 3}, TypeError, "data is 3; it must be text"),
        ({"model": "mlpp"}, ValueError, "did you mean 'mlp'"),
        ({"feedback": "normativ"}, ValueError, "did you mean 'normative'"),
        ({"optimiser": "adamm"}, ValueError, "did you mean 'adam"),
        ({"schedule": "cosin"}, ValueError, "did you mean 'cosine'"),
        ({"loss": "mse"}, ValueError, "loss is 'mse'"),
        ({"precision": "float16"}, ValueError, "precision is 'float16'"),
        ({"device": "gpu"}, ValueError, "device is 'gpu'; it must be one of cpu, cuda"),
        ({"model_options": [1]}, TypeError, "model_options is \\[1\\]; it must be a dictionary"),
        ({"layers": "dense1"}, TypeError, "layers is 'dense1'; it must be a list"),
        ({"layers": 3}, TypeError, "layers is 3; it must be a list"),
        ({"rank": 0}, ValueError, "rank is 0; it must be at least 1"),
        ({"rank": [1, 0]}, ValueError, r"rank\[1\] is 0"),
        ({"rank": 2.0}, TypeError, "rank is 2.0; it must be an integer"),
        ({"rank": True}, TypeError, "rank is True"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": "ten"}, TypeError, "epochs is 'ten'"),
        ({"batch": -1}, ValueError, "batch is -1"),
        ({"classes": 1}, ValueError, "classes is 1; it must be at least 2"),
        ({"probe_every": 1.5}, TypeError, "probe_every is 1.5"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0"),
        ({"flip": 1}, TypeError, "flip is 1; it must be True or False"),
        ({"rate": 0}, ValueError, "rate is 0; it must be above 0"),
        ({"rate": float("nan")}, ValueError, "rate is nan"),
        ({"rate": "0.1"}, TypeError, "rate is '0.1'; it must be a number"),
        ({"optimiser": "muon", "auxiliary_rate": 0}, ValueError, "auxiliary_rate is 0; it must be above 0"),
        ({"auxiliary_rate": 1e-3}, ValueError, "auxiliary_rate is 0.001, .* Muon leaves .* optimiser is 'adamw'"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay is -0.1"),
        ({"validation": -1}, ValueError, "validation is -1"),
        ({"validation": 10.5}, ValueError, "validation is 10.5; it must be a whole number of images, or below 1"),
        ({"seed": -3}, ValueError, "seed is -3"),
        ({"model_options": {"classes": 3}}, ValueError, "model_options has 'classes', which the plan says elsewhere"),
        ({"feedback_options": {"seed": 3}}, ValueError, "feedback_options has 'seed', which the plan says elsewhere"),
        # Entries that mean nothing beside the others.
        ({"feedback_decay": 0.1}, ValueError, "needs a feedback_rate"),
        ({"others": "fa"}, ValueError, "layers is empty"),
        (
            {"rank": [1, 2, 3], "layers": ["dense2", "dense3"]},
            ValueError,
            "rank has 3 entries; it must be one, or one for",
        ),
        ({"layers": ["dense2"]}, ValueError, "feedback and others are both 'backprop'"),
        ({"warm_up": 1, "schedule": "constant"}, ValueError, "warm_up is 1, which is for schedule 'cosine'"),
        ({"factor": 0.9}, ValueError, "factor is 0.9, which is for schedule 'exponential'; schedule is 'cosine'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_refused_at_once(entries, kind, message):
    with pytest.raises(kind, match=message):
        nn.Plan.from_dict(entries)


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        ({"rank": 3}, ValueError, "rank is 3; feedback 'backprop' takes none"),
        ({"feedback": "raf"}, ValueError, "feedback is 'raf', which needs a rank"),
        ({"feedback": "fa", "feedback_options": {"q": "oja"}}, TypeError, "'q'"),
        ({"feedback": "fa", "feedback_rate": 0.1}, ValueError, "learns neither Q nor P"),
        ({"feedback": "fixed", "rank": 2, "feedback_rate": 0.1}, ValueError, "learns neither Q nor P"),
        ({"model_options": {"width": [3]}}, ValueError, "takes no 'width'.*did you mean 'widths'"),
        ({"model_options": {"widths": 3}}, TypeError, "widths is 3"),
        ({"model": "vit", "model_options": {"patch": 4}}, ValueError, "multiples of the patch's 4"),
        ({"model": "vit-small", "feedback": "dfa", "model_options": {"patch": 3}}, ValueError, "direct"),
        ({"optimiser_options": {"momentum": 0.9}}, ValueError, "'adamw' takes no 'momentum'"),
        ({"optimiser": "sgd", "optimiser_options": {"momentun": 0.9}}, ValueError, "did you mean 'momentum'"),
        ({"optimiser": "sgd", "rate": 2.0, "weight_decay": 0.5}, ValueError, "rate times decay is 1"),
        ({"schedule": "exponential", "factor": 1.5}, ValueError, "factor is 1.5; it must be at most 1"),
        ({"warm_up": 3.0}, ValueError, "warm_up"),
        ({"batch": 65}, ValueError, "batch is 65; the training set has 64 images"),
        ({"classes": 4}, ValueError, "classes is 4; it must be at most 3"),
        ({"grayscale": True}, None, ""),
        ({"crop": 6}, ValueError, "crop"),
        ({"rotation": 500.0}, ValueError, "rotation"),
        ({"validation": 64}, ValueError, "validation is 64; it must be at most 63"),
        ({"data": "cifer10"}, ValueError, "did you mean 'cifar10'"),
        ({"data": "nowhere.npz"}, FileNotFoundError, "nowhere.npz"),
        ({"data": "cifar10", "root": "nowhere"}, FileNotFoundError, "no folder .*nowhere"),
        ({"data": "digits", "model": "conv4", "model_options": {"kernel": 0}}, ValueError, "kernel is 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_refused_with_the_data(data, entries, kind, message):
    made = nn.Plan.from_dict({"data": data, "model_options": {"widths": [8]}, "batch": 16, "epochs": 2} | entries)
    if kind is None:
        # Gray images are gray already.
        assert made.trainer().network.input_shape == IMAGE
        return
    with pytest.raises(kind, match=message):
        made.trainer()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.full((64, 6, 6, 1), np.nan, np.float32)}, r"train.* nan at index \(0, 0, 0, 0\)"),
        ({"y_train": 2 * (np.arange(64) % 3)}, "gap|y_train"),
        ({"y_train": np.full(64, -1)}, "holds -1 at index 0"),
        ({"y_test": np.full(30, 7)}, "holds 7 at index 0"),
        ({"y_train": np.zeros(63, int)}, "63 labels; there are 64 images"),
        ({"x_test": np.zeros((30, 5, 5, 1), np.float32)}, r"\(5, 5, 1\)"),
    ],
)  # fmt: skip
def test_data_that_are_none(tmp_path, changes, message):
    path = write_set(tmp_path / "bad.npz", **changes)
    with pytest.raises(ValueError, match=message):
        plan(path).trainer()


def test_a_graphics_card_without_its_library_says_what_to_install(data, monkeypatch):
    # None in the table of modules makes the import fail, whether CuPy is there or not.
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"pip install 'linfa\[cuda\]'"):
        plan(data, device="cuda").trainer()


# Files


TOML = """
data = "digits"
model = "mlp"
feedback = "normative"
rank = 10
rate = 2e-3

[model_options]
widths = [64, 64]
normalisation = "layer"
"""


def test_a_file_is_a_plan(tmp_path):
    (tmp_path / "run.toml").write_text(TOML)
    made = nn.Plan.from_dict(nn.Plan.from_toml(tmp_path / "run.toml"))
    options = {"widths": [64, 64], "normalisation": "layer"}
    assert made == nn.Plan(feedback="normative", rank=10, rate=2e-3, model_options=options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate: 3", r"run.toml is no TOML file"),
        ("{", "is no TOML file"),
        ('{"data": "digits"}', "is no TOML file"),
        ("epoch = 3", r"run.toml: the plan has no entry 'epoch' .did you mean 'epochs'"),
        ("rank = 1\nrank = 2", "is no TOML file"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        nn.Plan.from_toml(tmp_path / "run.toml")


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no TOML file"):
        nn.Plan.from_toml(tmp_path / "run.toml")
    with pytest.raises(FileNotFoundError):
        nn.Plan.from_toml(tmp_path / "nowhere.toml")


def test_importing_loads_no_more_than_it_needs():
    """No plots, proofs or cards; what only a download, a file or one activation asks for, comes with that."""
    unused = ("matplotlib", "sympy", "cupy", "torch", "rich", "scipy.special", "pooch", "requests", "safetensors")
    code = f"import sys, linfa.nn; print([m for m in {unused} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_of_the_package_are_what_users_need():
    for name in nn.__all__:
        assert hasattr(nn, name), name
    for name in (
        "Trainer",
        "Plan",
        "Recipe",
        "Treatment",
        "Relative",
        "AdamW",
        "Muon",
        "WarmUpCosine",
        "Probes",
        "data",
    ):
        assert name in nn.__all__
    assert linfa.nn is nn
