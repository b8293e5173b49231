"""Platelets: small, round, of the colour of nuclei, on the background or at a red cell."""

from collections.abc import Iterator

import cv2
import numpy as np

from stainproof.cells.background import Mask, Plane
from stainproof.cells.found import Found
from stainproof.cells.view import RED_CELL_AREA, RED_CELL_PX, STAINED, View, disk, morph

CANDIDATE_HUE = 0.5
"""Least share of nuclear stain in any pixel, as a fraction of the share in nuclei."""
CANDIDATE_TYPICAL_HUE = 0.65
"""Least median share of a spot before its edge is known, as a fraction of the share in nuclei."""
TYPICAL_HUE = 0.75
"""Least median share of nuclear stain, as a fraction of the share in nuclei."""
CONTRAST = 0.03
"""Least difference of the nuclear density to what is around."""
NOISE_FACTOR = 2.5
"""The difference is this many times the deviation of the red cells."""
EDGE = 0.3
"""The edge is where the nuclear density is this fraction of the way to the maximum."""
AREA = (0.035, 0.6)
"""Least and largest area, in red-cell areas."""
LONGEST = 1.8
"""Largest ratio of the sides of the box."""
FULL = 0.5
"""Least share of the box that is covered."""
FREE = 0.5
"""Least share of the surroundings that is background."""
NOT_BLUE = 0.85
"""Least ratio of the densities in green and in red; dirt out of focus is bluer."""
MARGIN = 0.04
"""Blurred edge around the body, in red-cell diameters."""


def find_platelets(view: View, hue: float, taken: Mask) -> Iterator[Found]:
    """Yield the platelets of a field.

    Args:
        view: The field at standard magnification.
        hue: Share of nuclear stain in nuclei, see `white_cells.nuclear_hue`.
        taken: Pixels of white cells, bool (height, width).
    """
    amount, share = view.fine_amount, view.fine_hue
    spots = (share > CANDIDATE_HUE * hue) & (amount > STAINED) & ~taken
    number, labels, boxes, _ = cv2.connectedComponentsWithStats(
        morph(spots, cv2.MORPH_OPEN, 0.06).astype(np.uint8), connectivity=4
    )
    around = disk(0.17)
    reach = 2 * len(around)
    height, width = labels.shape
    for index in range(1, number):
        left, top, wide, high, area = boxes[index].tolist()
        if area < AREA[0] / 2 * RED_CELL_AREA or max(wide, high) > 2 * RED_CELL_PX:
            continue
        window = np.s_[
            max(0, top - reach) : min(height, top + high + reach),
            max(0, left - reach) : min(width, left + wide + reach),
        ]
        spot = labels[window] == index
        if np.median(share[window][spot]) < CANDIDATE_TYPICAL_HUE * hue:
            continue
        for mask in _parts(view.fine_nuclear[window], spot):
            if found := _judge(view, amount, share / hue, window, mask):
                yield found


def _parts(nuclear: Plane, spot: Mask) -> Iterator[Mask]:
    """Yield the parts of a spot within the edge of a maximum."""
    ring = _ring(spot)
    level = float(np.median(nuclear[ring])) if ring.any() else 0.0
    edge = level + EDGE * (float(nuclear[spot].max()) - level)
    number, parts, _, _ = cv2.connectedComponentsWithStats(
        (spot & (nuclear > edge)).astype(np.uint8), connectivity=4
    )
    for index in range(1, number):
        yield np.asarray(parts == index, np.bool_)


def _ring(mask: Mask) -> Mask:
    """Return the surroundings, a tenth of a red cell away."""
    inner = morph(mask, cv2.MORPH_DILATE, 0.1)
    return morph(inner, cv2.MORPH_DILATE, 0.12) & ~inner


def _judge(
    view: View, amount: Plane, share: Plane, window: tuple[slice, slice], mask: Mask
) -> Found | None:
    """Return a platelet, or None if the spot is something else."""
    area = int(mask.sum())
    if not AREA[0] * RED_CELL_AREA < area < AREA[1] * RED_CELL_AREA:
        return None
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    if max(high, wide) > LONGEST * min(high, wide) or area < FULL * high * wide:
        return None
    ring = _ring(mask)
    free = float((amount[window][ring] < 0.05).mean()) if ring.any() else 0.0
    if free < FREE or float(np.median(share[window][mask])) < TYPICAL_HUE:
        return None
    inside = np.median(view.density[window][mask], axis=0)
    outside = np.median(view.density[window][ring], axis=0)
    red, green, _ = (inside - outside).tolist()
    contrast = float((inside - outside) @ view.stain.nuclear)
    least = max(CONTRAST, NOISE_FACTOR * view.stain.noise)
    if contrast < least or green < NOT_BLUE * red or green < 0.02:
        return None
    return Found("platelet", window, mask, MARGIN, contrast / (contrast + least))
