"""95 % confidence intervals: Wilson, logit over groups, bootstrap, Newcombe for differences."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta, binomtest, norm, t

from stainproof.runs.artefact import Estimate

CONFIDENCE = 0.95

Floats = NDArray[np.float64]


def proportion(num_right: int, num: int) -> Estimate:
    """Return a proportion with its Wilson interval (Wilson 1927); `num` is above zero."""
    interval = binomtest(num_right, num).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(value=num_right / num, low=interval.low, high=interval.high)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two accuracies, first minus second, with its 95 % interval.

    The two accuracies must be of independent images. The interval follows from the two intervals
    (Newcombe 1998, Statistics in Medicine 17, method 10, for Wilson intervals; Zou and Donner 2008
    for any).
    """
    value = first.value - second.value
    below = ((first.value - first.low) ** 2 + (second.high - second.value) ** 2) ** 0.5
    above = ((first.high - first.value) ** 2 + (second.value - second.low) ** 2) ** 0.5
    return Estimate(value=value, low=value - below, high=value + above)


def over_groups(
    value: Floats, variance: Floats, df: Floats, num_images: Floats, num_groups: Floats
) -> tuple[Floats, Floats]:
    """Return the intervals of proportions of images that come in groups.

    It is Student's interval on the logit scale, with a variance of at least that of as many
    independent images. If the value is 0 or 1, the variance is not determined, and the interval is
    the exact binomial one (Clopper and Pearson 1934) with each group as one image.

    Args:
        value: float64 (...), 0 to 1.
        variance: Variance of the value over samples of groups.
        df: Degrees of freedom of the variance, at least 1.
        num_images: Number of images, above zero.
        num_groups: Number of groups, at most `num_images`.

    Returns:
        Lower and upper ends, float64 (...).
    """
    tail = 0.5 * (1 - CONFIDENCE)
    spread = np.maximum(value * (1 - value), 1e-12)
    student = t.ppf(1 - tail, df) * np.sqrt(variance) / spread
    reach = np.maximum(student, norm.ppf(1 - tail) / np.sqrt(np.maximum(num_images, 1) * spread))
    centre = logit(np.clip(value, 1e-12, 1 - 1e-12))
    exact = beta.ppf(tail, num_groups, 1)
    low = np.where(value < 1, np.where(value > 0, expit(centre - reach), 0.0), exact)
    high = np.where(value > 0, np.where(value < 1, expit(centre + reach), 1.0), 1 - exact)
    return low, high


def bootstrapped(value: float, resampled: Floats, otherwise: Estimate) -> Estimate:
    """Return the interval of resamples, extended to include the value.

    Args:
        value: The metric of all images.
        resampled: float64 (resamples,), the metric of each resample.
        otherwise: An interval that is used if all resamples are equal, for instance without any
            mistake: the bootstrap would then give an interval without width.
    """
    if resampled.min() < resampled.max():
        return bias_corrected(value, resampled)
    return Estimate(value=value, low=min(value, otherwise.low), high=max(value, otherwise.high))


def bias_corrected(value: float, resampled: Floats) -> Estimate:
    """Return the bias-corrected percentile interval (Efron 1981), extended to include the value."""
    below = (resampled < value).mean() + 0.5 * (resampled == value).mean()
    least = 0.5 / len(resampled)
    bias = norm.ppf(np.clip(below, least, 1 - least))
    ends = norm.cdf(2 * bias + norm.ppf([0.5 * (1 - CONFIDENCE), 0.5 * (1 + CONFIDENCE)]))
    low, high = np.quantile(resampled, ends).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value))
