"""White cells and other nucleated cells: nuclei by their stain, then the cell body around them."""

from collections.abc import Iterator

import cv2
import numpy as np

from stainproof.cells.background import Mask
from stainproof.cells.found import Found
from stainproof.cells.touching import LARGEST_CELL, separate
from stainproof.cells.view import RED_CELL_AREA, RED_CELL_PX, STAINED, View, morph

NUCLEUS = 0.4
"""Least nuclear density of a nucleus as a fraction of that of the field's densest ones."""
BODY_HUE = 0.4
"""Least share of nuclear stain in a cell body as a fraction of the share in nuclei."""
REACH = 0.8
"""Furthest that a body reaches from a nucleus, in red-cell diameters."""
LEAST_NUCLEUS = 0.28
"""Least area of a nucleus, in red-cell areas."""
LEAST_BODY = 0.7
"""Least area of a cell body, in red-cell areas."""
CUT_SHARE = 0.4
"""These areas are multiplied by it for cells that the border cuts."""
PALE = 0.05
"""Least length of the optical density vector of pale cytoplasm."""
CONVEX = 0.92
"""Least share of its convex hull that a cell with pale cytoplasm fills."""
OWN = 0.3
"""A part of what is stained belongs to a cell if the cell covers this fraction of it."""
MARGIN = 0.03
"""Blurred edge around the body, in red-cell diameters."""
DEFAULT_HUE = 0.5
"""Share of nuclear stain in nuclei, where the field has none."""


def nuclear_hue(view: View) -> float:
    """Return the typical share of nuclear stain in the nuclei of a field."""
    strong = _strong(view)
    return float(np.median(view.hue[strong])) if strong.any() else DEFAULT_HUE


def find_white_cells(view: View, hue: float) -> tuple[list[Found], Mask]:
    """Find the nucleated cells of a field.

    Args:
        view: The field at standard magnification.
        hue: See `nuclear_hue`.

    Returns:
        The cells, and a mask of their bodies, bool (height, width).
    """
    strong = _strong(view)
    if not strong.any():
        return [], np.zeros(strong.shape, np.bool_)
    densest = float(np.quantile(view.nuclear[strong], 0.9))
    nuclei = strong & (view.nuclear > NUCLEUS * densest)
    bodies = _bodies(view, nuclei, hue)
    found = list(_cells(view, separate(bodies), nuclei))
    taken = np.zeros(strong.shape, np.bool_)
    for cell in found:
        taken[cell.window] |= cell.mask
    return found, taken


def _strong(view: View) -> Mask:
    return morph(view.nuclear > view.threshold, cv2.MORPH_OPEN, 0.15)


def _bodies(view: View, nuclei: Mask, hue: float) -> Mask:
    """Return the bodies: around nuclei, what is stained and not of the colour of red cells."""
    near = morph(nuclei, cv2.MORPH_DILATE, 2 * REACH)
    body = nuclei | ((view.hue > BODY_HUE * hue) & (view.amount > STAINED) & near)
    body = fill_holes(morph(body, cv2.MORPH_CLOSE, 0.12))
    body = morph(body, cv2.MORPH_OPEN, 0.4)
    between_lobes = morph(body, cv2.MORPH_CLOSE, 0.8) & (view.amount > 0.04)
    return body | between_lobes


def fill_holes(mask: Mask) -> Mask:
    """Return a mask without holes."""
    filled = mask.astype(np.uint8)
    outlines, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled > 0


def _cells(view: View, labels: np.ndarray, nuclei: Mask) -> Iterator[Found]:
    height, width = labels.shape
    for number, window in _windows(labels):
        inside = labels[window] == number
        window, mask = _with_pale_cytoplasm(view, window, _largest_part(inside))
        rows, columns = window
        is_cut = rows.start == 0 or columns.start == 0
        is_cut = is_cut or rows.stop == height or columns.stop == width
        least = RED_CELL_AREA * (CUT_SHARE if is_cut else 1.0)
        if (mask & nuclei[window]).sum() < LEAST_NUCLEUS * least or mask.sum() < LEAST_BODY * least:
            continue
        density = float(np.quantile(view.nuclear[window][mask], 0.9))
        yield Found("white", window, mask, MARGIN, density / (density + view.threshold))


def _with_pale_cytoplasm(
    view: View, window: tuple[slice, slice], mask: Mask
) -> tuple[tuple[slice, slice], Mask]:
    """Add cytoplasm of the red cells' colour: the rest of the stained part that holds the cell.

    What is stained around the cell is separated at its necks; parts of which the cell covers 30 %
    are its own, unless the whole would be larger than a cell or not convex.
    """
    reach = RED_CELL_PX
    rows, columns = (
        slice(max(0, one.start - reach), min(length, one.stop + reach))
        for one, length in zip(window, view.amount.shape, strict=True)
    )
    top, left = window[0].start - rows.start, window[1].start - columns.start
    body = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    body[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    stained = fill_holes((view.fine_amount[rows, columns] > PALE) | body)
    parts = separate(morph(stained, cv2.MORPH_OPEN, 0.3), largest=1.3)
    areas = np.bincount(parts.ravel())
    covered = np.bincount(parts[body], minlength=len(areas))
    own = [number for number in range(1, len(areas)) if covered[number] > OWN * areas[number]]
    whole = body | np.isin(parts, own)
    lines = [np.flatnonzero(whole.any(axis=axis)) for axis in (1, 0)]
    is_large = max(line[-1] - line[0] + 1 for line in lines) > LARGEST_CELL * RED_CELL_PX
    if is_large or not _is_convex(whole):
        return window, mask
    inner = tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    outer = tuple(
        slice(start.start + one.start, start.start + one.stop)
        for start, one in zip((rows, columns), inner, strict=True)
    )
    return (outer[0], outer[1]), whole[inner[0], inner[1]]


def _is_convex(mask: Mask) -> bool:
    """Return whether a mask fills its convex hull; a cell with a red cell beside it does not."""
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
    return bool(mask.sum() > CONVEX * cv2.contourArea(hull))


def _windows(labels: np.ndarray) -> Iterator[tuple[int, tuple[slice, slice]]]:
    from scipy.ndimage import find_objects

    for index, window in enumerate(find_objects(labels)):
        if window is not None:
            yield index + 1, window


def _largest_part(mask: Mask) -> Mask:
    number, parts, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if number <= 2:
        return mask
    return np.asarray(parts == 1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax()), np.bool_)
