"""Refit the last layer without labels, on predictions that agree between views of a cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from stainproof.deployment.choice import MAX_HOME_LOSS, replay
from stainproof.deployment.heads import Cells, Floats, Head, Labels, fit_head
from stainproof.deployment.reference import Reference
from stainproof.errors import DataError
from stainproof.evaluation.metrics import balanced_accuracy_of

MIN_IMAGES = 32
MIN_CLASSES, MIN_A_CLASS = 3, 3
"""Classes that must be predicted confidently, and cells of each; others are not fitted on."""
MIN_CONFIDENCE = 0.75
STRENGTH = 0.03
"""Of the distance to the old head, see `heads.fit_head`."""


@dataclass(frozen=True)
class SelfTrained:
    """A head that was refitted without labels."""

    head: Head
    predicted: Labels
    """int64 (n,): by the old head, from the mean over the views."""
    is_used: NDArray[np.bool_]
    """bool (n,): the cells that the head was fitted on."""
    home_before: float
    """Balanced accuracy on home cells that were not replayed, except for some distorted copies."""
    home_after: float
    home_labels: Labels
    """int64 (m,), of these home cells."""
    home_probs: Floats
    """float64 (m, classes), of these home cells by the new head, not calibrated."""


def self_train(
    old: Head,
    features: NDArray[np.float32],
    reference: Reference,
    temperature: float,
    seed: int = 0,
) -> SelfTrained:
    """Refit a head on its own confident predictions (Lee 2013, "Pseudo-Label").

    The prediction for a cell is the mean over its views, and a cell is used if the probability of
    its predicted class is 0.75 or more. The weight of a cell is its confidence divided by the
    number of all cells of its predicted class, used or not. So a class weighs no more because it is
    frequent, but less if few of its cells are confident; statistics of a whole batch harm under
    another mix of classes. Home cells are replayed; half of them are kept out and measure what the
    home laboratory loses. Distorted copies are replayed of any home cell, also of the half that is
    kept out (see `choice.choose_head`).

    Args:
        old: The head of the run.
        features: Of every view, float32 (views, n, d), the first as the cells are.
        reference: Home cells and distorted copies.
        temperature: Of the run.
        seed: Seed of the replayed cells.

    Raises:
        DataError: There are fewer than 32 cells, fewer than 3 classes are predicted confidently for
            3 cells or more, or the home laboratory loses more than 1.5 points.
    """
    num = features.shape[1]
    if num < MIN_IMAGES:
        raise DataError(f"adapting without labels needs {MIN_IMAGES} images or more, got {num}")
    probs = softmax(old.logits(features) / temperature, axis=2).mean(axis=0)
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    is_used = confidence >= MIN_CONFIDENCE
    counts = np.bincount(predicted[is_used], minlength=len(old.bias))
    is_used &= counts[predicted] >= MIN_A_CLASS
    num_classes = len(np.unique(predicted[is_used]))
    if num_classes < MIN_CLASSES:
        raise DataError(
            f"adapting without labels needs {MIN_CLASSES} classes with {MIN_A_CLASS} confident "
            f"predictions or more each, got {num_classes}"
        )
    weights = confidence / np.bincount(predicted)[predicted]
    new = Cells.of_views(
        features[:, is_used], predicted[is_used], weights[is_used] / weights[is_used].sum()
    )
    rng = np.random.default_rng(seed)
    replayed, measured = np.array_split(rng.permutation(len(reference.labels)), 2)
    head = fit_head(old, new, replay(reference, replayed, rng), STRENGTH)
    labels = reference.labels[measured]
    before, after = (one.logits(reference.home.features[measured]) for one in (old, head))
    found = SelfTrained(
        head,
        predicted,
        is_used,
        balanced_accuracy_of(labels, before),
        balanced_accuracy_of(labels, after),
        labels,
        softmax(after, axis=1),
    )
    loss = found.home_before - found.home_after
    if loss > MAX_HOME_LOSS:
        raise DataError(
            f"adapting without labels may cost home cells {100 * MAX_HOME_LOSS:.1f} points of "
            f"balanced accuracy, got {100 * loss:.1f}"
        )
    return found
