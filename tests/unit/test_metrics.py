from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from stainproof.evaluation import metrics


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
