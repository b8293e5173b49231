"""Decode one image file to an RGB array; damaged, hostile and unusual files are expected."""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stainproof.data.images import Images
from stainproof.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 64_000_000

PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow's decoders raise for damaged files."""


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file, and what was converted."""

    rgb: Images
    """uint8 (height, width, 3), 0 to 255."""
    notes: tuple[str, ...]
    """For instance `grey`, `16-bit`; empty for an 8-bit RGB file."""


def is_visible_file(file: Path, folder: Path) -> bool:
    """Return whether this is a file and in no hidden folder below the given one."""
    inner = file.relative_to(folder).parts[:-1]
    return file.is_file() and not any(part.startswith(".") for part in inner)


def is_image(path: Path) -> bool:
    """Return whether the file name has the suffix of an image format that can be read."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def decode(path: Path) -> Decoded:
    """Decode one JPEG, PNG, BMP, TIFF or WebP file.

    The header is checked before anything is decoded. EXIF orientation is applied; grey becomes
    three equal channels; 16-bit values are reduced to their upper 8 bits; transparent pixels become
    white; of several frames the first is used. `notes` lists which of these happened.

    Raises:
        DataError: The file is missing, not such an image, damaged, truncated, or larger than 64
            megapixels.
    """
    _hush_pillow()
    try:
        with Image.open(path, formats=FORMATS) as image:
            return from_pillow(image, path)
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path, "a far larger one")) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not an image; allowed: {', '.join(FORMATS)}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except _DECODER_ERRORS as error:
        raise DataError(f"{path}: damaged or cut short ({error})") from error


def from_pillow(image: Image.Image, name: str | Path) -> Decoded:
    """Convert an image that Pillow has opened or made; see `decode` for what is converted.

    Args:
        image: The image.
        name: What the error message calls it.

    Raises:
        DataError: It is damaged, closed, empty, of 32 bits, or larger than 64 megapixels.
    """
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(_too_large(name, f"{width} x {height} pixels"))
    try:
        return _to_rgb(image)
    except _DECODER_ERRORS as error:
        raise DataError(f"{name}: damaged or cut short ({error})") from error


def _hush_pillow() -> None:
    """Suppress Pillow's warnings about what `decode` reports itself."""
    if PILLOW_WARNINGS not in warnings.filters:
        warnings.filters.insert(0, PILLOW_WARNINGS)  # type: ignore[attr-defined]


def _too_large(name: str | Path, got: str) -> str:
    return f"{name}: refused before decoding; allowed: {MAX_PIXELS // 10**6} megapixels, got {got}"


def _to_rgb(image: Image.Image) -> Decoded:
    notes = list(_oddities(image))
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") and "16-bit" not in notes:
        raise ValueError("32-bit pixels; allowed are 8 or 16 bits")
    if upright.mode.startswith("I"):
        upright = _upper_bits(upright)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        upright = Image.alpha_composite(white, rgba)
    return Decoded(np.array(upright.convert("RGB")), tuple(notes))


def _upper_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit grey; transparent values become white."""
    values = np.asarray(image).astype(np.int64)
    grey = np.clip(values >> 8, 0, 255).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _oddities(image: Image.Image) -> Iterator[str]:
    raw_mode = str([tile[3] for tile in getattr(image, "tile", ())])
    if ";16" in raw_mode or image.mode.startswith("I;16"):
        yield "16-bit"
    if image.mode.partition(";")[0] in ("1", "L", "LA", "La", "I", "F"):
        yield "grey"
    if image.has_transparency_data:
        yield "transparent"
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") and image.format != "JPEG":
        yield image.mode
    if image.mode == "CMYK" and image.format == "JPEG":
        yield "CMYK"
    if getattr(image, "is_animated", False):
        yield "several frames"
    if image.getexif().get(0x0112, 1) != 1:
        yield "turned by EXIF"
