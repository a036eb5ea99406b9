"""What a step of learning costs in products of matrices against the rank of its feedback: counted, and timed."""

import time
import warnings
from functools import cache

import numpy as np
from linfa.figures.spec import FigureSpec, Numbers
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from linfa._random import stream
from linfa._threads import single_threaded_blas
from linfa.feedback import Backprop, Feedback, LowRankFeedback
from linfa.nn.layer import Pass
from linfa.nn.maps import Dense
from linfa.nn.models import model
from linfa.nn.network import Network
from linfa.nn.operations import operations
from linfa.plot import new_figure

# Name in the picture: model, arguments, batch, colour.
NETWORKS = {
    "ViT": ("vit", {}, 256, "C0"),
    "VGG": ("vgg", {}, 64, "C2"),
    "MLP": ("mlp", {}, 128, "C3"),
}
_SMALL = {
    "ViT": ("vit-small", {"depth": 2}, 256, "C0"),
    "MLP": ("mlp", {"widths": [128, 128]}, 128, "C3"),
}
PARTS = {
    "forward": ("forward", "C5"),
    "gradient": ("gradients of weights", "C0"),
    "signal": ("error sent down", "C1"),
    "feedback": ("fit of Q and P", "C4"),
    "attention": ("tokens × tokens", "0.65"),
}
SHOWN = (10, 32, 64, 128)
RULES = {"fixed": ("Q and P fixed", "C2", "o"), "normative": ("normative", "C1", "D")}


def _rule(name: str, rank: int) -> Feedback:
    return LowRankFeedback(rank=rank) if name == "fixed" else LowRankFeedback(rank=rank, q="normative", p="normative")


def _count(entry: tuple, feedback: Feedback) -> np.ndarray:
    """Operations of a step (parts,) of a model on images of CIFAR-10's size."""
    name, options, batch, _ = entry
    with warnings.catch_warnings():
        # Ranks are cut where a layer is smaller, as in training.
        warnings.simplefilter("ignore", UserWarning)
        network = Network(model(name, (32, 32, 3), 10, **options), (32, 32, 3), feedback=feedback)
    found = operations(network, batch)
    return np.array([found[part] for part in PARTS], float)


@cache
def _timed(width: int, rows: int, ranks: tuple[int, ...], repeats: int) -> np.ndarray:
    """Processor time of forward, back and feedback of one dense layer over backprop's, (rules, ranks).

    The least of several measurements, all taken in turn, as others only ever add to it. Measured once in a process, so
    that a figure that is drawn again shows the same marks.
    """
    rules = [Backprop(), *(_rule(name, rank) for name in RULES for rank in ranks)]
    generator = stream(0, "data")
    x, error = (generator.standard_normal((rows, width), dtype=np.float32) for _ in range(2))
    # The second layer: the first sends nothing down.
    layers = [Network([Dense(width), Dense(width)], (width,), feedback=rule).body.list[1] for rule in rules]
    least = np.full(len(layers), np.inf)
    with single_threaded_blas():
        for _ in range(repeats):
            for k, layer in enumerate(layers):
                started = time.thread_time()
                layer.forward(x, Pass())
                layer.backward(error, Pass())
                least[k] = min(least[k], time.thread_time() - started)
    return (least[1:] / least[0]).reshape(len(RULES), len(ranks))


def _counted(width: int, rows: int, ranks: np.ndarray) -> np.ndarray:
    """The same ratio counted, (rules, ranks)."""
    product = 2 * rows * width * width
    ratios = []
    for name in RULES:
        for rank in ranks:
            network = Network([Dense(width), Dense(width)], (width,), feedback=_rule(name, int(rank)))
            ratios.append(2 * product + sum(network.maps[1].carrier.operations(rows, width, width).values()))
    return np.array(ratios).reshape(len(RULES), len(ranks)) / (3 * product)


def compute(quick: bool, seed: int) -> Numbers:
    """Counts of whole networks, and counts and times of one dense layer, over backprop's."""
    networks = _SMALL if quick else NETWORKS
    ranks = (10, 64) if quick else (1, 4, 10, 20, 32, 48, 64, 96, 128)
    numbers: Numbers = {"ranks": np.array(ranks), "networks": np.array(list(networks))}
    for name, entry in networks.items():
        exact = _count(entry, Backprop())
        counts = np.array([_count(entry, _rule("normative", rank)) for rank in ranks])
        numbers |= {f"{name}_exact": exact, f"{name}_counts": counts, f"{name}_batch": np.array(entry[2])}
    width, rows, repeats = (192, 1024, 5) if quick else (512, 2048, 9)
    timed = (4, 16, 48) if quick else (4, 16, 32, 64, 128, 192, 256)
    fine = np.unique(np.linspace(1, timed[-1], 8 if quick else 60).round().astype(int))
    return numbers | {
        "size": np.array([width, rows]),
        "timed_ranks": np.array(timed),
        "timed": _timed(width, rows, timed, repeats),
        "fine": fine,
        "counted": _counted(width, rows, fine),
    }


