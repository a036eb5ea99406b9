"""The register of publications that linfa names: `data/references.bib`, and how the words of a source lead to it."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from linfa._check import nearest

_FILE = Path(__file__).with_name("data") / "references.bib"
_ENTRY = re.compile(r"@(?P<kind>\w+)\{(?P<key>\w+),\n(?P<fields>(?:  \w+ = \{.*\},\n)+)\}\n")
_FIELD = re.compile(r"  (\w+) = \{(.*)\},\n")

# Names as sources write them: "Saad & Solla 1995", "Meulemans et al. 2021, 2022", "Kolen and Pollack (1994)".
_NAME = r"(?:d['’])?[^\W\d_a-z][\w'’-]*"
_YEAR = r"(?:1[89]|20)\d\d"
_CITATION = re.compile(
    rf"(?P<names>{_NAME}(?:(?:, | & | and | ){_NAME})*)(?: et al\.)?,? \(?(?P<years>{_YEAR}(?:, {_YEAR})*)\b"
)


@dataclass(frozen=True)
class Reference:
    """One publication.

    Attributes
    ----------
    key : str
        Surname of the first author and year, such as ``saxe2013``.
    bibtex : str
        The entry for a file of references.
    fields : mapping
        The same by field: author, title, year, …; a field that linfa is not sure of is left out.
    """

    key: str
    bibtex: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)

    @property
    def authors(self) -> tuple[tuple[str, str], ...]:
        """Surname and first names of each author; no more than are known."""
        people = [person.partition(", ") for person in self.fields["author"].split(" and ") if person != "others"]
        return tuple((surname.strip("{}"), first) for surname, _, first in people)

    @property
    def complete(self) -> bool:
        """Whether title and all authors are known."""
        return "title" in self.fields and not self.fields["author"].endswith(" and others")

    @property
    def short(self) -> str:
        """As a text cites it.

        Examples
        --------
        >>> get("saxe2013").short
        'Saxe, McClelland & Ganguli 2013'
        """
        surnames = [surname for surname, _ in self.authors]
        if len(surnames) > 4 or self.fields["author"].endswith(" and others"):
            return f"{surnames[0]} et al. {self._year}".strip()
        return f"{_joined(surnames)} {self._year}".strip()

    @property
    def text(self) -> str:
        """As a list of references has it.

        Examples
        --------
        >>> get("kadmon2018").text
        'Jonathan Kadmon & Surya Ganguli (2018). Statistical mechanics of low-rank tensor decomposition. \
https://arxiv.org/abs/1810.10065'
        """
        whole = [f"{first} {surname}".strip() for surname, first in self.authors]
        people = f"{whole[0]} et al." if self.fields["author"].endswith(" and others") else _joined(whole)
        parts = [f"{people} ({self._year})" if self._year else people]
        parts += [self.fields[name] for name in ("title", "howpublished", "note") if name in self.fields]
        where = self.fields.get("journal", self.fields.get("booktitle", ""))
        pages = self.fields.get("pages", "").replace("--", "–")
        parts.append(", ".join(filter(None, [f"{where} {self.fields.get('volume', '')}".strip(), pages])))
        if "doi" in self.fields:
            parts.append(f"https://doi.org/{self.fields['doi']}")
        elif "eprint" in self.fields:
            parts.append(f"https://arxiv.org/abs/{self.fields['eprint']}")
        text = ". ".join(part.rstrip(".") for part in parts if part)
        # A full stop behind an address would become part of it.
        return text if "://" in parts[-1] else f"{text}."

    @property
    def _year(self) -> str:
        return self.fields.get("year", "")


def _joined(people: list[str]) -> str:
    return " & ".join(filter(None, [", ".join(people[:-1]), people[-1]]))


@cache
def _register() -> dict[str, Reference]:
    text = _FILE.read_text(encoding="utf-8")
    found = {
        match["key"]: Reference(match["key"], match.group(), dict(_FIELD.findall(match["fields"])))
        for match in _ENTRY.finditer(text)
    }
    left = [line for line in _ENTRY.sub("", text).splitlines() if line.strip() and not line.startswith("%")]
    if left or not found:
        raise ValueError(f"{_FILE.name} cannot be read from {(left or ['its start'])[0]!r} on")
    return found


def names() -> list[str]:
    """Keys of all publications; linfa itself comes first.

    Examples
    --------
    >>> names()[0]
    'linfa'
    """
    return list(_register())


def get(key: str) -> Reference:
    """The publication of this key.

    Raises
    ------
    TypeError, ValueError
        If `key` is no text, or there is no such publication; the message names the nearest.

    Examples
    --------
    >>> get("oja1989").fields["year"]
    '1989'
    """
    if not isinstance(key, str):
        raise TypeError(f"key is {key!r}; it must be the key of a publication, such as 'saxe2013'")
    if key not in _register():
        hint = nearest(key, _register()) or "; linfa cite --list names them"
        raise ValueError(f"reference {key!r} is unknown{hint}")
    return _register()[key]


def cited(text: str) -> list[str]:
    """Keys of the publications that a text names by surname and year, in its order.

    Parameters
    ----------
    text : str
        Such as the `source` of a derivation.

    Raises
    ------
    TypeError, ValueError
        If `text` is no text, or names a publication that is not in the register.

    Examples
    --------
    >>> cited("derived here; the flow is Lillicrap et al. 2016")
    ['lillicrap2016']
    """
    if not isinstance(text, str):
        raise TypeError(f"text is {text!r}; it must be text")
    keys = []
    for match in _CITATION.finditer(" ".join(text.split())):
        first = re.split(", | & | and ", match["names"])[0].split(" ")
        for year in match["years"].split(", "):
            # A word with a capital may stand before the surname: "In Saad & Solla 1995".
            tries = [_folded(" ".join(first[k:])) + year for k in range(len(first))]
            known = [key for key in tries if key in _register()]
            if not known:
                raise ValueError(f"{match['names']} {year} is cited, but not in the register of references")
            keys.append(known[0])
    return list(dict.fromkeys(keys))


def _folded(name: str) -> str:
    """A surname in the letters of a key: lower case, without accents, blanks and hyphens."""
    plain = unicodedata.normalize("NFKD", name.replace("ø", "o")).lower()
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())
