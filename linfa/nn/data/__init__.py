"""Data: sets of images, read where they lie, and batches of them whose order depends on the seed alone."""

from linfa.nn.data.augment import Augmentation
from linfa.nn.data.fetch import download
from linfa.nn.data.loader import Loader
from linfa.nn.data.sets import NAMES, Dataset, load

__all__ = ["NAMES", "Augmentation", "Dataset", "Loader", "download", "load"]
