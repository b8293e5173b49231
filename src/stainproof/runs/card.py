"""The card of a run: classes, preprocessing, network, training data and provenance."""

from typing import Any

from pydantic import Field

from stainproof.config.schema import NetworkConfig, Preprocessing
from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact
from stainproof.runs.history import EpochRecord
from stainproof.runs.upgrade import upgrade_card


class DataSummary(Artefact):
    """What a run learnt from."""

    source: str
    num_images: int
    sha256: str
    """Of names, labels and pixels."""
    split_sha256: str
    class_counts: dict[str, dict[str, int]]
    """Split name -> class name -> number of images."""
    notes: tuple[str, ...]


class Card(Artefact):
    """All that travels with the weights."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: NetworkConfig
    num_parameters: int
    pretrained_sha256: str = ""
    """Of the weights that training began with; empty where they were random."""
    teacher_sha256: str = ""
    """Of the weights whose answers were learnt; empty where there was no teacher."""
    weights_sha256: str
    onnx_sha256: str = ""
    """Of the same network as ONNX; empty until training has ended."""
    int8_sha256: str = ""
    """Of the network in 8 bits; empty until `quantise` has made and checked it."""
    engine: str = "torch"
    """What answers by default: of the engines that were there after training, the fastest."""
    best: EpochRecord
    """The epoch whose weights are kept."""
    num_epochs: int
    stopped: str
    """Why training ended."""
    mean_of: str = ""
    """What the weights are a mean of; empty where they are one epoch's."""
    data: DataSummary
    seed: int
    threads: int
    precision: str
    """Of training steps: `float32`, or `bfloat16` for most of a step's products."""
    provenance: Provenance

    @classmethod
    def upgrade(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON tree of a card of version 2 as one of version 3."""
        return upgrade_card(tree)
