"""Weights and models that the card names by their SHA-256.

A version on disk that the card names is kept as `best.previous.safetensors` until the card names
the next one, so that readers find card and weights of one epoch at any time.
"""

import hashlib
import os
from collections.abc import Container
from pathlib import Path

from stainproof import files
from stainproof.errors import CheckpointError
from stainproof.runs.artefact import read_small_file
from stainproof.runs.manifest import MAX_MODEL_BYTES


def previous_of(path: Path) -> Path:
    """Return where the previous version of a file is kept, `best.previous.safetensors`."""
    return path.with_suffix(f".previous{path.suffix}")


def keep_previous(path: Path, named: Container[str | None]) -> None:
    """Keep the version on disk if its SHA-256 is one of those that the card names."""
    if files.sha256_of(path) not in named:
        return
    kept = previous_of(path)
    kept.unlink(missing_ok=True)
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        files.write_bytes(kept, path.read_bytes())


def read_named(path: Path, sha256: str) -> bytes:
    """Read the version of a file that the card names, the present or the previous one.

    Raises:
        CheckpointError: The file is missing or too large, or has another SHA-256.
    """
    for one in (path, previous_of(path)):
        if one.exists():
            content = read_small_file(one, MAX_MODEL_BYTES)
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
    if not path.exists():
        raise CheckpointError(f"{path}: missing; the run folder is incomplete")
    raise CheckpointError(f"{path}: altered; its SHA-256 is not the one in card.json")
