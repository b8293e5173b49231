"""Sources: class folders, manifests, npz files and public sets become a listing or a data set."""

import math
from collections import Counter
from collections.abc import Container
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from stainproof.config.schema import Preprocessing
from stainproof.data import download, npz
from stainproof.data.dataset import Dataset
from stainproof.data.decoding import is_image, is_visible_file
from stainproof.data.images import Images, to_square
from stainproof.data.listing import Listing, check_class_names
from stainproof.data.parallel import in_order
from stainproof.data.splits import TEST
from stainproof.errors import DataError
from stainproof.files import exists, printable
from stainproof.progress import Track, silent

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})
COLUMNS = ("path", "label", "group")


def load(
    source: str | Path,
    preprocessing: Preprocessing,
    *,
    leave_out: Container[str] = (),
    track: Track = silent,
) -> Dataset:
    """Read a labelled source of any kind.

    Args:
        source: A folder of class folders; a contest or MedMNIST `.npz` file; a `.csv` or `.parquet`
            manifest with the columns `path`, `label` and optionally `group`; or the name
            `bloodmnist`, optionally with a size as in `bloodmnist:64`. A source that defines its
            own split accepts the suffix `@train`, `@val` or `@test`, which selects one part.
        preprocessing: Size and fit of the images.
        leave_out: Names of images that are not read, for instance those that an audit dropped.
        track: Shows progress.

    Returns:
        The images with labels, names and class names.

    Raises:
        DataError: The source is missing, empty, damaged or of an unknown kind.
    """
    place, part = split_off_part(str(source))
    listing = list_source(place, track).without(leave_out)
    if not len(listing):
        raise DataError(f"{source}: no image is left in it")
    images, notes = read_images(listing, preprocessing, track)
    found = Dataset(
        source=listing.source,
        images=images,
        labels=listing.labels,
        names=listing.names,
        classes=listing.classes,
        groups=listing.groups,
        parts=listing.parts,
        notes=(*notes, *listing.notes),
    )
    return found.part(part) if part else found


def load_test(source: str | Path, preprocessing: Preprocessing, track: Track = silent) -> Dataset:
    """Read a labelled source for evaluation: of a source with its own split, the test part.

    Raises:
        DataError: As `load`.
    """
    data = load(source, preprocessing, track=track)
    return data.part(TEST) if data.parts is not None and TEST in data.parts else data


def list_source(source: str | Path, track: Track = silent) -> Listing:
    """List a source with all its parts; see `load` for the kinds of sources.

    Raises:
        DataError: The source is missing, empty, damaged, of an unknown kind, or selects one part.
    """
    if part := split_off_part(str(source))[1]:
        raise DataError(f"{source}: this command takes the whole source; remove @{part}")
    if str(source).split(":")[0] == download.BLOODMNIST and not exists(Path(source)):
        return npz.list_npz(download.fetch_bloodmnist(str(source), track=track))
    path = Path(source)
    if not exists(path):
        raise DataError(f"{path}: no such folder or file")
    if path.is_dir():
        return _list_folder(path)
    if path.suffix.lower() == ".npz":
        return npz.list_npz(path)
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return _list_manifest(path)
    raise DataError(
        f"{path}: unknown kind of source; allowed: a folder of class folders, .npz, .csv, .parquet"
    )


def split_off_part(source: str) -> tuple[str, str]:
    """Split a suffix `@train`, `@val` or `@test` off the name of a source."""
    place, _, part = source.rpartition("@")
    known = place.split(":")[0] == download.BLOODMNIST or (place and exists(Path(place)))
    return (place, part) if known and not exists(Path(source)) else (source, "")


