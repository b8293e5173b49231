"""Label issues: labels with a low predicted probability in cross-validation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stainproof.audit.features import describe
from stainproof.data.images import Images

NUM_FOLDS = 4
MIN_PER_CLASS = 20
MAX_TRAINING_IMAGES = 16_000
CHUNK = 4096


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is probably wrong."""

    index: int
    probability: float
    """Cross-validated probability of the given label."""
    predicted_class: int
    """The class with the highest probability."""


def find_label_issues(
    small: Images, labels: NDArray[np.int64], min_label_probability: float, seed: int
) -> list[LabelIssue]:
    """Find labels that a model trained on the other images contradicts.

    Logistic regression gives cross-validated probabilities. cleanlab's `find_label_issues`
    with `filter_by="both"` (Northcutt et al. 2021) proposes images; those with a probability below
    the threshold are issues.

    Args:
        small: uint8 (N, 48, 48, 3).
        labels: int64 (N,).
        min_label_probability: Threshold of the probability of the given label.
        seed: Seed of the folds.

    Returns:
        The issues, lowest probability first. Classes with fewer than 20 images are not checked.
    """
    from cleanlab.filter import find_label_issues

    checked = np.flatnonzero(np.bincount(labels)[labels] >= MIN_PER_CLASS)
    classes, compact = np.unique(labels[checked], return_inverse=True)
    if len(classes) < 2:
        return []
    probs = _probabilities(small if len(checked) == len(small) else small[checked], compact, seed)
    issues = find_label_issues(compact, probs, filter_by="both", n_jobs=1)
    own_probs = probs[np.arange(len(compact)), compact]
    below = np.flatnonzero(issues & (own_probs < min_label_probability))
    return [
        LabelIssue(
            int(checked[index]), float(own_probs[index]), int(classes[probs[index].argmax()])
        )
        for index in below[np.argsort(own_probs[below], kind="stable")]
    ]


def _probabilities(small: Images, labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return cross-validated probabilities of every class."""
    rng = np.random.default_rng(seed)
    probs = np.empty((len(labels), int(labels.max()) + 1))
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(np.zeros(len(labels)), labels):
        if len(train) > MAX_TRAINING_IMAGES:
            train = np.sort(rng.choice(train, MAX_TRAINING_IMAGES, replace=False))
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300))
        model.fit(describe(small[train]), labels[train])
        for start in range(0, len(test), CHUNK):
            part = test[start : start + CHUNK]
            probs[part] = model.predict_proba(describe(small[part]))
    return probs
