"""Photographs of smears, from which the cells of a session were cut: kept in memory only."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from PIL import Image

from stainproof.data.decoding import decode
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.serve.records import StoredField

MAX_BYTES = 128 * 2**20
"""Pictures of fields that are in memory, together."""
MAX_SIDE_PX = 4096
"""Longest side of a picture; larger fields are reduced for it."""
JPEG_QUALITY = 90


class FieldPictures:
    """Pictures of fields for the page, as JPEG.

    Nothing is written to the disk. Beyond a number of bytes the pictures that were not looked at
    for longest are dropped; those of files in the server's folder are read again.
    """

    def __init__(self, files: Sequence[Path] = (), num_bytes: int = MAX_BYTES, bits: int = 16):
        """Begin without pictures.

        Args:
            files: Files that may be read again, resolved; no other path is ever opened.
            num_bytes: Size of all pictures together; the last one is kept in any case.
            bits: Number of bits that the values of 16-bit files use.
        """
        self._files = frozenset(files)
        self._num_bytes, self._bits = num_bytes, bits
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def put(self, sha256: str, rgb: Images) -> bytes:
        """Keep the picture of a field and return it.

        Args:
            sha256: `hash_of` its pixels.
            rgb: uint8 (height, width, 3).
        """
        content = _jpeg(rgb)
        with self._lock:
            self._pictures[sha256] = content
            self._pictures.move_to_end(sha256)
            total = sum(map(len, self._pictures.values()))
            while total > self._num_bytes and len(self._pictures) > 1:
                total -= len(self._pictures.popitem(last=False)[1])
        return content

    def get(self, field: StoredField) -> bytes | None:
        """Return the picture of a field; None if it is not available any more."""
        with self._lock:
            if field.sha256 in self._pictures:
                self._pictures.move_to_end(field.sha256)
                return self._pictures[field.sha256]
        if not field.path or Path(field.path) not in self._files:
            return None
        try:
            rgb = decode(Path(field.path), self._bits).rgb
        except DataError:  # removed or damaged in the meantime
            return None
        return self.put(field.sha256, rgb) if hash_of(rgb) == field.sha256 else None


def hash_of(rgb: Images) -> str:
    """Return the SHA-256 of shape and pixels."""
    return hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def _jpeg(rgb: Images) -> bytes:
    image = Image.fromarray(rgb)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
