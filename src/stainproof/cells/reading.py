"""Read fields one by one and find their cells, in memory that does not grow with their number."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stainproof.cells.boxes import Boxes
from stainproof.cells.fields import Cell, find_cells, finish
from stainproof.cells.scale import Scale, check_red_cell_px, measure_scale, settle
from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode
from stainproof.data.images import Images
from stainproof.data.stream import find
from stainproof.errors import ConfigError, DataError
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.text import printable


@dataclass(frozen=True)
class FieldCells:
    """A field with its cells."""

    name: str
    """The path of the field."""
    rgb: Images
    """uint8 (height, width, 3)."""
    cells: list[Cell]
    """Its cells from top to bottom."""
    scale: Scale
    """Diameter of a red cell, and how it was found."""


@dataclass
class Summary:
    """What was read and what was skipped."""

    num_fields: int = 0
    """Fields that were used."""
    num_cells: int = 0
    """Cells in them."""
    num_empty: int = 0
    """Fields without a cell."""
    num_lost_boxes: int = 0
    """Given boxes that lie outside their field or are below 1 pixel; they are skipped."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Name of each field that could not be used, and why, in one line."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Kind of cell -> number."""
    ways: Counter[str] = field(default_factory=Counter)
    """How the scale was found -> number of fields."""

    def skip(self, path: Path, reason: str) -> None:
        """Record a field that could not be used."""
        self.errors.append((printable(path), printable(reason)))

    def add(self, cells: Sequence[Cell], scale: Scale) -> None:
        """Count a field that was used."""
        self.num_fields += 1
        self.num_cells += len(cells)
        self.num_empty += not cells
        self.kinds.update(one.kind for one in cells)
        self.ways[scale.way] += 1

    def lines(self) -> Iterator[str]:
        """Yield what a user should know, one sentence a line."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        yield f"{self.num_cells} cells in {self.num_fields} fields" + (
            f": {kinds}" if kinds else ""
        )
        for way, count in sorted(self.ways.items()):
            if way not in ("red cells", "given"):
                yield f"{count} fields without sure red cells: scale from {way}"
        if self.num_empty:
            yield f"{self.num_empty} fields without cells"
        if self.num_lost_boxes:
            yield f"{self.num_lost_boxes} boxes skipped: outside their field or below 1 pixel"
        if self.errors:
            yield f"{len(self.errors)} fields skipped; first: {self.errors[0][1]}"


def check_field_options(
    *, fields: bool, bits: int, boxes: object, red_cell_px: float | None, ray: str
) -> None:
    """Check options of commands that take images of single cells or fields.

    Args:
        fields: Whether the images are fields.
        bits: Number of bits of 16-bit files; 0: not given.
        boxes: Boxes or their file; None: not given.
        red_cell_px: Diameter of a red cell; None: not given.
        ray: Address of a Ray cluster; empty: not given.

    Raises:
        ConfigError: `bits` or `ray` is given with fields, or `boxes` or `red_cell_px` without.
    """
    if fields and bits:
        raise ConfigError("bits is not allowed with fields: the bit depth of fields is found")
    if fields and ray:
        raise ConfigError("ray is not allowed with fields: crop the fields first")
    for name, value in (("boxes", boxes), ("red-cell-px", red_cell_px)):
        if value is not None and not fields:
            raise ConfigError(f"{name} is allowed with fields only")


def read_fields(
    fields: Sequence[str],
    summary: Summary,
    *,
    boxes: Boxes | None = None,
    red_cell_px: float | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Iterator[FieldCells]:
    """Yield the fields with their cells, one in memory at a time.

    Without a given diameter every field is read twice: first the red cells of all are measured, so
    that a field without enough of them takes the median scale of the set.

    Args:
        fields: Image files, folders (at any depth) and globs.
        summary: Counts what is read and skipped.
        boxes: Boxes instead of detection.
        red_cell_px: Diameter of a red cell in pixels of all fields; None: measured in each.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder.

    Raises:
        DataError: A path matches no image, the bit depth of 16-bit files is ambiguous, the diameter
            is not 4 to 4,000 pixels, no field has a box, or all boxes lie outside their fields.
    """
    check_red_cell_px(red_cell_px)
    paths = find(fields, say)
    if boxes is not None:
        boxes.check_any(paths)
    bits = bits_used([path for path in paths if path.suffix.lower() != ".npz"])
    if red_cell_px:
        settled = dict.fromkeys(paths, Scale(red_cell_px, "given"))
    else:
        scales: dict[Path, Scale] = {}
        for path in track(paths, "measuring red cells", len(paths)):
            try:
                scales[path] = measure_scale(decode(path, bits).rgb)
            except DataError as error:
                summary.skip(path, str(error))
        settled = dict(zip(scales, settle(list(scales.values())), strict=True))
    for path, scale in track(settled.items(), "finding cells", len(settled)):
        if not scale.red_cell_px:
            summary.skip(path, f"{path}: no red cells and no nuclei to measure the scale by")
            continue
        try:
            rgb = decode(path, bits).rgb
        except DataError as error:
            summary.skip(path, str(error))
            continue
        if boxes is None:
            cells = find_cells(rgb, scale.red_cell_px)
        else:
            given = boxes.of(path, rgb.shape)
            cells = finish(given, rgb.shape)
            summary.num_lost_boxes += len(given) - len(cells)
        summary.add(cells, scale)
        yield FieldCells(printable(path), rgb, cells, scale)
    if boxes is not None and summary.num_lost_boxes and not summary.num_cells:
        raise DataError(
            f"{printable(boxes.source)}: all {summary.num_lost_boxes} boxes lie outside their "
            "fields or are below 1 pixel; edges must be in pixels of these fields"
        )
