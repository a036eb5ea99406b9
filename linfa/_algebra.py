"""Matrix algebra that NumPy arrays and SymPy matrices share."""

from typing import Any


def transposed(a: Any) -> Any:
    """Transpose of a matrix, or of each matrix in a stack of arrays."""
    return a.mT if hasattr(a, "mT") else a.T
