"""Laboratory profiles: what they store and how they change an image."""

from pathlib import Path

import numpy as np
import pytest

from stainproof.errors import CheckpointError
from stainproof.shift.lab import Lab

RNG = np.random.default_rng(0)
OBLONG = RNG.integers(256, size=(60, 90, 3), dtype=np.uint8)


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    lab = Lab(scale=1.3, white_point=(240, 230, 200), target_white_point=(255, 232, 210))
    lab.write(tmp_path / "lab.json")
    assert Lab.read(tmp_path / "lab.json") == lab


def test_a_profile_that_is_not_trusted_changes_nothing() -> None:
    lab = Lab(scale=1.3, white_point=(200, 200, 200), trusted=False)
    assert lab.standardise(OBLONG) is OBLONG


def test_scale_above_one_crops_the_centre() -> None:
    assert np.array_equal(Lab(scale=1.5).standardise(OBLONG), OBLONG[10:50, 15:75])


def test_scale_below_one_keeps_the_image_inside_a_border() -> None:
    zoomed = Lab(scale=0.5).standardise(OBLONG)
    assert zoomed.shape == (120, 180, 3)
    assert np.array_equal(zoomed[30:90, 45:135], OBLONG)


def test_very_long_images_are_shrunk_before_a_border_is_added() -> None:
    rgb = np.zeros((4096, 2048, 3), dtype=np.uint8)
    assert Lab(scale=0.5).standardise(rgb).shape == (2048, 1024, 3)


def test_the_short_side_of_a_very_long_image_stays_one_pixel() -> None:
    rgb = np.arange(3 * 4100 * 2, dtype=np.uint8).reshape(2, 4100, 3)
    for image in (rgb, rgb.transpose(1, 0, 2)):
        assert max(Lab(scale=0.5).standardise(np.ascontiguousarray(image)).shape) == 2048


def test_the_white_point_becomes_that_of_the_training_images() -> None:
    rgb = np.full((8, 8, 3), (200, 220, 160), dtype=np.uint8)
    lab = Lab(white_point=(200, 220, 160), target_white_point=(255, 232, 210))
    assert np.array_equal(lab.standardise(rgb)[0, 0], (255, 232, 210))


def test_the_image_given_is_not_modified() -> None:
    before = OBLONG.copy()
    Lab(scale=0.8, white_point=(200, 220, 160)).standardise(OBLONG)
    assert np.array_equal(OBLONG, before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"scale": 9}', "scale"),
        ('{"scale": NaN}', "scale"),
        ('{"white_point": [0, 200, 200]}', "white_point"),
        ('{"white_point": [200, 200]}', "white_point"),
        ("{", "no JSON"),
    ],
)
def test_unusable_profiles_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "lab.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Lab.read(path)
