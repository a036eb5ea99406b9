"""Time of one training step, forward, back and update, against PyTorch in the same process.

    python benchmarks/steps.py                       every case on this processor, one thread
    python benchmarks/steps.py --only mlp --threads 2
    python benchmarks/steps.py --device cuda

Both sides start from the same weights and feedback and see the same batch, under AdamW; first they must agree on the
loss, and in double precision on the gradient of the first layer. Then steps in single precision alternate between the
two, after a warm-up, and medians are taken. Written to ``benchmarks/results/steps.json`` and ``steps.md``; results of
other devices, thread numbers and cases stay there. Ratios carry over between machines better than times do.
"""

import argparse
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from timing import medians
from torch_peer import Peer

from linfa import nn
from linfa.feedback import Feedback
from linfa.nn.backend import like, to_numpy
from linfa.nn.descent import Descent, assign
from linfa.presets import network_preset

RESULTS = Path(__file__).resolve().parent / "results"
RULES = {"backprop": None, "normative": 10}
RATE, DECAY = 1e-3, 0.01
# In single precision losses are right to about 1e-6. Gradients of the first layer are not, for behind batch norms most
# of their terms cancel (1.6e-3 apart in the VGG-like net); in double precision they are, to about 1e-12.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-9


@dataclass(frozen=True)
class Case:
    """A network without dropout, which the two sides would draw differently, and its batch."""

    make: Callable[[], list[nn.Layer]]
    shape: tuple[int, ...]
    batch: int
    device: str = ""


CASES = {
    "mlp": Case(lambda: nn.mlp(10), (3072,), 128),
    "vgg": Case(lambda: nn.vgg(10, dropout=0.0), (32, 32, 3), 64),
    "vit": Case(
        lambda: nn.vit(10, 192, depth=4, dropout=0.0, attention_dropout=0.0, drop_path=0.0), (32, 32, 3), 64
    ),
    # Some 400 billion operations a step: nothing for a processor.
    "resnet18": Case(lambda: nn.resnet(10), (32, 32, 3), 128, "cuda"),
}  # fmt: skip


class Ours:
    """linfa's side: a network, its optimiser and a batch."""

    def __init__(self, network: nn.Network, x: np.ndarray, labels: np.ndarray) -> None:
        self.network, self.labels, self.count = network, labels, 0
        self.x = like(x, network.weights[0].value)
        self.descent: Descent = assign(network.parameters, nn.Recipe(nn.Treatment(nn.AdamW(), RATE, DECAY)))

    def loss_and_gradients(self) -> float:
        """Forward and back."""
        self.count += 1
        return self.network.learn(self.x, self.labels, nn.Pass(step=self.count))[0]

    def step(self) -> None:
        """One training step."""
        self.loss_and_gradients()
        self.descent.step()


class Theirs:
    """PyTorch's side."""

    def __init__(self, network: nn.Network, x: np.ndarray, labels: np.ndarray, device: str) -> None:
        self.peer = Peer(network, device)
        self.x, self.labels = (torch.tensor(a, device=device) for a in (x, labels))
        self.optimiser = torch.optim.AdamW(self.peer.groups(DECAY), lr=RATE)

    def loss_and_gradients(self) -> float:
        """Forward and back."""
        self.optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.peer(self.x), self.labels)
        loss.backward()
        return loss.item()

    def step(self) -> None:
        """One training step."""
        self.loss_and_gradients()
        self.optimiser.step()


