"""The reference of a run: features of held-out home cells, as they are and distorted."""

import gzip
import json
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from stainproof.data.dataset import Dataset
from stainproof.deployment.distortions import distort
from stainproof.deployment.embedding import Embedding, embed
from stainproof.deployment.properties import PROPERTIES, measure_properties
from stainproof.errors import CheckpointError, DataError
from stainproof.inference.classifier import Classifier
from stainproof.progress import Track, silent
from stainproof.runs.folder import RunFolder

MIN_CELLS = 100
"""A reference of fewer held-out cells is not made: tests against it would find nothing."""
MAX_CELLS = 2000
CELLS_A_DISTORTION = 30
MAX_BYTES = 256 * 10**6
"""Largest size of the file, and of its decompressed content."""


@dataclass(frozen=True)
class Reference:
    """Held-out cells of the home laboratory as the network sees them."""

    weights_sha256: str
    """Hash of the weights that computed the features."""
    home: Embedding
    """N cells as they are."""
    labels: NDArray[np.int64]
    """int64 (N,), positions in the classes of the run."""
    properties: NDArray[np.float32]
    """float32 (N, 7), see `properties.PROPERTIES`."""
    distorted: Embedding
    """M distorted copies of cells."""
    distorted_labels: NDArray[np.int64]
    """int64 (M,)."""
    distortions: NDArray[np.int64]
    """int64 (M,), number of the distortion of each copy."""

    def of_weights(self, sha256: str) -> "Reference":
        """Return the reference for other weights whose features are the same."""
        return replace(self, weights_sha256=sha256)

    def to_bytes(self) -> bytes:
        """Return the content of the file: safetensors, compressed with gzip."""
        arrays = {
            "home.features": self.home.features.astype(np.float16),
            "home.mirrored": self.home.mirrored.astype(np.float16),
            "labels": self.labels.astype(np.int64),
            "properties": self.properties,
            "distorted.features": self.distorted.features.astype(np.float16),
            "distorted.mirrored": self.distorted.mirrored.astype(np.float16),
            "distorted.labels": self.distorted_labels.astype(np.int64),
            "distortions": self.distortions.astype(np.int64),
        }
        content: bytes = safetensors.numpy.save(
            arrays, metadata={"weights_sha256": self.weights_sha256}
        )
        return gzip.compress(content, mtime=0)


def make_reference(
    classifier: Classifier, data: Dataset, seed: int = 0, track: Track = silent
) -> Reference:
    """Compute the reference of a run from labelled cells that it was not trained on.

    Args:
        classifier: One network, not an ensemble.
        data: Held-out home cells, at the network's input size; of more than 2,000 a random subset
            is used.
        seed: Seed of the subset and the distortions.
        track: Shows progress.

    Raises:
        DataError: There are fewer than 100 cells.
        CheckpointError: The network has no features, see `Classifier.features`.
    """
    if len(data) < MIN_CELLS:
        raise DataError(
            f"{data.source}: a reference needs {MIN_CELLS} held-out cells or more, got {len(data)}"
        )
    if len(data) > MAX_CELLS:
        chosen = np.random.default_rng(seed).choice(len(data), MAX_CELLS, replace=False)
        data = data.subset(np.sort(chosen))
    labels = data.labels_in(classifier.classes)
    sets = list(distort(data.images, min(CELLS_A_DISTORTION, len(data) // 8), seed))
    positions = np.concatenate([chosen for _, chosen, _ in sets])
    copies = np.concatenate([images for _, _, images in sets])
    return Reference(
        weights_sha256=classifier.weights_sha256,
        home=embed(classifier, data.images, track),
        labels=labels,
        properties=measure_properties(data.images),
        distorted=embed(classifier, copies, track),
        distorted_labels=labels[positions],
        distortions=np.repeat([number for number, _, _ in sets], [len(c) for _, c, _ in sets]),
    )


def read_reference(run: RunFolder, weights_sha256: str, num_classes: int) -> Reference | None:
    """Read the reference of a run; None if it has none.

    Args:
        run: The run folder.
        weights_sha256: Hash of its weights.
        num_classes: Number of its classes.

    Raises:
        CheckpointError: The file is damaged, was altered or belongs to other weights.
    """
    if not run.reference.exists():
        return None
    compressed = run.read(run.reference, MAX_BYTES)
    try:
        content = _decompress(compressed)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        arrays = safetensors.numpy.load(content)
        reference = _from_arrays(header["__metadata__"]["weights_sha256"], arrays)
    except Exception as error:  # a hostile header raises many types
        raise CheckpointError(f"{run.reference}: not a reference of this version") from error
    _check(reference, run, weights_sha256, num_classes)
    return reference


def _decompress(compressed: bytes) -> bytes:
    """Decompress a file of gzip, at most `MAX_BYTES`."""
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    content = decompressor.decompress(compressed, MAX_BYTES)
    if not decompressor.eof:
        raise ValueError("cut short, or larger than a reference can be")
    return content


def _from_arrays(weights_sha256: str, arrays: dict[str, NDArray[Any]]) -> Reference:
    def part(name: str) -> Embedding:
        return Embedding(
            arrays[f"{name}.features"].astype(np.float32),
            arrays[f"{name}.mirrored"].astype(np.float32),
        )

    return Reference(
        weights_sha256,
        part("home"),
        arrays["labels"],
        arrays["properties"],
        part("distorted"),
        arrays["distorted.labels"],
        arrays["distortions"],
    )


def _check(one: Reference, run: RunFolder, weights_sha256: str, num_classes: int) -> None:
    if one.weights_sha256 != weights_sha256:
        raise CheckpointError(f"{run.reference}: made for other weights; give --reference")
    home, distorted = one.home.features.shape, one.distorted.features.shape
    shapes = (one.home.mirrored.shape, one.distorted.mirrored.shape, one.labels.shape,
              one.properties.shape, one.distorted_labels.shape, one.distortions.shape)  # fmt: skip
    wanted = (home, distorted, home[:1], (home[0], len(PROPERTIES)), distorted[:1], distorted[:1])
    labels = np.concatenate([one.labels.ravel(), one.distorted_labels.ravel()])
    values = (one.home.features, one.home.mirrored, one.properties,
              one.distorted.features, one.distorted.mirrored)  # fmt: skip
    if (
        len(home) != 2
        or shapes != wanted
        or home[0] < MIN_CELLS
        or not distorted[0]
        or labels.dtype != np.int64
        or labels.min() < 0
        or labels.max() >= num_classes
        or not all(np.isfinite(value).all() for value in values)
    ):
        raise CheckpointError(f"{run.reference}: not a reference of this network")
