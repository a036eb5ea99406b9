"""`linfa derive`: derivations as text for the terminal, as LaTeX, and as one HTML page with native MathML."""

import base64
import html
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import sympy

from linfa import derivations
from linfa._words import html_words, latex_words
from linfa.claims import Check
from linfa.derivations import Derivation, Step

_PROVED = "proved"
_GIVEN = "given"


def _latex(expression: object) -> str:
    """LaTeX of one expression, with signs merged (SymPy writes a negative term of a matrix sum as ``+ -``)."""
    text = sympy.latex(expression, ln_notation=True)
    # A prime is a superscript: a power or transpose of a primed symbol needs braces around it.
    text = re.sub(r"(\{?[A-Za-z\\]+\}?'(?:_\{[^{}]*\})?)(?=\^)", r"{\1}", text)
    return re.sub(r"\+ -", "-", text)


def _shown(step: Step) -> tuple:
    return step.shows if isinstance(step.shows, tuple) else (step.shows,)


def _mark(step: Step) -> str:
    return _GIVEN if step.given else _PROVED


def terminal(found: Derivation, width: int | None = None) -> str:
    """The derivation as Unicode text, formulas as SymPy sets them in two dimensions."""
    width = width or shutil.get_terminal_size((100, 24)).columns
    lines = [f"{found.name}   ({found.entry})", found.title, "", *_wrap(found.introduction, width), ""]
    lines += ["assuming"] + [f"  - {a}" for a in found.assumptions] + [""]
    for number, step in enumerate(found.chain(), 1):
        lines += _wrap(f"{number}. [{_mark(step)}] {step.words}", width)
        lines.append("")
        for expression in _shown(step):
            block = sympy.pretty(expression, use_unicode=True, wrap_line=False)
            lines += ["      " + row for row in block.splitlines()]
            lines.append("")
    lines.append(f"source: {found.source}")
    if found.claims:
        lines.append(f"check it: linfa verify {' '.join(found.claims)}")
    return "\n".join(line.rstrip() for line in lines)


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def latex(chosen: Iterable[Derivation]) -> str:
    """A LaTeX document that compiles as it stands, one section for each derivation."""
    body = []
    for found in chosen:
        body.append(rf"\section*{{{latex_words(found.title)}}}")
        body.append(rf"\texttt{{{latex_words(found.name)}}} ({latex_words(found.entry)})" + "\n")
        body.append(latex_words(found.introduction) + "\n")
        body.append(r"\paragraph{Assuming}\begin{itemize}")
        body += [rf"\item {latex_words(a)}" for a in found.assumptions]
        body.append(r"\end{itemize}" + "\n" + r"\begin{enumerate}")
        for step in found.chain():
            body.append(rf"\item \textit{{[{_mark(step)}]}} {latex_words(step.words)}")
            body += [rf"\begin{{dmath*}}{_latex(expression)}\end{{dmath*}}" for expression in _shown(step)]
        body.append(r"\end{enumerate}" + "\n" + rf"\textit{{Source: {latex_words(found.source)}}}" + "\n")
    head = [
        r"\documentclass[11pt]{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[margin=25mm]{geometry}",
        r"\usepackage{amsmath,amssymb}",
        # Long formulas break by themselves.
        r"\usepackage{breqn}",
        r"\begin{document}",
    ]
    return "\n".join([*head, *body, r"\end{document}", ""])


_STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.55 Georgia, 'DejaVu Serif', serif; max-width: 46rem; margin: 2rem auto; padding: 0 1.2rem; }
h1, h2 { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; line-height: 1.25; }
h2 { margin-top: 3.2rem; border-top: 2px solid #0072b2; padding-top: .8rem; font-size: 1.25rem; }
nav li, .meta, figcaption { font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; font-size: .85rem; }
.meta { color: #666; }
ol.steps > li { margin: 1.1rem 0; }
.tag { font: .75rem 'DejaVu Sans', sans-serif; border: 1px solid; border-radius: .6rem; padding: 0 .5rem; }
.proved { color: #009e73; } .given { color: #777; } .fails { color: #d55e00; }
.formula { overflow: auto hidden; padding: .25rem 0 .25rem 1rem; }
math { font-size: 1.08em; }
table { border-collapse: collapse; font: .85rem 'DejaVu Sans', sans-serif; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
svg, img { max-width: 100%; height: auto; }
"""


def web_page(
    chosen: list[Derivation], checks: dict[str, Check] | None = None, picture: Callable[[Derivation], str] | None = None
) -> str:
    """One self-contained HTML page: contents, then every derivation with its assumptions and the verdict of its claims.

    Parameters
    ----------
    chosen : list of Derivation
    checks : dict of Check, optional
        Outcomes of claims by name.
    picture : callable, optional
        Gives the markup of a figure for a derivation, or an empty text.
    """
    checks = checks or {}
    title = chosen[0].title if len(chosen) == 1 else "Learning under low-dimensional error feedback: derivations"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
    ]
    if len(chosen) > 1:
        parts.append(f"<h1>{html.escape(title)}</h1>")
        parts.append(
            "<p>Every step marked <span class='tag proved'>proved</span> was checked by a computer algebra system, for "
            "matrices of any size where matrices appear; every result was compared with simulation.</p>"
        )
        parts.append("<nav><ol>")
        parts += [f'<li><a href="#{d.name}">{html_words(d.title)}</a></li>' for d in chosen]
        parts.append("</ol></nav>")
    for found in chosen:
        parts += _section(found, checks, picture)
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _section(found: Derivation, checks: dict[str, Check], picture: Callable[[Derivation], str] | None) -> list[str]:
    parts = [f'<h2 id="{found.name}">{html_words(found.title)}</h2>']
    parts.append(f'<p class="meta"><code>{found.name}</code> · {html_words(found.entry)}</p>')
    parts.append(f"<p>{html_words(found.introduction)}</p>")
    parts.append("<p>Assuming</p><ul>")
    parts += [f"<li>{html_words(a)}</li>" for a in found.assumptions]
    parts.append('</ul><ol class="steps">')
    for step in found.chain():
        mark = _mark(step)
        parts.append(f"<li>{html_words(step.words)} <span class='tag {mark}'>{mark}</span>")
        parts += [f'<div class="formula">{_mathml(expression)}</div>' for expression in _shown(step)]
        parts.append("</li>")
    parts.append("</ol>")
    known = [checks[name] for name in found.claims if name in checks]
    if known:
        parts.append("<table><tr><th>claim</th><th>residual</th><th>tolerance</th><th>verdict</th></tr>")
        for c in known:
            verdict = '<span class="proved">holds</span>' if c.holds else '<span class="fails">fails</span>'
            parts.append(
                f"<tr><td>{html_words(c.title)}</td><td>{c.residual:.1e}</td><td>{c.tolerance:.0e}</td>"
                f"<td>{verdict}</td></tr>"
            )
        parts.append("</table>")
    if picture is not None:
        parts.append(picture(found))
    parts.append(f'<p class="meta">Source: {html_words(found.source)}</p>')
    return parts


def _mathml(expression: object) -> str:
    from latex2mathml.converter import convert

    return convert(_latex(expression), display="block")


def derive(
    names: list[str],
    *,
    everything: bool = False,
    list_only: bool = False,
    as_latex: bool = False,
    page: str | None = None,
) -> int:
    """Print derivations, or write them to a page; the exit status is 1 where a step does not hold.

    Parameters
    ----------
    names : list of str
        Derivations, or claims whose derivation is wanted.
    everything, list_only, as_latex : bool
        All of them; their names alone; LaTeX instead of text.
    page : str, optional
        HTML instead of text: a file, or ``"-"`` for standard output.

    Raises
    ------
    ValueError
        If a name is unknown, or none is given.
    """
    if list_only:
        _list()
        return 0
    if not names and not everything:
        raise ValueError("no derivation is named; name one, or --all; --list names them")
    chosen = [derivations.get(name) for name in (derivations.names() if everything else names)]
    unproved = [(d.name, step.words) for d in chosen for step in d.failures()]
    if page is not None:
        _write(web_page(chosen, _checks(chosen), _pictures()), page)
    elif as_latex:
        print(latex(chosen))
    else:
        print("\n\n\n".join(terminal(d) for d in chosen))
    for name, words in unproved:
        print(f"NOT PROVED in {name}: {words}", file=sys.stderr)
    return 1 if unproved else 0


def _pictures() -> Callable[[Derivation], str]:
    """Markup of the figure that draws a derivation's claims, each figure once on a page; empty where there is none."""
    from linfa import figures
    from linfa.plot import png_bytes

    shown: set[str] = set()

    def picture(found: Derivation) -> str:
        for name in figures.names():
            spec = figures.get(name)
            if name not in shown and set(spec.claims) & set(found.claims):
                shown.add(name)
                encoded = base64.b64encode(png_bytes(spec.make())).decode()
                title = html_words(spec.title)
                return (
                    f'<figure><img alt="{html.escape(spec.title)}" src="data:image/png;base64,{encoded}">'
                    f"<figcaption><b>{title}.</b> {html_words(spec.words)}</figcaption></figure>"
                )
        return ""

    return picture


def _checks(chosen: list[Derivation]) -> dict[str, Check]:
    """Outcomes of the claims behind the derivations, at small size."""
    from linfa.checking import check_all

    wanted = dict.fromkeys(name for d in chosen for name in d.claims)
    return {check.name: check for check in check_all(list(wanted), quick=True)}


def _write(text: str, page: str) -> None:
    if page == "-":
        print(text)
        return
    path = Path(page)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    print(f"written to {path}")


def _list() -> None:
    from linfa.terminal import console, table

    rows = table("derivation", "entry", "what it shows")
    for name in derivations.names():
        found = derivations.get(name)
        rows.add_row(name, found.entry, found.title)
    console().print(rows)
