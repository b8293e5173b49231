"""Photometric operations: brightness, contrast, stain, white balance, colour.

Lookup tables are float64 (256, 1) or (256, 3), values 0 to 1 for each of the 256 levels; matrices
are 3 x 3 and mix RGB. Neighbouring tables and matrices are composed into one pass.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

Levels = NDArray[np.float64]
Matrix = NDArray[np.float64]

IDENTITY = (np.arange(256) / 255)[:, None]
LOG_LEVELS = -np.log((np.arange(256, dtype=np.float32) + 1) / 256).reshape(1, 256, 1)
LUMA = np.array([0.299, 0.587, 0.114])
GREY_AXIS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)


def brightness(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Add `amount`, a fraction of the range.

    Source: Howard 2013, "Some improvements on deep convolutional neural network based image
    classification", section 2.
    """
    return levels + amount


def contrast(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Multiply the distance from mid-grey by 2^amount.

    Source: Howard 2013, section 2.
    """
    return np.asarray(0.5 + (levels - 0.5) * 2.0**amount)


def gamma(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Raise levels to the power of 2^amount.

    Source: Poynton 2003, "Digital Video and HDTV", chapter 23.
    """
    return np.asarray(levels.clip(0, 1) ** 2.0**amount)


def rgb_shift(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Add a random offset of up to `amount` to each channel.

    Source: the RGB shift of Buslaev et al. 2020, "Albumentations", table 1.
    """
    return np.asarray(levels + 2 * amount * (rng.random(3) - 0.5))


def density(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Multiply each channel's optical density by 2^x with x from -amount to amount.

    Source: Tellez et al. 2018, "Whole-slide mitosis detection in H&E breast histology", section
    II-D, on the channels themselves, without a fixed stain basis (Beer-Lambert).
    """
    exponents = 2.0 ** (2 * amount * (rng.random(3) - 0.5))
    return np.asarray(levels.clip(1 / 256, 1) ** exponents)


def white_balance(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Multiply each channel by 1 - x with x up to `amount`: another illuminant or white balance.

    Source: the diagonal model of illuminants, von Kries 1902; Finlayson et al. 1994.
    """
    return np.asarray(levels * (1 - amount * rng.random(3)))


def tone_curve(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Add four low-frequency sine waves of the level to each channel, at most `amount` in total.

    Source: Modas et al. 2022, "PRIME", section 3 (colour jitter).
    """
    heights = amount * (rng.random((4, 3)) - 0.5)
    waves = (np.sin(np.pi * k * levels) * heights[k - 1] / k for k in range(1, 5))
    return np.asarray(levels + sum(waves))


def posterize(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Reduce each level to 8 - amount bits, the middle of its band; fractions are allowed.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    if not amount:
        return levels
    steps = 2.0 ** (8 - amount)
    return np.asarray((np.floor(levels.clip(0, 0.9999) * steps) + 0.5) / steps)


def solarize(levels: Levels, amount: float, rng: np.random.Generator) -> Levels:
    """Invert the brightest `amount` of the range.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    return np.where(levels >= 1 - amount, 1 - levels, levels) if amount else levels


def saturation(amount: float, rng: np.random.Generator) -> Matrix:
    """Multiply the distance from grey by 1 + amount; -1 gives grey.

    Source: Howard 2013, section 2.
    """
    return (1 + amount) * np.eye(3) - amount * LUMA


def hue(amount: float, rng: np.random.Generator) -> Matrix:
    """Rotate colours about the grey axis by `amount` degrees.

    Source: Haeberli 1993, "Matrix operations for image processing", hue rotation; the matrix is
    Rodrigues' formula about (1, 1, 1).
    """
    cos, sin = math.cos(math.radians(amount)), math.sin(math.radians(amount))
    return np.asarray(cos * np.eye(3) + (1 - cos) / 3 + sin * GREY_AXIS)


def channel_shuffle(amount: float, rng: np.random.Generator) -> Matrix:
    """Mix the channels with a random permutation of them by a fraction `amount`.

    Source: the channel shuffle of Buslaev et al. 2020, "Albumentations", table 1.
    """
    return np.asarray((1 - amount) * np.eye(3) + amount * np.eye(3)[rng.permutation(3)])


def stain(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Mix the optical densities of the channels by a random matrix near the identity.

    The matrix is the identity plus `amount` / 2 x normal deviates: dyes change strength and hue as
    under another stain, and densities stay linear (Beer-Lambert).

    Source: Ruifrok & Johnston 2001; Tellez et al. 2018, section II-D, with a free basis.
    """
    mixing = np.eye(3) + amount * 0.5 * rng.standard_normal((3, 3))
    densities = cv2.transform(cv2.LUT(rgb, LOG_LEVELS), -mixing)
    light = cv2.exp(densities)
    return np.asarray(cv2.addWeighted(light, 256, light, 0, -1, dtype=cv2.CV_8U), dtype=np.uint8)


def equalize(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Mix with the histogram-equalised image by a fraction `amount`.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    flat = cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(rgb)])
    return np.asarray(cv2.addWeighted(rgb, 1 - amount, flat, amount, 0), dtype=np.uint8)


def autocontrast(rgb: Images, amount: float, rng: np.random.Generator) -> Images:
    """Mix with the image whose channels are stretched to 0 to 255, by a fraction `amount`.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (AutoContrast).
    """
    ends = [cv2.minMaxLoc(channel)[:2] for channel in cv2.split(rgb)]
    low, high = np.array(ends).T / 255
    full = np.where(high > low, (IDENTITY - low) / np.maximum(high - low, 1e-9), IDENTITY)
    return apply_levels(rgb, (1 - amount) * IDENTITY + amount * np.clip(full, 0, 1))


def apply_levels(rgb: Images, levels: Levels) -> Images:
    """Apply a lookup table with one column for all channels or one for each."""
    table = cv2.addWeighted(levels, 255, levels, 0, 0, dtype=cv2.CV_8U)
    return np.asarray(cv2.LUT(rgb, table.reshape(1, 256, -1)), dtype=np.uint8)


def apply_matrix(rgb: Images, matrix: Matrix) -> Images:
    """Multiply the RGB values of every pixel by a matrix."""
    return np.asarray(cv2.transform(rgb, matrix), dtype=np.uint8)
