"""Sources: every claim, derivation, figure and rule leads to publications, and publications are in one register."""

import ast
import re
from pathlib import Path

import pytest

import linfa
from linfa import bibliography, claims, references
from linfa.cli import main

ROOT = Path(__file__).parents[1]
# Texts that cite: the source, its docstrings, and the pages for readers.
TEXTS = [
    *(path for folder in ("linfa", "derivations", "figures", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "README.md",
]


def strings(path):
    """The text of a page, or every string of a module."""
    text = path.read_text()
    if path.suffix != ".py":
        return [text]
    return [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@pytest.fixture(scope="module")
def everything():
    named = bibliography.names()
    built_in = {kind: names for kind, names in named.items() if kind != "reference"}
    return {name: bibliography.source(name) for names in built_in.values() for name in names}


def test_every_claim_derivation_figure_and_rule_has_a_source(everything):
    assert len(everything) > 200
    assert {kind for found in everything.values() for kind in found.kinds} == {
        "claim", "derivation", "figure", "rule of feedback",
    }  # fmt: skip
    lacking = [name for name, found in everything.items() if not found.words or not found.keys]
    assert lacking == []


def test_every_year_in_a_source_belongs_to_a_publication_found(everything):
    for found in everything.values():
        years = set(re.findall(r"\b(?:1[89]|20)\d\d\b", " ".join(found.words)))
        assert years == {references.get(key).fields["year"] for key in found.keys if key != "linfa"}, found


def test_surnames_in_sources_are_those_of_the_register(everything):
    citation = re.compile(r"((?:[^\W\d]['’]?[\w'’-]+(?: Arous)?(?:, | & ))+[\w'’-]+) ((?:1[89]|20)\d\d)")
    seen = 0
    for words in {word for found in everything.values() for word in found.words}:
        for people, year in citation.findall(words):
            surnames = re.split(", | & ", people.rpartition(" of ")[2])
            (key,) = references.cited(f"{people} {year}")
            assert surnames == [surname for surname, _ in references.get(key).authors], (words, key)
            seen += 1
    assert seen > 20


def test_tables_name_nothing_that_is_gone():
    named = bibliography.names()
    assert set(bibliography._CLAIMS) <= set(named["claim"])
    assert set(bibliography._FIGURES) <= set(named["figure"])
    assert set(bibliography._RULES) == set(named["rule of feedback"])
    # A derivation speaks for its claims; a second source beside it would contradict it one day.
    assert not set(bibliography._CLAIMS) & set(bibliography._behind_claims())


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_texts_cite_is_in_the_register(path):
    for text in strings(path):
        # Numbers of preprints look like years.
        references.cited(re.sub(r"arXiv \d{4}\.\d{5}", "", text))


def test_every_publication_of_the_register_is_cited_somewhere():
    text = " ".join(" ".join(string.split()) for path in TEXTS for string in strings(path))
    for key in references.names()[1:]:
        found = references.get(key)
        surname, _ = found.authors[0]
        assert re.search(rf"{re.escape(surname)}.{{0,80}}\b{found.fields['year']}\b", text), key


def test_register_agrees_with_the_citation_file():
    text = (ROOT / "CITATION.cff").read_text()
    listed = text.split("  - type: ")[1:]
    assert len(listed) > 10
    for entry in listed:
        surnames = re.findall(r"family-names: ([^,}]+)", entry)
        year = re.search(r"year: (\d+)", entry)[1]
        found = references.get(references.cited(f"{surnames[0]} {year}")[0])
        assert [surname for surname, _ in found.authors] == surnames
        title = re.search(r"title: \"?(.*?)\"?\n", entry)[1]
        assert found.fields.get("title", title) == title
        where = re.search(r"(?:arxiv.org/abs/|doi: )(\S+)", entry)[1]
        assert where in (found.fields.get("eprint"), found.fields.get("doi"))
    own = references.get("linfa").fields
    assert f"version: {linfa.__version__}\n" in text
    assert own["note"] == f"Version {linfa.__version__}"
    assert own["title"] == re.search(r'^title: "(.*)"$', text, re.M)[1]


def test_keys_are_surname_and_year():
    for key in references.names()[1:]:
        assert references.cited(references.get(key).short) == [key]


def test_entries_are_sound_bibtex():
    for key in references.names():
        found = references.get(key)
        assert found.bibtex.count("{") == found.bibtex.count("}")
        assert found.bibtex.startswith("@")
        assert "author" in found.fields
        assert key == "linfa" or found.fields["year"].isdigit()
        assert ("eprint" in found.fields) == ("archiveprefix" in found.fields)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Meulemans et al. 2021, 2022", ["meulemans2021", "meulemans2022"]),
        ("the law of Kolen and Pollack (1994) in descent", ["kolen1994"]),
        ("Baik, Ben Arous & Péché 2005; Küchler & Mensch 1992", ["baik2005", "kuchler1992"]),
        ("In Saad & Solla 1995, and Saad & Solla 1995", ["saad1995"]),
        ("derived here", []),
    ],
)
def test_citations_are_found_in_words(text, keys):
    assert references.cited(text) == keys


def test_an_unknown_citation_is_refused():
    # A known surname that is not the first one does not make it known.
    with pytest.raises(ValueError, match="Nobody & Saxe 2013 is cited, but not in the register"):
        references.cited("Nobody & Saxe 2013")
    with pytest.raises(ValueError, match=r"'oja1988' is unknown \(did you mean 'oja1989'\?\)"):
        references.get("oja1988")
    with pytest.raises(TypeError, match="key is 3"):
        references.get(3)
    with pytest.raises(TypeError, match="text is None"):
        references.cited(None)


def test_a_broken_file_is_refused(tmp_path, monkeypatch):
    broken = tmp_path / "references.bib"
    broken.write_text("@misc{oja1989,\n  author = {Oja},\n}\n\nyear = 1989\n")
    monkeypatch.setattr(references, "_FILE", broken)
    references._register.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"references\.bib cannot be read from 'year = 1989' on"):
            references.names()
    finally:
        references._register.cache_clear()