def draw(numbers: Numbers) -> Figure:
    """Whole networks against rank; what the transformer's step consists of; one layer, counted and timed."""
    figure = new_figure(11.6, 4.7)
    left, middle, right = figure.subplots(1, 3)
    ranks = numbers["ranks"]
    for name, (_, _, _, colour) in NETWORKS.items():
        if f"{name}_counts" not in numbers:
            continue
        ratio = 100.0 * numbers[f"{name}_counts"].sum(1) / numbers[f"{name}_exact"].sum()
        left.plot(ranks, ratio, "o-", color=colour, label=f"{name}, batch {numbers[f'{name}_batch']}")
    left.axhline(100.0, color="C6", linewidth=1.2)
    left.axhline(200.0 / 3.0, color="0.5", linewidth=1.0, linestyle=":")
    left.text(ranks[0], 100.4, "backprop", va="bottom")
    left.text(ranks[-1], 200.0 / 3.0 - 0.4, "no signal at all: 2/3", color="0.35", ha="right", va="top", fontsize=9)
    left.set_xscale("log", base=2)
    left.set_xticks([r for r in ranks if r in (1, 4, 10, 32, 64, 128)])
    left.xaxis.set_major_formatter(ScalarFormatter())
    left.xaxis.set_minor_locator(NullLocator())
    left.set_ylim(62.0, 130.0)
    left.set_xlabel("rank of the feedback  r")
    left.set_ylabel("operations of a step  (% of backprop)")
    left.set_title("a  whole networks, normative")
    left.legend(loc="upper left")
    shown = [k for k, r in enumerate(ranks) if r in SHOWN]
    bars = np.vstack([numbers["ViT_exact"], numbers["ViT_counts"][shown]]) / 1e9
    bottom = np.zeros(len(bars))
    for (label, colour), part in zip(PARTS.values(), bars.T, strict=True):
        middle.bar(range(len(bars)), part, 0.75, bottom=bottom, color=colour, label=label)
        bottom += part
    middle.set_xticks(range(len(bars)), ["back-\nprop", *(f"r = {ranks[k]}" for k in shown)], fontsize=9)
    middle.set_xlabel("feedback of the transformer")
    middle.set_ylabel(f"10⁹ operations, batch of {numbers['ViT_batch']}")
    middle.set_title("b  the transformer's step")
    handles, labels = middle.get_legend_handles_labels()
    middle.set_ylim(0.0, 1.62 * bottom.max())
    middle.legend(handles[::-1], labels[::-1], loc="upper left")
    width, rows = numbers["size"]
    right.axhline(100.0, color="C6", linewidth=1.2)
    for k, (label, colour, mark) in enumerate(RULES.values()):
        right.plot(numbers["fine"], 100.0 * numbers["counted"][k], color=colour)
        right.plot(numbers["timed_ranks"], 100.0 * numbers["timed"][k], mark, color=colour, markersize=6, label=label)
    right.set_xlabel("rank of the feedback  r")
    right.set_ylabel("cost of a step  (% of backprop)")
    right.set_title(f"c  dense {width} → {width}, {rows} rows")
    right.set_ylim(bottom=min(60.0, 95.0 * float(numbers["timed"].min())))
    right.legend(loc="lower right", title="lines counted, marks timed", title_fontsize=9.5)
    return figure


FIGURE = FigureSpec(
    name="operations",
    title="What low-rank feedback saves: at most the third of the work that sends the error down",
    words="Backprop spends a third of its products of matrices on the way forward, a third on gradients of weights "
    "and a third on sending the error down. Feedback of rank r makes the last third cheap: 2 r (a + b) "
    "operations for each row instead of 2 a b in a layer of a units to b. Learning Q and P costs some of it "
    "back, the less the larger the batch; and the first layer, most of a small MLP, sends nothing anyway. "
    "Counts are of whole training steps on images of CIFAR-10's size (a, b; the refactorisation between "
    "steps is left out). Times (c) are processor time on one core, the least of several: what goes entry by "
    "entry is in them too.",
    claims=(),
    compute=compute,
    draw=draw,
)
make = FIGURE.make
