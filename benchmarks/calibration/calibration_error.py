"""Expected calibration error: uncalibrated, calibrated at home, and after a few labels.

python -m benchmarks.calibration.calibration_error RUN --home FOLDER --tests FOLDER ...
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof import Classifier
from stainproof.calibration.error import expected_calibration_error
from stainproof.calibration.scaling import fit_temperature, scale
from stainproof.data import sources
from stainproof.data.listing import Listing
from stainproof.evaluation.corrupted import CASES, predict_corrupted
from stainproof.labels import match_classes

NUM_LABELS = (8, 16, 32)
NUM_DRAWS = 20

Labels = NDArray[np.int64]
Floats = NDArray[np.float32]


def after_labels(
    labels: Labels, probs: Floats, known: float, num: int, seed: int
) -> Iterator[float]:
    """Yield the error on the other images after fitting on labels drawn at random."""
    rng = np.random.default_rng(seed)
    for _ in range(NUM_DRAWS):
        order = rng.permutation(len(labels))
        few, rest = order[:num], order[num:]
        temperature = fit_temperature([(labels[few], probs[few])], known)
        yield expected_calibration_error(labels[rest], scale(probs[rest], temperature))


def row(name: str, sets: Sequence[tuple[Labels, Floats]], known: float) -> str:
    """Return the table row of a test, the mean over its sets."""
    errors = [
        (expected_calibration_error(labels, probs),
         expected_calibration_error(labels, scale(probs, known)))
        for labels, probs in sets
    ]  # fmt: skip
    cells = [f"{100 * value:.1f} %" for value in np.mean(errors, axis=0)]
    for num in NUM_LABELS:
        drawn = [
            list(after_labels(labels, probs, known, num, seed))
            for seed, (labels, probs) in enumerate(sets)
        ]
        over_draws = 100 * np.mean(drawn, axis=0)
        cells.append(f"{over_draws.mean():.1f} ± {over_draws.std(ddof=1):.1f} %")
    right = np.mean([(probs.argmax(axis=1) == labels).mean() for labels, probs in sets])
    num_images = f"{len(sets[0][0]):,}" + (f" x {len(sets)}" if len(sets) > 1 else "")
    return f"| {name} | {num_images} | {100 * right:.1f} % | {' | '.join(cells)} |"


def every(listing: Listing, step: int) -> Listing:
    """Return every so many-th image of a listing."""
    left_out = {name for index, name in enumerate(listing.names) if index % step}
    return replace(listing.without(left_out), source=listing.source)


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict every test once and publish the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--home", required=True, help="its images are corrupted, too")
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--every", type=int, default=6, help="corrupt every so many-th image")
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.run)
    known = classifier.temperature
    text = [
        f"Expected calibration error (15 bins), one run with a temperature of {known:.3f}. "
        "Calibrated: temperature fitted on the validation images and their augmented copy. After "
        f"labels: fitted on so many images drawn at random, measured on the others, mean and "
        f"standard deviation of {NUM_DRAWS} draws. Corruptions: the mean over the 55 of MedMNIST-C "
        f"of every {options.every}th image of {options.home.rsplit('/', 1)[-1]}.\n",
        "| test | images | accuracy | uncalibrated | calibrated | "
        + " | ".join(f"{num} labels" for num in NUM_LABELS)
        + " |\n|---|---|---|---|---|---|---|---|",
    ]
    for test in (options.home, *options.tests):
        data = sources.load(test, classifier.preprocessing)
        probs = scale(classifier.predict_dataset(data), 1 / known)
        text.append(row(data.source, [(data.labels_in(classifier.classes), probs)], known))
        print(text[-1], flush=True)
    listing = every(sources.list_source(options.home), options.every)
    labels = np.array(match_classes(listing.classes, classifier.classes))[listing.labels]
    corrupted = [scale(one, 1 / known) for one in predict_corrupted(classifier, listing)[1:]]
    assert len(corrupted) == len(CASES) - 1
    text.append(row("corruptions", [(labels, one) for one in corrupted], known))
    text.append(f"\n{made_on()}")
    write_section("Calibration error", "\n".join(text))


if __name__ == "__main__":
    main()
