"""Training steps of nonlinear networks against PyTorch's, and against what PyTorch's backprop takes."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import limits
from table import Goal, Row
from timing import SAMPLE_SECONDS, Effort, load, medians

from linfa import nn
from linfa.presets import network_preset

_NAMES = {
    "mlp": "MLP 3072-512³-10, batch 128",
    "vgg": "VGG-like net, batch 64",
    "vit": "ViT of width 192 and depth 4, batch 64",
}
# By network and rule of feedback on our side, against PyTorch's backprop.
_GOALS = {
    "mlp": {"backprop": Goal(1.0, 1.3), "normative": Goal(1.15, 1.5)},
    "vgg": {"backprop": Goal(0.7, 1.0), "normative": Goal(0.7, 1.0)},
    "vit": {"backprop": Goal(0.7, 1.0), "normative": Goal(0.7, 1.0)},
}
_TOYS = {
    "mlp": (lambda: nn.mlp(10, (12, 12)), (20,), 6),
    "vgg": (lambda: nn.vgg(10, (4, 8), depth=1, hidden=8, dropout=0.0), (8, 8, 3), 6),
    "vit": (
        lambda: nn.vit(10, 8, depth=2, heads=2, dropout=0.0, attention_dropout=0.0, drop_path=0.0), (8, 8, 3), 6,
    ),
}  # fmt: skip
_RANKS = {"backprop": None, "normative": 10}
# AdamW reads gradient, weight and two moments, and writes all but the gradient.
_PASSES = 7


def training(name: str, effort: Effort) -> Iterator[Row]:
    """One network's step, forward, back and AdamW in single precision, under backprop and normative feedback."""
    peers = {"backprop": "PyTorch, backprop", "normative": "PyTorch, the same rule"}
    if "torch" not in effort.peers:
        return
    if find_spec("torch") is None:
        for rule, rank in _RANKS.items():
            work, goal = _work(_NAMES[name], rule, rank), _GOALS[name][rule]
            yield Row(name, work, peers["backprop"], goal, note="torch is not installed")
        return
    import steps
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    case = steps.Case(*_TOYS[name]) if effort.quick else steps.CASES[name]
    rules = _RANKS | effort.of({}, {"normative": 3})
    sides = {rule: steps.checked_sides(case, network_preset(rule, rank), "cpu") for rule, rank in rules.items()}
    runs = {f"linfa {rule}": found.ours.step for rule, found in sides.items()}
    runs |= {f"torch {rule}": found.theirs.step for rule, found in sides.items()}
    seconds = medians(runs, effort.repetitions, sample_seconds=effort.of(SAMPLE_SECONDS, 0.0))
    limit = limits.measured("float32", effort)
    label = f"{name} of toy size" if effort.quick else _NAMES[name]
    for rule, found in sides.items():
        mine = seconds[f"linfa {rule}"]
        with FlopCounterMode(display=False) as counted:
            found.theirs.loss_and_gradients()
        moved = _PASSES * sum(p.value.nbytes for p in found.ours.network.parameters)
        work = _work(label, rule, rules[rule])
        row = partial(
            Row, name, work, linfa_ms=1e3 * mine, products=counted.get_total_flops() / mine / limit.products,
            memory=moved / mine / limit.copies, repetitions=effort.repetitions, load=load(),
        )  # fmt: skip
        note = f"losses {found.loss_apart:.0e} apart, in double precision gradients {found.gradient_apart:.0e}"
        for other in dict.fromkeys(("backprop", rule)):
            theirs = seconds[f"torch {other}"]
            # Like against like has backprop's goal.
            goal = _GOALS[name]["backprop" if other == rule else rule]
            yield row(peers[other], goal, theirs / mine, peer_ms=1e3 * theirs, note=note)


def _work(label: str, rule: str, rank: int | None) -> str:
    return f"{label}, {rule}" + ("" if rank is None else f" r={rank}")
