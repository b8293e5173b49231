"""How the answers of several networks become one. Needs numpy alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

VOTINGS = ("soft", "hard")
"""`soft`: the mean probability; `hard`: every network has one vote."""


def vote(answers: Sequence[NDArray[np.float32]], voting: str) -> NDArray[np.float32]:
    """Return one answer for several.

    Args:
        answers: One array float32 (n, classes) a network, rows sum to 1.
        voting: Name in `VOTINGS`.

    Returns:
        float32 (n, classes), rows sum to 1: the mean, or the share of votes. The mean counts as one
        vote more, shared out, which decides between classes with the same number.
    """
    mean: NDArray[np.float32] = np.mean(answers, axis=0, dtype=np.float32)
    if voting == "soft" or len(answers) == 1:
        return mean
    num_classes = mean.shape[1]
    votes = sum(np.eye(num_classes, dtype=np.float32)[one.argmax(axis=1)] for one in answers)
    return np.asarray((votes + mean) / (len(answers) + 1), dtype=np.float32)
