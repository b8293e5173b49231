"""Features of images and of their mirrored copies, the input of every estimate."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.inference.classifier import Classifier
from stainproof.inference.tta import tta_views
from stainproof.progress import Track, silent

CHUNK = 128


@dataclass(frozen=True)
class Embedding:
    """Penultimate features of n images."""

    features: NDArray[np.float32]
    """float32 (n, d)."""
    mirrored: NDArray[np.float32]
    """float32 (n, d): of the images mirrored left to right. Answers that differ between the two
    show which cells the network is unsure of."""

    def __len__(self) -> int:
        return len(self.features)

    def subset(self, indices: NDArray[np.int64]) -> "Embedding":
        """Return the rows at these positions."""
        return Embedding(self.features[indices], self.mirrored[indices])


def embed(
    classifier: Classifier, images: Images, track: Track = silent, what: str = "features"
) -> Embedding:
    """Compute the features of images and of their mirrored copies.

    Args:
        classifier: One network, not an ensemble.
        images: uint8 (n, size, size, 3), n at least 1.
        track: Shows progress.
        what: Heading of the progress.

    Raises:
        CheckpointError: The network has no features, see `Classifier.features`.
    """
    pairs = []
    for start in track(range(0, len(images), CHUNK), what, -(-len(images) // CHUNK)):
        some = images[start : start + CHUNK]
        mirrored = np.ascontiguousarray(some[:, :, ::-1])
        pairs.append((classifier.features(some), classifier.features(mirrored)))
    features, of_mirrored = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return Embedding(features, of_mirrored)


def embed_views(
    classifier: Classifier, images: Images, track: Track = silent
) -> NDArray[np.float32]:
    """Compute the features of the 8 flips and rotations of images by 90 degrees.

    A head that is fitted on all of them sees eight times as many cells, and predictions for the
    views of a cell that differ show that the network is unsure of it.

    Args:
        classifier: One network, not an ensemble.
        images: uint8 (n, size, size, 3), n at least 1.
        track: Shows progress.

    Returns:
        float32 (8, n, d), the images as they are first.

    Raises:
        CheckpointError: The network has no features, see `Classifier.features`.
    """
    starts = track(range(0, len(images), CHUNK), "features", -(-len(images) // CHUNK))
    parts = []
    for start in starts:
        views = tta_views(images[start : start + CHUNK], "d4")
        parts.append(np.stack([classifier.features(view) for view in views]))
    return np.concatenate(parts, axis=1)
