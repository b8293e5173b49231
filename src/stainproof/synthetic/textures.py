"""Textures of phantom cells: chromatin, granules, red cells; computed once per magnification."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

TAU = 2 * np.pi


class Tile(NamedTuple):
    """Parameters of a texture."""

    grain_um: float
    """Size of the grain."""
    clumped: bool = False
    """Whether it is chromatin: clumps with pale gaps in between."""
    num_per_um2: float = 0.0
    """Density of granules."""
    radius_um: float = 0.0
    """Radius of granules."""


TILES: dict[str, Tile] = {
    "smooth": Tile(0.2),
    "coarse": Tile(0.13, True),
    "clumped": Tile(0.15, True),
    "lacy": Tile(0.10, True),
    "fine": Tile(0.12, False, 2.5, 0.10),
    "azure": Tile(0.12, False, 2.5, 0.13),
    "round": Tile(0.12, False, 3.0, 0.16),
    "dark": Tile(0.12, False, 2.6, 0.24),
    "platelet": Tile(0.12, False, 3.5, 0.15),
}
"""Textures of chromatin (the clumped ones) and cytoplasm."""


@lru_cache(maxsize=64)
def tile(name: str, side_px: int, px_per_um: float) -> NDArray[np.float32]:
    """Return the texture that every cell of a size cuts its own piece from.

    Returns:
        float32 (side, side, 3): fine unevenness (mean 0, standard deviation 1), granules (0 to 1)
        and slow unevenness.
    """
    recipe = TILES[name]
    rng = np.random.default_rng(sorted(TILES).index(name))
    white = rng.standard_normal((2, side_px, side_px), dtype=np.float32)
    fine = _unit(cv2.GaussianBlur(white[0], (0, 0), recipe.grain_um * px_per_um))
    slow = _unit(cv2.GaussianBlur(white[1], (0, 0), 1.2 * px_per_um))
    if recipe.clumped:
        granules = 1 / (1 + np.exp(2.5 * (fine - 0.4)))
    else:
        granules = _dots(rng, recipe, side_px, px_per_um)
    return np.stack([fine, granules, slow], axis=2).astype(np.float32)


def _dots(
    rng: np.random.Generator, recipe: Tile, side_px: int, px_per_um: float
) -> NDArray[np.float32]:
    dots = np.zeros((side_px, side_px), np.uint8)
    num_dots = int(recipe.num_per_um2 * (side_px / px_per_um) ** 2)
    for x, y, width, shade in rng.random((num_dots, 4)).tolist():
        radius = int(16 * recipe.radius_um * px_per_um * (0.6 + 0.8 * width))
        centre = int(16 * x * side_px), int(16 * y * side_px)
        cv2.circle(dots, centre, radius, int(130 + 125 * shade), -1, cv2.LINE_AA, 4)
    return np.asarray(dots / np.float32(255), np.float32)


def _unit(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray((values - values.mean()) / values.std())


@lru_cache(maxsize=8)
def red_cells(px_per_um: float) -> tuple[NDArray[np.float32], ...]:
    """Return red cells seen from above: discs about 7.5 um wide with a pale centre.

    Returns:
        float32 (side, side) amounts of pink relative to the rim, 0 to about 1.
    """
    rng = np.random.default_rng(0)
    axis = (np.arange(round(10 * px_per_um)) + 0.5) / px_per_um - 5
    place = axis + 1j * axis[:, None]
    cells = []
    for _ in range(40):
        radius = np.full(place.shape, rng.uniform(3.4, 4.2))
        for order in (2, 3, 4):
            wave = np.cos(order * np.angle(place) + TAU * rng.random())
            radius = radius * (1 + 0.12 / order * rng.normal() * wave)
        depth = np.abs(place) / radius
        edge = np.clip((1 - depth) * 3 * px_per_um, 0, 1)
        pallor = rng.uniform(0.1, 0.8) / (1 + np.exp((depth - rng.uniform(0.4, 0.65)) * 16))
        cells.append((edge * (0.75 + 0.35 * depth**2 - pallor)).clip(0).astype(np.float32))
    return tuple(cells)