def sides(case: Case, rule: Feedback, device: str, precision: str = "float32") -> tuple[Ours, Theirs]:
    """Both sides, from one start."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((case.batch, *case.shape)).astype(precision)
    labels = generator.integers(0, 10, case.batch)
    with warnings.catch_warnings():
        # The rank is capped at the classifier.
        warnings.simplefilter("ignore", UserWarning)
        network = nn.Network(case.make(), case.shape, feedback=rule, dtype=precision).to(device)
    return Ours(network, x, labels), Theirs(network, x, labels, device)


def assert_same_loss(ours: Ours, theirs: Theirs) -> float:
    """That forward and back give the same loss; returns how far apart they are."""
    one, other = ours.loss_and_gradients(), theirs.loss_and_gradients()
    apart = abs(one - other) / abs(other)
    if not apart < LOSS_TOLERANCE:
        raise AssertionError(f"the losses {one} and {other} are {apart:.1e} apart")
    return apart


def assert_same_gradient(ours: Ours, theirs: Theirs) -> float:
    """That the gradients of the first layer, which all feedback leads to, agree; for double precision."""
    ours.loss_and_gradients()
    theirs.loss_and_gradients()
    first = ours.network.maps[0].weight
    found, wanted = to_numpy(first.gradient), theirs.peer.of[first.name].grad.cpu().numpy()
    wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted
    askew = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    if not askew < GRADIENT_TOLERANCE:
        raise AssertionError(f"the gradients of {first.name} are {askew:.1e} apart")
    return askew


def _waiter(device: str) -> Callable[[], Any]:
    """What waits until the device has done its work, on either side."""
    if device == "cpu":
        return lambda: None
    import cupy

    def wait() -> None:
        cupy.cuda.Device().synchronize()
        torch.cuda.synchronize()

    return wait


@dataclass(frozen=True)
class Checked:
    """Both sides of a case in single precision, and how far apart they were: losses, and gradients in double."""

    ours: Ours
    theirs: Theirs
    loss_apart: float
    gradient_apart: float


def checked_sides(case: Case, rule: Feedback, device: str) -> Checked:
    """Both sides, once they agree."""
    askew = assert_same_gradient(*sides(case, rule, device, "float64"))
    ours, theirs = sides(case, rule, device)
    return Checked(ours, theirs, assert_same_loss(ours, theirs), askew)


def measure(name: str, rule: str, device: str, threads: int, repetitions: int) -> dict:
    """One row of the table."""
    case, feedback = CASES[name], network_preset(rule, RULES[rule])
    pair = checked_sides(case, feedback, device)
    seconds = medians({"linfa": pair.ours.step, "torch": pair.theirs.step}, repetitions, wait=_waiter(device))
    return {
        "case": name,
        "rule": rule if RULES[rule] is None else f"{rule} r={RULES[rule]}",
        "batch": case.batch,
        "device": device,
        "threads": threads,
        "linfa_ms": 1e3 * seconds["linfa"],
        "torch_ms": 1e3 * seconds["torch"],
        "ratio": seconds["torch"] / seconds["linfa"],
        "loss_difference": pair.loss_apart,
        "gradient_difference": pair.gradient_apart,
        "repetitions": repetitions,
        "load": os.getloadavg()[0],
    }


def _place(row: dict) -> tuple:
    return row["device"], row["threads"], row["case"], row["rule"]


def write(rows: list[dict], folder: Path = RESULTS) -> Path:
    """The rows in place of those of the same case, rule, device and threads; the table of all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "steps.json"
    before = json.loads(path.read_text())["rows"] if path.is_file() else []
    held = {_place(row): row for row in [*before, *rows]}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    path.write_text(json.dumps({"versions": versions, "rows": list(held.values())}, indent=1) + "\n")
    lines = [
        "# Time of a training step against PyTorch",
        "",
        "Forward, back and AdamW, in single precision, both in one process by turns; medians, after a warm-up. The",
        "ratio is PyTorch's time over linfa's: above 1, linfa is the faster one. Before the timing both agreed on the",
        f"loss to {LOSS_TOLERANCE:g}, and in double precision on the first layer's gradient to {GRADIENT_TOLERANCE:g}.",
        "PyTorch's low-rank layers are autograd functions with the same products. The load is the machine's mean over",
        "the last minute of the timing: what is above the threads was somebody else's.",
        "",
        f"Python {versions['python']}, NumPy {versions['numpy']}, PyTorch {versions['torch']};",
        "`python benchmarks/steps.py --threads N --device NAME`.",
        "",
        "| device | threads | network | feedback | batch | linfa, ms | PyTorch, ms | ratio | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in held.values():
        lines.append(
            f"| {row['device']} | {row['threads']} | {row['case']} | {row['rule']} | {row['batch']} | "
            f"{row['linfa_ms']:.1f} | {row['torch_ms']:.1f} | {row['ratio']:.2f} | {row['load']:.1f} |"
        )
    (folder / "steps.md").write_text("\n".join(lines) + "\n")
    return folder / "steps.md"


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=1, help="of matrix products, on either side (default 1)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repetitions", type=int, default=9, help="at least 7 (default 9)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.repetitions < 7 or arguments.threads < 1:
        parser.error("--repetitions must be at least 7, --threads at least 1")
    torch.set_num_threads(arguments.threads)
    # The products of both sides in full single precision.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows = []
    with ThreadpoolController().limit(limits=arguments.threads, user_api="blas"):
        for name in arguments.only or CASES:
            if CASES[name].device not in ("", arguments.device):
                print(f"{name} is for --device {CASES[name].device} alone")
                continue
            for rule in RULES:
                row = measure(name, rule, arguments.device, arguments.threads, arguments.repetitions)
                rows.append(row)
                print(
                    f"{name} {row['rule']}: linfa {row['linfa_ms']:.1f} ms, PyTorch {row['torch_ms']:.1f} ms, "
                    f"ratio {row['ratio']:.2f}",
                    flush=True,
                )
    print(write(rows, arguments.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
