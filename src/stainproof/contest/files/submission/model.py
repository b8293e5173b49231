"""The contest's classifier: `Model().predict(X)` gives the class of every image.

Beside this file lie `model.json` (how images are looked at), `weights/` (the trained networks) and
`parts/` (one file a step). Nothing else is needed but numpy and what computes the networks.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # a grader may load this file from anywhere

from parts.frequency_filters import apply_filter  # noqa: E402
from parts.network import Network  # noqa: E402
from parts.squares import to_squares  # noqa: E402
from parts.tta import tta_views  # noqa: E402
from parts.voting import vote  # noqa: E402

BATCH_SIZE = 64


class Model:
    """One trained network, or several that vote."""

    def __init__(self) -> None:
        """Read what lies beside this file."""
        self.how = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
        self.networks = [Network(HERE / member["weights"]) for member in self.how["members"]]

    def predict(self, X: NDArray[np.uint8]) -> NDArray[np.int64]:  # noqa: N803
        """Return the class of every image.

        Args:
            X: uint8 (n, height, width, 3), RGB, 0 to 255; the contest's images are 96 by 96.

        Returns:
            int64 (n,), 0 to 7 in the order of BloodMNIST.
        """
        if X.dtype != np.uint8 or X.ndim != 4 or X.shape[3] != 3:
            raise ValueError(f"X must be uint8 (n, height, width, 3), got {X.dtype} {X.shape}")
        batches = (X[start : start + BATCH_SIZE] for start in range(0, len(X), BATCH_SIZE))
        answers = [self.probabilities(batch).argmax(axis=1) for batch in batches]
        labels: NDArray[np.int64] = np.array(self.how["labels"], dtype=np.int64)
        return labels[np.concatenate(answers)] if answers else labels[:0]

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, classes) for a batch; rows sum to 1."""
        squares = to_squares(images, self.how["size_px"], self.how["fit"])
        answers = [self.ask(number, squares) for number in range(len(self.networks))]
        probs: NDArray[np.float32] = vote(answers, self.how["voting"])
        return probs

    def ask(self, number: int, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one network's probabilities: filter the images, average over their views."""
        network, member = self.networks[number], self.how["members"][number]
        squares = to_squares(squares, member["size_px"], member["fit"])
        squares = apply_filter(squares, self.how["filter"], self.how["cutoff"])
        answers = [network(view) for view in tta_views(squares, self.how["tta"])]
        probs: NDArray[np.float32] = np.mean(answers, axis=0, dtype=np.float32)
        return probs[:, member["order"]]
