"""Classifier of a contest submission: `Model().predict(X)` returns the label of every image.

The other files: `model.json` (preprocessing, test-time augmentation, voting), `weights/` (trained
networks) and `parts/` (the steps of a prediction). Needs numpy and the runtime of the networks.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # a grader may load this file from any folder

from parts.frequency_filters import apply_filter  # noqa: E402
from parts.network import Network  # noqa: E402
from parts.resize import resize  # noqa: E402
from parts.scaling import scale  # noqa: E402
from parts.standardise import standardise  # noqa: E402
from parts.tta import tta_views  # noqa: E402
from parts.voting import vote  # noqa: E402
from parts.white_balance import balance_white  # noqa: E402

BATCH_SIZE = 64
IMAGE_SHAPE = (96, 96, 3)


class Model:
    """One trained network, or an ensemble."""

    def __init__(self) -> None:
        """Load `model.json` and the networks."""
        self.config = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
        self.networks = [Network(HERE / member["weights"]) for member in self.config["members"]]

    def predict(self, X: NDArray[np.uint8]) -> NDArray[np.int64]:  # noqa: N803
        """Return the label of every image.

        Args:
            X: uint8 (n, 96, 96, 3), RGB, 0 to 255.

        Returns:
            int64 (n,), 0 to 7 in the order of BloodMNIST.

        Raises:
            ValueError: `X` has another type or shape.
        """
        if X.dtype != np.uint8 or X.shape[1:] != IMAGE_SHAPE:
            raise ValueError(f"X must be uint8 (n, 96, 96, 3), got {X.dtype} {X.shape}")
        batches = (X[start : start + BATCH_SIZE] for start in range(0, len(X), BATCH_SIZE))
        predictions = [self.predict_proba(batch).argmax(axis=1) for batch in batches]
        labels: NDArray[np.int64] = np.array(self.config["labels"], dtype=np.int64)
        return labels[np.concatenate(predictions)] if predictions else labels[:0]

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of a batch, float32 (n, classes); rows sum to 1."""
        # To the largest input size first, from which the members are resized when the run predicts.
        images = self.resize(standardise(images), self.config["size_px"])
        members = [self.predict_member(number, images) for number in range(len(self.networks))]
        probs: NDArray[np.float32] = vote(members, self.config["voting"])
        return probs

    def predict_member(self, number: int, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the calibrated probabilities of one network, the mean over its views."""
        network, member = self.networks[number], self.config["members"][number]
        images = self.resize(images, member["size_px"])
        images = apply_filter(images, self.config["filter"], self.config["cutoff"])
        views = [network(view) for view in tta_views(images, self.config["tta"])]
        probs: NDArray[np.float32] = scale(
            np.mean(views, axis=0, dtype=np.float32), member["temperature"]
        )
        return probs[:, member["order"]]

    def resize(self, images: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
        """Return images of another size, with the white point of the training images if set."""
        images, target = resize(images, size_px), self.config["white_point"]
        return np.stack([balance_white(rgb, target) for rgb in images]) if target else images
