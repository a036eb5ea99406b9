"""`linfa verify`: run claims and print how they fare."""

import json
import runpy
import time
from pathlib import Path

import numpy as np

from linfa import claims
from linfa._check import nearest
from linfa.checking import check_all
from linfa.claims import Check
from linfa.terminal import console, plain, progress, table


def verify(
    chosen: list[str],
    *,
    quick: bool = False,
    as_json: bool = False,
    list_only: bool = False,
    source: str | None = None,
    over: str | None = None,
) -> int:
    """Check claims and print the outcome.

    Parameters
    ----------
    chosen : list of str
        Names; all when empty.
    quick, as_json, list_only : bool
        Small sizes; JSON instead of a table; names alone.
    source : str, optional
        Python file to run first, which registers claims of its own.
    over : str, optional
        ``knob=start:stop:count``: table the residual of one claim.

    Returns
    -------
    int
        0 when every claim holds, 1 when one fails.

    Raises
    ------
    ValueError, FileNotFoundError
        If a name, the file or the range is not what it should be.
    """
    if source is not None:
        _run_file(source)
    known = claims.names()
    for name in chosen:
        if name not in known:
            raise ValueError(f"claim {name!r} is unknown{nearest(name, known) or '; linfa verify --list names them'}")
    chosen = chosen or known
    if list_only:
        return _list(chosen, as_json)
    if over is not None:
        return _over(chosen, over, quick, as_json)
    checks: list[Check] = []
    start = time.perf_counter()
    try:
        check_all(chosen, quick, checks)
    except KeyboardInterrupt:
        # What was checked before Ctrl-C is shown all the same.
        if checks and not as_json:
            _print_checks(checks, time.perf_counter() - start)
        raise
    if as_json:
        print(json.dumps([_row(check) for check in checks], indent=2))
    else:
        _print_checks(checks, time.perf_counter() - start)
    return 0 if all(check.holds for check in checks) else 1


def _run_file(source: str) -> None:
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {source}; --from takes a Python file that registers claims")
    # Built-in names first, so that a file cannot take one of them silently.
    before = set(claims.names())
    try:
        runpy.run_path(str(path), run_name="__linfa_claims__")
    except (Exception, SystemExit) as error:
        raise ValueError(f"{source} failed: {type(error).__name__}: {error}") from error
    if not set(claims.names()) - before:
        raise ValueError(f"{source} registered no claim; decorate a function with @linfa.claims.claim(...)")


def _list(chosen: list[str], as_json: bool) -> int:
    found = [claims.get(name) for name in chosen]
    if as_json:
        rows = [{"name": c.name, "entry": c.entry, "title": c.title, "accuracy": c.accuracy} for c in found]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    rows = table("claim", "entry", "accuracy", "what is compared")
    for c in found:
        rows.add_row(c.name, plain(c.entry), c.accuracy, plain(c.title))
    console().print(rows)
    return 0


def _row(check: Check) -> dict:
    return {
        "name": check.name,
        "entry": check.entry,
        "title": check.title,
        "accuracy": check.accuracy,
        # JSON has no infinity: a residual that is no number is null.
        "residual": check.residual if np.isfinite(check.residual) else None,
        "tolerance": check.tolerance,
        "holds": check.holds,
        "seconds": round(check.seconds, 3),
        "reason": check.reason,
    }


