"""Evaluation on corrupted images: balanced accuracy by corruption and severity."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof import files, provenance
from stainproof.calibration.error import expected_calibration_error
from stainproof.config.schema import Preprocessing
from stainproof.corruptions.bloodmnist import (
    CORRUPTIONS,
    SEVERITIES,
    SIZE_PX,
    corrupt,
)
from stainproof.data.images import Images, to_square
from stainproof.data.listing import Listing
from stainproof.data.parallel import in_order
from stainproof.evaluation.corrupted_result import CORRUPTIONS_FILE, CorruptionEvaluation
from stainproof.evaluation.intervals import bootstrapped, proportion
from stainproof.evaluation.metrics import mean_recall
from stainproof.inference.classifier import Classifier
from stainproof.labels import match_classes
from stainproof.progress import Track, silent
from stainproof.runs.artefact import Estimate

CHUNK_SIZE = 256
"""Images that are in memory at once."""
NUM_RESAMPLES = 1000
CASES = (("", 0), *((name, severity) for name in CORRUPTIONS for severity in SEVERITIES))
"""Corruption and severity; the images as they are first."""

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]


def evaluate_corrupted(
    classifier: Classifier,
    listing: Listing,
    out: Path,
    *,
    seed: int = 0,
    track: Track = silent,
) -> CorruptionEvaluation:
    """Evaluate a classifier on the images of a source under every corruption and severity.

    Images are resized to 224 px, at which the corruptions are defined, corrupted as they are in the
    file or after the laboratory profile, and brought to the input size; the classifier balances
    their white point if its preprocessing says so. At most 256 images are in memory.

    Args:
        classifier: The classifier.
        listing: Labelled images; may have fewer classes than the model.
        out: Folder to write `corruptions.json` to.
        seed: Seed of the corruptions and of the bootstrap.
        track: Shows progress.

    Raises:
        DataError: An image cannot be read, or has a class that the model does not know.
    """
    positions = match_classes(listing.classes, classifier.classes)
    labels = np.array(positions)[listing.labels]
    files.check_writable(out / CORRUPTIONS_FILE)
    probs = predict_corrupted(classifier, listing, seed, track)
    is_right = probs.argmax(axis=2) == labels
    result = CorruptionEvaluation(
        source=listing.source,
        num_images=len(listing),
        weights_sha256=classifier.weights_sha256,
        seed=seed,
        **_summarise(is_right, labels, seed),
        calibration_error=_by_corruption(
            np.array([expected_calibration_error(labels, one) for one in probs])
        ),
        provenance=provenance.collect(),
    )
    result.write(out / CORRUPTIONS_FILE)
    return result


def predict_corrupted(
    classifier: Classifier, listing: Listing, seed: int = 0, track: Track = silent
) -> NDArray[np.float32]:
    """Return probabilities float32 (56, N, classes) of the N images of a source in all `CASES`."""
    probs = np.empty((len(CASES), len(listing), len(classifier.classes)), dtype=np.float32)
    num_chunks = -(-len(listing) // CHUNK_SIZE)
    unbalanced = classifier.preprocessing.model_copy(update={"white_point": None})
    work = _chunks(classifier, listing, unbalanced)
    for case, start, images in track(work, f"corrupting {listing.source}", num_chunks * len(CASES)):
        change = partial(_corrupt, case, seed, unbalanced)
        changed = list(in_order(change, enumerate(images, start)))
        probs[case, start : start + len(images)] = classifier.predict_standardised(changed)
    return probs


def _chunks(
    classifier: Classifier, listing: Listing, preprocessing: Preprocessing
) -> Iterator[tuple[int, int, list[Images]]]:
    """Yield case, position of the first image, and images of 224 px, a few hundred at a time."""
    enlarged = preprocessing.model_copy(update={"size_px": SIZE_PX})

    def read(index: int) -> Images:
        return to_square(classifier.standardise(listing.read(index).rgb), enlarged)

    for start in range(0, len(listing), CHUNK_SIZE):
        images = list(in_order(read, range(start, min(start + CHUNK_SIZE, len(listing)))))
        for case in range(len(CASES)):
            yield case, start, images


def _corrupt(
    case: int, seed: int, preprocessing: Preprocessing, numbered: tuple[int, Images]
) -> Images:
    (name, severity), (index, rgb) = CASES[case], numbered
    changed = corrupt(rgb, name, severity, seed, index) if name else rgb
    return to_square(changed, preprocessing)


def _summarise(is_right: NDArray[np.bool_], labels: Labels, seed: int) -> dict[str, object]:
    """Return the balanced accuracies, with bootstrap intervals over images.

    If all resamples are equal, the interval is the Wilson interval of the mean accuracy, and that
    of BE follows from it as if all corruptions had this accuracy.
    """
    rng = np.random.default_rng(seed)
    num = len(labels)
    values = _balanced_accuracies(is_right, labels, np.ones((1, num)))
    weights = rng.multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)
    drawn = _balanced_accuracies(is_right, labels, weights.astype(np.float64))
    clean, mean = (
        proportion(round(num * float(part.mean())), num) for part in (is_right[0], is_right[1:])
    )
    at_high, at_low = _be(np.array([[mean.high], [mean.low]]) * np.ones(len(CASES)))
    error = Estimate(value=float(_be(values)[0]), low=float(at_high), high=float(at_low))
    return {
        "clean": bootstrapped(float(values[0, 0]), drawn[:, 0], clean),
        "mean": bootstrapped(float(values[0, 1:].mean()), drawn[:, 1:].mean(axis=1), mean),
        "balanced_error": bootstrapped(error.value, _be(drawn), error),
        "balanced_accuracy": _by_corruption(values[0]),
    }


def _balanced_accuracies(is_right: NDArray[np.bool_], labels: Labels, weights: Floats) -> Floats:
    """Return the balanced accuracy (resamples, cases) for weights of images (resamples, N)."""
    members = [labels == label for label in np.unique(labels)]
    hits = np.stack([weights[:, one] @ is_right[:, one].T for one in members], axis=-1)
    present = np.stack([weights[:, one].sum(axis=1) for one in members], axis=-1)
    return mean_recall(hits, present[:, None])


def _be(accuracies: Floats) -> Floats:
    """Return BE for balanced accuracies (resamples, cases)."""
    errors = 1 - accuracies[:, 1:].reshape(-1, len(CORRUPTIONS), len(SEVERITIES)).mean(axis=2)
    alexnet = np.array([one.alexnet_error for one in CORRUPTIONS.values()])
    return np.asarray((errors / alexnet).mean(axis=1))


def _by_corruption(values: Floats) -> dict[str, tuple[float, ...]]:
    """Return values of all cases as corruption -> value at each severity."""
    rows = values[1:].reshape(len(CORRUPTIONS), len(SEVERITIES)).tolist()
    return {name: tuple(row) for name, row in zip(CORRUPTIONS, rows, strict=True)}
