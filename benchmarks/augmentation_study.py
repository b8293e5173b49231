"""Which augmentation holds up: a queue of equal trainings, one kept row each.

python benchmarks/augmentation_study.py --data TRAIN --tests CLEAN SHIFTED OTHER_LAB --runs FOLDER
    --truth ds2_truth.csv [--only screen ablation ...] [--share 1/2]

Every finished row is kept in augmentation_rows.jsonl beside this file; a later call goes on. Every
training has one thread; two calls with --share 1/2 and 2/2 use two cores.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from stainproof.config.recipes import FAMILIES
from stainproof.data import sources
from stainproof.evaluation.evaluator import labels_for, predict_all
from stainproof.inference.classifier import Classifier
from stainproof.progress import silent
from stainproof.search.experiment import Experiment
from stainproof.search.queue import run_queue

ROWS = Path(__file__).with_name("augmentation_rows.jsonl")
SHORT, LONG = 11, 33
"""Epochs of the cleaned ds1 that take about 10 and 30 minutes on two cores, whether one training
has both or two have one each. Epochs, not minutes, so that a row can be repeated to the bit."""
ADAMW = ("training.optimizer=adamw", "training.learning_rate=0.004")
"""What the schedule `quick` had when the first rows were measured; all rows keep to it."""
TTA_MODES = 3
"""Images that a step of the Jensen-Shannon loss computes for one."""

UNSEEN = {
    "blur": ("blur", "defocus", "motion_blur", "downscale", "detail_swap"),
    "posterize": ("posterize", "solarize", "equalize"),
    "overlay": ("overlays",),
    "cutout": ("occlusion",),
    "noise": ("grain", "jpeg"),
    "hue": ("hue", "channel_shuffle", "rgb_shift", "tone_curve", "stains"),
}
"""Family of distortions in ds2 -> operations that are kin to it."""


def short(name: str, *assignments: str, seed: int = 0, epochs: int = SHORT) -> Experiment:
    """Return an experiment of about ten minutes on two cores."""
    fixed = (f"training.epochs={epochs}", "training.threads=1", *ADAMW)
    return Experiment(name=name, seed=seed, assignments=(*fixed, *assignments))


def _without(*names: str) -> str:
    return f"augment.without={list(names)!r}"


QUEUES: dict[str, list[Experiment]] = {
    "screen": [
        short(f"screen-{name}", f"augment.recipe={name}")
        for name in (
            "stainproof", "randaugment", "none", "prime", "trivialaugment", "augmix",
            "overlays", "stains", "hybrid", "simple",
        )
    ]
    + [
        short(
            "screen-augmix-jsd",
            "augment.recipe=augmix",
            "augment.consistency=12",
            epochs=round(SHORT / TTA_MODES),
        ),
    ],
    "variants": [
        short("variant-bfloat16", "training.precision=bfloat16"),
        short("variant-unclustered", "augment.clustered=1"),
        short("variant-cutmix", "augment.mix=cutmix"),
        short(
            "variant-fewer-overlays",
            "augment.operations.blend.probability=0.16",
            "augment.operations.multiply.probability=0.04",
            "augment.operations.cutout.probability=0.11",
        ),
    ],
    "unseen": [short(f"unseen-{name}", _without(*kin)) for name, kin in UNSEEN.items()],
    "long": [
        short(f"long-{recipe}-{seed}", f"augment.recipe={recipe}", seed=seed, epochs=LONG)
        for seed in range(3)
        for recipe in ("stainproof", "randaugment")
    ],
    "ablation": [
        short(f"ablation-{family}", _without(family))
        for family in FAMILIES
        if family not in ("turns", "overlays", "occlusion")
    ],
}  # fmt: skip
"""Queue -> its experiments. Of the ablation, two families are rows of `unseen`."""


def run_study(what: str | None, queues: dict[str, list[Experiment]], rows: Path) -> None:
    """Run what the command line chooses of the queues and has no row yet.

    Args:
        what: Description of the study.
        queues: Queue -> its experiments.
        rows: File that every finished row is kept in.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--truth", required=True, help="distortions of the second test")
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--only", nargs="+", default=list(queues), help="queues or experiments")
    parser.add_argument("--share", default="1/1", help="2/2: every second one, from the second")
    options = parser.parse_args()
    rank, num_shares = map(int, options.share.split("/"))

    def measure(run: Path) -> dict[str, float]:
        return accuracy_by_distortion(run, options.tests[1], options.truth)

    by_name = {one.name: [one] for queue in queues.values() for one in queue}
    chosen = [one for name in options.only for one in (queues | by_name)[name]]
    run_queue(
        chosen[rank - 1 :: num_shares],
        options.data,
        options.tests,
        options.runs,
        rows,
        measure=measure,
        on_start=lambda one: print("begins", one.name, flush=True),
    )


def accuracy_by_distortion(run: Path, shifted: str, truth: str) -> dict[str, float]:
    """Return the accuracy on the images under each distortion, alone or with others.

    Args:
        run: A run folder.
        shifted: The shifted images.
        truth: CSV with the columns `file` and `applied`, names joined by `+`.
    """
    classifier = Classifier.load(run)
    data = sources.load(shifted, classifier.preprocessing)
    predicted = predict_all(classifier, data, silent).argmax(axis=1)
    right = predicted == labels_for(classifier, data)
    with Path(truth).open(newline="") as file:
        applied = {row["file"]: row["applied"].split("+") for row in csv.DictReader(file)}
    found = defaultdict(list)
    for name, good in zip(data.names, right.tolist(), strict=True):
        for distortion in applied[name]:
            found[distortion].append(good)
    return {name: float(np.mean(found[name])) for name in sorted(found)}


if __name__ == "__main__":
    run_study(__doc__, QUEUES, ROWS)
