"""Run a trained network with Keras 3."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray


class Network:
    """Images uint8 (n, size, size, 3) to probabilities float32 (n, classes)."""

    def __init__(self, weights: Path) -> None:
        """Load a `.keras` file."""
        self.model = keras.saving.load_model(weights, compile=False)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of all classes; rows sum to 1."""
        return np.asarray(keras.ops.convert_to_numpy(self.model(images, training=False)))
