"""Decode one image file to an RGB array; damaged, hostile and unusual files are expected."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stainproof.data import tiff
from stainproof.data.bit_depth import is_16_bit, to_8_bits
from stainproof.data.image_file import DECODER_ERRORS, MAX_PIXELS, open_image, too_large
from stainproof.data.images import Images
from stainproof.errors import DataError, first_line

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})
UNREAD_SUFFIXES = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".psd", ".dcm"}  # other images
    | {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vsi", ".czi", ".lif", ".nd2"}  # microscopes
    | {".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".dng"}  # cameras
)
"""Formats of images that are not read."""


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file, and what was converted."""

    rgb: Images
    """uint8 (height, width, 3), 0 to 255."""
    notes: tuple[str, ...]
    """For instance `grey`, `16-bit`; empty for an 8-bit RGB file."""


def is_image(path: Path) -> bool:
    """Return whether the file name has the suffix of an image format that can be read."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_unread_image(path: Path) -> bool:
    """Return whether the file name has the suffix of an image format that is not read."""
    return path.suffix.lower() in UNREAD_SUFFIXES and not path.name.startswith(".")


def decode(path: Path, bits: int = 16, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode one JPEG, PNG, BMP, TIFF or WebP file.

    The header is checked before anything is decoded. EXIF orientation is applied; grey becomes
    three equal channels; transparent pixels become white; of several frames the first is used,
    except that three grey pages of a TIFF file that says that it has three channels (OME, ImageJ)
    become red, green and blue. `notes` lists which of these happened.

    Args:
        path: The file.
        bits: How many bits the values of 16-bit files use, 8 to 16; they are scaled to 8 bits by
            a shift of `bits - 8`. A file's own statement has precedence: TIFF MaxSampleValue,
            OME-XML SignificantBits, or the PNG chunk sBIT. Other files ignore it.
        max_pixels: Largest number of pixels, at most 64 million.

    Raises:
        DataError: The file is missing, not a regular file, not such an image, damaged, truncated,
            larger than 1 GiB or `max_pixels`, has a value that needs more than `bits`, is a JPEG
            file with over 64 KiB outside of the segments of its header, a PNG file with over 10,000
            small chunks, or a TIFF file with a trait that is not read.
    """
    with open_image(path, max_pixels) as image:
        num_pages = tiff.pages_to_join(path, image)
        has_16_bits = is_16_bit(image)
        notes = list(_oddities(image, num_pages))
        if has_16_bits:
            upright, used = to_8_bits(path, image, num_pages, bits)
            notes.insert(0, "16-bit" if used == 16 else f"16-bit file, {used}-bit values")
        else:
            upright = tiff.join(image, num_pages)
        return Decoded(np.array(_opaque_rgb(upright)), tuple(notes))


def from_pillow(image: Image.Image, name: str) -> Decoded:
    """Convert an image that Pillow has opened or made; see `decode` for what is converted.

    Args:
        image: The image; 16-bit values are reduced to their upper 8 bits.
        name: What the error message calls it.

    Raises:
        DataError: It is damaged, closed, empty, of 32 bits, or larger than 64 megapixels.
    """
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(too_large(name, f"{width} x {height} pixels"))
    if image.mode in ("I", "F"):
        raise DataError(f"{name}: 32-bit samples; allowed: 8- or 16-bit unsigned")
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        notes = tuple(_oddities(image, 1))
        return Decoded(np.array(_opaque_rgb(upright)), notes)
    except DECODER_ERRORS as error:
        raise DataError(f"{name}: damaged or cut short ({first_line(error)})") from error


def _opaque_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _oddities(image: Image.Image, num_pages: int) -> Iterator[str]:
    if num_pages > 1:
        yield f"channels joined from {num_pages} pages"
    elif image.mode.partition(";")[0] in ("1", "L", "LA", "La", "I", "F"):
        yield "grey"
    if image.has_transparency_data:
        yield "transparent"
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") and image.format != "JPEG":
        yield image.mode
    if image.mode == "CMYK" and image.format == "JPEG":
        yield "CMYK"
    if num_pages == 1 and getattr(image, "is_animated", False):
        yield "several frames"
    if image.getexif().get(0x0112, 1) != 1:
        yield "turned by EXIF"
