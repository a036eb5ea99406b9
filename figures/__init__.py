"""The theory at a glance, one module per figure: theory as lines, simulation as marks."""

from importlib import import_module

from linfa.figures.spec import FigureSpec

from linfa._check import nearest

__all__ = ["FigureSpec", "get", "names"]

# In the order in which a lecture would show them; the module of `a-b` is `a_b`.
_NAMES = (
    "backprop-modes",
    "staircase",
    "alignment-rank",
    "low-rank-recovery",
    "plateau-leak",
    "phase-portrait",
    "shrinkage",
    "lazy-rich",
    "learning-rate",
    "oja-freezing",
    "conserved",
    "direct-depth",
    "published-experiment",
    "digits",
    "vector-field",
    "learning-modes",
    "control-trajectory",
    "control-row-space",
    "control-updates",
    "align-then-memorise",
    "feedback-selects",
    "correlated-targets",
    "balanced-error",
    "balanced-delay",
    "balanced-chaos",
    "tensor-overlap",
    "tensor-phases",
    "accuracy-rank",
    "one-layer",
    "alignment-training",
    "rank-collapse",
    "rank-depth",
    "muon-normalisation",
    "receptive-fields",
    "operations",
)


def names() -> list[str]:
    """Names of all figures."""
    return list(_NAMES)


def get(name: str) -> FigureSpec:
    """The figure of this name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest.
    """
    if name not in _NAMES:
        raise ValueError(
            f"figure {name!r} is unknown{nearest(str(name), _NAMES) or '; linfa figure --list names them'}"
        )
    return import_module(f"linfa.figures.{name.replace('-', '_')}").FIGURE
