"""Cells of a differential count: predict them, read a person's labels, write the table."""

import csv
import heapq
import io
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
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
from stainproof.evaluation.count_result import UNCLASSIFIED
from stainproof.inference.classifier import CHUNK_SIZE, Classifier
from stainproof.text import printable, quote_formula

CELLS_FILE = "cells.csv"
COLUMNS = ("name", "label", "predicted", "confidence", "confirmed", "error")
NUM_UNSURE = 24
"""Cells whose pictures are kept for the page."""


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

    def positions(self, confirmed: Mapping[str, str]) -> dict[int, str]:
        """Return the position of each confirmed cell with its class.

        Raises:
            DataError: A confirmed cell is not among the images.
        """
        places = {name: index for index, name in enumerate(self.names)}
        unknown = [name for name in confirmed if name not in places]
        if unknown:
            example = f"; the images have names such as {self.names[0]}" if self.names else ""
            raise DataError(
                f"{len(unknown)} confirmed cells are not among the images, such as "
                f"{printable(unknown[0])}{example}"
            )
        return {places[name]: label for name, label in confirmed.items()}


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
    stream = iter(items)
    while chunk := tuple(islice(stream, CHUNK_SIZE)):
        unreadable += [(item.name, item.error) for item in chunk if item.rgb is None]
        images = [(item.name, item.rgb) for item in chunk if item.rgb is not None]
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
    return PredictedCells(tuple(names), np.concatenate(probs), tuple(unreadable), least_sure_first)


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


def read_confirmed(path: str | Path) -> dict[str, str]:
    """Read the classes that a person has confirmed.

    Args:
        path: A CSV or Parquet table with the column `name` and the column `confirmed`, or `label`
            if it has no such column. Rows with an empty `confirmed` are left out, so that a person
            can fill in the `cells.csv` of a count.

    Returns:
        Name of the image -> class.

    Raises:
        DataError: The table cannot be read, confirms no cell or a cell twice, or has a class name
            that is not allowed.
    """
    table = Table(Path(path))
    column = "confirmed" if "confirmed" in table.names else "label"
    for name in ("name", column):
        table.check_once(name)
    labels = table.texts(column, allow_empty=column == "confirmed")
    rows = zip(table.texts("name"), labels, strict=True)
    known = [(name, label.strip()) for name, label in rows if label.strip()]
    if not known:
        raise DataError(f"{path}: column {column!r} has no class; fill in at least one row")
    if twice := first_repeated([name for name, _ in known]):
        raise DataError(f"{path}: {printable(twice)} is confirmed twice; keep one row")
    check_class_names(str(path), sorted({label for _, label in known}))
    return dict(known)


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
        table.writerow((*texts, f"{confidence:.4f}", quote_formula(known), ""))
    for name, error in cells.unreadable:
        table.writerow((quote_formula(name), "", "", "", "", quote_formula(error)))
    files.write_text(path, text.getvalue())
