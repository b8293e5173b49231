"""Zero-shot figures of several seeds of one training, with and without a profile and eight views.

python -m benchmarks.shift.seeds --sets clean ds2 other_lab lisc --ways baseline=RUN,RUN,RUN ...

A profile is measured for each run and set on all images of the set, without labels.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.config.schema import InferenceConfig
from stainproof.data import sources
from stainproof.evaluation.metrics import balanced_accuracy_of, macro_f1
from stainproof.inference.classifier import Classifier
from stainproof.reports.lab_profile import write_profile
from stainproof.shift.lab import Lab

WHITE_CELLS = ("basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil")
"""The five classes of studies of frozen foundation models."""
MEASURES = ("as it is", "d4", "profile", "profile, d4", "macro F1", "macro F1, profile, d4")


def measure(run: Path, source: str, folder: Path) -> dict[str, float]:
    """Return `MEASURES` of a run on a set, in percent; macro F1 is that of the five classes."""
    labels: list[NDArray[np.int64]] = []

    def predict(lab: Lab | None, tta: str) -> NDArray[np.float32]:
        inference = InferenceConfig.model_validate({"tta": tta})
        classifier = Classifier.load(run, inference=inference, lab=lab)
        listing = sources.list_source(source)
        data = sources.read(listing, classifier.preprocessing, standardise=classifier.standardise)
        labels[:] = [data.labels_in(classifier.classes)]
        return classifier.predict_dataset(data)

    home = Classifier.load(run)
    lab = write_profile(home, source, folder / "lab.json")
    plain, plain_d4 = predict(None, "none"), predict(None, "d4")
    profiled, profiled_d4 = predict(lab, "none"), predict(lab, "d4")
    values = [
        *(balanced_accuracy_of(labels[0], one) for one in (plain, plain_d4, profiled, profiled_d4)),
        *(five_class_f1(labels[0], one, home.classes) for one in (plain, profiled_d4)),
    ]
    return {name: 100 * value for name, value in zip(MEASURES, values, strict=True)}


def five_class_f1(
    labels: NDArray[np.int64], probs: NDArray[np.float32], classes: Sequence[str]
) -> float:
    """Return the macro F1 of the five classes, cells and probabilities of others left out."""
    kept = sorted(classes.index(name) for name in WHITE_CELLS)
    is_kept = np.isin(labels, kept)
    truth = np.searchsorted(kept, labels[is_kept])
    predicted = probs[is_kept][:, kept].argmax(axis=1)
    confusion = np.bincount(len(kept) * truth + predicted, minlength=len(kept) ** 2)
    return float(macro_f1(confusion.reshape(1, len(kept), len(kept)))[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every run on every set and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--ways", nargs="+", required=True, help="NAME=RUN,RUN,...")
    options = parser.parse_args(arguments)
    lines, each = [], []
    for way in options.ways:
        name, _, runs = way.partition("=")
        for source in options.sets:
            with tempfile.TemporaryDirectory() as folder:
                found = [measure(Path(run), source, Path(folder)) for run in runs.split(",")]
            cells = " | ".join(spread([one[key] for one in found]) for key in MEASURES)
            lines.append(f"| {name} | {Path(source).name} | {len(found)} | {cells} |")
            each.append(
                f"| {name} | {Path(source).name} | "
                + " | ".join(", ".join(f"{one[key]:.1f}" for one in found) for key in MEASURES)
                + " |"
            )
            print(lines[-1], flush=True)
    head = " | ".join(MEASURES)
    write_section("Zero shot over seeds", "\n".join([
        "Balanced accuracy over the classes of a set in percent, mean ± standard deviation over "
        "seeds: as it is, with `--tta d4`, with a profile measured on the set without labels, and "
        "with both. Macro F1 of the five classes of white cells, probabilities of the others left "
        "out.\n",
        f"| training | set | seeds | {head} |",
        "|---|---|---|" + "---|" * len(MEASURES),
        *lines,
        "\nThe single seeds, in their order:\n",
        f"| training | set | {head} |",
        "|---|---|" + "---|" * len(MEASURES),
        *each,
        f"\n{made_on()}",
    ]))  # fmt: skip


def spread(values: list[float]) -> str:
    """Return mean and standard deviation."""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
