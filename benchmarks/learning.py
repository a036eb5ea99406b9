"""Accuracy on real CIFAR-10 under rules of feedback: the runs behind the learning figures.

    python benchmarks/learning.py mlp --root DIR            every run of an experiment that is not recorded yet
    python benchmarks/learning.py mlp --root DIR --tune     first: the rates, on a held-out part of the training set
    python benchmarks/learning.py resnet --device cuda --minutes 9 --checkpoints DIR
                                                            as far as that time goes; the next call goes on there
    python benchmarks/learning.py --table                   the tables, from what is recorded
    python benchmarks/learning.py vgg --change '{"epochs": 1}' --records DIR
                                                            a trial at toy size, with records of its own

Each run is one line of ``figures/data/learning-EXPERIMENT.jsonl``: its plan, which ``linfa train --config`` takes too,
and what came out. A script that is stopped goes on where it was; several may run side by side (``--part 0/2``).
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from linfa import __version__
from linfa.nn import checkpoint
from linfa.nn.plan import Plan
from linfa.nn.trainer import Trainer

HERE = Path(__file__).resolve().parent
_DATA = HERE.parent / "figures" / "data"
# Where the records are; a trial at toy size has its own.
DATA = _DATA
RESULTS = HERE / "results"
SEEDS = (0, 1, 2)
# The seed of the runs that choose the rates; none of those that are reported.
TUNING_SEED = 100
HELD_OUT = 5000
RANKS = (1, 2, 4, 10, 32)
# What figures need of the probes.
_KEPT = (
    "weight_alignment",
    "sample_gradient_alignment",
    "error_effective_rank",
    "error_participation_ratio",
    "update_effective_rank",
    "trajectory_effective_rank",
    "trajectory_participation_ratio",
)

_COMMON = {"data": "cifar10", "batch": 128, "flip": True, "schedule": "cosine", "threads": 1}
_MLP = _COMMON | {"model": "mlp", "epochs": 8, "optimiser": "adamw", "weight_decay": 0.01}
_CONV = _COMMON | {
    "model": "conv4",
    "model_options": {"widths": [32, 64, 128], "normalisation": "batch"},
    "epochs": 5,
    "optimiser": "adamw",
    "weight_decay": 0.01,
    # Often enough for the rank of the path, and few enough that the path never outgrows the 64 updates that are kept.
    "probe_every": 31,
}
# Deep and narrow, where error that passes through random matrices loses rank from layer to layer.
_DEEP = _COMMON | {
    "model": "mlp",
    "model_options": {"widths": [128] * 6},
    "epochs": 3,
    "optimiser": "adamw",
    "weight_decay": 0.01,
    "probe_every": 40,
}
_VIT = _COMMON | {
    "model": "vit-small",
    "model_options": {"width": 64, "depth": 3, "patch": 8},
    "epochs": 5,
    "optimiser": "adamw",
    "weight_decay": 0.05,
    "warm_up": 1,
}


def _rules(common: dict, rules: dict[str, tuple[int, ...] | None]) -> dict[str, dict]:
    """Label of a run: its plan; rules without ranks run once."""
    made = {}
    for rule, ranks in rules.items():
        for rank in ranks or (None,):
            label = rule if rank is None else f"{rule} r={rank}"
            made[label] = common | {"feedback": rule, "rank": rank}
    return made


def _one_layer() -> dict[str, dict]:
    """RAF with one feedback matrix of rank r, the others as wide as their layers, and with all at rank r."""
    full, made = (512, 512, 10), {}
    for rank in (1, 2, 4, 10):
        for place in range(3):
            ranks = [rank if k == place else r for k, r in enumerate(full)]
            made[f"B{place + 2} r={rank}"] = _MLP | {"feedback": "raf", "rank": ranks}
    made["none constrained"] = _MLP | {"feedback": "raf", "rank": list(full)}
    return made


def _collapse(base: dict) -> dict[str, dict]:
    """Backprop and FA with and without Muon and batch norm."""
    made = {}
    for rule in ("backprop", "fa"):
        for norm in (None, "batch"):
            for optimiser in ("adamw", "muon") if rule == "fa" else ("adamw",):
                label = " + ".join(
                    [rule, *(["Muon"] if optimiser == "muon" else []), *(["batch norm"] if norm else [])]
                )
                made[label] = base | {
                    "model_options": base["model_options"] | {"normalisation": norm},
                    "feedback": rule,
                    "optimiser": optimiser,
                }
    return made


def _resnet() -> dict[str, dict]:
    """FA with and without Muon and batch norm in ResNet-18 on CIFAR-100, and backprop."""
    common = {
        "data": "cifar100", "batch": 128, "flip": True, "crop": 4, "schedule": "cosine", "model": "resnet18",
        "epochs": 30, "weight_decay": 5e-4, "warm_up": 1, "probe_every": 1000,
    }  # fmt: skip
    made = {"backprop": common | {"feedback": "backprop", "optimiser": "sgd", "optimiser_options": {"momentum": 0.9}}}
    made["backprop"]["rate"] = 0.1
    for norm in (None, "batch"):
        for optimiser, rate in (("adamw", 1e-3), ("muon", 0.02)):
            label = " + ".join(["fa", *(["Muon"] if optimiser == "muon" else []), *(["batch norm"] if norm else [])])
            made[label] = common | {
                "model_options": {"normalisation": norm}, "feedback": "fa", "optimiser": optimiser, "rate": rate,
            }  # fmt: skip
    return made


def _large(model: str, **entries: object) -> dict[str, dict]:
    """Backprop and normative feedback of three ranks, at the published settings."""
    common = {"data": "cifar10", "flip": True, "crop": 4, "schedule": "cosine", "model": model, "probe_every": 1000}
    rules = _rules(common | entries, {"backprop": None, "normative": (10, 32, 64)})
    return {label: {k: v for k, v in plan.items() if v is not None} for label, plan in rules.items()}


EXPERIMENTS = {
    "mlp": _rules(
        _MLP,
        {
            "backprop": None,
            "fa": None,
            "dfa": None,
            "fixed": (2, 10, 32),
            "kolen-pollack": (2, 10, 32),
            "raf": RANKS,
            "normative": RANKS,
            "local": RANKS,
        },
    ),
    "layers": _one_layer(),
    "conv": _rules(_CONV, {"backprop": None, "fa": None, "normative": (10, 32), "local": (10,)}),
    "vit": _rules(_VIT, {"backprop": None, "fa": None, "normative": (10, 32)}),
    "collapse": _collapse(_CONV),
    "deep": _collapse(_DEEP),
    "resnet": _resnet(),
    "vit-large": _large("vit", epochs=50, batch=256, optimiser="adamw", rate=5e-4, weight_decay=0.1, warm_up=5),
    "vgg": _large("vgg", epochs=50, batch=64, optimiser="adam", rate=5e-4, weight_decay=5e-5, cutout=16),
}
# Too large for a processor: their settings are the published ones, and nothing is tuned.
ON_DEVICE = ("resnet", "vit-large", "vgg")
# Rates that are tried; runs that differ in rank alone share theirs.
_RATES = {"mlp": {"adamw": (5e-4, 1e-3, 2e-3)}}
_FEWER_RATES = {"adamw": (1e-3, 2e-3), "muon": (5e-3, 2e-2)}
_TUNED_RANK = 10


def _family(label: str) -> str:
    """What shares a rate: the label without its rank. Constrained layers take the rate of RAF."""
    return "raf" if label.startswith(("B", "none")) else label.partition(" r=")[0]


def _store(experiment: str) -> Path:
    return DATA / f"learning-{experiment}.jsonl"


def records(experiment: str) -> list[dict]:
    """Every recorded run of an experiment."""
    path = _store(experiment)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def chosen_rates(experiment: str) -> dict[str, float]:
    """The rate of each family, by the accuracy on held-out images."""
    tuned: dict[str, list[tuple[float, float]]] = {}
    source = "mlp" if experiment == "layers" else experiment
    for record in records(source):
        if record["tuning"]:
            tuned.setdefault(record["family"], []).append((record["accuracy"][-1], record["plan"]["rate"]))
    return {family: max(tried)[1] for family, tried in tuned.items()}


def _wanted(experiment: str, tune: bool, seeds: tuple[int, ...], only: list[str] | None) -> Iterator[tuple[str, dict]]:
    runs = EXPERIMENTS[experiment]
    if tune:
        seen = set()
        for label, plan in runs.items():
            family = _family(label)
            rank = plan.get("rank")
            if family in seen or (rank is not None and rank != _TUNED_RANK):
                continue
            seen.add(family)
            for rate in _RATES.get(experiment, _FEWER_RATES)[plan["optimiser"]]:
                yield label, plan | {"rate": rate, "seed": TUNING_SEED, "validation": HELD_OUT, "probe_every": 0}
        return
    rates = chosen_rates(experiment)
    if experiment in ON_DEVICE:
        rates = {_family(label): plan["rate"] for label, plan in runs.items()}
    for seed in seeds:
        for label, plan in runs.items():
            if only and label not in only:
                continue
            if _family(label) not in rates:
                raise SystemExit(f"no rate is chosen for {label}: run with --tune first")
            yield label, plan | {"rate": rates[_family(label)], "seed": seed}


def _key(label: str, plan: dict) -> str:
    return json.dumps([label, {k: v for k, v in plan.items() if k != "root"}], sort_keys=True)


class TimeIsUp(Exception):
    """The time given is spent; the run that was under way has its checkpoint."""


def _trained(plan: Plan, label: str, checkpoints: str | None, until: float) -> Trainer:
    """One run to its end, or to a checkpoint when the time is up."""
    if checkpoints is None:
        trainer = plan.trainer()
        trainer.run()
        return trainer
    folder = _folder(plan, label, checkpoints)
    trainer = plan.trainer(folder)
    if checkpoint.exists(folder):
        trainer.resume()

    def report(state: Trainer) -> None:
        if time.monotonic() > until:
            raise TimeIsUp

    try:
        trainer.run(report)
    except TimeIsUp:
        trainer.save()
        raise
    return trainer


def _folder(plan: Plan, label: str, checkpoints: str) -> Path:
    """Where the checkpoint of one run goes."""
    return Path(checkpoints) / hashlib.sha256(_key(label, plan.to_dict()).encode()).hexdigest()[:16]


def run(
    experiment: str,
    *,
    root: str | None = None,
    tune: bool = False,
    seeds: tuple[int, ...] = SEEDS,
    part: str = "0/1",
    only: list[str] | None = None,
    device: str = "cpu",
    minutes: float = np.inf,
    checkpoints: str | None = None,
    changes: dict | None = None,
) -> bool:
    """Make the runs that are not recorded, one line each; returns whether all are there.

    `minutes` needs `checkpoints`, where a run that is broken off is kept until it is recorded; every call gets on by an
    update at least. `changes` are entries of every plan that are to be other than written here, to try the script at
    toy size.
    """
    if np.isfinite(minutes) and checkpoints is None:
        raise ValueError(f"minutes is {minutes:g}, which needs checkpoints: a folder for what is broken off")
    until = time.monotonic() + 60 * minutes
    mine, of = (int(n) for n in part.split("/"))
    begun = False
    DATA.mkdir(parents=True, exist_ok=True)
    for number, (label, entries) in enumerate(_wanted(experiment, tune, seeds, only)):
        if number % of != mine:
            continue
        entries = entries | {"device": device} | (changes or {}) if device != "cpu" or changes else entries
        if any(_key(r["label"], r["plan"]) == _key(label, entries) for r in records(experiment)):
            continue
        # The same plan may stand in another experiment under another label.
        same = [r for e in EXPERIMENTS for r in records(e) if _key("", r["plan"]) == _key("", entries)]
        if same:
            _append(experiment, same[0] | {"label": label, "family": _family(label)})
            continue
        if begun and time.monotonic() > until:
            return False
        begun = True
        started = time.perf_counter()
        plan = Plan.from_dict(entries | {"root": root})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                trainer = _trained(plan, label, checkpoints, until)
            except TimeIsUp:
                return False
            history = trainer.history
        record = {
            "label": label,
            "family": _family(label),
            "tuning": tune,
            "linfa": __version__,
            "plan": entries,
            "status": trainer.status,
            "accuracy": _numbers(history.test_accuracy) if trainer.epoch else [0.0],
            "train_loss": _numbers(history.train_loss) if trainer.epoch else [],
        }
        if trainer.probe_every:
            record["layers"] = list(history.layers)
            record["probe_step"] = _numbers(history.probe_step)
            record["probes"] = {n: _numbers(getattr(history, n)) for n in _KEPT if hasattr(history, n)}
        _append(experiment, record)
        if checkpoints is not None:
            shutil.rmtree(_folder(plan, label, checkpoints))
        spent = time.perf_counter() - started
        print(f"{experiment} {label} {trainer.status} {100 * record['accuracy'][-1]:.2f} ({spent:.0f} s)", flush=True)
    return True


def _append(experiment: str, record: dict) -> None:
    # One write, so that runs side by side do not mix their lines.
    with _store(experiment).open("ab", buffering=0) as file:
        file.write(json.dumps(record).encode() + b"\n")


def _numbers(values: np.ndarray) -> list:
    """Nested lists of four digits; NaN as None, which JSON knows."""
    array = np.asarray(values, dtype=float)
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in array]


def summary(experiment: str) -> dict[str, tuple[float, float, int]]:
    """Mean, standard error and number of seeds of the last epoch's test accuracy in per cent, by label."""
    found: dict[str, list[float]] = {label: [] for label in EXPERIMENTS[experiment]}
    for record in _reported(experiment):
        found[record["label"]].append(100 * record["accuracy"][-1])
    out = {}
    for label, values in found.items():
        if values:
            error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            out[label] = (float(np.mean(values)), float(error), len(values))
    return out


