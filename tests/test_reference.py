"""The reference: the page of names is what the docstrings say, and pdoc's pages keep the formulas."""

import importlib.util
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import linfa

SCRIPT = Path(__file__).parents[1] / "docs" / "reference.py"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_docstrings_say(reference):
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run: python docs/reference.py"


@pytest.mark.parametrize(
    "package",
    [
        "linfa",
        "linfa.claims",
        "linfa.derivations",
        "linfa.figures",
        "linfa.neighbours.balanced",
        "linfa.neighbours.control",
        "linfa.neighbours.teacher_student",
        "linfa.neighbours.tensor",
        "linfa.nn",
        "linfa.nn.data",
        "linfa.plot",
        "linfa.theory",
    ],
)
def test_page_names_everything_public(reference, package):
    section = reference.PAGE.read_text(encoding="utf-8").split(f"## `{package}`\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert sorted(listed) == sorted(import_module(package).__all__)


def test_page_names_every_module_and_every_closed_form(reference):
    page = reference.PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:## |\| )`(linfa[\w.]*)`", page, re.M))
    assert named == set(reference.modules())
    for path in (path for path in named if path.startswith("linfa.theory.")):
        module = import_module(path)
        own = [n for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == path and n[0] != "_"]
        section = page.split(f"## `{path}`\n")[1].split("\n## ")[0]
        assert sorted(re.findall(r"^\| `([a-z]\w*)` \|", section, re.M)) == own


def test_descriptions_are_of_what_has_no_docstring(reference):
    for path in reference.DESCRIBED:
        home, _, name = path.rpartition(".")
        assert hasattr(import_module(home), name)


def test_a_name_without_docstring_is_refused(reference):
    with pytest.raises(ValueError, match=r"linfa\.nobody has no docstring; give it one, or an entry in DESCRIBED"):
        reference.sentence(lambda: None, "linfa.nobody")


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("One thing. And another.\n\nMore.", "One thing."),
        ("After Saxe et al. 2013\nin two lines.", "After Saxe et al. 2013 in two lines."),
        ("Two sides: W' = E. Σ is next.", "Two sides: W' = E."),
    ],
)
def test_first_sentence(reference, docstring, sentence):
    def described():
        pass

    described.__doc__ = docstring
    assert reference.sentence(described, "described") == sentence


def test_words_survive_markdown_and_html(reference):
    text = "a* of <A, B> and |w|² in W_1, `x*y|z`"
    assert reference._escaped(text) == r"a\* of &lt;A, B> and \|w\|² in W_1, `x*y\|z`"
    assert reference._web("u_k^{2} < 1, `a<b`") == "u<sub>k</sub><sup>2</sup> &lt; 1, <code>a&lt;b</code>"


@pytest.mark.slow
def test_pages_of_everything(reference, tmp_path, monkeypatch):
    pdoc = pytest.importorskip("pdoc", reason="pdoc comes with the extra linfa[docs]")
    monkeypatch.setitem(pdoc.render.env.filters, "to_markdown", pdoc.render.env.filters["to_markdown"])
    monkeypatch.setattr(sys, "argv", ["reference.py", "--html", str(tmp_path)])
    reference.main()
    index = (tmp_path / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) > 300
    for link in links:
        page, _, anchor = link.partition("#")
        text = (tmp_path / page).read_text()
        assert not anchor or f'id="{anchor}"' in text, link
    metrics = (tmp_path / "linfa" / "metrics.html").read_text()
    assert "Signed cosine &lt;A, B>/(‖A‖‖B‖)" in metrics
    assert '<h6 id="raises">Raises</h6>' in metrics
    assert f"linfa {linfa.__version__}" in metrics
    for page in tmp_path.rglob("*.html"):
        for docstring in re.findall(r'<div class="docstring">(.*?)</div>', page.read_text(), re.S):
            assert "&amp;lt;" not in docstring, page
