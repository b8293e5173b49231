"""Tables of the techniques study and of transfer learning, from their rows.

python -m benchmarks.training.tables
"""

from collections.abc import Sequence
from statistics import mean, stdev

from benchmarks.augmentation.study import ROWS as FORMER_ROWS
from benchmarks.common.page import write_section
from benchmarks.common.rows import HEAD, line, missing, seeds_line, where
from benchmarks.common.study import LONG, SHORT
from benchmarks.training.study import QUEUES, ROWS
from benchmarks.training.transfer import MINUTES, THIRD, WAYS, experiment
from benchmarks.training.transfer import ROWS as TRANSFER_ROWS
from stainproof.search.experiment import Row
from stainproof.search.queue import read_rows

FULL_SIZE = [f"long-stainproof-{seed}" for seed in range(3)]
"""Rows of benchmarks/augmentation/study.py with images of full size throughout."""
BASELINE = "baseline"


def main(arguments: Sequence[str] = ()) -> None:
    """Write every section."""
    rows = {row.experiment.name: row for row in read_rows(ROWS)}
    former = {row.experiment.name: row for row in read_rows(FORMER_ROWS)}
    short = [
        *QUEUES["baseline"], *QUEUES["optimizers"], *QUEUES["techniques"], QUEUES["teacher"][0],
    ]  # fmt: skip
    how = f"{SHORT} epochs, one thread; AdamW at 4e-3 where the row names no other optimizer."
    _by_seed("Techniques", {one.name: [one.name] for one in short}, rows, how)
    small = [*QUEUES["searched"], QUEUES["teacher"][1]]
    how = f"{SHORT} epochs, one thread, Muon at 8e-3."
    _by_seed("Small networks", {one.name: [one.name] for one in small}, rows, how)
    long = {
        "Muon": [one.name for one in QUEUES["muon-long"]],
        "Muon and a teacher": [one.name for one in QUEUES["teacher-long"]],
        "AdamW": FULL_SIZE,
    }
    _by_seed("Three times as long", long, rows | former, f"{LONG} epochs, one thread.")
    taught = {
        "small": ["searched-58k", "small-1", "small-2"],
        "small and a teacher": [f"small-taught-{seed}" for seed in range(3)],
    }
    how = f"{SHORT} epochs, one thread, Muon at 8e-3; the network of the preset `small`."
    _by_seed("A small network and a teacher", taught, rows, how)
    _levers(rows)
    _start_small(rows, [former[name] for name in FULL_SIZE])
    transferred = {row.experiment.name: row for row in read_rows(TRANSFER_ROWS)}
    ways = {way: [experiment(way, seed).name for seed in range(3)] for way in WAYS}
    how = f"{MINUTES} minutes of one thread; `light` with Muon, the others with AdamW."
    _by_seed("Transfer learning", ways, transferred, how)
    how = "48 minutes of one thread; wider zoom and stronger stain augmentation."
    _by_seed("A third model", {THIRD.name: [THIRD.name]}, transferred, how)


def _with_means(rows: list[Row], groups: dict[str, list[Row]]) -> list[str]:
    means = [seeds_line(what, some) for what, some in groups.items() if len(some) > 1]
    return [*HEAD, *map(line, rows), *means]


def _by_seed(name: str, groups: dict[str, list[str]], rows: dict[str, Row], how: str) -> None:
    """Write the rows of each group, then the means of those with several seeds."""
    wanted = [one for names in groups.values() for one in names]
    made = {what: [rows[one] for one in names if one in rows] for what, names in groups.items()}
    if every := [row for some in made.values() for row in some]:
        note = f"{how} {where(every)} {missing(wanted, rows)}"
        write_section(name, "\n".join([*_with_means(every, made), "", note]))


def _levers(rows: dict[str, Row]) -> None:
    """Write the mean of each lever and its difference to the baseline of the same seeds."""
    by_lever: dict[str, dict[int, Row]] = {}
    for one in QUEUES["levers"]:
        if one.name in rows:
            lever = one.name.removeprefix("lever-").removesuffix(f"-{one.seed}")
            by_lever.setdefault(lever, {})[one.seed] = rows[one.name]
    baseline = by_lever.pop(BASELINE)
    sets = list(next(iter(baseline.values())).accuracy)
    lines = [
        f"| lever | seeds | minutes | {' | '.join(sets)} | augmented validation |",
        f"|---|---|---|{'---|' * (len(sets) + 1)}",
    ]
    for lever, own in {BASELINE: baseline, **by_lever}.items():
        cells = []
        for name in (*sets, None):
            values = [_percent(row, name) for row in own.values()]
            base = mean(_percent(baseline[seed], name) for seed in own)
            change = "" if lever == BASELINE else f" ({mean(values) - base:+.1f})"
            cells.append(f"{mean(values):.1f}{change}")
        minutes = mean(row.minutes for row in own.values())
        lines.append(f"| {lever} | {len(own)} | {minutes:.0f} | {' | '.join(cells)} |")
    deviations = " | ".join(
        f"{stdev(_percent(row, name) for row in baseline.values()):.1f}" for name in (*sets, None)
    )
    lines.append(f"| standard deviation of {BASELINE} | {len(baseline)} | | {deviations} |")
    every = [row for own in (baseline, *by_lever.values()) for row in own.values()]
    note = (
        "Balanced accuracy in percent, mean over the seeds; augmented validation is accuracy. In "
        "brackets: difference to the baseline of the same seeds. The minutes were measured while "
        f"other work used the second core. {where(every)}"
    )
    write_section("Levers", "\n".join([*lines, "", note]))


def _percent(row: Row, name: str | None) -> float:
    """Return the balanced accuracy on a set, or for None the augmented validation accuracy."""
    if name is None:
        return 100 * (row.best.val_augmented_accuracy or 0)
    return 100 * row.balanced_accuracy[name].value


def _start_small(rows: dict[str, Row], full: list[Row]) -> None:
    short = [one.name for one in (*QUEUES["baseline"], *QUEUES["start"])]
    long = [one.name for one in QUEUES["start-long"]]
    small = [rows[name] for name in long if name in rows]
    made = [rows[name] for name in short if name in rows]
    groups = {"from half size": small, "full size throughout": full}
    lines = _with_means([*made, *small, *full], groups)
    note = (
        "Epochs are such that all rows of one length learn from as many pixels; AdamW at 4e-3. "
        f"{where([*made, *small])} {missing([*short, *long], rows)}"
    )
    if made:
        write_section("Images that start small", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    main()
