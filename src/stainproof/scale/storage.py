"""Files by path, or by their address in an object storage: `s3://bucket/cells`, `gs://bucket/cells`.

pyarrow reads and writes object storages. Credentials come from where the tools of the storage look
for them; the address of a compatible storage ends with options, such as
`s3://bucket/cells?endpoint_override=minio:9000&scheme=http`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pyarrow
from pyarrow.fs import FileSelector, FileSystem, FileType

from stainproof import files
from stainproof.data.decoding import is_image
from stainproof.data.image_file import MAX_BYTES
from stainproof.errors import ConfigError, DataError, first_line

SCHEMES = ("s3", "gs")
CONNECTIONS = 16
"""Files that are copied from an object storage at the same time."""


def is_address(place: str) -> bool:
    """Return whether a text is the address of an object storage, not a path."""
    return "://" in place


def read_file(folder: str, name: str) -> bytes | None:
    """Return the content of a file in a folder or below an address; None if there is none.

    Raises:
        DataError: The storage cannot be used.
    """
    with _faults(folder):
        if not is_address(folder):
            path = Path(folder) / name
            return path.read_bytes() if path.exists() else None
        system, place, _ = _open(folder)
        path_there = f"{place}/{name}"
        if system.get_file_info(path_there).type == FileType.NotFound:
            return None
        with system.open_input_stream(path_there) as stream:
            return bytes(stream.read())


def write_file(folder: str, name: str, content: bytes) -> None:
    """Write a file atomically: on a disk by renaming, in an object storage with one request.

    Raises:
        DataError: The storage cannot be used.
    """
    if not is_address(folder):
        files.write_bytes(Path(folder) / name, content)
        return
    with _faults(folder):
        system, place, _ = _open(folder)
        with system.open_output_stream(f"{place}/{name}") as stream:
            stream.write(content)


def list_images(address: str) -> list[str]:
    """Return the addresses of the images below an address, or that of one image, sorted.

    Raises:
        DataError: There is none, or the storage cannot be used.
    """
    with _faults(address):
        system, place, options = _open(address)
        found = [system.get_file_info(place)]
        if found[0].type != FileType.File:
            found = system.get_file_info(FileSelector(place, recursive=True, allow_not_found=True))
    names = [one.path for one in found if one.type == FileType.File]
    images = sorted(name for name in names if is_image(Path(name)))
    if not images:
        raise DataError(f"{shown(address)}: no images there")
    scheme = address.partition("://")[0]
    return [f"{scheme}://{name}{options}" for name in images]


def copy_files(addresses: Sequence[str], folder: Path) -> list[Path]:
    """Copy images of an object storage to a folder; return their paths there.

    Raises:
        DataError: The storage cannot be used, or a file is too large for an image.
    """

    def copy(index: int) -> Path:
        address = addresses[index]
        with _faults(address):
            system, place, _ = _open(address)
            size = system.get_file_info(place).size or 0
            if size > MAX_BYTES:
                raise DataError(f"{shown(address)}: too large for an image: {size} bytes")
            path = folder / f"{index}{PurePosixPath(place).suffix}"
            with system.open_input_stream(place) as stream:
                path.write_bytes(stream.read())
            return path

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(copy, range(len(addresses))))


def shown(address: str) -> str:
    """Return an address without options, which may contain a key."""
    return address.partition("?")[0] if is_address(address) else address


def _open(address: str) -> tuple[FileSystem, str, str]:
    """Return the storage, the path in it and the options of an address.

    Raises:
        ConfigError: The kind of storage is unknown, or the address contains credentials.
    """
    scheme, _, rest = address.partition("://")
    path, mark, options = rest.partition("?")
    if scheme not in SCHEMES:
        raise ConfigError(f"{shown(address)}: allowed: paths, and {', '.join(SCHEMES)}://")
    bucket = path.partition("/")[0]
    if "@" in bucket:
        raise ConfigError(
            f"{scheme}://: credentials are not allowed in an address; set them in the environment"
        )
    return _system(f"{scheme}://{bucket}{mark}{options}"), path.rstrip("/"), f"{mark}{options}"


@lru_cache
def _system(address: str) -> FileSystem:
    return FileSystem.from_uri(address)[0]


@contextmanager
def _faults(place: str) -> Iterator[None]:
    """Turn the errors of a storage into one line that names it."""
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{shown(place)}: cannot be used ({first_line(error)})") from error
