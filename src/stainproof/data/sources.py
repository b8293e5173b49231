"""Every kind of source to one typed set: folders, manifests, npz files, public sets."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from stainproof.config import InputContract
from stainproof.data import download, npz
from stainproof.data.images import Images, decode, is_image, to_square
from stainproof.data.imageset import ImageSet
from stainproof.errors import DataError
from stainproof.progress import Track, silent

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})


def load(source: str | Path, contract: InputContract, *, track: Track = silent) -> ImageSet:
    """Read a labelled source, whatever its kind.

    Args:
        source: A folder of class folders; a contest or MedMNIST `.npz` file; a `.csv` or
            `.parquet` manifest with the columns `path`, `label` and perhaps `group`; or the name
            `bloodmnist`, perhaps with a size as in `bloodmnist:64`. A source that states its own
            split takes `@train`, `@val` or `@test` behind its name for one part of it.
        contract: Size and fit of the images.
        track: Shows progress.

    Returns:
        The images with labels, names and class names.

    Raises:
        DataError: The source is missing, empty, damaged or of an unknown kind.
    """
    place, _, part = str(source).partition("@") if not Path(source).exists() else (source, "", "")
    found = _load_whole(str(place), contract, track)
    return found.part(part) if part else found


def _load_whole(place: str, contract: InputContract, track: Track) -> ImageSet:
    if place.split(":")[0] == download.BLOODMNIST:
        return npz.read_npz(download.fetch_bloodmnist(place), contract, track)
    path = Path(place)
    if path.is_dir():
        return _load_folder(path, contract, track)
    if not path.exists():
        raise DataError(f"{path}: no such folder or file")
    if path.suffix.lower() == ".npz":
        return npz.read_npz(path, contract, track)
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return _load_manifest(path, contract, track)
    raise DataError(
        f"{path}: unknown kind of source; allowed: a folder of class folders, .npz, .csv, .parquet"
    )


def _load_folder(folder: Path, contract: InputContract, track: Track) -> ImageSet:
    class_folders = sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )
    if not class_folders:
        raise DataError(f"{folder}: no class folders in it; expected one folder a class")
    paths: list[Path] = []
    labels: list[int] = []
    num_others = 0
    for label, class_folder in enumerate(class_folders):
        files = [file for file in sorted(class_folder.rglob("*")) if file.is_file()]
        images = [file for file in files if is_image(file)]
        if not images:
            raise DataError(f"{class_folder}: a class folder without images")
        paths += images
        labels += [label] * len(images)
        num_others += len(files) - len(images)
    images_nhwc, notes = read_images(paths, contract, track)
    if num_others:
        notes = (*notes, f"{num_others} files that are no images left out")
    return ImageSet(
        source=folder.resolve().name,
        images=images_nhwc,
        labels=np.array(labels, dtype=np.int64),
        names=tuple(path.relative_to(folder).as_posix() for path in paths),
        classes=tuple(child.name for child in class_folders),
        notes=notes,
    )


def _load_manifest(path: Path, contract: InputContract, track: Track) -> ImageSet:
    table = _read_table(path)
    for column in ("path", "label"):
        if column not in table.column_names:
            raise DataError(
                f"{path}: column {column!r} is missing; got: {', '.join(table.column_names)}"
            )
    if not table.num_rows:
        raise DataError(f"{path}: no rows in it")
    names = _texts(table, "path", path)
    label_names = _texts(table, "label", path)
    classes = tuple(sorted(set(label_names)))
    position = {name: index for index, name in enumerate(classes)}
    images, notes = read_images([path.parent / name for name in names], contract, track)
    return ImageSet(
        source=path.stem,
        images=images,
        labels=np.array([position[name] for name in label_names], dtype=np.int64),
        names=names,
        classes=classes,
        groups=_texts(table, "group", path) if "group" in table.column_names else None,
        notes=notes,
    )


def _read_table(path: Path) -> pyarrow.Table:
    try:
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.read_table(path)
        return pyarrow.csv.read_csv(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a readable {path.suffix} table ({reason})") from error


def _texts(table: pyarrow.Table, column: str, path: Path) -> tuple[str, ...]:
    values = table[column].to_pylist()
    if any(value is None or value == "" for value in values):
        row = next(i for i, value in enumerate(values) if value is None or value == "")
        raise DataError(f"{path}: column {column!r} is empty in row {row + 1}")
    return tuple(str(value) for value in values)


def read_images(
    paths: Sequence[Path], contract: InputContract, track: Track = silent
) -> tuple[Images, tuple[str, ...]]:
    """Decode files on all cores into one array.

    Args:
        paths: N image files.
        contract: Size and fit of the images.
        track: Shows progress.

    Returns:
        Images uint8 (N, size, size, 3), and notes such as `3 images: grey`.

    Raises:
        DataError: A file is missing, damaged or no image; names the first and counts the others.
    """
    size = contract.size_px
    images = np.empty((len(paths), size, size, 3), dtype=np.uint8)

    def fill(index: int) -> tuple[tuple[str, ...], str | None]:
        try:
            decoded = decode(paths[index])
        except DataError as error:
            return (), str(error)
        images[index] = to_square(decoded.rgb, contract)
        return decoded.notes, None

    notes: Counter[str] = Counter()
    faults: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        filled = pool.map(fill, range(len(paths)), chunksize=64)
        for image_notes, fault in track(filled, "reading images", len(paths)):
            notes.update(image_notes)
            if fault:
                faults.append(fault)
    if faults:
        others = f" (and {len(faults) - 1} more unreadable files)" if len(faults) > 1 else ""
        raise DataError(faults[0] + others)
    return images, tuple(f"{count} images: {note}" for note, count in sorted(notes.items()))
