"""Measured properties of cell images: light, colour, focus, noise and the size of the cell."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.audit.measurements import QUALITIES, quality
from stainproof.data.images import Images

PROPERTIES = (*QUALITIES, "noise", "cell size")
"""Properties of `measure_properties`, in its order."""
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


def measure_properties(images: Images) -> NDArray[np.float32]:
    """Measure images as a network sees them.

    Brightness, contrast, sharpness, saturation and red against blue are those of
    `audit.measurements.quality`. Noise is the logarithm of its standard deviation in grey levels
    (Immerkaer 1996). Cell size is the square root of the share of pixels that Otsu's threshold of
    the green channel calls dark, so it is proportional to the diameter.

    Args:
        images: uint8 (n, size, size, 3).

    Returns:
        float32 (n, 7), in the order of `PROPERTIES`.
    """
    rows = [(*quality(rgb), _noise(rgb), _cell_size(rgb)) for rgb in images]
    return np.array(rows, dtype=np.float32).reshape(-1, len(PROPERTIES))


def _noise(rgb: Images) -> float:
    luminance = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    response = np.abs(cv2.filter2D(luminance, cv2.CV_32F, _SECOND_DIFFERENCES)).mean()
    return float(np.log1p(np.sqrt(np.pi / 2) / 6 * response))


def _cell_size(rgb: Images) -> float:
    green = cv2.GaussianBlur(np.ascontiguousarray(rgb[:, :, 1]), (5, 5), 0)
    threshold, _ = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(np.sqrt(np.mean(green <= threshold)))
