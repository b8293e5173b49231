"""Results of a search: its trials, their Pareto front and parameter importances."""

from typing import Literal

from pydantic import Field

from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact


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
