"""Copies of images: hashes of pixels that rotated and mirrored copies share."""

import hashlib
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

Hashes = NDArray[np.uint64]


def invariant_key(rgb: Images) -> bytes:
    """Return a hash that rotated and mirrored copies of an image share.

    It is a hash of the three channels' histograms, which do not depend on pixel positions.
    Different images can share a key; `canonical_pixels` decides.

    Args:
        rgb: uint8 (height, width, 3).
    """
    counts = [cv2.calcHist([rgb], [channel], None, [256], [0, 256]) for channel in range(3)]
    return hashlib.blake2b(np.concatenate(counts).tobytes(), digest_size=16).digest()


def canonical_pixels(rgb: Images) -> bytes:
    """Return the pixels of one of the eight rotated and mirrored copies: all eight give the same.

    It is the copy whose rows at one third and at half of the height sort first; if several copies
    have the same rows, the one whose pixels sort first.

    Args:
        rgb: uint8 (height, width, 3).
    """
    sides = rgb, rgb.transpose(1, 0, 2)
    copies = [side[::down, ::right] for side in sides for down in (1, -1) for right in (1, -1)]
    for denominator in (3, 2):
        rows = [copy[len(copy) // denominator].tobytes() for copy in copies]
        first = min(rows)
        copies = [copy for copy, row in zip(copies, rows, strict=True) if row == first]
    return min(copy.tobytes() for copy in copies)


def canonical_hashes(images: Iterable[Images]) -> Hashes:
    """Hash the pixels of every image so that rotated and mirrored copies have the same hash.

    Args:
        images: uint8 (N, size, size, 3).

    Returns:
        uint64 (N,): the first 64 bits of the SHA-256 of `canonical_pixels`.
    """
    digests = b"".join(hashlib.sha256(canonical_pixels(rgb)).digest()[:8] for rgb in images)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
