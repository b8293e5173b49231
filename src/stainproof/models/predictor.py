"""Weights and their input contract as one thing that answers for images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images, to_square
from stainproof.errors import CheckpointError, DataError
from stainproof.models.engines import DEFAULT, Engine, installed, open_engine
from stainproof.results import CARD_FILE, Card

BATCH_SIZE = 64


class Classifier:
    """A trained classifier of blood-cell images."""

    def __init__(self, engine: Engine, card: Card):
        """Put engine and card together; `load` is the usual way."""
        self.engine = engine
        self.card = card

    @classmethod
    def load(cls, run: str | Path, engine: str = "auto") -> Self:
        """Read the kept weights of a run folder.

        Args:
            run: The run folder.
            engine: What computes: `onnxruntime`, `openvino` or `torch`, which give the same
                answers to within 1e-4, or `int8`, which `quantise` makes; `auto` is the run's
                own, found fastest after training, or ONNX Runtime where it is not installed.

        Raises:
            CheckpointError: The folder is missing or incomplete, or its weights were altered.
            ConfigError: The engine is unknown or not installed.
        """
        folder = Path(run)
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such run folder")
        card = Card.read(folder / CARD_FILE)
        if engine == "auto":
            engine = card.engine if card.engine in installed() else DEFAULT
        return cls(open_engine(engine, folder, card), card)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.card.classes

    def predict_proba(self, images: Images | Sequence[Images]) -> NDArray[np.float32]:
        """Return the probability of every class for every image.

        Args:
            images: uint8 RGB, 0 to 255: one image (height, width, 3), a batch (N, height, width,
                3), or a list of images of any sizes. They are brought to the network's size as
                the input contract says.

        Returns:
            float32 (N, classes), rows sum to 1; N is 1 for one image.

        Raises:
            DataError: An array has another type or shape.
        """
        squares = self._squares(images)
        if not len(squares):
            return np.empty((0, len(self.classes)), dtype=np.float32)
        batches = np.array_split(squares, -(-len(squares) // BATCH_SIZE))
        return np.concatenate([self.engine(batch) for batch in batches])

    def predict(self, images: Images | Sequence[Images]) -> list[str]:
        """Return the name of the likeliest class for every image; see `predict_proba`."""
        return [self.classes[index] for index in self.predict_proba(images).argmax(axis=1)]

    def _squares(self, images: Images | Sequence[Images]) -> Images:
        singles = [images] if isinstance(images, np.ndarray) and images.ndim == 3 else images
        size = self.card.input.size_px
        squares = np.empty((len(singles), size, size, 3), dtype=np.uint8)
        for index, rgb in enumerate(singles):
            squares[index] = to_square(_checked(rgb, index), self.card.input)
        return squares


def _checked(rgb: object, index: int) -> Images:
    if not isinstance(rgb, np.ndarray):
        raise DataError(f"image {index}: expected a numpy array, got {type(rgb).__name__}")
    if rgb.dtype != np.uint8:
        raise DataError(
            f"image {index}: expected uint8 with values 0 to 255, got {rgb.dtype}; "
            "scale floats in [0, 1] by 255 first"
        )
    if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise DataError(f"image {index}: expected (height, width, 3) in RGB, got {rgb.shape}")
    return rgb
