"""The ladder: the steps of the AN2DL paper's table under equal budgets, then our own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stainproof import files
from stainproof.errors import ConfigError
from stainproof.progress import Track, silent
from stainproof.search.experiment import Experiment, Row
from stainproof.search.ladder_page import RungResult, render_ladder
from stainproof.search.queue import run_queue
from stainproof.training.loop import Step

ROWS_FILE, PAGE_FILE = "rows.jsonl", "ladder.html"
TRAINING_SHARE = 0.92
"""Fraction of a step's time for training; the rest is for reading images and evaluation."""


@dataclass(frozen=True)
class Rung:
    """One step of the ladder."""

    name: str
    what: str
    reported: float | None
    """Best accuracy on the contest's DS2 in section 4 of the AN2DL paper; None for our own steps.
    """
    network: str
    assignments: tuple[str, ...]


PLAIN = ("augment.validation=none",)
RICH = ("augment.recipe=randaugment", "augment.mix=cutmix", "augment.validation=randaugment")

RUNGS = (
    Rung("1-simple-cnn", "simple CNN", 0.20, "an2dl-simple", ("augment.recipe=none", *PLAIN)),
    Rung(
        "2-simple-augmentation", "+ simple augmentation", 0.25, "an2dl-simple",
        ("augment.recipe=simple", *PLAIN),
    ),
    Rung(
        "3-overlays", "+ overlays", 0.53, "an2dl-simple",
        ("augment.recipe=overlays", *PLAIN),
    ),
    Rung(
        "4-rich-pipelines",
        "+ RandAugment, CutMix, augmented validation",
        0.71,
        "an2dl-simple",
        RICH,
    ),
    Rung("5-richer-model", "+ inception blocks", 0.80, "light-inception", RICH),
    Rung("6-custom-block", "+ custom block", 0.88, "light", RICH),
    Rung("7-stainproof", "our recipe for theirs", None, "light", ()),
    Rung(
        "8-stainproof-cutmix", "+ CutMix", None, "light", ("augment.mix=cutmix",),
    ),
)  # fmt: skip
"""The steps. Networks have the width of `light`, so that a laptop can train them; from the fifth
step on the paper's had ten times as many parameters.
"""


def ladder(
    source: str | Path,
    tests: Sequence[str | Path],
    out: str | Path,
    budget_s: float,
    *,
    seed: int = 0,
    track: Track = silent,
    on_step: Callable[[Step], None] = lambda step: None,
    on_rung: Callable[[Rung], None] = lambda rung: None,
) -> list[Row]:
    """Run the steps that have no result yet; write a page.

    Args:
        source: Training images.
        tests: Sources to evaluate on; the first is the most important.
        out: Folder for the run folders, `rows.jsonl` and `ladder.html`.
        budget_s: Seconds for all steps together, in equal parts.
        seed: Seed of every step.
        track: Shows progress.
        on_step: Called after every training step.
        on_rung: Called before every step of the ladder that has no result yet.

    Returns:
        One row for each step, in the order of `RUNGS`.

    Raises:
        ConfigError: No test is given, or `out` contains a ladder with another budget or seed.
        DataError: A source cannot be read.
    """
    if not tests:
        raise ConfigError("--test: give at least one source to measure on, such as shifted images")
    folder = Path(out)
    if folder.is_file():
        raise ConfigError(f"{folder}: is a file; --out names the folder to make")
    share_s = round(TRAINING_SHARE * budget_s / len(RUNGS), 1)
    experiments = [
        Experiment(
            name=rung.name,
            network=rung.network,
            seed=seed,
            budget_s=share_s,
            assignments=rung.assignments,
        )
        for rung in RUNGS
    ]
    by_name = {rung.name: rung for rung in RUNGS}
    rows = run_queue(
        experiments,
        source,
        tests,
        folder,
        folder / ROWS_FILE,
        track=track,
        on_step=on_step,
        on_start=lambda experiment: on_rung(by_name[experiment.name]),
    )
    results = [
        RungResult(rung.what, rung.reported, row) for rung, row in zip(RUNGS, rows, strict=True)
    ]
    files.write_text(folder / PAGE_FILE, render_ladder(results, Path(source).name))
    return rows
