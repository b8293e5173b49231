"""Results of a contest submission: what building it showed, and how it scored."""

from pydantic import Field

from stainproof.evaluation.result import ClassMetrics
from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Estimate


class SubmissionResult(Artefact):
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
    """That inference took, from the start of Python on."""
    peak_mb: float | None
    """The most memory that the submission held, where it could be noted."""
    locked: bool | None
    """Whether the kernel, not Python alone, kept it from other files; where it could be noted."""
    provenance: Provenance
