"""Image sets in one npz file: the layouts of the contest and of MedMNIST. Nothing is unpickled."""

import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.data.listing import Listing, check_class_names
from stainproof.errors import DataError
from stainproof.files import ZIP_ERRORS, printable
from stainproof.labels import BLOOD_CLASSES

MAX_BYTES = 16 * 2**30
"""Arrays that decompress to more bytes are refused."""

MEDMNIST_PARTS = ("train", "val", "test")

_READ_ERRORS = (*ZIP_ERRORS, KeyError, MemoryError, TypeError, tokenize.TokenError)
"""Exceptions raised by a damaged or hostile file, including its array headers."""


def list_npz(path: Path, classes: str = "") -> Listing:
    """List the contest's file (`images`, `labels`) or MedMNIST's (`train_images`, ...).

    Labels are integers of shape (N,) or (N, 1). Class names are those of a text array `classes` if
    the file has one. Otherwise they are given; without any, files named `bloodmnist...` and the
    contest's files with all labels from 0 to 7 have the eight classes of BloodMNIST.

    Args:
        path: The file.
        classes: Class names separated by commas, or `bloodmnist`, for a file without them.

    Raises:
        DataError: The file is damaged, lacks the arrays, they have a wrong type, shape or range, or
            the class names are unknown.
    """
    arrays = _read_arrays(path)
    if "images" in arrays and "labels" in arrays:
        parts = None
        images = _checked_images(path, "images", arrays["images"])
        labels = _checked_labels(path, "labels", arrays["labels"], len(images))
    elif all(
        f"{part}_{kind}" in arrays for part in MEDMNIST_PARTS for kind in ("images", "labels")
    ):
        pieces = [
            _checked_images(path, f"{p}_images", arrays[f"{p}_images"]) for p in MEDMNIST_PARTS
        ]
        labels = np.concatenate(
            [
                _checked_labels(path, f"{part}_labels", arrays[f"{part}_labels"], len(piece))
                for part, piece in zip(MEDMNIST_PARTS, pieces, strict=True)
            ]
        )
        parts = tuple(
            part for part, piece in zip(MEDMNIST_PARTS, pieces, strict=True) for _ in piece
        )
        if len({piece.shape[1:] for piece in pieces}) > 1:
            raise DataError(f"{path}: train, val and test images have different sizes")
        images = np.concatenate(pieces)
    else:
        raise DataError(
            f"{path}: the arrays are {', '.join(sorted(arrays)) or 'none'}; expected images and "
            "labels, or train_images, train_labels, val_images, ... as in MedMNIST"
        )
    names, notes = _class_names(path, arrays, labels, classes, is_medmnist=parts is not None)
    stem = printable(path.stem)
    return Listing(
        source=stem,
        names=tuple(f"{stem}_{index:05d}" for index in range(len(labels))),
        labels=labels,
        classes=names,
        arrays=images,
        parts=parts,
        notes=notes,
    )


def read_images_only(path: Path) -> Images:
    """Read the array `images` of an npz file, or `test_images` of one in MedMNIST's layout.

    Returns:
        uint8 (N, height, width, 3).

    Raises:
        DataError: The file is damaged or has no such array of images.
    """
    arrays = _read_arrays(path)
    key = next((key for key in ("images", "test_images") if key in arrays), None)
    if key is None:
        raise DataError(
            f"{path}: no array `images` or `test_images`; got: "
            f"{', '.join(sorted(arrays)) or 'none'}"
        )
    return _checked_images(path, key, arrays[key])


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except _READ_ERRORS as error:
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: holds an object array, which is never unpickled") from error
        raise DataError(f"{path}: not a readable npz file ({error})") from error


def _check_sizes(path: Path) -> None:
    """Refuse an array whose header claims more data than the file has, before allocating memory."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read_header(stream)
            if member.file_size > MAX_BYTES:
                raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")
            promised = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if not dtype.hasobject and promised > member.file_size:
                raise ValueError(f"{member.filename} promises {promised} bytes and is cut short")


def _checked_images(path: Path, key: str, images: NDArray[Any]) -> Images:
    if images.ndim == 3 and images.shape[2] != 3:
        images = np.repeat(images[..., None], 3, axis=3)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise DataError(
            f"{path}: {key} must be uint8 (N, height, width, 3), got {images.dtype} {images.shape}"
        )
    return images


def _checked_labels(path: Path, key: str, labels: NDArray[Any], num: int) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape not in ((num,), (num, 1)):
        raise DataError(
            f"{path}: {key} must be whole numbers ({num},) or ({num}, 1), "
            f"got {labels.dtype} {labels.shape}"
        )
    return labels.reshape(num).astype(np.int64)


def _class_names(
    path: Path,
    arrays: dict[str, NDArray[Any]],
    labels: NDArray[np.int64],
    given: str,
    *,
    is_medmnist: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the class names, and a note if they were assumed."""
    notes: tuple[str, ...] = ()
    if "classes" in arrays:
        classes = _stated_classes(path, arrays["classes"])
    elif given:
        classes = BLOOD_CLASSES if given.lower() == "bloodmnist" else _given_classes(given)
    elif path.stem.lower().startswith("bloodmnist"):
        classes = BLOOD_CLASSES
    elif not is_medmnist and set(labels.tolist()) == set(range(len(BLOOD_CLASSES))):
        classes = BLOOD_CLASSES
        notes = ("labels 0 to 7 without class names: read as the eight classes of BloodMNIST",)
    else:
        raise DataError(
            f"{path}: labels {labels.min()} to {labels.max()} and no array `classes`; name them "
            "with --classes 'a,b,c' in the order of the labels, or --classes bloodmnist"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = int(labels.min() if labels.min() < 0 else labels.max())
        raise DataError(f"{path}: label out of range; allowed 0 to {len(classes) - 1}, got {wrong}")
    return classes, notes


def _given_classes(given: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in given.split(","))
    if len(set(names)) < len(names):
        raise DataError(f"--classes: names must be different, got {given!r}")
    check_class_names("--classes", names)
    return names


def _stated_classes(path: Path, stated: NDArray[Any]) -> tuple[str, ...]:
    try:
        names = np.char.decode(stated, "utf-8") if stated.dtype.kind == "S" else stated
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: classes must be UTF-8 text") from error
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < names.size:
        raise DataError(f"{path}: classes must be a list of different names, got {stated!r}")
    check_class_names(str(path), names.tolist())
    return tuple(names.tolist())
