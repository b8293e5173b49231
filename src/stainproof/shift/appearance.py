"""Measure how a source looks, image by image: white point, stain, focus, noise, magnification."""

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.data.white_balance import WHITE_PERCENTILE
from stainproof.progress import Track, silent
from stainproof.runs.appearance import Appearance, Measure
from stainproof.shift.red_cells import red_cell_diameters
from stainproof.shift.scale_head import measure_magnifications

MIN_DENSITY = 0.15
"""Optical density below which a pixel is background (Macenko et al. 2009)."""
ANGLE_PERCENTILE = 1
"""Percentile, and its complement, of the angles of the two stain vectors (Macenko et al. 2009)."""
MIN_STAINED_PIXELS = 100
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution divided by its median absolute deviation."""
CHUNK_SIZE = 32

Values = NDArray[np.float64]


def white_point(rgb: Images) -> Values:
    """Return the 95th percentile of each RGB channel, float64 (3,), 0 to 255."""
    return np.asarray(np.percentile(rgb.reshape(-1, 3), WHITE_PERCENTILE, axis=0))


def stain_strength(rgb: Images) -> Values:
    """Return the 90th percentile of the optical density, mean of the channels, float64 (1,)."""
    return np.array([np.percentile(_density(rgb).mean(axis=-1), 90)])


def stain_vectors(rgb: Images) -> Values:
    """Return the unit vectors of the two main stains in optical density.

    Source: Macenko et al. 2009, "A method for normalizing histology slides for quantitative
    analysis": the extreme directions of stained pixels in the plane of their two largest singular
    vectors, here about zero, where there is no stain, and not about their mean.

    Returns:
        float64 (6,): red, green and blue of the stain that absorbs red most, as nuclei do, then of
        the other. NaN if too few pixels are stained.
    """
    density = _density(rgb).reshape(-1, 3)
    stained = density[(density > MIN_DENSITY).any(axis=1)]
    if len(stained) < MIN_STAINED_PIXELS:
        return np.full(6, np.nan)
    _, vectors = np.linalg.eigh(stained.T @ stained)
    plane = vectors[:, :0:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    along = stained @ plane
    angles = np.arctan2(along[:, 1], along[:, 0])
    ends = np.percentile(angles, [ANGLE_PERCENTILE, 100 - ANGLE_PERCENTILE])
    pair = [plane @ (np.cos(angle), np.sin(angle)) for angle in ends]
    pair = [np.abs(one) / np.linalg.norm(one) for one in pair]
    return np.concatenate(sorted(pair, key=lambda one: -one[0]))


def focus(rgb: Images) -> Values:
    """Return the variance of the Laplacian of green, divided by the variance of green, (1,).

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy"; the division
    makes it independent of contrast.
    """
    green = rgb[:, :, 1].astype(np.float64)
    return np.array([cv2.Laplacian(green, cv2.CV_64F).var() / max(green.var(), 1e-9)])


def noise(rgb: Images) -> Values:
    """Return the standard deviation of the noise of green, float64 (1,), 0 to 255.

    Source: Immerkaer 1996, "Fast noise variance estimation", with the median instead of the mean,
    so that edges do not count.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)
    response = cv2.filter2D(rgb[:, :, 1].astype(np.float64), cv2.CV_64F, kernel)
    return np.array([NORMAL_MAD * np.median(np.abs(response)) / 6])


def red_cell_diameter(rgb: Images) -> Values:
    """Return the median diameter of the red cells, (1,), as a fraction of the side; NaN: none."""
    found = red_cell_diameters(rgb)
    return np.array([np.median(found) if len(found) else np.nan])


_MEASURES: dict[str, tuple[Callable[[Images], Values], str, str]] = {
    "white_point": (white_point, "0 to 255", "95th percentile of each RGB channel"),
    "stain_strength": (stain_strength, "optical density", "90th percentile of the mean of RGB"),
    "stain_vectors": (stain_vectors, "optical density", "Macenko et al. 2009, two unit vectors"),
    "focus": (focus, "", "variance of the Laplacian of green by the variance of green"),
    "noise": (noise, "0 to 255", "Immerkaer 1996, median, green"),
    "red_cell_diameter": (red_cell_diameter, "side of the image", "circles fitted to outlines"),
}
MAGNIFICATION = "magnification"
"""Measured by the scale head, for many images at once."""


def measure_appearance(squares: Images | Sequence[Images], track: Track = silent) -> Appearance:
    """Measure images as the network gets them.

    Args:
        squares: n images, one or more, each uint8 (side, side, 3) of one side.
        track: Shows progress.

    Returns:
        Medians over the images, and spreads between them. `magnification` is a natural logarithm,
        0 for cells as large as in PBC, see `scale_head`.
    """
    return make_appearance(measure_rows(squares, track))


def measure_rows(squares: Images | Sequence[Images], track: Track = silent) -> dict[str, Values]:
    """Return what `measure_appearance` measures, image by image.

    Returns:
        Name -> float64 (n, k), k values of each image; NaN where it could not be measured.
    """
    rows: dict[str, list[Values]] = {name: [] for name in (*_MEASURES, MAGNIFICATION)}
    starts = range(0, len(squares), CHUNK_SIZE)
    for start in track(starts, "measuring images", len(starts)):
        chunk = np.asarray(squares[start : start + CHUNK_SIZE])
        for name, (measure, _, _) in _MEASURES.items():
            rows[name] += [measure(rgb) for rgb in chunk]
        rows[MAGNIFICATION] += list(measure_magnifications(chunk)[:, None])
    return {name: np.stack(values) for name, values in rows.items()}


def make_appearance(rows: dict[str, Values]) -> Appearance:
    """Return medians and spreads of what `measure_rows` returned."""
    facts = {name: (unit, how) for name, (_, unit, how) in _MEASURES.items()}
    facts[MAGNIFICATION] = ("natural logarithm, 0: PBC", "scale head, likelihood of central crops")
    measures = {name: summarise(values, *facts[name]) for name, values in rows.items()}
    return Appearance(
        num_images=len(rows[MAGNIFICATION]),
        measures={name: measure for name, measure in measures.items() if measure},
    )


def pbc_appearance() -> Appearance:
    """Return what was measured on cells of PBC (Acevedo et al. 2020), cut as in BloodMNIST."""
    place = files("stainproof.shift") / "pbc.json"
    return Appearance.parse(place.read_bytes(), Path(str(place)))


def summarise(rows: Values, unit: str, how: str) -> Measure | None:
    """Return median and robust spread of measured values; None if none could be measured.

    Args:
        rows: float64 (n, k), a row for each image; NaN where it could not be measured.
        unit: Unit of the values.
        how: How they were measured.
    """
    known = rows[~np.isnan(rows).any(axis=1)]
    if not len(known):
        return None
    middle = np.median(known, axis=0)
    spread = NORMAL_MAD * np.median(np.abs(known - middle), axis=0)
    return Measure(
        values=tuple(np.round(middle, 4).tolist()),
        spread=tuple(np.round(spread, 4).tolist()),
        num_images=len(known),
        unit=unit,
        how=how,
    )


def _density(rgb: Images) -> Values:
    """Return the optical density of each channel against the image's white point, (h, w, 3)."""
    light = np.maximum(rgb.astype(np.float64), 1) / np.maximum(white_point(rgb), 1)
    return np.maximum(-np.log10(light), 0)
