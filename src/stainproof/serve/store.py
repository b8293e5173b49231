"""The session file: cells, predictions and decisions in SQLite, safe against a killed process."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

import numpy as np

from stainproof.errors import DataError, first_line, shortened
from stainproof.serve import session_check
from stainproof.serve.records import (
    Box,
    Decision,
    Field,
    ModelFacts,
    NewCell,
    StoredCell,
    StoredField,
)
from stainproof.serve.session_lock import hold
from stainproof.text import printable

VERSION = 1
REVIEWERS = (1, 2)
APPLICATION_ID = 0x73706676
"""Marks a database as a session (https://sqlite.org/pragma.html#pragma_application_id)."""
BLIND_SHARE = 0.1
"""Share of the cells whose predicted class the blind mode hides."""
TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cells (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,
    picture BLOB NOT NULL, probs BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL, reviewer INTEGER NOT NULL,
    cell INTEGER NOT NULL REFERENCES cells (id), label TEXT NOT NULL, shown INTEGER NOT NULL,
    made TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS decisions_of ON decisions (reviewer, undone, step);
CREATE TABLE IF NOT EXISTS fields (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL, height INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS boxes (
    cell INTEGER PRIMARY KEY REFERENCES cells (id), field INTEGER NOT NULL REFERENCES fields (id),
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL);
CREATE INDEX IF NOT EXISTS boxes_of ON boxes (field);
"""


class Store:
    """The cells and decisions of one session, in a file or in memory.

    Every change is one transaction that is on the disk when the method returns (write-ahead log,
    synchronous), so what the page shows as saved survives a killed process.
    """

    def __init__(self, path: Path | None, model: ModelFacts, seed: int = 0):
        """Open or make the session.

        Args:
            path: The file; None keeps the session in memory.
            model: The model; a file that another model made is refused.
            seed: Chooses the cells of the blind mode in a new session.

        Raises:
            DataError: The file is no session of this version, damaged, or one of another model.
            ConfigError: Another server has the file open.
        """
        self.path = path
        self.num_changes = 0
        """Number of changes since the session was opened."""
        self._lock = RLock()
        self._held = hold(path) if path else None
        try:
            self._database = sqlite3.connect(
                path or ":memory:", check_same_thread=False, isolation_level=None
            )
            self._open(model, seed)
        except (sqlite3.Error, UnicodeError) as error:  # a message that is not UTF-8
            self.close()
            raise DataError(f"{path}: not a session file ({first_line(error)})") from error
        except DataError:
            self.close()
            raise

    def _open(self, model: ModelFacts, seed: int) -> None:
        self._database.execute("PRAGMA trusted_schema = OFF")
        (kind,) = self._database.execute("PRAGMA application_id").fetchone()
        (num_tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if num_tables and kind != APPLICATION_ID:
            raise DataError(f"{self.path}: not a session file (another kind of database)")
        if num_tables:
            for fault in session_check.faults(self._database, TABLES, model.classes, REVIEWERS):
                raise DataError(f"{self.path}: damaged session ({shortened(printable(fault))})")
        self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._change():
            for statement in TABLES.split(";"):
                self._database.execute(statement)
            facts = {
                "version": str(VERSION),
                "weights_sha256": model.weights_sha256,
                "classes": json.dumps(model.classes),
                "lab": model.lab,
                "seed": str(seed),
                "is_blind": "0",
            }
            for name, value in facts.items():
                self._database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
        found = dict(self._database.execute("SELECT name, value FROM facts"))
        if found["version"] != str(VERSION):
            raise DataError(
                f"{self.path}: session of version {found['version']}; allowed: {VERSION}"
            )
        if found["weights_sha256"] != model.weights_sha256:
            raise DataError(
                f"{self.path}: this session was made with another model (weights "
                f"{found['weights_sha256'][:12]}, got {model.weights_sha256[:12]}); choose "
                "another --session, or the model that made it"
            )
        if found["lab"] != model.lab:
            raise DataError(
                f"{self.path}: this session was made with another laboratory profile "
                f"({found['lab'] or 'none'}, got {model.lab or 'none'}); choose another --session"
            )
        self.seed = int(found["seed"])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            with suppress(AttributeError, sqlite3.Error):
                self._database.close()
            if self._held:
                self._held.release()

    @property
    def is_blind(self) -> bool:
        """Whether the blind mode is on."""
        with self._lock:
            row = self._database.execute("SELECT value FROM facts WHERE name = 'is_blind'")
            return bool(row.fetchone()[0] == "1")

    def set_blind(self, is_blind: bool) -> None:
        """Turn the blind mode on or off."""
        with self._change():
            self._database.execute(
                "UPDATE facts SET value = ? WHERE name = 'is_blind'", (str(int(is_blind)),)
            )

    def add(self, cells: Sequence[NewCell]) -> list[int]:
        """Add cells; one with the pixels of a cell that is there is left out.

        Returns:
            The ids of the new cells.
        """
        added = []
        with self._change():
            for one in cells:
                path = "" if one.place else one.path
                row = (one.name, path, one.sha256, one.picture, one.probs.tobytes())
                done = self._database.execute(
                    "INSERT OR IGNORE INTO cells (name, path, sha256, picture, probs) "
                    "VALUES (?, ?, ?, ?, ?)",
                    row,
                )
                if done.rowcount:
                    added.append(int(done.lastrowid or 0))
                if one.place:
                    self._add_place(one.sha256, *one.place, one.path)
        return added

    def _add_place(self, cell_sha256: str, field: Field, box: Box, path: str) -> None:
        """Note where a cell lies; the file of a field that was uploaded before is noted too."""
        self._database.execute(
            "INSERT INTO fields (name, path, sha256, width, height) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (sha256) DO UPDATE SET path = excluded.path WHERE excluded.path != ''",
            (field.name, path, field.sha256, field.width, field.height),
        )
        self._database.execute(
            "INSERT OR IGNORE INTO boxes SELECT cells.id, fields.id, ?, ?, ?, ? FROM cells, fields "
            "WHERE cells.sha256 = ? AND fields.sha256 = ?",
            (*box, cell_sha256, field.sha256),
        )

    def field_of(self, cell: int) -> StoredField | None:
        """Return the field that a cell was cut from; None if there is none, or no such cell."""
        with self._lock:
            row = self._database.execute(
                "SELECT fields.id, name, sha256, width, height, path FROM fields "
                "JOIN boxes ON boxes.field = fields.id WHERE boxes.cell = ?",
                (cell,),
            ).fetchone()
            if row is None:
                return None
            number, name, sha256, width, height, path = row
            boxes = self._database.execute(
                "SELECT cell, x0, y0, x1, y1 FROM boxes WHERE field = ? ORDER BY cell", (number,)
            ).fetchall()
        found: dict[int, Box] = {one: (x0, y0, x1, y1) for one, x0, y0, x1, y1 in boxes}
        return StoredField(name, sha256, width, height, path, found)

    def cells(self, ids: Iterable[int] | None = None) -> list[StoredCell]:
        """Return all cells, or those of some ids, by id; unknown ids are left out."""
        statement = (
            "SELECT id, name, path, probs, EXISTS (SELECT 1 FROM boxes WHERE cell = cells.id) "
            "FROM cells"
        )
        wanted: tuple[str, ...] = ()
        if ids is not None:
            statement += " WHERE id IN (SELECT value FROM json_each(?))"
            wanted = (json.dumps(list(ids)),)
        with self._lock:
            rows = self._database.execute(f"{statement} ORDER BY id", wanted).fetchall()
        return [
            StoredCell(
                cell, name, path, np.frombuffer(probs, np.float32), self._hides(cell), bool(field)
            )
            for cell, name, path, probs, field in rows
        ]

    def num_cells(self) -> int:
        """Return the number of cells."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM cells").fetchone()[0])

    def picture(self, cell: int) -> bytes | None:
        """Return the picture of a cell as PNG; None if there is no such cell."""
        with self._lock:
            row = self._database.execute(
                "SELECT picture FROM cells WHERE id = ?", (cell,)
            ).fetchone()
        return row[0] if row else None

    def decide(self, reviewer: int, labels: dict[int, tuple[str, bool]]) -> None:
        """Record the classes that a reviewer gives cells in one step.

        Args:
            reviewer: 1 or 2.
            labels: Id of a cell -> its class, and whether the predicted class was shown.
        """
        made = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._change():
            (step,) = self._database.execute(
                "SELECT coalesce(max(step), 0) + 1 FROM decisions"
            ).fetchone()
            self._database.executemany(
                "INSERT INTO decisions (step, reviewer, cell, label, shown, made) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (step, reviewer, cell, label, int(shown), made)
                    for cell, (label, shown) in labels.items()
                ],
            )

    def undo(self, reviewer: int) -> list[int]:
        """Take back the last step of a reviewer; return the ids of its cells."""
        with self._change():
            (step,) = self._database.execute(
                "SELECT max(step) FROM decisions WHERE reviewer = ? AND NOT undone", (reviewer,)
            ).fetchone()
            rows = self._database.execute(
                "UPDATE decisions SET undone = 1 WHERE reviewer = ? AND step = ? RETURNING cell",
                (reviewer, step),
            ).fetchall()
        return [cell for (cell,) in rows]

    def decisions(self, reviewer: int, *, first: bool = False) -> dict[int, Decision]:
        """Return id -> the last decision of a reviewer that was not taken back, or the first."""
        order = "DESC" if first else "ASC"
        with self._lock:
            rows = self._database.execute(
                "SELECT cell, label, shown FROM decisions WHERE reviewer = ? AND NOT undone "
                f"ORDER BY id {order}",
                (reviewer,),
            ).fetchall()
        return {cell: Decision(label, bool(shown)) for cell, label, shown in rows}

    def _hides(self, cell: int) -> bool:
        digest = hashlib.sha256(f"{self.seed} {cell}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < BLIND_SHARE * 2**32

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            self.num_changes += 1
