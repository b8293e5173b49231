"""Chunks of PNG files: so many small ones that a decoder in Python takes seconds are recognised."""

from typing import BinaryIO

MAX_SMALL_CHUNKS = 10_000
"""Chunks of under 1 KiB in one file; sound files have some dozens."""

_START = b"\x89PNG\r\n\x1a\n"
_SMALL_BYTES = 1024
_AROUND_CONTENT = 12


def has_many_small_chunks(file: BinaryIO) -> bool:
    """Return whether a PNG file has over 10,000 chunks with under 1 KiB of content.

    Pillow reads chunk after chunk, some microseconds each (PNG specification, 5.3).

    Args:
        file: An open file at its start; of another format than PNG only eight bytes are read.
    """
    if file.read(len(_START)) != _START:
        return False
    place, num = len(_START), 0
    while num <= MAX_SMALL_CHUNKS:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":  # Pillow does not read what follows the end
            return False
        num_bytes = int.from_bytes(head[:4])
        num += num_bytes < _SMALL_BYTES
        place += _AROUND_CONTENT + num_bytes
    return True
