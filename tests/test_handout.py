"""`linfa derive` in its three forms: complete, well-formed, nothing lost."""

import re
from html.parser import HTMLParser

import pytest
import sympy

from linfa import derivations, handout
from linfa._words import html_words, latex_words
from linfa.cli import main

EVERY = derivations.names()


class Balanced(HTMLParser):
    """Raises where a tag closes that is not open; remembers what is left open."""

    void = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_page_holds_every_derivation_with_formulas_as_mathml():
    chosen = [derivations.get(name) for name in EVERY]
    page = handout.web_page(chosen)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    for found in chosen:
        assert f'id="{found.name}"' in page
        assert f'href="#{found.name}"' in page
    formulas = sum(len(handout._shown(step)) for found in chosen for step in found.chain())
    assert page.count("<math") == formulas
    # What the converter does not know it leaves as text with a backslash.
    assert not re.findall(r"<m[iont][^>]*>\\\\", page)
    assert "http" not in page.replace("http://www.w3.org/1998/Math/MathML", "")


@pytest.mark.parametrize("name", EVERY)
def test_latex_is_balanced_and_keeps_every_character(name):
    text = handout.latex([derivations.get(name)])
    for opening, closing in (("{", "}"),):
        plain = text.replace("\\" + opening, "").replace("\\" + closing, "")
        assert plain.count(opening) == plain.count(closing)
    assert text.count(r"\begin{") == text.count(r"\end{")
    # LaTeX stops at a second superscript on a primed symbol.
    assert not re.search(r"'(_\{[^{}]*\})?\^", text)
    # Formulas and prose are ASCII or letters that Latin fonts have: nothing that LaTeX would drop.
    assert {c for c in text if ord(c) > 0x17F} == set()


@pytest.mark.parametrize("name", EVERY)
def test_terminal_text_names_steps_and_claims(name):
    found = derivations.get(name)
    text = handout.terminal(found, width=100)
    assert text.startswith(found.name)
    for number, step in enumerate(found.chain(), 1):
        assert f"{number}. [{'given' if step.given else 'proved'}]" in text
    assert all(claim in text for claim in found.claims)


def test_words_raise_and_lower():
    assert html_words("a^{2^{l−1}} < W_1") == "a<sup>2<sup>l−1</sup></sup> &lt; W<sub>1</sub>"
    assert latex_words("50 % of W_1") == r"50 \% of W\textsubscript{1}"


def test_signs_of_matrix_sums_merge():
    a, b = sympy.MatrixSymbol("A", 2, 2), sympy.MatrixSymbol("B", 2, 2)
    assert "+ -" not in handout._latex(a * b - b * a - a)


def test_command_line(tmp_path, capsys):
    assert main(["derive", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EVERY)
    assert main(["derive", "fa-modes"]) == 0
    out = tmp_path / "page.html"
    assert main(["derive", "fa-half-time", "--html", str(out)]) == 0
    assert "holds" in out.read_text()
    capsys.readouterr()
    assert main(["derive", "fa-half-time", "--latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")
    assert main(["derive", "fa-half-tme"]) == 2
    assert "fa-half-time" in capsys.readouterr().err
    assert main(["derive"]) == 2
    assert "no derivation is named" in capsys.readouterr().err
