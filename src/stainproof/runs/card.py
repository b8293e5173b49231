"""The card of a run: classes, preprocessing, network, training data and provenance."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from stainproof.config.schema import NetworkConfig, Preprocessing
from stainproof.errors import shortened
from stainproof.labels import TABLE_COLUMNS
from stainproof.provenance import Provenance
from stainproof.runs.appearance import Appearance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Described
from stainproof.runs.history import EpochRecord
from stainproof.runs.upgrade import upgrade_card

MAX_CLASS_NAME = 200
"""Longest name of a class in characters."""


class DataSummary(Artefact):
    """The training data of a run."""

    source: str
    num_images: int
    sha256: str
    """Hash of names, labels and pixels."""
    split_sha256: str
    class_counts: dict[str, dict[str, int]]
    """Split name -> class name -> number of images."""
    notes: tuple[str, ...]


class Card(Described):
    """Everything that is stored with the weights."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: NetworkConfig
    num_parameters: int
    pretrained_sha256: str = ""
    """Hash of the pretrained weights, or of those of the model in `start_from`; empty if the
    initial weights were random."""
    start_from: str = ""
    """Name of the model whose weights training started from; empty: none."""
    teacher_sha256: str = ""
    """Hash of the teacher's weights; empty without a teacher."""
    weights_sha256: str
    onnx_sha256: str = ""
    """Hash of the ONNX model; empty until training has ended."""
    int8_sha256: str = ""
    """Hash of the quantised model; empty until `quantise` has kept one."""
    calibration_sha256: str = ""
    """Hash of `calibration.json`; empty if the probabilities are not calibrated."""
    engine: str = "torch"
    """Default inference engine: the fastest of those installed after training."""
    best: EpochRecord
    """The epoch whose weights are kept."""
    num_epochs: int
    stopped: str
    """Why training ended."""
    mean_of: str = ""
    """Which weights were averaged; empty if they are those of one epoch."""
    adapted: str = ""
    """From which weights and with which labels `adapt` made the run; empty if it was trained."""
    adapted_lab: str = ""
    """What the laboratory profile changed that the cells of `adapt` were standardised by; empty
    without one."""
    data: DataSummary
    seed: int
    threads: int
    precision: str
    """Precision of training steps: `float32`, or `bfloat16` for most operations of a step."""
    appearance: Appearance | None = None
    """What was measured on the training images, with which profiles compare other laboratories."""
    provenance: Provenance

    @field_validator("classes")
    @classmethod
    def _usable_names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < max(len(classes), 1):
            raise ValueError("must be one class or more, each once")
        for name in classes:
            if name in TABLE_COLUMNS:
                raise ValueError(f"{name!r} is a column of tables of predictions")
            is_path = name.startswith("/") or ".." in name.split("/")
            if is_path or not name or len(name) > MAX_CLASS_NAME or "\0" in name:
                raise ValueError(f"{shortened(repr(name))} is not usable as the name of a folder")
        return classes

    @model_validator(mode="after")
    def _counts_of_its_classes(self) -> Self:
        if not self.data.class_counts:
            raise ValueError("data.class_counts: must have one split or more")
        for split, counts in self.data.class_counts.items():
            if counts.keys() != set(self.classes):
                raise ValueError(f"data.class_counts.{split}: not the classes of the card")
        if not 1 <= self.best.epoch <= self.num_epochs:
            raise ValueError(f"best.epoch: must be 1 to {self.num_epochs}, got {self.best.epoch}")
        return self

    def describe(self) -> dict[str, str]:
        """Return classes, network, training and validation accuracy as text."""
        best, shifted = self.best, self.best.val_augmented_accuracy
        accuracy = f"{100 * best.val_accuracy:.1f} %"
        if shifted is not None:
            accuracy += f", augmented {100 * shifted:.1f} %"
        size_px = self.preprocessing.size_px
        epochs = "1 epoch" if self.num_epochs == 1 else f"{self.num_epochs} epochs"
        ended = f"{self.stopped} after {epochs}; kept epoch {best.epoch}"
        facts = {
            "classes": ", ".join(self.classes),
            "network": f"{self.num_parameters:,} parameters, input {size_px} x {size_px} px",
            "training": self.mean_of or ended,
            "validation accuracy": accuracy,
            "data": f"{self.data.source}, {self.data.num_images} images",
            "engine": self.engine,
        }
        return facts | ({"adapted": self.adapted} if self.adapted else {})

    @classmethod
    def upgrade(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON tree of a card of version 2 as one of version 3."""
        return upgrade_card(tree)
