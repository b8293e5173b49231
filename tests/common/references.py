"""References of home cells with features that a test draws."""

import numpy as np

from stainproof.deployment.embedding import Embedding
from stainproof.deployment.reference import Reference

Cells = tuple[np.ndarray, np.ndarray]
"""Features float32 (n, d) and labels int64 (n,)."""


def reference_of(home: Cells, distorted: Cells) -> Reference:
    """Return the reference of n home cells and m distorted ones, equal to their mirror images."""
    num, num_distorted = (len(labels) for _, labels in (home, distorted))
    return Reference(
        "hash",
        Embedding(home[0], home[0]),
        home[1],
        np.zeros((num, 7), dtype=np.float32),
        Embedding(distorted[0], distorted[0]),
        distorted[1],
        np.arange(num_distorted) % 10,
    )
