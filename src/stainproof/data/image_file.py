"""Open one image file safely: what is no regular file, too large or damaged is refused."""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from stainproof.data import jpeg, png, tiff
from stainproof.errors import DataError, first_line, in_words
from stainproof.files import check_regular, open_regular
from stainproof.text import size

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 64_000_000
MAX_BYTES = 2**30

PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its errors are raised here as well

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    AssertionError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow's decoders raise for damaged files."""


@contextmanager
def open_image(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image file and check its header; pixels are decoded in the context.

    Errors of the decoder that leave the context become a DataError.

    Args:
        path: The file.
        max_pixels: Largest number of pixels, at most 64 million.

    Raises:
        DataError: The file is missing, not a regular file, over 1 GiB, not of an allowed format,
            over `max_pixels`, damaged, truncated, a JPEG file with over 64 KiB outside of the
            segments of its header, a PNG file with over 10,000 small chunks, a TIFF file with
            samples that are not read, or takes more memory than there is.
    """
    _hush_pillow()
    try:
        check_regular(path, MAX_BYTES)
        if allowed := _exceeded(path):
            raise DataError(f"{path}: damaged; allowed: {allowed}, got more")
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise DataError(too_large(path, f"{width} x {height} pixels", max_pixels))
            if image.format == "TIFF":
                if trait := tiff.unread_trait(image):
                    raise DataError(f"{path}: {trait}")
                image.filename = ""  # no memory mapping, which scrambles turned grey files
            yield image
    except Image.DecompressionBombError as error:
        raise DataError(too_large(path, "a far larger one", max_pixels)) from error
    except UnidentifiedImageError as error:
        if tiff.is_tiff(path):
            raise DataError(f"{path}: {tiff.why_unread(path)}") from error
        raise DataError(f"{path}: not an image; allowed: {', '.join(FORMATS)}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except PermissionError as error:
        raise DataError(in_words(error)) from error
    except MemoryError as error:
        raise DataError(f"{path}: damaged, or takes more memory than there is") from error
    except DECODER_ERRORS as error:
        raise DataError(f"{path}: damaged or cut short ({first_line(error)})") from error


def _hush_pillow() -> None:
    """Suppress Pillow's warnings about what the decoder reports itself."""
    if PILLOW_WARNINGS not in warnings.filters:
        warnings.filters.insert(0, PILLOW_WARNINGS)  # type: ignore[attr-defined]


def _exceeded(path: Path) -> str:
    """Return which limit is exceeded by a file whose header takes seconds to read, or ''."""
    with open_regular(path) as file:
        if jpeg.has_junk(file):
            return f"{size(jpeg.MAX_JUNK_BYTES)} outside of the segments of a JPEG header"
        file.seek(0)
        if png.has_many_small_chunks(file):
            return f"{png.MAX_SMALL_CHUNKS:,} chunks of under 1 KiB in a PNG file"
    return ""


def too_large(name: Path | str, got: str, max_pixels: int = MAX_PIXELS) -> str:
    """Return the message about an image of too many pixels."""
    return f"{name}: refused before decoding; allowed: {max_pixels / 1e6:g} megapixels, got {got}"
