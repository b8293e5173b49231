"""Outliers: images whose brightness, contrast, sharpness, colour or size is far from the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.measurements import QUALITIES, Measurements

MIN_IMAGES = 20
"""Sets with fewer images are not checked."""
COMMON_SIZE_FRACTION = 0.98
"""If at least this fraction of the images has one size, other sizes are outliers."""
MIN_CONTRAST = 3.0
"""Contrast in grey levels below which an image is nearly uniform."""


@dataclass(frozen=True)
class Outlier:
    """One outlier and the property that makes it one."""

    index: int
    """Position of the image."""
    reason: str
    """The property, or a description."""
    score: float
    """Larger than `threshold`, except for `nearly uniform`: contrast, below it."""
    threshold: float


def find_outliers(
    measurements: Measurements, positions: NDArray[np.int64], threshold: float
) -> list[Outlier]:
    """Find images whose brightness, focus, colour or size is far from the rest of the set.

    The score of a property is that of `tail_scores`: it is relative to the tail of the
    distribution, so that properties with heavy tails do not give more outliers. Each image is
    listed once, with the property of the largest score.

    Args:
        measurements: Measurements of the whole source.
        positions: int64 (M,): positions of the images to check.
        threshold: Score above which an image is an outlier, for instance 3.
    """
    if len(positions) < MIN_IMAGES:
        return []
    scores = tail_scores(measurements.qualities[positions])
    worst = scores.argmax(axis=1)
    found = {
        int(positions[row]): Outlier(
            int(positions[row]), QUALITIES[worst[row]], float(scores[row, worst[row]]), threshold
        )
        for row in np.flatnonzero(scores.max(axis=1) > threshold)
    }
    contrast = measurements.qualities[:, QUALITIES.index("contrast")]
    for index in positions[contrast[positions] < MIN_CONTRAST]:
        found[int(index)] = Outlier(
            int(index), "nearly uniform", float(contrast[index]), MIN_CONTRAST
        )
    for index, size in _uncommon_sizes(measurements, positions):
        found.setdefault(index, Outlier(index, f"size {size[0]} x {size[1]} px", 1.0, 0.0))
    return [found[index] for index in sorted(found)]


def tail_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances from the median, relative to that of the 1st (below) or 99th percentile.

    Args:
        values: float64 (N, properties).

    Returns:
        float64 (N, properties), 0 or more.
    """
    low, median, high = np.percentile(values, [1, 50, 99], axis=0)
    above = (values - median) / np.maximum(high - median, 1e-9)
    below = (median - values) / np.maximum(median - low, 1e-9)
    return np.asarray(np.maximum(above, below))


def _uncommon_sizes(
    measurements: Measurements, positions: NDArray[np.int64]
) -> list[tuple[int, tuple[int, int]]]:
    """Return positions and sizes of images of another size if nearly all images have one size."""
    sizes, size_of, counts = np.unique(
        measurements.sizes[positions], axis=0, return_inverse=True, return_counts=True
    )
    most_common = counts.argmax()
    if counts[most_common] < COMMON_SIZE_FRACTION * len(positions):
        return []
    uncommon = np.flatnonzero(size_of.ravel() != most_common)
    return [(int(positions[i]), tuple(sizes[size_of.ravel()[i]].tolist())) for i in uncommon]
