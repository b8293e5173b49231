"""The files of a folder: which are images, and which are skipped and why. Every file is counted."""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stainproof.data.decoding import is_image, is_unread_image
from stainproof.text import printable

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found"})
MASK_FOLDERS = frozenset({"mask", "masks", "segmentation", "segmentations", "annotations"})
"""Folders that are skipped if an image folder is beside them."""
IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs"})
OUTPUT_FILES = {
    "card.json": "run folder",
    "ensemble.json": "ensemble folder",
    "audit.csv": "audit folder",
    "eval.json": "evaluation folder",
    "splits.csv": "run folder",
}
"""Files of stainproof's own output folders."""


@dataclass
class Tree:
    """The image files below a folder, and what was skipped."""

    folder: Path
    images: list[Path] = field(default_factory=list)
    """Paths below `folder`, sorted by their components."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason -> number of files."""
    folders: set[str] = field(default_factory=set)
    """Names of the folders directly below that were not skipped."""
    warnings: list[str] = field(default_factory=list)
    """Folders whose files could not be counted."""

    def notes(self) -> tuple[str, ...]:
        """Return one sentence for each reason, such as `3 files skipped: not images`."""
        counted = (
            f"{count} file{'s' * (count > 1)} skipped: {reason}"
            for reason, count in sorted(self.skipped.items())
            if count
        )
        return (*counted, *self.warnings)


def scan(folder: Path) -> Tree:
    """List the images below a folder; links to folders are followed, each folder once.

    Hidden files and folders, files that are not images, image formats that are not read, system
    files, masks beside images and output folders of stainproof are skipped and counted.

    Args:
        folder: An existing folder.
    """
    tree = Tree(folder)
    visited = {_identity(folder)}
    waiting = [folder]
    while waiting:
        waiting += reversed(_scan(tree, waiting.pop(), visited))
    tree.images.sort(key=lambda path: path.parts)
    return tree


def _scan(tree: Tree, folder: Path, visited: set[tuple[int, int]]) -> list[Path]:
    """List the images of one folder; return the folders in it that are to be listed."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        _warn_of_unread(tree, folder, error)
        return []
    names = {entry.name.lower() for entry in entries}
    inner = []
    for entry in entries:
        path = Path(entry.path)
        if _is_folder(entry):
            reason = _reason_to_skip_folder(tree, path, names)
            if reason:
                _count(tree, path, reason)
                continue
            try:
                identity = _identity(path)
            except OSError as error:
                _warn_of_unread(tree, path, error)
                continue
            if identity in visited:
                tree.warnings.append(f"folder not read twice: {_inner(tree, path)}")
            else:
                visited.add(identity)
                if folder == tree.folder:
                    tree.folders.add(path.name)
                inner.append(path)
        elif reason := _reason_to_skip_file(path):
            tree.skipped[reason] += 1
        else:
            tree.images.append(path)
    return inner


def _warn_of_unread(tree: Tree, folder: Path, error: OSError) -> None:
    reason = error.strerror or type(error).__name__
    tree.warnings.append(f"folder not read: {_inner(tree, folder)} ({reason.lower()})")


def _identity(folder: Path) -> tuple[int, int]:
    """Return what is the same for a folder and all links to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason_to_skip_folder(tree: Tree, path: Path, siblings: set[str]) -> str:
    """Return why a folder is skipped; empty if it is not."""
    name = path.name.lower()
    if name.startswith("."):
        return "in hidden folders"
    if name in SYSTEM_FOLDERS:
        return f"in system folders ({path.name})"
    if name in MASK_FOLDERS and siblings & IMAGE_FOLDERS:
        return f"in {path.name} beside images"
    for file, kind in OUTPUT_FILES.items():
        if (path / file).is_file():
            return f"in the {kind} {_inner(tree, path)}"
    return ""


def _reason_to_skip_file(path: Path) -> str:
    """Return why a file is skipped; empty if it is an image to read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "broken links or unreadable files"
    if not stat.S_ISREG(mode):
        return "not regular files"
    if path.name.startswith("."):
        return "hidden files"
    if path.name.lower() in SYSTEM_FILES:
        return "system files"
    if is_unread_image(path):
        return f"{path.suffix.lower()} is not read"
    return "" if is_image(path) else "not images"


def _count(tree: Tree, folder: Path, reason: str) -> None:
    """Count the files below a skipped folder, without following links."""
    for _, _, names in os.walk(folder):
        tree.skipped[reason] += len(names)


def _inner(tree: Tree, path: Path) -> str:
    return printable(path.relative_to(tree.folder))
