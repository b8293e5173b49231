"""Evaluate a run on a labelled source: the stage `evaluate`."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from stainproof.config.schema import InferenceConfig, SourceConfig
from stainproof.data import sources
from stainproof.evaluation.opening import choose_folder, name_evaluation, open_evaluation
from stainproof.evaluation.result import Evaluation
from stainproof.evaluation.training_copies import find_training_copies
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab


def evaluate(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    lab: Lab | str | Path | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> Evaluation:
    """Evaluate a run on a labelled source; write `eval.json` and the most confident mistakes.

    Args:
        run: The folder of a run or an ensemble, or the name of a shipped model.
        source: Labelled images; of a source with a split of its own, its test part.
        out: Folder to write to; by default one in the run folder, where `report` finds it; of a
            shipped model one in `evaluations/MODEL` in the current directory.
        seed: Seed of the bootstrap intervals, 0 or more.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter. The name of the result says what differs from
            the default, and whether the engine computes in 8 bits.
        options: How the source is read, see `data.sources.load`. If every class that the model does
            not know has a rule in the packaged map `haematology`, the map is applied and said.
        lab: A laboratory profile or its file, by which images are standardised first. The name of
            the result says what it changes.
        track: Shows progress.
        say: Called with the folder that an evaluation of a shipped model is written to, and with a
            line if an ensemble contains a laboratory profile.

    Raises:
        ConfigError: The seed is below 0, the engine is unknown or not installed, or the folder
            contains an evaluation of other images.
        CheckpointError: The run folder or the profile cannot be used.
        DataError: The source cannot be read, or has a class that the model does not know.
    """
    from stainproof.evaluation.evaluator import check_same_images
    from stainproof.evaluation.evaluator import evaluate as evaluate_classifier

    evaluated, classifier, listing = open_evaluation(
        run,
        source,
        seed=seed,
        engine=engine,
        inference=inference,
        options=options,
        lab=lab,
        track=track,
        say=say,
    )
    read = partial(sources.read, listing, options=options)
    data = read(classifier.preprocessing, standardise=classifier.standardise, track=track)
    data = replace(data, source=name_evaluation(data.source, classifier))
    folder = choose_folder(evaluated, out, data.source, say)
    check_same_images(folder, data)
    num_copies = int(find_training_copies(classifier, data, read).sum())
    return evaluate_classifier(
        classifier, data, folder, seed=seed, num_in_training=num_copies, track=track
    )
