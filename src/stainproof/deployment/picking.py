"""Which cells of a laboratory to label: uncertain, different from each other, of every class."""

import csv
import io
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.config.parsing import check_seed
from stainproof.deployment.images import read_images
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab, read_lab, standardiser
from stainproof.text import quote_formula

COLUMNS = ("file", "label", "predicted", "confidence")
Floats = NDArray[np.floating]


def choose_cells(features: Floats, probs: Floats, num: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose cells to label, the most useful first.

    The predicted classes take turns, the rarest first, until each has its equal share or no cell is
    left. In the first and every second turn a class gives the cell with the largest product of
    uncertainty (1 less the margin of the two largest probabilities) and distance to the nearest
    chosen cell, as in k-centre selection (Sener and Savarese 2018); in the other turns a random
    cell, because uncertain cells alone do not represent their class.

    Args:
        features: Penultimate features, (n, d).
        probs: (n, classes).
        num: Number of cells, at most n.
        seed: Seed of the random cells.

    Returns:
        int64 (num,), positions.
    """
    from stainproof.deployment.novelty import normalised

    points = normalised(np.asarray(features, dtype=np.float32))
    ordered = np.sort(probs, axis=1)
    uncertainty = 1.05 - (ordered[:, -1] - ordered[:, -2])
    predicted = probs.argmax(axis=1)
    classes, counts = np.unique(predicted, return_counts=True)
    turns = classes[np.argsort(counts, kind="stable")]
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    chosen: list[int] = []
    is_free = np.ones(len(points), dtype=bool)
    rng = np.random.default_rng(seed)
    for turn in count():
        if len(chosen) == num:
            break
        for label in turns:
            candidates = np.flatnonzero(is_free & (predicted == label))
            if not len(candidates) or len(chosen) == num:
                continue
            usefulness = (uncertainty * distance)[candidates]
            best = np.argmax(usefulness) if turn % 2 == 0 else rng.integers(len(candidates))
            index = int(candidates[best])
            to_it = np.linalg.norm(points - points[index], axis=1)
            distance = to_it if not chosen else np.minimum(distance, to_it)
            chosen.append(index)
            is_free[index] = False
    return np.array(chosen, dtype=np.int64)


def pick(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    num: int = 32,
    lab: Lab | str | Path | None = None,
    seed: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> list[str]:
    """Choose which unlabelled cells of a laboratory to label; write a manifest to fill in.

    The columns are `file`, relative to the manifest, `label`, which is empty, `predicted` and
    `confidence`. With its labels filled in, it is a source for `adapt`.

    Args:
        run: The run folder.
        images: Image files, folders or globs.
        out: The `.csv` file to write.
        num: Number of cells, 1 or more.
        lab: A laboratory profile or its file, by which the images are standardised first.
        seed: Seed of the random cells and of the subset of more than 2,000 images, 0 or more.
        track: Shows progress.
        say: Called with notes on what is skipped, and with a line if the run was adapted with a
            profile and `lab` is None.

    Returns:
        The files, the most useful first.

    Raises:
        ConfigError: The seed is below 0, `num` is below 1, or `out` is no `.csv` file.
        CheckpointError: The run cannot be used.
        DataError: A path matches no image, or an npz file; a file name cannot be written to a
            manifest; or there are fewer images than `num`.
    """
    from scipy.special import softmax

    check_seed(seed)
    path, profile = Path(out), read_lab(lab)
    if num < 1:
        raise ConfigError(f"num must be 1 or more, got {num}")
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{path}: must be a .csv file")
    refuse_ensemble(find_run(run), "use one of its runs")
    classifier = Classifier.load(run, say=silent_say if profile else say)
    files.check_writable(path)
    found = read_images(
        classifier.preprocessing,
        images,
        seed,
        track,
        say,
        standardiser(profile),
    )
    refuse_nameless(found.names)
    if len(found.names) < num:
        raise DataError(f"{images[0]}: {num} cells wanted, {len(found.names)} images there")
    starts = track(range(0, len(found.rgb), 128), "computing features", -(-len(found.rgb) // 128))
    features = np.concatenate([classifier.features(found.rgb[at : at + 128]) for at in starts])
    probs = softmax(classifier.extractor.logits(features), axis=1)
    chosen = choose_cells(features, probs, num, seed)
    _write(path, classifier, [found.names[index] for index in chosen], probs[chosen])
    return [found.names[index] for index in chosen]


def refuse_nameless(names: Sequence[str]) -> None:
    """Refuse images that a manifest cannot name.

    Args:
        names: Names of images; those of npz files end with `#` and a number, and what cannot be
            printed is escaped.

    Raises:
        DataError: One is in an npz file, or has a name with a character that is escaped.
    """
    name = next((name for name in names if not Path(name).exists()), None)
    if name is None:
        return
    if Path(name.rpartition("#")[0]).suffix.lower() == ".npz":
        raise DataError(f"{name}: a manifest names image files; extract those of the npz file")
    raise DataError(
        f"{name}: a manifest cannot name this file; rename it without control characters and bytes "
        "that are not UTF-8"
    )


def _write(path: Path, classifier: Classifier, names: Sequence[str], probs: Floats) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, row in zip(names, probs, strict=True):
        place = os.path.relpath(Path(name).absolute(), path.absolute().parent)
        predicted = classifier.classes[int(row.argmax())]
        writer.writerow(
            [
                quote_formula(Path(place).as_posix()),
                "",
                quote_formula(predicted),
                f"{row.max():.3f}",
            ]
        )
    try:
        files.write_text(path, table.getvalue())
    except UnicodeEncodeError as error:
        raise CheckpointError(f"{path}: a file name is not UTF-8, as a manifest is") from error
