"""Find the cells of a field: a photograph of a smear with one or hundreds of cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stainproof.cells.found import Found
from stainproof.cells.platelets import find_platelets
from stainproof.cells.scale import check_red_cell_px, measure_scale
from stainproof.cells.tiles import Tile, split
from stainproof.cells.view import make_view
from stainproof.cells.white_cells import find_white_cells, nuclear_hue
from stainproof.data.image_file import MAX_PIXELS, too_large
from stainproof.data.images import Images
from stainproof.errors import DataError


@dataclass(frozen=True)
class Cell:
    """A cell of a field; lengths in pixels of the field, from its upper left corner."""

    x0: float
    """Left edge of the box around the whole cell."""
    y0: float
    """Upper edge."""
    x1: float
    """Right edge."""
    y1: float
    """Lower edge."""
    score: float = 1.0
    """How far the stain is above what is just accepted: 0.5 to 1; of a given box its own, or 1."""
    kind: str = "white"
    """`white` (any nucleated cell), `platelet`, or the label of a given box."""
    touching: int = 0
    """Number of other cells whose boxes meet this one."""
    cut: bool = False
    """Whether the border of the field cuts the cell."""

    @property
    def centre(self) -> tuple[float, float]:
        """Return x and y of the middle of the box."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


def find_cells(rgb: Images, red_cell_px: float | None = None) -> list[Cell]:
    """Find the white cells and platelets of a field.

    Everything is measured relative to the field's own background, red cells and nuclei, so that no
    setting depends on the camera, the magnification or the stain:

    1. The background, a smooth surface, is divided out (`background`).
    2. The field is brought to a magnification at which a red cell is 40 pixels wide (`scale`); one
       that is then larger than 16 megapixels in overlapping parts, each measured alone (`tiles`).
    3. The nuclear stain is separated from the measured colour of the red cells (`stain`).
    4. White cells are nuclei with the body around them that has not the red cells' colour; bodies
       with a neck are separated (`white_cells`, `touching`).
    5. Platelets are small round spots of the nuclei's colour (`platelets`).

    Args:
        rgb: uint8 (height, width, 3), at most 64 megapixels.
        red_cell_px: Diameter of a red cell in pixels; None: measured, see `scale.measure_scale`.

    Returns:
        The cells from top to bottom; none if the field has no nuclear stain or no measurable scale.

    Raises:
        DataError: The array is no image of that kind, is too large, or the diameter is not 4 to
            4,000 pixels.
    """
    check_field(rgb)
    check_red_cell_px(red_cell_px)
    diameter_px = red_cell_px or measure_scale(rgb).red_cell_px
    if not diameter_px:
        return []
    found = [
        cell
        for tile in split(rgb.shape, diameter_px)
        for cell in _find_in(rgb, tile, diameter_px)
        if tile.owns(*cell.centre)
    ]
    return finish(found, rgb.shape)


def check_field(rgb: Images) -> None:
    """Refuse what is no RGB image of at most 64 megapixels.

    Raises:
        DataError: It is not.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or str(rgb.dtype) != "uint8" or not rgb.size:
        raise DataError(
            f"a field must be uint8 (height, width, 3), got {rgb.dtype} {tuple(rgb.shape)}"
        )
    height, width = rgb.shape[:2]
    if height * width > MAX_PIXELS:
        raise DataError(too_large("field", f"{width} x {height} pixels"))


def finish(cells: Sequence[Cell], shape: tuple[int, ...]) -> list[Cell]:
    """Order cells from top to bottom, clip them to the field, and note borders and neighbours.

    Args:
        cells: Cells; those outside the field are left out.
        shape: Height and width of the field.
    """
    height, width = shape[:2]
    clipped = []
    for one in cells:
        x0, y0 = max(0.0, one.x0), max(0.0, one.y0)
        x1, y1 = min(float(width), one.x1), min(float(height), one.y1)
        if x1 - x0 >= 1 and y1 - y0 >= 1:
            is_cut = x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height
            clipped.append(Cell(x0, y0, x1, y1, one.score, one.kind, 0, is_cut))
    clipped.sort(key=lambda one: (one.y0, one.x0))
    return [
        Cell(a.x0, a.y0, a.x1, a.y1, a.score, a.kind, _num_touching(a, clipped), a.cut)
        for a in clipped
    ]


def _num_touching(cell: Cell, cells: Sequence[Cell]) -> int:
    return sum(
        other is not cell
        and other.x0 <= cell.x1
        and cell.x0 <= other.x1
        and other.y0 <= cell.y1
        and cell.y0 <= other.y1
        for other in cells
    )


def _find_in(rgb: Images, tile: Tile, red_cell_px: float) -> Iterator[Cell]:
    """Yield the cells of a tile, those beyond its core included."""
    view = make_view(rgb[tile.rows, tile.columns], red_cell_px)
    hue = nuclear_hue(view)
    white_cells, taken = find_white_cells(view, hue)
    for found in (*white_cells, *find_platelets(view, hue, taken)):
        yield _to_field(found, tile, view.scale)


def _to_field(found: Found, tile: Tile, scale: float) -> Cell:
    x0, y0, x1, y1 = (value / scale for value in found.box())
    left, top = tile.columns.start, tile.rows.start
    return Cell(x0 + left, y0 + top, x1 + left, y1 + top, found.score, found.kind)
