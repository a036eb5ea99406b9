"""Descent on samples: batches of a data set or of fresh samples, with noise on the labels."""

from linfa.sampling.descent import stochastic
from linfa.sampling.samples import draw_samples

__all__ = ["draw_samples", "stochastic"]
