"""Sources: class folders, manifests, npz files and public sets become a listing or a data set."""

import math
from collections import Counter
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np

from stainproof.config.schema import Preprocessing, SourceConfig
from stainproof.data import download, manifest, npz
from stainproof.data.bit_depth import bits_used
from stainproof.data.class_map import apply_class_map, read_class_map
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images, Standardise, to_square, unchanged
from stainproof.data.layout import Layout, check_no_copy_within, guess_layout
from stainproof.data.listing import Listing, check_class_names, check_different, check_group_names
from stainproof.data.parallel import in_order
from stainproof.data.splits import TEST
from stainproof.data.table import SUFFIXES as TABLE_SUFFIXES
from stainproof.data.tree import Tree, scan
from stainproof.errors import DataError
from stainproof.files import exists
from stainproof.progress import Track, silent
from stainproof.text import printable

AS_GUESSED = SourceConfig()
"""Reads a source as its names and columns suggest."""
MAX_NAMED_FILES = 10
FOLDER, MANIFEST, NPZ, PUBLIC = "a folder", "a manifest", "an npz file", "a public data set"
KINDS = {
    "layout": (FOLDER,),
    "path_column": (MANIFEST,),
    "label_column": (MANIFEST,),
    "group_column": (MANIFEST,),
    "classes": (NPZ,),
    "bits": (FOLDER, MANIFEST),
}
"""Option -> kinds of sources that it goes with; the other options go with all."""


def load(
    source: str | Path,
    preprocessing: Preprocessing,
    *,
    options: SourceConfig = AS_GUESSED,
    leave_out: Container[str] = (),
    track: Track = silent,
) -> Dataset:
    """Read a labelled source of any kind.

    Args:
        source: A folder of class folders; a contest or MedMNIST `.npz` file; a `.csv` or `.parquet`
            manifest with a row for each image; or the name `bloodmnist`, optionally with a size as
            in `bloodmnist:64`. A source that defines its own split accepts the suffix `@train`,
            `@val` or `@test`, which selects one part. See docs/sources.md.
        preprocessing: Size and fit of the images.
        options: Layout, columns, classes and class map, where they are not guessed.
        leave_out: Names of images that are not read, for instance those that an audit dropped.
        track: Shows progress.

    Returns:
        The images with labels, names and class names.

    Raises:
        DataError: The source is missing, empty, damaged, of an unknown kind, or can be read in more
            than one way.
    """
    listing = list_source(source, track, options=options)
    return read(listing, preprocessing, options=options, leave_out=leave_out, track=track)


def read(
    listing: Listing,
    preprocessing: Preprocessing,
    *,
    options: SourceConfig = AS_GUESSED,
    leave_out: Container[str] = (),
    standardise: Standardise = unchanged,
    track: Track = silent,
) -> Dataset:
    """Decode the images of a listing; see `load` and `read_images`."""
    listing = listing.without(leave_out)
    if not len(listing):
        raise DataError(f"{listing.source}: no image is left in it")
    images, notes, unreadable = read_images(listing, preprocessing, track, standardise)
    if unreadable:
        if not options.skip_unreadable:
            raise DataError(_unreadable_message(list(unreadable.values())))
        images = images[np.setdiff1d(np.arange(len(listing)), list(unreadable))]
        listing = _leave_out(listing, list(unreadable))
    return Dataset(
        source=listing.source,
        images=images,
        labels=listing.labels,
        names=listing.names,
        classes=listing.classes,
        groups=listing.groups,
        parts=listing.parts,
        notes=(*notes, *listing.notes),
    )


def without_unreadable(listing: Listing, track: Track = silent) -> Listing:
    """Return a listing without the images that cannot be read; its first note says which.

    Raises:
        DataError: No image can be read.
    """

    def is_unreadable(index: int) -> bool:
        try:
            listing.read(index)
        except DataError:
            return True
        return False

    tried = track(in_order(is_unreadable, range(len(listing))), "reading images", len(listing))
    return _leave_out(listing, [index for index, fails in enumerate(tried) if fails])


