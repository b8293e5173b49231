"""Read weights from safetensors files, and build a network with its trained weights."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, load_file
from torch import Tensor, nn

from stainproof import files
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, first_line
from stainproof.models.network import build_network
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Args:
        path: A safetensors file.

    Raises:
        CheckpointError: The file is missing, damaged or not a regular file.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: missing; the run folder is incomplete")
    try:
        files.open_regular(path).close()
        return dict(load_file(path))
    except Exception as error:  # a hostile header raises other types too
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({first_line(error)})"
        ) from error


def load_network(run: RunFolder, card: Card) -> nn.Module:
    """Build the network of a run with its selected weights, in evaluation mode.

    Raises:
        CheckpointError: The weights are missing, damaged, altered or of another network.
        ConfigError: The network is one of timm, which is not installed.
    """
    content = run.read_named(run.best, card.weights_sha256)
    config = Config(network=card.network, preprocessing=card.preprocessing)
    network = build_network(config, len(card.classes))
    try:
        state = load(content)
    except Exception as error:  # a hostile header raises other types too
        raise CheckpointError(
            f"{run.best}: not a readable safetensors file ({first_line(error)})"
        ) from error
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{run.best}: made for another network") from error
    return network.eval()


def replace_last_layer(
    network: nn.Module, weight: NDArray[np.floating], bias: NDArray[np.floating]
) -> None:
    """Replace the parameters of the last linear layer of a network, in place.

    Args:
        network: A network whose last linear layer gives the logits.
        weight: (classes, d).
        bias: (classes,).

    Raises:
        CheckpointError: The network has no such layer of these sizes, with a bias.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear or tuple(linear[-1].weight.shape) != weight.shape or linear[-1].bias is None:
        raise CheckpointError(
            f"network: does not end with a linear layer of {weight.shape[0]} classes and "
            f"{weight.shape[1]} features"
        )
    with torch.no_grad():
        linear[-1].weight.copy_(torch.from_numpy(weight))
        linear[-1].bias.copy_(torch.from_numpy(bias))