def _list_folder(folder: Path) -> Listing:
    class_folders = sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )
    classes = tuple(printable(Path(child.name)) for child in class_folders)
    check_class_names(str(folder), classes)
    if not class_folders:
        raise DataError(f"{folder}: no class folders in it; expected one folder a class")
    paths: list[Path] = []
    labels: list[int] = []
    num_others = 0
    for label, class_folder in enumerate(class_folders):
        files = [file for file in sorted(class_folder.rglob("*")) if is_visible_file(file, folder)]
        images = [file for file in files if is_image(file)]
        if not images:
            raise DataError(f"{class_folder}: a class folder without images")
        paths += images
        labels += [label] * len(images)
        num_others += len(files) - len(images)
    return Listing(
        source=printable(Path(folder.resolve().name)),
        names=tuple(printable(path.relative_to(folder)) for path in paths),
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
        paths=tuple(paths),
        notes=(f"{num_others} files skipped: not images",) if num_others else (),
    )


def _list_manifest(path: Path) -> Listing:
    table = _read_table(path)
    for column in COLUMNS:
        num = table.column_names.count(column)
        if num > 1 or (not num and column != "group"):
            fault = "is missing" if not num else f"occurs {num} times"
            raise DataError(
                f"{path}: column {column!r} {fault}; got: {', '.join(table.column_names)}"
            )
    if not table.num_rows:
        raise DataError(f"{path}: no rows in it")
    names = _texts(table, "path", path)
    twice = [name for name, num in Counter(names).items() if num > 1]
    if twice:
        raise DataError(f"{path}: {twice[0]!r} occurs in more than one row; keep one of them")
    label_names = _texts(table, "label", path)
    classes = tuple(sorted(set(label_names)))
    check_class_names(str(path), classes)
    position = {name: index for index, name in enumerate(classes)}
    return Listing(
        source=printable(Path(path.stem)),
        names=names,
        labels=np.array([position[name] for name in label_names], dtype=np.int64),
        classes=classes,
        paths=tuple(path.parent / name for name in names),
        groups=_texts(table, "group", path) if "group" in table.column_names else None,
    )


def _read_table(path: Path) -> pyarrow.Table:
    try:
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.read_table(path)
        as_text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pyarrow.string()))
        return pyarrow.csv.read_csv(path, convert_options=as_text)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a readable {path.suffix} table ({reason})") from error


def _texts(table: pyarrow.Table, column: str, path: Path) -> tuple[str, ...]:
    values = table[column].to_pylist()
    if any(isinstance(value, bytes) for value in values):
        raise DataError(f"{path}: column {column!r} is not UTF-8 text; save the table as UTF-8")
    if any(value is None or value == "" for value in values):
        row = next(i for i, value in enumerate(values) if value is None or value == "")
        raise DataError(f"{path}: column {column!r} is empty in row {row + 1}")
    return tuple(str(value) for value in values)


def read_images(
    listing: Listing, preprocessing: Preprocessing, track: Track = silent
) -> tuple[Images, tuple[str, ...]]:
    """Decode all images of a source on all cores into one array.

    Args:
        listing: N images.
        preprocessing: Size and fit of the images.
        track: Shows progress.

    Returns:
        Images uint8 (N, size, size, 3), and notes such as `3 images: grey`.

    Raises:
        DataError: A file is missing, damaged or not an image; the message names the first and
            counts the others.
    """
    size = preprocessing.size_px
    if listing.arrays is not None and listing.arrays.shape[1:3] == (size, size):
        return listing.arrays, ()
    shape = (len(listing), size, size, 3)
    try:
        images = np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        raise DataError(
            f"{listing.source}: {len(listing)} images of {size} px take more memory than there is "
            f"({math.prod(shape) / 1e9:.0f} GB); lower preprocessing.size_px"
        ) from error

    def fill(index: int) -> tuple[tuple[str, ...], str | None]:
        try:
            decoded = listing.read(index)
        except DataError as error:
            return (), str(error)
        images[index] = to_square(decoded.rgb, preprocessing)
        return decoded.notes, None

    notes: Counter[str] = Counter()
    faults: list[str] = []
    filled = in_order(fill, range(len(listing)))
    for image_notes, fault in track(filled, "reading images", len(listing)):
        notes.update(image_notes)
        if fault:
            faults.append(fault)
    if faults:
        others = f" (and {len(faults) - 1} more unreadable files)" if len(faults) > 1 else ""
        raise DataError(faults[0] + others)
    return images, tuple(f"{count} images: {note}" for note, count in sorted(notes.items()))
