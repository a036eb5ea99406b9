"""Writes the reference from docstrings: the page `api.md` beside this file, and HTML pages by pdoc.

python docs/reference.py                # api.md: what is where, one line each
python docs/reference.py --html DIR     # everything about everything; needs the extra linfa[docs]
"""

import argparse
import inspect
import pkgutil
import re
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType

import linfa
from linfa._words import html_words

PAGE = Path(__file__).with_name("api.md")
# Modules whose names are for users, in the order of the page; a package of modules stands for them.
PUBLIC = (
    "linfa",
    "linfa.presets",
    "linfa.metrics",
    "linfa.theory",
    "linfa.theory.*",
    "linfa.plot",
    "linfa.claims",
    "linfa.derivations",
    "linfa.figures",
    "linfa.nn",
    "linfa.nn.data",
    "linfa.neighbours.balanced",
    "linfa.neighbours.control",
    "linfa.neighbours.teacher_student",
    "linfa.neighbours.tensor",
    "linfa.references",
    "linfa.bibliography",
)
# What has no docstring of its own.
DESCRIBED = {
    "linfa.claims.ACCURACIES": "Classes of accuracy that a claim may state.",
    "linfa.core": "Compiled kernels on bare arrays of float64: no objects, no plots.",
    "linfa.nn.MODELS": "Models by name, as `linfa train --model` takes them.",
    "linfa.nn.data.NAMES": "Names of the data sets that `load` knows.",
    "linfa.plot.MOST_MODES": "How many modes a plot shows before it leaves out the weakest.",
}
_HEAD = """\
# What is where

Every public name, with the first sentence of what `help(...)` says of it; where names of a package live in modules of
their own, the last column has the module. Arguments, shapes, errors and examples are in the docstrings, and in the HTML
pages that `pip install '.[docs]' && python docs/reference.py --html reference` writes into the folder `reference`. This
page is written by `python docs/reference.py`.
"""
_TWO_COLUMNS = ["| name | what it is |", "|---|---|"]
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 'DejaVu Sans', Helvetica, Arial, sans-serif; max-width: 68rem; margin: 2rem auto; }
table { border-collapse: collapse; } td, th { padding: .15rem 1.2rem .15rem 0; text-align: left; vertical-align: top; }
h2 { margin-top: 2.5rem; border-top: 2px solid #0072b2; padding-top: .8rem; font-size: 1.1rem; }
"""


def modules() -> list[str]:
    """Every module of linfa but the private ones."""
    found: set[str] = set()
    # An editable install keeps the last two beside the package, where a walk through it does not come by.
    for package in ("linfa", "linfa.derivations", "linfa.figures"):
        path = import_module(package).__path__
        found |= {package, *(module.name for module in pkgutil.walk_packages(path, f"{package}."))}
    return sorted(name for name in found if not any(part.startswith("_") for part in name.split(".")))


def public() -> list[str]:
    """The modules whose names are for users."""
    found: dict[str, None] = {}
    for name in PUBLIC:
        package = name.removesuffix(".*")
        below = [module for module in modules() if module.rpartition(".")[0] == package]
        found |= dict.fromkeys(below if name.endswith(".*") else [name])
    return list(found)


def names(module: ModuleType) -> list[str]:
    """Public names of a module: `__all__`, or the functions and classes that it defines, as they stand in it."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


def sentence(value: object, path: str) -> str:
    """The first sentence of what a name says of itself."""
    # A constant would hand out the docstring of its type.
    documented = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    text = (inspect.getdoc(value) if documented else None) or DESCRIBED.get(path)
    if not text:
        raise ValueError(f"{path} has no docstring; give it one, or an entry in DESCRIBED of {Path(__file__).name}")
    paragraph = " ".join(text.split("\n\n")[0].split())
    # A full stop ends it where a capital follows; "et al. 2016" does not.
    return re.split(r"(?<=\.) (?=[^\W\d_a-zα-ω])", paragraph)[0]


def rows(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """(name, what it is, module it lives in), by the module; what is the module's own comes last."""
    found = []
    for name in names(module):
        value = getattr(module, name)
        home = getattr(value, "__module__", None) or module.__name__
        where = home.removeprefix("linfa.") if home != module.__name__ and home.startswith("linfa.") else ""
        found.append((name, sentence(value, f"{module.__name__}.{name}"), where))
    return iter(sorted(found, key=lambda row: (not row[2], row[2])))


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for path in public():
        module = import_module(path)
        found = list(rows(module))
        if not found:
            continue
        parts.append(f"## `{path}`\n\n{_escaped(sentence(module, path))}\n")
        parts += ["| name | what it is | where |", "|---|---|---|"] if _scattered(found) else _TWO_COLUMNS
        for name, what, where in found:
            last = f" {f'`{where}`' if where else ''} |" if _scattered(found) else ""
            parts.append(f"| `{name}` | {_escaped(what)} |{last}")
        parts.append("")
    parts += ["## All other modules", "", *_TWO_COLUMNS]
    for path in modules():
        if path not in public():
            parts.append(f"| `{path}` | {_escaped(sentence(import_module(path), path))} |")
    return "\n".join(parts) + "\n"


def _scattered(found: list[tuple[str, str, str]]) -> bool:
    """Whether some of the names live in modules of their own."""
    return any(where for *_, where in found)


def _escaped(text: str) -> str:
    """Words whose bars and brackets Markdown would take for its own; what stands in backquotes is left alone."""
    return _plain(text).replace("|", r"\|")


def _plain(text: str) -> str:
    parts = re.split(r"(`+[^`]*`+)", text)
    parts[::2] = [part.replace("<", "&lt;").replace("*", r"\*") for part in parts[::2]]
    return "".join(parts)


def html(folder: Path) -> None:
    """Pages of all public modules by pdoc, and an index of them, into a folder."""
    import pdoc
    from jinja2 import pass_context
    from pdoc.render_helpers import to_markdown_with_context

    @pass_context
    def formulas_kept(context: object, docstring: str) -> str:
        # Inner products <A, B> would be lost as tags. Doctests and what is set off by blanks are code, and stay.
        blocks = docstring.split("\n\n")
        return to_markdown_with_context(
            context, "\n\n".join(b if b.startswith((">>>", "    ")) else _plain(b) for b in blocks)
        )

    pdoc.render.env.filters["to_markdown"] = formulas_kept
    pdoc.render.configure(docformat="numpy", footer_text=f"linfa {linfa.__version__}")
    reached = set(pdoc.extract.walk_specs(["linfa"]))
    pdoc.pdoc("linfa", *(path for path in public() if path not in reached), output_directory=folder)
    folder.joinpath("index.html").write_text(index(), encoding="utf-8")


def index() -> str:
    """The page as HTML, every name a link to its own."""
    parts = ['<!doctype html><html lang="en"><head><meta charset="utf-8"><title>linfa: what is where</title>']
    parts.append(f"<style>{_STYLE}</style></head><body><h1>What is where</h1>")
    for path in public():
        module = import_module(path)
        found = list(rows(module))
        if not found:
            continue
        parts.append(f'<h2><a href="{_address(path)}"><code>{path}</code></a></h2>')
        parts.append(f"<p>{_web(sentence(module, path))}</p><table>")
        for name, what, _ in found:
            link = f'<a href="{_address(path, name)}"><code>{name}</code></a>'
            parts.append(f"<tr><td>{link}</td><td>{_web(what)}</td></tr>")
        parts.append("</table>")
    return "\n".join([*parts, "</body></html>", ""])


def _web(text: str) -> str:
    """Words for HTML: formulas with raised and lowered parts, code where backquotes are."""
    parts = re.split(r"`+([^`]*)`+", text)
    parts[::2] = [html_words(part) for part in parts[::2]]
    parts[1::2] = [f"<code>{escape(part)}</code>" for part in parts[1::2]]
    return "".join(parts)


def _address(path: str, name: str = "") -> str:
    value = getattr(import_module(path), name) if name else None
    if inspect.ismodule(value):
        path, name = value.__name__, ""
    return path.replace(".", "/") + ".html" + (f"#{name}" if name else "")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--html", type=Path, metavar="DIR", help="pages of everything, into this folder")
    folder = parser.parse_args().html
    if folder is None:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"written to {PAGE}")
    else:
        html(folder)
        print(f"written to {folder / 'index.html'}")


if __name__ == "__main__":
    main()
