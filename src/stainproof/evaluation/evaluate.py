"""A classifier asked about every image of a source, and scored."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof import files, provenance
from stainproof.data.imageset import ImageSet
from stainproof.errors import DataError
from stainproof.evaluation import metrics
from stainproof.labels import match_classes
from stainproof.models.predictor import Classifier
from stainproof.progress import Track, silent
from stainproof.results import EVALUATION_FILE, MISTAKES_FOLDER, Evaluation, Mistake

NUM_MISTAKES = 24
CHUNK_SIZE = 256


def evaluate(
    classifier: Classifier,
    data: ImageSet,
    out: Path,
    *,
    seed: int = 0,
    track: Track = silent,
) -> Evaluation:
    """Measure a classifier on a source and write `eval.json` and the worst mistakes' pictures.

    Args:
        classifier: The model.
        data: Labelled images; may hold fewer classes than the model knows, in another order.
        out: Folder to write to.
        seed: Of the bootstrap.
        track: Shows progress.

    Raises:
        DataError: The source is empty or has a class that the model does not know, or the folder
            cannot be written to.
    """
    labels = labels_for(classifier, data)
    files.check_writable(out / EVALUATION_FILE)
    began = time.perf_counter()
    probs = predict_all(classifier, data, track)
    images_per_s = len(data) / (time.perf_counter() - began)
    (out / EVALUATION_FILE).unlink(missing_ok=True)  # its pictures are replaced one by one
    scores = metrics.score(labels, probs, classifier.classes, seed)
    result = Evaluation(
        source=data.source,
        num_images=len(data),
        data_sha256=data.sha256(),
        weights_sha256=classifier.weights_sha256,
        classes=classifier.classes,
        absent_classes=tuple(c.name for c in scores.per_class if not c.num_images),
        **vars(scores),
        mistakes=_write_mistakes(classifier, data, labels, probs, out / MISTAKES_FOLDER),
        notes=data.notes,
        bootstrap_seed=seed,
        images_per_s=images_per_s,
        provenance=provenance.collect(),
    )
    result.write(out / EVALUATION_FILE)
    return result


def labels_for(classifier: Classifier, data: ImageSet) -> NDArray[np.int64]:
    """Return the labels of a set, int64 (N,), as positions in the classifier's own classes.

    Raises:
        DataError: The set is empty or has a class that the model does not know.
    """
    return labels_among(data, classifier.classes, "the model")


def labels_among(data: ImageSet, classes: Sequence[str], whose: str) -> NDArray[np.int64]:
    """Return the labels of a set, int64 (N,), as positions in a list of classes.

    Raises:
        DataError: The set is empty or has a class that is not in the list, which is `whose`.
    """
    if not len(data):
        raise DataError(f"{data.source}: no images to evaluate on")
    present = [name for name, count in data.class_counts().items() if count]
    position = dict(zip(present, match_classes(present, classes, whose), strict=True))
    lookup = np.array([position.get(name, -1) for name in data.classes])
    labels: NDArray[np.int64] = lookup[data.labels]
    return labels


def predict_all(classifier: Classifier, data: ImageSet, track: Track) -> NDArray[np.float32]:
    """Return probabilities float32 (N, classes) for the whole set, with progress."""
    starts = range(0, len(data), CHUNK_SIZE)
    chunks = track(starts, f"evaluating {data.source}", len(starts))
    return np.concatenate(
        [classifier.predict_proba(data.images[start : start + CHUNK_SIZE]) for start in chunks]
    )


def _write_mistakes(
    classifier: Classifier,
    data: ImageSet,
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    folder: Path,
) -> tuple[Mistake, ...]:
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]
    for old in folder.glob("[0-9][0-9].png"):
        old.unlink()
    mistakes = []
    for rank, index in enumerate(worst):
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
