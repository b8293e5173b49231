"""Phantom fields: smears with red cells, white cells and platelets at known places."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.synthetic.anatomy import ANATOMY, between
from stainproof.synthetic.imaging import LABS, Scene, expose
from stainproof.synthetic.phantoms import Canvas
from stainproof.synthetic.textures import red_cells

RED_CELL_UM = 7.0
"""Typical diameter of the red cells that are drawn."""
SIZES_PX = (64, 2048)
GAP_UM = 1.5


@dataclass(frozen=True)
class PhantomCell:
    """A white cell or platelet of a phantom field."""

    label: str
    """Its class."""
    x_px: float
    """Centre, from the left edge."""
    y_px: float
    """Centre, from the upper edge."""
    radius_px: float
    """Mean radius of the body."""

    def box(self) -> tuple[float, float, float, float]:
        """Return x0, y0, x1, y1."""
        return (
            self.x_px - self.radius_px,
            self.y_px - self.radius_px,
            self.x_px + self.radius_px,
            self.y_px + self.radius_px,
        )


def draw_field(
    rng: np.random.Generator,
    labels: tuple[str, ...],
    *,
    size_px: int = 480,
    px_per_um: float = 6.0,
    num_red_cells: int = 40,
    scene: Scene = LABS["home"],
) -> tuple[Images, list[PhantomCell]]:
    """Draw a field with cells of the given classes among red cells; white cells do not touch.

    Args:
        rng: Random generator.
        labels: Class of each white cell or platelet, names in `stainproof.labels.BLOOD_CLASSES`.
        size_px: Height and width, 64 to 2,048.
        px_per_um: Magnification.
        num_red_cells: Largest number of red cells; those without a free place are left out.
        scene: The laboratory.

    Returns:
        uint8 (size, size, 3), RGB, and the cells in the order of `labels`.

    Raises:
        DataError: A class is unknown, the size is out of range, or the cells find no place.
    """
    if not SIZES_PX[0] <= size_px <= SIZES_PX[1]:
        raise DataError(f"size_px must be from {SIZES_PX[0]} to {SIZES_PX[1]}, got {size_px}")
    if unknown := set(labels) - set(BLOOD_CLASSES):
        raise DataError(f"class {min(unknown)!r} is unknown; allowed: {', '.join(BLOOD_CLASSES)}")
    canvas = Canvas(rng, size_px, px_per_um)
    half_um = size_px / px_per_um / 2
    radii_um = [between(rng, ANATOMY[label].diameter_um) / 2 for label in labels]
    places = _places(rng, radii_um, half_um)
    free = _places(rng, [RED_CELL_UM / 2] * num_red_cells, half_um, taken=places, is_strict=False)
    _paint_red_cells(canvas, [place for place, _ in free])
    cells = []
    for label, (place_um, radius_um) in zip(labels, places, strict=True):
        canvas.add_cell(ANATOMY[label], place_um, radius_um)
        place = canvas.to_px(place_um)
        cells.append(PhantomCell(label, place.real + 0.5, place.imag + 0.5, radius_um * px_per_um))
    rgb = expose(rng, canvas.amounts, replace(scene, field_um=size_px / px_per_um))
    return rgb, cells


Circle = tuple[complex, float]


def _places(
    rng: np.random.Generator,
    radii_um: list[float],
    half_um: float,
    taken: list[Circle] | None = None,
    *,
    is_strict: bool = True,
) -> list[Circle]:
    """Return circles that do not touch, at free places.

    Raises:
        DataError: A circle found no place, and `is_strict`.
    """
    placed: list[Circle] = []
    for radius in radii_um:
        room = half_um - radius - 1
        for x, y in rng.random((300, 2)).tolist():
            place = complex((2 * x - 1) * room, (2 * y - 1) * room)
            others = [*(taken or ()), *placed]
            if room > 0 and all(abs(place - o) > radius + r + GAP_UM for o, r in others):
                placed.append((place, radius))
                break
        else:
            if is_strict:
                raise DataError("the cells do not fit into the field; draw fewer or a larger field")
    return placed


def _paint_red_cells(canvas: Canvas, places_um: list[complex]) -> None:
    shapes = red_cells(canvas.px_per_um)
    pink: NDArray[np.float32] = np.zeros((canvas.size_px, canvas.size_px), np.float32)
    for place_um in places_um:
        shape = shapes[int(canvas.rng.random() * len(shapes))]
        place = canvas.to_px(place_um)
        left = round(place.real - len(shape) / 2)
        top = round(place.imag - len(shape) / 2)
        right, bottom = (min(start + len(shape), canvas.size_px) for start in (left, top))
        x, y = max(left, 0), max(top, 0)
        pink[y:bottom, x:right] += shape[y - top : bottom - top, x - left : right - left]
    pink *= np.float32(0.22)
    cv2.merge([0.3 * pink, np.zeros_like(pink), pink], canvas.amounts)
