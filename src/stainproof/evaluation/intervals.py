"""95 % confidence intervals: Wilson for proportions, bootstrap, Newcombe for differences."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from stainproof.runs.artefact import Estimate

CONFIDENCE = 0.95

Floats = NDArray[np.float64]


def proportion(num_right: int, num: int) -> Estimate:
    """Return a proportion with its Wilson interval (Wilson 1927); `num` is above zero."""
    interval = binomtest(num_right, num).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(value=num_right / num, low=interval.low, high=interval.high)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two accuracies, first minus second, with its 95 % interval.

    The two accuracies must be proportions of independent images (Newcombe 1998, Statistics in
    Medicine 17, method 10: the interval follows from the two Wilson intervals).
    """
    value = first.value - second.value
    below = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    above = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Estimate(value=value, low=value - below, high=value + above)


def bias_corrected(value: float, resampled: Floats) -> Estimate:
    """Return the bias-corrected percentile interval (Efron 1981), extended to include the value."""
    below = (resampled < value).mean() + 0.5 * (resampled == value).mean()
    least = 0.5 / len(resampled)
    bias = norm.ppf(np.clip(below, least, 1 - least))
    ends = norm.cdf(2 * bias + norm.ppf([0.5 * (1 - CONFIDENCE), 0.5 * (1 + CONFIDENCE)]))
    low, high = np.quantile(resampled, ends).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value))
