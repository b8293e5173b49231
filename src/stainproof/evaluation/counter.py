"""Cells of a differential count: predict them, read a person's labels, write the table."""

import csv
import heapq
import io
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.data.images import Images
from stainproof.data.listing import check_class_names, check_different, first_repeated
from stainproof.data.stream import Item
from stainproof.data.table import Table
from stainproof.errors import DataError
from stainproof.evaluation.cell_names import cell_name
from stainproof.evaluation.count_result import UNCLASSIFIED
from stainproof.inference.classifier import CHUNK_SIZE, Classifier
from stainproof.text import printable, quote_formula

CELLS_FILE = "cells.csv"
EDGES = ("x0", "y0", "x1", "y1")
COLUMNS = ("name", "label", "predicted", "confidence", "confirmed", *EDGES, "error")
SAME_CELL = 0.5
"""Two boxes are of one cell if their intersection is at least this fraction of their union."""
NUM_UNSURE = 24
"""Cells whose pictures are kept for the page."""

Box = tuple[float, ...]
"""`EDGES` of a cell in pixels of its field."""


@dataclass(frozen=True)
class Confirmed:
    """What a person has confirmed of a cell."""

    label: str
    """Its class."""
    box: Box = ()
    """Its box at that time; empty if it was in no field or the table does not say."""


@dataclass(frozen=True)
class UnsureCell:
    """A cell that the model is least sure of."""

    name: str
    rgb: Images
    """uint8 (size, size, 3)."""
    first: tuple[str, float]
    """The most probable class and its probability, 0 to 1."""
    second: tuple[str, float]
    """The second most probable class."""


@dataclass(frozen=True)
class PredictedCells:
    """Predictions of all cells."""

    names: tuple[str, ...]
    """N names of the images that could be read."""
    probs: NDArray[np.float32]
    """float32 (N, classes), rows sum to 1."""
    unreadable: tuple[tuple[str, str], ...]
    """Names of the images that could not be read, each with the reason."""
    unsure: tuple[UnsureCell, ...]
    """The least sure unconfirmed cells, the least sure first."""
    boxes: Mapping[str, Box] = field(default_factory=dict)
    """Name of a cell of a field -> its box."""

    def positions(self, confirmed: Mapping[str, Confirmed]) -> dict[int, str]:
        """Return the position of each confirmed cell with its class.

        Raises:
            DataError: A confirmed cell is not among the images, or another one now has its name.
        """
        places = {name: index for index, name in enumerate(self.names)}
        unknown = [name for name in confirmed if name not in places]
        if unknown:
            example = f"; the images have names such as {self.names[0]}" if self.names else ""
            raise DataError(
                f"{len(unknown)} confirmed cells are not among the images, such as "
                f"{printable(unknown[0])}{example}"
            )
        others = [name for name, one in confirmed.items() if not self._is_at(name, one.box)]
        if others:
            raise DataError(
                f"{len(others)} confirmed cells are now others, such as {printable(others[0])}, "
                "whose box is elsewhere; use the fields, boxes and diameter of the former count"
            )
        return {places[name]: one.label for name, one in confirmed.items()}

    def _is_at(self, name: str, box: Box) -> bool:
        """Return whether a cell is where it was; also if one of the places is unknown."""
        own = self.boxes.get(name, ())
        return not own or not box or _overlap(own, box) >= SAME_CELL


def predict_cells(
    classifier: Classifier, items: Iterable[Item], confirmed: Container[str] = ()
) -> PredictedCells:
    """Predict a stream of images; keep names, probabilities and the least sure pictures.

    Args:
        classifier: The classifier.
        items: Standardised images or errors.
        confirmed: Names of cells that a person has confirmed; they are not among the least sure.

    Raises:
        DataError: Two images have the same name.
    """
    names: list[str] = []
    probs = [np.empty((0, len(classifier.classes)), dtype=np.float32)]
    unreadable: list[tuple[str, str]] = []
    unsure: list[tuple[float, int, UnsureCell]] = []
    boxes: dict[str, Box] = {}
    stream = iter(items)
    while chunk := tuple(islice(stream, CHUNK_SIZE)):
        unreadable += [(item.name, item.error) for item in chunk if item.rgb is None]
        images = [(item.name, item.rgb) for item in chunk if item.rgb is not None]
        boxes |= {
            item.name: tuple(item.values[edge] for edge in EDGES)
            for item in chunk
            if set(EDGES) <= set(item.values)
        }
        if not images:
            continue
        found = classifier.predict_standardised([rgb for _, rgb in images])
        for (name, rgb), row in zip(images, found, strict=True):
            if name not in confirmed:
                cell = unsure_cell(name, rgb, row, classifier.classes)
                heapq.heappush(unsure, (-cell.first[1], -len(names), cell))
                if len(unsure) > NUM_UNSURE:
                    heapq.heappop(unsure)
            names.append(name)
        probs.append(found)
    check_different("the images", [*names, *(name for name, _ in unreadable)])
    least_sure_first = tuple(cell for _, _, cell in sorted(unsure, reverse=True))
    return PredictedCells(
        tuple(names), np.concatenate(probs), tuple(unreadable), least_sure_first, boxes
    )


