"""`linfa cite`: whose result a claim, a derivation, a figure or a rule of feedback is."""

import re
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from linfa import references
from linfa._check import nearest
from linfa.presets import NETWORK_PRESETS

# Sources of the claims that no derivation stands behind, in the words of a derivation's source.
_CLAIMS = {
    "backprop-rank-staircase": "Saxe et al. 2013; Gidel, Bach & Lacoste-Julien 2019; Li, Luo & Lyu 2021",
    "classification-alignment": "Ji & Telgarsky 2019",
    "classification-max-margin": "Ji & Telgarsky 2019",
    "fa-wide-feedback": "derived here",
    "low-rank-generic-start": "derived here",
    "low-rank-limit-correlated": "derived here",
    "sketch-best": "Eckart & Young 1936; that learning gets there is derived here",
    "sketch-bounds": "Eckart & Young 1936; Halko, Martinsson & Tropp 2011",
    "normative-beyond-rank": "derived here; rule of Hanut & Kadmon 2025",
    "redrawn-subspace": "derived here",
    "published-loop": "Hanut & Kadmon 2025; what it descends is derived here",
    "published-fixed": "experiment of Hanut & Kadmon 2025; its prediction is derived here",
    "published-table": "experiment of Hanut & Kadmon 2025; its prediction is derived here",
    "published-samples": "Hanut & Kadmon 2025",
    "wide-limit-lazy": "Bordelon & Pehlevan 2022",
    "teacher-degenerate-solutions": "Refinetti, d'Ascoli, Ohana & Goldt 2021",
    "teacher-backprop-degeneracy": "Refinetti, d'Ascoli, Ohana & Goldt 2021",
    "teacher-weak-alignment": "Refinetti, d'Ascoli, Ohana & Goldt 2021",
    "balanced-readout": "Kadmon, Timcheck & Ganguli 2020",
    "balanced-gaussian-weights": "Kadmon, Timcheck & Ganguli 2020",
    "balanced-limit-cycle": "derived here for the network of Kadmon, Timcheck & Ganguli 2020",
    "balanced-disorder-noise": "Kadmon, Timcheck & Ganguli 2020; Schuecker, Goedeke & Helias 2018",
    "balanced-product": "derived here",
    "balanced-chaos-delay": "Kadmon, Timcheck & Ganguli 2020; Sompolinsky, Crisanti & Sommers 1988",
    "tensor-amp-trajectory": "Kadmon & Ganguli 2018",
    "tensor-amp-shapes": "Kadmon & Ganguli 2018",
    "control-weak-nudge": "Meulemans et al. 2021; the exponent is derived here",
}
# Figures that no claim stands behind, or that follow a published one.
_FIGURES = {
    "published-experiment": "experiment of Hanut & Kadmon 2025",
    "align-then-memorise": "Refinetti, d'Ascoli, Ohana & Goldt 2021",
    "accuracy-rank": "experiment of Hanut & Kadmon 2025",
    "one-layer": "experiment of Hanut & Kadmon 2025",
    "alignment-training": "measured here, under the rules of Lillicrap et al. 2016 and Hanut & Kadmon 2025",
    "digits": "data of Alpaydin & Kaynak 1998",
    "rank-collapse": "experiment of Boeshertz, Pascanu & Clopath 2026; Jordan et al. 2024 for Muon; "
    "Roy & Vetterli 2007 for the effective rank",
    "rank-depth": "measured here, after Boeshertz, Pascanu & Clopath 2026; Roy & Vetterli 2007 for the effective rank",
    "muon-normalisation": "experiment of Boeshertz, Pascanu & Clopath 2026; Jordan et al. 2024 for Muon",
    "receptive-fields": "experiment of Hanut & Kadmon 2025, after Lindsey et al. 2019",
    "operations": "counted here, for the rules of Hanut & Kadmon 2025",
}
_SIGNS = "Liao et al. 2016; Moskovitz et al. 2018"
_RULES = {
    "backprop": "its course in linear networks is Saxe, McClelland & Ganguli 2013",
    "fa": "Lillicrap et al. 2016",
    "dfa": "Nøkland 2016",
    "sdfa": "Nøkland 2016 for direct feedback; here it carries signs",
    "drtp": "Frenkel et al. 2021",
    "fixed": "Hanut & Kadmon 2025",
    "kolen-pollack": "Kolen & Pollack 1994; Akrout et al. 2019; of low rank Hanut & Kadmon 2025",
    "raf": "Hanut & Kadmon 2025; of Q Kolen & Pollack 1994; of P Oja 1989",
    "draf": "Hanut & Kadmon 2025; of Q Kolen & Pollack 1994; of P Oja 1989",
    "normative": "Hanut & Kadmon 2025",
    "local": "Hanut & Kadmon 2025",
    "mirror": "Akrout et al. 2019",
    "usf": _SIGNS,
    "frsf": _SIGNS,
    "brsf": _SIGNS,
}
# What marks a result, or a part of it, that linfa itself is to be cited for.
_OWN = re.compile(r"\b(derived|simplified|measured|counted) here\b|^(\S+: )?new\b")


