"""Images to squares of a network's size, as OpenCV resizes them. Needs numpy alone."""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Taps = tuple[NDArray[np.int64], NDArray[np.float64]]
"""For every pixel of a side: the pixels of the old side that it is made of, and their weights."""

PAD_GREY = 128
SHARPNESS = -0.75
"""Slope of the bicubic kernel at a distance of one pixel (Keys 1981), as in OpenCV."""


def to_squares(images: Images, size_px: int, fit: str) -> Images:
    """Bring images to the size and shape that a network wants.

    Args:
        images: uint8 (n, height, width, 3).
        size_px: Height and width of the result.
        fit: What becomes of an oblong image: `crop` keeps its middle, `pad` adds grey borders,
            `stretch` squeezes it.

    Returns:
        uint8 (n, size, size, 3). Shrinking averages areas, enlarging is bicubic.
    """
    height, width = images.shape[1:3]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, top : top + side, left : left + side]
    elif fit == "pad" and height != width:
        scale = size_px / max(height, width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (size_px - rows) // 2, (size_px - columns) // 2
        padded = np.full((len(images), size_px, size_px, 3), PAD_GREY, dtype=np.uint8)
        padded[:, top : top + rows, left : left + columns] = resized(images, rows, columns)
        return padded
    return resized(images, size_px, size_px)


def resized(images: Images, height: int, width: int) -> Images:
    """Return uint8 (n, height, width, 3)."""
    old_height, old_width = images.shape[1:3]
    if (old_height, old_width) == (height, width):
        return images
    if old_height % height == 0 and old_width % width == 0:
        return block_means(images, old_height // height, old_width // width)
    if height < old_height or width < old_width:
        both = height <= old_height and width <= old_width
        taps = area_taps if both else linear_taps
    else:
        taps = bicubic_taps
    values = images.astype(np.float32)
    values = combined(values, taps(old_width, width), axis=2)
    values = combined(values, taps(old_height, height), axis=1)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def block_means(images: Images, rows: int, columns: int) -> Images:
    """Return the means of whole blocks of pixels."""
    num, height, width, _ = images.shape
    blocks = images.reshape(num, height // rows, rows, width // columns, columns, 3)
    totals = blocks.sum(axis=(2, 4), dtype=np.int64)
    if (rows, columns) == (2, 2):
        means = (totals + 2) // 4  # OpenCV rounds this case alone half up
    else:
        means = np.rint(totals.astype(np.float32) * np.float32(1 / (rows * columns)))
    return np.asarray(means, dtype=np.uint8)


def combined(values: NDArray[np.float32], taps: Taps, axis: int) -> NDArray[np.float32]:
    """Return a side's new pixels as weighted sums of its old ones."""
    sources, weights = taps
    shape = [-1 if number == axis else 1 for number in range(values.ndim)]
    total = np.zeros(1, dtype=np.float32)
    for source, weight in zip(sources.T, weights.T.astype(np.float32), strict=True):
        total = total + np.take(values, source, axis=axis) * weight.reshape(shape)
    return total


def area_taps(old: int, new: int) -> Taps:
    """Weigh every old pixel by the share of the new one that it covers."""
    edges = np.arange(new + 1) * (old / new)
    first = np.floor(edges[:-1]).astype(np.int64)
    sources = first[:, None] + np.arange(int(np.ceil(old / new)) + 1)
    starts, stops = edges[:-1, None], edges[1:, None]
    covered = np.minimum(sources + 1, stops) - np.maximum(sources, starts)
    return np.minimum(sources, old - 1), np.clip(covered, 0, 1) * (new / old)


def linear_taps(old: int, new: int) -> Taps:
    """Weigh two old pixels; what OpenCV does where one side shrinks and the other grows."""
    scale = old / new
    sources = np.floor(np.arange(new) * scale).astype(np.int64)
    beyond = (np.arange(new) + 1) - (sources + 1) / scale
    share = np.where(beyond <= 0, 0.0, beyond - np.floor(beyond))
    pairs = np.stack([sources, sources + 1], axis=1)
    return np.minimum(pairs, old - 1), np.stack([1 - share, share], axis=1)


def bicubic_taps(old: int, new: int) -> Taps:
    """Weigh four old pixels by Keys's kernel; beyond the border the last pixel repeats."""
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    sources = np.floor(places).astype(np.int64)[:, None] + np.arange(-1, 3)
    distance = np.abs(places[:, None] - sources)
    near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance**2 + 1
    far = SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)
    return np.clip(sources, 0, old - 1), np.where(distance <= 1, near, far)
