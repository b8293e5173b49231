"""Classifier two-sample test: whether two sources have the same distribution."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stainproof.audit.features import describe
from stainproof.data.images import Images
from stainproof.errors import DataError

MAX_IMAGES = 2000
MIN_IMAGES = 20
NUM_RESAMPLES = 400


def check_enough(num_ours: int, num_theirs: int) -> None:
    """Refuse to compare sets that are too small.

    Raises:
        DataError: One of them has fewer than 20 images.
    """
    if min(num_ours, num_theirs) < MIN_IMAGES:
        raise DataError(
            f"comparing two sources needs {MIN_IMAGES} images of each, "
            f"got {num_ours} and {num_theirs}"
        )


def two_sample_auc(ours: Images, theirs: Images, seed: int) -> tuple[float, float, float]:
    """Measure how well a classifier separates two sets of images (Lopez-Paz & Oquab 2017).

    Args:
        ours: uint8 (N, 48, 48, 3).
        theirs: uint8 (M, 48, 48, 3).
        seed: Seed of samples, folds and the bootstrap.

    Returns:
        Cross-validated area under the ROC curve, 0.5 (alike) to 1 (different), and the ends of its
        95 % bootstrap interval.

    Raises:
        DataError: One of them has fewer than 20 images.
    """
    check_enough(len(ours), len(theirs))
    rng = np.random.default_rng(seed)
    parts = [
        images[np.sort(rng.choice(len(images), min(MAX_IMAGES, len(images)), replace=False))]
        for images in (ours, theirs)
    ]
    features = describe(np.concatenate(parts))
    origin = np.repeat([0, 1], [len(part) for part in parts])
    order = rng.permutation(len(origin))
    features, origin = features[order], origin[order]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    scores = cross_val_predict(model, features, origin, cv=4, method="decision_function")
    resampled = []
    for _ in range(NUM_RESAMPLES):
        drawn = rng.integers(len(origin), size=len(origin))
        if 0 < origin[drawn].sum() < len(drawn):
            resampled.append(roc_auc_score(origin[drawn], scores[drawn]))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(roc_auc_score(origin, scores)), float(low), float(high)
