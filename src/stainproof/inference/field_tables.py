"""Tables of the cells of fields: one row for each cell, with its field, box and prediction."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow

from stainproof.cells.boxes import Boxes, read_boxes
from stainproof.cells.crops import cut
from stainproof.cells.reading import Summary, read_fields
from stainproof.config.schema import InferenceConfig
from stainproof.data.images import to_square
from stainproof.data.stream import Item
from stainproof.errors import ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.inference.tables import check_suffix, write_with_abstention
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab

COLUMNS = (
    pyarrow.field("field", pyarrow.string()),
    *(pyarrow.field(name, pyarrow.float32()) for name in ("x0", "y0", "x1", "y1", "score")),
    pyarrow.field("kind", pyarrow.string()),
    pyarrow.field("touching", pyarrow.int32()),
    pyarrow.field("cut", pyarrow.bool_()),
)


def predict_fields(
    run: str | Path,
    fields: Sequence[str],
    out: str | Path,
    *,
    boxes: str | Path | None = None,
    red_cell_px: float | None = None,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    lab: Lab | str | Path | None = None,
    error: str | float | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> tuple[int, int]:
    """Find the cells of fields and predict the class of each; write one row for each cell.

    Beside the columns of `tables.predict`, a row has `field`, `x0`, `y0`, `x1`, `y1` (the box in
    pixels of the field), `score`, `kind`, `touching` and `cut`, see `cells.cropping.crop`; `name`
    is the path of the field and the number of the cell. A field that cannot be read or measured has
    a row with its error.

    Args:
        run: The folder of a run or an ensemble.
        fields: Image files, folders (at any depth) and globs.
        out: The table to write; its suffix chooses the format.
        boxes: File or folder of boxes instead of detection, see `cells.boxes.read_boxes`.
        red_cell_px: Diameter of a red cell in pixels of the fields; None: measured in each field.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter.
        lab: A laboratory profile of cropped cells or its file, by which they are standardised.
        error: Largest error among the accepted cells, as in `tables.predict`.
        track: Shows progress.
        say: Called with lines about what was found and skipped.

    Returns:
        The number of rows, and how many of them are fields that could not be used.

    Raises:
        CheckpointError: The run folder cannot be used.
        ConfigError: The engine is unknown or not installed, a class has the name of a column, or
            `error` cannot be guaranteed.
        DataError: A path matches no image, the boxes or the diameter cannot be used, or the suffix
            of the table is unknown.
    """
    path = Path(out)
    check_suffix(path)
    given = None if boxes is None else read_boxes(boxes)
    classifier = Classifier.load(run, engine, inference, lab=lab, say=say)
    if clash := {one.name for one in COLUMNS} & set(classifier.classes):
        raise ConfigError(f"class {min(clash)!r} has the name of a column of the table of cells")
    summary = Summary()
    items = read_cells(
        fields,
        classifier,
        summary,
        boxes=given,
        red_cell_px=red_cell_px,
        track=track,
        say=say,
    )
    result = write_with_abstention(
        run, classifier, items, path, error=error, further=COLUMNS, say=say
    )
    for line in summary.lines():
        say(line)
    return result


def read_cells(
    fields: Sequence[str],
    classifier: Classifier,
    summary: Summary,
    *,
    boxes: Boxes | None = None,
    red_cell_px: float | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Iterator[Item]:
    """Yield the cells of fields as images for a classifier; the fields' errors come last.

    Args:
        fields: Image files, folders (at any depth) and globs.
        classifier: Its preprocessing and laboratory profile are applied.
        summary: Counts what is read and skipped.
        boxes: Boxes instead of detection.
        red_cell_px: Diameter of a red cell in pixels; None: measured in each field.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder.

    Raises:
        DataError: See `cells.reading.read_fields`.
    """
    preprocessing = classifier.preprocessing
    for one in read_fields(
        fields, summary, boxes=boxes, red_cell_px=red_cell_px, track=track, say=say
    ):
        for number, cell in enumerate(one.cells):
            values = {
                "field": one.name,
                **{name: getattr(cell, name) for name in ("x0", "y0", "x1", "y1", "score")},
                "kind": cell.kind,
                "touching": cell.touching,
                "cut": cell.cut,
            }
            rgb = cut(one.rgb, cell, one.scale.red_cell_px, preprocessing.size_px)
            rgb = to_square(classifier.standardise(rgb), preprocessing)
            yield Item(f"{one.name}#{number}", rgb, values=values)
    for name, error in summary.errors:
        yield Item(name, None, error, {"field": name})
