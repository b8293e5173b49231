"""Doctored images: find cells with an overlay image blended in, without a known example."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.shared_overlays import find_shared_overlays
from stainproof.audit.single_overlays import find_single_overlays
from stainproof.audit.whitening import Whitener
from stainproof.data.images import Images

MIN_IMAGES = 50


@dataclass(frozen=True)
class DoctoredImage:
    """One doctored image."""

    index: int
    group: int | None
    """Number of the group that shares one overlay, from 0; None for a single image."""
    score: float
    threshold: float


@dataclass(frozen=True)
class Doctored:
    """The doctored images of a set."""

    images: list[DoctoredImage]
    """Sorted by position; the members of a group share its number."""
    pictures: list[Images]
    """The overlay of every group, as far as it is visible; uint8 rgb."""


def find_doctored(images: Images, *, margin: float, threshold: float, seed: int) -> Doctored:
    """Find images with an overlay blended in.

    Args:
        images: uint8 (N, height, width, 3), square; may be a memory map. Sets of fewer than 50
            images are too small; nothing is found in them.
        margin: Factor above 1 by which a member's correlation with the group's template must exceed
            the largest correlation of rotated images.
        threshold: SVM decision value, in margins, above which a single image is doctored.
        seed: Seed of samples, folds and synthetic overlays.

    Returns:
        The doctored images and the overlays that groups share. If the groups leave fewer than 50
        other images, overlays and single images are not determined.
    """
    if len(images) < MIN_IMAGES:
        return Doctored([], [])
    whitener = Whitener(images, seed)
    groups = find_shared_overlays(whitener, images, margin, seed)
    found = [
        DoctoredImage(int(index), number, float(score), group.threshold)
        for number, group in enumerate(groups)
        for index, score in zip(group.members, group.scores, strict=True)
    ]
    left = np.setdiff1d(np.arange(len(images)), [one.index for one in found])
    if len(left) < MIN_IMAGES:
        return Doctored(sorted(found, key=lambda one: one.index), [])
    pictures = [foreign_picture(images, group.members, left) for group in groups]
    found += [
        DoctoredImage(one.index, None, one.score, threshold)
        for one in find_single_overlays(whitener, images, left, threshold, seed)
    ]
    return Doctored(sorted(found, key=lambda one: one.index), pictures)


def foreign_picture(
    images: Images, members: NDArray[np.int64], others: NDArray[np.int64]
) -> Images:
    """Estimate the overlay that a group shares, as far as it is visible.

    The mean over members of (1 - w) x cell + w x overlay is known, the mean cell is that of the
    other images, and 1 - w is the ratio of the standard deviations of members and other images.

    Args:
        images: uint8 (N, height, width, 3).
        members: int64, positions of the group.
        others: int64, positions of images that are not doctored.

    Returns:
        uint8 (height, width, 3).
    """
    ours = images[members[:: -(-len(members) // 500)]].astype(np.float32)
    theirs = images[others[:: -(-len(others) // 500)]].astype(np.float32)
    kept = float(np.median(ours.std(axis=0) / np.maximum(theirs.std(axis=0), 1.0)))
    kept = min(max(kept, 0.0), 0.95)
    picture = (ours.mean(axis=0) - kept * theirs.mean(axis=0)) / (1 - kept)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)
