"""From photographs to classes: `predict --fields`, against the class of each field's white cell.

python -m benchmarks.cells.field_classes FOLDER --models stainproof-light stainproof

FOLDER has fields that show one white cell each, and `fields.csv` (file, white_cell). Of several
white cells that are found in a field, the one with the highest score counts.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cells.fields import percent
from benchmarks.common.page import made_on, write_section
from stainproof import api

FIELDS = "fields.csv"


def cells_of(table: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the white cells of every field, by the name of its file."""
    found: dict[str, list[dict[str, str]]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "white":
                found.setdefault(Path(row["field"]).name, []).append(row)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict the fields with every model and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    options = parser.parse_args(arguments)
    with (options.folder / FIELDS).open(newline="") as file:
        truth = {row["file"]: row["white_cell"] for row in csv.DictReader(file)}
    lines = []
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "cells.csv"
            api.predict_fields(model, [str(options.folder / name) for name in truth], table)
            found = cells_of(table)
        best = {
            name: max(rows, key=lambda row: float(row["score"])) for name, rows in found.items()
        }
        right = [name for name, row in best.items() if row["label"] == truth[name]]
        recalls = [
            np.mean([name in right for name in truth if truth[name] == one])
            for one in sorted(set(truth.values()))
        ]
        numbers = [len(found.get(name, ())) for name in truth]
        lines.append(
            f"| {Path(model).name} | {len(truth)} | {sum(n == 1 for n in numbers)}, "
            f"{sum(n == 0 for n in numbers)}, {sum(n > 1 for n in numbers)} | "
            f"{percent(len(right), len(truth))} | {np.mean(recalls):.3f} |"
        )
        print(lines[-1], flush=True)
    write_section(
        f"Classes of cells in fields: {options.folder.name}",
        "\n".join([
            "Share of the fields whose white cell is found and gets the right one of all eight "
            "classes, with its 95 % interval (Wilson); balanced: mean over the classes. "
            f"{made_on()}\n",
            "| model | fields | with 1, 0, more white cells | right | balanced |",
            "|---|---|---|---|---|",
            *lines,
        ]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
