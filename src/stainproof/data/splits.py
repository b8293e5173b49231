"""Who learns and who is asked: stratified, and what belongs together stays together."""

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
    """The part of every image."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    """N class names."""
    groups: NDArray[np.int64]
    """int64 (N,): images with one number are never parted."""
    parts: NDArray[np.str_]
    """N of `train`, `val`, `test`."""

    def indices(self, part: str) -> NDArray[np.int64]:
        """Return the positions of the images in this part, rising."""
        return np.flatnonzero(self.parts == part)

    def divide(self, data: Dataset) -> dict[str, Dataset]:
        """Return the images of every part, those of `data` that the split was made of."""
        return {part: data.subset(self.indices(part)) for part in (TRAIN, VAL, TEST)}

    def to_csv(self) -> str:
        """Return the columns name, label, group, split as CSV text."""
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
    """Part a set into train, validation and perhaps test.

    A source's own split is kept. Otherwise groups are taken in random order, large ones first,
    into the part that they bring nearest to its share of every class (the greedy idea of
    Sechidis et al. 2011, "On the stratification of multi-label data", for whole groups).

    Args:
        data: The images; equal pixels and equal `groups` entries are kept together.
        settings: Shares of validation and test.
        seed: Of the random order.

    Raises:
        DataError: Only one class, or a class too small to have images in every part.
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
    """Number the groups: equal pixels, or the same patient or slide, directly or by a chain."""
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
    """Return positions of whole groups whose class counts come near the quota."""
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
