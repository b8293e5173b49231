"""Measure a laboratory's images without labels; write its profile and a page about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stainproof import files, provenance
from stainproof.config.parsing import check_seed
from stainproof.config.schema import Preprocessing
from stainproof.data import sources, stream
from stainproof.data.images import Images
from stainproof.data.stream import Item
from stainproof.data.table import SUFFIXES as TABLE_SUFFIXES
from stainproof.errors import DataError
from stainproof.inference.classifier import Classifier
from stainproof.labels import BLOOD_CLASSES
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.reports.lab_page import render_lab
from stainproof.runs.appearance import Appearance
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run
from stainproof.shift.appearance import measure_appearance, pbc_appearance
from stainproof.shift.decision import Correction, decide
from stainproof.shift.lab import Lab
from stainproof.shift.rulers import combine, read_rulers
from stainproof.text import printable

Value = TypeVar("Value")

MAX_IMAGES = 256
"""Images that are measured; of a larger source a random sample."""
MAX_TRIED = 128
"""Images on which the corrections are tried."""


def profile(
    images: str | Path,
    run: str | Path,
    out: str | Path = "lab.json",
    *,
    engine: str = "auto",
    seed: int = 0,
    bits: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> Lab:
    """Measure unlabelled images of a laboratory; write `lab.json` and a page beside it.

    Args:
        images: A folder of images at any depth, an image, a glob, an npz file or a manifest.
        run: The folder of a run or an ensemble, with whose training images they are compared.
        out: The file to write; the page has the same name with the suffix `.html`.
        engine: The inference engine, as in `Classifier.load`.
        seed: Seed of the sample that is measured if there are more than 256 images, 0 or more.
        bits: Number of bits that the values of 16-bit files use; 0: that of the files, or found.
        track: Shows progress.
        say: Called with lines about what is skipped or assumed.

    Returns:
        The profile; `trusted` says whether it changes images.

    Raises:
        CheckpointError: The run folder cannot be used.
        ConfigError: The seed is below 0, or the engine is unknown or not installed.
        DataError: There is no readable image, or `out` cannot be written.
    """
    check_seed(seed)
    measured_for = find_run(run)
    RunFolder(measured_for).check_not_in_training()
    classifier = Classifier.load(measured_for, engine)
    return write_profile(classifier, images, Path(out), seed=seed, bits=bits, track=track, say=say)


def write_profile(
    classifier: Classifier,
    images: str | Path,
    path: Path,
    *,
    seed: int = 0,
    bits: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> Lab:
    """Measure images, decide on their correction, and write the profile and its page.

    Args:
        classifier: With whose training images they are compared.
        images: As in `api.profile`.
        path: The `.json` file to write; the page has the same name with the suffix `.html`.
        seed: Seed of the sample.
        bits: Number of bits that the values of 16-bit files use.
        track: Shows progress.
        say: Called with lines about what is skipped or assumed.

    Raises:
        DataError: There is no readable image, or the file cannot be written.
    """
    if path.suffix != ".json":
        raise DataError(f"{path}: a profile is a .json file")
    files.check_writable(path)
    squares = read_sample(images, classifier.preprocessing, seed, bits, track, say)
    reference = training_appearance(classifier, say)
    source = measure_appearance(squares, track)
    lab = Lab(
        source=printable(Path(images).resolve().name),
        num_images=len(squares),
        white_point=_colour(source),
        target_white_point=_colour(reference),
        measures=source.measures,
        reference=reference.measures,
        weights_sha256=classifier.weights_sha256,
        provenance=provenance.collect(),
    )

    def predict(correction: Correction) -> NDArray[np.float32]:
        changed = lab.corrected(correction.scale, white=correction.white)
        return classifier.predict_standardised(
            [changed.standardise(rgb) for rgb in squares[:MAX_TRIED]]
        )

    measured = combine(len(squares), read_rulers(source, reference))
    decision = decide(measured, predict, track)
    lab = lab.corrected(decision.correction.scale, white=decision.correction.white)
    lab = lab.model_copy(update={"trusted": decision.trusted, "reasons": decision.reasons})
    files.write_text(path.with_suffix(".html"), render_lab(lab, squares))
    lab.write(path)
    return lab


def read_sample(
    images: str | Path,
    preprocessing: Preprocessing,
    seed: int = 0,
    bits: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> list[Images]:
    """Read up to 256 images, drawn at random, as the network gets them.

    Raises:
        DataError: No image is found or can be read.
    """
    paths = _find(images, say)
    rng = np.random.default_rng(seed)
    chosen = _draw(paths, rng)
    items: list[Item] = list(
        track(stream.read(chosen, preprocessing, bits), "reading images", len(chosen))
    )
    read = _draw([item.rgb for item in items if item.rgb is not None], rng)
    faults = [item.error for item in items if item.rgb is None]
    if not read:
        raise DataError(f"{images}: no image can be read; the first: {faults[0]}")
    if faults:
        say(f"{len(faults)} images could not be read; the first: {faults[0]}")
    if max(len(paths), len(items)) > len(read) + len(faults):
        say(f"{len(read)} of {max(len(paths), len(items))} images are measured, drawn at random")
    return read


def training_appearance(classifier: Classifier, say: Say = silent_say) -> Appearance:
    """Return what was measured on the training images of a classifier.

    A run of an earlier version has no such measurement. If its classes are the eight of BloodMNIST,
    PBC's is used instead.

    Raises:
        DataError: It has other classes.
    """
    for member in classifier.members:
        if member.card.appearance:
            return member.card.appearance
    if set(classifier.classes) != set(BLOOD_CLASSES):
        raise DataError(
            f"{classifier.members[0].run}: the run has no measurement of its training images; "
            "train it again with this version"
        )
    say("the run has no measurement of its training images; compared with PBC as in BloodMNIST")
    return pbc_appearance()


def _find(images: str | Path, say: Say) -> list[Path]:
    if Path(images).suffix.lower() in TABLE_SUFFIXES:
        return list(sources.list_source(images).paths)
    return stream.find([str(images)], say)


def _draw(values: Sequence[Value], rng: np.random.Generator) -> list[Value]:
    """Return up to `MAX_IMAGES` values in random order."""
    return [values[index] for index in rng.permutation(len(values))[:MAX_IMAGES]]


def _colour(appearance: Appearance) -> tuple[float, float, float]:
    red, green, blue = np.clip(appearance.measures["white_point"].values, 1, 255).tolist()
    return red, green, blue
