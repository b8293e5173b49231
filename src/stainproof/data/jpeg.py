"""Headers of JPEG files: those that take a decoder in Python seconds are recognised at once."""

from typing import BinaryIO

MAX_JUNK_BYTES = 2**16
"""Bytes of a header outside of its segments; sound files have some hundreds."""

_START = b"\xff\xd8\xff"
_START_OF_SCAN = 0xDA
_CHUNK = 4096
_WITHOUT_SEGMENT = frozenset({0x00, 0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers after which no segment is skipped: those that have none (ITU-T T.81, table B.1), and
reserved ones whose segments Pillow does not know."""


def has_junk(file: BinaryIO) -> bool:
    """Return whether over 64 KiB before the first scan of a JPEG file are outside of segments.

    Pillow steps through them one by one, which takes seconds for megabytes. Markers, lengths of
    segments and padding count too, 4 bytes for each segment, which allows about 16,384 segments;
    their contents do not count (ITU-T T.81, B.1.1.4).

    Args:
        file: An open file at its start; of another format than JPEG only three bytes are read.
    """
    if file.read(len(_START)) != _START:
        return False
    place, num = len(_START) - 1, 0
    while num <= MAX_JUNK_BYTES:
        file.seek(place)
        found = file.read(4)
        if len(found) < 4 or found[:2] == bytes((0xFF, _START_OF_SCAN)):
            return False
        if found[0] != 0xFF or found[1] == 0xFF:
            step = _to_marker(found + file.read(_CHUNK))
        elif found[1] in _WITHOUT_SEGMENT:
            step = 2
        else:
            num += 4
            place += 2 + max(2, int.from_bytes(found[2:]))
            continue
        num += step
        place += step
    return True


def _to_marker(content: bytes) -> int:
    """Return how many bytes precede a 0xff that begins a marker."""
    num_padding = len(content) - len(content.lstrip(b"\xff"))
    if num_padding > 1:
        return num_padding - 1
    end = content.find(b"\xff", 1)
    return end if end > 0 else len(content)
