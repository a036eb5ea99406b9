"""Training: the same bits twice and after a stop, what is recorded, and runs that leave the numbers."""

import warnings

import numpy as np
import pytest
from training_runs import IMAGE, Stop, assert_same_bits, bits, plan, stopping_after, write_set

import linfa
from linfa import nn

VIT = {"width": 8, "depth": 2, "heads": 2, "patch": 3, "dropout": 0.2, "attention_dropout": 0.2, "drop_path": 0.3}
CONV = {"widths": [3, 4], "strides": [1, 2]}
RUNS = {
    "backprop": {},
    "dropout": {"model_options": {"widths": [8, 8], "dropout": 0.3}},
    "augmented": {"flip": True, "crop": 1, "cutout": 2, "rotation": 10.0},
    "muon": {"optimiser": "muon", "feedback": "fa"},
    "sgd": {"optimiser": "sgd", "optimiser_options": {"momentum": 0.9}, "feedback": "kolen-pollack"},
    "raf": {"feedback": "raf", "rank": 2, "feedback_rate": 0.01},
    "raf, muon": {"feedback": "raf", "rank": 2, "optimiser": "muon", "schedule": "exponential"},
    "normative": {"feedback": "normative", "rank": 2, "refactor_every": 0.75},
    "local": {"feedback": "local", "rank": 2},
    "direct raf": {"feedback": "draf", "rank": 2},
    "mirror": {"feedback": "mirror"},
    "redrawn signs": {"feedback": "brsf"},
    "targets": {"feedback": "drtp", "loss": "squared-error", "clip_signal": 0.5},
    "one layer": {"feedback": "raf", "rank": 1, "layers": ["dense2"], "others": "fa", "precision": "float64"},
    "conv": {"model": "conv4", "model_options": CONV, "feedback": "normative", "rank": 2, "flip": True},
    "vit": {"model": "vit", "model_options": VIT, "feedback": "local", "rank": 1, "warm_up": 0.5},
}
each_run = pytest.mark.parametrize("entries", RUNS.values(), ids=RUNS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(autouse=True)
def quiet_caps():
    """Ranks above the size of a layer are capped, which is said at length; the tests below ask for that where due."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "rank .* is capped")
        yield


def run(data, entries, folder=None):
    trainer = plan(data, **entries).trainer(folder)
    trainer.run()
    assert trainer.status == "completed"
    return trainer


@each_run
def test_same_run_twice_and_resumed_has_the_same_bits(data, tmp_path, entries):
    """Broken off after 3 updates with a checkpoint at 2, then after 5 with one at 4, where an epoch has 4."""
    whole = run(data, entries)
    assert whole.step == 8
    assert_same_bits(run(data, entries), whole)
    entries = entries | {"checkpoint_every": 2}
    for start, stop in ((0, 3), (2, 5)):
        trainer = plan(data, **entries).trainer(tmp_path)
        if start:
            trainer.resume()
        assert trainer.step == start
        with pytest.raises(Stop):
            trainer.run(stopping_after(stop))
    resumed = plan(data, **entries).trainer(tmp_path).resume()
    assert (resumed.step, resumed.epoch) == (4, 1)
    resumed.run()
    assert_same_bits(resumed, whole)
    # The checkpoint of the end holds the same once more.
    assert_same_bits(plan(data, **entries).trainer(tmp_path).resume(), whole)


def test_every_seed_is_a_run_of_its_own(data):
    assert bits(run(data, {}))["network.dense1.weight"] != bits(run(data, {"seed": 1}))["network.dense1.weight"]


def test_probes_leave_no_trace(data):
    """All but the probes' own record is the same without them."""
    seen, unseen = bits(run(data, {"feedback": "raf", "rank": 2})), bits(
        run(data, {"feedback": "raf", "rank": 2, "probe_every": 0})
    )  # fmt: skip
    assert seen.keys() > unseen.keys()
    assert [name for name in unseen if seen[name] != unseen[name]] == []


@pytest.mark.parametrize("stop", [2, 4, 8])
def test_stopped_between_updates_a_trainer_goes_on_itself_and_from_what_it_saves_then(data, tmp_path, stop):
    """After 4 updates the epoch is through but not yet evaluated; after 8 so is the run."""
    whole = run(data, {})
    trainer = plan(data).trainer(tmp_path)
    with pytest.raises(Stop):
        trainer.run(stopping_after(stop))
    trainer.save()
    resumed = plan(data).trainer(tmp_path).resume()
    assert (resumed.step, resumed.status) == (stop, "running")
    trainer.run()
    resumed.run()
    assert_same_bits(trainer, whole)
    assert_same_bits(resumed, whole)


def test_stopped_within_an_update_nothing_is_saved_and_nothing_goes_on(data, tmp_path, monkeypatch):
    """A half update is of no run; the checkpoint before it is."""
    whole, trainer = run(data, {}), plan(data, checkpoint_every=1).trainer(tmp_path)
    with pytest.raises(Stop):
        trainer.run(stopping_after(2))
    trainer.save()

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.descent, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    for act in (trainer.run, trainer.save):
        with pytest.raises(RuntimeError, match=r"broken off within update 2.*resume\(\)"):
            act()
    trainer.resume().run()
    assert_same_bits(trainer, whole)


def test_a_run_may_be_made_longer_where_no_schedule_forbids(data, tmp_path):
    constant = {"schedule": "constant"}
    run(data, constant, tmp_path)
    longer = plan(data, **constant, epochs=4).trainer(tmp_path).resume()
    longer.run()
    assert_same_bits(longer, run(data, constant | {"epochs": 4}))
    # A cosine would have been slower.
    run(data, {}, tmp_path / "cosine")
    with pytest.raises(ValueError, match=r"recipe\.schedule\.epochs is 2\.?0? there, 4"):
        plan(data, epochs=4).trainer(tmp_path / "cosine").resume()


def test_another_number_of_threads_is_said(data, tmp_path):
    run(data, {}, tmp_path)
    with pytest.warns(UserWarning, match="made on 1 thread, this run is on 2 threads"):
        plan(data, threads=2).trainer(tmp_path).resume()


def test_history_holds_what_happened(data):
    trainer = plan(data, schedule="exponential", factor=0.5, rate=0.004).trainer()
    steps = []
    history = trainer.run(lambda state: steps.append(state.step))
    assert steps == list(range(1, 9))
    assert history.epoch.tolist() == [0, 1]
    assert history.step.tolist() == [4, 8]
    assert history.probe_step.tolist() == [0, 3, 6]
    assert history.learning_rate.tolist() == [0.004, 0.002]
    assert (history.seconds > 0).all()
    assert (trainer.evaluate()[0], trainer.evaluate()[1]) == (history.test_loss[-1], history.test_accuracy[-1])
    assert history.settings["plan"]["factor"] == 0.5
    assert (history.settings["threads"], history.settings["classes"]) == (1, 3)
    assert history.layers == ["dense1", "dense2", "dense3"]


def test_the_history_says_how_many_updates_the_trajectory_is_of(data, tmp_path):
    def trainer(folder=None, **options):
        made = plan(data)
        network = made.network(made.dataset())
        return nn.Trainer(network, made.dataset(), made.recipe(), epochs=2, batch=16, folder=folder, **options)

    history = trainer(tmp_path, probe_every=1, probe_options={"trajectory_rows": 3}, threads=1).run()
    assert history.settings["trajectory_rows"] == 3
    assert len(history.probe_step) == 8
    # No rank of three rows is above 3.
    assert history.whole_trajectory_effective_rank[-1] <= 3 < history.whole_trajectory_effective_rank.size
    resumed = trainer(tmp_path, probe_every=1, probe_options={"trajectory_rows": 3}, threads=1).resume()
    assert resumed.history.settings == history.settings
    for options in ({"probe_every": 0}, {"probe_every": 1, "probe_options": {"quantities": ["error"]}}):
        assert "trajectory_rows" not in trainer(**options).history.settings


def test_the_losses_recorded_are_those_of_the_batches(data):
    """By hand: the mean loss before each update, and the test loss after the last. The seed is of everything drawn."""
    entries = {"epochs": 1, "probe_every": 0, "seed": 1, "model_options": {"widths": [8, 8], "dropout": 0.3}}
    trainer, twin = plan(data, **entries).trainer(), plan(data, **entries).trainer()
    history, losses = trainer.run(), []
    dataset = nn.data.load(data)
    loader = nn.data.Loader(dataset.train_images, dataset.train_labels, 16, 1, mean=dataset.mean, std=dataset.std)
    for step, (x, labels) in enumerate(loader.epoch(0)):
        losses.append(twin.network.learn(x, labels, nn.Pass(step=step, seed=1))[0])
        twin.descent.step()
    # The sum over samples is rounded otherwise than the mean over batches, in double precision.
    assert history.train_loss[0] == pytest.approx(np.mean(losses), rel=1e-14)
    x = ((dataset.test_images - dataset.mean) / dataset.std).astype(np.float32)
    loss, _ = twin.network.loss(twin.network.forward(x), twin.network.targets(dataset.test_labels))
    # One rounding in the normalisation of single precision, against two here.
    assert history.test_loss[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("feedback", ["backprop", "fa"])
def test_a_network_learns(data, feedback):
    """One pattern for each class, thirteen standard deviations of the noise from the next."""
    assert run(data, {"feedback": feedback, "epochs": 40, "rate": 0.01}).history.test_accuracy[-1] > 0.95


def test_a_report_may_save_and_evaluate_but_not_run(data, tmp_path):
    whole, trainer = run(data, {}), plan(data).trainer(tmp_path)

    def report(state):
        state.save()
        state.evaluate()
        with pytest.raises(RuntimeError, match="the run is under way"):
            state.run()

    trainer.run(report)
    assert_same_bits(trainer, whole)


# Runs that leave the numbers


@pytest.mark.parametrize("entries", [{}, {"feedback": "normative", "rank": 2}], ids=["backprop", "normative"])
@pytest.mark.parametrize(("jump", "message"), [(4, "after 4 updates"), (6, "in update 6")])
def test_a_run_that_diverges_stops_and_says_when_and_keeps_its_history(data, tmp_path, entries, jump, message):
    """Weights that jump at the end of an epoch, where the test is the first to see it, and within one."""
    trainer = plan(data, optimiser="sgd", epochs=3, refactor_every=1.0, **entries).trainer(tmp_path)

    def report(state):
        if state.step == jump:
            for p in state.network.parameters:
                p.value *= p.value.dtype.type(1e30)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = trainer.run(report)
    # NumPy's own, of every overflow, would drown it.
    assert [w.category for w in caught] == [UserWarning]
    assert (trainer.status, trainer.step) == ("diverged", jump)
    assert str(caught[0].message) == trainer.reason
    assert message in trainer.reason
    assert "a smaller rate" in trainer.reason
    assert history.step.tolist() == [4]
    with pytest.raises(RuntimeError, match="the run diverged"):
        trainer.save()
    if jump > 4:
        # That of the first epoch.
        assert plan(data, optimiser="sgd", epochs=3, refactor_every=1.0, **entries).trainer(tmp_path).resume().step == 4


def test_a_huge_rate_stops_with_the_last_checkpoint_whole(data, tmp_path):
    """The norm of the error is bounded, not that of the weights: single precision ends at 3e38."""
    entries = {
        "optimiser": "sgd",
        "rate": 1e25,
        "weight_decay": 0.0,
        "model_options": {"widths": [8], "normalisation": None},
    }
    trainer = plan(data, checkpoint_every=1, **entries).trainer(tmp_path)
    with pytest.warns(UserWarning, match=r"update \d+|\d+ updates"):
        trainer.run()
    assert trainer.status == "diverged"
    assert trainer.step < 8
    resumed = plan(data, checkpoint_every=1, **entries).trainer(tmp_path).resume()
    assert resumed.step == trainer.saved
    # It goes the same way again.
    with pytest.warns(UserWarning, match="a smaller rate") as caught:
        resumed.run()
    assert (str(caught[0].message), resumed.step) == (trainer.reason, trainer.step)
    with pytest.warns(UserWarning, match="update"):
        trainer.run()


def test_weights_that_overflow_in_the_last_update_are_no_completed_run(data):
    trainer = plan(data, epochs=1, probe_every=0).trainer()

    def report(state):
        if state.step == 4:
            state.network.parameters[0].value[...] = np.inf

    with pytest.warns(UserWarning, match="the test loss is nan after 4 updates"):
        history = trainer.run(report)
    assert trainer.status == "diverged"
    assert history.step.tolist() == [4]
    assert np.isnan(history.test_loss[0])


# What a trainer takes


def parts(**options):
    generator = np.random.default_rng(0)
    images, labels = generator.uniform(0, 1, (20, *IMAGE)).astype(np.float32), np.arange(20) % 3
    dataset = nn.Dataset("noise", images, labels, images[:6], labels[:6], 3)
    network = nn.Network(nn.mlp(3, (4,)), IMAGE, **options)
    return network, dataset, nn.Recipe(nn.Treatment(nn.SGD(), rate=0.1))


def test_a_set_smaller_than_the_usual_batch_is_one_batch():
    assert nn.Trainer(*parts(), epochs=1, threads=1).batch == 20


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"network": "mlp"}, TypeError, "network is str; it must be a Network"),
        ({"dataset": np.zeros(3)}, TypeError, "dataset is ndarray; it must be a Dataset"),
        ({"recipe": nn.AdamW()}, TypeError, "it must be a Recipe"),
        ({"network": nn.Network(nn.mlp(3, (4,)), (5, 5, 1))}, ValueError, r"shape \(5, 5, 1\); those of noise"),
        ({"network": nn.Network(nn.mlp(4, (4,)), IMAGE)}, ValueError, "4 outputs; noise has 3 classes"),
        ({"epochs": 0}, ValueError, "epochs is 0; it must be at least 1"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
        ({"batch": 21}, ValueError, "batch is 21; the training set has 20 images"),
        ({"augment": "flip"}, TypeError, "augment is 'flip'"),
        ({"clip_signal": 0.0}, ValueError, "clip_signal is 0; it must be above 0"),
        ({"refactor_every": -1.0}, ValueError, "refactor_every is -1"),
        ({"probe_every": -1}, ValueError, "probe_every is -1"),
        ({"probe_samples": 1}, ValueError, "probe_samples is 1; it must be at least 2"),
        ({"probe_options": {"quantities": ["rank"]}}, ValueError, "quantities"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0"),
        ({"settings": {"when": object()}}, TypeError, "settings must hold plain"),
        ({"normalise": 1}, TypeError, "normalise is 1; it must be True or False"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes, kind, message):
    arguments = (
        dict(zip(("network", "dataset", "recipe"), parts(), strict=True)) | {"epochs": 1, "threads": 1} | changes
    )
    with pytest.raises(kind, match=message):
        nn.Trainer(**arguments)


def test_one_test_image_is_too_few_to_probe_on():
    network, dataset, recipe = parts()
    one = nn.Dataset("one", dataset.train_images, dataset.train_labels, dataset.test_images[:1], [0], 3)
    with pytest.raises(ValueError, match="one has 1 test image; probes need at least 2, so probe_every must be 0"):
        nn.Trainer(network, one, recipe, epochs=1, threads=1)
    assert nn.Trainer(network, one, recipe, epochs=1, threads=1, probe_every=0).run().test_accuracy[-1] in (0.0, 1.0)


def test_without_a_folder_there_is_nothing_to_save_to_or_resume_from():
    trainer = nn.Trainer(*parts(), epochs=1, threads=1)
    for act in (trainer.save, trainer.resume):
        with pytest.raises(ValueError, match="folder is"):
            act()


def test_a_folder_that_is_a_file_is_refused_before_the_first_update(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = nn.Trainer(*parts(), epochs=1, threads=1, folder=tmp_path / "file")
    with pytest.raises(FileExistsError, match="a file where a folder is to be"):
        trainer.run()
    assert trainer.step == 0


def test_resuming_needs_no_more_than_the_same_parts(tmp_path):
    """Networks composed by hand, given feedback matrices, layers of one's own with counters of their own."""

    class Counting(nn.Identity):
        calls = 0

        def forward(self, x, way):
            self.calls += 1
            return super().forward(x, way)

    b = np.random.default_rng(3).standard_normal((5, 3))

    def made(matrix=b):
        layers = [nn.Flatten(), nn.Dense(5), Counting(), nn.Tanh(), nn.Dense(3)]
        network = nn.Network(layers, IMAGE, feedback=linfa.FeedbackAlignment([matrix]), dtype="float64")
        _, dataset, recipe = parts()
        return nn.Trainer(network, dataset, recipe, epochs=2, batch=5, threads=1, folder=tmp_path, checkpoint_every=3)

    whole = made()
    whole.run()
    trainer = made()
    with pytest.raises(Stop):
        trainer.run(stopping_after(5))
    resumed = made().resume()
    assert resumed.step == 4
    resumed.run()
    assert_same_bits(resumed, whole)
    with pytest.raises(ValueError, match=r"model\.feedback"):
        made(2 * b).resume()
