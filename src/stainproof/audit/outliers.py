"""Outliers: images whose brightness, contrast, sharpness, colour or size is far from the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.measurements import QUALITIES, Measurements

MIN_IMAGES = 20
"""Sets with fewer images are not checked."""
COMMON_SHARE = 0.98
UNIFORM_SPREAD = 3.0
"""Contrast in grey levels below which an image is nearly uniform."""


@dataclass(frozen=True)
class Outlier:
    """One outlier and the property that makes it one."""

    index: int
    reason: str
    score: float
    threshold: float


def find_outliers(measures: Measurements, sound: NDArray[np.int64], reach: float) -> list[Outlier]:
    """Find images whose brightness, focus, colour or size is far from the rest of the set.

    The score of a property is its distance from the median in units of the distance of the 99th
    percentile on the same side, so heavy-tailed sets tolerate more. Each image is listed once, with
    its largest score.

    Args:
        measures: Measurements of the whole set.
        sound: int64 (M,): positions of the images to check.
        reach: Score above which an image is an outlier, for instance 3.
    """
    if len(sound) < MIN_IMAGES:
        return []
    scores = tail_scores(measures.qualities[sound])
    worst = scores.argmax(axis=1)
    found = {
        int(sound[row]): Outlier(
            int(sound[row]), QUALITIES[worst[row]], float(scores[row, worst[row]]), reach
        )
        for row in np.flatnonzero(scores.max(axis=1) > reach)
    }
    contrast = measures.qualities[:, QUALITIES.index("contrast")]
    for index in sound[contrast[sound] < UNIFORM_SPREAD]:
        found[int(index)] = Outlier(
            int(index), "nearly uniform", float(contrast[index]), UNIFORM_SPREAD
        )
    for index, size in _odd_sizes(measures, sound):
        found.setdefault(index, Outlier(index, f"size {size[0]} x {size[1]} px", 1.0, 0.0))
    return [found[index] for index in sorted(found)]


def tail_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances from the median in units of the distance of the 1st or 99th percentile.

    Args:
        values: float64 (N, properties).

    Returns:
        float64 (N, properties), 0 or more.
    """
    low, middle, high = np.percentile(values, [1, 50, 99], axis=0)
    above = (values - middle) / np.maximum(high - middle, 1e-9)
    below = (middle - values) / np.maximum(middle - low, 1e-9)
    return np.asarray(np.maximum(above, below))


def _odd_sizes(
    measures: Measurements, sound: NDArray[np.int64]
) -> list[tuple[int, tuple[int, int]]]:
    """List images of another size if nearly all images have one size."""
    sizes, which, counts = np.unique(
        measures.sizes[sound], axis=0, return_inverse=True, return_counts=True
    )
    common = counts.argmax()
    if counts[common] < COMMON_SHARE * len(sound):
        return []
    odd = np.flatnonzero(which.ravel() != common)
    return [(int(sound[i]), tuple(sizes[which.ravel()[i]].tolist())) for i in odd]
