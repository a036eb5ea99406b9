"""`linfa simulate`: runs of one network on one task under several rules, with theory beside each."""

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linfa._check import choice, integer, real_number
from linfa.driver import simulate
from linfa.feedback import Feedback
from linfa.networks import KINDS, initial_weights
from linfa.presets import preset
from linfa.running import check_run, resolve_feedback
from linfa.simulation import MOTIONLESS, DivergenceWarning
from linfa.tasks import LinearTask
from linfa.terminal import console, plain, progress, table
from linfa.theory.exact import NoClosedForm, exact
from linfa.theory.low_rank import learned_map
from linfa.trajectory import Trajectory

# Rules whose signal vanishes where all weights are zero.
_STUCK_AT_ZERO = ("backprop", "usf", "frsf")
_LOW_RANK = ("fixed", "kolen-pollack", "raf", "draf", "normative", "local")
_TAKES_DRAW = ("fa", "dfa", "mirror", *_LOW_RANK)
# Of following the flow; other methods need the length of a step.
METHODS = ("dormand-prince", "exact")
# Recovered fraction of a mode from which a summary calls it learned.
_LEARNED = 0.9


@dataclass(frozen=True)
class Outcome:
    """One run, what theory says of it, and the words for both."""

    name: str
    start: str
    run: Trajectory
    theory: Trajectory | None
    why_not: str
    plateau: float | None


def run(arguments: argparse.Namespace) -> int:
    """Run what the command line asks for; returns the exit status."""
    task = _task(arguments)
    rules = _rules(arguments)
    if arguments.log_time is None:
        # Correlated inputs spread the times of learning over many decades.
        arguments.log_time = task.condition > 100.0
    times = _times(task, arguments)
    _check_all(task, rules, times, arguments)
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    out = console()
    out.print(f"[bold]{plain(task)}[/]")
    for note in task.notes:
        out.print(f"note: {plain(note)}")
    outcomes, written = [], []
    with progress(len(rules)) as update:
        for k, (name, rank) in enumerate(rules):
            label = name if rank is None else f"{name} r={rank}"
            outcome = _one(
                task, name, rank, times, arguments, lambda f, label=label, k=k: update(f"{task.name} {label}", k + f)
            )
            outcomes.append(outcome)
            stem = f"{task.name}-{name}" + ("" if rank is None else f"-r{rank}")
            written += _write(outcome, folder / stem, arguments)
    _summary(task, outcomes)
    out.print(f"\nwritten to {plain(folder)}: " + plain(" ".join(path.name for path in written)), soft_wrap=True)
    return 0 if all(o.run.status == "completed" for o in outcomes) else 1


def _task(arguments: argparse.Namespace) -> LinearTask:
    name = arguments.task
    if name == "modes":
        if arguments.modes is None:
            raise ValueError("--task modes needs their strengths: --modes 4 3 2 1")
        if arguments.whiten:
            raise ValueError("--whiten is for samples; the modes task has whitened inputs already")
        count = len(arguments.modes)
        inputs = count if arguments.inputs is None else arguments.inputs
        outputs = count if arguments.outputs is None else arguments.outputs
        return LinearTask.from_modes(arguments.modes, inputs, outputs, arguments.seed)
    given = [f"--{key}" for key in ("modes", "inputs", "outputs") if getattr(arguments, key) is not None]
    if given:
        raise ValueError(f"{given[0]} is for --task modes; the task is {name!r}")
    if name.endswith(".npz"):
        return LinearTask.from_file(name, whiten=arguments.whiten)
    choice("task", name, ("digits", "semantic", "modes", "FILE.npz"))
    if name == "semantic" and arguments.whiten:
        raise ValueError("--whiten is for samples; the semantic task has whitened inputs already")
    return LinearTask.named(name, whiten=arguments.whiten)


def _rules(arguments: argparse.Namespace) -> list[tuple[str, int | None]]:
    """(rule, rank) for each run; rules without a rank run once."""
    rules: list[tuple[str, int | None]] = []
    for name in arguments.feedback:
        if name in _LOW_RANK and arguments.rank is not None:
            rules += [(name, rank) for rank in arguments.rank]
        else:
            rules.append((name, None))
    if arguments.rank is not None and all(rank is None for _, rank in rules):
        raise ValueError(f"--rank is given, but {', '.join(arguments.feedback)} takes none")
    for name, rank in rules:
        preset(name, rank)  # an unknown rule, or a rank that is missing, is an error before anything runs
    choice("init", arguments.init, ("auto", *KINDS))
    choice("draw", arguments.draw, ("auto", "gaussian", "orthonormal"))
    choice("method", arguments.method, METHODS)
    return rules


