"""Abstention: a threshold of confidence that guarantees the error among the accepted images."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.calibration.record import Calibration
from stainproof.errors import ConfigError

UNCERTAIN = "uncertain"
"""The label of an image that is not accepted."""
SIGNIFICANCE = 0.05
"""Probability that a guarantee does not hold."""
MANY_IMAGES = 500
"""From this number of labelled images on, thresholds are tested from several starts."""
STARTS = ((0.0, 0.5), (0.8, 0.25), (0.95, 0.25))
"""Share of the images that the first threshold of a sequence accepts at least, and its share of the
significance."""


@dataclass(frozen=True)
class Threshold:
    """Images with at least this confidence are accepted."""

    confidence: float
    max_error: float
    """The error among accepted images that it guarantees."""
    num_images: int
    """Labelled images that it was found on."""
    num_accepted: int
    num_wrong: int
    """Of those accepted."""

    def describe(self) -> str:
        """Return threshold and guarantee as one sentence without a full stop."""
        return (
            f"predictions of a confidence from {self.confidence:.4f}: {self.num_accepted:,} of "
            f"{self.num_images:,} labelled images, {self.num_wrong:,} wrong; on images like these "
            f"at most {100 * self.max_error:g} % are wrong (confidence level "
            f"{100 * (1 - SIGNIFICANCE):.0f} %)"
        )


def find_threshold(calibration: Calibration, max_error: float) -> Threshold:
    """Return the threshold that accepts most images and guarantees the error among them.

    Learn-then-Test (Angelopoulos et al. 2021, "Learn then Test", section 4) with the exact binomial
    test of selective classification (Geifman and El-Yaniv 2017, "Selective Classification for Deep
    Neural Networks"). Thresholds are tested from high to low (fixed-sequence testing), from the
    first at which as many images are accepted as would suffice without a mistake, to the last
    before one fails. With 500 images or more, two further sequences start where 80 % and 95 % of
    the images are accepted, and the three share the significance (Bonferroni), so that one mistake
    of high confidence does not end the search. With a probability of 95 % over the labelled images,
    the error among accepted images of the same distribution is at most `max_error`.

    Args:
        calibration: With the predictions on labelled images.
        max_error: Largest error among accepted images, above 0 and below 1.

    Raises:
        ConfigError: The error cannot be guaranteed with these images.
    """
    from scipy.stats import binom

    thresholds, num_accepted, num_wrong = count_accepted(calibration)
    total = calibration.num_images
    starts = STARTS if total >= MANY_IMAGES else ((0.0, 1.0),)
    chosen = -1
    for share, part in starts:
        level = part * SIGNIFICANCE
        is_safe = binom.cdf(num_wrong, num_accepted, max_error) <= level
        num_needed = max(_num_needed(max_error, level), math.ceil(share * total))
        first = int(np.searchsorted(num_accepted, num_needed))
        num_safe = int(np.argmin([*is_safe[first:], False]))
        chosen = max(chosen, first + num_safe - 1) if num_safe else chosen
    if chosen < 0:
        least = _num_needed(max_error, starts[0][1] * SIGNIFICANCE)
        raise ConfigError(
            f"error: {100 * max_error:g} % cannot be guaranteed with {total:,} labelled images, "
            f"{len(calibration.wrong):,} of them wrong; {least:,} right predictions of the highest "
            "confidence are needed"
        )
    accepts_all = num_accepted[chosen] == total
    return Threshold(
        confidence=0.0 if accepts_all else float(thresholds[chosen]),
        max_error=max_error,
        num_images=total,
        num_accepted=int(num_accepted[chosen]),
        num_wrong=int(num_wrong[chosen]),
    )


def _num_needed(max_error: float, level: float) -> int:
    """Return how many images must be accepted to reach the level without a mistake."""
    return math.ceil(math.log(level) / math.log1p(-max_error))


def count_accepted(
    calibration: Calibration,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Count what every threshold accepts.

    Returns:
        The different confidences, falling; the number of images with at least this confidence; how
        many of them are wrong.
    """
    right, wrong = np.array(calibration.right), np.array(calibration.wrong)
    thresholds = np.unique(np.concatenate([right, wrong]))[::-1]
    num_right = len(right) - np.searchsorted(right, thresholds)
    num_wrong = len(wrong) - np.searchsorted(wrong, thresholds)
    return thresholds, num_right + num_wrong, num_wrong
