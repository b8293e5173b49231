"""Fit the calibration of a run: on its validation images, or on labelled images of a laboratory."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from stainproof.audit.cleaning import dropped_names
from stainproof.calibration.record import (
    Calibration,
    make_calibration,
    read_calibration,
    write_calibration,
)
from stainproof.calibration.scaling import fit_temperature
from stainproof.config.schema import Config, SourceConfig
from stainproof.data import sources
from stainproof.data.class_map import map_unknown_classes
from stainproof.data.dataset import Dataset
from stainproof.data.preparation import read_and_split
from stainproof.data.splits import VAL
from stainproof.errors import DataError
from stainproof.evaluation.training_copies import find_training_copies
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.ensemble import is_ensemble, refuse_ensemble
from stainproof.runs.folder import HOME_SOURCES, RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped
from stainproof.shift.lab import Lab

MIN_IMAGES = 8
"""Fewest labelled images that a temperature is fitted on."""


def calibrate(
    run: str | Path,
    source: str | Path,
    *,
    validation: bool = False,
    engine: str = "auto",
    options: SourceConfig = sources.AS_GUESSED,
    lab: Lab | str | Path | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Calibration:
    """Calibrate a run or an ensemble on labelled images, and keep it in its `calibration.json`.

    It replaces the earlier calibration. Every later prediction is calibrated; predicted classes
    stay the same. Thresholds of abstention then hold for images like these.

    Args:
        run: The folder of a run or an ensemble.
        source: Labelled images of the laboratory whose images will be predicted. Copies of training
            images are left out and counted.
        validation: Whether the source is the one that the run was trained on; its validation split
            is then used as after training.
        engine: The inference engine, as in `Classifier.load`.
        options: How the source is read, see `data.sources.load`.
        lab: A laboratory profile or its file, by which images are standardised first; give the same
            one when predicting.
        track: Shows progress.
        say: Called with lines about what was left out.

    Raises:
        CheckpointError: The run folder or the profile cannot be used, or `validation` is set and
            the run was trained on other images.
        DataError: The source cannot be read, has a class that the model does not know, or has fewer
            than 8 images.
    """
    folder = RunFolder(find_run(run))
    folder.check_exists()
    refuse_shipped(folder.path, "stainproof adapt makes a run of it")
    folder.check_not_in_training()
    of_ensemble = is_ensemble(folder.path)  # whose members stay calibrated
    classifier = Classifier.load(folder.path, engine, lab=lab, calibrated=of_ensemble, say=say)
    classifier.ensemble_temperature = 1.0  # the calibration that is replaced
    if validation:
        calibration = _on_validation_split(folder, classifier, source, track)
    else:
        listing = sources.list_source(source, track, options=options)
        listing = map_unknown_classes(listing, classifier.classes)
        read = partial(sources.read, listing, options=options)
        data = read(classifier.preprocessing, standardise=classifier.standardise, track=track)
        copies = find_training_copies(classifier, data, read)
        if copies.any():
            data = data.subset(np.flatnonzero(~copies))
            note = f"{copies.sum():,} images left out: copies of training images"
            data = replace(data, notes=(*data.notes, note))
        for line in data.notes:
            say(line)
        earlier = read_calibration(folder)
        prior = classifier.temperature
        if earlier:
            known = earlier.prior_temperature
            prior = earlier.temperature if known is None else known
        calibration = fit_calibration(classifier, data, prior, track)
    with folder.training_lock():
        write_calibration(folder, calibration)
    return calibration


def fit_calibration(
    classifier: Classifier,
    data: Dataset,
    prior_temperature: float,
    track: Track = silent,
) -> Calibration:
    """Fit the calibration of a classifier on labelled images.

    Args:
        classifier: The classifier without the calibration that is replaced.
        data: Labelled images that it was not trained on.
        prior_temperature: The centre of the prior. A fit that is repeated gives the same
            temperature if it gets the prior of the first one.
        track: Shows progress.

    Raises:
        DataError: There are fewer than 8 images, or a class that the model does not know.
    """
    _check_number(data)
    labels = data.labels_in(classifier.classes)
    probs = classifier.predict_dataset(data, track)
    temperature = fit_temperature([(labels, probs)], prior_temperature)
    return make_calibration(labels, probs, temperature, data.source, data.notes, prior_temperature)


def fit_home_calibration(
    classifier: Classifier, val: Dataset, config: Config, track: Track = silent
) -> Calibration | None:
    """Fit the calibration of a run on its validation images; None if there are fewer than 8.

    The temperature is fitted on the validation images and their augmented copy together, if
    training validated on one; the predictions that abstention uses are those on the former.

    Args:
        classifier: The classifier without calibration.
        val: The validation images of its run.
        config: Settings of the run.
        track: Shows progress.
    """
    from stainproof.training.validation import augment_validation

    if len(val) < MIN_IMAGES:
        return None
    labels = val.labels_in(classifier.classes)
    probs = classifier.predict_dataset(val, track)
    samples = [(labels, probs)]
    augmented = augment_validation(val.images, config)
    if augmented is not None:
        copy = replace(val, images=augmented, source=f"augmented {val.source}")
        samples.append((labels, classifier.predict_dataset(copy, track)))
    return make_calibration(labels, probs, fit_temperature(samples), val.source)


def _on_validation_split(
    run: RunFolder, classifier: Classifier, source: str | Path, track: Track
) -> Calibration:
    refuse_ensemble(run.path, "calibrate it on labelled images, without --validation")
    config = run.read_config()
    listing = sources.list_source(source, track, options=config.source)
    data, split = read_and_split(listing, config, dropped_names(run.audit), track)
    run.check_split(split.sha256(), data.sha256())
    val = replace(split.divide(data)[VAL], source=HOME_SOURCES[VAL])
    _check_number(val)
    calibration = fit_home_calibration(classifier, val, config, track)
    assert calibration is not None
    return calibration


def _check_number(data: Dataset) -> None:
    if len(data) < MIN_IMAGES:
        raise DataError(
            f"{data.source}: calibration takes {MIN_IMAGES} labelled images or more, "
            f"got {len(data):,}"
        )
