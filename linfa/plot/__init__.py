"""Plots of one's own runs: linear ones with theory drawn over them, and the training of nonlinear networks.

The only room of linfa that imports Matplotlib. Figures are made without pyplot, so they need no display and leave no
global state behind.
"""

from linfa.plot.base import new_figure, place_labels, png_bytes, save_animation, save_figure, styled
from linfa.plot.histories import compare, training
from linfa.plot.runs import MOST_MODES, alignment, draw, effective_rank, loss, mode_strengths, overview

__all__ = [
    "MOST_MODES",
    "alignment",
    "compare",
    "draw",
    "effective_rank",
    "loss",
    "mode_strengths",
    "new_figure",
    "overview",
    "place_labels",
    "png_bytes",
    "save_animation",
    "save_figure",
    "styled",
    "training",
]
