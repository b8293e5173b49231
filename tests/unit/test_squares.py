"""The squares that a submission makes with numpy alone are those that OpenCV makes."""

import numpy as np
import pytest

from stainproof.config.schema import Preprocessing
from stainproof.contest.grader import FILES
from stainproof.data.images import to_square
from tests.common.scripts import load_script


@pytest.fixture(scope="module")
def squares():
    return load_script(FILES / "submission" / "parts" / "squares.py")


def noise(height, width, number=3):
    return np.random.default_rng(0).integers(256, size=(number, height, width, 3), dtype=np.uint8)


def differences(squares, images, size_px, fit):
    preprocessing = Preprocessing(size_px=size_px, fit=fit)
    expected = np.stack([to_square(rgb, preprocessing) for rgb in images])
    found = squares.to_squares(images, size_px, fit)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    return np.abs(found.astype(int) - expected)


@pytest.mark.parametrize("size_px", [16, 24, 32, 40, 48, 64, 72, 80, 90, 95, 96])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_downscaling_a_contest_image_equals_opencv(squares, size_px, fit):
    assert differences(squares, noise(96, 96), size_px, fit).max() == 0


@pytest.mark.parametrize("size_px", [100, 128, 160, 224])
def test_enlarging_differs_in_the_last_digit_of_hardly_a_pixel(squares, size_px):
    apart = differences(squares, noise(96, 96), size_px, "crop")
    assert apart.max() <= 1
    # OpenCV computes this in whole numbers where it lacks Intel's library, and rounds otherwise.
    assert (apart > 0).mean() < 0.1


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(96, 128), (50, 96), (200, 150)])
@pytest.mark.parametrize("size_px", [32, 64, 100])
def test_oblong_images_are_fitted_as_the_preprocessing_says(squares, shape, size_px, fit):
    assert differences(squares, noise(*shape), size_px, fit).max() <= 1


def test_an_empty_batch_stays_empty(squares):
    assert squares.to_squares(noise(96, 96, number=0), 64, "crop").shape == (0, 64, 64, 3)
    assert squares.to_squares(noise(96, 96, number=0), 48, "crop").shape == (0, 48, 48, 3)


def test_images_are_not_modified(squares):
    images = noise(96, 96)
    before = images.copy()
    squares.to_squares(images, 64, "crop")[:] = 0
    assert np.array_equal(images, before)
