"""Noise filters in the Fourier domain, applied to images before prediction. Needs numpy alone."""

import numpy as np
from numpy.typing import NDArray

FILTERS = ("none", "ideal", "gaussian", "butterworth", "notch")
"""`notch` takes out periodic noise where it finds any; the others are low-pass filters."""
BUTTERWORTH_ORDER = 2
LEAST_RADIUS_PX, LEAST_EXCESS = 6, 4.0
"""A peak of periodic noise lies this many cycles an image from the middle of the spectrum at least,
and this many robust deviations above the other frequencies of its ring."""
NOTCH_PX = 1.5
"""Width (standard deviation) of what a notch takes out around a peak, in cycles an image."""

Spectrum = NDArray[np.float64]


def apply_filter(images: NDArray[np.uint8], kind: str, cutoff: float) -> NDArray[np.uint8]:
    """Return images with a filter applied; `none` returns them as they are.

    Args:
        images: uint8 (n, height, width, 3).
        kind: Name in `FILTERS`.
        cutoff: Of a low-pass filter, above 0: the frequency at which it falls off, as a share of
            the highest one along a side (Nyquist's).

    Returns:
        uint8 (n, height, width, 3).
    """
    if kind == "none" or not len(images):
        return images
    if kind == "notch":
        return without_periodic_noise(images)
    return _multiplied(images, low_pass(kind, cutoff, images.shape[1:3]))


def low_pass(kind: str, cutoff: float, shape: tuple[int, ...]) -> Spectrum:
    """Return a low-pass filter's response (Gonzalez & Woods 2018, section 4.8).

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
    """Find the frequencies of periodic noise: those that stand out from all of their ring.

    The spectrum's logarithm, under a Hann window that keeps the borders out, is compared with the
    median and the median deviation of the frequencies at the same distance from the middle.

    Args:
        images: uint8 (n, height, width, 3).

    Returns:
        bool (n, height, width), in the order of `numpy.fft.fft2`; empty planes where there is none.
    """
    height, width = images.shape[1:3]
    grey = images.mean(axis=3)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    windowed = grey * np.hanning(height)[:, None] * np.hanning(width)
    loudness = np.log(np.abs(np.fft.fft2(windowed)) + 1)
    rings = np.rint(_distances(height, width)).astype(int)
    peaks = np.zeros(loudness.shape, dtype=bool)
    for ring in range(LEAST_RADIUS_PX, min(height, width) // 2 + 1):
        members = rings == ring
        values = loudness[:, members]
        median = np.median(values, axis=1, keepdims=True)
        deviation = 1.4826 * np.median(np.abs(values - median), axis=1, keepdims=True)
        peaks[:, members] = values - median > LEAST_EXCESS * np.maximum(deviation, 0.1)
    return peaks


def without_periodic_noise(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images with a Gaussian notch at every peak of periodic noise (same, section 4.10).

    Images without such noise come back to the byte.

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
    """Return the distance of every frequency from the middle, in cycles an image."""
    rows = np.fft.fftfreq(height, 1 / height)
    columns = np.fft.fftfreq(width, 1 / width)
    distances: Spectrum = np.hypot(rows[:, None], columns)
    return distances


def _multiplied(images: NDArray[np.uint8], response: Spectrum) -> NDArray[np.uint8]:
    spectra = np.fft.fft2(images, axes=(1, 2)) * response[None, :, :, None]
    changed = np.fft.ifft2(spectra, axes=(1, 2)).real
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
