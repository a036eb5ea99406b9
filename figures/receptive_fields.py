"""What a retina sees that learns from an error of rank 1, 4, or full: its receptive fields, and how round they are."""

import json

import numpy as np
from linfa.figures import recorded
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfa.nn.data import load
from linfa.nn.plan import Plan
from linfa.nn.receptive_fields import field_shapes, receptive_fields
from linfa.plot import new_figure

COMMAND = "python benchmarks/receptive_fields.py --root DIR"
_FILE = "receptive-fields.npz"
START, EXACT = "start", "backprop"
_MARKS = "o^sDv"
_QUICK = {
    "data": "digits", "epochs": 2, "batch": 32, "rate": 3e-3, "probe_every": 0, "threads": 1, "model": "retina",
    "model_options": {"channels": 8, "kernel": 3, "cortex_layers": 1, "hidden": 32, "dropout": 0.0},
}  # fmt: skip


def _small(seed: int) -> dict[str, np.ndarray]:
    """Runs in the form of the recorded ones, on the digits."""
    found: dict[str, np.ndarray] = {}
    plans = {f"rank {r}": {"feedback": "raf", "rank": r, "layers": ["conv3"]} for r in (1, 4, 8)} | {EXACT: {}}
    data = load("digits")
    for label, changes in plans.items():
        plan = Plan.from_dict(_QUICK | changes | {"seed": seed})
        trainer = plan.trainer()
        found[f"{START}/{seed}/fields"] = receptive_fields(trainer.network, "conv2")[..., 0]
        found[f"{label}/{seed}/accuracy"] = trainer.run().test_accuracy
        found[f"{label}/{seed}/fields"] = receptive_fields(trainer.network, "conv2")[..., 0]
    about = {"plan": _QUICK, "images": len(data.train_labels)}
    return found | {"about": np.array(json.dumps(about))}


def _recorded() -> dict[str, np.ndarray]:
    path = recorded.DATA / _FILE
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as content:
            found = {name: content[name] for name in content.files}
        json.loads(str(found["about"]))
    except Exception as error:
        # A damaged archive can fail anywhere in the reader.
        raise ValueError(f"{path.name} is damaged ({error}); remove it and call {COMMAND}") from error
    return found


def _order(label: str) -> tuple[int, int]:
    """The start first, then by rank, backprop last."""
    if label in (START, EXACT):
        return (0 if label == START else 2, 0)
    return (1, int(label.removeprefix("rank ")))


def compute(quick: bool, seed: int) -> Numbers:
    """Fields of the first seed, shapes of all (seeds, channels), and accuracies, by label."""
    found = _small(seed) if quick else _recorded()
    labels = sorted({name.partition("/")[0] for name in found if name.endswith("/fields")}, key=_order)
    numbers: Numbers = {"labels": np.array(labels, str)}
    if not found:
        return numbers
    about = json.loads(str(found["about"]))
    plan = about["plan"]
    seeds = {label: sorted(n for n in found if n.startswith(f"{label}/") and n.endswith("/fields")) for label in labels}
    most = max(map(len, seeds.values()))
    data = "grey CIFAR-10 at half resolution" if plan["data"] == "cifar10" else "bundled digits"
    said = [data, f"{about['images']:,} images", f"{plan['epochs']} epochs", f"{most} seed{'s' * (most > 1)}"]
    numbers["about"] = np.array(", ".join(said))
    for label in labels:
        fields = [found[name].astype(float) for name in seeds[label]]
        shapes = [field_shapes(each) for each in fields]
        numbers |= {
            f"{label}_fields": fields[0],
            f"{label}_index": np.array([s.index for s in shapes]),
            f"{label}_symmetry": np.array([s.symmetry for s in shapes]),
            f"{label}_orientation": np.array([s.orientation for s in shapes]),
        }
        if label != START:
            last = [100.0 * found[name.replace("/fields", "/accuracy")][-1] for name in seeds[label]]
            numbers[f"{label}_accuracy"] = np.array(last)
    side = numbers[f"{labels[0]}_fields"].shape[1]
    noise = np.random.default_rng(0).standard_normal((300, side, side))
    return numbers | {"noise": np.array(np.mean(field_shapes(noise).index))}


