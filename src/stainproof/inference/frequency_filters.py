"""Noise filters in the Fourier domain, applied before inference. Needs numpy only."""

import numpy as np
from numpy.typing import NDArray

FILTERS = ("none", "ideal", "gaussian", "butterworth", "notch")
"""`notch` removes periodic noise; the others but `none` are low-pass filters."""
BUTTERWORTH_ORDER = 2
MIN_RADIUS_PX, MIN_EXCESS = 6, 4.0
"""Minimum frequency of a peak of periodic noise in cycles per image, and its minimum height above
the other frequencies of its ring in robust standard deviations.
"""
NOTCH_PX = 1.5
"""Standard deviation of a notch in cycles per image."""

Spectrum = NDArray[np.float64]


def apply_filter(images: NDArray[np.uint8], kind: str, cutoff: float) -> NDArray[np.uint8]:
    """Apply a filter to images; `none` returns them unchanged.

    Args:
        images: uint8 (n, height, width, 3).
        kind: Name in `FILTERS`.
        cutoff: Cutoff frequency of a low-pass filter as a fraction of Nyquist's, above 0.

    Returns:
        uint8 (n, height, width, 3).
    """
    if kind == "none" or not len(images):
        return images
    if kind == "notch":
        return without_periodic_noise(images)
    return _multiplied(images, low_pass(kind, cutoff, images.shape[1:3]))


def low_pass(kind: str, cutoff: float, shape: tuple[int, ...]) -> Spectrum:
    """Return the frequency response of a low-pass filter (Gonzalez & Woods 2018, section 4.8).

    Args:
        kind: `ideal`, `gaussian` or `butterworth` (of order 2).
        cutoff: As in `apply_filter`.
        shape: Height and width of the images.

    Returns:
        float64 (height, width), 0 to 1, in the order of `numpy.fft.fft2`.
    """
    rows, columns = (np.fft.fftfreq(length) * 2 for length in shape)
    share: Spectrum = np.hypot(rows[:, None], columns) / cutoff
    responses: dict[str, Spectrum] = {
        "ideal": (share <= 1).astype(np.float64),
        "gaussian": np.exp(-(share**2) / 2),
        "butterworth": 1 / (1 + share ** (2 * BUTTERWORTH_ORDER)),
    }
    return responses[kind]


def periodic_peaks(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the frequencies of periodic noise: peaks above the other frequencies of their ring.

    The log spectrum under a Hann window is compared with the median and the median absolute
    deviation of the frequencies at the same distance from zero.

    Args:
        images: uint8 (n, height, width, 3).

    Returns:
        bool (n, height, width), in the order of `numpy.fft.fft2`.
    """
    height, width = images.shape[1:3]
    grey = images.mean(axis=3)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    windowed = grey * np.hanning(height)[:, None] * np.hanning(width)
    loudness = np.log(np.abs(np.fft.fft2(windowed)) + 1)
    rings = np.rint(_distances(height, width)).astype(int)
    peaks = np.zeros(loudness.shape, dtype=bool)
    for ring in range(MIN_RADIUS_PX, min(height, width) // 2 + 1):
        members = rings == ring
        values = loudness[:, members]
        median = np.median(values, axis=1, keepdims=True)
        deviation = 1.4826 * np.median(np.abs(values - median), axis=1, keepdims=True)
        peaks[:, members] = values - median > MIN_EXCESS * np.maximum(deviation, 0.1)
    return peaks


def without_periodic_noise(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply a Gaussian notch at every peak of periodic noise (same book, section 4.10).

    Images without such noise are returned unchanged.

    Args:
        images: uint8 (n, height, width, 3).
    """
    cleaned = images.copy()
    height, width = images.shape[1:3]
    squared = _distances(height, width) ** 2
    hole = 1 - np.exp(-squared / (2 * NOTCH_PX**2))
    for index, peaks in enumerate(periodic_peaks(images)):
        response = np.ones((height, width))
        for row, column in np.argwhere(peaks):
            response *= np.roll(hole, (row, column), axis=(0, 1))
        if peaks.any():
            cleaned[index] = _multiplied(images[index : index + 1], response)[0]
    return cleaned


def _distances(height: int, width: int) -> Spectrum:
    """Return the distance of every frequency from zero in cycles per image."""
    rows = np.fft.fftfreq(height, 1 / height)
    columns = np.fft.fftfreq(width, 1 / width)
    distances: Spectrum = np.hypot(rows[:, None], columns)
    return distances


def _multiplied(images: NDArray[np.uint8], response: Spectrum) -> NDArray[np.uint8]:
    spectra = np.fft.fft2(images, axes=(1, 2)) * response[None, :, :, None]
    changed = np.fft.ifft2(spectra, axes=(1, 2)).real
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
