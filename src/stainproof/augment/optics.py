"""Operations of optics, sensor and file format: blur, sharpening, noise, JPEG compression."""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.synthetic.pictures import INTERPOLATIONS

NUM_DEVIATES = 1 << 20


def blur(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Apply a Gaussian blur; sigma is `magnitude` pixels for a side of 96 px.

    Source: Hendrycks & Dietterich 2019, appendix B, as a family; Gonzalez & Woods 2018, 3.5.
    """
    return gaussian(rgb, magnitude * _scale(rgb))


def gaussian(rgb: Images, sigma_px: float) -> Images:
    """Apply a Gaussian blur, truncated at 2.5 sigma; none if sigma is below 0.15 px."""
    if sigma_px < 0.15:
        return rgb
    side = 2 * math.ceil(2.5 * sigma_px) + 1
    return np.asarray(cv2.GaussianBlur(rgb, (side, side), sigma_px), dtype=np.uint8)


def defocus(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Apply a disc blur; its radius is `magnitude` pixels for a side of 96 px.

    Source: Pentland 1987, "A new sense for depth of field": the circle of confusion.
    """
    return _filtered(rgb, _disc(round(8 * magnitude * _scale(rgb)))) if magnitude else rgb


@cache
def _disc(eighths: int) -> NDArray[np.float32]:
    """Return an anti-aliased disc, not normalised; its radius is given in eighths of a pixel."""
    radius = eighths / 8
    radius_px = int(np.ceil(radius))
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return np.asarray(np.clip(radius + 0.5 - np.hypot(x, y), 0, 1), dtype=np.float32)


def motion_blur(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Apply a motion blur in a random direction; its length is `magnitude` pixels for a 96 px side.

    Source: Potmesil & Chakravarty 1983, "Modeling motion blur in computer-generated images".
    """
    length = magnitude * _scale(rgb)
    if length < 0.5:
        return rgb
    angle = np.pi * rng.random()
    radius_px = int(np.ceil(length / 2))
    along = np.linspace(-length / 2, length / 2, 4 * radius_px + 1)
    line = np.stack([along * np.sin(angle), along * np.cos(angle)])
    positions = np.rint(line).astype(int) + radius_px
    kernel = np.zeros((2 * radius_px + 1, 2 * radius_px + 1), dtype=np.float32)
    np.add.at(kernel, tuple(positions), 1)
    return _filtered(rgb, kernel)


def sharpen(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Add `magnitude` times the difference from a 3 x 3 box blur; -1 gives the blurred image.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (Sharpness).
    """
    blurred = cv2.blur(rgb, (3, 3))
    return np.asarray(cv2.addWeighted(rgb, 1 + magnitude, blurred, -magnitude, 0), dtype=np.uint8)


def random_filter(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Convolve with a random 3 x 3 kernel: identity plus `magnitude` / 2 x normal deviates.

    The kernel is divided by its sum; if the absolute sum is at most 0.3, nothing is changed.

    Source: Modas et al. 2022, "PRIME", section 3 (spectral transform).
    """
    kernel = magnitude * 0.5 * rng.standard_normal((3, 3), dtype=np.float32)
    kernel[1, 1] += 1
    total = float(kernel.sum())
    return _filtered(rgb, kernel) if abs(total) > 0.3 else rgb


def downscale(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Downscale by a factor of 1 + magnitude and upscale again: nearest, linear or cubic.

    Source: Zhang et al. 2021, "Designing a practical degradation model", section 3.2.
    """
    height, width = rgb.shape[:2]
    size = max(4, round(width / (1 + magnitude))), max(4, round(height / (1 + magnitude)))
    interpolation = INTERPOLATIONS[int(3 * rng.random())]
    if size == (width, height):
        return rgb
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    resized = cv2.resize(small, (width, height), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)


def noise(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Add Gaussian noise; its standard deviation is `magnitude`, in units of the full range.

    A third of the images get noise at half the resolution. The deviates are a random section of a
    fixed table of 2^20, because drawing new ones takes ten times as long.

    Source: Hendrycks & Dietterich 2019, appendix B, as a family; Foi et al. 2008.
    """
    height, width = rgb.shape[:2]
    coarse = rng.random() < 0.33
    shape = (-(-height // 2), -(-width // 2), 3) if coarse else (height, width, 3)
    num = int(np.prod(shape))
    start = int(rng.random() * NUM_DEVIATES)
    deviates = _deviates()[start : start + num]
    if len(deviates) < num:
        deviates = np.take(_deviates(), np.arange(start, start + num), mode="wrap")
    grain = deviates.reshape(shape)
    if coarse:
        grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_NEAREST)
    noisy = cv2.addWeighted(rgb, 1, grain, 255 * magnitude, 0, dtype=cv2.CV_8U)
    return np.asarray(noisy, dtype=np.uint8)


@cache
def _deviates() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(NUM_DEVIATES, dtype=np.float32)


def salt_and_pepper(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Set a fraction `magnitude` of the pixels to black or white (impulse noise).

    Source: Gonzalez & Woods 2018, section 5.2 (salt-and-pepper noise).
    """
    height, width = rgb.shape[:2]
    num = round(magnitude * height * width)
    positions = rng.integers(height * width, size=num)
    noisy = rgb.copy()
    noisy.reshape(-1, 3)[positions] = 255 * rng.integers(2, size=(num, 1), dtype=np.uint8)
    return noisy


def jpeg(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Compress as JPEG of quality 100 - magnitude; 0: no compression.

    Source: Wallace 1992, "The JPEG still picture compression standard".
    """
    if not magnitude:
        return rgb
    quality = max(1, round(100 - magnitude))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _scale(rgb: Images) -> float:
    """Return the shorter side relative to 96 px."""
    return float(min(rgb.shape[:2]) / 96)


def _filtered(rgb: Images, kernel: NDArray[np.float32]) -> Images:
    """Convolve with a kernel, which is divided by its sum."""
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), dtype=np.uint8)