def _times(task: LinearTask, arguments: argparse.Namespace) -> np.ndarray:
    points = integer("points", arguments.points, at_least=2)
    real_number("scale", arguments.scale, at_least=0.0)
    if arguments.learning_rate is not None:
        real_number("learning_rate", arguments.learning_rate, above=0.0)
    if arguments.horizon is not None:
        horizon = real_number("horizon", arguments.horizon, above=0.0)
        if arguments.learning_rate is not None and horizon < 1:
            raise ValueError(f"horizon is {horizon:g}; in descent it counts updates, so it must be at least 1")
    else:
        horizon = _default_horizon(task, arguments)
    if arguments.learning_rate is not None:
        return np.unique(np.round(_spread(horizon, points, arguments.log_time)))
    return _spread(horizon, points, arguments.log_time)


def _spread(horizon: float, points: int, log_time: bool) -> np.ndarray:
    if not log_time:
        return np.linspace(0.0, horizon, points)
    return np.concatenate([[0.0], np.geomspace(1e-4 * horizon, horizon, points - 1)])


def _default_horizon(task: LinearTask, arguments: argparse.Namespace) -> float:
    """Long enough for a balanced start of the given size to learn all modes: (1/s) ln(s/scale²), and half more."""
    if not len(task.strengths):
        raise ValueError(
            "the task has no modes: outputs do not depend linearly on inputs, so there is nothing to learn"
        )
    slowest = float((task.left * (task.sigma_yx @ task.right)).sum(0).min())
    time = 1.5 / slowest * max(np.log(float(task.strengths[0]) / max(arguments.scale, 1e-12) ** 2), 4.0)
    return time if arguments.learning_rate is None else float(np.ceil(time / arguments.learning_rate))


def _feedback(name: str, rank: int | None, widths: tuple[int, ...], arguments: argparse.Namespace) -> Feedback:
    """The rule, drawn with orthonormal columns where that fits the layers: the case with closed forms."""
    if name not in _TAKES_DRAW and not (name == "kolen-pollack" and rank is None):
        return preset(name, rank, arguments.seed)
    if arguments.draw != "auto":
        return preset(name, rank, arguments.seed, draw=arguments.draw)
    feedback = preset(name, rank, arguments.seed, draw="orthonormal")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            feedback.resolve(widths)
    except ValueError as error:
        if "orthonormal" not in str(error):
            raise
        return preset(name, rank, arguments.seed, draw="gaussian")
    return feedback


def _start(task: LinearTask, name: str, arguments: argparse.Namespace) -> tuple[str, list[np.ndarray]]:
    """Kind of the initial weights for a rule, and the weights."""
    widths = (task.inputs, *arguments.hidden, task.outputs)
    kind = arguments.init
    if kind == "auto":
        kind = "balanced" if name in _STUCK_AT_ZERO else "zero"
    aligned = {"task": task} if kind == "aligned" else {}
    return kind, initial_weights(widths, kind, arguments.scale, arguments.seed, **aligned)


