"""Expected calibration error: how far confidence is from the share of right predictions."""

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15
"""Bins of equal width, as in Guo et al. 2017."""

Floats = NDArray[np.float64]


def confidence_bins(confidence: Floats) -> NDArray[np.int64]:
    """Return the bin of every confidence in 0 to 1, counted from 0."""
    return np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def calibration_error(gaps: Floats, bins: NDArray[np.int64]) -> float:
    """Return the expected calibration error (Guo et al. 2017, equation 3), 0 to 1.

    It is the mean over images of the absolute difference between accuracy and mean confidence in
    the image's bin.

    Args:
        gaps: float64 (N,), right (1 or 0) minus confidence.
        bins: int64 (N,), see `confidence_bins`.
    """
    per_bin = np.bincount(bins, weights=gaps)
    return float(np.abs(per_bin).sum() / len(gaps))


def expected_calibration_error(labels: NDArray[np.int64], probs: NDArray[np.floating]) -> float:
    """Return the expected calibration error of probabilities.

    Args:
        labels: int64 (N,), true classes; N at least 1.
        probs: (N, classes), rows sum to 1.
    """
    confidence = probs.max(axis=1).astype(np.float64)
    gaps = (probs.argmax(axis=1) == labels) - confidence
    return calibration_error(gaps, confidence_bins(confidence))
