"""Results of contest submissions: of writing one with its test, and of scoring one."""

from pydantic import Field

from stainproof.evaluation.result import ClassMetrics
from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Estimate


class SubmissionResult(Artefact):
    """A contest submission, verified to predict what its run predicts."""

    runtime: str
    num_bytes: int
    """Size of the zip file."""
    num_images: int
    """Number of images that it was verified on."""
    seconds: float
    """Wall time of their inference, including the start of Python."""
    peak_mb: float | None
    """Largest resident set size of any of its processes, in MiB."""


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
    """Counts; rows are true classes, columns are predictions, both in the order of `classes`."""
    seconds: float
    """Time of inference, including the start of Python."""
    peak_mb: float | None
    """Largest resident set size of any process of the submission, in MiB."""
    sandboxed: bool
    """Whether it ran in the sandbox: without network, other files and other processes."""
    provenance: Provenance
