"""An ensemble folder: several run folders and how their predictions are combined."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from stainproof.config.names import Voting
from stainproof.errors import CheckpointError
from stainproof.runs.artefact import SCHEMA_VERSION, Artefact
from stainproof.runs.manifest import HashedFolder

ENSEMBLE_FILE, MEMBERS_FOLDER = "ensemble.json", "members"


class Ensemble(Artefact):
    """Several networks whose predictions are combined; each is in a folder of its own."""

    schema_version: int = Field(SCHEMA_VERSION, ge=2, le=SCHEMA_VERSION)
    voting: Voting
    """The mean of their probabilities, or one vote each."""
    members: tuple[Annotated[str, Field(pattern=r"^\d+-[^/\\]*$")], ...] = Field(min_length=2)
    """Names of the folders in `members`."""
    lab_sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the laboratory profile in the folder, `lab.json`; empty: there is none."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the ensemble in a folder.

        Raises:
            CheckpointError: It is damaged or was altered.
        """
        path = folder / ENSEMBLE_FILE
        return cls.parse(HashedFolder(folder).read(path), path)

    def write_into(self, folder: Path) -> None:
        """Write the ensemble into a folder."""
        HashedFolder(folder).put_bytes(folder / ENSEMBLE_FILE, self.to_json())

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders of the members of the ensemble in a folder."""
        return [folder / MEMBERS_FOLDER / name for name in self.members]


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
