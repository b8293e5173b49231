"""Typed artefacts and their JSON: what one stage writes and the next one reads."""

import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stainproof import files
from stainproof.config import AuditConfig, Config, InputContract, NetworkConfig
from stainproof.errors import CheckpointError
from stainproof.presets import make_config
from stainproof.provenance import Provenance

SCHEMA_VERSION = 2

CARD_FILE, CONFIG_FILE, HISTORY_FILE = "card.json", "config.toml", "history.jsonl"
AUDIT_FOLDER, SPLITS_FILE = "audit", "splits.csv"
BEST_FILE, LAST_FILE, STATE_FILE = "best.safetensors", "last.safetensors", "state.safetensors"
ONNX_FILE, INT8_FILE = "best.onnx", "best.int8.onnx"
EXAMPLES_FOLDER, EPOCHS_FOLDER = "examples", "epochs"
ENSEMBLE_FILE, MEMBERS_FOLDER = "ensemble.json", "members"
EVALUATION_FILE, MISTAKES_FOLDER = "eval.json", "mistakes"

HOME_FOLDER = "home"
HOME_SOURCES = ("validation", "home test")
"""What training calls the images it held out: those that chose the epoch, those kept apart."""


class Artefact(BaseModel):
    """A frozen result with one JSON form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, path: Path) -> None:
        """Write the JSON whole or not at all."""
        files.write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the JSON.

        Raises:
            CheckpointError: The file is missing, no JSON of this kind, or of another version.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: missing or unreadable") from error
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(str(part) for part in fault["loc"]) or "the whole file"
            raise CheckpointError(
                f"{path}: not a {cls.__name__.lower()} file of this version "
                f"({place}: {fault['msg'].lower()})"
            ) from error


class Estimate(Artefact):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """Return for instance `91.2 % (90.1 to 92.3)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


class ClassMetrics(Artefact):
    """One class against the rest. A figure whose denominator is zero is absent."""

    name: str
    num_images: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    precision: Estimate | None


class ReliabilityBin(Artefact):
    """Images whose confidence lies in one bin: how sure, how right."""

    confidence: float
    accuracy: float
    num_images: int


class Mistake(Artefact):
    """A wrong answer given with confidence."""

    name: str
    true: str
    predicted: str
    confidence: float
    picture: str = Field(pattern=r"^\d+\.png$")
    """File name of the picture, in the folder `mistakes` beside the JSON."""


class Evaluation(Artefact):
    """A model measured on one source."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    """Name of the source, its last folder or file name."""
    num_images: int
    data_sha256: str
    weights_sha256: str
    classes: tuple[str, ...]
    """All classes of the model, in the order of its outputs."""
    absent_classes: tuple[str, ...]
    """Classes of the model that the source holds no image of."""
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    expected_calibration_error: Estimate
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts; rows are true classes, columns are predictions, both in the order of `classes`."""
    reliability: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    """The most confident first."""
    notes: tuple[str, ...]
    """What was done to the images while reading them, for instance `3 grey images`."""
    bootstrap_seed: int
    images_per_s: float
    provenance: Provenance

    @property
    def mean_confidence(self) -> float:
        """Mean probability of the predicted class, 0 to 1; needs no label."""
        total = sum(part.confidence * part.num_images for part in self.reliability)
        return total / self.num_images


class EpochRecord(Artefact):
    """One line of `history.jsonl`."""

    epoch: int
    """Counted from 1."""
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    """On the validation split as it is."""
    val_shifted_accuracy: float | None
    """On the validation split as `augment.validation` changes it; absent where it does not."""
    val_shifted_loss: float | None = None
    learning_rate: float
    """At the end of the epoch."""
    images_per_s: float
    elapsed_s: float
    """Since training began, interruptions not counted."""
    augmenting_s: float | None = None
    """Processor seconds that changing the epoch's images took, beside the training itself."""

    def is_finite(self) -> bool:
        """Say whether all its losses are numbers."""
        losses = (self.loss, self.val_loss, self.val_shifted_loss or 0.0)
        return all(map(math.isfinite, losses))


class AuditSummary(Artefact):
    """What an audit looked at and how much it found."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    num_images: int
    listing_sha256: str = ""
    """Of names and labels; empty in audits of earlier versions."""
    num_dropped: int
    """Files that the suggested actions would set aside."""
    findings: dict[str, int]
    """Kind -> number of files."""
    groups: dict[str, int]
    """Kind -> number of groups."""
    class_counts: dict[str, int]
    """Before anything is set aside."""
    class_counts_clean: dict[str, int]
    sizes: dict[str, int]
    """Width x height in the files -> number of images; the ten commonest."""
    qualities: dict[str, tuple[float, float, float]]
    """Figure -> its 1st, 50th and 99th percentile."""
    apart_from: str
    """The second source that was compared; empty where there was none."""
    apart: Estimate | None
    """Area under the curve of a model telling the two sources apart: 0.5 alike, 1 different."""
    settings: AuditConfig
    seconds: float
    notes: tuple[str, ...]
    provenance: Provenance


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
    input: InputContract
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


class Ensemble(Artefact):
    """Networks that vote; each lies in a folder of its own beside this file."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    voting: Literal["soft", "hard"]
    """The mean of their probabilities, or a vote each."""
    members: tuple[Annotated[str, Field(pattern=r"^\d+-[^/\\]*$")], ...] = Field(min_length=2)
    """Names of the folders in `members`."""


class Quantised(Artefact):
    """What the network in 8 bits would lose and gain on this machine."""

    num_images: int
    """That both were measured on; none of them served to calibrate."""
    accuracy: float
    accuracy_int8: float
    times_faster: float
    kept: bool


class Delivered(Artefact):
    """A contest submission that was proven to answer as its run does."""

    runtime: str
    num_bytes: int
    """Of the zip."""
    num_images: int
    """That it was proven on."""
    seconds: float
    """That these took, from the start of Python on."""
    peak_mb: float | None
    """The most memory that it held."""


class Score(Artefact):
    """A contest submission measured by the contest's own programs."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    submission: str
    """File name of the zip."""
    submission_sha256: str
    source: str
    """Name of what it was scored on, with the phase of a contest."""
    num_images: int
    classes: tuple[str, ...]
    accuracy: Estimate
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts; rows are true classes, columns are answers, both in the order of `classes`."""
    seconds: float
    """That answering took, from the start of Python on."""
    peak_mb: float | None
    """The most memory that the submission held, where it could be noted."""
    locked: bool | None
    """Whether the kernel, not Python alone, kept it from other files; where it could be noted."""
    provenance: Provenance


class Experiment(Artefact):
    """One training to be measured beside others."""

    name: str
    """Unlike any other in its queue; names the run folder too."""
    network: str = "light"
    """Name in `presets.NETWORKS`."""
    schedule: str = "quick"
    """Name in `presets.SCHEDULES`."""
    seed: int = 0
    budget_s: float | None = None
    assignments: tuple[str, ...] = ()
    """Texts such as `augment.recipe=simple`."""

    def config(self) -> Config:
        """Return all settings of the training.

        Raises:
            ConfigError: A name is unknown or a value is out of range.
        """
        return make_config(
            network=self.network,
            schedule=self.schedule,
            seed=self.seed,
            budget_s=self.budget_s,
            assignments=self.assignments,
        )


class Row(Artefact):
    """What an experiment showed."""

    experiment: Experiment
    source: str
    """Name of what was learnt from."""
    num_parameters: int
    num_images: int
    """Learnt from, in training and validation split together."""
    listings: dict[str, str] = Field(default_factory=dict)
    """What was learnt from, and `test` with the name of every test -> hash of names and labels;
    empty in rows of earlier versions."""
    best: EpochRecord
    """The epoch whose weights were measured."""
    num_epochs: int
    minutes: float
    """Of training."""
    precision: str = "float32"
    """Of training steps."""
    accuracy: dict[str, Estimate]
    """Test source -> accuracy."""
    balanced_accuracy: dict[str, Estimate]
    confidence: dict[str, float]
    """Test source -> mean confidence, 0 to 1; needs no label."""
    extra: dict[str, float] = Field(default_factory=dict)
    """What the queue's owner measures besides."""
    provenance: Provenance


class Trial(Artefact):
    """One set of settings that a search tried."""

    number: int
    """Counted from 0; names the run folder too."""
    outcome: Literal["running", "finished", "stopped", "failed"]
    """`stopped`: it could no longer be of use, and the rest of its time was saved."""
    reason: str = ""
    """Why it stopped or failed."""
    params: dict[str, bool | int | float | str]
    """What was drawn, under the names of the search."""
    assignments: tuple[str, ...]
    """The same as texts such as `training.epochs=3`."""
    accuracy: float | None = None
    """On changed validation images, of the epoch that is kept."""
    val_accuracy: float | None = None
    """On the validation images as they are, of the same epoch."""
    num_val_images: int = 0
    """That both were measured on."""
    num_parameters: int | None = None
    latency_ms: float | None = None
    """For one image, on one thread, with ONNX Runtime."""
    num_epochs: int = 0
    minutes: float = 0.0
    """Of training."""


class Search(Artefact):
    """What a search has found so far."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    """Learnt from, as it was given."""
    num_images: int
    num_trials: int
    """Asked for."""
    budget_s: float
    """Of each trial."""
    seed: int
    fixed: tuple[str, ...]
    """Assignments that every trial shares."""
    space: dict[str, str]
    """Setting -> what it may be."""
    trials: tuple[Trial, ...]
    preset: int | None
    """The trial with the preset's own settings, where they lie in the space."""
    front: tuple[int, ...]
    """Finished trials that no other one beats or equals in all of accuracy, parameters and latency
    and beats in one; the most accurate first."""
    importances: dict[str, float]
    """Name in `params` -> its share of the variance of accuracy, 0 to 1, the largest first; empty
    while there are too few trials."""
    provenance: Provenance


def read_history(run: Path) -> list[EpochRecord]:
    """Read `history.jsonl` of a run; nothing where there is none.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = run / HISTORY_FILE
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [EpochRecord.model_validate_json(line) for line in lines]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged; not one epoch a line") from error
