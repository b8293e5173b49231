"""Studies: queues of equal trainings, one row of results each."""

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stainproof.data import sources
from stainproof.inference.classifier import Classifier
from stainproof.search.experiment import Experiment
from stainproof.search.queue import run_queue

SHORT, LONG = 11, 33
"""Epochs of the cleaned ds1 that take about 10 and 30 minutes on two cores, whether one training
has both or two have one each. Epochs, not minutes, so that a row can be repeated to the bit."""
ADAMW = ("training.optimizer=adamw", "training.learning_rate=0.004")
"""What the schedule `quick` had when the first rows were measured; all rows keep to it."""


def short(name: str, *assignments: str, seed: int = 0, epochs: int = SHORT) -> Experiment:
    """Return an experiment of about ten minutes on two cores."""
    fixed = (f"training.epochs={epochs}", "training.threads=1", *ADAMW)
    return Experiment(name=name, seed=seed, assignments=(*fixed, *assignments))


def run_study(
    what: str | None,
    queues: dict[str, list[Experiment]],
    rows: Path,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run what the command line chooses of the queues and has no row yet.

    Args:
        what: Description of the study.
        queues: Queue -> its experiments.
        rows: File that every finished row is added to.
        arguments: Of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--truth", required=True, help="distortions of the second test")
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--only", nargs="+", default=list(queues), help="queues or experiments")
    parser.add_argument("--share", default="1/1", help="2/2: every second one, from the second")
    parser.add_argument("--set", nargs="+", default=[], help="further settings of every training")
    options = parser.parse_args(arguments)
    rank, num_shares = map(int, options.share.split("/"))

    def measure(run: Path) -> dict[str, float]:
        return accuracy_by_distortion(run, options.tests[1], options.truth)

    by_name = {one.name: [one] for queue in queues.values() for one in queue}
    chosen = [
        one.model_copy(update={"assignments": (*one.assignments, *options.set)})
        for name in options.only
        for one in (queues | by_name)[name]
    ]
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
    predicted = classifier.predict_dataset(data).argmax(axis=1)
    right = predicted == data.labels_in(classifier.classes)
    with Path(truth).open(newline="") as file:
        applied = {row["file"]: row["applied"].split("+") for row in csv.DictReader(file)}
    found = defaultdict(list)
    for name, good in zip(data.names, right.tolist(), strict=True):
        for distortion in applied[name]:
            found[distortion].append(good)
    return {name: float(np.mean(found[name])) for name in sorted(found)}
