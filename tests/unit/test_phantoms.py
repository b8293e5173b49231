from contextlib import nullcontext
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix

from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.synthetic import phantoms

NUM_EACH = 40


@pytest.fixture(scope="module")
def cells() -> dict[str, NDArray[np.uint8]]:
    """Map every class to the pixels of NUM_EACH images, and of each the cell's own pixels."""
    images, labels = phantoms.generate(8 * NUM_EACH, seed=3)
    return {name: images[labels == index] for index, name in enumerate(BLOOD_CLASSES)}


def middle(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    y, x = np.mgrid[:96, :96] - 47.5
    return images[:, np.hypot(x, y) < 36].astype(float)


def dark_px(images: NDArray[np.uint8], level: int = 170) -> NDArray[np.int64]:
    """Count the pixels of the middle whose green is below the level."""
    return (middle(images)[..., 1] < level).sum(axis=1)


def excess_red(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of the middle that is stained and clearly more red than blue."""
    rgb = middle(images)
    return ((rgb[..., 1] < 140) & (rgb[..., 0] > rgb[..., 2] + 15)).mean(axis=1)


def features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    rgb = middle(images)
    green = np.sort(rgb[..., 1], axis=1)
    stained = rgb[..., 1] < 185
    tint = [
        ((rgb[..., a] - rgb[..., b]) * stained).sum(axis=1) / stained.sum(axis=1)
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    return np.column_stack([*tint, green[:, ::200], *(dark_px(images, t) for t in (60, 110, 170))])


def test_images_and_labels_have_the_promised_shape_and_type() -> None:
    images, labels = phantoms.generate(10, seed=0, size_px=48)
    assert images.shape == (10, 48, 48, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]


@pytest.mark.parametrize("size_px", [28, 33, 64, 224])
def test_other_sizes_show_the_same_cells(size_px: int) -> None:
    for ours, usual in zip(
        phantoms.generate(8, seed=5, size_px=size_px)[0],
        phantoms.generate(8, seed=5)[0],
        strict=True,
    ):
        pair = [cv2.resize(i, (24, 24), interpolation=cv2.INTER_AREA) for i in (ours, usual)]
        assert np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1] > 0.95


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers() -> None:
    alone, labels = phantoms.generate(120, seed=7, size_px=32, num_workers=1)
    together, same_labels = phantoms.generate(120, seed=7, size_px=32, num_workers=2)
    assert np.array_equal(alone, together)
    assert np.array_equal(labels, same_labels)


def test_different_seeds_give_different_images() -> None:
    first, _ = phantoms.generate(8, seed=1)
    second, _ = phantoms.generate(8, seed=2)
    assert all((a != b).mean() > 0.2 for a, b in zip(first, second, strict=True))


def test_no_two_images_of_a_set_are_alike() -> None:
    images, _ = phantoms.generate(64, seed=1)
    assert len(np.unique(images.reshape(64, -1), axis=0)) == 64


def test_an_image_does_not_depend_on_how_many_are_drawn() -> None:
    few, _ = phantoms.generate(3, seed=4)
    many, _ = phantoms.generate(60, seed=4)
    assert np.array_equal(few, many[:3])


def test_the_classes_are_balanced() -> None:
    _, labels = phantoms.generate(80, seed=0, size_px=28)
    assert np.bincount(labels).tolist() == [10] * 8


def test_images_come_one_after_another_and_the_rest_is_not_drawn_first() -> None:
    few = phantoms.stream(10_000_000, seed=4, num_workers=1)
    images, _ = phantoms.generate(2, seed=4)
    assert np.array_equal([next(few), next(few)], images)


def test_no_more_than_some_batches_wait_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Pool(nullcontext[Any]):
        def map(self, draw: Any, jobs: Any) -> Any:
            asked.append(len(jobs))
            return map(draw, jobs)

    expected = phantoms.generate(120, seed=7, size_px=32, num_workers=1)[0]
    monkeypatch.setattr(phantoms, "ProcessPoolExecutor", lambda *how: Pool(Pool()))
    monkeypatch.setattr(phantoms, "AHEAD", 1)
    cells = phantoms.stream(120, seed=7, size_px=32, num_workers=2)
    first = next(cells)
    assert asked == [1]
    assert np.array_equal([first, *cells], expected)
    assert set(asked) == {1} and len(asked) > 1


def test_draw_gives_what_the_same_generator_state_gave() -> None:
    first = phantoms.draw(np.random.default_rng(9), "monocyte", size_px=64)
    second = phantoms.draw(np.random.default_rng(9), "monocyte", size_px=64)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second)


def test_the_background_is_the_palest_thing_and_nearly_the_scenes_white(
    cells: dict[str, NDArray[np.uint8]],
) -> None:
    for images in cells.values():
        pale = np.percentile(images.reshape(len(images), -1, 3), 90, axis=1)
        assert np.abs(pale.mean(axis=0) - phantoms.LABS["home"].white).max() < 5


def test_platelets_are_the_smallest_cells(cells: dict[str, NDArray[np.uint8]]) -> None:
    areas = {name: np.median(dark_px(images, 150)) for name, images in cells.items()}
    assert areas.pop("platelet") < 0.7 * min(areas.values())


def test_monocytes_and_immature_granulocytes_are_larger_than_lymphocytes(
    cells: dict[str, NDArray[np.uint8]],
) -> None:
    areas = {name: np.median(dark_px(images)) for name, images in cells.items()}
    assert min(areas["monocyte"], areas["ig"]) > 1.2 * areas["lymphocyte"]


def test_eosinophils_are_the_reddest_cells(cells: dict[str, NDArray[np.uint8]]) -> None:
    redness = {name: np.median(excess_red(images)) for name, images in cells.items()}
    assert max(redness, key=redness.__getitem__) == "eosinophil"


def test_erythroblast_nuclei_are_darker_than_monocyte_nuclei(
    cells: dict[str, NDArray[np.uint8]],
) -> None:
    core = {name: np.median(np.sort(middle(cells[name])[..., 1])[:, 300]) for name in cells}
    assert core["erythroblast"] < core["monocyte"]


def test_basophils_hide_their_cytoplasm_and_neutrophils_show_it(
    cells: dict[str, NDArray[np.uint8]],
) -> None:
    share = {name: np.median(dark_px(i, 90) / dark_px(i)) for name, i in cells.items()}
    assert share["basophil"] > 1.5 * share["neutrophil"]
    assert share["lymphocyte"] > 1.5 * share["neutrophil"]


def test_simple_measures_of_size_and_colour_tell_the_classes_apart(
    cells: dict[str, NDArray[np.uint8]],
) -> None:
    labels = np.repeat(np.arange(8), NUM_EACH // 2)
    known = np.concatenate([features(images[::2]) for images in cells.values()])
    unknown = np.concatenate([features(images[1::2]) for images in cells.values()])
    guesses = LinearDiscriminantAnalysis().fit(known, labels).predict(unknown)
    recalls = confusion_matrix(labels, guesses, normalize="true").diagonal()
    assert recalls.min() >= 0.5


def test_another_lab_changes_the_colours_but_not_the_cells() -> None:
    home, labels = phantoms.generate(16, seed=6)
    other, same_labels = phantoms.generate(16, seed=6, lab="other")
    assert np.array_equal(labels, same_labels)
    white = [np.percentile(images, 90, axis=(0, 1, 2)) for images in (home, other)]
    assert white[0][2] < white[0][0] - 30
    assert white[1][2] > white[1][0] - 10
    for a, b in zip(home, other, strict=True):
        zoomed = b[7:89, 7:89, 1]
        ours = a[np.ix_(*[np.linspace(0, 95, 82).astype(int)] * 2)][..., 1]
        assert np.corrcoef(ours.ravel(), zoomed.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"num_images": 0}, "num_images"),
        ({"size_px": 27}, "size_px"),
        ({"size_px": 225}, "size_px"),
        ({"lab": "moon"}, "home, other"),
        ({"seed": -1}, "seed"),
        ({"num_workers": 0}, "num_workers"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match=word):
        phantoms.generate(**{"num_images": 8, "seed": 0, **wrong})


def test_an_unknown_class_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="basophil, eosinophil"):
        phantoms.draw(np.random.default_rng(0), "blast")
