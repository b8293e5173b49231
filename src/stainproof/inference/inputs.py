"""What a classifier takes as images: files, Pillow images and arrays, turned into RGB arrays."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode, from_pillow
from stainproof.data.images import Images
from stainproof.errors import DataError

ImageLike = str | Path | Image.Image | Images
"""One image: the path of a file, a Pillow image, or uint8 (height, width, 3) RGB or
(height, width) grey."""

ALLOWED = (
    "allowed: the path of an image file, a Pillow image, uint8 (height, width, 3) RGB or "
    "(height, width) grey"
)


def as_list(images: ImageLike | Sequence[ImageLike]) -> Images | Sequence[ImageLike]:
    """Return a list or a batch of images as it is, and one image as a list of one.

    Raises:
        DataError: It is neither, or an empty list.
    """
    if isinstance(images, np.ndarray):
        return images if images.ndim == 4 else [images]
    if not isinstance(images, list | tuple):
        return [images]  # type: ignore[list-item]  # `as_rgb` refuses what is no image
    if not images:
        raise DataError(f"images: {ALLOWED}, or a list of these; got an empty {_kind(images)}")
    return images


def rgb_batches(images: ImageLike | Sequence[ImageLike], batch_size: int) -> Iterator[list[Images]]:
    """Yield images as arrays, `batch_size` at a time, the last batch perhaps smaller.

    16-bit files are scaled by the number of bits that the values of all of them use, see
    `bit_depth.bits_used`.

    Args:
        images: One image, or a list of images.
        batch_size: 1 or more.

    Raises:
        DataError: As `as_list` and `as_rgb`.
    """
    given = as_list(images)
    bits = bits_used([Path(one) for one in given if isinstance(one, str | Path)])
    for start in range(0, len(given), batch_size):
        some = given[start : start + batch_size]
        yield [as_rgb(image, index, bits) for index, image in enumerate(some, start)]


def as_rgb(image: object, index: int, bits: int = 0) -> Images:
    """Return one image as an array.

    Args:
        image: See `ImageLike`.
        index: Its position among the images, for the error message.
        bits: Number of bits that the values of a 16-bit file use; 0: found in this file.

    Returns:
        uint8 (height, width, 3), channels in the order red, green, blue.

    Raises:
        DataError: It is not such an image, the file cannot be read, or its bit depth is ambiguous.
    """
    if isinstance(image, str | Path):
        path = Path(image)
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name its files, or use stainproof.predict")
        return decode(path, bits or bits_used([path])).rgb
    if isinstance(image, Image.Image):
        return from_pillow(image, f"image {index}").rgb
    if not isinstance(image, np.ndarray):
        raise DataError(f"image {index}: {ALLOWED}; got {_kind(image)}")
    got = f"got {image.dtype} {image.shape}"
    if image.dtype != np.uint8:
        hint = "; scale floats in [0, 1] by 255 first" if image.dtype.kind == "f" else ""
        raise DataError(f"image {index}: {ALLOWED}; {got}{hint}")
    if 0 in image.shape or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise DataError(f"image {index}: {ALLOWED}; {got}")
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
