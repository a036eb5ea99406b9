"""Rows of the speed table: what was measured against what was asked for, kept as JSON and shown as Markdown."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NAME = "speed"
_PACKAGES = ("linfa", "numpy", "scipy", "numba", "jax", "diffrax", "torch")


@dataclass(frozen=True)
class Goal:
    """What a row's value must reach, and what would be splendid.

    `kind` says what the value is: "ratio", the peer's time over linfa's, at least; "growth", a ratio of linfa's own
    costs, at most; "seconds", at most.
    """

    least: float
    dream: float | None = None
    kind: str = "ratio"

    def reached(self, value: float) -> str:
        """`dream`, `yes` or `no`."""
        sign = 1.0 if self.kind == "ratio" else -1.0
        if self.dream is not None and sign * value >= sign * self.dream:
            return "dream"
        return "yes" if sign * value >= sign * self.least else "no"

    def __str__(self) -> str:
        unit = " s" if self.kind == "seconds" else ""
        words = f"{'≥' if self.kind == 'ratio' else '≤'} {self.least:g}{unit}"
        return words if self.dream is None else f"{words} ({self.dream:g})"


@dataclass(frozen=True)
class Row:
    """One comparison. Numbers that were not or cannot be measured are None."""

    entry: str
    work: str
    peer: str
    goal: Goal | None = None
    value: float | None = None
    linfa_ms: float | None = None
    peer_ms: float | None = None
    linfa_error: float | None = None
    peer_error: float | None = None
    linfa_rtol: float | None = None
    peer_rtol: float | None = None
    products: float | None = None  # operations of the run's matrix products over time, over the machine's rate
    memory: float | None = None  # bytes that the run must move over time, over the machine's rate
    compile_seconds: float | None = None  # of the peer, before the timing
    threads: int = 1
    repetitions: int = 0
    load: float | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later row must share to take this one's place."""
        return self.entry, self.work, self.peer

    @classmethod
    def from_dict(cls, plain: dict) -> "Row":
        """The row of which `asdict` made this."""
        return cls(**plain | {"goal": plain["goal"] and Goal(**plain["goal"])})


def read(folder: Path) -> list[Row]:
    """The rows that are kept in a folder."""
    path = folder / f"{NAME}.json"
    return [Row.from_dict(plain) for plain in json.loads(path.read_text())["rows"]] if path.is_file() else []


def write(rows: Iterable[Row], folder: Path, order: Sequence[str] = ()) -> Path:
    """Put rows in place of those with the same key, keep all others, and write both files; entries in the order given.

    Each file is written beside its place and renamed, so that a run that is broken off leaves whole ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = {row.key: row for row in (*read(folder), *rows)}
    places = {name: k for k, name in enumerate(order)}
    kept = sorted(held.values(), key=lambda row: places.get(row.entry, len(places)))
    content = {"machine": machine(), "versions": versions(), "rows": [asdict(row) for row in kept]}
    # NaN is no JSON.
    _replace(folder / f"{NAME}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    _replace(folder / f"{NAME}.md", markdown(kept))
    return folder / f"{NAME}.md"


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def machine() -> str:
    """The processor by name, and its cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Python and the packages that take part, where they are installed."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_HEAD = """# Speed: linfa against its peers

Both sides solve the same problem in one process, by turns, after a warm-up and on equally many cores and threads;
times are medians. The ratio is the peer's time over linfa's: above 1, linfa is the faster one. *Goal* is what was
asked for, in brackets what would be splendid; rows without one are for comparison. Rows that set linfa against itself
say what they measure.

Errors are the largest ‖M − M*‖/‖M*‖ (Frobenius) of the network map over members and saved times, M* being linfa's
at rtol 1e-12 once SciPy's DOP853 at the same tolerance agrees. Flows start from rtol 1e-6 and atol 1e-8 on either
side; where one side is less than half as accurate as the other its tolerances are tightened until it is no worse,
and the table shows those used. A peer's compile time is not in its time.

*Of the limit* is what the matrix products of linfa's run come to, as a fraction of the rate of a large product on
this machine at the same precision (the number of right-hand sides is SciPy's at linfa's tolerances, that of training
steps PyTorch's count), and after the comma the bytes that it must move (saved states, the optimiser's arrays) as a
fraction of the rate of copying. The load is the machine's mean over the last minute of the timing: what is above the
threads was somebody else's.
"""
_COLUMNS = (
    "work", "peer", "threads", "linfa, ms", "peer, ms", "ratio", "goal", "reached", "error linfa / peer",
    "rtol linfa / peer", "of the limit", "peer compiles, s", "load", "note",
)  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """The protocol and the table."""
    listed = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = [
        _HEAD,
        f"{machine()}; {listed}; `python benchmarks/run.py`.",
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|" + "---|" * len(_COLUMNS),
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    return [
        row.work,
        row.peer,
        str(row.threads),
        _number(row.linfa_ms, ".4g"),
        _number(row.peer_ms, ".4g"),
        _value(row),
        "–" if row.goal is None else str(row.goal),
        "–" if row.value is None or row.goal is None else row.goal.reached(row.value),
        _pair(row.linfa_error, row.peer_error),
        _pair(row.linfa_rtol, row.peer_rtol),
        _fractions(row),
        _number(row.compile_seconds, ".1f"),
        _number(row.load, ".1f"),
        row.note,
    ]


def line(row: Row) -> str:
    """A row in words, for the terminal."""
    if row.value is None:
        return f"{row.work} against {row.peer}: {row.note}"
    judged = "" if row.goal is None else f" (goal {row.goal}: {row.goal.reached(row.value)})"
    times = "" if row.linfa_ms is None else f", linfa {row.linfa_ms:.4g} ms"
    times += "" if row.peer_ms is None else f", peer {row.peer_ms:.4g} ms"
    return f"{row.work} against {row.peer}: {_value(row)}{judged}{times}"


def _value(row: Row) -> str:
    if row.value is None:
        return "–"
    in_seconds = row.goal is not None and row.goal.kind == "seconds"
    return f"{row.value:.3g} s" if in_seconds else f"{row.value:.2f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _pair(one: float | None, other: float | None) -> str:
    return "–" if one is None and other is None else f"{_number(one, '.1e')} / {_number(other, '.1e')}"


def _fractions(row: Row) -> str:
    shown = [_number(value, ".0%") for value in (row.products, row.memory)]
    return "–" if shown == ["–", "–"] else ", ".join(shown)
