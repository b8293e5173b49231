"""The predictions' criterion: the zoom at which a classifier tells the images apart best.

The mutual information between image and predicted class, I = H(mean of p) - mean of H(p) (Bridle
et al. 1992, "Unsupervised classifiers, mutual information and 'phantom targets'"), is large where
the predictions are certain and differ between images. It needs a mixture of classes: of a source
with one class it prefers the zoom at which that class is taken for several.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.progress import Track, silent
from stainproof.shift.lab import Lab

Predict = Callable[[Sequence[Images]], NDArray[np.float32]]
"""Maps n images uint8 (height, width, 3) to probabilities (n, classes)."""
ZOOMS = tuple(np.round(np.exp(np.linspace(np.log(0.5), np.log(2.2), 13)), 3).tolist())


@dataclass(frozen=True)
class Preference:
    """Which zoom the predictions prefer."""

    scale: float
    gain: float
    """Mutual information at this zoom minus that without zoom, in nats."""


def preferred_zoom(
    squares: Sequence[Images], predict: Predict, lab: Lab, track: Track = silent
) -> Preference:
    """Return the zoom of the largest mutual information.

    Args:
        squares: Images, each uint8 (side, side, 3).
        predict: The classifier without a laboratory profile.
        lab: Its white points are applied; its scale is replaced.
        track: Shows progress.
    """
    found = []
    for zoom in track(ZOOMS, "trying zooms", len(ZOOMS)):
        zoomed = lab.model_copy(update={"scale": zoom, "trusted": True})
        found.append(mutual_information(predict([zoomed.standardise(rgb) for rgb in squares])))
    best = int(np.argmax(found))
    unchanged = float(np.interp(0.0, np.log(ZOOMS), found))
    return Preference(ZOOMS[best], found[best] - unchanged)


def mutual_information(probs: NDArray[np.float32]) -> float:
    """Return the mutual information between image and predicted class in nats.

    Args:
        probs: (n, classes), rows sum to 1.
    """
    return float(_entropy(probs.mean(axis=0)) - _entropy(probs).mean())


def _entropy(probs: NDArray[np.float32]) -> NDArray[np.float64]:
    positive = np.maximum(probs.astype(np.float64), 1e-12)
    return np.asarray(-(positive * np.log(positive)).sum(axis=-1))
