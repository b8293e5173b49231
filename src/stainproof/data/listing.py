"""Listing of a source: names, labels, groups and splits, before any pixel is read."""

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from stainproof.data.decoding import Decoded, decode
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.labels import TABLE_COLUMNS, canonical

Value = TypeVar("Value")


def check_class_names(source: str, names: Sequence[str]) -> None:
    """Refuse class names that cannot be folder names or column names.

    Raises:
        DataError: A name is empty, too long, contains a slash or a control character, consists of
            dots, equals another column of a table of predictions, or equals another class name or
            differs from it by its spelling only.
    """
    if (twice := first_repeated(names)) is not None:
        raise DataError(f"{source}: two classes are both written {twice[:100]!r}; rename one")
    spelt: dict[str, str] = {}
    for name in names:
        if (
            not name.strip(". ")
            or len(name) > 100
            or set(name) & {"/", "\\"}
            or not name.isprintable()
        ):
            raise DataError(
                f"{source}: class name {name[:100]!r} is not allowed; use letters, digits, spaces"
            )
        if name in TABLE_COLUMNS:
            raise DataError(
                f"{source}: class name {name!r} is a column of tables of predictions; rename it"
            )
        other = spelt.setdefault(canonical(name), name)
        if other != name:
            raise DataError(
                f"{source}: classes {other!r} and {name!r} are one in two spellings; rename one"
            )


def check_group_names(source: str, names: Iterable[str]) -> None:
    """Refuse patients or slides that would be two by their spelling only.

    Raises:
        DataError: Two names differ only by upper and lower case or by spaces around them.
    """
    spelt: dict[str, str] = {}
    for name in sorted(set(names)):
        other = spelt.setdefault(name.strip().casefold(), name)
        if other != name:
            raise DataError(
                f"{source}: patients or slides {other!r} and {name!r} are one in two spellings; "
                "rename one"
            )


def first_repeated(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once; None if all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def check_different(source: str, names: Sequence[str]) -> None:
    """Refuse names of which two are equal as text, so that one would stand for two images.

    Raises:
        DataError: Two are.
    """
    if (twice := first_repeated(names)) is not None:
        raise DataError(f"{source}: two files are both written {twice!r}; rename one")


def hash_of_names(classes: Sequence[str], names: Sequence[str], labels: NDArray[np.int64]) -> str:
    """Return a hash of names and labels, which distinguishes sources without reading pixels."""
    rows = zip(names, labels.tolist(), strict=True)
    digest = hashlib.sha256(repr(("", tuple(classes), *rows)).encode("utf-8", "replace"))
    return digest.hexdigest()


def _pick(values: tuple[Value, ...], kept: list[int]) -> tuple[Value, ...]:
    return tuple(values[index] for index in kept) if values else ()


@dataclass(frozen=True)
class Listing:
    """Names and labels of a source, and where its pixels are."""

    source: str
    """Name of the source: its last folder or file name."""
    names: tuple[str, ...]
    """N file names relative to the source, or row names."""
    labels: NDArray[np.int64]
    """int64 (N,), positions in `classes`."""
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    paths: tuple[Path, ...] = ()
    """N image files; empty if `arrays` has the pixels."""
    arrays: Images | None = None
    """uint8 (N, height, width, 3) if the source is one file in memory."""
    groups: tuple[str, ...] | None = None
    """N names of patients or slides whose images stay in one split; None if the source has none."""
    parts: tuple[str, ...] | None = None
    """N of `train`, `val`, `test`, if the source defines its own split."""
    notes: tuple[str, ...] = ()
    """What was left out."""
    layout: str = ""
    """Layout of the folder that was listed; empty for other sources."""
    bits: int = 16
    """Number of bits that the values of 16-bit files use."""

    def __len__(self) -> int:
        return len(self.labels)

    def sha256(self) -> str:
        """Return a hash of classes, names, labels, and pixels in memory."""
        digest = hashlib.sha256(hash_of_names(self.classes, self.names, self.labels).encode())
        for rgb in () if self.arrays is None else self.arrays:
            digest.update(rgb.tobytes())
        return digest.hexdigest()

    def class_counts(self) -> dict[str, int]:
        """Count the images of every class."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def without(self, names: Container[str]) -> Self:
        """Return the listing without the images of these names."""
        kept = [index for index, name in enumerate(self.names) if name not in names]

        return replace(
            self,
            names=_pick(self.names, kept),
            labels=self.labels[kept],
            paths=_pick(self.paths, kept),
            arrays=None if self.arrays is None else self.arrays[kept],
            groups=self.groups and _pick(self.groups, kept),
            parts=self.parts and _pick(self.parts, kept),
        )

    def part(self, name: str) -> Self:
        """Return the images of one part of the source's own split.

        Raises:
            DataError: The source defines no split, or no image is in this part.
        """
        if self.parts is None:
            raise DataError(f"{self.source}: states no split of its own, so has no part {name!r}")
        if name not in self.parts:
            allowed = ", ".join(sorted(set(self.parts)))
            raise DataError(f"{self.source}: part {name!r} is empty; allowed: {allowed}")
        others = [one for one, part in zip(self.names, self.parts, strict=True) if part != name]
        return replace(self.without(set(others)), parts=None)

    def read(self, index: int) -> Decoded:
        """Decode one image at its original size.

        Raises:
            DataError: The file cannot be read.
        """
        if self.arrays is not None:
            return Decoded(self.arrays[index], ())
        return decode(self.paths[index], self.bits)
