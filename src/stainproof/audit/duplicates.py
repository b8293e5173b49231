"""Duplicates: images with equal pixels, and near duplicates by thumbnail correlation."""

import hashlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from stainproof.data.images import Images

THUMB_PX = 24
NUM_RINGS = 10
NUM_COMPONENTS = 12
NUM_NEIGHBOURS = 5
FITTED_IMAGES = 10_000
CHUNK_PAIRS = 4096

MAX_DISTANCE = 0.015
"""Upper limit of the distance of near duplicates, for any set. A copy recompressed as JPEG of
quality 30, halved in size, brightened by 30 levels or with noise of 8 levels stays below 0.007; two
different cells of the PBC data set are rarely closer than 0.03.
"""

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]


def invariant_key(rgb: Images) -> bytes:
    """Return a hash that rotated and mirrored copies of an image share.

    It is a hash of the three channels' histograms, which do not depend on pixel positions.

    Args:
        rgb: uint8 (height, width, 3).
    """
    counts = [cv2.calcHist([rgb], [channel], None, [256], [0, 256]) for channel in range(3)]
    return hashlib.blake2b(np.concatenate(counts).tobytes(), digest_size=16).digest()


def canonical_pixels(rgb: Images) -> bytes:
    """Return the pixels of the one of the eight rotated and mirrored copies that sorts first."""
    sides = (rgb, rgb[:, ::-1])
    return min(np.rot90(side, k).tobytes() for side in sides for k in range(4))


def exact_groups(keys: Sequence[bytes], read: Callable[[int], Images]) -> list[NDArray[np.int64]]:
    """Group images with equal pixels, including rotated and mirrored copies.

    Args:
        keys: N keys from `invariant_key`.
        read: Returns the image at a position; called only for images with equal keys.

    Returns:
        The positions of each group of two or more, ascending.
    """
    alike: dict[bytes, list[int]] = {}
    for index, key in enumerate(keys):
        alike.setdefault(key, []).append(index)
    same: dict[bytes, list[int]] = {}
    for members in alike.values():
        if len(members) > 1:
            for index in members:
                same.setdefault(canonical_pixels(read(index)), []).append(index)
    return [np.array(members) for members in same.values() if len(members) > 1]


def thumbnail(rgb: Images) -> Floats:
    """Return the green channel as a thumbnail with mean 0 and norm 1.

    Brightness, contrast, size and compression hardly change it: green has most of a stain's
    contrast, is rarely clipped, and is preserved better by JPEG than red and blue.

    Args:
        rgb: uint8 (height, width, 3).

    Returns:
        float32 (24, 24).
    """
    green = np.ascontiguousarray(rgb[:, :, 1])
    small = cv2.resize(green, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), dtype=np.float32)


def ring_features(thumbs: Floats) -> Floats:
    """Compute rotation- and mirror-invariant features: mean and standard deviation on rings.

    Args:
        thumbs: float32 (N, 24, 24).

    Returns:
        float32 (N, 20).
    """
    axis = np.arange(THUMB_PX) - (THUMB_PX - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    ring = np.minimum(radius / radius.max() * NUM_RINGS, NUM_RINGS - 1).astype(int)
    columns = []
    for index in range(NUM_RINGS):
        pixels = thumbs[:, ring == index]
        columns += [pixels.mean(axis=1), pixels.std(axis=1)]
    return np.stack(columns, axis=1)


def near_pairs(thumbs: Floats, tail: float = 6.0) -> tuple[Pairs, NDArray[np.float64], float]:
    """Find pairs of near duplicates.

    A k-d tree over invariant features gives five neighbours of each image. The distance of a pair
    is 1 - the correlation of the thumbnails, the best of eight rotated and mirrored positions. The
    threshold lies `tail` robust standard deviations below the median logarithm of the distance to
    the nearest other cell, and never above 0.015.

    Args:
        thumbs: float32 (N, 24, 24) from `thumbnail`.
        tail: Number of robust standard deviations (1.4826 x median absolute deviation).

    Returns:
        Pairs int64 (M, 2), their distances float64 (M,) in [0, 2], and the threshold.
    """
    num = len(thumbs)
    if num < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0), MAX_DISTANCE
    features = ring_features(thumbs)
    centred = features - features.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:: -(-num // FITTED_IMAGES)], full_matrices=False)
    points = centred @ axes[:NUM_COMPONENTS].T
    num_neighbours = min(NUM_NEIGHBOURS, num - 1)
    _, neighbours = cKDTree(points).query(points, k=num_neighbours + 1, workers=-1)
    first = np.repeat(np.arange(num), num_neighbours + 1)
    candidates = np.stack([first, neighbours.ravel()], axis=1)
    candidates = np.unique(
        np.sort(candidates[candidates[:, 0] != candidates[:, 1]], axis=1), axis=0
    )
    distances = pair_distances(thumbs, candidates)
    threshold = _threshold(candidates, distances, num, tail)
    near = distances <= threshold
    return candidates[near], distances[near], threshold


def pair_distances(thumbs: Floats, pairs: Pairs) -> NDArray[np.float64]:
    """Return 1 - the correlation of each pair, the best of eight positions; float64 (M,)."""
    best = np.full(len(pairs), -1.0)
    for start in range(0, len(pairs), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        left, right = thumbs[pairs[part, 0]], thumbs[pairs[part, 1]]
        for side in (right, right[:, :, ::-1]):
            for k in range(4):
                turned = np.rot90(side, k, axes=(1, 2))
                match = np.einsum("nhw,nhw->n", left, turned)
                best[part] = np.maximum(best[part], match)
    return np.maximum(1.0 - best, 0.0)


def chained(pairs: Pairs, distances: NDArray[np.float64]) -> list[tuple[NDArray[np.int64], float]]:
    """Join pairs that share an image into groups (connected components).

    Returns:
        For every group its positions, ascending, and the largest distance among its pairs.
    """
    if not len(pairs):
        return []
    num = int(pairs.max()) + 1
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(num, num))
    _, component = connected_components(graph, directed=False)
    groups = []
    for number in np.unique(component[pairs[:, 0]]):
        members = np.flatnonzero(component == number)
        groups.append((members, float(distances[component[pairs[:, 0]] == number].max())))
    return groups


def _threshold(pairs: Pairs, distances: NDArray[np.float64], num: int, tail: float) -> float:
    """Return the distance below which pairs are near duplicates.

    The typical distance of two different cells is taken from each image's nearest neighbour beyond
    `MAX_DISTANCE`, or from its farthest neighbour if all are closer. Otherwise a set with many
    duplicates would hide them.
    """
    nearest, farthest = np.full(num, np.inf), np.zeros(num)
    other = distances > MAX_DISTANCE
    for column in range(2):
        np.minimum.at(nearest, pairs[other, column], distances[other])
        np.maximum.at(farthest, pairs[:, column], distances)
    nearest = np.where(np.isfinite(nearest), nearest, farthest)
    logs = np.log(np.maximum(nearest, 1e-6))
    middle = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - middle))
    return float(min(MAX_DISTANCE, np.exp(middle - tail * deviation)))
