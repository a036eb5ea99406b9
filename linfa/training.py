"""`linfa train`: one run of a nonlinear network, from options or a TOML file, with its record on disk."""

import argparse
import json
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np

from linfa import __version__
from linfa.nn import checkpoint
from linfa.nn.plan import Plan
from linfa.nn.trainer import Trainer
from linfa.terminal import console, plain, progress, table

_ENTRIES = tuple(f.name for f in fields(Plan))


def run(arguments: argparse.Namespace) -> int:
    """Train what the command line asks for; returns the exit status."""
    out = console()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        plan, trainer, folder = _resumed(arguments) if arguments.resume else _new(arguments)
    notes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    quiet = arguments.json
    if not quiet:
        out.print(f"[bold]{plain(trainer.dataset)}[/]", soft_wrap=True)
        out.print(plain(trainer.network), soft_wrap=True)
        out.print(
            f"{plain(_label(plan))}, {plan.optimiser}, {trainer.epochs} epochs of {trainer.updates_per_epoch} updates, "
            f"{trainer.threads} threads",
            soft_wrap=True,
        )
        for note in notes:
            out.print(f"note: {plain(note)}", soft_wrap=True)
    caught = _trained(trainer, quiet)
    _write(plan, trainer, folder)
    return _summary(plan, trainer, folder, caught, quiet)


def _new(arguments: argparse.Namespace) -> tuple[Plan, Trainer, Path]:
    entries = Plan.from_toml(arguments.config) if arguments.config else {}
    given = {name: getattr(arguments, name) for name in _ENTRIES if getattr(arguments, name, None) is not None}
    for name in ("model_options", "feedback_options", "optimiser_options"):
        if name in given:
            given[name] = dict(entries.get(name, {})) | _options(name, given[name])
    if "rank" in given and len(given["rank"]) == 1:
        given["rank"] = given["rank"][0]
    plan = Plan.from_dict(entries | given)
    folder = Path(arguments.out) if arguments.out else Path("runs") / _stem(plan)
    if checkpoint.exists(folder) and not arguments.overwrite:
        _, facts, step = checkpoint.load(folder)
        if not facts.get("finished"):
            raise ValueError(
                f"{folder} holds a run that stopped after {step} updates; go on with linfa train --resume {folder}, "
                "or begin anew with --overwrite"
            )
    trainer = plan.trainer(folder)
    return plan, trainer, folder


def _resumed(arguments: argparse.Namespace) -> tuple[Plan, Trainer, Path]:
    folder = Path(arguments.resume)
    given = [name for name in (*_ENTRIES, "config", "out") if getattr(arguments, name, None) is not None]
    given = [name for name in given if name != "threads"]
    if given:
        raise ValueError(f"--resume takes the run as it was; --{given[0].replace('_', '-')} cannot be given with it")
    _, facts, _ = checkpoint.load(folder)
    described = facts.get("settings", {}).get("plan")
    if described is None:
        raise ValueError(f"the checkpoint in {folder} was not made by linfa train; resume it with Trainer.resume")
    threads = facts["threads"] if arguments.threads is None else arguments.threads
    plan = Plan.from_dict(described | {"threads": threads})
    return plan, plan.trainer(folder).resume(), folder


def _options(name: str, pairs: list[str]) -> dict:
    """Arguments given as NAME=VALUE; values as in JSON, else text."""
    options = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"--{name.replace('_options', '-option')} is {pair!r}; it must be NAME=VALUE")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options


def _label(plan: Plan) -> str:
    rank = "" if plan.rank is None else f" r={plan.rank}"
    where = f" in {', '.join(plan.layers)}" if plan.layers else ""
    return f"{plan.feedback}{rank}{where}"


def _stem(plan: Plan) -> str:
    ranks = () if plan.rank is None else plan.rank if isinstance(plan.rank, tuple) else (plan.rank,)
    rank = "-r" + "-".join(map(str, ranks)) if ranks else ""
    return f"{Path(plan.data).stem}-{plan.model}-{plan.feedback}{rank}-{plan.optimiser}-seed{plan.seed}"


