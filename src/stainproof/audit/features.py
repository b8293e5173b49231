"""Image features for simple models: oriented gradients, colour histogram, thumbnail."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images, shrink

CELL_PX = 8
NUM_DIRECTIONS = 8
TINY_PX = 12
COLOUR_LEVELS = 5
CHUNK = 1024


def describe(images: Images) -> NDArray[np.float32]:
    """Compute features of small images: gradients, colours, and a thumbnail.

    Histograms of oriented gradients follow Dalal & Triggs 2005, section 6, normalised by the whole
    image.

    Args:
        images: uint8 (N, 48, 48, 3).

    Returns:
        float32 (N, 845).
    """
    parts = [_describe(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return np.concatenate(parts)


def _describe(images: Images) -> NDArray[np.float32]:
    tiny = shrink(images, TINY_PX)
    levels = [COLOUR_LEVELS] * 3
    colours = [cv2.calcHist([rgb], [0, 1, 2], None, levels, [0, 256] * 3) for rgb in images]
    num = len(images)
    return np.concatenate(
        [
            _gradients(images),
            np.sqrt(np.stack(colours).reshape(num, -1)) / images.shape[1],
            tiny.reshape(num, -1) / np.float32(255),
        ],
        axis=1,
        dtype=np.float32,
    )


def _gradients(images: Images) -> NDArray[np.float32]:
    num, height, width, _ = images.shape
    grey = np.stack([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in images]).astype(np.float32)
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    angle = np.arctan2(down, right) % np.pi
    direction = np.minimum(angle * (NUM_DIRECTIONS / np.pi), NUM_DIRECTIONS - 1).astype(np.int64)
    rows, columns = height // CELL_PX, width // CELL_PX
    cell = (np.arange(height) // CELL_PX)[:, None] * columns + np.arange(width) // CELL_PX
    bins = rows * columns * NUM_DIRECTIONS
    place = np.arange(num)[:, None, None] * bins + cell * NUM_DIRECTIONS + direction
    sums = np.bincount(place.ravel(), weights=strength.ravel(), minlength=num * bins)
    histograms = np.sqrt(sums.reshape(num, bins))
    norms = np.linalg.norm(histograms, axis=1, keepdims=True)
    return np.asarray(histograms / np.maximum(norms, 1e-6), dtype=np.float32)
