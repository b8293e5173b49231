"""Every operation by name, and how neighbours of one kind become one pass over the image.

All take an amount (0 changes nothing) and a generator. Movements gather in one warp, tables of
levels in one table, colour matrices in one matrix; the rest change the picture at once.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from stainproof.augment import geometry, occlusion, optics, overlay, photometry
from stainproof.augment.overlay import Pictures
from stainproof.data.images import Images

Operation = TypeVar("Operation", bound=Callable[..., object])


def _named(*operations: Operation) -> dict[str, Operation]:
    return {operation.__name__: operation for operation in operations}


MOVEMENTS = _named(
    geometry.rotate, geometry.zoom, geometry.stretch, geometry.shear, geometry.translate,
    geometry.perspective, geometry.elastic,
)  # fmt: skip
TABLES = _named(
    photometry.brightness, photometry.contrast, photometry.gamma, photometry.shift_channels,
    photometry.density, photometry.white, photometry.smooth_colour, photometry.posterise,
    photometry.solarise,
)  # fmt: skip
MATRICES = _named(photometry.saturation, photometry.hue, photometry.shuffle_channels)
PICTURES = _named(
    geometry.turn, geometry.flip, photometry.stain, photometry.equalise,
    photometry.stretch_levels, optics.blur, optics.defocus, optics.motion, optics.sharpen,
    optics.random_filter, optics.resample, optics.noise, optics.salt, optics.jpeg,
    occlusion.cutout, occlusion.grid_mask,
)  # fmt: skip
OVERLAYS = _named(overlay.blend, overlay.multiply, overlay.swap_amplitude, overlay.swap_detail)
FROM_CELLS = frozenset({"swap_amplitude", "swap_detail"})
"""Overlays that borrow from other cells only."""

KINDS = {
    name: kind
    for kind, table in (
        ("movement", MOVEMENTS), ("table", TABLES), ("matrix", MATRICES),
        ("picture", PICTURES), ("overlay", OVERLAYS),
    )
    for name in table
}  # fmt: skip
"""Operation -> what it changes; neighbours of one kind share a pass."""

Step = tuple[str, float]
"""An operation's name and its amount."""


def apply(
    rgb: Images,
    steps: Iterable[Step],
    rng: np.random.Generator,
    pictures: Pictures,
    epoch: int = 0,
    borders: Sequence[str] = ("reflect",),
) -> Images:
    """Apply the steps in their order.

    Args:
        rgb: uint8 (height, width, 3), RGB, 0 to 255; is not changed.
        steps: Operations and amounts.
        rng: Draws what the amounts leave open.
        pictures: Where overlays come from.
        epoch: Which made-up pictures there are.
        borders: Names in `geometry.BORDERS`; one is drawn for each warp.

    Returns:
        uint8 of the same shape; `rgb` itself where nothing was to be done.
    """
    for kind, neighbours in groupby(steps, lambda step: KINDS[step[0]]):
        if kind == "movement":
            warp = geometry.begin(rgb)
            for name, amount in neighbours:
                MOVEMENTS[name](warp, amount, rng)
            border = borders[int(rng.random() * len(borders))]
            rgb = geometry.resampled(rgb, warp, border, rng)
        elif kind == "table":
            levels = photometry.IDENTITY
            for name, amount in neighbours:
                levels = TABLES[name](levels, amount, rng)
            rgb = photometry.apply_levels(rgb, levels)
        elif kind == "matrix":
            matrix = np.eye(3)
            for name, amount in neighbours:
                matrix = MATRICES[name](amount, rng) @ matrix
            rgb = photometry.apply_matrix(rgb, matrix)
        elif kind == "overlay":
            for name, amount in neighbours:
                own = name in FROM_CELLS
                picture = pictures.cell(rng) if own else pictures.any(rng, epoch)
                rgb = OVERLAYS[name](rgb, amount, rng, picture)
        else:
            for name, amount in neighbours:
                rgb = PICTURES[name](rgb, amount, rng)
    return rgb
