"""`linfa figure`: one figure, all of them, or a page that shows them with their words."""

import html
from pathlib import Path

from linfa import figures
from linfa._words import html_words
from linfa.figures import FigureSpec
from linfa.plot import save_animation, save_figure
from linfa.terminal import progress

_MOVING = (".gif", ".mp4")


def figure(
    name: str | None,
    *,
    out: str | None = None,
    quick: bool = False,
    seed: int = 0,
    everything: str | None = None,
    page: str | None = None,
    list_only: bool = False,
) -> int:
    """Draw figures, or list them; returns the exit status.

    Parameters
    ----------
    name : str, optional
        The figure.
    out : str, optional
        File to write, .png, .pdf or .svg, for an animated figure also .gif or .mp4; by default NAME.png.
    quick : bool
        Small sizes.
    seed : int
    everything, page : str, optional
        Folder for all figures; for all figures and a page, ``index.html``, that shows them.
    list_only : bool
        Print names and titles.

    Raises
    ------
    ValueError, OSError
        If a name is unknown, nothing or too much is asked for, or a file cannot be written.
    """
    if list_only:
        width = max(map(len, figures.names()))
        for known in figures.names():
            print(f"{known:<{width}}  {figures.get(known).title}")
        return 0
    asked = [what for what in (name, everything, page) if what is not None]
    if len(asked) != 1:
        raise ValueError("name one figure, or --all DIR, or --gallery DIR; --list names the figures")
    if name is not None:
        spec = figures.get(name)
        path = Path(out or f"{name}.png")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path.parent} is no folder; --out must lie in an existing one")
        _draw(spec, path, quick, seed)
        print(f"written to {path}")
        return 0
    if out is not None:
        raise ValueError("--out is for one figure; --all and --gallery take a folder")
    folder = Path(everything or page)
    folder.mkdir(parents=True, exist_ok=True)
    with progress(len(figures.names())) as update:
        for k, known in enumerate(figures.names()):
            update(known, k)
            _draw(figures.get(known), folder / f"{known}.png", quick, seed)
    print(f"{len(figures.names())} figures written to {folder}")
    if page is not None:
        (folder / ".index.html.part").write_text(_gallery(), encoding="utf-8")
        (folder / ".index.html.part").replace(folder / "index.html")
        print(f"open {folder / 'index.html'}")
    return 0


def _draw(spec: FigureSpec, path: Path, quick: bool, seed: int) -> None:
    """Write one figure; its numbers are kept beside it, so that drawing again takes seconds."""
    cache = path.with_name(f"{path.stem}.numbers.npz")
    if path.suffix in _MOVING:
        if spec.animate is None:
            raise ValueError(f"figure {spec.name!r} does not move; write it as .png, .pdf or .svg")
        save_animation(lambda: spec.animate(spec.numbers(quick, seed, cache)), path)
        return
    save_figure(spec.make(quick, seed, cache), path)


_STYLE = """
:root { color-scheme: light dark; }
body { font: 17px/1.5 'DejaVu Sans', Helvetica, Arial, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
figure { margin: 3rem 0; } img { max-width: 100%; height: auto; background: white; }
figcaption { max-width: 46rem; } h2 { font-size: 1.15rem; margin: .6rem 0; }
code { background: #8882; padding: .1rem .3rem; border-radius: .2rem; }
p.small { font-size: .85rem; color: #777; }
"""


def _gallery() -> str:
    """The page: each picture with its words, its claims and the command that makes it."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>linfa: figures</title>',
        f"<style>{_STYLE}</style></head><body><h1>Learning under low-dimensional error feedback</h1>",
        "<p>Where there is theory, lines are theory and marks are simulation.</p>",
    ]
    for name in figures.names():
        spec = figures.get(name)
        claims = " ".join(f"<code>{html.escape(c)}</code>" for c in spec.claims)
        said = f"claims: {claims}<br>" if claims else ""
        parts += [
            f'<figure id="{name}"><img src="{name}.png" alt="{html.escape(spec.title)}">',
            f"<figcaption><h2>{html_words(spec.title)}</h2><p>{html_words(spec.words)}</p>",
            f'<p class="small">{said}<code>linfa figure {name}</code></p></figcaption></figure>',
        ]
    return "\n".join([*parts, "</body></html>\n"])
