"""Adapt a run to another laboratory without labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stainproof import files, provenance
from stainproof.calibration.record import make_calibration, write_calibration
from stainproof.config.parsing import check_seed
from stainproof.deployment.images import read_images
from stainproof.deployment.result import UnlabelledAdaptation
from stainproof.errors import DataError
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.folder import RunFolder
from stainproof.shift.lab import Lab, read_lab, standardiser
from stainproof.text import printable


def adapt_unlabelled(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    lab: Lab | str | Path | None = None,
    reference: str | Path | None = None,
    seed: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> UnlabelledAdaptation:
    """Adapt a run to a laboratory with 32 unlabelled cells or more; make a run folder.

    The last layer is refitted on the run's own confident predictions, see
    `self_training.self_train`. It gained 1 to 2 points on average; a few labels gain more
    (`adapt`). The temperature stays that of the run. What `check` expects of the new run on the
    same images can be too high, because the new run is more confident there.

    Args:
        run: The run folder.
        images: Image files, folders or globs of one laboratory.
        out: The run folder to make.
        lab: A laboratory profile or its file, by which the cells are standardised first. Later
            commands on images of this laboratory need it too.
        reference: Labelled home cells; by default the reference in the run folder.
        seed: Seed of the replayed home cells and of the subset of more than 2,000 images, 0 or
            more.
        track: Shows progress.
        say: Called with notes on what was read, and with a line if the run was adapted with a
            profile and `lab` is None.

    Raises:
        CheckpointError: The run cannot be used, or has no reference.
        DataError: No image can be read, or adapting is refused: fewer than 32 images or 3 classes
            that are predicted confidently, or a loss of more than 1.5 points at home.
        ConfigError: The seed is below 0, or `out` contains a run.
    """
    from stainproof.deployment.adapted_run import write_adapted_run
    from stainproof.deployment.embedding import embed_views
    from stainproof.deployment.heads import Head
    from stainproof.deployment.home import open_home
    from stainproof.deployment.self_training import self_train

    check_seed(seed)
    made, profile = RunFolder(out), read_lab(lab)
    made.check_unused()
    home = open_home(run, reference, lab=profile, track=track, say=say)
    classifier = home.classifier
    found = read_images(classifier.preprocessing, images, seed, track, say, standardiser(profile))
    features = embed_views(classifier, found.rgb, track)
    try:
        trained = self_train(
            Head.of(classifier), features, home.reference, classifier.temperature, seed
        )
    except DataError as error:
        raise DataError(f"{printable(images[0])}: {error}") from error
    changed = trained.head.logits(features[0]).argmax(axis=1) != classifier.extractor.logits(
        features[0]
    ).argmax(axis=1)
    counts = np.bincount(trained.predicted[trained.is_used], minlength=len(classifier.classes))
    adaptation = UnlabelledAdaptation(
        from_weights_sha256=classifier.weights_sha256,
        images=tuple(map(printable, images)),
        num_images=len(found.names),
        num_left_out=found.num_left_out,
        num_unreadable=len(found.errors),
        used_counts=dict(zip(classifier.classes, counts.tolist(), strict=True)),
        num_changed=int(changed.sum()),
        home_balanced_accuracy_before=trained.home_before,
        home_balanced_accuracy=trained.home_after,
        lab=profile.describe() if profile else "",
        seed=seed,
        provenance=provenance.collect(),
    )
    with files.new_folder(made.path) as folder:
        how = f"without labels, with {len(found.names)} images of {printable(images[0])}"
        write_adapted_run(RunFolder(folder), home, trained.head, adaptation, how)
        calibration = make_calibration(
            trained.home_labels,
            trained.home_probs,
            classifier.temperature,
            "home cells of the reference",
        )
        write_calibration(RunFolder(folder), calibration)
    return adaptation
