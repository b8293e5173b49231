"""The audit: run all checks on a source, collect their findings, and summarise them."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stainproof import provenance
from stainproof.audit.doctored import MIN_IMAGES as MIN_IMAGES_DOCTORED
from stainproof.audit.doctored import find_doctored
from stainproof.audit.duplicates import chained, exact_groups, near_pairs
from stainproof.audit.findings import Action, Finding, Kind, count_groups, files_to_drop
from stainproof.audit.label_issues import MIN_PER_CLASS, find_label_issues
from stainproof.audit.measurements import QUALITIES, Measurements, measure, square
from stainproof.audit.outliers import MIN_IMAGES as MIN_IMAGES_OUTLIERS
from stainproof.audit.outliers import find_outliers
from stainproof.audit.summary import AuditSummary
from stainproof.config.schema import AuditConfig
from stainproof.data.images import Images
from stainproof.data.listing import Listing
from stainproof.progress import Track, silent
from stainproof.runs.artefact import Estimate

Indices = NDArray[np.int64]
NOTHING: Indices = np.empty(0, dtype=np.int64)


@dataclass
class Audit:
    """The findings of a source, and what its page shows."""

    listing: Listing
    measurements: Measurements
    settings: AuditConfig
    findings: list[Finding] = field(default_factory=list)
    reasons: dict[tuple[str, Kind], str] = field(default_factory=dict)
    """File and kind -> further explanation."""
    copies: dict[int, list[int]] = field(default_factory=dict)
    """Position of the first of several duplicates -> positions of the others."""
    notes: list[str] = field(default_factory=list)
    """Which checks could not be made, and why."""
    foreign_pictures: dict[str, Images] = field(default_factory=dict)
    """Group of doctored images -> the overlay that they share, as far as it is visible; uint8 rgb.
    """

    def add(
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
        """Add one finding."""
        file = self.listing.names[index]
        self.findings.append(Finding(file, kind, group, score, threshold, action))
        if reason:
            self.reasons[file, kind] = reason


def run_checks(listing: Listing, settings: AuditConfig, track: Track = silent) -> Audit:
    """Run every check on a source.

    Findings of one check do not disturb the next: of several duplicates only the first is checked
    further, and the labels of doctored images are not checked. An image can be both an outlier and
    doctored.

    Args:
        listing: The source; files that cannot be read become findings.
        settings: Thresholds and the seed.
        track: Shows progress.
    """
    found = Audit(listing, measure(listing, track), settings)
    for index, error in sorted(found.measurements.errors.items()):
        found.add(
            "unreadable", index, "drop", reason=error.removeprefix(f"{listing.paths[index]}: ")
        )
    sound = found.measurements.readable
    for check in track(CHECKS, "comparing images", len(CHECKS)):
        sound = np.setdiff1d(sound, check(found, sound))
    return found


def _check_copies(found: Audit, sound: Indices) -> Indices:
    """Find images with equal pixels, including rotated and mirrored copies."""
    keys = [found.measurements.keys[index] for index in sound]
    groups = exact_groups(keys, lambda row: square(found.listing, int(sound[row])))
    explained = []
    for number, rows in enumerate(groups):
        explained += _note_copies(found, "exact_duplicate", f"C{number + 1}", sound[rows], 0.0, 0.0)
    return np.array(explained, dtype=np.int64)


def _check_near_copies(found: Audit, sound: Indices) -> Indices:
    """Find images that are more similar than two different cells can be."""
    thumbs = found.measurements.thumbs[sound]
    pairs, distances, threshold = near_pairs(thumbs, found.settings.near_duplicate_deviations)
    explained = []
    for number, (rows, distance) in enumerate(chained(pairs, distances)):
        explained += _note_copies(
            found, "near_duplicate", f"N{number + 1}", sound[rows], distance, threshold
        )
    return np.array(explained, dtype=np.int64)


def _note_copies(
    found: Audit, kind: Kind, group: str, indices: Indices, score: float, threshold: float
) -> list[int]:
    """Add a group of duplicates; return the positions that need no further check."""
    members = [int(index) for index in indices]
    for index in members:
        found.add(kind, index, "keep one", score=score, threshold=threshold, group=group)
    copies = [copy for index in members for copy in found.copies.pop(index, [])]
    labels = {found.listing.classes[found.listing.labels[index]] for index in members}
    if len(labels) > 1:
        reason = "one image as " + " and as ".join(sorted(labels))
        for index in (*members, *copies):
            found.add("label_conflict", index, "drop", group=group, reason=reason)
        return members
    found.copies[members[0]] = [*members[1:], *copies]
    return members[1:]


def _check_doctored(found: Audit, sound: Indices) -> Indices:
    """Find cells with an overlay blended in, and all duplicates of them."""
    settings = found.settings
    if len(sound) < MIN_IMAGES_DOCTORED:
        found.notes.append(
            f"doctored images not looked for: that takes {MIN_IMAGES_DOCTORED} images, "
            f"got {len(sound)}"
        )
    doctored = find_doctored(
        found.measurements.small[sound],
        margin=settings.doctored_margin,
        threshold=settings.doctored_threshold,
        seed=settings.seed,
    )
    explained = []
    for one in doctored.images:
        first = int(sound[one.index])
        group = "" if one.group is None else f"F{one.group + 1}"
        for index in (first, *found.copies.get(first, [])):
            found.add(
                "doctored", index, "drop", score=one.score, threshold=one.threshold, group=group
            )
            explained.append(index)
    for number, picture in enumerate(doctored.pictures):
        found.foreign_pictures[f"F{number + 1}"] = picture
    return np.array(explained, dtype=np.int64)


def _check_outliers(found: Audit, sound: Indices) -> Indices:
    """Find images whose brightness, focus, colour or size is far from the rest."""
    if len(sound) < MIN_IMAGES_OUTLIERS:
        found.notes.append(
            f"outliers not looked for: that takes {MIN_IMAGES_OUTLIERS} images, got {len(sound)}"
        )
    outliers = find_outliers(found.measurements, sound, found.settings.outlier_threshold)
    for one in outliers:
        found.add(
            "outlier", one.index, "review",
            score=one.score, threshold=one.threshold, reason=one.reason,
        )  # fmt: skip
    return NOTHING


def _check_labels(found: Audit, sound: Indices) -> Indices:
    """Find labels with a low predicted probability in cross-validation."""
    least = found.settings.min_label_probability
    labels = found.listing.labels[sound]
    counts = np.bincount(labels, minlength=len(found.listing.classes))
    few = [
        f"{name} ({count})"
        for name, count in zip(found.listing.classes, counts.tolist(), strict=True)
        if count < MIN_PER_CLASS
    ]
    if few:
        found.notes.append(
            f"labels not checked of classes under {MIN_PER_CLASS} images: {', '.join(few)}"
        )
    suspects = find_label_issues(
        found.measurements.small[sound], labels, least, found.settings.seed
    )
    for one in suspects:
        found.add(
            "label_suspect", int(sound[one.index]), "review",
            score=one.probability, threshold=least,
            reason=f"looks like {found.listing.classes[one.likelier]}",
        )  # fmt: skip
    return NOTHING


CHECKS = (_check_copies, _check_near_copies, _check_outliers, _check_doctored, _check_labels)
"""Each check adds its findings among the remaining images and returns the positions to exclude from
later checks.
"""


def summarise(found: Audit, against: str, auc: Estimate | None, seconds: float) -> AuditSummary:
    """Return the summary of an audit.

    Args:
        found: The audit.
        against: The second source that was compared; empty if there was none.
        auc: Result of the two-sample test.
        seconds: Duration of the audit.
    """
    listing, measurements = found.listing, found.measurements
    dropped = files_to_drop(found.findings)
    sound = measurements.readable
    sizes = Counter(f"{width} x {height}" for width, height in measurements.sizes[sound].tolist())
    figures = measurements.qualities[sound] if len(sound) else np.zeros((1, len(QUALITIES)))
    low, middle, high = np.percentile(figures, [1, 50, 99], axis=0).tolist()
    return AuditSummary(
        source=listing.source,
        num_images=len(listing),
        listing_sha256=listing.sha256(),
        num_dropped=len(dropped),
        findings=dict(Counter(kind for kind, _ in {(f.kind, f.file) for f in found.findings})),
        groups=count_groups(found.findings),
        class_counts=listing.class_counts(),
        class_counts_clean=listing.without(dropped).class_counts(),
        sizes=dict(sizes.most_common(10)),
        qualities=dict(zip(QUALITIES, zip(low, middle, high, strict=True), strict=True)),
        compared_with=against,
        two_sample_auc=auc,
        settings=found.settings,
        seconds=seconds,
        notes=(*listing.notes, *found.notes),
        provenance=provenance.collect(),
    )
