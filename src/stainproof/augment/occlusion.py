"""Parts of a cell hidden from view."""

import cv2
import numpy as np

from stainproof.data.images import Images


def cutout(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Hide one to three rectangles, sides up to `amount` of the image's, behind a colour.

    Source: DeVries & Taylor 2017, "Cutout"; colours as Zhong et al. 2020, "Random Erasing".
    """
    hidden = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(int(rng.integers(1, 4)) if amount else 0):
        tall, wide, down, right = rng.random(4).tolist()
        box_height = max(1, round(amount * (0.3 + 0.7 * tall) * height))
        box_width = max(1, round(amount * (0.3 + 0.7 * wide) * width))
        top = round(down * height - box_height / 2)
        left = round(right * width - box_width / 2)
        part = hidden[max(0, top) : top + box_height, max(0, left) : left + box_width]
        part[:] = _colour(rgb, rng)
    return hidden


def grid_mask(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Hide squares in rows and columns, their sides `amount` of the distance between them.

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


def _colour(rgb: Images, rng: np.random.Generator) -> Images:
    """Draw grey, any colour, or the image's mean."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, int(256 * rng.random()), dtype=np.uint8)
    if kind < 0.75:
        return rng.integers(256, size=3, dtype=np.uint8)
    return np.array(cv2.mean(rgb)[:3]).astype(np.uint8)
