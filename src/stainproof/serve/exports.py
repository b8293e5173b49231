"""What a review leaves behind: a table, a manifest for adaptation, images, the count."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from typing import Literal

from stainproof.errors import DataError
from stainproof.evaluation.count_result import UNCLASSIFIED
from stainproof.serve.haematology import loinc_codes
from stainproof.serve.review import Review
from stainproof.serve.services import Services
from stainproof.serve.store import REVIEWERS
from stainproof.text import quote_formula

ExportName = Literal["cells.csv", "manifest.csv", "cells.zip", "count.json"]


def make(name: ExportName, parts: Services, review: Review) -> tuple[bytes, str]:
    """Return an export and its media type.

    Raises:
        DataError: Nothing has been decided, or the manifest would name uploads, which have no file.
    """
    if name == "cells.csv":
        return cells_csv(review), "text/csv; charset=utf-8"
    if name == "count.json":
        return count_json(parts, review), "application/json"
    if name == "manifest.csv":
        return manifest_csv(review), "text/csv; charset=utf-8"
    return cells_zip(review), "application/zip"


def cells_csv(review: Review) -> bytes:
    """Return one row for each cell: predictions and the decisions of both reviewers."""
    views = {view.id: view for view in review.views()}
    decided = {one: review.store.decisions(one) for one in REVIEWERS}
    header = ["name", "label", "predicted", *(f"reviewer_{one}" for one in REVIEWERS)]
    rows = []
    for cell in review.store.cells():
        view = views[cell.id]
        labels = [
            decided[one][cell.id].label if cell.id in decided[one] else "" for one in REVIEWERS
        ]
        probs: Sequence[object] = view.probs or [""] * len(review.classes)
        rows.append([cell.name, view.label or "", view.predicted or "", *labels, *probs])
    return _csv([*header, *review.classes], rows)


def agreed_labels(review: Review) -> dict[int, str]:
    """Return id -> class of the cells that were decided, without contradiction, as a class.

    Raises:
        DataError: There is none.
    """
    both = [review.store.decisions(one) for one in REVIEWERS]
    labels: dict[int, str] = {}
    for cell in both[0].keys() | both[1].keys():
        given = {own[cell].label for own in both if cell in own}
        if len(given) == 1 and UNCLASSIFIED not in given:
            labels[cell] = given.pop()
    if not labels:
        raise DataError("nothing to export: confirm or change the class of a cell first")
    return labels


def manifest_csv(review: Review) -> bytes:
    """Return paths and classes of the decided cells, which are files of this machine.

    Raises:
        DataError: A cell was uploaded, so it has no file here; or no cell was decided.
    """
    labels = agreed_labels(review)
    cells = review.store.cells(labels)
    if any(not cell.path for cell in cells):
        raise DataError(
            "manifest.csv: some cells were dropped on the page and have no file on this machine; "
            "export cells.zip instead"
        )
    return _csv(["path", "label"], [[cell.path, labels[cell.id]] for cell in cells])


def cells_zip(review: Review) -> bytes:
    """Return the decided cells as images, with a manifest that names them.

    Raises:
        DataError: No cell was decided.
    """
    labels = agreed_labels(review)
    names = {cell: f"images/{cell:06d}.png" for cell in sorted(labels)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        rows = [[name, labels[cell]] for cell, name in names.items()]
        archive.writestr("manifest.csv", _csv(["path", "label"], rows))
        for cell, name in names.items():
            archive.writestr(name, review.store.picture(cell) or b"")
    return stream.getvalue()


def count_json(parts: Services, review: Review) -> bytes:
    """Return the count as `stainproof count` writes it, with LOINC codes and the reviewer.

    Raises:
        DataError: There is no cell.
    """
    tree = json.loads(parts.counting.whole(review).to_json())
    tree["loinc"] = loinc_codes(review.classes)
    tree["reviewer"] = review.reviewer
    return f"{json.dumps(tree, indent=2)}\n".encode()


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(
        [quote_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return stream.getvalue().encode()
