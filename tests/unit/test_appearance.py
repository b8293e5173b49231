"""What is measured on images, against images of known properties."""

import cv2
import numpy as np
import pytest

from stainproof.data.images import Images
from stainproof.shift import appearance
from stainproof.shift.appearance import measure_appearance, summarise

RNG = np.random.default_rng(0)
BLUE, PINK = np.array([0.65, 0.7, 0.29]), np.array([0.07, 0.99, 0.11])
"""Optical density of haematoxylin and eosin (Ruifrok and Johnston 2001)."""


def stained(strength: float = 1.0, white: tuple[int, int, int] = (250, 240, 220)) -> Images:
    """Return an image of the two stains in discs of known density on a background."""
    density = np.zeros((96, 96, 3))
    y, x = np.mgrid[:96, :96]
    density[(x - 35) ** 2 + (y - 40) ** 2 < 20**2] = BLUE * strength
    density[(x - 70) ** 2 + (y - 60) ** 2 < 15**2] = PINK * strength
    return np.rint(np.array(white) * 10**-density).astype(np.uint8)


def test_the_white_point_is_that_of_the_background() -> None:
    assert appearance.white_point(stained()) == pytest.approx((250, 240, 220))


def test_the_two_stains_are_found_in_optical_density() -> None:
    found = appearance.stain_vectors(stained()).reshape(2, 3)
    assert found[0] == pytest.approx(BLUE / np.linalg.norm(BLUE), abs=0.03)
    assert found[1] == pytest.approx(PINK / np.linalg.norm(PINK), abs=0.03)


def test_stain_vectors_do_not_depend_on_white_point_and_strength() -> None:
    first = appearance.stain_vectors(stained())
    second = appearance.stain_vectors(stained(0.6, (200, 230, 250)))
    assert second == pytest.approx(first, abs=0.05)


def test_strength_grows_with_the_stain() -> None:
    weak, strong = (appearance.stain_strength(stained(one))[0] for one in (0.5, 1.0))
    assert strong == pytest.approx(2 * weak, rel=0.05)


def test_an_unstained_image_has_no_stain_vectors() -> None:
    assert np.isnan(appearance.stain_vectors(np.full((96, 96, 3), 230, dtype=np.uint8))).all()


@pytest.mark.parametrize("sigma", [2.0, 6.0, 12.0])
def test_noise_is_measured_beside_edges(sigma: float) -> None:
    noisy = stained() * 0.8 + RNG.normal(0, sigma, (96, 96, 3))
    found = appearance.noise(np.clip(noisy, 0, 255).astype(np.uint8))
    assert found[0] == pytest.approx(sigma, rel=0.15)


def test_a_blurred_image_is_less_in_focus() -> None:
    blurred = np.asarray(cv2.GaussianBlur(stained(), (0, 0), 3), dtype=np.uint8)
    assert appearance.focus(blurred)[0] < 0.3 * appearance.focus(stained())[0]


def test_median_and_spread_leave_out_images_without_a_value() -> None:
    rows = np.array([[1.0], [2.0], [3.0], [np.nan], [100.0]])
    found = summarise(rows, "", "")
    assert found is not None
    assert (found.values, found.num_images) == ((2.5,), 4)
    assert found.spread[0] == pytest.approx(1.4826 * 1.0)
    assert summarise(rows[3:4], "", "") is None


@pytest.mark.parametrize("value", [0, 128, 255])
def test_images_of_one_colour_are_measured_without_failing(value: int) -> None:
    flat = np.full((20, 96, 96, 3), value, dtype=np.uint8)
    found = measure_appearance(flat)
    assert found.num_images == 20
    assert "red_cell_diameter" not in found.measures
