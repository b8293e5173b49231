"""The programs of a contest: what they accept of a submission and how they count."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stainproof.contest.grader import SCORING
from stainproof.labels import BLOOD_CLASSES
from tests.common.scripts import load_script


@pytest.fixture(scope="module")
def scoring() -> Any:
    return load_script(SCORING / "scoring.py")


def score(
    scoring: Any, tmp_path: Path, labels: list[int], predictions: bytes | None
) -> dict[str, dict[str, float] | list[list[int]]]:
    for name in ("ref", "res", "out"):
        (tmp_path / name).mkdir()
    reference = {"classes": BLOOD_CLASSES, "labels": labels}
    (tmp_path / "ref" / "labels.json").write_text(json.dumps(reference))
    if predictions is not None:
        (tmp_path / "res" / "predictions.txt").write_bytes(predictions)
    scoring.main(tmp_path / "ref", tmp_path / "res", tmp_path / "out")
    return {file.name: json.loads(file.read_text()) for file in (tmp_path / "out").iterdir()}


def test_scores_are_accuracy_and_the_sensitivity_of_each_class_with_images(
    scoring: Any, tmp_path: Path
) -> None:
    written = score(scoring, tmp_path, [0, 0, 0, 5, 7], b"0\n0\n1\n5\n6\n")
    assert written["scores.json"] == {
        "accuracy": 3 / 5, "basophil": 2 / 3, "monocyte": 1.0, "platelet": 0.0
    }  # fmt: skip
    confusion = np.array(written["confusion.json"])
    assert confusion.sum() == 5 and confusion[0, 1] == 1 and confusion[7, 6] == 1


@pytest.mark.parametrize(
    ("predictions", "fault"),
    [
        (None, "predictions.txt is missing"),
        (b"", "must contain 3 labels, got 0"),
        (b"1\n2\n", "must contain 3 labels, got 2"),
        (b"1\n2\n3\n4\n", "must contain 3 labels, got 4"),
        (b"1\n2\n8\n", "must contain labels from 0 to 7"),
        (b"1\n-2\n3\n", "must contain labels from 0 to 7"),
        (b"1\n2\n\xb2\n", "must contain labels from 0 to 7"),
        (b"nan 1 2", "must contain labels from 0 to 7"),
        (b"1" * 100_000, "contains more than 3 labels"),
    ],
)
def test_predictions_that_are_no_list_of_labels_are_one_line(
    scoring: Any, tmp_path: Path, predictions: bytes | None, fault: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        score(scoring, tmp_path, [0, 1, 2], predictions)
    said = str(ended.value.code)
    assert said.startswith("scoring: ") and fault in said
    assert not list((tmp_path / "out").iterdir())


def test_predictions_that_are_a_link_are_refused(scoring: Any, tmp_path: Path) -> None:
    (tmp_path / "truth").write_bytes(b"0\n1\n2\n")
    (tmp_path / "predictions.txt").symlink_to(tmp_path / "truth")
    with pytest.raises(ValueError, match="is missing"):
        scoring.read_predictions(tmp_path / "predictions.txt", 3, 8)
