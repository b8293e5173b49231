"""The audit: run all checks on a source, collect their findings, and summarise them."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stainproof import provenance
from stainproof.audit.doctored import MIN_IMAGES as MIN_IMAGES_DOCTORED
from stainproof.audit.doctored import find_doctored
from stainproof.audit.duplicates import (
    connected_groups,
    count_copies,
    find_exact_duplicates,
    find_near_duplicates,
)
from stainproof.audit.findings import Action, Finding, Kind, count_groups, files_to_drop
from stainproof.audit.label_issues import MIN_PER_CLASS, find_label_issues
from stainproof.audit.measurements import QUALITIES, Measure, Measurements, measure, square
from stainproof.audit.outliers import MIN_IMAGES as MIN_IMAGES_OUTLIERS
from stainproof.audit.outliers import find_outliers
from stainproof.audit.summary import AuditSummary
from stainproof.config.schema import AuditConfig
from stainproof.data.images import Images
from stainproof.data.listing import Listing
from stainproof.progress import Track, silent
from stainproof.runs.artefact import Estimate
from stainproof.text import printable

Indices = NDArray[np.int64]
NO_POSITIONS: Indices = np.empty(0, dtype=np.int64)


@dataclass
class Audit:
    """The findings of a source, with the measurements and images that the page shows."""

    listing: Listing
    measurements: Measurements
    settings: AuditConfig
    findings: list[Finding] = field(default_factory=list)
    reasons: dict[tuple[str, Kind], str] = field(default_factory=dict)
    """File and kind -> explanation that the page shows with the finding."""
    duplicates: dict[int, list[int]] = field(default_factory=dict)
    """Position of the first of several duplicates with equal labels -> positions of the others."""
    notes: list[str] = field(default_factory=list)
    """Which checks were skipped, and why."""
    overlays: dict[str, Images] = field(default_factory=dict)
    """Group of doctored images -> estimate of the overlay that they share; uint8 rgb."""

    def add_finding(
        self,
        kind: Kind,
        index: int,
        action: Action,
        *,
        score: float = 1.0,
        threshold: float = 0.0,
        group: str = "",
        reason: str = "",
    ) -> None:
        """Add a finding about the image at a position.

        Args:
            kind: What is wrong.
            index: Position in the listing.
            action: Suggested action.
            score: Score of the check; see `docs/audit.md`.
            threshold: The score that separates findings from other images.
            group: Identifier of files that belong together.
            reason: Explanation that the page shows.
        """
        file = self.listing.names[index]
        self.findings.append(Finding(file, kind, group, score, threshold, action))
        if reason:
            self.reasons[file, kind] = reason


def run_checks(
    listing: Listing, settings: AuditConfig, track: Track = silent, measure: Measure = measure
) -> Audit:
    """Run every check on a source.

    Of several duplicates with equal labels only the first takes part in later checks, and none of
    several with different labels. Labels of doctored images are not checked. An image can be both
    an outlier and doctored.

    Args:
        listing: The source; files that cannot be read become findings.
        settings: Thresholds and the seed.
        track: Shows progress.
        measure: How the images are measured, in this process by default.
    """
    audit = Audit(listing, measure(listing, track), settings)
    for index, error in sorted(audit.measurements.errors.items()):
        audit.add_finding(
            "unreadable", index, "drop", reason=error.removeprefix(f"{listing.paths[index]}: ")
        )
    remaining = audit.measurements.readable
    for check in track(CHECKS, "comparing images", len(CHECKS)):
        remaining = np.setdiff1d(remaining, check(audit, remaining))
    return audit


def _check_exact_duplicates(audit: Audit, remaining: Indices) -> Indices:
    """Find images with equal pixels, including rotated and mirrored copies."""
    keys = [audit.measurements.keys[index] for index in remaining]
    groups = find_exact_duplicates(keys, lambda row: square(audit.listing, int(remaining[row])))
    resolved = []
    for number, rows in enumerate(groups):
        resolved += _add_duplicates(
            audit, "exact_duplicate", f"C{number + 1}", remaining[rows], 0.0, 0.0
        )
    return np.array(resolved, dtype=np.int64)


def _check_near_duplicates(audit: Audit, remaining: Indices) -> Indices:
    """Find groups of images that are more similar than different cells are."""
    thumbs = audit.measurements.thumbs[remaining]
    pairs, distances, threshold = find_near_duplicates(
        thumbs, audit.settings.near_duplicate_deviations
    )
    resolved = []
    for number, (rows, distance) in enumerate(connected_groups(pairs, distances)):
        resolved += _add_duplicates(
            audit, "near_duplicate", f"N{number + 1}", remaining[rows], distance, threshold
        )
    return np.array(resolved, dtype=np.int64)


def _add_duplicates(
    audit: Audit, kind: Kind, group: str, indices: Indices, score: float, threshold: float
) -> list[int]:
    """Add a group of duplicates; return the positions to exclude from later checks."""
    members = [int(index) for index in indices]
    for index in members:
        audit.add_finding(kind, index, "keep one", score=score, threshold=threshold, group=group)
    exact = [copy for index in members for copy in audit.duplicates.pop(index, [])]
    labels = {audit.listing.classes[audit.listing.labels[index]] for index in members}
    if len(labels) > 1:
        reason = "same image labelled " + " and ".join(sorted(labels))
        for index in (*members, *exact):
            audit.add_finding("label_conflict", index, "drop", group=group, reason=reason)
        return members
    audit.duplicates[members[0]] = [*members[1:], *exact]
    return members[1:]


def _check_doctored(audit: Audit, remaining: Indices) -> Indices:
    """Find images with an overlay blended in; their duplicates are doctored too."""
    settings = audit.settings
    if len(remaining) < MIN_IMAGES_DOCTORED:
        audit.notes.append(
            f"doctored images not checked: at least {MIN_IMAGES_DOCTORED} images are needed, "
            f"got {len(remaining)}"
        )
    doctored = find_doctored(
        audit.measurements.small[remaining],
        margin=settings.doctored_margin,
        threshold=settings.doctored_threshold,
        seed=settings.seed,
    )
    resolved = []
    for one in doctored.images:
        first = int(remaining[one.index])
        group = "" if one.group is None else f"F{one.group + 1}"
        is_sure = one.group is not None or one.score >= settings.doctored_drop_threshold
        action: Action = "drop" if is_sure else "review"
        for index in (first, *audit.duplicates.get(first, [])):
            audit.add_finding(
                "doctored", index, action, score=one.score, threshold=one.threshold, group=group
            )
            resolved.append(index)
    for number, overlay in enumerate(doctored.overlays):
        audit.overlays[f"F{number + 1}"] = overlay
    return np.array(resolved, dtype=np.int64)


def _check_outliers(audit: Audit, remaining: Indices) -> Indices:
    """Find images whose brightness, focus, colour or size is far from the rest."""
    if len(remaining) < MIN_IMAGES_OUTLIERS:
        audit.notes.append(
            f"outliers not checked: at least {MIN_IMAGES_OUTLIERS} images are needed, "
            f"got {len(remaining)}"
        )
    outliers = find_outliers(audit.measurements, remaining, audit.settings.outlier_threshold)
    for one in outliers:
        audit.add_finding(
            "outlier", one.index, "review",
            score=one.score, threshold=one.threshold, reason=one.reason,
        )  # fmt: skip
    return NO_POSITIONS


def _check_labels(audit: Audit, remaining: Indices) -> Indices:
    """Find labels with a low predicted probability in cross-validation."""
    threshold = audit.settings.min_label_probability
    labels = audit.listing.labels[remaining]
    counts = np.bincount(labels, minlength=len(audit.listing.classes))
    few = [
        f"{name} ({count})"
        for name, count in zip(audit.listing.classes, counts.tolist(), strict=True)
        if count < MIN_PER_CLASS
    ]
    if few:
        audit.notes.append(
            f"labels not checked: classes with fewer than {MIN_PER_CLASS} images: {', '.join(few)}"
        )
    issues = find_label_issues(
        audit.measurements.small[remaining], labels, threshold, audit.settings.seed
    )
    for one in issues:
        audit.add_finding(
            "label_suspect", int(remaining[one.index]), "review",
            score=one.probability, threshold=threshold,
            reason=f"looks like {audit.listing.classes[one.predicted_class]}",
        )  # fmt: skip
    return NO_POSITIONS


CHECKS = (
    _check_exact_duplicates,
    _check_near_duplicates,
    _check_outliers,
    _check_doctored,
    _check_labels,
)
"""The checks, in their order. Each adds findings about the given positions and returns those to
exclude from later checks.
"""


def count_copies_against(audit: Audit, other: Listing, measured: Measurements) -> int:
    """Count the images of a second source with the pixels of an image of the audited one.

    Rotated and mirrored copies count.

    Args:
        audit: The findings of the audited source.
        other: The second source.
        measured: Its measurements.
    """
    return count_copies(
        audit.measurements.keys,
        lambda index: square(audit.listing, index),
        measured.keys,
        lambda index: square(other, index),
    )


def summarise(
    audit: Audit,
    against: str,
    auc: Estimate | None,
    seconds: float,
    num_copies_against: int | None = None,
) -> AuditSummary:
    """Return the summary of an audit.

    Args:
        audit: The findings of the source.
        against: The second source that was compared; empty if there was none.
        auc: AUC of the two-sample test; None without a second source.
        seconds: Duration of the audit, in seconds.
        num_copies_against: Images of the second source that are copies of images of the audited
            one; None without a second source.
    """
    listing, measurements = audit.listing, audit.measurements
    dropped = files_to_drop(audit.findings)
    readable = measurements.readable
    sizes = Counter(
        f"{width} x {height}" for width, height in measurements.sizes[readable].tolist()
    )
    qualities = measurements.qualities[readable] if len(readable) else np.zeros((1, len(QUALITIES)))
    low, middle, high = np.percentile(qualities, [1, 50, 99], axis=0).tolist()
    return AuditSummary(
        source=listing.source,
        num_images=len(listing),
        listing_sha256=listing.sha256(),
        num_dropped=len(dropped),
        findings=dict(Counter(kind for kind, _ in {(f.kind, f.file) for f in audit.findings})),
        groups=count_groups(audit.findings),
        class_counts=listing.class_counts(),
        class_counts_clean=listing.without(dropped).class_counts(),
        sizes=dict(sizes.most_common(10)),
        qualities=dict(zip(QUALITIES, zip(low, middle, high, strict=True), strict=True)),
        compared_with=printable(against),
        two_sample_auc=auc,
        num_copies_against=num_copies_against,
        settings=audit.settings,
        seconds=seconds,
        notes=(*listing.notes, *audit.notes),
        provenance=provenance.collect(),
    )
