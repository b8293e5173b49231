"""The home laboratory of a run: its reference, and what is fitted on it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from stainproof.calibration.scaling import fit_temperature
from stainproof.config.schema import SourceConfig
from stainproof.data import sources
from stainproof.data.class_map import map_unknown_classes
from stainproof.data.dataset import Dataset
from stainproof.data.splits import TRAIN
from stainproof.deployment.reference import (
    MIN_CELLS,
    Reference,
    make_reference,
    read_reference,
)
from stainproof.errors import CheckpointError
from stainproof.evaluation.training_copies import find_training_copies
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped
from stainproof.shift.lab import Lab


@dataclass(frozen=True)
class Home:
    """A run with its reference."""

    run: RunFolder
    classifier: Classifier
    reference: Reference

    @property
    def temperature(self) -> float:
        """Temperature of the logits, fitted on the home cells of the reference."""
        logits = self.classifier.extractor.logits(self.reference.home.features)
        return fit_temperature([(self.reference.labels, softmax(logits, axis=1))])

    @property
    def training_mix(self) -> NDArray[np.float64]:
        """Shares of the classes among the training images, float64 (classes,)."""
        card = self.classifier.members[0].card
        counts = card.data.class_counts.get(TRAIN, next(iter(card.data.class_counts.values())))
        of_classes = np.array([counts[name] for name in self.classifier.classes], dtype=np.float64)
        return np.asarray(of_classes / of_classes.sum())


def home_of(classifier: Classifier) -> Home | None:
    """Return a loaded run with its reference; None for an ensemble or a run without one.

    The classifier in it applies no laboratory profile: images are standardised before.

    Raises:
        CheckpointError: The reference is damaged, was altered or belongs to other weights.
    """
    if len(classifier.members) > 1:
        return None
    run = classifier.members[0].run
    reference = read_reference(run, classifier.weights_sha256, len(classifier.classes))
    return Home(run, Classifier(classifier.members), reference) if reference else None


def write_reference(run: RunFolder, data: Dataset, seed: int = 0, track: Track = silent) -> None:
    """Write the reference of a finished run from its validation images.

    Of fewer than 100 images none is made; `check` and `adapt` say so when they need it.

    Args:
        run: The run folder, with its ONNX model.
        data: Labelled images that the network was not trained on.
        seed: Seed of the distortions.
        track: Shows progress.
    """
    if len(data) >= MIN_CELLS:
        reference = make_reference(Classifier.load(run.path), data, seed, track)
        run.write_reference(reference.to_bytes())


def open_home(
    run: str | Path,
    source: str | Path | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    lab: Lab | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Home:
    """Open a run with its reference.

    The classifier in it applies no laboratory profile: images are standardised before.

    Args:
        run: The run folder.
        source: Labelled home cells, to make the reference again; training images in it are left
            out. By default the one in the run folder is used.
        options: How the source is read.
        lab: The laboratory profile by which images are standardised before.
        track: Shows progress.
        say: Called with what was read, left out and made, and with a line if the run was adapted
            with a profile and `lab` is None.

    Raises:
        CheckpointError: The run cannot be used, is an ensemble, or has no reference.
        DataError: The source cannot be read, or has fewer than 100 held-out cells.
    """
    folder = RunFolder(find_run(run))
    folder.check_exists()
    refuse_ensemble(folder.path, "use one of its runs")
    folder.check_not_in_training()
    classifier = Classifier.load(folder.path, say=silent_say if lab else say)
    if source is None:
        reference = read_reference(folder, classifier.weights_sha256, len(classifier.classes))
        if reference is None:
            raise CheckpointError(
                f"{folder.reference}: missing, because an earlier version trained the run or it "
                f"had fewer than {MIN_CELLS} validation images; give --reference with the training "
                "source or other labelled cells of the same laboratory"
            )
        return Home(folder, classifier, reference)
    refuse_shipped(folder.path, "copy its folder first")
    listing = sources.list_source(source, track, options=options)
    listing = map_unknown_classes(listing, classifier.classes)
    read = partial(sources.read, listing, options=options)
    data = read(classifier.preprocessing, track=track)
    for line in data.notes:
        say(f"{data.source}: {line}")
    is_copy = find_training_copies(classifier, data, read)
    if is_copy.any():
        say(f"{data.source}: {is_copy.sum():,} training images left out of the reference")
    elif not folder.training_hashes.exists():
        say(f"{folder}: holds no hashes of its training images, so none could be left out")
    reference = make_reference(classifier, data.subset(np.flatnonzero(~is_copy)), track=track)
    with folder.training_lock():
        folder.write_reference(reference.to_bytes())
    say(f"reference of {len(reference.labels):,} cells written to {folder.reference}")
    return Home(folder, classifier, reference)
