"""Image arrays: crop, pad or resize them to the input size of a network."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.data.white_balance import balance_white

Images = NDArray[np.uint8]
Standardise = Callable[[Images], Images]
"""Changes an image at the resolution of its file, before it is cropped and resized."""

PAD_GREY = 128


def unchanged(rgb: Images) -> Images:
    """Return an image as it is."""
    return rgb


def to_square(rgb: Images, preprocessing: Preprocessing) -> Images:
    """Crop, pad or stretch an image to a square, resize it and standardise its white point.

    Args:
        rgb: uint8 (height, width, 3), any size.
        preprocessing: Defines the size in pixels, how an image becomes square, and its white point.

    Returns:
        uint8 (size, size, 3). Shrinking averages areas, enlarging is bicubic. An image of the right
        size is returned as it is, unless its white point is standardised. A rotated or mirrored
        copy gives rotated or mirrored pixels, except where an odd number of pixels is cropped away
        or where the image is enlarged, whose pixels rounding can change.
    """
    square = _fit(rgb, preprocessing)
    target = preprocessing.white_point
    return balance_white(square, target) if target else square


def _fit(rgb: Images, preprocessing: Preprocessing) -> Images:
    height, width = rgb.shape[:2]
    size = preprocessing.size_px
    if preprocessing.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        rgb = rgb[top : top + side, left : left + side]
    elif preprocessing.fit == "pad" and height != width:
        scale = size / max(height, width)
        inner = _resize(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
        padded = np.full((size, size, 3), PAD_GREY, dtype=np.uint8)
        top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
        padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return padded
    return rgb if rgb.shape[:2] == (size, size) else _resize(rgb, size, size)


def _resize(rgb: Images, width: int, height: int) -> Images:
    interpolation = _interpolation(width < rgb.shape[1] or height < rgb.shape[0])
    resized = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def _interpolation(shrinking: bool) -> int:
    return cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC


def reduce(rgb: Images, factor: float) -> Images:
    """Reduce an image, averaging areas; the shorter side of a very long one stays 1 pixel.

    Args:
        rgb: uint8 (height, width, 3).
        factor: Above 0 and below 1.
    """
    size = None  # OpenCV then averages over 1 / factor pixels exactly
    if min(rgb.shape[:2]) * factor <= 0.5:
        size = tuple(max(1, round(side * factor)) for side in rgb.shape[1::-1])
    reduced = cv2.resize(rgb, size, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.uint8)


def resizing_weights(old_px: int, new_px: int) -> NDArray[np.float32]:
    """Return the weights with which `to_square` resizes one axis of a square image.

    Returns:
        float32 (new, old): row i holds the weights of the old pixels in the new pixel i. They are
        OpenCV's response to unit impulses.
    """
    impulses = np.eye(old_px, dtype=np.float32)
    interpolation = _interpolation(new_px < old_px)
    weights = cv2.resize(impulses, (old_px, new_px), interpolation=interpolation)
    return np.asarray(weights, dtype=np.float32)


def paste(rgb: Images, changed: Images, window: tuple[slice, slice]) -> Images:
    """Return a copy of an image with the pixels of another one inside a window.

    Args:
        rgb: uint8 (height, width, 3).
        changed: uint8, of the same shape.
        window: Rows and columns.
    """
    pasted = rgb.copy()
    pasted[window] = changed[window]
    return pasted


def shrink(images: Images, side_px: int) -> Images:
    """Resize images by averaging areas.

    Args:
        images: uint8 (N, height, width, 3), at least one.
        side_px: Height and width of the result.

    Returns:
        uint8 (N, side, side, 3).
    """
    size = (side_px, side_px)
    return np.stack([cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in images])
