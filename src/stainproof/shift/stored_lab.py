"""The laboratory profile that an ensemble contains, which its predictions apply."""

import hashlib
from pathlib import Path

from stainproof.errors import CheckpointError
from stainproof.progress import Say, silent_say
from stainproof.runs.ensemble import Ensemble
from stainproof.runs.manifest import HashedFolder
from stainproof.shift.lab import Lab

LAB_FILE = "lab.json"


def store_lab(lab: Lab, folder: Path) -> str:
    """Write a profile into the folder of an ensemble; return its SHA-256."""
    return HashedFolder(folder).put_bytes(folder / LAB_FILE, lab.to_json())


def choose_lab(
    given: Lab | None, ensemble: Ensemble, folder: Path, say: Say = silent_say
) -> Lab | None:
    """Return the profile that the predictions of an ensemble apply.

    Args:
        given: What the caller asks for, which replaces the stored one; None: the stored one.
        ensemble: Whose `lab_sha256` names the profile in the folder.
        folder: Of the ensemble.
        say: Called with a line if the stored profile is applied, or replaced by another one.

    Raises:
        CheckpointError: The stored profile is missing, was altered, or is no profile.
    """
    if not ensemble.lab_sha256:
        return given
    path = folder / LAB_FILE
    content = HashedFolder(folder).read(path)
    if hashlib.sha256(content).hexdigest() != ensemble.lab_sha256:
        raise CheckpointError(f"{path}: altered; its SHA-256 is not the one in ensemble.json")
    stored = Lab.parse(content, path)
    if given is None:
        say(f"{folder}: its laboratory profile is applied: {stored.describe()}")
        return stored
    if given != stored:
        say(
            f"{folder}: its laboratory profile ({stored.describe()}) is replaced by the one given: "
            f"{given.describe()}"
        )
    return given
