"""Training runs behind the learning figures: those recorded on CIFAR-10, or small ones made now on the digits."""

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from linfa.nn.plan import Plan

# One file for each experiment of benchmarks/learning.py, one run a line.
DATA = Path(__file__).resolve().parent / "data"
_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "digits": "bundled digits"}


@dataclass(frozen=True)
class Run:
    """One run: its label, its plan, and what was measured.

    Attributes
    ----------
    label : str
        The rule and what goes with it, such as ``"raf r=10"``.
    plan : dict
        Entries of the `linfa.nn.plan.Plan`.
    accuracy : array (epochs,)
        Test accuracy in per cent.
    layers : list of str
    step : array (probes,)
        Updates before the probed one.
    probes : dict of array (probes, layers)
        NaN where there was nothing to measure.
    """

    label: str
    plan: dict
    accuracy: np.ndarray
    layers: list[str]
    step: np.ndarray
    probes: dict[str, np.ndarray]

    @property
    def seed(self) -> int:
        """Of weights, feedback and order of images."""
        return int(self.plan.get("seed", 0))


def command(experiment: str) -> str:
    """What makes the runs of an experiment."""
    return f"python benchmarks/learning.py {experiment} --root DIR"


def recorded(experiment: str) -> list[Run]:
    """The recorded runs of an experiment, without those that chose the rates; none where there is no file.

    Of two runs with one label and one seed the later counts.

    Raises
    ------
    ValueError
        If a line of the file is damaged.
    """
    path = DATA / f"learning-{experiment}.jsonl"
    if not path.is_file():
        return []
    found: dict[tuple[str, int], Run] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            if record["tuning"]:
                continue
            run = _read(record)
            found[run.label, run.seed] = run
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"line {number} of {path.name} describes no run ({error!r}); take it out and call {command(experiment)}"
            ) from error
    return list(found.values())


def _read(record: dict) -> Run:
    accuracy = 100.0 * np.array(record["accuracy"], float)
    if accuracy.ndim != 1 or not len(accuracy) or not np.isfinite(accuracy).all():
        raise ValueError(f"accuracy is {record['accuracy']}")
    layers, step = list(record.get("layers", ())), np.array(record.get("probe_step", ()), float)
    # Of the whole network there is one number for each probe; None, where nothing was measured, becomes NaN.
    probes = {name: np.array(rows, float) for name, rows in record.get("probes", {}).items()}
    for name, rows in probes.items():
        if rows.shape not in ((len(step), len(layers)), (len(step),)):
            raise ValueError(f"{name} is {rows.shape} with {len(step)} probes and {len(layers)} layers")
    return Run(str(record["label"]), dict(record["plan"]), accuracy, layers, step, probes)


def live(plans: Mapping[str, dict], seeds: Iterable[int]) -> list[Run]:
    """Runs made now, of every plan with every seed; a rank above a layer's size is cut to it without a word."""
    made = []
    for seed in seeds:
        for label, entries in plans.items():
            plan = Plan.from_dict(entries | {"seed": seed, "threads": 1})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                trainer = plan.trainer()
                history = trainer.run()
            probed = [n for n in history.names if getattr(history, n).ndim == 2]
            step = history.probe_step.astype(float)
            probes = {name: getattr(history, name) for name in probed}
            # A run that left in its first epoch has learned nothing.
            accuracy = 100.0 * history.test_accuracy if trainer.epoch else np.zeros(1)
            made.append(Run(label, entries | {"seed": seed}, accuracy, list(history.layers), step, probes))
    return made


def small_conditions(labels: Iterable[str], entries: dict) -> dict[str, dict]:
    """Plans of small runs on what `entries` say, under the conditions that labels name, as "fa + Muon + batch norm".

    Examples
    --------
    >>> plan = small_conditions(["fa + Muon"], {"model_options": {"widths": [8]}})["fa + Muon"]
    >>> plan["optimiser"], plan["model_options"]
    ('muon', {'widths': [8], 'normalisation': None})
    """
    plans = {}
    for label in labels:
        muon = "Muon" in label
        plans[label] = entries | {
            "feedback": label.partition(" ")[0],
            "optimiser": "muon" if muon else "adamw",
            "rate": 0.02 if muon else 3e-3,
            # In so few updates, what Muon leaves to AdamW would hardly move at the published rate.
            "auxiliary_rate": 3e-3 if muon else None,
            "model_options": entries["model_options"] | {"normalisation": "batch" if "batch" in label else None},
        }
    return plans


def labelled(runs: list[Run], label: str) -> list[Run]:
    """The runs with this label, by seed."""
    return sorted((run for run in runs if run.label == label), key=lambda run: run.seed)


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over the first axis; the error of one alone is NaN.

    Examples
    --------
    >>> [float(x) for x in mean_and_error(np.array([1.0, 3.0]))]
    [2.0, 1.0]
    """
    values = np.asarray(values, float)
    count = len(values)
    error = values.std(0, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[1:], np.nan)
    return values.mean(0), error


def last_accuracy(runs: list[Run], label: str) -> np.ndarray:
    """Test accuracy of the last epoch (seeds,), in per cent."""
    return np.array([run.accuracy[-1] for run in labelled(runs, label)])


def ranks_of(runs: list[Run], rule: str) -> np.ndarray:
    """Ranks for which there are runs labelled ``"RULE r=RANK"``, ascending."""
    found = {run.label.removeprefix(f"{rule} r=") for run in runs if run.label.startswith(f"{rule} r=")}
    return np.array(sorted(map(int, found)))


def against_rank(runs: list[Run], rule: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks, mean accuracy and standard error of a rule."""
    ranks = ranks_of(runs, rule)
    pairs = [mean_and_error(last_accuracy(runs, f"{rule} r={rank}")) for rank in ranks]
    mean, error = np.array(pairs).reshape(-1, 2).T
    return ranks, mean, error


def over_training(runs: list[Run], label: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Updates (probes,), mean and standard error (probes, layers) of what was probed; None where it was not.

    Runs that ended early count as far as all go.
    """
    chosen = [run for run in labelled(runs, label) if name in run.probes]
    if not chosen:
        return None
    common = min(len(run.step) for run in chosen)
    mean, error = mean_and_error(np.array([run.probes[name][:common] for run in chosen]))
    return chosen[0].step[:common], mean, error


def protocol(runs: list[Run]) -> str:
    """Data, epochs and seeds in a few words.

    Examples
    --------
    >>> run = Run("fa", {"data": "cifar10", "epochs": 8}, np.ones(8), [], np.ones(0), {})
    >>> protocol([run])
    'CIFAR-10, 8 epochs, 1 seed'
    """
    if not runs:
        return ""
    seeds = [len(labelled(runs, label)) for label in {run.label for run in runs}]
    data = {_NAMES.get(run.plan.get("data", "digits"), run.plan.get("data")) for run in runs}
    said = [" and ".join(sorted(data))]
    for word, numbers in (("epoch", [run.plan.get("epochs", 10) for run in runs]), ("seed", seeds)):
        low, high = min(numbers), max(numbers)
        said.append(f"{low if low == high else f'{low}–{high}'} {word}{'' if high == 1 else 's'}")
    return ", ".join(said)


def say_missing(axes: Axes, *commands: str) -> None:
    """In the place of a panel: the commands that would make its runs."""
    # A panel of three is as wide as half a command.
    lines = "\n".join(command.replace(".py ", ".py\n") for command in commands)
    axes.text(0.5, 0.5, f"not recorded;\nmade by\n{lines}", ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
