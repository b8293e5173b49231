"""Metrics with confidence intervals from labels and probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from stainproof.calibration.error import NUM_BINS, confidence_bins
from stainproof.calibration.error import calibration_error as error_of_gaps
from stainproof.evaluation.grouped import GroupCounts, calibration_error
from stainproof.evaluation.intervals import bias_corrected, bootstrapped, proportion
from stainproof.evaluation.result import ClassMetrics, ReliabilityBin
from stainproof.runs.artefact import Estimate

NUM_RESAMPLES = 2000

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """All metrics of one evaluation."""

    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    expected_calibration_error: Estimate
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    interval_unit: Literal["images", "groups"] = "images"
    num_groups: int = 0


def score(
    labels: Counts,
    probs: NDArray[np.floating],
    classes: tuple[str, ...],
    seed: int,
    groups: Sequence[str] | None = None,
) -> Scores:
    """Compute all metrics.

    With two groups or more, all intervals are over groups; see `grouped`. Otherwise they are over
    images: proportions have Wilson intervals (1927); the others have bias-corrected percentile
    bootstrap intervals (Efron 1981, "Nonparametric standard errors and confidence intervals") with
    2,000 resamples. If all resamples are equal, for instance without any mistake, the Wilson
    interval of the accuracy is used.

    Args:
        labels: int64 (N,), true classes; some classes may have no image.
        probs: (N, classes), rows sum to 1.
        classes: Class names.
        seed: Seed of the bootstrap.
        groups: N names of patients or slides; None if they are not known.
    """
    _, numbers = np.unique(groups or [""] * len(labels), return_inverse=True)
    num_groups = int(numbers.max()) + 1 if groups else 0
    rng = np.random.default_rng(seed)
    predicted = probs.argmax(axis=1)
    confusion = np.asarray(
        confusion_matrix(labels, predicted, labels=range(len(classes))), dtype=np.int64
    )
    confidence = probs.max(axis=1).astype(np.float64)
    right = (predicted == labels).astype(np.float64)
    confusion_rows = tuple(tuple(row) for row in confusion.tolist())
    reliability = reliability_bins(labels, probs)
    if num_groups > 1:
        counts = GroupCounts.count(labels, predicted, numbers, len(classes))
        return Scores(
            accuracy=counts.accuracy(),
            balanced_accuracy=counts.balanced_accuracy(),
            macro_f1=counts.macro_f1(),
            expected_calibration_error=calibration_error(
                right - confidence, confidence_bins(confidence), numbers, NUM_BINS
            ),
            per_class=_per_class_over_groups(counts, classes),
            confusion=confusion_rows,
            reliability=reliability,
            interval_unit="groups",
            num_groups=num_groups,
        )
    return Scores(
        accuracy=proportion(int(right.sum()), len(labels)),
        balanced_accuracy=bootstrap_images(balanced_accuracy, confusion, rng),
        macro_f1=bootstrap_images(macro_f1, confusion, rng),
        expected_calibration_error=_calibration_error(confidence, right, rng),
        per_class=per_class(confusion, classes),
        confusion=confusion_rows,
        reliability=reliability,
        num_groups=num_groups,
    )


def balanced_accuracy(confusions: Counts) -> Floats:
    """Return the mean recall over the classes that have images.

    Args:
        confusions: (..., classes, classes) counts; rows are true classes.
    """
    return mean_recall(np.diagonal(confusions, axis1=-2, axis2=-1), confusions.sum(axis=-1))


def balanced_accuracy_of(labels: Counts, scores: NDArray[np.floating]) -> float:
    """Return the balanced accuracy of probabilities or logits.

    Args:
        labels: int64 (N,), true classes; N at least 1.
        scores: (N, classes), the largest of an image is that of its predicted class.
    """
    present = np.bincount(labels)
    hits = np.bincount(labels[labels == scores.argmax(axis=1)], minlength=len(present))
    return float(mean_recall(hits, present))


def mean_recall(hits: Counts | Floats, present: Counts | Floats) -> Floats:
    """Return the mean recall over the classes that have images.

    Args:
        hits: (..., classes), number of correctly predicted images of every class.
        present: (..., classes), number of images of every class; at least one in all.
    """
    recall = hits / np.maximum(present, 1)
    return np.asarray(recall.sum(axis=-1) / (present > 0).sum(axis=-1), dtype=np.float64)


def macro_f1(confusions: Counts) -> Floats:
    """Return macro F1 over the classes that have images.

    scikit-learn's `f1_score(average="macro")` also counts classes that were only predicted, as 0.

    Args:
        confusions: (..., classes, classes) counts; rows are true classes.
    """
    present, predicted = confusions.sum(axis=-1), confusions.sum(axis=-2)
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    f1 = 2 * hits / np.maximum(present + predicted, 1)  # 0 for a class that was only predicted
    return np.asarray(f1.sum(axis=-1) / (present > 0).sum(axis=-1), dtype=np.float64)


def per_class(confusion: Counts, classes: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Compute the metrics of every class against the rest.

    Args:
        confusion: (classes, classes) counts; rows are true classes.
        classes: Class names.
    """
    return tuple(_one_class(confusion, index, name) for index, name in enumerate(classes))


