from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from stainproof.evaluation import metrics
from stainproof.evaluation.intervals import proportion
from stainproof.evaluation.result import ClassMetrics


def answers(
    num: int = 400,
    num_classes: Any = 4,
    accuracy: float = 0.8,
    seed: int = 0,
    absent: tuple[int, ...] = (),
) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    present = [c for c in range(num_classes) if c not in absent]
    labels = rng.choice(present, num)
    predicted = np.where(rng.random(num) < accuracy, labels, rng.integers(num_classes, size=num))
    probs = np.full((num, num_classes), 0.3 / (num_classes - 1))
    probs[np.arange(num), predicted] = 0.7
    return labels, probs, predicted


CLASSES = ("a", "b", "c", "d")


def test_metrics_equal_those_of_scikit_learn() -> None:
    labels, probs, predicted = answers()
    scores = metrics.score(labels, probs, CLASSES, seed=0)
    assert scores.accuracy.value == pytest.approx((labels == predicted).mean())
    assert scores.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(labels, predicted)
    )
    assert scores.macro_f1.value == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_absent_classes_count_neither_for_nor_against() -> None:
    labels, probs, predicted = answers(absent=(1, 3))
    scores = metrics.score(labels, probs, CLASSES, seed=0)
    recalls = [(predicted[labels == c] == c).mean() for c in (0, 2)]
    assert scores.balanced_accuracy.value == pytest.approx(np.mean(recalls))
    f1 = f1_score(labels, predicted, average="macro", labels=[0, 2])
    assert scores.macro_f1.value == pytest.approx(f1)
    assert scores.per_class[1].sensitivity is None
    assert scores.per_class[1].specificity is not None


def test_sensitivity_specificity_and_precision_of_a_known_matrix() -> None:
    labels = np.array([0] * 10 + [1] * 20)
    predicted = np.array([0] * 8 + [1] * 2 + [0] * 5 + [1] * 15)
    row = metrics.score(labels, np.eye(2)[predicted], ("a", "b"), 0).per_class[0]
    assert row.sensitivity and row.specificity and row.precision
    assert row.sensitivity.value == pytest.approx(8 / 10)
    assert row.specificity.value == pytest.approx(15 / 20)
    assert row.precision.value == pytest.approx(8 / 13)


def test_intervals_hold_the_value_and_shrink_with_more_images() -> None:
    def scored(num: int) -> metrics.Scores:
        labels, probs, _ = answers(num)
        return metrics.score(labels, probs, CLASSES, seed=1)

    small, large = scored(100), scored(10_000)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        narrow, wide = getattr(large, name), getattr(small, name)
        assert narrow.low < narrow.value < narrow.high
        assert narrow.high - narrow.low < 0.3 * (wide.high - wide.low)


@pytest.mark.slow
def test_the_bootstrap_interval_covers_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for seed in range(60):
        labels, probs, _ = answers(300, seed=seed)
        estimate = metrics.score(labels, probs, CLASSES, seed=seed).balanced_accuracy
        covered += estimate.low <= 0.8 + 0.2 / 4 <= estimate.high
    assert covered >= 51


def test_calibration_error_is_the_gap_between_sureness_and_truth() -> None:
    labels, probs, _ = answers(2000, accuracy=1.0)
    assert metrics.score(
        labels, probs, CLASSES, 0
    ).expected_calibration_error.value == pytest.approx(0.3)
    half = metrics.score(np.zeros(10, int), np.tile([0.6, 0.4], (10, 1)), ("a", "b"), 0)
    assert half.expected_calibration_error.value == pytest.approx(0.4)
    assert sum(b.num_images for b in half.reliability) == 10


def test_the_same_seed_gives_the_same_intervals() -> None:
    labels, probs, _ = answers()
    assert metrics.score(labels, probs, CLASSES, 3) == metrics.score(labels, probs, CLASSES, 3)


def test_without_a_mistake_the_interval_still_has_a_width() -> None:
    labels = np.arange(20) % 4
    scores = metrics.score(labels, np.eye(4)[labels], CLASSES, seed=0)
    for estimate in (scores.balanced_accuracy, scores.macro_f1):
        assert (estimate.value, estimate.high) == (1, 1)
        assert estimate.low == scores.accuracy.low < 0.9


@pytest.mark.parametrize("seed", range(12))
def test_the_interval_of_calibration_holds_its_figure(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.55, 1.0, 400)
    labels = (rng.random(400) > confidence).astype(int)
    probs = np.stack([confidence, 1 - confidence], axis=1)
    error = metrics.score(labels, probs, ("a", "b"), seed=0).expected_calibration_error
    assert error.low <= error.value <= error.high
    assert error.low < error.high


