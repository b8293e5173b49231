"""Files of weights: safetensors, whole or absent, checked against the card."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stainproof import files
from stainproof.errors import CheckpointError

BEST_FILE, LAST_FILE = "best.safetensors", "last.safetensors"


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Write weights as safetensors, whole or not at all."""
    with files.atomic_path(path) as part:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, part)


def load_weights(path: Path, expected_sha256: str | None = None) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        CheckpointError: The file is missing, damaged, or not the one that the card names.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: missing; the run folder is incomplete")
    if expected_sha256 is not None and files.sha256_of(path) != expected_sha256:
        raise CheckpointError(f"{path}: altered; its SHA-256 is not the one in card.json")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
