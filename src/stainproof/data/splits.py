"""Train, validation and test split: stratified by class; equal images and groups stay together."""

import csv
import hashlib
import io
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import SplitConfig
from stainproof.data.assignment import choose_groups
from stainproof.data.copies import canonical_hashes
from stainproof.data.dataset import Dataset
from stainproof.data.listing import Listing
from stainproof.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"
MAX_SHARE_DIFFERENCE = 0.1
"""A class whose share of validation differs by more from the wanted one is named."""


@dataclass(frozen=True)
class Split:
    """The split of every image."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    """N class names."""
    groups: NDArray[np.int64]
    """int64 (N,): images with the same number are copies or of one patient or slide. They are in
    the same split, unless the source's own split parts them.
    """
    parts: NDArray[np.str_]
    """N of `train`, `val`, `test`."""
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    """uint64 (N,): hashes of the pixels, see `copies.canonical_hashes`."""
    notes: tuple[str, ...] = ()
    """What groups or the source's own split did to it."""

    def indices(self, part: str) -> NDArray[np.int64]:
        """Return the positions of the images in this split, ascending."""
        return np.flatnonzero(self.parts == part)

    def divide(self, data: Dataset) -> dict[str, Dataset]:
        """Return the images of every split.

        Args:
            data: The data set that the split was made of.
        """
        return {part: data.subset(self.indices(part)) for part in (TRAIN, VAL, TEST)}

    def to_csv(self) -> str:
        """Return CSV text with the columns name, label, group, split."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "label", "group", "split"])
        writer.writerows(zip(self.names, self.labels, self.groups, self.parts, strict=True))
        return text.getvalue()

    def to_bytes(self) -> bytes:
        """Return the content of `splits.csv`."""
        return self.to_csv().encode("utf-8", "surrogateescape")

    def sha256(self) -> str:
        """Return the SHA-256 of `splits.csv`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def make_split(data: Dataset, settings: SplitConfig, seed: int) -> Split:
    """Split a data set into train, validation and optionally test.

    If the source defines its own split, it is used; a validation part that it lacks is taken from
    its training images. Otherwise images are assigned in random order to the split whose class
    counts they bring closest to the target (after Sechidis et al. 2011, "On the stratification of
    multi-label data"), and whole groups by `assignment.choose_groups`.

    Args:
        data: The images; images with equal pixels, rotated and mirrored copies included, and images
            with equal `groups` entries stay together. Resizing before can make the pixels of such
            copies differ, see `images.to_square`.
        settings: Fractions of validation and test.
        seed: Seed of the random order.

    Raises:
        DataError: There is only one class, or a class is too small for every split.
    """
    hashes = canonical_hashes(data.images)
    groups = _tie_together(data, hashes)
    rng = np.random.default_rng(seed)
    parts = _assign(data.labels, groups, data.parts, settings, rng, data.groups is not None)
    _check(data, parts, groups, settings)
    labels = tuple(data.classes[label] for label in data.labels)
    split = Split(data.names, labels, groups, parts, hashes)
    return replace(split, notes=_notes(data, split, settings))


def check_split(listing: Listing, settings: SplitConfig, seed: int) -> None:
    """Check before any image is read that the classes and groups of a source can be split.

    Raises:
        DataError: As `make_split`; copies among the images are not known yet.
    """
    names = listing.groups or listing.names
    _, groups = np.unique(np.array(names, dtype=object), return_inverse=True)
    rng = np.random.default_rng(seed)
    grouped = listing.groups is not None
    parts = _assign(listing.labels, groups, listing.parts, settings, rng, grouped)
    _check(listing, parts, groups, settings)


def _assign(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    own_parts: tuple[str, ...] | None,
    settings: SplitConfig,
    rng: np.random.Generator,
    grouped: bool,
) -> NDArray[np.str_]:
    """Return the split of every image."""
    wanted = {TEST: settings.test_fraction, VAL: settings.val_fraction}
    parts = np.full(len(labels), TRAIN)
    if own_parts is not None:
        parts = np.array(own_parts)
        wanted = {} if VAL in own_parts or TRAIN not in own_parts else {VAL: settings.val_fraction}
    for part, share in wanted.items():
        if share:
            free = np.flatnonzero(parts == TRAIN)
            whole = labels if own_parts is None else labels[free]
            choose = _choose_whole_groups if grouped else _choose
            parts[free[choose(groups[free], labels[free], whole, share, rng)]] = part
    return parts


