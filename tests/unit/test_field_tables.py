"""Cells of fields as the images of a classifier, and the fields that could not be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof.cells.reading import Summary
from stainproof.config.schema import Preprocessing
from stainproof.inference.field_tables import read_cells


class Classifier:
    """What `read_cells` uses of a classifier."""

    preprocessing = Preprocessing(size_px=32)

    @staticmethod
    def standardise(rgb: Any) -> Any:
        return rgb


@pytest.mark.parametrize("content", ["blank", "damaged"])
def test_a_field_that_cannot_be_used_is_an_item_with_its_whole_name(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "day 1: a.png"
    if content == "blank":
        Image.fromarray(np.full((50, 60, 3), 230, np.uint8)).save(path)
    else:
        path.write_bytes(b"no image")
    classifier: Any = Classifier()
    (one,) = read_cells([str(path)], classifier, Summary())
    assert (one.name, one.rgb, one.values) == (str(path), None, {"field": str(path)})
    reason = "no red cells and no nuclei to measure" if content == "blank" else "not"
    assert one.error.startswith(f"{path}: ") and reason in one.error
