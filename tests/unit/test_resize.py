"""Resizing in a submission: with numpy alone, as OpenCV does it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.contest.grader import FILES
from stainproof.data.images import resizing_weights, to_square
from tests.common.scripts import load_script


@pytest.fixture(scope="module")
def resize(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Resize images as a submission does, with the weights that `submit` writes."""
    path = FILES / "submission" / "parts" / "resize.py"
    module = load_script(path)
    module.WEIGHTS = tmp_path_factory.mktemp("weights")

    def call(images: Any, size_px: Any) -> Any:
        old_px = images.shape[1]
        weights = resizing_weights(old_px, size_px)
        np.save(module.WEIGHTS / f"resize_{old_px}_{size_px}.npy", weights)
        return module.resize(images, size_px)

    return call


def noise(size_px: int, number: int = 8) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(number, size_px, size_px, 3), dtype=np.uint8)


def differences(
    resize: Callable[..., Any], images: NDArray[np.uint8], size_px: int
) -> NDArray[np.int64]:
    preprocessing = Preprocessing(size_px=size_px)
    expected = np.stack([to_square(rgb, preprocessing) for rgb in images])
    found = resize(images, size_px)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    return np.abs(found.astype(int) - expected)


@pytest.mark.parametrize("size_px", [24, 32, 48, 64, 72, 90, 96])
def test_shrinking_a_contest_image_is_the_same_to_the_byte(
    resize: Callable[..., Any], size_px: int
) -> None:
    assert differences(resize, noise(96), size_px).max() == 0


@pytest.mark.parametrize("size_px", [16, 40, 80, 95])
def test_shrinking_to_other_sizes_differs_in_the_last_digit_of_hardly_a_pixel(
    resize: Callable[..., Any], size_px: int
) -> None:
    apart = differences(resize, noise(96), size_px)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01


@pytest.mark.parametrize("size_px", [100, 128, 160, 192, 224])
def test_enlarging_differs_in_the_last_digit_of_hardly_a_pixel(
    resize: Callable[..., Any], size_px: int
) -> None:
    apart = differences(resize, noise(96), size_px)
    assert apart.max() <= 1
    # OpenCV computes this in integers where it lacks Intel's library, and rounds otherwise.
    assert (apart > 0).mean() < 0.1


@pytest.mark.parametrize(("old_px", "new_px"), [(224, 96), (128, 64), (64, 48), (224, 160)])
def test_members_of_other_sizes_are_resized_from_the_largest(
    resize: Callable[..., Any], old_px: int, new_px: int
) -> None:
    apart = differences(resize, noise(old_px), new_px)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01


def test_no_image_is_no_image(resize: Callable[..., Any]) -> None:
    assert resize(noise(96, number=0), 64).shape == (0, 64, 64, 3)


def test_images_are_left_alone(resize: Callable[..., Any]) -> None:
    images = noise(96)
    before = images.copy()
    resize(images, 64)[:] = 0
    assert np.array_equal(images, before)
