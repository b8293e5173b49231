from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.data.images import to_square


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


def oblong(fit: str, size_px: int, height: int, width: int) -> NDArray[np.uint8]:
    """A white image whose middle square is blue, brought to a square."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    rgb[top : top + side, left : left + side] = (0, 0, 200)
    return to_square(rgb, Preprocessing(size_px=size_px, fit=fit))


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (31, 90), (16, 16)])
def test_crop_keeps_the_middle_square(shape: tuple[int, int]) -> None:
    assert (oblong("crop", 32, *shape) == (0, 0, 200)).all()


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_pad_keeps_the_whole_image_between_grey_borders(shape: tuple[int, int]) -> None:
    square = oblong("pad", 64, *shape)
    if shape[0] > shape[1]:
        square = square.transpose(1, 0, 2)
    assert (square[:16] == 128).all() and (square[48:] == 128).all()
    assert (square[16:48, 16:48] == (0, 0, 200)).all()
    assert (square[16:48, :16] == 255).all() and (square[16:48, 48:] == 255).all()


@pytest.mark.parametrize("shape", [(32, 64), (64, 32)])
def test_stretch_squeezes_the_whole_image(shape: tuple[int, int]) -> None:
    square = oblong("stretch", 32, *shape)
    if shape[0] > shape[1]:
        square = square.transpose(1, 0, 2)
    assert (square[:, 9:23] == (0, 0, 200)).all()
    assert (square[:, :7] == 255).all() and (square[:, 25:] == 255).all()


@settings(max_examples=40, deadline=None)
@given(
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    size=st.integers(16, 70), height=st.integers(1, 90), width=st.integers(1, 90),
)  # fmt: skip
def test_any_image_becomes_the_size_and_a_flat_one_stays_flat(
    fit: Any, size: Any, height: Any, width: Any
) -> None:
    rgb = np.full((height, width, 3), 128, np.uint8)
    square = to_square(rgb, Preprocessing(size_px=size, fit=fit))
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8
    assert (square == 128).all()


def test_shrinking_averages_areas() -> None:
    checks = np.indices((64, 64)).sum(0)[..., None] % 2 * np.full(3, 254)
    square = to_square(checks.astype(np.uint8), Preprocessing(size_px=32))
    assert (square == 127).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_an_image_that_fits_is_returned_as_it_is(fit: str) -> None:
    rgb = noise(32, 32)
    assert np.array_equal(to_square(rgb, Preprocessing(size_px=32, fit=fit)), rgb)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(20, 40), (70, 50), (32, 32)])
def test_the_input_is_not_modified(fit: str, shape: tuple[int, int]) -> None:
    rgb = noise(*shape)
    before = rgb.copy()
    rgb.flags.writeable = False
    to_square(rgb, Preprocessing(size_px=32, fit=fit))
    assert np.array_equal(rgb, before)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1)])
def test_an_image_one_pixel_wide_needs_little_memory(fit: str, shape: tuple[int, int]) -> None:
    rgb = np.full((*shape, 3), 7, np.uint8)
    square = to_square(rgb, Preprocessing(size_px=32, fit=fit))
    assert square.shape == (32, 32, 3)
