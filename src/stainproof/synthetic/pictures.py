"""Synthetic images to overlay on cells: shapes, 1/f noise, gradients, text."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def make_picture(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw an image: shapes on a colour mosaic, 1/f noise, or both.

    Networks learn much of what they learn from photographs also from random shapes and noise with
    the spectrum of photographs (Baradad et al. 2021, "Learning to See by Looking at Noise").

    Args:
        shape: Height, width and 3.
        rng: Random generator.

    Returns:
        uint8 of this shape.
    """
    kind = rng.random()
    if kind < 0.4:
        return shapes(shape, rng)
    if kind < 0.7:
        return photograph_noise(shape, rng)
    both = cv2.addWeighted(photograph_noise(shape, rng), 0.6, shapes(shape, rng), 0.4, 0)
    if rng.random() < 0.3:
        both = cv2.cvtColor(cv2.cvtColor(both, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(both, dtype=np.uint8)


def shapes(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw discs, boxes and lines on a sharp or smooth colour mosaic; uint8 of this shape."""
    height, width = shape[:2]
    cells = int(rng.integers(2, 13))
    mosaic = rng.integers(256, size=(cells, cells, 3), dtype=np.uint8)
    interpolation = INTERPOLATIONS[rng.integers(len(INTERPOLATIONS))]
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


def photograph_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw noise with a power-law amplitude spectrum, like that of photographs.

    The exponent is 0.7 to 1.6; photographs have about 1 (Field 1987, J. Opt. Soc. Am. A 4, 2379).
    The three channels share a random part of the noise.

    Returns:
        uint8 of this shape.
    """
    height, width = shape[:2]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1 / max(height, width)
    white = np.fft.rfft2(rng.standard_normal((4, height, width)))
    planes: NDArray[np.float64] = np.fft.irfft2(
        white / frequency ** rng.uniform(0.7, 1.6), s=(height, width)
    )
    planes /= planes.std(axis=(1, 2), keepdims=True)
    shared = rng.uniform()
    mixed = shared * planes[3] + (1 - shared) * planes[:3]
    colour = rng.uniform(30, 220) + rng.normal(0, 30, size=(3, 1, 1))
    picture = colour + mixed / mixed.std() * rng.uniform(20, 80)
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def gradient(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw a colour gradient: linear, radial or sinusoidal."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width) - 0.5
    angle = 2 * np.pi * rng.random()
    along = x * np.cos(angle) + y * np.sin(angle)
    kind = rng.integers(3)
    if kind == 1:
        along = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5))
    elif kind == 2:
        along = 0.5 * np.sin(2 * np.pi * rng.uniform(2, 16) * along)
    share = np.clip((along - along.min()) / np.ptp(along), 0, 1)[:, :, None]
    first, last = rng.integers(256, size=(2, 3))
    return np.asarray(first * (1 - share) + last * share, dtype=np.uint8)


def text(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw lines of letters and digits over a gradient."""
    picture = gradient(shape, rng)
    height, width = shape[:2]
    face = int(rng.integers(8))
    for _ in range(int(rng.integers(1, 7))):
        letters = "".join(chr(code) for code in rng.integers(33, 127, size=rng.integers(2, 12)))
        place = int(rng.uniform(-0.2, 0.6) * width), int(rng.uniform(0.1, 1) * height)
        size = float(rng.uniform(0.4, 2.0)) * height / 96
        colour = rng.integers(256, size=3).tolist()
        cv2.putText(picture, letters, place, face, size, colour, int(rng.integers(1, 4)))
    return picture


def make_texture(shape: tuple[int, ...], rng: np.random.Generator) -> Images:
    """Draw any image of this module: one of `make_picture`, a gradient, or text."""
    kind = rng.random()
    if kind < 0.7:
        return make_picture(shape, rng)
    return gradient(shape, rng) if kind < 0.85 else text(shape, rng)