def _reported(experiment: str) -> list[dict]:
    """Records of the runs as they are written here; those of an earlier protocol are left out, a trial's taken."""
    kept = []
    for record in records(experiment):
        wanted = EXPERIMENTS[experiment].get(record["label"])
        if wanted is not None and not record["tuning"]:
            agreed = DATA != _DATA or all(record["plan"].get(name) == value for name, value in wanted.items())
            kept += [record] if agreed else []
    return kept


def table(experiment: str) -> str:
    """The Markdown table of one experiment."""
    rates = {record["label"]: record["plan"]["rate"] for record in _reported(experiment)}
    lines = [
        f"## {experiment}",
        "",
        "| run | rate | test accuracy, % | standard error | seeds |",
        "|---|---|---|---|---|",
    ]
    for label, (mean, error, count) in summary(experiment).items():
        shown = f"{error:.2f}" if count > 1 else ""
        lines.append(f"| {label} | {rates[label]:g} | {mean:.2f} | {shown} | {count} |")
    return "\n".join(lines)


def ranks(experiment: str) -> str:
    """The Markdown table of the error's effective rank in every layer at the last probe, mean over seeds."""
    found: dict[str, list[list[float]]] = {}
    for record in _reported(experiment):
        found.setdefault(record["label"], []).append(record["probes"]["error_effective_rank"][-1])
        layers = record["layers"]
    lines = [
        "Effective rank of the error at the end:",
        "",
        f"| run | {' | '.join(layers)} |",
        "|---" * (len(layers) + 1) + "|",
    ]
    for label in EXPERIMENTS[experiment]:
        if label in found:
            lines.append(f"| {label} | " + " | ".join(f"{rank:.1f}" for rank in np.mean(found[label], axis=0)) + " |")
    return "\n".join(lines)


