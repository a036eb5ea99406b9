"""Speed of linfa against its peers and against this machine's limits: one command for all of it, or one entry.

    python benchmarks/run.py                          every entry; --list names them
    python benchmarks/run.py --only wide exact        some of them; rows of the others stay in the table
    python benchmarks/run.py --quick                  everything at toy size, to see that it runs; writes nothing

Every entry runs in a process of its own, held to as many cores and threads as the entry is about, and writes each row
to ``benchmarks/results/speed.json`` and ``speed.md`` as soon as it is measured. Peers that are not installed are rows
without a ratio; ``pip install 'linfa[peers]'`` brings all of them.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fresh
import linear
import table
import training
from threadpoolctl import threadpool_limits
from timing import LEAST_REPETITIONS, Effort

RESULTS = Path(__file__).resolve().parent / "results"
# Read when libraries are loaded. linfa's own threads are arguments of its calls.
_ONE_THREAD = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


@dataclass(frozen=True)
class Entry:
    """Something to measure, and the cores it may use."""

    measure: Callable[[Effort], Iterator[table.Row]]
    about: str
    cores: int = 1


ENTRIES = {
    "ensemble-small": Entry(linear.ensemble_small, "1,024 networks 8-16-8, fixed feedback; diffrax, SciPy, PyTorch"),
    "ensemble-medium": Entry(linear.ensemble_medium, "256 networks 32-32-10, fixed feedback; diffrax, PyTorch"),
    "ensemble-learned": Entry(linear.ensemble_learned, "the same with learned feedback"),
    "wide": Entry(linear.wide, "one network 32-4096-10; diffrax, SciPy"),
    "products": Entry(linear.products, "256-512-256 under backprop against its matrix products alone"),
    "exact": Entry(linear.exact, "closed forms against stepping"),
    "width": Entry(linear.width, "a step as the hidden layer grows from 64 to 16384"),
    "threads": Entry(linear.threads, "an ensemble on two threads against one", cores=2),
    "fresh": Entry(fresh.fresh, "import, first run and compilation in a fresh process"),
    "mlp": Entry(partial(training.training, "mlp"), "training step of an MLP; PyTorch"),
    "vgg": Entry(partial(training.training, "vgg"), "training step of a VGG-like net; PyTorch"),
    "vit": Entry(partial(training.training, "vit"), "training step of a vision transformer; PyTorch"),
}


def measure(names: list[str], effort: Effort, results: Path | None) -> None:
    """Measure entries in this process, printing and keeping each row as it comes."""
    with threadpool_limits(1):
        for name in names:
            for row in ENTRIES[name].measure(effort):
                print(table.line(row), flush=True)
                if results is not None:
                    table.write([row], results, list(ENTRIES))


def _apart(name: str, arguments: list[str]) -> int:
    """Measure an entry in a process of its own, which inherits the cores this one holds meanwhile."""
    command = [sys.executable, str(Path(__file__).resolve()), "--here", "--only", name, *arguments]
    environment = os.environ | _ONE_THREAD
    if not hasattr(os, "sched_setaffinity"):
        return subprocess.run(command, env=environment).returncode
    before = os.sched_getaffinity(0)
    try:
        # The last ones: the first is where a system's own work gathers.
        os.sched_setaffinity(0, sorted(before)[-ENTRIES[name].cores :])
        return subprocess.run(command, env=environment).returncode
    finally:
        os.sched_setaffinity(0, before)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; 1 where an entry failed, whose error is above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ENTRIES), metavar="ENTRY", help="some entries")
    parser.add_argument("--list", action="store_true", help="name the entries and what they measure")
    parser.add_argument("--quick", action="store_true", help="toy sizes, one repetition; written to --results alone")
    parser.add_argument("--repetitions", type=int, help=f"at least and by default {LEAST_REPETITIONS}")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the table is (default benchmarks/results)")
    peers = Effort().peers
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, metavar="PACKAGE", help=", ".join(peers))
    parser.add_argument("--here", action="store_true", help="in this process, whatever cores and threads it has")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(f"{name:17} {entry.about}" for name, entry in ENTRIES.items()))
        return 0
    repetitions = asked.repetitions or (1 if asked.quick else LEAST_REPETITIONS)
    if repetitions < (1 if asked.quick else LEAST_REPETITIONS):
        parser.error(f"--repetitions is {repetitions}; it must be at least {LEAST_REPETITIONS}")
    results = asked.results or (None if asked.quick else RESULTS)
    names = asked.only or list(ENTRIES)
    if asked.here:
        measure(names, Effort(repetitions, asked.quick, tuple(asked.peers)), results)
        return 0
    passed = ["--repetitions", str(repetitions), "--peers", *asked.peers]
    passed += ["--quick"] if asked.quick else []
    passed += ["--results", str(results)] if results is not None else []
    failed = [name for name in names if _apart(name, passed) != 0]
    if failed:
        print(f"failed: {', '.join(failed)}; their errors are above", file=sys.stderr)
    elif results is not None:
        print(results / f"{table.NAME}.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