@dataclass(frozen=True)
class Source:
    """Whose result something is.

    Attributes
    ----------
    name : str
    kinds : tuple of str
        What is called so: claim, derivation, figure, rule of feedback, reference.
    words : tuple of str
        The sources as they are stated, one for each result behind the name; a figure's name the claim.
    keys : tuple of str
        The publications, as `linfa.references.get` takes them; linfa's own where the result was derived here.
    """

    name: str
    kinds: tuple[str, ...]
    words: tuple[str, ...]
    keys: tuple[str, ...]


@cache
def _behind_claims() -> dict[str, tuple[str, ...]]:
    """Stated sources of the claims that a derivation stands behind."""
    from linfa import derivations

    found: dict[str, list[str]] = {}
    for derivation in map(derivations.get, derivations.names()):
        for claim in derivation.claims:
            found.setdefault(claim, []).append(derivation.source)
    return {claim: tuple(words) for claim, words in found.items()}


def _claim(name: str) -> tuple[str, ...]:
    return _behind_claims().get(name, ()) + ((_CLAIMS[name],) if name in _CLAIMS else ())


def _figure(name: str) -> tuple[str, ...]:
    from linfa import figures

    own = (_FIGURES[name],) if name in _FIGURES else ()
    return own + tuple(f"{claim}: {word}" for claim in figures.get(name).claims for word in _claim(claim))


def names() -> dict[str, list[str]]:
    """What can be cited: names by kind.

    Examples
    --------
    >>> "raf" in names()["rule of feedback"]
    True
    """
    from linfa import claims, derivations, figures

    return {
        "claim": claims.names(),
        "derivation": derivations.names(),
        "figure": figures.names(),
        "rule of feedback": list(NETWORK_PRESETS),
        "reference": references.names(),
    }


def _kinds(name: str) -> tuple[str, ...]:
    return tuple(kind for kind, called in names().items() if name in called)


def _stated(name: str) -> tuple[str, ...]:
    """The words of every source behind a name, each once."""
    from linfa import derivations

    stated = {
        "claim": _claim,
        "derivation": lambda found: (derivations.get(found).source,),
        "figure": _figure,
        "rule of feedback": lambda found: (_RULES[found],),
        "reference": lambda _: (),
    }
    return tuple(dict.fromkeys(word for kind in _kinds(name) for word in stated[kind](name)))


