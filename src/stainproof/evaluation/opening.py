"""Open a run and list a labelled source whose classes the run knows, for every evaluation."""

from pathlib import Path

from stainproof.config.parsing import check_seed
from stainproof.config.schema import InferenceConfig, SourceConfig
from stainproof.data import sources
from stainproof.data.class_map import map_unknown_classes
from stainproof.data.listing import Listing
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import INT8
from stainproof.progress import Say, Track, silent_say
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab


def open_evaluation(
    run: str | Path,
    source: str | Path,
    *,
    seed: int,
    engine: str,
    inference: InferenceConfig | None,
    options: SourceConfig,
    lab: Lab | str | Path | None,
    track: Track,
    say: Say = silent_say,
) -> tuple[RunFolder, Classifier, Listing]:
    """Return the run folder, its classifier and the listed images; no image is read.

    Args:
        run: The folder of a run or an ensemble, or the name of a shipped model.
        source: Labelled images; of a source with a split of its own, its test part is listed.
        seed: Seed of the evaluation, 0 or more.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter.
        options: How the source is read, see `data.sources.load`.
        lab: A laboratory profile or its file.
        track: Shows progress.
        say: Called with a line if an ensemble contains a laboratory profile.

    Raises:
        ConfigError: The seed is below 0, or the engine is unknown or not installed.
        CheckpointError: The run folder or the profile cannot be used.
        DataError: The source cannot be listed, or has a class that the model does not know.
    """
    check_seed(seed)
    folder = RunFolder(find_run(run))
    folder.check_not_in_training()
    classifier = Classifier.load(folder.path, engine, inference, lab=lab, say=say)
    listing = sources.test_part(sources.list_source(source, track, options=options))
    return folder, classifier, map_unknown_classes(listing, classifier.classes)


def name_evaluation(source: str, classifier: Classifier, engine: str) -> str:
    """Return the name of an evaluation: the source, and what differs from the default.

    Args:
        source: Name of the images.
        classifier: Whose inference settings and laboratory profile are named.
        engine: The inference engine that was asked for; named if it computes in 8 bits.
    """
    precision = "8 bits" if engine == INT8 else ""
    changes = classifier.lab.describe() if classifier.lab else ""
    facts = (source, classifier.inference.describe(), precision, changes)
    return ", ".join(filter(None, facts))
