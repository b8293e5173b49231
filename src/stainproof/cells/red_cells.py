"""Red cells as a ruler: their diameter in pixels, wherever the slide and the camera come from."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.cells.background import Mask, fit_background, optical_density
from stainproof.cells.stain import foreground, measure_stain
from stainproof.data.images import Images, reduce

RED_CELL_UM = 7.5
"""Typical diameter of a red cell on a smear, in micrometres."""
SIDE_PX = 768
"""Longest side of the image on which red cells are measured."""
LEAST_PX = 12.0
"""Smaller red cells are measured again in a part of the field that is less reduced."""
ROUND = 0.90
"""Least area of a single cell as a fraction of its convex hull and of its ellipse."""
LONGEST = 1.45
"""Largest ratio of a single cell's axes."""
FEWEST = 4
"""Fewest red cells that measure a field."""


@dataclass(frozen=True)
class RedCells:
    """The size of the red cells of a field."""

    diameter_px: float
    """Median diameter in pixels of the field; 0 if there were too few."""
    num_cells: int
    """Number of cells that were measured."""
    spread: float
    """Half the width between the quartiles of the diameter, as a fraction of the median."""
    are_single: bool
    """Whether single cells were measured, not circles inside clumps of cells."""


UNMEASURED = RedCells(0.0, 0, 0.0, False)


def measure_red_cells(rgb: Images) -> RedCells:
    """Measure the diameter of the red cells of a field.

    The field is reduced to 768 pixels; if the red cells are then very small, its middle is
    measured at a higher resolution.

    Args:
        rgb: uint8 (height, width, 3).
    """
    longest = max(rgb.shape[:2])
    scale = min(1.0, SIDE_PX / longest)
    while True:
        found = _measure(_middle(rgb, scale))
        if found.diameter_px >= LEAST_PX or scale == 1.0:
            break
        scale = min(1.0, 2 * scale)
    if not found.num_cells:
        return UNMEASURED
    return RedCells(found.diameter_px / scale, found.num_cells, found.spread, found.are_single)


def _middle(rgb: Images, scale: float) -> Images:
    """Return the middle of a field, reduced; at most SIDE_PX in both directions."""
    side = round(SIDE_PX / scale)
    top, left = (max(0, (length - side) // 2) for length in rgb.shape[:2])
    part = rgb[top : top + side, left : left + side]
    if scale == 1.0:
        return np.ascontiguousarray(part)
    return reduce(part, scale)


def _measure(rgb: Images) -> RedCells:
    density = optical_density(rgb, fit_background(rgb))
    stain = measure_stain(density)
    mask = foreground(cv2.GaussianBlur(density, (0, 0), 1))
    nuclear = stain.nuclear_density(density) > max(0.05, 5 * stain.noise)
    nuclei = cv2.morphologyEx(nuclear.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    filled = fill_round_holes(mask)
    diameters = _single_cells(filled, nuclei > 0)
    if len(diameters) >= FEWEST:
        return _summarise(diameters, are_single=True)
    diameters = _inscribed(filled)
    if len(diameters) >= FEWEST:
        return _summarise(diameters, are_single=False)
    return UNMEASURED


def _summarise(diameters: NDArray[np.float64], *, are_single: bool) -> RedCells:
    """Return the median weighted by area, so that platelets and debris hardly count."""
    ordered = np.sort(diameters)
    shares = np.cumsum(ordered**2) / np.sum(ordered**2)
    low, middle, high = (float(ordered[np.searchsorted(shares, q)]) for q in (0.25, 0.5, 0.75))
    alike = np.abs(ordered - middle) < 0.35 * middle
    return RedCells(middle, int(alike.sum()), (high - low) / 2 / middle, are_single)


def fill_round_holes(mask: Mask) -> Mask:
    """Fill holes that are convex, the pallor of red cells; gaps between cells have cusps."""
    filled = mask.astype(np.uint8)
    outlines, family = cv2.findContours(filled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for index, outline in enumerate(outlines):
        is_hole = family[0][index][3] >= 0
        if is_hole and _solidity(outline) > 0.85:
            cv2.drawContours(filled, outlines, index, 1, cv2.FILLED)
    return filled > 0


def _single_cells(mask: Mask, nuclei: Mask) -> NDArray[np.float64]:
    """Return the diameters of round components without nucleus that no border cuts."""
    height, width = mask.shape
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    diameters = []
    for outline in outlines:
        left, top, wide, high = cv2.boundingRect(outline)
        if min(wide, high) < 6 or left <= 0 or top <= 0:
            continue
        if left + wide >= width or top + high >= height or _solidity(outline) < ROUND:
            continue
        _, axes, _ = cv2.fitEllipse(outline)
        area = _area(outline)
        if max(axes) > LONGEST * min(axes) or area < ROUND * np.pi / 4 * axes[0] * axes[1]:
            continue
        inside = np.zeros((high, wide), np.uint8)
        cv2.drawContours(inside, [outline - (left, top)], 0, 1, cv2.FILLED)
        stained = nuclei[top : top + high, left : left + wide]
        if (stained & (inside > 0)).sum() < 0.1 * area:
            diameters.append(np.sqrt(4 * area / np.pi))
    return np.array(diameters)


def _inscribed(mask: Mask) -> NDArray[np.float64]:
    """Return the diameters of the largest circles in what is stained, for clumped red cells."""
    if mask.all():
        return np.empty(0)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    typical = float(np.quantile(distance[mask], 0.9)) if mask.any() else 0.0
    if typical < 3:
        return np.empty(0)
    reach = 2 * int(0.6 * typical) + 1
    peaks = (distance == cv2.dilate(distance, np.ones((reach, reach)))) & (distance > typical / 2)
    return np.asarray(2 * distance[peaks], np.float64)


def _area(outline: NDArray[np.int32]) -> float:
    """Return the number of pixels that an outline encloses, those on it included."""
    return float(cv2.contourArea(outline) + len(outline) / 2 + 1)


def _solidity(outline: NDArray[np.int32]) -> float:
    hull = cv2.convexHull(outline)
    return _area(outline) / float(max(cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1, 1))
