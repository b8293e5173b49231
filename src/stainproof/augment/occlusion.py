"""Occlusion operations: replace parts of an image by a colour."""

import cv2
import numpy as np

from stainproof.data.images import Images


def cutout(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Fill one to three rectangles with a colour; their sides are up to `magnitude` of the image's.

    Source: DeVries & Taylor 2017, "Cutout"; colours as Zhong et al. 2020, "Random Erasing".
    """
    occluded = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(1 + int(3 * rng.random()) if magnitude else 0):
        relative_height, relative_width, y, x = rng.random(4).tolist()
        box_height = max(1, round(magnitude * (0.3 + 0.7 * relative_height) * height))
        box_width = max(1, round(magnitude * (0.3 + 0.7 * relative_width) * width))
        top, left = round(y * height - box_height / 2), round(x * width - box_width / 2)
        corner, opposite = (left, top), (left + box_width - 1, top + box_height - 1)
        cv2.rectangle(occluded, corner, opposite, _fill_colour(rgb, rng), cv2.FILLED)
    return occluded


def grid_mask(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Fill squares on a regular grid; their side is `magnitude` of the grid spacing.

    Source: Chen et al. 2020, "GridMask Data Augmentation", section 3.
    """
    if not magnitude:
        return rgb
    height, width = rgb.shape[:2]
    period = round(min(height, width) * (0.15 + 0.25 * rng.random()))
    side = round(magnitude * period)
    if not side:
        return rgb
    y, x = (int(period * start) for start in rng.random(2))
    rows = (np.arange(height) + y) % period < side
    columns = (np.arange(width) + x) % period < side
    occluded = rgb.copy()
    occluded[rows[:, None] & columns] = _fill_colour(rgb, rng)
    return occluded


def _fill_colour(rgb: Images, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw grey, any colour, or the image's mean."""
    kind = rng.random()
    if kind < 0.3:
        return (int(256 * rng.random()),) * 3
    if kind < 0.75:
        return tuple(int(256 * level) for level in rng.random(3).tolist())
    return tuple(cv2.mean(rgb)[:3])
