"""The ruler: diameters of red cells."""

import cv2
import numpy as np
import pytest

from stainproof.data.images import Images
from stainproof.shift.red_cells import red_cell_diameters, segment

BACKGROUND, RED, NUCLEUS = (240, 230, 220), (220, 160, 150), (90, 30, 120)


def smear(red_px: int, side_px: int = 200) -> Images:
    """Return a white cell in the centre and four red cells around it, two of them touching."""
    rgb = np.full((side_px, side_px, 3), BACKGROUND, dtype=np.uint8)
    middle, far = side_px // 2, side_px // 5
    for x, y in ((far, far), (far + int(0.9 * red_px), far), (side_px, side_px), (far, 4 * far)):
        cv2.circle(rgb, (x, y), red_px // 2, RED, -1, cv2.LINE_AA)
    cv2.circle(rgb, (middle + 10, middle + 20), side_px // 5, NUCLEUS, -1, cv2.LINE_AA)
    return rgb


@pytest.mark.parametrize("red_px", [36, 50, 64])
def test_the_diameter_of_drawn_red_cells_is_found(red_px: int) -> None:
    found = red_cell_diameters(smear(red_px))
    assert np.median(found) == pytest.approx(red_px / 200, rel=0.08)


def test_touching_and_cut_red_cells_are_measured_one_by_one() -> None:
    assert red_cell_diameters(smear(50)).max() < 0.3


def test_oblong_images_are_measured_by_their_shorter_side() -> None:
    oblong = np.hstack([smear(50), smear(50)])
    assert np.median(red_cell_diameters(oblong)) == pytest.approx(0.25, rel=0.08)


def test_nuclei_are_no_red_cells() -> None:
    rgb = np.full((200, 200, 3), BACKGROUND, dtype=np.uint8)
    cv2.circle(rgb, (40, 40), 25, RED, -1)
    cv2.circle(rgb, (130, 130), 40, NUCLEUS, -1)
    assert np.allclose(red_cell_diameters(rgb), 0.25, atol=0.02)


def test_an_image_of_one_colour_has_no_red_cells() -> None:
    assert not len(red_cell_diameters(np.full((50, 50, 3), 200, dtype=np.uint8)))


def test_cells_and_nuclei_are_separated_by_their_density() -> None:
    cells, nuclei = segment(smear(50))
    assert cells[40, 40] and not nuclei[40, 40]
    assert nuclei[120, 110] and cells[120, 110]
    assert not cells[5, 100]
