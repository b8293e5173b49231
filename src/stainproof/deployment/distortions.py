"""Distorted copies of held-out cells: the shifts that the estimate of accuracy is fitted on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.augment.operations import apply
from stainproof.augment.overlays import OverlaySource
from stainproof.config.recipes import FAMILIES, LIMITS, RANGES
from stainproof.data.images import Images

OPERATIONS = tuple(name for name in RANGES if name not in FAMILIES["symmetries"])
STRENGTHS = (0.4, 0.8, 1.2)
"""Multiples of the far end of the range of an operation in `config.recipes.RANGES`."""
NUM_MIXED = 30
"""Sets with two or three operations."""
MIXED_STRENGTHS = (0.4, 1.2)


@dataclass(frozen=True)
class Distortion:
    """Operations with their strengths: multiples of the far end of their ranges."""

    operations: tuple[tuple[str, float], ...]

    def apply(self, rgb: Images, rng: np.random.Generator, overlays: OverlaySource) -> Images:
        """Distort one image; uint8 (height, width, 3)."""
        drawn = []
        for name, strength in self.operations:
            low, high = RANGES[name]
            end = low if low < 0 and rng.random() < 0.5 else high
            drawn.append((name, float(np.clip(strength * end, *LIMITS[name]))))
        return apply(rgb, drawn, rng, overlays)


def make_distortions(seed: int) -> list[Distortion]:
    """Return every operation at each of `STRENGTHS`, and `NUM_MIXED` mixtures."""
    rng = np.random.default_rng(seed)
    single = [Distortion(((name, strength),)) for name in OPERATIONS for strength in STRENGTHS]
    mixed = []
    for _ in range(NUM_MIXED):
        chosen = np.sort(rng.choice(len(OPERATIONS), int(rng.integers(2, 4)), replace=False))
        strengths = rng.uniform(*MIXED_STRENGTHS, size=len(chosen)).tolist()
        names = (OPERATIONS[index] for index in chosen)
        mixed.append(Distortion(tuple(zip(names, strengths, strict=True))))
    return [*single, *mixed]


def distort(
    images: Images, num_a_set: int, seed: int
) -> Iterator[tuple[int, NDArray[np.int64], Images]]:
    """Yield every distortion's number, the positions of the cells it is applied to, and the copies.

    Args:
        images: uint8 (N, height, width, 3).
        num_a_set: Number of cells for each distortion, at most N.
        seed: Seed of mixtures, cells and magnitudes.
    """
    overlays = OverlaySource(images, "", seed)
    for number, distortion in enumerate(make_distortions(seed)):
        rng = np.random.default_rng((seed, number))
        chosen = rng.choice(len(images), num_a_set, replace=False)
        copies = [distortion.apply(images[index], rng, overlays) for index in chosen]
        yield number, chosen, np.stack(copies)
