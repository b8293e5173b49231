"""Optical density: the field divided by its background, which cancels lamp and white balance."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

SMALL_PX = 192
"""Longest side of the image on which the background is fitted."""
NUM_FITS = 8
NUM_FLAT_FITS = 3
"""Fits of a tilted plane that come before those of a curved surface."""
TOLERANCE = 0.06
"""Largest deviation of a background pixel below the surface, in the natural logarithm."""
BLACK = 0.12
"""Pixels darker than this fraction of the background in every channel transmit no light."""
FRAME_EDGE_PX = 7
"""Width of the square by which these pixels are widened: the blurred edge of a frame."""


def fit_background(rgb: Images) -> Plane:
    """Fit the intensity that the field would have without cells.

    The logarithm of the intensity is a polynomial of the second degree in x and y. It is fitted to
    the upper envelope of the green channel, in which every stain absorbs: pixels more than 6 %
    below the fit are left out, and the fit is repeated.

    Args:
        rgb: uint8 (height, width, 3).

    Returns:
        float32 (height, width, 3), greater than 0.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, SMALL_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    logs = np.log(small.reshape(-1, 3).astype(np.float32) + 1)
    basis = _polynomials(size[1], size[0])
    green = logs[:, 1]
    bright = green >= np.median(green)
    for number in range(NUM_FITS):
        terms = basis if number >= NUM_FLAT_FITS else basis[:, :3]
        weights = np.linalg.lstsq(terms[bright], green[bright], rcond=None)[0]
        bright = green - terms @ weights > -TOLERANCE
    weights = np.linalg.lstsq(basis[bright], logs[bright], rcond=None)[0]
    surface = np.exp(np.clip(basis @ weights, 0.0, 5.6)).reshape(size[1], size[0], 3)
    large = cv2.resize(surface.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def optical_density(rgb: Images, background: Plane) -> Plane:
    """Return the optical density, -log10(transmitted / background) (Beer-Lambert law).

    Args:
        rgb: uint8 (height, width, 3).
        background: float32 (height, width, 3), see `fit_background`.

    Returns:
        float32 (height, width, 3), from about -0.2 to 2.4; 0 on the background. Pixels that no
        light reaches (a frame, the edge of the field diaphragm) have 0.
    """
    transmitted = (rgb.astype(np.float32) + 1) / background
    density = np.asarray(-np.log10(transmitted), np.float32)
    black = (transmitted < BLACK).all(axis=2).astype(np.uint8)
    if black.any():
        density[cv2.dilate(black, np.ones((FRAME_EDGE_PX,) * 2, np.uint8)) > 0] = 0
    return density


def _polynomials(height: int, width: int) -> NDArray[np.float32]:
    """Return 1, x, y, x^2, xy, y^2 in every pixel, float32 (height * width, 6)."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return terms.reshape(-1, 6).astype(np.float32)
