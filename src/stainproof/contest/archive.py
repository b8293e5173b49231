"""Zip files: unpack untrusted ones safely, pack reproducibly."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from stainproof.errors import SubmissionError
from stainproof.files import ZIP_ERRORS

MAX_BYTES = 2 * 2**30
MAX_FILES = 10_000
MAX_DEPTH = 32
"""Largest number of nested folders; their removal is recursive."""
STAMP = (1980, 1, 1, 0, 0, 0)
"""One date for all files, so that the same files give the same bytes."""


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip of at most 2 GiB into an empty folder, and nothing outside of it.

    Raises:
        SubmissionError: The file is missing or not a zip, or one of its members is damaged, too
            large, not a regular file, or would be written outside of the folder.
    """
    if not path.is_file():
        what = "is a folder; zip its contents" if path.is_dir() else "no such file"
        raise SubmissionError(f"{path}: {what}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            archive.extractall(folder)
    except ZIP_ERRORS as error:
        raise SubmissionError(f"{path}: not a readable zip file ({error})") from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Check a zip by its table of contents, before anything is unpacked."""
    if len(members) > MAX_FILES:
        raise SubmissionError(f"{path}: contains {len(members)} files; allowed: {MAX_FILES}")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise SubmissionError(
            f"{path}: unpacks to {total / 2**30:.1f} GiB; allowed: {MAX_BYTES // 2**30} GiB"
        )
    for member in members:
        name = member.filename
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
            raise SubmissionError(f"{path}: {name[:100]!r} would be written outside of its folder")
        if len(place.parts) > MAX_DEPTH:
            raise SubmissionError(
                f"{path}: {name[:100]!r} is nested too deeply; allowed: {MAX_DEPTH} levels"
            )
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SubmissionError(f"{path}: {name[:100]!r} is not a regular file")


def pack(folder: Path, path: Path) -> None:
    """Write all files of a folder into a zip; the same files give the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            member = zipfile.ZipInfo(file.relative_to(folder).as_posix(), STAMP)
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, file.read_bytes(), zipfile.ZIP_DEFLATED)
