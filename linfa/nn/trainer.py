"""Training: batches in, updates out, probes on the way; stopped at any moment, it goes on with the same bits."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from linfa._check import flag, integer, real_number, seed_value
from linfa._threads import thread_count
from linfa.nn import checkpoint
from linfa.nn.backend import like, to_numpy
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


class TrainingStopped(RuntimeError):
    """A run whose loss or gradients are no longer numbers; what it had up to then is kept."""


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
        Where checkpoints go; none are written without it.
    checkpoint_every : int, optional
        Updates between checkpoints, beside the one after each epoch.
    settings : dict, optional
        What else is to stand in checkpoints and history, such as the plan of the run.

    Attributes
    ----------
    history : History
    step, epoch : int
        Updates made, epochs completed.
    status : str
        ``"running"``, ``"completed"`` or ``"diverged"``.

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
        probe_samples: int = 200,
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
        self.batch = (128 if size >= 20_000 else 32) if batch is None else integer("batch", batch, at_least=1)
        if self.batch > size:
            raise ValueError(f"batch is {self.batch}; the training set has {size} images")
        moments = {"mean": dataset.mean, "std": dataset.std} if flag("normalise", normalise) else {}
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
            images, labels = probe_batch(
                dataset.test_images, dataset.test_labels, min(count, len(dataset.test_labels)), self.seed
            )
            x, labels = next(
                Loader(
                    images, labels, len(labels), dtype=network.dtype, prefetch=False, **moments
                ).in_order()
            )  # fmt: skip
            self._probes = Probes(
                network, x, labels, seed=self.seed, clip_signal=self.clip_signal, **(probe_options or {})
            )
        self.history = History([m.name for m in network.maps], self.settings | {"threads": self.threads})
        self.step, self.epoch, self.status = 0, 0, "running"
        # Sums over the epoch that is under way.
        self._loss, self._right, self._seen = 0.0, 0, 0

    def run(self, report: Report | None = None) -> History:
        """Train to the end, or on from where a checkpoint was loaded; returns the history.

        `report` is called after every update with the trainer.

        Warns
        -----
        UserWarning
            If the loss or a gradient is no longer a number: the run stops there, with the status ``"diverged"``.
        """
        with ThreadpoolController().limit(limits=self.threads, user_api="blas"):
            try:
                while self.epoch < self.epochs:
                    self._one_epoch(report)
                self.status = "completed"
            except TrainingStopped as error:
                self.status = "diverged"
                warnings.warn(str(error), UserWarning, stacklevel=2)
        return self.history

    def evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the test part, with running averages and nothing dropped."""
        loss, right, network = 0.0, 0, self.network
        for x, labels in self._test.in_order():
            output = network.forward(self._placed(x))
            loss += network.loss(output, network.targets(labels))[0] * len(labels)
            right += int((to_numpy(output.argmax(1)) == labels).sum())
        count = len(self.dataset.test_labels)
        return loss / count, right / count

    def _placed(self, x: np.ndarray) -> np.ndarray:
        return like(x, self.network.weights[0].value)

    def _one_epoch(self, report: Report | None) -> None:
        started, done = time.perf_counter(), self.step - self.epoch * self.updates_per_epoch
        for x, labels in self._loader.epoch(self.epoch, start=done):
            self._update(self._placed(x), labels)
            if report is not None:
                report(self)
            inside = self.step % self.updates_per_epoch
            if self.folder is not None and self.checkpoint_every and inside and not self.step % self.checkpoint_every:
                self.save()
        test_loss, test_accuracy = self.evaluate()
        self.history.append_epoch(
            epoch=self.epoch,
            step=self.step,
            train_loss=self._loss / self._seen,
            train_accuracy=self._right / self._seen,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            learning_rate=self._rate,
            seconds=time.perf_counter() - started,
        )
        self.epoch += 1
        self._loss, self._right, self._seen = 0.0, 0, 0
        if self.folder is not None:
            self.save()

    def _update(self, x: np.ndarray, labels: np.ndarray) -> None:
        network, step = self.network, self.step
        probing = self._probes is not None and step % self.probe_every == 0
        if probing:
            self._probes.before(step)
        way = Pass("train", step=step, seed=network.seed, clip_signal=self.clip_signal)
        loss, output = network.learn(x, labels, way)
        if not np.isfinite(loss):
            raise TrainingStopped(f"the loss is {loss} in update {step}: a smaller rate, or clip_signal, may help")
        rates = self.descent.rates()
        first = network.weights[0].name
        self._rate = rates[first]
        try:
            self.descent.step()
        except ValueError as error:
            raise TrainingStopped(f"update {step}: {error}; a smaller rate, or clip_signal, may help") from error
        network.refresh(self._rate, self.descent.assigned[first].treatment.decay, way)
        self.step += 1
        if self._refactor_after and self.step % self._refactor_after == 0:
            network.refactor()
        self._loss += loss * len(labels)
        self._right += int((to_numpy(output.argmax(1)) == labels).sum())
        self._seen += len(labels)
        if probing:
            self.history.append_probe(step, self._probes.after(step))

    def save(self) -> Path:
        """Write a checkpoint to `folder`; see `linfa.nn.checkpoint.save`."""
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
            "trainer": self._identity(),
            "epoch": self.epoch,
            "updates": memory["count"],
            "sums": [self._loss, self._right, self._seen],
            "threads": self.threads,
            "history": facts,
        }
        return checkpoint.save(self.folder, arrays, described, self.step)

    def resume(self, folder: str | Path | None = None) -> "Trainer":
        """Take up the checkpoint in `folder` (or the trainer's own), so that `run` goes on with the same bits.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is none, it is damaged, or it is of another model, feedback, optimiser, seed or batch.

        Warns
        -----
        UserWarning
            If the number of threads is another, which changes the last bits of the results.
        """
        folder = self.folder if folder is None else folder
        if folder is None:
            raise ValueError("folder is not given; name the one that holds the checkpoint")
        arrays, facts, step = checkpoint.load(folder)
        try:
            identity, history = facts["trainer"], facts["history"]
            epoch, updates, sums = facts["epoch"], facts["updates"], facts["sums"]
            threads = facts["threads"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"the checkpoint in {folder} is no trainer's: it lacks {error}") from error
        for name, mine in self._identity().items():
            if identity.get(name) != mine:
                raise ValueError(f"the checkpoint in {folder} has {name} {identity.get(name)!r}; this run has {mine!r}")
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
        if threads != self.threads:
            warnings.warn(
                f"the checkpoint was made with {threads} threads, this run has {self.threads}: the results will differ "
                "in their last bits",
                UserWarning,
                stacklevel=2,
            )
        self.step, self.epoch = step, epoch
        self._loss, self._right, self._seen = sums
        return self

    def _identity(self) -> dict:
        """What must agree for a checkpoint to be one of this run."""
        return {
            "seed": self.seed,
            "network seed": self.network.seed,
            "batch": self.batch,
            "training images": len(self.dataset.train_labels),
            "data": self.dataset.name,
            "recipe": self.descent.recipe.to_dict(),
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
