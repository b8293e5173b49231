"""Cleaning: write a source without what an audit drops.

The result is a manifest, a folder of copies, or an npz file.
"""

import csv
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stainproof import files
from stainproof.audit.findings import files_to_drop, new_labels, read_csv
from stainproof.audit.summary import AuditSummary
from stainproof.config.schema import SourceConfig
from stainproof.data import npz, sources
from stainproof.data.listing import Listing
from stainproof.errors import DataError
from stainproof.progress import Track, silent
from stainproof.text import quote_formula

AUDIT_FILE, AUDIT_SUMMARY_FILE = "audit.csv", "audit.json"
MAX_NAME_BYTES = 255
"""Longest file name of most file systems."""


def clean(
    source: str | Path,
    audit: str | Path,
    out: str | Path,
    *,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
) -> tuple[int, int]:
    """Write a copy of a source without what an audit drops; the source itself is not changed.

    Args:
        source: The audited source.
        audit: The audit's folder, or an `audit.csv` that a person has edited.
        out: A `.csv` manifest, an `.npz` file, or else a folder of copies.
        options: How the source is read, as for the audit.
        track: Shows progress.

    Returns:
        The number of images kept and dropped.

    Raises:
        DataError: The audit is of another source, or `out` is the source or cannot be written.
    """
    place = Path(out)
    if files.exists(Path(source)) and files.exists(place) and place.samefile(source):
        raise DataError(
            f"{out}: is the source itself, which is never changed; choose another --out"
        )
    listing = sources.list_whole_source(source, track, options=options)
    kept = apply(listing, Path(audit))
    write(kept, place, track)
    return len(kept), len(listing) - len(kept)


def dropped_names(folder: Path) -> set[str]:
    """Return the names of the images that an audit drops; none if there is no audit.

    Args:
        folder: The audit's folder.

    Raises:
        DataError: The audit cannot be read.
    """
    path = folder / AUDIT_FILE
    return files_to_drop(read_csv(path)) if path.exists() else set()


def apply(listing: Listing, audit: Path) -> Listing:
    """Return the listing without the files that an audit drops, with its new labels.

    Args:
        listing: The audited source.
        audit: The audit's folder, or an `audit.csv` that a person has edited.

    Raises:
        DataError: The audit cannot be read, or is of another source.
    """
    table = audit / AUDIT_FILE if audit.is_dir() else audit
    findings = read_csv(table)
    unknown = {found.file for found in findings} - set(listing.names)
    if unknown:
        raise DataError(
            f"{audit}: lists {min(unknown)!r}, which is not in {listing.source}; "
            "give the source that was audited"
        )
    summary = table.with_name(AUDIT_SUMMARY_FILE)
    if summary.exists() and AuditSummary.read(summary).listing_sha256 not in ("", listing.sha256()):
        raise DataError(
            f"{audit}: is the audit of other images than {listing.source} now contains; "
            "audit it again"
        )
    try:
        relabelled = _relabelled(listing, new_labels(findings))
    except DataError as error:
        raise DataError(f"{table}: {error}") from error
    return relabelled.without(files_to_drop(findings))


def _relabelled(listing: Listing, by_file: dict[str, str]) -> Listing:
    """Return the listing with new class names for some of its files.

    Raises:
        DataError: A new label is not a class of the source.
    """
    unknown = set(by_file.values()) - set(listing.classes)
    if unknown:
        raise DataError(
            f"new_label: {min(unknown)!r} is no class of {listing.source}; its classes are "
            f"{', '.join(listing.classes)}"
        )
    position = {name: index for index, name in enumerate(listing.classes)}
    labels = listing.labels.copy()
    for index, name in enumerate(listing.names):
        if name in by_file:
            labels[index] = position[by_file[name]]
    return replace(listing, labels=labels)


def write(listing: Listing, out: Path, track: Track = silent) -> None:
    """Write a source: `.csv` a manifest, `.npz` arrays, anything else a folder of copies.

    Raises:
        DataError: The folder is not empty, an npz source would become files or files an npz, or a
            folder cannot store the groups of the source.
    """
    if out.suffix.lower() == ".csv":
        _need_files(listing, out)
        try:
            files.write_text(out, _manifest(listing, out))
        except UnicodeEncodeError as error:
            row = error.object[: error.start].rpartition("\n")[2]
            raise DataError(
                f"{out}: a manifest is UTF-8, and the file name that begins with {row!r} is not; "
                "write a folder"
            ) from error
    elif out.suffix.lower() == ".npz":
        _write_npz(listing, out)
    else:
        _need_files(listing, out)
        if listing.groups:
            raise DataError(
                f"{out}: a folder cannot keep the source's groups; write a .csv manifest"
            )
        _copy(listing, out, track)


def _need_files(listing: Listing, out: Path) -> None:
    if listing.arrays is not None:
        raise DataError(f"{out}: the source is one npz file; write another, --out NAME.npz")


def _manifest(listing: Listing, out: Path) -> str:
    text = io.StringIO()
    has_returns = any("\r" in str(path) for path in listing.paths)  # which csv would not quote
    writer = csv.writer(
        text,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL,
    )
    stated = {"group": listing.groups, "split": listing.parts}
    further = {name: values for name, values in stated.items() if values}
    writer.writerow(["path", "label", *further])
    for index, path in enumerate(listing.paths):
        place = os.path.relpath(path.absolute(), out.absolute().parent)
        values = [column[index] for column in further.values()]
        row = (place, listing.classes[listing.labels[index]], *values)
        writer.writerow(map(quote_formula, row))
    return text.getvalue()


def _write_npz(listing: Listing, out: Path) -> None:
    if listing.arrays is None:
        raise DataError(f"{out}: the source is files; name a folder or a .csv manifest")
    arrays: dict[str, Any] = {"images": listing.arrays, "labels": listing.labels}
    if listing.parts:
        of = np.array(listing.parts)
        arrays = {
            f"{part}_{kind}": values[of == part]
            for part in npz.MEDMNIST_PARTS
            for kind, values in arrays.items()
        }
    with files.atomic_path(out) as part, part.open("wb") as stream:
        np.savez(stream, classes=np.array(listing.classes), **arrays)


def _copy(listing: Listing, out: Path, track: Track) -> None:
    taken: set[Path] = set()
    with files.new_folder(out) as folder:
        for index, path in enumerate(track(listing.paths, "copying", len(listing))):
            part = listing.parts[index] if listing.parts else ""
            place = Path(part) / listing.classes[listing.labels[index]] / path.name
            if place in taken:
                place = place.with_name(_numbered(index, path))
            taken.add(place)
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / place)


def _numbered(index: int, path: Path) -> str:
    """Return the name of a file after a number, or the number alone if that is too long."""
    name = f"{index:06d}_{path.name}"
    return name if len(os.fsencode(name)) <= MAX_NAME_BYTES else f"{index:06d}{path.suffix}"
