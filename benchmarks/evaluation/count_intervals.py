"""Coverage of the 95 % intervals of differential counts, with the true prevalences known.

python -m benchmarks.evaluation.count_intervals RUN --tests clean ds2 other_lab lisc
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.data import sources
from stainproof.evaluation.cell_names import is_white
from stainproof.evaluation.count import count_cells
from stainproof.evaluation.misclassification import ErrorCounts, read_errors, share_interval
from stainproof.inference.classifier import Classifier
from stainproof.progress import silent

MIXES: dict[str, dict[str, float]] = {
    "normal": {"neutrophil": 58, "lymphocyte": 30, "monocyte": 7, "eosinophil": 3, "basophil": 0.7,
               "ig": 0.5, "erythroblast": 0.5, "platelet": 2},
    "pathological": {"neutrophil": 30, "lymphocyte": 20, "monocyte": 12, "eosinophil": 12,
                     "basophil": 4, "ig": 22, "erythroblast": 8, "platelet": 4},
}  # fmt: skip
"""True percentages; classes that a laboratory lacks are left out, and the others scaled up."""
SIZES = (100, 200)
NUM_LABELLED = 200
"""Labelled cells of the laboratory, of all its classes alike, on which errors are measured."""
FREQUENT = 0.05
"""Prevalence from which a class is frequent."""
WAYS = (
    "exact binomial of the predictions",
    "errors of the run's own images",
    f"errors of {NUM_LABELLED} cells of the laboratory",
    "the same, the less sure half confirmed",
    "all confirmed",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Laboratory:
    """Predictions of all labelled cells of a source, from which differentials are drawn."""

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probs: NDArray[np.float32]

    def draw(self, rng: np.random.Generator, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw cells with replacement: so many of each class."""
        return np.concatenate(
            [
                rng.choice(np.flatnonzero(self.labels == label), num)
                for label, num in enumerate(counts)
                if num
            ]
        )

    def mix(self, percentages: dict[str, float]) -> Floats:
        """Return the prevalences (classes,) of a mix of the classes that the source has."""
        present = np.bincount(self.labels, minlength=len(self.classes)) > 0
        given = np.array([percentages.get(name, 0.0) for name in self.classes]) * present
        return np.asarray(given / given.sum())

    def errors(self, rng: np.random.Generator, home: ErrorCounts) -> ErrorCounts:
        """Measure the errors on newly drawn cells, of all classes of the source alike."""
        present = np.bincount(self.labels, minlength=len(self.classes)) > 0
        cells = self.draw(rng, present * (NUM_LABELLED // present.sum()))
        confusion = np.zeros((len(self.classes),) * 2, dtype=np.int64)
        np.add.at(confusion, (self.labels[cells], self.probs[cells].argmax(axis=1)), 1)
        own = replace(
            home,
            confusion=confusion,
            source=self.name,
            is_home=False,
            mean_confidence=float(self.probs[cells].max(axis=1).mean()),
        )
        return own.complete(home)


def predict(run: Path, source: str) -> Laboratory:
    """Predict all cells of a source."""
    classifier = Classifier.load(run)
    data = sources.load(source, classifier.preprocessing)
    probs = classifier.predict_dataset(data, silent)
    return Laboratory(data.source, classifier.classes, data.labels_in(classifier.classes), probs)


def ends_of(
    lab: Laboratory,
    cells: NDArray[np.int64],
    errors: ErrorCounts,
    confirmed: NDArray[np.int64],
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return the interval of every class of white cells, 0 to 1."""
    labels = {int(at): lab.classes[lab.labels[cells[at]]] for at in confirmed}
    found = count_cells(
        lab.probs[cells], lab.classes, errors, confirmed=labels, margin_points=100, seed=seed
    )
    return {
        name: ((one.low or 0.0) / 100, (one.high or 0.0) / 100)
        for name, one in found.classes.items()
        if one.kind == "white"
    }


def binomial_ends(lab: Laboratory, cells: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Return the exact binomial interval of the predictions, as if they were the truth."""
    counts = np.bincount(lab.probs[cells].argmax(axis=1), minlength=len(lab.classes))
    white = [is_white(name) for name in lab.classes]
    total = counts[white].sum(keepdims=True)
    return {
        name: share_interval(counts[index : index + 1], total)
        for index, name in enumerate(lab.classes)
        if is_white(name)
    }


def measure(
    lab: Laboratory, home: ErrorCounts, mix: Floats, size: int, repeats: int, seed: int
) -> tuple[Floats, Floats]:
    """Return coverage and mean width (ways, 2): of all classes, and of the frequent ones."""
    rng = np.random.default_rng(seed)
    white = np.array([is_white(name) for name in lab.classes])
    truth = np.where(white, mix, 0) / mix[white].sum()
    kinds = np.stack([truth > 0, truth >= FREQUENT]).astype(np.float64)
    covered, width = np.zeros((len(WAYS), 2)), np.zeros((len(WAYS), 2))
    nothing = np.empty(0, dtype=np.int64)
    for repeat in range(repeats):
        cells = lab.draw(rng, rng.multinomial(size, mix))
        own = lab.errors(rng, home)
        least_sure = np.argsort(lab.probs[cells].max(axis=1))[: size // 2]
        found = (
            binomial_ends(lab, cells),
            ends_of(lab, cells, home, nothing, repeat),
            ends_of(lab, cells, own, nothing, repeat),
            ends_of(lab, cells, own, least_sure, repeat),
            ends_of(lab, cells, own, np.arange(len(cells)), repeat),
        )
        for way, ends in enumerate(found):
            pairs = np.array([ends.get(name, (0.0, 0.0)) for name in lab.classes])
            hits = (pairs[:, 0] <= truth) & (truth <= pairs[:, 1])
            covered[way] += (kinds @ hits) / kinds.sum(axis=1)
            width[way] += (kinds @ (pairs[:, 1] - pairs[:, 0])) / kinds.sum(axis=1)
    return covered / repeats, width / repeats


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw differentials from predictions and count the intervals that contain the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tests", nargs="+", required=True, help="labelled sources")
    parser.add_argument("--differentials", type=int, default=1000, help="of each source")
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.run)
    home = read_errors(
        options.run, None, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    repeats = max(options.differentials // (len(MIXES) * len(SIZES)), 1)
    text = [
        "Share of 95 % intervals that contain the true percentage, mean width in points in "
        f"brackets; of all classes of white cells, then of those of {100 * FREQUENT:.0f} % or "
        f"more. {len(MIXES) * len(SIZES) * repeats:,} differentials of each source, "
        f"{repeats:,} of each row, drawn with replacement from the predictions of its labelled "
        f"cells, seeds 0 to {len(MIXES) * len(SIZES) - 1}. The errors of the laboratory are "
        f"measured on {NUM_LABELLED} cells that are drawn anew for each differential. The run's "
        f"own errors are those of {home.num_cells:,} {home.source} images.\n",
        f"| source | accuracy | mix | cells | {' | '.join(WAYS)} |",
        f"|{'---|' * (4 + len(WAYS))}",
    ]
    total = np.zeros((len(WAYS), 2))
    for source in options.tests:
        lab = predict(options.run, source)
        accuracy = float((lab.probs.argmax(axis=1) == lab.labels).mean())
        for seed, (name, size) in enumerate((name, size) for name in MIXES for size in SIZES):
            covered, width = measure(lab, home, lab.mix(MIXES[name]), size, repeats, seed)
            total += covered / (len(options.tests) * len(MIXES) * len(SIZES))
            text.append(
                line(f"{lab.name} | {100 * accuracy:.1f} % | {name} | {size}", covered, width)
            )
            print(text[-1], flush=True)
    text.append(line("**all** | | |", total, None))
    write_section("Intervals of differential counts", "\n".join([*text, "", made_on()]))


def line(name: str, covered: Floats, width: Floats | None) -> str:
    """Return a row of the table."""
    cells = []
    for way in range(len(WAYS)):
        shares = ", ".join(f"{100 * share:.1f}" for share in covered[way])
        widths = "" if width is None else f" ({100 * width[way, 0]:.1f}, {100 * width[way, 1]:.1f})"
        cells.append(f"{shares} %{widths}")
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
