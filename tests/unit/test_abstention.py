import numpy as np
import pytest
from scipy.stats import binom

from stainproof.calibration.abstention import SIGNIFICANCE, find_threshold
from stainproof.calibration.record import Calibration, make_calibration
from stainproof.errors import ConfigError

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


def test_an_error_that_cannot_be_guaranteed_is_refused_with_the_reason() -> None:
    calibration = draw(100, np.random.default_rng(2))

    with pytest.raises(ConfigError, match=r"error: 1 % cannot be guaranteed with 100 .* 299 right"):
        find_threshold(calibration, 0.01)


def test_one_mistake_of_high_confidence_does_not_end_the_search() -> None:
    right = np.linspace(0.5, 0.99, 1000)
    surely_wrong = ANY.model_copy(
        update={"num_images": 1001, "right": tuple(right.tolist()), "wrong": (0.999,)}
    )

    found = find_threshold(surely_wrong, 0.02)

    assert (found.num_accepted, found.num_wrong) == (1001, 1)
