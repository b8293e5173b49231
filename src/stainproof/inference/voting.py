"""Voting: combine the probabilities of several networks. Needs numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VOTINGS = ("soft", "hard")
"""`soft`: the mean probability; `hard`: one vote for each network."""


def vote(probs: Sequence[NDArray[np.float32]], voting: str) -> NDArray[np.float32]:
    """Combine probabilities.

    Args:
        probs: One array float32 (n, classes) for each network, rows sum to 1.
        voting: Name in `VOTINGS`.

    Returns:
        float32 (n, classes), rows sum to 1: the mean probability, or under hard voting
        (votes + mean probability) / (networks + 1), so the mean breaks ties.
    """
    mean: NDArray[np.float32] = np.mean(probs, axis=0, dtype=np.float32)
    if voting == "soft" or len(probs) == 1:
        return mean
    num_classes = mean.shape[1]
    votes = sum(np.eye(num_classes, dtype=np.float32)[one.argmax(axis=1)] for one in probs)
    return np.asarray((votes + mean) / (len(probs) + 1), dtype=np.float32)
