"""Unlabelled images of a laboratory, read into memory up to a number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stainproof.config.schema import Preprocessing
from stainproof.data import stream
from stainproof.data.images import Images, Standardise, unchanged
from stainproof.errors import DataError
from stainproof.progress import Say, Track

MAX_IMAGES = 2000


@dataclass(frozen=True)
class UnlabelledImages:
    """Images at the input size of a network."""

    names: tuple[str, ...]
    rgb: Images
    """uint8 (n, size, size, 3)."""
    num_left_out: int
    """Readable images beyond the largest number; those kept are a random subset."""
    errors: tuple[str, ...]
    """Why images could not be read."""


def read_images(
    preprocessing: Preprocessing,
    patterns: Sequence[str],
    seed: int,
    track: Track,
    say: Say,
    standardise: Standardise = unchanged,
) -> UnlabelledImages:
    """Read image files, folders, globs or npz files.

    Args:
        preprocessing: Size and fit of the images.
        patterns: Paths, folders and globs.
        seed: Seed of the subset (reservoir sampling: Vitter 1985, algorithm R).
        track: Shows progress.
        say: Called with notes on what is skipped or left out.
        standardise: Applied to every image before it is cropped and resized.

    Raises:
        DataError: A path matches no image, or none can be read.
    """
    rng = np.random.default_rng(seed)
    paths = stream.find(patterns, say)
    kept: list[tuple[int, str, Images]] = []
    errors, num_read = [], 0
    items = stream.read(paths, preprocessing, standardise=standardise)
    for item in track(items, "reading images", len(paths)):
        if item.rgb is None:
            errors.append(f"{item.name}: {item.error}")
            continue
        place = num_read if num_read < MAX_IMAGES else int(rng.integers(num_read + 1))
        entry = num_read, item.name, item.rgb
        num_read += 1
        if place >= MAX_IMAGES:
            continue
        if place == len(kept):
            kept.append(entry)
        else:
            kept[place] = entry
    if not kept:
        raise DataError(f"{patterns[0]}: no image can be read ({errors[0]})")
    if errors:
        say(f"{len(errors)} images could not be read, the first: {errors[0]}")
    if num_read > MAX_IMAGES:
        say(f"{MAX_IMAGES:,} of {num_read:,} images are used, drawn at random")
    kept.sort(key=lambda entry: entry[0])
    return UnlabelledImages(
        names=tuple(name for _, name, _ in kept),
        rgb=np.stack([rgb for _, _, rgb in kept]),
        num_left_out=num_read - len(kept),
        errors=tuple(errors),
    )
