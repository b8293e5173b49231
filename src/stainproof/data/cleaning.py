"""A source less what an audit set aside: as a manifest, as copies, or as an npz file."""

import csv
import io
import os
import shutil
from pathlib import Path

import numpy as np

from stainproof import files
from stainproof.data.findings import files_to_drop, read_csv
from stainproof.data.listing import Listing
from stainproof.errors import DataError
from stainproof.progress import Track, silent

AUDIT_FILE = "audit.csv"


def apply(listing: Listing, audit: Path) -> Listing:
    """Return the listing less the files that an audit sets aside.

    Args:
        listing: The audited source.
        audit: The audit's folder, or an `audit.csv` that a person has changed.

    Raises:
        DataError: The audit cannot be read, or speaks of files that the source does not have.
    """
    findings = read_csv(audit / AUDIT_FILE if audit.is_dir() else audit)
    strangers = {found.file for found in findings} - set(listing.names)
    if strangers:
        raise DataError(
            f"{audit}: speaks of {min(strangers)!r}, which is not in {listing.source}; "
            "give the source that was audited"
        )
    return listing.without(files_to_drop(findings))


def write(listing: Listing, out: Path, track: Track = silent) -> None:
    """Write a source: `.csv` a manifest, `.npz` arrays, anything else a folder of copies.

    Raises:
        DataError: The folder holds something, or an npz source is asked for as files.
    """
    if out.suffix.lower() == ".csv":
        _need_files(listing, out)
        files.write_bytes(out, _manifest(listing, out).encode("utf-8", "surrogateescape"))
    elif out.suffix.lower() == ".npz":
        _write_npz(listing, out)
    else:
        _need_files(listing, out)
        _copy(listing, out, track)


def _need_files(listing: Listing, out: Path) -> None:
    if listing.arrays is not None:
        raise DataError(f"{out}: the source is one npz file; write another, --out NAME.npz")


def _manifest(listing: Listing, out: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", *(["group"] if listing.groups else [])])
    for index, path in enumerate(listing.paths):
        place = os.path.relpath(path.absolute(), out.absolute().parent)
        group = [listing.groups[index]] if listing.groups else []
        writer.writerow([place, listing.classes[listing.labels[index]], *group])
    return text.getvalue()


def _write_npz(listing: Listing, out: Path) -> None:
    if listing.arrays is None:
        raise DataError(f"{out}: the source is files; name a folder or a .csv manifest")
    with files.atomic_path(out) as part, part.open("wb") as stream:
        np.savez(
            stream,
            images=listing.arrays,
            labels=listing.labels,
            classes=np.array(listing.classes),
        )


def _copy(listing: Listing, out: Path, track: Track) -> None:
    taken: set[Path] = set()
    with files.new_folder(out) as folder:
        for index, path in enumerate(track(listing.paths, "copying", len(listing))):
            place = Path(listing.classes[listing.labels[index]]) / path.name
            if place in taken:
                place = place.with_name(f"{index:06d}_{path.name}")
            taken.add(place)
            (folder / place).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / place)
