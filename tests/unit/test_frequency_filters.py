"""Fourier filters do to known waves what their formulas say."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.inference.frequency_filters import (
    FILTERS,
    apply_filter,
    low_pass,
    periodic_peaks,
    without_periodic_noise,
)
from stainproof.synthetic import phantoms

LOW_PASSES = ("ideal", "gaussian", "butterworth")


def wave(
    period_px: float, amplitude: int, shape: Any = (96, 96), angle: float = 0.0
) -> NDArray[np.float64]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period_px
    return (amplitude * np.sin(phase))[..., None]


@pytest.fixture(scope="module")
def cells() -> NDArray[np.uint8]:
    return np.stack(list(phantoms.generate(24, seed=5)[0]))


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("shape", [(2, 33, 48, 3), (0, 32, 32, 3)])
def test_every_filter_keeps_shape_type_and_input(kind: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    before = images.copy()
    changed = apply_filter(images, kind, 0.5)
    assert changed.shape == shape and changed.dtype == np.uint8
    assert np.array_equal(images, before)


@pytest.mark.parametrize("kind", LOW_PASSES)
def test_a_low_pass_keeps_even_images_and_slow_waves_and_takes_fast_ones(kind: str) -> None:
    slow = np.rint(128 + wave(48, 60) * np.ones(3))[None].astype(np.uint8)
    fast = np.rint(128 + wave(3, 60) * np.ones(3))[None].astype(np.uint8)
    even = np.full((1, 96, 96, 3), 77, dtype=np.uint8)
    assert np.array_equal(apply_filter(even, kind, 0.2), even)
    assert apply_filter(slow, kind, 0.2).std() > 0.9 * slow.std()
    assert apply_filter(fast, kind, 0.2).std() < 0.1 * fast.std()


def test_low_passes_follow_their_formulas() -> None:
    column = round(0.5 * 48)  # half of Nyquist's frequency along a side of 96
    assert low_pass("ideal", 0.5, (96, 96))[0, column] == 1
    assert low_pass("ideal", 0.5, (96, 96))[0, column + 1] == 0
    assert low_pass("gaussian", 0.5, (96, 96))[0, column] == pytest.approx(np.exp(-0.5))
    assert low_pass("butterworth", 0.5, (96, 96))[0, column] == pytest.approx(0.5)
    assert low_pass("butterworth", 0.25, (96, 96))[0, column] == pytest.approx(1 / 17)
    assert np.allclose(low_pass("gaussian", 0.3, (40, 60)), low_pass("gaussian", 0.3, (60, 40)).T)


def test_periodic_noise_is_found_where_it_was_put(cells: NDArray[np.uint8]) -> None:
    noisy = np.clip(cells + wave(96 / 20, 25), 0, 255).astype(np.uint8)
    peaks = periodic_peaks(noisy)
    assert peaks[:, 0, 20].mean() > 0.9 and peaks[:, 0, -20].mean() > 0.9
    assert not peaks[:, 20, 0].any()


def test_a_notch_takes_the_noise_and_leaves_the_cell(cells: NDArray[np.uint8]) -> None:
    noisy = np.clip(cells + wave(4.3, 15, angle=0.7), 0, 255).astype(np.uint8)

    def error(images: Any) -> Any:
        return np.sqrt(np.mean((images.astype(float) - cells) ** 2))

    assert error(without_periodic_noise(noisy)) < 0.5 * error(noisy)


def test_sound_cells_come_through_the_notch_to_the_byte_all_but_a_few_in_a_hundred() -> None:
    sound = np.stack(list(phantoms.generate(160, seed=6)[0]))
    touched = periodic_peaks(sound).any(axis=(1, 2))
    assert touched.mean() < 0.03
    assert np.array_equal(without_periodic_noise(sound)[~touched], sound[~touched])
