"""Foreign pictures laid over a cell: made-up textures and other cells."""

import cv2
import numpy as np

from stainproof.data.images import Images

MOSAIC = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def texture(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Make up a picture: a colour mosaic, sharp or smooth, with discs, boxes and lines on it.

    Random shapes over each other teach much of what photographs would ("dead leaves", Baradad et
    al. 2021, "Learning to See by Looking at Noise").

    Args:
        shape: Height, width and 3.
        rng: Draws everything.

    Returns:
        uint8 of this shape.
    """
    height, width = shape[:2]
    cells = int(rng.integers(2, 13))
    mosaic = rng.integers(256, size=(cells, cells, 3), dtype=np.uint8)
    interpolation = MOSAIC[rng.integers(len(MOSAIC))]
    picture = cv2.resize(mosaic, (width, height), interpolation=interpolation)
    for _ in range(int(rng.integers(0, 7))):
        colour = rng.integers(256, size=3).tolist()
        x, y, x2, y2 = (rng.random(4) * (width, height, width, height)).astype(int).tolist()
        kind = rng.integers(3)
        if kind == 0:
            cv2.circle(picture, (x, y), int(rng.integers(2, max(3, width // 3))), colour, -1)
        elif kind == 1:
            cv2.rectangle(picture, (x, y), (x2, y2), colour, -1)
        else:
            cv2.line(picture, (x, y), (x2, y2), colour, int(rng.integers(1, 6)))
    return np.asarray(picture, dtype=np.uint8)


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
