"""Likely wrong labels: classes that a model which never saw the image is sure to be others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stainproof.data.features import describe
from stainproof.data.images import Images

NUM_FOLDS = 4
FEWEST_A_CLASS = 20
MOST_FITTED = 20_000
NUM_COMPONENTS = 96


@dataclass(frozen=True)
class Suspect:
    """An image whose label is hardly believed."""

    index: int
    belief: float
    """Probability that cross-validation gives to the stated label."""
    likelier: int
    """The class that it believes instead."""


def find_suspects(
    small: Images, labels: NDArray[np.int64], least_belief: float, seed: int
) -> list[Suspect]:
    """Find labels that a model trained on the other images hardly believes.

    Logistic regression on turn-free features, cross-validated; cleanlab's self-confidence
    (Northcutt et al. 2021, "Confident Learning") ranks the labels.

    Args:
        small: uint8 (N, 48, 48, 3).
        labels: int64 (N,).
        least_belief: Probability below which a label is suspect.
        seed: Of the folds.

    Returns:
        The suspects, worst first; none where a class has fewer than 20 images.
    """
    from cleanlab.rank import get_label_quality_scores

    counts = np.bincount(labels)
    if len(labels) == 0 or (counts > 0).sum() < 2 or counts[counts > 0].min() < FEWEST_A_CLASS:
        return []
    classes, compact = np.unique(labels, return_inverse=True)
    features = describe(small)
    num_components = min(NUM_COMPONENTS, *features.shape)
    model = make_pipeline(
        StandardScaler(),
        PCA(num_components, whiten=True, random_state=seed),
        LogisticRegression(C=0.1, max_iter=300),
    )
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    probs = cross_val_predict(model, features, compact, cv=folds, method="predict_proba")
    beliefs = get_label_quality_scores(compact, probs, method="self_confidence")
    worst = np.flatnonzero(beliefs < least_belief)
    return [
        Suspect(int(index), float(beliefs[index]), int(classes[probs[index].argmax()]))
        for index in worst[np.argsort(beliefs[worst], kind="stable")]
    ]
