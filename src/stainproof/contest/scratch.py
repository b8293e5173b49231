"""Temporary folders for untrusted programs, which may leave folders of any depth and mode."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, which is removed at the end whatever it contains."""
    folder = Path(tempfile.mkdtemp(prefix="stainproof-"))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder with all that it contains.

    The standard library recurses, or keeps one file open for each level. Here, only the folder that
    is emptied is open, and it is left by its entry `..`, so that depth and length of a path do not
    matter.
    """
    folder.chmod(0o700)
    names: list[str] = []
    number = os.open(folder, os.O_RDONLY)
    try:
        while True:
            name = _unlink_files(number)
            if name is not None:
                os.chmod(name, 0o700, dir_fd=number)
                names.append(name)
                number = _move(number, name)
            elif names:
                number = _move(number, "..")
                os.rmdir(names.pop(), dir_fd=number)
            else:
                break
    finally:
        os.close(number)
    folder.rmdir()


def _unlink_files(number: int) -> str | None:
    """Remove the files of a folder up to its first subfolder; return that one's name, if any."""
    with os.scandir(number) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                return entry.name
            os.unlink(entry.name, dir_fd=number)
    return None


def _move(number: int, name: str) -> int:
    """Close a folder and open a neighbour of it."""
    other = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=number)
    os.close(number)
    return other
