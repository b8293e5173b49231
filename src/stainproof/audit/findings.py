"""Findings of an audit, and their table `audit.csv`."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO, get_args

from stainproof import files
from stainproof.errors import DataError
from stainproof.text import quote_formula, size, unquote_formula

Kind = Literal[
    "unreadable",
    "exact_duplicate",
    "near_duplicate",
    "label_conflict",
    "doctored",
    "outlier",
    "label_suspect",
]
Action = Literal["drop", "keep one", "review"]

KINDS: tuple[Kind, ...] = get_args(Kind)
ACTIONS: tuple[Action, ...] = get_args(Action)
COLUMNS = ("file", "kind", "group", "score", "threshold", "action")
NEW_LABEL_COLUMN = "new_label"
"""Optional column that only a reviewed table has."""
MAX_BYTES = 512 * 2**20
MAX_ROWS = 5_000_000
MAX_LINE = 2**20
"""Larger tables, and longer lines in characters, are refused."""


@dataclass(frozen=True)
class Finding:
    """One finding: a file and what is wrong with it."""

    file: str
    """Name in the source."""
    kind: Kind
    group: str
    """Identifier of files that belong together, for instance duplicates; empty for a single file.
    """
    score: float
    threshold: float
    """The score that separates findings; the page states on which side they lie."""
    action: Action
    """`drop`; `keep one` of the group; `review`: a person decides, cleaning keeps the file."""
    new_label: str = ""
    """Class that a person has assigned to the file; empty if its label stays."""


def to_csv(findings: Iterable[Finding]) -> str:
    """Return the findings as CSV text, one row each; see `NEW_LABEL_COLUMN`.

    Names that a spreadsheet would take for formulas are quoted, see `text.quote_formula`.
    """
    findings = list(findings)
    is_relabelled = any(found.new_label for found in findings)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *([NEW_LABEL_COLUMN] if is_relabelled else [])])
    for found in findings:
        score, threshold = f"{found.score:.6g}", f"{found.threshold:.6g}"
        file, group, label = map(quote_formula, (found.file, found.group, found.new_label))
        row = [file, found.kind, group, score, threshold, found.action]
        writer.writerow([*row, *([label] if is_relabelled else [])])
    return text.getvalue()


def write_csv(path: Path, findings: Iterable[Finding]) -> None:
    """Write `audit.csv`."""
    files.write_text(path, to_csv(findings))


def read_csv(path: Path) -> list[Finding]:
    """Read `audit.csv`; a person may have changed actions, added new labels or removed rows.

    Raises:
        DataError: The file is missing, not a regular file, over 512 MiB or 5 million rows, or is
            not a table of findings.
    """
    try:
        files.check_regular(path, MAX_BYTES)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(_lines(file))
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise KeyError("the first line names no such columns")
            found = [_finding(row) for row in islice(reader, MAX_ROWS + 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = f" ({error})" if isinstance(error, csv.Error) else ""
        raise DataError(f"{path}: not a readable table of findings{reason}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: a row is no finding ({error}); the columns are {', '.join(COLUMNS)}"
        ) from error
    if len(found) > MAX_ROWS:
        raise DataError(f"{path}: too many rows; allowed: {MAX_ROWS:,}")
    return found


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file.

    Raises:
        csv.Error: One is longer than 1 MiB.
    """
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith("\n"):
            raise csv.Error(f"a line is longer than {size(MAX_LINE)}")
        yield line


def _finding(row: dict[str, str]) -> Finding:
    kind, action = row["kind"], row["action"]
    if kind not in KINDS or action not in ACTIONS:
        raise ValueError(f"kind {str(kind)[:100]!r}, action {str(action)[:100]!r}")
    return Finding(
        file=unquote_formula(row["file"]),
        kind=kind,
        group=unquote_formula(row["group"]),
        score=float(row["score"]),
        threshold=float(row["threshold"]),
        action=action,
        new_label=unquote_formula(row.get(NEW_LABEL_COLUMN) or ""),
    )


def new_labels(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the new class names that a person has assigned, by file.

    Raises:
        DataError: A file has two different new labels.
    """
    labels: dict[str, str] = {}
    for found in findings:
        if found.new_label and labels.setdefault(found.file, found.new_label) != found.new_label:
            raise DataError(
                f"new_label: {found.file!r} has two, {labels[found.file]!r} and "
                f"{found.new_label!r}; keep one"
            )
    return labels


def files_to_drop(findings: Iterable[Finding]) -> set[str]:
    """Return the files that the actions drop.

    Of a `keep one` group the first file by name that is not dropped otherwise is kept. Groups that
    share a file count as one.
    """
    findings = list(findings)
    dropped = {found.file for found in findings if found.action == "drop"}
    groups: dict[tuple[str, str], set[str]] = {}
    for found in findings:
        if found.action == "keep one":
            groups.setdefault((found.kind, found.group), set()).add(found.file)
    group_of: dict[str, set[str]] = {}
    for members in groups.values():
        joined = members.union(*(group_of.get(file, set()) for file in members))
        group_of |= dict.fromkeys(joined, joined)
    for joined in {id(group): group for group in group_of.values()}.values():
        dropped |= set(sorted(joined - dropped)[1:])
    return dropped


def count_groups(findings: list[Finding]) -> dict[str, int]:
    """Return the number of groups of every kind."""
    pairs = {(one.kind, one.group) for one in findings if one.group}
    return dict(Counter(kind for kind, _ in sorted(pairs)))
