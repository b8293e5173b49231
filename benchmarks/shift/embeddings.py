"""Labelled sets as a network sees them, with their features kept on disk."""

import argparse
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof.config.schema import Preprocessing
from stainproof.corruptions.bloodmnist import CORRUPTIONS, SEVERITIES, SIZE_PX, corrupt
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images, to_square
from stainproof.deployment.embedding import Embedding, embed, embed_views
from stainproof.deployment.home import Home, open_home
from stainproof.deployment.properties import measure_properties
from stainproof.reports.lab_profile import write_profile
from stainproof.shift.lab import standardiser

CELLS_A_CORRUPTION = 150
Read = tuple[Images, NDArray[np.int64]]


@dataclass(frozen=True)
class LabelledSet:
    """One set of labelled cells."""

    name: str
    embedding: Embedding
    labels: NDArray[np.int64]
    """int64 (n,)."""
    properties: NDArray[np.float32]
    """float32 (n, 7)."""

    def subset(self, indices: NDArray[np.int64], name: str = "") -> "LabelledSet":
        """Return the cells at these positions."""
        return LabelledSet(
            name or self.name,
            self.embedding.subset(indices),
            self.labels[indices],
            self.properties[indices],
        )


def parse(what: str | None, arguments: list[str] | None, **numbers: int) -> argparse.Namespace:
    """Parse the command line that these benchmarks share.

    Args:
        what: Description of the benchmark.
        arguments: Of the command line; None: those of this process.
        numbers: Further options with a number and its default.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("run", help="a run with a reference")
    parser.add_argument("--clean", required=True, help="other cells of the home laboratory")
    parser.add_argument("--labs", nargs="+", required=True, help="labelled cells elsewhere")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    options.home = open_home(options.run)
    return options


def read_set(home: Home, source: str, cache: Path, *, profiled: bool = False) -> LabelledSet:
    """Return the features of a source, standardised by a profile measured on it if `profiled`."""

    def read() -> Read:
        data = read_images(home, source, cache, profiled=profiled)
        return data.images, data.labels_in(home.classifier.classes)

    return keep_set(home, cache, Path(source).name + (", profile" if profiled else ""), read)


def read_images(home: Home, source: str, cache: Path, *, profiled: bool) -> Dataset:
    """Return a source, standardised by a profile measured on it if `profiled`."""
    lab_file = cache / f"{Path(source).name}.json"
    lab = write_profile(home.classifier, source, lab_file) if profiled else None
    listing = sources.list_source(source)
    return sources.read(listing, home.classifier.preprocessing, standardise=standardiser(lab))


@dataclass(frozen=True)
class LabelledViews:
    """One set of labelled cells in 8 views each."""

    name: str
    features: NDArray[np.float32]
    """float32 (8, n, d), the cells as they are first."""
    labels: NDArray[np.int64]
    """int64 (n,)."""


def read_views(
    home: Home, source: str, cache: Path, *, profiled: bool = False, most: int = 10_000
) -> LabelledViews:
    """Return the features of all views of a source.

    Args:
        home: The run.
        source: Labelled cells.
        cache: Folder of the features.
        profiled: Whether the cells are standardised by a profile measured on the source.
        most: Largest number of cells; of more, a random subset is used.
    """
    name = Path(source).name
    key = f"views {profiled} {most} {home.classifier.weights_sha256} {name}"
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        data = read_images(home, source, cache, profiled=profiled)
        order = np.random.default_rng(0).permutation(len(data))
        data = data.subset(np.sort(order[:most]))
        np.savez(
            path,
            features=embed_views(home.classifier, data.images),
            labels=data.labels_in(home.classifier.classes),
        )
    with np.load(path) as kept:
        suffix = ", profile" if profiled else ""
        return LabelledViews(f"{name}{suffix}", kept["features"], kept["labels"])


def read_corrupted(home: Home, source: str, cache: Path, num: int) -> Iterator[LabelledSet]:
    """Yield the first `num` cells of a source, shuffled, under every corruption and severity."""
    data = None
    for name in CORRUPTIONS:
        for severity in SEVERITIES:

            def read(name: str = name, severity: int = severity) -> Read:
                nonlocal data
                if data is None:
                    whole = sources.load(source, Preprocessing(size_px=SIZE_PX))
                    order = np.random.default_rng(0).permutation(len(whole))[:num]
                    data = whole.subset(order)
                size = home.classifier.preprocessing
                made = [
                    to_square(corrupt(rgb, name, severity, 0, index), size)
                    for index, rgb in enumerate(data.images)
                ]
                return np.stack(made), data.labels_in(home.classifier.classes)

            yield keep_set(home, cache, f"{name} {severity}", read)


def skewed(one: LabelledSet, num: int, size: int, seed: int) -> Iterator[LabelledSet]:
    """Yield subsets with class mixes from Dirichlet(1)."""
    rng = np.random.default_rng(seed)
    for number in range(num):
        weights = rng.dirichlet(np.ones(one.labels.max() + 1))[one.labels] + 1e-3
        chosen = rng.choice(
            len(weights), min(size, len(weights) // 2), replace=False, p=weights / weights.sum()
        )
        yield one.subset(chosen, f"{one.name}, mix {number}")


def is_right(home: Home, one: LabelledSet) -> NDArray[np.bool_]:
    """Return which cells the run classifies correctly, bool (n,)."""
    logits = home.classifier.extractor.logits(one.embedding.features)
    return np.asarray(logits.argmax(axis=1) == one.labels)


def keep_set(home: Home, cache: Path, name: str, read: Callable[[], Read]) -> LabelledSet:
    """Return a set from the cache, or compute and keep it."""
    key = hashlib.sha256(f"{home.classifier.weights_sha256} {name}".encode()).hexdigest()[:16]
    path = cache / f"{key}.npz"
    if not path.exists():
        images, labels = read()
        found = embed(home.classifier, images)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            features=found.features,
            mirrored=found.mirrored,
            labels=labels,
            properties=measure_properties(images),
        )
    with np.load(path) as kept:
        return LabelledSet(
            name,
            Embedding(kept["features"], kept["mirrored"]),
            kept["labels"],
            kept["properties"],
        )
