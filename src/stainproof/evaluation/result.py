"""The result of an evaluation: metrics with intervals, per class and overall, and mistakes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Described, Estimate, html_table

EVALUATION_FILE, MISTAKES_FOLDER = "eval.json", "mistakes"


class ClassMetrics(Artefact):
    """Metrics of one class against the rest; None if the denominator is zero."""

    name: str
    num_images: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    precision: Estimate | None


class ReliabilityBin(Artefact):
    """Images whose confidence lies in one bin."""

    confidence: float
    accuracy: float
    num_images: int


class Mistake(Artefact):
    """A confident wrong prediction."""

    name: str
    true: str
    predicted: str
    confidence: float
    picture: str = Field(pattern=r"^\d+\.png$")
    """File name of the picture in the folder `mistakes` beside the JSON file."""


class Evaluation(Described):
    """The evaluation of a model on one source."""

    schema_version: int = Field(SCHEMA_VERSION, ge=2, le=SCHEMA_VERSION)
    source: str
    """Name of the source: its last folder or file name."""
    num_images: int
    data_sha256: str
    weights_sha256: str
    classes: tuple[str, ...]
    """All classes of the model, in the order of its outputs."""
    absent_classes: tuple[str, ...]
    """Classes of the model without an image in the source."""
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    expected_calibration_error: Estimate
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts; rows are true classes, columns are predictions, both in the order of `classes`."""
    reliability: tuple[ReliabilityBin, ...]
    temperature: float = 1.0
    """By which the probabilities are calibrated; 1: they are not, and the next two are empty."""
    uncalibrated_error: float | None = None
    """Expected calibration error without the calibration."""
    uncalibrated_reliability: tuple[ReliabilityBin, ...] = ()
    mistakes: tuple[Mistake, ...]
    """The most confident first."""
    notes: tuple[str, ...]
    """What was changed while reading the images, for instance `3 images: grey`."""
    bootstrap_seed: int
    interval_unit: Literal["images", "groups"] = "images"
    """What the intervals treat as independent: images, or groups of them (patients or slides)."""
    num_groups: int = 0
    """Number of patients or slides; 0 if the source does not name them."""
    num_in_training: int = 0
    """Images whose pixels equal those of a training image, rotated and mirrored copies included; 0
    if the run does not hold the hashes of its training images."""
    images_per_s: float
    provenance: Provenance

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        num = len(self.classes)
        if self.num_images < 1:
            raise ValueError(f"num_images: must be 1 or more, got {self.num_images}")
        if tuple(one.name for one in self.per_class) != self.classes:
            raise ValueError("per_class: not the classes of the evaluation")
        if len(self.confusion) != num or {len(row) for row in self.confusion} != {num}:
            raise ValueError(f"confusion: must have {num} rows and columns")
        if min(map(min, self.confusion)) < 0 or sum(map(sum, self.confusion)) != self.num_images:
            raise ValueError(f"confusion: must be counts of {self.num_images} images")
        return self

    def describe(self) -> dict[str, str]:
        """Return source and metrics as text."""
        metrics = ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error")
        facts = {"source": self.source, "images": f"{self.num_images}"}
        if self.absent_classes:
            facts["classes without images"] = ", ".join(self.absent_classes)
        facts |= {name.replace("_", " "): getattr(self, name).percent() for name in metrics}
        if self.uncalibrated_error is not None:
            facts["without calibration"] = f"{100 * self.uncalibrated_error:.1f} %"
        return facts

    def _repr_html_(self) -> str:
        """Return HTML tables of the metrics and of the classes, which Jupyter shows."""
        return super()._repr_html_() + html_table(
            ("class", "images", "sensitivity", "specificity", "precision"),
            [
                (
                    one.name,
                    f"{one.num_images}",
                    *(value.percent() if value else "-" for value in of),
                )
                for one in self.per_class
                for of in [(one.sensitivity, one.specificity, one.precision)]
            ],
        )

    @property
    def mean_confidence(self) -> float:
        """Mean probability of the predicted class, 0 to 1."""
        total = sum(part.confidence * part.num_images for part in self.reliability)
        return total / self.num_images

    @property
    def interval_basis(self) -> str:
        """Return over what the intervals are, as one sentence without a full stop."""
        if self.interval_unit == "groups":
            return f"95 % intervals over {self.num_groups:,} patients or slides"
        if self.num_groups == 1:
            return "95 % intervals over images: the source has one patient or slide only"
        return "95 % intervals over images: the source names no patients or slides"

    @property
    def training_copies(self) -> str:
        """Return how many images are copies of training images, as one sentence."""
        return (
            f"{self.num_in_training:,} of {self.num_images:,} images are copies of training "
            "images: the figures are not those of unseen images"
        )
