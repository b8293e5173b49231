from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from stainproof.calibration.abstention import (
    SIGNIFICANCE,
    Threshold,
    count_accepted,
    find_threshold,
)
from stainproof.calibration.record import Calibration, make_calibration
from stainproof.calibration.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE
from stainproof.errors import CheckpointError, ConfigError

ANY = make_calibration(np.zeros(1, dtype=np.int64), np.array([[0.9, 0.1]]), 1.0, "drawn")


def draw(num: int, rng: np.random.Generator) -> Calibration:
    """Return predictions of a two-class model whose confidence is the probability to be right."""
    confidence = np.minimum(0.5 + rng.exponential(0.3, num), 0.999)
    is_right = rng.random(num) < confidence
    predictions = {"right": confidence[is_right], "wrong": confidence[~is_right]}
    ascending = {name: tuple(np.sort(some).tolist()) for name, some in predictions.items()}
    return ANY.model_copy(update={"num_images": num, **ascending})


def error_above(threshold: float, later: Calibration) -> float:
    right, wrong = (np.array(one) >= threshold for one in (later.right, later.wrong))
    return float(wrong.sum() / (wrong.sum() + right.sum()))


@pytest.mark.parametrize(("num", "max_error"), [(300, 0.05), (1000, 0.1)])
def test_the_error_among_accepted_images_is_exceeded_in_at_most_one_case_of_twenty(
    num: int, max_error: float
) -> None:
    rng = np.random.default_rng(0)
    later = draw(100_000, rng)

    exceeded, shares = [], []
    for _ in range(200):
        try:
            found = find_threshold(draw(num, rng), max_error)
        except ConfigError:
            exceeded.append(False)
            continue
        exceeded.append(error_above(found.confidence, later) > max_error)
        shares.append(found.num_accepted / found.num_images)

    assert sum(exceeded) <= binom.ppf(0.999, 200, SIGNIFICANCE)
    assert np.mean(shares) > 0.1


def test_a_larger_error_accepts_at_least_as_many_images() -> None:
    calibration = draw(2000, np.random.default_rng(1))

    accepted = [find_threshold(calibration, error).num_accepted for error in (0.02, 0.05, 0.1, 0.3)]

    assert accepted == sorted(accepted) and accepted[0] < accepted[-1]


def test_an_error_above_that_of_all_images_accepts_every_image() -> None:
    found = find_threshold(draw(2000, np.random.default_rng(1)), 0.5)

    assert (found.confidence, found.num_accepted) == (0, 2000)


def test_equal_confidences_are_accepted_together() -> None:
    probs = np.array([[0.9, 0.1]] * 200, dtype=np.float32)
    labels = np.zeros(200, dtype=np.int64)
    labels[:2] = 1

    found = find_threshold(make_calibration(labels, probs, 1.0, "ties"), 0.05)

    assert (found.num_accepted, found.num_wrong) == (200, 2)


def in_order(outcomes: list[bool]) -> Calibration:
    """Return predictions, right or wrong from the highest confidence down: 0.999, 0.998, ..."""
    confidence = 0.999 - 0.001 * np.arange(len(outcomes))
    is_right = np.array(outcomes)
    return ANY.model_copy(
        update={
            "num_images": len(outcomes),
            "right": tuple(np.sort(confidence[is_right]).tolist()),
            "wrong": tuple(np.sort(confidence[~is_right]).tolist()),
        }
    )


