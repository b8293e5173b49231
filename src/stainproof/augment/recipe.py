"""Which changes an image gets: drawn from the seed, the epoch and the image's position alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stainproof.augment import geometry, overlay, photometry
from stainproof.config import AugmentConfig
from stainproof.data.images import Images
from stainproof.data.pictures import shapes

Change = Callable[[Images, np.random.Generator, float], Images]

CHANGES: dict[str, Change] = {
    "warp": geometry.warp,
    "light": photometry.light,
    "stain": photometry.stain,
    "colour": photometry.colour,
    "quantise": photometry.quantise,
    "focus": photometry.focus,
    "storage": photometry.storage,
    "noise": photometry.noise,
    "occlude": geometry.occlude,
}
"""In the order in which a slide, a microscope and a file would make them."""

OVERLAY = "overlay"
FAMILIES = (OVERLAY, *CHANGES)
MOST_CHANGES = 4


class Augmenter:
    """Gives batches of changed images; the same seed, epoch and position give the same bytes."""

    def __init__(self, images: Images, settings: AugmentConfig, seed: int):
        """Remember what to change.

        Args:
            images: uint8 (N, height, width, 3); never modified. Overlays borrow from them too.
            settings: Recipe and strength.
            seed: Of every draw.
        """
        self.images = images
        self.settings = settings
        self.seed = seed

    def batch(self, positions: NDArray[np.int64], epoch: int) -> Images:
        """Return changed copies of the images at these positions, uint8 (n, height, width, 3)."""
        batch = self.images[positions]
        if self.settings.recipe == "none":
            return batch
        for slot, position in enumerate(positions.tolist()):
            rng = np.random.default_rng((self.seed, epoch, position))
            turned = geometry.turn(batch[slot], rng)
            batch[slot] = turned if self.settings.recipe == "turns" else self._vary(turned, rng)
        return batch

    def _vary(self, rgb: Images, rng: np.random.Generator) -> Images:
        """Apply none to four families, in the order of `FAMILIES`."""
        num_changes = int(rng.integers(MOST_CHANGES + 1))
        drawn = set(rng.permutation(len(FAMILIES))[:num_changes].tolist())
        for index, family in enumerate(FAMILIES):
            if index not in drawn:
                continue
            if family == OVERLAY:
                rgb = overlay.blend(rgb, self._picture(rgb.shape, rng), rng, self.settings.strength)
            else:
                rgb = CHANGES[family](rgb, rng, self.settings.strength)
        return rgb

    def _picture(self, shape: tuple[int, ...], rng: np.random.Generator) -> Images:
        if rng.random() < 0.7:
            return shapes(shape, rng)
        return geometry.turn(self.images[rng.integers(len(self.images))], rng)
