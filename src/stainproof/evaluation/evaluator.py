"""Evaluate a classifier on a data set: metrics, and pictures of the most confident mistakes."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof import files, provenance
from stainproof.calibration.error import expected_calibration_error
from stainproof.calibration.scaling import scale
from stainproof.data.dataset import Dataset
from stainproof.errors import CheckpointError, ConfigError
from stainproof.evaluation import metrics
from stainproof.evaluation.result import EVALUATION_FILE, MISTAKES_FOLDER, Evaluation, Mistake
from stainproof.inference.classifier import Classifier
from stainproof.progress import Track, silent

NUM_MISTAKES = 24


def evaluate(
    classifier: Classifier,
    data: Dataset,
    out: Path,
    *,
    seed: int = 0,
    num_in_training: int = 0,
    track: Track = silent,
) -> Evaluation:
    """Evaluate a classifier on a data set; write `eval.json` and pictures of the worst mistakes.

    An earlier evaluation in the folder stays whole until `eval.json` is replaced: the pictures that
    it names are left alone until then.

    Args:
        classifier: The classifier.
        data: Labelled images; may have fewer classes than the model, in another order.
        out: Folder to write to.
        seed: Seed of the bootstrap.
        num_in_training: Number of images that the classifier was trained on, for the result.
        track: Shows progress.

    Raises:
        DataError: The data set is empty or has a class that the model does not know, or the folder
            cannot be written to.
    """
    labels = data.labels_in(classifier.classes)
    files.check_writable(out / EVALUATION_FILE)
    began = time.perf_counter()
    probs = classifier.predict_dataset(data, track)
    images_per_s = len(data) / (time.perf_counter() - began)
    scores = metrics.score(labels, probs, classifier.classes, seed, data.groups)
    temperature = classifier.temperature
    plain = scale(probs, 1 / temperature) if temperature != 1 else None
    result = Evaluation(
        source=data.source,
        num_images=len(data),
        data_sha256=data.sha256(),
        weights_sha256=classifier.weights_sha256,
        classes=classifier.classes,
        absent_classes=tuple(c.name for c in scores.per_class if not c.num_images),
        **vars(scores),
        temperature=temperature,
        uncalibrated_error=None if plain is None else expected_calibration_error(labels, plain),
        uncalibrated_reliability=() if plain is None else metrics.reliability_bins(labels, plain),
        mistakes=_write_mistakes(classifier, data, labels, probs, out / MISTAKES_FOLDER),
        notes=data.notes,
        bootstrap_seed=seed,
        num_in_training=num_in_training,
        images_per_s=images_per_s,
        provenance=provenance.collect(),
    )
    result.write(out / EVALUATION_FILE)
    _remove_other_pictures(out / MISTAKES_FOLDER, result)
    return result


def check_same_images(folder: Path, data: Dataset) -> None:
    """Check that the folder has no evaluation of other images.

    Raises:
        ConfigError: The folder contains one.
    """
    path = folder / EVALUATION_FILE
    if path.exists() and Evaluation.read(path).data_sha256 != data.sha256():
        raise ConfigError(
            f"{folder}: contains the evaluation of other images named {data.source}; remove it, "
            f"or choose another --out, such as {folder}-2"
        )


def _write_mistakes(
    classifier: Classifier,
    data: Dataset,
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    folder: Path,
) -> tuple[Mistake, ...]:
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]
    files.clear_parts(folder)
    mistakes = []
    for rank, index in enumerate(worst, _first_number(folder)):
        picture = f"{rank:02d}.png"
        files.write_picture(folder / picture, data.images[index])
        mistakes.append(
            Mistake(
                name=data.names[index],
                true=classifier.classes[labels[index]],
                predicted=classifier.classes[predicted[index]],
                confidence=float(confidence[index]),
                picture=picture,
            )
        )
    return tuple(mistakes)


def _first_number(folder: Path) -> int:
    """Return the number from which pictures have names that the evaluation there does not use."""
    try:
        kept = Evaluation.read(folder.with_name(EVALUATION_FILE))
    except CheckpointError:  # none, or a damaged one
        return 0
    is_used = any(int(Path(one.picture).stem) < NUM_MISTAKES for one in kept.mistakes)
    return NUM_MISTAKES if is_used else 0


def _remove_other_pictures(folder: Path, result: Evaluation) -> None:
    """Remove the pictures of earlier evaluations."""
    kept = {mistake.picture for mistake in result.mistakes}
    for picture in folder.glob("[0-9][0-9].png"):
        if picture.name not in kept:
            picture.unlink(missing_ok=True)
