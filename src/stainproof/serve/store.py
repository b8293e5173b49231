"""The session file: cells, predictions and decisions in SQLite, safe against a killed process."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from stainproof.errors import ConfigError, DataError, first_line, shortened
from stainproof.serve import session_check
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
"""


@dataclass(frozen=True)
class NewCell:
    """A cell to add."""

    name: str
    path: str
    """Its file on this machine; empty for an upload."""
    sha256: str
    """Hash of shape and pixels."""
    picture: bytes
    """The pixels as PNG."""
    probs: NDArray[np.float32]


@dataclass(frozen=True)
class StoredCell:
    """A cell of the session without its picture."""

    id: int
    name: str
    path: str
    probs: NDArray[np.float32]
    is_blind: bool
    """Whether the blind mode hides its predicted class."""


@dataclass(frozen=True)
class Decision:
    """The class that a reviewer gave a cell."""

    label: str
    was_shown: bool
    """Whether the reviewer saw the predicted class."""


@dataclass(frozen=True)
class ModelFacts:
    """The model whose predictions the session holds."""

    weights_sha256: str
    classes: tuple[str, ...]
    lab: str = ""
    """What the laboratory profile changes; empty without one."""


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
        self._held = _hold(path) if path else None
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
        self._database.execute("PRAGMA trusted_schema = OFF")
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
                row = (one.name, one.path, one.sha256, one.picture, one.probs.tobytes())
                done = self._database.execute(
                    "INSERT OR IGNORE INTO cells (name, path, sha256, picture, probs) "
                    "VALUES (?, ?, ?, ?, ?)",
                    row,
                )
                if done.rowcount:
                    added.append(int(done.lastrowid or 0))
        return added

    def cells(self, ids: Iterable[int] | None = None) -> list[StoredCell]:
        """Return all cells, or those of some ids, by id; unknown ids are left out."""
        statement = "SELECT id, name, path, probs FROM cells"
        wanted: tuple[str, ...] = ()
        if ids is not None:
            statement += " WHERE id IN (SELECT value FROM json_each(?))"
            wanted = (json.dumps(list(ids)),)
        with self._lock:
            rows = self._database.execute(f"{statement} ORDER BY id", wanted).fetchall()
        return [
            StoredCell(cell, name, path, np.frombuffer(probs, np.float32), self._hides(cell))
            for cell, name, path, probs in rows
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


def _hold(path: Path) -> Any:
    """Hold the lock of a session file until it is closed or the process ends.

    Raises:
        ConfigError: Another process holds it.
        DataError: The folder cannot be written to.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; allowed: a session file")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"{path}: another server has this session open") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    return lock
