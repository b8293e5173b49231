"""One set of checks for every augmentation operation, then what each promises by itself."""

import inspect
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.augment import geometry, occlusion, optics, overlays, photometry
from stainproof.augment.operations import (
    COLOUR_MATRIX_OPERATIONS,
    IMAGE_OPERATIONS,
    LOOKUP_OPERATIONS,
    OPERATION_KINDS,
    OVERLAY_OPERATIONS,
    WARP_OPERATIONS,
    apply,
)
from stainproof.augment.overlays import OverlaySource
from stainproof.config.recipes import FAMILIES, RANGES

EVERY = {
    **WARP_OPERATIONS,
    **LOOKUP_OPERATIONS,
    **COLOUR_MATRIX_OPERATIONS,
    **IMAGE_OPERATIONS,
    **OVERLAY_OPERATIONS,
}
SHAPES = [(40, 40), (31, 57), (96, 64)]


def photo(height: int = 40, width: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture with edges, slow passages and some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 236, size=(6, 6, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8)


@cache
def pictures(height: Any, width: Any) -> Any:
    return OverlaySource(np.stack([photo(height, width, seed) for seed in (7, 8)]), "", 0)


def run(
    rgb: NDArray[np.uint8], steps: list[Any], seed: int = 0, **options: Any
) -> NDArray[np.uint8]:
    return apply(rgb, steps, np.random.default_rng(seed), pictures(*rgb.shape[:2]), **options)


def change(name: str, rgb: NDArray[np.uint8], magnitude: float, seed: int = 0) -> NDArray[np.uint8]:
    return run(rgb, [(name, magnitude)], seed)


def test_every_operation_has_a_range_a_family_and_a_function() -> None:
    assert set(EVERY) == set(RANGES) == set(OPERATION_KINDS)
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(RANGES)


@pytest.mark.parametrize("name", EVERY)
def test_every_operation_names_its_source(name: str) -> None:
    assert "Source: " in (inspect.getdoc(EVERY[name]) or "")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_operation_keeps_shape_and_dtype_and_does_not_modify_its_input(
    name: str, shape: tuple[int, int]
) -> None:
    rgb = photo(*shape)
    before = rgb.copy()
    for seed in range(6):
        for magnitude in RANGES[name]:
            changed = change(name, rgb, magnitude, seed)
            assert changed.shape == rgb.shape
            assert changed.dtype == np.uint8
            assert np.array_equal(rgb, before)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_operation_at_zero_is_the_identity(name: str, shape: tuple[int, int]) -> None:
    rgb = photo(*shape)
    for seed in range(6):
        changed = change(name, rgb, 0.0, seed)
        off = np.abs(changed.astype(int) - rgb)
        assert off.max() <= 1, f"levels moved by {off.max()}"


@pytest.mark.parametrize("name", EVERY)
def test_every_operation_at_the_end_of_its_range_changes_nearly_every_image(name: str) -> None:
    rgb = photo(96, 96)
    for magnitude in RANGES[name]:
        if magnitude:
            moved = [
                not np.array_equal(change(name, rgb, magnitude, seed), rgb) for seed in range(20)
            ]
            assert sum(moved) >= 14


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"d4", "flip", "channel_shuffle"}))
def test_more_of_an_operation_changes_an_image_more(name: str) -> None:
    rgb = photo(64, 64)
    low, high = RANGES[name]
    a_little, much = (
        np.mean([np.abs(change(name, rgb, a, s).astype(int) - rgb).mean() for s in range(12)])
        for a in (max(low, high / 8), high)
    )
    assert a_little < much


@pytest.mark.parametrize("name", EVERY)
def test_every_operation_is_the_same_for_the_same_seed(name: str) -> None:
    rgb, magnitude = photo(), RANGES[name][1]
    first = change(name, rgb, magnitude, 5)
    assert np.array_equal(first, change(name, rgb, magnitude, 5))