def write_tables() -> Path:
    """``results/learning.md``: every table, under the protocol. Of a trial: beside its records."""
    made = []
    for experiment in EXPERIMENTS:
        if records(experiment):
            made.append(table(experiment))
        if experiment in ("collapse", "deep") and _reported(experiment):
            made.append(ranks(experiment))
    text = (RESULTS / "learning-protocol.md").read_text() + "\n" + "\n\n".join(made) + "\n"
    path = (RESULTS if DATA == _DATA else DATA) / "learning.md"
    path.write_text(text)
    return path


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", choices=list(EXPERIMENTS))
    parser.add_argument("--root", help="folder that holds cifar-10-batches-py (else LINFA_DATA)")
    parser.add_argument("--tune", action="store_true", help="choose the rates")
    parser.add_argument("--table", action="store_true", help="write the tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", metavar="LABEL")
    parser.add_argument("--part", default="0/1", metavar="K/N", help="every N-th run, from the K-th")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--minutes", type=float, default=np.inf, help="stop after so long; exit status 75 if more is left"
    )
    parser.add_argument("--checkpoints", metavar="DIR", help="where runs that are broken off are kept")
    parser.add_argument(
        "--change", metavar="JSON", type=json.loads, help="entries of every plan, for a trial at toy size"
    )
    parser.add_argument("--records", metavar="DIR", type=Path, help="where the records of a trial go")
    arguments = parser.parse_args()
    if arguments.change and not arguments.records:
        parser.error("--change makes a trial, which needs --records of its own")
    if np.isfinite(arguments.minutes) and not arguments.checkpoints:
        parser.error("--minutes needs --checkpoints, where a run that is broken off is kept")
    if arguments.records:
        global DATA
        DATA = arguments.records
    complete = True
    if arguments.experiment:
        complete = run(
            arguments.experiment,
            root=arguments.root,
            tune=arguments.tune,
            seeds=tuple(arguments.seeds),
            part=arguments.part,
            only=arguments.only,
            device=arguments.device,
            minutes=arguments.minutes,
            checkpoints=arguments.checkpoints,
            changes=arguments.change,
        )
    if arguments.table:
        print(write_tables())
    # 75: a temporary failure, in the usual list of exit statuses; call again.
    return 0 if complete else 75


if __name__ == "__main__":
    sys.exit(main())
