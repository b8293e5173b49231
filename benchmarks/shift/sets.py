"""Labelled sets for the benchmarks of profiles, and draws of few images with a known mixture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof.data import sources
from stainproof.data.images import Images

COUNTS = (1, 4, 16, 64, 256)
MIXES = ("balanced", "natural", "skewed", "one class")


@dataclass(frozen=True)
class LabelledSet:
    """Images at the resolution of their files."""

    name: str
    images: list[Images]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def read_set(folder: Path, most: int, seed: int = 0) -> LabelledSet:
    """Read up to `most` images of a source, drawn at random."""
    listing = sources.list_source(folder)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(listing))[:most])
    images = [listing.read(int(index)).rgb for index in chosen]
    return LabelledSet(folder.name, images, listing.labels[chosen], listing.classes)


def draw(
    labels: NDArray[np.int64], num: int, mix: str, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return positions of `num` images, drawn with replacement.

    Args:
        labels: (N,).
        num: Number of images.
        mix: `balanced`: all classes alike; `natural`: as in the set; `skewed`: shares of the
            classes from a Dirichlet distribution of 0.3; `one class`: a random one.
        rng: Random generator.
    """
    if mix == "natural":
        return rng.integers(len(labels), size=num)
    present = np.unique(labels)
    shares: dict[str, Callable[[], NDArray[np.float64]]] = {
        "balanced": lambda: np.full(len(present), 1 / len(present)),
        "skewed": lambda: rng.dirichlet(np.full(len(present), 0.3)),
        "one class": lambda: np.eye(len(present))[rng.integers(len(present))],
    }
    classes = rng.choice(present, size=num, p=shares[mix]())
    members = {label: np.flatnonzero(labels == label) for label in present}
    return np.array([rng.choice(members[label]) for label in classes])
