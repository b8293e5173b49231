"""16-bit PNG and TIFF files whose values use fewer bits: read all bits, scale them to 8."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stainproof.data import tiff
from stainproof.data.image_file import FORMATS, open_image
from stainproof.errors import DataError

SUFFIXES_16_BIT = frozenset({".png", ".tif", ".tiff"})
BITS_FOUND = (8, 10, 12, 14, 16)
MAX_SAMPLED = 64

_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


_GREY_ALPHA = "LA;16B"


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of the layout of stored pixels; only before they are decoded."""
    tiles = getattr(image, "tile", ())
    raw = tiles[0][3] if tiles else ""
    return str(raw if isinstance(raw, str) or not raw else raw[0])


def is_16_bit(image: Image.Image) -> bool:
    """Return whether samples have more than 8 bits; only before the pixels are decoded."""
    if image.format not in ("PNG", "TIFF"):
        return False
    return ";16" in raw_mode(image) or image.mode.startswith("I;16")


def bits_used(paths: Sequence[Path]) -> int:
    """Return how many bits the values of a set's 16-bit files use, from at most 64 of them.

    Files that state the number themselves and files that cannot be read are ignored.

    Args:
        paths: Image files of one set.

    Returns:
        8, 10, 12, 14 or 16; 16 if the sample has no 16-bit file.

    Raises:
        DataError: The largest value is not in the upper half of any of these ranges.
    """
    candidates = [path for path in paths if path.suffix.lower() in SUFFIXES_16_BIT]
    sampled = candidates[:: -(-len(candidates) // MAX_SAMPLED) or 1]
    values = [value for path in sampled if (value := _highest(path)) is not None]
    if not values:
        return 16
    highest = max(values)
    bits = next(bits for bits in BITS_FOUND if highest < 1 << bits)
    if highest >= 1 << (bits - 1):
        return bits
    wrong = "fewer than 8 bits" if bits == 8 else f"neither {bits - 2} nor {bits} bits"
    raise DataError(f"16-bit values reach {highest}, which is {wrong}; state --bits")


def _highest(path: Path) -> int | None:
    """Return the largest value of a 16-bit file that does not state its bits; else None."""
    with suppress(DataError), open_image(path) as image:
        if is_16_bit(image) and stated_bits(path, image) is None:
            return int(_colours(image, _values(path, image, tiff.pages_to_join(path, image))).max())
    return None


def stated_bits(path: Path, image: Image.Image) -> int | None:
    """Return how many of 16 bits the file itself says that its values use.

    Returns:
        8 to 15; None if the file says nothing or 16, which many writers state for any values.
    """
    if image.format == "TIFF":
        return tiff.stated_bits(image)
    return _significant_bits_of_png(path)


def _significant_bits_of_png(path: Path) -> int | None:
    """Return the largest number in the chunk sBIT, alpha left out."""
    with path.open("rb") as file:
        header = file.read(33)  # the signature and the chunk IHDR
        has_alpha = bool(header[25] & 4)
        while len(start := file.read(8)) == 8 and start[4:] != b"IDAT":
            length = int.from_bytes(start[:4], "big")
            if start[4:] == b"sBIT":
                numbers = file.read(min(length, 4))
                bits = max(numbers[:-1] if has_alpha else numbers, default=16)
                return bits if 8 <= bits < 16 else None
            file.seek(length + 4, 1)
    return None


def to_8_bits(path: Path, image: Image.Image, num_pages: int, bits: int) -> tuple[Image.Image, int]:
    """Decode a 16-bit file upright with 8 bits a sample.

    Values are shifted right. Pixels of the colour that a PNG file declares transparent turn white.

    Args:
        path: The file that `image` was opened from.
        image: A 16-bit image whose pixels are not decoded yet.
        num_pages: How many pages are its channels, see `tiff.pages_to_join`.
        bits: How many bits the values use, 8 to 16, if the file does not state it.

    Returns:
        An image of mode L, LA, RGB, RGBA or CMYK, and how many bits its values use.

    Raises:
        DataError: A value needs more bits.
    """
    stated = stated_bits(path, image)
    key = image.info.get("transparency")
    is_grey = image.mode.startswith("I")
    if (stated or bits) == 16 and key is None and not is_grey:
        return ImageOps.exif_transpose(image), 16  # Pillow keeps the upper 8 bits of colours
    white_is_zero = is_grey and tiff.tags(image).get(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO
    values = _values(path, image, num_pages)
    used = _checked_bits(path, image, int(_colours(image, values).max()), bits, stated)
    if white_is_zero:
        values = (1 << used) - 1 - values
    reduced = (values >> (used - 8)).astype(np.uint8)
    if image.mode == "RGBA":
        alpha = values[..., -1]
        reduced[..., -1] = alpha >> (8 if int(alpha.max()) >> used else used - 8)
    if key is not None:
        matches = values == np.asarray(key)
        reduced[matches if is_grey else matches.all(-1)] = 255
    num_channels = 1 if values.ndim == 2 else values.shape[2]
    mode = {1: "L", 2: "LA", 3: "RGB"}.get(num_channels, image.mode)
    return Image.frombytes(mode, values.shape[1::-1], reduced.tobytes()), used


def _checked_bits(
    path: Path, image: Image.Image, highest: int, bits: int, stated: int | None
) -> int:
    if stated and image.format == "PNG" and highest >> stated:
        return 16  # the values were scaled to 16 bits, as the PNG standard asks
    used = stated or bits
    if highest >> used:
        mend = "correct what the file states" if stated else "raise source.bits"
        raise DataError(
            f"{path}: 16-bit value {highest}; allowed with {used} bits: 0 to "
            f"{(1 << used) - 1}; {mend}"
        )
    return used


def _colours(image: Image.Image, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the values without alpha."""
    if values.ndim == 2 or image.mode != "RGBA":
        return values
    return values[..., :-1]


def _values(path: Path, image: Image.Image, num_pages: int) -> NDArray[np.uint16]:
    """Decode all 16 bits.

    Of colours Pillow keeps the upper 8 bits. The lower 8 bits are what it keeps when it decodes the
    file again in the other byte order.

    Returns:
        uint16 (height, width) for one grey page, else (height, width, channels), upright.
    """
    if image.mode.startswith("I"):
        pages = [
            np.asarray(page).astype(np.uint16) for page in tiff.upright_pages(image, num_pages)
        ]
        return pages[0] if num_pages == 1 else np.stack(pages, axis=2)
    upper = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
    raw, lower = _lower_bits(path)
    if raw == _GREY_ALPHA:
        upper, lower = lower[..., 0::2], lower[..., 1::2]
    return 256 * upper + lower


def _lower_bits(path: Path) -> tuple[str, NDArray[np.uint16]]:
    """Decode the lower 8 bits of a colour image, or all bytes of grey with alpha.

    Returns:
        Layout of the stored pixels, and uint16 (height, width, channels), 0 to 255, upright.
    """
    with Image.open(path, formats=FORMATS) as image:
        raw = raw_mode(image)
        if raw.startswith("RGBa"):
            raise DataError(
                f"{path}: premultiplied alpha (ExtraSamples 1) with fewer than 16 bits; "
                "allowed: separate alpha (ExtraSamples 2)"
            )
        other = "RGBA" if raw == _GREY_ALPHA else raw[:-1] + _SWAPPED[raw[-1]]
        image.tile = [
            tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
            for tile in image.tile
        ]
        return raw, np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
