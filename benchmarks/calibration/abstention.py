"""Abstention: the error among accepted images that was asked for and the one obtained.

python -m benchmarks.calibration.abstention RUN --home FOLDER --tests FOLDER ...
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof import Classifier
from stainproof.calibration.abstention import find_threshold
from stainproof.calibration.record import Calibration, make_calibration, read_calibration
from stainproof.calibration.scaling import fit_temperature, scale
from stainproof.data import sources
from stainproof.errors import ConfigError
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run

ERRORS = (0.005, 0.01, 0.02, 0.05, 0.1)
NUM_LABELS = 100
NUM_DRAWS = 20

Labels = NDArray[np.int64]
Floats = NDArray[np.float32]


def outcome(
    calibration: Calibration, labels: Labels, probs: Floats, max_error: float
) -> tuple[float, float] | None:
    """Return share accepted and error among accepted; None if it cannot be guaranteed."""
    try:
        threshold = find_threshold(calibration, max_error).confidence
    except ConfigError:
        return None
    is_accepted = probs.max(axis=1) >= threshold
    wrong = (probs.argmax(axis=1) != labels) & is_accepted
    return float(is_accepted.mean()), float(wrong.sum() / max(is_accepted.sum(), 1))


def refitted(
    labels: Labels, probs: Floats, known: float
) -> Iterator[tuple[Calibration, Labels, Floats]]:
    """Yield calibrations on labels drawn at random, with the other labels and probabilities."""
    rng = np.random.default_rng(0)
    for _ in range(NUM_DRAWS):
        order = rng.permutation(len(labels))
        few, rest = order[:NUM_LABELS], order[NUM_LABELS:]
        temperature = fit_temperature([(labels[few], probs[few])], known)
        calibration = make_calibration(labels[few], probs[few], temperature, "drawn")
        yield calibration, labels[rest], scale(probs[rest], temperature)


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict every test once and publish asked and obtained errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--home", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.run)
    known = classifier.temperature
    calibration = read_calibration(RunFolder(find_run(options.run)))
    if calibration is None:
        raise SystemExit(f"{options.run} is not calibrated")
    text = [
        f"Thresholds fitted on the {calibration.num_images:,} validation images "
        f"({len(calibration.wrong)} wrong) of one run, confidence level 95 %: share of the images "
        "accepted, and error among them. The guarantee is for images like the validation images. "
        f"After {NUM_LABELS} labels: threshold and temperature fitted on images of the test drawn "
        f"at random, measured on the others; of {NUM_DRAWS} draws, how many can guarantee the "
        "error, mean share accepted, mean error, and how many exceed it.\n",
        "| test | error asked | accepted | error obtained | after labels: can guarantee | accepted "
        "| error obtained | exceed |\n|---|---|---|---|---|---|---|---|",
    ]
    for test in (options.home, *options.tests):
        data = sources.load(test, classifier.preprocessing)
        labels, probs = data.labels_in(classifier.classes), classifier.predict_dataset(data)
        draws = list(refitted(labels, scale(probs, 1 / known), known))
        for max_error in ERRORS:
            found = outcome(calibration, labels, probs, max_error)
            cells = [f"{100 * value:.1f} %" for value in found] if found else ["refused", ""]
            outcomes = [outcome(*draw, max_error) for draw in draws]
            again = [one for one in outcomes if one is not None]
            cells.append(f"{len(again)} of {NUM_DRAWS}")
            means = np.mean(again, axis=0) if again else []
            cells += [f"{100 * value:.1f} %" for value in means] or ["", ""]
            cells.append(f"{sum(error > max_error for _, error in again)}" if again else "")
            text.append(f"| {data.source} | {100 * max_error:g} % | {' | '.join(cells)} |")
            print(text[-1], flush=True)
    text.append(f"\n{made_on()}")
    write_section("Abstention", "\n".join(text))


if __name__ == "__main__":
    main()
