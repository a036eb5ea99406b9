"""A run described by names and numbers: what the command line and a TOML file say, and what a checkpoint keeps."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from linfa._check import choice, flag, integer, nearest, real_number, seed_value
from linfa.feedback import Feedback
from linfa.nn.data import Augmentation, Dataset, load
from linfa.nn.losses import LOSSES
from linfa.nn.models import MODELS, model
from linfa.nn.muon import Muon
from linfa.nn.network import Network
from linfa.nn.optimisers import SGD, Adam, AdamW, Optimiser
from linfa.nn.recipe import Recipe, Treatment
from linfa.nn.schedules import Constant, Exponential, Schedule, WarmUpCosine
from linfa.nn.trainer import Trainer
from linfa.presets import NETWORK_PRESETS, network_preset

OPTIMISERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "muon": Muon}
# What each optimiser is usually started with.
_RATES = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3, "muon": 0.02}
SCHEDULES = ("constant", "exponential", "cosine")


@dataclass(frozen=True)
class Plan:
    """One training run, in names and numbers.

    Parameters
    ----------
    data : str
        digits, mnist, fashion-mnist, cifar10, cifar100, or the path of an ``.npz`` file.
    root : str, optional
        Folder of the published sets; see `linfa.nn.data.load`.
    classes : int, optional
        The first so many classes alone.
    grayscale : bool
        Luminance instead of colours.
    validation : int or float
        Images (or fraction) of the training set to hold out and test on, instead of the test set.
    model : str
        One of `linfa.nn.models.MODELS`.
    model_options : dict
        Arguments of the model, such as ``{"widths": [256, 256]}``.
    feedback : str
        One of `linfa.presets.NETWORK_PRESETS`.
    rank : int or list of int, optional
        Of low-rank feedback: one for all layers, capped where a layer is smaller, or one for each layer that sends an
        error down, in forward order.
    layers : list of str
        Names of the layers that get the feedback (``*`` for any text); empty for all.
    others : str
        Feedback of the layers that `layers` does not name.
    feedback_options : dict
        Further arguments of the rule's class.
    optimiser : {"adamw", "adam", "sgd", "muon"}
    optimiser_options : dict
        Its arguments, such as ``{"momentum": 0.9}``.
    rate : float, optional
        Learning rate; None takes one usual for the optimiser.
    weight_decay : float
    clamp : float, optional
        Largest size of an entry of a gradient.
    feedback_rate, feedback_decay : float, optional
        Of Q and P, by an AdamW of their own; None treats them as the weights.
    schedule : {"cosine", "constant", "exponential"}
    warm_up : float
        Epochs of linear warm-up, for the cosine.
    factor : float
        Of the rate in each epoch, for the exponential.
    epochs : int
    batch : int, optional
    flip : bool
    crop, cutout : int
    rotation : float
        Augmentation; see `linfa.nn.data.Augmentation`.
    loss : {"cross-entropy", "squared-error"}
    clip_signal : float, optional
    refactor_every : float
        See `Trainer`.
    probe_every, checkpoint_every, threads : int, optional
        See `Trainer`.
    seed : int
        Of weights, feedback, and order of batches.
    precision : {"float32", "float64"}
    device : {"cpu", "cuda"}

    Raises
    ------
    ValueError, TypeError
        If a value is out of range. What depends on the data is checked when the run is made.

    Examples
    --------
    >>> trainer = Plan(model="mlp", feedback="normative", rank=10, epochs=1).trainer()
    >>> trainer.network.classes
    10
    """

    data: str = "digits"
    root: str | None = None
    classes: int | None = None
    grayscale: bool = False
    validation: float = 0
    model: str = "mlp"
    model_options: Mapping[str, object] = field(default_factory=dict)
    feedback: str = "backprop"
    rank: int | tuple[int, ...] | None = None
    layers: tuple[str, ...] = ()
    others: str = "backprop"
    feedback_options: Mapping[str, object] = field(default_factory=dict)
    optimiser: str = "adamw"
    optimiser_options: Mapping[str, object] = field(default_factory=dict)
    rate: float | None = None
    weight_decay: float = 0.01
    clamp: float | None = None
    feedback_rate: float | None = None
    feedback_decay: float | None = None
    schedule: str = "cosine"
    warm_up: float = 0.0
    factor: float = 0.98
    epochs: int = 10
    batch: int | None = None
    flip: bool = False
    crop: int = 0
    rotation: float = 0.0
    cutout: int = 0
    loss: str = "cross-entropy"
    clip_signal: float | None = None
    refactor_every: float = 0.5
    probe_every: int | None = None
    checkpoint_every: int | None = None
    threads: int | None = None
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("data", "root"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} is {value!r}; it must be text")
        for name in ("model_options", "feedback_options", "optimiser_options"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise TypeError(f"{name} is {value!r}; it must be a dictionary of arguments")
            object.__setattr__(self, name, dict(value))
        if isinstance(self.layers, str) or not all(isinstance(name, str) for name in self.layers):
            raise TypeError(f"layers is {self.layers!r}; it must be a list of names")
        object.__setattr__(self, "layers", tuple(self.layers))
        choice("model", self.model, MODELS)
        choice("feedback", self.feedback, NETWORK_PRESETS)
        choice("others", self.others, NETWORK_PRESETS)
        choice("optimiser", self.optimiser, OPTIMISERS)
        choice("schedule", self.schedule, SCHEDULES)
        choice("loss", self.loss, LOSSES)
        choice("precision", self.precision, ("float32", "float64"))
        choice("device", self.device, ("cpu", "cuda"))
        integer("epochs", self.epochs, at_least=1)
        if isinstance(self.rank, (list, tuple)):
            ranks = tuple(integer(f"rank[{k}]", r, at_least=1) for k, r in enumerate(self.rank))
            object.__setattr__(self, "rank", ranks)
        elif self.rank is not None:
            integer("rank", self.rank, at_least=1)
        for name in ("batch", "classes", "threads", "checkpoint_every"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), at_least=1)
        seed_value("seed", self.seed)
        for name in ("flip", "grayscale"):
            flag(name, getattr(self, name))
        for name in ("rate", "clamp", "feedback_rate", "clip_signal"):
            if getattr(self, name) is not None:
                real_number(name, getattr(self, name), above=0.0)
        for name in ("weight_decay", "warm_up", "refactor_every", "validation"):
            real_number(name, getattr(self, name), at_least=0.0)
        if self.feedback_decay is not None and self.feedback_rate is None:
            raise ValueError(f"feedback_decay is {self.feedback_decay}, which needs a feedback_rate of its own")
        if not self.layers and self.others != "backprop":
            raise ValueError(f"others is {self.others!r}, which is for what layers leaves out; layers is empty")

    def dataset(self) -> Dataset:
        """The data, with a part held out where `validation` asks for it."""
        loaded = load(self.data, self.root, self.classes)
        if self.grayscale:
            loaded = loaded.grayscale()
        if self.validation:
            # Every seed of the run holds out the same images, so that runs differ in nothing else.
            whole = float(self.validation) >= 1
            loaded = loaded.split(int(self.validation) if whole else float(self.validation), seed=0)
        return loaded

    def rule(self) -> Feedback | dict[str, Feedback]:
        """The feedback, as `Network` takes it."""
        rule = network_preset(self.feedback, self.rank, self.seed, **self.feedback_options)
        if not self.layers:
            return rule
        # The rest gets no rank of its own: full feedback, whatever its rule.
        return dict.fromkeys(self.layers, rule) | {"*": network_preset(self.others, seed=self.seed)}

    def recipe(self) -> Recipe:
        """Optimiser, rate, decay and schedule of every parameter."""
        made = _optimiser(self.optimiser, self.optimiser_options)
        rate = _RATES[self.optimiser] if self.rate is None else self.rate
        weights = Treatment(made, rate, self.weight_decay, self.clamp)
        own = None
        if self.feedback_rate is not None:
            own = Treatment(AdamW(), self.feedback_rate, self.feedback_decay or 0.0, self.clamp)
        return Recipe(weights, q=own, p=own, schedule=self._schedule())

    def _schedule(self) -> Schedule:
        if self.schedule == "cosine":
            return WarmUpCosine(self.epochs, self.warm_up)
        if self.warm_up:
            raise ValueError(f"warm_up is {self.warm_up:g}, which is for the cosine; schedule is {self.schedule!r}")
        return Constant() if self.schedule == "constant" else Exponential(self.factor)

    def network(self, dataset: Dataset) -> Network:
        """The network, for these data."""
        shape = dataset.train_images.shape[1:]
        layers = model(self.model, shape, dataset.classes, **self.model_options)
        return Network(
            layers, shape, feedback=self.rule(), loss=LOSSES[self.loss](), seed=self.seed, dtype=self.precision
        )

    def trainer(self, folder: str | Path | None = None) -> Trainer:
        """The run, ready to start; with a folder it writes checkpoints there."""
        dataset = self.dataset()
        augment = Augmentation(self.flip, self.crop, self.rotation, self.cutout)
        return Trainer(
            self.network(dataset).to(self.device),
            dataset,
            self.recipe(),
            epochs=self.epochs,
            batch=self.batch,
            augment=augment if augment != Augmentation() else None,
            clip_signal=self.clip_signal,
            refactor_every=self.refactor_every,
            probe_every=self.probe_every,
            seed=self.seed,
            threads=self.threads,
            folder=folder,
            checkpoint_every=self.checkpoint_every,
            settings={"plan": self.to_dict()},
        )

    def to_dict(self) -> dict:
        """Plain numbers, text and lists from which `from_dict` makes an equal plan."""
        plain = asdict(self)
        plain["layers"] = list(self.layers)
        if isinstance(self.rank, tuple):
            plain["rank"] = list(self.rank)
        return plain

    @staticmethod
    def from_dict(plain: Mapping[str, object]) -> "Plan":
        """The plan with these entries; what is missing keeps its default.

        Raises
        ------
        ValueError, TypeError
            If an entry is unknown or its value out of range.
        """
        if not isinstance(plain, Mapping):
            raise TypeError(f"plan is {plain!r}; it must be a dictionary")
        known = [f.name for f in fields(Plan)]
        for name in plain:
            if name not in known:
                raise ValueError(
                    f"the plan has no entry {name!r}{nearest(str(name), known)}; it has {', '.join(known)}"
                )
        return Plan(**plain)

    @staticmethod
    def from_toml(path: str | Path) -> dict:
        """Entries of a TOML file, whose names are the arguments above; tables hold the options.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is no TOML.
        """
        try:
            with Path(path).open("rb") as file:
                entries = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML file: {error}") from error
        Plan.from_dict(entries)
        return entries


def _optimiser(name: str, options: Mapping[str, object]) -> Optimiser:
    kind = OPTIMISERS[name]
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise ValueError(
                f"optimiser {name!r} takes no {option!r}{nearest(option, known)}; it takes {', '.join(known)}"
            )
    return kind(**options)
