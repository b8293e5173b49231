"""Three classes of discs that differ in colour, for tests that need labelled images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from stainproof.data.dataset import Dataset
from stainproof.labels import BLOOD_CLASSES

CLASSES = ("basophil", "lymphocyte", "platelet")
COLOURS = np.array([[200, 60, 90], [70, 180, 80], [60, 80, 210]])


def make_cells(
    num_a_class: int, size_px: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noisy discs, one colour a class: uint8 (N, size, size, 3) and labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), num_a_class)
    y, x = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    disc = (x**2 + y**2 < (0.35 * size_px) ** 2)[:, :, None]
    cells = np.where(disc, COLOURS[labels][:, None, None], 225)
    noise = rng.integers(-20, 21, cells.shape)
    return np.clip(cells + noise, 0, 255).astype(np.uint8), labels


def write_cells(folder: Path, num_a_class: int = 8, size_px: int = 32, seed: int = 0) -> Path:
    """Write class folders, PNG and JPEG in turn, and return the folder."""
    images, labels = make_cells(num_a_class, size_px, seed)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        suffix = ".png" if index % 2 else ".jpg"
        path = folder / CLASSES[label] / f"cell_{index:03d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path, quality=95)
    return folder


def class_of(rgb: NDArray[np.uint8]) -> int:
    """Return the class whose colour is nearest to that of the image's centre."""
    height, width = rgb.shape[:2]
    centre = rgb[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return int(np.abs(COLOURS - centre.mean((0, 1))).sum(1).argmin())


def make_dataset(
    labels: ArrayLike,
    copies_of: ArrayLike | None = None,
    groups: Iterable[object] | None = None,
    parts: tuple[str, ...] | None = None,
) -> Dataset:
    """Return a data set of noise; image i has the pixels of image `copies_of[i]`, else its own."""
    given = np.asarray(labels, dtype=np.int64)
    num = len(given)
    pixels = np.arange(num) if copies_of is None else np.asarray(copies_of)
    images = np.random.default_rng(0).integers(0, 256, (num, 4, 4, 3), dtype=np.uint8)[pixels]
    return Dataset(
        source="cells",
        images=images,
        labels=given,
        names=tuple(f"cell_{index}" for index in range(num)),
        classes=CLASSES,
        groups=None if groups is None else tuple(map(str, groups)),
        parts=parts,
    )


def write_medmnist(path: Path, sizes: tuple[int, int, int] = (6, 3, 2)) -> Path:
    """Write an npz file in MedMNIST's form; pixel (0, 0) says which part an image is from."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for index, (part, num) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        pixels = rng.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
        pixels[:, 0, 0] = index
        arrays[f"{part}_images"] = pixels
        arrays[f"{part}_labels"] = (np.arange(num) % 8).reshape(-1, 1).astype(np.uint8)
    np.savez(path, classes=np.array(BLOOD_CLASSES), **arrays)
    return path
