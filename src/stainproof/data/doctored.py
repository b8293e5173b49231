"""Doctored images: cells with a foreign picture blended in, found without an example of it.

A microscope has no preferred direction: turned and mirrored cells are as likely as cells. A
picture laid over many images at one place is not turned with them. So the set itself, turned and
mirrored, says how alike cells can be by chance, and whatever is more alike than that is no cell.

Images are whitened by the covariance of the set and its eight symmetries, which mutes what cells
have in common and leaves what they cannot share. Then

- groups: images whose whitened pixels agree with each other more than turned ones ever do; the
  common template is refined as a matched filter (Turin 1960) until its members stay the same;
- singles: images with more energy in some band of the whitened spectrum than the rest of the set.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images

SIDE_PX = 24
FITTED_IMAGES = 4000
FLOOR = 1.0
"""Variance, in squared grey levels, added to every direction: that of sensor and JPEG noise."""
NUM_ANCHORS = 3000
NUM_NEIGHBOURS = 5
NUM_DIRECTIONS = 4
MARGIN = 1.15
FEWEST_MEMBERS = 4
MOST_GROUPS = 32
MOST_ROUNDS = 12
FEWEST_IMAGES = 50
CHUNK = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DoctoredImage:
    """One doctored image."""

    index: int
    group: int | None
    """Number of the group that shares one picture, from 0; none for a single image."""
    score: float
    threshold: float


@dataclass(frozen=True)
class Doctored:
    """The doctored images of a set."""

    images: list[DoctoredImage]
    """By position; the members of a group share its number."""
    pictures: list[Images]
    """The foreign picture of every group as far as it shows, uint8 rgb."""


def turned(flat: Floats) -> Iterator[Floats]:
    """Give the eight symmetries of flattened square images, the images themselves first.

    Args:
        flat: float32 (N, side x side x 3).
    """
    pixels = flat.reshape(len(flat), SIDE_PX, SIDE_PX, 3)
    for side in (pixels, pixels[:, :, ::-1]):
        for k in range(4):
            yield np.ascontiguousarray(np.rot90(side, k, axes=(1, 2))).reshape(flat.shape)


class Whitener:
    """Mutes what the set's images, turned and mirrored, have in common."""

    def __init__(self, images: Images, seed: int):
        rng = np.random.default_rng(seed)
        num = min(FITTED_IMAGES, len(images))
        sample = _flatten(images[np.sort(rng.choice(len(images), num, replace=False))])
        self.mean = np.mean([view.mean(axis=0) for view in turned(sample)], axis=0)
        centred = sample - self.mean
        once = centred.T @ centred / num
        places = np.arange(once.shape[0], dtype=np.float32)[None]
        orders = [view[0].astype(np.int64) for view in turned(places)]
        covariance = np.mean([once[np.ix_(order, order)] for order in orders], axis=0)
        self.values, self.vectors = np.linalg.eigh(covariance.astype(np.float64))
        self.scale = 1 / np.sqrt(np.maximum(self.values, 0) + FLOOR)

    def coordinates(self, images: Images) -> Floats:
        """Return whitened coordinates along the eigenvectors, float32 (N, dimensions)."""
        basis = (self.vectors * self.scale).astype(np.float32)
        parts = [
            (_flatten(images[start : start + CHUNK]) - self.mean.astype(np.float32)) @ basis
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(parts)

    def to_pixels(self, coordinates: Floats) -> Floats:
        """Return coordinates along the eigenvectors as whitened pixels."""
        return np.asarray(coordinates @ self.vectors.T.astype(np.float32), dtype=np.float32)


def _flatten(images: Images) -> Floats:
    size = (SIDE_PX, SIDE_PX)
    small = [cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float32)


def find_doctored(
    images: Images, *, margin: float = MARGIN, reach: float = 3.0, seed: int = 0
) -> Doctored:
    """Find images with a foreign picture blended in.

    Args:
        images: uint8 (N, height, width, 3), square; may be a memory map. Of fewer than 50 images
            nothing can be said, and nothing is found.
        margin: How far beyond the likeliest turned image a group's member must be, above 1.
        reach: How far beyond the set's 99th percentile a single image must be, in units of that
            percentile's distance from the median.
        seed: Of the sample that the covariance is fitted to, and of the anchors.

    Returns:
        The doctored images, and the pictures that groups of them share.
    """
    if len(images) < FEWEST_IMAGES:
        return Doctored([], [])
    whitener = Whitener(images, seed)
    coordinates = whitener.coordinates(images)
    found = _find_groups(whitener, _unit(coordinates), margin, seed)
    left = np.setdiff1d(np.arange(len(images)), [one.index for one in found])
    found += _find_singles(whitener, coordinates, left, reach)
    members: dict[int, list[int]] = {}
    for one in found:
        if one.group is not None:
            members.setdefault(one.group, []).append(one.index)
    pictures = [foreign_picture(images, members[group], left) for group in sorted(members)]
    return Doctored(sorted(found, key=lambda one: one.index), pictures)


def foreign_picture(images: Images, members: list[int], others: NDArray[np.int64]) -> Images:
    """Estimate the picture that a group shares, as far as it shows.

    Of (1 - w) x cell + w x picture the mean over members is known, and the mean cell from the
    other images; 1 - w is how much less the members differ among themselves than the others do.

    Args:
        images: uint8 (N, height, width, 3).
        members: Positions of the group.
        others: Positions of images that are not doctored.

    Returns:
        uint8 (height, width, 3).
    """
    ours = images[members[:: -(-len(members) // 500)]].astype(np.float32)
    theirs = images[others[:: -(-len(others) // 500)]].astype(np.float32)
    kept = float(np.median(ours.std(axis=0) / np.maximum(theirs.std(axis=0), 1.0)))
    kept = min(max(kept, 0.0), 0.95)
    picture = (ours.mean(axis=0) - kept * theirs.mean(axis=0)) / (1 - kept)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _find_groups(
    whitener: Whitener, units: Floats, margin: float, seed: int
) -> list[DoctoredImage]:
    pixels = _unit(whitener.to_pixels(units))
    rng = np.random.default_rng(seed)
    left = np.arange(len(pixels))
    found: list[DoctoredImage] = []
    for group in range(MOST_GROUPS):
        members = np.empty(0, dtype=np.int64)
        for template in _candidates(pixels[left], rng, margin):
            members, scores, threshold = _refine(template, pixels[left], margin)
            if len(members) >= FEWEST_MEMBERS:
                break
        if len(members) < FEWEST_MEMBERS:
            break
        found += [
            DoctoredImage(int(left[member]), group, float(score), threshold)
            for member, score in zip(members, scores, strict=True)
        ]
        left = np.delete(left, members)
        if len(left) < FEWEST_IMAGES:
            break
    return found


def _candidates(pixels: Floats, rng: np.random.Generator, margin: float) -> Iterator[Floats]:
    """Give templates worth refining: alike neighbours first, then directions of large spread."""
    anchors = np.sort(rng.choice(len(pixels), min(NUM_ANCHORS, len(pixels)), replace=False))
    nearness, neighbours = _neighbours(pixels[anchors], pixels, anchors)
    chance = np.median(
        [
            _neighbours(view, pixels, anchors)[0].max()
            for view in list(turned(pixels[anchors]))[1::2]
        ]
    )
    if nearness.max() > margin * chance:
        best = int(nearness.argmax())
        yield _unit(pixels[neighbours[best]].mean(axis=0, keepdims=True))[0]
    second_moment = pixels[anchors].T @ pixels[anchors]
    _, directions = np.linalg.eigh(second_moment)
    for column in range(1, NUM_DIRECTIONS + 1):
        for sign in (1, -1):
            yield np.ascontiguousarray(sign * directions[:, -column])


def _neighbours(
    queries: Floats, pixels: Floats, own: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Return each query's agreement with its fifth-best image, and the five best.

    One or two copies of an image therefore make no group.
    """
    num = min(NUM_NEIGHBOURS, len(pixels) - 1)
    agreement = np.empty(len(queries), dtype=np.float32)
    best = np.empty((len(queries), num), dtype=np.int64)
    for start in range(0, len(queries), 512):
        part = slice(start, start + 512)
        match = queries[part] @ pixels.T
        match[np.arange(len(match)), own[part]] = -1
        best[part] = np.argpartition(match, -num, axis=1)[:, -num:]
        agreement[part] = np.take_along_axis(match, best[part], axis=1).min(axis=1)
    return agreement, best


def _refine(
    template: Floats, pixels: Floats, margin: float
) -> tuple[NDArray[np.int64], Floats, float]:
    """Let a template gather its members until they stay the same.

    Returns:
        The members' positions, their scores, and the threshold: `margin` times the best score
        that the turned templates reach on images that are no members (the median of the seven).
    """
    members = np.empty(0, dtype=np.int64)
    for _ in range(MOST_ROUNDS):
        scores = pixels @ template
        views = np.concatenate(list(turned(template[None])))[1:]
        chances = pixels @ views.T
        chances[members] = -1
        threshold = float(margin * np.median(chances.max(axis=0)))
        gathered = np.flatnonzero(scores > threshold)
        if len(gathered) < FEWEST_MEMBERS or np.array_equal(gathered, members):
            members = gathered
            break
        members = gathered
        template = _unit((scores[members, None] * pixels[members]).sum(axis=0, keepdims=True))[0]
    return members, scores[members], threshold


def _find_singles(
    whitener: Whitener, coordinates: Floats, left: NDArray[np.int64], reach: float
) -> list[DoctoredImage]:
    bands = np.array_split(coordinates[left] ** 2, 8, axis=1)
    energies = np.log(np.stack([band.mean(axis=1) for band in bands], axis=1) + 1e-3)
    middle = np.median(energies, axis=0)
    high = np.percentile(energies, 99, axis=0)
    scores = ((energies - middle) / np.maximum(high - middle, 1e-6)).max(axis=1)
    return [
        DoctoredImage(int(left[row]), None, float(scores[row]), reach)
        for row in np.flatnonzero(scores > reach)
    ]


def _unit(rows: Floats) -> Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-6), dtype=np.float32)
