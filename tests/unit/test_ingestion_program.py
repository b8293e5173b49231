from typing import Any

import numpy as np
import pytest

from stainproof.contest.grader import INGESTION
from stainproof.labels import BLOOD_CLASSES
from tests.common.scripts import load_script


@pytest.fixture(scope="module")
def ingestion() -> Any:
    return load_script(INGESTION / "ingestion.py")


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_labels_of_any_integer_type_are_accepted(ingestion: Any, dtype: type[Any]) -> None:
    assert ingestion.check_labels(np.array([0, 7, 3], dtype=dtype), 3) == ""
    assert len(BLOOD_CLASSES) == ingestion.NUM_CLASSES


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (np.zeros(2, int), r"integers of shape (3,), got int64 (2,)"),
        (np.zeros((3, 1), int), r"integers of shape (3,), got int64 (3, 1)"),
        (np.zeros((3, 8)), r"integers of shape (3,), got float64 (3, 8)"),
        (np.zeros(3), r"integers of shape (3,), got float64 (3,)"),
        (np.zeros(3, bool), r"integers of shape (3,), got bool (3,)"),
        (np.array(["ig", "ig", "ig"]), r"integers of shape (3,), got <U2 (3,)"),
        (np.array(None), r"integers of shape (3,), got object ()"),
        (np.array([0, 8, 1]), "labels from 0 to 7, got 8"),
        (np.array([0, -1, 1]), "labels from 0 to 7, got -1"),
    ],
)
def test_predictions_of_another_form_are_refused(ingestion: Any, labels: Any, fault: str) -> None:
    assert ingestion.check_labels(labels, 3) == fault
