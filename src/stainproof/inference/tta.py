"""Test-time augmentation: flipped and rotated versions of an image. Needs numpy only."""

import numpy as np
from numpy.typing import NDArray

TTA_MODES = ("none", "flips", "d4")
"""`none`: the image; `flips`: its 4 flips; `d4`: its 8 flips and rotations by 90 degrees."""


def tta_views(images: NDArray[np.uint8], mode: str) -> list[NDArray[np.uint8]]:
    """Return every version of every image, the images themselves first.

    A cell has no upright direction, so predictions for its versions may be averaged (Simonyan &
    Zisserman 2015, "Very Deep Convolutional Networks", section 3.2).

    Args:
        images: uint8 (n, size, size, 3).
        mode: Name in `TTA_MODES`.

    Returns:
        One, four or eight arrays uint8 (n, size, size, 3).
    """
    if mode == "none":
        return [images]
    seen = [images]
    if mode == "d4":
        seen.append(images.transpose(0, 2, 1, 3))
    seen += [view[:, :, ::-1] for view in seen]
    seen += [view[:, ::-1] for view in seen]
    return [np.ascontiguousarray(view) for view in seen]
