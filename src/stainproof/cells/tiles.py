"""Overlapping tiles of a field that is too large to be enlarged as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from stainproof.cells.view import RED_CELL_PX

MAX_ENLARGED_PIXELS = 16_000_000
"""A field that would be larger at standard magnification is enlarged in tiles of at most this."""
OVERLAP = 5.0
"""How far a tile reaches beyond its core, in diameters of a red cell: a large cell is whole in it.
"""


@dataclass(frozen=True)
class Tile:
    """A part of a field; lengths in pixels of the field. The cores of all tiles cover it once."""

    rows: slice
    """Rows of the tile."""
    columns: slice
    """Its columns."""
    core_rows: tuple[int, int]
    """First row of its core, and the first one after it."""
    core_columns: tuple[int, int]
    """The same of its columns."""

    def owns(self, x: float, y: float) -> bool:
        """Return whether a place of the field is in the core."""
        (top, bottom), (left, right) = self.core_rows, self.core_columns
        return top <= y < bottom and left <= x < right


def split(shape: tuple[int, ...], red_cell_px: float) -> Iterator[Tile]:
    """Yield the tiles of a field; one if the field is small or is not enlarged.

    Args:
        shape: Height and width of the field in pixels.
        red_cell_px: Diameter of a red cell in the field, in pixels.
    """
    height, width = shape[:2]
    scale = RED_CELL_PX / red_cell_px
    overlap_px = ceil(OVERLAP * red_cell_px)
    if scale <= 1 or height * width * scale**2 <= MAX_ENLARGED_PIXELS:
        core_px = float(max(height, width))
    else:
        core_px = MAX_ENLARGED_PIXELS**0.5 / scale - 2 * overlap_px
    for core_rows, rows in _parts(height, core_px, overlap_px):
        for core_columns, columns in _parts(width, core_px, overlap_px):
            yield Tile(rows, columns, core_rows, core_columns)


def _parts(length: int, core_px: float, overlap_px: int) -> Iterator[tuple[tuple[int, int], slice]]:
    """Yield equal parts of a side: start and stop of each, and the part with its overlap."""
    number = ceil(length / core_px)
    for index in range(number):
        start, stop = (length * one // number for one in (index, index + 1))
        wide = slice(max(0, start - overlap_px), min(length, stop + overlap_px))
        yield (start, stop), wide
