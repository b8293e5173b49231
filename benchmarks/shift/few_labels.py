"""Accuracy and calibration after adapting with a few labels, with and without a profile.

python -m benchmarks.shift.few_labels RUN --clean CLEAN --labs OTHER_LAB LISC --cache FOLDER
"""

from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.embeddings import LabelledSet, LabelledViews, parse, read_set, read_views
from stainproof.calibration.error import expected_calibration_error
from stainproof.calibration.scaling import scale
from stainproof.deployment.choice import choose_head
from stainproof.deployment.heads import Head
from stainproof.deployment.home import Home
from stainproof.deployment.picking import choose_cells
from stainproof.deployment.result import NOTHING
from stainproof.evaluation.metrics import balanced_accuracy_of

NUM_LABELS = (8, 16, 32, 64, 128)
PICKED = "picked"
POOL_SHARE = 0.8
"""Share of the cells among which `picked` cells are chosen, another random one for each seed."""


@dataclass(frozen=True)
class Adapted:
    """Figures of one adaptation, on the cells that were not labelled."""

    before: float
    balanced_accuracy: float
    of_views: float
    """Balanced accuracy of the mean over the 8 views, as with `--tta d4`."""
    calibration_error: float
    calibration_error_before: float
    home: float
    name: str


def main(arguments: list[str] | None = None) -> None:
    """Adapt to every laboratory with every number of labels and write the table."""
    options = parse(__doc__, arguments, draws=20, picks=5)
    home, cache = options.home, options.cache
    clean = read_set(home, options.clean, cache)
    old = Head.of(home.classifier)
    lines = []
    labs = [
        read_views(home, source, cache, profiled=profiled)
        for source in options.labs
        for profiled in (False, True)
    ]
    for one in labs:
        for num in NUM_LABELS:
            if num > len(one.labels) // 2 + 10:
                continue
            ways = {"random": options.draws, PICKED: options.picks}
            for way, repeats in ways.items():
                found = [
                    adapted(home, old, one, _chosen(home, one, num, way, seed), clean, seed)
                    for seed in range(repeats)
                ]
                lines.append(_line(one.name, num, way, found))
                print(lines[-1], flush=True)
    before = balanced_accuracy_of(clean.labels, old.logits(clean.embedding.features))
    write_section("Adapting with a few labels", "\n".join([
        "Balanced accuracy and expected calibration error on the cells that were not labelled, "
        "mean over draws, standard deviation in brackets; before: the run as it is, on the same "
        "cells. With d4: of the adapted run with `--tta d4`. Worst: largest loss of balanced "
        "accuracy of one draw against before, without d4. Profile: the cells are standardised by a "
        "profile measured on all of them without labels, also before. Home: balanced "
        f"accuracy of the adapted run on other home cells, {100 * before:.1f} % before. Picked: "
        f"chosen by `pick` among a random {100 * POOL_SHARE:.0f} % of the cells. One run, one seed "
        "of training.\n",
        "| laboratory | labels | way | draws | before | after | with d4 | worst | "
        "calibration error before | after | home | unchanged |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *lines,
        f"\n{made_on()}",
    ]))  # fmt: skip


def _chosen(home: Home, one: LabelledViews, num: int, way: str, seed: int) -> NDArray[np.int64]:
    order = np.random.default_rng(seed).permutation(len(one.labels))
    if way != PICKED:
        return order[:num]
    pool = order[: int(POOL_SHARE * len(order))]
    features = one.features[0, pool]
    probs = softmax(home.classifier.extractor.logits(features), axis=1)
    return pool[choose_cells(features, probs, num, seed)]


def adapted(
    home: Home,
    old: Head,
    one: LabelledViews,
    chosen: NDArray[np.int64],
    clean: LabelledSet,
    seed: int,
) -> Adapted:
    """Adapt with these labels; measure on the other cells and at home."""
    rest = np.setdiff1d(np.arange(len(one.labels)), chosen)
    features, labels = one.features, one.labels
    choice = choose_head(
        old, features[:, chosen], labels[chosen], home.reference, home.classifier.temperature, seed
    )
    before, after = (head.logits(features[0, rest]) for head in (old, choice.head))
    of_views = softmax(choice.head.logits(features[:, rest]), axis=2).mean(axis=0)
    errors = [
        expected_calibration_error(labels[rest], scale(softmax(logits, axis=1), temperature))
        for logits, temperature in (
            (before, home.classifier.temperature),
            (after, choice.temperature),
        )
    ]
    return Adapted(
        before=balanced_accuracy_of(labels[rest], before),
        balanced_accuracy=balanced_accuracy_of(labels[rest], after),
        of_views=balanced_accuracy_of(labels[rest], of_views),
        calibration_error=errors[1],
        calibration_error_before=errors[0],
        home=balanced_accuracy_of(clean.labels, choice.head.logits(clean.embedding.features)),
        name=choice.name,
    )


def _line(name: str, num: int, way: str, found: list[Adapted]) -> str:
    after = [one.balanced_accuracy for one in found]
    spread = f" ({100 * stdev(after):.1f})" if len(after) > 1 else ""
    worst = min(one.balanced_accuracy - one.before for one in found)
    unchanged = sum(one.name == NOTHING for one in found)
    return (
        f"| {name} | {num} | {way} | {len(found)} | {100 * mean(o.before for o in found):.1f} % | "
        f"**{100 * mean(after):.1f}**{spread} % | {100 * mean(o.of_views for o in found):.1f} % | "
        f"{100 * worst:+.1f} | "
        f"{mean(o.calibration_error_before for o in found):.3f} | "
        f"{mean(o.calibration_error for o in found):.3f} | "
        f"{100 * mean(o.home for o in found):.1f} % | {unchanged} |"
    )


if __name__ == "__main__":
    main()
