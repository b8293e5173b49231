"""Manifests: a CSV or Parquet table with a row for each image becomes a listing.

Columns are found by common names, such as `filename`, `class`, `patient_id` and `split`, in any
case. Classes can be one-hot columns. Delimiters of CSV files are comma, semicolon or tab. A leading
apostrophe that keeps a spreadsheet from reading a cell as a formula is no part of a name.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stainproof.config.schema import SourceConfig
from stainproof.data.layout import SPLIT_NAMES
from stainproof.data.listing import (
    Listing,
    check_class_names,
    check_different,
    check_group_names,
    first_repeated,
)
from stainproof.data.table import Table
from stainproof.errors import DataError
from stainproof.text import printable

ALIASES = {
    "path": "path file filename file_name filepath file_path image image_path image_file "
    "image_name img img_path images",
    "label": "label labels class classes class_name classname category cell_type celltype choice "
    "target",
    "group": "group group_id groups patient patient_id patientid subject subject_id subjectid case "
    "case_id slide slide_id slideid donor donor_id",
    "split": "split subset partition part fold",
}
"""Role -> names of columns, lower case, with underscores."""
HINTS = ("patient", "subject", "slide", "donor", "case", "split", "fold", "smear", "specimen")
"""Words in the names of further columns that are warned about."""


def list_manifest(path: Path, options: SourceConfig) -> Listing:
    """List a manifest.

    Args:
        path: A `.csv`, `.tsv` or `.parquet` file. Image files are relative to its folder; Windows
            paths with backslashes are understood.
        options: Names of columns that are not found by themselves.

    Raises:
        DataError: The table cannot be read, a column is missing, empty, or has more than one
            candidate, or an image is in more than one row.
    """
    table = Table(path)
    columns = _find_columns(path, table, options)
    if not table.num_rows:
        raise DataError(f"{path}: no rows in it")
    written = table.texts(columns["path"])
    if (twice := first_repeated(written)) is not None:
        raise DataError(f"{path}: {twice!r} occurs in more than one row; keep one of them")
    names = tuple(map(printable, written))
    check_different(str(path), names)
    notes = [f"columns: {', '.join(f'{role} = {name}' for role, name in columns.items() if name)}"]
    if "label" in columns:
        label_names = table.texts(columns["label"])
    else:
        label_names, used = _one_hot_labels(path, table, columns)
        notes[0] += f", label = the one of {', '.join(used)} that is 1"
    classes = tuple(sorted(set(label_names)))
    check_class_names(str(path), classes)
    position = {name: index for index, name in enumerate(classes)}
    parts = _splits(path, table, columns)
    return Listing(
        source=printable(Path(path.stem)),
        names=names,
        labels=np.array([position[name] for name in label_names], dtype=np.int64),
        classes=classes,
        paths=tuple(_existing_path(path.parent, name) for name in written),
        groups=_groups(path, table, columns),
        parts=parts,
        notes=(*_renamed_notes(columns, notes), *_warnings(table, columns, parts)),
    )


def _normal(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def _find_columns(path: Path, table: Table, options: SourceConfig) -> dict[str, str]:
    """Return role -> name of its column.

    Raises:
        DataError: A column is missing, occurs twice, or a role has more than one candidate.
    """
    names = table.names
    given = {
        "path": options.path_column,
        "label": options.label_column,
        "group": options.group_column,
    }
    columns: dict[str, str] = {}
    for role, aliases in ALIASES.items():
        asked = given.get(role, "")
        candidates = [asked] if asked else _candidates(names, role, aliases.split())
        for name in candidates:
            table.check_once(name)
        if len(candidates) > 1:
            if role == "split":
                raise DataError(
                    f"{path}: columns {' and '.join(map(repr, candidates))} could both be the "
                    "split; remove one of them"
                )
            readings = " or ".join(f"--{role}-column {name}" for name in candidates)
            raise DataError(f"{path}: more than one column could be the {role}: choose {readings}")
        if candidates:
            columns[role] = candidates[0]
    if "path" not in columns or (
        "label" not in columns and not _one_hot_candidates(table, columns)
    ):
        missing = "path" if "path" not in columns else "label"
        raise DataError(
            f"{path}: column {missing!r} is missing; got: {table.listed()}; "
            f"name it with --{missing}-column"
        )
    return columns


def _candidates(names: Sequence[str], role: str, aliases: Sequence[str]) -> list[str]:
    """Return the columns that could have a role; a column named like the role is the only one."""
    found = list(dict.fromkeys(name for name in names if _normal(name) in aliases))
    exact = [name for name in found if _normal(name) == role]
    return exact or found


def _one_hot_candidates(table: Table, columns: dict[str, str]) -> list[str]:
    """Return the columns whose values are 0 and 1 only, if there are two or more."""
    found = table.columns_of_zeros_and_ones(but=columns.values())
    return found if len(found) > 1 else []


def _one_hot_labels(
    path: Path, table: Table, columns: dict[str, str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the class of every row, and the one-hot columns.

    Raises:
        DataError: A row has no class or several.
    """
    names = _one_hot_candidates(table, columns)
    values = np.array([table.ones(name) for name in names]).T
    wrong = np.flatnonzero(values.sum(axis=1) != 1)
    if len(wrong):
        raise DataError(
            f"{path}: row {wrong[0] + 1} has {values[wrong[0]].sum()} of the classes "
            f"{', '.join(names)}; allowed: one (and {len(wrong) - 1} more such rows)"
        )
    return tuple(names[index].strip() for index in values.argmax(axis=1)), names


