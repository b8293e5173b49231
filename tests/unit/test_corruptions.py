from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from stainproof.config.schema import Preprocessing
from stainproof.corruptions.bloodmnist import CORRUPTIONS, SEVERITIES, SIZE_PX, corrupt
from stainproof.corruptions.operations import line_kernel
from stainproof.data import sources
from stainproof.data.images import to_square, unchanged
from stainproof.data.listing import Listing
from stainproof.evaluation.corrupted import CASES, evaluate_corrupted, predict_corrupted
from stainproof.inference.classifier import Classifier
from stainproof.synthetic import phantoms
from tests.common.cells import write_cells

RANDOM = ("motion_blur", "stain_deposit", "bubble")
FIXED = tuple(name for name in CORRUPTIONS if name not in RANDOM)


@pytest.fixture(scope="module")
def cell() -> NDArray[np.uint8]:
    return phantoms.generate(1, seed=3, size_px=SIZE_PX)[0][0]


def change(cell: NDArray[np.uint8], name: str, severity: int, index: int = 0) -> float:
    """Return the mean absolute change of the values."""
    return float(np.abs(corrupt(cell, name, severity, 0, index).astype(int) - cell).mean())


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_returns_another_image_and_keeps_its_input(
    name: str, severity: int, cell: NDArray[np.uint8]
) -> None:
    before = cell.copy()

    found = corrupt(cell, name, severity, seed=0)

    assert found.dtype == np.uint8 and found.shape == cell.shape
    assert (found != cell).any()
    assert (cell == before).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_image(name: str, cell: NDArray[np.uint8]) -> None:
    first, again = (corrupt(cell, name, 3, seed=7, index=4) for _ in range(2))

    assert (first == again).all()


@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_differ_by_image_and_seed(name: str, cell: NDArray[np.uint8]) -> None:
    found = [corrupt(cell, name, 3, seed, index) for seed, index in ((0, 0), (0, 1), (1, 0))]

    assert (found[0] != found[1]).any() and (found[0] != found[2]).any()


@pytest.mark.parametrize("name", FIXED)
def test_a_higher_severity_changes_more(name: str, cell: NDArray[np.uint8]) -> None:
    changes = [change(cell, name, severity) for severity in SEVERITIES]

    assert changes == sorted(changes) and changes[0] < changes[-1]


@pytest.mark.parametrize("angle_deg", [-45.0, -20.0, 0.0, 30.0])
def test_the_kernel_of_motion_starts_at_its_centre_and_sums_to_one(angle_deg: float) -> None:
    kernel = line_kernel(7, 3.0, angle_deg)

    assert kernel.sum() == pytest.approx(1)
    assert kernel[6, 6] > 0
    assert not kernel[:, :6].any()


def test_deposits_are_black_and_leave_the_rest(cell: NDArray[np.uint8]) -> None:
    found = corrupt(cell, "stain_deposit", 5, seed=0)
    stained = (found != cell).any(axis=2)

    assert (found[stained] == 0).all()
    assert 0.4 * 32**2 < stained.sum() < 3 * 0.65 * 32**2
    assert not stained[:10].any() and not stained[:, -10:].any()


def test_bubbles_only_brighten(cell: NDArray[np.uint8]) -> None:
    found = corrupt(cell, "bubble", 5, seed=0)

    assert (found >= cell).all()
    assert 0.02 < (found != cell).any(axis=2).mean() < 0.5


def test_images_are_corrupted_as_they_are_in_the_file_and_not_balanced_before(
    tmp_path: Path,
) -> None:
    listing = sources.list_source(write_cells(tmp_path / "cells", 1))
    preprocessing = Preprocessing(size_px=32, white_point=(255, 230, 203))
    seen: list[Any] = []

    def predict(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        seen.append(images)
        return np.zeros((len(images), 3), dtype=np.float32)

    classifier = SimpleNamespace(
        preprocessing=preprocessing,
        classes=listing.classes,
        standardise=unchanged,
        predict_standardised=predict,
    )
    predict_corrupted(cast(Classifier, classifier), listing, seed=4)

    assert len(seen) == len(CASES)
    for (name, severity), images in zip(CASES, seen, strict=True):
        for index, found in enumerate(images):
            rgb = to_square(listing.read(index).rgb, Preprocessing(size_px=SIZE_PX))
            changed = corrupt(rgb, name, severity, 4, index) if name else rgb
            expected = to_square(changed, Preprocessing(size_px=32))
            assert (found == expected).all()
            assert name or (to_square(expected, preprocessing) != expected).any()


def test_intervals_without_any_mistake_are_those_of_wilson(tmp_path: Path) -> None:
    images = np.full((20, 16, 16, 3), 200, dtype=np.uint8)
    labels = np.zeros(20, dtype=np.int64)
    names = tuple(f"{index}.png" for index in range(20))
    listing = Listing("cells", names, labels, ("a", "b"), arrays=images)
    classifier = SimpleNamespace(
        preprocessing=Preprocessing(size_px=16),
        classes=("a", "b"),
        standardise=unchanged,
        predict_standardised=lambda images: np.tile([0.9, 0.1], (len(images), 1)),
        weights_sha256="",
    )
    found = evaluate_corrupted(cast(Classifier, classifier), listing, tmp_path)

    wilson = binomtest(20, 20).proportion_ci(method="wilson")
    for one in (found.clean, found.mean):
        assert (one.value, one.low, one.high) == pytest.approx((1, wilson.low, 1))
    errors = [1 / one.alexnet_error for one in CORRUPTIONS.values()]
    expected = (0, 0, (1 - wilson.low) * np.mean(errors))
    error = found.balanced_error
    assert (error.value, error.low, error.high) == pytest.approx(expected)
