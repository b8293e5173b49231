import numpy as np
import pytest

from stainproof.shift.lab import Lab
from stainproof.shift.pixel_map import pixel_map

WHITE, TARGET = (240, 210, 150), (255, 230, 203)


@pytest.mark.parametrize("side", [33, 96, 300])
@pytest.mark.parametrize(
    "lab",
    [
        Lab(),
        Lab(scale=1.37),
        Lab(scale=0.42, white_point=WHITE, target_white_point=TARGET),
        Lab(white_point=WHITE, target_white_point=TARGET),
        Lab(scale=2.6, white_point=TARGET, target_white_point=WHITE),
        Lab(scale=2.0, trusted=False),
    ],
)
def test_index_arrays_do_what_the_profile_does(lab: Lab, side: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(3, side, side, 3), dtype=np.uint8)
    expected = [lab.standardise(rgb) for rgb in images]
    change = pixel_map(lab, side)
    zoomed = images[:, change.positions][:, :, change.positions]
    assert np.array_equal(change.levels[zoomed, np.arange(3)], expected)