def _montage(axes: Axes, fields: np.ndarray, index: np.ndarray) -> None:
    """All channels, the most centre–surround first, each scaled by its largest entry."""
    order = np.argsort(-np.nan_to_num(index, nan=-1.0))
    across = int(np.ceil(np.sqrt(len(fields))))
    side = fields.shape[1]
    sheet = np.full((-(-len(fields) // across) * (side + 1) - 1, across * (side + 1) - 1), np.nan)
    for place, channel in enumerate(order):
        row, column = (n * (side + 1) for n in divmod(place, across))
        largest = np.abs(fields[channel]).max()
        sheet[row : row + side, column : column + side] = fields[channel] / (largest if largest > 0 else 1.0)
    axes.imshow(sheet, cmap="PuOr", vmin=-1.0, vmax=1.0, interpolation="nearest")
    axes.set_axis_off()


def _colours(labels: list[str]) -> dict[str, str]:
    ranks = [label for label in labels if label not in (START, EXACT)]
    return {START: "0.6", EXACT: "C6"} | {label: f"C{k}" for k, label in enumerate(ranks)}


def draw(numbers: Numbers) -> Figure:
    """Fields of one seed above; below, the index of every unit, and the two numbers that it is mostly made of."""
    labels = [str(label) for label in numbers["labels"]]
    figure = new_figure(10.6, 6.9)
    if not labels:
        recorded.say_missing(figure.subplots(), COMMAND)
        return figure
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.0, 1.35))
    upper.suptitle(f"a  receptive fields of one seed;  {numbers['about']}", x=0.005, ha="left", fontsize=11)
    for axes, label in zip(upper.subplots(1, len(labels)), labels, strict=True):
        _montage(axes, numbers[f"{label}_fields"], numbers[f"{label}_index"][0])
        words = label if label == START else f"{label}: {numbers[f'{label}_accuracy'].mean():.1f} %"
        axes.set_title(words, loc="center", fontsize=11)
    left, right = lower.subplots(1, 2, width_ratios=(1.15, 1.0))
    colours = _colours(labels)
    left.axhline(float(numbers["noise"]), color="0.5", linewidth=1.0, linestyle=":")
    left.text(len(labels) - 0.45, float(numbers["noise"]), "noise", color="0.4", ha="right", va="bottom", fontsize=9)
    for place, label in enumerate(labels):
        index = numbers[f"{label}_index"]
        every = index[np.isfinite(index)]
        spread = place + np.linspace(-0.3, 0.3, len(every))
        left.plot(spread, np.sort(every), "o", color=colours[label], markersize=3.5, alpha=0.6)
        # Units of one network are no independent draws; seeds are.
        mean, error = recorded.mean_and_error(np.nanmean(index, axis=1))
        left.plot([place - 0.38, place + 0.38], [mean, mean], color=colours[label], linewidth=2.4)
        left.errorbar(place, mean, np.nan_to_num(error), color=colours[label], linewidth=1.6, capsize=4)
        across, up = numbers[f"{label}_orientation"], numbers[f"{label}_symmetry"]
        mark = _MARKS[place % len(_MARKS)]
        right.plot(across.ravel(), up.ravel(), mark, color=colours[label], markersize=4, alpha=0.65, label=label)
    left.set_xticks(range(len(labels)), labels)
    left.set_xlabel("feedback to the retina")
    left.set_ylabel("centre–surround index")
    left.set_title("b  one dot for each unit")
    left.set_ylim(-0.03, None)
    right.set_xlim(-0.02, 1.0)
    right.set_ylim(-0.02, 1.02)
    right.set_xlabel("orientation")
    right.set_ylabel("radial symmetry")
    right.set_title("c  what it is made of")
    right.text(0.01, 1.0, "rings", color="0.35", va="top", fontsize=9)
    right.text(0.99, 0.0, "gratings", color="0.35", ha="right", va="bottom", fontsize=9)
    right.legend(loc="upper right", bbox_to_anchor=(1.0, 0.97))
    return figure


FIGURE = FigureSpec(
    name="receptive-fields",
    title="Receptive fields of a retina that hears its cortex through r numbers",
    words="Two convolutions stand for a retina; the first one behind the optic nerve sends back an error of rank "
    "r, all else is backprop. A receptive field (a) is what drives the central unit of each of the retina's "
    "channels, found by two steps of gradient ascent from an empty image. The index (b) is 1 for a balanced "
    "centre and surround and 0 for a grating, a blob without surround, or a one-sided field: radial symmetry "
    "times (1 − orientation) times the balance of centre and surround. Bars are means ± standard error over "
    "seeds, per cents test accuracies. In the recorded runs, short ones of a small net, learning raises the "
    "index above that of the untrained retina under every feedback, but low rank does not raise it more: "
    "that feedback of low rank makes fields centre–surround was reported, by eye, of longer runs of a larger "
    "net.",
    claims=(),
    compute=compute,
    draw=draw,
    records=(_FILE,),
)
make = FIGURE.make
