"""Image files that Pillow and OpenCV do not write, byte by byte."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
FIELD_CODES = {1: "B", 3: "H", 4: "I"}


def png_header(width: int, height: int) -> bytes:
    """Return an RGB PNG file that says that it has this size and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def write_png_16(
    path: Path, values: NDArray[Any], chunks: Sequence[tuple[bytes, bytes]] = ()
) -> Path:
    """Write a 16-bit PNG of 1 to 4 channels with chunks before the pixels."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", header),
        *chunks,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return path


def write_tiff(
    path: Path,
    *pages: NDArray[Any],
    description: str = "",
    order: Literal["<", ">"] = "<",
    planar: bool = False,
    deflate: bool = False,
    tags: dict[int, Any] | None = None,
) -> Path:
    """Write a TIFF of pages (height, width[, channels]) of any dtype, one strip a page or plane.

    `tags` are numbers or lists of numbers by tag, of type SHORT; the description is that of the
    first page.
    """
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    link = 4
    for number, page in enumerate(pages):
        samples = page if page.ndim == 3 else page[..., None]
        planes = [samples[..., i] for i in range(samples.shape[2])] if planar else [samples]
        strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
        if deflate:
            strips = [zlib.compress(strip) for strip in strips]
        offsets = []
        for strip in strips:
            offsets.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        fields = _fields(samples, planar, deflate) | {
            tag: (3, value) for tag, value in (tags or {}).items()
        }
        fields |= {273: (4, offsets), 279: (4, [len(strip) for strip in strips])}
        if description and not number:
            fields[270] = (2, description.encode() + b"\0")
        link = _append_directory(out, link, fields, order)
    path.write_bytes(out)
    return path


def _fields(samples: NDArray[Any], planar: bool, deflate: bool) -> dict[int, tuple[int, Any]]:
    height, width, num = samples.shape
    fields: dict[int, tuple[int, Any]] = {
        256: (4, width),
        257: (4, height),
        258: (3, [samples.dtype.itemsize * 8] * num),
        259: (3, 8 if deflate else 1),
        262: (3, 2 if num >= 3 else 1),
        277: (3, num),
        278: (4, height),
        284: (3, 2 if planar else 1),
        339: (3, [SAMPLE_FORMATS[samples.dtype.kind]] * num),
    }
    if num > 3:
        fields[338] = (3, [2] + [0] * (num - 4))
    return fields


def _append_directory(
    out: bytearray, link: int, fields: dict[int, tuple[int, Any]], order: str
) -> int:
    entries = b""
    for tag in sorted(fields):
        kind, value = fields[tag]
        if kind == 2:
            number, data = len(value), value
        else:
            numbers = np.atleast_1d(value).tolist()
            number = len(numbers)
            data = struct.pack(f"{order}{number}{FIELD_CODES[kind]}", *numbers)
        if len(data) > 4:
            place = len(out)
            out += data + b"\0" * (len(data) % 2)
            data = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, kind, number) + data.ljust(4, b"\0")
    struct.pack_into(order + "I", out, link, len(out))
    out += struct.pack(order + "H", len(fields)) + entries + b"\0\0\0\0"
    return len(out) - 4
