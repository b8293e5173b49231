"""A laboratory profile as index arrays, for programs that apply it without this package."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.shift.lab import MAX_ENLARGED_SIDE_PX, Lab


@dataclass(frozen=True)
class PixelMap:
    """What `Lab.standardise` does with square images of one side.

    Row i and column j of the result come from row `positions[i]` and column `positions[j]`; a value
    v of channel c becomes `levels[v, c]`.
    """

    positions: NDArray[np.int64]
    """int64 (new side,), 0 to side - 1."""
    levels: NDArray[np.uint8]
    """uint8 (256, 3)."""


def pixel_map(lab: Lab, side_px: int) -> PixelMap:
    """Return what a profile does with square images of a side, at most 1024 px.

    Both arrays are read off images whose values are their own positions, after `Lab.standardise`.
    """
    assert side_px <= MAX_ENLARGED_SIDE_PX
    coded = np.zeros((side_px, side_px, 3), dtype=np.uint8)
    for channel, digits in enumerate(np.divmod(np.arange(side_px), 256)):
        coded[:, :, channel] = digits[:, None]
    zoom = lab.model_copy(update={"target_white_point": lab.white_point})
    rows = zoom.standardise(coded)[:, 0].astype(np.int64)
    grey = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    colour = lab.model_copy(update={"scale": 1.0})
    return PixelMap(256 * rows[:, 0] + rows[:, 1], colour.standardise(grey)[:, 0])