def _leave_out(listing: Listing, unreadable: list[int]) -> Listing:
    if not unreadable:
        return listing
    names = [listing.names[index] for index in unreadable]
    left = listing.without(set(names))
    if not len(left):
        raise DataError(f"{listing.source}: no image in it can be read")
    note = f"{len(names)} unreadable images left out: {', '.join(names)}"
    return replace(left, notes=(note, *left.notes))


def load_test(
    source: str | Path,
    preprocessing: Preprocessing,
    track: Track = silent,
    *,
    options: SourceConfig = AS_GUESSED,
) -> Dataset:
    """Read a labelled source for evaluation: of a source with its own split, the test part.

    Raises:
        DataError: As `load`.
    """
    listing = test_part(list_source(source, track, options=options))
    return read(listing, preprocessing, options=options, track=track)


def test_part(listing: Listing) -> Listing:
    """Return the test part of a source with its own split, else the whole source."""
    has_test = listing.parts is not None and TEST in listing.parts
    return listing.part(TEST) if has_test else listing


def list_source(
    source: str | Path,
    track: Track = silent,
    *,
    options: SourceConfig = AS_GUESSED,
) -> Listing:
    """List a source, or with a suffix such as `@test` one part of it; see `load`.

    Raises:
        DataError: The source is missing, empty, damaged, of an unknown kind, or can be read in more
            than one way.
        ConfigError: The class map cannot be read.
    """
    class_map = read_class_map(options.class_map) if options.class_map else None
    place, part = split_off_part(str(source))
    listing = _list_whole(place, options, track)
    if listing.paths:
        listing = replace(listing, bits=options.bits or bits_used(listing.paths))
    if class_map:
        listing = apply_class_map(listing, class_map)
    return listing.part(part) if part else listing


def list_whole_source(
    source: str | Path, track: Track = silent, *, options: SourceConfig = AS_GUESSED
) -> Listing:
    """List a source for a command that takes no part of one.

    Raises:
        DataError: As `list_source`; or the source selects a part.
    """
    if part := split_off_part(str(source))[1]:
        raise DataError(f"{source}: this command takes the whole source; remove @{part}")
    return list_source(source, track, options=options)


def _list_whole(source: str, options: SourceConfig, track: Track) -> Listing:
    if source.split(":")[0] == download.BLOODMNIST and not exists(Path(source)):
        _check_options(source, options, PUBLIC)
        return npz.list_npz(download.fetch_bloodmnist(source, track=track))
    path = Path(source)
    if not exists(path):
        raise DataError(f"{path}: no such folder or file")
    if path.is_dir():
        _check_options(source, options, FOLDER)
        return _list_folder(path, options)
    if path.suffix.lower() == ".npz":
        _check_options(source, options, NPZ)
        return npz.list_npz(path, options.classes)
    if path.suffix.lower() in TABLE_SUFFIXES:
        _check_options(source, options, MANIFEST)
        return manifest.list_manifest(path, options)
    raise DataError(
        f"{path}: unknown kind of source; allowed: a folder of class folders, .npz, .csv, .parquet"
    )


def _check_options(source: str, options: SourceConfig, kind: str) -> None:
    """Refuse options of how another kind of source is read.

    Raises:
        DataError: One was given.
    """
    for name, kinds in KINDS.items():
        if kind not in kinds and getattr(options, name) != getattr(AS_GUESSED, name):
            option = name.replace("_", "-")
            raise DataError(f"{source}: --{option} goes with {' or '.join(kinds)}, got {kind}")


def split_off_part(source: str) -> tuple[str, str]:
    """Split a suffix `@train`, `@val` or `@test` off the name of a source."""
    place, _, part = source.rpartition("@")
    known = place.split(":")[0] == download.BLOODMNIST or (place and exists(Path(place)))
    return (place, part) if known and not exists(Path(source)) else (source, "")


