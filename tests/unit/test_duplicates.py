import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.audit import duplicates
from stainproof.data import copies
from stainproof.synthetic import phantoms

COPIES = {
    "jpeg 40": lambda rgb: cv2.imdecode(
        cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1
    ),
    "half size": lambda rgb: cv2.resize(
        cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA), (96, 96)
    ),
    "brighter": lambda rgb: np.clip(rgb.astype(int) + 30, 0, 255).astype(np.uint8),
    "darker": lambda rgb: (rgb * 0.7).astype(np.uint8),
    "turned and stored": lambda rgb: cv2.imdecode(
        cv2.imencode(".jpg", np.rot90(rgb[:, ::-1]).copy(), [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1
    ),
}


@pytest.fixture(scope="module")
def cells() -> NDArray[np.uint8]:
    return phantoms.generate(160, seed=3)[0]


def thumbs_of(images: NDArray[np.uint8] | list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.stack([duplicates.thumbnail(rgb) for rgb in images])


def test_all_eight_symmetries_share_a_key_and_other_cells_do_not(cells: NDArray[np.uint8]) -> None:
    views = [np.rot90(side, k) for side in (cells[0], cells[0][:, ::-1]) for k in range(4)]
    keys = {copies.invariant_key(np.ascontiguousarray(view)) for view in views}
    assert keys == {copies.invariant_key(cells[0])}
    assert len({copies.invariant_key(rgb) for rgb in cells}) == len(cells)


def test_exact_groups_are_the_planted_ones(cells: NDArray[np.uint8]) -> None:
    images = np.concatenate([cells, cells[[4]], np.rot90(cells[[9]], 1, axes=(1, 2)), cells[[4]]])
    keys = [copies.invariant_key(rgb) for rgb in images]
    groups = duplicates.find_exact_duplicates(keys, lambda index: images[index])
    assert sorted(map(list, groups)) == [[4, 160, 162], [9, 161]]


def test_the_same_pixels_in_another_order_are_no_duplicate(cells: NDArray[np.uint8]) -> None:
    shuffled = np.random.default_rng(0).permutation(cells[0].reshape(-1, 3)).reshape(96, 96, 3)
    images = [cells[0], shuffled]
    keys = [copies.invariant_key(rgb) for rgb in images]
    assert keys[0] == keys[1]
    assert duplicates.find_exact_duplicates(keys, lambda index: images[index]) == []


@pytest.mark.parametrize("name", COPIES)
def test_near_duplicates_are_found_and_nothing_else(cells: NDArray[np.uint8], name: str) -> None:
    copies = np.stack([COPIES[name](rgb) for rgb in cells[::8]])
    pairs, distances, threshold = duplicates.find_near_duplicates(thumbs_of([*cells, *copies]))
    planted = {(8 * i, 160 + i) for i in range(len(copies))}
    assert set(map(tuple, pairs.tolist())) == planted
    assert (distances <= threshold).all()


def test_a_set_without_duplicates_has_no_pairs(cells: NDArray[np.uint8]) -> None:
    pairs, _, threshold = duplicates.find_near_duplicates(thumbs_of(cells))
    assert len(pairs) == 0
    assert 0 < threshold <= duplicates.MAX_DISTANCE


@pytest.mark.parametrize("num", [0, 1, 2, 3])
def test_sets_of_a_few_images_have_no_pairs(cells: NDArray[np.uint8], num: int) -> None:
    thumbs = thumbs_of(cells[:num]) if num else np.empty((0, 24, 24), np.float32)
    pairs, _, _ = duplicates.find_near_duplicates(thumbs)
    assert pairs.shape == (0, 2)


def test_pairs_that_share_an_image_are_one_group() -> None:
    pairs = np.array([[0, 3], [3, 5], [1, 2]])
    groups = duplicates.connected_groups(pairs, np.array([0.1, 0.3, 0.2]))
    assert [(members.tolist(), distance) for members, distance in groups] == [
        ([0, 3, 5], 0.3), ([1, 2], 0.2),
    ]  # fmt: skip
    assert duplicates.connected_groups(np.empty((0, 2), np.int64), np.empty(0)) == []


@pytest.mark.parametrize("num", [40, 80, 160])
def test_duplicates_are_found_whatever_their_number(cells: NDArray[np.uint8], num: int) -> None:
    copies = np.stack([COPIES["jpeg 40"](rgb) for rgb in cells[:num]])
    pairs, _, _ = duplicates.find_near_duplicates(thumbs_of([*cells, *copies]))
    assert set(map(tuple, pairs.tolist())) == {(i, 160 + i) for i in range(num)}
