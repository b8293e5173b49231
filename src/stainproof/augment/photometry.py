"""What light, stain, lens, sensor and storage do to a slide's image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

LUMA = np.array([0.299, 0.587, 0.114])


def light(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Change brightness, contrast and gamma: one table for the three channels."""
    level = np.arange(256) / 255
    gamma = 2.0 ** (strength * rng.uniform(-1, 1))
    contrast = 2.2 ** (strength * rng.uniform(-1, 0.7))
    brightness = 0.35 * strength * rng.uniform(-1, 1)
    table = (level**gamma - 0.5) * contrast + 0.5 + brightness
    return _look_up(rgb, table[:, None].repeat(3, axis=1))


def stain(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Scale each channel's optical density and shift its white: another stain, another lamp.

    I = white x I0^density channel by channel, the Beer-Lambert law as Tellez et al. 2018 use it
    for stain augmentation, without a fixed stain basis.
    """
    level = np.arange(1, 257)[:, None] / 256
    density = 1.8 ** (strength * rng.uniform(-1, 1, 3))
    white = 1 - 0.25 * strength * rng.uniform(0, 1, 3) + 0.08 * strength * rng.uniform(0, 1)
    return _look_up(rgb, white * level**density)


def colour(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Turn the hue and change the saturation by one 3x3 matrix (about the grey axis)."""
    angle = np.pi * 0.5 * strength * rng.uniform(-1, 1)
    saturation = 1 + strength * rng.uniform(-1, 0.8)
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) * axis + np.sin(angle) * cross
    grey = np.tile(LUMA, (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ turn
    return np.asarray(cv2.transform(rgb, matrix), dtype=np.uint8)


def quantise(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Keep few levels of brightness (posterise), or turn the bright ones over (solarise)."""
    if not strength:
        return rgb.copy()
    level = np.arange(256)
    if rng.random() < 0.75:
        step = 2.0 ** (8 - rng.uniform(1.0, 4.0) / strength) if strength <= 1 else 64.0
        table = np.floor(level / step) * step + step / 2
    else:
        table = np.where(level >= 256 - 128 * strength * rng.random(), 255 - level, level)
    return _look_up(rgb, table[:, None].repeat(3, axis=1) / 255)


def focus(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Blur: out of focus (Gaussian or disc), moved (a line), or sampled coarsely."""
    if not strength:
        return rgb.copy()
    kind = rng.integers(4)
    reach = strength * rng.uniform(0.3, 1) * rgb.shape[0] / 96
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2.5 * reach), dtype=np.uint8)
    if kind == 1:
        return _resample(
            rgb, 1 + 2.5 * reach, int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
        )
    radius = max(1, round(4 * reach))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=np.float32)
    if kind == 2:
        cv2.circle(kernel, (radius, radius), radius, 1.0, -1)
    else:
        angle = rng.uniform(0, np.pi)
        dx, dy = round(radius * np.cos(angle)), round(radius * np.sin(angle))
        cv2.line(kernel, (radius - dx, radius - dy), (radius + dx, radius + dy), 1.0)
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), dtype=np.uint8)


def noise(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Add Gaussian noise, in every channel or the same in all, or salt and pepper."""
    if rng.random() < 0.8:
        channels = 3 if rng.random() < 0.7 else 1
        spread = 45 * strength * rng.uniform(0.1, 1)
        grain = rng.standard_normal((*rgb.shape[:2], channels), dtype=np.float32) * spread
        return np.clip(rgb + grain, 0, 255).astype(np.uint8)
    struck = rng.random(rgb.shape[:2], dtype=np.float32) < 0.08 * strength * rng.random()
    speckled = rgb.copy()
    speckled[struck] = 255 * rng.integers(2, size=(int(struck.sum()), 1), dtype=np.uint8)
    return speckled


def storage(rgb: Images, rng: np.random.Generator, strength: float) -> Images:
    """Store as JPEG of poor quality, down to 8 at strength 1, and read it again."""
    if not strength:
        return rgb.copy()
    quality = int(max(3, 92 - 84 * strength * rng.uniform(0.3, 1)))
    _, coded = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[:, :, ::-1])


def _look_up(rgb: Images, table: NDArray[np.float64]) -> Images:
    """Map levels through (256, 3) values in [0, 1], one column a channel."""
    levels = np.clip(np.rint(table * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(rgb, levels.reshape(1, 256, 3)), dtype=np.uint8)


def _resample(rgb: Images, factor: float, interpolation: int) -> Images:
    height, width = rgb.shape[:2]
    small_size = max(4, round(width / factor)), max(4, round(height / factor))
    small = cv2.resize(rgb, small_size, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=interpolation), dtype=np.uint8
    )
