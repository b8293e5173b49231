"""Where things are: one composed warp, and parts hidden from view."""

import cv2
import numpy as np

from stainproof.data.images import Images

BORDERS = (cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT)


def turn(rgb: Images, rng: np.random.Generator) -> Images:
    """Flip and turn by quarters: the eight symmetries of the square, each as likely.

    Args:
        rgb: uint8 (height, width, 3). Oblong images are only flipped and half turned.
        rng: Draws the symmetry.
    """
    height, width = rgb.shape[:2]
    quarters = int(rng.integers(4)) if height == width else 2 * int(rng.integers(2))
    turned = np.rot90(rgb, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def warp(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Rotate, zoom, shear and move in one affine resampling.

    At strength 1: any angle within 90 degrees either way, zoom from 0.67 to 1.5, shear up to 0.2,
    shift up to 0.2 of the side; what comes into view mirrors the image, repeats its edge or is one
    colour.
    """
    height, width = rgb.shape[:2]
    angle = np.deg2rad(90 * strength * rng.uniform(-1, 1))
    zoom = 1.5 ** (strength * rng.uniform(-1, 1))
    shear = 0.2 * strength * rng.uniform(-1, 1)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = 0.2 * strength * rng.uniform(-1, 1, 2) * (width, height)
    offset = centre + shift - linear @ centre
    border = BORDERS[rng.integers(len(BORDERS))]
    colour = tuple(rng.integers(256, size=3).tolist()) if rng.random() < 0.5 else (0, 0, 0)
    warped = cv2.warpAffine(
        rgb,
        np.column_stack([linear, offset]),
        (width, height),
        borderMode=border,
        borderValue=colour,
    )
    return np.asarray(warped, dtype=np.uint8)


def occlude(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Hide one to three rectangles behind one colour (DeVries & Taylor 2017, "Cutout").

    Their sides are up to 0.4 of the image's at strength 1.
    """
    hidden = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(int(rng.integers(1, 4)) if strength else 0):
        box_height = max(1, int(0.4 * strength * rng.uniform(0.2, 1) * height))
        box_width = max(1, int(0.4 * strength * rng.uniform(0.2, 1) * width))
        top = int(rng.integers(-box_height // 2, height - box_height // 2))
        left = int(rng.integers(-box_width // 2, width - box_width // 2))
        colour = rng.integers(256, size=3) if rng.random() < 0.5 else int(rng.integers(256))
        hidden[max(0, top) : top + box_height, max(0, left) : left + box_width] = colour
    return hidden
