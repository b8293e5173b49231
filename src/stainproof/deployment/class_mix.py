"""The class mix of unlabelled images, corrected for the errors of the network."""

import numpy as np
from numpy.typing import NDArray

from stainproof.deployment.result import ClassMix
from stainproof.runs.artefact import Estimate

MAX_STEPS = 500
TOLERANCE = 1e-6
NUM_RESAMPLES = 200
PRIOR_CELLS = 1.0
"""Cells of every class that are added to each side, so that no share becomes exactly 0."""
Floats = NDArray[np.float64]


def estimate_class_mix(
    probs: Floats, training_mix: Floats, classes: tuple[str, ...], seed: int
) -> tuple[ClassMix, ...]:
    """Estimate the share of every class by expectation maximisation (Saerens et al. 2002).

    Its assumption is that only the class mix changed, not what cells of a class look like. The
    estimate is never applied to predictions.

    Args:
        probs: Calibrated probabilities, float64 (n, classes).
        training_mix: Shares of the classes in training, float64 (classes,).
        classes: Names.
        seed: Seed of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    shares = expectation_maximisation(probs, training_mix)
    num = len(probs)
    resampled = np.stack(
        [
            expectation_maximisation(probs[rng.integers(num, size=num)], training_mix, start=shares)
            for _ in range(NUM_RESAMPLES)
        ]
    )
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    predicted = np.bincount(probs.argmax(axis=1), minlength=len(classes)) / num
    return tuple(
        ClassMix(
            name=name,
            share=Estimate(
                value=float(shares[k]),
                low=float(min(low[k], shares[k])),
                high=float(max(high[k], shares[k])),
            ),
            predicted=float(predicted[k]),
        )
        for k, name in enumerate(classes)
    )


def expectation_maximisation(
    probs: Floats, training_mix: Floats, start: Floats | None = None
) -> Floats:
    """Return the shares of the classes, float64 (classes,), that sum to 1.

    Args:
        probs: Calibrated probabilities, float64 (n, classes).
        training_mix: Shares in training, float64 (classes,).
        start: Shares to start from; by default those of training.
    """
    prior = np.maximum(training_mix, 1e-6) / np.maximum(training_mix, 1e-6).sum()
    shares = prior if start is None else start
    for _ in range(MAX_STEPS):
        posterior = probs * (shares / prior)
        posterior /= posterior.sum(axis=1, keepdims=True)
        total = posterior.sum(axis=0) + PRIOR_CELLS / len(shares)
        updated = total / total.sum()
        if np.abs(updated - shares).max() < TOLERANCE:
            break
        shares = updated
    return np.asarray(updated)
