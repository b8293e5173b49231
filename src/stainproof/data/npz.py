"""Image sets in one npz file: the layouts of the contest and of MedMNIST. Nothing is unpickled."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.data.listing import Listing, check_class_names
from stainproof.data.npz_file import NpzFile
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.text import printable

MAX_CLASSES = 10_000
MAX_NAME_BYTES = 1000
"""Largest number of class names, and size of each."""

MEDMNIST_PARTS = ("train", "val", "test")


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
            the class names are unknown, or given although the file has some.
    """
    with NpzFile(path) as file:
        if "images" in file and "labels" in file:
            keys = [("images", "labels")]
        else:
            keys = [(f"{part}_images", f"{part}_labels") for part in MEDMNIST_PARTS]
        wanted = [key for pair in keys for key in pair]
        if not all(key in file for key in wanted):
            raise DataError(
                f"{path}: the arrays are {file.names()}; expected images and labels, or "
                "train_images, train_labels, val_images, ... as in MedMNIST"
            )
        for images_key, labels_key in keys:
            num = _check_images(file, images_key)
            _check_labels(file, labels_key, num)
        if "classes" in file:
            _check_classes(file)
            wanted.append("classes")
        if len({file.header(key).shape[1:] for key, _ in keys}) > 1:
            raise DataError(f"{path}: train, val and test images have different sizes")
        arrays = file.read(wanted)
    pieces = [_three_channels(arrays.pop(key)) for key, _ in keys]
    labels = np.concatenate([arrays.pop(key).reshape(-1).astype(np.int64) for _, key in keys])
    if len(keys) == 1:
        parts, images = None, pieces[0]
    else:
        named = zip(MEDMNIST_PARTS, pieces, strict=True)
        parts = tuple(part for part, piece in named for _ in piece)
        images = np.concatenate(pieces)
    stated = arrays.get("classes")
    names, notes = _class_names(path, stated, labels, classes, is_medmnist=parts is not None)
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
    with NpzFile(path) as file:
        key = next((key for key in ("images", "test_images") if key in file), None)
        if key is None:
            raise DataError(f"{path}: no array `images` or `test_images`; got: {file.names()}")
        _check_images(file, key)
        return _three_channels(file.read([key])[key])


def _check_images(file: NpzFile, key: str) -> int:
    """Check the header of an array of images; return their number."""
    dtype, shape = file.header(key)
    is_grey = len(shape) == 3 and shape[2] != 3
    if dtype != np.uint8 or not (is_grey or (len(shape) == 4 and shape[3] == 3)) or 0 in shape:
        raise DataError(
            f"{file.path}: {key} must be uint8 (N, height, width, 3), got {dtype} {shape}"
        )
    return shape[0]


def _three_channels(images: NDArray[Any]) -> Images:
    return np.repeat(images[..., None], 3, axis=3) if images.ndim == 3 else images


def _check_labels(file: NpzFile, key: str, num: int) -> None:
    dtype, shape = file.header(key)
    if not np.issubdtype(dtype, np.integer) or shape not in ((num,), (num, 1)):
        raise DataError(
            f"{file.path}: {key} must be whole numbers ({num},) or ({num}, 1), got {dtype} {shape}"
        )


def _check_classes(file: NpzFile) -> None:
    dtype, shape = file.header("classes")
    if dtype.kind not in "US" or len(shape) != 1 or not shape[0]:
        raise DataError(
            f"{file.path}: classes must be a list of different names, got {dtype} {shape}"
        )
    if shape[0] > MAX_CLASSES or dtype.itemsize > 4 * MAX_NAME_BYTES:
        raise DataError(
            f"{file.path}: classes: allowed: {MAX_CLASSES:,} names of {MAX_NAME_BYTES:,} "
            f"characters, got {dtype} {shape}"
        )


def _class_names(
    path: Path,
    stated: NDArray[Any] | None,
    labels: NDArray[np.int64],
    given: str,
    *,
    is_medmnist: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the class names, and a note if they were assumed."""
    notes: tuple[str, ...] = ()
    if stated is not None and given:
        raise DataError(
            f"{path}: --classes goes with a file without class names; this one has them"
        )
    if stated is not None:
        classes = _stated_classes(path, stated)
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
    if not _is_unicode(stated):
        raise DataError(f"{path}: classes must be Unicode text")
    try:
        names = np.char.decode(stated, "utf-8") if stated.dtype.kind == "S" else stated
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: classes must be UTF-8 text") from error
    if len(set(names.tolist())) < names.size:
        raise DataError(f"{path}: classes must be different names, got {', '.join(names[:20])}")
    check_class_names(str(path), names.tolist())
    return tuple(names.tolist())


def _is_unicode(texts: NDArray[Any]) -> bool:
    """Return whether an array of texts has no number beyond Unicode, of which NumPy makes texts."""
    if texts.dtype.kind != "U":
        return True
    native = texts.astype(texts.dtype.newbyteorder("="))
    return bool((np.frombuffer(native.tobytes(), np.uint32) <= sys.maxunicode).all())