def _check_all(
    task: LinearTask, rules: list[tuple[str, int | None]], times: np.ndarray, arguments: argparse.Namespace
) -> None:
    """Every run, up to its first step: what is wrong with any of them is said before anything is written."""
    decay, rate = arguments.weight_decay, arguments.learning_rate
    check_run(task, len(arguments.hidden) + 1, times, rate, decay, 1e-8, 1e-10, "dormand-prince", None, 1)
    for name, rank in rules:
        _, weights = _start(task, name, arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            feedback = _feedback(name, rank, (task.inputs, *arguments.hidden, task.outputs), arguments)
            resolve_feedback(task, weights, feedback)
            if arguments.method == "exact":
                # At time 0 alone a closed form shows at no cost whether it holds.
                try:
                    simulate(task, weights, feedback, [0.0], learning_rate=rate, weight_decay=decay, method="exact")
                except NoClosedForm as error:
                    raise NoClosedForm(f"{name}: {error}") from None


def _one(
    task: LinearTask, name: str, rank: int | None, times: np.ndarray, arguments: argparse.Namespace, report: object
) -> Outcome:
    widths = (task.inputs, *arguments.hidden, task.outputs)
    kind, weights = _start(task, name, arguments)
    feedback = _feedback(name, rank, widths, arguments)
    with warnings.catch_warnings():
        # A run that stops early is named in the summary.
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.filterwarnings("ignore", message="nothing moved")
        made = simulate(
            task, weights, feedback, times, learning_rate=arguments.learning_rate,
            weight_decay=arguments.weight_decay, method=arguments.method, progress=report,
        )  # fmt: skip
    theory, why_not = None, "weight decay is on" if arguments.weight_decay else ""
    if made.source == "theory":
        theory = made
    elif not why_not:
        flow_times = made.t if arguments.learning_rate is None else made.t * arguments.learning_rate
        try:
            theory = exact(task, weights, feedback, flow_times)
            theory.t = made.t
        except NoClosedForm as error:
            why_not = str(error)
    label = name if rank is None else f"{name} r={rank}"
    start = kind if kind == "zero" else f"{kind} {arguments.scale:g}"
    return Outcome(label, start, made, theory, why_not, _plateau(task, made, arguments))


def _plateau(task: LinearTask, made: Trajectory, arguments: argparse.Namespace) -> float | None:
    """Excess loss on which two layers end from a small start: where a formula says so, without weight decay."""
    if len(made.weights) != 2 or arguments.weight_decay or made.status != "completed":
        return None
    if made.feedback.name == "backprop":
        rank = min(made.widths)
        rooted = np.linalg.svd(task.target @ task.input_root, compute_uv=False)
        return float(0.5 * np.square(rooted[rank:]).sum())
    learns_p = "p" in made.feedback_weights and made.feedback_weights["p"][0].strides[0] != 0
    q_rule = getattr(made.feedback, "q", "fixed")
    if learns_p or made.feedback.name not in ("fa", "dfa", "low-rank") or q_rule == "normative":
        return None
    # With P fixed, a learned Q changes sign and scale but not the rows of P T (B17).
    carrier = made.feedback_matrix(0)[0]
    return float(task.excess_loss(learned_map(task, carrier)))


def _write(outcome: Outcome, stem: Path, arguments: argparse.Namespace) -> list[Path]:
    from linfa.plot import overview, save_figure

    written = [outcome.run.save(stem.with_name(stem.name + ".nc"))]
    picture = stem.with_name(stem.name + ".png")
    # The picture of an earlier run must not stand beside this one.
    picture.unlink(missing_ok=True)
    if len(outcome.run.t) >= 2:
        title = f"{outcome.run.task.name}, {'-'.join(map(str, outcome.run.widths))}, {outcome.name}"
        # A closed form has nothing to be compared with but itself.
        compared = None if outcome.theory is outcome.run else outcome.theory
        figure = overview(outcome.run, compared, title=title, plateau=outcome.plateau, log_time=arguments.log_time)
        written.append(save_figure(figure, picture))
    return written


def _summary(task: LinearTask, outcomes: list[Outcome]) -> None:
    out = console()
    modes = task.explained_modes[1]
    strengths = " ".join(f"{s:.3g}" for s in modes[:10]) + (" …" if len(modes) > 10 else "")
    start = task.excess_loss(np.zeros_like(task.target))
    weighted = "" if task.whitened else " (weighted by the variance of the inputs, T Σx^½)"
    out.print(f"modes: {strengths}{weighted}")
    out.print(
        f"loss above the best map: {start:.4g} at the zero map; {task.residual_loss:.4g} no linear map explains\n"
    )
    rows = table(
        "rule", "start", "loss", "predicted", "modes learned", "recovered, mode by mode", "cos(W, Bᵀ)", "chance",
        "eff. rank", right=("loss", "predicted", "cos(W, Bᵀ)", "chance", "eff. rank"),
    )  # fmt: skip
    for o in outcomes:
        final = o.run.recovery[-1]
        learned = [str(k + 1) for k in np.flatnonzero(final > _LEARNED)]
        # Adding zero turns −0.00 into 0.00.
        each = " ".join(f"{f:.2f}" for f in np.round(final[:10], 2) + 0.0) + (" …" if len(final) > 10 else "")
        aligned = " ".join(f"{c:.2f}" for c in o.run.weight_alignment[-1])
        chance = " ".join(f"±{2 * c:.2f}" for c in o.run.chance_alignment)
        rows.add_row(
            o.name,
            o.start,
            _loss(o.run.excess_loss[-1], start),
            _predicted(o, start),
            f"{len(learned)} of {len(final)}" + (f" ({','.join(learned)})" if 0 < len(learned) <= 6 else ""),
            each,
            aligned,
            chance,
            f"{o.run.effective_rank[-1]:.2f}",
        )
    out.print(rows)
    out.print(
        "\nloss: above the best map, at the last time.  predicted: closed form at that time (=), or the plateau of "
        f"late times (→).  learned: recovered to {_LEARNED:.0%}.\nchance: two standard deviations of the cosine of "
        "unrelated matrices.  eff. rank: of the map, exp of the entropy of its singular values.",
        soft_wrap=True,
    )
    for o in outcomes:
        if o.run.status != "completed":
            out.print(f"[bold red]{o.name} {o.run.status}[/] at {o.run.stopped_at:g}; its trajectory ends before that")
        elif not o.run.excess_loss[-1] < o.run.excess_loss[0] and all((w[0] == w[-1]).all() for w in o.run.weights):
            out.print(f"{o.name}: {MOTIONLESS}", soft_wrap=True)
    for reason in dict.fromkeys(o.why_not for o in outcomes if o.theory is None):
        without = [o.name for o in outcomes if o.theory is None and o.why_not == reason]
        which = "these runs" if len(without) == len(outcomes) > 1 else ", ".join(without)
        out.print(f"no closed form for the whole course of {which}: {plain(reason)}", soft_wrap=True)


def _loss(value: float, start: float) -> str:
    """A loss; what the integrator leaves of a vanished one is shown as such."""
    return f"{value:.4g}" if value > 1e-14 * start else "0"


def _predicted(outcome: Outcome, start: float) -> str:
    if outcome.theory is not None and "learning_rate" not in outcome.run.settings:
        return f"= {_loss(outcome.theory.excess_loss[-1], start)}"
    return "-" if outcome.plateau is None else f"→ {_loss(outcome.plateau, start)}"
