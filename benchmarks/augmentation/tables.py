"""Tables of the augmentation study and the ladder, from their rows; nothing is trained.

python -m benchmarks.augmentation.tables
"""

from collections.abc import Sequence

from scipy.stats import spearmanr

from benchmarks.augmentation.study import QUEUES, ROWS, UNSEEN
from benchmarks.common.page import write_section
from benchmarks.common.rows import HEAD, TESTS, line, missing, seeds_line, where
from benchmarks.common.study import LONG, SHORT
from stainproof.search.experiment import Row
from stainproof.search.ladder import RUNGS
from stainproof.search.queue import read_rows

LADDER_ROWS = ROWS.with_name("ladder_rows.jsonl")
"""The file `rows.jsonl` of a finished `stainproof ladder`."""

KIN = {
    "blur": ("gblur",),
    "posterize": ("posterize",),
    "overlay": ("overlay",),
    "cutout": ("cutout",),
    "noise": ("gnoise", "jpeg"),
    "hue": ("hue",),
}
"""Family left out -> the distortions of ds2 that it is kin to."""
PARTS = ("unseen", "ablation")
"""Queues of rows that leave a part of the recipe out."""

HOW = (
    "Accuracy with its 95 % interval (Wilson). Minutes are wall time of one thread while the other "
    "core trained another row; epochs, not minutes, were equal. `augment.validation` was "
    "`stainproof` throughout."
)


def main(arguments: Sequence[str] = ()) -> None:
    """Write every section that there are rows for."""
    rows = {row.experiment.name: row for row in read_rows(ROWS)}
    if rows:
        _screening(rows)
        _longer(rows)
        _by_distortion(rows)
        _left_out(rows)
        _criteria(list(rows.values()))
    climbed = {row.experiment.name: row for row in read_rows(LADDER_ROWS)}
    if len(climbed) == len(RUNGS):
        _ladder(climbed)


def _screening(rows: dict[str, Row]) -> None:
    wanted = [one.name for queue in ("screen", "variants") for one in QUEUES[queue]]
    made = [rows[name] for name in wanted if name in rows]
    note = (
        f"Light network, schedule `quick` with AdamW at 4e-3, one seed, one thread, {SHORT} epochs "
        "of the cleaned `ds1` (with the Jensen-Shannon loss, whose steps compute three images for "
        f"one, a third of them). {HOW} {where(made)} {missing(wanted, rows)}"
    )
    write_section("Augmentation study", "\n".join([*HEAD, *map(line, made), "", note]))


def _longer(rows: dict[str, Row]) -> None:
    wanted = sorted(one.name for one in QUEUES["long"])
    made = [rows[name] for name in wanted if name in rows]
    lines = [*HEAD, *map(line, made)]
    for recipe in sorted({name.split("-")[1] for name in wanted}):
        seeds = [row for row in made if row.experiment.name.split("-")[1] == recipe]
        if len(seeds) > 1:
            lines.append(seeds_line(recipe, seeds))
    note = (
        f"As above, {LONG} epochs; the last lines give mean and standard deviation over seeds. "
        f"{where(made)} {missing(wanted, rows)}"
    )
    if made:
        write_section("The best two recipes", "\n".join([*lines, "", note]))


def _by_distortion(rows: dict[str, Row]) -> None:
    shown = [rows[name] for name in sorted(rows) if name.startswith(("screen", "long"))]
    names = sorted(shown[0].extra)
    lines = [
        f"| run | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
        *(
            f"| {row.experiment.name} | "
            + " | ".join(f"{100 * row.extra[name]:.1f}" for name in names)
            + " |"
            for row in shown
        ),
    ]
    note = "Accuracy in % on the images of `ds2` under each distortion, alone or with others."
    write_section("Accuracy by distortion", "\n".join([note, "", *lines]))


def _left_out(rows: dict[str, Row]) -> None:
    """Write what each family brings, and the accuracy on related distortions of ds2 without it."""
    whole = rows.get("variant-bfloat16")
    parts = [rows[one.name] for q in PARTS for one in QUEUES[q] if one.name in rows]
    if not whole or not parts:
        return
    lines = [
        f"| left out | {' | '.join(TESTS)} | related distortion of `ds2`: trained with | without |",
        "|---|---|---|---|---|---|",
    ]
    for row in parts:
        family = row.experiment.name.partition("-")[2]
        changes = " | ".join(
            f"{100 * (row.accuracy[t].value - whole.accuracy[t].value):+.1f}" for t in TESTS
        )
        kin = KIN.get(family, ()) if row.experiment.name.startswith("unseen") else ()
        pairs = [
            ", ".join(f"{name} {100 * one.extra[name]:.1f}" for name in kin) or "-"
            for one in (whole, row)
        ]
        what = ", ".join(UNSEEN.get(family, (family,))) if kin else family
        lines.append(f"| {what} | {changes} | {pairs[0]} | {pairs[1]} |")
    note = (
        "Change in accuracy, in points, of the recipe `stainproof` when a family is left out of "
        "training, against the row `variant-bfloat16`, which learnt from the same images by the "
        "same code; one seed, and 1,704 images give intervals of about two points either way. "
        f"{where(parts)} {missing([one.name for q in PARTS for one in QUEUES[q]], rows)}"
    )
    write_section("What each family brings", "\n".join([note, "", *lines]))


def _criteria(rows: list[Row]) -> None:
    """Write how validation ranks the study's rows, without a look at their networks."""
    criteria = {
        "accuracy, validation changed by stainproof": [r.best.val_augmented_accuracy for r in rows],
        "loss, validation changed by stainproof": [-(r.best.val_augmented_loss or 0) for r in rows],
        "accuracy, validation as it is": [r.best.val_accuracy for r in rows],
        "loss, validation as it is": [-r.best.val_loss for r in rows],
    }
    lines = [f"| criterion | {' | '.join(TESTS)} |", "|---|---|---|---|"]
    for criterion, values in criteria.items():
        found = [
            f"{spearmanr(values, [row.accuracy[test].value for row in rows]).statistic:.2f}"
            for test in TESTS
        ]
        lines.append(f"| {criterion} | {' | '.join(found)} |")
    note = (
        f"Spearman correlation over the {len(rows)} rows of the augmentation study, whose recipes, "
        "epochs and seeds differ; loss is counted so that more is better."
    )
    write_section("How validation ranks the study", "\n".join([*lines, "", note]))


def _ladder(rows: dict[str, Row]) -> None:
    tests = list(rows[RUNGS[0].name].accuracy)
    lines = [
        f"| step | AN2DL paper | {' | '.join(tests)} | parameters | epochs | minutes |",
        "|---|---|" + "---|" * len(tests) + "---|---|---|",
    ]
    for rung in RUNGS:
        row = rows[rung.name]
        reported = f"{100 * rung.reported:.0f} %" if rung.reported else "-"
        found = " | ".join(row.accuracy[test].percent() for test in tests)
        lines.append(
            f"| {rung.what} | {reported} | {found} | {row.num_parameters:,} | {row.num_epochs} | "
            f"{row.minutes:.1f} |"
        )
    first = rows[RUNGS[0].name]
    note = (
        f"{first.experiment.budget_s:.0f} s of training a step, two threads, one seed, the cleaned "
        "`ds1`. The AN2DL paper's figures are its best on the contest's hidden DS2, with networks "
        "ten times as large from the fifth step on and hours of a GPU; ours are on `ds2`, another "
        "set. "
        f"{where(list(rows.values()))}"
    )
    write_section("The ladder", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    main()
