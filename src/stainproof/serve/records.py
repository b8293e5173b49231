"""The records of a session: cells, fields, decisions, the model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the field, from its upper left corner."""


@dataclass(frozen=True)
class Field:
    """A photograph of a smear from which cells were cut; its pixels are not part of the session."""

    name: str
    sha256: str
    """Hash of shape and pixels."""
    width: int
    height: int


@dataclass(frozen=True)
class StoredField(Field):
    """A field with the cells of the session that were cut from it."""

    path: str
    """Its file on this machine; empty for an upload."""
    boxes: dict[int, Box]
    """Id of a cell -> its box."""


@dataclass(frozen=True)
class NewCell:
    """A cell to add."""

    name: str
    path: str
    """File on this machine that shows it or its field; empty for an upload."""
    sha256: str
    """Hash of shape and pixels."""
    picture: bytes
    """The pixels as PNG."""
    probs: NDArray[np.float32]
    place: tuple[Field, Box] | None = None
    """The field that it was cut from, and where; None: its file shows this cell only."""


@dataclass(frozen=True)
class StoredCell:
    """A cell of the session without its picture."""

    id: int
    name: str
    path: str
    """Its own file; empty for an upload and for a cell of a field."""
    probs: NDArray[np.float32]
    is_blind: bool
    """Whether the blind mode hides its predicted class."""
    has_field: bool
    """Whether it was cut from a field."""


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