def test_own_and_published_parts_are_told_apart():
    assert bibliography.source("fa-modes").keys == ("linfa",)
    assert bibliography.source("backprop-logistic").keys == ("saxe2013",)
    # One that goes beyond a publication names both.
    assert set(bibliography.source("fa-zero-start").keys) == {"lillicrap2016", "linfa"}
    assert bibliography.source("raf").keys == ("hanut2025", "kolen1994", "oja1989")


def test_results_of_a_publication_are_those_that_name_it(everything):
    found = bibliography.results("ji2019")
    assert found == ["classification-alignment", "classification-max-margin"]
    assert [name for name, one in everything.items() if "ji2019" in one.keys] == found


def test_a_claim_of_the_users_own_names_no_source():
    claims.claim("my-own", title="mine", tolerance=1.0)(lambda: (1.0, 1.0))
    try:
        with pytest.raises(ValueError, match="claim 'my-own' names no source"):
            bibliography.source("my-own")
        assert "my-own" not in bibliography.results("linfa")
    finally:
        claims.forget("my-own")


def test_command_prints_words_and_publications(capsys):
    assert main(["cite", "fa-zero-start", "mirror"]) == 0
    out = capsys.readouterr().out
    assert "fa-zero-start  (derivation)" in out
    assert "Lillicrap et al. 2016 in part; the rest derived here" in out
    assert "mirror  (rule of feedback)" in out
    assert " ".join(out.split()).count(references.get("akrout2019").text) == 1
    assert "look up" not in out


def test_command_prints_entries_and_nothing_else(capsys):
    assert main(["cite", "raf", "fa", "--bibtex"]) == 0
    out, err = capsys.readouterr()
    keys = ["hanut2025", "kolen1994", "oja1989", "lillicrap2016"]
    assert out == "\n".join(references.get(key).bibtex for key in keys)
    assert err == "without title or all authors: hanut2025, kolen1994, oja1989\n"


def test_command_says_what_rests_on_a_publication(capsys):
    assert main(["cite", "ji2019"]) == 0
    out = capsys.readouterr().out
    assert "cited for classification-alignment, classification-max-margin" in out
    assert "look up titles" in out


def test_command_lists_every_publication(capsys):
    assert main(["cite", "--list"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == references.names()
    assert main(["cite", "--list", "--bibtex"]) == 0
    assert re.findall(r"^@\w+\{(\w+),", capsys.readouterr().out, re.M) == references.names()


def test_command_without_a_name_cites_linfa(capsys):
    assert main(["cite"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert references.get("linfa").text in out
    assert "linfa cite NAME" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["fa-mode"], "'fa-mode' is no claim, derivation, figure, rule of feedback or reference (did you mean 'fa-mo"),
        (["qqqqqqqq"], "--list of verify, derive, figure and cite names them"),
        (["--list", "raf"], "--list takes no names; 'raf' is given"),
    ],
)
def test_command_refuses(capsys, line, message):
    assert main(["cite", *line]) == 2
    assert message in capsys.readouterr().err
