"""A field at standard magnification: all later lengths are fractions of a red cell's diameter."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.cells.background import Mask, Plane, fit_background, optical_density
from stainproof.cells.stain import Stain, measure_stain
from stainproof.data.images import Images

RED_CELL_PX = 40
"""Diameter of a red cell at standard magnification."""
RED_CELL_AREA = np.pi / 4 * RED_CELL_PX**2
"""Its area in pixels."""
STAINED = 0.03
"""Least length of the optical density vector of what is stained."""
LEAST_NUCLEAR = 0.05
"""Least density of nuclear stain in a nucleus."""
NOISE_FACTOR = 5.0
"""A nucleus has this many times the deviation of the red cells."""
BLUR_PX = 2.0
FINE_BLUR_PX = 1.0


@dataclass(frozen=True)
class View:
    """Maps of a field, float32 (height, width), at standard magnification."""

    scale: float
    """Pixels of the view in one pixel of the field."""
    stain: Stain
    """The colours of the field."""
    density: Plane
    """Optical density, (height, width, 3), slightly smoothed."""
    nuclear: Plane
    """Density of the nuclear stain, smoothed."""
    amount: Plane
    """Length of the smoothed optical density vector."""
    fine_nuclear: Plane
    """Density of the nuclear stain, slightly smoothed."""
    threshold: float
    """Least nuclear density of a nucleus, above the noise of this field."""

    @cached_property
    def hue(self) -> Plane:
        """Share of the nuclear stain in what is stained, the sine of an angle; red cells 0."""
        return np.asarray(self.nuclear / np.maximum(self.amount, STAINED), np.float32)

    @cached_property
    def fine_amount(self) -> Plane:
        """Length of the slightly smoothed optical density vector."""
        return np.asarray(np.linalg.norm(self.density, axis=2), np.float32)

    @cached_property
    def fine_hue(self) -> Plane:
        """`hue`, slightly smoothed."""
        return np.asarray(self.fine_nuclear / np.maximum(self.fine_amount, STAINED), np.float32)


def make_view(rgb: Images, red_cell_px: float) -> View:
    """Bring a field to standard magnification and separate its stains.

    Args:
        rgb: uint8 (height, width, 3).
        red_cell_px: Diameter of a red cell in the field, in pixels, greater than 0.
    """
    height, width = rgb.shape[:2]
    scale = RED_CELL_PX / red_cell_px
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    reduced = np.asarray(cv2.resize(rgb, size, interpolation=interpolation), np.uint8)
    raw = optical_density(reduced, fit_background(reduced))
    stain = measure_stain(raw)
    smooth = cv2.GaussianBlur(raw, (0, 0), BLUR_PX)
    fine = np.asarray(cv2.GaussianBlur(raw, (0, 0), FINE_BLUR_PX), np.float32)
    return View(
        scale=scale,
        stain=stain,
        density=fine,
        nuclear=stain.nuclear_density(smooth),
        amount=np.asarray(np.linalg.norm(smooth, axis=2), np.float32),
        fine_nuclear=stain.nuclear_density(fine),
        threshold=max(LEAST_NUCLEAR, NOISE_FACTOR * stain.noise),
    )


def disk(diameter: float) -> NDArray[np.uint8]:
    """Return a round structuring element.

    Args:
        diameter: In diameters of a red cell.
    """
    side = max(1, 2 * int(diameter * RED_CELL_PX / 2) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def morph(mask: Mask, operation: int, diameter: float) -> Mask:
    """Open, close or dilate a mask by a disk; outside the field nothing is set.

    Args:
        mask: bool (height, width).
        operation: `cv2.MORPH_OPEN`, `cv2.MORPH_CLOSE` or `cv2.MORPH_DILATE`.
        diameter: Of the disk, in diameters of a red cell.
    """
    element = disk(diameter)
    reach = len(element)
    border = cv2.BORDER_REPLICATE if operation == cv2.MORPH_OPEN else cv2.BORDER_CONSTANT
    wide = cv2.copyMakeBorder(
        mask.astype(np.uint8), reach, reach, reach, reach, borderType=border, value=0
    )
    done = cv2.morphologyEx(wide, operation, element)
    return np.asarray(done[reach:-reach, reach:-reach] > 0, np.bool_)