def _print_checks(checks: list[Check], seconds: float) -> None:
    out = console()
    # On a narrow terminal the words give way: `--list` has them.
    with_words = out.width >= 130
    words = ("what was compared",) if with_words else ()
    rows = table(
        "claim", "entry", *words, "residual", "tolerance", "verdict", "time", right=("residual", "tolerance", "time")
    )
    for c in checks:
        verdict = "[green]holds[/]" if c.holds else "[bold red]FAILS[/]"
        title = (plain(c.title),) if with_words else ()
        rows.add_row(
            c.name, plain(c.entry), *title, f"{c.residual:.1e}", f"{c.tolerance:.0e}", verdict, f"{c.seconds:.2f} s"
        )
    out.print(rows)
    out.print()
    for c in checks:
        # A gap that only closes, or is drawn at random, is shown with what it is made of.
        if c.accuracy in ("asymptotic", "statistical"):
            sides = f"predicted {_few(c.predicted)}, simulated {_few(c.simulated)}"
            out.print(f"{c.name} ({c.accuracy}): {sides}; {plain(c.reason)}", soft_wrap=True)
    failed = [c.name for c in checks if not c.holds]
    out.print(f"\n{len(checks) - len(failed)} of {len(checks)} claims hold ({seconds:.1f} s)")
    if failed:
        out.print("failed: " + ", ".join(failed), soft_wrap=True)


def _few(parts: list[np.ndarray]) -> str:
    """The first numbers of one side of a claim."""
    numbers = [float(np.real(x)) for part in parts for x in np.ravel(part)[:4]]
    return " ".join(f"{x:.4g}" for x in numbers[:4]) + (" …" if sum(p.size for p in parts) > 4 else "")


def parse_range(text: str) -> tuple[str, np.ndarray]:
    """``knob=start:stop:count`` as a name and values: geometric from a positive start over a decade or more, else even.

    Examples
    --------
    >>> parse_range("rate=0:1:3")[1].tolist()
    [0.0, 0.5, 1.0]
    """
    wrong = ValueError(f"over is {text!r}; it must read KNOB=START:STOP:COUNT, such as scale=1e-4:1:9")
    name, equals, span = text.partition("=")
    parts = span.split(":")
    if not equals or len(parts) != 3:
        raise wrong
    try:
        start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
    except ValueError:
        raise wrong from None
    if not (np.isfinite(start) and np.isfinite(stop)) or not 2 <= count <= 1000:
        raise ValueError(f"over is {text!r}; START and STOP must be finite, COUNT between 2 and 1000")
    geometric = start > 0 and stop > 0 and max(start, stop) >= 10 * min(start, stop)
    return name, np.geomspace(start, stop, count) if geometric else np.linspace(start, stop, count)


def _over(chosen: list[str], over: str, quick: bool, as_json: bool) -> int:
    if len(chosen) != 1:
        raise ValueError(f"--over tables one claim; {len(chosen)} are chosen, so name the one")
    claim, (knob, values) = claims.get(chosen[0]), parse_range(over)
    if knob in claim.knobs and isinstance(claim.knobs[knob], int):
        values = np.unique(np.round(values))
    found = []
    with progress(len(values)) as update:
        for k, value in enumerate(values):
            update(f"{claim.name}  {knob} = {value:.3g}", k)
            try:
                found.append((float(value), claim.check(quick=quick, **{knob: value}), ""))
            except Exception as error:
                if knob not in claim.knobs:
                    raise
                # Outside its assumptions a closed form refuses; that is an answer, not a failure of the table.
                found.append((float(value), None, str(error) or type(error).__name__))
    if as_json:
        rows = [
            {knob: v, "residual": c.residual if c and np.isfinite(c.residual) else None, "holds": bool(c and c.holds)}
            | ({"refused": why} if why else {})
            for v, c, why in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    rows = table(knob, "residual", "tolerance", "verdict", right=(knob, "residual", "tolerance"))
    for value, check, why in found:
        if check is None:
            rows.add_row(f"{value:.4g}", "-", f"{claim.tolerance:.0e}", f"refused: {plain(why)}")
        else:
            verdict = "[green]holds[/]" if check.holds else "[bold red]FAILS[/]"
            rows.add_row(f"{value:.4g}", f"{check.residual:.1e}", f"{check.tolerance:.0e}", verdict)
    out = console()
    out.print(f"{claim.name}: {plain(claim.title)}\n")
    out.print(rows)
    return 0