def test_all_metrics_of_a_few_images() -> None:
    """Class a: 2 of 3 right; b: 1 of 1; c: never shown, predicted once."""
    labels = np.array([0, 0, 0, 1])
    probs = np.array([[0.9, 0.1, 0.0], [0.65, 0.3, 0.05], [0.25, 0.25, 0.5], [0.1, 0.9, 0.0]])
    scores = metrics.score(labels, probs, ("a", "b", "c"), seed=0)
    assert scores.confusion == ((2, 0, 1), (0, 1, 0), (0, 0, 0))
    assert (scores.interval_unit, scores.num_groups) == ("images", 0)
    assert scores.accuracy == proportion(3, 4)
    assert scores.balanced_accuracy.value == pytest.approx((2 / 3 + 1) / 2)
    assert scores.macro_f1.value == pytest.approx((4 / 5 + 1) / 2)
    # bins: 0.9 twice (both right), 0.65 (right), 0.5 (wrong)
    assert scores.expected_calibration_error.value == pytest.approx((0.2 + 0.35 + 0.5) / 4)
    assert scores.per_class == (
        ClassMetrics(
            name="a",
            num_images=3,
            sensitivity=proportion(2, 3),
            specificity=proportion(1, 1),
            precision=proportion(2, 2),
        ),
        ClassMetrics(
            name="b",
            num_images=1,
            sensitivity=proportion(1, 1),
            specificity=proportion(3, 3),
            precision=proportion(1, 1),
        ),
        ClassMetrics(
            name="c",
            num_images=0,
            sensitivity=None,
            specificity=proportion(3, 4),
            precision=proportion(0, 1),
        ),
    )
    bins = [(one.confidence, one.accuracy, one.num_images) for one in scores.reliability]
    assert bins == [(0.5, 0.0, 1), (0.65, 1.0, 1), (0.9, 1.0, 2)]


def test_a_class_that_is_never_predicted_has_no_precision_and_all_images_no_specificity() -> None:
    all_a, no_b = metrics.per_class(np.array([[3, 0], [0, 0]]), ("a", "b"))
    assert (all_a.specificity, no_b.precision, no_b.sensitivity) == (None, None, None)
    assert no_b.specificity == proportion(3, 3)


def test_images_of_one_bin_are_averaged() -> None:
    probs = np.array([[0.55, 0.45], [0.45, 0.55], [0.59, 0.41], [0.02, 0.98], [0.0, 1.0]])
    first, second = metrics.reliability_bins(np.array([0, 1, 1, 1, 0]), probs)
    assert (first.num_images, second.num_images) == (3, 2)
    assert (first.confidence, first.accuracy) == pytest.approx((1.69 / 3, 2 / 3))
    assert (second.confidence, second.accuracy) == pytest.approx((0.99, 0.5))


def test_balanced_accuracy_of_scores_equals_that_of_scikit_learn() -> None:
    labels, probs, predicted = answers(absent=(1,))
    found = metrics.balanced_accuracy_of(labels, np.log(probs))
    recalls = [(predicted[labels == c] == c).mean() for c in (0, 2, 3)]
    assert found == pytest.approx(np.mean(recalls))
    labels = np.array([0, 0, 1, 1, 1])  # classes 2 and 3 are predicted, and are none of the labels
    scores = np.eye(4)[[0, 3, 1, 1, 2]]
    assert metrics.balanced_accuracy_of(labels, scores) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics.balanced_accuracy_of(np.array([2]), scores[:1]) == 0


def test_figures_of_a_stack_of_confusion_matrices() -> None:
    stack = np.array([[[3, 1], [0, 2]], [[0, 4], [2, 0]], [[5, 5], [0, 0]]])
    assert metrics.balanced_accuracy(stack) == pytest.approx([(3 / 4 + 1) / 2, 0, 1 / 2])
    assert metrics.macro_f1(stack) == pytest.approx([(6 / 7 + 4 / 5) / 2, 0, 10 / 15])
    assert metrics.mean_recall(np.array([[1, 0], [2, 3]]), np.array([[2, 0], [4, 3]])).tolist() == [
        0.5,
        0.75,
    ]


def test_the_bootstrap_interval_is_that_of_the_normal_approximation_with_many_images() -> None:
    """Standard error of the mean of two recalls of 0.9 and 0.8 over 9,000 and 1,000 images."""
    labels = np.repeat([0, 1], [9000, 1000])
    predicted = np.concatenate([np.repeat([0, 1], [8100, 900]), np.repeat([1, 0], [800, 200])])
    estimate = metrics.score(labels, np.eye(2)[predicted], ("a", "b"), 0).balanced_accuracy
    error = 0.5 * (0.9 * 0.1 / 9000 + 0.8 * 0.2 / 1000) ** 0.5
    assert estimate.value == pytest.approx(0.85)
    assert (estimate.low, estimate.high) == pytest.approx(
        (0.85 - 1.96 * error, 0.85 + 1.96 * error), abs=0.15 * error
    )


def test_the_interval_of_one_gap_is_that_of_a_proportion() -> None:
    """All 400 confidences are 0.7 and half of the images right: 0.2 with standard error 0.025."""
    labels = np.repeat([0, 1], 200)
    scores = metrics.score(labels, np.tile([0.7, 0.3], (400, 1)), ("a", "b"), seed=0)
    error = scores.expected_calibration_error
    assert error.value == pytest.approx(0.2)
    assert (error.low, error.high) == pytest.approx((0.151, 0.249), abs=0.004)


def test_equal_resamples_take_the_interval_of_the_accuracy_and_keep_the_value() -> None:
    """A figure that is 0.25 for all counts: 8 of 10 right have Wilson's interval 0.490 to 0.943."""
    confusion = np.array([[4, 1], [1, 4]])

    def constant(counts: metrics.Counts) -> metrics.Floats:
        return np.full(counts.shape[:-2], 0.25)

    estimate = metrics.bootstrap_images(constant, confusion, np.random.default_rng(0))
    assert (estimate.low, estimate.value) == (0.25, 0.25)
    assert estimate.high == pytest.approx(0.9433, abs=1e-4)
    one = metrics.bootstrap_images(lambda x: constant(x) + 0.75, confusion, np.random.default_rng())
    assert (one.low, one.high) == pytest.approx((0.4902, 1.0), abs=1e-4)
