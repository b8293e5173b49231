"""Run a trained network with ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Network:
    """Images uint8 (n, size, size, 3) to probabilities float32 (n, classes)."""

    def __init__(self, weights: Path) -> None:
        """Load an `.onnx` file."""
        os.environ.setdefault(
            "ORT_DISABLE_TELEMETRY", "1"
        )  # it is read when the module is imported
        import onnxruntime

        self.session = onnxruntime.InferenceSession(
            str(weights), providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of all classes; rows sum to 1."""
        (probs,) = self.session.run(None, {"images": images})
        return np.asarray(probs)