def centred_dot(size: int = 41) -> NDArray[np.uint8]:
    rgb = np.zeros((size, size, 3), dtype=np.uint8)
    rgb[size // 2 - 1 : size // 2 + 2, size // 2 - 1 : size // 2 + 2] = 255
    return rgb


@pytest.mark.parametrize("name", ["rotate", "zoom", "aspect_ratio", "shear", "perspective"])
def test_movements_about_the_centre_leave_it_where_it_is(name: str) -> None:
    rgb = centred_dot()
    moved = change(name, rgb, RANGES[name][1], 3)
    y, x = np.argwhere(moved[:, :, 0] > 100).mean(axis=0)
    assert abs(y - 20) < 0.6 and abs(x - 20) < 0.6


def test_rotation_by_ninety_degrees_is_a_quarter_turn() -> None:
    rgb = photo(33, 33)
    assert np.abs(change("rotate", rgb, 90.0).astype(int) - np.rot90(rgb, -1)).max() <= 1


def test_zooming_in_and_then_out_brings_an_image_back_in_one_resampling() -> None:
    rgb = photo()
    steps = [("zoom", 1.0), ("rotate", 30.0), ("rotate", -30.0), ("zoom", -1.0)]
    assert np.abs(run(rgb, steps).astype(int) - rgb).max() <= 1


def test_consecutive_photometric_operations_do_not_clip_in_between() -> None:
    rgb = photo()
    steps = [("brightness", 0.9), ("brightness", -0.9)]
    assert np.array_equal(run(rgb, steps), rgb)


def test_borders_show_what_they_are_called() -> None:
    rgb = np.full((40, 40, 3), 200, dtype=np.uint8)
    steps = [("zoom", -1.0)]

    def edge_of(border: Any) -> Any:
        return run(rgb, steps, seed=4, borders=(border,))[0, 0].tolist()

    assert edge_of("reflect") == edge_of("edge") == [200, 200, 200]
    assert edge_of("black") == [0, 0, 0]
    assert edge_of("colour") not in ([200, 200, 200], [0, 0, 0])


def test_d4_reaches_all_eight_symmetries_and_no_others() -> None:
    rgb = photo(8, 8)
    expected = {np.rot90(side, k).tobytes() for side in (rgb, rgb[:, ::-1]) for k in range(4)}
    found = {geometry.d4(rgb, 1, np.random.default_rng(s)).tobytes() for s in range(120)}
    assert found == expected


def test_hue_keeps_grey_and_turns_a_third_of_a_circle_into_the_next_channel() -> None:
    grey = np.full((4, 4, 3), 90, dtype=np.uint8)
    assert np.array_equal(change("hue", grey, 77.0), grey)
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    assert change("hue", red, 120.0)[0, 0].tolist() == [0, 200, 0]


def test_saturation_at_minus_one_is_grey() -> None:
    grey = change("saturation", photo(), -1.0)
    assert np.ptp(grey, axis=2).max() <= 1


@pytest.mark.parametrize(("bits", "num_levels"), [(7, 2), (6, 4), (4, 16)])
def test_posterising_keeps_as_many_levels_as_bits_are_left(bits: int, num_levels: int) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert len(np.unique(change("posterize", ramp, bits))) == num_levels


def test_solarising_inverts_bright_levels_only() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    turned = change("solarize", ramp, 0.5).ravel()[::3].astype(int)
    assert turned[:128].tolist() == list(range(128))
    assert np.all(np.diff(turned[128:]) < 0)


def test_a_stain_keeps_white_nearly_white_and_density_keeps_it_exactly() -> None:
    white = np.full((8, 8, 3), 255, dtype=np.uint8)
    for seed in range(10):
        assert change("stain", white, 0.35, seed).min() >= 254
        assert change("density", white, 0.8, seed).min() == 255


def test_autocontrast_reaches_from_black_to_white_and_keeps_a_flat_image() -> None:
    dull = photo() // 3 + 60
    full = change("autocontrast", dull, 1.0)
    assert full.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert full.max(axis=(0, 1)).tolist() == [255, 255, 255]
    flat = np.full((8, 8, 3), 77, dtype=np.uint8)
    assert np.array_equal(change("autocontrast", flat, 1.0), flat)


@pytest.mark.parametrize("name", ["blur", "defocus", "motion_blur", "sharpen", "random_filter"])
def test_filters_keep_a_flat_image_flat(name: str) -> None:
    flat = np.full((32, 32, 3), 90, dtype=np.uint8)
    for seed in range(5):
        moved = change(name, flat, RANGES[name][1], seed).astype(int) - flat
        assert np.abs(moved).max() <= 1


@pytest.mark.parametrize("name", ["blur", "defocus", "motion_blur", "downscale"])
def test_blurs_take_detail_away_and_sharpening_adds_it(name: str) -> None:
    rgb = photo(64, 64)
    detail = cv2.Laplacian(rgb, cv2.CV_64F).std()
    assert cv2.Laplacian(change(name, rgb, RANGES[name][1]), cv2.CV_64F).std() < 0.8 * detail
    assert cv2.Laplacian(change("sharpen", rgb, 1.0), cv2.CV_64F).std() > 1.2 * detail


def test_smooth_colour_goes_by_each_channels_own_level() -> None:
    rgb = photo()
    red_only = rgb.copy()
    red_only[..., 0] = 0
    steps = [("density", 0.5), ("tone_curve", 0.3)]
    assert np.array_equal(run(rgb, steps)[..., 1:], run(red_only, steps)[..., 1:])


def test_stretching_makes_a_disc_twice_as_wide_for_its_height() -> None:
    y, x = np.mgrid[:81, :81] - 40
    disc = np.where((x**2 + y**2 < 15**2)[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    y, x = np.nonzero(change("aspect_ratio", disc, 1.0)[..., 0] > 127)
    assert np.ptp(x) / np.ptp(y) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("magnitude", [0.1, 0.25])
def test_translation_reaches_as_far_as_it_says_and_no_further(magnitude: float) -> None:
    rgb = centred_dot(81)
    far = []
    for seed in range(60):
        y, x = (
            np.argwhere(change("translate", rgb, magnitude, seed)[..., 0] > 100).mean(axis=0) - 40
        )
        far.append(max(abs(x), abs(y)) / 81)
    assert 0.8 * magnitude < max(far) <= magnitude + 0.02


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_as_strong_as_it_says(seed: int) -> None:
    flat = np.full((96, 96, 3), 128, dtype=np.uint8)
    grain = change("noise", flat, 0.1, seed).astype(float) - 128
    assert abs(grain.mean()) < 1.5
    assert 23 < grain.std() < 28


def test_noise_reaches_images_larger_than_its_table() -> None:
    large = np.full((700, 700, 3), 128, dtype=np.uint8)
    grain = optics.noise(large, 0.1, np.random.default_rng(0)).astype(float) - 128
    assert 23 < grain.std() < 28
    other = optics.noise(large, 0.1, np.random.default_rng(1)).astype(float) - 128
    assert abs(np.corrcoef(grain.ravel(), other.ravel())[0, 1]) < 0.1


def test_salt_changes_the_fraction_of_pixels_of_its_amount() -> None:
    flat = np.full((100, 100, 3), 128, dtype=np.uint8)
    struck = change("salt_and_pepper", flat, 0.05)
    share = (struck != 128).all(axis=2).mean()
    assert 0.04 < share <= 0.05
    assert set(np.unique(struck)) == {0, 128, 255}


def test_jpeg_of_poorer_quality_is_further_from_the_image() -> None:
    rgb = photo(64, 64)
    errors = [np.abs(change("jpeg", rgb, a).astype(int) - rgb).mean() for a in (10, 60, 95)]
    assert errors == sorted(errors)
    assert errors[0] < 6


def test_cutout_hides_no_more_than_its_rectangles_can() -> None:
    rgb = photo(96, 96)
    for seed in range(20):
        hidden = (occlusion.cutout(rgb, 0.3, np.random.default_rng(seed)) != rgb).any(axis=2)
        assert 0 < hidden.mean() <= 3 * 0.3**2 + 0.01


def test_a_grid_mask_hides_about_the_square_of_its_amount() -> None:
    rgb = photo(96, 96)
    shares = [
        (occlusion.grid_mask(rgb, 0.4, np.random.default_rng(s)) != rgb).any(axis=2).mean()
        for s in range(20)
    ]
    assert 0.1 < np.mean(shares) < 0.22


def test_a_blend_is_the_convex_combination_over_all_or_a_rectangle() -> None:
    rgb, picture = photo(), photo(seed=3)
    expected = cv2.addWeighted(rgb, 0.6, picture, 0.4, 0)
    num_whole = 0
    for seed in range(30):
        laid = overlays.blend(rgb, 0.4, np.random.default_rng(seed), picture)
        touched = (laid != rgb).any(axis=2)
        assert np.array_equal(laid[touched], expected[touched])
        num_whole += np.array_equal(laid, expected)
    assert 12 <= num_whole <= 28


def test_a_multiplied_picture_only_darkens() -> None:
    rgb, picture = photo(), photo(seed=3)
    for seed in range(10):
        laid = overlays.multiply(rgb, 0.8, np.random.default_rng(seed), picture)
        assert (laid <= rgb).all()


def test_swapped_amplitudes_keep_phases_and_take_the_other_image_mean() -> None:
    rgb, other = photo(48, 48), photo(48, 48, seed=3) // 2 + 60
    swapped = overlays.amplitude_swap(rgb, 1.0, np.random.default_rng(0), other)
    assert np.allclose(swapped.mean(axis=(0, 1)), other.mean(axis=(0, 1)), atol=4)
    own, foreign = (np.angle(np.fft.rfft2(x[..., 0]))[0, 1:6] for x in (rgb, swapped))
    assert np.abs(np.angle(np.exp(1j * (own - foreign)))).max() < 0.3


def test_swapped_detail_keeps_the_low_frequencies() -> None:
    rgb, other = photo(64, 64) // 2 + 60, photo(64, 64, seed=3) // 2 + 60
    swapped = overlays.detail_swap(rgb, 2.0, np.random.default_rng(0), other)
    low = [cv2.GaussianBlur(x, (0, 0), 5).astype(float) for x in (rgb, swapped, other)]
    assert np.abs(low[0] - low[1]).mean() < 0.3 * np.abs(low[0] - low[2]).mean()


def test_levels_beyond_the_range_are_cut_not_wrapped() -> None:
    table = photometry.IDENTITY + 0.5
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.all(np.diff(photometry.apply_lookup_table(ramp, table).ravel()[::3].astype(int)) >= 0)
