"""Zip files that strangers made, unpacked with care, and zip files of our own."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from stainproof.errors import SubmissionError
from stainproof.files import ZIP_ERRORS

MOST_BYTES = 2 * 2**30
MOST_FILES = 10_000
MOST_LEVELS = 32
"""Folders in folders; removing them, one call goes into the next."""
STAMP = (1980, 1, 1, 0, 0, 0)
"""One date for all, so that the same files give the same bytes."""


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip into an empty folder, nothing outside of it and not more than 2 GiB.

    Raises:
        SubmissionError: The file is missing or no zip, or what it holds is damaged, too large, not
            a plain file, or meant to lie elsewhere.
    """
    if not path.is_file():
        what = "is a folder; put what is in it into a zip" if path.is_dir() else "no such file"
        raise SubmissionError(f"{path}: {what}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            archive.extractall(folder)
    except ZIP_ERRORS as error:
        raise SubmissionError(f"{path}: not a readable zip file ({error})") from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse a zip by its table of contents, before anything is unpacked."""
    if len(members) > MOST_FILES:
        raise SubmissionError(f"{path}: holds {len(members)} files; allowed: {MOST_FILES}")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise SubmissionError(
            f"{path}: unpacks to {total / 2**30:.1f} GiB; allowed: {MOST_BYTES // 2**30} GiB"
        )
    for member in members:
        name = member.filename
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
            raise SubmissionError(f"{path}: {name[:100]!r} would lie outside of its folder")
        if len(place.parts) > MOST_LEVELS:
            raise SubmissionError(f"{path}: {name[:100]!r} lies too deep; allowed: {MOST_LEVELS}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SubmissionError(f"{path}: {name[:100]!r} is no plain file")


def pack(folder: Path, path: Path) -> None:
    """Put all files of a folder into a zip; the same files give the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            member = zipfile.ZipInfo(file.relative_to(folder).as_posix(), STAMP)
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)
