"""The corruption benchmark of MedMNIST-C for blood cells: names, severities and the normaliser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stainproof.corruptions import operations

SIZE_PX = 224
SEVERITIES = (1, 2, 3, 4, 5)

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """One corruption at five severities."""

    operation: Callable[[Images, Any, np.random.Generator], Images]
    parameters: tuple[Any, Any, Any, Any, Any]
    """Of the operation at each severity."""
    alexnet_error: float
    """Published balanced error of the pretrained AlexNet, the mean over the severities."""


CORRUPTIONS: dict[str, Corruption] = {
    "pixelate": Corruption(operations.pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), 0.059756),
    "jpeg_compression": Corruption(operations.jpeg_compression, (50, 30, 15, 10, 7), 0.139762),
    "defocus_blur": Corruption(
        operations.defocus_blur, ((2, 0.01), (3, 0.1), (4, 0.1), (5, 0.1), (6, 0.1)), 0.223998
    ),
    "motion_blur": Corruption(
        operations.motion_blur, ((3, 3), (5, 5), (10, 5), (10, 7), (10, 9)), 0.184519
    ),
    "brightness_up": Corruption(operations.brightness, (1.1, 1.2, 1.3, 1.35, 1.4), 0.069463),
    "brightness_down": Corruption(operations.brightness, (0.9, 0.8, 0.7, 0.6, 0.5), 0.079008),
    "contrast_up": Corruption(operations.contrast, (1.1, 1.15, 1.2, 1.25, 1.3), 0.052154),
    "contrast_down": Corruption(operations.contrast, (0.9, 0.8, 0.7, 0.6, 0.5), 0.079661),
    "saturate": Corruption(operations.saturate, (0.05, 0.10, 0.15, 0.17, 0.20), 0.034786),
    "stain_deposit": Corruption(
        operations.stain_deposit, ((1, 24), (2, 24), (3, 24), (3, 24), (3, 32)), 0.185361
    ),
    "bubble": Corruption(
        operations.bubble, ((5, 10), (7, 10), (10, 10), (12, 12), (15, 12)), 0.128988
    ),
}
"""Parameters and errors of the package medmnistc 0.1.0 (registry and baselines)."""
ALEXNET_CLEAN_ERROR = 0.018369
"""Its balanced error on the test images as they are."""


def corrupt(rgb: Images, name: str, severity: int, seed: int, index: int = 0) -> Images:
    """Return a corrupted image; the same arguments give the same image.

    Args:
        rgb: uint8 (224, 224, 3).
        name: Name in `CORRUPTIONS`.
        severity: 1 to 5.
        seed: Seed of the benchmark, 0 or more.
        index: Position of the image in its source, so that all images differ.

    Returns:
        uint8 (224, 224, 3).
    """
    corruption = CORRUPTIONS[name]
    rng = np.random.default_rng((seed, list(CORRUPTIONS).index(name), severity, index))
    return corruption.operation(rgb, corruption.parameters[severity - 1], rng)
