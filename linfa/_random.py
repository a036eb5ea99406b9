"""Random numbers: one independent stream for each purpose, from an explicit seed."""

import numpy as np

# Weights and feedback drawn from the same seed must not repeat each other's numbers.
_STREAMS = ("weights", "feedback", "task", "data", "claim", "dropout", "noise", "validation")


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Generator for one purpose; `keys` (a layer, a member) split it further."""
    # The seed is the entropy and everything else the spawn key: no two combinations share a stream.
    key = (_STREAMS.index(purpose), *keys)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def orthonormal_columns(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Matrix (rows, columns) with orthonormal columns, drawn uniformly (Haar); rows ≥ columns.

    The factor Q of a Gaussian matrix is uniform once the diagonal of R is made positive (Mezzadri 2007).
    """
    q, r = np.linalg.qr(generator.standard_normal((rows, columns)))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
