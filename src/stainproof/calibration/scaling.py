"""Temperature scaling: one number that makes probabilities match the share of right predictions.

SciPy is imported where a temperature is fitted: predictions need NumPy only.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
PRIOR_DEVIATION = 0.5
"""Standard deviation of the logarithm of a temperature around the one known before."""
SMALLEST = float(np.finfo(np.float32).tiny)

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def scale(probs: Floats, temperature: float) -> NDArray[np.float32]:
    """Divide the logits behind probabilities by a temperature.

    The logits are the logarithms of the probabilities up to a constant of each image, which the
    softmax removes. So the result is that of dividing the network's last layer by the temperature
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2). The classes of an
    image keep their order, and `1 / temperature` reverses it.

    Args:
        probs: (N, classes), rows sum to 1. Zeros, of quantised networks, count as the smallest
            normal float32.
        temperature: Above 1 for less confidence, below 1 for more.

    Returns:
        float32 (N, classes), rows sum to 1.
    """
    if temperature == 1:
        return np.asarray(probs, dtype=np.float32)
    logits = _logits(probs) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def fit_temperature(samples: Sequence[tuple[Labels, Floats]], known: float = 1.0) -> float:
    """Return the temperature of the highest posterior probability.

    It maximises the likelihood of the labels (Guo et al. 2017) under a log-normal prior around the
    temperature known before, so few or only right predictions cannot move it without limit.

    Args:
        samples: Labels int64 (N,) and uncalibrated probabilities (N, classes) of one or more sets
            of images. Each set has the same weight as the first, whatever its number of images.
        known: The temperature known before; 1 for an uncalibrated network.

    Returns:
        A temperature between `MIN_TEMPERATURE` and `MAX_TEMPERATURE`.
    """
    from scipy.optimize import minimize_scalar

    weight = len(samples[0][0]) / len(samples)
    sets = [(labels, _logits(probs)) for labels, probs in samples]

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        fit = sum(_cross_entropy(labels, inverse * logits) for labels, logits in sets)
        distance = (log_temperature - math.log(known)) / PRIOR_DEVIATION
        return weight * fit + 0.5 * distance**2

    bounds = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.clip(math.exp(found.x), MIN_TEMPERATURE, MAX_TEMPERATURE))


def _logits(probs: Floats) -> NDArray[np.float64]:
    return np.log(np.maximum(probs.astype(np.float64), SMALLEST))


def _cross_entropy(labels: Labels, logits: NDArray[np.float64]) -> float:
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())
