"""The best network of a search and the preset, both trained again under equal conditions.

stainproof search TRAIN --out SEARCH --trials 30 --budget 2m
python -m benchmarks.search.study SEARCH --data TRAIN --tests CLEAN SHIFTED OTHER_LAB --runs FOLDER
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.page import OUT, write_section
from benchmarks.common.rows import HEAD, line, where
from stainproof.search.experiment import Experiment
from stainproof.search.queue import read_rows, run_queue
from stainproof.search.results import Search, Trial

ROWS = OUT / "search/rows.jsonl"
MINUTES = 6
SHOWN = 6
"""Settings whose share of the variance is named."""
SEED = 1
"""Another one than the search's, whose split and luck its best trial was chosen by."""


def again(name: str, trial: Trial, minutes: float) -> Experiment:
    """Return a longer training with the settings of a trial."""
    assignments = ("training.threads=1", *trial.assignments)
    return Experiment(name=name, seed=SEED, budget_s=60 * minutes, assignments=assignments)


def write(found: Search, preset: Trial) -> None:
    """Write the section: the front, what accuracy hangs on, both networks trained again."""
    lines = [
        "| trial | accuracy, augmented validation | parameters | latency, ms "
        "| settings that differ from the preset |",
        "|---" * 5 + "|",
    ]
    for trial in (found.trials[number] for number in dict.fromkeys((preset.number, *found.front))):
        others = [f"`{one}`" for one in trial.assignments if one not in preset.assignments]
        lines.append(
            f"| {trial.number} | {100 * (trial.accuracy or 0):.1f} % | {trial.num_parameters:,} "
            f"| {trial.latency_ms:.2f} | {' '.join(others) or 'the preset'} |"
        )
    ends = [trial.outcome for trial in found.trials]
    shares = list(found.importances.items())[:SHOWN]
    most = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
    lines += [
        "",
        f"{len(ends)} trials of {found.budget_s / 60:g} minutes and one thread: "
        f"{ends.count('finished')} finished, {ends.count('stopped')} stopped since they could not "
        f"win, {ends.count('failed')} failed. Shares of the variance of accuracy: {most}.",
    ]
    if rows := read_rows(ROWS):
        note = f"{MINUTES} minutes of one thread, seed {SEED}. {where(rows)}"
        lines += ["", "Trained again:", "", *HEAD, *map(line, rows), "", note]
    write_section("A search", "\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train again what has no row yet, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("search", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--share", default="1/1", help="2/2: every second one, from the second")
    options = parser.parse_args(arguments)
    found = Search.read(options.search / "search.json")
    assert found.preset is not None
    best, preset = found.trials[found.front[0]], found.trials[found.preset]
    both = [
        again("searched-best", best, options.minutes),
        again("searched-preset", preset, options.minutes),
    ]
    rank, num_shares = map(int, options.share.split("/"))
    run_queue(both[rank - 1 :: num_shares], options.data, options.tests, options.runs, ROWS)
    write(found, preset)


if __name__ == "__main__":
    main()
