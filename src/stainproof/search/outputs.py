"""Outputs of a search: page, table, and settings to train again with."""

import csv
import io
from collections.abc import Sequence

from stainproof import files, provenance
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.search.propose import front, importances
from stainproof.search.results import Search, Trial
from stainproof.search.study import Study

SEARCH_FILE, PAGE_FILE, TABLE_FILE = "search.json", "search.html", "trials.csv"
BEST_FILE, CONFIGS_FOLDER = "best.toml", "configs"
COLUMNS = (
    "number", "outcome", "reason", "accuracy", "val_accuracy", "num_parameters", "latency_ms",
    "num_epochs", "minutes",
)  # fmt: skip


def summarise(study: Study, source: str, num_trials: int) -> Search:
    """Return the results of a search so far.

    Args:
        study: The search.
        source: The training source as it was given.
        num_trials: Number of trials requested.
    """
    plan, trials = study.plan, study.trials()
    preset = study.preset()
    return Search(
        source=source,
        num_images=plan.num_images,
        num_trials=num_trials,
        budget_s=plan.budget_s,
        seed=plan.seed,
        fixed=plan.fixed,
        space=study.space.describe(),
        trials=tuple(trials),
        preset=next((one.number for one in trials if one.params == preset), None),
        front=front(trials),
        importances=importances(trials, study.space),
        provenance=provenance.collect(),
    )


def write_results(study: Study, source: str, num_trials: int) -> Search:
    """Write the page, the table and the settings of every finished trial; return the results."""
    from stainproof.search.search_page import render_search

    with study.locked():
        found = summarise(study, source, num_trials)
        folder = study.folder
        for trial in found.trials:
            if trial.outcome == "finished":
                text = with_backbone_preprocessing(study.config(trial)).to_toml()
                files.write_text(folder / CONFIGS_FOLDER / f"{trial.number:04d}.toml", text)
                if trial.number == found.front[0]:
                    files.write_text(folder / BEST_FILE, text)
        found.write(folder / SEARCH_FILE)
        files.write_text(folder / TABLE_FILE, _table(found.trials))
        files.write_text(folder / PAGE_FILE, render_search(found, folder))
    return found


def _table(trials: Sequence[Trial]) -> str:
    """Return CSV text with one line for each trial: its results and its settings."""
    settings = [dict(one.split("=", 1) for one in trial.assignments) for trial in trials]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*COLUMNS, *keys))
    for trial, own in zip(trials, settings, strict=True):
        shown = trial.model_dump(include=set(COLUMNS))
        writer.writerow([*(shown[name] for name in COLUMNS), *(own.get(key) for key in keys)])
    return buffer.getvalue()
