"""Read weights from safetensors files, and build a network with its trained weights."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stainproof import files
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError
from stainproof.models.network import build_network
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder


def load_weights(path: Path, expected_sha256: str | None = None) -> dict[str, Tensor]:
    """Read weights.

    Args:
        path: A safetensors file.
        expected_sha256: Hash that the file must have; None: any.

    Raises:
        CheckpointError: The file is missing or damaged, or its hash differs from the expected one.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: missing; the run folder is incomplete")
    if expected_sha256 is not None and files.sha256_of(path) != expected_sha256:
        raise CheckpointError(f"{path}: altered; its SHA-256 is not the one in card.json")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def load_network(run: RunFolder, card: Card) -> nn.Module:
    """Build the network of a run with its selected weights, in evaluation mode.

    Raises:
        CheckpointError: The weights are missing, damaged, altered or of another network.
        ConfigError: The network is one of timm, which is not installed.
    """
    config = Config(network=card.network, preprocessing=card.preprocessing)
    network = build_network(config, len(card.classes))
    try:
        network.load_state_dict(load_weights(run.best, card.weights_sha256))
    except RuntimeError as error:
        raise CheckpointError(f"{run.best}: made for another network") from error
    return network.eval()
