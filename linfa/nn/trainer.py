"""Training: batches in, updates out, probes on the way; stopped at any moment, it goes on with the same bits."""

import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from linfa._check import flag, integer, real_number, seed_value
from linfa._threads import thread_count
from linfa.nn import checkpoint, identity, lock
from linfa.nn.backend import like, namespace, to_numpy
from linfa.nn.data import Augmentation, Dataset, Loader
from linfa.nn.descent import assign
from linfa.nn.history import History
from linfa.nn.layer import Pass
from linfa.nn.network import Network
from linfa.nn.probes import Probes, probe_batch
from linfa.nn.recipe import Recipe

Report = Callable[["Trainer"], None]
# Evaluation keeps nothing for a way back, so its batches may be larger than those of training.
_EVALUATION_BATCH = 500
_HISTORY = "history."
_NETWORK = "network."
_MEMORY = "memory."
_PROBES = "probes."
_HELP = "a smaller rate, or clip_signal, may help"


class TrainingStopped(RuntimeError):
    """A run whose loss or gradients are no longer numbers; what it had up to then is kept."""


@dataclass
class _Epoch:
    """Sums over the epoch that is under way."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    rate: float = 0.0  # of the last update


class Trainer:
    """One run: a network, data, a recipe, and how far it has come.

    Parameters
    ----------
    network : Network
    dataset : Dataset
        Its test part is evaluated after every epoch; hold out a part of the training set with `Dataset.split` to choose
        hyperparameters.
    recipe : Recipe
        Who gets which optimiser, rate and decay.
    epochs : int
    batch : int, optional
        None: 128, or 32 for sets of fewer than 20,000 images.
    augment : Augmentation, optional
    normalise : bool
        Give each channel (or feature) mean 0 and deviation 1 over the training set.
    clip_signal : float, optional
        Largest size of an entry of the error that a layer sends down, in units of a single sample's.
    refactor_every : float
        Epochs between refactorisations of normative feedback, Q P ← best fit of Wᵀ; 0 for never.
    probe_every : int, optional
        Updates between probes; 0 for none, None for about twenty in the run.
    probe_samples : int
        Test images in the probe's batch.
    probe_options : dict, optional
        Further arguments of `Probes`.
    seed : int
        Of the order of batches, augmentation and dropout. Weights and feedback have seeds of their own.
    threads : int, optional
        BLAS threads; None takes all cores. Results repeat bit for bit at a fixed number, which the history records.
    folder : path, optional
        Where checkpoints go, made where it does not exist; none are written without it. One run at a time has it.
    checkpoint_every : int, optional
        Updates between checkpoints, beside the one after each epoch.
    settings : dict, optional
        What else is to stand in checkpoints and history, such as the plan of the run: plain numbers, text and lists.

    Attributes
    ----------
    history : History
    step, epoch : int
        Updates made, epochs completed.
    status : str
        ``"running"``, ``"completed"`` or ``"diverged"``.
    reason : str
        Why it diverged, and when.
    saved : int or None
        Updates made when this trainer last wrote a checkpoint.

    Raises
    ------
    ValueError, TypeError
        If the parts do not fit each other.

    Examples
    --------
    >>> from linfa import nn
    >>> data = nn.data.load("digits")
    >>> network = nn.Network(nn.models.mlp(10, (32,)), (8, 8, 1))
    >>> recipe = nn.Recipe(nn.Treatment(nn.AdamW(), rate=2e-3))
    >>> trainer = nn.Trainer(network, data, recipe, epochs=2, threads=1)
    >>> bool(trainer.run().test_accuracy[-1] > 0.8)
    True
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        recipe: Recipe,
        *,
        epochs: int,
        batch: int | None = None,
        augment: Augmentation | None = None,
        normalise: bool = True,
        clip_signal: float | None = None,
        refactor_every: float = 0.5,
        probe_every: int | None = None,
        probe_samples: int = 128,
        probe_options: dict | None = None,
        seed: int = 0,
        threads: int | None = None,
        folder: str | Path | None = None,
        checkpoint_every: int | None = None,
        settings: dict | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network is {type(network).__name__}; it must be a Network")
        if not isinstance(dataset, Dataset):
            raise TypeError(f"dataset is {type(dataset).__name__}; it must be a Dataset, as nn.data.load returns")
        _fit(network, dataset)
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe is {recipe!r}; it must be a Recipe")
        self.network, self.dataset = network, dataset
        self.epochs = integer("epochs", epochs, at_least=1)
        self.seed = seed_value("seed", seed)
        self.threads = thread_count(threads)
        self.folder = None if folder is None else Path(folder)
        self.settings = dict(settings or {})
        if checkpoint_every is not None:
            checkpoint_every = integer("checkpoint_every", checkpoint_every, at_least=1)
        self.checkpoint_every = checkpoint_every
        self.clip_signal = None if clip_signal is None else real_number("clip_signal", clip_signal, above=0.0)
        size = len(dataset.train_labels)
        usual = min(size, 128 if size >= 20_000 else 32)
        self.batch = usual if batch is None else integer("batch", batch, at_least=1)
        if self.batch > size:
            raise ValueError(f"batch is {self.batch}; the training set has {size} images")
        self.normalise = flag("normalise", normalise)
        moments = {"mean": dataset.mean, "std": dataset.std} if self.normalise else {}
        self._loader = Loader(
            dataset.train_images, dataset.train_labels, self.batch, self.seed,
            augment=augment, dtype=network.dtype, **moments,
        )  # fmt: skip
        self._test = Loader(
            dataset.test_images, dataset.test_labels, _EVALUATION_BATCH,
            dtype=network.dtype, drop_last=False, **moments,
        )  # fmt: skip
        self.updates_per_epoch = len(self._loader)
        self.total = self.epochs * self.updates_per_epoch
        every = real_number("refactor_every", refactor_every, at_least=0.0)
        self._refactor_after = max(1, round(every * self.updates_per_epoch)) if every else 0
        self.descent = assign(network.parameters, recipe, self.updates_per_epoch)
        self.probe_every = (
            max(1, self.total // 20) if probe_every is None else integer("probe_every", probe_every, at_least=0)
        )
        self._probes = None
        if self.probe_every:
            count = integer("probe_samples", probe_samples, at_least=2)
            if len(dataset.test_labels) < 2:
                raise ValueError(f"{dataset.name} has 1 test image; probes need at least 2, so probe_every must be 0")
            images, labels = probe_batch(
                dataset.test_images, dataset.test_labels, min(count, len(dataset.test_labels)), self.seed
            )
            whole = Loader(images, labels, len(labels), dtype=network.dtype, prefetch=False, **moments)
            x, labels = next(whole.in_order())
            options = {"seed": self.seed, "clip_signal": self.clip_signal} | (probe_options or {})
            self._probes = Probes(network, x, labels, **options)
        facts = {"threads": self.threads, "classes": network.classes}
        if self._probes is not None and self._probes.trajectory_rows is not None:
            facts["trajectory_rows"] = self._probes.trajectory_rows
        self.history = History([m.name for m in network.maps], self.settings | facts)
        # Taken before anything moves: what layers count while they run is no part of it.
        self._of_network = identity.of_network(network)
        self._augment = identity.of_augmentation(augment)
        self.step, self.epoch, self.status, self.reason = 0, 0, "running", ""
        self.saved: int | None = None
        self._underway = _Epoch()
        # Whether an update was begun and not ended, with the network of no step at all then; whether `run` is at work.
        self._within = self._running = False

    def run(self, report: Report | None = None) -> History:
        """Train to the end, or on from where a checkpoint was loaded; returns the history.

        `report` is called after every update with the trainer. What it raises ends the run, which another call of `run`
        takes up again.

        Raises
        ------
        OSError
            If a checkpoint cannot be written; the one before is still whole then. BlockingIOError if another run, of
            this process or another, is under way in the folder.
        RuntimeError
            If the run was broken off within an update, or `report` calls this.

        Warns
        -----
        UserWarning
            If the loss or a gradient is no longer a number: the run stops there, with the status ``"diverged"``.
        """
        if self._running:
            raise RuntimeError("the run is under way; what it calls after an update cannot call it")
        if self.folder is not None:
            # Better to fail now than after an epoch.
            checkpoint.make_folder(self.folder)
        if self.status != "diverged":
            self._refuse_broken()
            with self._folder_held():
                self._running = True
                try:
                    # The loss, gradients and weights are looked at: no need for NumPy to warn of them too.
                    with self._threads_held(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                        while self.epoch < self.epochs:
                            self._one_epoch(report)
                    self.status = "completed"
                except TrainingStopped as error:
                    self.status, self.reason = "diverged", str(error)
                finally:
                    self._running = False
        if self.status == "diverged":
            warnings.warn(self.reason, UserWarning, stacklevel=2)
        return self.history

    def evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the test part, with running averages and nothing dropped."""
        loss, right, network = 0.0, 0, self.network
        with self._threads_held():
            for x, labels in self._test.in_order():
                output = network.forward(self._placed(x))
                loss += network.loss(output, network.targets(labels))[0] * len(labels)
                right += int((to_numpy(output.argmax(1)) == labels).sum())
        count = len(self.dataset.test_labels)
        return loss / count, right / count

    def _threads_held(self) -> AbstractContextManager:
        return ThreadpoolController().limit(limits=self.threads, user_api="blas")

    def _folder_held(self) -> AbstractContextManager:
        """Against other runs; a run that is under way has it already."""
        return nullcontext() if self.folder is None or self._running else lock.held(self.folder)

    def _placed(self, x: np.ndarray) -> np.ndarray:
        return like(x, self.network.weights[0].value)

    def _one_epoch(self, report: Report | None) -> None:
        underway, done = self._underway, self.step - self.epoch * self.updates_per_epoch
        started = time.perf_counter() - underway.seconds
        for x, labels in self._loader.epoch(self.epoch, start=done):
            self._update(self._placed(x), labels)
            underway.seconds = time.perf_counter() - started
            if report is not None:
                report(self)
            inside = self.step % self.updates_per_epoch
            if self.folder is not None and self.checkpoint_every and inside and not self.step % self.checkpoint_every:
                self.save()
        test_loss, test_accuracy = self.evaluate()
        self.history.append_epoch(
            epoch=self.epoch,
            step=self.step,
            train_loss=underway.loss / underway.seen,
            train_accuracy=underway.right / underway.seen,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            learning_rate=underway.rate,
            seconds=time.perf_counter() - started,
        )
        self.epoch += 1
        self._underway = _Epoch()
        if not np.isfinite(test_loss):
            raise TrainingStopped(f"the test loss is {test_loss} after {self.step} updates: {_HELP}")
        if self.folder is not None:
            self.save()

    def _update(self, x: np.ndarray, labels: np.ndarray) -> None:
        network, step, underway = self.network, self.step, self._underway
        self._within = True
        probing = self._probes is not None and step % self.probe_every == 0
        if probing:
            self._probes.before(step)
        way = Pass("train", step=step, seed=network.seed, clip_signal=self.clip_signal)
        loss, output = network.learn(x, labels, way)
        if not np.isfinite(loss):
            raise TrainingStopped(f"the loss is {loss} in update {step}: {_HELP}")
        rates = self.descent.rates()
        first = network.weights[0].name
        try:
            self.descent.step()
            network.refresh(rates[first], self.descent.assigned[first].treatment.decay, way)
            if self._refactor_after and (step + 1) % self._refactor_after == 0:
                network.refactor()
        except ValueError as error:
            raise TrainingStopped(f"update {step}: {error}; {_HELP}") from error
        self.step += 1
        underway.rate = rates[first]
        underway.loss += loss * len(labels)
        underway.right += int((to_numpy(output.argmax(1)) == labels).sum())
        underway.seen += len(labels)
        if probing:
            self.history.append_probe(step, self._probes.after(step))
        self._within = False

    def _refuse_broken(self) -> None:
        if self.status == "diverged":
            raise RuntimeError(f"the run diverged: {self.reason}")
        if self._within:
            raise RuntimeError(
                f"the run was broken off within update {self.step}, with the network half changed; load the last "
                "checkpoint with resume()"
            )

    def save(self) -> Path:
        """Write a checkpoint to `folder`; see `linfa.nn.checkpoint.save`.

        Raises
        ------
        OSError
            If it cannot be written; the one before is still whole then. BlockingIOError if another run is under way in
            the folder.
        RuntimeError
            If the run was broken off, or diverged, within an update.
        """
        if self.folder is None:
            raise ValueError("folder is None; give the trainer one, where checkpoints are to go")
        self._refuse_broken()
        memory = self.descent.state()
        arrays = {_NETWORK + name: array for name, array in self.network.state().items()}
        for name, slots in memory["memory"].items():
            arrays |= {f"{_MEMORY}{name}/{slot}": to_numpy(array) for slot, array in slots.items()}
        kept, facts = self.history.to_state()
        arrays |= {_HISTORY + name: array for name, array in kept.items()}
        if self._probes is not None:
            arrays |= {_PROBES + name: array for name, array in self._probes.state().items()}
        described = {
            "settings": self.settings,
            "identity": self._identity,
            "epoch": self.epoch,
            "updates": memory["count"],
            "underway": asdict(self._underway),
            "computed": self._computed(),
            "history": facts,
        }
        checkpoint.make_folder(self.folder)
        with self._folder_held():
            written = checkpoint.save(self.folder, arrays, described, self.step)
        self.saved = self.step
        return written

    def resume(self, folder: str | Path | None = None) -> "Trainer":
        """Take up the checkpoint in `folder` (or the trainer's own), so that `run` goes on with the same bits.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none, it is damaged, or it is of another run: other data, model, feedback, optimiser, seed, …

        Warns
        -----
        UserWarning
            If the number of threads, or the device, is another, which changes the last bits of the results.
        """
        folder = self.folder if folder is None else folder
        if folder is None:
            raise ValueError("folder is not given; name the one that holds the checkpoint")
        arrays, facts, step = checkpoint.load(folder)
        try:
            theirs, computed, history = facts["identity"], facts["computed"], facts["history"]
            epoch, updates, underway = facts["epoch"], facts["updates"], _Epoch(**facts["underway"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the checkpoint in {folder} is no trainer's: {error}") from error
        found = identity.difference(theirs, self._identity)
        if found:
            raise ValueError(f"the checkpoint in {folder} is of another run: {found}")
        parts = {prefix: _under(arrays, prefix) for prefix in (_NETWORK, _MEMORY, _HISTORY, _PROBES)}
        memory: dict[str, dict] = {p.name: {} for p in self.network.parameters}
        for name, array in parts[_MEMORY].items():
            parameter, _, slot = name.rpartition("/")
            memory.setdefault(parameter, {})[slot] = array
        try:
            self.network.load_state(parts[_NETWORK])
            self.descent.load({"count": updates, "memory": memory})
            self.history = History.from_state(parts[_HISTORY], history)
            if self._probes is not None:
                self._probes.load_state(parts[_PROBES])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"the checkpoint in {folder} is of another run: {error}") from error
        if computed != self._computed():
            warnings.warn(
                f"the checkpoint was made on {computed}, this run is on {self._computed()}: the results will differ in "
                "their last bits",
                UserWarning,
                stacklevel=2,
            )
        self.step, self.epoch, self._underway, self._within = step, epoch, underway, False
        self.status, self.reason = "running", ""
        return self

    def _computed(self) -> str:
        """What the last bits of the results depend on."""
        if namespace(self.network.weights[0].value) is not np:
            return "a graphics card"
        return f"{self.threads} thread{'s' * (self.threads > 1)}"

    @cached_property
    def _identity(self) -> dict:
        """What must agree for a checkpoint to be one of this run."""
        return {
            "data": identity.of_data(self.dataset),
            "model": self._of_network,
            "recipe": self.descent.recipe.to_dict(),
            "seed": self.seed,
            "batch": self.batch,
            "augment": self._augment,
            "normalise": self.normalise,
            "clip_signal": self.clip_signal,
            "updates between refactorisations": self._refactor_after,
            "probe_every": self.probe_every,
        }


def _under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _fit(network: Network, dataset: Dataset) -> None:
    shape = dataset.train_images.shape[1:]
    if shape != network.input_shape:
        raise ValueError(
            f"the network takes samples of shape {network.input_shape}; those of {dataset.name} are {shape}"
        )
    if network.classes != dataset.classes:
        raise ValueError(f"the network has {network.classes} outputs; {dataset.name} has {dataset.classes} classes")
