"""Streaming of unlabelled images for inference, in memory that does not grow with their number."""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from stainproof.config.schema import Preprocessing
from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode
from stainproof.data.images import Images, Standardise, to_square, unchanged
from stainproof.data.npz import read_images_only
from stainproof.data.parallel import in_order
from stainproof.data.tree import scan
from stainproof.errors import DataError
from stainproof.files import exists
from stainproof.progress import Say, silent_say
from stainproof.text import printable


@dataclass(frozen=True)
class Item:
    """One image of a stream, or the reason why it could not be read."""

    name: str
    rgb: Images | None
    """uint8 (size, size, 3)."""
    error: str = ""


def find(patterns: Iterable[str], say: Say = silent_say) -> list[Path]:
    """List the files that paths, folders (recursively) and globs match, in order.

    Args:
        patterns: Paths, folders and globs.
        say: Called with a note for each kind of file that is skipped in a folder.

    Raises:
        DataError: One of them matches nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if not exists(path):
            files = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
            files = [file for file in files if file.is_file()]
        elif path.is_dir():
            tree = scan(path)
            files = sorted(tree.images)
            for note in tree.notes():
                say(f"{printable(path)}: {note}")
        else:
            files = [path]
        if not files:
            raise DataError(
                f"{printable(pattern)}: no images there; allowed: image files, folders, globs, .npz"
            )
        found += files
    return found


def read(
    paths: list[Path],
    preprocessing: Preprocessing,
    bits: int = 0,
    standardise: Standardise = unchanged,
) -> Iterator[Item]:
    """Yield the images of the files, decoded on all cores, a few hundred ahead.

    A file that cannot be read yields an item with its error. An npz file yields all its images, one
    in MedMNIST's layout those of its test part.

    Args:
        paths: Image files and npz files.
        preprocessing: Size and fit of the images.
        bits: Number of bits that the values of 16-bit files use; 0: found by `bits_used`.
        standardise: Applied to every image before it is cropped and resized.

    Raises:
        DataError: The number of bits is ambiguous.
    """
    bits = bits or bits_used(paths)

    def fit(rgb: Images) -> Images:
        return to_square(standardise(rgb), preprocessing)

    for is_npz, some in groupby(paths, key=lambda path: path.suffix.lower() == ".npz"):
        read_all = map if is_npz else in_order  # an npz file is large: one at a time
        for items in read_all(lambda path: _read_one(path, fit, bits), some):
            yield from items


def _read_one(path: Path, fit: Standardise, bits: int) -> list[Item]:
    try:
        if path.suffix.lower() == ".npz":
            return [
                Item(f"{printable(path)}#{index}", fit(rgb))
                for index, rgb in enumerate(read_images_only(path))
            ]
        return [Item(printable(path), fit(decode(path, bits).rgb))]
    except DataError as error:
        return [Item(printable(path), None, printable(str(error)))]
