"""Balanced accuracy on other laboratories with and without a profile, for draws of any mixture.

python -m benchmarks.shift.zero_shot RUN ... --sets other_lab lisc clean ds2
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.macenko import normalise_stain
from benchmarks.shift.sets import MIXES, LabelledSet, draw, read_set
from stainproof.data.images import Images, to_square
from stainproof.evaluation.metrics import balanced_accuracy_of
from stainproof.inference.classifier import Classifier
from stainproof.labels import match_classes
from stainproof.reports.lab_profile import MAX_TRIED, training_appearance
from stainproof.runs.appearance import Appearance
from stainproof.shift import appearance
from stainproof.shift.decision import UNCHANGED, Correction, Decision, decide
from stainproof.shift.lab import MAX_SCALE, MIN_SCALE, Lab
from stainproof.shift.rulers import MeasuredScale, combine, read_rulers

COUNTS = (16, 64, 256)
SCALES = np.exp(np.linspace(np.log(0.4), np.log(2.5), 17))
LOSS = 0.02
"""Loss of balanced accuracy from which a draw counts as one that a profile harmed."""


@dataclass(frozen=True)
class Predicted:
    """Predictions of a set with every correction of a grid, and what was measured on its images."""

    labels: NDArray[np.int64]
    """Positions in the classes of the model."""
    plain: NDArray[np.float32]
    """Probabilities without a profile, (N, classes)."""
    zoomed: NDArray[np.float32]
    """Probabilities without and with the set's white point, at each scale of the grid, (2, scales,
    N, classes).
    """
    rows: dict[str, NDArray[np.float64]]
    """Name of a measure -> its values for each image."""

    def after(self, correction: Correction) -> NDArray[np.float32]:
        """Return the probabilities (N, classes) after a correction, at the nearest scale."""
        if correction == UNCHANGED:
            return self.plain
        nearest = int(np.abs(np.log(SCALES / correction.scale)).argmin())
        return self.zoomed[int(correction.white), nearest]


def predict_all(classifier: Classifier, one: LabelledSet, reference: Appearance) -> Predicted:
    """Predict and measure a set."""
    squares = [to_square(rgb, classifier.preprocessing) for rgb in one.images]
    rows = appearance.measure_rows(squares)
    lab = make_lab(rows, reference)

    def predict(scale: float, white: bool) -> NDArray[np.float32]:
        changed = lab.corrected(scale, white=white)
        return classifier.predict_standardised([changed.standardise(rgb) for rgb in one.images])

    zoomed = [[predict(float(scale), white) for scale in SCALES] for white in (False, True)]
    positions = np.array(match_classes(one.classes, classifier.classes))
    plain = classifier.predict_standardised(one.images)
    return Predicted(positions[one.labels], plain, np.array(zoomed), rows)


def make_lab(rows: dict[str, NDArray[np.float64]], reference: Appearance) -> Lab:
    """Return a profile that corrects the white point only."""
    here = np.median(rows["white_point"], axis=0)
    home = reference.measures["white_point"].values
    return Lab(white_point=tuple(here), target_white_point=tuple(home))


def measure_scale(
    found: Predicted, chosen: NDArray[np.int64], reference: Appearance
) -> MeasuredScale:
    """Return the scale that a profile of some images measures."""
    rows = {name: values[chosen] for name, values in found.rows.items()}
    return combine(len(chosen), read_rulers(appearance.make_appearance(rows), reference))


def decide_on(found: Predicted, chosen: NDArray[np.int64], reference: Appearance) -> Decision:
    """Return what a profile of some images decides."""
    tried = chosen[:MAX_TRIED]
    return decide(
        measure_scale(found, chosen, reference), lambda correction: found.after(correction)[tried]
    )


def table_of_draws(name: str, found: Predicted, reference: Appearance, num_draws: int) -> list[str]:
    """Return rows: gain by number of images and mixture, and the share of draws that lose."""
    lines = []
    for num in COUNTS:
        for mix in MIXES:
            rng = np.random.default_rng(num)
            gains, changed = [], 0
            for _ in range(num_draws):
                chosen = draw(found.labels, num, mix, rng)
                decision = decide_on(found, chosen, reference)
                changed += decision.correction != UNCHANGED
                before, after = (
                    balanced_accuracy_of(found.labels[chosen], probs[chosen])
                    for probs in (found.plain, found.after(decision.correction))
                )
                gains.append(after - before)
            harmed = np.mean(np.array(gains) < -LOSS)
            lines.append(
                f"| {name} | {num} | {mix} | {100 * np.mean(gains):+.1f} | "
                f"{100 * harmed:.0f} % | {100 * changed / num_draws:.0f} % |"
            )
    return lines


def whole_set(
    classifier: Classifier, one: LabelledSet, found: Predicted, reference: Appearance
) -> list[str]:
    """Return one row: balanced accuracy of every variant on the whole set."""
    everything = np.arange(len(found.labels))
    measured = measure_scale(found, everything, reference)
    scale = float(np.clip(np.exp(measured.log_scale), MIN_SCALE, MAX_SCALE))
    shuffled = np.random.default_rng(0).permutation(everything)
    decision = decide_on(found, shuffled, reference)
    lab = make_lab(found.rows, reference)

    def accuracy(images: Sequence[Images]) -> float:
        return balanced_accuracy_of(found.labels, classifier.predict_standardised(images))

    def standardised(correction: Correction) -> list[Images]:
        changed = lab.corrected(correction.scale, white=correction.white)
        return [changed.standardise(rgb) for rgb in one.images]

    full = standardised(Correction(scale, white=True))
    target = tuple(round(value) for value in reference.measures["white_point"].values)
    each = classifier.preprocessing.model_copy(update={"white_point": target})
    by_scale = [balanced_accuracy_of(found.labels, probs) for probs in found.zoomed[1]]
    values = {
        "none": balanced_accuracy_of(found.labels, found.plain),
        "white point": accuracy(standardised(Correction(white=True))),
        "of each image": accuracy([to_square(rgb, each) for rgb in one.images]),
        "scale": accuracy(standardised(Correction(scale))),
        "scale and white point": accuracy(full),
        "scale and Macenko": accuracy(
            [normalise_stain(rgb, found.rows, reference) for rgb in full]
        ),
        "profile": accuracy(standardised(decision.correction)),
        "best scale": max(by_scale),
    }
    cells = " | ".join(f"{100 * value:.1f}" for value in values.values())
    best = SCALES[int(np.argmax(by_scale))]
    chosen = decision.correction.describe() if decision.correction != UNCHANGED else "none"
    return [f"| {one.name} | {len(everything)} | {cells} | {scale:.2f} | {chosen} | {best:.2f} |"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict the sets with each run and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--most", type=int, default=400, help="images of a set")
    parser.add_argument("--draws", type=int, default=100)
    options = parser.parse_args(arguments)
    whole: list[str] = []
    draws: list[str] = []
    for run in options.runs:
        classifier = Classifier.load(run)
        reference = training_appearance(classifier)
        for folder in options.sets:
            one = read_set(folder, options.most)
            found = predict_all(classifier, one, reference)
            whole += whole_set(classifier, one, found, reference)
            draws += table_of_draws(one.name, found, reference, options.draws)
            print("\n".join([whole[-1], *draws[-len(COUNTS) * len(MIXES) :]]), flush=True)
    text = [
        f"Balanced accuracy over the classes that occur, in percent. {len(options.runs)} run(s): "
        f"{', '.join(run.name for run in options.runs)}. One correction for a set; up to "
        f"{options.most} images of each. Scale: as measured; profile: what it applies; best scale: "
        "of the grid, with the white point, which needs labels.",
        "",
        "| set | images | none | white point | of each image | scale | scale and white point "
        "| scale and Macenko | profile | best scale | measured | applied | best |",
        "|---|" + "---|" * 12,
        *whole,
        "",
        f"Sources of few images, {options.draws} draws with replacement each: mean gain of the "
        f"profile in points, share of draws that lose more than {100 * LOSS:.0f} points, share "
        "of profiles that change images.",
        "",
        "| set | images | mixture | gain | draws that lose | changed |",
        "|---|---|---|---|---|---|",
        *draws,
        "",
        made_on(),
    ]
    write_section("Zero_shot_with_a_profile", "\n".join(text))


if __name__ == "__main__":
    main()
