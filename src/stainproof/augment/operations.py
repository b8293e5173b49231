"""The registry of augmentation operations, and their efficient application to one image.

Every operation takes an amount (0 changes nothing) and a random generator. Neighbouring geometric
operations are composed into one warp, lookup tables into one table, colour matrices into one
matrix; the others process the image directly.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from stainproof.augment import geometry, occlusion, optics, overlays, photometry
from stainproof.augment.overlays import OverlayPictures
from stainproof.data.images import Images

Operation = TypeVar("Operation", bound=Callable[..., object])


def _named(*operations: Operation) -> dict[str, Operation]:
    return {operation.__name__: operation for operation in operations}


WARP_OPERATIONS = _named(
    geometry.rotate, geometry.zoom, geometry.aspect_ratio, geometry.shear, geometry.translate,
    geometry.perspective, geometry.elastic,
)  # fmt: skip
LOOKUP_OPERATIONS = _named(
    photometry.brightness, photometry.contrast, photometry.gamma, photometry.rgb_shift,
    photometry.density, photometry.white_balance, photometry.tone_curve, photometry.posterize,
    photometry.solarize,
)  # fmt: skip
COLOUR_MATRIX_OPERATIONS = _named(photometry.saturation, photometry.hue, photometry.channel_shuffle)
IMAGE_OPERATIONS = _named(
    geometry.d4, geometry.flip, photometry.stain, photometry.equalize,
    photometry.autocontrast, optics.blur, optics.defocus, optics.motion_blur, optics.sharpen,
    optics.random_filter, optics.downscale, optics.noise, optics.salt_and_pepper, optics.jpeg,
    occlusion.cutout, occlusion.grid_mask,
)  # fmt: skip
OVERLAY_OPERATIONS = _named(
    overlays.blend, overlays.multiply, overlays.amplitude_swap, overlays.detail_swap
)
FROM_CELLS = frozenset({"amplitude_swap", "detail_swap"})
"""Overlay operations that take other cells only."""

KINDS = {
    name: kind
    for kind, table in (
        ("movement", WARP_OPERATIONS), ("table", LOOKUP_OPERATIONS),
        ("matrix", COLOUR_MATRIX_OPERATIONS),
        ("picture", IMAGE_OPERATIONS), ("overlay", OVERLAY_OPERATIONS),
    )
    for name in table
}  # fmt: skip
"""Operation -> its kind; neighbouring operations of one kind share a pass over the image."""

Step = tuple[str, float]
"""An operation's name and its amount."""


def apply(
    rgb: Images,
    steps: Iterable[Step],
    rng: np.random.Generator,
    pictures: OverlayPictures,
    epoch: int = 0,
    borders: Sequence[str] = ("reflect",),
) -> Images:
    """Apply operations in their order.

    Args:
        rgb: uint8 (height, width, 3), RGB, 0 to 255; not modified.
        steps: Operations and amounts.
        rng: Random generator.
        pictures: Source of overlay images.
        epoch: Selects the synthetic overlay images.
        borders: Names in `geometry.BORDERS`; one is drawn for each warp.

    Returns:
        uint8 of the same shape; `rgb` itself if there are no operations.
    """
    for kind, neighbours in groupby(steps, lambda step: KINDS[step[0]]):
        if kind == "movement":
            warp = geometry.begin(rgb)
            for name, amount in neighbours:
                WARP_OPERATIONS[name](warp, amount, rng)
            border = borders[int(rng.random() * len(borders))]
            rgb = geometry.resampled(rgb, warp, border, rng)
        elif kind == "table":
            levels = photometry.IDENTITY
            for name, amount in neighbours:
                levels = LOOKUP_OPERATIONS[name](levels, amount, rng)
            rgb = photometry.apply_levels(rgb, levels)
        elif kind == "matrix":
            matrix = np.eye(3)
            for name, amount in neighbours:
                matrix = COLOUR_MATRIX_OPERATIONS[name](amount, rng) @ matrix
            rgb = photometry.apply_matrix(rgb, matrix)
        elif kind == "overlay":
            for name, amount in neighbours:
                own = name in FROM_CELLS
                picture = pictures.cell(rng) if own else pictures.any(rng, epoch)
                rgb = OVERLAY_OPERATIONS[name](rgb, amount, rng, picture)
        else:
            for name, amount in neighbours:
                rgb = IMAGE_OPERATIONS[name](rgb, amount, rng)
    return rgb
