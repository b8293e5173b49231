"""The last linear layer of a network: refit on a few labelled cells of another laboratory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

if TYPE_CHECKING:
    from stainproof.inference.classifier import Classifier

MAX_STEPS, TOLERANCE = 60, 1e-5
"""Of the optimisation; a smaller tolerance takes twice as long for the same predictions."""
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Head:
    """A linear layer from features to logits."""

    weight: Floats
    """float64 (classes, d)."""
    bias: Floats
    """float64 (classes,)."""

    @classmethod
    def of(cls, classifier: "Classifier") -> "Head":
        """Return the last layer of a classifier of one network."""
        extractor = classifier.extractor
        return cls(extractor.weight.astype(np.float64), extractor.bias.astype(np.float64))

    def logits(self, features: NDArray[np.floating]) -> Floats:
        """Map features (..., d) to logits float64 (..., classes)."""
        return np.asarray(features @ self.weight.T + self.bias)


@dataclass(frozen=True)
class Cells:
    """Features of labelled cells with a weight each."""

    features: NDArray[np.float32]
    """float32 (n, d)."""
    labels: Labels
    """int64 (n,)."""
    weights: Floats
    """float64 (n,)."""

    @classmethod
    def balanced(cls, features: NDArray[np.float32], labels: Labels) -> "Cells":
        """Weight cells so that every class present has the same weight, in sum 1."""
        return cls(features, labels, balanced_weights(labels))

    @classmethod
    def of_views(cls, features: NDArray[np.float32], labels: Labels, weights: Floats) -> "Cells":
        """Take features (views, n, d) of n cells; the views of a cell share its weight."""
        num = len(features)
        return cls(np.concatenate(features), np.tile(labels, num), np.tile(weights / num, num))


def balanced_weights(labels: Labels) -> Floats:
    """Return weights float64 (n,) that sum to 1, with the same sum for every class present."""
    counts = np.bincount(labels)
    weights = 1.0 / counts[labels]
    return np.asarray(weights / weights.sum())


def fit_head(old: Head, new: Cells, home: Cells, strength: float) -> Head:
    """Fit a head that stays near the old one.

    Minimises the weighted cross-entropy on labelled cells of both laboratories plus
    `strength * |new head - old head|^2` on features of standard deviation 1 (L2-SP: Li et al. 2018,
    "Explicit Inductive Bias for Transfer Learning"). The home cells are a replay: without them the
    network forgets its own laboratory.

    Args:
        old: The head of the run.
        new: Labelled cells of the other laboratory.
        home: Cells of the home laboratory.
        strength: Weight of the distance, above 0.
    """
    mean, deviation = home.features.mean(axis=0), home.features.std(axis=0) + 1e-3
    inputs = np.concatenate([new.features, home.features])
    x = np.column_stack([(inputs - mean) / deviation, np.ones(len(inputs))]).astype(np.float32)
    labels = np.concatenate([new.labels, home.labels])
    weights = np.concatenate([new.weights, home.weights])
    start = np.column_stack([old.weight * deviation, old.bias + old.weight @ mean])
    rows = np.arange(len(labels))

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(start.shape)
        logits = x @ parameters.T.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        probs = np.exp(logits)
        totals = probs.sum(axis=1, keepdims=True)
        value = -weights @ (logits[rows, labels] - np.log(totals[:, 0]))
        probs /= totals
        probs[rows, labels] -= 1
        away = parameters - start
        slope = (probs * weights[:, None].astype(np.float32)).T @ x + 2 * strength * away
        return float(value + strength * (away**2).sum()), slope.astype(np.float64).ravel()

    found = minimize(
        loss,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_STEPS, "ftol": TOLERANCE},
    )
    fitted = found.x.reshape(start.shape)
    weight = fitted[:, :-1] / deviation
    return Head(weight, fitted[:, -1] - weight @ mean)
