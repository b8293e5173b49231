"""Explain predictions: load the classifier, compute the maps, write the page."""

from collections.abc import Sequence
from pathlib import Path

from stainproof.config.schema import InferenceConfig
from stainproof.data import stream
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.reports.explanation_page import write_explanations
from stainproof.shift.lab import Lab


def explain(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    target: str | None = None,
    inference: InferenceConfig | None = None,
    lab: Lab | str | Path | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> int:
    """Write a page that shows, for each image, the pixels that support its predicted class.

    Args:
        run: The folder of a run or an ensemble, or the name of a shipped model.
        images: Paths or globs; more than `explanation_page.MAX_IMAGES` images are refused.
        out: The HTML file to write.
        target: The class that is explained; by default the predicted one of each image.
        inference: Test-time augmentation, which applies to the predictions, and filter.
        lab: A laboratory profile or its file, by which images are standardised first.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder.

    Returns:
        The number of images that could not be read; the page lists them.

    Raises:
        CheckpointError: The run folder cannot be used.
        ConfigError: The network has no feature maps, as transformers of timm.
        DataError: A path matches no image, there are too many, or the class is unknown.
    """
    classifier = Classifier.load(run, inference=inference, lab=lab, say=say)
    paths = stream.find(images, say)
    items = stream.read(paths, classifier.preprocessing, standardise=classifier.standardise)
    shown = track(items, "explaining", len(paths))
    return write_explanations(classifier, shown, Path(out), Path(run).name, target)
