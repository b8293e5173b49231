"""An ensemble folder: several run folders and how their predictions are combined."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stainproof.config.names import Voting
from stainproof.errors import CheckpointError
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact

ENSEMBLE_FILE, MEMBERS_FOLDER = "ensemble.json", "members"


class Ensemble(Artefact):
    """Several networks whose predictions are combined; each is in a folder of its own."""

    schema_version: int = Field(SCHEMA_VERSION, ge=2, le=SCHEMA_VERSION)
    voting: Voting
    """The mean of their probabilities, or one vote each."""
    members: tuple[Annotated[str, Field(pattern=r"^\d+-[^/\\]*$")], ...] = Field(min_length=2)
    """Names of the folders in `members`."""


def is_ensemble(folder: Path) -> bool:
    """Return whether a folder is an ensemble."""
    return (folder / ENSEMBLE_FILE).exists()


def refuse_ensemble(folder: Path, hint: str) -> None:
    """Raise an error if a folder is an ensemble where a single run is needed.

    Args:
        folder: The folder.
        hint: What to do instead, for the message.

    Raises:
        CheckpointError: The folder is an ensemble.
    """
    if is_ensemble(folder):
        raise CheckpointError(f"{folder}: is an ensemble; {hint}")
