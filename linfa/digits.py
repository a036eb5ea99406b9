"""The bundled handwritten digits: real correlations that need no download."""

from importlib.resources import files

import numpy as np


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits of the UCI collection, 8 × 8 pixels.

    Returns
    -------
    images : float64 array (1797, 64)
        Pixel values from 0 to 1.
    labels : int64 array (1797,)
        0 … 9.

    Notes
    -----
    Source: Alpaydin & Kaynak 1998, UCI Machine Learning Repository (CC BY 4.0).

    Examples
    --------
    >>> images, labels = load_digits()
    >>> images.shape, int(labels[0])
    ((1797, 64), 0)
    """
    with (files("linfa") / "data" / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as content:
        return content["images"].reshape(-1, 64) / 16.0, content["labels"].astype(np.int64)
