"""Measurements: one pass over a source that computes what all checks need, in bounded memory."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.audit.duplicates import THUMB_PX, thumbnail
from stainproof.config.schema import Preprocessing
from stainproof.data.copies import invariant_key
from stainproof.data.images import Images, to_square
from stainproof.data.listing import Listing
from stainproof.data.parallel import in_order
from stainproof.errors import DataError
from stainproof.progress import Track, silent

SIZE_PX = 96
"""Side of the images that are measured."""
SMALL_PX = 48
"""Side of the images that the models of the audit use."""
QUALITIES = ("brightness", "contrast", "sharpness", "saturation", "red against blue")
"""Image properties of `quality`, in its order."""
MAX_IN_MEMORY = 20_000
"""Sets of more images keep their thumbnails in a temporary memory-mapped file."""


@dataclass(frozen=True)
class Measurements:
    """Measurements of N images; zeros for files that cannot be read."""

    errors: dict[int, str]
    """Position -> why the file cannot be read."""
    sizes: NDArray[np.int32]
    """int32 (N, 2): original width and height."""
    keys: list[bytes]
    """N keys from `copies.invariant_key`."""
    thumbs: NDArray[np.float32]
    """float32 (N, 24, 24) from `duplicates.thumbnail`."""
    small: Images
    """uint8 (N, 48, 48, 3)."""
    qualities: NDArray[np.float64]
    """float64 (N, 5), in the order of `QUALITIES`."""

    @property
    def readable(self) -> NDArray[np.int64]:
        """Return the positions of the images that could be read, ascending."""
        return np.setdiff1d(np.arange(len(self.keys)), np.fromiter(self.errors, np.int64))

    @classmethod
    def empty(cls, num: int) -> Self:
        """Return the measurements of `num` images that are to be filled in."""
        return cls(
            errors={},
            sizes=np.zeros((num, 2), dtype=np.int32),
            keys=[b""] * num,
            thumbs=_array((num, THUMB_PX, THUMB_PX), np.float32),
            small=_array((num, SMALL_PX, SMALL_PX, 3), np.uint8),
            qualities=np.zeros((num, len(QUALITIES))),
        )

    def fill(self, start: int, part: "Measurements") -> None:
        """Fill in the measurements of consecutive images, the first of them at `start`."""
        own = slice(start, start + len(part.keys))
        self.errors.update({start + index: error for index, error in part.errors.items()})
        self.keys[own] = part.keys
        self.sizes[own], self.thumbs[own] = part.sizes, part.thumbs
        self.small[own], self.qualities[own] = part.small, part.qualities


Measure = Callable[[Listing, Track], Measurements]
"""Measures a source and shows progress."""


def square(listing: Listing, index: int) -> Images:
    """Return the image that the audit measures: its centre square at 96 px.

    Raises:
        DataError: The file cannot be read.
    """
    return to_square(listing.read(index).rgb, Preprocessing(size_px=SIZE_PX))


def measure(listing: Listing, track: Track = silent) -> Measurements:
    """Read every image once and measure it, on all cores.

    Args:
        listing: The source; images that cannot be read are recorded in `errors`.
        track: Shows progress.
    """
    num = len(listing)
    found = Measurements.empty(num)

    def measure_one(index: int) -> tuple[int, str]:
        try:
            original = listing.read(index).rgb
        except DataError as error:
            return index, str(error)
        rgb = to_square(original, Preprocessing(size_px=SIZE_PX))
        found.sizes[index] = original.shape[1], original.shape[0]
        found.keys[index] = invariant_key(rgb)
        found.thumbs[index] = thumbnail(rgb)
        found.small[index] = cv2.resize(rgb, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
        found.qualities[index] = quality(rgb)
        return index, ""

    for index, error in track(in_order(measure_one, range(num)), "reading images", num):
        if error:
            found.errors[index] = error
    return found


def quality(rgb: Images) -> tuple[float, ...]:
    """Return the values named in `QUALITIES` for one image.

    Brightness and contrast are mean and standard deviation of the luminance in grey levels;
    sharpness is the logarithm of the standard deviation of its Laplacian (Pech-Pacheco et al.
    2000); saturation is the mean difference of the largest and the smallest channel; red against
    blue is the difference of the channel means.

    Args:
        rgb: uint8 (height, width, 3).
    """
    luminance = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    (mean,), (standard_deviation,) = (values.ravel() for values in cv2.meanStdDev(luminance))
    _, laplacian_deviation = cv2.meanStdDev(cv2.Laplacian(luminance, cv2.CV_32F))
    red, green, blue = cv2.split(rgb)
    saturation = cv2.mean(cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue))
    red_minus_blue = cv2.mean(red)[0] - cv2.mean(blue)[0]
    return (
        float(mean),
        float(standard_deviation),
        float(np.log1p(laplacian_deviation.item())),
        saturation[0],
        red_minus_blue,
    )


def _array(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Return zeros in memory, or memory-mapped if there are more than `MAX_IN_MEMORY` rows."""
    if shape[0] <= MAX_IN_MEMORY:
        return np.zeros(shape, dtype=dtype)
    with tempfile.TemporaryFile(dir=Path(tempfile.gettempdir())) as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
