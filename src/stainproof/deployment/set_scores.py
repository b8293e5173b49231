"""Label-free scores of a set of images that go with its accuracy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

MAX_TRANSPORTED = 400
"""Images of a set that `confidence_optimal_transport` assigns; the cost is cubic."""
Floats = NDArray[np.floating]


def mean_confidence(probs: Floats) -> float:
    """Return the mean of the largest probabilities; of calibrated ones it is CBPE's estimate.

    CBPE: confidence-based performance estimation, as in NannyML's documentation.
    """
    return float(probs.max(axis=1).mean())


class AverageThresholdedConfidence:
    """ATC: the share of images above the confidence that fits the home accuracy (Garg 2022)."""

    def __init__(self, probs: Floats, is_right: NDArray[np.bool_]):
        """Find the threshold on labelled home images: (n, classes), bool (n,)."""
        self.threshold = float(np.quantile(_negative_entropy(probs), 1 - is_right.mean()))

    def __call__(self, probs: Floats) -> float:
        """Return the estimated accuracy of a set, 0 to 1."""
        return float((_negative_entropy(probs) >= self.threshold).mean())


class DifferenceOfConfidence:
    """DoC: home accuracy less the loss of mean confidence (Guillory et al. 2021)."""

    def __init__(self, probs: Floats, is_right: NDArray[np.bool_]):
        """Measure labelled home images: (n, classes), bool (n,)."""
        self.gap = float(is_right.mean()) - mean_confidence(probs)

    def __call__(self, probs: Floats) -> float:
        """Return the estimated accuracy of a set, 0 to 1."""
        return float(np.clip(mean_confidence(probs) + self.gap, 0, 1))


def confidence_optimal_transport(probs: Floats, home_mix: Floats, seed: int = 0) -> float:
    """Return 1 less the cost of moving the predictions to one-hot labels of the home mix.

    COT (Lu et al. 2023, "Characterizing out-of-distribution error via optimal transport"), with
    half the L1 distance as cost.

    Args:
        probs: (n, classes); of more than 400 rows a random subset is used.
        home_mix: Shares of the classes at home, (classes,).
        seed: Seed of the subset.
    """
    if len(probs) > MAX_TRANSPORTED:
        chosen = np.random.default_rng(seed).choice(len(probs), MAX_TRANSPORTED, replace=False)
        probs = probs[chosen]
    ends = np.round(np.cumsum(home_mix) / np.sum(home_mix) * len(probs)).astype(int)
    labels = np.searchsorted(ends, np.arange(len(probs)), side="right")
    cost = 1 - probs[:, np.minimum(labels, probs.shape[1] - 1)]
    rows, columns = linear_sum_assignment(cost)
    return float(1 - cost[rows, columns].mean())


def nuclear_norm(probs: Floats) -> float:
    """Return the nuclear norm of the probabilities, scaled to 0 to 1 (Deng et al. 2023)."""
    num, classes = probs.shape
    return float(np.linalg.norm(probs, "nuc") / np.sqrt(num * min(num, classes)))


def published_estimates(
    home_logits: Floats, home_labels: NDArray[np.int64], home_mix: Floats, temperature: float
) -> dict[str, Callable[[Floats], float]]:
    """Return published estimates of accuracy: name -> function of logits (n, classes).

    Args:
        home_logits: Logits of labelled home images, (N, classes).
        home_labels: int64 (N,).
        home_mix: Shares of the classes at home.
        temperature: Fitted at home; logits are divided by it.
    """
    home = softmax(home_logits / temperature, axis=1)
    is_right = home.argmax(axis=1) == home_labels
    atc, doc = AverageThresholdedConfidence(home, is_right), DifferenceOfConfidence(home, is_right)
    accuracy = float(is_right.mean())

    def on_probs(estimate: Callable[[Floats], float]) -> Callable[[Floats], float]:
        return lambda logits: estimate(softmax(logits / temperature, axis=1))

    return {
        "source validation": lambda logits: accuracy,
        "mean confidence": lambda logits: mean_confidence(softmax(logits, axis=1)),
        "CBPE": on_probs(mean_confidence),
        "ATC": on_probs(atc),
        "DoC": on_probs(doc),
        "COT": on_probs(lambda probs: confidence_optimal_transport(probs, home_mix)),
    }


def _negative_entropy(probs: Floats) -> Floats:
    return np.asarray((probs * np.log(np.maximum(probs, 1e-12))).sum(axis=1))
