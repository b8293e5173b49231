"""Mixing of two images and their labels: CutMix and MixUp; order of images with class balance."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import AugmentConfig
from stainproof.data.images import Images

Targets = NDArray[np.float32]


def mix(
    images: Images, targets: Targets, settings: AugmentConfig, rng: np.random.Generator
) -> tuple[Images, Targets]:
    """Mix images of a batch with other images of it, as the settings say.

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
    mixed, soft = images.copy(), targets.copy()
    partners = rng.permutation(len(images))
    for index, partner in enumerate(partners):
        if rng.random() >= settings.mix_probability or index == partner:
            continue
        share = float(rng.beta(settings.mix_alpha, settings.mix_alpha))
        cut = settings.mix == "cutmix" or (settings.mix == "either" and rng.random() < 0.5)
        if cut:
            share = _cut(mixed[index], images[partner], share, rng)
        else:
            mixed[index] = cv2.addWeighted(images[index], share, images[partner], 1 - share, 0)
        soft[index] = share * targets[index] + (1 - share) * targets[partner]
    return mixed, soft


def _cut(rgb: Images, other: Images, share: float, rng: np.random.Generator) -> float:
    """Paste a window of another image in place; return the fraction of the image that is left.

    Source: Yun et al. 2019, "CutMix", section 3.1; the blend above is Zhang et al. 2018, "mixup".
    """
    height, width = rgb.shape[:2]
    side = np.sqrt(1 - share)
    y, x = rng.random(2) * (height, width)
    top, bottom = (int(np.clip(y + s * side * height / 2, 0, height)) for s in (-1, 1))
    left, right = (int(np.clip(x + s * side * width / 2, 0, width)) for s in (-1, 1))
    rgb[top:bottom, left:right] = other[top:bottom, left:right]
    covered = (bottom - top) * (right - left) / (height * width)
    return float(1 - covered)


def visits(labels: NDArray[np.int64], balance: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the order in which an epoch visits the images.

    Args:
        labels: int64 (N,).
        balance: `none`: every image once; `oversample`: images of small classes repeatedly, until
            all classes are as large as the largest (section 3 of the AN2DL paper, which probed the
            label distribution of the hidden set).
        rng: Random generator.

    Returns:
        int64, image position + N x number of earlier visits; the augmentation depends on it.
    """
    num = len(labels)
    found = [np.arange(num)]
    if balance == "oversample":
        counts = np.bincount(labels)
        for label in np.flatnonzero(counts):
            members = np.flatnonzero(labels == label)
            missing = int(counts.max() - counts[label])
            rounds = range(1, 1 + -(-missing // len(members)))
            again = [rng.permutation(members) + num * number for number in rounds]
            found.append(np.concatenate([*again, members[:0]])[:missing])
    return rng.permutation(np.concatenate(found))
