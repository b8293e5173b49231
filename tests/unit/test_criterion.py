"""The predictions' criterion."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.shift.criterion import ZOOMS, mutual_information, preferred_zoom
from stainproof.shift.lab import Lab


def test_mutual_information_of_certain_and_different_predictions_is_that_of_the_classes() -> None:
    assert mutual_information(np.eye(8, dtype=np.float32)) == pytest.approx(np.log(8))


@pytest.mark.parametrize(
    "probs", [np.full((8, 8), 1 / 8), np.tile(np.eye(8)[0], (8, 1))], ids=["unsure", "one class"]
)
def test_mutual_information_of_equal_predictions_is_none(probs: NDArray[np.float64]) -> None:
    assert mutual_information(probs.astype(np.float32)) == pytest.approx(0, abs=1e-6)


def test_the_zoom_at_which_predictions_differ_most_is_preferred() -> None:
    squares = [np.full((96, 96, 3), 200, dtype=np.uint8) for _ in range(8)]
    best = ZOOMS[8]

    def predict(images: Sequence[Images]) -> NDArray[np.float32]:
        zoom = 96 / images[0].shape[0]
        certainty = np.exp(-10 * np.log(zoom / best) ** 2)
        return (certainty * np.eye(8) + (1 - certainty) / 8).astype(np.float32)

    found = preferred_zoom(squares, predict, Lab())
    assert found.scale == best
    assert found.gain > 0
