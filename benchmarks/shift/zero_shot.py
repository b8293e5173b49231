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
from stainproof.reports.lab_profile import training_appearance
from stainproof.runs.appearance import Appearance
from stainproof.shift import appearance
from stainproof.shift.criterion import mutual_information
from stainproof.shift.decision import decide, read_rulers
from stainproof.shift.lab import Lab

COUNTS = (16, 64, 256)
SCALES = np.exp(np.linspace(np.log(0.4), np.log(2.5), 17))
LOSS = 0.02
"""Loss of balanced accuracy from which a draw counts as one that a profile harmed."""


@dataclass(frozen=True)
class Predicted:
    """Predictions of a set with every zoom of the grid, and what was measured on its images."""

    labels: NDArray[np.int64]
    """Positions in the classes of the model."""
    plain: NDArray[np.float32]
    """Probabilities without a profile, (N, classes)."""
    zoomed: NDArray[np.float32]
    """Probabilities with the set's white point and each scale of the grid, (scales, N, classes)."""
    rows: dict[str, NDArray[np.float64]]
    """Name of a measure -> its values for each image."""


def predict_all(classifier: Classifier, one: LabelledSet, reference: Appearance) -> Predicted:
    """Predict and measure a set."""
    squares = [to_square(rgb, classifier.preprocessing) for rgb in one.images]
    rows = appearance.measure_rows(squares)
    lab = make_lab(rows, reference)
    zoomed = [
        classifier.predict_standardised(
            [lab.model_copy(update={"scale": float(s)}).standardise(rgb) for rgb in one.images]
        )
        for s in SCALES
    ]
    positions = np.array(match_classes(one.classes, classifier.classes))
    plain = classifier.predict_standardised(one.images)
    return Predicted(positions[one.labels], plain, np.stack(zoomed), rows)


def make_lab(rows: dict[str, NDArray[np.float64]], reference: Appearance) -> Lab:
    """Return a profile that corrects the white point only."""
    here = np.median(rows["white_point"], axis=0)
    home = reference.measures["white_point"].values
    return Lab(white_point=tuple(here), target_white_point=tuple(home))


def decide_on(
    rows: dict[str, NDArray[np.float64]], chosen: NDArray[np.int64], reference: Appearance
) -> tuple[float, bool]:
    """Return scale and trust of a profile made from some images."""
    source = appearance.make_appearance({name: values[chosen] for name, values in rows.items()})
    found = decide(len(chosen), read_rulers(source, reference), None)
    return found.scale, found.trusted


def nearest(scale: float) -> int:
    """Return the position of the scale in the grid that is nearest."""
    return int(np.abs(np.log(SCALES / scale)).argmin())


def table_of_draws(name: str, found: Predicted, reference: Appearance, num_draws: int) -> list[str]:
    """Return rows: gain by number of images and mixture, and the share of draws that lose."""
    lines = []
    for num in COUNTS:
        for mix in MIXES:
            rng = np.random.default_rng(num)
            gains, trusted = [], 0
            for _ in range(num_draws):
                chosen = draw(found.labels, num, mix, rng)
                scale, is_trusted = decide_on(found.rows, chosen, reference)
                before = balanced_accuracy_of(found.labels[chosen], found.plain[chosen])
                if not is_trusted:
                    gains.append(0.0)
                    continue
                trusted += 1
                after = found.zoomed[nearest(scale)][chosen]
                gains.append(balanced_accuracy_of(found.labels[chosen], after) - before)
            harmed = np.mean(np.array(gains) < -LOSS)
            lines.append(
                f"| {name} | {num} | {mix} | {100 * np.mean(gains):+.1f} | "
                f"{100 * harmed:.0f} % | {100 * trusted / num_draws:.0f} % |"
            )
    return lines


def whole_set(
    classifier: Classifier, one: LabelledSet, found: Predicted, reference: Appearance
) -> list[str]:
    """Return one row: balanced accuracy of every variant on the whole set."""
    everything = np.arange(len(found.labels))
    scale, trusted = decide_on(found.rows, everything, reference)
    lab = make_lab(found.rows, reference)

    def accuracy(images: Sequence[Images]) -> float:
        return balanced_accuracy_of(found.labels, classifier.predict_standardised(images))

    def standardised(**changes: object) -> list[Images]:
        changed = lab.model_copy(update=changes)
        return [changed.standardise(rgb) for rgb in one.images]

    full = standardised(scale=scale)
    informative = int(np.argmax([mutual_information(probs) for probs in found.zoomed]))
    by_scale = [balanced_accuracy_of(found.labels, probs) for probs in found.zoomed]
    values = {
        "none": balanced_accuracy_of(found.labels, found.plain),
        "white point": accuracy(standardised()),
        "scale": accuracy(standardised(scale=scale, target_white_point=lab.white_point)),
        "scale and white point": accuracy(full),
        "scale and Macenko": accuracy(
            [normalise_stain(rgb, found.rows, reference) for rgb in full]
        ),
        "predictions' scale": by_scale[informative],
        "best scale": max(by_scale),
    }
    cells = " | ".join(f"{100 * value:.1f}" for value in values.values())
    best = SCALES[int(np.argmax(by_scale))]
    chosen = f"{scale:.2f}" if trusted else "not trusted"
    scales = f"{chosen} | {SCALES[informative]:.2f} | {best:.2f}"
    return [f"| {one.name} | {len(everything)} | {cells} | {scales} |"]


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
        f"{', '.join(run.name for run in options.runs)}. One scale and one white point for a set; "
        "up to "
        f"{options.most} images of each. The last three columns are the scale of the profile, that "
        "of the largest mutual information, and the best of the grid, which needs labels.",
        "",
        "| set | images | none | white point | scale | scale and white point | scale and Macenko "
        "| predictions' scale | best scale | profile | predictions | best |",
        "|---|" + "---|" * 11,
        *whole,
        "",
        f"Sources of few images, {options.draws} draws with replacement each: mean gain of the "
        f"profile in points, share of draws that lose more than {100 * LOSS:.0f} points, share "
        "of profiles that are trusted.",
        "",
        "| set | images | mixture | gain | draws that lose | trusted |",
        "|---|---|---|---|---|---|",
        *draws,
        "",
        made_on(),
    ]
    write_section("Zero_shot_with_a_profile", "\n".join(text))


if __name__ == "__main__":
    main()
