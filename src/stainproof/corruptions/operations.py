"""The eleven corruptions that MedMNIST-C defines for blood cells, on images of 224 x 224 px.

Di Salvo, Doerrich and Ledig 2024, "MedMNIST-C: Comprehensive benchmark and improved classifier
robustness by simulating realistic image corruptions", and the parameters of the package medmnistc
0.1.0. They follow Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness".

Every function takes `rgb`, uint8 (224, 224, 3), its parameters at one severity, and a random
generator, and returns a new image of the same kind.
"""

import io
import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

Images = NDArray[np.uint8]
Floats = NDArray[np.floating]

MAX_ANGLE_DEG = 45.0
MIN_BUBBLES, MIN_BUBBLE_RADIUS_PX, BUBBLE_BORDER_PX = 7, 3, 2
BUBBLE_OPACITY, BORDER_OPACITY = 100, 130
"""Of 255."""
STAIN_MARGIN_PX = 10
STAIN_SHARES = {24: (0.48, 0.78), 32: (0.47, 0.61)}
"""Side of a deposit in pixels -> smallest and largest share of its square that is stained."""


def pixelate(rgb: Images, scale: float, rng: np.random.Generator) -> Images:
    """Shrink by a factor and enlarge again, both with a box filter."""
    height, width = rgb.shape[:2]
    small = int(width * scale), int(height * scale)
    image = Image.fromarray(rgb).resize(small, Image.Resampling.BOX)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(rgb: Images, quality: int, rng: np.random.Generator) -> Images:
    """Store as JPEG of this quality."""
    stored = io.BytesIO()
    Image.fromarray(rgb).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


def defocus_blur(rgb: Images, lens: tuple[float, float], rng: np.random.Generator) -> Images:
    """Convolve with a disc.

    Args:
        rgb: The image.
        lens: Radius of the disc in pixels, at most 8; standard deviation of the Gaussian, 3 x 3
            pixels, that softens its edge.
        rng: Not used.
    """
    radius, softness = lens
    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    disc = (x**2 + y**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disc / disc.sum(), (3, 3), softness)
    blurred = cv2.filter2D(rgb / 255.0, -1, kernel)
    return _from_floats(blurred)


def motion_blur(rgb: Images, motion: tuple[float, float], rng: np.random.Generator) -> Images:
    """Convolve with one half of a Gaussian along a line, as ImageMagick's motion blur does.

    Args:
        rgb: The image.
        motion: Length of the line in pixels, less the pixel itself, of which the kernel has twice
            as many points; standard deviation of the Gaussian in pixels.
        rng: Draws the direction, within 45 degrees of the horizontal.
    """
    radius, deviation = motion
    angle_deg = rng.uniform(-MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    kernel = line_kernel(2 * math.ceil(radius) + 1, deviation, angle_deg)
    blurred = cv2.filter2D(rgb, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(blurred, 0, 255), dtype=np.uint8)


def line_kernel(num: int, deviation: float, angle_deg: float) -> Floats:
    """Return the kernel of a motion that starts at the pixel itself.

    Args:
        num: Number of points on the line, one pixel apart.
        deviation: Standard deviation of the half Gaussian in pixels.
        angle_deg: Direction; positive angles point down.

    Returns:
        float32 (2 num - 1, 2 num - 1), for correlation; sums to 1.
    """
    steps = np.arange(num)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    angle = math.radians(angle_deg)
    columns = np.ceil(steps * math.cos(angle) - 0.5).astype(int)
    rows = np.ceil(steps * math.sin(angle) - 0.5).astype(int)
    kernel = np.zeros((2 * num - 1, 2 * num - 1), dtype=np.float32)
    np.add.at(kernel, (rows + num - 1, columns + num - 1), weights / weights.sum())
    return kernel


def brightness(rgb: Images, factor: float, rng: np.random.Generator) -> Images:
    """Multiply all values."""
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(rgb)).enhance(factor))


def contrast(rgb: Images, factor: float, rng: np.random.Generator) -> Images:
    """Multiply the distance of all values from the mean grey value."""
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(rgb)).enhance(factor))


def saturate(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Add to the saturation, 0 to 1, of the HSV colour model."""
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.clip(hsv[..., 1] + amount, 0, 1)
    return _from_floats(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def stain_deposit(rgb: Images, deposits: tuple[int, int], rng: np.random.Generator) -> Images:
    """Lay black deposits of stain over the image.

    The shapes are not those of the package, which are ten fixed drawings a size; they stain the
    same share of the same square.

    Args:
        rgb: The image.
        deposits: Largest number of deposits; side of their square in pixels.
        rng: Draws number, shapes and positions.
    """
    max_num, side = deposits
    stained = rgb.copy()
    height, width = rgb.shape[:2]
    for _ in range(rng.integers(1, max_num + 1)):
        left = rng.integers(STAIN_MARGIN_PX, width - side - STAIN_MARGIN_PX + 1)
        top = rng.integers(STAIN_MARGIN_PX, height - side - STAIN_MARGIN_PX + 1)
        stained[top : top + side, left : left + side][_draw_deposit(side, rng)] = 0
    return stained


def _draw_deposit(side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return an irregular shape, bool (side, side)."""
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, side)])
    noise = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), side / 8)
    height = noise / noise.std() - 2 * np.hypot(x, y)
    share = rng.uniform(*STAIN_SHARES[side])
    return np.asarray(height > np.quantile(height, 1 - share))


def bubble(rgb: Images, bubbles: tuple[int, int], rng: np.random.Generator) -> Images:
    """Lay half-transparent white discs with a brighter border over the image.

    Args:
        rgb: The image.
        bubbles: Largest radius in pixels; largest number.
        rng: Draws number, radii and positions.
    """
    max_radius, max_num = bubbles
    image = Image.fromarray(rgb)
    opacity = Image.new("L", image.size)
    draw = ImageDraw.Draw(opacity)
    for _ in range(rng.integers(MIN_BUBBLES, max_num + 1)):
        radius = int(rng.integers(MIN_BUBBLE_RADIUS_PX, max_radius + 1))
        x, y = (int(rng.integers(radius, side - radius + 1)) for side in image.size)
        for reach, value in (
            (radius + BUBBLE_BORDER_PX, BORDER_OPACITY),
            (radius, BUBBLE_OPACITY),
        ):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=value)
    white = Image.new("RGB", image.size, "white")
    return np.asarray(Image.composite(white, image, opacity))


def _from_floats(values: Floats) -> Images:
    """Return values in 0 to 1 as uint8, rounded down as the package does."""
    return np.asarray(np.clip(values, 0, 1) * 255, dtype=np.uint8)