def bootstrap_images(
    figure: Callable[[Counts], Floats], confusion: Counts, rng: np.random.Generator
) -> Estimate:
    """Return a metric with its bootstrap interval over images.

    Args:
        figure: The metric: (..., classes, classes) counts to (...).
        confusion: (classes, classes) counts; those of a resample are multinomial.
        rng: Draws the resamples.
    """
    num = int(confusion.sum())
    drawn = rng.multinomial(num, confusion.ravel() / num, size=NUM_RESAMPLES)
    value, resampled = float(figure(confusion)), figure(drawn.reshape(-1, *confusion.shape))
    return bootstrapped(value, resampled, proportion(int(confusion.trace()), num))


def _per_class_over_groups(counts: GroupCounts, classes: Sequence[str]) -> tuple[ClassMetrics, ...]:
    columns = (
        classes,
        counts.present.sum(axis=0).tolist(),
        counts.sensitivity(),
        counts.specificity(),
        counts.precision(),
    )
    return tuple(
        ClassMetrics(
            name=name,
            num_images=num,
            sensitivity=sensitivity,
            specificity=specificity,
            precision=precision,
        )
        for name, num, sensitivity, specificity, precision in zip(*columns, strict=True)
    )


def _calibration_error(confidence: Floats, right: Floats, rng: np.random.Generator) -> Estimate:
    """Return the expected calibration error over 15 equal bins (Guo et al. 2017, equation 3).

    The estimate is too high on few images of a well calibrated model, and the interval is then too
    narrow and too high: in simulations it contained a true error of 1.1 % in 50 % of evaluations of
    350 images and in 85 % of 1,700 images, errors of 2.9 % and more in 90 to 96 %, and never 0
    (`benchmarks.calibration.interval_coverage`).
    """
    bins = confidence_bins(confidence)
    gap = right - confidence

    def error(chosen: NDArray[np.int64]) -> float:
        return error_of_gaps(gap[chosen], bins[chosen])

    num = len(right)
    resampled = [error(rng.integers(num, size=num)) for _ in range(NUM_RESAMPLES)]
    return bias_corrected(error(np.arange(num)), np.array(resampled))


def reliability_bins(labels: Counts, probs: NDArray[np.floating]) -> tuple[ReliabilityBin, ...]:
    """Return confidence and accuracy of the images in every bin of confidence that has images.

    Args:
        labels: int64 (N,), true classes.
        probs: (N, classes), rows sum to 1.
    """
    confidence = probs.max(axis=1).astype(np.float64)
    right = probs.argmax(axis=1) == labels
    bins = confidence_bins(confidence)
    return tuple(
        ReliabilityBin(
            confidence=float(confidence[bins == index].mean()),
            accuracy=float(right[bins == index].mean()),
            num_images=int((bins == index).sum()),
        )
        for index in range(NUM_BINS)
        if (bins == index).any()
    )


def _one_class(confusion: Counts, index: int, name: str) -> ClassMetrics:
    hits = int(confusion[index, index])
    present, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
    others = int(confusion.sum()) - present

    def share(part: int, whole: int) -> Estimate | None:
        return proportion(part, whole) if whole else None

    return ClassMetrics(
        name=name,
        num_images=present,
        sensitivity=share(hits, present),
        specificity=share(others - (predicted - hits), others),
        precision=share(hits, predicted),
    )
