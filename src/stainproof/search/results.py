"""Results of a search: its trials, their Pareto front and parameter importances."""

from typing import Literal

from pydantic import Field

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact


class Trial(Artefact):
    """One trial of a search."""

    number: int
    """Counted from 0; also the name of the run folder."""
    outcome: Literal["running", "finished", "stopped", "failed"]
    """`stopped`: ended early because it could not reach the Pareto front."""
    reason: str = ""
    """Why it stopped or failed."""
    params: dict[str, bool | int | float | str]
    """The sampled parameters."""
    assignments: tuple[str, ...]
    """The parameters as assignments such as `training.epochs=3`."""
    accuracy: float | None = None
    """Accuracy on the augmented validation set, of the epoch that is kept."""
    val_accuracy: float | None = None
    """Accuracy on the validation images, of the same epoch."""
    num_val_images: int = 0
    """Number of images of both."""
    num_parameters: int | None = None
    latency_ms: float | None = None
    """Latency of one image on one thread with ONNX Runtime."""
    num_epochs: int = 0
    minutes: float = 0.0
    """Training time."""


class Search(Artefact):
    """The results of a search so far."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    """The training source as it was given."""
    num_images: int
    num_trials: int
    """Number of trials requested."""
    budget_s: float
    """Seconds of each trial."""
    seed: int
    fixed: tuple[str, ...]
    """Assignments that all trials share."""
    space: dict[str, str]
    """Setting -> its range as text."""
    trials: tuple[Trial, ...]
    preset: int | None
    """Number of the trial with the preset's own settings, if they lie in the space."""
    front: tuple[int, ...]
    """Finished trials on the Pareto front of accuracy, parameters and latency, the most accurate
    first."""
    importances: dict[str, float]
    """Parameter -> its share of the variance of accuracy, 0 to 1, the largest first; empty while
    there are too few trials.
    """
    provenance: Provenance