def _trained(trainer: Trainer, quiet: bool) -> list[str]:
    """Run to the end; returns what it warned of."""
    out, shown = console(), trainer.epoch
    with progress(trainer.total) as update, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)

        def report(state: Trainer) -> None:
            nonlocal shown
            history = state.history
            seen = f"  test accuracy {history.test_accuracy[-1]:.3f}" if state.epoch else ""
            update(f"epoch {min(state.epoch + 1, state.epochs)} of {state.epochs}{seen}", state.step)
            if state.epoch > shown:
                _epoch_line(out, state, shown, quiet)
                shown = state.epoch

        trainer.run(report)
    if trainer.epoch > shown:
        _epoch_line(out, trainer, shown, quiet)
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def _epoch_line(out: object, trainer: Trainer, epoch: int, quiet: bool) -> None:
    if quiet:
        return
    history = trainer.history
    out.print(
        f"epoch {epoch + 1:>3}  train loss {history.train_loss[epoch]:.4f}  train accuracy "
        f"{history.train_accuracy[epoch]:.3f}  test accuracy {history.test_accuracy[epoch]:.3f}"
    )


def _write(plan: Plan, trainer: Trainer, folder: Path) -> None:
    """History and figure beside the checkpoint, which is marked as finished."""
    from linfa.plot import save_figure
    from linfa.plot import training as picture

    trainer.settings["finished"] = True
    trainer.save()
    trainer.history.save(folder / "history.nc")
    if trainer.epoch:
        title = f"{trainer.dataset.name}, {plan.model}, {_label(plan)}"
        save_figure(picture(trainer.history, title=title), folder / "history.png")


def _summary(plan: Plan, trainer: Trainer, folder: Path, warned: list[str], quiet: bool) -> int:
    history, out = trainer.history, console()
    accuracy = float(history.test_accuracy[-1]) if trainer.epoch else float("nan")
    if quiet:
        record = {
            "linfa": __version__,
            "plan": plan.to_dict(),
            "status": trainer.status,
            "epochs": trainer.epoch,
            "updates": trainer.step,
            "threads": trainer.threads,
            "test_accuracy": accuracy if np.isfinite(accuracy) else None,
            "test_accuracies": [float(a) for a in history.test_accuracy] if trainer.epoch else [],
            "train_loss": float(history.train_loss[-1]) if trainer.epoch else None,
            "folder": str(folder),
        }
        print(json.dumps(record, indent=1))
        return 0 if trainer.status == "completed" else 1
    _layers(out, trainer)
    for note in warned:
        out.print(f"note: {plain(note)}", soft_wrap=True)
    written = " ".join(sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")))
    out.print(f"written to {plain(folder)}: {plain(written)}", soft_wrap=True)
    if trainer.status != "completed":
        out.print(f"[bold red]the run diverged[/] after {trainer.step} updates")
    out.print(f"test accuracy {accuracy:.3f}")
    return 0 if trainer.status == "completed" else 1


def _layers(out: object, trainer: Trainer) -> None:
    """What the last probe saw, layer by layer."""
    history = trainer.history
    if not len(getattr(history, "probe_step", ())):
        return
    columns = {
        "cos(W, Bᵀ)": "weight_alignment",
        "cos(signal, backprop)": "sample_gradient_alignment",
        "eff. rank of error": "error_effective_rank",
        "of update": "update_effective_rank",
    }
    shown = {title: getattr(history, name) for title, name in columns.items() if hasattr(history, name)}
    rows = table("layer", "feedback", *shown, right=tuple(shown))
    for k, m in enumerate(trainer.network.maps):
        cells = [f"{values[-1][k]:.2f}" if np.isfinite(values[-1][k]) else "-" for values in shown.values()]
        rows.add_row(m.name, m.carrier.name if m.sends else "-", *cells)
    out.print(rows)
