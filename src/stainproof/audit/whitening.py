"""Whitening of thumbnails: decorrelate their pixels, so that patterns rare in the set stand out.

A microscope has no preferred direction: rotated and mirrored cells are as likely as the originals.
The covariance is therefore that of the set in all eight positions, and rotated images serve as a
null distribution: a pattern that the images share but their rotated copies do not is not part of
the cells.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images, shrink

SIDE_PX = 24
FITTED_IMAGES = 4000
FLOOR = 1.0
"""Variance, in squared grey levels, added to every direction: that of sensor and JPEG noise."""
CHUNK = 4096

Floats = NDArray[np.float32]


def turned(flat: Floats) -> Iterator[Floats]:
    """Yield the eight rotated and mirrored positions of flattened square images, the images first.

    Args:
        flat: float32 (N, side x side x 3).
    """
    pixels = flat.reshape(len(flat), SIDE_PX, SIDE_PX, 3)
    for side in (pixels, pixels[:, :, ::-1]):
        for k in range(4):
            yield np.ascontiguousarray(np.rot90(side, k, axes=(1, 2))).reshape(flat.shape)


class Whitener:
    """Zero-phase whitening with the covariance of the set in all eight positions."""

    def __init__(self, images: Images, seed: int):
        rng = np.random.default_rng(seed)
        num = min(FITTED_IMAGES, len(images))
        sample = _flatten(images[np.sort(rng.choice(len(images), num, replace=False))])
        self.mean = np.mean([view.mean(axis=0) for view in turned(sample)], axis=0)
        centred = sample - self.mean
        once = centred.T @ centred / num
        places = np.arange(once.shape[0], dtype=np.float32)[None]
        orders = [view[0].astype(np.int64) for view in turned(places)]
        covariance = np.mean([once[np.ix_(order, order)] for order in orders], axis=0)
        values, vectors = np.linalg.eigh(covariance)
        self.axes = np.asarray(vectors / np.sqrt(np.maximum(values, 0) + FLOOR), dtype=np.float32)
        self.back = np.asarray(vectors.T, dtype=np.float32)

    def coordinates(self, images: Images) -> Floats:
        """Return whitened coordinates along the covariance's eigenvectors, smallest variance first.

        Args:
            images: uint8 (N, height, width, 3).

        Returns:
            float32 (N, 24 x 24 x 3).
        """
        parts = [
            (_flatten(images[start : start + CHUNK]) - self.mean) @ self.axes
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(parts)

    def unit_pixels(self, images: Images) -> Floats:
        """Return whitened images, each of norm 1, float32 (N, 24 x 24 x 3)."""
        return unit(self.coordinates(images) @ self.back)


def unit(rows: Floats) -> Floats:
    """Return rows of norm 1; rows of zeros stay zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-6), dtype=np.float32)


def _flatten(images: Images) -> Floats:
    return shrink(images, SIDE_PX).reshape(len(images), -1).astype(np.float32)
