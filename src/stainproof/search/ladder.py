"""The ladder: the steps of the AN2DL paper's table under equal budgets, then our own."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from stainproof import files
from stainproof.errors import ConfigError
from stainproof.progress import Track, silent
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact
from stainproof.search.experiment import Experiment, Row
from stainproof.search.ladder_page import RungResult, render_ladder
from stainproof.search.queue import run_queue
from stainproof.training.loop import Step

ROWS_FILE, PLAN_FILE, PAGE_FILE = "rows.jsonl", "ladder.json", "ladder.html"
MARGIN = 0.03
"""Fraction of the budget that is not planned, because measured times vary."""
MIN_TRAINING_S = 1.0
"""Shortest training time of a step."""


class LadderPlan(Artefact):
    """How the time of a ladder is divided."""

    schema_version: int = Field(SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    budget_s: float
    """Seconds for all steps together."""
    seed: int
    num_steps: int
    training_s: float
    """Maximum training time of each step."""
    overhead_s: float
    """Measured time that a step needs besides: reading images, export, evaluation, report."""


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
    on_plan: Callable[[LadderPlan], None] = lambda plan: None,
    on_rung: Callable[[Rung], None] = lambda rung: None,
    ray: str = "",
) -> list[Row]:
    """Run the steps that have no result yet; write a page.

    Every step has the same training time. What a step needs besides is measured first, so that all
    steps together end within the budget.

    Args:
        source: Training images.
        tests: Sources to evaluate on; the first is the most important.
        out: Folder for the run folders, `ladder.json`, `rows.jsonl` and `ladder.html`.
        budget_s: Seconds for all steps together, in equal parts, without interruptions.
        seed: Seed of every step.
        track: Shows progress.
        on_step: Called after every training step.
        on_plan: Called with the division of the time before the first step.
        on_rung: Called before every step of the ladder that has no result yet.
        ray: Address of a Ray cluster, see `scale.cluster`: the steps run there at the same time,
            each on one core.

    Returns:
        One row for each step, in the order of `RUNGS`.

    Raises:
        ConfigError: No test is given, the budget is too short for training, or `out` contains a
            ladder with another budget or seed.
        DataError: A source cannot be read.
    """
    if not tests:
        raise ConfigError("--test: give at least one source to measure on, such as shifted images")
    folder = Path(out)
    if folder.is_file():
        raise ConfigError(f"{folder}: is a file; --out names the folder to make")
    plan = _make_plan(source, tests, folder, budget_s, seed, track)
    on_plan(plan)
    experiments = [_experiment(rung, seed, plan.training_s) for rung in RUNGS]
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
        ray=ray,
    )
    results = [
        RungResult(rung.what, rung.reported, row) for rung, row in zip(RUNGS, rows, strict=True)
    ]
    files.write_text(folder / PAGE_FILE, render_ladder(results, Path(source).name))
    return rows


def _experiment(rung: Rung, seed: int, training_s: float) -> Experiment:
    return Experiment(
        name=rung.name,
        network=rung.network,
        seed=seed,
        budget_s=training_s,
        assignments=rung.assignments,
    )


def _make_plan(
    source: str | Path,
    tests: Sequence[str | Path],
    folder: Path,
    budget_s: float,
    seed: int,
    track: Track,
) -> LadderPlan:
    """Read the plan of a ladder that was started, or measure and divide the time.

    Raises:
        ConfigError: The budget is too short, or the folder contains another ladder.
        CheckpointError: The plan is damaged.
        DataError: A source cannot be read.
    """
    path = folder / PLAN_FILE
    if path.exists():
        plan = LadderPlan.read(path)
        if (plan.budget_s, plan.seed, plan.num_steps) != (budget_s, seed, len(RUNGS)):
            raise ConfigError(
                f"{folder}: holds a ladder with other settings: {plan.num_steps} steps in "
                f"{plan.budget_s:g} s with seed {plan.seed}; got {len(RUNGS)} in {budget_s:g} s "
                f"with seed {seed}; choose another --out"
            )
        return plan
    if (folder / ROWS_FILE).exists():
        raise ConfigError(
            f"{folder}: holds a ladder of an earlier version (no {PLAN_FILE}); choose another --out"
        )
    overhead_s = _measure_overhead(source, tests, seed, track)
    num_parts = len(RUNGS) + 1  # the measurement takes as long as the overhead of a step
    planned_s = (1 - MARGIN) * budget_s
    training_s = round((planned_s - num_parts * overhead_s) / len(RUNGS), 1)
    if training_s < MIN_TRAINING_S:
        least_s = math.ceil(num_parts * overhead_s + len(RUNGS) * MIN_TRAINING_S)
        raise ConfigError(
            f"--budget: {budget_s:g} s leave no time for training: each of {len(RUNGS)} steps "
            f"needs {overhead_s:.1f} s to read the images and to evaluate; "
            f"give much more than {least_s} s"
        )
    plan = LadderPlan(
        schema_version=SCHEMA_VERSION,
        budget_s=budget_s,
        seed=seed,
        num_steps=len(RUNGS),
        training_s=training_s,
        overhead_s=round(overhead_s, 1),
    )
    plan.write(path)
    return plan


def _measure_overhead(
    source: str | Path, tests: Sequence[str | Path], seed: int, track: Track
) -> float:
    """Return the seconds that the last step takes with one training batch and one validation."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stainproof-") as name:
        folder = Path(name)
        shortest = _experiment(RUNGS[-1], seed, MIN_TRAINING_S / 100)
        run_queue([shortest], source, tests, folder, folder / ROWS_FILE, track=track)
    return time.monotonic() - began
