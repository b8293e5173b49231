"""Order of the training images in an epoch, with oversampling of small classes."""

import numpy as np
from numpy.typing import NDArray


def epoch_order(
    labels: NDArray[np.int64], balance: str, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the shuffled sample numbers of one epoch.

    A sample number is `position + N * repetition`: the position of the image among the N images,
    and how often the epoch's samples already contain that image. Repetitions of one image therefore
    have different sample numbers, which give them different augmentations.

    Args:
        labels: int64 (N,), class of each image.
        balance: `none`: every image once; `oversample`: images of small classes repeatedly, until
            all classes are as large as the largest (AN2DL paper, section 3, which estimated the
            label distribution of the hidden test set).
        rng: Random generator.

    Returns:
        int64 (M,), M >= N.
    """
    num = len(labels)
    samples = [np.arange(num)]
    if balance == "oversample":
        counts = np.bincount(labels)
        for label in np.flatnonzero(counts):
            members = np.flatnonzero(labels == label)
            missing = int(counts.max() - counts[label])
            repetitions = range(1, 1 + -(-missing // len(members)))
            repeated = [rng.permutation(members) + num * number for number in repetitions]
            samples.append(np.concatenate([*repeated, members[:0]])[:missing])
    return rng.permutation(np.concatenate(samples))
