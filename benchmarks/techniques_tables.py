"""Tables of the studies of techniques and of transfer learning; nothing is trained.

python benchmarks/techniques_tables.py
"""

from augmentation_study import LONG, SHORT
from augmentation_study import ROWS as FORMER_ROWS
from augmentation_tables import HEAD, line, missing, seeds_line, where
from results_page import write_section
from stainproof.experiments import read_rows
from stainproof.results import Experiment, Row
from techniques_study import QUEUES, ROWS
from transfer_study import MINUTES
from transfer_study import QUEUES as TRANSFER
from transfer_study import ROWS as TRANSFER_ROWS

FULL_SIZE = [f"long-stainproof-{seed}" for seed in range(3)]
"""Rows of augmentation_study.py with images of full size throughout."""


def main() -> None:
    """Write every section."""
    rows = {row.experiment.name: row for row in read_rows(ROWS)}
    former = {row.experiment.name: row for row in read_rows(FORMER_ROWS)}
    short = [
        *QUEUES["baseline"], *QUEUES["optimizers"], *QUEUES["techniques"], *QUEUES["teacher"],
    ]  # fmt: skip
    _table("Techniques", short, rows, f"{SHORT} epochs, one thread.")
    _muon(rows, [former[name] for name in FULL_SIZE])
    _start_small(rows, [former[name] for name in FULL_SIZE])
    transferred = {row.experiment.name: row for row in read_rows(TRANSFER_ROWS)}
    how = f"{MINUTES} minutes of one thread; `light` with Muon, the others with AdamW."
    _table("Transfer learning", TRANSFER["ways"], transferred, how)


def _table(name: str, wanted: list[Experiment], rows: dict[str, Row], how: str) -> None:
    names = [one.name for one in wanted]
    made = [rows[one] for one in names if one in rows]
    note = f"{how} {where(made)} {missing(names, rows)}"
    write_section(name, "\n".join([*HEAD, *map(line, made), "", note]))


def _with_means(rows: list[Row], groups: dict[str, list[Row]]) -> list[str]:
    means = [seeds_line(what, some) for what, some in groups.items() if len(some) > 1]
    return [*HEAD, *map(line, rows), *means]


def _muon(rows: dict[str, Row], former: list[Row]) -> None:
    wanted = [one.name for one in QUEUES["muon-long"]]
    made = [rows[one] for one in wanted if one in rows]
    lines = _with_means([*made, *former], {"Muon": made, "AdamW": former})
    note = f"{LONG} epochs, one thread. {where(made)} {missing(wanted, rows)}"
    write_section("Muon, three times as long", "\n".join([*lines, "", note]))


def _start_small(rows: dict[str, Row], full: list[Row]) -> None:
    short = [one.name for one in (*QUEUES["baseline"], *QUEUES["start"])]
    long = [one.name for one in QUEUES["start-long"]]
    small = [rows[name] for name in long if name in rows]
    made = [rows[name] for name in short if name in rows]
    groups = {"from half size": small, "full size throughout": full}
    lines = _with_means([*made, *small, *full], groups)
    note = (
        "Epochs are such that all rows of one length learn from as many pixels. "
        f"{where([*made, *small])} {missing([*short, *long], rows)}"
    )
    if made:
        write_section("Images that start small", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    main()
