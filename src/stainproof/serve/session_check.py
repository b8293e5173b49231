"""A check of a session file before it is used: SQLite accepts files with almost any content."""

import contextlib
import math
import re
import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from stainproof.evaluation.count_result import UNCLASSIFIED

MAX_STEP = 2**62
_TOLERANCE = 1e-3
_SEED = re.compile(r"[0-9]{1,18}")
_FIRST_TABLES = {"facts", "cells", "decisions"}
"""Tables of the sessions of every version; those of photographs were added later."""
_OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master"


def faults(
    database: sqlite3.Connection, tables: str, classes: Sequence[str], reviewers: Sequence[int]
) -> Iterator[str]:
    """Yield what is wrong in a session; nothing for one that the server wrote.

    Args:
        database: The open file.
        tables: The statements that make the tables of a session.
        classes: Classes of the model.
        reviewers: The numbers of reviewers.

    Raises:
        sqlite3.Error: The file cannot be read.
        ValueError: A text in it is not UTF-8.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as sound:
        sound.executescript(tables)
        found, allowed = (set(one.execute(_OBJECTS).fetchall()) for one in (database, sound))
    names = {name for _, name, *_ in found}
    if found != {one for one in allowed if one[1] in names} or not names >= _FIRST_TABLES:
        yield "its tables are not those of a session"
        return
    (said,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        yield str(said).splitlines()[0]
        return
    facts = dict(database.execute("SELECT name, value FROM facts"))
    if not all(isinstance(one, str) for pair in facts.items() for one in pair):
        yield "a fact is no text"
    elif not _SEED.fullmatch(facts.get("seed", "0")):
        yield "seed is no number of up to 18 digits"
    elif facts.get("is_blind", "0") not in ("0", "1"):
        yield "is_blind is neither 0 nor 1"
    ids = set()
    for cell, *texts, picture, probs in database.execute(
        "SELECT id, name, path, sha256, picture, probs FROM cells"
    ):
        ids.add(cell)
        are_texts = all(isinstance(text, str) for text in texts)
        if not are_texts or not isinstance(picture, bytes) or not _are_probs(probs, len(classes)):
            yield f"cell {cell} has no name, no picture or no probabilities"
    labels = {*classes, UNCLASSIFIED}
    for number, step, reviewer, cell, label, *numbers in database.execute(
        "SELECT id, step, reviewer, cell, label, shown, undone FROM decisions"
    ):
        are_numbers = all(isinstance(one, int) for one in (step, reviewer, cell, *numbers))
        if not are_numbers or not 0 < step < MAX_STEP or reviewer not in reviewers:
            yield f"decision {number} has no step or no reviewer"
        elif cell not in ids or label not in labels:
            yield f"decision {number} is of no cell or of no class of the model"
    if names >= {"fields", "boxes"}:
        yield from _field_faults(database, ids)


def _field_faults(database: sqlite3.Connection, cells: set[int]) -> Iterator[str]:
    fields = set()
    for field, *texts, width, height in database.execute(
        "SELECT id, name, path, sha256, width, height FROM fields"
    ):
        fields.add(field)
        are_sizes = all(isinstance(one, int) and one > 0 for one in (width, height))
        if not all(isinstance(text, str) for text in texts) or not are_sizes:
            yield f"photograph {field} has no name or no size"
    for cell, field, *corners in database.execute("SELECT cell, field, x0, y0, x1, y1 FROM boxes"):
        are_numbers = all(isinstance(one, float) and math.isfinite(one) for one in corners)
        if cell not in cells or field not in fields or not are_numbers:
            yield f"the box of cell {cell} is of no cell, of no photograph or has no corners"


def _are_probs(content: object, num: int) -> bool:
    if not isinstance(content, bytes) or len(content) != 4 * num:
        return False
    probs = np.frombuffer(content, np.float32)
    return bool(((probs >= 0) & (probs <= 1 + _TOLERANCE)).all())
