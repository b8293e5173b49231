"""Confidence intervals of metrics of images that come in groups: patients or slides.

Images of one patient resemble each other, so the groups are the independent units. Every metric is
a ratio of counts, or a mean of such ratios over classes. Its variance is that of the jackknife that
leaves out one group at a time (MacKinnon, Nielsen and Webb 2023, "Fast and reliable jackknife and
bootstrap methods for cluster-robust inference"), its interval that of `intervals.over_groups`, with
one degree of freedom less than the effective number of groups, (sum n)^2 / sum n^2 for groups of n
images (Kish 1965). `benchmarks/evaluation/grouped_intervals.py` measures the coverage.

What a single group determines has the interval [0, 1].
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stainproof.evaluation.intervals import over_groups
from stainproof.runs.artefact import Estimate

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

FEW_GROUPS = 4
"""Below this number of groups, equal sensitivities do not show that the variance is zero."""


@dataclass(frozen=True)
class GroupCounts:
    """Counts of images by group and class."""

    hits: Counts
    """int64 (groups, classes): images of the class that are predicted as it."""
    present: Counts
    """int64 (groups, classes): images of the class."""
    predicted: Counts
    """int64 (groups, classes): images that are predicted as the class."""

    @classmethod
    def count(cls, labels: Counts, predicted: Counts, groups: Counts, num_classes: int) -> Self:
        """Count the images.

        Args:
            labels: int64 (N,), true classes.
            predicted: int64 (N,), predicted classes.
            groups: int64 (N,), numbers of the groups from 0, without a gap.
            num_classes: Number of classes.
        """
        shape = int(groups.max()) + 1, num_classes

        def count(classes: Counts, chosen: Counts) -> Counts:
            flat = np.bincount(chosen * num_classes + classes, minlength=shape[0] * shape[1])
            return flat.reshape(shape)

        is_hit = labels == predicted
        return cls(
            hits=count(labels[is_hit], groups[is_hit]),
            present=count(labels, groups),
            predicted=count(predicted, groups),
        )

    def accuracy(self) -> Estimate:
        """Return the accuracy."""
        (estimate,) = _ratios(self.hits.sum(axis=1)[:, None], self.present.sum(axis=1)[:, None])
        assert estimate  # there are images
        return estimate

    def balanced_accuracy(self) -> Estimate:
        """Return the mean sensitivity over the classes that have images."""
        return self._class_mean(self.hits, self.present)

    def macro_f1(self) -> Estimate:
        """Return the mean F1 over the classes that have images."""
        return self._class_mean(2 * self.hits, self.present + self.predicted)

    def sensitivity(self) -> list[Estimate | None]:
        """Return the sensitivity of every class; None without an image."""
        return _ratios(self.hits, self.present)

    def precision(self) -> list[Estimate | None]:
        """Return the precision of every class; None if it is never predicted."""
        return _ratios(self.hits, self.predicted)

    def specificity(self) -> list[Estimate | None]:
        """Return the specificity of every class; None if there are no other images."""
        others = self.present.sum(axis=1, keepdims=True) - self.present
        return _ratios(others - (self.predicted - self.hits), others)

    def _class_mean(self, part: Counts, whole: Counts) -> Estimate:
        """Return the mean of `part / whole` over the classes that have images.

        A class with images in a single group is between 0 and 1. A class with images in fewer than
        four groups that do not differ has the binomial variance of its images, with one hit and one
        miss added (Laplace). The degrees of freedom are at most those that Satterthwaite's formula
        gives for the classes.
        """
        num_images = self.present.sum(axis=0)
        num_groups = (self.present > 0).sum(axis=0)
        value, change = _leave_one_out(part, whole)
        mean = float(value[num_images > 0].mean())
        known = num_groups > 1
        if not known.any():
            return Estimate(value=mean, low=0.0, high=1.0)
        value, change, num_images = value[known], change[:, known], num_images[known]
        variances = (change**2).sum(axis=0)
        smoothed = (value * num_images + 1) / (num_images + 2)
        is_vague = (num_groups[known] < FEW_GROUPS) & (variances == 0)
        binomial = np.where(is_vague, smoothed * (1 - smoothed) / num_images, 0.0)
        scale = 1 - 1 / len(part)
        variance = (scale * (change.mean(axis=1) ** 2).sum()) + binomial.sum() / len(value) ** 2
        by_class = variances + binomial
        df_by_class = np.maximum(_num_effective(self.present[:, known]) - 1, 1)
        satterthwaite = by_class.sum() ** 2 / max((by_class**2 / df_by_class).sum(), 1e-300)
        df = _num_effective(self.present.sum(axis=1)) - 1
        if satterthwaite > 0:
            df = np.minimum(df, satterthwaite)
        ends = over_groups(
            value.mean(),
            np.asarray(variance),
            np.maximum(df, 1),
            np.asarray(num_images.sum(), dtype=np.float64),
            np.asarray(len(value) / (1 / num_groups[known]).sum()),
        )
        unknown = int((num_groups == 1).sum())
        low, high = (float(end) * len(value) for end in ends)
        total = len(value) + unknown
        return Estimate(
            value=mean, low=min(low / total, mean), high=max((high + unknown) / total, mean)
        )


def calibration_error(gap: Floats, bins: Counts, groups: Counts, num_bins: int) -> Estimate:
    """Return the expected calibration error.

    Args:
        gap: float64 (N,), 1 or 0 for right or wrong minus confidence.
        bins: int64 (N,), numbers of the bins of confidence.
        groups: int64 (N,), numbers of the groups from 0, without a gap.
        num_bins: Number of bins.
    """
    num_groups, num = int(groups.max()) + 1, len(gap)
    flat = np.bincount(groups * num_bins + bins, weights=gap, minlength=num_groups * num_bins)
    sums, sizes = flat.reshape(num_groups, num_bins), np.bincount(groups)
    value = np.abs(sums.sum(axis=0)).sum() / num
    without = np.abs(sums.sum(axis=0) - sums).sum(axis=1) / (num - sizes)
    variance = (1 - 1 / num_groups) * ((without - value) ** 2).sum()
    df = np.maximum(_num_effective(sizes) - 1, 1)
    ends = over_groups(value, variance, df, np.array(num), np.array(num_groups))
    return Estimate(value=float(value), low=float(ends[0]), high=float(ends[1]))


def _num_effective(sizes: Counts) -> Floats:
    """Return the effective number of groups of unequal sizes (groups, ...); Kish 1965."""
    return np.asarray(sizes.sum(axis=0) ** 2 / np.maximum((sizes**2).sum(axis=0), 1))


def _leave_one_out(part: Counts, whole: Counts) -> tuple[Floats, Floats]:
    """Return ratios (classes,) and how leaving out each group changes them (groups, classes)."""
    parts, wholes = part.sum(axis=0), whole.sum(axis=0)
    value = parts / np.maximum(wholes, 1)
    rest = wholes - whole
    change = np.where(rest > 0, (parts - part) / np.maximum(rest, 1) - value, 0.0)
    return value, change


def _ratios(part: Counts, whole: Counts) -> list[Estimate | None]:
    """Return `part / whole` summed over groups (groups, classes); None where `whole` is zero."""
    value, change = _leave_one_out(part, whole)
    num_groups = (whole > 0).sum(axis=0)
    scale = 1 - 1 / np.maximum(num_groups, 1)
    variance = scale * (change**2).sum(axis=0)
    df = np.maximum(_num_effective(whole) - 1, 1)
    num_images = whole.sum(axis=0).astype(np.float64)
    low, high = over_groups(value, variance, df, num_images, num_groups.astype(np.float64))
    low, high = np.where(num_groups > 1, low, 0.0), np.where(num_groups > 1, high, 1.0)
    return [
        Estimate(value=one, low=low, high=high) if num else None
        for one, low, high, num in zip(
            value.tolist(), low.tolist(), high.tolist(), num_groups.tolist(), strict=True
        )
    ]
