"""The scale of a field: the diameter of a red cell in pixels, by red cells, or else by nuclei."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from stainproof.cells.background import fit_background, optical_density
from stainproof.cells.red_cells import measure_red_cells
from stainproof.cells.stain import measure_stain
from stainproof.data.images import Images
from stainproof.errors import DataError

Way = Literal["red cells", "median of the set", "nuclei", "given", "none"]

RED_CELL_RANGE_PX = (4, 4000)
"""Allowed diameters of a red cell: nothing is seen in smaller ones, larger ones fill a field."""
ALIKE = 0.2
"""An unsure measurement is kept if it is this close to the median of the set."""
SURE_CELLS = 8
"""Fewest red cells of a sure measurement."""
SURE_SPREAD = 0.20
"""Largest spread of a sure measurement."""
NUCLEUS_RED_CELLS = 1.15
"""Typical diameter of a disk with the area of a white cell's nucleus, in red-cell diameters."""
SIDE_PX = 512


@dataclass(frozen=True)
class Scale:
    """The scale of a field and where it comes from."""

    red_cell_px: float
    """Diameter of a red cell in pixels of the field; 0 if unknown."""
    way: Way
    """How it was found."""
    is_sure: bool = True
    """Whether enough single red cells of one size were measured."""


def measure_scale(rgb: Images) -> Scale:
    """Measure the scale of a field by its red cells, or where there are none by nuclei.

    Args:
        rgb: uint8 (height, width, 3).
    """
    red_cells = measure_red_cells(rgb)
    if red_cells.diameter_px:
        is_sure = (
            red_cells.are_single
            and red_cells.num_cells >= SURE_CELLS
            and red_cells.spread <= SURE_SPREAD
        )
        return Scale(red_cells.diameter_px, "red cells", is_sure)
    nucleus_px = _nucleus_px(rgb)
    if nucleus_px:
        return Scale(nucleus_px / NUCLEUS_RED_CELLS, "nuclei", is_sure=False)
    return Scale(0.0, "none", is_sure=False)


def check_red_cell_px(red_cell_px: float | None) -> None:
    """Refuse a given diameter of a red cell that cannot be.

    Raises:
        DataError: It is not 4 to 4,000 pixels.
    """
    least, largest = RED_CELL_RANGE_PX
    if red_cell_px is not None and not least <= red_cell_px <= largest:
        raise DataError(
            f"red_cell_px, the diameter of a red cell, must be {least} to {largest:,} pixels, "
            f"got {red_cell_px:g}"
        )


def settle(scales: Sequence[Scale]) -> list[Scale]:
    """Replace doubtful measurements of a set of fields by the median of the set.

    A measurement of many single red cells stands. One of few cells, or of clumps of cells, stands
    if it is within 20 % of the median; otherwise, and where nothing or only nuclei were measured,
    the field takes the median.

    Args:
        scales: One for each field, see `measure_scale`.
    """
    by_red_cells = [one.red_cell_px for one in scales if one.way == "red cells"]
    if not by_red_cells:
        return list(scales)
    median_px = float(np.median(by_red_cells))
    return [
        one
        if one.is_sure or (one.way == "red cells" and abs(one.red_cell_px / median_px - 1) < ALIKE)
        else Scale(median_px, "median of the set")
        for one in scales
    ]


def _nucleus_px(rgb: Images) -> float:
    """Return the typical diameter of a nucleus in pixels of the field; 0 if there is none."""
    scale = min(1.0, SIDE_PX / max(rgb.shape[:2]))
    size = tuple(max(1, round(length * scale)) for length in rgb.shape[1::-1])
    reduced = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    density = optical_density(reduced, fit_background(reduced))
    stain = measure_stain(density)
    nuclear = cv2.GaussianBlur(stain.nuclear_density(density), (0, 0), 1)
    strong = (nuclear > max(0.06, 6 * stain.noise)).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(strong)
    areas = np.sort(boxes[1:, cv2.CC_STAT_AREA].astype(np.float64))
    areas = areas[areas >= 50]
    if not len(areas):
        return 0.0
    shares = np.cumsum(areas) / areas.sum()
    return float(np.sqrt(4 * areas[np.searchsorted(shares, 0.5)] / np.pi) / scale)
