"""Write single-cell images and their manifest from photographs of a smear."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from stainproof import files
from stainproof.cells.boxes import read_boxes
from stainproof.cells.crops import SIZE_PX, cut
from stainproof.cells.fields import Cell
from stainproof.cells.reading import FieldCells, Summary, read_fields
from stainproof.errors import DataError
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.text import quote_formula

MANIFEST = "cells.csv"
COLUMNS = (
    "field",
    "x0",
    "y0",
    "x1",
    "y1",
    "score",
    "file",
    "kind",
    "touching",
    "cut",
    "red_cell_px",
    "scale_from",
)
SIZES_PX = (8, 1024)


def crop(
    fields: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    boxes: str | Path | None = None,
    size_px: int = SIZE_PX,
    red_cell_px: float | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Summary:
    """Cut photographs of a smear into centred single-cell images at the scale of training.

    Writes a PNG file for each cell and the table `cells.csv` with the columns `field`, `x0`, `y0`,
    `x1`, `y1` (the box of the whole cell in pixels of the field), `score`, `file`, `kind` (`white`:
    any nucleated cell, or `platelet`; with `boxes` their label), `touching` (number of other cells
    whose boxes meet this one), `cut` (1: the border of the field cuts the cell), `red_cell_px` and
    `scale_from`. One field is in memory at a time.

    Args:
        fields: Image files, folders (at any depth) and globs; at most 64 megapixels a field.
        out: Folder to make; must not exist, or be empty.
        boxes: File or folder of boxes to cut instead of detection, see `cells.boxes.read_boxes`.
        size_px: Height and width of the crops, 8 to 1024. They show 2.4 red-cell diameters, about
            what the images of BloodMNIST show.
        red_cell_px: Diameter of a red cell in pixels of the fields; None: measured in each field.
        track: Shows progress.
        say: Called with lines about what was found and skipped.

    Returns:
        What was read and what was skipped.

    Raises:
        DataError: A path matches no image, no field could be read, the boxes cannot be used, a
            setting is out of range, or `out` is not empty.

    Example:
        >>> from stainproof import crop
        >>> crop("fields", "cells").num_cells
        6
    """
    if not SIZES_PX[0] <= size_px <= SIZES_PX[1]:
        raise DataError(f"size_px must be from {SIZES_PX[0]} to {SIZES_PX[1]}, got {size_px}")
    given = None if boxes is None else read_boxes(boxes)
    summary = Summary()
    rows: list[tuple[object, ...]] = []
    with files.new_folder(Path(out)) as folder:
        taken: set[str] = set()
        for one in read_fields(
            as_names(fields),
            summary,
            boxes=given,
            red_cell_px=red_cell_px,
            track=track,
            say=say,
        ):
            stem = _new_stem(Path(one.name).stem, taken)
            for number, cell in enumerate(one.cells):
                file = f"{stem}_{number:03d}.png"
                files.write_picture(
                    folder / file, cut(one.rgb, cell, one.scale.red_cell_px, size_px)
                )
                rows.append(_row(one, cell, file))
        if not summary.num_fields:
            raise DataError("no field could be used: " + "; ".join(list(summary.lines())[1:]))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        files.write_text(folder / MANIFEST, text.getvalue())
    for line in summary.lines():
        say(line)
    return summary


def _row(field: FieldCells, cell: Cell, file: str) -> tuple[object, ...]:
    return (
        quote_formula(field.name),
        *(f"{edge:.1f}" for edge in (cell.x0, cell.y0, cell.x1, cell.y1)),
        f"{cell.score:.3f}",
        quote_formula(file),
        quote_formula(cell.kind),
        cell.touching,
        int(cell.cut),
        f"{field.scale.red_cell_px:.1f}",
        field.scale.way,
    )


def as_names(fields: str | Path | Sequence[str | Path]) -> list[str]:
    """Return one path or several as a list of texts."""
    several = [fields] if isinstance(fields, str | Path) else list(fields)
    return [str(one) for one in several]


def _new_stem(name: str, taken: set[str]) -> str:
    """Return a file name's beginning that no other field has, in ASCII, and take it."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80] or "field"
    stem = plain
    for number in count(2):
        if stem.lower() not in taken:
            break
        stem = f"{plain}-{number}"
    taken.add(stem.lower())
    return stem
