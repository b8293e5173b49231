"""Which correction a profile applies: the measured one, if predictions become more certain."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.shift.decision import (
    UNCHANGED,
    Correction,
    Decision,
    Predict,
    candidates,
    decide,
    mean_entropy,
)
from stainproof.shift.rulers import MeasuredScale

Probs = NDArray[np.float32]


def certain(share: float, classes: NDArray[np.int64]) -> Probs:
    """Return predictions of 8 classes, of which a share is certain and the rest is uniform."""
    return (share * np.eye(8)[classes] + (1 - share) / 8).astype(np.float32)


def peak(scale: float, *, white: bool = False, classes: int = 8, num: int = 64) -> Predict:
    """Return a classifier that is most certain at one scale, with or without the white point."""

    def predict(one: Correction) -> Probs:
        distance = abs(math.log(one.scale / scale)) + 0.5 * (one.white != white)
        return certain(math.exp(-distance), np.arange(num) % classes)

    return predict


def measured(scale: float, error: float = 0.1, refusal: str = "") -> MeasuredScale:
    return MeasuredScale(math.log(scale), error, ("scale head: x",), refusal)


def decide_on(found: MeasuredScale, predict: Predict) -> Decision:
    return decide(found, predict)


@pytest.mark.parametrize("classes", [1, 8], ids=["one class", "all classes"])
@pytest.mark.parametrize("white", [False, True])
def test_a_measured_scale_is_applied_where_predictions_are_certain(
    white: bool, classes: int
) -> None:
    found = decide_on(measured(1.5), peak(1.5, white=white, classes=classes))
    assert found.trusted
    assert found.correction == Correction(1.5, white)


def test_a_correction_that_makes_predictions_uncertain_is_not_applied() -> None:
    """A single class seems smaller than it is: the head measures 1.7, but 1 is right."""
    found = decide_on(measured(1.7), peak(1.0, classes=1))
    assert found.correction == UNCHANGED
    assert not found.trusted
    assert "does not make the predictions more certain" in found.reasons[0]


def test_a_scale_nearer_to_one_is_applied_if_predictions_are_more_certain_there() -> None:
    found = decide_on(measured(1.7, error=0.15), peak(1.35))
    assert 1.3 < found.correction.scale < 1.6


def test_certainty_far_from_the_measured_scale_does_not_count() -> None:
    """A wrong scale can make predictions certain: very small cells are taken for platelets."""
    assert all(0.78 < one.scale < 1.26 for one in candidates(measured(1.0)))


def test_the_white_point_alone_is_corrected_if_it_helps() -> None:
    assert decide_on(measured(1.0), peak(1.0, white=True)).correction == Correction(1.0, True)


@pytest.mark.parametrize(("num", "is_corrected"), [(16, False), (31, False), (32, True)])
def test_few_images_do_not_decide_on_the_white_point(num: int, is_corrected: bool) -> None:
    found = decide_on(measured(1.5), peak(1.5, white=True, num=num))
    assert found.correction == Correction(1.5, is_corrected)


def test_at_home_nothing_is_changed_and_the_profile_is_trusted() -> None:
    found = decide_on(measured(1.03), lambda _: certain(0.97, np.arange(16) % 8))
    assert found.correction == UNCHANGED
    assert found.trusted
    assert "nothing is changed" in found.reasons[0]


@pytest.mark.parametrize(("scale", "is_applied"), [(1.5, True), (0.65, False)])
def test_equally_certain_predictions_allow_a_clear_enlargement_and_no_border(
    scale: float, is_applied: bool
) -> None:
    found = decide_on(measured(scale), lambda _: certain(0.8, np.arange(16) % 8))
    assert (found.correction != UNCHANGED) == is_applied


def test_without_a_trusted_measurement_nothing_is_tried() -> None:
    def predict(_: Correction) -> Probs:
        raise AssertionError("the classifier was asked")

    found = decide_on(measured(1.5, refusal="9 images, 16 are needed"), predict)
    assert (found.correction, found.trusted) == (UNCHANGED, False)
    assert found.reasons[0] == "not trusted: 9 images, 16 are needed; nothing is changed"


def test_candidates_stay_within_the_scales_that_a_profile_allows() -> None:
    scales = [one.scale for one in candidates(measured(2.6))]
    assert max(scales) <= 3
    assert 1.0 not in scales


def test_the_entropy_of_uniform_predictions_is_that_of_the_classes() -> None:
    assert mean_entropy(np.full((4, 8), 1 / 8, dtype=np.float32)) == pytest.approx(math.log(8))
    assert mean_entropy(np.eye(8, dtype=np.float32)) == pytest.approx(0, abs=1e-9)
