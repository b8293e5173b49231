"""Views at prediction: mirrored and turned, none of them lost or made up."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.inference.tta import TTA_MODES, tta_views


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(256, size=(3, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(("views", "number"), list(zip(TTA_MODES, (1, 4, 8), strict=True)))
def test_tta_views_all_differ_and_the_first_is_the_image(
    images: NDArray[np.uint8], views: str, number: int
) -> None:
    seen = tta_views(images, views)
    assert len(seen) == number
    assert np.array_equal(seen[0], images)
    assert len({view.tobytes() for view in seen}) == number
    assert all(view.dtype == np.uint8 and view.flags.c_contiguous for view in seen)


def test_d4_gives_the_eight_symmetries_of_a_square(images: NDArray[np.uint8]) -> None:
    lying = {np.rot90(images, k, axes=(1, 2)).tobytes() for k in range(4)}
    mirrored = images[:, :, ::-1]
    lying |= {np.rot90(mirrored, k, axes=(1, 2)).tobytes() for k in range(4)}
    assert {view.tobytes() for view in tta_views(images, "d4")} == lying


def test_tta_does_not_modify_the_images(images: NDArray[np.uint8]) -> None:
    before = images.copy()
    for view in tta_views(images, "d4")[1:]:
        view[:] = 0
    assert np.array_equal(images, before)
