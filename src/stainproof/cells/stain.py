"""Separate the nuclear stain from the colour of the red cells, measured in the field itself."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.cells.background import Mask, Plane

NUCLEUS = np.array([0.50, 0.80, 0.20], np.float32)
"""Optical density of a nucleus in a Romanowsky stain (red, green, blue), up to a factor: purple."""
RED_CELL = np.array([0.35, 0.65, 0.60], np.float32)
"""The same of red cells, where the field has none."""
LEAST_DENSITY = 0.05
"""Least optical density in green of what is a cell."""
SAMPLE = 20_000
"""About as many pixels are measured."""
DARKER = 2.0
"""Nuclei are this many times denser than red cells; otherwise all that is stained is one kind."""


@dataclass(frozen=True)
class Stain:
    """Directions in the space of optical density (red, green, blue)."""

    red_cell: NDArray[np.float32]
    """Unit vector (3,): the colour of the red cells."""
    nuclear: NDArray[np.float32]
    """Unit vector (3,), perpendicular to `red_cell`: what nuclei have and red cells lack."""
    red_cell_density: float
    """Median optical density of red cells in green."""
    noise: float
    """Median deviation of the red cells' density along `nuclear` from 0."""

    def nuclear_density(self, density: Plane) -> Plane:
        """Return the density of the nuclear stain, float32 (height, width); 0 in red cells."""
        return np.asarray(density @ self.nuclear, np.float32)


def measure_stain(density: Plane) -> Stain:
    """Measure the colour of the red cells and the direction that separates nuclei from it.

    Red cells are most of what is stained; where a denser kind of pixel exists (Otsu's threshold),
    it is left out. The nuclear direction is that part of a typical nucleus' colour that is
    perpendicular to the red cells' (the idea of Ruifrok & Johnston 2001, Anal Quant Cytol Histol
    23:291, with one vector measured), so that it follows the stain and the white balance.

    Args:
        density: float32 (height, width, 3), see `background.optical_density`.
    """
    stained = density[foreground(density)]
    stained = stained[:: max(1, len(stained) // SAMPLE)]
    red = stained[_is_light(stained[:, 1])]
    if len(red) < 50:
        red_cell, level = _unit(RED_CELL), 0.12
    else:
        red_cell, level = _unit(np.median(red, axis=0)), float(np.median(red[:, 1]))
    nuclear = _unit(NUCLEUS - (NUCLEUS @ red_cell) * red_cell)
    if (
        nuclear[2] > 0
    ):  # absorption of blue light is no sign of a nucleus: dirt and frames absorb it
        nuclear = _unit(np.array([-red_cell[1], red_cell[0], 0], np.float32))
    noise = float(np.median(np.abs(red @ nuclear))) if len(red) else 0.0
    return Stain(red_cell, nuclear, level, noise)


def foreground(density: Plane) -> Mask:
    """Return where the field is stained: over half of the typical density of what is stained."""
    green = density[..., 1]
    sample = green[:: max(1, green.shape[0] // 256), :: max(1, green.shape[1] // 256)]
    dense = sample[sample > LEAST_DENSITY]
    level = float(np.median(dense)) if len(dense) else 0.0
    return np.asarray(green > max(LEAST_DENSITY, 0.5 * level), np.bool_)


def otsu(values: NDArray[np.float32]) -> float:
    """Return Otsu's threshold of values, in their unit."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    grey = ((values - low) * (255 / (high - low))).astype(np.uint8).reshape(1, -1)
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + (level + 0.5) * (high - low) / 255


def _is_light(green: NDArray[np.float32]) -> Mask:
    """Return which stained pixels are of the lighter kind; all if there is one kind."""
    if len(green) < 50:
        return np.ones(len(green), np.bool_)
    light = green <= otsu(np.minimum(green, np.float32(1.0)))
    if light.all() or np.median(green[~light]) < DARKER * np.median(green[light]):
        return np.ones(len(green), np.bool_)
    return np.asarray(light, np.bool_)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)
