"""Traits of TIFF files: samples that are not read, and channels that are stored as pages."""

import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from stainproof.errors import DataError

WIDTH = 256
HEIGHT = 257
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
DESCRIPTION = 270
SAMPLES_PER_PIXEL = 277
MAX_SAMPLE_VALUE = 281
PLANAR_CONFIGURATION = 284
SAMPLE_FORMAT = 339

REQUIRED = (WIDTH, HEIGHT, PHOTOMETRIC)

WHITE_IS_ZERO = 0
SEPARATE_PLANES = 2
SAMPLE_KINDS = {2: "signed", 3: "float", 5: "complex signed", 6: "complex float"}
ALLOWED_SAMPLES = "allowed: 8- or 16-bit unsigned"

_BIG = 43
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY_MODES = ("L", "I;16", "I;16B")
_OME_CHANNELS = re.compile(r'\bSizeC="(\d{1,9})"')
_OME_BITS = re.compile(r'\bSignificantBits="(\d{1,9})"')
_IMAGEJ_CHANNELS = re.compile(r"^channels=(\d{1,9})", re.MULTILINE)


def tags(image: Image.Image) -> Any:
    """Return the tags of the selected page of a TIFF file; empty for other formats."""
    return getattr(image, "tag_v2", {})


def unread_trait(image: Image.Image) -> str:
    """Return which trait of an opened TIFF file is not read, and what is allowed; or ''."""
    return _unread_samples(tags(image))


def is_tiff(path: Path) -> bool:
    """Return whether the file begins as a TIFF file does."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def why_unread(path: Path) -> str:
    """Return why Pillow does not open a TIFF file."""
    with suppress(OSError, SyntaxError, ValueError, TypeError, IndexError, struct.error):
        found = _read_tags(path)
        if all(tag in found for tag in REQUIRED):
            return _unread_samples(found) or _layout(found)
    return "damaged or cut short (TIFF without readable tags)"


def _layout(found: ImageFileDirectory_v2) -> str:
    samples, bits = _number(found, SAMPLES_PER_PIXEL, 1), _number(found, BITS_PER_SAMPLE, 1)
    return (
        f"TIFF of {samples} samples a pixel, {bits} bits a sample, photometric interpretation "
        f"{_number(found, PHOTOMETRIC, 0)}, compression {_number(found, COMPRESSION, 1)}; "
        "allowed: grey or RGB of 8 or 16 bits, compression none, LZW, Deflate or JPEG"
    )


def _read_tags(path: Path) -> ImageFileDirectory_v2:
    with path.open("rb") as file:
        header = file.read(8)
        if header[2] == _BIG or header[3] == _BIG:
            header += file.read(8)
        found = ImageFileDirectory_v2(header)
        file.seek(found.next)
        found.load(file)
        return found


def _number(found: Any, tag: int, default: int) -> int:
    """Return a tag's number, the largest of several."""
    value = found.get(tag, default)
    return int(max(value)) if isinstance(value, tuple) else int(value)


def _unread_samples(found: Any) -> str:
    samples, bits = _number(found, SAMPLES_PER_PIXEL, 1), _number(found, BITS_PER_SAMPLE, 1)
    kind = SAMPLE_KINDS.get(_number(found, SAMPLE_FORMAT, 1), "unsigned")
    if samples > 4:
        return f"{samples} samples a pixel; allowed 1, 3 or 4"
    if kind != "unsigned" or bits > 16:
        return f"{bits}-bit {kind} samples; {ALLOWED_SAMPLES}"
    if bits > 8 and samples > 1 and _number(found, PLANAR_CONFIGURATION, 1) == SEPARATE_PLANES:
        return (
            f"{bits}-bit samples in separate planes (PlanarConfiguration 2); "
            "allowed: interleaved channels (PlanarConfiguration 1)"
        )
    return ""


def pages_to_join(path: Path, image: Image.Image) -> int:
    """Return how many pages are the channels of one image: 3, or 1 if the first page is the image.

    Three grey pages of one size are joined if their ImageDescription (OME or ImageJ) says that
    there are three channels. Of pages in colour or of different sizes the first is the image.

    Raises:
        DataError: Several grey pages of one size, or one page of several channels.
    """
    if image.format != "TIFF" or image.mode not in _GREY_MODES:
        return 1
    channels = _described_channels(image)
    pages = _grey_pages(path, image) if getattr(image, "is_animated", False) else 1
    if pages == channels == 3:
        return 3
    if pages == channels == 1:
        return 1
    number = str(pages) if pages <= 3 else "more than 3"
    raise DataError(
        f"{path}: grey pages of one size: {number}, channels in ImageDescription: {channels}; "
        "allowed: 1 page, or 3 pages with 3 channels (OME or ImageJ)"
    )


def upright_pages(image: Image.Image, num_pages: int) -> list[Image.Image]:
    """Decode the first pages; EXIF orientation is applied."""
    pages = [ImageOps.exif_transpose(image)]
    for page in range(1, num_pages):
        image.seek(page)
        pages.append(ImageOps.exif_transpose(image))
    return pages


def join(image: Image.Image, num_pages: int) -> Image.Image:
    """Decode an 8-bit image upright; the channels may be pages (`pages_to_join`)."""
    pages = upright_pages(image, num_pages)
    return pages[0] if num_pages == 1 else Image.merge("RGB", pages)


def _described_channels(image: Image.Image) -> int:
    description = str(tags(image).get(DESCRIPTION, ""))
    if description.startswith("ImageJ="):
        found = _IMAGEJ_CHANNELS.search(description)
    else:
        found = _OME_CHANNELS.search(description) if "<OME" in description else None
    return int(found[1]) if found else 1


def _grey_pages(path: Path, first: Image.Image) -> int:
    """Count pages, at most 4, if all are as the first; else return 1."""
    with Image.open(path, formats=("TIFF",)) as image:
        for page in range(1, 4):
            try:
                image.seek(page)
            except EOFError:
                return page
            except (SyntaxError, KeyError, IndexError, TypeError, ValueError, struct.error):
                return 1  # an unreadable page beside the first is no channel of it
            if (image.size, image.mode) != (first.size, first.mode):
                return 1
    return 4


def stated_bits(image: Image.Image) -> int | None:
    """Return how many bits of 16 the file says its values use; None if it says nothing or 16.

    OME-XML states SignificantBits. BitsPerSample is 12 if the file packs its values. Of
    MaxSampleValue only numbers such as 4095 are a range of values; others are a statistic.
    """
    found = tags(image)
    highest = _number(found, MAX_SAMPLE_VALUE, 0)
    description = str(found.get(DESCRIPTION, ""))
    described = _OME_BITS.search(description) if "<OME" in description else None
    statements = (
        int(described[1]) if described else 16,
        _number(found, BITS_PER_SAMPLE, 16),
        highest.bit_length() if highest & (highest + 1) == 0 else 16,
    )
    return next((bits for bits in statements if 8 <= bits < 16), None)
