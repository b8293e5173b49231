"""Files: atomic writing, checks before reading, and names as text.

Everything the package writes goes through here: a file is complete or absent.
"""

import errno
import hashlib
import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from io import BufferedReader
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stainproof.errors import DataError
from stainproof.text import size

ZIP_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
)
"""Exceptions raised by reading a damaged, encrypted or unusually compressed zip file.
NotImplementedError is a subclass of one of them.
"""
PART_NAME = re.compile(r"\..+\.\d+\.part")
"""Names of temporary files and folders."""

MAX_TEXT_BYTES = 64 * 10**6
"""Largest JSON, TOML or CSV file of a run that is read."""

_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; a device or a pipe could block or never end.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | _NO_WAITING), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Read a regular file up to a size.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as file:
        num_bytes = os.fstat(file.fileno()).st_size  # `read` takes memory for all that it may get
        content = file.read(num_bytes + 1) if num_bytes <= max_bytes else None
        if content and len(content) > num_bytes:  # it grows, or its size is not known
            content += file.read(max_bytes + 1 - len(content))
    if content is None or len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes / 10**6:.0f} MB", str(path))
    return content


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    If the process is killed, either the old file or the new one exists, never a part of one. The
    temporary file that it leaves is removed when the file is written again. Permissions are those
    that the umask of the process gives.

    Raises:
        DataError: The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part, handle = _reserve(path, _make_file)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            part.replace(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        _give_up(part, handle)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    The temporary folder that a killed process leaves is removed when the folder is made again.

    Raises:
        DataError: `path` exists and is not an empty folder, or its parent cannot be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: already there and not an empty folder; choose another --out")
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part, handle = _reserve(path, _make_folder)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield part
        if path.exists() and path != Path.cwd():
            with suppress(OSError):  # such as a mount point
                path.rmdir()
        if path.exists():
            for child in sorted(part.iterdir()):
                shutil.move(child, path / child.name)
        else:
            part.replace(path)
    finally:
        _give_up(part, handle)


def clear_parts(folder: Path) -> None:
    """Remove what killed processes left in a folder that only this package writes to, and below.

    Files and folders that a living process writes are left alone.
    """
    for part in sorted(folder.rglob(".*.part")):
        if PART_NAME.fullmatch(part.name):
            _clear(part)


def _reserve(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Make and lock a temporary file or folder beside `path`, after removing what was left over.

    The operating system frees the lock when the process ends, also after a crash.

    Args:
        path: What it will become.
        make: Makes it and opens it.

    Returns:
        Its path, and the handle that holds the lock.

    Raises:
        OSError: It cannot be made.
    """
    for rank in count():
        part, following = (path.parent / f".{path.name}.{i}.part" for i in (rank, rank + 1))
        if os.path.lexists(part):
            _clear(part)
        try:
            handle = make(part)
        except FileExistsError:  # of another process
            continue
        with suppress(OSError):  # a file system without locks
            flock(handle, LOCK_EX)
        if _is_at(part, handle):
            if os.path.lexists(following):
                _clear(following)
            break
        os.close(handle)  # another process took it for a left-over before it was locked
    return part, handle


def _make_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _make_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY)


def _give_up(part: Path, handle: int) -> None:
    """Remove a temporary file or folder unless it was renamed, and free its lock."""
    if _is_at(part, handle):
        _remove(part)
    os.close(handle)


def _clear(part: Path) -> None:
    """Remove a temporary file or folder unless a living process holds its lock."""
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        flock(handle, LOCK_EX | LOCK_NB)
        if _is_at(part, handle):
            _remove(part)
    except OSError:  # held, or a file system without locks
        return
    finally:
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Return whether the open file or folder is still the one at the path."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check before long work that a file can be written.

    Raises:
        DataError: It cannot, or the path is the address of an object storage.
    """
    if path.parts[:1] in (("s3:",), ("gs:",)):
        raise DataError(f"{path}: an object storage, where only predict --ray can write")
    if path.is_dir():
        raise DataError(f"{path}: cannot be written (is a folder)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write the file atomically."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write the text in UTF-8, atomically."""
    write_bytes(path, content.encode("utf-8"))


def append_line(path: Path, line: str) -> None:
    """Append a line in UTF-8 with a single write, so that several processes can append to one file.

    Raises:
        DataError: The file cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    content = f"{line}\n".encode()
    try:
        if os.write(handle, content) < len(content):
            raise DataError(f"{path}: cannot be written whole (is the disk full?)")
        os.fsync(handle)
    finally:
        os.close(handle)


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write uint8 (height, width, 3) RGB as a PNG file, atomically."""
    with atomic_path(path) as part:
        Image.fromarray(rgb).save(part, format="PNG")


def check_own(path: Path, folder: Path) -> None:
    """Check that a file belongs to a folder, so that nothing outside it is read or copied.

    Args:
        path: A file in the folder or below.
        folder: The folder, which may itself be reached through a link.

    Raises:
        DataError: The file is missing, lies outside the folder, or is no regular file; or it, or a
            folder on the way to it, is a link.
    """
    inner = path.relative_to(folder).parts if path.is_relative_to(folder) else ("..",)
    if ".." in inner:
        raise DataError(f"{path}: lies outside {folder}")
    for place in (path, *path.parents[: len(inner) - 1]):
        if place.is_symlink():
            raise DataError(f"{place}: is a link; allowed: files in {folder} itself")
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DataError(f"{path}: not a regular file")
    except OSError as error:
        raise DataError(f"{path}: missing or unreadable") from error


def exists(path: Path) -> bool:
    """Return whether the path exists; False for names that are too long or invalid."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def check_regular(path: Path, max_bytes: int) -> None:
    """Check before reading that a path is a regular file that is not too large.

    Pipes, devices and sockets would block or never end.

    Args:
        path: The file; links are followed.
        max_bytes: Size of the largest file that is allowed.

    Raises:
        DataError: It is something else, or larger.
        OSError: It cannot be found or accessed.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise DataError(f"{path}: {kind}; allowed: regular files")
    if status.st_size > max_bytes:
        got = f"{status.st_size / 2**30:.1f} GiB" if max_bytes >= 2**30 else size(status.st_size)
        raise DataError(f"{path}: refused before reading; allowed: {size(max_bytes)}, got {got}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
