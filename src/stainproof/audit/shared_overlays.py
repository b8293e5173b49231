"""Groups of images that share one overlay, found by template matching against rotated images.

An overlay at a fixed position is not rotated with the cells. Whitened images (see `whitening`) that
correlate more strongly than rotated ones ever do give a first template, which is refined as a
matched filter (Turin 1960, IRE Trans. Inf. Theory 6) until its members no longer change. The score
of a member is its correlation with the template of the *other* members (leave-one-out), so that a
few similar cells do not form a group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.audit.whitening import CHUNK, Floats, Whitener, turned, unit
from stainproof.data.images import Images

SEARCHED_IMAGES = 16_000
"""Templates are searched for among at most this many images, and then matched with all."""
NUM_ANCHORS = 4000
NUM_NEIGHBOURS = 5
NUM_DIRECTIONS = 4
MIN_MEMBERS = 6
SMALL_GROUP = 100
MAX_SHARE = 0.5
"""What more than half of the images share comes from the microscope, not from an overlay."""
MAX_FAILURES = 24
MAX_ROUNDS = 15

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Images that share an overlay."""

    members: Indices
    """Positions of the images, ascending."""
    scores: Floats
    """Cosine similarity of each whitened member with the template of the other members."""
    threshold: float
    """The margin times the largest cosine similarity of a rotated template."""


def find_shared_overlays(
    whitener: Whitener, images: Images, margin: float, seed: int
) -> list[Group]:
    """Find groups of images that share an overlay.

    Args:
        whitener: Fitted to the images.
        images: uint8 (N, height, width, 3); may be a memory map.
        margin: Factor above 1 by which a member must exceed the most similar rotated image.
        seed: Seed of the searched images and of the anchors among them.

    Returns:
        Groups without a common image, in the order in which they were found.
    """
    rng = np.random.default_rng(seed)
    num = min(SEARCHED_IMAGES, len(images))
    searched = np.sort(rng.choice(len(images), num, replace=False))
    pixels = whitener.unit_pixels(images[searched])
    free = np.ones(num, dtype=bool)
    groups: list[Group] = []
    templates: list[Floats] = []
    num_failed = 0
    for first in _first_templates(pixels, free, rng, margin):
        group = _refine(first, pixels, free, margin)
        if MIN_MEMBERS <= len(group.members) <= MAX_SHARE * num:
            free[group.members] = False
            groups.append(group)
            templates.append(unit(group.scores @ pixels[group.members]))
        else:
            num_failed += 1
            if num_failed == MAX_FAILURES:
                break
    groups = [Group(searched[one.members], one.scores, one.threshold) for one in groups]
    others = np.setdiff1d(np.arange(len(images)), searched)
    return _extended(groups, templates, whitener, images, others)


def _first_templates(
    pixels: Floats, free: NDArray[np.bool_], rng: np.random.Generator, margin: float
) -> Iterator[Floats]:
    """Yield candidate templates: means of unusually similar neighbours, then principal directions.

    Neighbours reveal a strong overlay on few images, directions a weak one on many.

    Args:
        pixels: float32 (N, dimensions), rows of norm 1.
        free: bool (N,): which images are in no group; changes between two templates.
        rng: Selects the anchors.
        margin: Factor by which neighbours must exceed those of rotated images.
    """
    anchors = np.sort(rng.choice(len(pixels), min(NUM_ANCHORS, len(pixels)), replace=False))
    agreement, neighbours = _neighbours(pixels[anchors], pixels, anchors)
    quarter_turned, mirrored = list(turned(pixels[anchors]))[1:5:3]
    chance = max(
        float(_neighbours(view, pixels, anchors)[0].max()) for view in (quarter_turned, mirrored)
    )
    for row in np.argsort(-agreement, kind="stable"):
        if agreement[row] <= margin * chance:
            break
        if free[anchors[row]] and free[neighbours[row]].all():
            yield unit(pixels[neighbours[row]].mean(axis=0))
    rest = pixels[free]
    _, directions = np.linalg.eigh(rest.T @ rest)
    for column in range(1, NUM_DIRECTIONS + 1):
        for sign in (1, -1):
            yield np.ascontiguousarray(sign * directions[:, -column])


def _neighbours(queries: Floats, pixels: Floats, own: Indices) -> tuple[Floats, Indices]:
    """Return each query's similarity with its fifth-nearest image, and the five nearest.

    The fifth is used so that a few duplicates of an image do not form a group.
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


def _refine(template: Floats, pixels: Floats, free: NDArray[np.bool_], margin: float) -> Group:
    """Alternate between selecting members and updating the template, until nothing changes.

    The threshold is `margin` times the largest cosine similarity of any of the seven rotated and
    mirrored templates with an image that is not a member.
    """
    members = np.empty(0, dtype=np.int64)
    scores = pixels @ template
    for _ in range(MAX_ROUNDS):
        chances = pixels @ np.concatenate(list(turned(template[None])))[1:].T
        chances[members] = -1
        threshold = float(margin * chances.max())
        gathered = np.flatnonzero((scores > threshold) & free)
        if len(gathered) < MIN_MEMBERS or np.array_equal(gathered, members):
            members = gathered
            break
        members = gathered
        weights = scores[members]
        template = unit(np.matmul(weights, pixels[members], dtype=np.float32))
        scores = pixels @ template
        scores[members] = _leave_one_out(pixels[members], weights)
    return Group(members, scores[members], threshold)


def _leave_one_out(pixels: Floats, weights: Floats) -> Floats:
    """Return each member's leave-one-out cosine similarity: with the template of the others.

    In a small group the most similar member is left out too, because two images of one cell would
    support each other.

    Args:
        pixels: float32 (members, dimensions), rows of norm 1.
        weights: float32 (members,): weight of each in the template.
    """
    weighted = weights[:, None] * pixels
    others = weighted.sum(axis=0) - weighted
    if len(pixels) <= SMALL_GROUP:
        match = pixels @ weighted.T
        np.fill_diagonal(match, -np.inf)
        others -= weighted[match.argmax(axis=1)]
    return np.asarray(np.einsum("nd,nd->n", pixels, unit(others)), dtype=np.float32)


def _extended(
    groups: list[Group],
    templates: list[Floats],
    whitener: Whitener,
    images: Images,
    others: Indices,
) -> list[Group]:
    """Add to the groups the matching images among those that were not searched."""
    if not groups:
        return []
    filters = np.stack(templates, axis=1)
    thresholds = np.array([one.threshold for one in groups])
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        scores = whitener.unit_pixels(images[part]) @ filters
        best = (scores / thresholds).argmax(axis=1)
        score = scores[np.arange(len(part)), best]
        for number in np.unique(best):
            new = (best == number) & (score > thresholds[number])
            group = groups[number]
            members = np.concatenate([group.members, part[new]])
            order = np.argsort(members)
            both = np.concatenate([group.scores, score[new]])[order]
            groups[number] = Group(members[order], both, group.threshold)
    return groups
