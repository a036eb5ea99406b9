"""The path of the weights: how many directions the successive updates of a layer span."""

import numpy as np

from linfa._random import stream
from linfa.nn.backend import like, namespace, to_numpy
from linfa.nn.parameters import Array


class UpdatePath:
    """The latest updates of one array of weights as rows (T × entries), and their Gram matrix, kept up row by row.

    Parameters
    ----------
    size : int
        Weights.
    most : int
        Rows kept; the oldest goes when another comes.
    entries : int or None
        Entries kept of a row, where `size` is larger; None keeps all.
    seed, number : int
        With `number` that of the layer, they fix the sketch.
    dtype : numpy.dtype
        Precision of the rows; products of rows are summed in double precision.

    Notes
    -----
    A long row is sketched: its entries get fixed random signs and are added up in `entries` bins (Charikar, Chen &
    Farach-Colton 2002). The sketch is linear and keeps lengths and angles on average, so that the singular values of T
    rows change by a factor 1 ± √(T/entries) at most, typically, and exact linear dependence stays exact.
    """

    def __init__(self, size: int, most: int, entries: int | None, seed: int, number: int, dtype: np.dtype) -> None:
        self.most = most
        self.entries = size if entries is None else min(size, entries)
        self._signs = None
        if self.entries < size:
            drawn = stream(seed, "noise", number).integers(0, 2, size, dtype=np.int8)
            self._signs = 2 * drawn - 1
        self._rows = np.empty((0, self.entries), dtype)
        self.gram = np.empty((0, 0))

    def append(self, update: Array) -> None:
        """Take up one update, of any shape with as many entries as there are weights."""
        row = self._sketched(update.reshape(-1)).astype(self._rows.dtype, copy=False)
        kept = slice(1, None) if len(self._rows) == self.most else slice(None)
        self._rows = np.concatenate([self._rows[kept], row[None]])
        wide = row.astype(np.float64)
        # One row at a time: a double-precision copy of all would be the largest array of the run.
        products = [np.dot(other.astype(np.float64), wide) for other in self._rows]
        gram = np.empty((len(products), len(products)))
        gram[:-1, :-1] = self.gram[kept, kept]
        gram[-1] = gram[:, -1] = products
        self.gram = gram

    def _sketched(self, update: Array) -> np.ndarray:
        if self._signs is None:
            return to_numpy(update)
        xp = namespace(update)
        bins = -(-update.size // self.entries)
        padded = xp.zeros(bins * self.entries, update.dtype)
        padded[: update.size] = update * like(self._signs, update)
        return to_numpy(padded.reshape(bins, self.entries).sum(0, dtype=np.float64))

    def state(self) -> dict[str, np.ndarray]:
        """Rows and Gram matrix, for a checkpoint."""
        return {"rows": self._rows.copy(), "gram": self.gram.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take up what `state` returned, bit for bit.

        Raises
        ------
        ValueError
            If it is of other weights or of another precision.
        """
        rows, gram = np.asarray(state["rows"]), np.asarray(state["gram"])
        if rows.ndim != 2 or rows.shape[1] != self.entries or len(rows) > self.most or rows.dtype != self._rows.dtype:
            raise ValueError(
                f"rows is {rows.dtype} {rows.shape}; it must be {self._rows.dtype} with at most {self.most} rows of "
                f"{self.entries}"
            )
        if gram.shape != (len(rows), len(rows)) or gram.dtype != np.float64:
            raise ValueError(f"gram is {gram.dtype} {gram.shape}; it must be float64 ({len(rows)}, {len(rows)})")
        self._rows, self.gram = rows.copy(), gram.copy()