def _tie_together(data: Dataset, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Number the groups: images connected by copies of one, or by the same patient or slide.

    Copies have equal pixels, rotated and mirrored ones included.
    """
    parent = list(range(len(data)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[object, int] = {}
    for index, pixels in enumerate(hashes.tolist()):
        keys: list[object] = [pixels]
        if data.groups is not None:
            keys.append(data.groups[index])
        for key in keys:
            parent[root(index)] = root(first_with.setdefault(key, index))
    _, numbers = np.unique([root(index) for index in range(len(data))], return_inverse=True)
    return numbers.astype(np.int64)


def _choose(
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    whole: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the positions of images, copies together, that approximate the share of each class."""
    members = _members(groups)
    shuffled = [members[i] for i in rng.permutation(len(members))]
    lacking = share * np.bincount(whole)
    chosen: list[NDArray[np.int64]] = []
    for group in sorted(shuffled, key=len, reverse=True):
        counts = np.bincount(labels[group], minlength=len(lacking))
        if counts @ counts < 2 * counts @ lacking:
            lacking -= counts
            chosen.append(group)
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _choose_whole_groups(
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    whole: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the positions of whole patients or slides that approximate the share of each class."""
    members = _members(groups)
    num_classes = int(labels.max()) + 1
    counts = np.array([np.bincount(labels[one], minlength=num_classes) for one in members])
    share_of_these = min(share * len(whole) / len(labels), 0.99)
    chosen = choose_groups(counts, share_of_these, rng)
    return np.concatenate([members[i] for i in chosen]) if len(chosen) else chosen


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the positions of every group."""
    order = np.argsort(groups)
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _check(
    data: Dataset | Listing,
    parts: NDArray[np.str_],
    groups: NDArray[np.int64],
    settings: SplitConfig,
) -> None:
    """Check that every class is in every split.

    Raises:
        DataError: There is one class only, or classes are missing in a split; all are named.
    """
    present = [name for name, count in data.class_counts().items() if count]
    if len(present) < 2:
        raise DataError(f"{data.source}: one class only ({present[0]}); at least two are needed")
    needs_test = TEST in parts or (data.parts is None and settings.test_fraction > 0)
    needed = (TRAIN, VAL, *([TEST] if needs_test else []))
    missing = []
    for label, (name, total) in enumerate(data.class_counts().items()):
        lacking = [part for part in needed if not (data.labels[parts == part] == label).any()]
        if total and lacking:
            num_groups = len(np.unique(groups[data.labels == label]))
            of = f" of {_count(num_groups, 'patient or slide')}" if data.groups else ""
            missing.append(f"{name!r} ({_count(total, 'image')}{of}): none for {lacking[0]}")
    if not missing:
        return
    if data.parts is not None:
        advice = "the source's own split lacks them; move images, or leave the class out with --map"
    else:
        advice = (
            "add images or patients, merge or leave out classes with --map, or change "
            "split.val_fraction and split.test_fraction with --set"
        )
    raise DataError(f"{data.source}: classes too small to split: {', '.join(missing)}; {advice}")


def _notes(data: Dataset, split: Split, settings: SplitConfig) -> tuple[str, ...]:
    """Return what the split did with groups, and classes whose share of validation is far off."""
    notes = []
    if data.parts is not None and VAL not in data.parts:
        notes.append("the source's own split has no validation part: taken from its training part")
    shared = _num_shared(split)
    if data.groups is None:
        if shared:
            notes.append(f"{_count(shared, 'image')} with copies in more than one split")
        return tuple(notes)
    num = len(set(data.groups))
    notes.append(f"{_count(num, 'patient or slide')}, {shared or 'none'} shared between splits")
    if data.parts is None:
        off = []
        for label, name in enumerate(data.classes):
            own = split.parts[data.labels == label]
            share = float((own == VAL).mean()) if len(own) else settings.val_fraction
            if abs(share - settings.val_fraction) > MAX_SHARE_DIFFERENCE:
                off.append(f"{name} {100 * share:.0f} %")
        if off:
            notes.append(
                f"share of validation images, {100 * settings.val_fraction:.0f} % wanted, where "
                f"whole patients or slides allow no better: {', '.join(off)}"
            )
    return tuple(notes)


def _num_shared(split: Split) -> int:
    """Count the groups with images in more than one split."""
    _, parts = np.unique(split.parts, return_inverse=True)
    pairs = np.unique(np.column_stack([split.groups, parts]), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


def _count(num: int, what: str) -> str:
    """Return a number with its noun, such as `1 image` or `61 patients or slides`."""
    if num == 1:
        return f"1 {what}"
    return f"{num} " + " or ".join(f"{word}s" for word in what.split(" or "))
