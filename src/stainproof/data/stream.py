"""Unlabelled images one after another, in memory that does not grow with their number."""

import glob
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stainproof.config import InputContract
from stainproof.data.images import Images, decode, is_image, to_square
from stainproof.data.npz import read_images_only
from stainproof.errors import DataError

AHEAD = 256


@dataclass(frozen=True)
class Item:
    """One image of a stream, or why there is none."""

    name: str
    rgb: Images | None
    """uint8 (size, size, 3)."""
    error: str = ""


def find(patterns: Iterable[str]) -> list[Path]:
    """List the files that paths, folders and globs stand for, in order, folders recursively.

    Raises:
        DataError: One of them stands for nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and is_image(file))
        elif path.exists():
            files = [path]
        else:
            files = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
        if not files:
            raise DataError(
                f"{pattern}: no images there; allowed: image files, folders, globs, .npz"
            )
        found += files
    return found


def read(paths: list[Path], contract: InputContract) -> Iterator[Item]:
    """Give the images of the files, decoded on all cores a few hundred ahead.

    A file that cannot be read gives an item with its error. An npz file gives all its images.
    """
    pending: deque[Future[list[Item]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in paths:
            pending.append(pool.submit(_read_one, path, contract))
            if len(pending) >= AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _read_one(path: Path, contract: InputContract) -> list[Item]:
    try:
        if path.suffix.lower() == ".npz":
            return [
                Item(f"{path}#{index}", to_square(rgb, contract))
                for index, rgb in enumerate(read_images_only(path))
            ]
        return [Item(str(path), to_square(decode(path).rgb, contract))]
    except DataError as error:
        return [Item(str(path), None, str(error))]
