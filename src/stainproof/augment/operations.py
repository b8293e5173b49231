"""The registry of augmentation operations, and their efficient application to one image.

Every operation takes a magnitude (0: identity) and a random generator. Neighbouring geometric
operations are composed into one warp, lookup tables into one table, colour matrices into one
matrix; the others process the image directly.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from stainproof.augment import geometry, occlusion, optics, overlays, photometry
from stainproof.augment.overlays import OverlaySource
from stainproof.data.images import Images

Operation = TypeVar("Operation", bound=Callable[..., object])


def _by_name(*operations: Operation) -> dict[str, Operation]:
    return {operation.__name__: operation for operation in operations}


WARP_OPERATIONS = _by_name(
    geometry.rotate, geometry.zoom, geometry.aspect_ratio, geometry.shear, geometry.translate,
    geometry.perspective, geometry.elastic,
)  # fmt: skip
LOOKUP_OPERATIONS = _by_name(
    photometry.brightness, photometry.contrast, photometry.gamma, photometry.rgb_shift,
    photometry.density, photometry.white_balance, photometry.tone_curve, photometry.posterize,
    photometry.solarize,
)  # fmt: skip
COLOUR_MATRIX_OPERATIONS = _by_name(
    photometry.saturation, photometry.hue, photometry.channel_shuffle
)
IMAGE_OPERATIONS = _by_name(
    geometry.d4, geometry.flip, photometry.stain, photometry.equalize,
    photometry.autocontrast, optics.blur, optics.defocus, optics.motion_blur, optics.sharpen,
    optics.random_filter, optics.downscale, optics.noise, optics.salt_and_pepper, optics.jpeg,
    occlusion.cutout, occlusion.grid_mask,
)  # fmt: skip
OVERLAY_OPERATIONS = _by_name(
    overlays.blend, overlays.multiply, overlays.amplitude_swap, overlays.detail_swap
)
CELL_OVERLAY_OPERATIONS = frozenset({"amplitude_swap", "detail_swap"})
"""Overlay operations whose overlay is always another cell."""

OPERATION_KINDS = {
    name: kind
    for kind, table in (
        ("warp", WARP_OPERATIONS), ("lookup", LOOKUP_OPERATIONS),
        ("colour matrix", COLOUR_MATRIX_OPERATIONS),
        ("image", IMAGE_OPERATIONS), ("overlay", OVERLAY_OPERATIONS),
    )
    for name in table
}  # fmt: skip
"""Operation -> its kind; neighbouring operations of one kind share a pass over the image."""

SampledOperation = tuple[str, float]
"""Name of an operation and its magnitude."""


def apply(
    rgb: Images,
    operations: Iterable[SampledOperation],
    rng: np.random.Generator,
    overlay_source: OverlaySource,
    epoch: int = 0,
    borders: Sequence[str] = ("reflect",),
) -> Images:
    """Apply operations in their order.

    Args:
        rgb: uint8 (height, width, 3), RGB, 0 to 255; not modified.
        operations: Names and magnitudes.
        rng: Random generator.
        overlay_source: Provides the overlay images.
        epoch: Selects the synthetic overlay images.
        borders: Names in `geometry.BORDERS`; one is drawn for each warp.

    Returns:
        uint8 of the same shape; `rgb` itself if there are no operations.
    """
    for kind, neighbours in groupby(operations, lambda operation: OPERATION_KINDS[operation[0]]):
        if kind == "warp":
            warp = geometry.identity_warp(rgb)
            for name, magnitude in neighbours:
                WARP_OPERATIONS[name](warp, magnitude, rng)
            border = borders[int(rng.random() * len(borders))]
            rgb = geometry.resample(rgb, warp, border, rng)
        elif kind == "lookup":
            table = photometry.IDENTITY
            for name, magnitude in neighbours:
                table = LOOKUP_OPERATIONS[name](table, magnitude, rng)
            rgb = photometry.apply_lookup_table(rgb, table)
        elif kind == "colour matrix":
            matrix = np.eye(3)
            for name, magnitude in neighbours:
                matrix = COLOUR_MATRIX_OPERATIONS[name](magnitude, rng) @ matrix
            rgb = photometry.apply_matrix(rgb, matrix)
        elif kind == "overlay":
            for name, magnitude in neighbours:
                if name in CELL_OVERLAY_OPERATIONS:
                    overlay = overlay_source.sample_cell(rng)
                else:
                    overlay = overlay_source.sample(rng, epoch)
                rgb = OVERLAY_OPERATIONS[name](rgb, magnitude, rng, overlay)
        else:
            for name, magnitude in neighbours:
                rgb = IMAGE_OPERATIONS[name](rgb, magnitude, rng)
    return rgb
