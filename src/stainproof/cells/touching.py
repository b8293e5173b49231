"""Separate cells that touch: bodies with a neck between two wide parts."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.cells.background import Mask, Plane
from stainproof.cells.view import RED_CELL_PX, disk

LARGEST_CELL = 2.4
"""A body of less than this many red-cell diameters is one cell, whatever its shape."""
NECK = 0.75
"""Two cells are separated where the body is narrower than this fraction of both."""
APART = 0.8
"""Least distance of two cells' centres, in red-cell diameters."""
NARROWEST = 0.25
"""Least radius of a cell, in red-cell diameters."""

Labels = NDArray[np.int32]


def separate(body: Mask, largest: float = LARGEST_CELL) -> Labels:
    """Number the cells of a mask, 0 outside.

    Centres are maxima of the distance to the edge. Of two centres in a body that is too large for
    one cell, both are kept if the distance along the line between them falls below 75 % of that of
    either. A pixel belongs to the centre whose inscribed circle is nearest.

    Args:
        body: bool (height, width), at standard magnification.
        largest: A body of less than this many red-cell diameters is one cell.

    Returns:
        int32 (height, width).
    """
    num_bodies, bodies, boxes, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8))
    edge_px = cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, 5)
    edge_px = np.asarray(cv2.GaussianBlur(edge_px, (0, 0), 1.5), np.float32)
    labels = np.zeros(body.shape, np.int32)
    num_cells = 0
    for number in range(1, num_bodies):
        left, top, width, height, _ = boxes[number].tolist()
        window = np.s_[top : top + height, left : left + width]
        inside = bodies[window] == number
        centres: list[tuple[int, int]] = []
        if max(width, height) >= largest * RED_CELL_PX:
            centres = _centres(np.where(inside, edge_px[window], np.float32(0)))
        if len(centres) > 1:
            owners = _nearest(inside, edge_px[window], centres)
            labels[window][inside] = num_cells + owners[inside]
        else:
            labels[window][inside] = num_cells + 1
        num_cells += max(1, len(centres))
    return labels


def _centres(edge_px: Plane) -> list[tuple[int, int]]:
    """Return row and column of the centres, the widest part first."""
    peaks = (edge_px == cv2.dilate(edge_px, disk(APART))) & (edge_px > NARROWEST * RED_CELL_PX)
    places = np.argwhere(peaks)
    order = np.argsort(-edge_px[peaks], kind="stable")
    centres: list[tuple[int, int]] = []
    for row, column in places[order].tolist():
        if all(_has_neck(edge_px, (row, column), other) for other in centres):
            centres.append((row, column))
    return centres


def _has_neck(edge_px: Plane, one: tuple[int, int], other: tuple[int, int]) -> bool:
    steps = max(abs(one[0] - other[0]), abs(one[1] - other[1]), 2) + 1
    rows, columns = (
        np.linspace(start, stop, steps).round().astype(int)
        for start, stop in zip(one, other, strict=True)
    )
    narrowest = float(edge_px[rows, columns].min())
    return narrowest < NECK * min(float(edge_px[one]), float(edge_px[other]))


def _nearest(inside: Mask, edge_px: Plane, centres: list[tuple[int, int]]) -> Labels:
    """Return the number, from 1, of the centre whose inscribed circle is nearest."""
    rows, columns = np.indices(inside.shape, np.float32)
    away = [
        np.hypot(rows - row, columns - column) - edge_px[row, column] for row, column in centres
    ]
    return np.asarray(np.argmin(away, axis=0) + 1, np.int32)
