"""The summary of an audit: what was examined, and how many findings of each kind."""

from typing import Any

from pydantic import Field

from stainproof.config.schema import AuditConfig
from stainproof.provenance import Provenance
from stainproof.runs.artefact import SCHEMA_VERSION, Described, Estimate
from stainproof.runs.upgrade import upgrade_audit


class AuditSummary(Described):
    """What an audit examined and how much it found."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    source: str
    num_images: int
    listing_sha256: str = ""
    """Hash of names and labels; empty in audits of earlier versions."""
    num_dropped: int
    """Number of files that the actions drop."""
    findings: dict[str, int]
    """Kind -> number of files."""
    groups: dict[str, int]
    """Kind -> number of groups."""
    class_counts: dict[str, int]
    """Class counts before cleaning."""
    class_counts_clean: dict[str, int]
    sizes: dict[str, int]
    """Original width x height -> number of images; the ten most frequent."""
    qualities: dict[str, tuple[float, float, float]]
    """Image property -> its 1st, 50th and 99th percentile."""
    compared_with: str
    """The second source that was compared; empty if there was none."""
    two_sample_auc: Estimate | None
    """Area under the ROC curve of a classifier that separates the two sources: 0.5 alike, 1
    different."""
    num_copies_against: int | None = None
    """Images of the second source whose pixels equal those of an image of this one, rotated and
    mirrored copies included; None without a second source and in audits of earlier versions."""
    settings: AuditConfig
    seconds: float
    notes: tuple[str, ...]
    provenance: Provenance

    def describe(self) -> dict[str, str]:
        """Return source and counts of findings as text."""
        facts = {"source": f"{self.source}, {self.num_images} images"}
        for kind, num_files in self.findings.items():
            groups = f" in {self.groups[kind]} groups" if self.groups.get(kind) else ""
            facts[kind.replace("_", " ")] = f"{num_files} files{groups}"
        if self.two_sample_auc:
            auc = self.two_sample_auc
            facts[f"AUC against {self.compared_with}"] = (
                f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}; 0.5 alike, 1 different)"
            )
        return facts | {"left out by cleaning": f"{self.num_dropped} files"}

    @classmethod
    def upgrade(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON tree of a summary of version 2 as one of version 3."""
        return upgrade_audit(tree)