def _splits(path: Path, table: Table, columns: dict[str, str]) -> tuple[str, ...] | None:
    """Return the split of every row; None if the column has none of the names of splits.

    Raises:
        DataError: Only some of the values are names of splits.
    """
    if "split" not in columns:
        return None
    values = table.texts(columns["split"])
    known = [SPLIT_NAMES.get(value.strip().lower()) for value in values]
    if not any(known):
        return None
    if None in known:
        raise DataError(
            f"{path}: column {columns['split']!r} is {values[known.index(None)]!r} in row "
            f"{known.index(None) + 1}; allowed: {', '.join(SPLIT_NAMES)}"
        )
    return tuple(name for name in known if name)


def _groups(path: Path, table: Table, columns: dict[str, str]) -> tuple[str, ...] | None:
    """Return the patient or slide of every row, without spaces around it; None without a column.

    Raises:
        DataError: A name is blank, or two differ by their spelling only.
    """
    if "group" not in columns:
        return None
    groups = tuple(printable(name.strip()) for name in table.texts(columns["group"]))
    if "" in groups:
        raise DataError(
            f"{path}: column {columns['group']!r} is empty in row {groups.index('') + 1}"
        )
    check_group_names(str(path), groups)
    return groups


def _renamed_notes(columns: dict[str, str], notes: list[str]) -> list[str]:
    """Return the notes if a column was not found by the name of its role."""
    plain = all(_normal(name) == role for role, name in columns.items()) and "label" in columns
    return [] if plain else notes


def _warnings(table: Table, columns: dict[str, str], parts: tuple[str, ...] | None) -> list[str]:
    """Return warnings about columns that are not used and look like groups or splits."""
    used = [name for role, name in columns.items() if role != "split" or parts is not None]
    others = [name for name in table.names if name not in used]
    unused = [name for name in others if any(hint in name.lower() for hint in HINTS)]
    warnings = [f"column {name!r} is not used; --group-column {name} would" for name in unused]
    if "split" in columns and parts is None:
        name = columns["split"]
        warnings = [one for one in warnings if not one.startswith(f"column {name!r}")]
        warnings.append(f"column {name!r} is not used: its values are not train, val or test")
    return warnings


def _existing_path(folder: Path, name: str) -> Path:
    """Return the path of an image; backslashes become slashes unless they are in its name."""
    path = folder / name
    if "\\" in name and not os.path.lexists(path):
        return folder / name.replace("\\", "/")
    return path
