"""Operations of optics, sensor and file: blur, sharpening, noise, JPEG compression."""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.synthetic.pictures import MOSAIC

NUM_DEVIATES = 1 << 20


def blur(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Apply a Gaussian blur of `amount` pixels (for a 96 px side), truncated at 2.5 sigma.

    Source: Hendrycks & Dietterich 2019, appendix B, as a family; Gonzalez & Woods 2018, 3.5.
    """
    return gaussian(rgb, amount * _scale(rgb))


def gaussian(rgb: Images, sigma_px: float) -> Images:
    """Apply a Gaussian blur truncated at 2.5 sigma; a very small sigma changes nothing."""
    if sigma_px < 0.15:
        return rgb
    side = 2 * math.ceil(2.5 * sigma_px) + 1
    return np.asarray(cv2.GaussianBlur(rgb, (side, side), sigma_px), dtype=np.uint8)


def defocus(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Apply a disc blur with a radius of `amount` pixels (for a 96 px side).

    Source: Pentland 1987, "A new sense for depth of field": the circle of confusion.
    """
    return _filtered(rgb, _disc(round(8 * amount * _scale(rgb)))) if amount else rgb


@cache
def _disc(eighths: int) -> NDArray[np.float32]:
    radius = eighths / 8
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(np.clip(radius + 0.5 - np.hypot(x, y), 0, 1), dtype=np.float32)


def motion_blur(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Apply a motion blur of `amount` pixels (for a 96 px side) in a random direction.

    Source: Potmesil & Chakravarty 1983, "Modeling motion blur in computer-generated images".
    """
    length = amount * _scale(rgb)
    if length < 0.5:
        return rgb
    angle = np.pi * rng.random()
    reach = int(np.ceil(length / 2))
    along = np.linspace(-length / 2, length / 2, 4 * reach + 1)
    places = np.rint(np.stack([along * np.sin(angle), along * np.cos(angle)])).astype(int) + reach
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    np.add.at(kernel, tuple(places), 1)
    return _filtered(rgb, kernel)


def sharpen(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Add `amount` times the difference to a slightly blurred image; -1 gives the blurred image.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (Sharpness).
    """
    soft = cv2.blur(rgb, (3, 3))
    return np.asarray(cv2.addWeighted(rgb, 1 + amount, soft, -amount, 0), dtype=np.uint8)


def random_filter(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Convolve with a random 3 x 3 kernel: the identity plus `amount` / 2 x normal deviates.

    The kernel is divided by its sum; if the sum is below 0.3 the image stays unchanged.

    Source: Modas et al. 2022, "PRIME", section 3 (spectral transform).
    """
    kernel = amount * 0.5 * rng.standard_normal((3, 3), dtype=np.float32)
    kernel[1, 1] += 1
    total = float(kernel.sum())
    return _filtered(rgb, kernel) if abs(total) > 0.3 else rgb


def downscale(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Reduce the size by a factor of 1 + amount and enlarge again: nearest, linear or cubic.

    Source: Zhang et al. 2021, "Designing a practical degradation model", section 3.2.
    """
    height, width = rgb.shape[:2]
    size = max(4, round(width / (1 + amount))), max(4, round(height / (1 + amount)))
    kind = MOSAIC[int(3 * rng.random())]
    if size == (width, height):
        return rgb
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=kind), dtype=np.uint8)


def noise(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Add Gaussian noise with a standard deviation of `amount` of the range.

    A third of the images get grain of twice the size. The deviates are a section of a fixed table
    of 2^20 with a random start; drawing new ones would take ten times as long.

    Source: Hendrycks & Dietterich 2019, appendix B, as a family; Foi et al. 2008.
    """
    height, width = rgb.shape[:2]
    coarse = rng.random() < 0.33
    shape = (-(-height // 2), -(-width // 2), 3) if coarse else (height, width, 3)
    num = int(np.prod(shape))
    begin = int(rng.random() * NUM_DEVIATES)
    stretch = _deviates()[begin : begin + num]
    if len(stretch) < num:
        stretch = np.take(_deviates(), np.arange(begin, begin + num), mode="wrap")
    grain = stretch.reshape(shape)
    if coarse:
        grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_NEAREST)
    grainy = cv2.addWeighted(rgb, 1, grain, 255 * amount, 0, dtype=cv2.CV_8U)
    return np.asarray(grainy, dtype=np.uint8)


@cache
def _deviates() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(NUM_DEVIATES, dtype=np.float32)


def salt_and_pepper(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Set a fraction `amount` of the pixels to black or white (impulse noise).

    Source: Gonzalez & Woods 2018, section 5.2 (salt-and-pepper noise).
    """
    height, width = rgb.shape[:2]
    num = round(amount * height * width)
    places = rng.integers(height * width, size=num)
    struck = rgb.copy()
    struck.reshape(-1, 3)[places] = 255 * rng.integers(2, size=(num, 1), dtype=np.uint8)
    return struck


def jpeg(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Compress as JPEG of quality 100 - amount; 0: no compression.

    Source: Wallace 1992, "The JPEG still picture compression standard".
    """
    if not amount:
        return rgb
    quality = max(1, round(100 - amount))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, stored = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(back, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _scale(rgb: Images) -> float:
    return float(min(rgb.shape[:2]) / 96)


def _filtered(rgb: Images, kernel: NDArray[np.float32]) -> Images:
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), dtype=np.uint8)
