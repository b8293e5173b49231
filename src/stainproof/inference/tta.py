"""Views of an image at prediction: the ways it might have lain on the slide. Needs numpy alone."""

import numpy as np
from numpy.typing import NDArray

TTA_MODES = ("none", "flips", "d4")
"""`none`: as it is; `flips`: four, mirrored across, down, both and neither; `d4`: eight, those
four and the same on their side."""


def tta_views(images: NDArray[np.uint8], mode: str) -> list[NDArray[np.uint8]]:
    """Return every view of every image, the images as they are first.

    A cell has no upright side, so the answers for its views may be averaged (test-time
    augmentation; Simonyan & Zisserman 2015, "Very Deep Convolutional Networks", section 3.2).

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
