"""Prediction on a Ray cluster: parts of the images become Parquet files, one row an image.

    out/part-00000.parquet   the rows of the first 1,000 images, as `predict` would write them
    out/part-00001.parquet   ...
    out/_manifest.json       what was predicted with which weights; at the end, all parts

A part is one task and is written in one step, so a task that runs again replaces its own part and
no row is lost or doubled. Parts that are there are not predicted again.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
from pydantic import Field

from stainproof.config.schema import InferenceConfig
from stainproof.data import stream
from stainproof.data.bit_depth import bits_used
from stainproof.data.stream import Item
from stainproof.errors import ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.inference.tables import SUFFIXES, check_bits, write_predictions
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.provenance import Provenance, collect
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact
from stainproof.scale.cluster import cluster
from stainproof.scale.storage import (
    copy_files,
    is_address,
    list_images,
    read_file,
    shown,
    write_file,
)
from stainproof.shift.lab import Lab, read_lab

MANIFEST_FILE = "_manifest.json"
PART_SIZE = 1000
KEY = "stainproof"
"""Name of the footer's text that tells to which prediction a part belongs."""


class Part(Artefact):
    """One file of the predictions."""

    file: str
    num_rows: int
    num_errors: int
    """Rows of images that could not be read."""


class Manifest(Artefact):
    """What is predicted with which weights, and the parts when all are written."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    weights_sha256: str
    images_sha256: str
    """Hash of the names of all images in their order."""
    num_files: int
    part_size: int
    engine: str
    inference: InferenceConfig
    lab: Lab | None
    """The laboratory profile by which images are standardised."""
    bits: int
    provenance: Provenance
    parts: tuple[Part, ...] = ()
    """Empty until all parts are written."""

    def key(self) -> str:
        """Return a hash of all that the rows depend on."""
        content = self.model_dump_json(exclude={"provenance", "parts"})
        return hashlib.sha256(content.encode()).hexdigest()


def predict_on_cluster(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    address: str,
    *,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    bits: int = 0,
    lab: Lab | str | Path | None = None,
    part_size: int = PART_SIZE,
    track: Track = silent,
    say: Say = silent_say,
) -> tuple[int, int]:
    """Predict image files on a Ray cluster; write Parquet files of 1,000 images and a manifest.

    The rows are those of `predict`. A call that was stopped goes on where it was when it is
    repeated. Every worker process loads the model once.

    Args:
        run: The folder of a run or an ensemble, on storage that all machines share.
        images: Paths and globs as in `predict`, or addresses of an object storage, see
            `scale.storage`.
        out: Folder or address for the files.
        address: `local`, `auto` or the address of a cluster, see `scale.cluster`.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter.
        bits: Number of bits that the values of 16-bit files use; 0: that of the files, or found
            from the largest value. In an object storage 0 stands for 16.
        lab: A laboratory profile or its file, by which images are standardised first.
        part_size: Number of images of a part; an npz file is a part of its own.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder.

    Returns:
        The number of rows, and how many of them are images that could not be read.

    Raises:
        ConfigError: There is no such cluster, `out` names a table or contains other predictions, or
            as in `predict`.
        CheckpointError: The run folder cannot be used.
        DataError: A path matches no image, or a storage cannot be used.
    """
    place = str(out)
    if Path(place).suffix.lower() in SUFFIXES or Path(place).is_file():
        raise ConfigError(f"{place}: with --ray, --out names a folder for Parquet files")
    check_bits(bits)
    lab = read_lab(lab)
    classifier = Classifier.load(run, engine, inference, lab=lab, say=say)
    names = _find(images, say)
    local = [Path(name) for name in names if not is_address(name)]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        weights_sha256=classifier.weights_sha256,
        images_sha256=hashlib.sha256("\n".join(map(shown, names)).encode()).hexdigest(),
        num_files=len(names),
        part_size=part_size,
        engine=engine,
        inference=classifier.inference,
        lab=classifier.lab,
        bits=bits or bits_used(local),
        provenance=collect(),
    )
    _begin(manifest, place)
    parts = _divide(names, part_size)
    make = partial(_predict_part, str(run), manifest, place)
    with cluster(address) as there:
        calls = (partial(make, index, part) for index, part in enumerate(parts))
        done = dict(track(there.run(calls), "predicting", len(parts)))
    made = tuple(done[index] for index in range(len(parts)))
    final = manifest.model_copy(update={"parts": made})
    write_file(place, MANIFEST_FILE, final.to_json())
    return sum(part.num_rows for part in made), sum(part.num_errors for part in made)


def _find(images: Sequence[str], say: Say) -> list[str]:
    found: list[str] = []
    for one in images:
        found += list_images(one) if is_address(one) else map(str, stream.find([one], say))
    return found


def _divide(names: Sequence[str], part_size: int) -> list[list[str]]:
    """Divide a list into parts; an npz file, which holds many images, is one of its own."""
    parts: list[list[str]] = []
    for name in names:
        if not parts or len(parts[-1]) == part_size or _kind(name) != _kind(parts[-1][0]):
            parts.append([])
        parts[-1].append(name)
    return parts


def _kind(name: str) -> str | bool:
    """Return what all names of a part have in common."""
    return name if name.lower().endswith(".npz") else is_address(name)


def _begin(manifest: Manifest, out: str) -> None:
    """Write the manifest without parts.

    Raises:
        ConfigError: The folder holds predictions of other images or with another model.
    """
    content = read_file(out, MANIFEST_FILE)
    if content is None:
        write_file(out, MANIFEST_FILE, manifest.to_json())
    elif Manifest.parse(content, Path(out) / MANIFEST_FILE).key() != manifest.key():
        raise ConfigError(
            f"{shown(out)}: holds predictions of other images, weights or options; choose another "
            "--out"
        )


def _predict_part(run: str, manifest: Manifest, out: str, index: int, names: list[str]) -> Part:
    """Predict a part in a worker, or return what is there of it."""
    file, key = f"part-{index:05d}.parquet", manifest.key()
    content = read_file(out, file)
    if content is None or (part := _read_part(content, file, key)) is None:
        lab = manifest.lab.model_dump_json() if manifest.lab else ""
        classifier = _load(run, manifest.weights_sha256, manifest.engine, manifest.inference, lab)
        with TemporaryDirectory(prefix="stainproof-") as folder:
            items = _read(names, classifier, manifest.bits, Path(folder))
            table = Path(folder) / file
            num_rows, num_errors, _ = write_predictions(
                classifier, items, table, metadata={KEY: key}
            )
            write_file(out, file, table.read_bytes())
        part = Part(file=file, num_rows=num_rows, num_errors=num_errors)
    return part


def _read_part(content: bytes, file: str, key: str) -> Part | None:
    """Return what a part holds; None if it is damaged or belongs to another prediction."""
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content), columns=["error"])
    except (OSError, pyarrow.ArrowException):
        return None
    if (table.schema.metadata or {}).get(KEY.encode()) != key.encode():
        return None
    errors = table["error"]
    return Part(file=file, num_rows=len(errors), num_errors=len(errors) - errors.null_count)


@lru_cache(1)
def _load(
    run: str, weights_sha256: str, engine: str, inference: InferenceConfig, lab: str
) -> Classifier:
    """Load a model once in a process; the profile is given as JSON.

    Raises:
        ConfigError: The machine has other weights at this path.
    """
    profile = Lab.model_validate_json(lab) if lab else None
    classifier = Classifier.load(run, engine, inference, lab=profile)
    if classifier.weights_sha256 != weights_sha256:
        raise ConfigError(f"{run}: has other weights on another machine of the cluster")
    return classifier


def _read(names: Sequence[str], classifier: Classifier, bits: int, folder: Path) -> Iterator[Item]:
    """Yield the images of a part, those of an object storage under their addresses."""
    if not is_address(names[0]):
        paths = [Path(name) for name in names]
        yield from stream.read(paths, classifier.preprocessing, bits, classifier.standardise)
        return
    paths = copy_files(names, folder)
    items = stream.read(paths, classifier.preprocessing, bits, classifier.standardise)
    for name, path, item in zip(names, paths, items, strict=True):
        error = item.error.replace(str(path), shown(name))
        yield replace(item, name=shown(name), error=error)
