"""Temporary folders for untrusted programs, which may leave folders of any depth and mode."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, which is removed at the end whatever it contains."""
    outer = Path(tempfile.mkdtemp(prefix="stainproof-"))
    try:
        (outer / "work").mkdir()
        yield outer / "work"
    finally:
        _remove(outer)


def _remove(outer: Path) -> None:
    """Remove a folder, of which only its subfolders contain files of others.

    The standard library recurses, or keeps one file open for each level. Here, each folder is moved
    to the top before its content is listed, so that depth and length of a path do not matter.
    """
    pending, num_moved = [outer], 0
    while pending:
        with os.scandir(pending[-1]) as entries:
            found = list(entries)
        folders = [Path(entry) for entry in found if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry).unlink()
        if not folders:
            pending.pop().rmdir()
        for path in folders:
            path.chmod(0o700)
            pending.append(path.rename(outer / f"removed-{num_moved}"))
            num_moved += 1
