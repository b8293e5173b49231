"""Tables of the augmentation study, from its kept rows; nothing is trained.

python benchmarks/augmentation_tables.py
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import spearmanr

from augmentation_study import QUEUES, ROWS, SHORT, UNSEEN
from results_page import write_section
from stainproof.experiments import read_rows
from stainproof.results import Row

CLEAN, SHIFTED, OTHER = "clean", "ds2", "other_lab"
TESTS = (CLEAN, SHIFTED, OTHER)
NUM_RESAMPLES = 2000
FEWEST_TO_RANK = 12

KIN = {
    "blur": ("gblur",),
    "posterise": ("posterize",),
    "overlay": ("overlay",),
    "cutout": ("cutout",),
    "noise": ("gnoise", "jpeg"),
    "hue": ("hue",),
}
"""Family left out -> the distortions of ds2 that it is kin to."""

CRITERIA: dict[str, Callable[[Row], float]] = {
    "accuracy on validation images as they are": lambda row: row.best.val_accuracy,
    "loss on validation images as they are": lambda row: -row.best.val_loss,
    "accuracy on changed validation images": lambda row: row.best.val_shifted_accuracy or 0.0,
    "loss on changed validation images": lambda row: -(row.best.val_shifted_loss or 0.0),
    "mean confidence on the shifted images, without labels": lambda row: row.confidence[SHIFTED],
}


def main() -> None:
    """Write every section that there are rows for."""
    rows = {row.experiment.name: row for row in read_rows(ROWS)}
    made = [rows[one.name] for queue in QUEUES.values() for one in queue if one.name in rows]
    if made:
        _screening(rows, made)
        _by_distortion(rows)
        _left_out(rows)
        _ranking(made)


def _screening(rows: dict[str, Row], made: list[Row]) -> None:
    lines = [
        f"| run | seed | epochs | minutes | {' | '.join(TESTS)} | validation, changed |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in made),
    ]
    missing = [one.name for queue in QUEUES.values() for one in queue if one.name not in rows]
    note = (
        f"Light network, schedule `quick`, one thread, {SHORT} epochs of the cleaned `ds1`, which "
        "two cores do in about 10 minutes; accuracy with its 95 % interval (Wilson). Minutes are "
        "wall time while other work ran on the machine; epochs, not minutes, were equal. "
        "`augment.validation` was `stainproof` throughout. "
        f"{_where(made)} Not run yet: {', '.join(missing) or 'nothing'}."
    )
    write_section("Augmentation study", "\n".join([*lines, "", note]))


def _line(row: Row) -> str:
    found = " | ".join(row.accuracy[test].percent() for test in TESTS)
    shifted = 100 * (row.best.val_shifted_accuracy or 0)
    return (
        f"| {row.experiment.name} | {row.experiment.seed} | {row.num_epochs} | "
        f"{row.minutes:.0f} | {found} | {shifted:.1f} % |"
    )


def _by_distortion(rows: dict[str, Row]) -> None:
    shown = [row for name, row in rows.items() if name.startswith(("screen", "variant"))]
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
    """Write what each family brings, and how its kin in ds2 fare without it."""
    whole = rows.get("screen-stainproof")
    parts = [
        row for name, row in rows.items() if name.startswith(("unseen", "ablation"))
    ]  # fmt: skip
    if not whole or not parts:
        return
    lines = [
        f"| left out | {' | '.join(TESTS)} | kin in `ds2`: with | without |",
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
        "training; one seed, and 1,704 images give intervals of about two points either way."
    )
    write_section("What each family brings", "\n".join([note, "", *lines]))


def _ranking(made: Sequence[Row]) -> None:
    """Write how well criteria that need no test label rank the runs."""
    if len(made) < FEWEST_TO_RANK:
        return
    rng = np.random.default_rng(0)
    lines = [
        f"| criterion | Spearman with {SHIFTED} | with {OTHER} |",
        "|---|---|---|",
    ]
    for name, criterion in CRITERIA.items():
        figures = []
        for test in (SHIFTED, OTHER):
            pairs = np.array([(criterion(row), row.accuracy[test].value) for row in made])
            drawn = [
                spearmanr(*pairs[rng.integers(len(pairs), size=len(pairs))].T).statistic
                for _ in range(NUM_RESAMPLES)
            ]
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
            figures.append(f"{spearmanr(*pairs.T).statistic:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {name} | {' | '.join(figures)} |")
    note = (
        f"{len(made)} runs that differ in recipe or mix; 95 % intervals by bootstrap over runs. "
        "Changed validation images are the fixed ones of the recipe `stainproof`."
    )
    write_section("Which criterion ranks runs", "\n".join([note, "", *lines]))


def _where(made: Sequence[Row]) -> str:
    machines = sorted({row.provenance.machine for row in made})
    commits = sorted({row.provenance.commit for row in made})
    days = sorted({row.provenance.created[:10] for row in made})
    return f"{'; '.join(machines)}; commits {', '.join(commits)}; {', '.join(days)}."


if __name__ == "__main__":
    main()