def test_thresholds_are_counted_from_high_to_low_and_equal_confidences_together() -> None:
    calibration = ANY.model_copy(
        update={"num_images": 6, "right": (0.5, 0.7, 0.7, 0.9), "wrong": (0.6, 0.7)}
    )

    thresholds, num_accepted, num_wrong = count_accepted(calibration)

    assert thresholds.tolist() == [0.9, 0.7, 0.6, 0.5]
    assert num_accepted.tolist() == [1, 4, 5, 6]
    assert num_wrong.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("later", "num_accepted", "num_wrong"),
    [
        ([False] * 10, 40, 0),
        ([True] * 4 + [False], 44, 0),
        ([True] * 5 + [False] * 2, 46, 1),
        ([False] + [True] * 100, 40, 0),
        ([True] * 6 + [False] + [True] * 5 + [False], 52, 1),
    ],
)
def test_thresholds_are_tested_until_the_first_that_fails(
    later: list[bool], num_accepted: int, num_wrong: int
) -> None:
    """At most 10 % wrong: one mistake is safe among 46 images (0.9^46 + 4.6 * 0.9^45 = 0.048),
    not among 45 (0.052), and two are not among 53."""
    calibration = in_order([True] * 40 + later)

    found = find_threshold(calibration, 0.1)

    assert found.confidence == pytest.approx(0.999 - 0.001 * (num_accepted - 1))
    assert (found.max_error, found.num_images) == (0.1, len(later) + 40)
    assert (found.num_accepted, found.num_wrong) == (num_accepted, num_wrong)


def test_the_fewest_images_without_a_mistake_are_29_at_an_error_of_a_tenth() -> None:
    """0.9^29 = 0.047, 0.9^28 = 0.052."""
    enough, too_few = in_order([True] * 29 + [False] * 5), in_order([True] * 28 + [False] * 5)

    found = find_threshold(enough, 0.1)

    assert (found.num_accepted, found.num_wrong) == (29, 0)
    with pytest.raises(ConfigError) as raised:
        find_threshold(too_few, 0.1)
    assert str(raised.value) == (
        "error: 10 % cannot be guaranteed with 33 labelled images, 5 of them wrong; 29 right "
        "predictions of the highest confidence are needed"
    )


def test_an_error_that_too_few_images_allow_is_refused_with_the_number_needed() -> None:
    """1 % needs log(0.05) / log(0.99) = 298.1 images; 0.1 % needs 2,994.2."""
    calibration = in_order([True] * 100)

    with pytest.raises(ConfigError, match="; 299 right"):
        find_threshold(calibration, 0.01)
    with pytest.raises(ConfigError, match=r"error: 0\.1 % .*; 2,995 right"):
        find_threshold(calibration, 0.001)


def test_a_threshold_describes_itself() -> None:
    found = Threshold(0.87654, 0.025, num_images=12_345, num_accepted=10_000, num_wrong=1_234)

    assert found.describe() == (
        "predictions of a confidence from 0.8765: 10,000 of 12,345 labelled images, 1,234 wrong; "
        "on images like these at most 2.5 % are wrong (confidence level 95 %)"
    )


def test_one_mistake_of_high_confidence_does_not_end_the_search() -> None:
    right = np.linspace(0.5, 0.99, 1000)
    surely_wrong = ANY.model_copy(
        update={"num_images": 1001, "right": tuple(right.tolist()), "wrong": (0.999,)}
    )

    found = find_threshold(surely_wrong, 0.02)

    assert (found.num_accepted, found.num_wrong) == (1001, 1)


@pytest.mark.parametrize("field", ["temperature", "prior_temperature"])
@pytest.mark.parametrize("value", [-1, 0, MIN_TEMPERATURE / 2, MAX_TEMPERATURE + 1])
def test_a_file_with_a_temperature_out_of_range_is_refused(field: str, value: float) -> None:
    content = ANY.model_copy(update={field: value}).to_json()
    with pytest.raises(CheckpointError, match=field):
        Calibration.parse(content, Path("calibration.json"))


def test_of_more_than_100000_images_a_random_subset_is_stored() -> None:
    probs = np.tile([[0.9, 0.1]], (100_003, 1))
    labels = np.zeros(100_003, dtype=np.int64)
    labels[::50] = 1
    found, again = (make_calibration(labels, probs, 1.0, "drawn") for _ in range(2))
    assert len(found.right) + len(found.wrong) == found.num_images == 100_000
    assert len(found.wrong) == len(again.wrong) == pytest.approx(2000, abs=10)
    assert found.notes == ("100,000 of 100,003 images are stored, drawn at random",)
