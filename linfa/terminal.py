"""What a terminal sees: tables that fit, progress that stays out of pipes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

# Wide enough that nothing is folded in a file or a pipe.
_PIPE_WIDTH = 400


class _Pipe:
    """Standard output without the blanks that pad a table's last column."""

    def write(self, text: str) -> int:
        return sys.stdout.write("\n".join(line.rstrip() for line in text.split("\n")))

    def flush(self) -> None:
        sys.stdout.flush()


def plain(text: object) -> str:
    """Text of a user's own (a title, a path, a message), so that its brackets are not taken for markup."""
    return escape(str(text))


def console() -> Console:
    """Console on standard output; in a pipe as wide as its lines."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=_Pipe(), width=_PIPE_WIDTH, highlight=False)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Table without vertical lines; the columns in `right` are numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=name in right)
    return made


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, float], None]]:
    """Progress bar on standard error, shown on a terminal alone; yields a function (description, amount done)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("", total=total)

        def update(description: str, done: float) -> None:
            bar.update(task, description=description, completed=done)

        yield update
