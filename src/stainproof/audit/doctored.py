"""Doctored images: find cells with an overlay blended in, without labelled examples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.shared_overlays import find_shared_overlays
from stainproof.audit.single_overlays import find_single_overlays
from stainproof.audit.whitening import Whitener
from stainproof.data.images import Images

MIN_IMAGES = 50
"""Smallest number of images that are checked."""
MAX_AVERAGED_IMAGES = 500


@dataclass(frozen=True)
class DoctoredImage:
    """One doctored image."""

    index: int
    group: int | None
    """Number of the group that shares one overlay, from 0; None for a single image."""
    score: float
    """For a member of a group its cosine similarity with the template of the other members, for a
    single image its SVM decision value; above `threshold`.
    """
    threshold: float


@dataclass(frozen=True)
class Doctored:
    """The doctored images of a set."""

    images: list[DoctoredImage]
    """Sorted by position."""
    overlays: list[Images]
    """Estimated overlay of every group, uint8 rgb; empty if it was not determined."""


def find_doctored(images: Images, *, margin: float, threshold: float, seed: int) -> Doctored:
    """Find images with an overlay blended in.

    Args:
        images: uint8 (N, height, width, 3), square; may be a memory map. Sets of fewer than 50
            images are too small: the result is empty.
        margin: Factor above 1 by which a member's cosine similarity with the group's template must
            exceed the largest one with a rotated template.
        threshold: SVM decision value above which a single image is doctored: the signed distance to
            the decision boundary in units of the margin.
        seed: Seed of samples, folds and synthetic overlays.

    Returns:
        The doctored images and the overlays that groups share. If fewer than 50 images are in no
        group, overlays and single images are not determined.
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
    others = np.setdiff1d(np.arange(len(images)), [one.index for one in found])
    if len(others) < MIN_IMAGES:
        return Doctored(sorted(found, key=lambda one: one.index), [])
    overlays = [estimate_overlay(images, group.members, others) for group in groups]
    found += [
        DoctoredImage(one.index, None, one.score, threshold)
        for one in find_single_overlays(whitener, images, others, threshold, seed)
    ]
    return Doctored(sorted(found, key=lambda one: one.index), overlays)


def estimate_overlay(
    images: Images, members: NDArray[np.int64], others: NDArray[np.int64]
) -> Images:
    """Estimate the overlay that the members of a group share.

    The mean of the members is (1 - w) x mean cell + w x overlay. The mean cell is estimated from
    the other images, and 1 - w from the ratio of the standard deviations of members and other
    images.

    Args:
        images: uint8 (N, height, width, 3).
        members: int64 (M,), positions of the group.
        others: int64 (K,), positions of images that are not doctored.

    Returns:
        uint8 (height, width, 3).
    """
    doctored = images[_spread(members)].astype(np.float32)
    clean = images[_spread(others)].astype(np.float32)
    # w is at most 1, and at least 0.05 so that the division below is stable.
    cell_weight = float(np.median(doctored.std(axis=0) / np.maximum(clean.std(axis=0), 1.0)))
    cell_weight = min(max(cell_weight, 0.0), 0.95)
    overlay = (doctored.mean(axis=0) - cell_weight * clean.mean(axis=0)) / (1 - cell_weight)
    return np.asarray(np.clip(overlay, 0, 255), dtype=np.uint8)


def _spread(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most `MAX_AVERAGED_IMAGES` of the positions, at equal steps."""
    return positions[:: -(-len(positions) // MAX_AVERAGED_IMAGES)]
