import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from stainproof.evaluation import metrics
from stainproof.evaluation.grouped import GroupCounts
from stainproof.runs.artefact import Estimate

CLASSES = ("a", "b", "c")


def scored(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], groups: list[str] | None
) -> metrics.Scores:
    probs = np.full((len(labels), 3), 0.1)
    probs[np.arange(len(labels)), predicted] = 0.8
    return metrics.score(labels, probs, CLASSES, 0, groups)


def estimates(scores: metrics.Scores) -> list[Estimate]:
    by_class = [
        value
        for row in scores.per_class
        for value in (row.sensitivity, row.specificity, row.precision)
    ]
    return [
        scores.accuracy,
        scores.balanced_accuracy,
        scores.macro_f1,
        scores.expected_calibration_error,
        *(value for value in by_class if value),
    ]


def test_every_interval_is_wider_if_the_images_of_a_group_are_copies() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=40).repeat(20)
    predicted = np.where(rng.random(40) < 0.8, labels[::20], rng.integers(3, size=40)).repeat(20)
    groups = [str(number) for number in np.arange(40).repeat(20)]
    over_images, over_groups = scored(labels, predicted, None), scored(labels, predicted, groups)
    assert (over_images.interval_unit, over_images.num_groups) == ("images", 0)
    assert (over_groups.interval_unit, over_groups.num_groups) == ("groups", 40)
    for narrow, wide in zip(estimates(over_images), estimates(over_groups), strict=True):
        assert wide.value == pytest.approx(narrow.value)
        assert wide.low <= wide.value <= wide.high
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_one_group_has_intervals_over_images() -> None:
    labels = np.arange(30) % 3
    predicted = np.where(np.arange(30) < 25, labels, 0)
    one = scored(labels, predicted, ["p"] * 30)
    assert (one.interval_unit, one.num_groups) == ("images", 1)
    assert estimates(one) == estimates(scored(labels, predicted, None))


def test_a_class_of_a_single_group_is_not_determined() -> None:
    labels = np.array([0, 1] * 60 + [2] * 40)
    predicted = np.where(np.arange(160) % 10, labels, 0)
    groups = [f"p{index % 12}" for index in range(120)] + ["p0"] * 40
    scores = scored(labels, predicted, groups)
    rare = scores.per_class[2].sensitivity
    assert rare and (rare.low, rare.high) == (0, 1)
    assert scores.balanced_accuracy.high - scores.balanced_accuracy.low > 1 / 3


def test_a_class_of_two_groups_without_a_mistake_has_a_wide_interval() -> None:
    labels = np.array([0, 1] * 60 + [2] * 40)
    groups = [f"p{index % 12}" for index in range(120)] + ["p0", "p1"] * 20
    scores = scored(labels, labels, groups)
    rare = scores.per_class[2].sensitivity
    assert rare and rare.high == 1 and rare.low < 0.2
    assert 0.5 < scores.accuracy.low < 0.8
    assert scores.balanced_accuracy.high == 1 > 0.9 > scores.balanced_accuracy.low


def test_classes_of_one_group_each_are_not_determined_together() -> None:
    labels = np.repeat([0, 1, 2], 10)
    scores = scored(labels, labels, [CLASSES[label] for label in labels])
    assert (scores.balanced_accuracy.low, scores.balanced_accuracy.high) == (0, 1)


def test_intervals_over_ten_groups_cover_the_truth_and_those_over_images_do_not() -> None:
    rng = np.random.default_rng(0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    truth = float(expit(2 + nodes) @ weights / weights.sum())
    covered = 0
    for _ in range(300):
        sizes = rng.integers(10, 80, (10, 1))
        hits = rng.binomial(sizes, expit(2 + rng.normal(size=(10, 1))))
        estimate = GroupCounts(hits, sizes, sizes).accuracy()
        covered += estimate.low <= truth <= estimate.high
    assert 276 <= covered <= 297


def test_a_score_over_groups_holds_what_one_over_images_holds() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=120)
    predicted = np.where(rng.random(120) < 0.7, labels, rng.integers(3, size=120))
    groups = [f"p{index // 10}" for index in range(120)]
    over_images, over_groups = scored(labels, predicted, None), scored(labels, predicted, groups)
    assert over_groups.confusion == over_images.confusion
    assert over_groups.reliability == over_images.reliability
    counts = GroupCounts.count(labels, predicted, np.arange(120) // 10, 3)
    columns = counts.sensitivity(), counts.specificity(), counts.precision()
    for row, by_image, estimates in zip(
        over_groups.per_class, over_images.per_class, zip(*columns, strict=True), strict=True
    ):
        assert (row.name, row.num_images) == (by_image.name, by_image.num_images)
        assert (row.sensitivity, row.specificity, row.precision) == estimates


def test_two_groups_are_enough_for_intervals_over_groups() -> None:
    labels = np.arange(30) % 3
    scores = scored(labels, labels, ["p", "q"] * 15)
    assert (scores.interval_unit, scores.num_groups) == ("groups", 2)
