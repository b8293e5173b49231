"""Atomic file writing: a file is complete or absent.

Everything the package writes goes through here.
"""

import errno
import hashlib
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stainproof.errors import DataError

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
        content = file.read(max_bytes + 1) if os.fstat(file.fileno()).st_size <= max_bytes else None
    if content is None or len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes / 10**6:.0f} MB", str(path))
    return content


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    If the process is killed, either the old file or the new one exists, never a part of one.

    Raises:
        DataError: The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        try:
            part.replace(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends without an error.

    Raises:
        DataError: `path` exists and is not an empty folder, or its parent cannot be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: already there and not an empty folder; choose another --out")
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        yield part
        part.chmod(0o755)
        if path.exists() and path != Path.cwd():
            with suppress(OSError):  # such as a mount point
                path.rmdir()
        if path.exists():
            for child in sorted(part.iterdir()):
                shutil.move(child, path / child.name)
        else:
            part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_writable(path: Path) -> None:
    """Check before long work that a file can be written.

    Raises:
        DataError: It cannot.
    """
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
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
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


def exists(path: Path) -> bool:
    """Return whether the path exists; False for names that are too long or invalid."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def printable(path: Path | str) -> str:
    """Return a path with forward slashes, or a text; invalid UTF-8 becomes question marks."""
    words = path.as_posix() if isinstance(path, Path) else path
    return words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
