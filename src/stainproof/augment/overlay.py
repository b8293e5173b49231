"""Foreign pictures laid over a cell, mixed or multiplied, whole or in part."""

import cv2
import numpy as np

from stainproof.data.images import Images


def blend(rgb: Images, picture: Images, rng: np.random.Generator, strength: float) -> Images:
    """Lay a picture over an image, mixed or multiplied, over the whole or a part of it.

    The mix is (1 - w) x image + w x picture, w up to 0.6 at strength 1 (the report, section 4).
    """
    weight = min(0.9, 0.6 * strength * rng.uniform(0.2, 1))
    if rng.random() < 0.75:
        laid = cv2.addWeighted(rgb, 1 - weight, picture, weight, 0)
    else:
        shade = cv2.addWeighted(picture, weight, np.full_like(picture, 255), 1 - weight, 0)
        laid = cv2.multiply(rgb, shade, scale=1 / 255)
    if rng.random() < 0.3:
        height, width = rgb.shape[:2]
        top, left = int(rng.random() * 0.6 * height), int(rng.random() * 0.6 * width)
        part = rgb.copy()
        part[top : top + height // 2, left : left + width // 2] = laid[
            top : top + height // 2, left : left + width // 2
        ]
        return part
    return np.asarray(laid, dtype=np.uint8)
