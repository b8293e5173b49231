from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.audit.label_issues import find_label_issues
from stainproof.config.schema import AuditConfig
from stainproof.synthetic import phantoms


@pytest.fixture(scope="module")
def cells() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = phantoms.generate(960, seed=12)
    small = [cv2.resize(rgb, (48, 48), interpolation=cv2.INTER_AREA) for rgb in images]
    return np.stack(small), labels


def suspects(
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]], labels: NDArray[np.int64]
) -> dict[int, Any]:
    found = find_label_issues(cells[0], labels, AuditConfig().min_label_probability, seed=0)
    return {one.index: one for one in found}


def test_correct_labels_are_rarely_issues(
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    assert len(suspects(cells, cells[1])) <= 0.005 * len(cells[1])


def test_label_issues_are_mostly_wrong_labels_with_the_right_one_suggested(
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    rng = np.random.default_rng(0)
    wrong = rng.choice(960, 24, replace=False)
    labels = cells[1].copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 8, 24)) % 8
    found = suspects(cells, labels)
    hits = set(found) & set(wrong.tolist())
    assert len(hits) >= 4
    assert len(set(found) - hits) <= 1
    right = [found[index].predicted_class == cells[1][index] for index in hits]
    assert np.mean(right) >= 0.8


def test_labels_of_small_classes_are_not_checked(
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    assert suspects((cells[0][:80], cells[1][:80]), cells[1][:80]) == {}


def test_a_small_class_does_not_prevent_the_check_of_the_others(
    cells: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    rng = np.random.default_rng(0)
    kept = np.flatnonzero((cells[1] != 7) | (np.cumsum(cells[1] == 7) <= 15))
    images, labels = cells[0][kept], cells[1][kept].copy()
    wrong = rng.choice(np.flatnonzero(labels < 7), 24, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 7, 24)) % 7
    found = set(suspects((images, labels), labels))
    assert len(found & set(wrong.tolist())) >= 4
    assert not found & set(np.flatnonzero(labels == 7).tolist())
