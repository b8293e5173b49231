"""Photometric operations: brightness, contrast, stain, white balance, colour.

Lookup tables are float64 (256, 1) or (256, 3): the new value, 0 to 1, of each of the 256 levels,
for all channels or for each. Matrices are 3 x 3 and multiply RGB values. Neighbouring tables and
matrices are composed into one pass.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

LookupTable = NDArray[np.float64]
Matrix = NDArray[np.float64]

IDENTITY = (np.arange(256) / 255)[:, None]
OPTICAL_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + 1) / 256).reshape(1, 256, 1)
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the luma of ITU-R BT.601."""
GREY_CROSS_PRODUCT = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
"""Matrix of the cross product with the unit vector along the grey axis (1, 1, 1)."""


def brightness(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Add `magnitude`, in units of the full range, to every value.

    Source: Howard 2013, "Some improvements on deep convolutional neural network based image
    classification", section 2.
    """
    return table + magnitude


def contrast(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Multiply the distance of values from mid-grey by 2^magnitude.

    Source: Howard 2013, section 2.
    """
    return np.asarray(0.5 + (table - 0.5) * 2.0**magnitude)


def gamma(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Raise values to the power of 2^magnitude.

    Source: Poynton 2003, "Digital Video and HDTV", chapter 23.
    """
    return np.asarray(table.clip(0, 1) ** 2.0**magnitude)


def rgb_shift(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Add a random offset from -magnitude to magnitude to each channel.

    Source: the RGB shift of Buslaev et al. 2020, "Albumentations", table 1.
    """
    return np.asarray(table + 2 * magnitude * (rng.random(3) - 0.5))


def density(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Multiply each channel's optical density by 2^x with x from -magnitude to magnitude.

    Source: Tellez et al. 2018, "Whole-slide mitosis detection in H&E breast histology", section
    II-D, on the channels themselves, without a fixed stain basis (Beer-Lambert).
    """
    exponents = 2.0 ** (2 * magnitude * (rng.random(3) - 0.5))
    return np.asarray(table.clip(1 / 256, 1) ** exponents)


def white_balance(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Multiply each channel by 1 - x, x from 0 to `magnitude`: another illuminant or white balance.

    Source: the diagonal model of illuminants, von Kries 1902; Finlayson et al. 1994.
    """
    return np.asarray(table * (1 - magnitude * rng.random(3)))


def tone_curve(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Add a smooth random curve of the value to each channel; `magnitude` is its height.

    The curve is a sum of four sine waves with random amplitudes.

    Source: Modas et al. 2022, "PRIME", section 3 (colour jitter).
    """
    amplitudes = magnitude * (rng.random((4, 3)) - 0.5)
    waves = (np.sin(np.pi * k * table) * amplitudes[k - 1] / k for k in range(1, 5))
    return np.asarray(table + sum(waves))


def posterize(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Quantise values to 8 - magnitude bits, which need not be an integer.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    if not magnitude:
        return table
    num_levels = 2.0 ** (8 - magnitude)
    return np.asarray((np.floor(table.clip(0, 0.9999) * num_levels) + 0.5) / num_levels)


def solarize(table: LookupTable, magnitude: float, rng: np.random.Generator) -> LookupTable:
    """Invert values above 1 - magnitude.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    return np.where(table >= 1 - magnitude, 1 - table, table) if magnitude else table


def saturation(magnitude: float, rng: np.random.Generator) -> Matrix:
    """Multiply the distance of colours from grey by 1 + magnitude; -1 gives a grey image.

    Source: Howard 2013, section 2.
    """
    return (1 + magnitude) * np.eye(3) - magnitude * LUMA


def hue(magnitude: float, rng: np.random.Generator) -> Matrix:
    """Rotate colours about the grey axis by `magnitude` degrees.

    Source: Haeberli 1993, "Matrix operations for image processing", hue rotation; the matrix is
    Rodrigues' formula about (1, 1, 1).
    """
    cos, sin = math.cos(math.radians(magnitude)), math.sin(math.radians(magnitude))
    return np.asarray(cos * np.eye(3) + (1 - cos) / 3 + sin * GREY_CROSS_PRODUCT)


def channel_shuffle(magnitude: float, rng: np.random.Generator) -> Matrix:
    """Blend the channels with a random permutation of them; `magnitude` is its weight.

    Source: the channel shuffle of Buslaev et al. 2020, "Albumentations", table 1.
    """
    return np.asarray((1 - magnitude) * np.eye(3) + magnitude * np.eye(3)[rng.permutation(3)])


def stain(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Mix the optical densities of the channels by a random matrix near the identity.

    The matrix is the identity plus `magnitude` / 2 x standard normal deviates. Dyes change strength
    and hue as under another stain; densities are mixed linearly (Beer-Lambert law).

    Source: Ruifrok & Johnston 2001; Tellez et al. 2018, section II-D, with a random basis.
    """
    mixing = np.eye(3) + magnitude * 0.5 * rng.standard_normal((3, 3))
    negative_densities = cv2.transform(cv2.LUT(rgb, OPTICAL_DENSITIES), -mixing)
    intensity = cv2.exp(negative_densities)
    return np.asarray(
        cv2.addWeighted(intensity, 256, intensity, 0, -1, dtype=cv2.CV_8U), dtype=np.uint8
    )


def equalize(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Blend with the histogram-equalised image; `magnitude` is its weight.

    Source: Cubuk et al. 2019, "AutoAugment", table 6.
    """
    equalized = cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(rgb)])
    return np.asarray(cv2.addWeighted(rgb, 1 - magnitude, equalized, magnitude, 0), dtype=np.uint8)


def autocontrast(rgb: Images, magnitude: float, rng: np.random.Generator) -> Images:
    """Stretch each channel to the full range, blended with weight `magnitude`.

    Source: Cubuk et al. 2019, "AutoAugment", table 6 (AutoContrast).
    """
    extrema = [cv2.minMaxLoc(channel)[:2] for channel in cv2.split(rgb)]
    low, high = np.array(extrema).T / 255
    stretched = np.where(high > low, (IDENTITY - low) / np.maximum(high - low, 1e-9), IDENTITY)
    return apply_lookup_table(
        rgb, (1 - magnitude) * IDENTITY + magnitude * np.clip(stretched, 0, 1)
    )


def apply_lookup_table(rgb: Images, table: LookupTable) -> Images:
    """Apply a lookup table to every channel; values are clipped to 0 to 1."""
    rounded = cv2.addWeighted(table, 255, table, 0, 0, dtype=cv2.CV_8U)
    return np.asarray(cv2.LUT(rgb, rounded.reshape(1, 256, -1)), dtype=np.uint8)


def apply_matrix(rgb: Images, matrix: Matrix) -> Images:
    """Multiply the RGB values of every pixel by a matrix; results are clipped to 0 to 255."""
    return np.asarray(cv2.transform(rgb, matrix), dtype=np.uint8)
