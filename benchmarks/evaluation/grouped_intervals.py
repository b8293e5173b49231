"""Coverage of 95 % intervals of images that come in groups, over groups and over images.

python -m benchmarks.evaluation.grouped_intervals [--repeats 2000]
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.evaluation import metrics
from stainproof.evaluation.grouped import GroupCounts
from stainproof.evaluation.intervals import proportion
from stainproof.runs.artefact import Estimate

Floats = NDArray[np.float64]

NUM_GROUPS = (10, 30, 100)
ACCURACIES = (0.75, 0.95)
PREVALENCE = np.array([0.25, 0.20, 0.15, 0.12, 0.10, 0.08, 0.06, 0.04])
"""Of eight classes; every group has its own, from a Dirichlet distribution."""
CONCENTRATION = 12.0
"""Of the Dirichlet distribution: the larger, the more alike the groups."""
DIFFICULTY = np.array([0.6, 0.2, 0.4, -0.1, 0.1, -0.4, -0.3, -0.5])
"""Of every class: added to the logit of the accuracy."""
MEAN_SIZE, SIZE_DEVIATION = 40, 0.8
"""Of the log-normal sizes of groups: mean in images, standard deviation of the logarithm."""
METRICS = ("accuracy", "balanced accuracy")


def sensitivities(level: float, deviation: float) -> Floats:
    """Return the expected sensitivity of every class (8,), by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    logits = level + DIFFICULTY[:, None] + deviation * nodes
    return np.asarray((1 / (1 + np.exp(-logits))) @ weights / weights.sum())


def find_level(accuracy: float, deviation: float) -> float:
    """Return the logit at which the expected accuracy is this one."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        below = PREVALENCE @ sensitivities(middle, deviation) < accuracy
        low, high = (middle, high) if below else (low, middle)
    return low


def draw(
    rng: np.random.Generator, num_groups: int, level: float, deviation: float
) -> tuple[GroupCounts, NDArray[np.int64]]:
    """Draw a data set; return its counts by group, and its confusion counts."""
    log_mean = np.log(MEAN_SIZE) - SIZE_DEVIATION**2 / 2
    sizes = np.maximum(rng.lognormal(log_mean, SIZE_DEVIATION, num_groups).round(), 1).astype(int)
    present = rng.multinomial(sizes, rng.dirichlet(CONCENTRATION * PREVALENCE, num_groups))
    logits = level + DIFFICULTY + deviation * rng.normal(size=(num_groups, 1))
    hits = rng.binomial(present, 1 / (1 + np.exp(-logits)))
    wrong = np.roll(present - hits, 1, axis=1)  # predicted as the next class
    confusion = np.diag(hits.sum(axis=0))
    confusion[np.arange(8), np.arange(1, 9) % 8] = (present - hits).sum(axis=0)
    return GroupCounts(hits, present, hits + wrong), confusion


def measure(
    num_groups: int, accuracy: float, deviation: float, repeats: int
) -> tuple[Floats, Floats]:
    """Return coverage and mean width (2, 2): over groups and images; accuracy and balanced."""
    rng = np.random.default_rng(num_groups)
    level = find_level(accuracy, deviation)
    by_class = sensitivities(level, deviation)
    covered, width = np.zeros((2, 2)), np.zeros((2, 2))
    for _ in range(repeats):
        counts, confusion = draw(rng, num_groups, level, deviation)
        truths = accuracy, float(by_class[confusion.sum(axis=1) > 0].mean())
        over_images = (
            proportion(int(confusion.trace()), int(confusion.sum())),
            metrics.bootstrap_images(metrics.balanced_accuracy, confusion, rng),
        )
        over_groups = counts.accuracy(), counts.balanced_accuracy()
        for row, estimates in enumerate((over_groups, over_images)):
            covered[row] += list(map(covers, estimates, truths))
            width[row] += [one.high - one.low for one in estimates]
    return covered / repeats, width / repeats


def covers(estimate: Estimate, truth: float) -> bool:
    """Return whether the interval contains the truth."""
    return estimate.low <= truth <= estimate.high


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate data sets and count the intervals that contain the true value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000, help="data sets a row")
    parser.add_argument("--deviations", type=float, nargs="+", default=[0.5, 0.8, 1.2])
    options = parser.parse_args(arguments)
    text = [
        f"Share of 95 % intervals that contain the true value, {options.repeats:,} simulated data "
        f"sets a row, mean width in brackets. Eight classes of unequal frequency and difficulty; "
        f"log-normal group sizes, mean {MEAN_SIZE} images, deviation of the logarithm "
        f"{SIZE_DEVIATION}; every group has its own class frequencies and a normal effect on the "
        "logit of the accuracy. Over groups: jackknife, Student's t on the logit scale. Over "
        "images: Wilson for the accuracy, bias-corrected bootstrap for the balanced accuracy.\n",
        "| group effect | accuracy | groups | " + " | ".join(
            f"{name}, over {unit}" for name in METRICS for unit in ("groups", "images")
        ) + " |\n|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for deviation in options.deviations:
        for accuracy in ACCURACIES:
            for num_groups in NUM_GROUPS:
                covered, width = measure(num_groups, accuracy, deviation, options.repeats)
                cells = (
                    f"{100 * covered[row, column]:.1f} % ({100 * width[row, column]:.1f})"
                    for column in range(2)
                    for row in range(2)
                )
                row_name = f"{deviation} | {100 * accuracy:.0f} % | {num_groups}"
                text.append(f"| {row_name} | {' | '.join(cells)} |")
                print(text[-1], flush=True)
    write_section("Intervals over groups", "\n".join([*text, "", made_on()]))


if __name__ == "__main__":
    main()