def source(name: str) -> Source:
    """The source of whatever is called so; of all of them, where a name has several meanings.

    Parameters
    ----------
    name : str
        A claim, a derivation, a figure, a rule of feedback by its short name, or the key of a reference.

    Raises
    ------
    TypeError, ValueError
        If `name` is no text, nothing is called so (the message names the nearest), or it is a claim of the user's own
        that names no source.

    Examples
    --------
    >>> source("mirror").keys
    ('akrout2019',)
    """
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}; it must be text")
    kinds = _kinds(name)
    if not kinds:
        hint = nearest(name, (called for some in names().values() for called in some))
        raise ValueError(
            f"{name!r} is no claim, derivation, figure, rule of feedback or reference"
            f"{hint or '; --list of verify, derive, figure and cite names them'}"
        )
    words = _stated(name)
    keys = [name] if "reference" in kinds else []
    if not words and not keys:
        raise ValueError(f"claim {name!r} names no source")
    return Source(name, kinds, words, tuple(dict.fromkeys(keys + [key for word in words for key in _keys(word)])))


def _keys(words: str) -> list[str]:
    """Publications that a stated source names; linfa where it says so, or names nobody else."""
    found = references.cited(words)
    return found if found and not _OWN.search(words) else [*found, "linfa"]


def results(key: str) -> list[str]:
    """Names of all claims, derivations, figures and rules whose source is the publication of this key.

    Examples
    --------
    >>> results("robertson2024")
    ['relu-neuron-balance', 'fa-neuron-conservation']
    """
    references.get(key)
    return [name for name in _sourced() if key in source(name).keys]


def _sourced() -> list[str]:
    """Everything that states a source, each name once; a user's own claims do not."""
    called = dict.fromkeys(name for kind, some in names().items() if kind != "reference" for name in some)
    return [name for name in called if _stated(name)]


def cite(chosen: list[str], *, bibtex: bool = False, list_only: bool = False) -> int:
    """Print sources and the publications they name; linfa's own entry when no name is given.

    Parameters
    ----------
    chosen : list of str
        Names, as `source` takes them.
    bibtex : bool
        Entries for a file of references, and nothing else.
    list_only : bool
        All publications, whatever they are cited for.

    Raises
    ------
    ValueError
        If a name is unknown, or names come with `list_only`.
    """
    if list_only:
        if chosen:
            raise ValueError(f"--list takes no names; {chosen[0]!r} is given")
        return _print_bibtex(references.names()) if bibtex else _print_list()
    found = [source(name) for name in dict.fromkeys(chosen)] or [Source("linfa", (), (), ("linfa",))]
    # linfa last: it carries the result, others may have found it.
    keys = sorted(dict.fromkeys(key for one in found for key in one.keys), key=lambda key: key == "linfa")
    if bibtex:
        return _print_bibtex(keys)
    for one in found:
        words = one.words
        if not words and one.name != "linfa":
            words = [f"cited for {', '.join(results(one.name)) or 'a method, in a docstring'}"]
        if words:
            print(f"{one.name}  ({', '.join(one.kinds)})")
            print("\n".join(_wrapped(word, "  ", "  ") for word in words), end="\n\n")
    print("\n".join(_wrapped(f"[{key}] {references.get(key).text}", "  ") for key in keys))
    if not chosen:
        print("\nthe papers whose theory you use: linfa cite NAME, of a claim, derivation, figure or rule of feedback")
    if not all(references.get(key).complete for key in keys):
        print("\nwhat linfa is not sure of is left out: look up titles and authors before you print them")
    return 0


def _print_bibtex(keys: Iterable[str]) -> int:
    entries = [references.get(key) for key in keys]
    print("\n".join(entry.bibtex for entry in entries), end="")
    lacking = [entry.key for entry in entries if not entry.complete]
    if lacking:
        # Beside the entries, not among them: they may go to a file.
        print(f"without title or all authors: {', '.join(lacking)}", file=sys.stderr)
    return 0


def _print_list() -> int:
    from linfa.terminal import console, plain, table

    counts = Counter(key for name in _sourced() for key in source(name).keys)
    rows = table("reference", "results", "authors and year", right=("results",))
    for key in references.names():
        rows.add_row(key, str(counts[key] or "-"), plain(references.get(key).short))
    console().print(rows)
    return 0


def _wrapped(text: str, later: str, first: str = "") -> str:
    """Lines as wide as the terminal; addresses and hyphened names stay whole."""
    width = shutil.get_terminal_size((100, 24)).columns
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
