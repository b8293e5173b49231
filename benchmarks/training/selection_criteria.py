"""How well criteria without labels of the shifted images rank finished runs.

python -m benchmarks.training.selection_criteria --data TRAIN --shifted DS2 --other OTHER RUN ...

The runs must have been evaluated on both tests, as the augmentation study and the ladder do.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.common.page import made_on, write_section
from stainproof.augment.augmenter import Augmenter
from stainproof.config.recipes import RECIPES, Recipe
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.data.splits import VAL, make_split
from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.inference.classifier import Classifier
from stainproof.runs.folder import RunFolder

FEWEST = 12
NUM_RESAMPLES = 2000
Floats = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every run, rank, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--shifted", required=True)
    parser.add_argument("--other", required=True)
    parser.add_argument("--fewest", type=int, default=FEWEST)
    parser.add_argument("runs", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    runs = [run for run in options.runs if RunFolder(run).report.exists()]
    if len(runs) < options.fewest:
        raise SystemExit(f"{len(runs)} finished runs; at least {options.fewest} are needed")
    tests = [Path(options.shifted).name, Path(options.other).name]
    data = sources.load(options.data, RunFolder(runs[0]).read_config().preprocessing)
    shifted = sources.load(options.shifted, RunFolder(runs[0]).read_config().preprocessing)
    found, truth = [], []
    for run in runs:
        found.append(criteria(run, data, shifted))
        results = [read_evaluation(run, test) for test in tests]
        truth.append([result.accuracy.value for result in results])
        print(run.name, {k: round(v, 3) for k, v in found[-1].items()}, truth[-1], flush=True)
    write_section("Which criterion ranks runs", _table(found, np.array(truth), tests))


def criteria(run: Path, data: Dataset, shifted: Dataset) -> dict[str, float]:
    """Return each criterion's figure for a run; the larger, the better the run should be."""
    config = RunFolder(run).read_config()
    classifier = Classifier.load(run)
    val = data.subset(make_split(data, config.split, config.seed).indices(VAL))
    plain = classifier.predict_proba(val.images)
    figures = _named("validation as it is", plain, val)
    changed = classifier.predict_proba(_changed(val, config.seed))
    figures |= _named("validation changed by stainproof", changed, val)
    figures["same answer for validation images changed by stainproof"] = float(
        (changed.argmax(1) == plain.argmax(1)).mean()
    )
    own = Augmenter(
        val.images,
        config.augment,
        config.seed,
        without=config.augment.without,
        strength=config.augment.strength,
    )
    changed = classifier.predict_proba(own.batch(np.arange(len(val)), 0))
    figures |= _named("validation changed by its own recipe", changed, val)
    unlabelled = classifier.predict_proba(shifted.images)
    figures["mean confidence on the unlabelled shifted images"] = float(unlabelled.max(1).mean())
    again = classifier.predict_proba(_changed(shifted, config.seed))
    figures["same answer for unlabelled shifted images changed by stainproof"] = float(
        (again.argmax(1) == unlabelled.argmax(1)).mean()
    )
    return figures


def _named(what: str, probs: NDArray[np.float32], val: Dataset) -> dict[str, float]:
    chosen = np.clip(probs[np.arange(len(val)), val.labels], 1e-7, 1)
    return {
        f"accuracy, {what}": float((probs.argmax(1) == val.labels).mean()),
        f"loss, {what}": float(np.log(chosen).mean()),
    }


def _changed(data: Dataset, seed: int) -> NDArray[np.uint8]:
    recipe = Recipe.model_validate(RECIPES["stainproof"])
    return Augmenter(data.images, recipe, seed).batch(np.arange(len(data)), 0)


def read_evaluation(run: Path, test: str) -> Evaluation:
    """Return what a run showed on a test."""
    return Evaluation.read(RunFolder(run).evaluations / test / EVALUATION_FILE)


def _table(found: list[dict[str, float]], truth: Floats, tests: list[str]) -> str:
    rng = np.random.default_rng(0)
    resamples = rng.integers(len(found), size=(NUM_RESAMPLES, len(found)))
    rows = []
    for name in found[0]:
        figures = np.array([one[name] for one in found])
        cells = []
        for column in truth.T:
            drawn = [spearmanr(figures[r], column[r]).statistic for r in resamples]
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
            cells.append((spearmanr(figures, column).statistic, low, high))
        text = " | ".join(f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in cells)
        rows.append((-cells[0][0], f"| {name} | {text} |"))
    head = [
        "| criterion | " + " | ".join(f"Spearman with accuracy on {test}" for test in tests) + " |",
        "|---|" + "---|" * len(tests),
    ]
    note = (
        f"{len(found)} runs that differ in recipe, mix or network; 95 % intervals by bootstrap "
        f"over runs. Loss is counted so that more is better. {made_on()}"
    )
    return "\n".join([*head, *(row for _, row in sorted(rows)), "", note])


if __name__ == "__main__":
    main()
