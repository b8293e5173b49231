"""The scale head: a small network that says how far a picture of a cell is magnified.

It was trained without labels on crops of PBC cells as in BloodMNIST (200 px of a CellaVision DM96,
Acevedo et al. 2020), see `benchmarks/shift/train_scale_head.py`: given a crop, it says how much
smaller the crop is than the whole image. Every crop reaches it at 40 x 40 px, so that sharpness
says nothing about magnification.
"""

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from stainproof.data.images import Images

INPUT_PX = 40
"""Height and width of the network's input."""
LOG_MAGNIFICATIONS = np.linspace(0, np.log(2.67), 24, dtype=np.float32)
"""Natural logarithm of the magnification that each output stands for; 0: a whole PBC image."""
FRACTIONS = (1.0, 0.82, 0.67, 0.55, 0.45, 0.37, 0.3, 0.25)
"""Sides of the central crops of an image as fractions of its side."""
LOG_SCALES = np.linspace(-1.3, 1.05, 236)
"""Log magnifications of an image among which the most likely one is chosen."""
UNSURE = 0.3
"""Share of a uniform distribution in that of a crop: the chance that the network is misled."""
BATCH_SIZE = 64


def measure_magnifications(squares: Images) -> NDArray[np.float64]:
    """Measure by how much the cells of each image are larger than those of PBC.

    A central crop of fraction f is magnified by 1 / f more than the whole image. The magnification
    of an image is that under which the predictions for all its crops are most likely together;
    where a crop is beyond the range of the network, the nearest magnification in it counts.

    Args:
        squares: uint8 (n, side, side, 3).

    Returns:
        float64 (n,), natural logarithms: 0 as large as in PBC, above 0 larger.
    """
    likelihood = np.zeros((len(squares), len(LOG_SCALES)))
    for fraction in FRACTIONS:
        probs = _predict(_central_crops(squares, fraction))
        expected = probs @ _interpolation(LOG_SCALES - np.log(fraction))
        likelihood += np.log((1 - UNSURE) * expected + UNSURE / len(LOG_MAGNIFICATIONS))
    return np.asarray(LOG_SCALES[likelihood.argmax(axis=1)])


def _interpolation(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (bins, n) that interpolate a distribution at n log magnifications."""
    bins = np.eye(len(LOG_MAGNIFICATIONS))
    return np.stack([np.interp(wanted, LOG_MAGNIFICATIONS, one) for one in bins])


def _central_crops(squares: Images, fraction: float) -> Images:
    """Return central crops resized to the network's input, uint8 (n, 40, 40, 3)."""
    side = squares.shape[1]
    kept = max(1, round(fraction * side))
    start = (side - kept) // 2
    inner = squares[:, start : start + kept, start : start + kept]
    how = cv2.INTER_AREA if kept >= INPUT_PX else cv2.INTER_CUBIC
    return np.stack([cv2.resize(one, (INPUT_PX, INPUT_PX), interpolation=how) for one in inner])


def _predict(crops: Images) -> NDArray[np.float64]:
    """Return the distribution over `LOG_MAGNIFICATIONS` of each crop, float64 (n, bins)."""
    head = _open_head()
    batch = crops.transpose(0, 3, 1, 2).astype(np.float32) / 255
    logits = []
    for start in range(0, len(batch), BATCH_SIZE):
        head.setInput(batch[start : start + BATCH_SIZE])
        logits.append(head.forward().astype(np.float64))
    return np.asarray(softmax(np.concatenate(logits), axis=1))


@cache
def _open_head() -> cv2.dnn.Net:
    """Return the network that the package contains."""
    model = (files("stainproof.shift") / "scale_head.onnx").read_bytes()
    return cv2.dnn.readNetFromONNX(np.frombuffer(model, dtype=np.uint8))
