from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.audit import doctored
from stainproof.audit.doctored import Doctored, estimate_overlay, find_doctored
from stainproof.config.schema import AuditConfig
from stainproof.synthetic import phantoms


def landscape(seed: int, size_px: Any = 96) -> NDArray[np.float32]:
    """A synthetic photograph: coarse and fine colour patches."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size_px, size_px, 3), np.float32)
    for cells, weight in ((3, 0.5), (9, 0.3), (24, 0.2)):
        patches = rng.integers(256, size=(cells, cells, 3)).astype(np.float32)
        picture += weight * cv2.resize(patches, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255)


def blend(
    images: NDArray[np.uint8], picture: NDArray[np.float32], weight: float
) -> NDArray[np.uint8]:
    return np.clip((1 - weight) * images + weight * picture, 0, 255).astype(np.uint8)


def small(images: NDArray[np.uint8] | list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack([cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA) for rgb in images])


def find(images: NDArray[np.uint8], seed: Any = 0) -> Doctored:
    lines = AuditConfig()
    return find_doctored(
        images, margin=lines.doctored_margin, threshold=lines.doctored_threshold, seed=seed
    )


@pytest.fixture(scope="module")
def cells() -> NDArray[np.uint8]:
    return phantoms.generate(900, seed=4)[0]


@pytest.mark.slow
def test_a_set_with_nothing_wrong_has_hardly_any_findings(cells: NDArray[np.uint8]) -> None:
    assert len(find(small(cells)).images) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(("num", "weight"), [(12, 0.5), (150, 0.5), (150, 0.3)])
def test_all_images_that_share_an_overlay_are_found(
    cells: NDArray[np.uint8], num: Any, weight: Any
) -> None:
    images = cells.copy()
    images[:num] = blend(cells[:num], landscape(1), weight)
    found = find(small(images))
    group = {one.index for one in found.images if one.group == 0}
    assert len(group & set(range(num))) >= 0.98 * num
    assert len(group - set(range(num))) <= 0.01 * num
    assert all(one.score > one.threshold for one in found.images)


@pytest.mark.slow
def test_two_overlays_make_two_groups(cells: NDArray[np.uint8]) -> None:
    images = cells.copy()
    images[:100] = blend(cells[:100], landscape(1), 0.5)
    images[100:150] = blend(cells[100:150], landscape(2), 0.5)
    found = find(small(images))
    groups = {one.group for one in found.images if one.index < 100}
    others = {one.group for one in found.images if 100 <= one.index < 150}
    assert len(groups) == len(others) == 1
    assert groups != others
    assert len(found.overlays) >= 2


@pytest.mark.slow
def test_single_images_with_a_strong_overlay_are_found(cells: NDArray[np.uint8]) -> None:
    images = cells.copy()
    for index in range(10):
        images[index] = blend(cells[index], landscape(10 + index), 0.5)
    found = {one.index for one in find(small(images)).images}
    assert len(found & set(range(10))) >= 9
    assert len(found) <= 14


@pytest.mark.slow
def test_fewer_than_six_copies_of_a_cell_make_no_group(cells: NDArray[np.uint8]) -> None:
    images = np.concatenate([cells, np.repeat(cells[[7]], 4, axis=0)])
    assert all(one.group is None for one in find(small(images)).images)


@pytest.mark.slow
def test_cells_seen_twice_under_a_small_shift_make_no_group(cells: NDArray[np.uint8]) -> None:
    twice = [np.roll(cells[index], (3, 2), axis=(0, 1)) for index in range(6)]
    found = find(small(np.concatenate([cells[:300], twice])))
    assert all(one.group is None for one in found.images)


def test_the_shared_overlay_is_recovered(cells: NDArray[np.uint8]) -> None:
    picture = landscape(1)
    images = cells.copy()
    images[:200] = blend(cells[:200], picture, 0.5)
    seen = estimate_overlay(small(images), np.arange(200), np.arange(200, 900))
    expected = small([picture.astype(np.uint8)])[0]
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.slow
def test_the_same_seed_finds_the_same_and_images_are_not_changed(cells: NDArray[np.uint8]) -> None:
    images = small(cells)
    images[:40] = small(blend(cells[:40], landscape(3), 0.4))
    before = images.copy()
    assert find(images, seed=2).images == find(images, seed=2).images
    assert np.array_equal(images, before)


@pytest.mark.parametrize("num", [0, 1, 49])
def test_few_images_have_no_findings(cells: NDArray[np.uint8], num: int) -> None:
    assert find(small(cells)[:num]).images == []


@pytest.mark.slow
def test_noise_has_no_findings() -> None:
    noise = np.random.default_rng(0).integers(256, size=(80, 48, 48, 3), dtype=np.uint8)
    assert len(find(noise).images) <= 4


@pytest.mark.slow
def test_images_of_one_colour_do_not_stop_the_search() -> None:
    flat = np.repeat(np.arange(60, 140, dtype=np.uint8), 48 * 48 * 3).reshape(-1, 48, 48, 3)
    assert all(one.group is None for one in find(flat).images)


@pytest.mark.slow
def test_single_overlays_need_images_outside_the_groups(
    cells: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = SimpleNamespace(members=np.arange(80), scores=np.full(80, 2.0), threshold=1.0)
    monkeypatch.setattr(doctored, "find_shared_overlays", lambda *what: [group])
    for num in (80, 81, 120):
        found = find(small(cells[:num]))
        assert len(found.images) == 80
        assert found.overlays == []
