"""A run described by names and numbers: what the command line and a TOML file say, and what a checkpoint keeps."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from linfa._check import choice, flag, integer, nearest, real_number, seed_value
from linfa.feedback import Feedback
from linfa.nn.backend import device_module
from linfa.nn.data import Augmentation, Dataset, load
from linfa.nn.losses import LOSSES
from linfa.nn.models import MODELS, model
from linfa.nn.muon import Muon
from linfa.nn.network import Network
from linfa.nn.optimisers import SGD, Adam, AdamW, Optimiser
from linfa.nn.recipe import Recipe, Treatment, published_auxiliary
from linfa.nn.schedules import Constant, Exponential, Schedule, WarmUpCosine
from linfa.nn.trainer import Trainer
from linfa.presets import NETWORK_PRESETS, network_preset

OPTIMISERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "muon": Muon}
# What each optimiser is usually started with.
_RATES = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3, "muon": 0.02}
_FACTOR = 0.98
# Arguments of a model or a rule that are entries of the plan, or follow from the data.
_ELSEWHERE = {"model_options": ("name", "input_shape", "classes"), "feedback_options": ("name", "rank", "seed")}
# Integers and the least that they may be.
_COUNTS = {"epochs": 1, "batch": 1, "classes": 2, "threads": 1, "checkpoint_every": 1, "probe_every": 0}
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
        Of low-rank feedback: one for all layers, capped where a layer is smaller; or one for each layer that sends an
        error down, in forward order; or, where `layers` is given, one for each of its names.
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
    auxiliary_rate : float, optional
        Beside Muon, of the AdamW that serves all but hidden matrices and kernels: first and last weights, biases,
        gains, embeddings, Q and P. None takes the published one, 3e-4; it has no decay.
    weight_decay : float
    clamp : float, optional
        Largest size of an entry of a gradient.
    feedback_rate, feedback_decay : float, optional
        Of Q and P, by an AdamW of their own; None treats them as the weights.
    schedule : {"cosine", "constant", "exponential"}
    warm_up : float
        Epochs of linear warm-up, for the cosine.
    factor : float, optional
        Of the rate in each epoch, for the exponential; 0.98 when not given.
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
    auxiliary_rate: float | None = None
    weight_decay: float = 0.01
    clamp: float | None = None
    feedback_rate: float | None = None
    feedback_decay: float | None = None
    schedule: str = "cosine"
    warm_up: float = 0.0
    factor: float | None = None
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
            for option in value:
                if option in _ELSEWHERE.get(name, ()):
                    raise ValueError(f"{name} has {option!r}, which the plan says elsewhere")
            object.__setattr__(self, name, dict(value))
        if not isinstance(self.layers, (list, tuple)) or not all(isinstance(name, str) for name in self.layers):
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
        if isinstance(self.rank, (list, tuple)):
            ranks = tuple(integer(f"rank[{k}]", r, at_least=1) for k, r in enumerate(self.rank))
            object.__setattr__(self, "rank", ranks)
        elif self.rank is not None:
            integer("rank", self.rank, at_least=1)
        for name, least in _COUNTS.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name), at_least=least))
        seed_value("seed", self.seed)
        for name in ("flip", "grayscale"):
            flag(name, getattr(self, name))
        for name in ("rate", "auxiliary_rate", "clamp", "feedback_rate", "clip_signal", "factor"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, real_number(name, getattr(self, name), above=0.0))
        for name in ("weight_decay", "feedback_decay", "warm_up", "refactor_every"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, real_number(name, getattr(self, name), at_least=0.0))
        real_number("validation", self.validation, at_least=0.0)
        if self.validation >= 1 and self.validation != int(self.validation):
            raise ValueError(f"validation is {self.validation:g}; it must be a whole number of images, or below 1")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        """Entries that only mean something beside others."""
        if self.auxiliary_rate is not None and not OPTIMISERS[self.optimiser].hidden_only:
            raise ValueError(
                f"auxiliary_rate is {self.auxiliary_rate:g}, which is for what Muon leaves to AdamW; optimiser is "
                f"{self.optimiser!r}"
            )
        if self.feedback_decay is not None and self.feedback_rate is None:
            raise ValueError(f"feedback_decay is {self.feedback_decay}, which needs a feedback_rate of its own")
        if not self.layers and self.others != "backprop":
            raise ValueError(f"others is {self.others!r}, which is for what layers leaves out; layers is empty")
        if self.layers and self.feedback == self.others and self.rank is None and not self.feedback_options:
            raise ValueError(f"layers is {list(self.layers)}, but feedback and others are both {self.feedback!r}")
        if self.layers and isinstance(self.rank, tuple) and len(self.rank) != len(self.layers):
            raise ValueError(
                f"rank has {len(self.rank)} entries; it must be one, or one for each of {list(self.layers)}"
            )
        for name, schedule in (("warm_up", "cosine"), ("factor", "exponential")):
            if getattr(self, name) and self.schedule != schedule:
                raise ValueError(
                    f"{name} is {getattr(self, name):g}, which is for schedule {schedule!r}; "
                    f"schedule is {self.schedule!r}"
                )

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
        if not self.layers:
            return network_preset(self.feedback, self.rank, self.seed, **self.feedback_options)
        ranks = self.rank if isinstance(self.rank, tuple) else (self.rank,) * len(self.layers)
        rules = {
            name: network_preset(self.feedback, rank, self.seed, **self.feedback_options)
            for name, rank in zip(self.layers, ranks, strict=True)
        }
        # The rest gets no rank of its own: full feedback, whatever its rule.
        return rules | {"*": network_preset(self.others, seed=self.seed)}

    def recipe(self) -> Recipe:
        """Optimiser, rate, decay and schedule of every parameter."""
        made = _optimiser(self.optimiser, self.optimiser_options)
        rate = _RATES[self.optimiser] if self.rate is None else self.rate
        weights = Treatment(made, rate, self.weight_decay, self.clamp)
        own = None
        if self.feedback_rate is not None:
            own = Treatment(AdamW(), self.feedback_rate, self.feedback_decay or 0.0, self.clamp)
        given = {} if self.auxiliary_rate is None else {"rate": self.auxiliary_rate}
        auxiliary = published_auxiliary(clamp=self.clamp, **given)
        return Recipe(weights, auxiliary, q=own, p=own, schedule=self._schedule())

    def _schedule(self) -> Schedule:
        if self.schedule == "cosine":
            return WarmUpCosine(self.epochs, self.warm_up)
        if self.schedule == "constant":
            return Constant()
        return Exponential(_FACTOR if self.factor is None else self.factor)

    def network(self, dataset: Dataset) -> Network:
        """The network, for these data."""
        shape = dataset.train_images.shape[1:]
        layers = model(self.model, shape, dataset.classes, **self.model_options)
        return Network(
            layers, shape, feedback=self.rule(), loss=LOSSES[self.loss](), seed=self.seed, dtype=self.precision
        )

    def trainer(self, folder: str | Path | None = None) -> Trainer:
        """The run, ready to start; with a folder it writes checkpoints there."""
        # Before a large set is read in vain.
        device_module(self.device)
        augment = Augmentation(self.flip, self.crop, self.rotation, self.cutout)
        recipe = self.recipe()
        dataset = self.dataset()
        network = self.network(dataset).to(self.device)
        if self.feedback_rate is not None and not any(
            p.role in ("feedback-q", "feedback-p") for p in network.feedback_parameters
        ):
            raise ValueError(
                f"feedback_rate is {self.feedback_rate:g}, but feedback {self.feedback!r} learns neither Q nor P here"
            )
        return Trainer(
            network,
            dataset,
            recipe,
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
        _refuse_unknown(plain)
        return Plan(**plain)

    @staticmethod
    def from_toml(path: str | Path) -> dict:
        """Entries of a TOML file, for `from_dict`; their names are the arguments above, tables hold the options.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, it is no TOML, or it has an entry that no plan has.
        """
        try:
            with Path(path).open("rb") as file:
                entries = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML file: {error}") from error
        try:
            # Values wait: what the command line adds may be what makes them fit each other.
            _refuse_unknown(entries)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return entries


def _refuse_unknown(entries: Mapping[str, object]) -> None:
    known = [f.name for f in fields(Plan)]
    for name in entries:
        if name not in known:
            raise ValueError(f"the plan has no entry {name!r}{nearest(str(name), known)}; it has {', '.join(known)}")


def _optimiser(name: str, options: Mapping[str, object]) -> Optimiser:
    kind = OPTIMISERS[name]
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            raise ValueError(
                f"optimiser {name!r} takes no {option!r}{nearest(option, known)}; it takes {', '.join(known)}"
            )
    return kind(**options)
