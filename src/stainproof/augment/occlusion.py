"""Occlusion operations: hide parts of a cell."""

import cv2
import numpy as np

from stainproof.data.images import Images


def cutout(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Replace one to three rectangles with sides up to `amount` of the image's by a colour.

    Source: DeVries & Taylor 2017, "Cutout"; colours as Zhong et al. 2020, "Random Erasing".
    """
    hidden = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(1 + int(3 * rng.random()) if amount else 0):
        tall, wide, down, right = rng.random(4).tolist()
        box_height = max(1, round(amount * (0.3 + 0.7 * tall) * height))
        box_width = max(1, round(amount * (0.3 + 0.7 * wide) * width))
        top = round(down * height - box_height / 2)
        left = round(right * width - box_width / 2)
        first, last = (left, top), (left + box_width - 1, top + box_height - 1)
        cv2.rectangle(hidden, first, last, _colour(rgb, rng), cv2.FILLED)
    return hidden


def grid_mask(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Replace squares on a regular grid; `amount` is their side relative to the grid spacing.

    Source: Chen et al. 2020, "GridMask Data Augmentation", section 3.
    """
    if not amount:
        return rgb
    height, width = rgb.shape[:2]
    period = round(min(height, width) * (0.15 + 0.25 * rng.random()))
    side = round(amount * period)
    if not side:
        return rgb
    down, right = (int(period * start) for start in rng.random(2))
    rows = (np.arange(height) + down) % period < side
    columns = (np.arange(width) + right) % period < side
    hidden = rgb.copy()
    hidden[rows[:, None] & columns] = _colour(rgb, rng)
    return hidden


def _colour(rgb: Images, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw grey, any colour, or the image's mean."""
    kind = rng.random()
    if kind < 0.3:
        return (int(256 * rng.random()),) * 3
    if kind < 0.75:
        return tuple(int(256 * level) for level in rng.random(3).tolist())
    return tuple(cv2.mean(rgb)[:3])
