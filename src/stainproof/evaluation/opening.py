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
from stainproof.runs.shipped import evaluations_of, find_run, is_shipped
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


def name_evaluation(source: str, classifier: Classifier) -> str:
    """Return the name of an evaluation: the source, and what differs from the default.

    Args:
        source: Name of the images.
        classifier: Whose inference settings, laboratory profile and 8-bit engine are named.
    """
    is_int8 = any(member.engine_name == INT8 for member in classifier.members)
    precision = "8 bits" if is_int8 else ""
    changes = classifier.lab.describe() if classifier.lab else ""
    facts = (source, classifier.inference.describe(), precision, changes)
    return ", ".join(filter(None, facts))


def choose_folder(run: RunFolder, out: str | Path | None, name: str, say: Say) -> Path:
    """Return the folder of an evaluation; of a shipped model, say where it is.

    Args:
        run: The run that is evaluated.
        out: The folder that was asked for; None: one of this name among the run's evaluations.
        name: Name of the evaluation.
        say: Called with the folder.
    """
    if out:
        return Path(out)
    folder = evaluations_of(run) / name
    if is_shipped(run.path):
        say(f"the evaluation is written to {folder}")
    return folder
