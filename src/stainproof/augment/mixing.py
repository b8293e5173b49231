"""Mixing of two images and their labels: CutMix and MixUp."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import AugmentConfig
from stainproof.data.images import Images, paste

Targets = NDArray[np.float32]


def mix(
    images: Images, targets: Targets, settings: AugmentConfig, rng: np.random.Generator
) -> tuple[Images, Targets]:
    """Mix images of a batch, and their targets, with other images of the batch.

    Source: Yun et al. 2019, "CutMix", section 3.1; Zhang et al. 2018, "mixup", section 2.

    Args:
        images: uint8 (n, height, width, 3); not modified.
        targets: float32 (n, classes), rows sum to 1; not modified.
        settings: Kind, probability and Beta parameter of the mix.
        rng: Random generator.

    Returns:
        Images and targets of the same types and shapes; rows of targets sum to 1.
    """
    if settings.mix == "none":
        return images, targets
    mixed_images, mixed_targets = images.copy(), targets.copy()
    partners = rng.permutation(len(images))
    for index, partner in enumerate(partners):
        if rng.random() >= settings.mix_probability or index == partner:
            continue
        weight = float(rng.beta(settings.mix_alpha, settings.mix_alpha))
        if settings.mix == "cutmix" or (settings.mix == "either" and rng.random() < 0.5):
            window, weight = _cutmix_window(images.shape[1:3], weight, rng)
            mixed_images[index] = paste(images[index], images[partner], window)
        else:
            mixed_images[index] = cv2.addWeighted(
                images[index], weight, images[partner], 1 - weight, 0
            )
        mixed_targets[index] = weight * targets[index] + (1 - weight) * targets[partner]
    return mixed_images, mixed_targets


def _cutmix_window(
    size: tuple[int, ...], weight: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], float]:
    """Draw the window that the other image fills.

    Args:
        size: Height and width of the image.
        weight: Fraction of the image that remains if the window lies inside it.
        rng: Draws the centre of the window, uniformly over the image.

    Returns:
        Rows and columns of the window, clipped to the image, and the fraction that remains.
    """
    height, width = size
    side = np.sqrt(1 - weight)
    y, x = rng.random(2) * (height, width)
    top, bottom = (int(np.clip(y + s * side * height / 2, 0, height)) for s in (-1, 1))
    left, right = (int(np.clip(x + s * side * width / 2, 0, width)) for s in (-1, 1))
    covered = (bottom - top) * (right - left) / (height * width)
    return (slice(top, bottom), slice(left, right)), float(1 - covered)
