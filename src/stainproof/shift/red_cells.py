"""Red cells as the ruler: circles fitted to the arcs of their outlines.

A red cell is 7 to 8 micrometres wide wherever the slide comes from, so the ratio of the diameters
in two sources is the ratio of their scales. Red cells in pictures of single white cells are cut,
touch each other and overlap; an arc of an outline between two concave corners belongs to one cell
and gives its diameter.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from stainproof.data.images import Images

SIDE_PX = 160
"""Shorter side of the image in which outlines are searched."""
SIGMA_PX = 1.5
"""Standard deviation of the Gaussian filter before the segmentation."""
NUM_LEVELS, MAX_DENSITY = 64, 1.0
"""Levels and largest value of the optical density."""
SMALLEST, LARGEST = 0.1, 0.9
"""Allowed diameters as fractions of the shorter side."""
STEP = 8
"""Distance in points along an outline over which its direction is measured."""
MAX_TURN = 0.2
"""Sine of the concave angle from which a point is a corner between two cells."""
MAX_GAP = 15
"""Concave stretches of fewer points do not end an arc."""
MIN_POINTS = 12
MIN_SPAN_RAD = 1.5
"""Smallest angle that an arc spans."""
MAX_RESIDUAL = 0.04
"""Largest root mean square distance of an arc's points from its circle, in radii."""
MAX_NUCLEUS = 0.08
"""Largest share of a circle that is as dark as a nucleus."""

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]


def red_cell_diameters(rgb: Images) -> NDArray[np.float64]:
    """Measure the red cells of one image.

    Args:
        rgb: uint8 (height, width, 3).

    Returns:
        float64 (n,), diameters as fractions of the shorter side; empty if none was found.
    """
    factor = SIDE_PX / min(rgb.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=how)
    cells, nuclei = segment(np.asarray(cv2.GaussianBlur(resized, (0, 0), SIGMA_PX), dtype=np.uint8))
    found = [_diameter(arc, nuclei) for arc in _arcs(cells)]
    return np.array([one for one in found if one is not None], dtype=np.float64) / SIDE_PX


def segment(rgb: Images) -> tuple[Mask, Mask]:
    """Separate cells from the background, and nuclei from other parts of cells.

    The optical density of the green channel, which all blood stains absorb, is divided into three
    classes of least variance (Otsu 1979, section V): background, red cells and cytoplasm, nuclei.

    Args:
        rgb: uint8 (height, width, 3).

    Returns:
        Two masks bool (height, width): all cells, and nuclei.
    """
    green = rgb[:, :, 1].astype(np.float64)
    white = max(1.0, float(np.percentile(green, 95)))
    density = np.clip(-np.log10(np.maximum(green, 1) / white), 0, MAX_DENSITY)
    levels = np.rint(density * ((NUM_LEVELS - 1) / MAX_DENSITY)).astype(np.intp)
    light, dark = _two_thresholds(np.bincount(levels.ravel(), minlength=NUM_LEVELS))
    return levels > light, levels > dark


def _two_thresholds(histogram: NDArray[np.intp]) -> tuple[int, int]:
    """Return the two levels that divide a histogram into three classes of least variance."""
    count = np.concatenate([[0], np.cumsum(histogram)])
    total = np.concatenate([[0], np.cumsum(histogram * np.arange(len(histogram)))])

    def score(first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return n times the squared mean of the levels from `first` up to `last`."""
        number, mass = count[last] - count[first], (total[last] - total[first]).astype(np.float64)
        return np.asarray(mass**2 / np.maximum(number, 1))

    light, dark = np.triu_indices(len(histogram) - 1, k=1)
    start, end = np.zeros_like(light), np.full_like(light, len(histogram))
    best = int(
        (score(start, light + 1) + score(light + 1, dark + 1) + score(dark + 1, end)).argmax()
    )
    return int(light[best]), int(dark[best])


def _arcs(cells: Mask) -> Iterator[Points]:
    """Yield the convex arcs of all outlines: points float64 (n, 2), x and y."""
    height, width = cells.shape
    outlines, _ = cv2.findContours(cells.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        points = outline[:, 0].astype(np.float64)
        if len(points) < 4 * STEP:
            continue
        smooth = np.mean([np.roll(points, shift, axis=0) for shift in range(-4, 5)], axis=0)
        ahead = np.roll(smooth, -STEP, axis=0) - smooth
        behind = smooth - np.roll(smooth, STEP, axis=0)
        turn = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
        turn /= np.linalg.norm(ahead, axis=1) * np.linalg.norm(behind, axis=1) + 1e-9
        x, y = points.T
        inside = (x > 2) & (x < width - 3) & (y > 2) & (y < height - 3)
        around = binary_closing(np.tile(turn < MAX_TURN, 3), np.ones(MAX_GAP))
        yield from _runs(smooth, inside & around[len(points) : 2 * len(points)])


def _runs(points: Points, chosen: Mask) -> Iterator[Points]:
    """Yield the runs of chosen points of a closed outline."""
    if chosen.all():
        yield points
        return
    start = int(np.flatnonzero(~chosen)[0])
    points, chosen = np.roll(points, -start, axis=0), np.roll(chosen, -start)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        yield points[first:last]


def _diameter(arc: Points, nuclei: Mask) -> float | None:
    """Return the diameter in pixels of the circle through an arc; None if it is no red cell.

    The circle of least squares: Kasa 1976, "A circle fitting procedure and its error analysis".
    """
    if len(arc) < MIN_POINTS:
        return None
    x, y = arc.T
    system = np.column_stack([x, y, np.ones(len(arc))])
    (a, b, c), *_ = np.linalg.lstsq(system, x**2 + y**2, rcond=None)
    centre = np.array([a / 2, b / 2])
    radius = float(np.sqrt(max(c + centre @ centre, 1e-9)))
    distance = np.linalg.norm(arc - centre, axis=1)
    span_rad = np.ptp(np.unwrap(np.arctan2(y - centre[1], x - centre[0])))
    is_circle = (
        SMALLEST <= 2 * radius / min(nuclei.shape) <= LARGEST
        and np.sqrt(np.mean((distance - radius) ** 2)) <= MAX_RESIDUAL * radius
        and span_rad >= MIN_SPAN_RAD
    )
    if not is_circle:
        return None
    rows, columns = np.ogrid[: nuclei.shape[0], : nuclei.shape[1]]
    inside = nuclei[(columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2]
    return 2 * radius if inside.size and inside.mean() <= MAX_NUCLEUS else None
