"""JSON artefacts: the base of everything that one stage writes and a later stage reads."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stainproof import files
from stainproof.errors import CheckpointError, shortened

SCHEMA_VERSION = 3
"""Version of the JSON files written now."""


def read_small_file(path: Path, max_bytes: int = files.MAX_TEXT_BYTES) -> bytes:
    """Read a regular file up to a size.

    Raises:
        CheckpointError: It is missing, unreadable, not a regular file, or larger.
    """
    try:
        return files.read_bytes(path, max_bytes)
    except OSError as error:
        raise CheckpointError(f"{path}: missing or unreadable ({error.strerror})") from error


class Artefact(BaseModel):
    """An immutable result that is stored as one JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, path: Path) -> None:
        """Write the JSON file atomically."""
        files.write_bytes(path, self.to_json())

    def to_json(self) -> bytes:
        """Return the content of the JSON file."""
        return f"{self.model_dump_json(indent=2)}\n".encode()

    @classmethod
    def upgrade(cls, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON tree of an earlier schema version as one of the current version."""
        return tree

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the JSON file; earlier schema versions are upgraded if possible.

        Raises:
            CheckpointError: The file is missing, not JSON of this kind, or of an incompatible
                version.
        """
        return cls.parse(read_small_file(path), path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """Return the artefact that a file contains, as `read` does.

        Args:
            content: The file's bytes.
            path: The file, for messages.

        Raises:
            CheckpointError: The content is not JSON of this kind, or of an incompatible version.
        """
        try:
            tree = json.loads(content.decode("utf-8"))
            if rb"\u" in content:
                json.dumps(tree, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
            return cls.model_validate(cls.upgrade(tree) if isinstance(tree, dict) else tree)
        except ValidationError as error:
            fault = error.errors()[0]
            if fault["loc"] == ("schema_version",):
                version = shortened(repr(fault["input"]))
                raise CheckpointError(
                    f"{path}: has schema version {version}, this version reads "
                    f"{SCHEMA_VERSION}; create it again in another folder, or use the version of "
                    "stainproof that wrote it"
                ) from error
            place = ".".join(str(part) for part in fault["loc"]) or "the whole file"
            said = fault["msg"].removeprefix("Value error, ")
            raise CheckpointError(
                f"{path}: not a {cls.__name__.lower()} file of this version "
                f"({shortened(place)}: {shortened(said[:1].lower() + said[1:])})"
            ) from error
        except (AttributeError, KeyError, TypeError) as error:  # of `upgrade`
            raise CheckpointError(
                f"{path}: not a {cls.__name__.lower()} file of any version"
            ) from error
        except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
            raise CheckpointError(f"{path}: not a {cls.__name__.lower()} file (no JSON)") from error


class Described(Artefact):
    """A result that Python and Jupyter show in a few lines instead of with all its fields."""

    def describe(self) -> dict[str, str]:
        """Return what is shown: name -> value."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the kind of result and one line for each fact."""
        facts = self.describe()
        width = max(map(len, facts))
        lines = (f"  {name:{width}}  {value}" for name, value in facts.items())
        return "\n".join([type(self).__name__, *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return an HTML table, which Jupyter shows."""
        return html_table((), self.describe().items(), type(self).__name__)


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return an HTML table; all texts are escaped.

    Args:
        header: Names of the columns; empty for a table without a header.
        rows: Texts of the cells. The first cell of a row is its name.
        caption: Text above the table.
    """

    def line(cells: Iterable[str], tags: Iterable[str]) -> str:
        inner = (f"<{tag}>{escape(cell)}</{tag}>" for cell, tag in zip(cells, tags, strict=False))
        return f"<tr>{''.join(inner)}</tr>"

    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    head += f"<thead>{line(header, repeat('th'))}</thead>" if header else ""
    body = "".join(line(row, chain(["th"], repeat("td"))) for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


class Estimate(Artefact):
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """Return for instance `91.2 % (90.1 to 92.3)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"
