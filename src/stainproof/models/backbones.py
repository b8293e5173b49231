"""timm backbones in place of our own layers; freezing and what is trained, of any network.

timm (Wightman 2019, "PyTorch Image Models") is an extra; only building such a network needs it.
"""

from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeGuard, cast

import torch
from torch import nn

from stainproof.config.schema import Config, NetworkConfig, TrainingConfig
from stainproof.errors import ConfigError, first_line

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def build_backbone(settings: NetworkConfig, num_classes: int) -> nn.Module:
    """Build a timm network with a new head and random weights.

    Its weights keep timm's names, also in the files of a run.

    Raises:
        ConfigError: timm is not installed, does not know the name, or cannot build the network.
    """
    timm, name = _timm_with(settings.backbone), settings.backbone
    try:
        network = timm.create_model(name, num_classes=num_classes, drop_rate=settings.dropout)
    except Exception as error:  # networks raise their own exception types
        raise ConfigError(
            f"network.backbone: timm cannot build {name!r} ({first_line(error)})"
        ) from error
    if not head_names(network):
        raise ConfigError(f"network.backbone: {name!r} has no classification layer")
    return cast(nn.Module, network)


def with_backbone_preprocessing(config: Config) -> Config:
    """Return the settings with the mean and standard deviation of the backbone's pretraining.

    timm stores both for every network. Values that the user has set stay, and so do settings
    without a backbone.

    Raises:
        ConfigError: timm is not installed or does not know the backbone.
    """
    name, missing = config.network.backbone, {"mean", "std"} - config.preprocessing.model_fields_set
    if not name or not missing:
        return config
    known = _timm_with(name).get_pretrained_cfg(name)
    preprocessing = config.preprocessing.model_copy(
        update={key: getattr(known, key) for key in sorted(missing)}
    )
    return config.model_copy(update={"preprocessing": preprocessing})


def check_input_size(network: nn.Module, name: str, size_px: int) -> None:
    """Check that a network accepts images of this height and width.

    Raises:
        ConfigError: It does not.
    """
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, size_px, size_px))
    except Exception as error:  # networks raise their own exception types
        raise ConfigError(
            f"network.backbone: {name!r} does not take images of {size_px} px ({first_line(error)})"
        ) from error


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights of the classification head: the last layer of our network."""
    if is_own(network):
        return tuple(name for name in network.state_dict() if _layer(name) == len(network) - 1)
    layers = network.pretrained_cfg["classifier"] or ()  # type: ignore[index]
    prefixes = tuple(f"{layer}." for layer in ((layers,) if isinstance(layers, str) else layers))
    return tuple(name for name in network.state_dict() if name.startswith(prefixes))


def weight_depths(network: nn.Module) -> dict[str, int]:
    """Return the depth of each weight below the head: 0 for the head, 1 for the block below it.

    Blocks are those of timm; the stem is the lowest. Layers between the last block and the head
    belong to the last block. Each layer of our own network that has weights is a block.
    """
    if is_own(network):
        layers = sorted({_layer(name) for name, _ in network.named_parameters()}, reverse=True)
        return {name: layers.index(_layer(name)) for name, _ in network.named_parameters()}
    from timm.models import group_parameters
    from timm.optim import auto_group_layers

    if hasattr(network, "group_matcher"):
        groups = group_parameters(
            network, cast(Any, network).group_matcher(coarse=False), reverse=True
        )
    else:
        groups = auto_group_layers(network)
    head, top = set(head_names(network)), max(groups.values())
    return {
        name: 0 if name in head else max(1, top - groups[name])
        for name, _ in network.named_parameters()
    }


def freeze(network: nn.Module, settings: TrainingConfig) -> None:
    """Exclude weights from training as the settings say.

    Raises:
        ConfigError: There are fewer blocks, or there is no batch normalisation to freeze.
    """
    if settings.unfrozen_blocks is not None:
        depths = weight_depths(network)
        if settings.unfrozen_blocks > max(depths.values()):
            raise ConfigError(
                f"training.unfrozen_blocks: the network has {max(depths.values())} blocks, "
                f"got {settings.unfrozen_blocks}"
            )
        for name, weight in network.named_parameters():
            weight.requires_grad_(depths[name] <= settings.unfrozen_blocks)
    if settings.freeze_norms:
        norms = batch_norms(network)
        if not norms:
            raise ConfigError("training.freeze_norms: the network has no batch normalisation")
        for norm in norms:
            norm.requires_grad_(False)


def set_training_mode(network: nn.Module, settings: TrainingConfig) -> None:
    """Put a network in training mode, except batch normalisation that is frozen."""
    network.train()
    if settings.freeze_norms:
        for norm in batch_norms(network):
            norm.eval()


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Return the batch-normalisation layers of a network."""
    return [module for module in network.modules() if isinstance(module, BATCH_NORMS)]


def is_own(network: nn.Module) -> TypeGuard[nn.Sequential]:
    """Return whether a network has stainproof's own layers, one after the other."""
    return isinstance(network, nn.Sequential) and not hasattr(network, "pretrained_cfg")


def _layer(name: str) -> int:
    """Return the position of the layer that a weight of our own network belongs to."""
    return int(name.partition(".")[0])


def _timm_with(name: str) -> ModuleType:
    """Return the module timm after checking that it knows this name.

    Raises:
        ConfigError: timm is not installed or does not know it.
    """
    try:
        import timm
    except (ImportError, OSError, RuntimeError) as error:  # as a torchvision of another torch does
        raise ConfigError(
            f"{name!r} is a network of timm, which cannot be imported here "
            f"({first_line(error)}): pip install 'stainproof[transfer]' in an environment "
            "of its own, as docs/transfer.md says"
        ) from error
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "allowed: timm.list_models()"
        raise ConfigError(f"network.backbone: timm has no network {name!r}; {hint}")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(f"network.backbone: {first_line(error)}") from error
    return cast(ModuleType, timm)
