"""Duplicates: images with equal pixels, and near duplicates by thumbnail correlation."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from stainproof.data.copies import canonical_hashes, canonical_pixels
from stainproof.data.images import Images

THUMB_PX = 24
NUM_RINGS = 10
"""Number of concentric rings of `ring_features`."""
NUM_COMPONENTS = 12
NUM_NEIGHBOURS = 5
MAX_FITTED_IMAGES = 10_000
CHUNK_PAIRS = 4096

MAX_DISTANCE = 0.015
"""Upper limit of the distance of near duplicates, for any set. A copy recompressed as JPEG of
quality 30, halved in size, brightened by 30 levels or with noise of 8 levels stays below 0.007; two
different cells of the PBC data set are rarely closer than 0.03.
"""

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]


def find_exact_duplicates(
    keys: Sequence[bytes], read: Callable[[int], Images]
) -> list[NDArray[np.int64]]:
    """Group images with equal pixels, including rotated and mirrored copies.

    Args:
        keys: N keys from `invariant_key`.
        read: Returns the image at a position; called only for images with equal keys.

    Returns:
        The positions of each group of two or more, ascending.
    """
    by_key: dict[bytes, list[int]] = {}
    for index, key in enumerate(keys):
        by_key.setdefault(key, []).append(index)
    by_pixels: dict[bytes, list[int]] = {}
    for members in by_key.values():
        if len(members) > 1:
            for index in members:
                by_pixels.setdefault(canonical_pixels(read(index)), []).append(index)
    return [np.array(members) for members in by_pixels.values() if len(members) > 1]


def count_copies(
    keys: Sequence[bytes],
    read: Callable[[int], Images],
    other_keys: Sequence[bytes],
    read_other: Callable[[int], Images],
) -> int:
    """Count the images of a second source that are copies of images of a first one.

    Rotated and mirrored copies count. Only images with equal keys are read.

    Args:
        keys: Keys of the first source from `invariant_key`; empty for unreadable images.
        read: Returns the image of the first source at a position.
        other_keys: Keys of the second source.
        read_other: Returns the image of the second source at a position.
    """
    shared = (set(keys) & set(other_keys)) - {b""}
    ours = canonical_hashes(read(index) for index, key in enumerate(keys) if key in shared)
    theirs = canonical_hashes(
        read_other(index) for index, key in enumerate(other_keys) if key in shared
    )
    return int(np.isin(theirs, ours).sum())


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


def find_near_duplicates(
    thumbs: Floats, deviations: float = 6.0
) -> tuple[Pairs, NDArray[np.float64], float]:
    """Find pairs of near duplicates.

    Candidates are the five nearest neighbours of each image, found with a k-d tree over the
    principal components of `ring_features`. The distance of a pair is that of `pair_distances`. The
    threshold lies `deviations` robust standard deviations below the median of the logarithmic
    distance to the nearest different cell, and is at most 0.015.

    Args:
        thumbs: float32 (N, 24, 24) from `thumbnail`.
        deviations: Number of robust standard deviations (1.4826 x median absolute deviation).

    Returns:
        Pairs int64 (M, 2), their distances float64 (M,) in [0, 2], and the threshold.
    """
    num = len(thumbs)
    if num < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0), MAX_DISTANCE
    features = ring_features(thumbs)
    centred = features - features.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:: -(-num // MAX_FITTED_IMAGES)], full_matrices=False)
    coordinates = centred @ axes[:NUM_COMPONENTS].T
    num_neighbours = min(NUM_NEIGHBOURS, num - 1)
    _, neighbours = cKDTree(coordinates).query(coordinates, k=num_neighbours + 1, workers=-1)
    queries = np.repeat(np.arange(num), num_neighbours + 1)
    candidates = np.stack([queries, neighbours.ravel()], axis=1)
    candidates = np.unique(
        np.sort(candidates[candidates[:, 0] != candidates[:, 1]], axis=1), axis=0
    )
    distances = pair_distances(thumbs, candidates)
    threshold = _threshold(candidates, distances, num, deviations)
    is_near = distances <= threshold
    return candidates[is_near], distances[is_near], threshold


def pair_distances(thumbs: Floats, pairs: Pairs) -> NDArray[np.float64]:
    """Return the distance of each pair: 1 - the largest correlation over the eight symmetries.

    Args:
        thumbs: float32 (N, 24, 24) from `thumbnail`.
        pairs: int64 (M, 2).

    Returns:
        float64 (M,), 0 to 2.
    """
    best = np.full(len(pairs), -1.0)
    for start in range(0, len(pairs), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        left, right = thumbs[pairs[part, 0]], thumbs[pairs[part, 1]]
        for mirrored in (right, right[:, :, ::-1]):
            for k in range(4):
                rotated = np.rot90(mirrored, k, axes=(1, 2))
                correlation = np.einsum("nhw,nhw->n", left, rotated)
                best[part] = np.maximum(best[part], correlation)
    return np.maximum(1.0 - best, 0.0)


def connected_groups(
    pairs: Pairs, distances: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], float]]:
    """Join pairs that share an image into groups: the connected components of the graph of pairs.

    Args:
        pairs: int64 (M, 2).
        distances: float64 (M,).

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


def _threshold(pairs: Pairs, distances: NDArray[np.float64], num: int, deviations: float) -> float:
    """Return the distance below which pairs are near duplicates.

    The distance of an image to the nearest different cell is that to its nearest neighbour beyond
    `MAX_DISTANCE`, or to its farthest neighbour if all are closer. Using the nearest neighbour of
    all would lower the threshold in a set where most images have a near duplicate.
    """
    nearest, farthest = np.full(num, np.inf), np.zeros(num)
    is_other = distances > MAX_DISTANCE
    for column in range(2):
        np.minimum.at(nearest, pairs[is_other, column], distances[is_other])
        np.maximum.at(farthest, pairs[:, column], distances)
    nearest = np.where(np.isfinite(nearest), nearest, farthest)
    logs = np.log(np.maximum(nearest, 1e-6))
    median = np.median(logs)
    standard_deviation = 1.4826 * np.median(np.abs(logs - median))
    return float(min(MAX_DISTANCE, np.exp(median - deviations * standard_deviation)))
