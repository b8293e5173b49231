"""Reading of npz files of unknown origin: headers first, then only the arrays that are needed.

Nothing is unpickled. No memory is allocated before the headers and the sizes are checked.
"""

import io
import math
import struct
import tokenize
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stainproof.errors import DataError
from stainproof.files import ZIP_ERRORS, check_regular
from stainproof.machine import memory_bytes
from stainproof.text import printable, size

MAX_BYTES = 16 * 2**30
"""Arrays that decompress to more bytes in total are refused, and so are those larger than the
memory of the machine."""
MAX_HEADER_BYTES = 2**14
MAX_SHOWN_NAMES = 20

_READ_ERRORS = (
    *ZIP_ERRORS,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TypeError,
    struct.error,
    tokenize.TokenError,
)
"""Exceptions raised by a damaged or hostile file, including its array headers."""


class Header(NamedTuple):
    """Type and shape of an array, as its header states them."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class NpzFile:
    """An npz file that is open for reading; a context manager."""

    def __init__(self, path: Path):
        """Open the file and read the names of its arrays.

        Raises:
            DataError: It is not a regular file or not a zip file.
        """
        self.path = path
        with self._faults():
            check_regular(path, MAX_BYTES)
            self._archive = zipfile.ZipFile(path)
        self._members = {
            name.removesuffix(".npy"): name
            for name in self._archive.namelist()
            if name.endswith(".npy")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def names(self) -> str:
        """Return the names of the arrays as text; of many only the first."""
        names = sorted(map(printable, self._members))
        more = ", ..." if len(names) > MAX_SHOWN_NAMES else ""
        return ", ".join(name[:100] for name in names[:MAX_SHOWN_NAMES]) + more or "none"

    def header(self, key: str) -> Header:
        """Read the header of an array.

        Raises:
            DataError: It is damaged, states Python objects, or more data than the file has.
        """
        with self._faults():
            member = self._archive.getinfo(self._members[key])
            with self._archive.open(member) as stream:
                start = io.BytesIO(stream.read(MAX_HEADER_BYTES))
            version = np.lib.format.read_magic(start)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(start)
            if dtype.hasobject:
                raise DataError(f"{self.path}: holds an object array, which is never unpickled")
            if any(type(length) is not int or length < 0 for length in shape):
                raise ValueError(f"{key} has the shape {shape}")
            promised = math.prod(shape) * dtype.itemsize
            if promised > member.file_size:
                raise ValueError(f"{key} promises {size(promised)} and is cut short")
            return Header(dtype, shape)

    def read(self, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Read arrays whose headers have been checked.

        Raises:
            DataError: They are damaged, or larger than 16 GiB or the machine's memory in total.
        """
        allowed = min(MAX_BYTES, memory_bytes())
        members = [self._archive.getinfo(self._members[key]) for key in keys]
        total = sum(member.file_size for member in members)
        if total > allowed:
            raise DataError(
                f"{self.path}: refused before unpacking; allowed: {size(allowed)} "
                f"(16 GiB, or the memory of the machine), got {size(total)}"
            )
        arrays = {}
        for key, member in zip(keys, members, strict=True):
            with self._faults(), self._archive.open(member) as stream:
                arrays[key] = np.lib.format.read_array(stream, allow_pickle=False)
                if stream.read(1):
                    raise ValueError(f"{key} has more data than its shape")
        return arrays

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what a damaged file raises into a DataError."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about headers of Python 2 and odd escapes
                yield
        except _READ_ERRORS as error:
            reason = printable(str(error))[:200]
            raise DataError(f"{self.path}: not a readable npz file ({reason})") from error
