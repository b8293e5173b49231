"""Single doctored images, found by a classifier trained on synthetic overlays.

No example is needed: images of the set are blended with synthetic pictures (as DRAEM does for
defects of products, Zavrtanik et al. 2021, section 3.1), and a support vector machine is trained to
separate blended images from the others. Every image is scored by a model that was not trained on
it. Images found in a first round are excluded from the training of a second round.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stainproof.audit.features import describe
from stainproof.audit.whitening import SIDE_PX, Floats, Whitener
from stainproof.data.images import Images, paste
from stainproof.synthetic.pictures import make_picture

NUM_TRAINING_IMAGES = 4000
NUM_FOLDS = 2
NUM_LOOKS = 2
NUM_BANDS = 16
NUM_REGIONS = 6
WEIGHTS = (0.1, 0.7)
PARTIAL_SHARE = 0.5
MAX_SHARE = 0.5
"""If more of a set looks blended, nothing can be separated."""
CHUNK = 4096


@dataclass(frozen=True)
class SingleOverlay:
    """An image that looks blended."""

    index: int
    score: float
    """Signed distance from the SVM's decision boundary, in margins."""


def find_single_overlays(
    whitener: Whitener, images: Images, candidates: NDArray[np.int64], threshold: float, seed: int
) -> list[SingleOverlay]:
    """Find images that look blended with an overlay that no other image has.

    Args:
        whitener: Fitted to the images.
        images: uint8 (N, height, width, 3), square; may be a memory map.
        candidates: int64 (M,), ascending: positions to train on and to score.
        threshold: Distance from the decision boundary, in margins, above which an image is found.
        seed: Seed of folds, synthetic pictures and blending.

    Returns:
        The images found, by position.
    """
    scores = np.full(len(candidates), -np.inf)
    for _ in range(NUM_LOOKS):
        scores = _decision_values(whitener, images, candidates, scores <= threshold, seed)
        if (scores > threshold).mean() > MAX_SHARE:
            return []
    found = np.flatnonzero(scores > threshold)
    return [SingleOverlay(int(candidates[row]), float(scores[row])) for row in found]


def _decision_values(
    whitener: Whitener,
    images: Images,
    candidates: NDArray[np.int64],
    sound: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.float64]:
    """Return each candidate's distance from the decision boundary of a model not trained on it."""
    rng = np.random.default_rng(seed)
    scores = np.empty(len(candidates))
    for train, test in KFold(NUM_FOLDS, shuffle=True, random_state=seed).split(candidates):
        train = train[sound[train]]
        chosen = rng.choice(train, min(NUM_TRAINING_IMAGES // NUM_FOLDS, len(train)), replace=False)
        own = images[candidates[np.sort(chosen)]]
        blended = np.stack([blend(rgb, rng) for rgb in own])
        features = np.concatenate([describe_blending(whitener, part) for part in (own, blended)])
        model = make_pipeline(StandardScaler(), SVC(C=2.0, gamma=2e-4))
        model.fit(features, np.repeat([0, 1], len(own)))
        for start in range(0, len(test), CHUNK):
            part = test[start : start + CHUNK]
            scores[part] = model.decision_function(
                describe_blending(whitener, images[candidates[part]])
            )
    return scores


def blend(rgb: Images, rng: np.random.Generator) -> Images:
    """Blend an image with a synthetic picture, as a whole or within a rectangle.

    Args:
        rgb: uint8 (height, width, 3).
        rng: Draws picture, weight and rectangle.
    """
    weight = rng.uniform(*WEIGHTS)
    picture = make_picture(rgb.shape, rng)
    laid = cv2.addWeighted(rgb, 1 - weight, picture, weight, 0)
    if rng.random() >= PARTIAL_SHARE:
        return np.asarray(laid, dtype=np.uint8)
    height, width = rgb.shape[:2]
    top, left = int(rng.random() * 0.5 * height), int(rng.random() * 0.5 * width)
    bottom, right = (int(rng.uniform(0.3, 0.8) * side) for side in (height, width))
    window = slice(top, top + bottom), slice(left, left + right)
    return paste(rgb, np.asarray(laid, dtype=np.uint8), window)


def describe_blending(whitener: Whitener, images: Images) -> Floats:
    """Compute image features, extended by where and at what scale an image differs from the set.

    Args:
        whitener: Fitted to the set.
        images: uint8 (N, 48, 48, 3).

    Returns:
        float32 (N, 969): `features.describe`, then logarithms of whitened energies by scale and by
        position.
    """
    coordinates = whitener.coordinates(images)
    bands = [band.mean(axis=1) for band in np.array_split(coordinates**2, NUM_BANDS, axis=1)]
    pixels = (coordinates @ whitener.back).reshape(len(images), SIDE_PX, SIDE_PX, 3) ** 2
    side = SIDE_PX // NUM_REGIONS
    regions = pixels.reshape(-1, NUM_REGIONS, side, NUM_REGIONS, side, 3).mean(axis=(2, 4))
    energies = np.concatenate([np.stack(bands, axis=1), regions.reshape(len(images), -1)], axis=1)
    return np.concatenate([describe(images), np.log(energies + 1e-4)], axis=1)
