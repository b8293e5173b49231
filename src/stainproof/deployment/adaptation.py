"""Adapt a run to another laboratory with a few labelled cells."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stainproof import files, provenance
from stainproof.calibration.record import make_calibration, write_calibration
from stainproof.config.parsing import check_seed
from stainproof.config.schema import SourceConfig
from stainproof.data import sources
from stainproof.data.class_map import map_unknown_classes
from stainproof.data.dataset import Dataset
from stainproof.deployment.result import Adaptation
from stainproof.errors import DataError
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab, read_lab, standardiser

if TYPE_CHECKING:
    from stainproof.deployment.home import Home

MIN_LABELLED = 8


def adapt(
    run: str | Path,
    labelled: str | Path,
    out: str | Path,
    *,
    lab: Lab | str | Path | None = None,
    reference: str | Path | None = None,
    seed: int = 0,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
    say: Say = silent_say,
) -> Adaptation:
    """Adapt a run to a laboratory with 8 labelled cells or more; make a run folder.

    Doing nothing, a temperature, and refitted last layers are compared by cross-validation on the
    labelled cells; see `choice.choose_head`. If nothing is better, the new folder has the network
    of the run unchanged.

    Args:
        run: The run folder.
        labelled: Labelled cells of the laboratory, see `data.sources.load`.
        out: The run folder to make.
        lab: A laboratory profile or its file, by which the cells are standardised first. Later
            commands on images of this laboratory need it too.
        reference: Labelled home cells; by default the reference in the run folder.
        seed: Seed of folds and subsets, 0 or more.
        options: How the labelled cells are read.
        track: Shows progress.
        say: Called with notes on what was read and left out, and with a line if the run was adapted
            with a profile and `lab` is None.

    Raises:
        CheckpointError: The run cannot be used, or has no reference.
        DataError: The cells cannot be read, are fewer than 8, or have a class that the run does not
            know.
        ConfigError: The seed is below 0, or `out` contains a run.
    """
    from stainproof.deployment.adapted_run import write_adapted_run
    from stainproof.deployment.choice import choose_head
    from stainproof.deployment.embedding import embed_views
    from stainproof.deployment.heads import Head
    from stainproof.deployment.home import open_home

    check_seed(seed)
    made, profile = RunFolder(out), read_lab(lab)
    made.check_unused()
    home = open_home(run, reference, lab=profile, track=track, say=say)
    data = _read_labelled(home, labelled, options, profile, track)
    for line in data.notes:
        say(f"{data.source}: {line}")
    labels = data.labels_in(home.classifier.classes)
    choice = choose_head(
        Head.of(home.classifier),
        embed_views(home.classifier, data.images, track),
        labels,
        home.reference,
        home.classifier.temperature,
        seed,
        track,
    )
    counts = np.bincount(labels, minlength=len(home.classifier.classes)).tolist()
    adaptation = Adaptation(
        from_weights_sha256=home.classifier.weights_sha256,
        source=data.source,
        class_counts=dict(zip(home.classifier.classes, counts, strict=True)),
        names=data.names,
        data_sha256=data.sha256(),
        lab=profile.describe() if profile else "",
        chosen=choice.name,
        candidates=choice.candidates,
        seed=seed,
        notes=data.notes,
        provenance=provenance.collect(),
    )
    with files.new_folder(made.path) as folder:
        head = choice.head if adaptation.is_changed else None
        how = f"with {len(data)} labels of {data.source}: {choice.name}"
        write_adapted_run(RunFolder(folder), home, head, adaptation, how)
        if adaptation.is_changed:
            calibration = make_calibration(
                labels, choice.probs, choice.temperature, data.source, data.notes
            )
            write_calibration(RunFolder(folder), calibration)
    return adaptation


def _read_labelled(
    home: "Home", labelled: str | Path, options: SourceConfig, lab: Lab | None, track: Track
) -> Dataset:
    listing = sources.list_source(labelled, track, options=options)
    data = sources.read(
        map_unknown_classes(listing, home.classifier.classes),
        home.classifier.preprocessing,
        options=options,
        standardise=standardiser(lab),
        track=track,
    )
    if len(data) < MIN_LABELLED:
        raise DataError(
            f"{data.source}: adapting needs {MIN_LABELLED} labelled cells or more that can be "
            f"read, got {len(data)}"
        )
    return data
