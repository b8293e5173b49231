"""The summary of an audit: what was examined, and how many findings of each kind."""

from typing import Any

from pydantic import Field

from stainproof.config.schema import AuditConfig
from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact, Estimate
from stainproof.runs.upgrade import upgrade_audit


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
    compared_with: str
    """The second source that was compared; empty where there was none."""
    two_sample_auc: Estimate | None
    """Area under the curve of a model telling the two sources apart: 0.5 alike, 1 different."""
    settings: AuditConfig
    seconds: float
    notes: tuple[str, ...]
    provenance: Provenance

    @classmethod
    def upgrade(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON tree of a summary of version 2 as one of version 3."""
        return upgrade_audit(tree)
