"""Overlay operations: blend an overlay image into a cell, in pixels or in the spectrum."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import scipy.fft

from stainproof.augment.geometry import d4
from stainproof.augment.optics import gaussian
from stainproof.config.schema import Preprocessing
from stainproof.data.decoding import decode, is_image
from stainproof.data.images import Images, paste, to_square
from stainproof.errors import DataError
from stainproof.synthetic.pictures import make_texture

NUM_TEXTURES = 64
"""Number of synthetic overlay images an epoch; each use takes another window and symmetry of one.
"""
MIN_WINDOW = 0.6
"""Smallest side of such a window, relative to the image."""
PICTURES_STREAM = 1
"""Separates the random stream of overlay images from the others of an epoch."""
SHARE_OF_CELLS = 0.25
"""Probability that an overlay is another cell, unless a folder is given."""
SHARE_IN_PART = 0.3
MAX_PICTURES = 4096


class OverlayPictures:
    """Source of overlay images: synthetic and new every epoch, other cells, or a folder."""

    def __init__(self, cells: Images, folder: str, seed: int):
        """Prepare the source.

        Args:
            cells: uint8 (N, height, width, 3), used as overlays too.
            folder: Folder of overlay images to use exclusively; empty: none.
            seed: Seed of the synthetic images.

        Raises:
            DataError: The folder has no image that can be read.
        """
        self.cells = cells
        self.seed = seed
        self.size = cells.shape[1:3]
        self.own = _read(Path(folder), self.size) if folder else None
        self._texture = lru_cache(maxsize=NUM_TEXTURES + 8)(self._make_texture)

    def any(self, rng: np.random.Generator, epoch: int) -> Images:
        """Return an overlay image of the images' size."""
        if self.own is None and rng.random() < SHARE_OF_CELLS:
            return self.cell(rng)
        if self.own is None:
            picture = self._texture(epoch, int(rng.random() * NUM_TEXTURES))
        else:
            picture = self.own[int(rng.random() * len(self.own))]
        height, width = self.size
        share, down, right = rng.random(3).tolist()
        share = MIN_WINDOW + (1 - MIN_WINDOW) * share
        tall, wide = max(1, int(share * height)), max(1, int(share * width))
        top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        window = picture[top : top + tall, left : left + wide]
        grown = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
        return d4(np.asarray(grown, dtype=np.uint8), 1, rng)

    def cell(self, rng: np.random.Generator) -> Images:
        """Return a random cell of the set under a random symmetry."""
        return d4(self.cells[int(rng.random() * len(self.cells))], 1, rng)

    def _make_texture(self, epoch: int, number: int) -> Images:
        rng = np.random.default_rng((self.seed, epoch, PICTURES_STREAM, number))
        return make_texture((*self.size, 3), rng)


def blend(rgb: Images, amount: float, rng: np.random.Generator, picture: Images) -> Images:
    """Blend: (1 - amount) x image + amount x overlay, over the whole image or a rectangle.

    Source: section 4 of the AN2DL paper (convex combination); Inoue 2018, "SamplePairing".
    """
    laid = cv2.addWeighted(rgb, 1 - amount, picture, amount, 0)
    return _in_window(rgb, np.asarray(laid, dtype=np.uint8), rng)


def multiply(rgb: Images, amount: float, rng: np.random.Generator, picture: Images) -> Images:
    """Multiply: image x (1 - amount + amount x overlay), over the whole image or a rectangle.

    Source: section 4 of the AN2DL paper (multiplicative overlay).
    """
    shade = cv2.addWeighted(picture, amount, picture, 0, 255 * (1 - amount))
    laid = cv2.multiply(rgb, shade, scale=1 / 255)
    return _in_window(rgb, np.asarray(laid, dtype=np.uint8), rng)


def amplitude_swap(rgb: Images, amount: float, rng: np.random.Generator, other: Images) -> Images:
    """Keep the phase spectrum; mix the amplitude spectrum with another cell's by `amount`.

    Source: Chen et al. 2021, "Amplitude-Phase Recombination"; mixing as in Xu et al. 2021, "A
    Fourier-based framework for domain generalization".
    """
    planes = [np.stack(cv2.split(x)).astype(np.float32) for x in (rgb, other)]
    own, foreign = (scipy.fft.rfft2(plane) for plane in planes)
    size = np.abs(own)
    own *= 1 - amount + np.float32(amount) * np.abs(foreign) / np.maximum(size, 1e-6)
    back = scipy.fft.irfft2(own, s=rgb.shape[:2])
    return np.asarray(cv2.merge([cv2.convertScaleAbs(x.clip(0)) for x in back]), dtype=np.uint8)


def detail_swap(rgb: Images, amount: float, rng: np.random.Generator, other: Images) -> Images:
    """Keep the low frequencies and take the high ones of another cell.

    They are separated by a Gaussian of `amount` pixels at 96 px.

    Source: Yucel et al. 2023, "HybridAugment++", section 3.2; the label stays that of the low
    frequencies.
    """
    sigma_px = amount * min(rgb.shape[:2]) / 96
    low, other_low = (gaussian(x, sigma_px) for x in (rgb, other))
    with_detail = cv2.addWeighted(low, 1, other, 1, 0, dtype=cv2.CV_16S)
    return np.asarray(cv2.subtract(with_detail, other_low, dtype=cv2.CV_8U), dtype=np.uint8)


def _in_window(rgb: Images, laid: Images, rng: np.random.Generator) -> Images:
    """For some of the images, restrict the overlay to a rectangle."""
    if rng.random() >= SHARE_IN_PART:
        return laid
    height, width = rgb.shape[:2]
    tall, wide, down, right = rng.random(4).tolist()
    tall, wide = 0.3 + 0.6 * tall, 0.3 + 0.6 * wide
    top, left = int((1 - tall) * down * height), int((1 - wide) * right * width)
    window = slice(top, top + int(tall * height)), slice(left, left + int(wide * width))
    return paste(rgb, laid, window)


def _read(folder: Path, size: tuple[int, int]) -> Images:
    """Read the images of a folder, the first 4,096 by name, cropped and resized."""
    paths = sorted(path for path in folder.rglob("*") if is_image(path)) if folder.is_dir() else []
    (height, width), square = size, Preprocessing(size_px=max(size))
    top, left = (square.size_px - height) // 2, (square.size_px - width) // 2
    pictures = []
    for path in paths[:MAX_PICTURES]:
        try:
            pictures.append(
                to_square(decode(path).rgb, square)[top : top + height, left : left + width]
            )
        except DataError:
            continue
    if not pictures:
        raise DataError(f"augment.pictures: no picture that can be read in folder {folder}")
    return np.stack(pictures)
