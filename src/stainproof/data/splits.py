"""Train, validation and test split: stratified by class; equal images and groups stay together."""

import csv
import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import SplitConfig
from stainproof.data.dataset import Dataset
from stainproof.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"


@dataclass(frozen=True)
class Split:
    """The split of every image."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    """N class names."""
    groups: NDArray[np.int64]
    """int64 (N,): images with the same number are in the same split."""
    parts: NDArray[np.str_]
    """N of `train`, `val`, `test`."""

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

    If the source defines its own split, it is used. Otherwise groups are assigned in random order,
    large ones first, to the split whose class counts they bring closest to the target (after
    Sechidis et al. 2011, "On the stratification of multi-label data", applied to whole groups).

    Args:
        data: The images; images with equal pixels or equal `groups` entries stay together.
        settings: Fractions of validation and test.
        seed: Seed of the random order.

    Raises:
        DataError: There is only one class, or a class is too small for every split.
    """
    groups = _tie_together(data)
    if data.parts is not None:
        parts = np.array(data.parts)
    else:
        parts = np.full(len(data), TRAIN, dtype="<U5")
        rng = np.random.default_rng(seed)
        for part, share in ((TEST, settings.test_fraction), (VAL, settings.val_fraction)):
            if share:
                free = np.flatnonzero(parts == TRAIN)
                quota = share * np.bincount(data.labels, minlength=len(data.classes))
                parts[free[_choose(groups[free], data.labels[free], quota, rng)]] = part
    needs_test = TEST in parts or (data.parts is None and settings.test_fraction > 0)
    _check(data, parts, needs_test)
    labels = tuple(data.classes[label] for label in data.labels)
    return Split(names=data.names, labels=labels, groups=groups, parts=parts)


def _tie_together(data: Dataset) -> NDArray[np.int64]:
    """Number the groups: images connected by equal pixels or by the same patient or slide."""
    parent = list(range(len(data)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[object, int] = {}
    for index, rgb in enumerate(data.images):
        keys: list[object] = [hashlib.blake2b(rgb.tobytes(), digest_size=16).digest()]
        if data.groups is not None:
            keys.append(data.groups[index])
        for key in keys:
            parent[root(index)] = root(first_with.setdefault(key, index))
    _, numbers = np.unique([root(index) for index in range(len(data))], return_inverse=True)
    return numbers.astype(np.int64)


def _choose(
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    quota: NDArray[np.floating],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the positions of whole groups whose class counts approximate the quota."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    shuffled = [members[i] for i in rng.permutation(len(members))]
    lacking = quota.copy()
    chosen: list[NDArray[np.int64]] = []
    for group in sorted(shuffled, key=len, reverse=True):
        counts = np.bincount(labels[group], minlength=len(quota))
        if counts @ counts < 2 * counts @ lacking:
            lacking -= counts
            chosen.append(group)
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _check(data: Dataset, parts: NDArray[np.str_], needs_test: bool) -> None:
    present = [name for name, count in data.class_counts().items() if count]
    if len(present) < 2:
        raise DataError(f"{data.source}: one class only ({present[0]}); at least two are needed")
    for part in (TRAIN, VAL, *([TEST] if needs_test else [])):
        counts = np.bincount(data.labels[parts == part], minlength=len(data.classes))
        for name, count, total in zip(
            data.classes, counts, data.class_counts().values(), strict=True
        ):
            if total and not count:
                raise DataError(
                    f"{data.source}: class {name!r} has {total} images (or groups too large to "
                    f"part), so none for {part}; add images or change the fractions in split"
                )
