"""Run an audit and write its results: the table, the summary and the page."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stainproof import files
from stainproof.audit.cleaning import AUDIT_FILE, AUDIT_SUMMARY_FILE
from stainproof.audit.findings import write_csv
from stainproof.audit.summary import AuditSummary
from stainproof.config.schema import AuditConfig, SourceConfig
from stainproof.data import sources
from stainproof.data.listing import Listing
from stainproof.progress import Track, silent
from stainproof.runs.artefact import Estimate

if TYPE_CHECKING:
    from stainproof.audit.measurements import Measure

AUDIT_PAGE_FILE = "audit.html"


def audit(
    source: str | Path,
    out: str | Path,
    settings: AuditConfig | None = None,
    *,
    review: bool = False,
    against: str | Path | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    ray: str = "",
    track: Track = silent,
) -> AuditSummary:
    """Find duplicates, doctored images, outliers and label issues.

    Writes `audit.csv`, `audit.json` and `audit.html`. Nothing is removed; see `clean`.

    Args:
        source: Labelled images, see `data.sources.load`.
        out: Folder to write to.
        settings: Thresholds and the seed.
        review: Whether a person can reject findings on the page and save the decisions.
        against: A second source, to test whether both come from one distribution and to count its
            copies of images of the first.
        options: How the sources are read, see `data.sources.load`.
        ray: Address of a Ray cluster, see `scale.cluster`, whose machines read the images.
        track: Shows progress.

    Raises:
        DataError: A source cannot be listed, or `out` cannot be written.
        ConfigError: The cluster cannot be used.
    """
    from stainproof.audit.measurements import measure
    from stainproof.audit.two_sample import check_enough
    from stainproof.scale.measuring import measure_on_cluster

    listing = sources.list_whole_source(source, track, options=options)
    other = sources.list_whole_source(against, track, options=options) if against else None
    files.check_writable(Path(out) / AUDIT_FILE)
    if other:
        check_enough(len(listing), len(other))
    settings = settings or AuditConfig()
    way = partial(measure_on_cluster, address=ray) if ray else measure
    return write_audit(listing, Path(out), settings, other, str(against or ""), review, track, way)


def write_audit(
    listing: Listing,
    folder: Path,
    settings: AuditConfig,
    other: Listing | None = None,
    against: str = "",
    review: bool = False,
    track: Track = silent,
    measure: "Measure | None" = None,
) -> AuditSummary:
    """Audit a listing, compare it with another one, and write the results.

    Args:
        listing: The source.
        folder: Folder for `audit.csv`, `audit.json` and `audit.html`.
        settings: Thresholds and the seed.
        other: A second source to compare with.
        against: Name of the second source.
        review: Whether a person can reject findings on the page.
        track: Shows progress.
        measure: How the images are measured; by default in this process.
    """
    from stainproof.audit.checks import count_copies_against, run_checks, summarise
    from stainproof.audit.measurements import measure as measure_here
    from stainproof.audit.two_sample import two_sample_auc
    from stainproof.reports.audit_page import render_audit

    began = time.monotonic()
    measure = measure or measure_here
    found = run_checks(listing, settings, track, measure)
    auc = num_copies = None
    if other:
        measured = measure(other, track)
        first, second = (part.small[part.readable] for part in (found.measurements, measured))
        value, low, high = two_sample_auc(first, second, settings.seed)
        auc = Estimate(value=value, low=low, high=high)
        num_copies = count_copies_against(found, other, measured)
    summary = summarise(found, against, auc, time.monotonic() - began, num_copies)
    write_csv(folder / AUDIT_FILE, found.findings)
    summary.write(folder / AUDIT_SUMMARY_FILE)
    files.write_text(folder / AUDIT_PAGE_FILE, render_audit(found, summary, review=review))
    return summary
