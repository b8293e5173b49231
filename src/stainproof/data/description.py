"""Description of a source before work begins: what was found and what was skipped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stainproof.config.schema import SourceConfig
from stainproof.data.image_file import open_image
from stainproof.data.listing import Listing
from stainproof.data.sources import AS_GUESSED, list_source
from stainproof.errors import DataError
from stainproof.progress import Track, silent

MAX_SHOWN_CLASSES = 12
MAX_SHOWN_NOTES = 5
MAX_OPENED_FILES = 200
"""The sizes of images are those of so many files, spread evenly over the source."""


@dataclass(frozen=True)
class SourceDescription:
    """What a source contains."""

    source: str
    num_images: int
    layout: str
    """Layout of a folder; empty for other sources."""
    class_counts: Mapping[str, int]
    group_sizes: tuple[int, ...] | None
    """Number of images of every patient or slide, ascending; None if the source states none."""
    part_counts: Mapping[str, int] | None
    """Number of images of every part of the source's own split; None if it has none."""
    kinds: Mapping[str, int]
    """Suffix -> number of files; for an npz file `array`."""
    sizes: Mapping[str, int]
    """Width x height -> number of images among those that were opened."""
    num_opened: int
    notes: tuple[str, ...]
    """What was skipped or assumed."""

    def lines(self) -> list[str]:
        """Return the description as at most twelve lines of text."""
        layout = f", layout {self.layout}" if self.layout else ""
        shown = self.notes[:MAX_SHOWN_NOTES]
        if len(self.notes) > len(shown):
            shown = (*shown[:-1], f"and {len(self.notes) - len(shown) + 1} more notes")
        return [
            f"{self.source}: {_plural(self.num_images, 'image')}, "
            f"{_plural(len(self.class_counts), 'class')}{layout}",
            f"  classes  {_listed(self.class_counts)}",
            f"  groups   {self._groups()}",
            f"  split    {self._split()}",
            f"  files    {_listed(self.kinds)}; {self._sizes()}",
            *(f"  note     {note}" for note in shown),
        ]

    def _groups(self) -> str:
        if self.group_sizes is None:
            return "none stated: every image counts as independent"
        sizes = self.group_sizes
        return f"{len(sizes):,} patients or slides of {sizes[0]} to {sizes[-1]} images"

    def _split(self) -> str:
        if self.part_counts is None:
            return "none stated: training draws its own validation images"
        return f"the source's own: {_listed(self.part_counts)}"

    def _sizes(self) -> str:
        if not self.sizes:
            return "no size read"
        if len(self.sizes) == 1:
            return f"{next(iter(self.sizes))} px"
        most = f"{len(self.sizes)} sizes, mostly {next(iter(self.sizes))} px"
        return most + (
            f" (of {self.num_opened} opened)" if self.num_opened < self.num_images else ""
        )


def look(
    source: str | Path, *, options: SourceConfig = AS_GUESSED, track: Track = silent
) -> SourceDescription:
    """Describe a source without reading its pixels: classes, groups, split, files, what is skipped.

    Args:
        source: Labelled images, see `data.sources.load`.
        options: How the source is read.
        track: Shows progress.

    Raises:
        DataError: The source cannot be listed.
    """
    return describe(list_source(source, track, options=options))


def describe(listing: Listing) -> SourceDescription:
    """Describe a listing; a sample of its files is opened to read their sizes."""
    counts = dict(sorted(listing.class_counts().items(), key=lambda item: -item[1]))
    groups = sorted(Counter(listing.groups).values()) if listing.groups else None
    if listing.arrays is not None:
        height, width = listing.arrays.shape[1:3]
        sizes, num_opened = Counter({f"{width} x {height}": len(listing)}), len(listing)
        kinds: Counter[str] = Counter({"array": len(listing)})
    else:
        opened = _spread(listing.paths)
        sizes = Counter(filter(None, map(_size, opened)))
        num_opened = len(opened)
        kinds = Counter(path.suffix.lower().removeprefix(".") for path in listing.paths)
    return SourceDescription(
        source=listing.source,
        num_images=len(listing),
        layout=listing.layout,
        class_counts=counts,
        group_sizes=tuple(groups) if groups else None,
        part_counts=Counter(listing.parts) if listing.parts else None,
        kinds=dict(kinds.most_common()),
        sizes=dict(sizes.most_common()),
        num_opened=num_opened,
        notes=listing.notes,
    )


def _spread(paths: Sequence[Path]) -> list[Path]:
    positions = np.linspace(0, len(paths) - 1, min(len(paths), MAX_OPENED_FILES)).astype(int)
    return [paths[index] for index in positions]


def _size(path: Path) -> str:
    """Return width x height from the header of a file; empty if it cannot be read."""
    with suppress(DataError), open_image(path) as image:
        return f"{image.width} x {image.height}"
    return ""


def _plural(count: int, word: str) -> str:
    ending = "" if count == 1 else "es" if word.endswith("s") else "s"
    return f"{count:,} {word}{ending}"


def _listed(counts: Mapping[str, int]) -> str:
    """Return names with their counts; of many only the largest."""
    shown = [f"{name} {count:,}" for name, count in counts.items()]
    if len(shown) > MAX_SHOWN_CLASSES:
        rest = len(shown) - MAX_SHOWN_CLASSES
        shown = [*shown[:MAX_SHOWN_CLASSES], f"and {rest} smaller ones down to {shown[-1]}"]
    return ", ".join(shown)
