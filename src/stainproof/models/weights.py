"""Files of weights: safetensors, whole or absent, checked against the card."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stainproof import files
from stainproof.config import Config
from stainproof.errors import CheckpointError, DataError
from stainproof.models.network import build_network
from stainproof.results import BEST_FILE, Card


def save_weights(path: Path, weights: dict[str, Tensor], **notes: str) -> None:
    """Write weights, and notes in the header, as safetensors, whole or not at all.

    Raises:
        DataError: They cannot be written.
    """
    contents = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    with files.atomic_path(path) as part:
        try:
            save_file(contents, part, metadata=notes or None)
        except SafetensorError as error:
            raise DataError(f"{path}: cannot be written ({error})") from error


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


def load_network(run: Path, card: Card) -> nn.Module:
    """Build the network of a run folder with its kept weights.

    Raises:
        CheckpointError: The weights are missing, damaged, altered or of another network.
        ConfigError: The network is of timm, which is not there.
    """
    network = build_network(Config(network=card.network, input=card.input), len(card.classes))
    try:
        network.load_state_dict(load_weights(run / BEST_FILE, card.weights_sha256))
    except RuntimeError as error:
        raise CheckpointError(f"{run / BEST_FILE}: made for another network") from error
    return network.eval()
