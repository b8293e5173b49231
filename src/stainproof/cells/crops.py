"""Cut single-cell images out of a field at the scale on which networks are trained."""

import cv2
import numpy as np

from stainproof.cells.background import fit_background
from stainproof.cells.fields import Cell
from stainproof.data.images import Images

WINDOW_RED_CELLS = 2.4
"""Side of a crop in diameters of a red cell: 18 micrometres.

Red cells that lie wholly within BloodMNIST's windows of PBC measure 1 / 2.76 of their side in the
median (n = 204); larger ones are cut more often (`docs/decisions/0021-cells-from-fields.md`).
"""
SIZE_PX = 96


def cut(rgb: Images, cell: Cell, red_cell_px: float, size_px: int = SIZE_PX) -> Images:
    """Cut out a cell in the middle of a window of 2.4 red-cell diameters.

    What lies outside the field gets the colour of the field's background there.

    Args:
        rgb: The field, uint8 (height, width, 3).
        cell: The cell.
        red_cell_px: Diameter of a red cell in pixels of the field, greater than 0.
        size_px: Height and width of the crop.

    Returns:
        uint8 (size, size, 3). Shrinking averages areas, enlarging is bicubic.
    """
    height, width = rgb.shape[:2]
    side = max(2, round(WINDOW_RED_CELLS * red_cell_px))
    left, top = (round(middle - side / 2) for middle in cell.centre)
    rows = slice(max(0, top), max(0, min(height, top + side)))
    columns = slice(max(0, left), max(0, min(width, left + side)))
    inside = rgb[rows, columns]
    if inside.shape[:2] == (side, side):
        window = np.ascontiguousarray(inside)
    else:
        window = np.empty((side, side, 3), np.uint8)
        window[:] = _background_colour(inside)
        window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
            inside
        )
    interpolation = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(window, (size_px, size_px), interpolation=interpolation), np.uint8)


def _background_colour(rgb: Images) -> Images:
    """Return the median background of a part of a field, uint8 (3,)."""
    if not rgb.size:
        return np.full(3, 255, np.uint8)
    surface = fit_background(np.ascontiguousarray(rgb)) - 1
    return np.asarray(np.clip(np.median(surface, axis=(0, 1)), 0, 255).round(), np.uint8)
