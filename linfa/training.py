"""`linfa train`: one run of a nonlinear network, from options or a TOML file, with its record on disk."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np

from linfa import __version__
from linfa.nn import checkpoint
from linfa.nn.identity import difference
from linfa.nn.plan import Plan
from linfa.nn.trainer import Trainer
from linfa.terminal import console, plain, progress, table

_ENTRIES = tuple(f.name for f in fields(Plan))
# What a run that goes on may have otherwise: where its data lie, and the machine's cores.
_MAY_CHANGE = ("root", "threads")


def run(arguments: argparse.Namespace) -> int:
    """Train what the command line asks for; returns the exit status."""
    out, quiet = console(), arguments.json
    with _noted() as caught:
        plan, trainer, folder = _new(arguments) if arguments.resume is None else _resumed(arguments)
    notes = _texts(caught)
    if not quiet:
        out.print(f"[bold]{plain(trainer.dataset)}[/]", soft_wrap=True)
        out.print(plain(trainer.network), soft_wrap=True)
        out.print(
            f"{plain(_label(plan))}, {plan.optimiser}, {trainer.epochs} epochs of {trainer.updates_per_epoch} updates, "
            f"{trainer.threads} thread{'s' * (trainer.threads > 1)}",
            soft_wrap=True,
        )
        for note in notes:
            out.print(f"note: {plain(note)}", soft_wrap=True)
    started = trainer.step
    try:
        with _noted() as caught:
            _train(trainer, quiet)
    except KeyboardInterrupt:
        print(f"\n{_where_it_stands(trainer, folder, started)}", file=sys.stderr)
        return 130
    _write(plan, trainer, folder)
    return _json(plan, trainer, folder, notes) if quiet else _summary(trainer, folder, _texts(caught))


@contextmanager
def _noted() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of printing them between the lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield caught


def _texts(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def _new(arguments: argparse.Namespace) -> tuple[Plan, Trainer, Path]:
    entries = {} if arguments.config is None else Plan.from_toml(arguments.config)
    given = {name: getattr(arguments, name) for name in _ENTRIES if getattr(arguments, name, None) is not None}
    for name in ("model_options", "feedback_options", "optimiser_options"):
        if name in given:
            given[name] = _table(name, entries) | _options(name, given[name])
    if "rank" in given and len(given["rank"]) == 1:
        given["rank"] = given["rank"][0]
    plan = Plan.from_dict(entries | given)
    folder = Path(arguments.out) if arguments.out else Path("runs") / _stem(plan)
    if checkpoint.exists(folder) and not arguments.overwrite:
        _refuse_to_replace(folder, plan)
    trainer = plan.trainer(folder)
    checkpoint.make_folder(folder)
    return plan, trainer, folder


def _table(name: str, entries: dict) -> dict:
    table = entries.get(name, {})
    if not isinstance(table, dict):
        raise TypeError(f"{name} is {table!r}; it must be a table of arguments")
    return table


def _refuse_to_replace(folder: Path, plan: Plan) -> None:
    """A folder may hold the same run, finished: it will hold the same numbers. Anything else is not overwritten."""
    _, facts, step = checkpoint.load(folder)
    theirs, mine = facts.get("settings", {}).get("plan"), json.loads(json.dumps(plan.to_dict()))
    anew = "choose another folder with --out, or begin anew with --overwrite"
    if not isinstance(theirs, dict):
        raise ValueError(f"{folder} holds a checkpoint that linfa train did not make; {anew}")
    if facts.get("epoch", 0) < theirs.get("epochs", 0):
        raise ValueError(
            f"{folder} holds a run that stopped after {step} updates; go on with linfa train --resume {folder}, or "
            "begin anew with --overwrite"
        )
    found = difference(theirs | {"threads": None}, mine | {"threads": None})
    if found:
        raise ValueError(f"{folder} holds a finished run with other settings ({found}); {anew}")


def _resumed(arguments: argparse.Namespace) -> tuple[Plan, Trainer, Path]:
    folder = Path(arguments.resume)
    given = [name for name in (*_ENTRIES, "config", "out") if getattr(arguments, name, None) is not None]
    given = [name for name in given if name not in _MAY_CHANGE] + ["overwrite"] * arguments.overwrite
    if given:
        option = given[0].replace("_options", "_option").replace("_", "-")
        raise ValueError(f"--resume takes the run as it was; --{option} cannot be given with it")
    _, facts, _ = checkpoint.load(folder)
    described = facts.get("settings", {}).get("plan")
    if described is None:
        raise ValueError(f"the checkpoint in {folder} was not made by linfa train; resume it with Trainer.resume")
    changes = {name: getattr(arguments, name) for name in _MAY_CHANGE if getattr(arguments, name) is not None}
    plan = Plan.from_dict(described | {"threads": facts["history"]["settings"]["threads"]} | changes)
    return plan, plan.trainer(folder).resume(), folder


def _where_it_stands(trainer: Trainer, folder: Path, started: int) -> str:
    """What to type after Ctrl-C."""
    stopped = f"stopped in update {trainer.step}"
    # A folder whose run is begun anew still holds the checkpoint of the one before, until there is one of this run.
    if not checkpoint.exists(folder) or (trainer.saved is None and not started):
        return f"{stopped}, before there was a checkpoint"
    step = started if trainer.saved is None else trainer.saved
    return f"{stopped}; what was done in {step} updates is kept: go on with linfa train --resume {folder}"


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


def _train(trainer: Trainer, quiet: bool) -> None:
    """Run to the end, with a line for every epoch."""
    out, shown = console(), trainer.epoch
    with progress(trainer.total) as update:

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


def _epoch_line(out: object, trainer: Trainer, epoch: int, quiet: bool) -> None:
    if quiet:
        return
    history = trainer.history
    out.print(
        f"epoch {epoch + 1:>3}  train loss {history.train_loss[epoch]:.4f}  train accuracy "
        f"{history.train_accuracy[epoch]:.3f}  test accuracy {history.test_accuracy[epoch]:.3f}"
    )


def _write(plan: Plan, trainer: Trainer, folder: Path) -> None:
    """History and figure beside the checkpoint; that of a run that diverged is the last one before."""
    from linfa.plot import save_figure
    from linfa.plot import training as picture

    trainer.history.save(folder / "history.nc")
    if trainer.epoch:
        title = f"{trainer.dataset.name}, {plan.model}, {_label(plan)}"
        save_figure(picture(trainer.history, title=title), folder / "history.png")


def _json(plan: Plan, trainer: Trainer, folder: Path, notes: list[str]) -> int:
    """One object on standard output; null where there is no number."""
    history = trainer.history
    record = {
        "linfa": __version__,
        "plan": plan.to_dict(),
        "status": trainer.status,
        "reason": trainer.reason,
        "epochs": trainer.epoch,
        "updates": trainer.step,
        "threads": trainer.threads,
        "test_accuracy": _number(history.test_accuracy[-1]) if trainer.epoch else None,
        "test_accuracies": [_number(a) for a in history.test_accuracy] if trainer.epoch else [],
        "train_loss": _number(history.train_loss[-1]) if trainer.epoch else None,
        "folder": str(folder),
        "notes": notes,
    }
    print(json.dumps(record, indent=1, allow_nan=False))
    return _status(trainer)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _status(trainer: Trainer) -> int:
    return 0 if trainer.status == "completed" else 1


def _summary(trainer: Trainer, folder: Path, notes: list[str]) -> int:
    out = console()
    _layers(out, trainer)
    for note in notes:
        out.print(f"note: {plain(note)}", soft_wrap=True)
    # The checkpoint's arrays go by a digest, which would make the line another every time.
    shown = [path.name for path in folder.iterdir() if path.suffix in (".json", ".nc", ".png")]
    written = " ".join(sorted(shown))
    out.print(f"written to {plain(folder)}: {plain(written)}", soft_wrap=True)
    if trainer.status != "completed":
        out.print(f"[bold red]the run diverged[/] after {trainer.step} updates")
    if trainer.epoch:
        out.print(f"test accuracy {trainer.history.test_accuracy[-1]:.3f}")
    else:
        out.print("no epoch was completed: there is no test accuracy")
    return _status(trainer)


def _layers(out: object, trainer: Trainer) -> None:
    """What the last probe saw, layer by layer."""
    history = trainer.history
    if not len(getattr(history, "probe_step", ())):
        return
    columns = {
        "cos(W, Bᵀ)": "weight_alignment",
        "cos(signal, backprop)": "sample_gradient_alignment",
        "eff. rank of error": "error_effective_rank",
        "of trajectory": "trajectory_effective_rank",
    }
    shown = {title: getattr(history, name) for title, name in columns.items() if hasattr(history, name)}
    rows = table("layer", "feedback", *shown, right=tuple(shown))
    for k, m in enumerate(trainer.network.maps):
        cells = [f"{values[-1][k]:.2f}" if np.isfinite(values[-1][k]) else "-" for values in shown.values()]
        rows.add_row(m.name, m.carrier.name if m.sends else "-", *cells)
    out.print(rows)
