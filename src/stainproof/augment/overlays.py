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
"""Number of synthetic overlay images an epoch; each use takes a random window and symmetry of one.
"""
MIN_WINDOW_SIDE = 0.6
"""Smallest side of the window that is cut out of an overlay image, relative to the image."""
OVERLAY_STREAM = 1
"""Separates the random stream of synthetic overlays from the other streams of an epoch."""
CELL_PROBABILITY = 0.25
"""Probability that an overlay is another cell, unless a folder of overlay images is given."""
WINDOW_PROBABILITY = 0.3
"""Probability that an overlay covers a rectangle instead of the whole image."""
MAX_FOLDER_IMAGES = 4096


class OverlaySource:
    """Provides overlay images: synthetic ones, new every epoch, and other cells; or a folder's."""

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
        self.folder_images = _read_folder(Path(folder), self.size) if folder else None
        self._texture = lru_cache(maxsize=NUM_TEXTURES + 8)(self._make_texture)

    def sample(self, rng: np.random.Generator, epoch: int) -> Images:
        """Return a random overlay image, uint8, of the shape of a cell.

        Args:
            rng: Random generator.
            epoch: Selects the synthetic overlay images.
        """
        if self.folder_images is None and rng.random() < CELL_PROBABILITY:
            return self.sample_cell(rng)
        if self.folder_images is None:
            overlay = self._texture(epoch, int(rng.random() * NUM_TEXTURES))
        else:
            overlay = self.folder_images[int(rng.random() * len(self.folder_images))]
        height, width = self.size
        side, y, x = rng.random(3).tolist()
        side = MIN_WINDOW_SIDE + (1 - MIN_WINDOW_SIDE) * side
        window_height, window_width = max(1, int(side * height)), max(1, int(side * width))
        top, left = int(y * (height - window_height + 1)), int(x * (width - window_width + 1))
        window = overlay[top : top + window_height, left : left + window_width]
        resized = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
        return d4(np.asarray(resized, dtype=np.uint8), 1, rng)

    def sample_cell(self, rng: np.random.Generator) -> Images:
        """Return a random cell of the set under a random symmetry of the square."""
        return d4(self.cells[int(rng.random() * len(self.cells))], 1, rng)

    def _make_texture(self, epoch: int, number: int) -> Images:
        rng = np.random.default_rng((self.seed, epoch, OVERLAY_STREAM, number))
        return make_texture((*self.size, 3), rng)


def blend(rgb: Images, magnitude: float, rng: np.random.Generator, overlay: Images) -> Images:
    """Alpha-blend with an overlay of weight `magnitude`, over the whole image or a rectangle.

    Source: section 4 of the AN2DL paper (convex combination); Inoue 2018, "SamplePairing".
    """
    blended = cv2.addWeighted(rgb, 1 - magnitude, overlay, magnitude, 0)
    return _maybe_in_window(rgb, np.asarray(blended, dtype=np.uint8), rng)


def multiply(rgb: Images, magnitude: float, rng: np.random.Generator, overlay: Images) -> Images:
    """Multiply by 1 - magnitude + magnitude x overlay, over the whole image or a rectangle.

    Source: section 4 of the AN2DL paper (multiplicative overlay).
    """
    factor = cv2.addWeighted(overlay, magnitude, overlay, 0, 255 * (1 - magnitude))
    blended = cv2.multiply(rgb, factor, scale=1 / 255)
    return _maybe_in_window(rgb, np.asarray(blended, dtype=np.uint8), rng)


def amplitude_swap(
    rgb: Images, magnitude: float, rng: np.random.Generator, other: Images
) -> Images:
    """Keep the phases; blend the Fourier amplitudes with another cell's, weight `magnitude`.

    Source: Chen et al. 2021, "Amplitude-Phase Recombination"; mixing as in Xu et al. 2021, "A
    Fourier-based framework for domain generalization".
    """
    channels = [np.stack(cv2.split(x)).astype(np.float32) for x in (rgb, other)]
    spectrum, other_spectrum = (scipy.fft.rfft2(x) for x in channels)
    amplitude = np.maximum(np.abs(spectrum), 1e-6)
    spectrum *= 1 - magnitude + np.float32(magnitude) * np.abs(other_spectrum) / amplitude
    swapped = scipy.fft.irfft2(spectrum, s=rgb.shape[:2])
    return np.asarray(cv2.merge([cv2.convertScaleAbs(x.clip(0)) for x in swapped]), dtype=np.uint8)


def detail_swap(rgb: Images, magnitude: float, rng: np.random.Generator, other: Images) -> Images:
    """Keep the low frequencies and take the high frequencies of another cell.

    They are separated by a Gaussian filter; sigma is `magnitude` pixels for a side of 96 px.

    Source: Yucel et al. 2023, "HybridAugment++", section 3.2; the label stays that of the low
    frequencies.
    """
    sigma_px = magnitude * min(rgb.shape[:2]) / 96
    low, other_low = (gaussian(x, sigma_px) for x in (rgb, other))
    with_detail = cv2.addWeighted(low, 1, other, 1, 0, dtype=cv2.CV_16S)
    return np.asarray(cv2.subtract(with_detail, other_low, dtype=cv2.CV_8U), dtype=np.uint8)


def _maybe_in_window(rgb: Images, blended: Images, rng: np.random.Generator) -> Images:
    """Restrict a blend to a random rectangle, with probability `WINDOW_PROBABILITY`."""
    if rng.random() >= WINDOW_PROBABILITY:
        return blended
    height, width = rgb.shape[:2]
    window_height, window_width, y, x = rng.random(4).tolist()
    window_height, window_width = 0.3 + 0.6 * window_height, 0.3 + 0.6 * window_width
    top, left = int((1 - window_height) * y * height), int((1 - window_width) * x * width)
    rows = slice(top, top + int(window_height * height))
    columns = slice(left, left + int(window_width * width))
    return paste(rgb, blended, (rows, columns))


def _read_folder(folder: Path, size: tuple[int, int]) -> Images:
    """Read the images of a folder, the first 4,096 by name, resized and centre-cropped.

    Returns:
        uint8 (N, height, width, 3). Files that cannot be read are skipped.

    Raises:
        DataError: No file can be read.
    """
    paths = sorted(path for path in folder.rglob("*") if is_image(path)) if folder.is_dir() else []
    (height, width), square = size, Preprocessing(size_px=max(size))
    top, left = (square.size_px - height) // 2, (square.size_px - width) // 2
    images = []
    for path in paths[:MAX_FOLDER_IMAGES]:
        try:
            images.append(
                to_square(decode(path).rgb, square)[top : top + height, left : left + width]
            )
        except DataError:
            continue
    if not images:
        raise DataError(f"augment.pictures: no readable image in the folder {folder}")
    return np.stack(images)