def _list_folder(folder: Path, options: SourceConfig) -> Listing:
    tree = scan(folder)
    paths = [path.relative_to(folder) for path in tree.images]
    texts = [path.as_posix() for path in paths]
    layout = Layout(options.layout or guess_layout(str(folder), texts))
    if not options.layout:
        check_no_copy_within(str(folder), layout, texts)
    places = [layout.place(text) for text in texts]
    outside = f"not matched by the layout {layout.pattern}"
    tree.skipped[outside] += places.count(None)
    used = [(path, place) for path, place in zip(paths, places, strict=True) if place]
    if not used:
        raise DataError(
            f"{folder}: no image matches the layout {layout.pattern!r}; "
            f"the first of {len(texts)} is {min(texts, default='none')!r}"
        )
    raw_classes = sorted({place.label for _, place in used}, key=Path)
    position = {name: label for label, name in enumerate(raw_classes)}
    classes = tuple(
        name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in raw_classes
    )
    check_class_names(str(folder), classes)
    names = tuple(printable(path) for path, _ in used)
    check_different(str(folder), names)
    groups = tuple(printable(str(place.group)) for _, place in used)
    if layout.has_group:
        check_group_names(str(folder), groups)
    _check_no_empty_class(tree, layout, set(raw_classes))
    return Listing(
        source=printable(Path(folder.resolve().name)),
        names=names,
        labels=np.array([position[place.label] for _, place in used], dtype=np.int64),
        classes=classes,
        paths=tuple(folder / path for path, _ in used),
        groups=groups if layout.has_group else None,
        parts=tuple(str(place.split) for _, place in used) if layout.has_split else None,
        notes=tree.notes(),
        layout=layout.pattern,
    )


def _check_no_empty_class(tree: Tree, layout: Layout, classes: set[str]) -> None:
    """Refuse a folder beside the class folders from which no image is used.

    Raises:
        DataError: There is one, in the layout of plain class folders.
    """
    if not layout.pattern.startswith("{label}/"):
        return
    for child in sorted(tree.folders):
        if child not in classes:
            raise DataError(
                f"{tree.folder / child}: a class folder without images; remove it"
                + "".join(f" ({note})" for note in tree.notes()[:1])
            )


def _unreadable_message(faults: list[str]) -> str:
    """Return the first fault, the names of further files and what to do."""
    others = [fault.split(": ")[0] for fault in faults[1:]]
    more = ""
    if others:
        named = ", ".join(others[:MAX_NAMED_FILES]) + ", ..." * (len(others) > MAX_NAMED_FILES)
        more = f"; {len(others)} more unreadable files: {named}"
    return f"{faults[0]}{more}; --skip-unreadable or --audit leaves them out"


def read_images(
    listing: Listing,
    preprocessing: Preprocessing,
    track: Track = silent,
    standardise: Standardise = unchanged,
) -> tuple[Images, tuple[str, ...], dict[int, str]]:
    """Decode all images of a source on all cores into one array.

    Args:
        listing: N images.
        preprocessing: Size and fit of the images.
        track: Shows progress.
        standardise: Applied to every image before it is cropped and resized.

    Returns:
        Images uint8 (N, size, size, 3), notes such as `3 images: grey`, and position -> reason of
        the images that could not be read, whose pixels are undefined.

    Raises:
        DataError: The images do not fit into memory.
    """
    size = preprocessing.size_px
    is_as_stored = standardise is unchanged and not preprocessing.white_point
    if is_as_stored and listing.arrays is not None and listing.arrays.shape[1:3] == (size, size):
        return listing.arrays, (), {}
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
            return (), printable(str(error))
        images[index] = to_square(standardise(decoded.rgb), preprocessing)
        return decoded.notes, None

    notes: Counter[str] = Counter()
    unreadable: dict[int, str] = {}
    filled = in_order(fill, range(len(listing)))
    for index, (image_notes, fault) in enumerate(track(filled, "reading images", len(listing))):
        notes.update(image_notes)
        if fault:
            unreadable[index] = fault
    counted = tuple(f"{count} images: {note}" for note, count in sorted(notes.items()))
    return images, counted, unreadable
