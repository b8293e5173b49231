"""Resize square images with the interpolation weights that OpenCV uses. Needs numpy only."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def resize(images: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Return images of another size.

    The interpolation is linear and separable, so one matrix for each pair of sizes defines it. The
    matrices are files of the submission, computed by OpenCV: averaged areas for a smaller size,
    bicubic for a larger one.

    Args:
        images: uint8 (n, height, width, 3), height and width equal.
        size_px: Height and width of the result.

    Returns:
        uint8 (n, size, size, 3), of which few values differ from OpenCV's, by 1.
    """
    old_px = images.shape[1]
    if old_px == size_px:
        return images
    weights = np.load(WEIGHTS / f"resize_{old_px}_{size_px}.npy", allow_pickle=False)
    values = images.astype(np.float32)
    resized = np.einsum("sh,nhwc,tw->nstc", weights, values, weights, optimize=True)
    # OpenCV rounds halves up when it halves the size, and to even numbers otherwise.
    rounded = np.floor(resized + 0.5) if old_px == 2 * size_px else np.rint(resized)
    return np.asarray(np.clip(rounded, 0, 255), dtype=np.uint8)
