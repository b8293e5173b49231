import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.data.images import to_square
from stainproof.data.white_balance import balance_white

STANDARD = (255, 230, 203)


def cell(background: tuple[int, int, int], share: float = 0.5, size: int = 40) -> NDArray[np.uint8]:
    """An image of which a share is background, the rest stain of random strength."""
    rng = np.random.default_rng(0)
    light = rng.uniform(0.2, 0.8, (size, size, 3))
    light[: round(share * size)] = 1
    return np.rint(light * background).astype(np.uint8)


@pytest.mark.parametrize("background", [(206, 206, 217), (255, 250, 240), (180, 130, 110)])
def test_background_gets_the_standard_white_point(background: tuple[int, int, int]) -> None:
    balanced = balance_white(cell(background), STANDARD)
    assert (balanced[0, 0] == STANDARD).all()


def test_cells_that_differ_in_light_only_become_alike() -> None:
    one, other = (
        balance_white(cell(light), STANDARD) for light in ((240, 240, 240), (250, 225, 180))
    )
    assert np.abs(one.astype(int) - other).max() <= 1


def test_without_background_nothing_is_changed() -> None:
    """Three stains side by side, each bright in one channel: no pixel is bright in all of them."""
    rgb = np.full((30, 30, 3), 60, np.uint8)
    for channel in range(3):
        rgb[10 * channel : 10 * channel + 10, :, channel] = 200
    assert balance_white(rgb, STANDARD) is rgb


@pytest.mark.parametrize("background", [(90, 200, 200), (0, 0, 0)])
def test_gain_over_two_changes_nothing(background: tuple[int, int, int]) -> None:
    rgb = cell(background)
    assert balance_white(rgb, STANDARD) is rgb


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), target=st.tuples(*[st.integers(1, 255)] * 3))
def test_balanced_image_is_not_changed_again(seed: int, target: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    rgb = cell(tuple(rng.integers(1, 256, 3)), rng.uniform(), 12)
    once = balance_white(rgb, target)
    assert balance_white(once, target) is once


def test_preprocessing_balances_every_image() -> None:
    rgb = cell((206, 206, 217))
    size = {"size_px": 40}
    expected = balance_white(rgb, STANDARD)
    assert (to_square(rgb, Preprocessing(**size, white_point=STANDARD)) == expected).all()
    assert (to_square(rgb, Preprocessing(**size)) == rgb).all()