def unsure_cell(
    name: str, rgb: Images, probs: NDArray[np.float32], classes: tuple[str, ...]
) -> UnsureCell:
    """Return a cell with its two most probable classes.

    Args:
        name: Name of the image.
        rgb: uint8 (size, size, 3).
        probs: float32 (classes,).
        classes: Class names in the order of the probabilities.
    """
    order = np.argsort(-probs, kind="stable")[:2]
    first, *others = ((classes[index], float(probs[index])) for index in order)
    return UnsureCell(name, rgb, first, others[0] if others else ("", 0.0))


def _overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes as a fraction of their union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / max(areas - both, 1e-9)


def read_confirmed(path: str | Path) -> dict[str, Confirmed]:
    """Read the classes that a person has confirmed.

    Args:
        path: A CSV or Parquet table with the column `name` and the column `confirmed`, or `label`
            if it has no such column. Rows with an empty `confirmed` are left out, so that a person
            can fill in the `cells.csv` of a count. `x0`, `y0`, `x1` and `y1` are read too.

    Returns:
        Name of the image -> what is confirmed.

    Raises:
        DataError: The table cannot be read, confirms no cell or a cell twice, or has a class name
            or a box that is not allowed.
    """
    table = Table(Path(path))
    column = "confirmed" if "confirmed" in table.names else "label"
    for name in ("name", column):
        table.check_once(name)
    labels = table.texts(column, allow_empty=column == "confirmed")
    rows = zip(table.texts("name"), labels, _read_boxes(table), strict=True)
    known = [(name, Confirmed(label.strip(), box)) for name, label, box in rows if label.strip()]
    if not known:
        raise DataError(f"{path}: column {column!r} has no class; fill in at least one row")
    if twice := first_repeated([name for name, _ in known]):
        raise DataError(f"{path}: {printable(twice)} is confirmed twice; keep one row")
    check_class_names(str(path), sorted({cell_name(one.label) for _, one in known}))
    return dict(known)


def _read_boxes(table: Table) -> list[Box]:
    """Return the box of each row; empty where the table has none."""
    if not set(EDGES) <= set(table.names):
        return [()] * table.num_rows
    for name in EDGES:
        table.check_once(name)
    edges = [table.texts(name, allow_empty=True) for name in EDGES]
    try:
        return [
            tuple(map(float, texts)) if any(texts) else () for texts in zip(*edges, strict=True)
        ]
    except ValueError as error:
        raise DataError(f"{table.path}: a box needs four numbers ({error})") from error


def write_cells(
    path: Path,
    cells: PredictedCells,
    classes: tuple[str, ...],
    confirmed: Mapping[int, str],
    threshold: float,
) -> None:
    """Write the table of the cells, one row for each image; those that could not be read last.

    Args:
        path: CSV file to write.
        cells: The predictions.
        classes: Class names in the order of the probabilities.
        confirmed: Position of a cell -> its confirmed class.
        threshold: Probability below which an unconfirmed cell is unclassified.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for index, (name, probs) in enumerate(zip(cells.names, cells.probs, strict=True)):
        predicted, confidence = classes[int(probs.argmax())], float(probs.max())
        sure = predicted if confidence >= threshold else UNCLASSIFIED
        known = confirmed.get(index, "")
        texts = map(quote_formula, (name, known or sure, predicted))
        box = [f"{edge:.1f}" for edge in cells.boxes.get(name, ())] or [""] * len(EDGES)
        table.writerow((*texts, f"{confidence:.4f}", quote_formula(known), *box, ""))
    for name, error in cells.unreadable:
        empty = [""] * (len(COLUMNS) - 2)
        table.writerow((quote_formula(name), *empty, quote_formula(error)))
    files.write_text(path, text.getvalue())
