"""Cells that a person has confirmed keep their class in the next count, and no others get it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stainproof.data.stream import Item
from stainproof.errors import DataError
from stainproof.evaluation.counter import (
    EDGES,
    PredictedCells,
    predict_cells,
    read_confirmed,
    write_cells,
)

CLASSES = ("lymphocyte", "neutrophil")
LEFT, RIGHT = (10.0, 20.0, 60.0, 70.0), (-3.5, 20.0, 44.0, 70.0)


class Classifier:
    """What `predict_cells` uses of a classifier."""

    classes = CLASSES

    @staticmethod
    def predict_standardised(images: list[Any]) -> Any:
        return np.full((len(images), 2), 0.5, np.float32)


def cells_at(*boxes: tuple[float, ...]) -> PredictedCells:
    """Return the cells of a field; an empty box is that of an image of one cell."""
    rgb = np.zeros((4, 4, 3), np.uint8)
    items = [
        Item(f"a.png#{index}", rgb, values=dict(zip(EDGES, box, strict=False)))
        for index, box in enumerate(boxes)
    ]
    classifier: Any = Classifier()
    return predict_cells(classifier, [*items, Item("b.png", None, "damaged", {"field": "b.png"})])


def confirm(path: Path, cells: PredictedCells) -> Path:
    """Write the table of a count in which a person has confirmed the first cell."""
    write_cells(path / "cells.csv", cells, CLASSES, {0: "basophil"}, 0.0)
    return path / "cells.csv"


@pytest.mark.parametrize("first", [LEFT, RIGHT, ()])
def test_a_confirmed_cell_keeps_its_class(tmp_path: Path, first: tuple[float, ...]) -> None:
    cells = cells_at(first, (200.0, 0.0, 240.0, 50.0))
    known = read_confirmed(confirm(tmp_path, cells))
    assert known["a.png#0"].box == first
    assert cells.positions(known) == {0: "basophil"}
    moved = tuple(edge + 2 for edge in first)
    assert cells_at(moved).positions(known) == {0: "basophil"}


def test_another_cell_of_the_same_name_is_refused_in_one_line(tmp_path: Path) -> None:
    known = read_confirmed(confirm(tmp_path, cells_at(LEFT)))
    with pytest.raises(DataError, match=r"are now others, such as a\.png#0") as said:
        cells_at((200.0, 0.0, 240.0, 50.0), LEFT).positions(known)
    assert "\n" not in str(said.value)


def test_a_table_without_boxes_confirms_cells_of_fields(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("name,label\na.png#0,basophil\n")
    known = read_confirmed(tmp_path / "known.csv")
    assert cells_at(LEFT).positions(known) == {0: "basophil"}


@pytest.mark.parametrize("box", ["1,2,x,4", "1,2,,4"])
def test_a_box_that_is_none_is_refused(tmp_path: Path, box: str) -> None:
    (tmp_path / "known.csv").write_text(f"name,label,x0,y0,x1,y1\na.png#0,basophil,{box}\n")
    with pytest.raises(DataError, match=r"known\.csv: a box needs four numbers"):
        read_confirmed(tmp_path / "known.csv")
