"""What every figure needs: linfa's style, an empty figure without pyplot, labels, and files that appear whole."""

import os
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def styled(make: Callable[[], Figure]) -> Figure:
    """Run `make` under linfa's style sheet."""
    with as_file(files("linfa") / "linfa.mplstyle") as sheet, matplotlib.rc_context(fname=sheet):
        return make()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches, without pyplot."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def place_labels(axes: Axes, heights: np.ndarray, labels: list[str]) -> None:
    """Direct labels at the right edge of `axes`, each in the colour C0, C1, … of its curve and level with its end."""
    for k, (height, label) in enumerate(zip(heights, labels, strict=True)):
        axes.annotate(
            label,
            (1.0, float(height)),
            (-4, 4),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=f"C{k}",
        )


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, PDF or SVG, by the ending of `path`; the file appears whole or not at all.

    Raises
    ------
    ValueError
        If the ending is another.
    """
    path = Path(path)
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"path ends with {path.suffix!r}; a figure is written as .png, .pdf or .svg")
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with as_file(files("linfa") / "linfa.mplstyle") as sheet, matplotlib.rc_context(fname=sheet):
            figure.savefig(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def png_bytes(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as a PNG in memory, for pages that carry their pictures with them."""
    from io import BytesIO

    buffer = BytesIO()
    with as_file(files("linfa") / "linfa.mplstyle") as sheet, matplotlib.rc_context(fname=sheet):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_animation(make: Callable[[], object], path: str | Path) -> Path:
    """Write an animation as GIF or, where ffmpeg is installed, as MP4; the file appears whole or not at all.

    Parameters
    ----------
    make : callable
        Returns the `matplotlib.animation.Animation`; called under linfa's style sheet.
    path : path ending with .gif or .mp4

    Raises
    ------
    ValueError
        If the ending is another.
    RuntimeError
        If an MP4 is asked for and ffmpeg is not installed.
    """
    from matplotlib.animation import FFMpegWriter, PillowWriter

    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"path ends with {path.suffix!r}; an animation is written as .gif or .mp4")
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise RuntimeError("an .mp4 needs the program ffmpeg, which is not installed; write a .gif, or install it")
    writer = PillowWriter(fps=15) if path.suffix == ".gif" else FFMpegWriter(fps=30)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with as_file(files("linfa") / "linfa.mplstyle") as sheet, matplotlib.rc_context(fname=sheet):
            make().save(beside, writer=writer, dpi=100)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def colours(count: int) -> list[str]:
    """As many colours as asked for, in the order of the style sheet."""
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return [cycle[k % len(cycle)] for k in range(count)]
